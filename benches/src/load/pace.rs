//! A token bucket: how many datagrams are due. It has no clock; time comes in as a value.

use std::time::{Duration, Instant};

/// How much may be made up for at once after a stall.
const DEPTH: Duration = Duration::from_millis(100);

/// Hands out datagrams at a rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    per_s: f64,
    /// Datagrams due and not yet taken: `0 <= tokens <= max(1, per_s * DEPTH)`.
    tokens: f64,
    filled: Instant,
}

impl Pacer {
    /// Starts with one datagram due.
    pub(crate) fn new(per_s: f64, now: Instant) -> Self {
        Self { per_s, tokens: 1.0, filled: now }
    }

    /// Takes what is due, at most `wanted`.
    pub(crate) fn take(&mut self, now: Instant, wanted: usize) -> usize {
        let passed = now.saturating_duration_since(self.filled);
        let depth = (self.per_s * DEPTH.as_secs_f64()).max(1.0);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_s).min(depth);
        self.filled = now;
        let mut taken = 0;
        while taken < wanted && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            taken += 1;
        }
        taken
    }

    /// How long until the next datagram is due, at least a millisecond: a sleep is no finer.
    pub(crate) fn pause(&self) -> Duration {
        let seconds = (1.0 - self.tokens) / self.per_s;
        let until_due = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(DEPTH);
        until_due.clamp(Duration::from_millis(1), DEPTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what a run of the pacer gives out when it is asked at these milliseconds.
    fn given(per_s: f64, asked_at_ms: impl Iterator<Item = u64>) -> usize {
        let start = Instant::now();
        let mut pacer = Pacer::new(per_s, start);
        asked_at_ms.map(|ms| pacer.take(start + Duration::from_millis(ms), usize::MAX)).sum()
    }

    #[test]
    fn the_rate_is_kept_however_often_it_is_asked() {
        for step in [1, 7, 50, 99] {
            let given = given(1_000.0, (0..=5_000).step_by(step));
            assert!((4_900..=5_001).contains(&given), "every {step} ms: {given}");
        }
    }

    #[test]
    fn a_stall_is_made_up_for_only_to_the_depth() {
        assert_eq!(given(1_000.0, [0, 10_000].into_iter()), 1 + 100);
    }

    #[test]
    fn a_slow_rate_waits_for_a_whole_datagram() {
        assert_eq!(given(2.0, [0, 250, 499].into_iter()), 1);
        assert_eq!(given(2.0, [0, 250, 501].into_iter()), 2);
    }

    #[test]
    fn no_more_than_wanted_is_taken() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000.0, start);
        let later = start + Duration::from_millis(50);
        assert_eq!(pacer.take(later, 30), 30);
        assert_eq!(pacer.take(later, 30), 21);
        assert_eq!(pacer.take(later, 30), 0);
        assert_eq!(pacer.pause(), Duration::from_millis(1));
    }
}
