//! The sketch of a distribution: the Datadog agent's own DDSketch, equal to it bit by bit, so that
//! the intake can merge ours with everybody else's.
//!
//! A value becomes a key of a logarithmic grid ([`key`]), a bin counts the values of a key
//! ([`Store`]), and a summary stands beside them. Keys are gathered and sorted into the bins 512 at
//! a time; a sketch of few values is no more than its keys.

mod interpolate;
mod keys;
mod merge;
mod summary;
#[cfg(test)]
mod tests;

pub use keys::{BIAS, GAMMA, KEY_INFINITE, LN_GAMMA, MAGNITUDE_MAX, MAGNITUDE_MIN};
pub use keys::{key, lower_bound};
pub use merge::{Shape, Store};

use crate::limits::{SKETCH_COUNT_MAX, SKETCH_KEYS_BUFFERED};
use crate::series::{Bin, Summary};

/// What became of a value that was to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a value that was not taken whole is to be counted"]
pub enum Taken {
    /// It counts as often as its rate asks for.
    Whole,
    /// It counts less often than its rate asks for: the sketch holds [`SKETCH_COUNT_MAX`] now.
    Clamped,
    /// It does not count: the sketch held [`SKETCH_COUNT_MAX`] before.
    Refused,
}

/// Values of one context in one slot, to a relative error of 1/128.
///
/// An empty sketch allocates nothing; one of up to 512 values holds two bytes for each.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    summary: Summary,
    /// Keys not yet in the store, at most [`SKETCH_KEYS_BUFFERED`].
    keys: Vec<i16>,
    store: Store,
    /// The store's bins written out, as of the last `finish`.
    bins: Vec<Bin>,
}

impl Sketch {
    /// Makes an empty sketch of the shape that the intake knows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty sketch of another shape, to watch it trim and overflow.
    #[must_use]
    pub fn with_shape(shape: Shape) -> Self {
        Self { store: Store::new(shape), ..Self::default() }
    }

    /// Inserts a finite value that was sampled at `rate`.
    ///
    /// A rate within (0, 1) makes it count `1 / rate` times: the fraction goes into the sum only. Any
    /// other rate, not a number too, counts as 1.
    pub fn insert(&mut self, value: f64, rate: f64) -> Taken {
        debug_assert!(value.is_finite());
        let room = u64::from(SKETCH_COUNT_MAX).saturating_sub(self.summary.count);
        if room == 0 {
            return Taken::Refused;
        }
        if rate > 0.0 && rate < 1.0 {
            return self.insert_copies(value, 1.0 / rate, room);
        }
        summary::add(&mut self.summary, value);
        self.keys.push(key(value));
        if self.keys.len() >= SKETCH_KEYS_BUFFERED {
            self.flush();
        }
        Taken::Whole
    }

    fn insert_copies(&mut self, value: f64, asked: f64, room: u64) -> Taken {
        let copies = asked.min(room as f64);
        summary::add_copies(&mut self.summary, value, copies);
        self.flush();
        #[expect(clippy::cast_possible_truncation, reason = "the fraction is meant to go")]
        self.store.insert_copies(key(value), copies as u32);
        if copies < asked.trunc() { Taken::Clamped } else { Taken::Whole }
    }

    /// Adds the values of another sketch, which it flushes and otherwise leaves alone.
    pub fn merge(&mut self, other: &mut Self) {
        other.flush();
        self.flush();
        summary::merge(&mut self.summary, &other.summary);
        self.store.merge(&other.store);
    }

    /// Sorts what was gathered into the bins and writes them out for [`Sketch::bins`].
    pub fn finish(&mut self) {
        self.flush();
        self.bins.clear();
        self.bins.extend(self.store.bins());
    }

    /// Gives count, extremes, mean and sum.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Gives the bins as of the last [`Sketch::finish`]: ascending keys, repeated where a bin
    /// overflowed.
    #[must_use]
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// True if no value was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.summary.count == 0
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.summary = Summary::default();
        self.keys.clear();
        self.store.clear();
        self.bins.clear();
    }

    /// Estimates the value below which a part `q` of the values of a finished sketch lies, as the
    /// reference agent does; the intake computes its own.
    ///
    /// The estimate may pass the largest value, and beyond the grid it is not a number.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let Summary { count, min, max, .. } = self.summary;
        if count == 0 {
            return 0.0;
        }
        if q <= 0.0 {
            return min;
        }
        if q >= 1.0 {
            return max;
        }
        let wanted = (q * (count - 1) as f64).round_ties_even();
        let mut seen = 0.0;
        for (index, bin) in self.bins.iter().enumerate() {
            seen += f64::from(bin.count);
            if seen > wanted {
                let weight = (seen - wanted) / f64::from(bin.count);
                let bound = lower_bound(bin.key);
                let low = if index == 0 { min } else { bound };
                return low * weight + bound * GAMMA * (1.0 - weight);
            }
        }
        max
    }

    fn flush(&mut self) {
        if !self.keys.is_empty() {
            self.store.insert(&mut self.keys);
            self.keys.clear();
        }
    }
}
