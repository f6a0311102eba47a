//! Every payload of the vectors: v2 by its meaning and byte by byte.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail like the test")]

mod payload;

use lastdrop_transport::payload::{
    Compression, Lost, Payload, PayloadSettings, SeriesBuilder, SeriesFormat,
};
use payload::input::OwnedSeries;
use payload::{decompress, reader, unhex};
use serde_json::Value;

const PLAIN: PayloadSettings = PayloadSettings {
    compression: Compression::None,
    series: lastdrop_transport::payload::PayloadLimits::SERIES,
    other: lastdrop_transport::payload::PayloadLimits::OTHER,
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
        assert_eq!(builder.push(&series.borrowed()), Lost::NONE);
    }
    only_body(|| builder.finish())
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
