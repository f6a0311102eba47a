//! The whole engine on the caller's thread, over the real rings and through the real stop states:
//! for replays, tests and fuzzing.
//!
//! The caller is receiver, scheduler and shipper in one: it pushes datagrams and marks, lets workers
//! take their turns in an order of its choice, and flushes when it likes. Nothing here can do what
//! the threads of the agent can't.

use crate::datagram::Datagram;
use crate::handover::bucket_ring;
use crate::ledger::{
    Balance, MergeCounts, MergeLedger, WorkerCounts, WorkerLedger, buckets_balance, lines_balance,
    passed_balance, samples_balance,
};
use crate::limits::{PACKET_RING_BYTES_DEFAULT, TURN_BYTES_MAX};
use crate::merge::{Merge, MergeSettings, Sink};
use crate::ring::{Full, LaneSeal, Mark, PacketProducer, packet_ring};
use crate::stop::{Flushed, LaneEpochs, Patience, Running};
use crate::time::{Slot, Stamp};
use crate::worker::{Turn, Worker, WorkerSettings};

/// The engine: some workers and the merge.
#[derive(Debug)]
pub struct Inline {
    packets: Vec<PacketProducer>,
    workers: Vec<Worker>,
    ledgers: Vec<WorkerLedger>,
    running: Running,
    merge: Merge,
    merge_ledger: MergeLedger,
    /// Number of the last close.
    closes: u64,
    /// Number of the last flush.
    flushes: u64,
}

/// What is left of an engine at its end.
#[derive(Debug)]
pub struct Finished {
    /// The stop state that the merge came to.
    pub flushed: Flushed,
    /// What the workers have counted together.
    pub workers: WorkerCounts,
    /// What the merge has counted.
    pub merge: MergeCounts,
}

impl Inline {
    /// Bytes of the longest datagram that can be pushed: a turn takes in no longer record.
    pub const DATAGRAM_BYTES_MAX: usize = TURN_BYTES_MAX - PacketProducer::record_bytes(0);

    /// An engine with `workers` workers.
    #[must_use]
    pub fn new(workers: usize, settings: &WorkerSettings, merge: MergeSettings) -> Self {
        let (mut packets, mut consumers, mut ledgers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lanes, mut rings) = (Vec::new(), Vec::new());
        for lane in 0..workers {
            let (producer, consumer, committed) = packet_ring(lane, PACKET_RING_BYTES_DEFAULT);
            let (out, ring) = bucket_ring();
            let (worker, applied, ledger) = Worker::new(consumer, out, settings.clone());
            packets.push(producer);
            consumers.push(worker);
            ledgers.push(ledger);
            lanes.push(LaneEpochs { committed, applied });
            rings.push(ring);
        }
        let (merge, merge_ledger) = Merge::new(rings, merge);
        Self {
            packets,
            workers: consumers,
            ledgers,
            running: Running::new(lanes),
            merge,
            merge_ledger,
            closes: 0,
            flushes: 0,
        }
    }

    /// Puts a datagram into a worker's ring; while that is full, the worker takes turns.
    ///
    /// # Panics
    ///
    /// If there is no such worker, or the datagram is longer than
    /// [`Inline::DATAGRAM_BYTES_MAX`].
    pub fn push(&mut self, worker: usize, datagram: &Datagram<'_>) {
        assert!(datagram.bytes.len() <= Self::DATAGRAM_BYTES_MAX, "the datagram is too long");
        let bytes = PacketProducer::record_bytes(datagram.bytes.len());
        loop {
            if let Ok(mut batch) = self.packets[worker].batch(bytes, bytes) {
                batch.push(datagram);
                return batch.commit();
            }
            self.make_room(worker);
        }
    }

    /// Says to all workers that the slots before `cutoff` are closed, as of `at`.
    pub fn close(&mut self, cutoff: Slot, at: Stamp) {
        self.closes += 1;
        self.mark(Mark::Close { number: self.closes, cutoff, at });
    }

    /// Tells all workers to hand over what they have up to `at`.
    pub fn flush(&mut self, at: Stamp) {
        self.flushes += 1;
        self.mark(Mark::Flush { number: self.flushes, at });
    }

    /// Lets a worker take a turn.
    ///
    /// # Panics
    ///
    /// If there is no such worker.
    pub fn turn(&mut self, worker: usize) -> Turn {
        self.workers[worker].turn()
    }

    /// Lets the merge take in what the workers have handed over.
    pub fn take_in(&mut self) {
        self.merge.take_in();
    }

    /// Ships what all workers have come to; says whether that was anything.
    pub fn flush_closed(&mut self, sink: &mut Sink<'_>) -> bool {
        self.merge.flush_closed(sink)
    }

    /// Lets the workers apply everything, the merge take it in, and ships what is due.
    pub fn run(&mut self, sink: &mut Sink<'_>) {
        loop {
            let applied = self.workers.iter_mut().any(|worker| worker.turn() == Turn::Applied);
            self.merge.take_in();
            while self.merge.flush_closed(sink) {}
            if !applied && !self.workers.iter().any(Worker::has_work) {
                return;
            }
        }
    }

    /// What the workers have counted together, and the merge, as last published.
    #[must_use]
    pub fn counts(&self) -> (WorkerCounts, MergeCounts) {
        (sum(&self.ledgers), self.merge_ledger.read())
    }

    /// Seals all lanes, drains them and flushes the rest.
    pub fn finish(mut self, at: Stamp, sink: &mut Sink<'_>) -> Finished {
        let seals = self.seal(at);
        let mut sealed = self.running.seal(seals);
        let drained = loop {
            match sealed.drained(Patience::Left) {
                Ok(drained) => break drained,
                Err(not_yet) => sealed = not_yet,
            }
            self.workers.iter_mut().for_each(|worker| _ = worker.turn());
            self.merge.take_in();
        };
        let flushed = self.merge.finish(drained, sink);
        Finished { flushed, workers: sum(&self.ledgers), merge: self.merge_ledger.read() }
    }

    fn mark(&mut self, mark: Mark) {
        for worker in 0..self.packets.len() {
            while self.packets[worker].mark(mark) == Err(Full) {
                self.make_room(worker);
            }
        }
    }

    fn seal(&mut self, at: Stamp) -> Vec<LaneSeal> {
        let mut seals = Vec::new();
        for mut packets in std::mem::take(&mut self.packets) {
            loop {
                match packets.seal(at) {
                    Ok(seal) => break seals.push(seal),
                    Err(full) => packets = full,
                }
                self.make_room(packets.lane());
            }
        }
        seals
    }

    fn make_room(&mut self, worker: usize) {
        self.workers[worker].turn();
        self.merge.take_in();
    }
}

impl Finished {
    /// The equations of the engine's part of the ledger.
    #[must_use]
    pub fn balances(&self) -> [Balance; 4] {
        let Self { workers, merge, .. } = self;
        [
            lines_balance(workers),
            samples_balance(workers),
            buckets_balance(workers, merge),
            passed_balance(workers, merge),
        ]
    }
}

fn sum(ledgers: &[WorkerLedger]) -> WorkerCounts {
    let mut sum = WorkerCounts::default();
    ledgers.iter().for_each(|ledger| sum.add(&ledger.read()));
    sum
}
