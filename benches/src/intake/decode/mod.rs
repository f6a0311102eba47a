//! Request bodies back to plain data, by a reading of the intake's formats that shares no line with
//! the agent's encoder.
//!
//! The decoder is a judge: what the intake would take with a shrug but no agent should send (an
//! unnamed metric, a series without points, a value that isn't finite, bins out of order) is an
//! error here.

mod columnar;
mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};

use serde::Serialize;

/// Longest body after decompression, in bytes: over ten times what the intake allows.
pub const BODY_BYTES_MAX: u64 = 64 << 20;

/// What a path expects as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/api/v1/series`: JSON.
    SeriesV1,
    /// `/api/v2/series`: protobuf, one message a series.
    SeriesV2,
    /// `/api/intake/metrics/v3/series`: protobuf, one column a field.
    SeriesV3,
    /// `/api/beta/sketches`: protobuf.
    Sketches,
    /// `/intake/`: JSON, events by source type.
    Events,
    /// `/api/v1/check_run`: JSON array of service checks.
    Checks,
}

impl Form {
    /// Finds the form that a request path expects; `None` for a path that takes no body.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "/api/v1/series" => Self::SeriesV1,
            "/api/v2/series" => Self::SeriesV2,
            "/api/intake/metrics/v3/series" => Self::SeriesV3,
            "/api/beta/sketches" => Self::Sketches,
            "/intake/" => Self::Events,
            "/api/v1/check_run" => Self::Checks,
            _ => return None,
        })
    }
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// From any of the three forms of series.
    Series(Vec<Series>),
    /// Distributions.
    Sketches(Vec<Sketch>),
    /// Events of all source types.
    Events(Vec<Event>),
    /// Service checks.
    Checks(Vec<Check>),
}

/// How the values of a series are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A count over the interval.
    Count,
    /// A value per second: times the interval it is a count.
    Rate,
    /// The last value.
    Gauge,
    /// A distribution.
    Sketch,
}

/// Where a series says that it comes from: product, category, service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// 10 is the agent, 1 is serverless.
    pub product: u32,
    /// 10 is DogStatsD.
    pub category: u32,
    /// 472 to 474 are custom, enhanced and runtime metrics of a platform.
    pub service: u32,
}

/// One series of a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Metric name, not empty.
    pub metric: String,
    /// Host; empty if none was named.
    pub host: String,
    /// Device; empty if none was named.
    pub device: String,
    /// Tags in the order they came.
    pub tags: Vec<String>,
    /// Resources other than host and device, as (type, name).
    pub resources: Vec<(String, String)>,
    /// How the values are read; never [`Kind::Sketch`].
    pub kind: Kind,
    /// Seconds that a point covers; 0 if the sample went as it came.
    pub interval_s: u64,
    /// (second since 1970, finite value), at least one.
    pub points: Vec<(i64, f64)>,
    /// Source type (`System`), or empty.
    pub source_type: String,
    /// Unit of the values, or empty.
    pub unit: String,
    /// Origin; all zero where the form can't say (v1).
    pub origin: Origin,
}

/// One distribution of a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    /// Metric name, not empty.
    pub metric: String,
    /// Host; empty if none was named.
    pub host: String,
    /// Tags in the order they came.
    pub tags: Vec<String>,
    /// One entry a flushed bucket, at least one.
    pub points: Vec<SketchPoint>,
    /// Origin.
    pub origin: Origin,
}

/// The distribution of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchPoint {
    /// Second since 1970.
    pub second: i64,
    /// Number of samples; equals the sum of the bins' counts.
    pub count: u64,
    /// Smallest sample.
    pub min: f64,
    /// Greatest sample.
    pub max: f64,
    /// Mean.
    pub avg: f64,
    /// Sum.
    pub sum: f64,
    /// (key, count) of the bins, ascending by key; a key repeats where its count outgrew one bin.
    pub bins: Vec<(i32, u32)>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Source type under which it was filed (`api` if it named none).
    pub source: String,
    /// Title.
    pub title: String,
    /// Text.
    pub text: String,
    /// Second since 1970.
    pub second: i64,
    /// Host, may be empty.
    pub host: String,
    /// `normal`, `low`, or empty.
    pub priority: String,
    /// `info`, `success`, `warning`, `error`, or empty.
    pub alert_type: String,
    /// Aggregation key, or empty.
    pub aggregation_key: String,
    /// Tags in the order they came.
    pub tags: Vec<String>,
}

/// A service check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name, not empty.
    pub name: String,
    /// Host, may be empty.
    pub host: String,
    /// Second since 1970.
    pub second: i64,
    /// 0 ok, 1 warning, 2 critical, 3 unknown.
    pub status: u8,
    /// Message, may be empty.
    pub message: String,
    /// Tags in the order they came.
    pub tags: Vec<String>,
}

/// Why a body can't be taken.
#[derive(Debug)]
pub enum DecodeError {
    /// The `Content-Encoding` is none of `identity`, `zstd`, `deflate`, `gzip`.
    UnknownEncoding(String),
    /// The compressed stream is broken, cut short, or followed by other bytes.
    Compression(io::Error),
    /// Decompressed, the body passes [`BODY_BYTES_MAX`].
    TooLarge,
    /// Not a protobuf message of this form.
    Protobuf(prost::DecodeError),
    /// Not JSON of this form.
    Json(serde_json::Error),
    /// Well-formed, but its content can't be: says what and where.
    Content(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEncoding(name) => {
                write!(f, "content encoding {name:?}: use identity, zstd, deflate or gzip")
            }
            Self::Compression(error) => write!(f, "compressed stream: {error}"),
            Self::TooLarge => write!(f, "longer than {BODY_BYTES_MAX} bytes when decompressed"),
            Self::Protobuf(error) => write!(f, "protobuf: {error}"),
            Self::Json(error) => write!(f, "JSON: {error}"),
            Self::Content(what) => write!(f, "content: {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decompresses and decodes a request body; `encoding` is the `Content-Encoding`, if there was one.
///
/// # Errors
///
/// Says why the body can't be taken; the intake then answers 400 and keeps the reason.
pub fn decode(form: Form, encoding: Option<&str>, body: &[u8]) -> Result<Body, DecodeError> {
    let plain = decompress(encoding.unwrap_or("identity"), body)?;
    let body = match form {
        Form::SeriesV1 => Body::Series(json::series(&plain)?),
        Form::SeriesV2 => Body::Series(protobuf::series(&plain)?),
        Form::SeriesV3 => Body::Series(columnar::series(&plain)?),
        Form::Sketches => Body::Sketches(protobuf::sketches(&plain)?),
        Form::Events => Body::Events(json::events(&plain)?),
        Form::Checks => Body::Checks(json::checks(&plain)?),
    };
    match &body {
        Body::Series(series) => series.iter().try_for_each(check_series)?,
        Body::Sketches(sketches) => sketches.iter().try_for_each(check_sketch)?,
        Body::Events(_) | Body::Checks(_) => {}
    }
    Ok(body)
}

fn decompress(encoding: &str, body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let failed = DecodeError::Compression;
    match encoding {
        "identity" | "" => Ok(body.to_vec()),
        "zstd" => read_whole(zstd::Decoder::with_buffer(body).map_err(failed)?),
        "gzip" => read_whole(flate2::bufread::MultiGzDecoder::new(body)),
        "deflate" => {
            let mut decoder = flate2::bufread::ZlibDecoder::new(body);
            let plain = read_whole(&mut decoder)?;
            // Unlike the other two formats, zlib streams don't concatenate: a reader stops at the
            // end of the first and would lose the rest in silence.
            if usize::try_from(decoder.total_in()).ok() != Some(body.len()) {
                return Err(failed(io::Error::other("bytes after the end of the zlib stream")));
            }
            Ok(plain)
        }
        other => Err(DecodeError::UnknownEncoding(other.to_owned())),
    }
}

fn read_whole(decoder: impl Read) -> Result<Vec<u8>, DecodeError> {
    let mut plain = Vec::new();
    let read = decoder
        .take(BODY_BYTES_MAX + 1)
        .read_to_end(&mut plain)
        .map_err(DecodeError::Compression)?;
    if u64::try_from(read).is_ok_and(|read| read <= BODY_BYTES_MAX) {
        Ok(plain)
    } else {
        Err(DecodeError::TooLarge)
    }
}

fn check_series(series: &Series) -> Result<(), DecodeError> {
    if series.metric.is_empty() {
        return Err(DecodeError::Content("a series without a metric name".to_owned()));
    }
    if series.points.is_empty() {
        return Err(DecodeError::Content(format!("{}: no point", series.metric)));
    }
    match series.points.iter().find(|(_, value)| !value.is_finite()) {
        Some((_, value)) => {
            Err(DecodeError::Content(format!("{}: the value {value}", series.metric)))
        }
        None => Ok(()),
    }
}

fn check_sketch(sketch: &Sketch) -> Result<(), DecodeError> {
    let wrong = |what: &str| Err(DecodeError::Content(format!("{}: {what}", sketch.metric)));
    if sketch.metric.is_empty() {
        return wrong("a sketch without a metric name");
    }
    if sketch.points.is_empty() {
        return wrong("no bucket");
    }
    for point in &sketch.points {
        if [point.min, point.max, point.avg, point.sum].iter().any(|value| !value.is_finite()) {
            return wrong("a summary that isn't finite");
        }
        if point.bins.iter().map(|&(_, count)| u64::from(count)).sum::<u64>() != point.count {
            return wrong("the bins' counts don't add up to the sketch's");
        }
        if !point.bins.is_sorted_by_key(|&(key, _)| key) {
            return wrong("bin keys out of order");
        }
    }
    Ok(())
}
