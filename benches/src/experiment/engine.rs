//! The engine alone, from memory: how many messages a worker's core takes, beside a plain loop in
//! the same run.
//!
//! Datagrams are staged in chunks that fit a cache, as a receiver leaves them: for the engine in its
//! ring, for the plain loop in a buffer. What is timed is the work on them: the worker's turns
//! against the loop. Rounds alternate, medians count.

mod plain;

use std::io;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use self::plain::Plain;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::stats::median;
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::Kind;
use crate::memory_load::MemoryLoad;
use crate::rig::LoneWorker;

/// Bytes that are staged at a time: some turns of a worker, and less than a core's own cache.
const CHUNK_BYTES: usize = 128 * 1024;

/// What to run.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Numbers of contexts; one row for each.
    pub contexts: Vec<u32>,
    /// Type of the messages.
    pub kind: Kind,
    /// Bytes that messages are packed to.
    pub datagram_bytes: usize,
    /// Rounds of each, at least 1.
    pub rounds: u32,
    /// Messages of a round, in whole passes over the load.
    pub messages: u64,
}

/// Runs the rounds.
///
/// # Errors
///
/// It was interrupted.
pub fn run(
    options: &EngineOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let mut rows = Vec::new();
    for &contexts in &options.contexts {
        interrupt.check()?;
        screen.status(&format!("engine: {contexts} contexts"));
        rows.push(Row::measure(contexts, options));
    }
    screen.clear();
    Ok(report(options, &rows))
}

/// The work of the two on the same messages, in nanoseconds of the thread's CPU time a message.
struct Row {
    contexts: u32,
    message_bytes: u64,
    stage_ns: f64,
    engine_ns: f64,
    plain_ns: f64,
    /// Messages that one of the two did not add.
    missing: u64,
}

impl Row {
    fn measure(contexts: u32, options: &EngineOptions) -> Self {
        let load = MemoryLoad::new(contexts, options.kind, options.datagram_bytes, 1);
        let passes = options.messages.div_ceil(load.messages()).max(1);
        let (mut engine, mut plain) = (LoneWorker::default(), Staged::default());
        // The first pass makes the contexts.
        engine_pass(&mut engine, &load);
        plain.pass(&load);
        let (mut stage_ns, mut engine_ns, mut plain_ns) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds.max(1) {
            let (mut stage, mut apply, mut baseline) = (0, 0, 0);
            for _ in 0..passes {
                let cost = engine_pass(&mut engine, &load);
                stage += cost.stage_ns;
                apply += cost.apply_ns;
            }
            for _ in 0..passes {
                baseline += plain.pass(&load).apply_ns;
            }
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds and messages of a minute")]
            let each = |ns: u64| ns as f64 / (passes * load.messages()) as f64;
            stage_ns.push(each(stage));
            engine_ns.push(each(apply));
            plain_ns.push(each(baseline));
        }
        let middle = |values: &[f64]| median(values).unwrap_or(f64::NAN);
        let messages = (1 + passes * u64::from(options.rounds.max(1))) * load.messages();
        let (known, _) = plain.plain.totals();
        let unknown = u64::from(contexts).abs_diff(known as u64);
        Self {
            contexts,
            message_bytes: load.message_bytes(),
            stage_ns: middle(&stage_ns),
            engine_ns: middle(&engine_ns),
            plain_ns: middle(&plain_ns),
            missing: messages.abs_diff(engine.aggregated()) + unknown,
        }
    }
}

/// What a pass over the load cost, in nanoseconds of the thread's CPU time.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Bringing the datagrams to where the work finds them.
    stage_ns: u64,
    /// The work on them.
    apply_ns: u64,
}

/// A pass of the engine over the load.
fn engine_pass(worker: &mut LoneWorker, load: &MemoryLoad) -> Cost {
    let mut cost = Cost::default();
    for chunk in load.chunks(CHUNK_BYTES) {
        let start = cpu_ns();
        worker.push(chunk.datagrams());
        let staged = cpu_ns();
        worker.apply();
        cost.stage_ns += staged - start;
        cost.apply_ns += cpu_ns() - staged;
    }
    cost
}

/// The plain loop behind a buffer like the engine's ring.
#[derive(Default)]
struct Staged {
    plain: Plain,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Staged {
    fn pass(&mut self, load: &MemoryLoad) -> Cost {
        let mut cost = Cost::default();
        for chunk in load.chunks(CHUNK_BYTES) {
            let start = cpu_ns();
            self.bytes.clear();
            self.ends.clear();
            for datagram in chunk.datagrams() {
                self.bytes.extend_from_slice(datagram);
                self.ends.push(self.bytes.len());
            }
            let staged = cpu_ns();
            let mut begin = 0;
            for &end in &self.ends {
                self.plain.datagram(&self.bytes[begin..end]);
                begin = end;
            }
            cost.stage_ns += staged - start;
            cost.apply_ns += cpu_ns() - staged;
        }
        cost
    }
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

fn report(options: &EngineOptions, rows: &[Row]) -> Report {
    let headings =
        ["contexts", "bytes each", "engine M/s", "plain M/s", "ratio", "into the ring, ns"];
    let mut table = Table::new("messages a second of a core", &headings);
    let mut json_rows = Vec::new();
    let mut complaints = Vec::new();
    for row in rows {
        let ratio = row.plain_ns / row.engine_ns;
        table.push(&[
            row.contexts.to_string(),
            row.message_bytes.to_string(),
            format!("{:.2}", 1e3 / row.engine_ns),
            format!("{:.2}", 1e3 / row.plain_ns),
            format!("{ratio:.2}"),
            format!("{:.1}", row.stage_ns),
        ]);
        json_rows.push(json!({
            "contexts": row.contexts, "message_bytes": row.message_bytes, "ratio": ratio,
            "engine_ns": row.engine_ns, "plain_ns": row.plain_ns, "stage_ns": row.stage_ns,
        }));
        if row.missing > 0 {
            complaints.push(format!("{} contexts: {} not added", row.contexts, row.missing));
        }
    }
    if rows.is_empty() {
        complaints.push("nothing was run".to_owned());
    }
    let points = |ns: fn(&Row) -> f64| {
        rows.iter().map(|row| (f64::from(row.contexts), 1e3 / ns(row))).collect()
    };
    let plot = Plot {
        title: "Messages a second of a core, from memory".to_owned(),
        x: Axis::logarithmic("contexts"),
        y: Axis::linear("million"),
        series: vec![
            Series::new("engine", Mark::Line, points(|row| row.engine_ns)),
            Series::new("plain loop", Mark::Line, points(|row| row.plain_ns)),
        ],
    };
    Report {
        name: "engine".to_owned(),
        title: "The engine alone, from memory, beside a plain loop".to_owned(),
        notes: vec![
            format!(
                "Medians of {} rounds of {} messages ({}), packed to {} bytes, on one core; by the \
                 CPU time of the thread.",
                options.rounds,
                options.messages,
                options.kind.word(),
                options.datagram_bytes
            ),
            "The engine's time is the worker's turns, from the ring into the bucket; the plain loop \
             cuts lines, hashes name and tags, probes one table and adds. Both find the datagrams \
             in a cache, as a receiver leaves them."
                .to_owned(),
        ],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: json_rows.into(),
        complaints,
    }
}
