//! What a replica must keep within, whatever another one did.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::measure::{Measure, rounded};

/// Measured numbers.
pub type Values = BTreeMap<Measure, f64>;

/// The least and the most that measures may be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// The most.
    pub max: BTreeMap<Measure, f64>,
    /// The least.
    pub min: BTreeMap<Measure, f64>,
}

/// A bound that a replica broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    measure: Measure,
    bound: f64,
    is_max: bool,
    /// `None` if it has no such number.
    found: Option<f64>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measure, bound, is_max, found } = self;
        let word = if *is_max { "at most" } else { "at least" };
        match found {
            Some(found) => {
                write!(f, "{measure} is {} and must be {word} {bound}", rounded(*found))
            }
            None => write!(f, "{measure} must be {word} {bound} and was not measured"),
        }
    }
}

impl Bounds {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.max.is_empty() && self.min.is_empty()
    }

    /// The bounds that values break; what was not measured breaks all of its own.
    #[must_use]
    pub fn broken(&self, values: &Values) -> Vec<Broken> {
        let check = |(&measure, &bound): (&Measure, &f64), is_max: bool| {
            let found = values.get(&measure).copied();
            let holds =
                found.is_some_and(|found| if is_max { found <= bound } else { found >= bound });
            (!holds).then_some(Broken { measure, bound, is_max, found })
        };
        let max = self.max.iter().filter_map(|entry| check(entry, true));
        max.chain(self.min.iter().filter_map(|entry| check(entry, false))).collect()
    }
}

/// As `lost ≤ 0, memory_peak_mib ≤ 16.6`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max.iter().map(|(measure, bound)| format!("{measure} ≤ {bound}"));
        let min = self.min.iter().map(|(measure, bound)| format!("{measure} ≥ {bound}"));
        f.write_str(&max.chain(min).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        toml::from_str("max = { lost = 0, memory_peak_mib = 16.6 }\nmin = { messages_per_s = 10 }")
            .unwrap()
    }

    #[test]
    fn what_lies_at_a_bound_keeps_it() {
        let values =
            [(Measure::Lost, 0.0), (Measure::MemoryPeakMib, 16.6), (Measure::MessagesPerS, 10.0)];
        assert_eq!(bounds().broken(&values.into()), []);
    }

    #[test]
    fn every_broken_bound_is_named_with_what_was_found() {
        let values = [(Measure::Lost, 1.0), (Measure::MessagesPerS, 9.0)];
        let broken = bounds().broken(&values.into());
        let texts: Vec<_> = broken.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "memory_peak_mib must be at most 16.6 and was not measured",
                "lost is 1.00 and must be at most 0",
                "messages_per_s is 9.00 and must be at least 10",
            ]
        );
    }

    /// Not a number is within no bound.
    #[test]
    fn nonsense_breaks_every_bound() {
        let values = Measure::ALL.map(|measure| (measure, f64::NAN));
        assert_eq!(bounds().broken(&values.into()).len(), 3);
    }
}
