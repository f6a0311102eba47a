//! The agent's time line: follows the wall clock forwards, never runs back.
//!
//! Arrivals are ordered by the monotonic clock; the wall clock only says which slot an arrival
//! belongs to. Both are one number, a [`Stamp`]: monotonic time plus an offset to the wall clock
//! that only ever grows. A wall clock that steps forward takes the time line with it; one that
//! steps back doesn't, so that no slot is ever lived through, and shipped, twice. How far the time
//! line is ahead of the wall clock then is [`Clock::shift_ns`], and stands in the receipt.

use lastdrop_engine::time::{NS_PER_S, Stamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A jump of the time line by so much is a step of the wall clock; less is the time between two
/// readings.
const STEP_NS: u64 = 1_000_000;

/// One reading of both clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, since 1970.
    pub wall_ns: u64,
    /// The monotonic clock, since an unknown start.
    pub monotonic_ns: u64,
}

impl Reading {
    /// Reads both clocks now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall_ns: nanoseconds(clock_gettime(ClockId::Realtime)),
            monotonic_ns: nanoseconds(clock_gettime(ClockId::Monotonic)),
        }
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).saturating_add(rest)
}

/// Turns readings into stamps. Every thread that stamps has its own.
#[derive(Debug)]
pub struct Clock {
    /// Wall minus monotonic clock, the largest ever read.
    offset_ns: u64,
    /// The latest reading.
    latest: Reading,
    /// How far the time line is ahead of the wall clock.
    shift_ns: u64,
}

impl Clock {
    /// A time line that starts at the wall clock.
    #[must_use]
    pub fn new(reading: Reading) -> Self {
        let offset_ns = reading.wall_ns.saturating_sub(reading.monotonic_ns);
        Self { offset_ns, latest: reading, shift_ns: 0 }
    }

    /// Takes a new reading and gives the present as a stamp.
    pub fn advance(&mut self, reading: Reading) -> Stamp {
        let offset_ns = reading.wall_ns.saturating_sub(reading.monotonic_ns);
        self.offset_ns = self.offset_ns.max(offset_ns);
        self.shift_ns = self.offset_ns - offset_ns;
        self.latest = reading;
        self.present()
    }

    /// The latest reading as a stamp.
    #[must_use]
    pub fn present(&self) -> Stamp {
        Stamp::from_ns(self.latest.monotonic_ns.saturating_add(self.offset_ns))
    }

    /// The latest reading of the monotonic clock, in nanoseconds.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        self.latest.monotonic_ns
    }

    /// The stamp of an arrival that the kernel stamped with its wall clock.
    ///
    /// Its age is taken from the latest reading. An age below zero (a stamp from the future) counts
    /// as zero, one above `age_ns_max` (the wall clock stepped in between) as that.
    #[must_use]
    pub fn arrival(&self, kernel_wall_ns: u64, age_ns_max: u64) -> Stamp {
        let age_ns = self.latest.wall_ns.saturating_sub(kernel_wall_ns).min(age_ns_max);
        Stamp::from_ns(self.present().ns().saturating_sub(age_ns))
    }

    /// Nanoseconds by which the time line is ahead of the wall clock, because that stepped back.
    #[must_use]
    pub fn shift_ns(&self) -> u64 {
        self.shift_ns
    }
}

/// The present for a thread that tells by stamps of others how old something is.
///
/// When the wall clock has stepped forward, what waits was stamped before, and would seem as old as
/// the step is long. So there is no present from then on until all that waited is done.
#[derive(Debug)]
pub struct Observer {
    clock: Clock,
    /// The time line has jumped, and something may wait that was stamped before.
    jumped: bool,
}

impl Observer {
    /// An observer of the time line that starts at this reading.
    #[must_use]
    pub fn new(reading: Reading) -> Self {
        Self { clock: Clock::new(reading), jumped: false }
    }

    /// The present; none while a stamp may be from before a step of the wall clock.
    pub fn present(&mut self, reading: Reading) -> Option<Stamp> {
        let before = self.clock.offset_ns;
        let present = self.clock.advance(reading);
        self.jumped |= self.clock.offset_ns - before > STEP_NS;
        (!self.jumped).then_some(present)
    }

    /// Notes that nothing waits: what comes is stamped on the time line as it is now.
    pub fn caught_up(&mut self) {
        self.jumped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = NS_PER_S;

    fn reading(wall_s: u64, monotonic_s: u64) -> Reading {
        Reading { wall_ns: wall_s * S, monotonic_ns: monotonic_s * S }
    }

    #[test]
    fn a_wall_clock_that_steps_back_does_not_take_the_time_line_with_it() {
        let mut clock = Clock::new(reading(10_000, 50));
        assert_eq!(clock.advance(reading(10_001, 51)), Stamp::from_s(10_001));
        assert_eq!(clock.advance(reading(6_402, 52)), Stamp::from_s(10_002));
        assert_eq!(clock.shift_ns(), 3_600 * S);
    }

    #[test]
    fn a_wall_clock_that_steps_forward_does() {
        let mut clock = Clock::new(reading(10_000, 50));
        assert_eq!(clock.advance(reading(13_600, 51)), Stamp::from_s(13_600));
        assert_eq!(clock.shift_ns(), 0);
    }

    #[test]
    fn after_a_step_forward_nobody_has_an_age_until_all_is_done() {
        let mut observer = Observer::new(reading(10_000, 50));
        assert_eq!(observer.present(reading(10_001, 51)), Some(Stamp::from_s(10_001)));
        assert_eq!(observer.present(reading(13_602, 52)), None);
        assert_eq!(observer.present(reading(13_603, 53)), None, "something may still wait");
        observer.caught_up();
        assert_eq!(observer.present(reading(13_604, 54)), Some(Stamp::from_s(13_604)));
        let jitter = Reading { wall_ns: 13_605 * S + 1_000, ..reading(0, 55) };
        let present = Stamp::from_ns(13_605 * S + 1_000);
        assert_eq!(observer.present(jitter), Some(present), "no step");
    }

    #[test]
    fn kernel_stamps_keep_their_age_and_are_never_from_the_future() {
        let mut clock = Clock::new(reading(10_000, 50));
        clock.advance(reading(10_010, 60));
        assert_eq!(clock.arrival(10_008 * S, 5 * S), Stamp::from_s(10_008));
        assert_eq!(clock.arrival(10_011 * S, 5 * S), Stamp::from_s(10_010));
        assert_eq!(clock.arrival(6_400 * S, 5 * S), Stamp::from_s(10_005));
    }
}
