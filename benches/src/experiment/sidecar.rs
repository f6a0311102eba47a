//! The agent beside an application: `lastdrop run` as a process with an intake of its own, loaded by
//! a thread, and stopped by a signal.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::demo::API_KEY;
use crate::intake::{Intake, IntakeOptions};
use crate::load::{self, LoadOptions, LoadReport};
use crate::port::FreePort;
use crate::process::{Process, Start, Usage};
use crate::sink::Target;

/// How long the agent may take to bind its sockets, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked for its sockets.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Which of the agent's sockets is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    process: Process,
    target: Target,
    pub(super) intake: Arc<Intake>,
    folder: tempfile::TempDir,
    _port: FreePort,
}

/// How to start an agent.
pub(super) struct Setup<'a> {
    /// The program.
    pub(super) agent: &'a Path,
    /// What it listens on, and nothing else.
    pub(super) transport: Transport,
    /// The intake that it delivers to.
    pub(super) intake: Arc<Intake>,
    /// Settings beside those that it needs.
    pub(super) settings: Vec<(String, String)>,
    /// Processors that it may run on; empty for all.
    pub(super) cpus: Vec<usize>,
}

impl<'a> Setup<'a> {
    /// An agent on all processors, with an intake of its own that does nothing wrong.
    ///
    /// # Errors
    ///
    /// The system has no port, thread or descriptor left.
    pub(super) fn new(agent: &'a Path, transport: Transport) -> io::Result<Self> {
        let intake = Arc::new(Intake::start(IntakeOptions::default())?);
        Ok(Self::before(intake, agent, transport))
    }

    /// The same before an intake that is there.
    pub(super) fn before(intake: Arc<Intake>, agent: &'a Path, transport: Transport) -> Self {
        let (settings, cpus) = (Vec::new(), Vec::new());
        Self { agent, transport, intake, settings, cpus }
    }
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
    /// Starts an agent; when this returns it listens.
    pub(super) fn start(setup: Setup<'_>) -> io::Result<Self> {
        let Setup { agent, transport, intake, settings, cpus } = setup;
        let folder = tempfile::tempdir()?;
        let port = FreePort::find()?;
        let socket = folder.path().join("socket");
        let mut start = Start::new([agent.as_os_str()]);
        let receipt = folder.path().join("receipt.json");
        let words = ["run", "--linger", "0s", "--receipt"];
        start.command.extend(words.map(Into::into));
        start.command.push(receipt.into());
        start.log = Some(File::create(folder.path().join("log"))?);
        start.cpus = cpus;
        let mut set = |name: &str, value: String| start.env.push((name.to_owned(), value));
        set("DD_API_KEY", API_KEY.to_owned());
        set("DD_DD_URL", intake.url());
        if let Some(pem) = intake.ca_pem() {
            let authority = folder.path().join("ca.pem");
            fs::write(&authority, pem)?;
            set("LASTDROP_CA_FILE", authority.display().to_string());
        }
        let target = match transport {
            Transport::Udp => {
                set("DD_DOGSTATSD_PORT", port.number().to_string());
                Target::Udp(([127, 0, 0, 1], port.number()).into())
            }
            Transport::UnixDatagram => {
                set("DD_DOGSTATSD_PORT", "0".to_owned());
                set("DD_DOGSTATSD_SOCKET", socket.display().to_string());
                Target::UnixDatagram(socket)
            }
            Transport::UnixStream => {
                set("DD_DOGSTATSD_PORT", "0".to_owned());
                set("DD_DOGSTATSD_STREAM_SOCKET", socket.display().to_string());
                Target::UnixStream(socket)
            }
        };
        start.env.extend(settings);
        let mut sidecar = Self { process: start.spawn()?, target, intake, folder, _port: port };
        sidecar.wait_for_socket()?;
        Ok(sidecar)
    }

    fn wait_for_socket(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_bound(&self.target)? {
            if !self.process.is_running()? || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log"))?;
                return Err(io::Error::other(format!("the agent does not listen: {log}")));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Where it listens.
    pub(super) fn target(&self) -> &Target {
        &self.target
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

    /// What the agent has used so far.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        self.process.usage()
    }

    /// Sends the agent a signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Sends a last signal and waits for the end.
    pub(super) fn end(&mut self, signal: Signal) -> io::Result<End> {
        let began = Instant::now();
        self.signal(signal)?;
        let ended = self.process.wait_for_end(PATIENCE)?;
        let took = began.elapsed();
        let status = self.process.end(Duration::ZERO)?.status;
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name));
        let receipt = read("receipt.json").unwrap_or_default();
        Ok(End {
            status: status.filter(|_| ended),
            took,
            receipt: serde_json::from_str(&receipt).unwrap_or_default(),
            log: read("log")?,
        })
    }
}

/// True once a datagram or a connection would be taken.
pub(super) fn is_bound(target: &Target) -> io::Result<bool> {
    match target {
        Target::Udp(address) => {
            let local = format!(":{:04X} ", address.port());
            Ok(fs::read_to_string("/proc/net/udp")?.contains(&local))
        }
        Target::UnixDatagram(path) => Ok(UnixDatagram::unbound()?.connect(path).is_ok()),
        Target::UnixStream(path) => Ok(UnixStream::connect(path).is_ok()),
    }
}
