//! One turn of a worker: datagrams off the ring, messages, contexts, buckets, then the epoch.
//!
//! ```text
//! packet ring ─▶ lines ─▶ parse ─▶ spelling ─▶ context ─▶ entry of the bucket ─▶ add
//!                                  1 hash, 1 probe         place, no search
//! marks ─▶ buckets, definitions, retired numbers ─▶ bucket ring
//! ```
//!
//! The epoch advances after the effect, and only while nothing handed over waits for room in the
//! bucket ring: an observer that sees the epoch of a mark finds in the ring all that the mark made.

use crate::bucket::{Bucket, Sample, SampleKind, Value};
use crate::context::{ContextId, Contexts, Inserted, LimitReached, Spelling};
use crate::datagram::{Datagram, Extent};
use crate::enrich::{Enricher, Resolved};
use crate::epoch::{EpochReader, EpochWriter, epoch};
use crate::handover::{BucketProducer, Definition, Handover, Open, Settled};
use crate::ledger::{Refusal, WorkerCounts, WorkerLedger};
use crate::limits::TURN_BYTES_MAX;
use crate::message::{self, Event, Kind, LineEnd, Message, Metric, Options, ServiceCheck, Values};
use crate::ring::{Mark, PacketConsumer, Record};
use crate::sampler::{Access, LateArrival, Lateness, Sampler};
use crate::sketch::{Sketch, Taken};
use crate::time::{Slot, Stamp};
use std::sync::Arc;

/// How a worker reads and aggregates.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Which optional fields of a message are read.
    pub parse: Options,
    /// Whether the last line of a datagram needs a newline, by [`crate::datagram::Transport`].
    pub line_end: [LineEnd; 3],
    /// Bound of the contexts' memory in bytes.
    pub context_bytes_max: usize,
    /// Seconds after which a context that is not sampled is forgotten.
    pub context_expiry_s: u64,
    /// What happens to an arrival whose slot is closed.
    pub late: LateArrival,
    /// What the configuration makes of names and tags.
    pub enricher: Arc<Enricher>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Records were applied; there may be more.
    Applied,
    /// The ring was empty.
    Idle,
    /// The seal is applied: the worker is done.
    Ended,
}

/// A worker: the consumer of one packet ring.
#[derive(Debug)]
pub struct Worker {
    packets: PacketConsumer,
    applied: EpochWriter,
    /// Records applied whose epoch waits for room in the bucket ring.
    unpublished: u64,
    aggregation: Aggregation,
    ledger: WorkerLedger,
}

impl Worker {
    /// A worker between a packet ring and a bucket ring, the observer of its epoch, and its ledger.
    #[must_use]
    pub fn new(
        packets: PacketConsumer,
        out: BucketProducer,
        settings: WorkerSettings,
    ) -> (Self, EpochReader, WorkerLedger) {
        let (applied, observer) = epoch();
        let ledger = WorkerLedger::default();
        let aggregation = Aggregation::new(out, settings);
        let worker = Self { packets, applied, unpublished: 0, aggregation, ledger: ledger.clone() };
        (worker, observer, ledger)
    }

    /// Applies what is in the ring, up to [`TURN_BYTES_MAX`] bytes.
    pub fn turn(&mut self) -> Turn {
        // Look for the end before looking at the ring: empty seen first proves nothing.
        let abandoned = self.packets.is_abandoned();
        let turn = self.packets.turn(TURN_BYTES_MAX);
        let mut records = turn.records();
        for record in &mut records {
            match record {
                Record::Datagram(datagram) => self.aggregation.datagram(&datagram),
                Record::Mark(mark) => self.aggregation.mark(mark),
            }
        }
        let (consumed, applied) = (records.consumed(), records.count_seen());
        turn.release(consumed);
        if applied == 0 && abandoned {
            self.aggregation.orphaned();
        }
        self.unpublished += applied;
        self.publish();
        match (applied, self.aggregation.ended) {
            (_, true) if self.unpublished == 0 => Turn::Ended,
            (0, _) => Turn::Idle,
            _ => Turn::Applied,
        }
    }

    /// True if a turn would find something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.packets.is_abandoned() || !self.packets.is_empty() || self.aggregation.out.can_settle()
    }

    /// Handovers that the merge can look at; it wants to be woken when this grows.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.aggregation.out.handed_over()
    }

    /// Publishes counters, then the epoch, unless something handed over waits for room.
    fn publish(&mut self) {
        self.aggregation.publish(&self.ledger);
        if self.aggregation.out.settle() == Settled::Yes && self.unpublished > 0 {
            self.applied.advance(std::mem::take(&mut self.unpublished));
        }
    }
}

/// Contexts and buckets of one worker.
#[derive(Debug)]
struct Aggregation {
    settings: WorkerSettings,
    contexts: Contexts,
    sampler: Sampler,
    /// Contexts that the merge has not heard of yet.
    defined: Vec<Definition>,
    out: BucketProducer,
    counts: WorkerCounts,
    ended: bool,
}

impl Aggregation {
    fn new(out: BucketProducer, settings: WorkerSettings) -> Self {
        Self {
            contexts: Contexts::new(settings.context_bytes_max),
            sampler: Sampler::new(settings.late),
            settings,
            defined: Vec::new(),
            out,
            counts: WorkerCounts::default(),
            ended: false,
        }
    }

    fn datagram(&mut self, datagram: &Datagram<'_>) {
        self.counts.datagrams += 1;
        let line_end = self.settings.line_end.get(datagram.transport as usize);
        let line_end = line_end.copied().unwrap_or_default();
        let mut bytes = datagram.bytes;
        if datagram.extent == Extent::Truncated {
            bytes = self.without_torn_line(bytes);
        }
        for line in message::lines(bytes, line_end) {
            self.counts.lines += 1;
            let message = line.and_then(|line| message::parse(line.bytes, self.settings.parse));
            match message {
                Ok(Message::Metric(metric)) => self.metric(&metric, datagram.stamp),
                Ok(Message::Event(event)) => self.event(&event, datagram.stamp),
                Ok(Message::ServiceCheck(check)) => self.service_check(&check, datagram.stamp),
                Err(error) => count(&mut self.counts.malformed, error.class as usize, 1),
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, arrival: Stamp) {
        self.counts.events += 1;
        let event = self.settings.enricher.event(event, arrival_s(arrival));
        self.out.push(Handover::Event(Box::new(event)));
    }

    fn service_check(&mut self, check: &ServiceCheck<'_>, arrival: Stamp) {
        self.counts.service_checks += 1;
        let check = self.settings.enricher.service_check(check, arrival_s(arrival));
        self.out.push(Handover::ServiceCheck(Box::new(check)));
    }

    /// A torn message may pass for a good one with a wrong value or a cut tag: it is not looked at.
    fn without_torn_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memrchr(b'\n', bytes).map_or(0, |newline| newline + 1);
        if end < bytes.len() {
            self.counts.lines += 1;
            self.counts.torn += 1;
        }
        bytes.get(..end).unwrap_or_default()
    }

    #[inline]
    fn metric(&mut self, metric: &Metric<'_>, arrival: Stamp) {
        let samples = metric.values.count() as u64;
        self.counts.metrics += 1;
        self.counts.samples += samples;
        let spelling = Spelling { name: metric.name, tags: metric.tags.raw() };
        let hash = self.contexts.hash(spelling);
        let known = self.contexts.find(hash, spelling);
        let learned = known.map_or_else(|| self.learn(hash, spelling, metric, arrival), Ok);
        match learned {
            Ok(id) => self.add(id, metric, arrival, samples),
            Err(refusal) => self.refuse(refusal, samples),
        }
    }

    /// Finds out what an unseen spelling means.
    #[cold]
    fn learn(
        &mut self,
        hash: u32,
        spelling: Spelling<'_>,
        metric: &Metric<'_>,
        first: Stamp,
    ) -> Result<ContextId, Refusal> {
        if str::from_utf8(spelling.name).is_err() || str::from_utf8(spelling.tags).is_err() {
            return Err(Refusal::NotUtf8);
        }
        let enricher = Arc::clone(&self.settings.enricher);
        let inserted = match enricher.resolve(metric.name, metric.tags) {
            Resolved::Blocked => {
                // If there is no room to remember it, it is found out anew each time.
                let _room = self.contexts.insert_blocked(hash, spelling, first);
                return Err(Refusal::Blocked);
            }
            Resolved::Context(identity) => self.contexts.insert(hash, spelling, &identity, first),
        };
        let inserted = inserted.map_err(|LimitReached| Refusal::ContextLimit)?;
        if let Inserted::New(id) = inserted
            && let Some(context) = self.contexts.context(id).cloned()
        {
            self.defined.push(Definition { id, context, kind: metric.kind, first });
        }
        Ok(inserted.id())
    }

    /// Adds the samples of a metric to its context's entry.
    #[inline]
    fn add(&mut self, id: ContextId, metric: &Metric<'_>, arrival: Stamp, samples: u64) {
        let own_second = metric.timestamp.and_then(|second| u64::try_from(second).ok());
        let time = own_second.map_or(arrival, Stamp::from_s);
        let Some(place) = self.contexts.touch(id, time) else {
            return self.refuse(Refusal::Blocked, samples);
        };
        let (bucket, access, lateness) = match own_second {
            None => self.sampler.arrival(arrival),
            Some(second) => self.sampler.timestamped(second),
        };
        let entry = match access {
            Access::Place => bucket.entry(id, place, arrival),
            Access::Index => bucket.side_entry(id, arrival),
        };
        entry.seen = entry.seen.max(time);
        let mut added = Added::default();
        if metric.kind == Kind::Distribution {
            added.distribution(&mut entry.sketch, metric);
        } else {
            added.others(&mut entry.value, metric, arrival);
            bucket.note_series();
        }
        bucket.count_samples(added.aggregated);
        self.count(&added, lateness);
    }

    #[inline]
    fn count(&mut self, added: &Added, lateness: Lateness) {
        self.counts.aggregated += added.aggregated;
        self.counts.rate_clamped += added.clamped;
        if lateness == Lateness::Overwrites {
            self.counts.late_overwrite += added.aggregated;
        }
        if let Some(refusal) = added.refusal {
            // All samples of a message that are refused are so for one reason, save for a packed
            // message that mixes non-finite values with others: those are counted apart.
            self.refuse(refusal, added.refused);
        }
        if added.not_finite > 0 {
            self.refuse(Refusal::NotFinite, added.not_finite);
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal, samples: u64) {
        count(&mut self.counts.refused, refusal as usize, samples);
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Close { number, cutoff, at } => self.close(number, cutoff, at),
            Mark::Flush { number, at } => {
                self.hand_over_all(at);
                self.out.push(Handover::Flushed { number, at });
            }
            Mark::Seal { at } => {
                self.hand_over_all(at);
                self.out.push(Handover::Sealed { at });
                self.ended = true;
            }
        }
    }

    fn close(&mut self, number: u64, cutoff: Slot, at: Stamp) {
        // Definitions first, also of contexts that only open buckets hold: idle counters get their
        // zeros from the moment on that they are known.
        self.define();
        let closed = self.sampler.close(cutoff);
        self.hand_over(closed);
        let open = if self.sampler.has_series() { Open::Series } else { Open::NoSeries };
        self.expire(at);
        self.out.push(Handover::Closed { number, cutoff, at, open });
        while let Some(bucket) = self.out.returned() {
            self.sampler.reuse(bucket);
        }
    }

    fn hand_over_all(&mut self, at: Stamp) {
        self.define();
        let all = self.sampler.flush(at);
        self.hand_over(all);
    }

    fn define(&mut self) {
        if !self.defined.is_empty() {
            self.out.push(Handover::Define(std::mem::take(&mut self.defined)));
        }
    }

    fn hand_over(&mut self, buckets: Vec<Bucket>) {
        for bucket in buckets {
            self.counts.buckets += 1;
            self.out.push(Handover::Bucket(bucket));
        }
    }

    /// Forgets idle contexts that no open bucket refers to.
    fn expire(&mut self, at: Stamp) {
        let mut held = vec![false; self.contexts.id_bound()];
        for entry in self.sampler.open().iter().flat_map(Bucket::entries) {
            if let Some(held) = held.get_mut(entry.context as usize) {
                *held = true;
            }
        }
        let is_held = |id: ContextId| held.get(id as usize).copied().unwrap_or(false);
        let retired = self.contexts.expire(at, self.settings.context_expiry_s, is_held);
        if !retired.contexts.is_empty() {
            self.out.push(Handover::Retire(retired.contexts));
        }
    }

    /// The producer is gone without a seal: what came is handed over all the same.
    fn orphaned(&mut self) {
        if !self.ended {
            // No mark says what time it is; the latest bucket does.
            let latest = self.sampler.open().last().map_or(0, Bucket::start_s);
            self.mark(Mark::Seal { at: Stamp::from_s(latest) });
        }
    }

    fn publish(&mut self, ledger: &WorkerLedger) {
        self.counts.contexts = self.contexts.len() as u64;
        self.counts.context_bytes = self.contexts.bytes() as u64;
        ledger.publish(&self.counts);
    }
}

/// What became of the samples of one message.
#[derive(Debug, Default)]
struct Added {
    aggregated: u64,
    clamped: u64,
    not_finite: u64,
    refused: u64,
    refusal: Option<Refusal>,
}

impl Added {
    fn distribution(&mut self, sketch: &mut Option<Box<Sketch>>, metric: &Metric<'_>) {
        for value in metric.values.numbers() {
            if !value.is_finite() {
                self.not_finite += 1;
                continue;
            }
            match sketch.get_or_insert_default().insert(value, metric.rate) {
                Taken::Whole => self.aggregated += 1,
                Taken::Clamped => {
                    self.aggregated += 1;
                    self.clamped += 1;
                }
                Taken::Refused => self.refuse(Refusal::SketchCount),
            }
        }
    }

    #[inline]
    fn others(&mut self, entry: &mut Option<Value>, metric: &Metric<'_>, stamp: Stamp) {
        let kind = match metric.kind {
            Kind::Counter => SampleKind::Counter,
            Kind::Gauge => SampleKind::Gauge,
            Kind::Set => SampleKind::Set,
            Kind::Histogram | Kind::Distribution => SampleKind::Histogram,
            Kind::Timing => SampleKind::Timing,
        };
        let mut sample = Sample { kind, value: 0.0, member: &[], rate: metric.rate, stamp };
        if let Values::Set(member) = metric.values {
            sample.member = member;
            self.one(entry, &sample);
            return;
        }
        for value in metric.values.numbers() {
            if value.is_finite() {
                sample.value = value;
                self.one(entry, &sample);
            } else {
                self.not_finite += 1;
            }
        }
    }

    #[inline]
    fn one(&mut self, entry: &mut Option<Value>, sample: &Sample<'_>) {
        match entry.get_or_insert_with(|| Value::new(sample.kind)).add(sample) {
            Ok(()) => self.aggregated += 1,
            Err(refusal) => self.refuse(refusal),
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        self.refusal = Some(refusal);
    }
}

/// An arrival as the intake counts seconds: signed.
fn arrival_s(arrival: Stamp) -> i64 {
    i64::try_from(arrival.seconds()).unwrap_or(i64::MAX)
}

fn count(counters: &mut [u64], index: usize, n: u64) {
    if let Some(counter) = counters.get_mut(index) {
        *counter += n;
    }
}
