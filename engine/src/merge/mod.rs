//! Closed buckets of all workers to series and sketches.
//!
//! What needs to see all workers at once lives here: the last gauge by arrival, the type that owns a
//! slot, zeros for idle counters, the liveness of a context and its expiry.
//!
//! ```text
//! take_in:       bucket rings ─▶ up to its next mark, each worker's context numbers become the
//!                merge's own
//! ship_next:     every worker stands at the same mark
//!                  a close ─▶ merge the slots before it, zeros, emit, expire
//!                  a flush ─▶ merge what there is of slots up to now, emit
//! finish:        `Drained` ─▶ the same for everything, open slots too
//! ```
//!
//! What a mark makes due leaves a context at a time, as the one who encodes it asks for more: merged
//! it takes less room than encoded. Meanwhile the workers go on; what they hand over waits unread,
//! behind their marks.
//!
//! A slot ships once: its buckets wait here until every worker has closed it. If flushes cut it in
//! parts, each part has a second of its own within the slot, because two points of one series and
//! second overwrite each other at the intake: the first part has the start of the slot, each further
//! one the second of the flush before it or the next that is free, and the last second is kept for
//! what the close brings. When no other is free, flushes leave the rest of the slot to its close.

mod contexts;
mod emit;
mod entries;
mod lane;
mod shipment;
#[cfg(test)]
mod tests;
mod top;

pub use self::top::Top;

use self::contexts::{Contexts, Life};
use self::lane::{Closed, Lane, Stand};
use self::shipment::{DueSlot, End, Shipment};
use crate::bucket::{Bucket, HistogramSettings};
use crate::context::Tag;
use crate::enrich::Blocklist;
use crate::handover::{BucketConsumer, Handover, Open, Passed};
use crate::ledger::{Balance, MergeCounts, MergeLedger};
use crate::limits::{
    CONTEXT_EXPIRY_S_DEFAULT, COUNTER_EXPIRY_S_DEFAULT, PASSED_BATCH_LEN, SLOT_S, WORKERS_MAX,
};
use crate::sampler::LateArrival;
use crate::series::{Event, Origin, Series, ServiceCheck, SketchSeries};
use crate::stop::{self, Drained, Flushed};
use crate::time::{Slot, Stamp};
use std::array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether faults are planted: the balances are then for others to find broken.
const BROKEN_ON_PURPOSE: bool = cfg!(feature = "planted-faults");

/// How the merge makes series of buckets.
#[derive(Clone, Debug)]
pub struct MergeSettings {
    /// Aggregates and percentiles of histograms.
    pub histogram: Arc<HistogramSettings>,
    /// Seconds for which a counter that is not sampled reports zeros.
    pub counter_expiry_s: u64,
    /// Seconds after which a context that is not sampled is forgotten; counters live on for
    /// `counter_expiry_s` more.
    pub context_expiry_s: u64,
    /// Estimated bytes that counters may take that are not sampled any more; those beyond get no
    /// more zeros.
    pub idle_bytes_max: usize,
    /// Tags put on everything: sorted, without duplicates.
    pub global_tags: Vec<Tag>,
    /// Series of histograms that are not wanted, by their names with suffix.
    pub series_blocklist: Blocklist,
    /// What happens to slots that are open at the end.
    pub incomplete: Incomplete,
    /// Whether counters without a sample get zeros for a slot that was closed before: only where it
    /// [opens again](LateArrival::ReopensSlot) as in the reference agent. They would overwrite
    /// points that were shipped.
    pub late: LateArrival,
    /// Where the series come from.
    pub origin: Origin,
}

/// As the agent's configuration has it by default, but for idle counters: they have no bound.
impl Default for MergeSettings {
    fn default() -> Self {
        Self {
            histogram: Arc::default(),
            counter_expiry_s: COUNTER_EXPIRY_S_DEFAULT,
            context_expiry_s: CONTEXT_EXPIRY_S_DEFAULT,
            idle_bytes_max: usize::MAX,
            global_tags: Vec::new(),
            series_blocklist: Blocklist::default(),
            incomplete: Incomplete::default(),
            late: LateArrival::default(),
            origin: Origin::DOGSTATSD,
        }
    }
}

/// What happens at the end to slots that are still open (`dogstatsd_flush_incomplete_buckets`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incomplete {
    /// They ship as they are.
    #[default]
    Shipped,
    /// They are dropped, and their samples counted.
    Dropped,
}

/// What leaves the merge.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A series with one point, the start of its slot.
    Series(Series<'a>),
    /// A sample with a time of its own that was not aggregated, as a series with one point.
    Passed(Series<'a>),
    /// A sketch series with one point.
    Sketch(SketchSeries<'a>),
    /// Events, at least one.
    Events(&'a [Event]),
    /// Service checks, at least one.
    ServiceChecks(&'a [ServiceCheck]),
}

/// Takes what leaves the merge.
pub type Sink<'s> = dyn FnMut(Item<'_>) + 's;

/// The merge: the consumer of all bucket rings.
#[derive(Debug)]
pub struct Merge {
    lanes: Vec<Lane>,
    contexts: Contexts,
    /// Buckets not shipped yet, by start of their slot; their entries bear the merge's own numbers.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// Slots of which flushes have shipped a part, by their start, until they are closed.
    parts: BTreeMap<u64, Part>,
    passed: Vec<Passed>,
    events: Vec<Event>,
    service_checks: Vec<ServiceCheck>,
    /// What the mark that every worker stands at has made due, and has not left yet. As long as
    /// there is something, nothing that the workers hand over is applied.
    shipment: Option<Box<Shipment>>,
    course: Course,
    /// Cutoff of the close before.
    cutoff: Slot,
    /// The latest time that a shipped close had.
    at: Stamp,
    /// Number of the last flush that every worker has come to.
    reached: u64,
    /// Start of the last slot that this flush has left to its close, if it has left one.
    owed: Option<u64>,
    /// Number of the last flush that owes nothing any more.
    flushed: u64,
    settings: MergeSettings,
    /// Tags put on series: the global ones, and maybe more.
    series_tags: Vec<Tag>,
    counts: MergeCounts,
    ledger: MergeLedger,
    /// Metric name with suffix; kept for its memory.
    name: String,
}

/// A bucket and the number of the worker that it goes back to.
#[derive(Debug)]
struct Waiting {
    lane: usize,
    bucket: Bucket,
}

/// Whether more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// From the workers.
    Running,
    /// No: after the marks, what is open is due too.
    Ending,
    /// That was the last.
    Over,
}

/// What the next part of a slot needs to know.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Time of its points; within the slot.
    second: u64,
    zeros: Zeros,
}

/// Whether live counters without a sample still get their zero for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    Due,
    Given,
}

/// What every worker has come to.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Somebody is on the way.
    Nothing,
    Close(Closed),
    Flush {
        number: u64,
        at: Stamp,
    },
    /// Some stand at a flush that the others, whose marks come from another receiver, have still
    /// behind the close that they stand at: they go on and keep in mind that they were there.
    Release,
}

impl Merge {
    /// A merge of the given workers, in the order of their numbers, and its ledger.
    ///
    /// # Panics
    ///
    /// If there are more than [`WORKERS_MAX`].
    #[must_use]
    pub fn new(rings: Vec<BucketConsumer>, settings: MergeSettings) -> (Self, MergeLedger) {
        assert!(rings.len() <= WORKERS_MAX, "{} workers", rings.len());
        let ledger = MergeLedger::default();
        let merge = Self {
            contexts: Contexts::of(rings.len()),
            lanes: rings.into_iter().map(Lane::new).collect(),
            waiting: BTreeMap::new(),
            parts: BTreeMap::new(),
            passed: Vec::new(),
            events: Vec::new(),
            service_checks: Vec::new(),
            shipment: None,
            course: Course::Running,
            cutoff: Slot::default(),
            at: Stamp::default(),
            reached: 0,
            owed: None,
            flushed: 0,
            series_tags: settings.global_tags.clone(),
            settings,
            counts: MergeCounts::default(),
            ledger: ledger.clone(),
            name: String::new(),
        };
        (merge, ledger)
    }

    /// Replaces the tags put on everything, and says which more are put on series alone: sketches of
    /// several processes are added up by the intake, their series overwrite each other unless a tag
    /// tells them apart. Both sorted, without duplicates; to be called before anything is shipped.
    pub fn set_tags(&mut self, everywhere: Vec<Tag>, series_only: Vec<Tag>) {
        self.series_tags.clone_from(&everywhere);
        self.series_tags.extend(series_only);
        self.series_tags.sort_unstable();
        self.series_tags.dedup();
        self.settings.global_tags = everywhere;
    }

    /// Takes in what the workers have handed over.
    pub fn take_in(&mut self) {
        self.lanes.iter_mut().for_each(Lane::receive);
        self.advance_all();
        self.publish();
    }

    /// Ships the next piece of what every worker has closed, or handed over at a flush: what there
    /// is of one context in one slot at most. Says whether there was anything: call it until there
    /// is not, as fast as you can do with what comes.
    pub fn ship_next(&mut self, sink: &mut Sink<'_>) -> bool {
        let Some(mut shipment) = self.shipment.take() else {
            self.shipment = self.begin().map(Box::new);
            return self.shipment.is_some();
        };
        if self.ship_piece(&mut shipment, sink) {
            self.shipment = Some(shipment);
        } else {
            self.complete(shipment.end);
        }
        true
    }

    /// Ships what every worker has closed, or handed over at a flush, since the last time; a mark a
    /// call. Says whether there was anything: call it until there is not.
    pub fn flush_closed(&mut self, sink: &mut Sink<'_>) -> bool {
        let any = self.ship_next(sink);
        while self.shipment.is_some() {
            self.ship_next(sink);
        }
        any
    }

    /// Closes that every worker has come to and that wait behind what is shipped now: how far
    /// shipping is behind.
    #[must_use]
    pub fn closes_behind(&self) -> usize {
        let at_work = |lane: &&Lane| !matches!(lane.stand, Stand::Sealed(_) | Stand::Gone);
        self.lanes.iter().filter(at_work).map(Lane::closes_behind).min().unwrap_or(0)
    }

    /// Number of the last flush of which everything has been shipped: what was received before its
    /// marks has left the merge, also what had to wait for the close of its slot. 0 before the first.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Who sends the most, and what varies the most, of the contexts alive. O(contexts).
    #[must_use]
    pub fn top(&self, count: usize) -> Top {
        Top::of(&self.contexts, count)
    }

    /// What the merge has counted.
    #[must_use]
    pub fn counts(&self) -> &MergeCounts {
        &self.counts
    }

    /// The balances from the receivers' count of datagrams to what has left the merge. Each side was
    /// counted by another thread, or at another place; those of a worker stand as at its last mark,
    /// so they hold exactly while the engine runs. Debug builds look at each mark.
    #[must_use]
    pub fn balances(&self) -> Vec<Balance> {
        let mut balances = Vec::with_capacity(7);
        let books = self.lanes.iter().filter_map(|lane| lane.balances);
        if let Some(sum) = books.reduce(|sum, lane| array::from_fn(|i| sum[i].plus(lane[i]))) {
            balances.extend(sum);
        }
        let waiting: u64 = self.waiting.values().flatten().map(|one| one.bucket.samples()).sum();
        let (due, passed) = self.shipment.as_ref().map_or((0, 0), |it| it.not_shipped());
        balances.push(Balance {
            name: "merged",
            left: self.lanes.iter().map(|lane| lane.samples).sum(),
            right: self.counts.samples + self.counts.incomplete + waiting + due,
        });
        balances.push(Balance {
            name: "passed_on",
            left: self.lanes.iter().map(|lane| lane.passed).sum(),
            right: self.counts.passed + self.passed.len() as u64 + passed,
        });
        balances
    }

    /// Makes everything due that was handed over, open slots too unless the settings have it
    /// otherwise, for [`Merge::ship_next`]. Only the proof that every ring is empty and its content
    /// applied leads here.
    pub fn begin_finish(&mut self, _proof: &Drained) {
        if self.course != Course::Running {
            return;
        }
        self.course = Course::Ending;
        self.take_in();
        // Marks that a worker behind the others has not come to don't hold back what is here.
        self.lanes.iter_mut().for_each(Lane::give_up);
        self.advance_all();
    }

    /// Ships all that was handed over and has not left yet; see [`Merge::begin_finish`].
    ///
    /// # Panics
    ///
    /// If a lane is proved and has not handed over its seal: the proof would be wrong.
    pub fn finish(&mut self, drained: Drained, sink: &mut Sink<'_>) -> Flushed {
        self.begin_finish(&drained);
        while self.ship_next(sink) {}
        for (lane, proof) in self.lanes.iter().zip(drained.lanes()) {
            match (lane.stand, proof) {
                (Stand::Sealed(_), _) | (_, stop::Lane::Short { .. }) => {}
                (_, stop::Lane::Proved { .. }) => panic!("a drained lane has handed over its seal"),
            }
        }
        drained.flushed()
    }

    /// What every worker has come to.
    fn due(&self) -> Due {
        let (mut between, mut flushed_by_all) = (false, u64::MAX);
        let (mut close, mut flush) = (None::<Closed>, None::<(u64, Stamp)>);
        for lane in &self.lanes {
            match lane.stand {
                Stand::Between => between = true,
                Stand::Closed(closed) => {
                    if close.is_none_or(|first| closed.number < first.number) {
                        close = Some(closed);
                    }
                }
                Stand::Flushed { number, at } => {
                    if flush.is_none_or(|first| (number, at) < first) {
                        flush = Some((number, at));
                    }
                }
                Stand::Sealed(_) | Stand::Gone => continue,
            }
            flushed_by_all = flushed_by_all.min(lane.flushed);
        }
        match (flush, close) {
            (Some((number, at)), _) if flushed_by_all >= number => Due::Flush { number, at },
            (None, Some(close)) if !between => Due::Close(close),
            (Some(_), _) if !between => Due::Release,
            _ => Due::Nothing,
        }
    }

    /// Lets workers go on from the marks they stand at.
    fn release(&mut self, is_over: impl Fn(Stand) -> bool) {
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            if is_over(lane.stand) {
                lane.stand = Stand::Between;
                self.advance(index);
            }
        }
    }

    /// Takes what the workers have handed over, up to their next marks.
    fn advance_all(&mut self) {
        for index in 0..self.lanes.len() {
            self.advance(index);
        }
    }

    /// Takes what a worker has handed over, up to its next mark; nothing while something ships.
    fn advance(&mut self, index: usize) {
        if self.shipment.is_some() {
            return;
        }
        while let Some(handover) = self.lanes.get_mut(index).and_then(Lane::next) {
            self.take(index, handover);
        }
        if let Some(lane) = self.lanes.get_mut(index)
            && matches!(lane.stand, Stand::Gone)
        {
            lane.retire_all(&mut self.contexts);
        }
    }

    fn take(&mut self, index: usize, handover: Handover) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        match handover {
            Handover::Define(definitions) => {
                for definition in definitions {
                    lane.define(definition, &mut self.contexts);
                }
            }
            Handover::Bucket(mut bucket) => {
                lane.rename(&mut bucket);
                lane.samples += bucket.samples();
                self.counts.buckets += 1;
                let waiting = Waiting { lane: index, bucket };
                self.waiting.entry(waiting.bucket.start_s()).or_default().push(waiting);
            }
            Handover::Passed(passed) => {
                lane.passed += passed.len() as u64;
                self.passed.extend(passed);
            }
            Handover::Books(books) => lane.compare(&books),
            Handover::Event(event) => self.events.push(*event),
            Handover::ServiceCheck(check) => self.service_checks.push(*check),
            Handover::Seen(seen) => lane.note_seen(&seen, &mut self.contexts),
            Handover::Retire(ids) => lane.retire(&ids, &mut self.contexts),
            Handover::Closed { number, cutoff, at, open } => {
                lane.stand = Stand::Closed(Closed { number, cutoff, at, open });
            }
            Handover::Flushed { number, at } => {
                lane.flushed = lane.flushed.max(number);
                lane.stand = Stand::Flushed { number, at };
            }
            Handover::Sealed { at } => lane.stand = Stand::Sealed(at),
        }
    }

    /// What is due now, if anything.
    fn begin(&mut self) -> Option<Shipment> {
        loop {
            match self.due() {
                Due::Release => self.release(|stand| matches!(stand, Stand::Flushed { .. })),
                Due::Flush { number, at } => {
                    return Some(self.begin_parts(at, End::Flush { number, at }));
                }
                Due::Close(Closed { number, cutoff, at, .. }) => {
                    self.at = self.at.max(at);
                    let end = End::Close { number, at };
                    return Some(self.begin_slots(Extent::Before(cutoff), cutoff, end));
                }
                Due::Nothing if self.passed.len() >= PASSED_BATCH_LEN => {
                    // So many shouldn't wait for a mark.
                    let passed = std::mem::take(&mut self.passed).into_iter();
                    return Some(Shipment { passed, ..Shipment::new(Vec::new(), End::Batch) });
                }
                Due::Nothing if self.course == Course::Ending => {
                    self.course = Course::Over;
                    return Some(self.begin_everything());
                }
                Due::Nothing => return None,
            }
        }
    }

    /// What is left at the end.
    fn begin_everything(&mut self) -> Shipment {
        let sealed = self.lanes.iter().filter_map(|lane| match lane.stand {
            Stand::Sealed(at) => Some(at),
            _ => None,
        });
        let at = sealed.max().map_or(self.at, |at| at.max(self.at));
        let extent = match self.settings.incomplete {
            Incomplete::Shipped => Extent::Everything,
            Incomplete::Dropped => Extent::Before(at.slot()),
        };
        self.begin_slots(extent, at.slot(), End::Everything)
    }

    /// The slots of a close, or of the end, with zeros for idle counters.
    fn begin_slots(&mut self, extent: Extent, cutoff: Slot, end: End) -> Shipment {
        let series_anywhere = self.holds_series(cutoff);
        let still_waiting = match extent {
            Extent::Before(cutoff) => self.waiting.split_off(&cutoff.start_s()),
            Extent::Everything => BTreeMap::new(),
        };
        let waiting = std::mem::replace(&mut self.waiting, still_waiting);
        let mut slots: Vec<_> =
            waiting.into_iter().map(|(start_s, buckets)| self.due_slot(start_s, buckets)).collect();
        if !series_anywhere && cutoff > self.cutoff {
            slots.push(DueSlot::of_zeros(self.part(cutoff.previous().start_s()).second));
        }
        self.cutoff = cutoff;
        self.parts = self.parts.split_off(&cutoff.start_s());
        self.with_rest(Shipment::new(slots, end))
    }

    /// Whether any bucket holds more than distributions, be it open, closed, or shipped in part with
    /// a slot that ends now. If so, each bucket gives the idle counters their zeros.
    fn holds_series(&self, cutoff: Slot) -> bool {
        let is_open =
            |lane: &Lane| matches!(lane.stand, Stand::Closed(Closed { open: Open::Series, .. }));
        let mut waiting = self.waiting.values().flatten();
        let mut shipped = self.parts.range(..cutoff.start_s());
        self.lanes.iter().any(is_open)
            || waiting.any(|waiting| waiting.bucket.has_series())
            || shipped.any(|(_, part)| part.zeros == Zeros::Given)
    }

    /// What there is of each slot up to now, as one part of it.
    fn begin_parts(&mut self, at: Stamp, end: End) -> Shipment {
        let now = ..=at.slot().start_s();
        let starts: Vec<_> = self.waiting.range(now).map(|(start_s, _)| *start_s).collect();
        let mut slots = Vec::new();
        for start_s in starts {
            let last_s = start_s.saturating_add(SLOT_S - 1);
            let Part { second, zeros } = self.part(start_s);
            if second >= last_s {
                continue;
            }
            let Some(buckets) = self.waiting.remove(&start_s) else { continue };
            let has_series = buckets.iter().any(|waiting| waiting.bucket.has_series());
            slots.push(self.due_slot(start_s, buckets));
            let second = at.seconds().clamp(second + 1, last_s);
            let zeros = if has_series { Zeros::Given } else { zeros };
            self.parts.insert(start_s, Part { second, zeros });
        }
        self.with_rest(Shipment::new(slots, end))
    }

    /// The next part of a slot.
    fn part(&self, start_s: u64) -> Part {
        let whole = Part { second: start_s, zeros: Zeros::Due };
        self.parts.get(&start_s).copied().unwrap_or(whole)
    }

    /// What all workers have of one slot, or part of it.
    fn due_slot(&self, start_s: u64, buckets: Vec<Waiting>) -> DueSlot {
        let Part { second, zeros } = self.part(start_s);
        let is_late = start_s < self.cutoff.start_s();
        let zeros = match self.settings.late {
            LateArrival::JoinsOpenSlot if is_late => Zeros::Given,
            _ => zeros,
        };
        DueSlot::new(start_s, second, zeros, buckets)
    }

    /// Adds what isn't aggregated.
    fn with_rest(&mut self, shipment: Shipment) -> Shipment {
        Shipment {
            passed: std::mem::take(&mut self.passed).into_iter(),
            events: std::mem::take(&mut self.events).into_iter(),
            service_checks: std::mem::take(&mut self.service_checks).into_iter(),
            ..shipment
        }
    }

    /// Lets the workers go on from the mark of which everything has left.
    fn complete(&mut self, end: End) {
        match end {
            End::Batch => {}
            End::Flush { number, at } => {
                self.reached = number;
                let now = ..=at.slot().start_s();
                self.owed = self.waiting.range(now).next_back().map(|(start_s, _)| *start_s);
                self.release(
                    |stand| matches!(stand, Stand::Flushed { number: n, .. } if n <= number),
                );
            }
            End::Close { number, at } => {
                self.expire(at);
                self.release(|stand| matches!(stand, Stand::Closed(c) if c.number == number));
            }
            End::Everything => {
                let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
                self.counts.incomplete += waiting.map(|w| w.bucket.samples()).sum::<u64>();
            }
        }
        self.advance_all();
        if self.owed.is_none_or(|owed| self.waiting.range(..=owed).next().is_none()) {
            self.flushed = self.reached;
        }
        debug_assert!(BROKEN_ON_PURPOSE || self.balances().iter().all(Balance::holds));
        self.publish();
    }

    fn publish(&mut self) {
        self.counts.contexts = self.contexts.live as u64;
        self.ledger.publish(&self.counts);
    }
}

/// How much is shipped.
#[derive(Clone, Copy, Debug)]
enum Extent {
    /// What starts before a slot.
    Before(Slot),
    /// All of it.
    Everything,
}

impl Merge {
    /// Forgets idle contexts that no worker knows and nothing waiting refers to.
    fn expire(&mut self, at: Stamp) {
        let mut held = vec![false; self.contexts.len() as usize];
        for entry in self.waiting.values().flatten().flat_map(|w| w.bucket.entries()) {
            if let Some(held) = held.get_mut(entry.context as usize) {
                *held = true;
            }
        }
        let life = Life {
            idle_s: self.settings.context_expiry_s,
            counters_s: self.settings.counter_expiry_s,
            idle_bytes_max: self.settings.idle_bytes_max,
        };
        self.counts.zeros_cut_short += self.contexts.expire(at, &life, &held);
    }
}
