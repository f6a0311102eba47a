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

use crate::bucket::{Bucket, Entry, HistogramSettings, Sample, SampleKind, Value};
use crate::context::{Context, ContextId, Tag};
use crate::enrich::Blocklist;
use crate::handover::{BucketConsumer, Definition, Handover, Open};
use crate::ledger::{MergeCounts, MergeLedger};
use crate::message::Kind;
use crate::series::{
    Event, Origin, Point, Series, SeriesKind, ServiceCheck, SketchPoint, SketchSeries, Tags,
};
use crate::stop::{Drained, Flushed};
use crate::time::{NS_PER_S, Slot, Stamp};
use ahash::RandomState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
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

/// Number of a context in the merge.
type MergedId = u32;

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
    /// Number of the flush that was shipped last.
    flushed: u64,
    /// Cutoff of the flush before.
    cutoff: Slot,
    settings: MergeSettings,
    counts: MergeCounts,
    ledger: MergeLedger,
    /// Metric name with suffix; kept for its memory.
    name: String,
}

/// What the merge knows of one worker.
#[derive(Debug)]
struct Lane {
    ring: BucketConsumer,
    /// The worker's context numbers as the merge's own.
    ids: Vec<Option<MergedId>>,
    closed: Closed,
    /// Number of the last flush that the worker has come to, and when its mark was made.
    flushed: (u64, Stamp),
    end: End,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    number: u64,
    cutoff: Slot,
    at: Stamp,
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Everything is handed over; the time of the seal.
    Sealed(Stamp),
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
        let lane = |ring| Lane { ring, ids: Vec::new(), closed, flushed: (0, Stamp::default()), end: End::Open };
        let ledger = MergeLedger::default();
        let merge = Self {
            lanes: rings.into_iter().map(lane).collect(),
            contexts: Contexts::default(),
            waiting: BTreeMap::new(),
            events: Vec::new(),
            service_checks: Vec::new(),
            shipped: 0,
            flushed: 0,
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
            return self.flush_demanded(sink);
        }
        self.shipped = oldest.number;
        let open_series = self.lanes.iter().any(|lane| lane.closed.open == Open::Series);
        self.ship(Extent::Before(oldest.cutoff), oldest.at, open_series, sink);
        true
    }

    /// Number of the last flush on demand that every worker has come to and that was shipped.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Ships everything handed over, if every worker has come to a new flush mark.
    fn flush_demanded(&mut self, sink: &mut Sink<'_>) -> bool {
        let open = self.lanes.iter().filter(|lane| lane.end == End::Open);
        let Some((number, at)) = open.map(|lane| lane.flushed).min_by_key(|(number, _)| *number)
        else {
            return false;
        };
        if number <= self.flushed {
            return false;
        }
        self.flushed = number;
        self.ship(Extent::Everything, at, true, sink);
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
            Handover::Flushed { number, at } => lane.flushed = (number, at),
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

/// The entries of one start, each context once.
#[derive(Debug, Default)]
struct Entries {
    list: Vec<Entry>,
    /// Position in `list` plus one, by context; empty while one bucket alone is in.
    positions: Vec<u32>,
}

impl Entries {
    /// Adds a worker's bucket; of two entries of one context the older decides the type.
    fn add(&mut self, bucket: &mut Bucket, contexts: MergedId, counts: &mut MergeCounts) {
        self.positions.resize(contexts as usize, 0);
        for entry in bucket.drain() {
            let Some(position) = self.positions.get_mut(entry.context as usize) else { continue };
            match self.list.get_mut((*position).wrapping_sub(1) as usize) {
                Some(known) => join(known, entry, counts),
                None => {
                    self.list.push(entry);
                    *position = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
                }
            }
        }
    }

    fn holds(&self, id: MergedId) -> bool {
        self.positions.get(id as usize).is_some_and(|position| *position > 0)
    }
}

/// Joins two workers' entries of one context and slot.
fn join(known: &mut Entry, mut other: Entry, counts: &mut MergeCounts) {
    if other.first < known.first {
        std::mem::swap(known, &mut other);
    }
    known.seen = known.seen.max(other.seen);
    match (&mut known.value, other.value) {
        (_, None) => {}
        (value @ None, other) => *value = other,
        (Some(value), Some(other)) => match value.merge(&other) {
            Ok(refused) => counts.set_limit += refused as u64,
            Err(_) => counts.type_conflict += 1,
        },
    }
    match (&mut known.sketch, other.sketch) {
        (_, None) => {}
        (sketch @ None, other) => *sketch = other,
        (Some(sketch), Some(mut other)) => sketch.merge(&mut other),
    }
}

impl Lane {
    /// Learns a context of the worker.
    fn define(&mut self, definition: Definition, contexts: &mut Contexts) {
        let Definition { id, context, kind, first } = definition;
        let merged = contexts.hold(context, kind, first);
        let index = id as usize;
        if index >= self.ids.len() {
            self.ids.resize(index + 1, None);
        }
        if let Some(known) = self.ids.get_mut(index) {
            *known = Some(merged);
        }
    }

    /// Forgets contexts of the worker.
    fn retire(&mut self, ids: &[ContextId], contexts: &mut Contexts) {
        for id in ids {
            if let Some(merged) = self.ids.get_mut(*id as usize).and_then(Option::take) {
                contexts.release(merged);
            }
        }
    }

    /// Replaces the worker's context numbers by the merge's.
    fn rename(&self, bucket: &mut Bucket, contexts: &mut Contexts) {
        bucket.rename(|id, seen| {
            let merged = self.ids.get(id as usize).copied().flatten()?;
            contexts.note_seen(merged, seen);
            Some(merged)
        });
    }
}

/// The contexts of all workers.
#[derive(Debug, Default)]
struct Contexts {
    slots: Vec<Option<Live>>,
    free: Vec<MergedId>,
    identities: HashTable<MergedId>,
    hasher: RandomState,
    live: usize,
}

#[derive(Debug)]
struct Live {
    context: Arc<Context>,
    /// Time of the latest sample, of any worker.
    seen: Stamp,
    /// Arrival of the first sample; the oldest of any worker's decides the role.
    first: Stamp,
    role: Role,
    /// Workers that have a number for it.
    holders: u32,
}

/// What a context was when it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Counter,
    Other,
}

impl Contexts {
    fn len(&self) -> MergedId {
        MergedId::try_from(self.slots.len()).unwrap_or(MergedId::MAX)
    }

    fn get(&self, id: MergedId) -> Option<&Arc<Context>> {
        self.live(id).map(|live| &live.context)
    }

    fn live(&self, id: MergedId) -> Option<&Live> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// The number of a context that a worker has learnt.
    fn hold(&mut self, context: Arc<Context>, kind: Kind, first: Stamp) -> MergedId {
        let role = if kind == Kind::Counter { Role::Counter } else { Role::Other };
        let hash = self.hash(&context);
        let slots = &self.slots;
        let live = |id: MergedId| slots.get(id as usize).and_then(Option::as_ref);
        let same = |id: &MergedId| live(*id).is_some_and(|l| l.context.same_series(&context));
        if let Some(&id) = self.identities.find(hash, same) {
            if let Some(Some(live)) = self.slots.get_mut(id as usize) {
                live.holders += 1;
                if first < live.first {
                    (live.first, live.role) = (first, role);
                }
            }
            return id;
        }
        let live = Live { context, seen: first, first, role, holders: 1 };
        let id = self.free.pop().unwrap_or_else(|| self.len());
        if id as usize == self.slots.len() {
            self.slots.push(Some(live));
        } else if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Some(live);
        }
        self.live += 1;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.identities.insert_unique(hash, id, |id| {
            let live = slots.get(*id as usize).and_then(Option::as_ref);
            live.map_or(0, |live| hash_context(hasher, &live.context))
        });
        id
    }

    fn release(&mut self, id: MergedId) {
        if let Some(Some(live)) = self.slots.get_mut(id as usize) {
            live.holders -= 1;
        }
    }

    fn note_seen(&mut self, id: MergedId, seen: Stamp) {
        if let Some(Some(live)) = self.slots.get_mut(id as usize) {
            live.seen = live.seen.max(seen);
        }
    }

    /// Whether a zero is due for the slot that starts at `start_s`.
    fn is_live_counter(&self, id: MergedId, start_s: u64, expiry_s: u64) -> bool {
        self.live(id).is_some_and(|live| {
            let until_ns = live.seen.ns().saturating_add(expiry_s.saturating_mul(NS_PER_S));
            live.role == Role::Counter && until_ns > Stamp::from_s(start_s).ns()
        })
    }

    /// Gives a live counter's entry its zero: nothing to a counter, but the protocol has it that a
    /// context once seen as a counter takes it whatever it holds now.
    fn add_zero(&self, entry: &mut Entry, start_s: u64, expiry_s: u64) {
        if !self.is_live_counter(entry.context, start_s, expiry_s) {
            return;
        }
        let kind = SampleKind::Counter;
        let zero = Sample { kind, value: 0.0, member: &[], rate: 1.0, stamp: entry.seen };
        let value = entry.value.get_or_insert_with(|| Value::new(kind));
        let added = value.add(&zero);
        debug_assert!(added.is_ok(), "zero is finite and takes no room");
    }

    fn expire(&mut self, at: Stamp, idle_s: u64, counters_s: u64, held: &[bool]) {
        for id in 0..self.len() {
            let Some(slot) = self.slots.get_mut(id as usize) else { continue };
            let Some(live) = slot else { continue };
            let ttl_s = match live.role {
                Role::Counter => idle_s.saturating_add(counters_s),
                Role::Other => idle_s,
            };
            let until_ns = live.seen.ns().saturating_add(ttl_s.saturating_mul(NS_PER_S));
            let is_held = live.holders > 0 || held.get(id as usize).copied().unwrap_or(false);
            if until_ns >= at.ns() || is_held {
                continue;
            }
            let hash = hash_context(&self.hasher, &live.context);
            *slot = None;
            if let Ok(known) = self.identities.find_entry(hash, |known| *known == id) {
                known.remove();
            }
            self.free.push(id);
            self.live -= 1;
        }
    }

    fn hash(&self, context: &Context) -> u64 {
        hash_context(&self.hasher, context)
    }
}

/// A start as the intake counts seconds: signed.
fn second(start_s: u64) -> i64 {
    i64::try_from(start_s).unwrap_or(i64::MAX)
}

fn hash_context(hasher: &RandomState, context: &Context) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(context.name.as_bytes());
    hasher.write(context.host.as_bytes());
    for tag in context.telling_tags() {
        hasher.write(tag.as_str().as_bytes());
    }
    hasher.finish()
}
