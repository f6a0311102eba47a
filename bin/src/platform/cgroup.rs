//! Processor time that the container used, and how much it may use: from cgroup version 2, else 1.
//!
//! Sandboxes have none of these files, or odd ones: absence is normal, and silent.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// A whole processor, in nanoseconds of its time a second.
const CPU_NANOCORES: f64 = 1e9;

/// Reads usage and limit.
#[derive(Debug)]
pub(crate) struct Meter {
    root: PathBuf,
    last: Option<(Instant, u64)>,
}

impl Meter {
    /// A meter of this container.
    pub(crate) fn new() -> Self {
        Self::at("/sys/fs/cgroup")
    }

    fn at(root: impl Into<PathBuf>) -> Self {
        let mut meter = Self { root: root.into(), last: None };
        meter.last = meter.used_ns().map(|used| (Instant::now(), used));
        meter
    }

    /// Processor time used since the last call, in nanoseconds a second.
    pub(crate) fn usage(&mut self, now: Instant) -> Option<f64> {
        let used = self.used_ns()?;
        let last = self.last.replace((now, used));
        let (then, before) = last?;
        let over_s = now.duration_since(then).as_secs_f64();
        (over_s > 0.0).then(|| used.saturating_sub(before) as f64 / over_s)
    }

    /// Processor time that may be used, in nanoseconds a second: the smaller of the allowed
    /// processors and the quota, else all processors of the host.
    pub(crate) fn limit(&self) -> Option<f64> {
        let set = self.set().map(|count| count as f64 * CPU_NANOCORES);
        let limit = match (set, self.quota()) {
            (Some(set), Some(quota)) => Some(set.min(quota)),
            (set, quota) => set.or(quota),
        };
        let host = || thread::available_parallelism().ok().map(|n| n.get() as f64 * CPU_NANOCORES);
        limit.or_else(host)
    }

    fn used_ns(&self) -> Option<u64> {
        let version2 = read(&self.root.join("cpu.stat")).and_then(|stat| {
            let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            line.trim().parse::<u64>().ok()?.checked_mul(1000)
        });
        version2.or_else(|| read(&self.root.join("cpuacct/cpuacct.usage"))?.trim().parse().ok())
    }

    fn quota(&self) -> Option<f64> {
        let version2 = read(&self.root.join("cpu.max"));
        let (quota, period) = match version2 {
            Some(max) => {
                let (quota, period) = max.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
            None => (
                read(&self.root.join("cpu/cpu.cfs_quota_us"))?,
                read(&self.root.join("cpu/cpu.cfs_period_us"))?,
            ),
        };
        // `max` or -1 where there is none.
        let quota: f64 = quota.trim().parse().ok().filter(|quota| *quota > 0.0)?;
        let period: f64 = period.trim().parse().ok().filter(|period| *period > 0.0)?;
        Some(quota / period * CPU_NANOCORES)
    }

    /// How many processors the container may run on.
    fn set(&self) -> Option<u64> {
        let list = read(&self.root.join("cpuset.cpus.effective"))
            .or_else(|| read(&self.root.join("cpuset/cpuset.cpus")))?;
        count(list.trim()).filter(|count| *count > 0)
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Counts the processors of a list such as `0-3,8`.
fn count(list: &str) -> Option<u64> {
    let range = |range: &str| -> Option<u64> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').map(range).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A folder with these files, of this process alone.
    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("lastdrop-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_gives_usage_and_the_smaller_limit() {
        let stat = "usage_usec 2000000\nuser_usec 1\n";
        let files =
            [("cpu.stat", stat), ("cpu.max", "50000 100000\n"), ("cpuset.cpus.effective", "0-3\n")];
        let root = folder("cgroup2", &files);
        let mut meter = Meter::at(&root);
        fs::write(root.join("cpu.stat"), "usage_usec 3000000\n").unwrap();
        let (then, _) = meter.last.unwrap();
        assert_eq!(meter.usage(then + Duration::from_secs(2)), Some(0.5e9));
        assert_eq!(meter.limit(), Some(0.5e9));
        fs::write(root.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(meter.limit(), Some(4e9));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn version_1_gives_the_same() {
        let files = [
            ("cpuacct/cpuacct.usage", "5000000000\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpuset/cpuset.cpus", "0,2\n"),
        ];
        let root = folder("cgroup1", &files);
        let meter = Meter::at(&root);
        assert_eq!((meter.used_ns(), meter.limit()), (Some(5_000_000_000), Some(2e9)));
        fs::remove_dir_all(root).unwrap();
    }

    /// For all kinds of odd files: as if they were not there.
    #[test]
    fn files_that_are_missing_or_odd_are_passed_over() {
        let mut meter = Meter::at("/nowhere");
        assert_eq!(meter.usage(Instant::now()), None);
        assert!(meter.limit() > Some(0.0));
        for odd in ["", "x", "0 0", "-1 100000", "9-1", "18446744073709551615", "max"] {
            let files = [("cpu.stat", odd), ("cpu.max", odd), ("cpuset.cpus.effective", odd)];
            let root = folder("cgroup-odd", &files);
            let mut meter = Meter::at(&root);
            let _ = meter.usage(Instant::now());
            assert!(meter.limit() > Some(0.0), "{odd}");
            fs::remove_dir_all(root).unwrap();
        }
        assert_eq!(count("0-18446744073709551615"), None);
        assert_eq!(count("0-1,4,6-7"), Some(5));
    }
}
