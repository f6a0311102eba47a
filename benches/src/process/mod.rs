//! Programs under measurement: started on chosen processors and under a memory limit, read while
//! they run, and ended for certain, with everything that they have started.
//!
//! Each is the leader of a process group of its own: a Ctrl-C on the terminal reaches the lab alone,
//! which then ends what it has started; and what is ended is the whole group.

mod cgroup;
mod usage;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::demo::agent;
pub use cgroup::MemoryLimit;
pub use usage::{ThreadUsage, Usage};

/// How to start a program.
#[derive(Debug)]
pub struct Start {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Settings beside those that the lab itself has; `DD_…`, `LASTDROP_…` and proxy settings of
    /// the lab are kept from the program.
    pub env: Vec<(String, String)>,
    /// Processors that it may run on; empty for all.
    pub cpus: Vec<usize>,
    /// Most memory that it and its children may have.
    pub memory_limit: Option<MemoryLimit>,
    /// Where it works; `None` for where the lab does.
    pub folder: Option<PathBuf>,
    /// Where its output goes; `None` for nowhere.
    pub log: Option<File>,
}

impl Start {
    /// Starts it on all processors, without output, with the lab's own settings.
    #[must_use]
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cpus: Vec::new(),
            memory_limit: None,
            folder: None,
            log: None,
        }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// Names the program that can't be run, a processor that there is none of, or a memory limit
    /// that can't be set.
    pub fn spawn(self) -> io::Result<Process> {
        let Some(name) = self.command.first().cloned() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
        };
        let limit = self.memory_limit;
        let group = limit.map(cgroup::Group::create).transpose()?;
        let launcher = group.as_ref().map(cgroup::Group::launcher).unwrap_or_default();
        let mut words = launcher
            .iter()
            .map(OsString::as_os_str)
            .chain(self.command.iter().map(OsString::as_os_str));
        let mut command = Command::new(words.next().unwrap_or_default());
        agent::clear_settings(&mut command);
        command.args(words).envs(self.env).stdin(Stdio::null()).process_group(0);
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        match self.log {
            Some(log) => command.stdout(log.try_clone()?).stderr(log),
            None => command.stdout(Stdio::null()).stderr(Stdio::null()),
        };
        let started = Instant::now();
        let child = spawn_on(command, &self.cpus).map_err(|error| {
            io::Error::new(error.kind(), format!("can't start {}: {error}", name.display()))
        })?;
        Ok(Process { child, started, group })
    }
}

/// Starts a command from a thread that runs on the processors: the child inherits them before its
/// first instruction, and our own thread keeps its own.
fn spawn_on(mut command: Command, cpus: &[usize]) -> io::Result<Child> {
    if cpus.is_empty() {
        return command.spawn();
    }
    thread::scope(|scope| {
        let spawning = scope.spawn(|| {
            pin(cpus)?;
            command.spawn()
        });
        spawning.join().map_err(|_| io::Error::other("the starting thread panicked"))?
    })
}

/// Keeps the calling thread, and what it starts, on these processors.
///
/// # Errors
///
/// One of them isn't there.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(no_processor(cpu));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|_| no_processor(cpus.first().copied().unwrap_or(0)))
}

fn no_processor(cpu: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("no processor {cpu} to run on"))
}

/// How often the memory of a program that is ending is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running program. Dropping it kills it and what it has started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    started: Instant,
    group: Option<cgroup::Group>,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct End {
    /// `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    /// From the signal to the end.
    pub took: Duration,
    /// The most resident memory that it ever had, as far as it was seen: the last look is up to
    /// 5 ms before its end.
    pub peak_bytes: u64,
    /// Times that the kernel killed something of it for the memory limit.
    pub memory_kills: u64,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// True until it has ended.
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Reads what it has used so far: it and every process that it has started and that still runs.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn usage(&self) -> io::Result<Usage> {
        usage::of_tree(self.id())
    }

    /// Sends it a signal, and nobody else.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Waits until it has ended; false if it hasn't within the time.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn wait_for_end(&mut self, at_most: Duration) -> io::Result<bool> {
        if !self.is_running()? {
            return Ok(true);
        }
        let descriptor = pidfd_open(self.pid()?, PidfdFlags::empty())?;
        let patience = Timespec::try_from(at_most).map_err(io::Error::other)?;
        Ok(poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&patience))? > 0)
    }

    /// Kills it and what it has started.
    pub fn kill(&mut self) {
        // Once it was waited for, its id may be another's.
        if let Ok(None) = self.child.try_wait() {
            self.kill_group();
            let _ = self.child.wait();
        }
    }

    /// Asks it to end (SIGTERM), and kills it and what it has started if it doesn't within the time.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn end(&mut self, at_most: Duration) -> io::Result<End> {
        let asked = Instant::now();
        if self.is_running()? {
            self.signal(Signal::TERM)?;
        }
        let mut peak_bytes = 0;
        let ended = loop {
            let left = at_most.saturating_sub(asked.elapsed());
            if self.wait_for_end(left.min(LOOK_EVERY))? {
                break true;
            }
            if left.is_zero() {
                break false;
            }
            peak_bytes = self.usage().map_or(0, |usage| usage.peak_bytes).max(peak_bytes);
        };
        let took = asked.elapsed();
        self.kill_group();
        let status = self.child.wait()?;
        let memory_kills = self.group.take().map_or(0, |group| group.kills());
        Ok(End { status: ended.then_some(status), took, peak_bytes, memory_kills })
    }

    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("a process id out of range"))
    }

    /// The group outlives its leader as long as somebody is in it, and its id isn't given again
    /// before.
    fn kill_group(&self) {
        if let Ok(pid) = self.pid() {
            // Fails only if nobody is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Start {
        Start::new(["sh", "-c", script])
    }

    fn is_gone(id: u32) -> bool {
        !fs::exists(format!("/proc/{id}")).unwrap()
    }

    #[test]
    fn a_program_ends_when_it_is_asked_to() {
        let end = Start::new(["sleep", "600"]).spawn().unwrap().end(LONG).unwrap();
        assert!(end.status.is_some_and(|status| !status.success()), "{end:?}");
    }

    #[test]
    fn a_program_that_does_not_listen_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ready");
        let script = format!("trap '' TERM; touch {}; while :; do sleep 1; done", file.display());
        let mut process = shell(&script).spawn().unwrap();
        let id = process.id();
        while !file.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let end = process.end(Duration::from_millis(50)).unwrap();
        assert_eq!(end.status, None);
        assert!(is_gone(id));
    }

    /// Dropped without a word, as when a measurement fails half way.
    #[test]
    fn nothing_that_it_started_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let process = shell(&script).spawn().unwrap();
        let child: u32 = loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            match text.strip_suffix('\n') {
                Some(id) => break id.parse().unwrap(),
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let (usage, own) = (process.usage().unwrap(), process.id());
        assert_eq!(usage.processes, 2, "{usage:?}");
        drop(process);
        assert!(is_gone(own));
        // Its parent is gone, so it is waited for by somebody else, in their own time.
        let deadline = Instant::now() + LONG;
        while !is_gone(child) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(is_gone(child));
    }

    #[test]
    fn it_runs_where_it_was_put_and_we_stay_where_we_were() {
        let allowed = |id: &str| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
            line.split_once(":\t").unwrap().1.to_owned()
        };
        let before = allowed("thread-self");
        let start = Start { cpus: vec![0], ..Start::new(["sleep", "600"]) };
        let process = start.spawn().unwrap();
        assert_eq!(allowed(&process.id().to_string()), "0");
        assert_eq!(allowed("thread-self"), before);
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let error = Start::new(["/nowhere/program"]).spawn().unwrap_err();
        assert!(error.to_string().starts_with("can't start /nowhere/program: "), "{error}");
        let start = Start { cpus: vec![1_000], ..Start::new(["true"]) };
        assert!(start.spawn().unwrap_err().to_string().contains("no processor 1000"));
    }

    #[test]
    fn used_time_grows() {
        let process = shell("while :; do :; done").spawn().unwrap();
        let deadline = Instant::now() + LONG;
        while process.usage().unwrap().cpu < Duration::from_millis(20) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
        let usage = process.usage().unwrap();
        assert!(usage.rss_bytes > 0 && usage.peak_bytes >= usage.rss_bytes, "{usage:?}");
        assert_eq!(usage.threads.len(), 1);
    }
}
