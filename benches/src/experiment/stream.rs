//! Clients of the unix stream socket that connect, write some frames and exit at once, each a process of
//! its own: every frame arrives, though most clients are gone before the agent has accepted them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::side_by_side::run_all;
use super::sidecar::{End, Setup, Sidecar, Transport};
use super::{Finding, counted};
use crate::demo::{DemoError, Screen, during};
use crate::intake::Metric;
use crate::load::Random;
use crate::sink::Target;

/// What to run.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Clients in all.
    pub clients: u32,
    /// Clients at a time, at least 1.
    pub at_once: u32,
}

/// Most frames of a client.
const FRAMES_MAX: u32 = 20;

/// What clients have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    clients: u64,
    frames: u64,
    sum: u64,
}

/// Runs the clients against one agent.
///
/// # Errors
///
/// A client could not be run. A loss is no error: it is in the finding.
pub fn run(options: &StreamOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = super::agent(options.agent.clone(), screen)?;
    let failed = || during("run clients that leave");
    let setup = Setup::new(&agent, Transport::UnixStream).map_err(failed())?;
    let mut sidecar = Sidecar::start(setup).map_err(failed())?;
    let Target::UnixStream(path) = sidecar.target().clone() else {
        unreachable!("it was started with a stream socket")
    };
    let began = Instant::now();
    let sent = send(&path, options, screen).map_err(failed())?;
    let took = began.elapsed();
    let end = sidecar.end(Signal::TERM).map_err(failed())?;
    screen.clear();
    let accepted = sidecar.intake.totals().under("load.");
    let complaints = wrong(options, &sent, &end, &accepted);
    let table = format!(
        "{} clients of the stream socket, {} at a time, each a process that exits at once: {:.1} s\n  \
         frames sent {} · received {} · accepted {}\n",
        options.clients,
        options.at_once,
        took.as_secs_f64(),
        sent.frames,
        counted(&end.receipt, "/receivers/received"),
        accepted.sketch_count,
    );
    let json = json!({
        "clients": sent.clients, "at_once": options.at_once, "sent": sent.frames,
        "received": counted(&end.receipt, "/receivers/received"),
        "accepted": accepted.sketch_count, "took_s": took.as_secs_f64(),
    });
    Ok(Finding { table, json, complaints })
}

/// Runs all clients, as many at a time as wanted.
fn send(path: &Path, options: &StreamOptions, screen: &mut Screen) -> io::Result<Sent> {
    let one = |number| client(path, u64::from(number) + 1);
    let all = run_all(options.clients, options.at_once, one, |all| {
        if all.len() % 100 == 0 {
            screen.status(&format!("{} of {} clients", all.len(), options.clients));
        }
    })?;
    Ok(Sent {
        clients: all.len() as u64,
        frames: all.iter().map(|sent| sent.frames).sum(),
        sum: all.iter().map(|sent| sent.sum).sum(),
    })
}

/// Runs one client: this program's load generator, flat out. It exits when it has written.
fn client(path: &Path, seed: u64) -> io::Result<Sent> {
    let frames = 1 + Random::new(seed).below(FRAMES_MAX);
    let output = Command::new(std::env::current_exe()?)
        .args(["load", "--mix", "d", "--contexts", "100", "--unix-stream"])
        .arg(path)
        .args(["--datagrams", &frames.to_string(), "--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(io::Error::other)?;
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let types = report.get("types").and_then(Value::as_object);
    let sum = types.into_iter().flatten().filter_map(|(_, totals)| totals.get("sum")?.as_u64());
    Ok(Sent { clients: 1, frames: number("/datagrams"), sum: sum.sum() })
}

/// What doesn't fit between clients, receipt and intake.
fn wrong(options: &StreamOptions, sent: &Sent, end: &End, accepted: &Metric) -> Vec<String> {
    let mut wrong = Vec::new();
    let receipt = &end.receipt;
    let is = |name: &str| receipt.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut same = |what: &str, found: u64, expected: u64| {
        if found != expected {
            wrong.push(format!("{what}: {found}, and it should be {expected}"));
        }
    };
    same("clients", sent.clients, options.clients.into());
    same("frames received", counted(receipt, "/receivers/received"), sent.frames);
    same("samples aggregated", counted(receipt, "/workers/aggregated"), sent.frames);
    same("samples accepted", accepted.sketch_count, sent.frames);
    same("torn frames", counted(receipt, "/receivers/torn_frames"), 0);
    same("lossless", is("lossless").into(), 1);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let sum = sent.sum as f64;
    if (accepted.sketch_sum - sum).abs() > 0.5 {
        wrong.push(format!("the sum sent is {sum}, the intake has {}", accepted.sketch_sum));
    }
    wrong
}
