//! Metrics: `name ":" value { ":" value } "|" type { "|" field }`.

use super::error::{Class, Error};
use super::{Fields, Options, OriginFields, Tags, Timestamps, cut, cut_near, find, number};

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `c`: values are added up.
    Counter,
    /// `g`: the last value stands.
    Gauge,
    /// `s`: different strings are counted.
    Set,
    /// `h`: aggregates over the values.
    Histogram,
    /// `ms`: a histogram of milliseconds.
    Timing,
    /// `d`: a sketch of the values.
    Distribution,
}

impl Kind {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Counter, Self::Gauge, Self::Set, Self::Histogram, Self::Timing, Self::Distribution];

    /// The type as it stands on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Gauge => "g",
            Self::Set => "s",
            Self::Histogram => "h",
            Self::Timing => "ms",
            Self::Distribution => "d",
        }
    }

    #[inline]
    fn read(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"c" => Self::Counter,
            b"g" => Self::Gauge,
            b"s" => Self::Set,
            b"h" => Self::Histogram,
            b"ms" => Self::Timing,
            b"d" => Self::Distribution,
            _ => return None,
        })
    }
}

/// One metric message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric<'a> {
    /// Name: at least one byte, any but `:`, `|` and newline.
    pub name: &'a [u8],
    /// Type.
    pub kind: Kind,
    /// The samples' values.
    pub values: Values<'a>,
    /// Sample rate; 1 where none is given. Any number of the grammar: also 0, negative, not finite.
    pub rate: f64,
    /// Tags as they came.
    pub tags: Tags<'a>,
    /// Seconds since 1970, at least 1, if the client gave the time.
    pub timestamp: Option<i64>,
    /// The client's word on its origin.
    pub origin: OriginFields<'a>,
}

/// The values of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// One number; may be infinite or not a number.
    One(f64),
    /// Several numbers.
    Packed(Packed<'a>),
    /// The one string of a set, colons included, not empty.
    Set(&'a [u8]),
}

/// Numbers separated by colons, known to be good; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Values<'a> {
    /// How many samples the message holds, at least 1.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::One(_) | Self::Set(_) => 1,
            Self::Packed(packed) => packed.count,
        }
    }

    /// The numbers in order; none for a set. Packed numbers are read a second time.
    #[must_use]
    pub const fn numbers(self) -> Numbers<'a> {
        match self {
            Self::One(value) => Numbers { first: Some(value), rest: &[] },
            Self::Packed(packed) => Numbers { first: None, rest: packed.bytes },
            Self::Set(_) => Numbers { first: None, rest: &[] },
        }
    }
}

/// The numbers of a metric; made by [`Values::numbers`].
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    first: Option<f64>,
    rest: &'a [u8],
}

impl Iterator for Numbers<'_> {
    type Item = f64;

    #[inline]
    fn next(&mut self) -> Option<f64> {
        if let Some(value) = self.first.take() {
            return Some(value);
        }
        while !self.rest.is_empty() {
            let (piece, rest) = cut_near(self.rest, b':');
            self.rest = rest.unwrap_or_default();
            if let Some(value) = number::float(piece) {
                return Some(value);
            }
        }
        None
    }
}

/// Reads a metric. The checks run in the protocol's order, and the first that fails decides.
#[inline]
pub(super) fn parse(line: &[u8], options: Options) -> Result<Metric<'_>, Error> {
    let mut metric = Metric::default();
    metric.read(line, options)?;
    Ok(metric)
}

/// What every metric starts with.
struct Head<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// The value, if that was seen on the way.
    whole: Option<f64>,
    /// What follows the `|` behind the value.
    rest: &'a [u8],
}

#[inline]
fn split_head(line: &[u8]) -> Option<Head<'_>> {
    let at = find::first_of([b':', b'|'], line)?;
    let (name, [b':', behind @ ..]) = line.split_at_checked(at)? else {
        return None;
    };
    let whole = number::whole(behind, b'|');
    let (value, rest) = match whole {
        Some((_, digits)) => (behind.get(..digits)?, behind.get(digits + 1..)),
        None => cut_near(behind, b'|'),
    };
    let head = Head { name, value, whole: whole.map(|whole| whole.0), rest: rest? };
    (!name.is_empty() && !value.is_empty()).then_some(head)
}

/// Why a line has no name, value and `|`.
#[cold]
fn headless(line: &[u8]) -> Error {
    let (head, rest) = cut(line, b'|');
    let (name, _) = cut(head, b':');
    match rest {
        None => Error::new(Class::NoSeparator, line.len()),
        Some(_) if name.is_empty() => Error::new(Class::BadNameValue, 0),
        Some(_) => Error::new(Class::BadNameValue, head.len()),
    }
}

impl Default for Metric<'_> {
    /// A metric to be read into.
    fn default() -> Self {
        Self {
            name: &[],
            kind: Kind::Counter,
            values: Values::One(0.0),
            rate: 1.0,
            tags: Tags::default(),
            timestamp: None,
            origin: OriginFields::default(),
        }
    }
}

impl<'a> Metric<'a> {
    /// Reads a line ([`LineKind::Metric`](super::LineKind)) into this metric, all of whose fields it
    /// replaces. The result of [`parse`](super::parse) would have to be moved to where it is needed.
    ///
    /// # Errors
    ///
    /// As `parse`; the metric is then of no use.
    #[inline]
    pub fn read(&mut self, line: &'a [u8], options: Options) -> Result<(), Error> {
        let Some(Head { name, value, whole, rest }) = split_head(line) else {
            return Err(headless(line));
        };
        let (kind, fields) = cut_near(rest, b'|');
        let Some(kind) = Kind::read(kind) else {
            return Err(Error::new(Class::BadType, line.len() - rest.len()));
        };
        self.name = name;
        self.kind = kind;
        self.values = match (kind, whole) {
            (Kind::Set, _) => Values::Set(value),
            (_, Some(value)) => Values::One(value),
            _ => numbers(value, line.len() - rest.len() - 1)?,
        };
        self.rate = 1.0;
        self.tags = Tags::default();
        self.timestamp = None;
        self.origin = OriginFields::default();
        for (at, field) in Fields::new(fields, line.len()) {
            self.take(field, at, options)?;
        }
        Ok(())
    }

    /// Takes over an optional field that starts `at` bytes into the line. Of two of a kind the
    /// later stands; an unknown one is nothing.
    #[inline]
    fn take(&mut self, field: &'a [u8], at: usize, options: Options) -> Result<(), Error> {
        match field {
            [b'#', tags @ ..] => self.tags = Tags(tags),
            [b'@', rate @ ..] => {
                self.rate =
                    number::float(rate).ok_or_else(|| Error::new(Class::BadRate, at + 1))?;
            }
            [b'T', second @ ..] if options.timestamps == Timestamps::Read => {
                let second = number::integer(second).filter(|&second| second >= 1);
                self.timestamp =
                    Some(second.ok_or_else(|| Error::new(Class::BadTimestamp, at + 1))?);
            }
            _ => self.origin.take(field, options),
        }
        Ok(())
    }
}

/// Reads one number, or several with colons between them; empty pieces don't count. `end` is where
/// `value` ends in the line.
#[inline]
fn numbers(value: &[u8], end: usize) -> Result<Values<'_>, Error> {
    // No number holds a colon: if this succeeds there is none to look for.
    number::float(value).map_or_else(|| packed(value, end), |value| Ok(Values::One(value)))
}

fn packed(value: &[u8], end: usize) -> Result<Values<'_>, Error> {
    let mut count = 0;
    let mut rest = Some(value);
    while let Some(pieces) = rest {
        let (piece, behind) = cut_near(pieces, b':');
        rest = behind;
        if piece.is_empty() {
            continue;
        }
        if number::float(piece).is_none() {
            return Err(Error::new(Class::BadValue, end - pieces.len()));
        }
        count += 1;
    }
    match count {
        0 => Err(Error::new(Class::BadValue, end - value.len())),
        _ => Ok(Values::Packed(Packed { bytes: value, count })),
    }
}
