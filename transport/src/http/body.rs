//! The body of an answer: how many of the bytes given belong to it, and where they go.

use std::fmt;

use super::error::ResponseError;
use super::head::{Fields, Lines};
use super::response::ResponseLimits;

/// Where an answer's body goes: a prefix is kept, the rest is counted. `Debug` shows no content: a
/// server may repeat the key that it was sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BodySink {
    kept: Vec<u8>,
    /// Invariant: `kept.len() <= kept_bytes_max`.
    kept_bytes_max: usize,
    bytes: u64,
}

impl BodySink {
    /// Makes a sink that keeps the first `kept_bytes_max` bytes; allocates only what comes.
    #[must_use]
    pub fn keeping(kept_bytes_max: usize) -> Self {
        Self { kept: Vec::new(), kept_bytes_max, bytes: 0 }
    }

    /// Returns the beginning of the body, at most as long as asked for.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Returns how many bytes the body had so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn take(&mut self, data: &[u8]) {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        let room = self.kept_bytes_max.saturating_sub(self.kept.len());
        self.kept.extend(data.iter().take(room));
    }
}

impl fmt::Debug for BodySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept_bytes = self.kept.len();
        write!(f, "BodySink {{ bytes: {}, kept_bytes: {kept_bytes} }}", self.bytes)
    }
}

/// Whether the body ended with the bytes given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyProgress {
    More,
    Complete,
}

/// Reads a body framed in one of three ways.
#[derive(Debug)]
pub(super) enum BodyReader {
    /// `left` bytes are still to come.
    Length { left: u64 },
    /// Chunks (RFC 9112, 7.1).
    Chunked(ChunkReader),
    /// Everything up to the end of the stream.
    ToEnd,
}

impl BodyReader {
    /// Takes the body's bytes off `input` and puts them into `sink`.
    pub(super) fn read(
        &mut self,
        input: &mut &[u8],
        sink: &mut BodySink,
        limits: &ResponseLimits,
    ) -> Result<BodyProgress, ResponseError> {
        match self {
            Self::Length { left } => {
                take_data(input, left, sink);
                Ok(if *left == 0 { BodyProgress::Complete } else { BodyProgress::More })
            }
            Self::Chunked(chunks) => chunks.read(input, sink, limits),
            Self::ToEnd => {
                // Up to the limit only: how far beyond it a read reached is none of the outcome.
                let mut room = limits.body_bytes_max.saturating_sub(sink.bytes);
                take_data(input, &mut room, sink);
                if input.is_empty() {
                    Ok(BodyProgress::More)
                } else {
                    Err(ResponseError::BodyTooLarge)
                }
            }
        }
    }

    /// Tells whether the end of the stream ends the body.
    pub(super) fn ends_with_stream(&self) -> bool {
        matches!(self, Self::ToEnd)
    }
}

/// Moves at most `left` bytes from `input` to the sink.
fn take_data(input: &mut &[u8], left: &mut u64, sink: &mut BodySink) {
    let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    let (data, rest) = input.split_at_checked(count).unwrap_or((input, &[]));
    sink.take(data);
    *left = left.saturating_sub(data.len() as u64);
    *input = rest;
}

/// Reads chunks: size line, data, CRLF, and after the chunk of size 0 the trailers.
///
/// ```text
/// Size ──► Data ──► DataCr ──► DataLf ──► Size …
///   └─ 0 ─► Trailers ──► complete
/// ```
#[derive(Debug, Default)]
pub(super) struct ChunkReader {
    state: ChunkState,
    /// The size line that has begun; at most two bytes longer than the limit (for CR and LF).
    size_line: Vec<u8>,
}

#[derive(Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers(Box<(Lines, Fields)>),
}

impl ChunkReader {
    fn read(
        &mut self,
        input: &mut &[u8],
        sink: &mut BodySink,
        limits: &ResponseLimits,
    ) -> Result<BodyProgress, ResponseError> {
        loop {
            self.state = match &mut self.state {
                ChunkState::Size => {
                    let Some(size) = self.size(input, limits.chunk_line_bytes_max)? else {
                        return Ok(BodyProgress::More);
                    };
                    if sink.bytes.saturating_add(size) > limits.body_bytes_max {
                        return Err(ResponseError::BodyTooLarge);
                    }
                    match size {
                        0 => ChunkState::Trailers(Box::default()),
                        left => ChunkState::Data { left },
                    }
                }
                ChunkState::Data { left } => {
                    take_data(input, left, sink);
                    if *left > 0 {
                        return Ok(BodyProgress::More);
                    }
                    ChunkState::DataCr
                }
                ChunkState::DataCr | ChunkState::DataLf if input.is_empty() => {
                    return Ok(BodyProgress::More);
                }
                ChunkState::DataCr => {
                    expect_byte(input, b'\r')?;
                    ChunkState::DataLf
                }
                ChunkState::DataLf => {
                    expect_byte(input, b'\n')?;
                    ChunkState::Size
                }
                ChunkState::Trailers(section) => {
                    let (lines, fields) = section.as_mut();
                    return read_trailers(lines, fields, input, limits);
                }
            };
        }
    }

    /// Takes a size line off `input` and returns the size, or `None` if the line has not ended yet.
    fn size(
        &mut self,
        input: &mut &[u8],
        line_bytes_max: usize,
    ) -> Result<Option<u64>, ResponseError> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            if *byte == b'\n' {
                let line = self.size_line.strip_suffix(b"\r").ok_or(ResponseError::BadChunk)?;
                let size = parse_size_line(line)?;
                self.size_line.clear();
                return Ok(Some(size));
            }
            // Beyond the limit only the CR of the line's end may come.
            if self.size_line.len() >= line_bytes_max
                && (*byte != b'\r' || self.size_line.len() > line_bytes_max)
            {
                return Err(ResponseError::BadChunk);
            }
            self.size_line.push(*byte);
        }
        Ok(None)
    }
}

/// Reads 1 to 16 hex digits, spaces or tabs, then nothing or `;` and an extension, which is
/// ignored.
fn parse_size_line(line: &[u8]) -> Result<u64, ResponseError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (Some((digits, rest)), 1..=16) = (line.split_at_checked(digits), digits) else {
        return Err(ResponseError::BadChunk);
    };
    // A CR inside the line would be a line's end to a more lenient reader.
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if !matches!(rest.get(blank), None | Some(b';')) || rest.contains(&b'\r') {
        return Err(ResponseError::BadChunk);
    }
    let size = std::str::from_utf8(digits).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    size.ok_or(ResponseError::BadChunk)
}

fn expect_byte(input: &mut &[u8], wanted: u8) -> Result<(), ResponseError> {
    match input.split_first() {
        Some((byte, rest)) if *byte == wanted => {
            *input = rest;
            Ok(())
        }
        _ => Err(ResponseError::BadChunk),
    }
}

/// Reads trailer lines, which must be well formed and mean nothing to us, up to the blank line.
fn read_trailers(
    lines: &mut Lines,
    fields: &mut Fields,
    input: &mut &[u8],
    limits: &ResponseLimits,
) -> Result<BodyProgress, ResponseError> {
    while let Some(line) = lines.next(input, limits.head_bytes_max)? {
        if line.is_empty() {
            return Ok(BodyProgress::Complete);
        }
        fields.line(line, limits.header_lines_max).map_err(|error| match error {
            ResponseError::BadHeader => ResponseError::BadTrailer,
            other => other,
        })?;
    }
    Ok(BodyProgress::More)
}
