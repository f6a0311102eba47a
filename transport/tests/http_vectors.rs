//! Every recorded answer, in one piece, cut at every byte and cut at random: one outcome.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use std::fmt::Write as _;

use lastdrop_transport::http::{
    BodySink, Framing, Purpose, ResponseError, ResponseLimits, ResponseReader,
};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/http_responses.jsonl");
const RANDOM_SPLITS: usize = 1000;

struct Vector {
    id: String,
    purpose: Purpose,
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

/// The places between and beside the recorded answers: limits to the byte, lists, folds, classes
/// that could be mistaken for each other. As with those, no cut in two changes an outcome.
#[test]
fn rules_hold_at_their_edges() {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let limits = r#"{"max_head": 60, "max_headers": 2, "max_chunk_line": 8, "max_interim": 1}"#;
    let zeros = "0".repeat(40);
    let rows: &[(&str, &str, String, &str)] = &[
        // Lengths.
        ("POST", "{}", format!("{OK}Content-Length: {zeros}1\r\n\r\nx"), "200 length 1 keep 0"),
        ("POST", "{}", format!("{OK}Content-Length: 1,\r\n\r\nx"), "bad_content_length"),
        ("POST", "{}", format!("{OK}Content-Length:\r\n\r\n"), "bad_content_length"),
        ("POST", "{}", format!("{OK}Content-Length: 1, 2, x\r\n\r\n"), "bad_content_length"),
        ("POST", "{}", format!("{OK}Content-Length: 1,\r\n 1\r\n\r\nx"), "200 length 1 keep 0"),
        ("POST", "{}", format!("{OK}Content-Length: 1\r\n 1\r\n\r\nx"), "bad_content_length"),
        (
            "POST",
            "{}",
            format!("{OK}Content-Length: 9223372036854775807\r\n\r\n"),
            "body_too_large",
        ),
        (
            "POST",
            "{}",
            format!("{OK}Content-Length: 9223372036854775808\r\n\r\n"),
            "bad_content_length",
        ),
        // Codings.
        (
            "POST",
            "{}",
            format!("{OK}Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "200 chunked 0 keep 0",
        ),
        (
            "POST",
            "{}",
            "HTTP/1.0 200 OK\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\r\n\r\n"
                .into(),
            "200 chunked 0 close 0",
        ),
        (
            "POST",
            "{}",
            format!("{OK}Transfer-Encoding: chunked;q=1\r\n\r\n"),
            "unsupported_transfer_encoding",
        ),
        (
            "POST",
            "{}",
            format!("{OK}Transfer-Encoding: x\r\nContent-Length: x\r\n\r\n"),
            "unsupported_transfer_encoding",
        ),
        // Status lines.
        ("POST", "{}", "HTTP/0.9 200 OK\r\n\r\n".into(), "bad_version"),
        ("POST", "{}", "HTTP/2.0 20 OK\r\n\r\n".into(), "bad_status_line"),
        ("POST", "{}", "HTTP/11.1 200 OK\r\n\r\n".into(), "bad_status_line"),
        ("POST", "{}", "HTTP/1.1  200 OK\r\n\r\n".into(), "bad_status_line"),
        ("POST", "{}", "HTTP/1.1 200\tOK\r\n\r\n".into(), "bad_status_line"),
        ("POST", "{}", "HTTP/1.1 200 O\rK\r\n\r\n".into(), "bad_status_line"),
        ("POST", "{}", "HTTP/1.1 204 a\tb\r\n\r\n".into(), "204 none 0 keep 0"),
        ("POST", "{}", "\r\nHTTP/1.1 204 OK\r\n\r\n".into(), "bad_status_line"),
        // Fields.
        ("POST", "{}", "HTTP/1.1 204 OK\r\nX: \x7f\r\n\r\n".into(), "bad_header"),
        ("POST", "{}", "HTTP/1.1 204 OK\r\nX: y\r\r\n\r\n".into(), "bad_header"),
        ("POST", "{}", "HTTP/1.1 204 OK\r\nX: y\r\n\t\x01\r\n\r\n".into(), "bad_header"),
        ("POST", "{}", "HTTP/1.1 204 OK\r\nno colon\r\n\r\n".into(), "bad_header"),
        (
            "POST",
            "{}",
            "HTTP/1.1 204 OK\r\nConnection:\r\n close\r\n\r\n".into(),
            "204 none 0 close 0",
        ),
        // No body, whatever the fields say.
        (
            "POST",
            "{}",
            "HTTP/1.1 304 OK\r\nTransfer-Encoding: x\r\n\r\n".into(),
            "304 none 0 keep 0",
        ),
        ("POST", "{}", "HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n".into(), "204 none 0 keep 0"),
        ("CONNECT", "{}", "HTTP/1.1 204 OK\r\n\r\nab".into(), "204 tunnel 0 none 2"),
        ("CONNECT", "{}", "HTTP/1.1 101 Switch\r\n\r\n".into(), "unexpected_upgrade"),
        // Limits to the byte: a head of 60 bytes, and of 61.
        (
            "POST",
            limits,
            format!("HTTP/1.1 204 OK\r\nX: {}\r\n\r\n", "y".repeat(36)),
            "204 none 0 keep 0",
        ),
        (
            "POST",
            limits,
            format!("HTTP/1.1 204 OK\r\nX: {}\r\n\r\n", "y".repeat(37)),
            "head_too_large",
        ),
        ("POST", limits, format!("HTTP/1.1 204 OK\r\nX: {}", "y".repeat(42)), "head_too_large"),
        ("POST", limits, "HTTP/1.1 204 OK\nX: y\n z\n\n".into(), "204 none 0 keep 0"),
        ("POST", limits, "HTTP/1.1 204 OK\nX: y\n z\n z\n\n".into(), "too_many_headers"),
        // Each interim head has the budget anew.
        (
            "POST",
            limits,
            format!("HTTP/1.1 100 OK\nX: {}\n\nHTTP/1.1 204 OK\nX: y\nY: y\n\n", "y".repeat(36)),
            "204 none 0 keep 0",
        ),
        ("POST", limits, "HTTP/1.1 100 A\n\nHTTP/1.1 100 A\n\n".into(), "too_many_interim"),
        // Chunk lines of 8 bytes, and of 9.
        ("POST", limits, format!("{CHUNKED}1;234567\r\nx\r\n0\r\n\r\n"), "200 chunked 1 keep 0"),
        ("POST", limits, format!("{CHUNKED}1;2345678\r\nx\r\n0\r\n\r\n"), "bad_chunk"),
        ("POST", limits, format!("{CHUNKED}1;2345678"), "bad_chunk"),
        ("POST", "{}", format!("{CHUNKED}1;a\rb\r\nx\r\n0\r\n\r\n"), "bad_chunk"),
        ("POST", "{}", format!("{CHUNKED}1 x\r\nx\r\n0\r\n\r\n"), "bad_chunk"),
        ("POST", "{}", format!("{CHUNKED}1\r\nx\r\r\n0\r\n\r\n"), "bad_chunk"),
        (
            "POST",
            "{}",
            format!("{CHUNKED}0000000000000001\r\nx\r\n0\r\n\r\n"),
            "200 chunked 1 keep 0",
        ),
        // Trailers.
        ("POST", "{}", format!("{CHUNKED}0;last\r\nX: y\n z\n\n"), "200 chunked 0 keep 0"),
        ("POST", "{}", format!("{CHUNKED}0\r\n z: y\r\n\r\n"), "bad_trailer"),
        ("POST", "{}", format!("{CHUNKED}0\r\nX: \0\r\n\r\n"), "bad_trailer"),
        ("POST", limits, format!("{CHUNKED}0\r\nX: y\r\nX: y\r\n\r\n"), "200 chunked 0 keep 0"),
        ("POST", limits, format!("{CHUNKED}0\r\nX: y\r\nX: y\r\nX: y\r\n\r\n"), "too_many_headers"),
        ("POST", "{}", format!("{CHUNKED}0\r\nConnection: close\r\n\r\n"), "200 chunked 0 keep 0"),
    ];
    for (method, limits, bytes, expect) in rows {
        let line =
            json!({"id": bytes, "method": method, "chunks": [hex(bytes.as_bytes())], "eof": false});
        let mut line: Value = line;
        line["limits"] = serde_json::from_str(limits).unwrap();
        let vector = vector(&line.to_string());
        for at in 0..=bytes.len() {
            let (left, right) = vector.bytes.split_at(at);
            assert_eq!(
                in_short(&outcome(&vector, [left, right])),
                *expect,
                "{bytes:?} cut at {at}"
            );
        }
    }
}

/// Status, framing, bytes of the body, what becomes of the connection, leftover; or the class.
fn in_short(outcome: &Value) -> String {
    if outcome["outcome"] != "response" {
        return outcome["error"].as_str().unwrap_or("need_more").to_owned();
    }
    let connection = match outcome.get("keep_alive").and_then(Value::as_bool) {
        Some(true) => "keep",
        Some(false) => "close",
        None => "none",
    };
    let body_bytes = outcome["body_hex"].as_str().unwrap().len() / 2;
    let framing = outcome["framing"].as_str().unwrap();
    format!("{} {framing} {body_bytes} {connection} {}", outcome["status"], outcome["leftover"])
}

/// Only so much of a body is kept as was asked for; all of it is counted.
#[test]
fn a_sink_keeps_a_prefix_and_counts_the_rest() {
    let mut reader = ResponseReader::new(Purpose::Exchange, ResponseLimits::default());
    let mut body = BodySink::keeping(4);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    for byte in answer {
        reader.read(&[*byte], &mut body).unwrap();
    }
    assert_eq!((body.kept(), body.bytes()), (b"0123".as_slice(), 10));
}

/// A failed reader stays failed, whatever comes.
/// The final answer's value, folded lines joined; that of an interim answer is not meant for us.
#[test]
fn a_wish_for_a_pause_is_the_final_answers() {
    let answer = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\n\
        HTTP/1.1 503 No\r\nretry-after:\r\n 7 \r\nContent-Length: 0\r\n\r\n";
    let mut reader = ResponseReader::new(Purpose::Exchange, ResponseLimits::default());
    reader.read(answer, &mut BodySink::default()).unwrap();
    assert_eq!(reader.response().unwrap().retry_after.unwrap().trim_ascii(), b"7");
}

#[test]
fn an_error_is_final() {
    let mut reader = ResponseReader::new(Purpose::Exchange, ResponseLimits::default());
    let mut body = BodySink::default();
    let error = Err(ResponseError::BadStatusLine);
    assert_eq!(reader.read(b"nonsense\n", &mut body), error);
    assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\n\r\n", &mut body), error);
    assert_eq!(reader.end(), Err(ResponseError::BadStatusLine));
}

/// Feeds the pieces and describes what came out in the words of the vectors.
fn outcome<'a>(vector: &Vector, pieces: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let mut reader = ResponseReader::new(vector.purpose, vector.limits);
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
        purpose: match line["method"].as_str().unwrap() {
            "GET" | "POST" => Purpose::Exchange,
            "CONNECT" => Purpose::Tunnel,
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
