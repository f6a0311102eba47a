//! `vectors payloads`: encodes recorded series and sketches and prints the uncompressed bodies.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Origin, OwnTags, Point, Series, SeriesKind, SketchPoint, SketchSeries, Tags,
};
use lastdrop_engine::sketch::Sketch;
use lastdrop_transport::payload::{
    Columns, Compression, Payload, PayloadLimits, PayloadSettings, SeriesBuilder, SeriesFormat,
    SketchesBuilder,
};
use serde::{Deserialize, Serialize};

use super::answer_lines;

/// Reads one vector a line and writes one outcome a line: `{"id","v2_hex","v1_json","v3_hex"}`, of
/// which sketches have no `v1_json`, or `{"error"}` for a line that is not a vector.
///
/// # Errors
/// Only those of reading and writing.
pub fn run(input: impl BufRead, output: impl Write) -> io::Result<()> {
    answer_lines(input, output, |line| match serde_json::from_slice::<Vector>(line) {
        Ok(vector) => vector.run(),
        Err(error) => Line::Bad { error: error.to_string() },
    })
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    #[serde(flatten)]
    items: Items,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "input", rename_all = "snake_case")]
enum Items {
    Series { series: Vec<SeriesInput> },
    Sketches { sketches: Vec<SketchesInput> },
}

#[derive(Deserialize)]
struct SeriesInput {
    #[serde(flatten)]
    head: Head,
    #[serde(rename = "type")]
    kind: KindInput,
    points: Vec<(Second, f64)>,
    #[serde(default)]
    device: String,
    #[serde(default)]
    interval: u64,
    #[serde(default)]
    source_type_name: String,
}

#[derive(Deserialize)]
struct SketchesInput {
    #[serde(flatten)]
    head: Head,
    points: Vec<SketchInput>,
}

#[derive(Deserialize)]
struct SketchInput {
    ts: Second,
    /// Value and sample rate, in the order of insertion.
    samples: Vec<(f64, f64)>,
}

/// What series and sketches have in common.
#[derive(Deserialize)]
struct Head {
    metric: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    tags: Vec<String>,
    /// Second part of the tags.
    #[serde(default)]
    tags2: Vec<String>,
    #[serde(default = "unknown_origin")]
    origin: (u32, u32, u32),
    #[serde(default)]
    no_index: bool,
}

const fn unknown_origin() -> (u32, u32, u32) {
    (10, 0, 0)
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindInput {
    Count,
    Rate,
    Gauge,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Second {
    Whole(i64),
    Fraction(f64),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Series { id: String, v2_hex: String, v1_json: String, v3_hex: String },
    Sketches { id: String, v2_hex: String, v3_hex: String },
    Bad { error: String },
}

/// Whole bodies, as they are: a vector is one payload, however large.
const SETTINGS: PayloadSettings = {
    let endless = PayloadLimits {
        compressed_bytes_max: usize::MAX,
        uncompressed_bytes_max: usize::MAX,
        points_max: u64::MAX,
    };
    PayloadSettings { compression: Compression::None, series: endless, other: endless }
};

impl Vector {
    fn run(self) -> Line {
        let id = self.id;
        match self.items {
            Items::Series { series } => {
                let series: Vec<OwnedSeries> = series.into_iter().map(OwnedSeries::from).collect();
                let body = |format| series_body(&series, format);
                // The agent sends nothing where there is nothing to say; the format can say so.
                let v1 = body(SeriesFormat::V1).unwrap_or_else(|| b"{\"series\":[]}".to_vec());
                Line::Series {
                    id,
                    v2_hex: hex(&body(SeriesFormat::V2).unwrap_or_default()),
                    v1_json: String::from_utf8_lossy(&v1).into_owned(),
                    v3_hex: hex(&body(SeriesFormat::V3).unwrap_or_default()),
                }
            }
            Items::Sketches { sketches } => {
                let sketches: Vec<_> = sketches.into_iter().map(OwnedSketches::from).collect();
                // Here, too: the empty metadata that ends every body.
                let v2 = sketches_body(&sketches).unwrap_or_else(|| vec![0x12, 0]);
                Line::Sketches { id, v2_hex: hex(&v2), v3_hex: hex(&sketches_columns(&sketches)) }
            }
        }
    }
}

fn series_body(series: &[OwnedSeries], format: SeriesFormat) -> Option<Vec<u8>> {
    let mut builder = SeriesBuilder::new(format, &SETTINGS);
    for one in series {
        // What v1 can't say is missing in the vector, too.
        let _ = builder.push(&one.borrowed());
    }
    builder.finish().as_ref().map(body_of)
}

fn sketches_body(sketches: &[OwnedSketches]) -> Option<Vec<u8>> {
    let mut builder = SketchesBuilder::new(&SETTINGS);
    for one in sketches {
        let points = one.points();
        let _ = builder.push(&one.borrowed(&points));
    }
    builder.finish().as_ref().map(body_of)
}

fn sketches_columns(sketches: &[OwnedSketches]) -> Vec<u8> {
    let mut columns = Columns::default();
    for one in sketches {
        let points = one.points();
        columns.push_sketches(&one.borrowed(&points));
    }
    let mut body = Vec::new();
    columns.write(&mut body);
    body
}

fn body_of(payload: &Payload) -> Vec<u8> {
    payload.body.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What both kinds borrow from.
struct OwnedHead {
    metric: String,
    host: String,
    global: Vec<Tag>,
    own: Vec<Tag>,
    origin: Origin,
    no_index: bool,
}

struct OwnedSeries {
    head: OwnedHead,
    kind: SeriesKind,
    points: Vec<Point>,
    interval_s: u64,
    source_type_name: String,
}

struct OwnedSketches {
    head: OwnedHead,
    sketches: Vec<(i64, Sketch)>,
}

impl From<Head> for OwnedHead {
    fn from(head: Head) -> Self {
        let tags = |texts: &[String]| texts.iter().map(|text| Tag::from(text.as_str())).collect();
        let (product, category, service) = head.origin;
        Self {
            global: tags(&head.tags),
            own: tags(&head.tags2),
            metric: head.metric,
            host: head.host,
            origin: Origin { product, category, service },
            no_index: head.no_index,
        }
    }
}

impl From<SeriesInput> for OwnedSeries {
    fn from(input: SeriesInput) -> Self {
        let mut head = OwnedHead::from(input.head);
        if !input.device.is_empty() {
            // A preset device yields to a tag as an earlier tag does to a later one.
            head.global.insert(0, Tag::from(format!("device:{}", input.device).as_str()));
        }
        let point = |(second, value): (Second, f64)| Point { second: second.truncated(), value };
        Self {
            head,
            kind: match input.kind {
                KindInput::Count => SeriesKind::Count,
                KindInput::Rate => SeriesKind::Rate,
                KindInput::Gauge => SeriesKind::Gauge,
            },
            points: input.points.into_iter().map(point).collect(),
            interval_s: input.interval,
            source_type_name: input.source_type_name,
        }
    }
}

impl OwnedSeries {
    fn borrowed(&self) -> Series<'_> {
        Series {
            name: &self.head.metric,
            host: &self.head.host,
            tags: Tags { own: OwnTags::List(&self.head.own), global: &self.head.global },
            kind: self.kind,
            points: &self.points,
            interval_s: self.interval_s,
            unit: "",
            source_type_name: &self.source_type_name,
            no_index: self.head.no_index,
            origin: self.head.origin,
        }
    }
}

impl From<SketchesInput> for OwnedSketches {
    fn from(input: SketchesInput) -> Self {
        let sketch = |input: SketchInput| {
            let mut sketch = Sketch::new();
            for (value, rate) in input.samples {
                // A clamped weight shows in the bins.
                let _ = sketch.insert(value, rate);
            }
            sketch.finish();
            (input.ts.truncated(), sketch)
        };
        Self { head: input.head.into(), sketches: input.points.into_iter().map(sketch).collect() }
    }
}

impl OwnedSketches {
    fn points(&self) -> Vec<SketchPoint<'_>> {
        let point = |(second, sketch): &(i64, Sketch)| (*second, sketch.summary());
        let points = self.sketches.iter().map(|one| (point(one), one.1.bins()));
        points.map(|((second, summary), bins)| SketchPoint { second, summary, bins }).collect()
    }

    fn borrowed<'a>(&'a self, points: &'a [SketchPoint<'a>]) -> SketchSeries<'a> {
        SketchSeries {
            name: &self.head.metric,
            host: &self.head.host,
            tags: Tags { own: OwnTags::List(&self.head.own), global: &self.head.global },
            points,
            no_index: self.head.no_index,
            origin: self.head.origin,
        }
    }
}

impl Second {
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is meant to go")]
    const fn truncated(self) -> i64 {
        match self {
            Self::Whole(second) => second,
            Self::Fraction(second) => second as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answers(input: &[u8]) -> Vec<Value> {
        let mut output = Vec::new();
        run(input, &mut output).unwrap();
        let lines = output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn every_vector_is_answered_as_it_expects() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../transport/tests/vectors/payloads.jsonl");
        let vectors = std::fs::read(path).unwrap();
        let expected = vectors.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let expected: Vec<Value> =
            expected.map(|line| serde_json::from_slice(line).unwrap()).collect();
        let answers = answers(&vectors);
        assert_eq!(answers.len(), 53);
        let json = |text: &Value| text.as_str().map(serde_json::from_str::<Value>).transpose();
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_eq!(answer["id"], expected["id"]);
            assert_eq!(answer["v2_hex"], expected["v2_agent_order_hex"], "{}", expected["id"]);
            assert_eq!(answer["v3_hex"], expected["v3_hex"], "{}", expected["id"]);
            let (v1, v1_expected) = (&answer["v1_json"], &expected["v1_json"]);
            assert_eq!(json(v1).unwrap(), json(v1_expected).unwrap(), "{}", expected["id"]);
        }
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_one_runs() {
        let input =
            b"{\"id\":\"x\"}\n\n\xff\n{\"id\":\"y\",\"kind\":\"series\",\"input\":{\"series\":[]}}";
        let answers = answers(input);
        assert_eq!(answers.len(), 4, "one for each line, the blank one too");
        assert!(answers[0]["error"].as_str().unwrap().contains("kind"));
        assert!(answers[1]["error"].is_string());
        assert!(answers[2]["error"].is_string());
        assert_eq!(answers[3]["v1_json"], "{\"series\":[]}");
    }
}
