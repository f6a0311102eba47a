//! The aggregator: samples, times, closes, flushes and the scheduler's choices from the input, the
//! result held against the naive model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use lastdrop_engine::bucket::HistogramSettings;
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::enrich::{Blocklist, Enricher, Settings};
use lastdrop_engine::inline::Inline;
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::limits::CONTEXT_BYTES_DEFAULT;
use lastdrop_engine::merge::{Incomplete, Item, MergeSettings};
use lastdrop_engine::message::{LineEnd, Options};
use lastdrop_engine::sampler::LateArrival;
use lastdrop_engine::series::{Origin, SeriesKind, Tags};
use lastdrop_engine::stop::Lane;
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::worker::{Timestamped, WorkerSettings};

use crate::reference::model::{Context, Figures, Model, Sample};

/// Most steps of one input.
const STEPS_MAX: usize = 400;

/// Where time starts; not at the start of a slot.
const START_S: u64 = 1_000_003;

/// Seconds for which an idle counter reports zeros.
const COUNTER_EXPIRY_S: u64 = 30;

/// For all streams of samples over one to three workers, late ones among them, all closes and
/// flushes and all schedules: every series shows what the naive model computes, no series has two
/// points at one second, zeros come from live counters only, every lane is proved and every
/// equation of the ledger holds.
pub fn aggregation(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(workers) = input.int_in_range(1..=3) else { return };
    let mut run = Run {
        engine: Inline::new(workers, &worker_settings(), merge_settings()),
        workers,
        model: Model::default(),
        shown: Shown::default(),
        now_s: START_S,
        samples: 0,
        seen: BTreeMap::new(),
    };
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
    model: Model,
    shown: Shown,
    now_s: u64,
    /// Samples so far; each has a stamp of its own.
    samples: u64,
    /// When counters were last sampled: their name and tags.
    seen: BTreeMap<Context, u64>,
}

impl Run {
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
        self.samples += 1;
        let value = i64::from(input.int_in_range(-20..=100_i16)?);
        let weight = 1_u64 << input.int_in_range(0..=2)?;
        let (name, line, sample) = match input.int_in_range(0..=4)? {
            // A counter's sum is never zero here, so that zeros can be told apart.
            0 => ("c", value.abs() + 1, Sample::Counter((value.abs() + 1) * weight.cast_signed())),
            1 => ("g", value, Sample::Gauge(value)),
            2 => ("s", value, Sample::Set(value.to_string())),
            3 => (*input.choose(&["h", "ms"])?, value, Sample::Histogram(value, weight)),
            _ => ("d", value, Sample::Distribution(value, weight)),
        };
        let (tags, sorted) = *input.choose(&[
            ("", &[][..]),
            ("a", &["a"]),
            ("a,a", &["a"]),
            ("b:1,a", &["a", "b:1"]),
            ("a,b:1", &["a", "b:1"]),
        ])?;
        let number = input.int_in_range(0..=2)?;
        let rate = 1.0 / weight as f64;
        let line = format!("{name}{number}:{line}|{name}|@{rate}|#{tags}");
        let late_s = if input.ratio(1, 6)? { input.int_in_range(1..=25)? } else { 0 };
        let second = self.now_s - late_s;
        let stamp = Stamp::from_ns(Stamp::from_s(second).ns() + self.samples);
        let datagram = Datagram {
            bytes: line.as_bytes(),
            stamp,
            transport: Transport::Udp,
            extent: Extent::Whole,
        };
        self.engine.push(input.choose_index(self.workers)?, &datagram);
        let context = (format!("{name}{number}"), sorted.iter().map(|tag| (*tag).into()).collect());
        if name == "c" {
            let seen = self.seen.entry(context.clone()).or_default();
            *seen = (*seen).max(second);
        }
        self.model.sample(second, stamp.ns(), context, sample);
        Ok(())
    }

    fn finish(self) {
        let Self { engine, model, mut shown, now_s, samples, seen, .. } = self;
        let finished = engine.finish(Stamp::from_s(now_s), &mut |item| shown.take(item));
        for balance in finished.balances() {
            assert!(Balance::holds(&balance), "{balance:?}");
        }
        assert_eq!((finished.workers.samples, finished.merge.samples), (samples, samples));
        for lane in finished.flushed.delivered().lanes() {
            assert!(matches!(lane, Lane::Proved { .. }), "{lane:?}");
        }
        let expected = model.finish();
        let mut figures = shown.figures;
        figures.retain(|key, value| {
            let is_zero = *value == 0.0 && key.0.starts_with('c') && !expected.contains_key(key);
            if is_zero {
                let (name, tags, second) = key;
                let seen = seen.get(&(name.clone(), tags.clone())).copied();
                let slot = Slot::containing(*second).start_s();
                assert!(seen.is_some_and(|seen| seen + COUNTER_EXPIRY_S > slot), "{key:?}");
            }
            !is_zero
        });
        assert_eq!(figures, expected);
    }
}

/// What the merge has shown.
#[derive(Default)]
struct Shown {
    figures: Figures,
}

impl Shown {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) => {
                let [point] = series.points else { panic!("one point a series") };
                let is_rate = series.name.starts_with('c') || series.name.ends_with(".count");
                assert_eq!(series.kind == SeriesKind::Rate, is_rate, "{}", series.name);
                self.figure(series.name, "", series.tags, point.second, point.value);
            }
            Item::Sketch(series) => {
                let [point] = series.points else { panic!("one point a sketch") };
                let summary = point.summary;
                let bins: u64 = point.bins.iter().map(|bin| u64::from(bin.count)).sum();
                assert_eq!(bins, summary.count);
                for (suffix, value) in [
                    (".min", summary.min),
                    (".max", summary.max),
                    (".sum", summary.sum),
                    (".count", summary.count as f64),
                ] {
                    self.figure(series.name, suffix, series.tags, point.second, value);
                }
            }
            other => panic!("nobody sent {other:?}"),
        }
    }

    fn figure(&mut self, name: &str, suffix: &str, tags: Tags<'_>, second: i64, value: f64) {
        let tags = tags.iter().map(str::to_owned).collect();
        let key = (format!("{name}{suffix}"), tags, second.unsigned_abs());
        assert!(self.figures.insert(key.clone(), value).is_none(), "{key:?} ships twice");
    }
}

/// How the workers of this room aggregate.
pub(crate) fn worker_settings() -> WorkerSettings {
    WorkerSettings {
        parse: Options::default(),
        line_end: [LineEnd::Optional; 3],
        context_bytes_max: CONTEXT_BYTES_DEFAULT,
        context_expiry_s: 20,
        late: LateArrival::JoinsOpenSlot,
        timestamped: Timestamped::Aggregated,
        enricher: Arc::new(Enricher::new(Settings::default())),
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
        context_expiry_s: 20,
        idle_bytes_max: usize::MAX,
        global_tags: Vec::new(),
        series_blocklist: Blocklist::default(),
        incomplete: Incomplete::Shipped,
        late: LateArrival::JoinsOpenSlot,
        origin: Origin::DOGSTATSD,
    }
}
