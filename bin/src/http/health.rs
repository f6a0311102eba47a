//! Whether every thread is alive and turning, told from the epochs of the lanes.
//!
//! A receiver puts a mark into each of its lanes at the end of every slot, traffic or not, and the
//! worker applies it: so both epochs of a lane grow every ten seconds. One that has stood still for
//! [`STILL_MAX`] is stuck. A process that was frozen as a whole looks the same for an instant, so
//! only what is still so at a second look counts.

use lastdrop_engine::epoch::{EpochReader, Writer};
use lastdrop_engine::stop::LaneEpochs;
use std::time::{Duration, Instant};

/// Longest time that an epoch may stand still: a slot and its spread, twice over.
const STILL_MAX: Duration = Duration::from_secs(30);

/// Least time between the look that finds an epoch still and the one that says so.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What was seen of all lanes.
pub(super) struct Health {
    lanes: Vec<[Pulse; 2]>,
}

/// What was seen of one epoch.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    epoch: u64,
    /// When it was first seen at this.
    since: Instant,
    /// When it was first found to stand still for too long.
    suspected: Option<Instant>,
}

impl Health {
    /// The first look at `lanes`.
    pub(super) fn new(lanes: &[LaneEpochs], now: Instant) -> Self {
        let pulse = |reader: &EpochReader| Pulse::new(reader.observe().epoch, now);
        let lane = |lane: &LaneEpochs| [pulse(&lane.committed), pulse(&lane.applied)];
        Self { lanes: lanes.iter().map(lane).collect() }
    }

    /// Looks at `lanes` again.
    ///
    /// # Errors
    ///
    /// One line on the first thread that is gone or stuck.
    pub(super) fn look(&mut self, lanes: &[LaneEpochs], now: Instant) -> Result<(), String> {
        for (number, (pulses, lane)) in self.lanes.iter_mut().zip(lanes).enumerate() {
            let readers = [("receiver", &lane.committed), ("worker", &lane.applied)];
            for (pulse, (who, reader)) in pulses.iter_mut().zip(readers) {
                let seen = reader.observe();
                if seen.writer == Writer::Gone {
                    return Err(format!("the {who} of lane {number} is gone"));
                }
                if pulse.is_stuck(seen.epoch, now) {
                    let still_s = now.duration_since(pulse.since).as_secs();
                    return Err(format!("the {who} of lane {number} stands still for {still_s} s"));
                }
            }
        }
        Ok(())
    }
}

impl Pulse {
    fn new(epoch: u64, since: Instant) -> Self {
        Self { epoch, since, suspected: None }
    }

    fn is_stuck(&mut self, epoch: u64, now: Instant) -> bool {
        if epoch != self.epoch {
            *self = Self::new(epoch, now);
        }
        if now.duration_since(self.since) <= STILL_MAX {
            return false;
        }
        let suspected = *self.suspected.get_or_insert(now);
        now.duration_since(suspected) >= SECOND_LOOK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lastdrop_engine::epoch::epoch;

    #[test]
    fn an_epoch_that_stands_still_is_told_at_the_second_look() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut pulse = Pulse::new(1, start);
        assert!(!pulse.is_stuck(1, at(30)));
        assert!(!pulse.is_stuck(1, at(31)));
        assert!(pulse.is_stuck(1, at(32)));
        assert!(!pulse.is_stuck(2, at(33)));
        // A process that was frozen: what stood still turns again before the second look.
        assert!(!pulse.is_stuck(2, at(1000)));
        assert!(!pulse.is_stuck(3, at(1001)));
    }

    #[test]
    fn a_thread_that_is_gone_is_told_at_once() {
        let ((receiver, committed), (worker, applied)) = (epoch(), epoch());
        let lanes = [LaneEpochs { committed, applied }];
        let now = Instant::now();
        let mut health = Health::new(&lanes, now);
        assert_eq!(health.look(&lanes, now), Ok(()));
        drop(worker);
        assert_eq!(health.look(&lanes, now), Err("the worker of lane 0 is gone".to_owned()));
        drop(receiver);
        assert_eq!(health.look(&lanes, now), Err("the receiver of lane 0 is gone".to_owned()));
    }
}
