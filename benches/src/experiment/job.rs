//! Tasks that end: each in wrapper mode, with a steady stream and a burst right before its exit.
//!
//! Every task has an agent and an intake of its own, so that nothing can be made up for by another.
//! The latency of the exit is measured afterwards, one at a time, beside tasks without an agent.

use std::fmt::Write as _;
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::side_by_side::run_all;
use super::{Finding, at_endpoints, counted, spread};
use crate::demo::{self, DemoError, DemoOptions, Outcome, Screen, during};
use crate::intake::{Fault, Script, Span};
use crate::task;

/// What to run.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks at a time, at least 1.
    pub at_once: u32,
    /// Messages of each task's steady stream.
    pub stream: u64,
    /// Time that the stream takes.
    pub over: Duration,
    /// Messages of each task's last burst.
    pub burst: u64,
    /// What the intake does wrong.
    pub fault: Option<JobFault>,
    /// Tasks for the latency of the exit, with and without an agent, one at a time.
    pub alone: u32,
}

impl Default for JobOptions {
    /// 1,000 tasks, twice as many at a time as there are processors; 200 messages over 400 ms, then
    /// 500 at once; no fault; 100 tasks for the latency.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, |count| count.get());
        Self {
            agent: None,
            tasks: 1_000,
            at_once: u32::try_from(2 * processors).unwrap_or(2),
            stream: 200,
            over: Duration::from_millis(400),
            burst: 500,
            fault: None,
            alone: 100,
        }
    }
}

/// What every intake does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFault {
    /// Answers 503 for two seconds, from the first request on.
    Unavailable,
    /// Resets the first connection in the middle of a body.
    Reset,
    /// Answers every request after 1.5 s.
    Latency,
    /// Forgets one increment: the experiment must fail.
    LoseOne,
}

impl JobFault {
    fn script(self) -> Script {
        let script = Script::default();
        match self {
            Self::Unavailable => {
                let unavailable = Fault::Status { code: 503, retry_after_s: None };
                script.then(unavailable, Span::Time(Duration::from_secs(2)))
            }
            Self::Reset => script.then(Fault::Reset(100), Span::Requests(1)),
            Self::Latency => {
                script.then(Fault::Delay(Duration::from_millis(1_500)), Span::Requests(u32::MAX))
            }
            Self::LoseOne => script.forget(1),
        }
    }
}

/// Runs the tasks, then those for the latency.
///
/// # Errors
///
/// A task could not be set up. A loss is no error: it is in the finding.
pub fn run(options: &JobOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => demo::agent::find_or_build(screen)?,
    };
    let task = DemoOptions {
        agent: Some(agent),
        script: options.fault.map(JobFault::script).unwrap_or_default(),
        stream: options.stream,
        over: options.over,
        burst: options.burst,
        ..DemoOptions::default()
    };
    let rows = run_tasks(options, &task, screen)?;
    let alone = Alone::measure(options.alone, &task, screen)?;
    screen.clear();
    Ok(finding(options, &rows, &alone))
}

/// One task, as three counted it.
struct Row {
    sent: u64,
    accepted: f64,
    drain: Option<Duration>,
    duplicate_points: u64,
    kernel_dropped: u64,
    balanced: bool,
    complaints: Vec<String>,
}

/// Runs the tasks, as many at a time as wanted.
fn run_tasks(
    options: &JobOptions,
    task: &DemoOptions,
    screen: &mut Screen,
) -> Result<Vec<Row>, DemoError> {
    let one = |number| {
        let outcome = demo::run(task, &mut Screen::quiet())?;
        Ok(row(number, &outcome))
    };
    run_all(options.tasks, options.at_once, one, |all| {
        let bad = all.iter().filter(|row| !row.complaints.is_empty()).count();
        screen.status(&format!("{} of {} tasks · failed {bad}", all.len(), options.tasks));
    })
}

fn row(number: u32, outcome: &Outcome) -> Row {
    let receipt = outcome.receipt.clone().unwrap_or_default();
    let sent = outcome.progress.sent;
    let mut complaints: Vec<String> =
        outcome.complaints().iter().map(|text| format!("task {number}: {text}")).collect();
    let mut complain = |wrong: bool, text: String| {
        if wrong {
            complaints.push(format!("task {number}: {text}"));
        }
    };
    let kernel_dropped = counted(&receipt, "/receivers/kernel_dropped");
    complain(kernel_dropped > 0, format!("the kernel dropped {kernel_dropped}"));
    let received = counted(&receipt, "/receivers/received");
    complain(received != sent, format!("the receipt has {received} datagrams of {sent}"));
    let aggregated = counted(&receipt, "/workers/aggregated");
    complain(aggregated != sent, format!("the receipt has {aggregated} samples of {sent}"));
    let lossless = receipt.get("lossless").and_then(Value::as_bool).unwrap_or(false);
    complain(!lossless, "the receipt doesn't say lossless".to_owned());
    let twice = outcome.totals.duplicate_points;
    let explained = at_endpoints(&receipt, "/duplicates_possible/points");
    complain(twice > explained, format!("{twice} points came twice, {explained} may have"));
    if !complaints.is_empty() {
        complaints
            .push(format!("task {number}: the agent's last words:\n{}", outcome.last_words()));
    }
    Row {
        sent,
        accepted: outcome.accepted(),
        drain: outcome.drain,
        duplicate_points: twice,
        kernel_dropped,
        balanced: outcome.balanced(),
        complaints,
    }
}

/// How long an exit takes with nothing else going on.
pub(super) struct Alone {
    /// From the task's last statement to the agent's end.
    pub(super) wrapped: Vec<Duration>,
    /// From the task's last statement to its own end.
    pub(super) bare: Vec<Duration>,
}

impl Alone {
    pub(super) fn measure(
        count: u32,
        task: &DemoOptions,
        screen: &mut Screen,
    ) -> Result<Self, DemoError> {
        // The burst is what has to be drained; a stream before it would only take time.
        let task = DemoOptions { stream: 0, script: Script::default(), ..task.clone() };
        let mut wrapped = Vec::new();
        let mut bare = Vec::new();
        for number in 0..count {
            screen.status(&format!("latency of the exit: {number} of {count}"));
            wrapped.extend(demo::run(&task, &mut Screen::quiet())?.drain);
            bare.extend(bare_exit(task.burst).map_err(during("run a task without an agent"))?);
        }
        Ok(Self { wrapped, bare })
    }
}

/// Runs a task that nobody wraps; gives the time from its last statement to its end.
fn bare_exit(burst: u64) -> io::Result<Option<Duration>> {
    let folder = tempfile::tempdir()?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let progress = folder.path().join("progress");
    let to = receiver.local_addr()?;
    task_command(&to.to_string(), burst, &progress)?.spawn()?.wait()?;
    let ended_ns = task::monotonic_ns();
    let last = task::latest(&std::fs::read_to_string(progress)?);
    Ok(last.exit_ns.map(|exit_ns| Duration::from_nanos(ended_ns.saturating_sub(exit_ns))))
}

/// A task that sends a burst and exits.
pub(super) fn task_command(to: &str, burst: u64, progress: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["task", "--to", to, "--stream", "0", "--over", "0s"]);
    command.args(["--burst", &burst.to_string(), "--progress"]).arg(progress);
    Ok(command)
}

fn finding(options: &JobOptions, rows: &[Row], alone: &Alone) -> Finding {
    let sent: u64 = rows.iter().map(|row| row.sent).sum();
    let accepted: f64 = rows.iter().map(|row| row.accepted).sum();
    let whole = rows.iter().filter(|row| row.complaints.is_empty()).count();
    let balanced = rows.iter().filter(|row| row.balanced).count();
    let kernel_dropped: u64 = rows.iter().map(|row| row.kernel_dropped).sum();
    let duplicate_points: u64 = rows.iter().map(|row| row.duplicate_points).sum();
    let drains = spread(rows.iter().filter_map(|row| row.drain).collect());
    let (alone_wrapped, alone_bare) = (spread(alone.wrapped.clone()), spread(alone.bare.clone()));
    let mut complaints: Vec<String> =
        rows.iter().flat_map(|row| row.complaints.iter().cloned()).collect();
    if rows.len() != options.tasks as usize || rows.is_empty() {
        complaints.push(format!("{} of {} tasks ran", rows.len(), options.tasks));
    }
    let JobOptions { tasks, at_once, stream, over, burst, fault, .. } = options;
    let mut table = format!(
        "{tasks} tasks, {at_once} at a time: {stream} messages over {} ms, then {burst} at once, \
         exit; fault {fault:?}\n",
        over.as_millis()
    );
    let rows_of_table = [
        ("tasks with every count equal", format!("{whole} of {tasks}")),
        ("sent · accepted", format!("{sent} · {accepted:.0}")),
        ("receipts balanced", format!("{balanced}")),
        ("dropped by the kernel", format!("{kernel_dropped}")),
        ("points that came twice", format!("{duplicate_points}")),
        ("task's exit to agent's exit, under this load", drains.to_string()),
        ("the same, one at a time", alone_wrapped.to_string()),
        ("a task's own exit without an agent", alone_bare.to_string()),
    ];
    for (what, value) in rows_of_table {
        // A string takes all.
        let _ = writeln!(table, "  {what:<46} {value}");
    }
    let json = json!({
        "tasks": tasks, "at_once": at_once, "stream": stream, "burst": burst,
        "fault": fault.map(|fault| format!("{fault:?}")),
        "whole": whole, "sent": sent, "accepted": accepted, "balanced": balanced,
        "kernel_dropped": kernel_dropped, "duplicate_points": duplicate_points,
        "drain": drains.to_json(), "drain_alone": alone_wrapped.to_json(),
        "bare_exit": alone_bare.to_json(),
    });
    Finding { table, json, complaints }
}
