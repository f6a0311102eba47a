//! From a spelling to a context: the identity of a series.
//!
//! A *spelling* is the bytes of name and tags as they came. A *context* is what they mean: name,
//! host and the set of tags after enrichment. Many spellings may mean one context; a known spelling
//! costs one hash and one probe, only an unseen one is sorted, interned and looked up by what it
//! means.

mod intern;
mod table;

pub use intern::Tag;
pub use table::{Contexts, Identity, Inserted, LimitReached, Place, Retired, Spelling};

/// Number of a context in one worker; used again after the context has expired.
pub type ContextId = u32;

/// The identity of a series; made by a worker, shared with the merge.
#[derive(Debug, PartialEq, Eq)]
pub struct Context {
    /// Metric name after enrichment, not empty.
    pub name: Box<str>,
    /// Host, may be empty.
    pub host: Box<str>,
    /// Tags, sorted by bytes, without duplicates. An empty tag stands first; it is sent, but is no
    /// part of the identity.
    pub tags: Box<[Tag]>,
}

impl Context {
    /// The tags that tell contexts apart.
    #[must_use]
    pub fn telling_tags(&self) -> &[Tag] {
        match &*self.tags {
            [first, rest @ ..] if first.as_str().is_empty() => rest,
            all => all,
        }
    }

    /// Whether both name the same series.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.name == other.name
            && self.host == other.host
            && self.telling_tags() == other.telling_tags()
    }
}
