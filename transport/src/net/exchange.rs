//! One request written to a stream and its answer read from it.

use std::fmt;
use std::io::{self, ErrorKind};

use bytes::Bytes;

use super::failure::Broken;
use super::stream::{ReadOutcome, Stream};
use crate::http::{
    BodySink, CloseReason, Progress, Purpose, Response, ResponseError, ResponseLimits,
    ResponseReader,
};
use crate::limits::{BODY_KEPT_BYTES, READS_PER_TURN};

/// A request on its way and the answer so far.
pub(super) struct Exchange {
    head: Vec<u8>,
    body: Bytes,
    /// Bytes of head and body that the stream took; at most as many as they are.
    taken: usize,
    /// What the stream had sent before this exchange.
    wire_bytes_before: u64,
    sent: Sent,
    answered: Answered,
    reader: ResponseReader,
    sink: BodySink,
}

/// Whether any of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Nothing,
    Part,
}

/// How much of a request left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No byte.
    Nothing,
    /// Some bytes, never the last one.
    Part,
    /// All of it.
    Whole,
}

/// How an exchange stands after a turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// The socket has to become ready for more.
    Blocked,
    /// There may be more to read, but others have their turn first.
    Hungry,
    /// The answer is complete.
    Answered(Response),
}

impl Exchange {
    pub(super) fn new(stream: &Stream, purpose: Purpose, head: Vec<u8>, body: Bytes) -> Self {
        Self {
            head,
            body,
            taken: 0,
            wire_bytes_before: stream.wire_bytes(),
            sent: Sent::Nothing,
            answered: Answered::Nothing,
            reader: ResponseReader::new(purpose, ResponseLimits::default()),
            sink: BodySink::keeping(BODY_KEPT_BYTES),
        }
    }

    /// Writes and reads as much as the stream lets it. An answer counts even if it comes before the
    /// request was written whole, or together with the error that ends the writing.
    pub(super) fn advance(
        &mut self,
        stream: &mut Stream,
        buffer: &mut [u8],
    ) -> Result<Turn, Broken> {
        let written = self.write(stream);
        match self.read(stream, buffer, written.is_err())? {
            Turn::Answered(response) => Ok(Turn::Answered(self.judged(response))),
            turn => written.map(|()| turn),
        }
    }

    pub(super) fn sent(&self) -> Sent {
        self.sent
    }

    pub(super) fn answered(&self) -> Answered {
        self.answered
    }

    /// Takes the answer's body.
    pub(super) fn take_body(&mut self) -> BodySink {
        std::mem::take(&mut self.sink)
    }

    fn write(&mut self, stream: &mut Stream) -> Result<(), Broken> {
        let outcome = self.write_all(stream);
        if self.sent == Sent::Nothing && stream.wire_bytes() > self.wire_bytes_before {
            self.sent = Sent::Part;
        }
        match outcome {
            Ok(()) => self.sent = Sent::Whole,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(Broken::Socket(error.kind())),
        }
        Ok(())
    }

    /// Writes up to the request's end, or to an error (`WouldBlock` among them).
    fn write_all(&mut self, stream: &mut Stream) -> io::Result<()> {
        loop {
            let head = self.head.get(self.taken..).unwrap_or_default();
            let body_taken = self.taken.saturating_sub(self.head.len());
            let body = self.body.get(body_taken..).unwrap_or_default();
            if head.is_empty() && body.is_empty() {
                return stream.flush();
            }
            self.taken = self.taken.saturating_add(stream.write(head, body)?);
        }
    }

    fn read(
        &mut self,
        stream: &mut Stream,
        buffer: &mut [u8],
        writing_failed: bool,
    ) -> Result<Turn, Broken> {
        for _ in 0..READS_PER_TURN {
            let outcome = stream.read(buffer)?;
            match outcome {
                ReadOutcome::Blocked => return Ok(Turn::Blocked),
                ReadOutcome::Bytes(count) => {
                    self.answered = Answered::Part;
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let progress =
                        self.reader.read(bytes, &mut self.sink).map_err(Broken::Answer)?;
                    if let Progress::NeedMore = progress {
                        continue;
                    }
                }
                ReadOutcome::Ended | ReadOutcome::CutOff => {
                    self.reader.end().map_err(Broken::Answer)?;
                    // Only an end that the other side meant can end a body.
                    if outcome == ReadOutcome::CutOff || writing_failed {
                        return Err(Broken::Answer(ResponseError::TruncatedBody));
                    }
                }
            }
            return Ok(self.reader.response().map_or(Turn::Hungry, Turn::Answered));
        }
        Ok(Turn::Hungry)
    }

    /// Adds what only the writing side knows about the connection's use.
    fn judged(&self, response: Response) -> Response {
        let early = match self.sent {
            Sent::Whole => None,
            Sent::Nothing | Sent::Part => Some(CloseReason::AnswerBeforeRequestEnd),
        };
        Response { close: response.close.or(early), ..response }
    }
}

/// Shows no bytes: the head has the API key in it.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("sent", &self.sent)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}
