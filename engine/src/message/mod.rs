//! The bytes of a datagram as messages: metrics, events and service checks with borrowed fields,
//! or a class of error with its position. The grammar is written down in `docs/protocol.md`.
//!
//! ```text
//! datagram ── lines ──▶ line ── parse ──▶ Message::{Metric, Event, ServiceCheck}   or   Error
//! ```
//!
//! Nothing is copied or allocated for a metric, nothing panics, and a bad line costs only itself.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod check;
mod error;
mod event;
mod find;
mod lines;
mod metric;
mod number;
mod origin;
mod tags;

pub use check::{ServiceCheck, parse as parse_service_check};
pub use error::{Class, Error, Of};
pub use event::{AlertType, Event, Priority, parse as parse_event};
pub use lines::{Line, LineEnd, Lines, lines};
pub use metric::{Kind, Metric, Numbers, Packed, Values};
pub use origin::{ExternalData, LocalData, OriginFields};
pub use tags::Tags;

/// Which of the optional fields are read; one that is not is skipped without a look at its
/// content. The default is what the agent does unless configured: timestamps, no client origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What to do with `T` (`dogstatsd_no_aggregation_pipeline`).
    pub timestamps: Timestamps,
    /// What to do with `c:`, `e:` and `card:` (`dogstatsd_origin_detection_client`).
    pub client_origin: ClientOrigin,
}

/// What to do with the timestamps of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// Read `T`; a bad one makes the metric bad.
    #[default]
    Read,
    /// Skip `T`, whatever follows it.
    Ignore,
}

/// What to do with the origin that a client sends along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientOrigin {
    /// Keep `c:`, `e:` and `card:`.
    Read,
    /// Skip them.
    #[default]
    Ignore,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// A metric with one or more samples.
    Metric(Metric<'a>),
    /// An event.
    Event(Event<'a>),
    /// A service check.
    ServiceCheck(ServiceCheck<'a>),
}

/// Reads one line: an event if it starts with `_e{`, a service check if it starts with `_sc`, else
/// a metric.
///
/// # Errors
///
/// The first thing in the order of the protocol's checks that doesn't fit: class and byte position
/// in `line`.
#[inline]
pub fn parse(line: &[u8], options: Options) -> Result<Message<'_>, Error> {
    match LineKind::of(line) {
        LineKind::Event => parse_event(line, options).map(Message::Event),
        LineKind::ServiceCheck => parse_service_check(line, options).map(Message::ServiceCheck),
        LineKind::Metric => metric::parse(line, options).map(Message::Metric),
    }
}

/// What a line is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// By [`Metric::read`]: any line that is nothing else.
    Metric,
    /// By [`parse_event`].
    Event,
    /// By [`parse_service_check`].
    ServiceCheck,
}

impl LineKind {
    /// Decides by the first bytes.
    #[must_use]
    #[inline]
    pub fn of(line: &[u8]) -> Self {
        match line {
            [b'_', b'e', b'{', ..] => Self::Event,
            [b'_', b's', b'c', ..] => Self::ServiceCheck,
            _ => Self::Metric,
        }
    }
}

/// Splits at the first `separator`: what stands before it, and what follows if it is there.
#[inline]
fn cut(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let at = find::first_of([separator], bytes).unwrap_or(bytes.len());
    let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (before, rest.get(1..))
}

/// [`cut`] for where the separator is a few bytes away: a call to search for it would cost more.
#[inline]
fn cut_near(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let at = bytes.iter().position(|&byte| byte == separator).unwrap_or(bytes.len());
    let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (before, rest.get(1..))
}

/// The optional fields behind the fixed part of a message: separated by `|`, each with its byte
/// position in the line.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    line_len: usize,
}

impl<'a> Fields<'a> {
    /// The fields in `rest`, which is the end of a line of `line_len` bytes; `None` holds no field.
    fn new(rest: Option<&'a [u8]>, line_len: usize) -> Self {
        Self { rest, line_len }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (usize, &'a [u8]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let (field, behind) = cut(rest, b'|');
        self.rest = behind;
        Some((self.line_len - rest.len(), field))
    }
}

#[cfg(test)]
mod tests;
