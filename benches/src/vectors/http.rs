//! `vectors http`: runs recorded answers through the HTTP reader and prints what it makes of each.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};

use lastdrop_transport::http::{
    BodySink, Framing, Purpose, ResponseError, ResponseLimits, ResponseReader,
};
use serde::{Deserialize, Serialize};

use super::answer_lines;

/// Reads one vector a line and writes one outcome a line: `{"id","expect"}`, or `{"error"}` for a
/// line that is not a vector.
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
    method: Method,
    /// Fed in this order.
    chunks: Vec<Hex>,
    /// Whether the stream ends after them.
    eof: bool,
    #[serde(default)]
    limits: VectorLimits,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    Connect,
}

/// Bytes, as hex digits in the line.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

/// What a vector lowers; the rest is the client's own.
#[derive(Default, Deserialize)]
struct VectorLimits {
    max_head: Option<usize>,
    max_headers: Option<usize>,
    max_body: Option<u64>,
    max_chunk_line: Option<usize>,
    max_interim: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Ran { id: String, expect: Outcome },
    Bad { error: String },
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Outcome {
    Response {
        status: u16,
        interim: Vec<u16>,
        framing: &'static str,
        body_hex: String,
        /// A tunnel has no next request, hence nothing to say.
        #[serde(skip_serializing_if = "Option::is_none")]
        keep_alive: Option<bool>,
        leftover: u64,
    },
    Error {
        error: &'static str,
    },
    NeedMore,
}

impl Vector {
    fn run(self) -> Line {
        let purpose = match self.method {
            Method::Get | Method::Post => Purpose::Exchange,
            Method::Connect => Purpose::Tunnel,
        };
        let mut reader = ResponseReader::new(purpose, self.limits.resolve());
        let mut body = BodySink::keeping(usize::MAX);
        let expect = match self.feed(&mut reader, &mut body) {
            Err(error) => Outcome::Error { error: error.class() },
            Ok(()) => describe(&reader, &body),
        };
        Line::Ran { id: self.id, expect }
    }

    fn feed(&self, reader: &mut ResponseReader, body: &mut BodySink) -> Result<(), ResponseError> {
        for Hex(chunk) in &self.chunks {
            reader.read(chunk, body)?;
        }
        if self.eof { reader.end() } else { Ok(()) }
    }
}

impl VectorLimits {
    fn resolve(&self) -> ResponseLimits {
        let default = ResponseLimits::default();
        ResponseLimits {
            head_bytes_max: self.max_head.unwrap_or(default.head_bytes_max),
            header_lines_max: self.max_headers.unwrap_or(default.header_lines_max),
            body_bytes_max: self.max_body.unwrap_or(default.body_bytes_max),
            chunk_line_bytes_max: self.max_chunk_line.unwrap_or(default.chunk_line_bytes_max),
            interim_max: self.max_interim.unwrap_or(default.interim_max),
        }
    }
}

fn describe(reader: &ResponseReader, body: &BodySink) -> Outcome {
    let Some(response) = reader.response() else { return Outcome::NeedMore };
    Outcome::Response {
        status: response.status,
        interim: response.interim,
        framing: response.framing.name(),
        body_hex: hex(body.kept()),
        keep_alive: (response.framing != Framing::Tunnel).then_some(response.close.is_none()),
        leftover: response.leftover_bytes,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = hex.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _ => None,
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        bytes.map(Self).ok_or("a chunk is an even number of hex digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../../transport/tests/vectors/http_responses.jsonl");

    fn lines(input: &str) -> Vec<String> {
        let mut output = Vec::new();
        run(input.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_vector_gives_its_own_expectation() {
        let outcomes = lines(VECTORS);
        assert_eq!(outcomes.len(), VECTORS.lines().count());
        for (vector, outcome) in VECTORS.lines().zip(outcomes) {
            let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
            let outcome: serde_json::Value = serde_json::from_str(&outcome).unwrap();
            assert_eq!(outcome["id"], vector["id"]);
            assert_eq!(outcome["expect"], vector["expect"], "{}", vector["id"]);
        }
    }

    #[test]
    fn a_bad_line_is_answered_and_the_next_one_runs() {
        let good = r#"{"id":"a","method":"POST","chunks":["48"],"eof":false}"#;
        let outcomes = lines(&format!("nonsense\n{}\n{good}\n", good.replace("48", "4")));
        assert_eq!(outcomes.len(), 3);
        assert!(outcomes[0].starts_with(r#"{"error":"#) && outcomes[1].contains("hex digits"));
        assert_eq!(outcomes[2], r#"{"id":"a","expect":{"outcome":"need_more"}}"#);
    }
}
