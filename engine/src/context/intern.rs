//! Interned texts: one copy of a tag or name, shared by every context that carries it.

use crate::limits::TEXT_BYTES_FIXED;
use ahash::RandomState;
use arcstr::ArcStr;
use hashbrown::HashTable;
use std::ops::Deref;

/// One tag, as it came (`key:value` or any other text; UTF-8; no `,` and no `|`). One word; cloning
/// shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(ArcStr);

impl Tag {
    /// The tag's text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether more than one context carries it, beside the worker's table.
    pub(crate) fn is_shared(&self) -> bool {
        holders(&self.0) > 2
    }
}

impl From<&str> for Tag {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// A name or host, shared like a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(ArcStr);

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

/// The texts that a worker knows.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashTable<ArcStr>,
    hasher: RandomState,
    /// Estimated bytes of all texts.
    bytes: usize,
}

impl Interner {
    /// The shared copy of a tag, made if there is none.
    pub(super) fn tag(&mut self, text: &str) -> Tag {
        Tag(self.intern(text))
    }

    /// The shared copy of a name or host, made if there is none.
    pub(super) fn text(&mut self, text: &str) -> Text {
        Text(self.intern(text))
    }

    /// Forgets the texts that no context carries any more. O(texts).
    pub(super) fn sweep(&mut self) {
        let bytes = &mut self.bytes;
        self.texts.retain(|text| {
            // Only this thread adds holders, so a count of 1 can't grow behind our back; a count
            // that is too high because the merge is about to let go costs one more sweep.
            let held = holders(text) > 1;
            if !held {
                *bytes -= text.len() + TEXT_BYTES_FIXED;
            }
            held
        });
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn intern(&mut self, text: &str) -> ArcStr {
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.texts.find(hash, |known| known == text) {
            return known.clone();
        }
        let new = ArcStr::from(text);
        self.bytes += text.len() + TEXT_BYTES_FIXED;
        let hasher = &self.hasher;
        self.texts.insert_unique(hash, new.clone(), |known| hasher.hash_one(known.as_str()));
        new
    }
}

/// How many share a text; the empty one is the program's own and belongs to everybody.
fn holders(text: &ArcStr) -> usize {
    ArcStr::strong_count(text).unwrap_or(usize::MAX)
}
