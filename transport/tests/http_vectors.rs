//! Every recorded answer, in one piece, cut at every byte and cut at random: one outcome.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use std::fmt::Write as _;

use lastdrop_transport::http::{
    BodySink, Framing, Method, ResponseError, ResponseLimits, ResponseReader,
};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/http_responses.jsonl");
const RANDOM_SPLITS: usize = 1000;

struct Vector {
    id: String,
    method: Method,
    /// All chunks joined: how they are cut must not matter.
    bytes: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    stream: Stream,
    limits: ResponseLimits,
    expect: Value,
}

/// What follows the last byte.
#[derive(Clone, Copy)]
enum Stream {
    Open,
    Ended,
}

/// For all vectors as they were cut: the recorded outcome.
#[test]
fn every_vector_has_its_recorded_outcome() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 140);
    for vector in vectors {
        let chunks = vector.chunks.iter().map(Vec::as_slice);
        assert_eq!(outcome(&vector, chunks), vector.expect, "{}", vector.id);
    }
}

/// For all vectors in one piece and byte by byte, and all cuts in two: the recorded outcome.
#[test]
fn no_cut_in_two_changes_an_outcome() {
    for vector in vectors() {
        let bytes = vector.bytes.as_slice();
        assert_eq!(outcome(&vector, [bytes]), vector.expect, "{} in one piece", vector.id);
        assert_eq!(outcome(&vector, bytes.chunks(1)), vector.expect, "{} by bytes", vector.id);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(outcome(&vector, [left, right]), vector.expect, "{} cut at {at}", vector.id);
        }
    }
}

/// For all vectors and 1,000 random ways to cut each: the recorded outcome.
#[test]
fn no_random_cuts_change_an_outcome() {
    let seed = seed();
    println!("LASTDROP_SEED={seed}");
    let mut random = Random(seed);
    for vector in vectors() {
        for _ in 0..RANDOM_SPLITS {
            let pieces = random.pieces(&vector.bytes);
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
            let outcome = outcome(&vector, pieces);
            assert_eq!(outcome, vector.expect, "{}, seed {seed}, pieces {lengths:?}", vector.id);
        }
    }
}

/// For all answers, ended by the stream after any of their bytes: an answer or an error, no wait.
#[test]
fn an_ended_stream_always_decides() {
    for mut vector in vectors() {
        vector.stream = Stream::Ended;
        for end in 0..=vector.bytes.len() {
            let outcome = outcome(&vector, [&vector.bytes[..end]]);
            assert_ne!(outcome["outcome"], "need_more", "{} ended at {end}", vector.id);
            if end == 0 {
                assert_eq!(outcome["error"], "closed_before_response", "{}", vector.id);
            }
        }
    }
}

/// Only so much of a body is kept as was asked for; all of it is counted.
#[test]
fn a_sink_keeps_a_prefix_and_counts_the_rest() {
    let mut reader = ResponseReader::new(Method::Post, ResponseLimits::default());
    let mut body = BodySink::keeping(4);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    for byte in answer {
        reader.read(&[*byte], &mut body).unwrap();
    }
    assert_eq!((body.kept(), body.bytes()), (b"0123".as_slice(), 10));
}

/// A failed reader stays failed, whatever comes.
#[test]
fn an_error_is_final() {
    let mut reader = ResponseReader::new(Method::Post, ResponseLimits::default());
    let mut body = BodySink::default();
    let error = Err(ResponseError::BadStatusLine);
    assert_eq!(reader.read(b"nonsense\n", &mut body), error);
    assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\n\r\n", &mut body), error);
    assert_eq!(reader.end(), Err(ResponseError::BadStatusLine));
}

/// Feeds the pieces and describes what came out in the words of the vectors.
fn outcome<'a>(vector: &Vector, pieces: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let mut reader = ResponseReader::new(vector.method, vector.limits);
    let mut body = BodySink::keeping(usize::MAX);
    for piece in pieces {
        if let Err(error) = reader.read(piece, &mut body) {
            return json!({"outcome": "error", "error": error.class()});
        }
    }
    if let Stream::Ended = vector.stream
        && let Err(error) = reader.end()
    {
        return json!({"outcome": "error", "error": error.class()});
    }
    let Some(response) = reader.response() else { return json!({"outcome": "need_more"}) };
    let mut outcome = json!({
        "outcome": "response",
        "status": response.status,
        "interim": response.interim,
        "framing": response.framing.name(),
        "body_hex": hex(body.kept()),
        "leftover": response.leftover_bytes,
    });
    if response.framing != Framing::Tunnel {
        outcome["keep_alive"] = response.close.is_none().into();
    }
    outcome
}

fn vectors() -> Vec<Vector> {
    VECTORS.lines().map(vector).collect()
}

fn vector(line: &str) -> Vector {
    let line: Value = serde_json::from_str(line).unwrap();
    let limit = |name: &str| line["limits"].get(name).and_then(Value::as_u64);
    let count = |name: &str, default| limit(name).map_or(default, |n| n.try_into().unwrap());
    let default = ResponseLimits::default();
    let chunks = line["chunks"].as_array().unwrap();
    let chunks: Vec<Vec<u8>> = chunks.iter().map(|hex| unhex(hex.as_str().unwrap())).collect();
    Vector {
        id: line["id"].as_str().unwrap().to_owned(),
        method: match line["method"].as_str().unwrap() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "CONNECT" => Method::Connect,
            other => panic!("{other}"),
        },
        bytes: chunks.concat(),
        chunks,
        stream: if line["eof"].as_bool().unwrap() { Stream::Ended } else { Stream::Open },
        limits: ResponseLimits {
            head_bytes_max: count("max_head", default.head_bytes_max),
            header_lines_max: count("max_headers", default.header_lines_max),
            body_bytes_max: limit("max_body").unwrap_or(default.body_bytes_max),
            chunk_line_bytes_max: count("max_chunk_line", default.chunk_line_bytes_max),
            interim_max: count("max_interim", default.interim_max),
        },
        expect: line["expect"].clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn seed() -> u64 {
    match std::env::var("LASTDROP_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    }
}

/// splitmix64: enough to cut bytes at random, and replayable.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    /// Cuts `bytes` into 1 to some twelve pieces, empty ones among them.
    fn pieces<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> =
            (0..self.below(12)).map(|_| self.below(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }
}
