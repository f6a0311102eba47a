//! A burst flat out and then the exit, with the agent, the task and the intake on one processor, the
//! kernel's usual socket buffers and no privileges; beside it a receiver that does nothing but
//! drain a single socket.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use serde_json::{Value, json};

use super::{Finding, counted, job};
use crate::demo::{self, DemoError, DemoOptions, Screen, during};
use crate::task;

/// What a socket asks for to get 212,992 bytes, the usual `net.core.rmem_default`: the kernel grants
/// twice what is asked for.
pub(super) const BUFFER_ASKED: usize = 106_496;

/// What is granted for it.
const BUFFER_BYTES: usize = 2 * BUFFER_ASKED;

/// A user that owns nothing.
const NOBODY: &str = "65534";

/// What to run.
#[derive(Clone, Debug)]
pub struct BurstOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Datagrams of a burst, one message each; one experiment for each number.
    pub datagrams: Vec<u64>,
    /// Runs of each.
    pub runs: u32,
    /// Processor that everything is pinned to.
    pub cpu: usize,
}

/// Runs the bursts.
///
/// # Errors
///
/// A run could not be set up. A loss is no error: it is in the finding.
pub fn run(options: &BurstOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => demo::agent::find_or_build(screen)?,
    };
    // Threads and processes that are started from here on inherit it.
    if !core_affinity::set_for_current(core_affinity::CoreId { id: options.cpu }) {
        let refused = io::Error::other("the kernel refuses");
        return Err(during(format!("pin everything to processor {}", options.cpu))(refused));
    }
    let launcher = launcher();
    let mut rows = Vec::new();
    for &datagrams in &options.datagrams {
        let task = DemoOptions {
            agent: Some(agent.clone()),
            stream: 0,
            over: Duration::ZERO,
            burst: datagrams,
            settings: vec![("DD_DOGSTATSD_SO_RCVBUF", BUFFER_ASKED.to_string())],
            launcher: launcher.clone(),
            ..DemoOptions::default()
        };
        let mut row = Row { datagrams, agent: Vec::new(), bare: Vec::new() };
        for number in 1..=options.runs {
            screen.status(&format!("burst of {datagrams}: run {number} of {}", options.runs));
            let outcome = demo::run(&task, &mut Screen::quiet())?;
            row.agent.push(AgentRun::of(number, datagrams, &outcome));
            row.bare.push(bare_receiver(datagrams).map_err(during("run the bare receiver"))?);
        }
        rows.push(row);
    }
    screen.clear();
    Ok(finding(options, &rows, launcher.is_empty()))
}

/// What takes the privileges of root away; nothing where there are none.
fn launcher() -> Vec<OsString> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let words = [
        "setpriv",
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    words.map(OsString::from).to_vec()
}

/// The runs with bursts of one length.
struct Row {
    datagrams: u64,
    agent: Vec<AgentRun>,
    /// Datagrams that the bare receiver missed, a run each.
    bare: Vec<u64>,
}

struct AgentRun {
    lost: f64,
    kernel_dropped: u64,
    burst_s: Option<f64>,
    complaints: Vec<String>,
}

impl AgentRun {
    fn of(number: u32, datagrams: u64, outcome: &demo::Outcome) -> Self {
        let receipt = outcome.receipt.clone().unwrap_or_default();
        let kernel_dropped = counted(&receipt, "/receivers/kernel_dropped");
        let mut complaints = outcome.complaints();
        if !receipt.get("lossless").and_then(Value::as_bool).unwrap_or(false) {
            complaints.push("the receipt doesn't say lossless".to_owned());
        }
        let complaints = complaints.iter().map(|text| format!("{datagrams}, run {number}: {text}"));
        Self {
            lost: outcome.lost(),
            kernel_dropped,
            burst_s: outcome.progress.burst_s,
            complaints: complaints.collect(),
        }
    }
}

/// Sends a burst to one socket with the usual buffer, drained as fast as it can; gives the number of
/// datagrams that were lost.
fn bare_receiver(datagrams: u64) -> io::Result<u64> {
    let folder = tempfile::tempdir()?;
    let progress = folder.path().join("progress");
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    sockopt::set_socket_recv_buffer_size(&socket, BUFFER_ASKED)?;
    let granted = sockopt::socket_recv_buffer_size(&socket)?;
    if granted != BUFFER_BYTES {
        return Err(io::Error::other(format!("a buffer of {granted} bytes was granted")));
    }
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let to = socket.local_addr()?;
    let gone = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut buffer = [0; 2_048];
            let mut received = 0;
            loop {
                // Before the read: what is found empty afterwards stays empty.
                let last_look = gone.load(Ordering::Acquire);
                match socket.recv(&mut buffer) {
                    Ok(_) => received += 1,
                    Err(_) if last_look => return received,
                    Err(_) => {}
                }
            }
        });
        let ended = job::task_command(&to.to_string(), datagrams, &progress)
            .and_then(|mut task| task.spawn()?.wait());
        gone.store(true, Ordering::Release);
        let received = receiver.join().map_err(|_| io::Error::other("the receiver panicked"))?;
        ended.map(|_| received)
    })?;
    let sent = task::latest(&std::fs::read_to_string(progress)?).sent;
    Ok(sent.saturating_sub(received))
}

fn finding(options: &BurstOptions, rows: &[Row], unprivileged: bool) -> Finding {
    let who = if unprivileged { "as this user" } else { "as nobody" };
    let mut table = format!(
        "bursts flat out, then exit; everything on processor {}, {who}, {BUFFER_BYTES} bytes a \
         socket, {} runs each\n  {:>9}  {:>12}  {:>12}  {:>10}  {:>26}\n",
        options.cpu,
        options.runs,
        "datagrams",
        "runs whole",
        "lost in all",
        "µs each",
        "one bare socket loses",
    );
    let mut json_rows = Vec::new();
    let mut complaints = Vec::new();
    for Row { datagrams, agent, bare } in rows {
        let whole = agent.iter().filter(|run| run.complaints.is_empty()).count();
        let lost: f64 = agent.iter().map(|run| run.lost).sum();
        let dropped: u64 = agent.iter().map(|run| run.kernel_dropped).sum();
        let mut burst_s: Vec<f64> = agent.iter().filter_map(|run| run.burst_s).collect();
        burst_s.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let (count, bare_lost) = (*datagrams as f64, bare.iter().sum::<u64>() as f64);
        let each_us = burst_s.get(burst_s.len() / 2).map(|median| median * 1e6 / count);
        #[expect(clippy::cast_precision_loss, reason = "few runs")]
        let bare_share = bare_lost / (count * bare.len() as f64);
        // A string takes all.
        let _ = writeln!(
            table,
            "  {datagrams:>9}  {:>12}  {lost:>12.0}  {:>10.2}  {:>24.1} %",
            format!("{whole} of {}", agent.len()),
            each_us.unwrap_or(f64::NAN),
            bare_share * 100.0
        );
        json_rows.push(json!({
            "datagrams": datagrams, "runs": agent.len(), "whole": whole, "lost": lost,
            "kernel_dropped": dropped, "us_each": each_us, "bare_lost_share": bare_share,
        }));
        complaints.extend(agent.iter().flat_map(|run| run.complaints.iter().cloned()));
    }
    if rows.iter().all(|row| row.agent.is_empty()) {
        complaints.push("nothing was run".to_owned());
    }
    Finding { table, json: json_rows.into(), complaints }
}
