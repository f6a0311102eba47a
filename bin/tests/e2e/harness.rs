//! Starts intakes and agents, collects what they say, and lets none of them outlive its test.

use std::io::{Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lastdrop_lab::intake::{Intake, IntakeOptions, Totals};
use lastdrop_lab::load::{Length, LoadOptions, LoadReport};
use lastdrop_lab::sink::{OnFull, Sink, Target};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::port::free_port;

/// Longest time that anything may take; nothing waits for it to pass.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A key of 32 characters, as real ones are. Nothing may print it.
pub(crate) const API_KEY: &str = "5ecre75ecre75ecre75ecre75ecre7ab";

/// What an agent has beyond the deadline of its stop to count what is left.
const COUNTING: Duration = Duration::from_millis(400);

/// Stops that are tried until the machine stands still at the deadline of none.
const TRIES: u32 = 5;

/// How often a process is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// An intake that plays a script; an empty one behaves.
pub(crate) fn intake(script: &str) -> Intake {
    let script = script.parse().unwrap();
    Intake::start(IntakeOptions { script, ..IntakeOptions::default() }).unwrap()
}

/// Waits until the intake's totals meet a condition.
#[track_caller]
pub(crate) fn wait_for(intake: &Intake, what: &str, condition: impl Fn(&Totals) -> bool) {
    let came = intake.wait_until(condition, BOUND);
    assert!(came, "{what}: waited in vain; the intake has {:#?}", intake.totals());
}

/// The load of one sender that knows what it sent: so many increments, one a datagram.
pub(crate) fn increments(target: Target, count: u64) -> LoadOptions {
    LoadOptions { contexts: 100, ..LoadOptions::new(target, Length::Datagrams(count)) }
}

/// Compares a count at the intake with what was sent. A rate is a quotient: what rounding leaves of
/// it is no difference.
#[track_caller]
pub(crate) fn same_count(counted: f64, sent: u64) {
    assert!((counted - sent as f64).abs() < 1e-6, "counted {counted}, sent {sent}");
}

/// Compares the increments at the intake with those of a load.
#[track_caller]
pub(crate) fn arrived(intake: &Intake, load: &LoadReport) {
    same_count(intake.totals().under("load.count.").count, load.types["count"].sum);
}

/// Sends datagrams to a socket; each has to be taken.
#[track_caller]
pub(crate) fn send(target: &Target, datagrams: &[&str]) {
    let mut sink = Sink::connect(target, OnFull::Wait).unwrap();
    for datagram in datagrams {
        let sent = sink.send(&[datagram.as_bytes()]);
        assert!(sent.taken == 1 && sent.error.is_none(), "{target}: {sent:?}");
    }
}

/// Gives what a run of an agent that uses the whole time of its stop has come to, and what else the
/// test wants of that run. A run in which the machine stood still at the deadline tells nothing.
pub(crate) fn unless_stalled<T>(run: impl Fn() -> (Ended, T)) -> (Ended, T) {
    let mut done = run();
    for _ in 1..TRIES {
        if !done.0.was_stalled() {
            break;
        }
        done = run();
    }
    done
}

/// An agent that is about to be started.
pub(crate) struct Setup {
    command: Command,
    folder: TempDir,
    stdin: Option<String>,
}

impl Setup {
    /// `lastdrop` with these arguments in an environment of its own: no key, no intake, no settings
    /// file of this machine.
    pub(crate) fn bare(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("empty.yaml");
        std::fs::write(&settings, "").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop"));
        command.args(arguments).env_clear().env("LASTDROP_CONFIG", settings);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Self { command, folder, stdin: None }
    }

    /// A sidecar on a free port that delivers to an intake, lingers only shortly and writes its
    /// receipt to a file.
    pub(crate) fn run(intake: &Intake) -> Self {
        Self::bare(&["run"]).delivering_to(intake).env("DD_DOGSTATSD_PORT", "__random__")
    }

    /// A wrapper around `sh -c SCRIPT`; in the script `$PORT` is the agent's port.
    pub(crate) fn init(intake: &Intake, script: &str) -> Self {
        let port = free_port().to_string();
        let init = Self::bare(&["init"]).delivering_to(intake);
        init.env("DD_DOGSTATSD_PORT", &port).env("PORT", &port).wrapping(&["bash", "-c", script])
    }

    fn delivering_to(self, intake: &Intake) -> Self {
        let receipt = self.receipt_file();
        self.env("DD_API_KEY", API_KEY)
            .env("DD_DD_URL", intake.url())
            .env("DD_LOG_LEVEL", "info")
            .env("LASTDROP_LINGER", "100ms")
            .env("LASTDROP_RECEIPT", receipt)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// The command of `init`, behind all flags.
    pub(crate) fn wrapping(mut self, command: &[&str]) -> Self {
        self.command.arg("--").args(command);
        self
    }

    /// What the process reads; nothing if this isn't called.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// A path in a folder that is gone with the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn receipt_file(&self) -> PathBuf {
        self.path("receipt.json")
    }

    #[track_caller]
    pub(crate) fn start(self) -> Agent {
        let receipt = self.receipt_file();
        let Self { mut command, folder, stdin } = self;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        // A group of its own, so that a failed test can end the wrapped process too.
        let mut process = command.process_group(0).spawn().unwrap();
        let stdout = Said::collect(process.stdout.take().unwrap());
        let stderr = Said::collect(process.stderr.take().unwrap());
        if let (Some(text), Some(mut pipe)) = (stdin, process.stdin.take()) {
            pipe.write_all(text.as_bytes()).unwrap();
        }
        Agent { process, stdout, stderr, receipt, _folder: folder }
    }
}

/// A running agent; dropping it kills it and what it wraps.
pub(crate) struct Agent {
    process: Child,
    stdout: Arc<Said>,
    stderr: Arc<Said>,
    receipt: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// The UDP address that it listens on, once it does.
    #[track_caller]
    pub(crate) fn udp(&self) -> SocketAddr {
        let front = "listening: Udp(127.";
        let line = self.says(front);
        let address = line.split_once("Udp(").and_then(|(_, rest)| rest.split_once(')'));
        address.unwrap().0.parse().unwrap()
    }

    /// Its UDP socket as a target, once it listens.
    #[track_caller]
    pub(crate) fn udp_target(&self) -> Target {
        Target::Udp(self.udp())
    }

    /// Waits for a line on standard error that holds `part`, and gives it.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> String {
        match self.stderr.wait_for_line(part) {
            Ok(line) => line,
            Err(all) => panic!("no line with {part:?} in:\n{all}"),
        }
    }

    /// Waits for a line on standard output that holds `part`, and gives it.
    #[track_caller]
    pub(crate) fn prints(&self, part: &str) -> String {
        match self.stdout.wait_for_line(part) {
            Ok(line) => line,
            Err(all) => {
                panic!("no line with {part:?} in:\n{all}\nand it said:\n{}", self.stderr.text())
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + BOUND;
        let mut looks = Looks::begin();
        let status = loop {
            looks.look();
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "the agent does not end; it said:\n{}", self.stderr.text());
            thread::sleep(LOOK);
        };
        let receipt = std::fs::read(&self.receipt).ok();
        Ended {
            code: status.code(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
            stood_still: looks.longest_gap,
            receipt: receipt.map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // Not waited for yet, so the number is still that of this group.
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// Tells for how long this process stood still while it looked at something again and again.
pub(crate) struct Looks {
    last: Instant,
    /// Longest time between two looks.
    pub(crate) longest_gap: Duration,
}

impl Looks {
    pub(crate) fn begin() -> Self {
        Self { last: Instant::now(), longest_gap: Duration::ZERO }
    }

    pub(crate) fn look(&mut self) {
        self.longest_gap = self.longest_gap.max(self.last.elapsed());
        self.last = Instant::now();
    }
}

/// What is left of an agent.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Longest time between two looks at whether it has ended: as long, this process stood still.
    pub(crate) stood_still: Duration,
    /// Null if there is none.
    pub(crate) receipt: Value,
}

impl Ended {
    /// The exit status, and a receipt that balances and says that nothing was lost.
    #[track_caller]
    pub(crate) fn is_lossless(&self, code: i32) {
        self.has_code(code);
        let verdict = (&self.receipt["balanced"], &self.receipt["lossless"]);
        assert_eq!(verdict, (&true.into(), &true.into()), "{self}");
    }

    #[track_caller]
    pub(crate) fn has_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self}");
    }

    /// A number of the receipt, by JSON pointer; a counter of a kind that is left out is 0.
    #[track_caller]
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(self.receipt.pointer(parent).is_some(), "no {parent} in {self}");
        self.receipt.pointer(pointer).map_or(0, |value| value.as_u64().unwrap())
    }

    /// Whether the machine stood still at the deadline of the stop: what was left was not counted in
    /// the [`COUNTING`] that the agent has for it, or not written to the spool, and we were not
    /// scheduled any more than the agent was.
    fn was_stalled(&self) -> bool {
        let late = &self.receipt["spool"]["not_stored"]["late"];
        let missed = self.receipt["stop"]["stage"] == "deliver" || late.is_object();
        missed && self.stood_still > COUNTING / 2
    }

    /// The lines on standard error that are warnings or errors.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        let complaint = |line: &&str| line.contains(": warning: ") || line.contains(": error: ");
        self.stderr.lines().filter(complaint).collect()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, stdout, stderr, stood_still, receipt } = self;
        write!(
            f,
            "status {code:?}, waited for with a gap of {stood_still:?}, receipt {receipt:#}, it printed:\n{stdout}\nand said:\n{stderr}"
        )
    }
}

/// What a process has written to one of its outputs so far.
#[derive(Default)]
struct Said {
    state: Mutex<(String, Output)>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Output {
    #[default]
    Open,
    Closed,
}

impl Said {
    /// Reads an output to its end, on a thread, so that it never fills up.
    fn collect(mut output: impl Read + Send + 'static) -> Arc<Self> {
        let said = Arc::new(Self::default());
        let shared = Arc::clone(&said);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..bytes]);
                shared.change(|state| state.0.push_str(&text));
            }
            shared.change(|state| state.1 = Output::Closed);
        });
        said
    }

    fn change(&self, change: impl FnOnce(&mut (String, Output))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        self.wait_until(|_, _| true).0
    }

    /// Everything, once the output is closed.
    fn whole(&self) -> String {
        self.wait_until(|_, output| output == Output::Closed).0
    }

    /// The first whole line that holds `part`; everything said if there is none.
    fn wait_for_line(&self, part: &str) -> Result<String, String> {
        let find = |text: &str| {
            let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.find(|line| line.contains(part)).map(|line| line.trim_end().to_owned())
        };
        let (text, _) =
            self.wait_until(|text, output| find(text).is_some() || output == Output::Closed);
        find(&text).ok_or(text)
    }

    fn wait_until(&self, condition: impl Fn(&str, Output) -> bool) -> (String, Output) {
        let state = self.state.lock().unwrap();
        let waiting = |state: &mut (String, Output)| !condition(&state.0, state.1);
        let (state, _) = self.changed.wait_timeout_while(state, BOUND, waiting).unwrap();
        state.clone()
    }
}

/// Fails if a file or a text holds the key.
#[track_caller]
pub(crate) fn holds_no_key(what: &str, text: &str) {
    assert!(!text.contains(API_KEY), "{what} shows the API key:\n{text}");
}
