//! How long to wait after failures, and whether to send at all: back-off and breaker.
//!
//! Each endpoint has one breaker a route:
//!
//! ```text
//!            failure                        pause over, one is sent
//!   Open ───────────────▶ Blocked until T ─────────────────────────▶ Probing
//!    ▲                        ▲                                         │
//!    │ success, nothing left  │ failure; success with failures left     │
//!    └────────────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! While blocked, the results of requests that were already on their way change nothing, so that
//! ten failures of one outage count as one. The pause grows with the failures in a row and is drawn
//! at random, so that agents that failed together do not come back together.

use std::time::{Duration, Instant};

use crate::limits::{
    BACKOFF_BASE_DEFAULT, BACKOFF_FACTOR_DEFAULT, BACKOFF_LONGEST, BACKOFF_MAX_DEFAULT,
    BACKOFF_RECOVERY_DEFAULT, STOP_ATTEMPT_RESERVE, STOP_BACKOFF_BASE, STOP_BACKOFF_LEAST,
    STOP_BACKOFF_SHARE,
};

/// A random generator that a seed determines (SplitMix64): enough to spread a fleet, and a failing
/// test replays exactly.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator that `seed` determines; a process takes its seed from the system.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration in `[from, to)`, all equally likely; `from` if the range is empty.
    ///
    /// With `from` zero and `to` the flush interval it is the phase of a process in its fleet.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        /// 2^-53: turns 53 random bits, which a double holds exactly, into a number in [0, 1).
        const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;
        let unit = (self.bits() >> 11) as f64 * UNIT;
        from + to.saturating_sub(from).mul_f64(unit)
    }
}

/// What a success does to the count of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Takes so many off (`forwarder_recovery_interval`).
    Steps(u32),
    /// Clears it (`forwarder_recovery_reset`).
    Reset,
}

/// The shape of the back-off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffSettings {
    factor: f64,
    base: Duration,
    max: Duration,
    recovery: Recovery,
    /// Failures beyond which nothing grows any more.
    failures_max: u32,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self::new(
            BACKOFF_FACTOR_DEFAULT,
            BACKOFF_BASE_DEFAULT.as_secs_f64(),
            BACKOFF_MAX_DEFAULT.as_secs_f64(),
            Recovery::Steps(BACKOFF_RECOVERY_DEFAULT),
        )
    }
}

impl BackoffSettings {
    /// Takes the configured numbers (`base_s` and `max_s` in seconds). As in the reference agent a
    /// number out of range is replaced by its default: a factor below 2, a base or a longest pause
    /// not above 0, a recovery of no steps.
    #[must_use]
    pub fn new(factor: f64, base_s: f64, max_s: f64, recovery: Recovery) -> Self {
        let longest_s = BACKOFF_LONGEST.as_secs_f64();
        let pause = |s: f64, default| {
            if s > 0.0 { Duration::from_secs_f64(s.min(longest_s)) } else { default }
        };
        let base = pause(base_s, BACKOFF_BASE_DEFAULT).max(Duration::from_millis(1));
        let max = pause(max_s, BACKOFF_MAX_DEFAULT);
        // The first count whose doubling exceeds the longest pause.
        let failures_max = 1
            + (1..64)
                .take_while(|&doublings| base.saturating_mul(1 << doublings.min(31)) <= max)
                .count();
        Self {
            factor: if factor >= 2.0 { factor } else { BACKOFF_FACTOR_DEFAULT },
            base,
            max,
            recovery: match recovery {
                Recovery::Steps(0) => Recovery::Steps(BACKOFF_RECOVERY_DEFAULT),
                given => given,
            },
            failures_max: u32::try_from(failures_max).unwrap_or(u32::MAX),
        }
    }
}

/// Draws the pauses of one endpoint: while running, or fitted into what is left of a stop.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: BackoffSettings,
    rng: Rng,
    deadline: Option<Instant>,
}

impl Backoff {
    /// The back-off of a running endpoint.
    #[must_use]
    pub const fn new(settings: BackoffSettings, rng: Rng) -> Self {
        Self { settings, rng, deadline: None }
    }

    /// From now on draws pauses that leave time for several attempts before `deadline`.
    pub const fn begin_stop(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// The pause after `failures` in a row; none after no failure.
    pub fn pause(&mut self, failures: u32, now: Instant) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = |base: Duration| base.saturating_mul(1 << failures.min(31));
        let Some(deadline) = self.deadline else {
            let BackoffSettings { factor, base, max, .. } = self.settings;
            let most = doubled(base);
            return if most > max { max } else { self.rng.between(most.div_f64(factor), most) };
        };
        let left = deadline.saturating_duration_since(now);
        let most = doubled(STOP_BACKOFF_BASE).min(left / STOP_BACKOFF_SHARE);
        self.rng.between(most / 2, most).max(STOP_BACKOFF_LEAST)
    }

    /// Until when the intake wants to be left alone: what it asked for, if that can be kept. During
    /// a stop a pause that leaves no time for another attempt is not kept.
    fn asked(&self, after: Option<Duration>, now: Instant) -> Option<Instant> {
        let until = now.checked_add(after?)?;
        let fits = |deadline: Instant| until + STOP_ATTEMPT_RESERVE <= deadline;
        self.deadline.is_none_or(fits).then_some(until)
    }

    fn fail(&self, failures: u32) -> u32 {
        failures.saturating_add(1).min(self.settings.failures_max)
    }

    fn forgive(&self, failures: u32) -> u32 {
        match self.settings.recovery {
            // In a stop one success opens the way for all that still waits.
            _ if self.deadline.is_some() => 0,
            Recovery::Reset => 0,
            Recovery::Steps(steps) => failures.saturating_sub(steps),
        }
    }
}

/// Decides whether requests of one route may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// In a row, less what successes have forgiven; 0 exactly while open.
    failures: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Blocked {
        until: Instant,
        /// The part of `until` that the intake asked for.
        asked: Option<Instant>,
    },
    Probing,
}

impl Breaker {
    /// True if one more request may be sent now.
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Open => true,
            State::Blocked { until, .. } => now >= until,
            State::Probing => false,
        }
    }

    /// When it will admit a request without hearing of anything before; `None` while open (it does
    /// already) and while probing (it depends on the probe).
    #[must_use]
    pub const fn blocked_until(&self) -> Option<Instant> {
        match self.state {
            State::Blocked { until, .. } => Some(until),
            State::Open | State::Probing => None,
        }
    }

    /// Failures in a row, less what successes have forgiven.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes that an admitted request is on its way: the first after a pause is the probe.
    pub const fn note_sent(&mut self) {
        if matches!(self.state, State::Blocked { .. }) {
            self.state = State::Probing;
        }
    }

    /// Notes a failure, with the pause that the intake asked for.
    pub fn note_failure(&mut self, after: Option<Duration>, backoff: &mut Backoff, now: Instant) {
        let asked = backoff.asked(after, now);
        match &mut self.state {
            // One outage, one failure; but who says for how long is heard.
            State::Blocked { until, asked: before } => {
                *before = (*before).max(asked);
                *until = asked.map_or(*until, |asked| asked.max(*until));
            }
            State::Open | State::Probing => {
                self.failures = backoff.fail(self.failures);
                self.block(asked, backoff, now);
            }
        }
    }

    /// Notes a success.
    pub fn note_success(&mut self, backoff: &mut Backoff, now: Instant) {
        if self.state == State::Probing {
            self.failures = backoff.forgive(self.failures);
            match self.failures {
                0 => self.state = State::Open,
                _ => self.block(None, backoff, now),
            }
        }
    }

    /// Starts over for a stop: a pause drawn for days of running is cut to what fits, unless the
    /// intake asked for it and it ends in time. `backoff` has been told of the stop.
    pub fn begin_stop(&mut self, backoff: &mut Backoff, now: Instant) {
        self.failures = self.failures.min(1);
        if let State::Blocked { until, asked } = self.state {
            let asked =
                asked.and_then(|at| backoff.asked(Some(at.saturating_duration_since(now)), now));
            let fitted = now + backoff.pause(self.failures, now);
            self.state =
                State::Blocked { until: asked.unwrap_or_else(|| until.min(fitted)), asked };
        }
    }

    fn block(&mut self, asked: Option<Instant>, backoff: &mut Backoff, now: Instant) {
        let drawn = now + backoff.pause(self.failures, now);
        self.state = State::Blocked { until: asked.map_or(drawn, |at| at.max(drawn)), asked };
    }
}

#[cfg(test)]
mod tests;
