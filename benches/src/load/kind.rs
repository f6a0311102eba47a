//! The kinds of messages, and their shares in a load.

use std::fmt;
use std::str::FromStr;

use super::Random;

/// What a message can be.
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
    /// `_e`
    Event,
    /// `_sc`
    Check,
}

impl Kind {
    /// All of them, metrics first.
    pub const ALL: [Self; 8] = [
        Self::Count,
        Self::Gauge,
        Self::Set,
        Self::Histogram,
        Self::Timing,
        Self::Distribution,
        Self::Event,
        Self::Check,
    ];

    /// The kind as the protocol writes it.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "c",
            Self::Gauge => "g",
            Self::Set => "s",
            Self::Histogram => "h",
            Self::Timing => "ms",
            Self::Distribution => "d",
            Self::Event => "_e",
            Self::Check => "_sc",
        }
    }

    /// The kind as a word: second part of the metric names, and a key of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Gauge => "gauge",
            Self::Set => "set",
            Self::Histogram => "histogram",
            Self::Timing => "timing",
            Self::Distribution => "distribution",
            Self::Event => "event",
            Self::Check => "check",
        }
    }
}

/// Shares of the kinds, as whole numbers of any sum above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; 8],
}

impl Mix {
    /// Nothing but one kind.
    #[must_use]
    pub fn only(kind: Kind) -> Self {
        Self { weights: Kind::ALL.map(|other| u32::from(other == kind)) }
    }

    pub(super) fn draw(&self, random: &mut Random) -> Kind {
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
        write!(f, "{}: write shares of c, g, s, h, ms, d, _e, _sc as in c=70,g=20,d=10", self.0)
    }
}

impl std::error::Error for MixError {}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = [0_u16; 8];
        for part in text.split(',') {
            let part = part.trim();
            let (symbol, weight) = part.split_once('=').unwrap_or((part, "1"));
            let places = Kind::ALL.iter().zip(&mut weights);
            let place = places.into_iter().find(|(kind, _)| kind.symbol() == symbol);
            let (_, place) = place.ok_or_else(|| MixError(format!("type {symbol:?}")))?;
            *place = weight.parse().map_err(|error| MixError(format!("{part:?}: {error}")))?;
        }
        if weights == [0; 8] {
            return Err(MixError("no share is above 0".to_owned()));
        }
        Ok(Self { weights: weights.map(u32::from) })
    }
}
