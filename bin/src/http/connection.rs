//! One connection: a request's head within its bound, one answer, and a close that loses none of it.

use mio::net::TcpStream;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Instant;

/// Longest head of a request in bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// Most header lines.
const HEADERS_MAX: usize = 32;

/// Bytes that are read and thrown away behind a request, so that the kernel doesn't reset the
/// connection over them and takes the answer along.
const REST_BYTES_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// The path, without a query.
    pub(super) path: &'a str,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Status code.
    pub(super) status: u16,
    /// `Content-Type`.
    pub(super) content_type: &'static str,
    /// The page.
    pub(super) body: String,
}

impl Answer {
    /// A line of text.
    pub(super) fn text(status: u16, line: impl Into<String>) -> Self {
        let mut body = line.into();
        body.push('\n');
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the client.
    Open,
    /// It is over.
    Done,
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// When it was accepted.
    pub(super) began: Instant,
    state: State,
}

enum State {
    /// The head comes in.
    Reading(Vec<u8>),
    /// The answer goes out, so far up to here.
    Writing(Vec<u8>, usize),
    /// The answer is out; what the client still sends is thrown away, so much so far.
    Ending(usize),
}

impl Connection {
    /// A connection that was accepted at `began`.
    pub(super) fn new(stream: TcpStream, began: Instant) -> Self {
        Self { stream, began, state: State::Reading(Vec::new()) }
    }

    /// What a poll watches.
    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Goes as far as the client lets it.
    pub(super) fn step(&mut self, answer: impl FnOnce(Request<'_>) -> Answer) -> Progress {
        match self.try_step(answer) {
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => Progress::Open,
            Ok(()) | Err(_) => Progress::Done,
        }
    }

    fn try_step(&mut self, answer: impl FnOnce(Request<'_>) -> Answer) -> io::Result<()> {
        if let State::Reading(head) = &mut self.state {
            let answer = loop {
                let mut buffer = [0; 1024];
                let length = retried(|| self.stream.read(&mut buffer))?;
                head.extend_from_slice(buffer.get(..length).unwrap_or_default());
                match respond(head, length == 0) {
                    Some(reading) => break reading.bytes(answer),
                    None if length == 0 => return Ok(()),
                    None => {}
                }
            };
            self.state = State::Writing(answer, 0);
        }
        if let State::Writing(answer, sent) = &mut self.state {
            while let Some(rest) = answer.get(*sent..).filter(|rest| !rest.is_empty()) {
                *sent += retried(|| self.stream.write(rest))?;
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.state = State::Ending(0);
        }
        if let State::Ending(thrown) = &mut self.state {
            let mut buffer = [0; 4096];
            while *thrown < REST_BYTES_MAX {
                match retried(|| self.stream.read(&mut buffer))? {
                    0 => break,
                    length => *thrown += length,
                }
            }
        }
        Ok(())
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What a head that has come in asks for, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
enum Reading<'a> {
    Get(Request<'a>),
    Head(Request<'a>),
    Wrong(Answer),
}

/// Reads a head; none if there is more to come.
fn respond(head: &[u8], is_end: bool) -> Option<Reading<'_>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let wrong = |status, why: &str| Some(Reading::Wrong(Answer::text(status, why)));
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() > HEAD_BYTES_MAX => {
            return wrong(431, "the head of the request is too long");
        }
        Err(httparse::Error::TooManyHeaders) => return wrong(431, "too many headers"),
        Ok(httparse::Status::Partial) if is_end && head.is_empty() => return None,
        Ok(httparse::Status::Partial) if is_end => return wrong(400, "the request is cut off"),
        Ok(httparse::Status::Partial) => return None,
        Err(why) => return wrong(400, &format!("no HTTP request: {why}")),
        Ok(httparse::Status::Complete(_)) => {}
    }
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    match request.method {
        Some("GET") => Some(Reading::Get(Request { path })),
        Some("HEAD") => Some(Reading::Head(Request { path })),
        _ => wrong(405, "only GET and HEAD"),
    }
}

impl Reading<'_> {
    /// The bytes of the answer.
    fn bytes(self, answer: impl FnOnce(Request<'_>) -> Answer) -> Vec<u8> {
        let (answer, with_body) = match self {
            Self::Get(request) => (answer(request), true),
            Self::Head(request) => (answer(request), false),
            Self::Wrong(answer) => (answer, true),
        };
        let Answer { status, content_type, body } = answer;
        let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        // Writing to a string can't fail.
        let _ = write!(text, "content-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
        text.push_str("cache-control: no-store\r\nconnection: close\r\n");
        if status == 405 {
            text.push_str("allow: GET, HEAD\r\n");
        }
        text.push_str("\r\n");
        if with_body {
            text.push_str(&body);
        }
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &[u8]) -> Option<u16> {
        match respond(head, false)? {
            Reading::Wrong(answer) => Some(answer.status),
            Reading::Get(_) | Reading::Head(_) => Some(200),
        }
    }

    #[test]
    fn a_path_is_read_without_its_query() {
        let head = b"GET /metrics?x=/y HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(respond(head, false), Some(Reading::Get(Request { path: "/metrics" })));
    }

    /// For all beginnings of a request: there is more to come.
    #[test]
    fn a_head_that_is_cut_anywhere_is_waited_for() {
        let head = b"HEAD / HTTP/1.0\r\nhost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(respond(&head[..end], false), None, "{end}");
        }
        assert_eq!(respond(head, false), Some(Reading::Head(Request { path: "/" })));
    }

    #[test]
    fn what_is_no_request_or_too_long_is_refused() {
        let long = [b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(status(&long), Some(431));
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(status(many.as_bytes()), Some(431));
        assert_eq!(status(b"POST / HTTP/1.1\r\n\r\n"), Some(405));
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), Some(400));
        assert_eq!(status(b"GET / HTTP/9.9\r\n\r\n"), Some(400));
    }

    #[test]
    fn a_head_alone_is_answered_without_the_page() {
        let answer = |_: Request<'_>| Answer::text(200, "ok");
        let whole = Reading::Get(Request { path: "/" }).bytes(answer);
        let head = Reading::Head(Request { path: "/" }).bytes(answer);
        assert!(whole.ends_with(b"\r\n\r\nok\n"));
        assert_eq!(whole.strip_suffix(b"ok\n"), Some(&head[..]));
    }
}
