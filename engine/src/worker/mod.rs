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

mod added;
mod aggregation;
mod copies;
mod passing;

use self::aggregation::Aggregation;
use crate::enrich::Enricher;
use crate::epoch::{EpochReader, EpochWriter, epoch};
use crate::handover::{BucketProducer, Settled};
use crate::ledger::WorkerLedger;
use crate::limits::TURN_BYTES_MAX;
use crate::message::{LineEnd, Options};
use crate::ring::{PacketConsumer, Record};
use crate::sampler::LateArrival;
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
    /// What happens to samples with a time of their own.
    pub timestamped: Timestamped,
    /// What the configuration makes of names and tags.
    pub enricher: Arc<Enricher>,
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
        // A worker without a receiver ends of its own accord, with no record whose epoch could wait:
        // what it handed over last may still be on this side of the bucket ring.
        let is_handed_over = self.aggregation.out().waiting() == 0 && self.unpublished == 0;
        match (applied, self.aggregation.has_ended()) {
            (_, true) if is_handed_over => Turn::Ended,
            (0, _) => Turn::Idle,
            _ => Turn::Applied,
        }
    }

    /// True if a turn would find something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.packets.is_abandoned()
            || !self.packets.is_empty()
            || self.aggregation.out().can_settle()
    }

    /// Handovers that the merge can look at; it wants to be woken when this grows.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.aggregation.out().handed_over()
    }

    /// Publishes counters, then the epoch, unless something handed over waits for room.
    fn publish(&mut self) {
        self.aggregation.publish(&self.ledger);
        if self.aggregation.settle() == Settled::Yes && self.unpublished > 0 {
            self.applied.advance(std::mem::take(&mut self.unpublished));
        }
    }
}
