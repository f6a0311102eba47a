//! Contexts, and the texts that they share: names and tags are kept once, whoever bears them.

use super::Identity;
use super::arena::{Arena, Discard, Region, TextId};
use super::prefetch::{CACHE_LINE_BYTES, prefetch};
use crate::limits::TEXT_BYTES_FIXED;
use ahash::RandomState;
use hashbrown::HashTable;
use std::fmt;
use std::sync::Arc;
use triomphe::ThinArc;

/// The identity of a series; made by a worker, shared with the merge. One word; cloning shares it.
#[derive(Clone)]
pub struct Context(ThinArc<Head, TextId>);

#[derive(Debug)]
struct Head {
    region: Arc<Region>,
    name: TextId,
    host: TextId,
}

impl Context {
    /// Metric name after enrichment, not empty.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &str {
        self.text(self.0.header.header.name)
    }

    /// Host, may be empty.
    #[must_use]
    #[inline]
    pub fn host(&self) -> &str {
        self.text(self.0.header.header.host)
    }

    /// Tags in the order of the spelling that came first, without duplicates. An empty tag is sent,
    /// but is no part of the identity.
    #[inline]
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.tag_ids().iter().map(|id| self.text(*id))
    }

    /// The tag at a position of [`Context::tags`].
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    #[inline]
    pub fn tag(&self, at: usize) -> &str {
        self.text(self.tag_ids()[at])
    }

    /// The tags that tell contexts apart, in any order.
    pub fn telling_tags(&self) -> impl Iterator<Item = &str> + Clone {
        self.tags().filter(|tag| !tag.is_empty())
    }

    /// Whether both name the same series.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.host() == other.host()
            && self.sorted_telling_tags() == other.sorted_telling_tags()
    }

    fn sorted_telling_tags(&self) -> Vec<&str> {
        let mut tags: Vec<_> = self.telling_tags().collect();
        tags.sort_unstable();
        tags
    }

    /// Numbers of the telling tags in ascending order.
    pub(super) fn telling_tag_ids(&self) -> Vec<TextId> {
        let mut ids = self.tag_ids().to_vec();
        ids.retain(|id| !self.text(*id).is_empty());
        ids.sort_unstable();
        ids
    }

    /// Numbers of the tags among the texts of the worker that made the context.
    #[inline]
    pub(super) fn tag_ids(&self) -> &[TextId] {
        &self.0.slice
    }

    /// Has the context brought into the cache.
    #[inline]
    pub(super) fn fetch(&self) {
        let start = self.0.as_ptr().cast::<u8>();
        prefetch(start);
        prefetch(start.wrapping_add(CACHE_LINE_BYTES));
    }

    #[inline]
    #[allow(unsafe_code, reason = "texts are told by numbers; see `arena`")]
    fn text(&self, id: TextId) -> &str {
        // SAFETY: a context has only numbers of its own arena, each of which it holds: `give_back`
        // removes no text of a context that anybody has. A context comes to another thread after it
        // was made.
        unsafe { self.0.header.header.region.text(id) }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<_> = self.tags().collect();
        let mut fields = f.debug_struct("Context");
        fields.field("name", &self.name()).field("host", &self.host()).field("tags", &tags).finish()
    }
}

/// What a context is to mean, looked up or made.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    name: Hashed<'a>,
    host: Hashed<'a>,
    /// In their order, each once.
    tags: Vec<Hashed<'a>>,
}

/// A text and its hash in the table of one worker's texts.
#[derive(Clone, Copy, Debug)]
struct Hashed<'a> {
    hash: u64,
    text: &'a str,
}

impl Meaning<'_> {
    /// A hash of what tells contexts apart; the order of the tags makes no difference.
    pub(super) fn hash(&self, hasher: &RandomState) -> u64 {
        let tags = self.telling_tags().map(|tag| tag.hash).fold(0, u64::wrapping_add);
        hasher.hash_one((self.name.hash, self.host.hash, tags))
    }

    fn telling_tags(&self) -> impl Iterator<Item = &Hashed<'_>> {
        self.tags.iter().filter(|tag| !tag.text.is_empty())
    }
}

/// The texts of one worker's contexts.
#[derive(Debug)]
pub(super) struct Texts {
    arena: Arena,
    known: HashTable<TextId>,
    hasher: RandomState,
    /// Estimated bytes of all texts.
    bytes: usize,
    /// Numbers of the context that is being made; kept for its memory.
    ids: Vec<TextId>,
}

impl Texts {
    /// No texts, and about so many bytes of them at most.
    pub(super) fn new(bytes_max: usize, discard: Discard) -> Self {
        Self {
            arena: Arena::new(bytes_max, discard),
            known: HashTable::new(),
            hasher: RandomState::new(),
            bytes: 0,
            ids: Vec::new(),
        }
    }

    /// What an identity means: each text with its hash, each tag once.
    pub(super) fn meaning<'a>(&self, identity: &'a Identity<'_>) -> Meaning<'a> {
        let hashed = |text: &'a str| Hashed { hash: self.hasher.hash_one(text), text };
        let mut tags: Vec<_> = identity.tags.iter().map(|tag| hashed(tag)).collect();
        remove_repeated(&mut tags);
        Meaning { name: hashed(&identity.name), host: hashed(&identity.host), tags }
    }

    /// Makes a context. None if the arena is full.
    pub(super) fn context(&mut self, meaning: &Meaning<'_>) -> Option<Context> {
        let Meaning { name, host, tags } = meaning;
        let mut ids = std::mem::take(&mut self.ids);
        let texts = [name, host].into_iter().chain(tags);
        ids.extend(texts.map_while(|text| self.hold(*text)));
        let context = match &*ids {
            [name, host, held @ ..] if held.len() == tags.len() => {
                let region = Arc::clone(self.arena.region());
                let head = Head { region, name: *name, host: *host };
                Some(Context(ThinArc::from_header_and_slice(head, held)))
            }
            held => {
                held.iter().for_each(|id| self.release(*id));
                None
            }
        };
        ids.clear();
        self.ids = ids;
        context
    }

    /// Takes a context back, and removes the texts that no other bears.
    ///
    /// # Errors
    ///
    /// The context, if somebody else has it too.
    pub(super) fn give_back(&mut self, context: Context) -> Result<(), Context> {
        let is_own = Arc::ptr_eq(&context.0.header.header.region, self.arena.region());
        // The look at the count of owners acquires what the last of the others released: whatever it
        // has read, it has read before.
        if !is_own || !context.0.with_arc(|context| context.is_unique()) {
            return Err(context);
        }
        let Head { name, host, .. } = &context.0.header.header;
        for id in [name, host].into_iter().chain(context.tag_ids()) {
            self.release(*id);
        }
        Ok(())
    }

    /// Has the room of texts that are gone used again, if it is worth it. O(texts).
    pub(super) fn settle(&mut self) {
        self.arena.settle();
    }

    /// The number of a text, if it is known.
    pub(super) fn find(&self, text: &str) -> Option<TextId> {
        self.find_hashed(Hashed { hash: self.hasher.hash_one(text), text })
    }

    /// The numbers of the telling tags in ascending order, if all of them are known.
    pub(super) fn find_tags(&self, meaning: &Meaning<'_>) -> Option<Vec<TextId>> {
        let ids = meaning.telling_tags().map(|tag| self.find_hashed(*tag));
        let mut ids: Vec<_> = ids.collect::<Option<_>>()?;
        ids.sort_unstable();
        Some(ids)
    }

    /// Estimated memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn find_hashed(&self, Hashed { hash, text }: Hashed<'_>) -> Option<TextId> {
        self.known.find(hash, |id| text_of(&self.arena, *id) == text).copied()
    }

    /// The number of a text, added if it isn't known, with one more holder.
    fn hold(&mut self, text: Hashed<'_>) -> Option<TextId> {
        let id = self.find_hashed(text).or_else(|| self.add(text))?;
        let holders = self.holders(id);
        *holders = holders.checked_add(1)?;
        Some(id)
    }

    fn add(&mut self, Hashed { hash, text }: Hashed<'_>) -> Option<TextId> {
        let id = self.arena.add(text)?;
        self.bytes += text.len() + TEXT_BYTES_FIXED;
        let Self { known, hasher, arena, .. } = self;
        known.insert_unique(hash, id, |id| hasher.hash_one(text_of(arena, *id)));
        Some(id)
    }

    /// Lets go of a text once.
    fn release(&mut self, id: TextId) {
        let holders = self.holders(id);
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        let text = text_of(&self.arena, id);
        let (hash, bytes) = (self.hasher.hash_one(text), text.len() + TEXT_BYTES_FIXED);
        let Ok(known) = self.known.find_entry(hash, |known| *known == id) else { return };
        known.remove();
        self.bytes -= bytes;
        // SAFETY: it was in the table and no longer is, and no context bears it.
        #[allow(unsafe_code, reason = "see `arena`")]
        unsafe {
            self.arena.remove(id);
        }
    }

    #[allow(unsafe_code, reason = "see `arena`")]
    fn holders(&mut self, id: TextId) -> &mut u32 {
        // SAFETY: the numbers in the table and in contexts are of texts that are not removed.
        unsafe { self.arena.holders(id) }
    }
}

#[allow(unsafe_code, reason = "see `arena`")]
fn text_of(arena: &Arena, id: TextId) -> &str {
    // SAFETY: the numbers in the table are of texts that are not removed, and none is as long as the
    // arena is borrowed.
    unsafe { arena.region().text(id) }
}

/// Leaves of equal tags the first.
fn remove_repeated(tags: &mut Vec<Hashed<'_>>) {
    let mut order: Vec<_> = (0..).zip(&*tags).map(|(at, tag)| (tag.hash, at, tag.text)).collect();
    order.sort_unstable_by_key(|(hash, at, _)| (*hash, *at));
    let mut repeated: Vec<usize> = Vec::new();
    for alike in order.chunk_by(|(one, ..), (two, ..)| one == two) {
        // All of them are equal but for a collision: the first look finds one.
        for (before, (_, at, text)) in alike.iter().enumerate() {
            if alike.iter().take(before).any(|(.., other)| other == text) {
                repeated.push(*at);
            }
        }
    }
    if repeated.is_empty() {
        return;
    }
    repeated.sort_unstable();
    let mut at = 0..;
    tags.retain(|_| at.next().is_some_and(|at| repeated.binary_search(&at).is_err()));
}

/// A hash of what tells contexts apart; the order of the tags makes no difference.
pub(crate) fn hash_context(hasher: &RandomState, context: &Context) -> u64 {
    let tags = context.telling_tags().map(|tag| hasher.hash_one(tag)).fold(0, u64::wrapping_add);
    hasher.hash_one((context.name(), context.host(), tags))
}

#[cfg(test)]
#[path = "texts/tests.rs"]
mod tests;
