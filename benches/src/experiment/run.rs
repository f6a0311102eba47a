//! One replica of an experiment: intake and server are started, the load is sent, what it costs is
//! read, the server is stopped, and what arrived is compared with what was sent.
//!
//! ```text
//!  start ─▶ warm-up ─▶ measured ─▶ last burst ─▶ SIGTERM ─▶ end ─▶ counts
//!                      CPU, memory, ingress                 peak memory up to here
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::account::{self, Account};
use super::bounds::Values;
use super::destination::Destination;
use super::measure::Measure;
use super::plan::Plan;
use super::sidecar::{Transport, is_bound};
use super::stats::median;
use super::target::{Dialect, Place, Target};
use crate::interrupt::Interrupt;
use crate::load::{self, Kind, Length, Load, LoadOptions, LoadReport, Mix, Payload, Span, Texts};
use crate::port::FreePort;
use crate::process::{End, MemoryLimit, Process, Start};
use crate::sink;

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// How often it is looked for that.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// How often memory is read while it is measured.
const READ_EVERY: Duration = Duration::from_millis(200);

/// How long a load goes on before it is stopped under it.
const UNDER_LOAD: Duration = Duration::from_millis(500);

/// How long a server that is under load when it is asked to stop may go on taking it.
const REFUSAL_MAX: Duration = Duration::from_secs(30);

/// Lines of a server's output that are shown if it fails.
const LOG_LINES: usize = 10;

/// What a replica came to.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// What was measured.
    pub values: Values,
    /// What became of what is lost: reason and count, as the receipt says.
    pub reasons: Vec<(String, u64)>,
    /// Resident memory while it was measured: seconds since the start of the server, MiB.
    pub memory: Vec<(f64, f64)>,
    /// What is wrong whatever the bounds are.
    pub complaints: Vec<String>,
}

impl Replica {
    /// The replica for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let values: BTreeMap<_, _> =
            self.values.iter().map(|(measure, value)| (measure.name(), value)).collect();
        let reasons: BTreeMap<_, _> =
            self.reasons.iter().map(|(name, count)| (name, count)).collect();
        json!({
            "values": values, "reasons": reasons, "memory_mib": self.memory,
            "complaints": self.complaints,
        })
    }
}

/// An experiment with its load built: both sides of a comparison get the same bytes.
#[derive(Debug)]
pub struct Prepared {
    /// What was prepared.
    pub plan: Plan,
    loads: Vec<(Transport, LoadOptions, Payload)>,
    interrupt: Interrupt,
}

impl Prepared {
    /// Builds the load of an experiment for servers of a dialect. StatsD knows no tags: there each
    /// context has a name of its own, and all of them are counters.
    #[must_use]
    pub fn new(plan: Plan, dialect: Dialect, interrupt: &Interrupt) -> Self {
        let nowhere = || sink::Target::UnixDatagram(PathBuf::new());
        let loads = plan.load.iter().map(|load| {
            let mut options = load.options(nowhere());
            if dialect == Dialect::Statsd {
                options = LoadOptions {
                    tags: Span::only(0),
                    texts: Texts::Plain,
                    mix: Mix::only(Kind::Count),
                    values: Span::only(1),
                    ..options
                };
            }
            let payload = Payload::build(&options);
            (load.transport, options, payload)
        });
        Self { loads: loads.collect(), plan, interrupt: interrupt.clone() }
    }

    /// Runs a replica against a server.
    ///
    /// # Errors
    ///
    /// The server can't be started, does not listen or ends by itself, or the run is interrupted.
    pub fn run(&self, target: &Target, agent: &Path) -> io::Result<Replica> {
        let folder = tempfile::tempdir()?;
        let mut server = Server::start(self, target, agent, folder.path())?;
        let mut loads = server.connect(&self.loads)?;
        server.send(&mut loads, self.plan.warm_up, &self.interrupt)?;
        let before = Moment::of(&server.process, &loads)?;
        let memory = server.send(&mut loads, self.plan.duration, &self.interrupt)?;
        let after = Moment::of(&server.process, &loads)?;
        let Server { mut process, mut destination, started_in, .. } = server;
        let end = if self.plan.stop.under_load {
            stop_under(process, &mut loads, target.stop_time)?
        } else {
            for load in &mut loads {
                load.send(Length::Datagrams(0), self.plan.stop.burst)?;
            }
            process.end(target.stop_time)?
        };
        self.interrupt.check()?;
        let sent: Vec<LoadReport> = loads.iter().map(Load::report).collect();
        let account = destination.arrived().map(|arrived| Account::of(&sent, arrived));
        let receipt = target.receipt.as_ref().map(|name| read_json(&folder.path().join(name)));

        let mut values = window(&before, &after);
        let memories: Vec<f64> = memory.iter().map(|point| point.1).collect();
        values.extend(median(&memories).map(|value| (Measure::MemoryMib, value)));
        let slowest = after.sent.iter().map(|load| load.send_times.p99_us).reduce(f64::max);
        values.extend(slowest.map(|value| (Measure::SendP99Us, value)));
        values.extend([
            (Measure::MemoryPeakMib, mib(end.peak_bytes).max(after.peak_mib)),
            (Measure::StartMs, ms(started_in)),
            (Measure::StopMs, ms(end.took)),
        ]);
        if let Some(account) = account {
            values.insert(Measure::Lost, account.lost());
            values.insert(Measure::LostPercent, account.lost_percent());
        }
        let mut replica = Replica { values, memory, ..Replica::default() };
        if let Some(receipt) = &receipt {
            let missed = account::missed_bytes(&sent, receipt);
            replica.values.insert(Measure::MissedBytes, missed);
            replica.reasons = account::reasons(receipt);
            replica.complaints = account::complaints(receipt);
            let lost = account.map_or(0.0, |account| account.lost());
            if lost > 0.0 && replica.reasons.is_empty() {
                replica.complaints.push(format!("{lost} lost without a reason"));
            }
        }
        replica.complaints.extend(wrong_end(&end, target));
        Ok(replica)
    }
}

fn wrong_end(end: &End, target: &Target) -> Vec<String> {
    let mut wrong = Vec::new();
    match end.status {
        None => wrong.push(format!("did not end within {} s", target.stop_time.as_secs())),
        // Others end in their own ways.
        Some(status) if target.receipt.is_some() && !status.success() => {
            wrong.push(format!("ended with {status}"));
        }
        Some(_) => {}
    }
    if end.memory_kills > 0 {
        wrong.push("was killed for the memory limit".to_owned());
    }
    wrong
}

/// How far things are at one instant.
struct Moment {
    at: Instant,
    cpu: Duration,
    peak_mib: f64,
    sent: Vec<LoadReport>,
}

impl Moment {
    fn of(process: &Process, loads: &[Load]) -> io::Result<Self> {
        let sent = loads.iter().map(Load::report).collect();
        let usage = process.usage()?;
        Ok(Self { at: Instant::now(), cpu: usage.cpu, peak_mib: mib(usage.peak_bytes), sent })
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn sum(&self, of: fn(&LoadReport) -> u64) -> f64 {
        self.sent.iter().map(of).sum::<u64>() as f64
    }
}

/// What was measured between two moments.
fn window(before: &Moment, after: &Moment) -> Values {
    let seconds = (after.at - before.at).as_secs_f64();
    let cpu_s = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    let difference = |of| after.sum(of) - before.sum(of);
    let (bytes, messages) = (difference(|load| load.bytes), difference(|load| load.messages));
    let mut values = Values::from([
        (Measure::IngressMibPerS, bytes / f64::from(1 << 20) / seconds),
        (Measure::MessagesPerS, messages / seconds),
        (Measure::CpuPercent, 100.0 * cpu_s / seconds),
    ]);
    if messages > 0.0 {
        values.insert(Measure::CpuSPerMillion, cpu_s / messages * 1e6);
    }
    values
}

/// A server under measurement, and the intake behind it. Dropping it ends both.
pub(super) struct Server {
    process: Process,
    destination: Destination,
    place: Place,
    /// What `place` names.
    _ports: [FreePort; 2],
    started_in: Duration,
    /// Ends the loads when something is wrong: they may wait for room in a socket of nobody.
    halt: Interrupt,
}

impl Server {
    /// Starts intake and server; when this returns it listens.
    pub(super) fn start(
        run: &Prepared,
        target: &Target,
        agent: &Path,
        folder: &Path,
    ) -> io::Result<Self> {
        let used: Vec<Transport> = run.loads.iter().map(|load| load.0).collect();
        if let Some(lacking) = used.iter().find(|&used| !target.transports.contains(used)) {
            let text = format!("{} has no {} socket", target.name, lacking.name());
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let destination = Destination::start(&target.output, run.plan.intake.script.clone())?;
        let socket = |transport: Transport| match used.contains(&transport) {
            true => folder.join(transport.name()).to_string_lossy().into_owned(),
            false => String::new(),
        };
        // A server that knows no other transport listens anyway.
        let needs_udp = used.contains(&Transport::Udp) || target.transports == [Transport::Udp];
        let ports = [FreePort::find()?, FreePort::find()?];
        let [udp_port, free_port] = ports.each_ref().map(FreePort::number);
        let place = Place {
            agent: agent.to_owned(),
            folder: folder.to_owned(),
            udp_port: if needs_udp { udp_port } else { 0 },
            unix_datagram: socket(Transport::UnixDatagram),
            unix_stream: socket(Transport::UnixStream),
            intake_url: destination.url(),
            intake_port: destination.port(),
            free_port,
        };
        let mut start = Start::new(target.command.iter().map(|word| place.fill(word)));
        let settings = target.env.iter().chain(&run.plan.target.env);
        start.env = settings.map(|(name, value)| (name.clone(), place.fill(value))).collect();
        for (name, text) in &target.files {
            fs::write(folder.join(name), place.fill(text))?;
        }
        start.cpus.clone_from(&run.plan.target.cpus);
        start.memory_limit = run.plan.target.memory_limit.map(|bytes| MemoryLimit { bytes });
        start.folder = Some(folder.to_owned());
        start.log = Some(File::create(folder.join("log"))?);
        let process = start.spawn()?;
        let halt = Interrupt::default();
        let started_in = Duration::ZERO;
        let mut server = Self { process, destination, place, _ports: ports, started_in, halt };
        let sockets = if needs_udp && used.is_empty() { vec![Transport::Udp] } else { used };
        for transport in sockets {
            server.wait_for(transport, &run.interrupt)?;
        }
        server.started_in = server.process.started().elapsed();
        Ok(server)
    }

    /// The port that it takes UDP on.
    pub(super) fn udp_port(&self) -> u16 {
        self.place.udp_port
    }

    fn socket(&self, transport: Transport) -> sink::Target {
        match transport {
            Transport::Udp => sink::Target::Udp(([127, 0, 0, 1], self.place.udp_port).into()),
            Transport::UnixDatagram => {
                sink::Target::UnixDatagram(self.place.unix_datagram.clone().into())
            }
            Transport::UnixStream => {
                sink::Target::UnixStream(self.place.unix_stream.clone().into())
            }
        }
    }

    fn wait_for(&mut self, transport: Transport, interrupt: &Interrupt) -> io::Result<()> {
        let socket = self.socket(transport);
        while !is_bound(&socket)? {
            interrupt.check()?;
            self.check_running()?;
            if self.process.started().elapsed() > START_MAX {
                return Err(io::Error::other(format!("does not listen: {}", self.last_words())));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Goes on unless it has ended by itself.
    pub(super) fn check_running(&mut self) -> io::Result<()> {
        if self.process.is_running()? {
            return Ok(());
        }
        Err(io::Error::other(format!("the server has ended: {}", self.last_words())))
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.place.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn connect(&self, loads: &[(Transport, LoadOptions, Payload)]) -> io::Result<Vec<Load>> {
        let connected = loads.iter().map(|(transport, options, payload)| {
            let (target, interrupt) = (self.socket(*transport), self.halt.clone());
            let options = LoadOptions { target, interrupt, ..options.clone() };
            load::prepare_with(&options, payload)
        });
        connected.collect()
    }

    /// Sends all loads for a time and reads the memory meanwhile.
    fn send(
        &mut self,
        loads: &mut [Load],
        time: Duration,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<(f64, f64)>> {
        let end = Instant::now() + time;
        thread::scope(|scope| {
            let senders: Vec<_> = loads
                .iter_mut()
                .map(|load| scope.spawn(move || load.send(Length::Time(time), 0)))
                .collect();
            let mut memory = Vec::new();
            let mut watched = Ok(());
            while Instant::now() < end && watched.is_ok() {
                thread::sleep(READ_EVERY.min(end.saturating_duration_since(Instant::now())));
                if let Ok(usage) = self.process.usage() {
                    let at = self.process.started().elapsed().as_secs_f64();
                    memory.push((at, mib(usage.rss_bytes)));
                }
                watched = interrupt.check().and_then(|()| self.check_running());
            }
            if watched.is_err() {
                self.halt.raise();
                self.process.kill();
            }
            for sender in senders {
                sender.join().map_err(|_| io::Error::other("a load panicked"))??;
            }
            watched.map(|()| memory)
        })
    }
}

/// Asks a server to stop while the loads go on until they are refused.
fn stop_under(mut process: Process, loads: &mut [Load], stop_time: Duration) -> io::Result<End> {
    thread::scope(|scope| {
        let senders: Vec<_> = loads
            .iter_mut()
            .map(|load| scope.spawn(move || load.send(Length::Refusal(REFUSAL_MAX), 0)))
            .collect();
        thread::sleep(UNDER_LOAD);
        let end = process.end(stop_time);
        for sender in senders {
            sender.join().map_err(|_| io::Error::other("a load panicked"))??;
        }
        end
    })
}

fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
