//! What a mark has made due, on its way out: a piece at a time.
//!
//! ```text
//! each slot:  merge the workers' buckets ─▶ each context that was sampled ─▶ each idle counter
//! then:       samples passed through ─▶ events ─▶ service checks ─▶ the end of the mark
//! ```
//!
//! The contexts keep their numbers meanwhile, for nothing that the workers hand over is applied.

use super::contexts::MergedId;
use super::emit::series;
use super::entries::{Entries, Next, Outgoing, Sampled};
use super::{Item, Merge, Sink, Waiting, Zeros};
use crate::handover::Passed;
use crate::limits::EVENTS_BATCH_LEN;
use crate::series::{Event, Point, SeriesKind, ServiceCheck};
use crate::time::Stamp;
use std::vec;

/// All that is due at a mark.
#[derive(Debug)]
pub(super) struct Shipment {
    pub(super) slots: vec::IntoIter<DueSlot>,
    /// The slot at hand.
    pub(super) slot: OpenSlot,
    pub(super) passed: vec::IntoIter<Passed>,
    pub(super) events: vec::IntoIter<Event>,
    pub(super) service_checks: vec::IntoIter<ServiceCheck>,
    pub(super) end: End,
}

/// What there is to do when all of it has left.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// Nothing: no mark made it due.
    Batch,
    /// The workers go on from a flush.
    Flush { number: u64, at: Stamp },
    /// The workers go on from a close.
    Close { number: u64, at: Stamp },
    /// Nothing comes any more.
    Everything,
}

/// A slot, or a part of one, whose buckets are to be merged.
#[derive(Debug)]
pub(super) struct DueSlot {
    start_s: u64,
    /// Time of its points.
    second: u64,
    /// Whether live counters get their zeros.
    zeros: Zeros,
    buckets: Vec<Waiting>,
}

/// A slot whose buckets are merged.
#[derive(Debug, Default)]
pub(super) struct OpenSlot {
    start_s: u64,
    second: u64,
    /// What was sampled and has not left yet.
    entries: Outgoing,
    /// Number of the worker that gets the memory of the entries.
    lane: usize,
    /// The contexts that are looked at for zeros; none that were sampled.
    idle: Option<Idle>,
}

/// The way through the contexts that may be idle counters.
#[derive(Debug)]
struct Idle {
    next: MergedId,
    sampled: Sampled,
}

impl Shipment {
    /// Slots, and nothing else yet.
    pub(super) fn new(slots: Vec<DueSlot>, end: End) -> Self {
        Self {
            slots: slots.into_iter(),
            slot: OpenSlot::default(),
            passed: vec::IntoIter::default(),
            events: vec::IntoIter::default(),
            service_checks: vec::IntoIter::default(),
            end,
        }
    }

    /// Samples in buckets that are not merged yet, and samples passed through, that wait here.
    pub(super) fn not_shipped(&self) -> (u64, u64) {
        let buckets = self.slots.as_slice().iter().flat_map(|slot| &slot.buckets);
        let samples = buckets.map(|waiting| waiting.bucket.samples()).sum();
        (samples, self.passed.as_slice().len() as u64)
    }
}

impl DueSlot {
    /// Zeros are given if they are due and one of the buckets is of a kind that brings them.
    pub(super) fn new(start_s: u64, second: u64, zeros: Zeros, buckets: Vec<Waiting>) -> Self {
        let has_series = buckets.iter().any(|waiting| waiting.bucket.has_series());
        let zeros = if has_series { zeros } else { Zeros::Given };
        Self { start_s, second, zeros, buckets }
    }

    /// Nothing but a zero for every live counter.
    pub(super) fn of_zeros(second: u64) -> Self {
        Self { start_s: second, second, zeros: Zeros::Due, buckets: Vec::new() }
    }
}

impl Merge {
    /// Ships one piece; says whether there was one.
    pub(super) fn ship_piece(&mut self, shipment: &mut Shipment, sink: &mut Sink<'_>) -> bool {
        if self.ship_entry(&mut shipment.slot, sink) || self.ship_zero(&mut shipment.slot, sink) {
            return true;
        }
        if let Some(slot) = shipment.slots.next() {
            shipment.slot = self.open_slot(slot);
            return true;
        }
        if let Some(passed) = shipment.passed.next() {
            self.ship_passed(&passed, sink);
            return true;
        }
        let events: Vec<_> = shipment.events.by_ref().take(EVENTS_BATCH_LEN).collect();
        if !events.is_empty() {
            self.counts.events += events.len() as u64;
            sink(Item::Events(&events));
            return true;
        }
        let checks: Vec<_> = shipment.service_checks.by_ref().take(EVENTS_BATCH_LEN).collect();
        if !checks.is_empty() {
            self.counts.service_checks += checks.len() as u64;
            sink(Item::ServiceChecks(&checks));
        }
        !checks.is_empty()
    }

    /// Merges the workers' buckets. Once a slot: kept out of the loop over its entries.
    #[inline(never)]
    fn open_slot(&mut self, slot: DueSlot) -> OpenSlot {
        let DueSlot { start_s, second, zeros, buckets } = slot;
        let mut entries = Entries::default();
        let first = buckets.first().map_or(0, |waiting| waiting.lane);
        for Waiting { lane, bucket } in buckets {
            self.counts.samples += bucket.samples();
            let emptied = entries.add(bucket, self.contexts.len(), &mut self.counts);
            if let Some(lane) = self.lanes.get_mut(lane) {
                emptied.into_iter().for_each(|piece| lane.give_back(piece));
            }
        }
        let idle = (zeros == Zeros::Due)
            .then(|| Idle { next: 0, sampled: entries.sampled(self.contexts.len()) });
        OpenSlot { start_s, second, entries: entries.leave(), lane: first, idle }
    }

    /// Ships the next context that was sampled; memory that it leaves empty behind it goes back.
    fn ship_entry(&mut self, slot: &mut OpenSlot, sink: &mut Sink<'_>) -> bool {
        let mut entry = loop {
            match slot.entries.next() {
                None => return false,
                Some(Next::Entry(entry)) => break entry,
                Some(Next::Emptied(piece)) => {
                    if let Some(lane) = self.lanes.get_mut(slot.lane) {
                        lane.give_back(piece);
                    }
                }
            }
        };
        self.contexts.note_samples(entry.context, entry.samples);
        if slot.idle.is_some() {
            self.contexts.add_zero(&mut entry, slot.start_s, self.settings.counter_expiry_s);
        }
        self.emit(slot.second, entry, sink);
        true
    }

    /// Ships the zero of the next live counter that was not sampled.
    fn ship_zero(&mut self, slot: &mut OpenSlot, sink: &mut Sink<'_>) -> bool {
        let Some(idle) = &mut slot.idle else { return false };
        let expiry_s = self.settings.counter_expiry_s;
        let is_due = |id: &MergedId| {
            !idle.sampled.holds(*id) && self.contexts.is_live_counter(*id, slot.start_s, expiry_s)
        };
        let Some(id) = (idle.next..self.contexts.len()).find(is_due) else {
            slot.idle = None;
            return false;
        };
        idle.next = id + 1;
        self.emit_series(id, slot.second, "", SeriesKind::Rate, 0.0, "", sink);
        true
    }

    /// Ships a sample that was passed through.
    fn ship_passed(&mut self, passed: &Passed, sink: &mut Sink<'_>) {
        let Passed { context, kind, second, value } = passed;
        let context = context.get();
        self.counts.passed += 1;
        self.counts.points += 1;
        let points = [Point { second: *second, value: *value }];
        let name = context.name();
        let origin = self.settings.origin.of(name);
        sink(Item::Passed(series(&self.series_tags, origin, context, name, *kind, &points)));
    }
}
