//! The HTTP response reader: that the outcome depends on the bytes alone, and that chunks are read
//! as the reference reads them.

use lastdrop_transport::http::{
    BodySink, Progress, Purpose, Response, ResponseError, ResponseLimits, ResponseReader,
};

use crate::cut::Cuts;
use crate::reference::chunks::{Bounds, Outcome, decode};

/// Limits that inputs of a few hundred bytes reach.
const SMALL: ResponseLimits = ResponseLimits {
    head_bytes_max: 160,
    header_lines_max: 5,
    body_bytes_max: 600,
    chunk_line_bytes_max: 24,
    interim_max: 2,
};

/// What a reader made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    outcome: Result<Option<Response>, ResponseError>,
    body: Vec<u8>,
    body_bytes: u64,
    /// Bytes up to the answer's end, if it came to one.
    used: Option<usize>,
}

/// For all streams and all ways to cut them into reads: the same answer, body, end and error as
/// in one piece, and words for each. The first byte says what the request was, whether the stream ends behind the
/// bytes, and which limits hold.
pub fn response(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let (cuts, stream) = Cuts::take(rest);
    let purpose = if choice & 1 == 0 { Purpose::Exchange } else { Purpose::Tunnel };
    let end = if choice & 2 == 0 { StreamEnd::Open } else { StreamEnd::Ended };
    let limits = if choice & 4 == 0 { ResponseLimits::default() } else { SMALL };
    let whole = read(&[stream], end, purpose, limits);
    let cut = read(&cuts.pieces(stream), end, purpose, limits);
    assert!(whole.used.is_none_or(|used| used <= stream.len()));
    assert!(whole.body_bytes <= stream.len() as u64 && whole.body.len() as u64 == whole.body_bytes);
    assert_eq!(cut, whole);
    match whole.outcome {
        Err(error) => assert!(!error.class().is_empty() && !error.to_string().is_empty()),
        Ok(Some(Response { framing, close, .. })) => {
            assert!(!framing.name().is_empty());
            assert!(close.is_none_or(|reason| !reason.to_string().is_empty()));
        }
        Ok(None) => {}
    }
}

/// For all bodies and all cuts: chunks are decoded, refused and ended as the reference does it. The
/// first byte chooses between bytes as they are, and content that is put into chunks first.
pub fn chunks(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let (cuts, rest) = Cuts::take(rest);
    let body = if choice & 1 == 0 { rest.to_vec() } else { in_chunks(rest, choice) };
    let bounds = Bounds {
        body_bytes_max: SMALL.body_bytes_max,
        line_bytes_max: SMALL.chunk_line_bytes_max,
        trailer_bytes_max: SMALL.head_bytes_max,
        trailer_lines_max: SMALL.header_lines_max,
    };
    let expected = decode(&body, bounds);
    if choice & 1 == 1 && rest.len() as u64 <= bounds.body_bytes_max {
        assert_eq!(expected, Outcome::Complete { body: rest.to_vec(), used: body.len() });
    }
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let stream = [HEAD, &body].concat();
    let found = read(&cuts.pieces(&stream), StreamEnd::Open, Purpose::Exchange, SMALL);
    let found = match found.outcome {
        Err(error) => Outcome::Wrong(error.class()),
        Ok(None) => Outcome::Incomplete,
        Ok(Some(_)) => {
            Outcome::Complete { body: found.body, used: found.used.unwrap_or(0) - HEAD.len() }
        }
    };
    assert_eq!(found, expected);
}

/// Puts `content` into chunks of a length that `choice` decides, with the last chunk and no trailer.
fn in_chunks(content: &[u8], choice: u8) -> Vec<u8> {
    let chunk_bytes = 1 + usize::from(choice >> 1);
    let mut body = Vec::new();
    for chunk in content.chunks(chunk_bytes) {
        body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Whether the stream ends behind the bytes given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    Open,
    Ended,
}

fn read(pieces: &[&[u8]], end: StreamEnd, purpose: Purpose, limits: ResponseLimits) -> Read {
    let mut reader = ResponseReader::new(purpose, limits);
    let mut sink = BodySink::keeping(usize::MAX);
    let mut failed = None;
    let mut before = 0;
    let mut used = None;
    for piece in pieces {
        match reader.read(piece, &mut sink) {
            Ok(Progress::NeedMore) => assert!(used.is_none(), "more is needed after the end"),
            Ok(Progress::Complete { used: of_piece }) => {
                assert!(of_piece <= piece.len());
                used.get_or_insert(before + of_piece);
            }
            Err(error) => {
                failed = Some(error);
                assert_eq!(reader.read(b"x", &mut sink), Err(error), "an error is final");
                break;
            }
        }
        before += piece.len();
    }
    let ended = match (failed, end) {
        (Some(error), _) => Err(error),
        (None, StreamEnd::Open) => Ok(()),
        (None, StreamEnd::Ended) => reader.end(),
    };
    let outcome = ended.map(|()| reader.response());
    // A server may repeat the key that it was sent.
    let kept_bytes = sink.kept().len();
    let shown = format!("BodySink {{ bytes: {}, kept_bytes: {kept_bytes} }}", sink.bytes());
    assert_eq!(format!("{sink:?}"), shown);
    Read { outcome, body: sink.kept().to_vec(), body_bytes: sink.bytes(), used }
}
