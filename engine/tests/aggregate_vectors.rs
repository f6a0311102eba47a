//! Every vector of `vectors/aggregate.jsonl`, through one function.
//!
//! A vector gives settings, samples with the times at which they are handled, flushes before the end,
//! and the complete output of the last flush. Samples go through a packet ring, a worker and the
//! merge; the last flush is the stop.

#![expect(clippy::expect_used, reason = "a vector file that can't be read is a failed test")]

mod config;

use config::{enrichment, list, options, strings};
use lastdrop_engine::bucket::HistogramSettings;
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::enrich::Enricher;
use lastdrop_engine::inline::Inline;
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::merge::{Incomplete, Item, MergeSettings};
use lastdrop_engine::message::LineEnd;
use lastdrop_engine::sampler::LateArrival;
use lastdrop_engine::series::{Origin, Series, SeriesKind, SketchSeries, Tags};
use lastdrop_engine::time::{NS_PER_S, Slot, Stamp};
use lastdrop_engine::worker::{Timestamped, WorkerSettings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Vectors whose outcome is a defect of the reference agent that we don't share: the start of the
/// note, and what we do instead.
const DIFFERENCES: &[(&str, &str)] = &[(
    "a very late sample moves the context's last-seen time back",
    "a context that an open bucket refers to is not forgotten, so its samples are not lost",
)];

#[test]
fn every_vector_holds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/aggregate.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let vectors = text.split('\n').filter(|line| !line.is_empty());
    let vectors: Vec<Value> = vectors.map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(vectors.len() >= 111, "only {} vectors found", vectors.len());
    vectors.iter().for_each(check);
    for (start, _) in DIFFERENCES {
        assert!(vectors.iter().any(|vector| note(vector).starts_with(start)), "{start}");
    }
}

fn check(vector: &Value) {
    if vector["tags_of_vector"] == json!(["legacy"]) {
        return;
    }
    let (series, sketches) = last_flush(vector);
    let same = same(&series, &vector["expect_series"], "points")
        && same(&sketches, &vector["expect_sketches"], "ts");
    match DIFFERENCES.iter().find(|(start, _)| note(vector).starts_with(start)) {
        None => assert!(same, "{vector}\ngave {series:#?}\nand {sketches:#?}"),
        Some((_, reason)) => {
            let is_defect = vector["tags_of_vector"] == json!(["reference-defect"]);
            assert!(is_defect, "only a defect of the reference may be listed: {vector}");
            assert!(!same, "no difference any more, take it off the list: {reason}");
        }
    }
}

fn note(vector: &Value) -> &str {
    vector["note"].as_str().unwrap_or_default()
}

/// What the last flush of a vector makes: rows of series, rows of sketches.
fn last_flush(vector: &Value) -> (Vec<Value>, Vec<Value>) {
    let (worker, merge) = settings(vector);
    let mut engine = Inline::new(1, &worker, merge);
    let mut flushes = list(&vector["prior_flushes"]).peekable();
    let mut flush_after = |engine: &mut Inline, count: usize| {
        while let Some(flush) = flushes.next_if(|flush| flush["after"] == json!(count)) {
            let at = stamp(&flush["at"]);
            engine.close(Slot::containing(at.seconds()), at);
            engine.run(&mut |_| {});
        }
    };
    flush_after(&mut engine, 0);
    for (sample, count) in list(&vector["samples"]).zip(1..) {
        engine.push(
            0,
            &Datagram {
                bytes: sample["line"].as_str().expect("a line").as_bytes(),
                stamp: stamp(&sample["t"]),
                transport: Transport::Udp,
                extent: Extent::Whole,
            },
        );
        flush_after(&mut engine, count);
    }
    assert!(flushes.next().is_none(), "{vector}");
    let mut rows = Rows::default();
    let finished = engine.finish(stamp(&vector["flush_at"]), &mut |item| rows.take(item));
    for balance in finished.balances() {
        assert!(Balance::holds(&balance), "{balance:?}: {vector}");
    }
    (rows.series.into_values().flatten().collect(), rows.sketches)
}

#[derive(Default)]
struct Rows {
    /// By everything but the points.
    series: BTreeMap<String, Vec<Value>>,
    sketches: Vec<Value>,
}

impl Rows {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) => {
                let row = series_row(&series);
                let key = json!([row["name"], row["tags"], row["host"], row["type"]]).to_string();
                let known = self.series.entry(key).or_default();
                match known.first_mut().and_then(|known| known["points"].as_array_mut()) {
                    None => known.push(row),
                    Some(points) => points.push(row["points"][0].clone()),
                }
            }
            Item::Passed(series) => {
                self.series.entry("passed".into()).or_default().push(series_row(&series));
            }
            Item::Sketch(series) => self.sketches.push(sketch_row(&series)),
            Item::Events(_) | Item::ServiceChecks(_) => {}
        }
    }
}

fn series_row(series: &Series<'_>) -> Value {
    let kind = match series.kind {
        SeriesKind::Rate => "rate",
        SeriesKind::Gauge => "gauge",
        SeriesKind::Count => "count",
    };
    let points = series.points.iter().map(|point| json!([point.second, point.value]));
    let mut row = json!({
        "name": series.name, "type": kind, "interval": series.interval_s,
        "tags": tags(series.tags), "points": points.collect::<Vec<_>>(),
    });
    for (key, value) in [("host", series.host), ("unit", series.unit)] {
        if !value.is_empty() {
            row[key] = value.into();
        }
    }
    row
}

fn sketch_row(series: &SketchSeries<'_>) -> Value {
    let [point] = series.points else { panic!("one point a sketch") };
    let bins: u64 = point.bins.iter().map(|bin| u64::from(bin.count)).sum();
    assert_eq!(bins, point.summary.count);
    json!({
        "name": series.name, "tags": tags(series.tags), "ts": point.second,
        "count": point.summary.count, "sum": point.summary.sum, "min": point.summary.min,
        "max": point.summary.max,
    })
}

fn tags(tags: Tags<'_>) -> Vec<&str> {
    let mut tags: Vec<_> = tags.iter().collect();
    tags.sort_unstable();
    tags
}

/// Whether two lists hold the same rows in any order, numbers taken for the same if they differ by
/// no more than 1e-9 of their size.
fn same(rows: &[Value], expected: &Value, last_key: &str) -> bool {
    let sorted = |rows: &[Value]| {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| {
            json!([row["name"], row["tags"], row["host"], row["type"], row[last_key]]).to_string()
        });
        Value::from(rows)
    };
    close(&sorted(rows), &sorted(expected.as_array().expect("a list")))
}

fn close(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().expect("a number"), right.as_f64().expect("one"));
            (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| close(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_close = |(key, value)| right.get(key).is_some_and(|r| close(value, r));
            left.len() == right.len() && left.iter().all(is_close)
        }
        _ => left == right,
    }
}

fn stamp(seconds: &Value) -> Stamp {
    let ns = (seconds.as_f64().expect("seconds") * NS_PER_S as f64).round();
    assert!((0.0..1e19).contains(&ns));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Stamp::from_ns(ns as u64)
}

fn settings(vector: &Value) -> (WorkerSettings, MergeSettings) {
    let config = &vector["config"];
    let is_set = |key: &str| config[key] == json!(true);
    let seconds = |key: &str, default: u64| config[key].as_u64().unwrap_or(default);
    let strings_or = |key: &str, default: &[&str]| match &config[key] {
        Value::Null => default.iter().copied().map(String::from).collect(),
        list => strings(list),
    };
    let (histogram, _bad) = HistogramSettings::parse(
        &strings_or("histogram_aggregates", &["max", "median", "avg", "count"]),
        &strings_or("histogram_percentiles", &["0.95"]),
    );
    let suffixes: Vec<_> = histogram.suffixes().map(|suffix| suffix.text[1..].into()).collect();
    let enrichment = enrichment(config);
    let series_blocklist = enrichment.blocklist.of_histogram_series(&suffixes);
    let enricher = Arc::new(Enricher::new(enrichment));
    let context_expiry_s = seconds("dogstatsd_context_expiry_seconds", 20);
    let merge = MergeSettings {
        histogram: Arc::new(histogram),
        counter_expiry_s: seconds("dogstatsd_expiry_seconds", 300),
        context_expiry_s,
        idle_bytes_max: usize::MAX,
        global_tags: enricher.extra_tags().to_vec(),
        series_blocklist,
        late: LateArrival::ReopensSlot,
        incomplete: match vector["incomplete"] == json!(true) {
            true => Incomplete::Shipped,
            false => Incomplete::Dropped,
        },
        origin: Origin::DOGSTATSD,
    };
    let worker = WorkerSettings {
        parse: options(config),
        line_end: [LineEnd::Optional; 3],
        context_expiry_s,
        late: LateArrival::ReopensSlot,
        timestamped: match is_set("no_aggregation") {
            true => Timestamped::PassedThrough,
            false => Timestamped::Aggregated,
        },
        enricher,
        ..WorkerSettings::default()
    };
    (worker, merge)
}
