//! One turn of a worker: datagrams off the ring, messages, contexts, buckets, then the epoch.
//!
//! ```text
//! packet ring ─▶ lines ─▶ parse ─▶ spelling ─▶ batch ─▶ context ─▶ entry of the bucket ─▶ add
//!                                  1 hash               1 probe    place, no search
//! marks ─▶ buckets, definitions, retired numbers ─▶ bucket ring
//! ```
//!
//! The epoch advances after the effect, and only while nothing handed over waits for room in the
//! bucket ring: an observer that sees the epoch of a mark finds in the ring all that the mark made.

mod added;
mod aggregation;
mod batch;
mod copies;
mod passing;

use self::aggregation::Aggregation;
use self::batch::Batch;
use crate::context::Discard;
use crate::enrich::Enricher;
use crate::epoch::{EpochReader, EpochWriter, epoch};
use crate::handover::{BucketProducer, Settled};
use crate::ledger::WorkerLedger;
use crate::limits::{CONTEXT_BYTES_DEFAULT, CONTEXT_EXPIRY_S_DEFAULT, TURN_BYTES_MAX};
use crate::message::{LineEnd, Options};
use crate::ring::{PacketConsumer, Record};
use crate::sampler::LateArrival;
use crate::time::Stamp;
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
    /// Where memory of their texts goes that nobody needs any more; by default nowhere.
    pub discard: Discard,
    /// Seconds after which a context that is not sampled is forgotten.
    pub context_expiry_s: u64,
    /// What happens to an arrival whose slot is closed.
    pub late: LateArrival,
    /// What happens to samples with a time of their own.
    pub timestamped: Timestamped,
    /// What the configuration makes of names and tags.
    pub enricher: Arc<Enricher>,
}

/// As the agent's configuration has it by default.
impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            parse: Options::default(),
            line_end: [LineEnd::default(); 3],
            context_bytes_max: CONTEXT_BYTES_DEFAULT,
            discard: |_| (),
            context_expiry_s: CONTEXT_EXPIRY_S_DEFAULT,
            late: LateArrival::default(),
            timestamped: Timestamped::default(),
            enricher: Arc::new(Enricher::new(crate::enrich::Settings::default())),
        }
    }
}

/// A fault planted on purpose, so that it can be seen that it is found.
#[cfg(feature = "planted-faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line is forgotten.
    DropLine,
    /// A metric is counted twice.
    CountTwice,
}

/// What happens to samples with a time of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamped {
    /// They belong to the slot of that time, as in a serverless platform.
    #[default]
    Aggregated,
    /// Gauges and counters leave as they came, each as a series of one point; samples of other types
    /// are refused. As the reference agent does on a host.
    PassedThrough,
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

    /// Replaces what is made of names and tags, where that is known only now; before the first turn.
    pub fn set_enricher(&mut self, enricher: Arc<Enricher>) {
        self.aggregation.set_enricher(enricher);
    }

    /// Plants a fault that strikes once.
    #[cfg(feature = "planted-faults")]
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.aggregation.fault = fault;
    }

    /// As [`Worker::turn`], and measures how old the oldest datagram is that it finds: the present is
    /// told once a turn, on the time line of the stamps.
    pub fn turn_at(&mut self, present: Stamp) -> Turn {
        self.aggregation.present = Some(present);
        self.turn()
    }

    /// Applies what is in the ring, up to [`TURN_BYTES_MAX`] bytes.
    pub fn turn(&mut self) -> Turn {
        // Look for the end before looking at the ring: empty seen first proves nothing.
        let abandoned = self.packets.is_abandoned();
        let turn = self.packets.turn(TURN_BYTES_MAX);
        let (consumed, applied) = {
            let mut records = turn.records();
            let mut batch = Batch::default();
            for record in &mut records {
                match record {
                    Record::Datagram(datagram) => self.aggregation.datagram(&datagram, &mut batch),
                    Record::Mark(mark) => {
                        self.aggregation.apply(&mut batch);
                        self.aggregation.mark(mark);
                    }
                }
            }
            self.aggregation.apply(&mut batch);
            (records.consumed(), records.count_seen())
        };
        turn.release(consumed);
        self.aggregation.note_age();
        if applied == 0 && abandoned {
            self.aggregation.orphaned();
        }
        self.unpublished += applied;
        let settled = self.publish();
        match (applied, self.aggregation.has_ended()) {
            (_, true) if settled == Settled::Yes => Turn::Ended,
            (0, _) => Turn::Idle,
            _ => Turn::Applied,
        }
    }

    /// True if a turn would find something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let orphaned = self.packets.is_abandoned() && !self.aggregation.has_ended();
        orphaned || !self.packets.is_empty() || self.aggregation.out().can_settle()
    }

    /// Handovers that the merge can look at; it wants to be woken when this grows.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.aggregation.out().handed_over()
    }

    /// Publishes counters, then the epoch, unless something handed over waits for room.
    fn publish(&mut self) -> Settled {
        self.aggregation.publish(&self.ledger);
        let settled = self.aggregation.settle();
        if settled == Settled::Yes && self.unpublished > 0 {
            self.applied.advance(std::mem::take(&mut self.unpublished));
        }
        settled
    }
}

#[cfg(all(test, not(lastdrop_loom)))]
mod tests {
    use super::*;
    use crate::datagram::{Datagram, Extent, Transport};
    use crate::handover::{Handover, bucket_ring};
    use crate::limits::{BUCKET_RING_LEN, DEFINED_BATCH_LEN};
    use crate::ring::{Mark, PacketProducer, packet_ring};

    fn push(packets: &mut PacketProducer, bytes: &[u8]) {
        push_at(packets, bytes, Stamp::from_s(1000));
    }

    fn push_at(packets: &mut PacketProducer, bytes: &[u8], stamp: Stamp) {
        let size = PacketProducer::record_bytes(bytes.len());
        let (transport, extent) = (Transport::Udp, Extent::Whole);
        let Ok(mut batch) = packets.batch(size, size) else { panic!("the ring has room") };
        batch.push(&Datagram { bytes, stamp, transport, extent });
        batch.commit();
    }

    /// A worker whose receiver has died ends only when all that it has is in the bucket ring.
    #[test]
    fn an_orphaned_worker_with_a_full_bucket_ring_keeps_its_buckets() {
        let (mut packets, consumer, _) = packet_ring(0, 1 << 20);
        let (out, mut handovers) = bucket_ring();
        let (mut worker, _, _) = Worker::new(consumer, out, WorkerSettings::default());
        for _ in 0..BUCKET_RING_LEN - 1 {
            push(&mut packets, b"_e{1,1}:a|b");
        }
        push(&mut packets, b"a:1|c");
        drop(packets);
        let mut samples = 0;
        while worker.turn() != Turn::Ended {
            while let Some(handover) = handovers.pop() {
                if let Handover::Bucket(bucket) = handover {
                    samples += bucket.samples();
                }
            }
        }
        while let Some(handover) = handovers.pop() {
            if let Handover::Bucket(bucket) = handover {
                samples += bucket.samples();
            }
        }
        assert_eq!(samples, 1);
    }

    /// They don't wait for a mark, and each comes once.
    #[test]
    fn new_contexts_are_handed_over_some_thousand_at_a_time() {
        let (mut packets, consumer, _) = packet_ring(0, 1 << 20);
        let (out, mut handovers) = bucket_ring();
        let (mut worker, _, _) = Worker::new(consumer, out, WorkerSettings::default());
        let mut defined = move || {
            let mut names = Vec::new();
            while let Some(handover) = handovers.pop() {
                let Handover::Define(definitions) = handover else { continue };
                names.push(
                    definitions.iter().map(|it| it.context.get().name().to_owned()).collect(),
                );
            }
            names
        };
        let mut batches: Vec<Vec<String>> = Vec::new();
        for number in 0..DEFINED_BATCH_LEN * 2 + 1 {
            push(&mut packets, format!("{number}:1|c\n{number}:2|c").as_bytes());
            worker.turn();
            batches.extend(defined());
        }
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [DEFINED_BATCH_LEN; 2]);
        assert!(packets.mark(Mark::Flush { number: 1, at: Stamp::from_s(1000) }).is_ok());
        worker.turn();
        batches.extend(defined());
        let names = (0..DEFINED_BATCH_LEN * 2 + 1).map(|number| number.to_string());
        assert!(batches.into_iter().flatten().eq(names));
    }

    /// The oldest of a turn counts, the worst turn stays, and one without a present says nothing.
    #[test]
    fn the_worst_age_of_a_datagram_is_published() {
        let (mut packets, consumer, _) = packet_ring(0, 1 << 20);
        let (out, _handovers) = bucket_ring();
        let (mut worker, _, ledger) = Worker::new(consumer, out, WorkerSettings::default());
        let mut age_after = |stamps: &[u64], present: Option<u64>| {
            for &ns in stamps {
                push_at(&mut packets, b"a:1|c", Stamp::from_ns(ns));
            }
            match present {
                Some(ns) => worker.turn_at(Stamp::from_ns(ns)),
                None => worker.turn(),
            };
            ledger.read().age_ns_max
        };
        assert_eq!(age_after(&[1_000, 900, 1_100], Some(1_200)), 300);
        assert_eq!(age_after(&[1_300], Some(1_310)), 300);
        assert_eq!(age_after(&[], Some(9_000)), 300, "nothing was found");
        assert_eq!(age_after(&[1], None), 300);
        assert_eq!(age_after(&[9_000], Some(8_000)), 300, "from the future");
        assert_eq!(age_after(&[9_000], Some(9_400)), 400);
    }

    /// What a close delays belongs to the slot after it.
    #[test]
    fn the_worst_age_of_the_last_slot_is_published() {
        let (mut packets, consumer, _) = packet_ring(0, 1 << 20);
        let (out, _handovers) = bucket_ring();
        let (mut worker, _, ledger) = Worker::new(consumer, out, WorkerSettings::default());
        let mut ages = Vec::new();
        for (number, age_ns) in [(1, 700), (2, 40), (3, 50)] {
            let at = Stamp::from_s(1_000 + number * 10);
            push_at(&mut packets, b"a:1|c", at);
            worker.turn_at(Stamp::from_ns(at.ns() + age_ns));
            let cutoff = at.slot();
            assert!(packets.mark(Mark::Close { number, cutoff, at }).is_ok());
            worker.turn_at(Stamp::from_ns(at.ns() + 1_000));
            ages.push(ledger.read().slot_age_ns_max);
        }
        assert_eq!((ages, ledger.read().age_ns_max), (vec![700, 40, 50], 700));
    }
}
