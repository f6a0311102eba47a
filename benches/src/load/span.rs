//! A smallest and a largest number, as `2-50`.

use std::fmt;
use std::str::FromStr;

/// A smallest and a largest number, both possible: `min <= max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

impl Span {
    /// A single number.
    #[must_use]
    pub const fn only(number: u32) -> Self {
        Self { min: number, max: number }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        if min == max { write!(f, "{min}") } else { write!(f, "{min}-{max}") }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let (min, max) = (min.trim().parse(), max.trim().parse());
        min.ok()
            .zip(max.ok())
            .map(|(min, max)| Self { min, max })
            .filter(|span| span.min <= span.max && span.max <= 10_000_000)
            .ok_or_else(|| format!("{text:?} is no span: write 3 or 2-50, up to 10000000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_or_two() {
        assert_eq!("3".parse(), Ok(Span::only(3)));
        assert_eq!("2-50".parse(), Ok(Span { min: 2, max: 50 }));
        assert_eq!(Span { min: 2, max: 50 }.to_string(), "2-50");
        for text in ["", "-", "5-2", "a", "1-", "-1", "1-2-3", "0-10000001"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
