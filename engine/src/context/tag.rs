//! A tag that belongs to no context: put on everything, or of an event or service check.

use std::sync::Arc;

/// One tag, as it came (`key:value` or any other text; UTF-8; no `,` and no `|`). Cloning shares the
/// text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag's text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Tag {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
