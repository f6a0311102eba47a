//! Resident memory of the agent by the number of contexts, while it is sampled and flushes.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::counted;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::{Setup, Sidecar, Transport};
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Length, LoadOptions, Rate, Span};
use crate::process::Usage;

/// How often each context is sampled in the time.
const SAMPLES: u32 = 5;

/// Messages of a datagram, as the load packs them: it decides the rate.
const MESSAGES: u32 = 19;

/// How long an agent that gets nothing is left alone.
const IDLE: Duration = Duration::from_secs(3);

/// Bytes of a message beside its name and tags.
const NOT_STRINGS: f64 = 8.0;

/// What to run.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Numbers of contexts.
    pub contexts: Vec<u32>,
    /// How long each is sampled; two flushes should be within it.
    pub time: Duration,
}

struct Row {
    contexts: u64,
    rss_bytes: u64,
    peak_bytes: u64,
    strings_each: f64,
    threads: usize,
    dropped: u64,
}

/// Runs an agent for each number, and one that gets nothing.
///
/// # Errors
///
/// An agent could not be started, or it was interrupted.
pub fn run(
    options: &MemoryOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let mut rows = vec![idle(options)?];
    for &contexts in &options.contexts {
        interrupt.check()?;
        screen.status(&format!("{contexts} contexts"));
        rows.push(sampled(options, contexts)?);
    }
    screen.clear();
    Ok(report(options, &rows))
}

fn idle(options: &MemoryOptions) -> io::Result<Row> {
    let mut sidecar = Sidecar::start(Setup::new(&options.agent, Transport::Udp)?)?;
    thread::sleep(IDLE);
    let usage = sidecar.usage()?;
    sidecar.end(Signal::TERM)?;
    Ok(Row::of(0, &usage, 0.0, 0))
}

fn sampled(options: &MemoryOptions, contexts: u32) -> io::Result<Row> {
    let mut setup = Setup::new(&options.agent, Transport::Udp)?;
    // The default would refuse the last of a million.
    setup.settings.push(("LASTDROP_CONTEXT_BYTES".to_owned(), "4GiB".to_owned()));
    let mut sidecar = Sidecar::start(setup)?;
    let seconds = options.time.as_secs_f64().max(1.0);
    let rate = f64::from(SAMPLES) * f64::from(contexts) / f64::from(MESSAGES) / seconds;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = (rate as u32).max(10);
    let load = LoadOptions {
        contexts,
        tags: Span::only(4),
        messages: MESSAGES,
        rate: Some(Rate::Datagrams(rate.into())),
        ..LoadOptions::new(sidecar.target().clone(), Length::Time(options.time))
    };
    let sending = sidecar.load(&load)?;
    let sent = sending.join().map_err(|_| io::Error::other("a sender panicked"))??;
    let usage = sidecar.usage()?;
    let end = sidecar.end(Signal::TERM)?;
    let known = counted(&end.receipt, "/workers/contexts");
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let message_bytes = sent.bytes as f64 / sent.messages as f64;
    let dropped = counted(&end.receipt, "/receivers/kernel_dropped");
    Ok(Row::of(known, &usage, message_bytes - NOT_STRINGS, dropped))
}

impl Row {
    fn of(contexts: u64, usage: &Usage, strings_each: f64, dropped: u64) -> Self {
        Self {
            contexts,
            rss_bytes: usage.rss_bytes,
            peak_bytes: usage.peak_bytes,
            strings_each,
            threads: usage.threads.len(),
            dropped,
        }
    }

    /// Bytes a context beyond what an idle agent has and beyond its strings.
    #[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
    fn bytes_each(&self, idle: &Self) -> f64 {
        let more = self.rss_bytes.saturating_sub(idle.rss_bytes) as f64;
        more / self.contexts as f64 - self.strings_each
    }

    fn to_json(&self) -> Value {
        json!({
            "contexts": self.contexts, "rss_bytes": self.rss_bytes,
            "peak_bytes": self.peak_bytes, "strings_each": self.strings_each,
            "threads": self.threads, "dropped": self.dropped,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn report(options: &MemoryOptions, rows: &[Row]) -> Report {
    let headings = ["contexts", "MiB", "peak MiB", "bytes a context beyond strings", "threads"];
    let mut table = Table::new("resident memory", &headings);
    let mut complaints = Vec::new();
    let idle = &rows[0];
    for row in rows {
        let each = match row.contexts {
            0 => "–".to_owned(),
            _ => format!("{:.0}", row.bytes_each(idle)),
        };
        table.push(&[
            row.contexts.to_string(),
            format!("{:.1}", mib(row.rss_bytes)),
            format!("{:.1}", mib(row.peak_bytes)),
            each,
            row.threads.to_string(),
        ]);
    }
    for (row, wanted) in rows[1..].iter().zip(&options.contexts) {
        if row.contexts != u64::from(*wanted) {
            complaints.push(format!(
                "{wanted} contexts were sent and {} are known; {} datagrams were dropped",
                row.contexts, row.dropped
            ));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let points = |bytes: fn(&Row) -> u64| {
        rows[1..].iter().map(|row| (row.contexts as f64, mib(bytes(row)))).collect()
    };
    let plot = Plot {
        title: "Resident memory".to_owned(),
        x: Axis::logarithmic("contexts"),
        y: Axis::logarithmic("MiB"),
        series: vec![
            Series::new("at the end", Mark::Line, points(|row| row.rss_bytes)),
            Series::new("peak", Mark::Line, points(|row| row.peak_bytes)),
            Series::new("idle", Mark::Level, vec![(0.0, mib(idle.rss_bytes))]),
        ],
    };
    Report {
        name: "memory".to_owned(),
        title: "Resident memory by number of contexts".to_owned(),
        notes: vec![
            format!(
                "Counters with 4 tags, each context sampled {SAMPLES} times in {:.0} s, default \
                 threads; memory is read before the stop. A context's strings are its name and \
                 tags as sent, some {:.0} bytes.",
                options.time.as_secs_f64(),
                rows.last().map_or(0.0, |row| row.strings_each)
            ),
            "The bound of the contexts' memory is lifted; the kernel memory of the sockets is not \
             resident memory."
                .to_owned(),
        ],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: rows.iter().map(Row::to_json).collect::<Vec<_>>().into(),
        complaints,
    }
}
