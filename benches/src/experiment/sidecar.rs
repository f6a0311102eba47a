//! The agent beside an application: `lastdrop run` as a process with an intake of its own, loaded by
//! a thread, and stopped by a signal.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use crate::demo::{API_KEY, agent, free_udp_port};
use crate::intake::{Intake, IntakeOptions, Script};
use crate::load::{self, LoadOptions, LoadReport};
use crate::sink::Target;

/// How long the agent may take to bind its sockets, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked for its sockets.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Which of the agent's sockets is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// Unix datagram socket.
    UnixDatagram,
    /// Unix stream socket.
    UnixStream,
}

impl Transport {
    /// The name in receipts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::UnixDatagram => "unix_datagram",
            Self::UnixStream => "unix_stream",
        }
    }
}

/// A running agent.
pub(super) struct Sidecar {
    process: Child,
    target: Target,
    pub(super) intake: Intake,
    folder: tempfile::TempDir,
}

/// How an agent ended.
pub(super) struct End {
    /// None if it had to be killed.
    pub(super) status: Option<ExitStatus>,
    /// From the signal to the end.
    pub(super) took: Duration,
    /// Null if there is none.
    pub(super) receipt: Value,
    /// What it logged.
    pub(super) log: String,
}

impl Sidecar {
    /// Starts an intake and an agent that listens on one transport alone; when this returns it
    /// does.
    pub(super) fn start(agent: &Path, transport: Transport, script: Script) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let intake = Intake::start(IntakeOptions { script, ..IntakeOptions::default() })?;
        let port = if transport == Transport::Udp { free_udp_port()? } else { 0 };
        let socket = folder.path().join("socket");
        let mut command = Command::new(agent);
        agent::clear_settings(&mut command);
        let log = File::create(folder.path().join("log"))?;
        command
            .args(["run", "--linger", "0s", "--receipt"])
            .arg(folder.path().join("receipt.json"))
            .env("DD_API_KEY", API_KEY)
            .env("DD_DD_URL", intake.url())
            .env("DD_DOGSTATSD_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let target = match transport {
            Transport::Udp => Target::Udp(([127, 0, 0, 1], port).into()),
            Transport::UnixDatagram => {
                command.env("DD_DOGSTATSD_SOCKET", &socket);
                Target::UnixDatagram(socket)
            }
            Transport::UnixStream => {
                command.env("DD_DOGSTATSD_STREAM_SOCKET", &socket);
                Target::UnixStream(socket)
            }
        };
        let process = command.spawn()?;
        let mut sidecar = Self { process, target, intake, folder };
        sidecar.wait_for_socket()?;
        Ok(sidecar)
    }

    fn wait_for_socket(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_bound(&self.target)? {
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log"))?;
                return Err(io::Error::other(format!("the agent does not listen: {log}")));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Loads the agent from a thread until it refuses. When this returns the clients are
    /// connected.
    pub(super) fn load(
        &self,
        load: &LoadOptions,
    ) -> io::Result<JoinHandle<io::Result<LoadReport>>> {
        let load = LoadOptions { target: self.target.clone(), ..load.clone() };
        let load = load::prepare(&load)?;
        Ok(thread::spawn(move || load.run()))
    }

    /// Sends the agent a signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid()?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends a last signal and waits for the end.
    pub(super) fn end(&mut self, signal: Signal) -> io::Result<End> {
        let began = Instant::now();
        self.signal(signal)?;
        let descriptor = pidfd_open(self.pid()?, PidfdFlags::empty())?;
        let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        let ended = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&patience))? > 0;
        let took = began.elapsed();
        if !ended {
            self.process.kill()?;
        }
        let status = self.process.wait()?;
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name));
        let receipt = read("receipt.json").unwrap_or_default();
        Ok(End {
            status: ended.then_some(status),
            took,
            receipt: serde_json::from_str(&receipt).unwrap_or_default(),
            log: read("log")?,
        })
    }

    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("a process id out of range"))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// True once a datagram or a connection would be taken.
fn is_bound(target: &Target) -> io::Result<bool> {
    match target {
        Target::Udp(address) => {
            let local = format!(":{:04X} ", address.port());
            Ok(fs::read_to_string("/proc/net/udp")?.contains(&local))
        }
        Target::UnixDatagram(path) => Ok(UnixDatagram::unbound()?.connect(path).is_ok()),
        Target::UnixStream(path) => Ok(UnixStream::connect(path).is_ok()),
    }
}
