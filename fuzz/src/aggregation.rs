//! The aggregator: samples, times, closes, flushes and the scheduler's choices from the input, the
//! result held against the naive model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use lastdrop_engine::bucket::HistogramSettings;
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::inline::Inline;
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::merge::{Item, MergeSettings};
use lastdrop_engine::series::{Series, SeriesKind, Tags};
use lastdrop_engine::stop::Lane;
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::worker::{Timestamped, WorkerSettings};

use crate::reference::model::{Context, Figures, Key, Model, Sample, Type};

/// Most steps of one input.
const STEPS_MAX: usize = 250;

/// Where time starts; not at the start of a slot.
const START_S: u64 = 1_000_003;

/// Seconds for which an idle counter reports zeros.
const COUNTER_EXPIRY_S: u64 = 30;

/// Seconds after which an idle context is forgotten.
const CONTEXT_EXPIRY_S: u64 = 20;

/// The metrics: `c` are counters and distributions, `g` gauges, `s` sets, `h` histograms and timings,
/// `d` distributions, and `x` are of all types under one name.
const NAMES: [&str; 12] = ["c0", "c1", "c2", "g0", "g1", "s0", "s1", "h0", "h1", "d0", "x0", "x1"];

/// Tags as sent, and as a set.
const TAGS: [(&str, &[&str]); 5] =
    [("", &[]), ("a", &["a"]), ("a,a", &["a"]), ("b:1,a", &["a", "b:1"]), ("a,b:1", &["a", "b:1"])];

/// What stands behind the name of a series.
const SUFFIXES: [&str; 10] = [
    "",
    ".min",
    ".max",
    ".sum",
    ".avg",
    ".count",
    ".median",
    ".50percentile",
    ".95percentile",
    ".99percentile",
];

/// For all streams of samples over one to three workers, late ones, ones with a time of their own
/// and ones of mixed types among them, all closes and flushes and all schedules: every series and
/// sketch shows what the naive model computes, no series has two points at one second unless
/// samples of their own time came for a slot that was shipped, zeros come from live counters only,
/// every lane is proved and every equation of the ledger holds.
pub fn aggregation(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(mut run) = Run::new(&mut input) else { return };
    for _ in 0..STEPS_MAX {
        if input.is_empty() || run.step(&mut input).is_err() {
            break;
        }
    }
    run.finish();
}

/// The engine and the model side by side.
struct Run {
    engine: Inline,
    workers: usize,
    timestamped: Timestamped,
    model: Model,
    shown: Shown,
    /// What has to be passed through.
    passed: Vec<(Key, f64)>,
    now_s: u64,
    /// Samples so far; each has a stamp of its own.
    samples: u64,
    /// Samples that can't be passed through.
    unsupported: u64,
    /// When contexts were last sampled: their own time, or the arrival.
    seen: BTreeMap<Context, u64>,
    line: String,
}

impl Run {
    fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let workers = input.int_in_range(1..=3)?;
        let timestamped =
            if input.arbitrary()? { Timestamped::Aggregated } else { Timestamped::PassedThrough };
        let settings = WorkerSettings { timestamped, ..worker_settings() };
        Ok(Self {
            engine: Inline::new(workers, &settings, merge_settings()),
            workers,
            timestamped,
            model: Model::default(),
            shown: Shown::default(),
            passed: Vec::new(),
            now_s: START_S,
            samples: 0,
            unsupported: 0,
            seen: BTreeMap::new(),
            line: String::new(),
        })
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=15)? {
            0..=8 => self.sample(input)?,
            9 => self.now_s += input.int_in_range(1..=4)?,
            10 => self.now_s += input.int_in_range(5..=45)?,
            11 => {
                let at = Stamp::from_s(self.now_s);
                self.engine.close(at.slot(), at);
                self.model.close(self.now_s);
            }
            12 => {
                self.engine.flush(Stamp::from_s(self.now_s));
                self.model.flush(self.now_s);
            }
            13 => _ = self.engine.turn(input.choose_index(self.workers)?),
            14 => self.engine.take_in(),
            _ => _ = self.engine.flush_closed(&mut |item| self.shown.take(item)),
        }
        Ok(())
    }

    fn sample(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let name = *input.choose(&NAMES)?;
        let (tags, sorted) = *input.choose(&TAGS)?;
        let context: Context = (name, sorted);
        let (sent, kind) = self.kind(input, context)?;
        let mut value = i64::from(input.int_in_range(-20..=100_i16)?);
        if name.starts_with('c') {
            // A counter's sum is never zero there, so that zeros can be told apart.
            value = value.abs() + 1;
        }
        let weight = 1_u64 << input.int_in_range(0..=2)?;
        let when = input.int_in_range(0..=9)?;
        let arrival = if when == 0 { self.now_s - input.int_in_range(1..=25)? } else { self.now_s };
        let own = match when {
            1 | 2 => Some(self.now_s + 25 - input.int_in_range(0..=70)?),
            _ => None,
        };
        // Of two workers that hold different types one would have to give way.
        let lane = match name {
            "x0" | "x1" => usize::from(name == "x1").min(self.workers - 1),
            _ => input.choose_index(self.workers)?,
        };
        self.samples += 1;
        let stamp = Stamp::from_ns(Stamp::from_s(arrival).ns() + self.samples);
        let rate = 1.0 / weight as f64;
        self.line.clear();
        let mut write = |text: std::fmt::Arguments<'_>| self.line.write_fmt(text).is_ok();
        let mut written = write(format_args!("{name}:{value}|{sent}|@{rate}|#{tags}"));
        if let Some(second) = own {
            written &= write(format_args!("|T{second}"));
        }
        assert!(written);
        let bytes = self.line.as_bytes();
        let (transport, extent) = (Transport::Udp, Extent::Whole);
        self.engine.push(lane, &Datagram { bytes, stamp, transport, extent });
        let sample = Sample { kind, value, weight, order: stamp.ns() };
        match own {
            Some(second) if self.timestamped == Timestamped::PassedThrough => {
                self.pass(second, context, sample);
                return Ok(());
            }
            Some(second) => self.model.timestamped(second, context, sample),
            None => self.model.arrival(arrival, context, sample),
        }
        let seen = self.seen.entry(context).or_default();
        *seen = (*seen).max(own.unwrap_or(arrival));
        Ok(())
    }

    /// Chooses a type that a metric may have, as it is sent and as it is.
    fn kind(&self, input: &mut Unstructured<'_>, context: Context) -> Result<(&'static str, Type)> {
        const HISTOGRAM: (&str, Type) = ("h", Type::Histogram);
        const TIMING: (&str, Type) = ("ms", Type::Histogram);
        const GAUGE: (&str, Type) = ("g", Type::Gauge);
        const SET: (&str, Type) = ("s", Type::Set);
        const COUNTER: (&str, Type) = ("c", Type::Counter);
        const DISTRIBUTION: (&str, Type) = ("d", Type::Distribution);
        let kinds: &[_] = match context.0.as_bytes()[0] {
            b'c' => &[COUNTER, COUNTER, COUNTER, DISTRIBUTION],
            b'g' => &[GAUGE],
            b's' => &[SET],
            b'h' => &[HISTOGRAM, TIMING],
            b'd' => &[DISTRIBUTION],
            // A context that was first seen as a counter takes a zero whatever it holds, and can't be
            // told from one that doesn't: counters come only where the context is known.
            _ if self.is_known(context) => {
                &[GAUGE, SET, HISTOGRAM, TIMING, DISTRIBUTION, COUNTER, COUNTER]
            }
            _ => &[GAUGE, SET, HISTOGRAM, TIMING, DISTRIBUTION],
        };
        Ok(*input.choose(kinds)?)
    }

    fn is_known(&self, context: Context) -> bool {
        self.seen.get(&context).is_some_and(|seen| seen + CONTEXT_EXPIRY_S > self.now_s)
    }

    /// Notes what a sample that goes past the buckets has to become.
    fn pass(&mut self, second: u64, context: Context, sample: Sample) {
        let value = match sample.kind {
            Type::Counter => sample.value as f64 / 10.0,
            Type::Gauge => sample.value as f64,
            _ => return self.unsupported += 1,
        };
        self.passed.push((Key { context, figure: "", second }, value));
    }

    fn finish(self) {
        let Self { engine, model, mut shown, now_s, samples, unsupported, seen, .. } = self;
        let finished = engine.finish(Stamp::from_s(now_s), &mut |item| shown.take(item));
        for balance in finished.balances() {
            assert!(Balance::holds(&balance), "{balance:?}");
        }
        let merged = finished.merge.samples + finished.merge.passed + unsupported;
        assert_eq!((finished.workers.samples, merged), (samples, samples));
        for lane in finished.flushed.delivered().lanes() {
            assert!(matches!(lane, Lane::Proved { .. }), "{lane:?}");
        }
        assert_eq!(by_key_and_value(shown.passed), by_key_and_value(self.passed));
        let mut figures = sorted(shown.figures);
        let mut zero = None;
        figures.retain(|(key, value)| {
            let Key { context: (name, _), figure, second } = *key;
            let is_zero = *value == 0.0 && name.starts_with('c') && figure.is_empty();
            if is_zero {
                let slot = Slot::containing(second).start_s();
                let seen = seen.get(&key.context);
                assert!(seen.is_some_and(|seen| seen + COUNTER_EXPIRY_S > slot), "{key:?}");
                assert!(zero.replace(*key) != Some(*key), "{key:?} is zero twice");
            }
            !is_zero
        });
        assert_eq!(figures, model.finish());
    }
}

/// Sorts by key; figures of one key stay in their order.
fn sorted(mut figures: Figures) -> Figures {
    figures.sort_by_key(|(key, _)| *key);
    figures
}

fn by_key_and_value(mut figures: Figures) -> Figures {
    figures.sort_by(|one, two| one.0.cmp(&two.0).then(one.1.total_cmp(&two.1)));
    figures
}

/// What the merge has shown.
#[derive(Default)]
struct Shown {
    figures: Figures,
    passed: Figures,
}

impl Shown {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) => {
                let (key, value) = only(&series);
                let (name, _) = key.context;
                let is_rate = name.starts_with('c') || key.figure == ".count";
                let may_be_either = name.starts_with('x') && key.figure.is_empty();
                assert!((series.kind == SeriesKind::Rate) == is_rate || may_be_either, "{key:?}");
                self.figures.push((key, value));
            }
            Item::Passed(series) => {
                let (key, value) = only(&series);
                assert_ne!(series.kind, SeriesKind::Count);
                self.passed.push((key, value));
            }
            Item::Sketch(series) => {
                let [point] = series.points else { panic!("one point a sketch") };
                let summary = point.summary;
                let bins: u64 = point.bins.iter().map(|bin| u64::from(bin.count)).sum();
                assert_eq!(bins, summary.count);
                for (figure, value) in [
                    ("sketch.min", summary.min),
                    ("sketch.max", summary.max),
                    ("sketch.sum", summary.sum),
                    ("sketch.count", summary.count as f64),
                ] {
                    let context = (known(series.name), tags(series.tags));
                    let second = point.second.unsigned_abs();
                    self.figures.push((Key { context, figure, second }, value));
                }
            }
            other => panic!("nobody sent {other:?}"),
        }
    }
}

/// The one point of a series.
fn only(series: &Series<'_>) -> (Key, f64) {
    let [point] = series.points else { panic!("one point a series") };
    let (name, suffix) = series.name.split_at(2);
    let figure = SUFFIXES.into_iter().find(|one| *one == suffix);
    let Some(figure) = figure else { panic!("nobody asked for {}", series.name) };
    let context = (known(name), tags(series.tags));
    (Key { context, figure, second: point.second.unsigned_abs() }, point.value)
}

fn known(name: &str) -> &'static str {
    NAMES.into_iter().find(|one| *one == name).unwrap_or_else(|| panic!("nobody sent {name}"))
}

fn tags(tags: Tags<'_>) -> &'static [&'static str] {
    let mut sorted: Vec<_> = tags.iter().collect();
    sorted.sort_unstable();
    let found = TAGS.into_iter().find(|(_, set)| *set == sorted);
    found.unwrap_or_else(|| panic!("nobody sent {tags:?}")).1
}

/// How the workers of this room aggregate.
pub(crate) fn worker_settings() -> WorkerSettings {
    WorkerSettings {
        context_expiry_s: CONTEXT_EXPIRY_S,
        // Far more than the few contexts take, and little to reserve: a sanitizer marks all of it.
        context_bytes_max: 1 << 20,
        ..WorkerSettings::default()
    }
}

/// How the merge of this room makes series.
pub(crate) fn merge_settings() -> MergeSettings {
    let aggregates = ["min", "max", "sum", "avg", "count", "median"];
    let (histogram, bad) = HistogramSettings::parse(&aggregates, &["0.5", "0.95", "0.99"]);
    assert!(bad.is_empty());
    MergeSettings {
        histogram: Arc::new(histogram),
        counter_expiry_s: COUNTER_EXPIRY_S,
        context_expiry_s: CONTEXT_EXPIRY_S,
        ..MergeSettings::default()
    }
}
