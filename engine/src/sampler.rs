//! Which slot a sample belongs to; closing at a mark, forced close.
//!
//! A sample without a time of its own belongs to the slot of its arrival, or, if that is closed
//! already, to the oldest slot that is not: a slot ships once. A sample with a time of its own
//! (`T`) belongs to the slot of that time, whatever has been shipped: two points for one series and
//! second overwrite each other at the intake, so such a late sample is counted.
//!
//! A flush on demand hands over open buckets too. What comes later in the same slot goes to a
//! bucket that starts at the second of the flush, or one second behind the bucket before it, so
//! that its points don't overwrite those of the first part.

use crate::bucket::Bucket;
use crate::limits::SLOT_S;
use crate::time::{Slot, Stamp};

/// What happens to an arrival whose slot is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateArrival {
    /// It joins the oldest open slot.
    #[default]
    JoinsOpenSlot,
    /// It opens its slot again, as the reference agent does: for replays of recorded times.
    ReopensSlot,
}

/// Whether a sample's slot had been closed before it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// The slot is open.
    InTime,
    /// The slot was closed: its point may overwrite one that was shipped.
    Overwrites,
}

/// How the entries of a bucket are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By the places that contexts remember: the bucket that arrivals go to.
    Place,
    /// By the bucket's index: any other.
    Index,
}

/// The open buckets of a worker.
#[derive(Debug)]
pub struct Sampler {
    /// Sorted by start, no two with the same.
    open: Vec<Bucket>,
    /// Start of the bucket that arrivals go to; the others are reached by their index.
    current_start_s: u64,
    /// First slot that no mark has closed.
    floor: Slot,
    /// The slot that a flush cut in two, and where its second part starts.
    cut: Option<(Slot, u64)>,
    late: LateArrival,
    serial: u32,
    /// An empty bucket for the next slot, so that its memory is used again.
    spare: Vec<Bucket>,
}

impl Sampler {
    /// A sampler without a bucket.
    #[must_use]
    pub fn new(late: LateArrival) -> Self {
        Self {
            open: Vec::new(),
            current_start_s: 0,
            floor: Slot::default(),
            cut: None,
            late,
            serial: 0,
            spare: Vec::new(),
        }
    }

    /// The bucket for a sample that arrived at `stamp`, and how its entries are found.
    #[inline]
    pub fn arrival(&mut self, stamp: Stamp) -> (&mut Bucket, Access, Lateness) {
        let slot = match self.late {
            LateArrival::JoinsOpenSlot => stamp.slot().max(self.floor),
            LateArrival::ReopensSlot => stamp.slot(),
        };
        let at = self.index_of(self.start_of(slot));
        // Places lead into one bucket only, and that never goes back in time: the newest that
        // arrivals have come to.
        if self.open.get(at).is_some_and(|bucket| bucket.start_s() > self.current_start_s) {
            self.current_start_s = self.open.get(at).map_or(0, Bucket::start_s);
        }
        self.found(at, self.lateness(slot))
    }

    /// The bucket for a sample that says its own time, in seconds since 1970.
    pub fn timestamped(&mut self, second: u64) -> (&mut Bucket, Access, Lateness) {
        let slot = Slot::containing(second);
        let at = self.index_of(self.start_of(slot));
        self.found(at, self.lateness(slot))
    }

    /// Takes out the buckets of all slots before `cutoff`, oldest first.
    pub fn close(&mut self, cutoff: Slot) -> Vec<Bucket> {
        self.floor = self.floor.max(cutoff);
        if self.cut.is_some_and(|(slot, _)| slot < cutoff) {
            self.cut = None;
        }
        let closed = self.open.partition_point(|bucket| bucket.start_s() < cutoff.start_s());
        self.open.drain(..closed).collect()
    }

    /// Takes out every bucket, open ones too, oldest first.
    pub fn flush(&mut self, at: Stamp) -> Vec<Bucket> {
        let slot = at.slot().max(self.floor);
        let shipped =
            self.open.iter().map(Bucket::start_s).filter(|s| Slot::containing(*s) == slot);
        if let Some(last) = shipped.max() {
            let start_s = at.seconds().max(last + 1).min(slot.start_s() + SLOT_S - 1);
            self.cut = Some((slot, start_s));
        }
        std::mem::take(&mut self.open)
    }

    /// True if an open bucket holds anything but distributions.
    #[must_use]
    pub fn has_series(&self) -> bool {
        self.open.iter().any(Bucket::has_series)
    }

    /// The open buckets, oldest first.
    #[must_use]
    pub fn open(&self) -> &[Bucket] {
        &self.open
    }

    /// Takes a bucket back for its memory.
    pub fn reuse(&mut self, bucket: Bucket) {
        self.spare.push(bucket);
    }

    /// Where the bucket that takes samples of `slot` starts.
    #[inline]
    fn start_of(&self, slot: Slot) -> u64 {
        match self.cut {
            Some((cut, start_s)) if cut == slot => start_s,
            _ => slot.start_s(),
        }
    }

    fn lateness(&self, slot: Slot) -> Lateness {
        if slot < self.floor { Lateness::Overwrites } else { Lateness::InTime }
    }

    /// Index of the bucket that starts at `start_s`; opened if there is none.
    #[inline]
    fn index_of(&mut self, start_s: u64) -> usize {
        // Nearly always the newest one.
        if let Some(last) = self.open.last()
            && last.start_s() == start_s
        {
            return self.open.len() - 1;
        }
        let at = self.open.partition_point(|bucket| bucket.start_s() < start_s);
        if self.open.get(at).is_none_or(|bucket| bucket.start_s() != start_s) {
            self.serial += 1;
            let mut bucket = self.spare.pop().unwrap_or_default();
            bucket.reopen(self.serial, start_s);
            self.open.insert(at, bucket);
        }
        at
    }

    #[inline]
    fn found(&mut self, at: usize, lateness: Lateness) -> (&mut Bucket, Access, Lateness) {
        #[expect(clippy::indexing_slicing, reason = "`at` comes from `index_of`, which opened it")]
        let bucket = &mut self.open[at];
        let current = bucket.start_s() == self.current_start_s;
        (bucket, if current { Access::Place } else { Access::Index }, lateness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival_start(sampler: &mut Sampler, second: u64) -> u64 {
        sampler.arrival(Stamp::from_s(second)).0.start_s()
    }

    fn starts(buckets: &[Bucket]) -> Vec<u64> {
        buckets.iter().map(Bucket::start_s).collect()
    }

    #[test]
    fn a_late_arrival_joins_the_oldest_open_slot() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        assert_eq!(arrival_start(&mut sampler, 1009), 1000);
        assert_eq!(starts(&sampler.close(Slot::containing(1010))), [1000]);
        assert_eq!(arrival_start(&mut sampler, 1009), 1010);
        let (bucket, _, lateness) = sampler.timestamped(1003);
        assert_eq!((bucket.start_s(), lateness), (1000, Lateness::Overwrites));
    }

    #[test]
    fn places_lead_into_the_newest_bucket_of_arrivals_alone() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        assert_eq!(sampler.arrival(Stamp::from_s(1005)).1, Access::Place);
        assert_eq!(sampler.timestamped(1001).1, Access::Place);
        assert_eq!(sampler.timestamped(1031).1, Access::Index);
        assert_eq!(sampler.arrival(Stamp::from_s(1015)).1, Access::Place);
        assert_eq!(sampler.arrival(Stamp::from_s(1009)).1, Access::Index);
        assert_eq!(starts(sampler.open()), [1000, 1010, 1030]);
        assert_eq!(sampler.arrival(Stamp::from_s(1035)).1, Access::Place);
    }

    #[test]
    fn the_second_part_of_a_slot_that_a_flush_cut_has_a_second_of_its_own() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        arrival_start(&mut sampler, 1002);
        assert_eq!(starts(&sampler.flush(Stamp::from_s(1004))), [1000]);
        assert_eq!(arrival_start(&mut sampler, 1004), 1004);
        assert_eq!(starts(&sampler.flush(Stamp::from_s(1004))), [1004]);
        assert_eq!(arrival_start(&mut sampler, 1005), 1005);
        assert_eq!(arrival_start(&mut sampler, 1011), 1010);
        assert_eq!(starts(&sampler.close(Slot::containing(1010))), [1005]);
        assert_eq!(starts(sampler.open()), [1010]);
    }

    #[test]
    fn a_flush_without_a_bucket_cuts_nothing() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        assert_eq!(starts(&sampler.flush(Stamp::from_s(1004))), [0; 0]);
        assert_eq!(arrival_start(&mut sampler, 1005), 1000);
    }
}
