//! The seal has an instant: clients flood the agent over its stop, and every send that returned
//! before the first refusal is received or counted as dropped.
//!
//! Unix sockets tell the sender: after the refusal a send fails, so what it sent is what must have
//! been received. UDP doesn't: there the kernel's own counters stand for the sender, in a network
//! namespace where nothing else happens:
//!
//! ```text
//!  sent = received + dropped by a full buffer or by the refusal (InErrors) + to nobody (NoPorts)
//! ```
//!
//! What a close throws away uncounted is on the left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

pub use super::sidecar::Transport;
use super::sidecar::{End, Setup, Sidecar};
use super::{Finding, counted, spread};
use crate::demo::{self, DemoError, Screen, during};
use crate::load::{Length, LoadOptions, LoadReport, Random};
use crate::sink::Target;

/// What to run.
#[derive(Clone, Debug)]
pub struct SealOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Which of its sockets is flooded.
    pub transport: Transport,
    /// Runs; each has its own seed, counted from 1.
    pub runs: u32,
}

/// Longest that a flood runs without being refused: far longer than any run takes.
const FLOOD_MAX: Duration = Duration::from_secs(60);

/// Longest time of the flood before the signal, in microseconds.
const FLOOD_US_MAX: u32 = 30_000;

/// Clients that flood at once.
const SENDERS: u32 = 2;

/// Runs the floods. Over UDP it must be the only user of its network namespace: see
/// [`alone_in_a_network`].
///
/// # Errors
///
/// A run could not be set up. What does not balance is no error: it is in the finding.
pub fn run(options: &SealOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => demo::agent::find_or_build(screen)?,
    };
    let mut sums = Sums::default();
    for seed in 1..=u64::from(options.runs) {
        screen.status(&format!("seal, run {seed} of {}", options.runs));
        one(&agent, options.transport, seed, &mut sums)
            .map_err(during("flood the agent over its stop"))?;
    }
    screen.clear();
    Ok(sums.finding(options))
}

/// Starts this program again with the same arguments in a network namespace of its own, where only
/// the loopback is up; `None` if it is there already.
///
/// # Errors
///
/// `unshare` can't be run.
pub fn alone_in_a_network() -> io::Result<Option<ExitStatus>> {
    const MARK: &str = "LAB_ALONE";
    if std::env::var_os(MARK).is_some() {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    command.arg("ip link set lo up && exec \"$0\" \"$@\"");
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(MARK, "1");
    command.status().map(Some)
}

fn one(agent: &Path, transport: Transport, seed: u64, sums: &mut Sums) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut sidecar = Sidecar::start(Setup::new(agent, transport)?)?;
    let before = UdpCounters::read()?;
    let nowhere = Target::UnixDatagram(PathBuf::new());
    let flood = LoadOptions {
        senders: SENDERS,
        seed,
        ..LoadOptions::new(nowhere, Length::Refusal(FLOOD_MAX))
    };
    let flood = sidecar.load(&flood)?;
    thread::sleep(Duration::from_micros(random.below(FLOOD_US_MAX).into()));
    let end = sidecar.end(Signal::TERM)?;
    let flood = flood.join().map_err(|_| io::Error::other("the flood panicked"))??;
    let kernel = UdpCounters::read()?.since(before);
    sums.add(transport, seed, &flood, end, kernel);
    Ok(())
}

/// What the kernel counts of UDP in a network namespace.
#[derive(Clone, Copy, Debug, Default)]
struct UdpCounters {
    /// Datagrams to a port that nobody has.
    to_nobody: u64,
    /// Datagrams that found a full buffer or were refused by a filter.
    dropped: u64,
}

impl UdpCounters {
    fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/net/snmp")?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let names = lines.next().unwrap_or_default().split(' ');
        let values = lines.next().unwrap_or_default().split(' ');
        let mut counters = Self::default();
        for (name, value) in names.zip(values) {
            let value = value.parse().map_err(io::Error::other)?;
            match name {
                "NoPorts" => counters.to_nobody = value,
                "InErrors" => counters.dropped = value,
                _ => {}
            }
        }
        Ok(counters)
    }

    fn since(self, before: Self) -> Self {
        Self {
            to_nobody: self.to_nobody - before.to_nobody,
            dropped: self.dropped - before.dropped,
        }
    }
}

/// All runs together.
#[derive(Default)]
struct Sums {
    sent: u64,
    received: u64,
    dropped: u64,
    late: u64,
    /// Refused between the agent's count and its close, or sent to nobody after it.
    after: u64,
    unbalanced: u32,
    took: Vec<Duration>,
    complaints: Vec<String>,
}

impl Sums {
    fn add(
        &mut self,
        transport: Transport,
        seed: u64,
        flood: &LoadReport,
        end: End,
        kernel: UdpCounters,
    ) {
        let of =
            |name: &str| counted(&end.receipt, &format!("/receivers/{name}/{}", transport.name()));
        let (received, dropped, late) = (of("received"), of("kernel_dropped"), of("late"));
        let sent = flood.datagrams;
        let after = match transport {
            Transport::Udp => (kernel.dropped + kernel.to_nobody).saturating_sub(dropped + late),
            Transport::UnixDatagram | Transport::UnixStream => 0,
        };
        let balanced = end.receipt.get("balanced").and_then(Value::as_bool) == Some(true);
        if sent != received + dropped + late + after || !balanced {
            self.unbalanced += 1;
            self.complaints.push(format!(
                "seed {seed}: {sent} sent, {received} received, {dropped} dropped, {late} late, \
                 {after} after the count; {kernel:?}; receipt balanced: {balanced} {}",
                end.log
            ));
        }
        self.sent += sent;
        self.received += received;
        self.dropped += dropped;
        self.late += late;
        self.after += after;
        self.took.push(end.took);
    }

    fn finding(self, options: &SealOptions) -> Finding {
        let SealOptions { transport, runs, .. } = options;
        let Self { sent, received, dropped, late, after, unbalanced, took, mut complaints } = self;
        if took.is_empty() || sent == 0 {
            complaints.push("nothing was sent".to_owned());
        }
        let took = spread(took);
        let name = transport.name();
        let table = format!(
            "a flood over the seal of {name}, {SENDERS} clients: {unbalanced} of {runs} runs \
             unbalanced\n  \
             sent {sent} = received {received} + dropped {dropped} + late {late} + refused or to \
             nobody after the count {after}\n  \
             from the signal to the end: {took}\n"
        );
        let json = json!({
            "transport": name, "runs": runs, "unbalanced": unbalanced, "sent": sent,
            "received": received, "dropped": dropped, "late": late, "after_the_count": after,
            "took": took.to_json(),
        });
        Finding { table, json, complaints }
    }
}
