//! What the intake has taken, counted the way the real one would: a later point for the same series
//! and second takes the place of the earlier one, so that a bucket shipped twice in two halves shows
//! as loss and a request sent twice doesn't show as gain. Both are counted as duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::decode::{Body, Check, Event, Kind, Series, Sketch};

/// Points kept per series to find duplicates; older ones stay counted but can't be replaced.
const POINTS_KEPT_MAX: usize = 256;

/// Reasons of undecodable bodies, events and checks kept in full; all are counted.
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

/// One series as the intake holds it.
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
    /// Second since 1970 and value, for the latest 256 seconds that had one. For a sketch the value
    /// is the number of samples.
    pub points: BTreeMap<i64, f64>,
}

/// The intake's memory.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) totals: Totals,
    pub(super) events: Vec<Event>,
    pub(super) checks: Vec<Check>,
    series: HashMap<Identity, StoredSeries>,
    bodies: HashSet<u64>,
    /// Digests: a key itself must not turn up in anything that prints this.
    keys: HashSet<u64>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    metric: String,
    host: String,
    device: String,
    tags: Vec<String>,
    kind: Kind,
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

    /// Every series held under a metric name, in the order of their tags.
    pub(super) fn series(&self, metric: &str) -> Vec<StoredSeries> {
        let named = self.series.iter().filter(|(identity, _)| identity.metric == metric);
        let mut series: Vec<_> = named.map(|(_, stored)| stored.clone()).collect();
        series.sort_by(|a, b| (&a.tags, &a.host, &a.device).cmp(&(&b.tags, &b.host, &b.device)));
        series
    }

    fn add_series(&mut self, series: Series) {
        let metric = self.totals.metrics.entry(series.metric.clone()).or_default();
        let identity = Identity {
            metric: series.metric,
            host: series.host,
            device: series.device,
            tags: series.tags,
            kind: series.kind,
        };
        let stored = stored(&mut self.series, identity);
        stored.interval_s = series.interval_s;
        for (second, value) in series.points {
            metric.points += 1;
            self.totals.points += 1;
            let before = keep(&mut stored.points, second, value);
            if before.is_some() {
                self.totals.duplicate_points += 1;
            }
            let weight = match series.kind {
                Kind::Count => 1.0,
                Kind::Rate => interval_weight(series.interval_s),
                Kind::Gauge | Kind::Sketch => {
                    metric.last = latest(metric.last, Some(Last { second, value }));
                    continue;
                }
            };
            metric.count += value * weight - before.map_or(0.0, |value| value * weight);
        }
    }

    fn add_sketch(&mut self, sketch: Sketch) {
        let metric = self.totals.metrics.entry(sketch.metric.clone()).or_default();
        let identity = Identity {
            metric: sketch.metric,
            host: sketch.host,
            device: String::new(),
            tags: sketch.tags,
            kind: Kind::Sketch,
        };
        let stored = stored(&mut self.series, identity);
        for point in sketch.points {
            metric.sketches += 1;
            metric.sketch_count += point.count;
            metric.sketch_sum += point.sum;
            #[expect(clippy::cast_precision_loss, reason = "sample counts stay below 2^53")]
            if keep(&mut stored.points, point.second, point.count as f64).is_some() {
                self.totals.duplicate_points += 1;
            }
        }
    }
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

fn stored(series: &mut HashMap<Identity, StoredSeries>, mut id: Identity) -> &mut StoredSeries {
    id.tags.sort_unstable();
    let new = StoredSeries {
        host: id.host.clone(),
        device: id.device.clone(),
        tags: id.tags.clone(),
        kind: id.kind,
        interval_s: 0,
        points: BTreeMap::new(),
    };
    series.entry(id).or_insert(new)
}

/// Keeps a point and gives back the one it replaces.
fn keep(points: &mut BTreeMap<i64, f64>, second: i64, value: f64) -> Option<f64> {
    let before = points.insert(second, value);
    if points.len() > POINTS_KEPT_MAX {
        points.pop_first();
    }
    before
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
