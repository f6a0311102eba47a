//! Who receives a load, the agent or a receiver that only drains: started, loaded and accounted for
//! alike, each as a process of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::counted;
use super::sidecar::{Setup, Sidecar, Transport};
use crate::drain::DrainReport;
use crate::load::{self, Length, Load, LoadOptions, LoadReport};
use crate::process::{Process, Start, Usage, pin};
use crate::sink::Target;

/// How long a receiver may take to bind, to come to rest, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether a receiver has come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Processor time between two looks that is rest: nobody reads a socket for so little.
const REST: Duration = Duration::from_micros(500);

/// Who receives.
#[derive(Clone, Debug)]
pub(super) enum Contender {
    /// The agent, with settings beside those that it needs.
    Agent(Vec<(String, String)>),
    /// A receiver that only drains the sockets that the agent would have.
    Drain(DrainKind),
}

/// The sockets of a receiver that only drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DrainKind {
    /// One UDP socket instead of the agent's group.
    pub(super) single: bool,
    /// What each socket asks for; `None` for what the agent does.
    pub(super) receive_buffer_bytes: Option<usize>,
}

/// One load on one receiver.
pub(super) struct Trial {
    /// The agent.
    pub(super) agent: PathBuf,
    /// Which of its sockets is loaded.
    pub(super) transport: Transport,
    /// The load, whatever its target.
    pub(super) load: LoadOptions,
    /// How long the same is sent before, unmeasured, so that its contexts are known; only where
    /// senders wait, for its losses would be taken for the load's.
    pub(super) warm_up: Option<Duration>,
    /// Processors of the receiver and of the sender; empty for all.
    pub(super) cpus: Vec<usize>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// What was sent.
    pub(super) load: LoadReport,
    /// Datagrams of the load before it, all of them taken.
    pub(super) warm_up_datagrams: u64,
    /// Datagrams that the receiver took.
    pub(super) received: u64,
    /// Datagrams that the kernel dropped.
    pub(super) dropped: u64,
    /// Processor time from before the load until the receiver had come to rest.
    pub(super) cpu: Duration,
    /// The same of the threads whose names start with `work`: nothing for a receiver that drains.
    pub(super) worker_cpu: Duration,
    /// Resident memory at rest.
    pub(super) rss_bytes: u64,
    /// The receipt of an agent.
    pub(super) receipt: Value,
}

impl Account {
    /// Datagrams taken a second while they were sent.
    pub(super) fn rate(&self) -> f64 {
        number(self.received) / self.load.seconds
    }

    /// Microseconds of processor time a datagram.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / number(self.received)
    }

    /// Messages in what was taken, as the load packs them.
    pub(super) fn messages(&self) -> f64 {
        number(self.load.messages) * number(self.received) / number(self.load.datagrams)
    }

    /// Processor seconds a million messages.
    pub(super) fn cpu_s_per_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages()
    }

    /// Millions of messages a processor second of the workers; nothing for a receiver that drains.
    pub(super) fn worker_millions(&self) -> Option<f64> {
        let cpu_s = self.worker_cpu.as_secs_f64();
        (cpu_s > 0.0).then(|| self.messages() / cpu_s / 1e6)
    }

    /// Milliseconds from a datagram's arrival to its parsing at worst, as the agent says; nothing
    /// for a receiver that drains.
    pub(super) fn age_ms_max(&self) -> f64 {
        number(counted(&self.receipt, "/workers/age_ns_max")) / 1e6
    }

    /// Datagrams sent a second.
    pub(super) fn sent_rate(&self) -> f64 {
        number(self.load.datagrams) / self.load.seconds
    }

    /// The share of the datagrams that the kernel dropped.
    pub(super) fn lost_share(&self) -> f64 {
        number(self.dropped) / number(self.load.datagrams)
    }

    /// Datagrams that were neither taken nor counted as dropped.
    pub(super) fn unaccounted(&self) -> u64 {
        self.load.datagrams.abs_diff(self.received + self.dropped)
    }
}

impl Trial {
    /// Runs the load on a fresh receiver.
    pub(super) fn run(&self, contender: &Contender) -> io::Result<Account> {
        match contender {
            Contender::Agent(settings) => self.run_agent(settings),
            Contender::Drain(kind) => self.run_drain(*kind),
        }
    }

    fn run_agent(&self, settings: &[(String, String)]) -> io::Result<Account> {
        let mut sidecar = Sidecar::start(Setup {
            settings: settings.to_vec(),
            cpus: self.cpus.clone(),
            ..Setup::new(&self.agent, self.transport)?
        })?;
        let mut account = self.account(sidecar.target(), || sidecar.usage())?;
        let end = sidecar.end(Signal::TERM)?;
        if end.receipt.is_null() {
            return Err(io::Error::other(format!("the agent left no receipt: {}", end.log)));
        }
        let of_transport =
            |what| counted(&end.receipt, &format!("/receivers/{what}/{}", self.transport.name()));
        account.received = of_transport("received").saturating_sub(account.warm_up_datagrams);
        account.dropped = of_transport("kernel_dropped");
        account.receipt = end.receipt;
        Ok(account)
    }

    fn run_drain(&self, kind: DrainKind) -> io::Result<Account> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let this = std::env::current_exe()?;
        let mut start = Start::new([this.as_os_str(), "drain".as_ref()]);
        if self.transport == Transport::UnixDatagram {
            start.command.extend(["--unix".into(), folder.path().join("socket").into()]);
        }
        if kind.single {
            start.command.push("--single".into());
        }
        if let Some(bytes) = kind.receive_buffer_bytes {
            start.command.extend(["--receive-buffer".into(), bytes.to_string().into()]);
        }
        start.log = Some(File::create(&log)?);
        start.cpus.clone_from(&self.cpus);
        let mut process = start.spawn()?;
        let target = first_line(&mut process, &log)?.parse().map_err(io::Error::other)?;
        let mut account = self.account(&target, || process.usage())?;
        process.end(PATIENCE)?;
        let log = fs::read_to_string(&log)?;
        let report = log.split_once('\n').map_or("", |(_, report)| report);
        let report: DrainReport = serde_json::from_str(report)
            .map_err(|error| io::Error::other(format!("{error} in what drains says: {log}")))?;
        account.received = report.datagrams.saturating_sub(account.warm_up_datagrams);
        account.dropped = report.kernel_dropped;
        Ok(account)
    }

    /// Sends the load and reads what it cost.
    fn account(
        &self,
        target: &Target,
        usage: impl Fn() -> io::Result<Usage>,
    ) -> io::Result<Account> {
        let load = LoadOptions { target: target.clone(), ..self.load.clone() };
        let warm_up_datagrams = match self.warm_up {
            Some(time) => {
                let warm_up = LoadOptions { length: Length::Time(time), ..load.clone() };
                self.send(load::prepare(&warm_up)?)?.datagrams
            }
            None => 0,
        };
        let load = load::prepare(&load)?;
        let before = rest(&usage)?;
        let report = self.send(load)?;
        let after = rest(&usage)?;
        Ok(Account {
            load: report,
            warm_up_datagrams,
            cpu: after.cpu.saturating_sub(before.cpu),
            worker_cpu: after.cpu_of("work").saturating_sub(before.cpu_of("work")),
            rss_bytes: after.rss_bytes,
            ..Account::default()
        })
    }

    /// Sends from the processors of the trial.
    fn send(&self, load: Load) -> io::Result<LoadReport> {
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                if !self.cpus.is_empty() {
                    pin(&self.cpus)?;
                }
                load.run()
            });
            sending.join().map_err(|_| io::Error::other("a sender panicked"))?
        })
    }
}

/// Waits until a receiver has read all that it will; gives what it has used until then.
pub(super) fn rest(usage: &impl Fn() -> io::Result<Usage>) -> io::Result<Usage> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = usage()?;
    loop {
        thread::sleep(LOOK_EVERY);
        let now = usage()?;
        if now.cpu.saturating_sub(before.cpu) < REST || Instant::now() > deadline {
            return Ok(before);
        }
        before = now;
    }
}

/// Waits for the first line of a program's log.
fn first_line(process: &mut Process, log: &Path) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(log)?;
        if let Some((line, _)) = text.split_once('\n') {
            return Ok(line.to_owned());
        }
        if !process.is_running()? || Instant::now() > deadline {
            return Err(io::Error::other(format!("nothing drains: {text}")));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
