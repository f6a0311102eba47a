//! The contexts of all workers: one number for each, alive while a worker knows it or it is due.
//!
//! A counter is due for zeros for some time after its worker has forgotten it. Those are bounded: a
//! client that makes up names would otherwise leave minutes of them here.

use crate::bucket::{Entry, Sample, SampleKind};
use crate::context::{ContextRef, Shelf, hash_context};
use crate::handover::Definition;
use crate::limits::{SILENT_CONTEXT_BYTES_FIXED, WORKERS_MAX};
use crate::message::Kind;
use crate::time::{Second, Stamp};
use ahash::RandomState;
use hashbrown::HashTable;

/// Number of a context in the merge.
pub(super) type MergedId = u32;

/// The contexts of all workers.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    slots: Vec<Option<Live>>,
    /// What they are, by the same numbers.
    shelf: Shelf,
    /// Arrival of each context's first sample: the oldest of any worker's decides the role. Nothing
    /// with one worker, of which the first is the oldest.
    firsts: Vec<Stamp>,
    free: Vec<MergedId>,
    /// Contexts that a worker may bring which has no number for them: with one worker those that it
    /// has forgotten, with several all.
    identities: HashTable<MergedId>,
    workers: Workers,
    hasher: RandomState,
    pub(super) live: usize,
}

#[derive(Debug)]
pub(super) struct Live {
    /// Samples in the slots that were shipped; stays at the largest number that there is.
    samples: u32,
    /// Of the latest sample, of any worker: its own time, or its arrival's.
    seen: Second,
    /// Estimated memory in units of [`SIZE_UNIT_BYTES`], with the texts that it was the first to bear.
    size: u16,
    /// Workers that have a number for it; they are not more than [`WORKERS_MAX`].
    holders: u8,
    role: Role,
}

const _: () = assert!(WORKERS_MAX <= u8::MAX as usize);

/// So that a context of up to a mebibyte has a size.
const SIZE_UNIT_BYTES: usize = 16;

// One for each context, whatever becomes of it.
const _: () = assert!(size_of::<Option<Live>>() == 12);

/// How many workers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Workers {
    One,
    #[default]
    Several,
}

/// What a context was when it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Counter,
    Other,
}

impl Contexts {
    /// The contexts of so many workers.
    pub(super) fn of(workers: usize) -> Self {
        let workers = if workers == 1 { Workers::One } else { Workers::Several };
        Self { workers, ..Self::default() }
    }

    pub(super) fn len(&self) -> MergedId {
        MergedId::try_from(self.slots.len()).unwrap_or(MergedId::MAX)
    }

    pub(super) fn get(&self, id: MergedId) -> Option<ContextRef<'_>> {
        self.shelf.get(id)
    }

    fn live(&self, id: MergedId) -> Option<&Live> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// The number of a context that a worker has learnt.
    pub(super) fn hold(&mut self, definition: Definition) -> MergedId {
        let Definition { context, kind, first, bytes, .. } = definition;
        let role = if kind == Kind::Counter { Role::Counter } else { Role::Other };
        let same = |id: &MergedId| {
            self.shelf.get(*id).is_some_and(|known| known.same_series(context.get()))
        };
        if !self.identities.is_empty()
            && let hash = hash_context(&self.hasher, context.get())
            && let Ok(found) = self.identities.find_entry(hash, same)
        {
            let id = *found.get();
            if self.workers == Workers::One {
                found.remove();
            }
            if let Some(Some(live)) = self.slots.get_mut(id as usize) {
                live.holders += 1;
                if let Some(oldest) = self.firsts.get_mut(id as usize)
                    && first < *oldest
                {
                    (*oldest, live.role) = (first, role);
                }
            }
            return id;
        }
        let size = (SILENT_CONTEXT_BYTES_FIXED + bytes).div_ceil(SIZE_UNIT_BYTES);
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        let live = Live { samples: 0, seen: Second::default(), size, holders: 1, role };
        let id = self.free.pop().unwrap_or_else(|| self.len());
        if id as usize == self.slots.len() {
            self.slots.push(Some(live));
        } else if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Some(live);
        }
        self.shelf.put(id, &context);
        self.live += 1;
        if self.workers == Workers::Several {
            self.firsts.resize(self.slots.len(), first);
            if let Some(oldest) = self.firsts.get_mut(id as usize) {
                *oldest = first;
            }
            self.identify(id);
        }
        id
    }

    pub(super) fn release(&mut self, id: MergedId) {
        if let Some(Some(live)) = self.slots.get_mut(id as usize) {
            live.holders -= 1;
            if self.workers == Workers::One {
                self.identify(id);
            }
        }
    }

    /// Has a context found by what it is.
    fn identify(&mut self, id: MergedId) {
        let Self { shelf, hasher, identities, .. } = self;
        let hash =
            |id: &MergedId| shelf.get(*id).map_or(0, |context| hash_context(hasher, context));
        identities.insert_unique(hash(&id), id, hash);
    }

    pub(super) fn note_seen(&mut self, id: MergedId, seen: Second) {
        if let Some(Some(live)) = self.slots.get_mut(id as usize) {
            live.seen = live.seen.max(seen);
        }
    }

    pub(super) fn note_samples(&mut self, id: MergedId, samples: u32) {
        if let Some(Some(live)) = self.slots.get_mut(id as usize) {
            live.samples = live.samples.saturating_add(samples);
        }
    }

    /// Context and samples of each that is alive.
    pub(super) fn samples(&self) -> impl Iterator<Item = (ContextRef<'_>, u64)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(id, live)| Some((self.get(id)?, live.as_ref()?.samples.into())))
    }

    /// Whether a zero is due for the slot that starts at `start_s`.
    pub(super) fn is_live_counter(&self, id: MergedId, start_s: u64, expiry_s: u64) -> bool {
        self.live(id)
            .is_some_and(|live| live.role == Role::Counter && live.seen.after(expiry_s) > start_s)
    }

    /// Gives a live counter's entry its zero: nothing to a counter, but the protocol has it that a
    /// context once seen as a counter takes it whatever it holds now.
    pub(super) fn add_zero(&self, entry: &mut Entry, start_s: u64, expiry_s: u64) {
        if !self.is_live_counter(entry.context, start_s, expiry_s) {
            return;
        }
        let kind = SampleKind::Counter;
        let zero = Sample { kind, value: 0.0, member: &[], rate: 1.0, stamp: Stamp::MAX };
        let added = entry.aggregates.add(&zero);
        debug_assert!(added.is_ok(), "zero is finite and takes no room");
    }

    /// Forgets those whose time is over at `at`, and of the idle ones those for which there is no
    /// room; says how many the latter are.
    pub(super) fn expire(&mut self, at: Stamp, life: &Life, held: &[bool]) -> u64 {
        let (mut idle_bytes, mut cut_short) = (0, 0);
        for id in 0..self.len() {
            let Some(slot) = self.slots.get_mut(id as usize) else { continue };
            let Some(live) = slot else { continue };
            let ttl_s = match live.role {
                Role::Counter => life.idle_s.saturating_add(life.counters_s),
                Role::Other => life.idle_s,
            };
            let is_held = live.holders > 0 || held.get(id as usize).copied().unwrap_or(false);
            if is_held {
                continue;
            }
            if live.seen.after(ttl_s) >= at.seconds() {
                let bytes = usize::from(live.size) * SIZE_UNIT_BYTES;
                idle_bytes += bytes;
                if idle_bytes <= life.idle_bytes_max {
                    continue;
                }
                idle_bytes -= bytes;
                cut_short += 1;
            }
            *slot = None;
            let hash = self.shelf.get(id).map(|context| hash_context(&self.hasher, context));
            if let Some(hash) = hash
                && let Ok(known) = self.identities.find_entry(hash, |known| *known == id)
            {
                known.remove();
            }
            self.shelf.remove(id);
            self.free.push(id);
            self.live -= 1;
        }
        cut_short
    }
}

/// How long contexts live after their last sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Seconds.
    pub(super) idle_s: u64,
    /// Seconds that counters live on.
    pub(super) counters_s: u64,
    /// Estimated bytes that those may take that no worker knows any more.
    pub(super) idle_bytes_max: usize,
}
