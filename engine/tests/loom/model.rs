//! Receiver, worker and flusher of the model: the shipped rings, epochs and stop types, around
//! buckets that the checker watches.
//!
//! The checker can't see the bytes of a ring or the insides of a bucket. So a datagram carries the
//! number of a record, and each record has two cells that the checker does see: `sent`, which the
//! receiver writes before the commit and the worker reads after the turn, and `bucket`, which the
//! worker writes before the epoch and the flusher reads after the proof. An ordering that is missing
//! anywhere between two of them is a race on a cell.

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::epoch::{EpochWriter, epoch};
use lastdrop_engine::handover::{BucketConsumer, BucketProducer, Handover, bucket_ring};
use lastdrop_engine::ring::{Mark, PacketConsumer, PacketProducer, Record, packet_ring};
use lastdrop_engine::stop::LaneEpochs;
use lastdrop_engine::time::Stamp;
use lastdrop_engine::worker::Turn;
use loom::cell::Cell;
use loom::sync::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// When everything in the model happens.
pub const NOW: Stamp = Stamp::from_s(1_000);

/// Ring bytes of a datagram of the model.
const RECORD_BYTES: usize = PacketProducer::record_bytes(1);

/// Whether the mistake of that name is planted: see `every_mutant_is_caught`.
pub fn mutant(name: &str) -> bool {
    static PLANTED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("LASTDROP_MUTANT").ok());
    PLANTED.as_deref() == Some(name)
}

/// Preemptions up to which all interleavings are explored.
#[derive(Clone, Copy)]
pub struct Preemptions {
    /// By default.
    pub quick: usize,
    /// With `LASTDROP_LOOM=full`.
    pub full: usize,
}

/// Whether the long check is wanted.
pub fn is_full() -> bool {
    std::env::var("LASTDROP_LOOM").is_ok_and(|mode| mode == "full")
}

/// Runs the scenario in every interleaving up to the bound; prints how many there were.
pub fn check(preemptions: Preemptions, scenario: impl Fn() + Send + Sync + 'static) {
    let bound = if is_full() { preemptions.full } else { preemptions.quick };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 10_000;
    let executions = Arc::new(AtomicU64::new(0));
    let (counter, start) = (executions.clone(), Instant::now());
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    let (executions, seconds) = (executions.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    println!("{executions} executions, {bound} preemptions, {seconds:.1} s");
}

/// The cells of a lane's records.
pub struct Cells {
    sent: Vec<Cell<u64>>,
    bucket: Vec<Cell<u64>>,
}

impl Cells {
    fn new(records: usize) -> Arc<Self> {
        let cells = || (0..records).map(|_| Cell::new(0)).collect();
        Arc::new(Self { sent: cells(), bucket: cells() })
    }

    /// How many of the first `records` records have not come to their bucket.
    pub fn missing(&self, records: usize) -> usize {
        let buckets = self.bucket.iter().zip(1..).take(records);
        buckets.filter(|(bucket, sent)| bucket.get() != *sent).count()
    }
}

/// A lane with its two threads not yet started.
pub struct Lane {
    pub receiver: Receiver,
    pub worker: Worker,
    pub epochs: LaneEpochs,
    pub handovers: BucketConsumer,
    pub cells: Arc<Cells>,
}

impl Lane {
    pub fn new(number: usize, records: usize) -> Self {
        let (packets, consumer, committed) = packet_ring(number, 0);
        let (out, handovers) = bucket_ring();
        let (writer, applied) = epoch();
        let cells = Cells::new(records);
        Self {
            receiver: Receiver { packets, cells: cells.clone(), sent: 0 },
            worker: Worker {
                packets: consumer,
                applied: writer,
                buckets: Buckets { cells: cells.clone(), out, ended: false },
            },
            epochs: LaneEpochs { committed, applied },
            handovers,
            cells,
        }
    }
}

/// The receiver's side of a lane.
pub struct Receiver {
    pub packets: PacketProducer,
    cells: Arc<Cells>,
    sent: usize,
}

impl Receiver {
    /// Commits the next `records` records in one batch.
    pub fn send(&mut self, records: usize) {
        let batch = self.packets.batch(records * RECORD_BYTES, RECORD_BYTES);
        let mut batch = batch.expect("a ring of 64 KiB has room");
        for number in self.sent..self.sent + records {
            self.cells.sent[number].set(number as u64 + 1);
            batch.push(&datagram(&[number as u8]));
        }
        self.sent += records;
        batch.commit();
    }

    /// Commits the next record if the ring is empty: a batch has to fit with the largest record to
    /// spare, and here that is as large as the ring.
    pub fn send_into_empty_ring(&mut self) -> Sent {
        let largest = (1 << 16) - RECORD_BYTES;
        let Ok(mut batch) = self.packets.batch(RECORD_BYTES, largest) else { return Sent::Nothing };
        self.cells.sent[self.sent].set(self.sent as u64 + 1);
        batch.push(&datagram(&[self.sent as u8]));
        self.sent += 1;
        batch.commit();
        Sent::Record
    }

    /// Whether [`Receiver::send_into_empty_ring`] would find room.
    pub fn has_room(&self) -> bool {
        self.packets.room((1 << 16) - RECORD_BYTES) >= RECORD_BYTES
    }
}

#[derive(PartialEq, Eq)]
pub enum Sent {
    Record,
    Nothing,
}

/// What a thread blocks on: a notification that comes before the block isn't lost, as with a parked
/// thread or an event descriptor. The checker's own `unpark` would not do: it also wakes who joins.
#[derive(Clone)]
pub struct Token(Arc<(Mutex<bool>, Condvar)>);

impl Token {
    pub fn new() -> Self {
        Self(Arc::new((Mutex::new(false), Condvar::new())))
    }

    pub fn notify(&self) {
        let (notified, bell) = &*self.0;
        *notified.lock().expect("nobody panics with it") = true;
        bell.notify_one();
    }

    pub fn block(&self) {
        let (notified, bell) = &*self.0;
        let mut notified = notified.lock().expect("nobody panics with it");
        while !*notified {
            notified = bell.wait(notified).expect("nobody panics with it");
        }
        *notified = false;
    }
}

pub fn datagram(bytes: &[u8]) -> Datagram<'_> {
    Datagram { bytes, stamp: NOW, transport: Transport::Udp, extent: Extent::Whole }
}

/// A worker that does what the shipped one does, in the same order, with cells for buckets.
pub struct Worker {
    pub packets: PacketConsumer,
    applied: EpochWriter,
    pub buckets: Buckets,
}

pub struct Buckets {
    cells: Arc<Cells>,
    out: BucketProducer,
    ended: bool,
}

impl Worker {
    /// Takes at most `turns` turns; then its epoch's writer is dropped, as at the end of a thread or
    /// by a panic. Returns how it ended, and its ends of the rings, to be dropped when nothing else
    /// runs: that they go is no part of the protocol, and would only multiply the interleavings.
    pub fn run(mut self, turns: usize) -> (Turn, impl Sized) {
        let mut last = Turn::Idle;
        for _ in 0..turns {
            last = self.turn();
            if last == Turn::Ended {
                break;
            }
        }
        (last, (self.packets, self.buckets))
    }

    /// Does what `lastdrop_engine::worker::Worker::turn` does.
    pub fn turn(&mut self) -> Turn {
        let empty = mutant("model_ring_before_abandoned") && self.packets.is_empty();
        let abandoned = self.packets.is_abandoned();
        if empty && abandoned {
            self.buckets.hand_over(Record::Mark(Mark::Seal { at: NOW }));
            return Turn::Ended;
        }
        let turn = self.packets.turn(usize::MAX);
        let mut records = turn.records();
        let total = turn.records().count() as u64;
        let mut early = 0;
        if mutant("model_epoch_before_effect") && total > 0 {
            early = total;
            self.applied.advance(total);
        }
        for record in &mut records {
            match record {
                Record::Datagram(datagram) => self.buckets.apply(datagram.bytes),
                Record::Mark(_) if mutant("model_epoch_before_handover") => {
                    self.applied.advance(total - early);
                    early = total;
                    self.buckets.hand_over(record);
                }
                Record::Mark(_) => self.buckets.hand_over(record),
            }
            if mutant("model_epoch_of_batch_early") && early == 0 {
                early = total;
                self.applied.advance(total);
            }
        }
        let (consumed, applied) = (records.consumed(), records.count_seen());
        turn.release(consumed);
        if applied == 0 && abandoned {
            self.buckets.hand_over(Record::Mark(Mark::Seal { at: NOW }));
        }
        if applied > early {
            self.applied.advance(applied - early);
        }
        match (applied, self.buckets.ended) {
            (_, true) => Turn::Ended,
            (0, _) => Turn::Idle,
            _ => Turn::Applied,
        }
    }
}

impl Buckets {
    fn apply(&mut self, bytes: &[u8]) {
        let number = usize::from(bytes[0]);
        self.cells.bucket[number].set(self.cells.sent[number].get());
    }

    fn hand_over(&mut self, mark: Record<'_>) {
        match mark {
            Record::Mark(Mark::Flush { number, at }) => {
                self.out.push(Handover::Flushed { number, at });
            }
            _ => {
                self.out.push(Handover::Sealed { at: NOW });
                self.ended = true;
            }
        }
    }
}
