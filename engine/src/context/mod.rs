//! From a spelling to a context: the identity of a series.
//!
//! A *spelling* is the bytes of name and tags as they came. A *context* is what they mean: name,
//! host and the set of tags after enrichment. Many spellings may mean one context; a known spelling
//! costs one hash and one probe, only an unseen one is enriched and looked up by what it means.

mod arena;
mod packed;
mod prefetch;
mod record;
mod spelling;
mod table;
mod tag;
mod texts;

pub use arena::Discard;
pub use record::{Context, ContextRef};
pub use spelling::Spelling;
pub use table::{Contexts, Guess, Inserted, LimitReached, Place, Retired};
pub use tag::Tag;

pub(crate) use self::prefetch::prefetch;
pub(crate) use self::record::Shelf;
pub(crate) use self::texts::hash_context;

use std::borrow::Cow;

/// Number of a context in one worker; used again after the context has expired.
pub type ContextId = u32;

/// What a spelling means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Metric name after enrichment.
    pub name: Cow<'a, str>,
    /// Host, may be empty.
    pub host: Cow<'a, str>,
    /// Tags as they came, none that the configuration puts on everything.
    pub tags: Vec<Cow<'a, str>>,
}
