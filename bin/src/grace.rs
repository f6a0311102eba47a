//! The grace of a wrapped process: the time between the platform's SIGTERM and its SIGKILL, and what
//! has to be done before it is over.
//!
//! ```text
//!  SIGTERM                    grace - reserve        grace - margin   grace
//!     │  the process may end      │ flush, then once a    │ a stop is   │ SIGKILL
//!     │  when it likes            │ second: it goes on    │ over        │
//! ```
//!
//! A process that ends in between is followed by a stop that ends before the grace does. One that
//! doesn't is overtaken: what it has sent is delivered while there is time, and it keeps the rest of
//! its own. If it outlives its grace, nobody meant to kill it: then there is no hurry.

use crate::stopping::{COUNTING, RESERVE};
use std::time::{Duration, Instant};

/// How long before the end of the grace a stop has to be over, what it takes beyond its own deadline
/// not counted.
const MARGIN: Duration = Duration::from_millis(200);

/// What a stop gets in any case: with so little left it has nothing to lose by being late.
const STOP_MIN: Duration = Duration::from_millis(500);

/// Time between two flushes of a process that is overtaken.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The grace of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    period: Duration,
    /// When it is over, once it has begun.
    ends: Option<Instant>,
    /// When a flush is due.
    flush_at: Option<Instant>,
}

impl Grace {
    /// A grace of this length that has not begun.
    pub(crate) const fn new(period: Duration) -> Self {
        Self { period, ends: None, flush_at: None }
    }

    /// The process is asked to end. Only the first time counts, until the grace is over: then it was
    /// not the platform that asked.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.ends.is_none_or(|ends| now >= ends) {
            let ends = now + self.period;
            self.ends = Some(ends);
            self.flush_at = Some(ends - RESERVE.min(self.period / 2));
        }
    }

    /// How long it is until the next flush; none if none is to come.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.flush_at.map(|at| at.saturating_duration_since(now))
    }

    /// Whether a flush is due now.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        let is_due = self.flush_at.is_some_and(|at| now >= at);
        if is_due {
            let next = now + FLUSH_EVERY;
            self.flush_at = self.ends.is_some_and(|ends| next < ends).then_some(next);
        }
        is_due
    }

    /// The time for a stop that begins now, because the process has ended, and may take `wanted`
    /// otherwise.
    pub(crate) fn stop_timeout(&self, now: Instant, wanted: Duration) -> Duration {
        match self.ends {
            Some(ends) if now < ends => {
                let left = (ends - now).saturating_sub(MARGIN + COUNTING);
                wanted.min(left.max(STOP_MIN))
            }
            _ => wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Duration = Duration::from_secs(8);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn without_a_signal_nothing_is_due_and_a_stop_has_its_time() {
        let (mut grace, now) = (Grace::new(ms(10_000)), Instant::now());
        assert_eq!((grace.due_in(now), grace.flush(now)), (None, false));
        assert_eq!(grace.stop_timeout(now, WANTED), WANTED);
    }

    /// For a process that ends at any time of its grace: the stop ends before the grace does.
    #[test]
    fn a_stop_ends_before_the_grace_does() {
        let (mut grace, start) = (Grace::new(ms(10_000)), Instant::now());
        grace.begin(start);
        for (ended, timeout) in
            [(0, 8_000), (1_400, 8_000), (1_500, 7_900), (5_000, 4_400), (9_500, 500), (9_999, 500)]
        {
            assert_eq!(grace.stop_timeout(start + ms(ended), WANTED), ms(timeout), "{ended} ms");
        }
        // It was let live: there is no hurry.
        assert_eq!(grace.stop_timeout(start + ms(10_000), WANTED), WANTED);
        // Never more than was wanted.
        assert_eq!(grace.stop_timeout(start + ms(9_900), ms(100)), ms(100));
    }

    #[test]
    fn a_process_that_uses_up_its_grace_is_flushed_in_the_reserve() {
        let (mut grace, start) = (Grace::new(ms(10_000)), Instant::now());
        grace.begin(start);
        // A second signal gives no more time.
        grace.begin(start + ms(3_000));
        assert_eq!(grace.due_in(start + ms(3_000)), Some(ms(5_000)));
        let flushes: Vec<u64> =
            (0..20_000).step_by(100).filter(|at| grace.flush(start + ms(*at))).collect();
        assert_eq!(flushes, [8_000, 9_000]);
        assert_eq!(grace.due_in(start + ms(20_000)), None);
    }

    #[test]
    fn a_signal_after_the_grace_begins_another() {
        let (mut grace, start) = (Grace::new(ms(1_000)), Instant::now());
        grace.begin(start);
        grace.begin(start + ms(60_000));
        assert_eq!(grace.due_in(start + ms(60_000)), Some(ms(500)));
        assert_eq!(grace.stop_timeout(start + ms(60_300), WANTED), ms(500));
    }
}
