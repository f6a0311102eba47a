//! The bins of a sketch: insert, overflow, trim, merge, with the reference agent's result bin by
//! bin.
//!
//! A bin counts up to 65,535 values. What goes beyond stands in further bins under the same key:
//! the remainder first, then the full ones. One message with a tiny sample rate can ask for
//! thousands of full bins, so they are not stored one by one: a [`Run`] is a key with a total, and
//! the bins are written out only when the sketch is finished.
//!
//! ```text
//!   run    (7, 131_072)            bins   7:2  7:65535  7:65535
//!   run    (7,  65_535)            bins   7:65535
//! ```
//!
//! The rule that only the *first* bin of a key is topped up, `first + n` written as remainder and
//! full bins, keeps a run a run. Two runs may share a key: trimming puts full bins aside in front of
//! a remainder, an order that one run can't express.

use std::iter;
use std::num::NonZeroU16;

use crate::limits::{SKETCH_BIN_COUNT_MAX, SKETCH_BINS_MAX};
use crate::series::Bin;

/// How many bins a store keeps and how many values fit in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bins that are kept before the lowest are folded.
    pub bins_max: NonZeroU16,
    /// Values that one bin can count.
    pub bin_count_max: NonZeroU16,
}

impl Default for Shape {
    /// The shape that the intake knows: 4,096 bins of 65,535 values.
    fn default() -> Self {
        Self { bins_max: SKETCH_BINS_MAX, bin_count_max: SKETCH_BIN_COUNT_MAX }
    }
}

/// The bins of one key, or of a part of it: `count % full` if not 0, then `count / full` full bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    key: i16,
    /// At least 1. Sixteen workers' sketches of one context fit at their limit; beyond it saturates.
    count: u32,
}

/// Bins in ascending order of key.
#[derive(Clone, Debug, Default)]
pub struct Store {
    runs: Vec<Run>,
    /// How many bins the runs stand for.
    pub(super) bins: u32,
    shape: Shape,
}

impl Store {
    /// Makes an empty store; allocates nothing.
    #[must_use]
    pub const fn new(shape: Shape) -> Self {
        Self { runs: Vec::new(), bins: 0, shape }
    }

    /// Makes a store of bins in ascending order of key, as they are: nothing is joined or trimmed.
    #[must_use]
    pub fn from_bins(shape: Shape, bins: &[Bin]) -> Self {
        let mut store = Self::new(shape);
        for bin in bins {
            store.push(bin.key, u32::from(bin.count));
        }
        store
    }

    /// Counts one value for each key; sorts the keys.
    pub fn insert(&mut self, keys: &mut [i16]) {
        keys.sort_unstable();
        let mut from = 0;
        for equal in keys.chunk_by(|a, b| a == b) {
            let count = u32::try_from(equal.len()).unwrap_or(u32::MAX);
            from = self.top_up(from, equal[0], count);
        }
        self.trim();
    }

    /// Counts `count` values, at least 1, under one key.
    pub fn insert_copies(&mut self, key: i16, count: u32) {
        self.top_up(0, key, count);
        self.trim();
    }

    /// Counts `(key, count)` pairs, then trims once.
    pub(super) fn insert_all(&mut self, counts: impl Iterator<Item = (i16, u32)>) {
        for (key, count) in counts {
            self.top_up(0, key, count);
        }
        self.trim();
    }

    /// Adds the bins of another store. A bin joins the own bin of its key that stands at its turn:
    /// the first joins the first.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Self::new(self.shape);
        let mut own = self.bins().peekable();
        for bin in other.bins() {
            while let Some(lower) = own.next_if(|own| own.key < bin.key) {
                merged.push(lower.key, u32::from(lower.count));
            }
            let joined = own.next_if(|own| own.key == bin.key).map_or(0, |own| own.count);
            merged.push(bin.key, u32::from(bin.count) + u32::from(joined));
        }
        for bin in own {
            merged.push(bin.key, u32::from(bin.count));
        }
        merged.trim();
        *self = merged;
    }

    /// Folds the lowest bins into the lowest one that is kept, if there are more than the shape
    /// allows.
    ///
    /// While the dropped counts are added up, each time the total *exceeds* a full bin, one is put
    /// aside under the key being dropped. So there may be more bins afterwards than the shape
    /// allows: every count is still there.
    pub fn trim(&mut self) {
        let full = self.full();
        let bins_max = u32::from(self.shape.bins_max.get());
        let mut surplus = self.bins.saturating_sub(bins_max);
        if surplus == 0 {
            return;
        }
        self.bins = bins_max;
        let mut aside = Vec::new();
        let mut dropped = 0;
        let mut missing = 0_u32;
        for run in &mut self.runs {
            let bins = bins_of(run.count, full);
            let taken = if bins <= surplus { run.count } else { leading(run.count, surplus, full) };
            surplus -= bins.min(surplus);
            run.count -= taken;
            // Adding up bin by bin leaves 1 to `full` values over; the rest went aside.
            missing = missing.saturating_add(taken);
            let whole = missing.saturating_sub(1) / full * full;
            if whole > 0 {
                aside.push(Run { key: run.key, count: whole });
                self.bins += whole / full;
                missing -= whole;
            }
            if run.count > 0 {
                let total = run.count.saturating_add(missing);
                self.bins += bins_of(total, full) - bins_of(run.count, full);
                run.count = total;
                break;
            }
            dropped += 1;
        }
        self.runs.splice(..dropped, aside);
    }

    /// Gives the bins in ascending order of key, repeats in the reference agent's order.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        let full = self.shape.bin_count_max.get();
        self.runs.iter().flat_map(move |&Run { key, count }| {
            let remainder = u16::try_from(count % u32::from(full)).unwrap_or(full);
            let fulls = count as usize / usize::from(full);
            let first = (remainder > 0).then_some(Bin { key, count: remainder });
            first.into_iter().chain(iter::repeat_n(Bin { key, count: full }, fulls))
        })
    }

    /// True if nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets all bins and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.bins = 0;
    }

    /// Adds to the first run of a key, or makes one. Searches from run `from` on; gives the place.
    fn top_up(&mut self, from: usize, key: i16, count: u32) -> usize {
        let full = self.full();
        let at = from + self.runs[from..].partition_point(|run| run.key < key);
        match self.runs.get_mut(at) {
            Some(run) if run.key == key => {
                let total = run.count.saturating_add(count);
                self.bins += bins_of(total, full) - bins_of(run.count, full);
                run.count = total;
            }
            _ => {
                self.bins += bins_of(count, full);
                self.runs.insert(at, Run { key, count });
            }
        }
        at
    }

    /// Appends up to two bins' worth of values under a key that is no lower than the last one.
    fn push(&mut self, key: i16, count: u32) {
        let full = self.full();
        self.bins += bins_of(count, full);
        match self.runs.last_mut() {
            Some(run) if run.key == key && count.is_multiple_of(full) => {
                run.count = run.count.saturating_add(count);
            }
            _ => self.runs.push(Run { key, count }),
        }
    }

    fn full(&self) -> u32 {
        u32::from(self.shape.bin_count_max.get())
    }
}

/// How many bins hold `count` values.
fn bins_of(count: u32, full: u32) -> u32 {
    count.div_ceil(full)
}

/// How many of a run's `count` values stand in its first `bins` bins, of which it has more.
fn leading(count: u32, bins: u32, full: u32) -> u32 {
    match (bins, count % full) {
        (0, _) => 0,
        (_, 0) => bins * full,
        (_, remainder) => (bins - 1) * full + remainder,
    }
}
