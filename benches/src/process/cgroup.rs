//! A memory limit by a control group (version 1 or 2) that lives as long as what runs in it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Looks for the end of a group's last process, which the kernel buries in its own time.
const LOOKS_FOR_END: u32 = 200;

/// Most memory that a program and its children may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes, page cache and socket buffers included.
    pub bytes: u64,
}

/// A group with a limit. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.display().fmt(f)
    }
}

impl Group {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// There is no memory controller, or it isn't ours to use; says which.
    pub(super) fn create(limit: MemoryLimit) -> io::Result<Self> {
        let (parent, version) = controller(Path::new(ROOT)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "no memory controller under /sys/fs/cgroup")
        })?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("lastdrop-lab-{}-{number}", process::id()));
        let refused = |error: io::Error| {
            let text = format!("can't limit the memory with {}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        };
        fs::create_dir(&folder).map_err(refused)?;
        let group = Self { folder: folder.clone(), version };
        let file = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        fs::write(group.folder.join(file), limit.bytes.to_string()).map_err(refused)?;
        Ok(group)
    }

    /// Words before a command that make it start inside the group: the shell enters it and then
    /// becomes the command.
    pub(super) fn launcher(&self) -> Vec<OsString> {
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        let door = self.folder.join("cgroup.procs");
        vec!["sh".into(), "-c".into(), script.into(), door.into()]
    }

    /// Times that the kernel killed something in it for the limit.
    pub(super) fn kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..LOOKS_FOR_END {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The folder in which groups with a memory limit are made.
fn controller(root: &Path) -> Option<(PathBuf, Version)> {
    let one = root.join("memory");
    if one.join("memory.limit_in_bytes").exists() {
        return Some((one, Version::One));
    }
    // The root of version 2 lists what its children are granted.
    let granted = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
    granted.split_whitespace().any(|name| name == "memory").then(|| (root.into(), Version::Two))
}

#[cfg(test)]
mod tests {
    use super::super::Start;
    use super::*;

    #[test]
    fn the_controller_is_found_in_both_versions() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(controller(root.path()), None);
        fs::write(root.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        assert_eq!(controller(root.path()), Some((root.path().to_owned(), Version::Two)));
        fs::create_dir(root.path().join("memory")).unwrap();
        fs::write(root.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        assert_eq!(controller(root.path()), Some((root.path().join("memory"), Version::One)));
    }

    /// Where the machine allows no limit, the answer must say so; where it does, what is over it is
    /// killed and the group goes.
    #[test]
    fn a_program_over_its_limit_is_killed_and_counted() {
        let limit = MemoryLimit { bytes: 16 << 20 };
        let hungry = "x=x; while :; do x=$x$x; done";
        let start = Start { memory_limit: Some(limit), ..Start::new(["sh", "-c", hungry]) };
        match start.spawn() {
            Ok(mut process) => {
                let folder = process.group.as_ref().unwrap().folder.clone();
                assert!(process.wait_for_end(Duration::from_secs(60)).unwrap());
                assert!(process.end(Duration::ZERO).unwrap().memory_kills > 0);
                assert!(!folder.exists());
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("memory"), "{text}");
            }
        }
    }
}
