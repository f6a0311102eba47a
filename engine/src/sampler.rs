//! Which slot a sample belongs to; closing at a mark, forced close.
//!
//! A sample without a time of its own belongs to the slot of its arrival, or, if that is closed
//! already, to the oldest slot that is not: a slot ships once. A sample with a time of its own
//! (`T`) belongs to the slot of that time, whatever has been shipped: two points for one series and
//! second overwrite each other at the intake, so such a late sample is counted.
//!
//! A flush on demand hands over the open slots up to its own time. What comes later for one of them
//! opens it again, and is told apart where all workers are seen: in the merge. Slots that lie in the
//! future stay open: their time has not come.

use crate::bucket::{Bucket, Entry};
use crate::context::Place;
use crate::limits::{BUCKETS_OPEN_MAX, RETURN_RING_LEN};
use crate::time::{Slot, Stamp};
use std::ops::Range;

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

/// No arrivals.
const NONE: Range<Stamp> = Stamp::MAX..Stamp::MAX;

/// The open buckets of a worker.
#[derive(Debug)]
pub struct Sampler {
    /// Sorted by start, no two with the same.
    open: Vec<Bucket>,
    /// Start of the bucket that arrivals go to; the others are reached by their index.
    current_start_s: u64,
    /// Arrivals that go to the last of the open buckets, which is the current one, in time: nearly
    /// all. Empty when that isn't known.
    in_time: Range<Stamp>,
    /// First slot that arrivals may still go to: no mark has closed it, no flush left it behind.
    floor: Slot,
    /// First slot that no mark has closed.
    closed: Slot,
    late: LateArrival,
    /// Emptied pieces of buckets, to be used again.
    spare: Vec<Vec<Entry>>,
}

impl Sampler {
    /// A sampler without a bucket.
    #[must_use]
    pub fn new(late: LateArrival) -> Self {
        Self {
            open: Vec::new(),
            current_start_s: 0,
            in_time: NONE,
            floor: Slot::default(),
            closed: Slot::default(),
            late,
            spare: Vec::new(),
        }
    }

    /// The bucket for a sample that arrived at `stamp`, and how its entries are found.
    #[inline]
    pub fn arrival(&mut self, stamp: Stamp) -> (&mut Bucket, Access, Lateness) {
        if !self.in_time.contains(&stamp) {
            return self.arrival_anywhere(stamp);
        }
        let last = self.open.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "nothing is in time when no bucket is open")]
        let bucket = &mut self.open[last];
        (bucket, Access::Place, Lateness::InTime)
    }

    #[inline(never)]
    fn arrival_anywhere(&mut self, stamp: Stamp) -> (&mut Bucket, Access, Lateness) {
        let slot = match self.late {
            LateArrival::JoinsOpenSlot => stamp.slot().max(self.floor),
            LateArrival::ReopensSlot => stamp.slot(),
        };
        let at = self.index_of(slot.start_s());
        // Places lead into one bucket only, and that never goes back in time: the newest that
        // arrivals have come to.
        if self.open.get(at).is_some_and(|bucket| bucket.start_s() > self.current_start_s) {
            self.current_start_s = self.open.get(at).map_or(0, Bucket::start_s);
        }
        let is_current = slot.start_s() == self.current_start_s && at + 1 == self.open.len();
        if is_current && self.lateness(slot) == Lateness::InTime {
            self.in_time = Stamp::from_s(slot.start_s())..Stamp::from_s(slot.next().start_s());
        }
        self.found(at, self.lateness(slot))
    }

    /// The bucket for a sample that says its own time, in seconds since 1970; none if too many
    /// buckets are open and this would be one more.
    pub fn timestamped(&mut self, second: u64) -> Option<(&mut Bucket, Access, Lateness)> {
        let slot = Slot::containing(second);
        if self.open.len() >= BUCKETS_OPEN_MAX && self.find(slot.start_s()).is_err() {
            return None;
        }
        let at = self.index_of(slot.start_s());
        Some(self.found(at, self.lateness(slot)))
    }

    /// Has an entry brought into the cache, if its bucket is the newest.
    #[inline]
    pub fn fetch(&self, place: Place) {
        if let Some(newest) = self.open.last() {
            newest.fetch(place);
        }
    }

    /// Takes out the buckets of all slots before `cutoff`, oldest first.
    pub fn close(&mut self, cutoff: Slot) -> Vec<Bucket> {
        self.closed = self.closed.max(cutoff);
        self.leave(cutoff)
    }

    /// Takes out the buckets of all slots up to that of `at`, oldest first.
    pub fn flush(&mut self, at: Stamp) -> Vec<Bucket> {
        let mut flushed = self.leave(at.slot());
        if let Ok(index) = self.find(at.slot().start_s()) {
            flushed.push(self.open.remove(index));
        }
        flushed
    }

    /// Takes out every bucket, oldest first.
    pub fn end(&mut self) -> Vec<Bucket> {
        self.in_time = NONE;
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

    /// Takes an emptied piece of a bucket back for its memory, unless there are enough.
    pub fn reuse(&mut self, piece: Vec<Entry>) {
        if self.spare.len() < RETURN_RING_LEN {
            self.spare.push(piece);
        }
    }

    /// Takes out the buckets of all slots before `slot`, to which no arrival goes any more.
    fn leave(&mut self, slot: Slot) -> Vec<Bucket> {
        self.in_time = NONE;
        self.floor = self.floor.max(slot);
        let left = self.open.partition_point(|bucket| bucket.start_s() < slot.start_s());
        self.open.drain(..left).collect()
    }

    fn lateness(&self, slot: Slot) -> Lateness {
        if slot < self.closed { Lateness::Overwrites } else { Lateness::InTime }
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
        self.find(start_s).unwrap_or_else(|at| {
            self.in_time = NONE;
            let bucket = Bucket::open(start_s, self.spare.pop());
            self.open.insert(at, bucket);
            at
        })
    }

    /// Index of the bucket that starts at `start_s`, or where it would stand.
    fn find(&self, start_s: u64) -> Result<usize, usize> {
        self.open.binary_search_by_key(&start_s, Bucket::start_s)
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
        let (bucket, _, lateness) = sampler.timestamped(1003).unwrap();
        assert_eq!((bucket.start_s(), lateness), (1000, Lateness::Overwrites));
    }

    #[test]
    fn places_lead_into_the_newest_bucket_of_arrivals_alone() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        assert_eq!(sampler.arrival(Stamp::from_s(1005)).1, Access::Place);
        assert_eq!(sampler.timestamped(1001).unwrap().1, Access::Place);
        assert_eq!(sampler.timestamped(1031).unwrap().1, Access::Index);
        assert_eq!(sampler.arrival(Stamp::from_s(1015)).1, Access::Place);
        assert_eq!(sampler.arrival(Stamp::from_s(1009)).1, Access::Index);
        assert_eq!(starts(sampler.open()), [1000, 1010, 1030]);
        assert_eq!(sampler.arrival(Stamp::from_s(1035)).1, Access::Place);
    }

    #[test]
    fn a_flush_takes_what_is_open_up_to_now_and_closes_what_lies_behind() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        for second in [1009, 1012, 1031] {
            arrival_start(&mut sampler, second);
        }
        assert_eq!(starts(&sampler.flush(Stamp::from_s(1013))), [1000, 1010]);
        assert_eq!(starts(sampler.open()), [1030]);
        assert_eq!(arrival_start(&mut sampler, 1009), 1010);
        let (bucket, _, lateness) = sampler.timestamped(1003).unwrap();
        assert_eq!((bucket.start_s(), lateness), (1000, Lateness::InTime));
        assert_eq!(starts(&sampler.end()), [1000, 1010, 1030]);
    }

    #[test]
    fn own_times_open_so_many_slots_and_no_more() {
        let mut sampler = Sampler::new(LateArrival::JoinsOpenSlot);
        for slot in 0..BUCKETS_OPEN_MAX as u64 {
            assert!(sampler.timestamped(slot * 10).is_some());
        }
        assert!(sampler.timestamped(u64::MAX).is_none());
        assert!(sampler.timestamped(15).is_some());
        assert_eq!(sampler.arrival(Stamp::from_s(1_000_000)).0.start_s(), 1_000_000);
    }
}
