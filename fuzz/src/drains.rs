//! The drain: receivers, workers, merge and the stop states under a scheduler that does what it likes
//! and lets threads die.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::handover::bucket_ring;
use lastdrop_engine::ledger::{MergeLedger, WorkerLedger};
use lastdrop_engine::merge::Merge;
use lastdrop_engine::ring::{Mark, PacketProducer, packet_ring};
use lastdrop_engine::stop::{Drained, Lane, LaneEpochs, Patience, Running, Sealed, ShortReason};
use lastdrop_engine::time::Stamp;
use lastdrop_engine::worker::{Turn, Worker};

use crate::aggregation::{merge_settings, worker_settings};

/// Most steps before the seal, and after it.
const STEPS_MAX: usize = 100;

/// Three samples.
const SAMPLES: &str = "c:1:2|c\nd:3|d\n";

/// Events in one datagram: three of them fill a bucket ring.
const EVENTS: usize = 100;

/// Three samples and the events.
static SAMPLES_AND_EVENTS: LazyLock<String> =
    LazyLock::new(|| [SAMPLES, &"_e{1,1}:a|b\n".repeat(EVENTS)].concat());

/// For all schedules, and for all threads that die on the way: a lane is proved exactly if its
/// receiver lived to seal it and its worker lived to apply the seal, nobody healthy is waited for in
/// vain or cut short without need, and every sample of a proved lane has been merged, once.
pub fn drain(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(count) = input.int_in_range(1..=3) else { return };
    let mut run = Run::new(count);
    for _ in 0..STEPS_MAX {
        if input.is_empty() || run.step_before_seal(&mut input).is_err() {
            break;
        }
    }
    run.stop(&mut input);
}

/// The engine taken apart.
struct Run {
    lanes: Vec<RunLane>,
    epochs: Vec<LaneEpochs>,
    merge: Merge,
    merged: MergeLedger,
    now_s: u64,
    marks: u64,
}

/// One lane, and what happened in it.
struct RunLane {
    receiver: Option<PacketProducer>,
    worker: Option<Worker>,
    ledger: WorkerLedger,
    /// Records that the receiver put in, the seal included.
    records: u64,
    samples: u64,
    events: u64,
    sealed: bool,
    /// Whether the worker came to its end, and not to its death.
    ended: bool,
}

impl Run {
    fn new(count: usize) -> Self {
        let (mut lanes, mut epochs, mut rings) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            // The smallest ring there is.
            let (receiver, packets, committed) = packet_ring(number, 0);
            let (out, ring) = bucket_ring();
            let (worker, applied, ledger) = Worker::new(packets, out, worker_settings());
            rings.push(ring);
            epochs.push(LaneEpochs { committed, applied });
            lanes.push(RunLane {
                receiver: Some(receiver),
                worker: Some(worker),
                ledger,
                records: 0,
                samples: 0,
                events: 0,
                sealed: false,
                ended: false,
            });
        }
        let (merge, merged) = Merge::new(rings, merge_settings());
        Self { lanes, epochs, merge, merged, now_s: 1_000_000, marks: 0 }
    }

    fn step_before_seal(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=15)? {
            choice @ 0..=5 => {
                let lane = input.choose_index(self.lanes.len())?;
                // Each event needs room of its own on the way to the merge.
                match choice {
                    5 => self.lanes[lane].receive(self.now_s, &SAMPLES_AND_EVENTS, EVENTS),
                    _ => self.lanes[lane].receive(self.now_s, SAMPLES, 0),
                }
            }
            6 => self.mark_all(|number, at| Mark::Close { number, cutoff: at.slot(), at }),
            7 => self.mark_all(|number, at| Mark::Flush { number, at }),
            8 => self.now_s += input.int_in_range(1..=30)?,
            15 if input.ratio(1, 4)? => {
                let lane = input.choose_index(self.lanes.len())?;
                self.lanes[lane].receiver = None;
            }
            choice => self.step_of_others(choice, input)?,
        }
        Ok(())
    }

    /// What may happen at any time: turns, merging, and the death of a worker.
    fn step_of_others(&mut self, choice: u8, input: &mut Unstructured<'_>) -> Result<()> {
        match choice {
            0..=11 => {
                let lane = input.choose_index(self.lanes.len())?;
                self.lanes[lane].turn();
            }
            12 => self.merge.take_in(),
            13 => _ = self.merge.flush_closed(&mut |_| {}),
            _ if input.ratio(1, 8)? => {
                let lane = input.choose_index(self.lanes.len())?;
                self.lanes[lane].worker = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn mark_all(&mut self, mark: fn(u64, Stamp) -> Mark) {
        self.marks += 1;
        let mark = mark(self.marks, Stamp::from_s(self.now_s));
        for lane in &mut self.lanes {
            if let Some(receiver) = &mut lane.receiver
                && receiver.mark(mark).is_ok()
            {
                lane.records += 1;
            }
        }
    }

    fn stop(mut self, input: &mut Unstructured<'_>) {
        let at = Stamp::from_s(self.now_s);
        let seals = self.lanes.iter_mut().filter_map(|lane| lane.seal(at)).collect();
        let sealed = Running::new(std::mem::take(&mut self.epochs)).seal(seals);
        let (drained, patience) = self.drain(sealed, input);
        let lanes = drained.lanes().to_vec();
        for (lane, found) in self.lanes.iter().zip(&lanes) {
            lane.check(*found, patience);
        }
        self.merge.finish(drained, &mut |_| {});
        // A worker that came to its end has handed over all that it had, sealed or orphaned.
        let ended = || self.lanes.iter().filter(|lane| lane.ended).map(|lane| lane.ledger.read());
        let merged = self.merged.read();
        let samples = ended().map(|counts| counts.aggregated).sum();
        let events = ended().map(|counts| counts.events).sum();
        let all_samples = self.lanes.iter().map(|lane| lane.samples).sum();
        let all_events = self.lanes.iter().map(|lane| lane.events).sum();
        assert!(
            (samples..=all_samples).contains(&merged.samples),
            "{samples} samples, and {merged:?}"
        );
        assert!((events..=all_events).contains(&merged.events), "{events} events, and {merged:?}");
    }

    /// Lets the schedule run on until the states say that there is nothing to wait for; a schedule
    /// that has come to its end leaves everyone a turn. Gives the patience that there was at last.
    fn drain(&mut self, mut sealed: Sealed, input: &mut Unstructured<'_>) -> (Drained, Patience) {
        for _ in 0..STEPS_MAX {
            let patience = match input.ratio(1, 64) {
                Ok(true) => Patience::Spent,
                _ => Patience::Left,
            };
            match sealed.drained(patience) {
                Ok(drained) => return (drained, patience),
                Err(waiting) => sealed = waiting,
            }
            assert!(
                self.lanes.iter().any(|lane| lane.worker.is_some()),
                "nobody is left to wait for"
            );
            let step = input.int_in_range(9..=15).and_then(|n| self.step_of_others(n, input));
            if input.is_empty() || step.is_err() {
                break;
            }
        }
        loop {
            self.lanes.iter_mut().for_each(RunLane::turn);
            self.merge.take_in();
            match sealed.drained(Patience::Left) {
                Ok(drained) => return (drained, Patience::Left),
                Err(waiting) => sealed = waiting,
            }
        }
    }
}

impl RunLane {
    /// Puts a datagram of three samples and so many events in, if there is a receiver and room.
    fn receive(&mut self, now_s: u64, text: &str, events: usize) {
        let Some(receiver) = &mut self.receiver else { return };
        let stamp = Stamp::from_s(now_s);
        let bytes = text.as_bytes();
        let datagram = Datagram { bytes, stamp, transport: Transport::Udp, extent: Extent::Whole };
        let record_bytes = PacketProducer::record_bytes(bytes.len());
        if let Ok(mut batch) = receiver.batch(record_bytes, record_bytes) {
            batch.push(&datagram);
            batch.commit();
            self.records += 1;
            self.samples += 3;
            self.events += events as u64;
        }
    }

    fn turn(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        if worker.turn() == Turn::Ended {
            // Its thread ends with it.
            (self.worker, self.ended) = (None, true);
        }
    }

    /// Seals the lane if its receiver lives; a full ring needs a worker that makes room.
    fn seal(&mut self, at: Stamp) -> Option<lastdrop_engine::ring::LaneSeal> {
        let mut receiver = self.receiver.take()?;
        loop {
            match receiver.seal(at) {
                Ok(seal) => {
                    self.records += 1;
                    self.sealed = true;
                    return Some(seal);
                }
                Err(full) => receiver = full,
            }
            self.worker.as_ref()?;
            self.turn();
        }
    }

    fn check(&self, found: Lane, patience: Patience) {
        match found {
            Lane::Proved { epoch } => {
                assert!(self.sealed && epoch == self.records, "{found:?}");
                let counts = self.ledger.read();
                assert_eq!((counts.samples, counts.aggregated), (self.samples, self.samples));
            }
            Lane::Short { reason, unapplied } => {
                assert!(unapplied <= self.records, "{found:?}");
                // With patience left nobody is cut short who could still go on.
                assert!(patience == Patience::Spent || self.worker.is_none(), "{found:?}");
                match reason {
                    ShortReason::WorkerGone => {
                        assert!(self.sealed && !self.ended && self.worker.is_none())
                    }
                    ShortReason::ReceiverGone => assert!(!self.sealed),
                    ShortReason::Deadline => assert!(self.sealed && unapplied > 0),
                }
            }
        }
    }
}
