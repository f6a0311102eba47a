//! The datagrams of one sender, built before the run, with what each of them says.
//!
//! Every context appears once, in random order; random further ones fill the block up to a size that
//! keeps replaying cheap. A context has one type for good, drawn by the mix.

use std::fmt::{self, Write};
use std::ops::Range;
use std::str::FromStr;

use super::LoadOptions;

/// Fewest messages of a block, so that one of few contexts isn't the same short loop.
const MESSAGES_MIN: u32 = 8_192;

/// Distinct metric names of one type; further contexts differ in their `context` tag.
const NAMES_MAX: u32 = 200;

/// A metric type of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `c`
    Count,
    /// `g`
    Gauge,
    /// `s`
    Set,
    /// `h`
    Histogram,
    /// `ms`
    Timing,
    /// `d`
    Distribution,
}

impl Kind {
    /// All types.
    pub const ALL: [Self; 6] =
        [Self::Count, Self::Gauge, Self::Set, Self::Histogram, Self::Timing, Self::Distribution];

    /// The type as the protocol writes it.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "c",
            Self::Gauge => "g",
            Self::Set => "s",
            Self::Histogram => "h",
            Self::Timing => "ms",
            Self::Distribution => "d",
        }
    }

    /// The type as a word: second part of the metric names, and a key of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Gauge => "gauge",
            Self::Set => "set",
            Self::Histogram => "histogram",
            Self::Timing => "timing",
            Self::Distribution => "distribution",
        }
    }
}

/// Shares of the metric types, as whole numbers of any sum above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; 6],
}

impl Mix {
    /// Nothing but one type.
    #[must_use]
    pub fn only(kind: Kind) -> Self {
        Self { weights: Kind::ALL.map(|other| u32::from(other == kind)) }
    }

    fn draw(&self, random: &mut Random) -> Kind {
        let mut ticket = random.below(self.weights.iter().sum());
        for (kind, &weight) in Kind::ALL.into_iter().zip(&self.weights) {
            if ticket < weight {
                return kind;
            }
            ticket -= weight;
        }
        Kind::Count
    }
}

/// A mix that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixError(String);

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: write shares of c, g, s, h, ms, d as in c=70,g=20,d=10", self.0)
    }
}

impl std::error::Error for MixError {}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = [0_u16; 6];
        for part in text.split(',') {
            let part = part.trim();
            let (symbol, weight) = part.split_once('=').unwrap_or((part, "1"));
            let places = Kind::ALL.iter().zip(&mut weights);
            let place = places.into_iter().find(|(kind, _)| kind.symbol() == symbol);
            let (_, place) = place.ok_or_else(|| MixError(format!("type {symbol:?}")))?;
            *place = weight.parse().map_err(|error| MixError(format!("{part:?}: {error}")))?;
        }
        if weights == [0; 6] {
            return Err(MixError("no share is above 0".to_owned()));
        }
        Ok(Self { weights: weights.map(u32::from) })
    }
}

/// What one message says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) samples: u32,
    pub(super) sum: u64,
}

/// Datagrams to replay.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    datagrams: Vec<Datagram>,
}

#[derive(Debug)]
struct Datagram {
    bytes: Range<usize>,
    messages: Range<usize>,
}

impl Block {
    /// Builds a sender's block; senders share the contexts and differ in all else.
    pub(super) fn build(options: &LoadOptions, sender: u32) -> Self {
        let contexts = contexts(options);
        let mut random = Random(options.seed ^ (u64::from(sender) + 1) << 32);
        let mut block = Self { bytes: Vec::new(), messages: Vec::new(), datagrams: Vec::new() };
        let mut order: Vec<&Context> = contexts.iter().collect();
        random.shuffle(&mut order);
        let count = options.contexts.max(1);
        let more = (count..MESSAGES_MIN).map(|_| &contexts[random.index(contexts.len())]);
        order.extend(more);
        let mut text = String::new();
        for context in order {
            text.clear();
            let message = context.write_message(&mut text, options.values, &mut random);
            block.push(&text, message, options);
        }
        block
    }

    /// How many datagrams it holds; at least one.
    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// The datagrams from an index to the block's end.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        self.datagrams[first..].iter().map(|datagram| &self.bytes[datagram.bytes.clone()])
    }

    pub(super) fn bytes_of(&self, datagram: usize) -> u64 {
        u64::try_from(self.datagrams[datagram].bytes.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn messages_of(&self, datagram: usize) -> &[Message] {
        &self.messages[self.datagrams[datagram].messages.clone()]
    }

    /// Adds a message to the last datagram if it fits there, else to a new one.
    fn push(&mut self, text: &str, message: Message, options: &LoadOptions) {
        let messages_max = usize::try_from(options.messages.max(1)).unwrap_or(usize::MAX);
        match self.datagrams.last_mut() {
            Some(last)
                if last.messages.len() < messages_max
                    && last.bytes.len() + 1 + text.len() <= options.datagram_bytes =>
            {
                self.bytes.push(b'\n');
                self.bytes.extend_from_slice(text.as_bytes());
                last.bytes.end = self.bytes.len();
                last.messages.end += 1;
            }
            _ => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(text.as_bytes());
                let first = self.messages.len();
                let bytes = start..self.bytes.len();
                self.datagrams.push(Datagram { bytes, messages: first..first + 1 });
            }
        }
        self.messages.push(message);
    }
}

struct Context {
    kind: Kind,
    name: String,
    /// `|#a,b`, or empty.
    tags: String,
}

/// Draws the contexts from the seed alone, so that all senders have the same.
fn contexts(options: &LoadOptions) -> Vec<Context> {
    let mut random = Random(options.seed);
    let context = |number: u32| {
        let kind = options.mix.draw(&mut random);
        // Without tags only the name can tell contexts apart.
        let name = if options.tags == 0 { number } else { number % NAMES_MAX };
        let mut tags = String::new();
        for tag in 0..options.tags {
            let written = match tag {
                0 => write!(tags, "|#context:{number}"),
                _ => write!(tags, ",tag{tag}:value{}", (number / tag) % 10),
            };
            debug_assert!(written.is_ok(), "a string takes all");
        }
        Context { kind, name: format!("load.{}.metric{name}", kind.word()), tags }
    };
    (0..options.contexts.max(1)).map(context).collect()
}

impl Context {
    fn write_message(&self, text: &mut String, values: u32, random: &mut Random) -> Message {
        let Self { kind, name, tags } = self;
        // The members of a set can't be packed.
        let samples = if *kind == Kind::Set { 1 } else { values.max(1) };
        text.push_str(name);
        let mut sum = 0;
        for _ in 0..samples {
            let value = match kind {
                Kind::Count => 1 + random.below(10),
                Kind::Set => random.below(100),
                Kind::Gauge | Kind::Histogram | Kind::Timing | Kind::Distribution => {
                    1 + random.below(1_000)
                }
            };
            let written = write!(text, ":{value}");
            debug_assert!(written.is_ok(), "a string takes all");
            sum += u64::from(value);
        }
        text.push('|');
        text.push_str(kind.symbol());
        text.push_str(tags);
        Message { kind: *kind, samples, sum }
    }
}

/// SplitMix64: small, seeded, good enough to choose load.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound above 0; of the upper half of the bits, without a division.
    pub fn below(&mut self, bound: u32) -> u32 {
        let product = (self.next() >> 32) * u64::from(bound);
        u32::try_from(product >> 32).unwrap_or(0)
    }

    /// A place among so many.
    pub fn index(&mut self, length: usize) -> usize {
        let bound = u32::try_from(length).unwrap_or(u32::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    /// Puts the items into a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}
