//! What an agent costs that gets nothing: wake-ups a second over all threads, processor time, memory.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::{Setup, Sidecar, Transport};
use super::stats::number;
use crate::demo::Screen;
use crate::interrupt::Interrupt;

/// What to run.
#[derive(Clone, Debug)]
pub struct IdleOptions {
    /// The agent.
    pub agent: PathBuf,
    /// How long it is left alone first.
    pub settle: Duration,
    /// How long it is watched.
    pub time: Duration,
}

/// Watches an idle agent.
///
/// # Errors
///
/// The agent could not be started or has ended, or it was interrupted.
pub fn run(
    options: &IdleOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let mut sidecar = Sidecar::start(Setup::new(&options.agent, Transport::Udp)?)?;
    screen.status("an agent comes to rest");
    pause(options.settle, interrupt)?;
    let before = sidecar.usage()?;
    let began = Instant::now();
    screen.status("an idle agent is watched");
    pause(options.time, interrupt)?;
    let after = sidecar.usage()?;
    let seconds = began.elapsed().as_secs_f64();
    sidecar.end(Signal::TERM)?;
    screen.clear();
    #[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
    let mib = after.rss_bytes as f64 / f64::from(1 << 20);

    let mut table = Table::new("", &["thread", "wake-ups a second", "CPU µs a second"]);
    let mut bars = Vec::new();
    let mut threads = Vec::new();
    for (old, new) in before.threads.iter().zip(&after.threads) {
        #[expect(clippy::cast_precision_loss, reason = "few wake-ups")]
        let wakeups = new.wakeups.saturating_sub(old.wakeups) as f64 / seconds;
        let cpu_us = new.cpu.saturating_sub(old.cpu).as_secs_f64() * 1e6 / seconds;
        table.push(&[new.name.clone(), format!("{wakeups:.2}"), format!("{cpu_us:.0}")]);
        bars.push((number(bars.len()), wakeups));
        threads.push(json!({ "name": new.name, "wakeups_per_s": wakeups, "cpu_us_per_s": cpu_us }));
    }
    let wakeups: f64 = bars.iter().map(|bar| bar.1).sum();
    let cpu_us = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / seconds;
    table.push(&["in all".to_owned(), format!("{wakeups:.2}"), format!("{cpu_us:.0}")]);
    let names: Vec<&str> = after.threads.iter().map(|thread| thread.name.as_str()).collect();
    let plot = Plot {
        title: "Wake-ups of an idle agent".to_owned(),
        x: Axis::names("", &names),
        y: Axis::linear("a second"),
        series: vec![Series::new("wake-ups", Mark::Bars, bars)],
    };
    Ok(Report {
        name: "idle".to_owned(),
        title: "What an idle agent costs".to_owned(),
        notes: vec![format!(
            "Watched for {seconds:.0} s, with its default threads and sockets, an intake and a key. \
             A wake-up is a voluntary switch of a thread. Resident memory {mib:.1} MiB."
        )],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: json!({
            "seconds": seconds, "wakeups_per_s": wakeups, "cpu_us_per_s": cpu_us,
            "rss_bytes": after.rss_bytes, "threads": threads,
        }),
        complaints: Vec::new(),
    })
}

fn pause(time: Duration, interrupt: &Interrupt) -> io::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        interrupt.check()?;
        thread::sleep(Duration::from_millis(100).min(time));
    }
    Ok(())
}
