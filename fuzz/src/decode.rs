//! Payloads back to plain data, by readers that share no line with the writers: for protobuf and
//! columns the ones that the payload tests use, for JSON somebody else's.

#![expect(clippy::expect_used, reason = "a body that can't be read is what a target looks for")]

use std::io::Read as _;

use lastdrop_engine::context::Tag;
use lastdrop_engine::series;
use lastdrop_transport::payload::{Encoding, Payload, PayloadKind};
use serde_json::Value;

pub(crate) use reader::{DogsketchMessage, OriginMessage, SeriesMessage, SketchMessage};

#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
#[path = "../../transport/tests/payload/reader.rs"]
mod reader;

#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
#[path = "../../transport/tests/payload/columns.rs"]
mod columns;

/// The series of a payload, in any of the three formats. Columns come with sorted tags: their order
/// has no meaning there.
pub(crate) fn series(payload: &Payload) -> Vec<SeriesMessage> {
    let body = decompress(payload);
    match payload.kind {
        PayloadKind::SeriesV2 => reader::series(&body),
        PayloadKind::SeriesV3 => sorted_tags(columns::series(&body)),
        PayloadKind::SeriesV1 => {
            let read: Value = serde_json::from_slice(&body).expect("JSON");
            items(&read["series"]).iter().map(json_series).collect()
        }
        other => panic!("no series in {other:?}"),
    }
}

fn sorted_tags(mut all: Vec<SeriesMessage>) -> Vec<SeriesMessage> {
    all.iter_mut().for_each(|series| series.tags.sort());
    all
}

/// The sketches of a payload.
pub(crate) fn sketches(payload: &Payload) -> Vec<SketchMessage> {
    let read = reader::sketches(&decompress(payload));
    assert!(read.has_metadata);
    read.sketches
}

/// An event as it stands in a payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    source: String,
    title: String,
    text: String,
    second: i64,
    host: String,
    priority: String,
    alert_type: String,
    aggregation_key: String,
    tags: Vec<String>,
}

/// The events of a payload.
pub(crate) fn events(payload: &Payload) -> Vec<Event> {
    let read: Value = serde_json::from_slice(&decompress(payload)).expect("JSON");
    let sources = read["events"].as_object().expect("lists by source");
    let event = |source: &str, read: &Value| Event {
        source: source.to_owned(),
        title: text(&read["msg_title"]),
        text: text(&read["msg_text"]),
        second: read["timestamp"].as_i64().expect("a second"),
        host: text(&read["host"]),
        priority: text(&read["priority"]),
        alert_type: text(&read["alert_type"]),
        aggregation_key: optional_text(&read["aggregation_key"]),
        tags: read["tags"].as_array().into_iter().flatten().map(text).collect(),
    };
    let of_source = |(source, list): (&String, &Value)| -> Vec<Event> {
        items(list).iter().map(|read| event(source, read)).collect()
    };
    sources.iter().flat_map(of_source).collect()
}

impl From<&series::Event> for Event {
    fn from(event: &series::Event) -> Self {
        let source = &event.source_type_name;
        Self {
            source: if source.is_empty() { "api".to_owned() } else { source.clone() },
            title: event.title.clone(),
            text: event.text.clone(),
            second: event.second,
            host: event.host.clone(),
            priority: event.priority.to_owned(),
            alert_type: event.alert_type.to_owned(),
            aggregation_key: event.aggregation_key.clone(),
            tags: owned(&event.tags),
        }
    }
}

/// A service check as it stands in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceCheck {
    name: String,
    host: String,
    second: i64,
    status: u64,
    message: String,
    tags: Vec<String>,
}

/// The service checks of a payload.
pub(crate) fn service_checks(payload: &Payload) -> Vec<ServiceCheck> {
    let read: Value = serde_json::from_slice(&decompress(payload)).expect("JSON");
    let check = |read: &Value| ServiceCheck {
        name: text(&read["check"]),
        host: text(&read["host_name"]),
        second: read["timestamp"].as_i64().expect("a second"),
        status: read["status"].as_u64().expect("a status"),
        message: text(&read["message"]),
        tags: read["tags"].as_array().into_iter().flatten().map(text).collect(),
    };
    items(&read).iter().map(check).collect()
}

impl From<&series::ServiceCheck> for ServiceCheck {
    fn from(check: &series::ServiceCheck) -> Self {
        Self {
            name: check.name.clone(),
            host: check.host.clone(),
            second: check.second,
            status: u64::from(check.status as u8),
            message: check.message.clone(),
            tags: owned(&check.tags),
        }
    }
}

fn json_series(read: &Value) -> SeriesMessage {
    let mut resources = vec![("host".to_owned(), text(&read["host"]))];
    if !read["device"].is_null() {
        resources.push(("device".to_owned(), text(&read["device"])));
    }
    let point =
        |point: &Value| (point[0].as_i64().expect("a second"), point[1].as_f64().expect("a value"));
    SeriesMessage {
        resources,
        metric: text(&read["metric"]),
        tags: items(&read["tags"]).iter().map(text).collect(),
        points: items(&read["points"]).iter().map(point).collect(),
        kind: match read["type"].as_str() {
            Some("count") => 1,
            Some("rate") => 2,
            Some("gauge") => 3,
            other => panic!("no type {other:?}"),
        },
        unit: String::new(),
        source_type_name: optional_text(&read["source_type_name"]),
        interval: read["interval"].as_i64().expect("seconds"),
        metadata: None,
    }
}

fn decompress(payload: &Payload) -> Vec<u8> {
    let body: &[u8] = &payload.body;
    let mut plain = Vec::new();
    match payload.encoding {
        Encoding::Zstd => plain = zstd::stream::decode_all(body).expect("zstd"),
        Encoding::Deflate => {
            let mut decoder = flate2::bufread::ZlibDecoder::new(body);
            decoder.read_to_end(&mut plain).expect("zlib");
        }
        Encoding::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(body);
            decoder.read_to_end(&mut plain).expect("gzip");
        }
        Encoding::Identity => plain.extend_from_slice(body),
    }
    assert_eq!(plain.len() as u64, payload.uncompressed_bytes);
    plain
}

fn items(list: &Value) -> &[Value] {
    list.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn optional_text(value: &Value) -> String {
    if value.is_null() { String::new() } else { text(value) }
}

fn owned(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}
