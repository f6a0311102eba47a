//! From a spelling to a context: the identity of a series.

mod intern;

pub use intern::Tag;
