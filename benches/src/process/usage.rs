//! What a process and its children have used, as `/proc` tells.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

/// What a program has used since its start.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Processes that still run: the program and what it has started.
    pub processes: usize,
    /// Processor time of all of their threads, in user and kernel, to the nanosecond. What threads
    /// used that have ended is in it to the clock tick.
    pub cpu: Duration,
    /// The part of it in user mode, to the clock tick.
    pub user: Duration,
    /// The part of it in the kernel, to the clock tick.
    pub system: Duration,
    /// Resident memory now, summed over the processes.
    pub rss_bytes: u64,
    /// The most that each of them ever had, summed.
    pub peak_bytes: u64,
    /// Times that a thread slept and was woken, summed over the threads that still run.
    pub wakeups: u64,
    /// Thread by thread.
    pub threads: Vec<ThreadUsage>,
}

/// What one thread has used.
#[derive(Clone, Debug)]
pub struct ThreadUsage {
    /// Its name.
    pub name: String,
    /// Processor time in user and kernel.
    pub cpu: Duration,
    /// Times that it slept and was woken.
    pub wakeups: u64,
}

impl Usage {
    /// Processor time of the threads whose names start so.
    #[must_use]
    pub fn cpu_of(&self, name: &str) -> Duration {
        let threads = self.threads.iter().filter(|thread| thread.name.starts_with(name));
        threads.map(|thread| thread.cpu).sum()
    }
}

/// Clock ticks a second in `/proc`: fixed for programs, whatever the kernel's own clock does.
const TICKS_PER_S: u64 = 100;

/// Reads a process and all that descend from it.
///
/// # Errors
///
/// There is no such process. One that ends meanwhile is left out.
pub(super) fn of_tree(root: u32) -> io::Result<Usage> {
    let mut usage = Usage::default();
    add(&mut usage, root)?;
    for id in descendants(root) {
        // It may have ended since.
        let _ = add(&mut usage, id);
    }
    Ok(usage)
}

fn add(usage: &mut Usage, id: u32) -> io::Result<()> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let kib = |name: &str| field(&status, name).unwrap_or(0) * 1024;
    let (user, system) = ticks(&stat).unwrap_or_default();
    let mut of_threads = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let path = task?.path();
        let read = |name: &str| fs::read_to_string(path.join(name));
        // A thread may end while it is read.
        let (Ok(name), Ok(run), Ok(status)) = (read("comm"), read("schedstat"), read("status"))
        else {
            continue;
        };
        let run_ns = run.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        let cpu = Duration::from_nanos(run_ns);
        let wakeups = field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
        of_threads += cpu;
        usage.wakeups += wakeups;
        usage.threads.push(ThreadUsage { name: name.trim_end().to_owned(), cpu, wakeups });
    }
    usage.processes += 1;
    // The threads are exact and the process knows of those that have ended.
    usage.cpu += of_threads.max((user + system).saturating_sub(TICK));
    usage.user += user;
    usage.system += system;
    usage.rss_bytes += kib("VmRSS:");
    usage.peak_bytes += kib("VmHWM:");
    Ok(())
}

/// What both of a process's two times may be ahead by for their rounding.
const TICK: Duration = Duration::from_millis(2_000 / TICKS_PER_S);

/// User and kernel time. The name before them may hold anything, so they are counted from its end.
fn ticks(stat: &str) -> Option<(Duration, Duration)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_S))
    };
    Some((next()?, next()?))
}

/// The number behind a field's name in `status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn descendants(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut left = vec![root];
    while let Some(id) = left.pop() {
        // Children are listed under the thread that started them.
        for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|child| child.parse().ok());
            left.extend(children.filter(|&child| found.insert(child)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 12345";
        let expected = (Duration::from_millis(2_500), Duration::from_millis(500));
        assert_eq!(ticks(stat), Some(expected));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "VmHWM:\t    2048 kB\nvoluntary_ctxt_switches:\t7\n\
                      nonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(field(status, "VmHWM:"), Some(2_048));
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(status, "VmRSS:"), None);
    }

    #[test]
    fn nobody_has_no_usage() {
        assert!(of_tree(u32::MAX).is_err());
    }
}
