//! Interned tags: one copy of a tag's text, shared by every context that carries it.

use std::sync::Arc;

/// One tag, as it came (`key:value` or any other text; UTF-8; no `,` and no `|`). Cloning shares
/// the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Tag {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
