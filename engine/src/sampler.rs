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

/// The open buckets of a worker.
#[derive(Debug)]
pub struct Sampler {
    /// Sorted by start, no two with the same.
    open: Vec<Bucket>,
    /// Serial of the bucket that arrivals go to; the others are reached by their index.
    current: u32,
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
            current: 0,
            floor: Slot::default(),
            cut: None,
            late,
            serial: 0,
            spare: Vec::new(),
        }
    }

    /// The bucket for a sample that arrived at `stamp`.
    #[inline]
    pub fn arrival(&mut self, stamp: Stamp) -> &mut Bucket {
        let slot = match self.late {
            LateArrival::JoinsOpenSlot => stamp.slot().max(self.floor),
            LateArrival::ReopensSlot => stamp.slot(),
        };
        let start_s = match self.cut {
            Some((cut, start_s)) if cut == slot => start_s,
            _ => slot.start_s(),
        };
        let at = self.index_of(start_s);
        let newest = self.open.get(at).is_some_and(|bucket| bucket.serial() == self.current);
        if !newest && start_s >= self.current_start() {
            self.current = self.open.get(at).map_or(0, Bucket::serial);
        }
        self.bucket_at(at)
    }

    /// The bucket for a sample that says its own time, in seconds since 1970.
    pub fn timestamped(&mut self, second: u64) -> (&mut Bucket, Lateness) {
        let slot = Slot::containing(second);
        let lateness = if slot < self.floor { Lateness::Overwrites } else { Lateness::InTime };
        let start_s = match self.cut {
            Some((cut, start_s)) if cut == slot => start_s,
            _ => slot.start_s(),
        };
        let at = self.index_of(start_s);
        (self.bucket_at(at), lateness)
    }

    /// Serial of the bucket that arrivals go to: its entries are found by their contexts' places.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
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
        let shipped = self.open.iter().map(Bucket::start_s).filter(|s| Slot::containing(*s) == slot);
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

    fn current_start(&self) -> u64 {
        let current = self.open.iter().find(|bucket| bucket.serial() == self.current);
        current.map_or(0, Bucket::start_s)
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

    fn bucket_at(&mut self, at: usize) -> &mut Bucket {
        #[expect(clippy::indexing_slicing, reason = "`at` comes from `index_of`, which opened it")]
        &mut self.open[at]
    }
}
