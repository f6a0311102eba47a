//! Reads one answer from bytes that come in any pieces.

use super::body::{BodyProgress, BodyReader, BodySink, ChunkReader};
use super::error::{CloseReason, ResponseError};
use super::head::{Fields, Lines, StatusLine, members};
use crate::limits;

/// Bounds of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the head, blank line included; and again of the trailers.
    pub head_bytes_max: usize,
    /// Field lines of the head, folded ones included; and again of the trailers.
    pub header_lines_max: usize,
    /// Bytes of the body, without chunk framing.
    pub body_bytes_max: u64,
    /// Bytes of a chunk's size line, without CRLF.
    pub chunk_line_bytes_max: usize,
    /// Interim answers before the final one.
    pub interim_max: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: limits::HEAD_BYTES_MAX,
            header_lines_max: limits::HEADER_LINES_MAX,
            body_bytes_max: limits::BODY_BYTES_MAX,
            chunk_line_bytes_max: limits::CHUNK_LINE_BYTES_MAX,
            interim_max: limits::INTERIM_ANSWERS_MAX,
        }
    }
}

/// What the request was for: a tunnel's answer ends elsewhere than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// GET or POST.
    Exchange,
    /// CONNECT.
    Tunnel,
}

/// What says where an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the stream.
    Close,
    /// The status: it has no body.
    None,
    /// A 2xx to CONNECT: what follows the head belongs to the tunnel.
    Tunnel,
}

impl Framing {
    /// Names the framing in one stable word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Chunked => "chunked",
            Self::Close => "close",
            Self::None => "none",
            Self::Tunnel => "tunnel",
        }
    }
}

/// A complete answer; its body went into the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 to 999.
    pub status: u16,
    /// The codes of the interim answers before it, in order.
    pub interim: Vec<u16>,
    /// What ended the body.
    pub framing: Framing,
    /// The value of `Retry-After`, for whoever understands it.
    pub retry_after: Option<Vec<u8>>,
    /// Why the connection cannot be used again; `None` if it can.
    pub close: Option<CloseReason>,
    /// Bytes that were given after the answer's end; of a tunnel, its first bytes.
    pub leftover_bytes: u64,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were used and more are needed.
    NeedMore,
    /// The answer is complete; `used` of the bytes given belong to it.
    Complete {
        /// Bytes of this call's input up to the answer's end.
        used: usize,
    },
}

/// Reads one answer.
///
/// Give what was read to [`read`](Self::read) until it says `Complete`, call [`end`](Self::end)
/// when the stream ends, then take the [`response`](Self::response).
#[derive(Debug)]
pub struct ResponseReader {
    purpose: Purpose,
    limits: ResponseLimits,
    state: State,
    lines: Lines,
    fields: Fields,
    /// Of the head being read.
    status_line: StatusLine,
    interim: Vec<u16>,
    /// Decided at the end of the final head.
    framing: Framing,
    retry_after: Option<Vec<u8>>,
    close: Option<CloseReason>,
    leftover_bytes: u64,
}

#[derive(Debug)]
enum State {
    StatusLine,
    Fields,
    Body(BodyReader),
    Complete,
    Failed(ResponseError),
}

impl ResponseReader {
    /// Makes a reader for one answer.
    #[must_use]
    pub fn new(purpose: Purpose, limits: ResponseLimits) -> Self {
        Self {
            purpose,
            limits,
            state: State::StatusLine,
            lines: Lines::default(),
            fields: Fields::default(),
            status_line: StatusLine::default(),
            interim: Vec::new(),
            framing: Framing::None,
            retry_after: None,
            close: None,
            leftover_bytes: 0,
        }
    }

    /// Takes the next bytes of the stream; the body's go into `sink`.
    ///
    /// After `Complete` it may be called on: further bytes are leftover.
    ///
    /// # Errors
    /// The class of what is wrong, again and again once it failed.
    pub fn read(&mut self, input: &[u8], sink: &mut BodySink) -> Result<Progress, ResponseError> {
        let mut rest = input;
        while !rest.is_empty() || matches!(self.state, State::Failed(_)) {
            if matches!(self.state, State::Complete) {
                return Ok(self.complete(input, rest));
            }
            if let Err(error) = self.step(&mut rest, sink) {
                self.state = State::Failed(error);
                return Err(error);
            }
        }
        Ok(match self.state {
            State::Complete => self.complete(input, rest),
            _ => Progress::NeedMore,
        })
    }

    /// Takes notice that the stream has ended.
    ///
    /// # Errors
    /// `ClosedBeforeResponse`, `TruncatedHead` or `TruncatedBody` if the answer is not complete
    /// with it, or the class that `read` failed with.
    pub fn end(&mut self) -> Result<(), ResponseError> {
        let error = match &self.state {
            State::StatusLine if self.lines.is_untouched() && self.interim.is_empty() => {
                ResponseError::ClosedBeforeResponse
            }
            State::StatusLine | State::Fields => ResponseError::TruncatedHead,
            State::Body(body) if body.ends_with_stream() => {
                self.state = State::Complete;
                return Ok(());
            }
            State::Body(_) => ResponseError::TruncatedBody,
            State::Complete => return Ok(()),
            State::Failed(error) => *error,
        };
        self.state = State::Failed(error);
        Err(error)
    }

    /// Returns the answer once it is complete.
    #[must_use]
    pub fn response(&self) -> Option<Response> {
        matches!(self.state, State::Complete).then(|| Response {
            status: self.status_line.status,
            interim: self.interim.clone(),
            framing: self.framing,
            retry_after: self.retry_after.clone(),
            close: match self.leftover_bytes {
                0 => self.close,
                _ if self.framing == Framing::Tunnel => self.close,
                _ => self.close.or(Some(CloseReason::BytesAfterAnswer)),
            },
            leftover_bytes: self.leftover_bytes,
        })
    }

    fn complete(&mut self, input: &[u8], rest: &[u8]) -> Progress {
        self.leftover_bytes = self.leftover_bytes.saturating_add(rest.len() as u64);
        Progress::Complete { used: input.len().saturating_sub(rest.len()) }
    }

    /// Takes one line of the head, or as much body as there is.
    fn step(&mut self, rest: &mut &[u8], sink: &mut BodySink) -> Result<(), ResponseError> {
        match &mut self.state {
            State::StatusLine => {
                if let Some(line) = self.lines.next(rest, self.limits.head_bytes_max)? {
                    self.status_line = StatusLine::parse(line)?;
                    self.state = State::Fields;
                }
            }
            State::Fields => match self.lines.next(rest, self.limits.head_bytes_max)? {
                Some([]) => self.state = self.after_head()?,
                Some(line) => self.fields.line(line, self.limits.header_lines_max)?,
                None => {}
            },
            State::Body(body) => {
                if body.read(rest, sink, &self.limits)? == BodyProgress::Complete {
                    self.state = State::Complete;
                }
            }
            State::Complete => {}
            State::Failed(error) => return Err(*error),
        }
        Ok(())
    }

    /// Decides at the blank line what follows: another head, a body, or nothing.
    fn after_head(&mut self) -> Result<State, ResponseError> {
        let mut fields = std::mem::take(&mut self.fields);
        self.lines = Lines::default();
        let StatusLine { status, minor } = self.status_line;
        if status == 101 {
            return Err(ResponseError::UnexpectedUpgrade);
        }
        if status < 200 {
            if self.interim.len() >= self.limits.interim_max {
                return Err(ResponseError::TooManyInterim);
            }
            self.interim.push(status);
            return Ok(State::StatusLine);
        }
        self.close = close_asked(minor, fields.connection.as_deref());
        self.retry_after = fields.retry_after.take();
        if self.purpose == Purpose::Tunnel && status < 300 {
            self.framing = Framing::Tunnel;
            return Ok(State::Complete);
        }
        if matches!(status, 204 | 304) {
            self.framing = Framing::None;
            return Ok(State::Complete);
        }
        self.body(minor, &fields)
    }

    /// Decides what frames the body (RFC 9112, 6.3).
    fn body(&mut self, minor: u8, fields: &Fields) -> Result<State, ResponseError> {
        if let Some(codings) = &fields.transfer_encoding {
            require_chunked_alone(codings)?;
            // The length is not even looked at: chunks win, and the connection is not trusted
            // again.
            if fields.content_length.is_some() {
                self.close = self.close.or(Some(CloseReason::LengthBesideChunked));
            } else if minor == 0 {
                self.close = self.close.or(Some(CloseReason::ChunkedInHttp10));
            }
            self.framing = Framing::Chunked;
            return Ok(State::Body(BodyReader::Chunked(ChunkReader::default())));
        }
        let Some(lengths) = &fields.content_length else {
            self.close = self.close.or(Some(CloseReason::BodyToEnd));
            self.framing = Framing::Close;
            return Ok(State::Body(BodyReader::ToEnd));
        };
        let left = agreed_length(lengths)?;
        if left > self.limits.body_bytes_max {
            return Err(ResponseError::BodyTooLarge);
        }
        self.framing = Framing::Length;
        Ok(match left {
            0 => State::Complete,
            left => State::Body(BodyReader::Length { left }),
        })
    }
}

/// Says whether the `Connection` field, or its absence, ends the connection (RFC 9112, 9.3).
fn close_asked(minor: u8, connection: Option<&[u8]>) -> Option<CloseReason> {
    let has = |token: &[u8]| {
        members(connection.unwrap_or_default()).any(|member| member.eq_ignore_ascii_case(token))
    };
    if has(b"close") {
        Some(CloseReason::AskedByServer)
    } else if minor == 0 && !has(b"keep-alive") {
        Some(CloseReason::Http10)
    } else {
        None
    }
}

fn require_chunked_alone(codings: &[u8]) -> Result<(), ResponseError> {
    let mut codings = members(codings).filter(|coding| !coding.is_empty());
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ResponseError::UnsupportedTransferEncoding),
    }
}

/// Returns the one length that all members of the list agree on.
fn agreed_length(lengths: &[u8]) -> Result<u64, ResponseError> {
    // All are looked at before they are compared: a malformed one outweighs a different one.
    let mut agreed = None;
    let mut conflict = false;
    for member in members(lengths) {
        let length = parse_length(member).ok_or(ResponseError::BadContentLength)?;
        conflict |= *agreed.get_or_insert(length) != length;
    }
    match agreed {
        _ if conflict => Err(ResponseError::ConflictingContentLength),
        Some(length) => Ok(length),
        None => Err(ResponseError::BadContentLength),
    }
}

/// Reads digits, and nothing but digits, as a number of at most 2^63-1.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte.wrapping_sub(b'0')))?;
        let length = length.checked_mul(10)?.checked_add(digit)?;
        (length <= i64::MAX.unsigned_abs()).then_some(length)
    })
}
