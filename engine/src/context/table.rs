//! The two tables of a worker's contexts: spelling to context, and meaning to context.
//!
//! A spelling is kept as a reference to its context where name and tags in their order are the
//! context's own, as a permutation where only the order of the tags differs, and as a copy only
//! where enrichment changed more than that. Hashes only choose where to look: keys are compared in
//! full, so two contexts are never merged by a collision, and the seeds are random per process.

use super::arena::{Discard, RecordId};
use super::prefetch::prefetch;
use super::spelling::{Form, Spelling};
use super::texts::{Meaning, Texts};
use super::{ContextId, ContextRef, Identity};
use crate::limits::{CONTEXT_BYTES_FIXED, SPELLING_BYTES_FIXED};
use crate::time::{Second, Stamp};
use ahash::RandomState;
use hashbrown::HashTable;
use std::cell::LazyCell;
use std::hash::{BuildHasher, Hasher};

/// Position of a context's entry in the bucket that arrivals go to, if it has one there: the entry
/// says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

impl Default for Place {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// The memory bound of the contexts is reached: only known contexts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached;

/// What [`Contexts::expire`] took out.
#[derive(Debug, Default)]
pub struct Retired {
    /// Numbers that may be used again for other contexts.
    pub contexts: Vec<ContextId>,
}

/// Where a hash alone leads to: the context that a spelling with this hash may mean. It stays good
/// until contexts expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess(Target);

/// What the table of spellings holds, small because it is what a look-up waits for.
#[derive(Clone, Copy, Debug)]
struct KnownSpelling {
    hash: u32,
    target: Target,
}

/// The context of a spelling that is its own, or an alias: the number of one in the upper half of
/// the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target(u32);

/// A spelling that isn't its context's own.
#[derive(Debug)]
struct Alias {
    context: ContextId,
    form: Form,
}

/// One context's state in its worker.
#[derive(Debug)]
struct ContextSlot {
    /// None: a free number, or a spelling that the block list drops.
    record: Option<RecordId>,
    /// Hash of the identity; without a record, [`FREE`] or [`BLOCKED`].
    hash: u32,
    /// Of its latest sample.
    seen: Second,
    place: Place,
}

/// The hash of a number that stands for nothing.
const FREE: u32 = 0;

/// The hash of a number that stands for a spelling that the block list drops.
const BLOCKED: u32 = 1;

// There is one for each context.
const _: () = assert!(size_of::<ContextSlot>() == 16);

impl ContextSlot {
    fn is_free(&self) -> bool {
        self.record.is_none() && self.hash == FREE
    }
}

/// A worker's contexts.
#[derive(Debug)]
pub struct Contexts {
    hasher: RandomState,
    spellings: HashTable<KnownSpelling>,
    aliases: Vec<Option<Alias>>,
    aliases_free: Vec<u32>,
    identities: HashTable<ContextId>,
    slots: Vec<ContextSlot>,
    free: Vec<ContextId>,
    texts: Texts,
    /// Contexts without a number that the merge may still have, and with them their texts.
    leaving: Vec<RecordId>,
    /// Estimated bytes of contexts and spellings, texts apart.
    bytes: usize,
    bytes_max: usize,
}

impl Contexts {
    /// An empty table that may grow to about `bytes_max` bytes; `discard` gets memory of texts that
    /// have gone.
    #[must_use]
    pub fn new(bytes_max: usize, discard: Discard) -> Self {
        Self {
            hasher: RandomState::new(),
            spellings: HashTable::new(),
            aliases: Vec::new(),
            aliases_free: Vec::new(),
            identities: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            texts: Texts::new(bytes_max, discard),
            leaving: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The hash of a spelling, for [`Contexts::find`] and the insertions.
    #[must_use]
    #[inline(always)]
    pub fn hash(&self, spelling: Spelling<'_>) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(spelling.name);
        hasher.write(spelling.tags);
        fold(hasher.finish())
    }

    /// The context that a known spelling means. One probe, compared in full.
    #[must_use]
    #[inline]
    pub fn find(&self, hash: u32, spelling: Spelling<'_>) -> Option<ContextId> {
        let same = |known: &KnownSpelling| known.hash == hash && self.is(known.target, spelling);
        let known = self.spellings.find(spread(hash), same)?;
        self.context_of(known.target)
    }

    /// Where the hash alone leads to, for [`Contexts::confirm`].
    #[must_use]
    #[inline]
    pub fn guess(&self, hash: u32) -> Option<Guess> {
        let known = self.spellings.find(spread(hash), |known| known.hash == hash)?;
        Some(Guess(known.target))
    }

    /// What [`Contexts::find`] gives, known where to look.
    #[must_use]
    #[inline]
    pub fn confirm(
        &self,
        guess: Option<Guess>,
        hash: u32,
        spelling: Spelling<'_>,
    ) -> Option<ContextId> {
        match guess {
            Some(Guess(target)) if self.is(target, spelling) => self.context_of(target),
            _ => self.find(hash, spelling),
        }
    }

    /// Has what a guess leads to brought into the cache, first step: what is known of the context.
    #[inline]
    pub fn fetch(&self, guess: Guess) {
        if let Some(slot) = guess.0.context().and_then(|id| self.slots.get(id as usize)) {
            prefetch(std::ptr::from_ref(slot));
        }
    }

    /// Second step: the numbers of name and tags. Gives the place of the context's entry.
    #[inline]
    pub fn fetch_texts(&self, guess: Guess) -> Place {
        let Some(slot) = guess.0.context().and_then(|id| self.slots.get(id as usize)) else {
            return Place::default();
        };
        if let Some(record) = slot.record {
            self.texts.get(record).fetch();
        }
        slot.place
    }

    /// Learns what a spelling means and gives the number of its context, made if there is none.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert(
        &mut self,
        hash: u32,
        spelling: Spelling<'_>,
        identity: &Identity<'_>,
        seen: Stamp,
    ) -> Result<Inserted, LimitReached> {
        let is_full = self.bytes() >= self.bytes_max;
        let inserted = self.insert_meaning(identity, seen)?;
        // With a full table a new spelling of a known context is used without being kept.
        if !is_full {
            self.add_spelling(hash, spelling, inserted.id());
        }
        Ok(inserted)
    }

    /// Gives the number of a context that isn't looked up by a spelling, made if there is none.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert_meaning(
        &mut self,
        identity: &Identity<'_>,
        seen: Stamp,
    ) -> Result<Inserted, LimitReached> {
        let Self { hasher, slots, texts, .. } = self;
        let meaning = texts.meaning(identity);
        let hash = fold(meaning.hash(hasher));
        let tags = LazyCell::new(|| texts.find_tags(&meaning));
        let same = |id: &ContextId| {
            let slot = slots.get(*id as usize).filter(|slot| slot.hash == hash);
            slot.and_then(|slot| slot.record).is_some_and(|record| {
                let context = texts.get(record);
                *context.name() == *identity.name
                    && *context.host() == *identity.host
                    && tags.as_ref().is_some_and(|tags| *tags == context.telling_tag_ids())
            })
        };
        if let Some(&id) = self.identities.find(spread(hash), same) {
            return Ok(Inserted::Known(id));
        }
        if self.bytes() >= self.bytes_max {
            return Err(LimitReached);
        }
        self.add_context(hash, &meaning, seen)
    }

    /// Learns that a spelling is dropped by the block list.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert_blocked(
        &mut self,
        hash: u32,
        spelling: Spelling<'_>,
        seen: Stamp,
    ) -> Result<(), LimitReached> {
        if self.bytes() >= self.bytes_max {
            return Err(LimitReached);
        }
        let id = self.add_slot(None, BLOCKED, seen);
        self.bytes += CONTEXT_BYTES_FIXED;
        self.add_spelling(hash, spelling, id);
        Ok(())
    }

    /// The context of a number, or none if the number stands for a blocked spelling.
    #[must_use]
    #[inline]
    pub fn context(&self, id: ContextId) -> Option<ContextRef<'_>> {
        Some(self.texts.get(self.slots.get(id as usize)?.record?))
    }

    /// Notes that a context was sampled; false if the spelling is blocked.
    #[inline]
    pub fn touch(&mut self, id: ContextId, time: Stamp) -> bool {
        let Some((_, seen)) = self.sampled(id, time) else { return false };
        *seen = time.second().max(*seen);
        true
    }

    /// The place of a context's entry, and the second of its latest sample, for one who has a sample of
    /// it; none if the spelling is blocked, which is noted.
    #[inline]
    pub fn sampled(&mut self, id: ContextId, time: Stamp) -> Option<(&mut Place, &mut Second)> {
        let slot = self.slots.get_mut(id as usize)?;
        if slot.record.is_none() {
            slot.seen = time.second().max(slot.seen);
            return None;
        }
        Some((&mut slot.place, &mut slot.seen))
    }

    /// Second of a context's latest sample.
    #[must_use]
    pub fn seen(&self, id: ContextId) -> Second {
        self.slots.get(id as usize).map_or_else(Second::default, |slot| slot.seen)
    }

    /// Forgets every context that was not seen in the second of `at` nor in the `idle_s` before it, save
    /// those for which `is_held` says that an open bucket still refers to them. O(contexts).
    pub fn expire(
        &mut self,
        at: Stamp,
        idle_s: u64,
        is_held: impl Fn(ContextId) -> bool,
    ) -> Retired {
        let mut retired = Retired::default();
        let mut freed = 0;
        for (id, slot) in (0..).zip(&mut self.slots) {
            let idle = slot.seen.after(idle_s) < at.seconds();
            if slot.is_free() || !idle || is_held(id) {
                continue;
            }
            if let Some(record) = slot.record.take() {
                if let Ok(known) = self.identities.find_entry(spread(slot.hash), |k| *k == id) {
                    known.remove();
                }
                self.bytes -= context_bytes(self.texts.get(record));
                self.leaving.push(record);
                retired.contexts.push(id);
            } else {
                self.bytes -= CONTEXT_BYTES_FIXED;
            }
            slot.hash = FREE;
            self.free.push(id);
            freed += 1;
        }
        if freed > 0 {
            self.forget_spellings();
        }
        let leaving = std::mem::take(&mut self.leaving).into_iter();
        self.leaving = leaving.filter_map(|record| self.texts.give_back(record).err()).collect();
        self.texts.settle();
        retired
    }

    /// Number of contexts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// True if no context is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Highest number in use plus one: the length of an array that is indexed by context.
    #[must_use]
    pub fn id_bound(&self) -> usize {
        self.slots.len()
    }

    /// Estimated memory of contexts, spellings and texts in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.texts.bytes()
    }

    /// Whether this is the given spelling, every byte of it.
    #[inline]
    fn is(&self, target: Target, spelling: Spelling<'_>) -> bool {
        match target.context() {
            Some(id) => self.context(id).is_some_and(|context| context.is_spelled(spelling)),
            None => self
                .alias(target)
                .is_some_and(|alias| alias.form.is(spelling, self.context(alias.context))),
        }
    }

    #[inline]
    fn context_of(&self, target: Target) -> Option<ContextId> {
        target.context().or_else(|| Some(self.alias(target)?.context))
    }

    fn alias(&self, target: Target) -> Option<&Alias> {
        self.aliases.get(target.alias()? as usize)?.as_ref()
    }

    fn add_context(
        &mut self,
        hash: u32,
        meaning: &Meaning<'_>,
        seen: Stamp,
    ) -> Result<Inserted, LimitReached> {
        let bytes_before = self.texts.bytes();
        let record = self.texts.context(meaning).ok_or(LimitReached)?;
        let context = self.texts.get(record);
        let bytes = context.bytes() + self.texts.bytes() - bytes_before;
        self.bytes += context_bytes(context);
        let id = self.add_slot(Some(record), hash, seen);
        let slots = &self.slots;
        let rehash = |id: &ContextId| spread(slots.get(*id as usize).map_or(0, |slot| slot.hash));
        self.identities.insert_unique(spread(hash), id, rehash);
        Ok(Inserted::New { id, bytes })
    }

    fn add_slot(&mut self, record: Option<RecordId>, hash: u32, seen: Stamp) -> ContextId {
        let slot = ContextSlot { record, hash, seen: seen.second(), place: Place::default() };
        if let Some(id) = self.free.pop()
            && let Some(free) = self.slots.get_mut(id as usize)
        {
            *free = slot;
            return id;
        }
        let id = ContextId::try_from(self.slots.len()).unwrap_or(ContextId::MAX);
        self.slots.push(slot);
        id
    }

    fn add_spelling(&mut self, hash: u32, spelling: Spelling<'_>, id: ContextId) {
        let form = Form::of(spelling, self.context(id), &self.texts);
        self.bytes += SPELLING_BYTES_FIXED + form.bytes();
        let target = match form {
            Form::Own => Target(id),
            _ => self.add_alias(Alias { context: id, form }),
        };
        let known = KnownSpelling { hash, target };
        self.spellings.insert_unique(spread(hash), known, |known| spread(known.hash));
    }

    fn add_alias(&mut self, alias: Alias) -> Target {
        let number = self.aliases_free.pop().unwrap_or_else(|| {
            self.aliases.push(None);
            u32::try_from(self.aliases.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(free) = self.aliases.get_mut(number as usize) {
            *free = Some(alias);
        }
        Target(number | Target::ALIAS)
    }

    fn forget_spellings(&mut self) {
        let Self { slots, spellings, aliases, aliases_free, bytes, .. } = self;
        let is_live = |id: ContextId| slots.get(id as usize).is_some_and(|slot| !slot.is_free());
        spellings.retain(|known| {
            let alias = known.target.alias();
            let place = alias.and_then(|number| aliases.get_mut(number as usize));
            let of_alias = place.as_ref().and_then(|place| Some(place.as_ref()?.context));
            if known.target.context().or(of_alias).is_some_and(is_live) {
                return true;
            }
            if let (Some(number), Some(forgotten)) = (alias, place.and_then(Option::take)) {
                *bytes -= forgotten.form.bytes();
                aliases_free.push(number);
            }
            *bytes -= SPELLING_BYTES_FIXED;
            false
        });
    }
}

/// Whether an insertion made a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The context was known under another spelling.
    Known(ContextId),
    /// The context is new: the merge has to learn of it.
    New {
        /// Its number.
        id: ContextId,
        /// Estimated bytes of its record and of the texts that it is the first to bear.
        bytes: usize,
    },
}

impl Inserted {
    /// The context's number.
    #[must_use]
    pub const fn id(self) -> ContextId {
        match self {
            Self::Known(id) | Self::New { id, .. } => id,
        }
    }
}

impl Target {
    /// The bit that says that the rest is the number of an alias.
    const ALIAS: u32 = 1 << 31;

    #[inline]
    fn context(self) -> Option<ContextId> {
        (self.0 & Self::ALIAS == 0).then_some(self.0)
    }

    #[inline]
    fn alias(self) -> Option<u32> {
        (self.0 & Self::ALIAS != 0).then_some(self.0 & !Self::ALIAS)
    }
}

fn context_bytes(context: ContextRef<'_>) -> usize {
    CONTEXT_BYTES_FIXED + context.bytes()
}

/// The half of a hash that is kept.
#[inline]
fn fold(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is mixed in")]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

/// A kept hash as the table wants it: position from the low bits, tag from the high ones.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) | u64::from(hash) << 32
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
