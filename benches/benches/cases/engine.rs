//! The way of the data through the engine: parse, look-up, add, ring, worker, flush.

use std::hint::black_box;

use lastdrop_engine::bucket::{Sample, SampleKind, Value};
use lastdrop_engine::context::{Contexts, Spelling};
use lastdrop_engine::enrich::{Enricher, Resolved, Settings};
use lastdrop_engine::inline::Inline;
use lastdrop_engine::merge::MergeSettings;
use lastdrop_engine::message::{self, Message, Options};
use lastdrop_engine::ring::{PacketConsumer, PacketProducer, packet_ring};
use lastdrop_engine::sketch::Sketch;
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::worker::WorkerSettings;
use lastdrop_lab::load::Kind;
use lastdrop_lab::memory_load::{Chunk, MemoryLoad};
use lastdrop_lab::rig::{self, LoneWorker};

use super::Case;

/// Operations of most runs.
const MANY: usize = 2_000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = parse().collect();
    cases.extend([1_000, 12_000, 100_000, 1_000_000].map(look_up));
    cases.extend(add());
    cases.push(sketch_insert());
    cases.push(ring());
    cases.extend(workers());
    cases.push(new_contexts());
    cases.extend(
        [("flush/counts", Kind::Count), ("flush/distributions", Kind::Distribution)].map(flush),
    );
    cases
}

/// Messages as clients send them, one of each type.
const MESSAGES: [(&str, &str); 9] = [
    ("parse/count", "shop.requests:1|c|#customer:1234567,env:production,service:checkout"),
    ("parse/gauge", "shop.queue.length:17.25|g|#env:production,service:checkout"),
    ("parse/set", "shop.users:bf2c1d0e-8e9a|s|#env:production,service:checkout"),
    ("parse/histogram", "shop.latency:12.5|h|@0.5|#env:production,service:checkout"),
    ("parse/timing", "shop.latency:320|ms|#env:production,service:checkout"),
    ("parse/distribution", "shop.latency:12.5|d|#env:production,service:checkout"),
    ("parse/packed", "shop.latency:1:2:3:4:5:6:7:8|d|#env:production,service:checkout"),
    ("parse/event", "_e{5,11}:title|hello world|t:warning|#env:production"),
    ("parse/check", "_sc|shop.up|0|h:host|#env:production|m:fine"),
];

fn parse() -> impl Iterator<Item = Case> {
    MESSAGES.into_iter().map(|(name, message)| {
        Case::repeated(
            name,
            MANY,
            // On the heap: how UTF-8 is checked depends on where the text stands in memory.
            move || message.to_owned(),
            |message| {
                for _ in 0..MANY {
                    match message::parse(black_box(message.as_bytes()), Options::default()) {
                        // A packed message is read to its end.
                        Ok(Message::Metric(metric)) => _ = black_box(metric.values.count()),
                        other => _ = black_box(other),
                    }
                }
            },
        )
    })
}

/// Known spellings, and the table that knows them.
struct Known {
    contexts: Contexts,
    /// Lines to look up, all contexts equally often, in random order.
    lines: Vec<String>,
}

impl Known {
    fn new(count: u32) -> Self {
        let load = MemoryLoad::with_messages(2_000, count, Kind::Count, 0, 1);
        let datagrams = load.chunks(usize::MAX).flat_map(Chunk::datagrams);
        let lines: Vec<String> =
            datagrams.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let (mut contexts, enricher) =
            (Contexts::new(usize::MAX, |_| ()), Enricher::new(Settings::default()));
        for line in &lines {
            learn(&mut contexts, &enricher, line);
        }
        let lines = lines.into_iter().take(MANY).collect();
        Self { contexts, lines }
    }
}

fn learn(contexts: &mut Contexts, enricher: &Enricher, line: &str) {
    let Ok(Message::Metric(metric)) = message::parse(line.as_bytes(), Options::default()) else {
        return;
    };
    let spelling = Spelling { name: metric.name, tags: metric.tags.raw() };
    let hash = contexts.hash(spelling);
    if contexts.find(hash, spelling).is_none()
        && let Resolved::Context(identity) = enricher.resolve(metric.name, metric.tags)
    {
        let inserted = contexts.insert(hash, spelling, &identity, Stamp::from_s(rig::ARRIVAL_S));
        debug_assert!(inserted.is_ok(), "there is no limit");
    }
}

/// The spelling of a line of [`MemoryLoad`], found without the parser.
fn spelling(line: &str) -> Spelling<'_> {
    let (name, rest) = line.split_once(':').unwrap_or((line, ""));
    let (_, tags) = rest.split_once('#').unwrap_or_default();
    Spelling { name: name.as_bytes(), tags: tags.as_bytes() }
}

fn look_up(count: u32) -> Case {
    let work = |known: &mut Known| {
        for line in &known.lines {
            let spelling = spelling(line);
            let hash = known.contexts.hash(spelling);
            black_box(known.contexts.find(hash, spelling));
        }
    };
    let name = match count {
        1_000_000 => "context/1m".to_owned(),
        count => format!("context/{}k", count / 1_000),
    };
    let case = Case::repeated(name, MANY, move || Known::new(count), work);
    // Simulated, the million takes a minute to build, and the work is that of 100 k.
    Case { counted: count <= 100_000, ..case }
}

fn add() -> impl Iterator<Item = Case> {
    let kinds = [
        ("add/counter", SampleKind::Counter),
        ("add/gauge", SampleKind::Gauge),
        ("add/set", SampleKind::Set),
        ("add/histogram", SampleKind::Histogram),
    ];
    kinds.into_iter().map(|(name, kind)| {
        Case::fresh(
            name,
            MANY,
            move || (kind, Value::new(kind, Stamp::default())),
            |(kind, value)| {
                let stamp = Stamp::from_s(rig::ARRIVAL_S);
                for number in 0..MANY {
                    let number = number % 1_000;
                    let bytes = number.to_le_bytes();
                    let sample = match kind {
                        SampleKind::Set => {
                            Sample { kind: *kind, value: 0.0, member: &bytes, rate: 1.0, stamp }
                        }
                        _ => {
                            let value = f64::from(u32::try_from(number).unwrap_or(0));
                            Sample { kind: *kind, value, member: b"", rate: 1.0, stamp }
                        }
                    };
                    let added = value.add(black_box(&sample));
                    debug_assert!(added.is_ok());
                }
            },
        )
    })
}

fn sketch_insert() -> Case {
    Case::fresh("sketch/insert", MANY, Sketch::new, |sketch| {
        for number in 0..MANY {
            let value = f64::from(u32::try_from(number * 7_919 % 10_007).unwrap_or(0));
            let _ = black_box(sketch.insert(black_box(value), 1.0));
        }
        sketch.finish();
    })
}

/// Datagrams of one message through the packet ring, and nothing done with them.
fn ring() -> Case {
    const DATAGRAMS: usize = 1_000;
    struct Ends(PacketProducer, PacketConsumer);
    let make = || {
        let (producer, consumer, _) = packet_ring(0, 1 << 20);
        Ends(producer, consumer)
    };
    Case::repeated("ring/datagram", DATAGRAMS, make, |Ends(producer, consumer)| {
        let bytes = MESSAGES[0].1.as_bytes();
        let size = PacketProducer::record_bytes(bytes.len());
        let Ok(mut batch) = producer.batch(DATAGRAMS * size, size) else { return };
        for _ in 0..DATAGRAMS {
            batch.push(&rig::datagram(black_box(bytes)));
        }
        batch.commit();
        let turn = consumer.turn(usize::MAX);
        let mut records = turn.records();
        records.by_ref().for_each(|record| _ = black_box(record));
        let consumed = records.consumed();
        turn.release(consumed);
    })
}

/// A chunk of a load, and the worker that knows its contexts.
struct Staged {
    worker: LoneWorker,
    load: MemoryLoad,
}

/// Bytes that are put into the ring at once.
const CHUNK_BYTES: usize = 1 << 17;

/// From the ring into the bucket, the contexts known: what a message costs a worker.
fn workers() -> impl Iterator<Item = Case> {
    let rows = [
        ("worker/count", Kind::Count, 8_192),
        ("worker/gauge", Kind::Gauge, 8_192),
        ("worker/set", Kind::Set, 8_192),
        ("worker/histogram", Kind::Histogram, 8_192),
        ("worker/distribution", Kind::Distribution, 8_192),
        ("worker/one-a-datagram", Kind::Count, 0),
    ];
    rows.into_iter().map(|(name, kind, datagram_bytes)| {
        let load = move || MemoryLoad::with_messages(8_000, 1_000, kind, datagram_bytes, 1);
        let messages = usize::try_from(load().messages()).unwrap_or(0);
        let make = move || {
            let mut staged = Staged { worker: LoneWorker::default(), load: load() };
            apply(&mut staged);
            staged
        };
        Case::repeated(name, messages, make, apply)
    })
}

fn apply(Staged { worker, load }: &mut Staged) {
    for chunk in load.chunks(CHUNK_BYTES) {
        worker.push(chunk.datagrams());
        worker.apply();
    }
}

/// Messages of contexts that nobody has seen.
fn new_contexts() -> Case {
    let make = || Staged {
        worker: LoneWorker::default(),
        load: MemoryLoad::with_messages(0, 4_000, Kind::Count, 8_192, 1),
    };
    Case::fresh("worker/new-context", 4_000, make, apply)
}

/// A closed slot of some contexts: from the worker's bucket to series or sketches.
fn flush((name, kind): (&'static str, Kind)) -> Case {
    const CONTEXTS: u32 = 2_000;
    let make = move || {
        let load = MemoryLoad::with_messages(0, CONTEXTS, kind, 8_192, 1);
        let mut engine = Inline::new(1, &WorkerSettings::default(), MergeSettings::default());
        for bytes in load.chunks(usize::MAX).flat_map(Chunk::datagrams) {
            engine.push(0, &rig::datagram(bytes));
        }
        engine.run(&mut |_| {});
        engine
    };
    Case::fresh(name, CONTEXTS as usize, make, |engine| {
        engine.close(Slot::containing(rig::ARRIVAL_S + 10), Stamp::from_s(rig::ARRIVAL_S + 10));
        let mut items = 0_u64;
        engine.run(&mut |item| {
            black_box(item);
            items += 1;
        });
        assert_eq!(items, u64::from(CONTEXTS), "all contexts leave");
    })
}
