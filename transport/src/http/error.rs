//! What can be wrong with a request before it is written or with an answer while it is read, and
//! why a connection cannot be used again.

use std::fmt;

/// What is wrong with an answer. The connection must be closed, and the request's outcome is
/// unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The stream ended before the first byte of an answer.
    ClosedBeforeResponse,
    /// The first line is not `HTTP/d.d` and three digits, the lowest code being 100.
    BadStatusLine,
    /// The answer's major version is not 1.
    BadVersion,
    /// A field line has no name, a space before the colon, or a control character.
    BadHeader,
    /// The head (or trailer section) is longer than [`ResponseLimits::head_bytes_max`].
    ///
    /// [`ResponseLimits::head_bytes_max`]: super::ResponseLimits::head_bytes_max
    HeadTooLarge,
    /// The head (or trailer section) has more lines than [`ResponseLimits::header_lines_max`].
    ///
    /// [`ResponseLimits::header_lines_max`]: super::ResponseLimits::header_lines_max
    TooManyHeaders,
    /// A `Content-Length` is not a number of at most 2^63-1.
    BadContentLength,
    /// Two `Content-Length` values differ.
    ConflictingContentLength,
    /// The body is coded in another way than `chunked` alone.
    UnsupportedTransferEncoding,
    /// The server switches protocols (101), which no request of ours asks for.
    UnexpectedUpgrade,
    /// More interim answers than [`ResponseLimits::interim_max`].
    ///
    /// [`ResponseLimits::interim_max`]: super::ResponseLimits::interim_max
    TooManyInterim,
    /// A chunk's size line or its final CRLF is malformed.
    BadChunk,
    /// A trailer line is malformed.
    BadTrailer,
    /// The body is, or will be, longer than [`ResponseLimits::body_bytes_max`].
    ///
    /// [`ResponseLimits::body_bytes_max`]: super::ResponseLimits::body_bytes_max
    BodyTooLarge,
    /// The stream ended inside the head.
    TruncatedHead,
    /// The stream ended inside the body.
    TruncatedBody,
}

impl ResponseError {
    /// Names the class in one stable word, for counters and vectors.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::ClosedBeforeResponse => "closed_before_response",
            Self::BadStatusLine => "bad_status_line",
            Self::BadVersion => "bad_version",
            Self::BadHeader => "bad_header",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::BadContentLength => "bad_content_length",
            Self::ConflictingContentLength => "conflicting_content_length",
            Self::UnsupportedTransferEncoding => "unsupported_transfer_encoding",
            Self::UnexpectedUpgrade => "unexpected_upgrade",
            Self::TooManyInterim => "too_many_interim",
            Self::BadChunk => "bad_chunk",
            Self::BadTrailer => "bad_trailer",
            Self::BodyTooLarge => "body_too_large",
            Self::TruncatedHead => "truncated_head",
            Self::TruncatedBody => "truncated_body",
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClosedBeforeResponse => "the server closed the connection without an answer",
            Self::BadStatusLine => "the answer does not begin with an HTTP status line",
            Self::BadVersion => "the answer is not HTTP/1; is this an HTTP/2-only server?",
            Self::BadHeader => "the answer has a malformed header line",
            Self::HeadTooLarge => "the answer's head is too large",
            Self::TooManyHeaders => "the answer has too many header lines",
            Self::BadContentLength => "the answer's Content-Length is not a length",
            Self::ConflictingContentLength => "the answer has two different lengths",
            Self::UnsupportedTransferEncoding => "the answer's Transfer-Encoding is not `chunked`",
            Self::UnexpectedUpgrade => "the server switched to another protocol unasked",
            Self::TooManyInterim => "the server sent too many interim answers",
            Self::BadChunk => "the answer's chunk framing is malformed",
            Self::BadTrailer => "the answer has a malformed trailer line",
            Self::BodyTooLarge => "the answer's body is too large",
            Self::TruncatedHead => "the connection ended inside the answer's head",
            Self::TruncatedBody => "the connection ended inside the answer's body",
        })
    }
}

impl std::error::Error for ResponseError {}

/// Why a connection cannot carry another request after a valid answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// `Connection: close`.
    AskedByServer,
    /// HTTP/1.0 without `Connection: keep-alive`.
    Http10,
    /// HTTP/1.0 with a chunked body, which its author may not know to end.
    ChunkedInHttp10,
    /// Both a length and chunks: someone on the way may have seen another end (RFC 9112, 6.3).
    LengthBesideChunked,
    /// Only the end of the stream ends the body.
    BodyToEnd,
    /// Bytes came after the end of the answer.
    BytesAfterAnswer,
    /// The answer came before the request was written whole.
    AnswerBeforeRequestEnd,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AskedByServer => "the server asked for it",
            Self::Http10 => "HTTP/1.0 without keep-alive",
            Self::ChunkedInHttp10 => "a chunked body in HTTP/1.0",
            Self::LengthBesideChunked => "the answer had a length and chunks",
            Self::BodyToEnd => "the body ended with the stream",
            Self::BytesAfterAnswer => "bytes came after the answer",
            Self::AnswerBeforeRequestEnd => "the answer came before the request's end",
        })
    }
}

/// Why a piece of a request was refused. Says where, never what: the value may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The header's name is not a token (RFC 9110, 5.1).
    BadHeaderName {
        /// The name as given.
        name: &'static str,
    },
    /// The header is one that the request writer sets itself, or never sends.
    ReservedHeader {
        /// The name as given.
        name: &'static str,
    },
    /// The header's value has a control character, with which it could add another header.
    BadHeaderValue {
        /// The name of the header.
        name: &'static str,
        /// Byte position in the value.
        at: usize,
    },
    /// The path does not begin with `/`, or has a space, control or non-ASCII character.
    BadPath {
        /// Byte position in the path.
        at: usize,
    },
    /// The host is empty or has a character that no host name, address or port has.
    BadAuthority {
        /// Byte position in the text.
        at: usize,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHeaderName { name } => write!(f, "{name:?} is not a header name"),
            Self::ReservedHeader { name } => {
                write!(f, "the header {name} is not set by hand: leave it out")
            }
            Self::BadHeaderValue { name, at } => write!(
                f,
                "the value for the header {name} has a control character at byte {at}: remove it"
            ),
            Self::BadPath { at } => write!(
                f,
                "the URL's path has a character at byte {at} that must be percent-encoded"
            ),
            Self::BadAuthority { at } => {
                write!(f, "the URL's host has a character at byte {at} that no host has")
            }
        }
    }
}

impl std::error::Error for RequestError {}
