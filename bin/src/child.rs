//! The wrapped process: started as it would be without us, told every signal, reaped with all its
//! orphans.

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper, waitpid,
};
use std::ffi::OsString;
use std::io;
use std::process::Command;

/// Exit status where the command is not there.
const EXIT_NOT_FOUND: u8 = 127;
/// Exit status where the command can't be executed.
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Exit status of a command that a signal has ended, less the signal's number.
const EXIT_SIGNAL: i32 = 128;

/// The wrapped process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    ended: Option<u8>,
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
    pub(crate) fn spawn(command: &[OsString]) -> Result<Self, SpawnError> {
        let failed =
            |error| SpawnError { command: command.first().cloned().unwrap_or_default(), error };
        let (program, arguments) =
            command.split_first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        // Refused by some sandboxes; then orphans go where they would without us.
        let _ = set_child_subreaper(Some(rustix::process::getpid()));
        let child = Command::new(program).args(arguments).spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        Ok(Self { pid, ended: None })
    }

    /// Sends a signal on. One that comes when the process has just ended goes nowhere.
    pub(crate) fn signal(&self, number: i32) {
        if self.ended.is_none()
            && let Some(signal) = Signal::from_named_raw(number)
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
