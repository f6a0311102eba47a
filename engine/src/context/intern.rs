//! Interned tags: one copy of a tag's text, shared by every context that carries it.

use crate::limits::TAG_BYTES_FIXED;
use ahash::RandomState;
use hashbrown::HashTable;
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

    /// Whether more than one context carries it, beside the worker's table.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 2
    }
}

impl From<&str> for Tag {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// The tags that a worker knows.
#[derive(Debug, Default)]
pub(super) struct Interner {
    tags: HashTable<Tag>,
    hasher: RandomState,
    /// Estimated bytes of all tags.
    bytes: usize,
}

impl Interner {
    /// The shared copy of `text`, made if there is none.
    pub(super) fn intern(&mut self, text: &str) -> Tag {
        let hash = self.hasher.hash_one(text);
        let same = |tag: &Tag| tag.as_str() == text;
        if let Some(tag) = self.tags.find(hash, same) {
            return tag.clone();
        }
        let tag = Tag::from(text);
        self.bytes += text.len() + TAG_BYTES_FIXED;
        let hasher = &self.hasher;
        self.tags.insert_unique(hash, tag.clone(), |tag| hasher.hash_one(tag.as_str()));
        tag
    }

    /// Forgets the tags that no context carries any more. O(tags).
    pub(super) fn sweep(&mut self) {
        let bytes = &mut self.bytes;
        self.tags.retain(|tag| {
            // Only this thread adds holders, so a count of 1 can't grow behind our back; a count
            // that is too high because the merge is about to let go costs one more sweep.
            let held = Arc::strong_count(&tag.0) > 1;
            if !held {
                *bytes -= tag.0.len() + TAG_BYTES_FIXED;
            }
            held
        });
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
