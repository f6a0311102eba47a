//! How long an agent takes from its start to the first datagram that it would take, beside a program
//! that does nothing.
//!
//! A client sees the end of it: a send to a port that nobody has is answered by the kernel, and the
//! answer is on the sender's socket when the next call is made. So it is sent until no answer comes.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::stats::{median, number, quantile};
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::port::FreePort;
use crate::process::Start;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks: short beside what is measured, long enough for the agent to run on.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// What to run.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Starts of each.
    pub runs: u32,
}

/// Starts both in turn.
///
/// # Errors
///
/// One can't be started, there is no `rustc` for the empty one, or it was interrupted.
pub fn run(
    options: &StartOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let folder = tempfile::tempdir()?;
    let empty = empty_program(folder.path())?;
    let (mut agent_ms, mut empty_ms) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        interrupt.check()?;
        screen.status(&format!("start {run} of {}", options.runs));
        empty_ms.push(until_end(&empty)?.as_secs_f64() * 1e3);
        agent_ms.push(until_listening(&options.agent)?.as_secs_f64() * 1e3);
    }
    screen.clear();
    Ok(report(options, &agent_ms, &empty_ms))
}

/// What a Rust program costs that does nothing.
fn empty_program(folder: &Path) -> io::Result<PathBuf> {
    let source = folder.join("empty.rs");
    fs::write(&source, "fn main() {}\n")?;
    let program = folder.join("empty");
    let status = Command::new("rustc").arg("-O").arg("-o").args([&program, &source]).status();
    match status {
        Ok(status) if status.success() => Ok(program),
        Ok(status) => Err(io::Error::other(format!("rustc: {status}"))),
        Err(error) => Err(io::Error::new(error.kind(), format!("can't run rustc: {error}"))),
    }
}

fn until_end(program: &Path) -> io::Result<Duration> {
    let began = Instant::now();
    let mut process = Start::new([program]).spawn()?;
    if !process.wait_for_end(PATIENCE)? {
        return Err(io::Error::other("the empty program doesn't end"));
    }
    Ok(began.elapsed())
}

fn until_listening(agent: &Path) -> io::Result<Duration> {
    let port = FreePort::find()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(("127.0.0.1", port.number()))?;
    let run = ["run", "--linger", "0s"].map(OsStr::new);
    let mut start = Start::new([agent.as_os_str()].into_iter().chain(run));
    start.env.push(("DD_DOGSTATSD_PORT".to_owned(), port.number().to_string()));
    let began = Instant::now();
    let mut process = start.spawn()?;
    // An empty line: no message.
    while client.send(b"\n").is_err() || client.take_error()?.is_some() {
        if began.elapsed() > PATIENCE || !process.is_running()? {
            return Err(io::Error::other("the agent does not listen"));
        }
        thread::sleep(LOOK_EVERY);
    }
    let took = began.elapsed();
    process.end(PATIENCE)?;
    Ok(took)
}

fn report(options: &StartOptions, agent_ms: &[f64], empty_ms: &[f64]) -> Report {
    let mut table = Table::new("milliseconds", &["program", "median", "p99", "max"]);
    for (who, values) in [("agent, until it listens", agent_ms), ("empty, until it ends", empty_ms)]
    {
        let cell = |share| format!("{:.2}", quantile(values, share).unwrap_or(f64::NAN));
        let middle = median(values).unwrap_or(f64::NAN);
        table.push(&[who.to_owned(), format!("{middle:.2}"), cell(0.99), cell(1.0)]);
    }
    let over = median(agent_ms).zip(median(empty_ms)).map(|(agent, empty)| agent - empty);
    let points = |values: &[f64]| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(run, ms)| (number(run), *ms)).collect()
    };
    let plot = Plot {
        title: "From the start to the first datagram".to_owned(),
        x: Axis::linear("run"),
        y: Axis::linear("ms"),
        series: vec![
            Series::new("agent", Mark::Dots, points(agent_ms)),
            Series::new("empty program", Mark::Dots, points(empty_ms)),
        ],
    };
    Report {
        name: "start".to_owned(),
        title: "From the start to the first datagram".to_owned(),
        notes: vec![format!(
            "{} starts of each, in turn; the agent listens {:.2} ms later than an empty Rust program \
             ends.",
            options.runs,
            over.unwrap_or(f64::NAN)
        )],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: json!({ "agent_ms": agent_ms, "empty_ms": empty_ms, "over_ms": over }),
        complaints: Vec::new(),
    }
}
