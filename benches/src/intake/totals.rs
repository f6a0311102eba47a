//! What the intake has taken, counted the way the real one would: a later point for the same series
//! and second takes the place of the earlier one, so that a bucket shipped twice in two halves shows
//! as loss and a request sent twice doesn't show as gain. Both are counted as duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use ahash::RandomState;
use serde::Serialize;

use super::decode::{Body, Check, Event, Kind, Series, Sketch};

/// Points kept per series to find duplicates; older ones stay counted but can't be replaced.
const POINTS_KEPT_MAX: usize = 256;

/// Series, events, checks and reasons of undecodable bodies kept in full; all are counted.
const ITEMS_KEPT_MAX: usize = 10_000;

/// Everything that the intake counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Connections accepted (with TLS: handshakes finished).
    pub connections: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Requests read, whatever the answer.
    pub requests: u64,
    /// Requests whose content was accepted and counted.
    pub accepted_requests: u64,
    /// Distinct API keys seen; the keys themselves are not kept.
    pub keys: usize,
    /// Points of series accepted, duplicates included.
    pub points: u64,
    /// Points for a series and second that already had one.
    pub duplicate_points: u64,
    /// Accepted bodies that equal an earlier one byte for byte.
    pub duplicate_bodies: u64,
    /// Bodies that were answered with 400.
    pub undecodable: u64,
    /// Why, in order of arrival; the first 10,000.
    pub undecodable_reasons: Vec<String>,
    /// Events accepted.
    pub events: u64,
    /// Service checks accepted.
    pub checks: u64,
    /// Per metric name.
    pub metrics: BTreeMap<String, Metric>,
}

/// What came in under one metric name, over all its series.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metric {
    /// Points of series accepted, duplicates included.
    pub points: u64,
    /// Counts, and rates times their interval, summed.
    pub count: f64,
    /// What a gauge had last: the point of the latest second, then of the latest arrival.
    pub last: Option<Last>,
    /// Sketches accepted, one a bucket.
    pub sketches: u64,
    /// Samples in them.
    pub sketch_count: u64,
    /// The samples' sum.
    pub sketch_sum: f64,
}

/// A gauge's last point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Last {
    /// Second since 1970.
    pub second: i64,
    /// Value.
    pub value: f64,
}

impl Totals {
    /// What counters sent under a name, in increments; 0 for a name that never came.
    #[must_use]
    pub fn count(&self, metric: &str) -> f64 {
        self.metrics.get(metric).map_or(0.0, |metric| metric.count)
    }

    /// Adds up all metrics whose names start with a prefix, such as `load.count.`.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Metric {
        let metrics = self.metrics.range(prefix.to_owned()..);
        let named = metrics.take_while(|(name, _)| name.starts_with(prefix));
        named.fold(Metric::default(), |sum, (_, metric)| Metric {
            points: sum.points + metric.points,
            count: sum.count + metric.count,
            last: latest(sum.last, metric.last),
            sketches: sum.sketches + metric.sketches,
            sketch_count: sum.sketch_count + metric.sketch_count,
            sketch_sum: sum.sketch_sum + metric.sketch_sum,
        })
    }
}

/// One series as the intake keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredSeries {
    /// Host; empty if none was named.
    pub host: String,
    /// Device; empty if none was named.
    pub device: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// How the values are read.
    pub kind: Kind,
    /// Seconds that a point covers, as last sent.
    pub interval_s: u64,
    /// Second since 1970 and value, for the latest 256 seconds that had one, ascending. For a sketch
    /// the value is the number of samples.
    pub points: Vec<(i64, f64)>,
}

/// The intake's memory.
///
/// Of most series it knows a number and the points alone: an intake that keeps the texts of a load
/// with many of them is busier with its memory than the server that is measured.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) totals: Totals,
    pub(super) events: Vec<Event>,
    pub(super) checks: Vec<Check>,
    /// By number.
    series: HashMap<u64, Held, RandomState>,
    /// How many of them are kept in full.
    kept: usize,
    bodies: HashSet<u64>,
    /// Digests: a key itself must not turn up in anything that prints this.
    keys: HashSet<u64>,
}

/// What is known of one series.
#[derive(Debug, Default)]
struct Held {
    /// Second and value, for the latest seconds, ascending.
    points: Vec<(i64, f64)>,
    /// Metric and series of one that is kept in full; its points stand above.
    kept: Option<Box<(String, StoredSeries)>>,
}

impl Store {
    /// Remembers an API key so that only its being different counts.
    pub(super) fn see_key(&mut self, key: &str) {
        self.keys.insert(digest("", key.as_bytes()));
        self.totals.keys = self.keys.len();
    }

    /// Counts a body that can't be decoded.
    pub(super) fn refuse(&mut self, path: &str, reason: &str) {
        self.totals.undecodable += 1;
        if self.totals.undecodable_reasons.len() < ITEMS_KEPT_MAX {
            self.totals.undecodable_reasons.push(format!("{path}: {reason}"));
        }
    }

    /// Takes a decoded body in; `digest` is that of its bytes as sent.
    pub(super) fn accept(&mut self, digest: u64, body: Body) {
        self.totals.accepted_requests += 1;
        if !self.bodies.insert(digest) {
            self.totals.duplicate_bodies += 1;
        }
        match body {
            Body::Series(series) => series.into_iter().for_each(|series| self.add_series(series)),
            Body::Sketches(sketches) => {
                sketches.into_iter().for_each(|sketch| self.add_sketch(sketch));
            }
            Body::Events(events) => {
                self.totals.events += count(events.len());
                let room = ITEMS_KEPT_MAX.saturating_sub(self.events.len());
                self.events.extend(events.into_iter().take(room));
            }
            Body::Checks(checks) => {
                self.totals.checks += count(checks.len());
                let room = ITEMS_KEPT_MAX.saturating_sub(self.checks.len());
                self.checks.extend(checks.into_iter().take(room));
            }
        }
    }

    /// Every series kept under a metric name, in the order of their tags.
    pub(super) fn series(&self, metric: &str) -> Vec<StoredSeries> {
        let kept = self.series.values().filter_map(|held| Some((held, held.kept.as_deref()?)));
        let named = kept.filter(|(_, (name, _))| name == metric);
        let mut series: Vec<_> = named
            .map(|(held, (_, one))| StoredSeries { points: held.points.clone(), ..one.clone() })
            .collect();
        series.sort_by(|a, b| (&a.tags, &a.host, &a.device).cmp(&(&b.tags, &b.host, &b.device)));
        series
    }

    fn add_series(&mut self, series: Series) {
        let Series { metric, host, device, tags, kind, interval_s, points, .. } = series;
        let counted = self.totals.metrics.entry(metric.clone()).or_default();
        let one = StoredSeries { host, device, tags, kind, interval_s, points: Vec::new() };
        let held = held(&mut self.series, &mut self.kept, metric, one);
        for (second, value) in points {
            counted.points += 1;
            self.totals.points += 1;
            let before = held.keep(second, value);
            if before.is_some() {
                self.totals.duplicate_points += 1;
            }
            let weight = match kind {
                Kind::Count => 1.0,
                Kind::Rate => interval_weight(interval_s),
                Kind::Gauge | Kind::Sketch => {
                    counted.last = latest(counted.last, Some(Last { second, value }));
                    continue;
                }
            };
            counted.count += value * weight - before.map_or(0.0, |value| value * weight);
        }
    }

    fn add_sketch(&mut self, sketch: Sketch) {
        let Sketch { metric, host, tags, points, .. } = sketch;
        let counted = self.totals.metrics.entry(metric.clone()).or_default();
        let (device, kind) = (String::new(), Kind::Sketch);
        let one = StoredSeries { host, device, tags, kind, interval_s: 0, points: Vec::new() };
        let held = held(&mut self.series, &mut self.kept, metric, one);
        for point in points {
            counted.sketches += 1;
            counted.sketch_count += point.count;
            counted.sketch_sum += point.sum;
            #[expect(clippy::cast_precision_loss, reason = "sample counts stay below 2^53")]
            if held.keep(point.second, point.count as f64).is_some() {
                self.totals.duplicate_points += 1;
            }
        }
    }
}

impl Held {
    /// Keeps a point and gives back the one it replaces.
    fn keep(&mut self, second: i64, value: f64) -> Option<f64> {
        match self.points.binary_search_by_key(&second, |&(second, _)| second) {
            Ok(place) => Some(std::mem::replace(&mut self.points[place].1, value)),
            Err(place) => {
                self.points.insert(place, (second, value));
                if self.points.len() > POINTS_KEPT_MAX {
                    self.points.remove(0);
                }
                None
            }
        }
    }
}

/// Finds what is known of a series, and keeps it in full if it is one of the first.
fn held<'a>(
    all: &'a mut HashMap<u64, Held, RandomState>,
    kept: &mut usize,
    metric: String,
    mut one: StoredSeries,
) -> &'a mut Held {
    let number = number(all.hasher(), &metric, &one);
    let held = all.entry(number).or_default();
    match &mut held.kept {
        Some(kept) => kept.1.interval_s = one.interval_s,
        None if *kept < ITEMS_KEPT_MAX => {
            *kept += 1;
            one.tags.sort_unstable();
            held.kept = Some(Box::new((metric, one)));
        }
        None => {}
    }
    held
}

/// The number of a series, whatever the order of its tags. Two of a million series have the same one
/// in one run of 37 million.
fn number(hasher: &RandomState, metric: &str, series: &StoredSeries) -> u64 {
    let StoredSeries { host, device, tags, kind, .. } = series;
    let tags = tags.iter().map(|tag| hasher.hash_one(tag)).fold(0, u64::wrapping_add);
    hasher.hash_one((metric, host, device, tags, kind))
}

/// The later of two gauge points; the second one if they are of the same second.
fn latest(a: Option<Last>, b: Option<Last>) -> Option<Last> {
    a.into_iter().chain(b).max_by_key(|last| last.second)
}

/// Digests a body's path and bytes, so that two requests can be told to be the same.
pub(super) fn digest(path: &str, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (path, body).hash(&mut hasher);
    hasher.finish()
}

/// The seconds that a rate is multiplied with; one without interval covers one second.
fn interval_weight(interval_s: u64) -> f64 {
    f64::from(u32::try_from(interval_s.max(1)).unwrap_or(u32::MAX))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::decode::{Origin, SketchPoint};

    fn series(kind: Kind, tags: &[&str], points: &[(i64, f64)]) -> Body {
        Body::Series(vec![Series {
            metric: "m".to_owned(),
            host: String::new(),
            device: String::new(),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            resources: Vec::new(),
            kind,
            interval_s: 10,
            points: points.to_vec(),
            source_type: String::new(),
            unit: String::new(),
            origin: Origin::default(),
        }])
    }

    #[test]
    fn a_rate_counts_its_value_times_its_interval() {
        let mut store = Store::default();
        store.accept(1, series(Kind::Rate, &[], &[(10, 0.7), (20, 1.3)]));
        assert_eq!(store.totals.count("m"), 20.0);
        store.accept(2, series(Kind::Count, &[], &[(10, 5.0)]));
        assert_eq!(store.totals.count("m"), 25.0);
    }

    /// The order of tags makes no other series, a different tag does.
    #[test]
    fn a_second_point_for_series_and_second_takes_the_place_of_the_first() {
        let mut store = Store::default();
        store.accept(1, series(Kind::Rate, &["a", "b"], &[(10, 0.7)]));
        store.accept(2, series(Kind::Rate, &["b", "a"], &[(10, 0.2)]));
        store.accept(3, series(Kind::Rate, &["c"], &[(10, 1.0)]));
        assert_eq!(store.totals.count("m"), 12.0);
        assert_eq!((store.totals.points, store.totals.duplicate_points), (3, 1));
        assert_eq!(store.totals.duplicate_bodies, 0);
        assert_eq!(store.series("m").len(), 2);
    }

    #[test]
    fn a_body_sent_twice_is_a_duplicate_and_adds_nothing() {
        let mut store = Store::default();
        store.accept(1, series(Kind::Rate, &[], &[(10, 0.7)]));
        store.accept(1, series(Kind::Rate, &[], &[(10, 0.7)]));
        assert_eq!(store.totals.count("m"), 7.0);
        assert_eq!((store.totals.duplicate_bodies, store.totals.duplicate_points), (1, 1));
    }

    #[test]
    fn a_gauge_keeps_the_value_of_the_latest_second() {
        let mut store = Store::default();
        store.accept(1, series(Kind::Gauge, &[], &[(20, 2.0)]));
        store.accept(2, series(Kind::Gauge, &[], &[(10, 1.0)]));
        assert_eq!(store.totals.metrics["m"].last, Some(Last { second: 20, value: 2.0 }));
        store.accept(3, series(Kind::Gauge, &[], &[(20, 3.0)]));
        assert_eq!(store.totals.metrics["m"].last, Some(Last { second: 20, value: 3.0 }));
    }

    #[test]
    fn sketches_add_up_their_counts_and_sums() {
        let mut store = Store::default();
        let point = |second| SketchPoint {
            second,
            count: 3,
            min: 1.0,
            max: 3.0,
            avg: 2.0,
            sum: 6.0,
            bins: vec![(1, 3)],
        };
        let sketch = Sketch {
            metric: "d".to_owned(),
            host: String::new(),
            tags: Vec::new(),
            points: vec![point(10), point(20), point(20)],
            origin: Origin::default(),
        };
        store.accept(1, Body::Sketches(vec![sketch]));
        let metric = &store.totals.metrics["d"];
        assert_eq!((metric.sketches, metric.sketch_count, metric.sketch_sum), (3, 9, 18.0));
        assert_eq!(store.totals.duplicate_points, 1);
    }

    #[test]
    fn metrics_add_up_under_a_prefix() {
        let named =
            |name: &str, count| (name.to_owned(), Metric { count, points: 1, ..Metric::default() });
        let metrics = [named("a", 1.0), named("a.b", 2.0), named("a.c", 4.0), named("b", 8.0)];
        let totals = Totals { metrics: metrics.into(), ..Totals::default() };
        assert_eq!((totals.under("a.").count, totals.under("a.").points), (6.0, 2));
        assert_eq!(totals.under("c"), Metric::default());
    }

    #[test]
    fn points_that_are_no_longer_kept_stay_counted() {
        let mut store = Store::default();
        let points: Vec<_> = (0..1_000).map(|second| (second, 1.0)).collect();
        store.accept(1, series(Kind::Count, &[], &points));
        assert_eq!(store.totals.count("m"), 1_000.0);
        assert_eq!(store.series("m")[0].points.len(), POINTS_KEPT_MAX);
        assert_eq!(store.series("m")[0].points[0].0, 1_000 - POINTS_KEPT_MAX as i64);
    }

    #[test]
    fn the_first_series_are_kept_in_full_and_all_are_counted() {
        let mut store = Store::default();
        for round in 0..2 {
            for tag in 0..=ITEMS_KEPT_MAX {
                store.accept(0, series(Kind::Count, &[&format!("n:{tag}")], &[(round, 1.0)]));
            }
        }
        let kept = store.series("m");
        assert_eq!(kept.len(), ITEMS_KEPT_MAX);
        assert!(kept.iter().all(|one| one.points == [(0, 1.0), (1, 1.0)]));
        assert_eq!((store.totals.points, store.totals.duplicate_points), (20_002, 0));
    }

    #[test]
    fn keys_are_counted_not_kept() {
        let mut store = Store::default();
        for key in ["a", "b", "a"] {
            store.see_key(key);
        }
        assert_eq!(store.totals.keys, 2);
        store.see_key("0123456789abcdef");
        assert!(!format!("{store:?}").contains("0123456789abcdef"));
    }
}
