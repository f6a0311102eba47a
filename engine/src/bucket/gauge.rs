//! A gauge in one slot: the value that arrived last, whatever socket or worker carried it.

use crate::time::Stamp;

/// The last value and when it arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauge {
    value: f64,
    stamp: Stamp,
}

impl Gauge {
    /// No value yet: any that arrived at `stamp` or later takes its place.
    #[must_use]
    pub fn since(stamp: Stamp) -> Self {
        Self { stamp, ..Self::default() }
    }

    /// Takes a finite value that arrived at `stamp`, unless a later one is here already. Of equal
    /// stamps the later call wins.
    pub fn add(&mut self, value: f64, stamp: Stamp) {
        self.merge(Self { value, stamp });
    }

    /// Takes another worker's value, unless a later one is here already. Workers are to be merged in
    /// the order that settles equal stamps.
    pub fn merge(&mut self, other: Self) {
        if other.stamp >= self.stamp {
            *self = other;
        }
    }

    /// When the last value arrived.
    #[must_use]
    pub fn stamp(self) -> Stamp {
        self.stamp
    }

    /// Gives the last value.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(samples: &[(f64, u64)]) -> Gauge {
        let mut gauge = Gauge::default();
        for &(value, ns) in samples {
            gauge.add(value, Stamp::from_ns(ns));
        }
        gauge
    }

    #[test]
    fn the_last_arrival_wins_whatever_the_order_of_the_calls() {
        assert_eq!(last(&[(1.0, 10), (2.0, 20)]).value(), 2.0);
        assert_eq!(last(&[(2.0, 20), (1.0, 10)]).value(), 2.0);
        assert_eq!(last(&[(1.0, 10), (2.0, 10)]).value(), 2.0);
    }

    #[test]
    fn the_last_arrival_wins_over_two_workers() {
        let (mut early, late) = (last(&[(1.0, 10)]), last(&[(2.0, 20)]));
        let mut other = late;
        early.merge(late);
        assert_eq!(early.value(), 2.0);
        other.merge(last(&[(1.0, 10)]));
        assert_eq!(other.value(), 2.0);
    }
}
