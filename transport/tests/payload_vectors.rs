//! Every payload of the vectors: v2 by its meaning and byte by byte, v1 by its meaning, v3 byte by
//! byte.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail like the test")]

mod payload;

use lastdrop_transport::payload::{
    Columns, Compression, Lost, Payload, PayloadLimits, PayloadSettings, SeriesBuilder,
    SeriesFormat, SketchesBuilder,
};
use payload::input::{OwnedSeries, OwnedSketches};
use payload::{decompress, reader, unhex};
use serde_json::Value;

const PLAIN: PayloadSettings = PayloadSettings {
    compression: Compression::None,
    series: PayloadLimits::SERIES,
    other: PayloadLimits::OTHER,
};

fn vectors(kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/payloads.jsonl");
    let vectors: Vec<Value> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(vectors.len(), 53);
    vectors.into_iter().filter(|vector| vector["kind"] == kind).collect()
}

/// The body that holds everything, or nothing if there is nothing to send.
fn only_body(mut take: impl FnMut() -> Option<Payload>) -> Vec<u8> {
    let body = take().map_or_else(Vec::new, |payload| decompress(&payload));
    assert_eq!(take(), None, "a vector fits into one payload");
    body
}

fn series_body(format: SeriesFormat, vector: &Value) -> Vec<u8> {
    let mut builder = SeriesBuilder::new(format, &PLAIN);
    for input in vector["input"]["series"].as_array().unwrap() {
        let series = OwnedSeries::read(input);
        let points = series.points.len() as u64;
        let expected = match format {
            SeriesFormat::V1 if series.no_index => Lost { no_index: points, ..Lost::NONE },
            _ => Lost::NONE,
        };
        assert_eq!(builder.push(&series.borrowed()), expected);
    }
    only_body(|| builder.finish())
}

fn sketch_inputs(vector: &Value) -> Vec<OwnedSketches> {
    vector["input"]["sketches"].as_array().unwrap().iter().map(OwnedSketches::read).collect()
}

fn sketches_body(vector: &Value) -> Vec<u8> {
    let mut builder = SketchesBuilder::new(&PLAIN);
    for sketches in sketch_inputs(vector) {
        assert_eq!(sketches.borrowed(|sketches| builder.push(sketches)), Lost::NONE);
    }
    only_body(|| builder.finish())
}

/// What a vector says of sketches as protobuf; nothing instead of the frame around no sketches.
fn sent(hex: &Value) -> Vec<u8> {
    match hex.as_str().unwrap() {
        "1200" => Vec::new(),
        hex => unhex(hex),
    }
}

#[test]
fn series_v2_mean_what_the_vectors_mean() {
    for vector in vectors("series") {
        let body = series_body(SeriesFormat::V2, &vector);
        let expected = unhex(vector["v2_hex"].as_str().unwrap());
        assert_eq!(reader::series(&body), reader::series(&expected), "{}", vector["id"]);
    }
}

#[test]
fn series_v2_stand_in_the_reference_agents_order() {
    for vector in vectors("series") {
        let body = series_body(SeriesFormat::V2, &vector);
        let expected = unhex(vector["v2_agent_order_hex"].as_str().unwrap());
        assert_eq!(body, expected, "{}", vector["id"]);
    }
}

#[test]
fn series_v1_mean_what_the_vectors_mean() {
    for vector in vectors("series") {
        let body = match series_body(SeriesFormat::V1, &vector) {
            nothing if nothing.is_empty() => b"{\"series\":[]}".to_vec(),
            body => body,
        };
        let read: Value = serde_json::from_slice(&body).unwrap();
        let expected: Value = serde_json::from_str(vector["v1_json"].as_str().unwrap()).unwrap();
        assert_eq!(read, expected, "{}", vector["id"]);
    }
}

#[test]
fn series_v3_equal_the_vectors_byte_by_byte() {
    for vector in vectors("series") {
        let body = series_body(SeriesFormat::V3, &vector);
        assert_eq!(body, unhex(vector["v3_hex"].as_str().unwrap()), "{}", vector["id"]);
    }
}

#[test]
fn sketches_mean_what_the_vectors_mean() {
    for vector in vectors("sketches") {
        let body = sketches_body(&vector);
        let expected = sent(&vector["v2_hex"]);
        assert_eq!(reader::sketches(&body), reader::sketches(&expected), "{}", vector["id"]);
    }
}

#[test]
fn sketches_stand_in_the_reference_agents_order() {
    for vector in vectors("sketches") {
        let body = sketches_body(&vector);
        assert_eq!(body, sent(&vector["v2_agent_order_hex"]), "{}", vector["id"]);
    }
}

#[test]
fn sketches_as_columns_equal_the_vectors_byte_by_byte() {
    for vector in vectors("sketches") {
        let mut columns = Columns::default();
        for sketches in sketch_inputs(&vector) {
            sketches.borrowed(|sketches| columns.push_sketches(sketches));
        }
        let mut body = Vec::new();
        columns.write(&mut body);
        assert_eq!(body.len(), columns.encoded_bytes());
        assert_eq!(body, unhex(vector["v3_hex"].as_str().unwrap()), "{}", vector["id"]);
    }
}
