//! The memory limit of the container, read from its control group (version 1 or 2).
//!
//! A limit binds whoever stands below it, so all groups from our own up to the root count, and the
//! smallest limit wins. Inside a container our path is often not what the mount shows; then the
//! root of the mount is the container itself, and it is among the candidates.

use std::fs;
use std::path::{Path, PathBuf};

/// A limit from here on means "none": version 1 says so with the largest multiple of a page.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Returns the memory limit of this process in bytes, or `None` where there is none or it can't be
/// read. Reads some small files.
#[must_use]
pub fn memory_limit_bytes() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    candidates(&membership).iter().filter_map(|path| parse(&fs::read_to_string(path).ok()?)).min()
}

/// The files that may hold a limit, by the contents of `/proc/self/cgroup`:
/// `0::/path` (version 2) and `4:memory:/path` (version 1).
fn candidates(membership: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            files.push(Path::new(mount).join(group).join(file));
        }
    }
    files
}

/// The limit in the contents of such a file; `max` and what no machine has mean none.
fn parse(contents: &str) -> Option<u64> {
    contents.trim().parse().ok().filter(|&bytes| bytes < UNLIMITED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(membership: &str, expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(candidates(membership), expected);
    }

    #[test]
    fn every_group_up_to_the_root_is_asked() {
        check("0::/\n", &["/sys/fs/cgroup/memory.max"]);
        check(
            "0::/pod/task\n",
            &[
                "/sys/fs/cgroup/pod/task/memory.max",
                "/sys/fs/cgroup/pod/memory.max",
                "/sys/fs/cgroup/memory.max",
            ],
        );
        check(
            "5:cpu,cpuacct:/a\n4:memory:/a\n",
            &[
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ],
        );
        check("", &[]);
        check("nonsense\n3:cpu\n", &[]);
    }

    #[test]
    fn only_a_real_limit_counts() {
        assert_eq!(parse("67108864\n"), Some(67_108_864));
        assert_eq!(parse("max\n"), None);
        assert_eq!(parse("9223372036854771712\n"), None);
        assert_eq!(parse("-1\n"), None);
        assert_eq!(parse(""), None);
    }
}
