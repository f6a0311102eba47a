//! From a spelling to a context: the identity of a series.
//!
//! A *spelling* is the bytes of name and tags as they came. A *context* is what they mean: name,
//! host and the set of tags after enrichment. Many spellings may mean one context; a known spelling
//! costs one hash and one probe, only an unseen one is sorted, interned and looked up by what it
//! means.

mod intern;
mod prefetch;
mod spelling;
mod table;

pub use intern::Tag;
pub use spelling::Spelling;
pub use table::{Contexts, Guess, Identity, Inserted, LimitReached, Place, Retired};

use self::intern::Text;
pub(crate) use self::prefetch::prefetch;
use triomphe::ThinArc;

/// Number of a context in one worker; used again after the context has expired.
pub type ContextId = u32;

/// The identity of a series; made by a worker, shared with the merge. One word; cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context(ThinArc<Head, Tag>);

#[derive(Debug, PartialEq, Eq)]
struct Head {
    name: Text,
    host: Text,
}

impl Context {
    fn new(name: Text, host: Text, tags: impl ExactSizeIterator<Item = Tag>) -> Self {
        Self(ThinArc::from_header_and_iter(Head { name, host }, tags))
    }

    /// Metric name after enrichment, not empty.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &str {
        &self.0.header.header.name
    }

    /// Host, may be empty.
    #[must_use]
    #[inline]
    pub fn host(&self) -> &str {
        &self.0.header.header.host
    }

    /// Tags, sorted by bytes, without duplicates. An empty tag stands first; it is sent, but is no
    /// part of the identity.
    #[must_use]
    #[inline]
    pub fn tags(&self) -> &[Tag] {
        &self.0.slice
    }

    /// The tags that tell contexts apart.
    #[must_use]
    pub fn telling_tags(&self) -> &[Tag] {
        match self.tags() {
            [first, rest @ ..] if first.as_str().is_empty() => rest,
            all => all,
        }
    }

    /// Whether both name the same series.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.host() == other.host()
            && self.telling_tags() == other.telling_tags()
    }
}
