//! The engine alone, from memory: how many messages a worker's core takes, beside a plain loop in
//! the same run.
//!
//! Datagrams are staged in chunks that fit a cache, as a receiver leaves them: for the engine in its
//! ring, for the plain loop in a buffer. What is timed is the work on them: the worker's turns
//! against the loop. Rounds alternate, medians count.

mod plain;

use std::fmt::Write as _;
use std::sync::Arc;

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::enrich::{Enricher, Settings};
use lastdrop_engine::handover::{BucketConsumer, bucket_ring};
use lastdrop_engine::ledger::WorkerLedger;
use lastdrop_engine::limits::PACKET_RING_BYTES_DEFAULT;
use lastdrop_engine::message::{LineEnd, Options};
use lastdrop_engine::ring::{PacketProducer, packet_ring};
use lastdrop_engine::sampler::LateArrival;
use lastdrop_engine::time::Stamp;
use lastdrop_engine::worker::{Timestamped, Turn, Worker, WorkerSettings};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use self::plain::Plain;
use super::Finding;
use crate::demo::Screen;
use crate::load::Kind;
use crate::memory_load::{Chunk, MemoryLoad};

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
#[must_use]
pub fn run(options: &EngineOptions, screen: &mut Screen) -> Finding {
    let mut rows = Vec::new();
    for &contexts in &options.contexts {
        screen.status(&format!("engine: {contexts} contexts"));
        rows.push(Row::measure(contexts, options));
    }
    screen.clear();
    finding(options, &rows)
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
        let (mut engine, mut plain) = (Engine::new(), Staged::default());
        // The first pass makes the contexts.
        engine.pass(&load);
        plain.pass(&load);
        let (mut stage_ns, mut engine_ns, mut plain_ns) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds.max(1) {
            let (mut stage, mut apply, mut baseline) = (0, 0, 0);
            for _ in 0..passes {
                let cost = engine.pass(&load);
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
        let messages = (1 + passes * u64::from(options.rounds.max(1))) * load.messages();
        let (known, _) = plain.plain.totals();
        let unknown = u64::from(contexts).abs_diff(known as u64);
        Self {
            contexts,
            message_bytes: load.message_bytes(),
            stage_ns: median(stage_ns),
            engine_ns: median(engine_ns),
            plain_ns: median(plain_ns),
            missing: messages.abs_diff(engine.ledger.read().aggregated) + unknown,
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

/// A worker between its two rings, fed and driven by one thread.
struct Engine {
    packets: PacketProducer,
    worker: Worker,
    ledger: WorkerLedger,
    /// Kept open: a worker without a merge has nobody to hand over to.
    _handovers: BucketConsumer,
}

impl Engine {
    fn new() -> Self {
        let (packets, consumer, _) = packet_ring(0, PACKET_RING_BYTES_DEFAULT);
        let (out, handovers) = bucket_ring();
        let settings = WorkerSettings {
            parse: Options::default(),
            line_end: [LineEnd::Optional; 3],
            context_bytes_max: usize::MAX,
            context_expiry_s: 20,
            late: LateArrival::JoinsOpenSlot,
            timestamped: Timestamped::Aggregated,
            enricher: Arc::new(Enricher::new(Settings::default())),
        };
        let (worker, _, ledger) = Worker::new(consumer, out, settings);
        Self { packets, worker, ledger, _handovers: handovers }
    }

    fn pass(&mut self, load: &MemoryLoad) -> Cost {
        let mut cost = Cost::default();
        for chunk in load.chunks(CHUNK_BYTES) {
            let start = cpu_ns();
            self.push(chunk);
            let staged = cpu_ns();
            while self.worker.turn() == Turn::Applied {}
            cost.stage_ns += staged - start;
            cost.apply_ns += cpu_ns() - staged;
        }
        cost
    }

    /// Puts a chunk into the ring, which is empty and larger.
    fn push(&mut self, chunk: Chunk<'_>) {
        let sizes = chunk.datagrams().map(|bytes| PacketProducer::record_bytes(bytes.len()));
        let (bytes, largest) = sizes.fold((0, 0), |(sum, max), size| (sum + size, size.max(max)));
        #[expect(clippy::expect_used, reason = "the ring is empty, and eight times as large")]
        let mut batch = self.packets.batch(bytes, largest).expect("a chunk fits an empty ring");
        for bytes in chunk.datagrams() {
            batch.push(&Datagram {
                bytes,
                stamp: Stamp::from_s(1_003),
                transport: Transport::Udp,
                extent: Extent::Whole,
            });
        }
        batch.commit();
    }
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn finding(options: &EngineOptions, rows: &[Row]) -> Finding {
    let mut table = format!(
        "engine from memory, one core: {} messages a round, {} rounds, datagrams of up to {} bytes\n  \
         {:>9}  {:>10}  {:>12}  {:>12}  {:>8}  {:>12}\n",
        options.messages,
        options.rounds,
        options.datagram_bytes,
        "contexts",
        "bytes each",
        "engine M/s",
        "plain M/s",
        "ratio",
        "into ring ns"
    );
    let mut json_rows = Vec::new();
    let mut complaints = Vec::new();
    for row in rows {
        let ratio = row.plain_ns / row.engine_ns;
        // A string takes all.
        let _ = writeln!(
            table,
            "  {:>9}  {:>10}  {:>12.2}  {:>12.2}  {ratio:>8.2}  {:>12.1}",
            row.contexts,
            row.message_bytes,
            1e3 / row.engine_ns,
            1e3 / row.plain_ns,
            row.stage_ns
        );
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
    Finding { table, json: json_rows.into(), complaints }
}
