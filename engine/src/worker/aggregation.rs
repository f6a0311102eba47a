//! Contexts and buckets of one worker: what becomes of messages and marks.

use super::added::Added;
use super::batch::{Batch, Filled, Pending};
use super::copies::{self, Copied, Copies, Table};
use super::passing::Passing;
use super::{Timestamped, WorkerSettings};
use crate::bucket::Bucket;
use crate::context::{ContextId, ContextRef, Contexts, Inserted, LimitReached, Spelling};
use crate::datagram::{Datagram, Extent};
use crate::enrich::{Enricher, Resolved};
use crate::handover::{Books, BucketProducer, Definition, Handover, Open, Seen, Settled};
use crate::ledger::{Refusal, WorkerCounts, WorkerLedger};
use crate::limits::DEFINED_BATCH_LEN;
use crate::message::{self, Error, Event, Kind, LineKind, Metric, ServiceCheck};
use crate::ring::Mark;
use crate::sampler::{Access, LateArrival, Lateness, Sampler};
use crate::time::{Slot, Stamp};
use std::sync::Arc;

/// Contexts and buckets of one worker.
#[derive(Debug)]
pub(super) struct Aggregation {
    settings: WorkerSettings,
    contexts: Contexts,
    sampler: Sampler,
    /// Distributions that copy histograms.
    copies: Copies,
    passing: Passing,
    /// Where the datagram at hand stands in the order of arrivals, which decides between two gauges.
    order: Stamp,
    /// Contexts that the merge has not heard of yet.
    defined: Vec<Definition>,
    out: BucketProducer,
    counts: WorkerCounts,
    /// Datagrams that the receiver has counted, for the mark that comes next.
    received: Option<u64>,
    ended: bool,
    /// When this turn began, if somebody tells.
    pub(super) present: Option<Stamp>,
    /// The oldest stamp of this turn's datagrams.
    oldest: Stamp,
    /// The worst age since the last close, in nanoseconds.
    age_ns_max: u64,
    #[cfg(feature = "planted-faults")]
    pub(super) fault: Option<super::Fault>,
}

impl Aggregation {
    pub(super) fn new(out: BucketProducer, settings: WorkerSettings) -> Self {
        Self {
            contexts: Contexts::new(settings.context_bytes_max, settings.discard),
            sampler: Sampler::new(settings.late),
            copies: Copies::default(),
            passing: Passing::new(settings.context_bytes_max, settings.discard),
            order: Stamp::default(),
            settings,
            defined: Vec::new(),
            out,
            counts: WorkerCounts::default(),
            received: None,
            ended: false,
            present: None,
            oldest: Stamp::MAX,
            age_ns_max: 0,
            #[cfg(feature = "planted-faults")]
            fault: None,
        }
    }

    pub(super) fn set_enricher(&mut self, enricher: Arc<Enricher>) {
        self.settings.enricher = enricher;
    }

    /// Applies a datagram, save for the metrics that are left in the batch.
    pub(super) fn datagram<'a>(&mut self, datagram: &Datagram<'a>, batch: &mut Batch<'a>) {
        self.counts.datagrams += 1;
        self.oldest = self.oldest.min(datagram.stamp);
        self.order = match self.settings.late {
            LateArrival::JoinsOpenSlot => datagram.stamp,
            // Recorded times may run backwards; the order of the records counts then.
            LateArrival::ReopensSlot => self.order.max(datagram.stamp),
        };
        let line_end = self.settings.line_end.get(datagram.transport as usize);
        let line_end = line_end.copied().unwrap_or_default();
        let mut bytes = datagram.bytes;
        if datagram.extent == Extent::Truncated {
            bytes = self.without_torn_line(bytes);
        }
        for line in message::lines(bytes, line_end) {
            #[cfg(feature = "planted-faults")]
            if self.fault == Some(super::Fault::DropLine) {
                self.fault = None;
                continue;
            }
            self.counts.lines += 1;
            let read = line.and_then(|line| self.line(line.bytes, datagram.stamp, batch));
            if let Err(error) = read {
                count(&mut self.counts.malformed, error.class as usize, 1);
            }
        }
    }

    /// Reads a line; a metric goes into the batch, which is applied when it is full.
    #[inline]
    fn line<'a>(
        &mut self,
        line: &'a [u8],
        arrival: Stamp,
        batch: &mut Batch<'a>,
    ) -> Result<(), Error> {
        match LineKind::of(line) {
            LineKind::Metric => {
                let place = batch.place();
                place.metric.read(line, self.settings.parse)?;
                let spelling = spelling(&place.metric);
                (place.arrival, place.order) = (arrival, self.order);
                place.hash = self.contexts.hash(spelling);
                if batch.advance() == Filled::All {
                    self.apply(batch);
                }
            }
            LineKind::Event => {
                let event = message::parse_event(line, self.settings.parse)?;
                self.event(&event, arrival);
            }
            LineKind::ServiceCheck => {
                let check = message::parse_service_check(line, self.settings.parse)?;
                self.service_check(&check, arrival);
            }
        }
        Ok(())
    }

    /// Ends a turn: counts how old its oldest datagram was when it began.
    pub(super) fn note_age(&mut self) {
        let oldest = std::mem::replace(&mut self.oldest, Stamp::MAX);
        if let Some(present) = self.present.take() {
            let age_ns = present.ns().saturating_sub(oldest.ns());
            self.age_ns_max = self.age_ns_max.max(age_ns);
            self.counts.age_ns_max = self.counts.age_ns_max.max(age_ns);
        }
    }

    /// The way to the merge.
    pub(super) fn out(&self) -> &BucketProducer {
        &self.out
    }

    /// Moves what waits for room on its way to the merge.
    pub(super) fn settle(&mut self) -> Settled {
        self.out.settle()
    }

    /// True if the seal is applied.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
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

    /// Applies the metrics of a batch.
    pub(super) fn apply(&mut self, batch: &mut Batch<'_>) {
        batch.fetch(&self.contexts, &self.sampler);
        for pending in batch.take() {
            self.order = pending.order;
            #[cfg(feature = "planted-faults")]
            if self.fault.take().is_some() {
                self.metric(pending);
            }
            self.metric(pending);
        }
    }

    #[inline]
    fn metric(&mut self, pending: &Pending<'_>) {
        let Pending { metric, arrival, hash, guess, .. } = pending;
        let (arrival, hash) = (*arrival, *hash);
        let samples = metric.values.count() as u64;
        self.counts.metrics += 1;
        self.counts.samples += samples;
        if metric.timestamp.is_some() && self.settings.timestamped == Timestamped::PassedThrough {
            return self.pass(metric, arrival, samples);
        }
        let spelling = spelling(metric);
        let known = self.contexts.confirm(*guess, hash, spelling);
        let learned = known.map_or_else(|| self.learn(hash, spelling, metric, arrival), Ok);
        match learned {
            Ok(id) => {
                self.add(id, metric, arrival, samples);
                if self.is_copied(metric.kind) {
                    let copied = Copied { table: Table::Aggregated, id };
                    self.copy(copied, metric, arrival, samples);
                }
            }
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
        arrival: Stamp,
    ) -> Result<ContextId, Refusal> {
        let enricher = &self.settings.enricher;
        let seen = time(metric, arrival);
        let inserted = learn(&mut self.contexts, enricher, hash, spelling, metric, seen)?;
        Ok(self.defined(inserted, metric.kind))
    }

    /// Remembers to tell the merge of a new context.
    fn defined(&mut self, inserted: Inserted, kind: Kind) -> ContextId {
        if let Inserted::New { id, bytes } = inserted
            && let Some(context) = self.contexts.context(id).map(ContextRef::share)
        {
            self.defined.push(Definition { id, context, kind, first: self.order, bytes });
            if self.defined.len() >= DEFINED_BATCH_LEN {
                self.hand_over_defined();
            }
        }
        inserted.id()
    }

    /// Adds the samples of a metric to its context's entry.
    #[inline(always)]
    fn add(&mut self, id: ContextId, metric: &Metric<'_>, arrival: Stamp, samples: u64) {
        let time = time(metric, arrival);
        let Some((place, seen)) = self.contexts.sampled(id, time) else {
            return self.refuse(Refusal::Blocked, samples);
        };
        let bucket = match own_second(metric) {
            None => Some(self.sampler.arrival(arrival)),
            Some(second) => self.sampler.timestamped(second),
        };
        let Some((bucket, access, lateness)) = bucket else {
            return self.refuse(Refusal::SlotLimit, samples);
        };
        let entry = match access {
            Access::Place => bucket.entry(id, place),
            Access::Index => bucket.side_entry(id),
        };
        *seen = time.second().max(*seen);
        let mut added = Added::default();
        if metric.kind == Kind::Distribution {
            added.distribution(entry, metric);
        } else {
            added.others(entry, metric, self.order);
        }
        entry.count_samples(added.aggregated);
        if metric.kind != Kind::Distribution {
            bucket.note_series();
        }
        bucket.count_samples(added.aggregated);
        self.count(&added, lateness);
    }

    fn is_copied(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Histogram | Kind::Timing)
            && self.settings.enricher.histogram_copy_prefix().is_some()
    }

    /// Adds the samples of a histogram to the distribution that copies it: samples of our own
    /// making.
    fn copy(&mut self, of: Copied, metric: &Metric<'_>, arrival: Stamp, samples: u64) {
        let Some(id) = self.copies.get(of) else {
            return self.first_copy(of, metric, arrival, samples);
        };
        self.counts.own_samples += samples;
        let copy = Metric { kind: Kind::Distribution, ..*metric };
        self.add(id, &copy, arrival, samples);
    }

    /// Learns which distribution copies a histogram, then copies; nothing if the histogram is
    /// blocked.
    fn first_copy(&mut self, of: Copied, metric: &Metric<'_>, arrival: Stamp, samples: u64) {
        let original = match of.table {
            Table::Aggregated => self.contexts.context(of.id),
            Table::Passed => self.passing.context(of.id),
        };
        let prefix = self.settings.enricher.histogram_copy_prefix();
        let original = original.map(ContextRef::share);
        let (Some(original), Some(prefix)) = (original, prefix) else { return };
        let identity = copies::identity(original.get(), prefix);
        match self.contexts.insert_meaning(&identity, time(metric, arrival)) {
            Ok(inserted) => {
                let id = self.defined(inserted, Kind::Distribution);
                self.copies.set(of, id);
                self.copy(of, metric, arrival, samples);
            }
            Err(LimitReached) => {
                self.counts.own_samples += samples;
                self.refuse(Refusal::ContextLimit, samples);
            }
        }
    }

    /// Lets the samples of a metric with a time of its own go past the buckets.
    fn pass(&mut self, metric: &Metric<'_>, arrival: Stamp, samples: u64) {
        let id = match self.passing.find(&self.settings.enricher, metric, arrival) {
            Ok(id) => id,
            Err(refusal) => return self.refuse(refusal, samples),
        };
        match self.passing.pass(id, metric) {
            Ok(passed) => {
                self.counts.passed += passed;
                self.refuse(Refusal::NotFinite, samples - passed);
            }
            Err(refusal) => self.refuse(refusal, samples),
        }
        if self.passing.is_batch_full() {
            self.hand_over_passed();
        }
        if self.is_copied(metric.kind) {
            self.copy(Copied { table: Table::Passed, id }, metric, arrival, samples);
        }
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

    /// Applies a mark.
    pub(super) fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Close { number, cutoff, at } => self.close(number, cutoff, at),
            Mark::Flush { number, at } => {
                let flushed = self.sampler.flush(at);
                self.hand_over(flushed);
                self.show_books();
                self.out.push(Handover::Flushed { number, at });
                self.take_back();
            }
            Mark::Received { datagrams } => self.received = Some(datagrams),
            Mark::Seal { at } => {
                let all = self.sampler.end();
                self.hand_over(all);
                self.out.push(Handover::Sealed { at });
                self.ended = true;
            }
        }
    }

    fn close(&mut self, number: u64, cutoff: Slot, at: Stamp) {
        self.counts.slot_age_ns_max = std::mem::take(&mut self.age_ns_max);
        let closed = self.sampler.close(cutoff);
        self.hand_over(closed);
        let open = if self.sampler.has_series() { Open::Series } else { Open::NoSeries };
        self.expire(at);
        self.show_books();
        self.out.push(Handover::Closed { number, cutoff, at, open });
        self.take_back();
    }

    /// Hands over buckets, and all that the merge has to know to make series of them.
    fn hand_over(&mut self, buckets: Vec<Bucket>) {
        // Definitions first, also of contexts that only open buckets hold: the merge has to know who
        // is alive.
        self.hand_over_defined();
        let contexts = &self.contexts;
        let seen = |bucket| Seen::of(bucket, |id| contexts.seen(id));
        let seen: Vec<_> = buckets.iter().chain(self.sampler.open()).map(seen).collect();
        for bucket in buckets {
            self.counts.buckets += 1;
            self.out.push(Handover::Bucket(bucket));
        }
        if !seen.is_empty() {
            self.out.push(Handover::Seen(seen));
        }
        self.hand_over_passed();
    }

    fn hand_over_defined(&mut self) {
        let defined = std::mem::take(&mut self.defined);
        if !defined.is_empty() {
            self.out.push(Handover::Define(defined));
        }
    }

    fn hand_over_passed(&mut self) {
        let passed = self.passing.take();
        if !passed.is_empty() {
            self.out.push(Handover::Passed(passed));
        }
    }

    /// Lets the merge see what was counted up to a mark.
    fn show_books(&mut self) {
        let open = self.sampler.open().iter().map(Bucket::samples).sum();
        let (received, counts) = (self.received.take(), self.counts);
        self.out.push(Handover::Books(Box::new(Books { received, counts, open })));
    }

    /// Takes emptied pieces of buckets back for their memory.
    fn take_back(&mut self) {
        while let Some(piece) = self.out.returned() {
            self.sampler.reuse(piece);
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
        self.copies.forget(Table::Aggregated, &retired.contexts);
        if !retired.contexts.is_empty() {
            self.out.push(Handover::Retire(retired.contexts));
        }
        let passed = self.passing.expire(at, self.settings.context_expiry_s);
        self.copies.forget(Table::Passed, &passed.contexts);
    }

    /// The producer is gone without a seal: what came is handed over all the same.
    pub(super) fn orphaned(&mut self) {
        if !self.ended {
            // No mark says what time it is; the latest bucket does.
            let latest = self.sampler.open().last().map_or(0, Bucket::start_s);
            self.mark(Mark::Seal { at: Stamp::from_s(latest) });
        }
    }

    /// Publishes the counters.
    pub(super) fn publish(&mut self, ledger: &WorkerLedger) {
        self.counts.contexts = (self.contexts.len() + self.passing.contexts_len()) as u64;
        self.counts.context_bytes = (self.contexts.bytes() + self.passing.context_bytes()) as u64;
        ledger.publish(&self.counts);
    }
}

/// Name and tags as they came.
pub(super) fn spelling<'a>(metric: &Metric<'a>) -> Spelling<'a> {
    Spelling { name: metric.name, tags: metric.tags.raw() }
}

/// An arrival as the intake counts seconds: signed.
fn arrival_s(arrival: Stamp) -> i64 {
    i64::try_from(arrival.seconds()).unwrap_or(i64::MAX)
}

/// Time of a metric's samples: its own, or its arrival.
fn time(metric: &Metric<'_>, arrival: Stamp) -> Stamp {
    own_second(metric).map_or(arrival, Stamp::from_s)
}

fn own_second(metric: &Metric<'_>) -> Option<u64> {
    metric.timestamp.and_then(|second| u64::try_from(second).ok())
}

/// Finds out what an unseen spelling means, and remembers it.
pub(super) fn learn(
    contexts: &mut Contexts,
    enricher: &Enricher,
    hash: u32,
    spelling: Spelling<'_>,
    metric: &Metric<'_>,
    seen: Stamp,
) -> Result<Inserted, Refusal> {
    if str::from_utf8(spelling.name).is_err() || str::from_utf8(spelling.tags).is_err() {
        return Err(Refusal::NotUtf8);
    }
    match enricher.resolve(metric.name, metric.tags) {
        Resolved::Blocked => {
            // If there is no room to remember it, it is found out anew each time.
            let _room = contexts.insert_blocked(hash, spelling, seen);
            Err(Refusal::Blocked)
        }
        Resolved::Context(identity) => contexts
            .insert(hash, spelling, &identity, seen)
            .map_err(|LimitReached| Refusal::ContextLimit),
    }
}

fn count(counters: &mut [u64], index: usize, n: u64) {
    if let Some(counter) = counters.get_mut(index) {
        *counter += n;
    }
}
