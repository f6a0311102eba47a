//! Closed buckets of all workers to series and sketches.
//!
//! What needs to see all workers at once lives here: the last gauge by arrival, the type that owns a
//! slot, zeros for idle counters, the liveness of a context and its expiry.
//!
//! ```text
//! take_in:       bucket rings ─▶ numbers of the worker's contexts become the merge's own
//! flush_closed:  every worker has closed up to `cutoff` ─▶ merge by start, zeros, emit, expire
//! finish:        `Drained` ─▶ the same for everything, open slots too
//! ```
//!
//! A slot ships once: its buckets wait here until every worker has closed it.

mod contexts;
mod entries;
mod lane;

use self::contexts::{Contexts, MergedId};
use self::entries::Entries;
use self::lane::{Closed, End, Lane};
use crate::bucket::{Bucket, Entry, HistogramSettings, Value};
use crate::context::Tag;
use crate::enrich::Blocklist;
use crate::handover::{BucketConsumer, Handover, Open};
use crate::ledger::{MergeCounts, MergeLedger};
use crate::series::{
    Event, Origin, Point, Series, SeriesKind, ServiceCheck, SketchPoint, SketchSeries, Tags,
};
use crate::stop::{Drained, Flushed};
use crate::time::{Slot, Stamp};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Tags put on everything: sorted, without duplicates.
    pub global_tags: Vec<Tag>,
    /// Series of histograms that are not wanted, by their names with suffix.
    pub series_blocklist: Blocklist,
    /// Where the series come from.
    pub origin: Origin,
}

/// What leaves the merge.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A series with one point.
    Series(Series<'a>),
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
    /// Buckets not shipped yet, by start; their entries bear the merge's own numbers.
    waiting: BTreeMap<u64, Vec<Bucket>>,
    events: Vec<Event>,
    service_checks: Vec<ServiceCheck>,
    /// Number of the close that was shipped last.
    shipped: u64,
    /// Cutoff of the flush before.
    cutoff: Slot,
    settings: MergeSettings,
    counts: MergeCounts,
    ledger: MergeLedger,
    /// Metric name with suffix; kept for its memory.
    name: String,
}

impl Merge {
    /// A merge of the given workers, in the order of their numbers, and its ledger.
    #[must_use]
    pub fn new(rings: Vec<BucketConsumer>, settings: MergeSettings) -> (Self, MergeLedger) {
        let closed = Closed {
            number: 0,
            cutoff: Slot::default(),
            at: Stamp::default(),
            open: Open::NoSeries,
        };
        let lane = |ring| Lane { ring, ids: Vec::new(), closed, end: End::Open };
        let ledger = MergeLedger::default();
        let merge = Self {
            lanes: rings.into_iter().map(lane).collect(),
            contexts: Contexts::default(),
            waiting: BTreeMap::new(),
            events: Vec::new(),
            service_checks: Vec::new(),
            shipped: 0,
            cutoff: Slot::default(),
            settings,
            counts: MergeCounts::default(),
            ledger: ledger.clone(),
            name: String::new(),
        };
        (merge, ledger)
    }

    /// Takes in what the workers have handed over.
    pub fn take_in(&mut self) {
        for index in 0..self.lanes.len() {
            while let Some(handover) = self.lanes.get_mut(index).and_then(|lane| lane.ring.pop()) {
                self.take(index, handover);
            }
        }
        self.publish();
    }

    /// Ships the slots that every worker has closed since the last time; says whether there was
    /// such a close.
    pub fn flush_closed(&mut self, sink: &mut Sink<'_>) -> bool {
        let open = self.lanes.iter().filter(|lane| lane.end == End::Open);
        let Some(oldest) = open.map(|lane| lane.closed).min_by_key(|closed| closed.number) else {
            return false;
        };
        if oldest.number <= self.shipped {
            return false;
        }
        self.shipped = oldest.number;
        let open_series = self.lanes.iter().any(|lane| lane.closed.open == Open::Series);
        self.ship(Extent::Before(oldest.cutoff), oldest.at, open_series, sink);
        true
    }

    /// Ships everything that was handed over, open slots too. Only the proof that every ring is
    /// empty and its content applied leads here.
    ///
    /// # Panics
    ///
    /// If a lane is proved and has not handed over its seal: the proof would be wrong.
    pub fn finish(&mut self, drained: Drained, sink: &mut Sink<'_>) -> Flushed {
        self.take_in();
        let mut at = Stamp::default();
        for (lane, proof) in self.lanes.iter().zip(drained.lanes()) {
            if let End::Sealed(sealed) = lane.end {
                at = at.max(sealed);
            }
            let proved = matches!(proof, crate::stop::Lane::Proved { .. });
            assert!(!proved || lane.end != End::Open, "a drained lane has handed over everything");
        }
        let at = self.lanes.iter().fold(at, |at, lane| at.max(lane.closed.at));
        self.ship(Extent::Everything, at, false, sink);
        drained.flushed()
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
                lane.rename(&mut bucket, &mut self.contexts);
                self.counts.buckets += 1;
                self.counts.samples += bucket.samples();
                self.waiting.entry(bucket.start_s()).or_default().push(bucket);
            }
            Handover::Event(event) => self.events.push(*event),
            Handover::ServiceCheck(check) => self.service_checks.push(*check),
            Handover::Retire(ids) => lane.retire(&ids, &mut self.contexts),
            Handover::Closed { number, cutoff, at, open } => {
                lane.closed = Closed { number, cutoff, at, open };
            }
            Handover::Flushed { .. } => {}
            Handover::Sealed { at } => lane.end = End::Sealed(at),
        }
    }

    /// Emits buckets, zeros, events and checks, then forgets idle contexts.
    fn ship(&mut self, extent: Extent, at: Stamp, open_series: bool, sink: &mut Sink<'_>) {
        let cutoff = match extent {
            Extent::Before(cutoff) => cutoff,
            Extent::Everything => at.slot(),
        };
        let still_waiting = match extent {
            Extent::Before(cutoff) => self.waiting.split_off(&cutoff.start_s()),
            Extent::Everything => BTreeMap::new(),
        };
        let shipping = std::mem::replace(&mut self.waiting, still_waiting);
        let holds_series = |buckets: &Vec<Bucket>| buckets.iter().any(Bucket::has_series);
        let series_anywhere = open_series
            || shipping.values().any(holds_series)
            || self.waiting.values().any(holds_series);
        for (start_s, buckets) in shipping {
            self.ship_slot(start_s, buckets, sink);
        }
        if !series_anywhere && cutoff > self.cutoff {
            self.zeros(cutoff.previous().start_s(), sink);
        }
        self.cutoff = cutoff;
        if !self.events.is_empty() {
            self.counts.events += self.events.len() as u64;
            sink(Item::Events(&std::mem::take(&mut self.events)));
        }
        if !self.service_checks.is_empty() {
            self.counts.service_checks += self.service_checks.len() as u64;
            sink(Item::ServiceChecks(&std::mem::take(&mut self.service_checks)));
        }
        self.expire(at);
        self.publish();
    }

    /// Emits what all workers have of one start.
    fn ship_slot(&mut self, start_s: u64, mut buckets: Vec<Bucket>, sink: &mut Sink<'_>) {
        let has_series = buckets.iter().any(Bucket::has_series);
        let mut entries = Entries::default();
        for bucket in &mut buckets {
            entries.add(bucket, self.contexts.len(), &mut self.counts);
        }
        for entry in &mut entries.list {
            if has_series {
                self.contexts.add_zero(entry, start_s, self.settings.counter_expiry_s);
            }
            self.emit(start_s, entry, sink);
        }
        if has_series {
            let expiry_s = self.settings.counter_expiry_s;
            for id in 0..self.contexts.len() {
                let known = entries.holds(id);
                if !known && self.contexts.is_live_counter(id, start_s, expiry_s) {
                    self.emit_series(id, start_s, "", SeriesKind::Rate, 0.0, "", sink);
                }
            }
        }
        entries.list.clear();
        for (bucket, lane) in buckets.into_iter().zip(&mut self.lanes) {
            lane.ring.give_back(bucket);
        }
    }

    /// Emits a zero for every live counter.
    fn zeros(&mut self, start_s: u64, sink: &mut Sink<'_>) {
        for id in 0..self.contexts.len() {
            if self.contexts.is_live_counter(id, start_s, self.settings.counter_expiry_s) {
                self.emit_series(id, start_s, "", SeriesKind::Rate, 0.0, "", sink);
            }
        }
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
    /// Emits one context's aggregates of one slot.
    fn emit(&mut self, start_s: u64, entry: &mut Entry, sink: &mut Sink<'_>) {
        let id = entry.context;
        match &mut entry.value {
            None => {}
            Some(Value::Counter(counter)) => {
                let value = counter.per_second();
                self.emit_series(id, start_s, "", SeriesKind::Rate, value, "", sink);
            }
            Some(Value::Gauge(gauge)) => {
                let value = gauge.value();
                self.emit_series(id, start_s, "", SeriesKind::Gauge, value, "", sink);
            }
            Some(Value::Set(set)) => {
                let value = set.len() as f64;
                self.emit_series(id, start_s, "", SeriesKind::Gauge, value, "", sink);
            }
            Some(Value::Histogram(histogram)) => {
                let unit = histogram.unit();
                let settings = Arc::clone(&self.settings.histogram);
                histogram.emit(&settings, |suffix, value| {
                    let unit = if suffix.kind == SeriesKind::Gauge { unit } else { "" };
                    self.emit_series(id, start_s, &suffix.text, suffix.kind, value, unit, sink);
                });
            }
        }
        if let Some(sketch) = &mut entry.sketch
            && !sketch.is_empty()
            && let Some(context) = self.contexts.get(id)
        {
            sketch.finish();
            self.counts.sketches += 1;
            let point = SketchPoint {
                second: second(start_s),
                summary: sketch.summary(),
                bins: sketch.bins(),
            };
            sink(Item::Sketch(SketchSeries {
                name: &context.name,
                host: &context.host,
                tags: Tags { own: &context.tags, global: &self.settings.global_tags },
                points: &[point],
                no_index: false,
                origin: self.settings.origin,
            }));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one series, in one place")]
    fn emit_series(
        &mut self,
        id: MergedId,
        start_s: u64,
        suffix: &str,
        kind: SeriesKind,
        value: f64,
        unit: &str,
        sink: &mut Sink<'_>,
    ) {
        let Some(context) = self.contexts.get(id) else { return };
        self.name.clear();
        self.name.push_str(&context.name);
        self.name.push_str(suffix);
        if !suffix.is_empty() && self.settings.series_blocklist.blocks(self.name.as_bytes()) {
            self.counts.blocked += 1;
            return;
        }
        self.counts.points += 1;
        sink(Item::Series(Series {
            name: &self.name,
            host: &context.host,
            tags: Tags { own: &context.tags, global: &self.settings.global_tags },
            kind,
            points: &[Point { second: second(start_s), value }],
            interval_s: Series::INTERVAL_S,
            unit,
            source_type_name: "",
            no_index: false,
            origin: self.settings.origin,
        }));
    }

    /// Forgets idle contexts that no worker knows and nothing waiting refers to.
    fn expire(&mut self, at: Stamp) {
        let mut held = vec![false; self.contexts.slots.len()];
        for entry in self.waiting.values().flatten().flat_map(Bucket::entries) {
            if let Some(held) = held.get_mut(entry.context as usize) {
                *held = true;
            }
        }
        let (idle_s, counters_s) = (self.settings.context_expiry_s, self.settings.counter_expiry_s);
        self.contexts.expire(Stamp::from_s(at.seconds()), idle_s, counters_s, &held);
    }
}

/// A start as the intake counts seconds: signed.
fn second(start_s: u64) -> i64 {
    i64::try_from(start_s).unwrap_or(i64::MAX)
}
