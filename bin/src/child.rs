//! The wrapped process: started as it would be without us, told every signal, reaped with all its
//! orphans.

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, kill_process,
    set_child_subreaper, setrlimit, waitpid,
};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Exit status where the command is not there.
const EXIT_NOT_FOUND: u8 = 127;
/// Exit status where the command can't be executed.
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Exit status of a command that a signal has ended, less the signal's number.
const EXIT_SIGNAL: i32 = 128;

/// Numbers of the real-time signals that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The wrapped process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    ended: Option<u8>,
}

/// How the process is to be started, beside the command.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// Soft limit of open files that was raised for our sockets: the process gets the one before.
    pub(crate) files_max: Option<u64>,
    /// Variables that it finds beside ours.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// Why the process could not be started.
#[derive(Debug)]
pub(crate) struct SpawnError {
    command: OsString,
    error: io::Error,
}

impl Child {
    /// Starts the command with our descriptors, environment and working directory, in our process
    /// group. Where we are not PID 1, its orphans come to us from now on, if the kernel allows.
    ///
    /// # Errors
    ///
    /// What the kernel reports, for an exit status as shells give it.
    pub(crate) fn spawn(command: &[OsString], conditions: &Conditions) -> Result<Self, SpawnError> {
        let failed =
            |error| SpawnError { command: command.first().cloned().unwrap_or_default(), error };
        let (program, arguments) =
            command.split_first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        // Refused by some sandboxes; then orphans go where they would without us.
        let _ = set_child_subreaper(Some(rustix::process::getpid()));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(conditions.variables.iter().map(|(name, value)| (name, value)));
        if let Some(files_max) = conditions.files_max {
            limit_files(&mut command, files_max);
        }
        let child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        Ok(Self { pid, ended: None })
    }

    /// Sends a signal on. One that comes when the process has just ended goes nowhere.
    pub(crate) fn signal(&self, number: i32) {
        if self.ended.is_none()
            && let Some(signal) = Signal::from_named_raw(number).or_else(|| real_time(number))
        {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Reaps whatever has ended, the process itself or an orphan; gives the exit status of the
    /// process once it has one.
    pub(crate) fn reap(&mut self) -> Option<u8> {
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if pid == self.pid {
                self.ended = Some(exit_status(status));
            }
        }
        self.ended
    }
}

/// A real-time signal, which has a number and no name.
#[expect(unsafe_code, reason = "rustix has no name for it")]
fn real_time(number: i32) -> Option<Signal> {
    REAL_TIME.contains(&number).then(|| {
        // SAFETY: the number is not 0, and not one that the C library keeps for itself. Test:
        // `signals_to_pid_1_arrive_at_the_process`.
        unsafe { Signal::from_raw_unchecked(number) }
    })
}

/// Lets the process start with this soft limit of open files.
#[expect(unsafe_code, reason = "nothing else runs between fork and exec")]
fn limit_files(command: &mut Command, files_max: u64) {
    let undo = move || {
        let limit = getrlimit(Resource::Nofile);
        Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(files_max), ..limit })?)
    };
    // SAFETY: between fork and exec only calls that are async-signal-safe are allowed: the closure
    // makes two system calls and neither allocates nor locks. Test:
    // `the_process_has_the_limit_of_open_files_that_we_had`.
    unsafe { command.pre_exec(undo) };
}

impl SpawnError {
    /// The exit status that a shell would give.
    pub(crate) fn exit_status(&self) -> u8 {
        match self.error.kind() {
            io::ErrorKind::NotFound => EXIT_NOT_FOUND,
            _ => EXIT_NOT_EXECUTABLE,
        }
    }
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.command.display(), self.error)
    }
}

/// The exit status of a process as shells give it.
fn exit_status(status: WaitStatus) -> u8 {
    let number = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| EXIT_SIGNAL + signal));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}
