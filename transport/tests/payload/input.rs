//! Inputs of the payload vectors, as what the builders take.

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Origin, OwnTags, Point, Series, SeriesKind, SketchPoint, SketchSeries, Tags,
};
use lastdrop_engine::sketch::Sketch;
use serde_json::Value;

/// A series that owns what [`Series`] borrows.
#[derive(Clone, Debug)]
pub(crate) struct OwnedSeries {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) global: Vec<Tag>,
    pub(crate) own: Vec<Tag>,
    pub(crate) kind: SeriesKind,
    pub(crate) points: Vec<Point>,
    pub(crate) interval_s: u64,
    pub(crate) unit: String,
    pub(crate) source_type_name: String,
    pub(crate) origin: Origin,
    pub(crate) no_index: bool,
}

impl OwnedSeries {
    /// Reads one series of a vector's input.
    pub(crate) fn read(input: &Value) -> Self {
        let mut global = tags(&input["tags"]);
        if let Some(device) = input["device"].as_str() {
            // A preset device yields to a tag, like an earlier tag to a later one.
            global.insert(0, Tag::from(format!("device:{device}").as_str()));
        }
        Self {
            name: text(&input["metric"]),
            host: text(&input["host"]),
            global,
            own: tags(&input["tags2"]),
            kind: match input["type"].as_str().unwrap() {
                "count" => SeriesKind::Count,
                "rate" => SeriesKind::Rate,
                "gauge" => SeriesKind::Gauge,
                other => panic!("no series type {other}"),
            },
            points: input["points"].as_array().unwrap().iter().map(point).collect(),
            interval_s: input["interval"].as_u64().unwrap_or_default(),
            unit: String::new(),
            source_type_name: text(&input["source_type_name"]),
            origin: origin(&input["origin"]),
            no_index: input["no_index"].as_bool().unwrap_or_default(),
        }
    }

    pub(crate) fn borrowed(&self) -> Series<'_> {
        Series {
            name: &self.name,
            host: &self.host,
            tags: Tags { own: OwnTags::List(&self.own), global: &self.global },
            kind: self.kind,
            points: &self.points,
            interval_s: self.interval_s,
            unit: &self.unit,
            source_type_name: &self.source_type_name,
            no_index: self.no_index,
            origin: self.origin,
        }
    }
}

/// A distribution that owns what [`SketchSeries`] borrows.
pub(crate) struct OwnedSketches {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) global: Vec<Tag>,
    pub(crate) own: Vec<Tag>,
    /// Second and finished sketch.
    pub(crate) points: Vec<(i64, Sketch)>,
    pub(crate) origin: Origin,
    pub(crate) no_index: bool,
}

impl OwnedSketches {
    /// Reads one distribution of a vector's input.
    pub(crate) fn read(input: &Value) -> Self {
        Self {
            name: text(&input["metric"]),
            host: text(&input["host"]),
            global: tags(&input["tags"]),
            own: tags(&input["tags2"]),
            points: input["points"].as_array().unwrap().iter().map(sketch).collect(),
            origin: origin(&input["origin"]),
            no_index: input["no_index"].as_bool().unwrap_or_default(),
        }
    }

    /// Calls `with` with the distribution.
    pub(crate) fn borrowed<R>(&self, with: impl FnOnce(&SketchSeries<'_>) -> R) -> R {
        let points: Vec<SketchPoint<'_>> = self
            .points
            .iter()
            .map(|(second, sketch)| SketchPoint {
                second: *second,
                summary: sketch.summary(),
                bins: sketch.bins(),
            })
            .collect();
        with(&SketchSeries {
            name: &self.name,
            host: &self.host,
            tags: Tags { own: OwnTags::List(&self.own), global: &self.global },
            points: &points,
            no_index: self.no_index,
            origin: self.origin,
        })
    }
}

fn sketch(point: &Value) -> (i64, Sketch) {
    let mut sketch = Sketch::new();
    for sample in point["samples"].as_array().unwrap() {
        let _ = sketch.insert(sample[0].as_f64().unwrap(), sample[1].as_f64().unwrap());
    }
    sketch.finish();
    (second(&point["ts"]), sketch)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn tags(value: &Value) -> Vec<Tag> {
    value.as_array().map_or_else(Vec::new, |tags| {
        tags.iter().map(|tag| Tag::from(tag.as_str().unwrap())).collect()
    })
}

#[expect(clippy::cast_possible_truncation, reason = "fractions of a second are cut off")]
fn second(value: &Value) -> i64 {
    value.as_f64().unwrap() as i64
}

fn point(value: &Value) -> Point {
    Point { second: second(&value[0]), value: value[1].as_f64().unwrap() }
}

fn origin(value: &Value) -> Origin {
    let number = |index: usize| u32::try_from(value[index].as_u64().unwrap()).unwrap();
    match value {
        Value::Null => Origin { product: 10, category: 0, service: 0 },
        _ => Origin { product: number(0), category: number(1), service: number(2) },
    }
}
