//! Series and sketches as rows of JSON: one a series, one a sketch.

use std::collections::BTreeMap;

use lastdrop_engine::merge::Item;
use lastdrop_engine::series::{Point, Series, SeriesKind, SketchSeries, Tags};

use crate::json::{Json, Object};

/// What a flush has made.
#[derive(Default)]
pub(super) struct Rows {
    /// By what tells series apart. Of one key there are several rows if a histogram's series and a
    /// plain one have the same name.
    series: BTreeMap<Key, Vec<Row>>,
    sketches: Vec<(SketchKey, Object)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    tags: Vec<String>,
    host: String,
    kind: &'static str,
}

/// Name, tags, host and time.
type SketchKey = (String, Vec<String>, String, i64);

struct Row {
    interval_s: u64,
    unit: String,
    points: Vec<Point>,
    growth: Growth,
}

/// Whether a row takes points of further slots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// It does: the series was aggregated.
    Open,
    /// It doesn't: it is a sample that was passed through.
    Complete,
}

impl Rows {
    /// Takes what leaves the engine. Events and service checks are no series.
    pub(super) fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) => self.add(&series, Growth::Open),
            Item::Passed(series) => self.add(&series, Growth::Complete),
            Item::Sketch(sketches) => self.add_sketches(&sketches),
            Item::Events(_) | Item::ServiceChecks(_) => {}
        }
    }

    /// All of it, in the order of names and tags.
    pub(super) fn answer(self) -> Object {
        let series = self
            .series
            .into_iter()
            .flat_map(|(key, rows)| rows.into_iter().map(move |row| Json::from(row.object(&key))));
        let mut sketches = self.sketches;
        sketches.sort_by(|(one, _), (other, _)| one.cmp(other));
        let sketches = sketches.into_iter().map(|(_, row)| Json::from(row));
        let mut answer = Object::default();
        answer.set("series", series.collect::<Vec<_>>());
        answer.set("sketches", sketches.collect::<Vec<_>>());
        answer
    }

    fn add(&mut self, series: &Series<'_>, growth: Growth) {
        let kind = match series.kind {
            SeriesKind::Count => "count",
            SeriesKind::Rate => "rate",
            SeriesKind::Gauge => "gauge",
        };
        let (name, host) = (series.name.to_owned(), series.host.to_owned());
        let rows =
            self.series.entry(Key { name, tags: tags(series.tags), host, kind }).or_default();
        let takes = |row: &&mut Row| row.growth == growth && row.has_room_for(series.points);
        match rows.iter_mut().find(takes) {
            Some(row) if growth == Growth::Open => row.extend(series),
            _ => rows.push(Row {
                interval_s: series.interval_s,
                unit: series.unit.to_owned(),
                points: series.points.to_vec(),
                growth,
            }),
        }
    }

    fn add_sketches(&mut self, series: &SketchSeries<'_>) {
        for point in series.points {
            let tags = tags(series.tags);
            let summary = point.summary;
            let mut row = Object::default();
            row.set("name", series.name);
            row.set("tags", texts(&tags));
            row.set("ts", point.second);
            row.set("count", summary.count);
            row.set("sum", summary.sum);
            row.set("min", summary.min);
            row.set("max", summary.max);
            row.set("k", list(point.bins.iter().map(|bin| i64::from(bin.key))));
            row.set("n", list(point.bins.iter().map(|bin| i64::from(bin.count))));
            row.set_if("host", (!series.host.is_empty()).then_some(series.host));
            let key = (series.name.to_owned(), tags, series.host.to_owned(), point.second);
            self.sketches.push((key, row));
        }
    }
}

impl Row {
    fn has_room_for(&self, points: &[Point]) -> bool {
        let is_new = |point: &Point| self.points.iter().all(|known| known.second != point.second);
        points.iter().all(is_new)
    }

    fn extend(&mut self, series: &Series<'_>) {
        self.points.extend_from_slice(series.points);
        if self.unit.is_empty() {
            series.unit.clone_into(&mut self.unit);
        }
    }

    fn object(mut self, key: &Key) -> Object {
        self.points.sort_by_key(|point| point.second);
        let pair = |point: &Point| Json::from(vec![point.second.into(), point.value.into()]);
        let mut row = Object::default();
        row.set("name", key.name.as_str());
        row.set("type", key.kind);
        row.set("interval", self.interval_s);
        row.set("tags", texts(&key.tags));
        row.set("points", self.points.iter().map(pair).collect::<Vec<_>>());
        row.set_if("host", (!key.host.is_empty()).then_some(key.host.as_str()));
        row.set_if("unit", (!self.unit.is_empty()).then_some(self.unit));
        row
    }
}

fn tags(tags: Tags<'_>) -> Vec<String> {
    let mut tags: Vec<_> = tags.iter().map(String::from).collect();
    tags.sort_unstable();
    tags
}

fn texts(texts: &[String]) -> Vec<Json> {
    list(texts.iter().map(String::as_str))
}

fn list(values: impl Iterator<Item = impl Into<Json>>) -> Vec<Json> {
    values.map(Into::into).collect()
}
