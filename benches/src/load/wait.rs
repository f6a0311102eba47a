//! How long sends took: what an application would have waited. Counted in classes an eighth apart, so
//! that millions cost nothing.

use std::time::Duration;

use serde::Serialize;

/// Classes of one power of two.
const PARTS: u64 = 8;

/// Enough for any `u64` of nanoseconds.
const CLASSES: usize = 64 * 8;

/// How often a send took how long.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    counts: Vec<u64>,
    longest: Duration,
}

/// How the times of sends are spread, in microseconds; to an eighth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SendTimes {
    /// Median.
    pub median_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Waits {
    fn default() -> Self {
        Self { counts: vec![0; CLASSES], longest: Duration::ZERO }
    }
}

impl Waits {
    pub(super) fn push(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(class(ns)) {
            *count += 1;
        }
        self.longest = self.longest.max(time);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.longest = self.longest.max(other.longest);
    }

    pub(super) fn times(&self) -> SendTimes {
        SendTimes {
            median_us: self.quantile_us(50),
            p99_us: self.quantile_us(99),
            max_us: self.longest.as_secs_f64() * 1e6,
        }
    }

    /// The upper end of the class that holds the quantile.
    fn quantile_us(&self, percent: u64) -> f64 {
        let wanted = (self.counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut below = 0;
        let class = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        let ns = Duration::from_nanos(class.filter(|_| wanted > 0).map_or(0, upper_end));
        ns.min(self.longest).as_secs_f64() * 1e6
    }
}

fn class(ns: u64) -> usize {
    let power = u64::from(ns.max(PARTS).ilog2()) - 3;
    usize::try_from(power * PARTS + (ns >> power)).unwrap_or(usize::MAX)
}

fn upper_end(class: usize) -> u64 {
    let class = u64::try_from(class).unwrap_or(u64::MAX);
    // In the first power a class is a nanosecond; from then on `ns >> power` is 8 to 15.
    if class < 2 * PARTS {
        return class;
    }
    let power = class / PARTS - 1;
    ((class - power * PARTS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For times over the whole range: the class's upper end is not below and at most an eighth above.
    #[test]
    fn a_class_is_an_eighth_wide() {
        for ns in (0..50).map(|power| (1_u64 << power) + (1 << power) / 3) {
            let end = upper_end(class(ns));
            assert!(end >= ns && end <= ns + ns / 8 + 1, "{ns}: {end}");
        }
        assert!(class(u64::MAX) < CLASSES);
    }

    #[test]
    fn quantiles_are_found_over_all_senders() {
        let mut all = Waits::default();
        for sender in 0..2 {
            let mut waits = Waits::default();
            (1..=50).for_each(|us| waits.push(Duration::from_micros(50 * sender + us)));
            all.add(&waits);
        }
        let times = all.times();
        assert!((50.0..57.0).contains(&times.median_us), "{times:?}");
        assert!((99.0..=100.0).contains(&times.p99_us) && times.max_us == 100.0, "{times:?}");
        assert_eq!(Waits::default().times(), SendTimes::default());
    }
}
