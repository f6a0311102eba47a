//! Which thread runs on which CPU.
//!
//! Each pinned thread gets its own CPU of those that the process may use, from a random one on, so
//! that a thousand agents on one host don't share CPU 0. Where the container may use less time than
//! its CPUs have, pinning would only keep the scheduler from using what there is: then nothing is
//! pinned unless asked for.

use crate::config::types::Pin;
use core_affinity::CoreId;
use lastdrop_transport::forward::backoff::Rng;
use std::fs;

/// Hands out CPUs.
pub(crate) struct Pins {
    cores: Vec<CoreId>,
    next: usize,
}

impl Pins {
    /// The CPUs that threads are to be pinned to; none if they aren't.
    pub(crate) fn new(pin: Pin, rng: &mut Rng) -> Self {
        let mut cores = match pin {
            Pin::Never => Vec::new(),
            Pin::Auto | Pin::Always => core_affinity::get_core_ids().unwrap_or_default(),
        };
        let spare_time = || quota_cpus().is_none_or(|cpus| cpus >= cores.len() as f64);
        // A single CPU needs no pin.
        if pin == Pin::Auto && (cores.len() < 2 || !spare_time()) {
            cores.clear();
        }
        let start = usize::try_from(rng.bits() >> 32).unwrap_or(0);
        Self { cores, next: start }
    }

    /// The CPU of the next thread.
    pub(crate) fn next(&mut self) -> Option<CoreId> {
        let core = self.cores.get(self.next.checked_rem(self.cores.len())?).copied();
        self.next = self.next.wrapping_add(1);
        core
    }
}

/// CPUs' worth of time that the control group grants, if it limits it.
fn quota_cpus() -> Option<f64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    if let Some(line) = read("/sys/fs/cgroup/cpu.max") {
        return v2_quota(&line);
    }
    let quota = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")?;
    let period = read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")?;
    v1_quota(&quota, &period)
}

/// `max 100000` or `50000 100000`: quota and period in microseconds.
fn v2_quota(line: &str) -> Option<f64> {
    let (quota, period) = line.trim().split_once(' ')?;
    v1_quota(quota, period)
}

/// Quota and period in microseconds; a quota of -1 is none.
fn v1_quota(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_in_both_forms() {
        assert_eq!(v2_quota("max 100000\n"), None);
        assert_eq!(v2_quota("50000 100000\n"), Some(0.5));
        assert_eq!(v1_quota("-1\n", "100000\n"), None);
        assert_eq!(v1_quota("200000\n", "100000\n"), Some(2.0));
        assert_eq!(v1_quota("", ""), None);
    }

    #[test]
    fn threads_take_turns_over_the_allowed_processors() {
        let mut pins = Pins { cores: vec![CoreId { id: 3 }, CoreId { id: 7 }], next: usize::MAX };
        let ids: Vec<_> = (0..3).filter_map(|_| pins.next()).map(|core| core.id).collect();
        assert_eq!(ids, [7, 3, 7]);
        assert!(Pins { cores: Vec::new(), next: 5 }.next().is_none());
    }
}
