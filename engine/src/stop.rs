//! The stop as types: `Running → Sealed → Drained → Flushed → Delivered`, each consuming the one
//! before, so that no order but the right one compiles.
//!
//! A *lane* is a packet ring with the one receiver that fills it and the one worker that empties
//! it; lane number and worker number are the same.
//!
//! | state | made by | from | proves |
//! |---|---|---|---|
//! | [`Running`] | [`Running::new`] | the lanes' epochs | nothing |
//! | [`Sealed`] | [`Running::seal`] | the receivers' [`LaneSeal`]s | no lane can get another record |
//! | [`Drained`] | [`Sealed::drained`] alone | the comparison of the epochs | every record is applied, or what is short and why |
//! | [`Flushed`] | [`crate::merge::Merge::finish`] alone | `Drained` | every bucket is merged and has left the engine |
//! | [`Delivered`] | [`Flushed::delivered`] | the forwarder's end | nothing is in flight |
//!
//! Nobody else can build a `Drained`, so the final flush can't be reached without the proof:
//!
//! ```compile_fail,E0451
//! let forged = lastdrop_engine::stop::Drained { lanes: Vec::new() };
//! ```
//!
//! and a merge can't finish from an earlier state:
//!
//! ```compile_fail,E0308
//! # fn example(merge: lastdrop_engine::merge::Merge, sealed: lastdrop_engine::stop::Sealed) {
//! merge.finish(sealed, &mut |_| {});
//! # }
//! ```

use crate::epoch::{EpochReader, Writer};
use crate::ring::LaneSeal;
use crate::sync::mutant;

/// The two epochs of a lane.
#[derive(Clone, Debug)]
pub struct LaneEpochs {
    /// Records that the receiver has committed to the ring.
    pub committed: EpochReader,
    /// Records whose effect is in a bucket, or handed over.
    pub applied: EpochReader,
}

/// The pipeline takes data in.
#[derive(Debug)]
pub struct Running {
    lanes: Vec<LaneEpochs>,
}

impl Running {
    /// A pipeline of the given lanes, in the order of their numbers.
    #[must_use]
    pub fn new(lanes: Vec<LaneEpochs>) -> Self {
        Self { lanes }
    }

    /// The epochs of the lanes, for whoever wants to watch.
    #[must_use]
    pub fn lanes(&self) -> &[LaneEpochs] {
        &self.lanes
    }

    /// Ends the intake of data. A lane without a seal is one whose receiver is gone.
    #[must_use]
    pub fn seal(self, seals: Vec<LaneSeal>) -> Sealed {
        let mut lanes: Vec<SealedLane> =
            self.lanes.into_iter().map(|epochs| SealedLane { epochs, sealed: None }).collect();
        for seal in seals {
            if let Some(lane) = lanes.get_mut(seal.lane) {
                lane.sealed = Some(seal.epoch);
            }
        }
        Sealed { lanes }
    }
}

#[derive(Debug)]
struct SealedLane {
    epochs: LaneEpochs,
    /// The epoch of the seal, if the receiver lived to set it.
    sealed: Option<u64>,
}

impl SealedLane {
    /// Compares the epochs: the proof, or what is missing as of now, and whether it is final.
    fn compare(&self) -> (Lane, Settled) {
        // The worker first: what it has applied was committed before.
        let applied = self.epochs.applied.observe();
        let committed = self.epochs.committed.observe();
        let target = self.sealed.unwrap_or(committed.epoch);
        let unapplied = target.saturating_sub(applied.epoch);
        if unapplied == 0 && self.sealed.is_some() {
            return (Lane::Proved { epoch: applied.epoch }, Settled::Yes);
        }
        let (reason, settled) = match (applied.writer, self.sealed) {
            (Writer::Gone, Some(_)) => (ShortReason::WorkerGone, Settled::Yes),
            (Writer::Gone, None) => (ShortReason::ReceiverGone, Settled::Yes),
            (Writer::Alive, Some(_)) => (ShortReason::Deadline, Settled::NotYet),
            // A worker that finds its ring abandoned empties it and ends.
            (Writer::Alive, None) => (ShortReason::ReceiverGone, Settled::NotYet),
        };
        (Lane::Short { reason, unapplied }, settled)
    }
}

#[derive(PartialEq, Eq)]
enum Settled {
    Yes,
    NotYet,
}

/// No lane can get another record; the workers still apply what is in the rings.
#[derive(Debug)]
pub struct Sealed {
    lanes: Vec<SealedLane>,
}

impl Sealed {
    /// Compares the epochs of all lanes. The only function that makes a [`Drained`].
    ///
    /// # Errors
    ///
    /// The state itself while a worker still has records to apply and `patience` allows waiting.
    pub fn drained(self, patience: Patience) -> Result<Drained, Self> {
        let compared: Vec<_> = self.lanes.iter().map(SealedLane::compare).collect();
        let mut asked = compared.iter().skip(usize::from(mutant("stop_lane_skipped")));
        if patience == Patience::Left && asked.any(|(_, s)| *s == Settled::NotYet) {
            return Err(self);
        }
        Ok(Drained { lanes: compared.into_iter().map(|(lane, _)| lane).collect() })
    }

    /// Records that the workers have not applied yet, as of now.
    #[must_use]
    pub fn unapplied(&self) -> u64 {
        let unapplied = |lane: &SealedLane| match lane.compare().0 {
            Lane::Proved { .. } => 0,
            Lane::Short { unapplied, .. } => unapplied,
        };
        self.lanes.iter().map(unapplied).sum()
    }
}

/// Whether the deadline still allows waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// There is time.
    Left,
    /// There is none: what is not applied now is short.
    Spent,
}

/// Why a lane is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortReason {
    /// The worker had not come to the seal when time ran out.
    Deadline,
    /// The worker's thread panicked.
    WorkerGone,
    /// The receiver's thread panicked before it could seal; what the kernel held is not known.
    ReceiverGone,
}

impl ShortReason {
    /// The name in the receipt.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::WorkerGone => "worker_gone",
            Self::ReceiverGone => "receiver_gone",
        }
    }
}

/// What the drain found in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Every record up to the seal is applied and every bucket handed over.
    Proved {
        /// The sealed epoch: records that went through the lane.
        epoch: u64,
    },
    /// Something is missing.
    Short {
        /// Why.
        reason: ShortReason,
        /// Records that were committed and not applied.
        unapplied: u64,
    },
}

/// Every ring is empty *and its content applied*, or it is known what is missing.
#[derive(Debug)]
pub struct Drained {
    lanes: Vec<Lane>,
}

impl Drained {
    /// What was found in each lane, by number.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Goes on to `Flushed`; for the merge alone, once every bucket has left it.
    pub(crate) fn flushed(self) -> Flushed {
        Flushed { lanes: self.lanes }
    }
}

/// Every bucket is merged and its points have left the engine.
#[derive(Debug)]
pub struct Flushed {
    lanes: Vec<Lane>,
}

impl Flushed {
    /// Goes on to `Delivered`: nothing is in flight any more, be it delivered or left.
    #[must_use]
    pub fn delivered(self) -> Delivered {
        Delivered { lanes: self.lanes }
    }
}

/// The end of the way: what is not delivered by now is named in the ledger.
#[derive(Debug)]
pub struct Delivered {
    lanes: Vec<Lane>,
}

impl Delivered {
    /// What the drain found in each lane, by number, for the receipt.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }
}

#[cfg(all(test, not(lastdrop_loom)))]
mod tests {
    use super::*;
    use crate::epoch::epoch;
    use crate::ring::packet_ring;
    use crate::time::Stamp;

    #[test]
    fn a_lane_is_proved_only_when_the_worker_has_come_to_the_seal() {
        let (producer, _consumer, committed) = packet_ring(0, 0);
        let (mut worker, applied) = epoch();
        let running = Running::new(vec![LaneEpochs { committed, applied }]);
        let seal = producer.seal(Stamp::from_s(1)).expect("an empty ring has room");
        let sealed = running.seal(vec![seal]);
        assert_eq!(sealed.unapplied(), 1);
        let sealed = sealed.drained(Patience::Left).expect_err("nothing is applied yet");
        worker.advance(1);
        let drained = sealed.drained(Patience::Left).expect("all is applied");
        assert_eq!(drained.lanes(), [Lane::Proved { epoch: 1 }]);
    }

    #[test]
    fn a_sick_lane_is_short_and_does_not_hold_back_the_others() {
        let (first, _consumer0, committed0) = packet_ring(0, 0);
        let (second, _consumer1, committed1) = packet_ring(1, 0);
        let (mut healthy, applied0) = epoch();
        let (panicked, applied1) = epoch();
        let running = Running::new(vec![
            LaneEpochs { committed: committed0, applied: applied0 },
            LaneEpochs { committed: committed1, applied: applied1 },
        ]);
        let seals = vec![
            second.seal(Stamp::from_s(1)).expect("room"),
            first.seal(Stamp::from_s(1)).expect("room"),
        ];
        healthy.advance(1);
        drop(panicked);
        let drained = running.seal(seals).drained(Patience::Left).expect("nobody is waited for");
        let short = Lane::Short { reason: ShortReason::WorkerGone, unapplied: 1 };
        assert_eq!(drained.lanes(), [Lane::Proved { epoch: 1 }, short]);
    }

    #[test]
    fn at_the_deadline_the_rest_is_counted() {
        let (producer, _consumer, committed) = packet_ring(0, 0);
        let (_worker, applied) = epoch();
        let running = Running::new(vec![LaneEpochs { committed, applied }]);
        let seal = producer.seal(Stamp::from_s(1)).expect("room");
        let drained = running.seal(vec![seal]).drained(Patience::Spent).expect("no patience");
        let short = Lane::Short { reason: ShortReason::Deadline, unapplied: 1 };
        assert_eq!(drained.lanes(), [short]);
    }

    #[test]
    fn a_lane_whose_receiver_died_is_never_proved() {
        let (producer, _consumer, committed) = packet_ring(0, 0);
        let (worker, applied) = epoch();
        let running = Running::new(vec![LaneEpochs { committed, applied }]);
        drop(producer);
        let sealed = running.seal(Vec::new()).drained(Patience::Left).expect_err("worker lives");
        drop(worker);
        let drained = sealed.drained(Patience::Left).expect("worker has ended");
        let short = Lane::Short { reason: ShortReason::ReceiverGone, unapplied: 0 };
        assert_eq!(drained.lanes(), [short]);
    }
}
