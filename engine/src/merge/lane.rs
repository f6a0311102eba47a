//! What the merge knows of one worker: its context numbers, and the mark that it has come to.
//!
//! A lane stops at each mark until the others have come to it too. So what the merge makes of the
//! samples doesn't depend on how far one worker is ahead of another.

use super::contexts::{Contexts, MergedId};
use crate::bucket::{Bucket, Entry};
use crate::context::ContextId;
use crate::handover::{Books, BucketConsumer, Definition, Handover, Open, Seen};
use crate::ledger::{Balance, lines_balance, samples_balance};
use crate::time::{Slot, Stamp};
use std::collections::VecDeque;

/// A number that no context of the merge has.
const NOBODY: MergedId = MergedId::MAX;

#[derive(Debug)]
pub(super) struct Lane {
    ring: BucketConsumer,
    /// Taken out of the ring, oldest first: what stands behind the mark that the lane is at.
    inbox: VecDeque<Handover>,
    /// Closes among them.
    closes: usize,
    /// The worker's context numbers as the merge's own; [`NOBODY`] where it has none.
    ids: Vec<MergedId>,
    pub(super) stand: Stand,
    /// Number of the last flush that the lane has come to; 0 is none.
    pub(super) flushed: u64,
    /// Samples in the buckets that were taken out of the inbox.
    pub(super) samples: u64,
    /// Samples passed through that were.
    pub(super) passed: u64,
    /// What the worker had counted at its last mark, beside what came out of the inbox by then.
    pub(super) balances: Option<[Balance; 5]>,
    /// Whether the inbox will grow.
    source: Source,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stand {
    /// On the way to the next mark.
    Between,
    /// At a close.
    Closed(Closed),
    /// At a flush.
    Flushed {
        /// Number of the flush.
        number: u64,
        /// When the mark was made.
        at: Stamp,
    },
    /// At the end: everything is handed over; the time of the seal.
    Sealed(Stamp),
    /// At the end, without a seal: the worker is gone, or given up.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) cutoff: Slot,
    pub(super) at: Stamp,
    pub(super) open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Alive,
    Gone,
}

impl Lane {
    pub(super) fn new(ring: BucketConsumer) -> Self {
        Self {
            ring,
            inbox: VecDeque::new(),
            closes: 0,
            ids: Vec::new(),
            stand: Stand::Between,
            flushed: 0,
            samples: 0,
            passed: 0,
            balances: None,
            source: Source::Alive,
        }
    }

    /// Empties the ring into the inbox.
    pub(super) fn receive(&mut self) {
        // Before the look at the ring: what was pushed before the end is then in it.
        let abandoned = self.ring.is_abandoned();
        while let Some(handover) = self.ring.pop() {
            self.closes += usize::from(matches!(handover, Handover::Closed { .. }));
            self.inbox.push_back(handover);
        }
        if abandoned {
            self.give_up();
        }
    }

    /// Closes that the worker has come to behind the mark that the lane stands at.
    pub(super) fn closes_behind(&self) -> usize {
        self.closes
    }

    /// Takes note that nothing will come any more.
    pub(super) fn give_up(&mut self) {
        self.source = Source::Gone;
    }

    /// The next handover, unless the lane stands at a mark.
    pub(super) fn next(&mut self) -> Option<Handover> {
        if !matches!(self.stand, Stand::Between) {
            return None;
        }
        let next = self.inbox.pop_front();
        self.closes -= usize::from(matches!(next, Some(Handover::Closed { .. })));
        if next.is_none() && self.source == Source::Gone {
            self.stand = Stand::Gone;
        }
        next
    }

    /// Compares what the worker has counted up to its mark with what has come from it.
    pub(super) fn compare(&mut self, books: &Books) {
        let Books { received, counts, open } = books;
        self.balances = Some([
            Balance {
                name: "datagrams",
                left: received.unwrap_or(counts.datagrams),
                right: counts.datagrams,
            },
            lines_balance(counts),
            samples_balance(counts),
            Balance { name: "buckets", left: counts.aggregated, right: self.samples + open },
            Balance { name: "passed", left: counts.passed, right: self.passed },
        ]);
    }

    /// Sends the memory of an emptied piece of a bucket back to the worker.
    pub(super) fn give_back(&mut self, piece: Vec<Entry>) {
        self.ring.give_back(piece);
    }

    /// Learns a context of the worker.
    pub(super) fn define(&mut self, definition: Definition, contexts: &mut Contexts) {
        let index = definition.id as usize;
        let merged = contexts.hold(definition);
        if index >= self.ids.len() {
            self.ids.resize(index + 1, NOBODY);
        }
        if let Some(known) = self.ids.get_mut(index) {
            *known = merged;
        }
    }

    /// Forgets contexts of the worker.
    pub(super) fn retire(&mut self, ids: &[ContextId], contexts: &mut Contexts) {
        for id in ids {
            if let Some(merged) = self.ids.get_mut(*id as usize) {
                contexts.release(std::mem::replace(merged, NOBODY));
            }
        }
    }

    /// Forgets all contexts of the worker.
    pub(super) fn retire_all(&mut self, contexts: &mut Contexts) {
        for merged in self.ids.drain(..) {
            contexts.release(merged);
        }
    }

    /// Notes when contexts of the worker were sampled.
    pub(super) fn note_seen(&self, seen: &[Seen], contexts: &mut Contexts) {
        seen.iter().flat_map(Seen::times).for_each(|(id, seen)| {
            if let Some(merged) = self.merged(id) {
                contexts.note_seen(merged, seen);
            }
        });
    }

    /// Replaces the worker's context numbers by the merge's.
    pub(super) fn rename(&self, bucket: &mut Bucket) {
        bucket.rename(|id| {
            let merged = self.merged(id);
            debug_assert!(merged.is_some(), "a context is defined before its bucket comes");
            merged
        });
    }

    fn merged(&self, id: ContextId) -> Option<MergedId> {
        self.ids.get(id as usize).copied().filter(|merged| *merged != NOBODY)
    }
}
