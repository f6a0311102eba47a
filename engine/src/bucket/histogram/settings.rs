//! Which series a histogram becomes: parsed once, with every suffix spelled out, so that a flush
//! formats no name.

use std::fmt;

use crate::series::SeriesKind;

/// One series that a histogram becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix {
    /// What follows the metric's name: `.max`, `.95percentile`.
    pub text: String,
    /// [`SeriesKind::Rate`] for `.count`, which bears no unit; [`SeriesKind::Gauge`] for the others.
    pub kind: SeriesKind,
}

/// A figure over all values of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Max,
    Min,
    Median,
    Avg,
    Sum,
    Count,
}

/// The series that histograms become, in the order in which they are emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSettings {
    pub(super) aggregates: Vec<(Aggregate, Suffix)>,
    /// By whole percent, ascending, without duplicates.
    pub(super) percentiles: Vec<(u8, Suffix)>,
}

/// An entry of the configuration that means nothing and is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadEntry {
    /// Not the name of an aggregate.
    Aggregate(String),
    /// Not a number within [0, 1].
    Percentile(String),
}

impl HistogramSettings {
    /// Reads names of aggregates (`histogram_aggregates`) and parts of 1 (`histogram_percentiles`,
    /// rounded to whole percents); repeated entries count once.
    ///
    /// Entries that mean nothing are skipped and handed back, for a warning.
    pub fn parse<S: AsRef<str>>(aggregates: &[S], percentiles: &[S]) -> (Self, Vec<BadEntry>) {
        let mut settings = Self { aggregates: Vec::new(), percentiles: Vec::new() };
        let mut bad = Vec::new();
        for name in aggregates.iter().map(AsRef::as_ref) {
            match Aggregate::named(name) {
                Some(aggregate) => settings.add_aggregate(aggregate, name),
                None => bad.push(BadEntry::Aggregate(name.to_owned())),
            }
        }
        for part in percentiles.iter().map(AsRef::as_ref) {
            match percent(part) {
                Some(percent) => settings.add_percentile(percent),
                None => bad.push(BadEntry::Percentile(part.to_owned())),
            }
        }
        settings.percentiles.sort_by_key(|&(percent, _)| percent);
        (settings, bad)
    }

    /// Gives the series in the order in which [`super::Histogram::emit`] gives their values.
    pub fn suffixes(&self) -> impl Iterator<Item = &Suffix> {
        let percentiles = self.percentiles.iter().map(|(_, suffix)| suffix);
        self.aggregates.iter().map(|(_, suffix)| suffix).chain(percentiles)
    }

    fn add_aggregate(&mut self, aggregate: Aggregate, name: &str) {
        if self.aggregates.iter().all(|&(known, _)| known != aggregate) {
            let kind = match aggregate {
                Aggregate::Count => SeriesKind::Rate,
                _ => SeriesKind::Gauge,
            };
            self.aggregates.push((aggregate, Suffix { text: format!(".{name}"), kind }));
        }
    }

    fn add_percentile(&mut self, percent: u8) {
        if self.percentiles.iter().all(|&(known, _)| known != percent) {
            let text = format!(".{percent}percentile");
            self.percentiles.push((percent, Suffix { text, kind: SeriesKind::Gauge }));
        }
    }
}

impl Default for HistogramSettings {
    /// `max`, `median`, `avg`, `count` and the 95th percentile: the reference agent's.
    fn default() -> Self {
        Self::parse(&["max", "median", "avg", "count"], &["0.95"]).0
    }
}

impl Aggregate {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "max" => Self::Max,
            "min" => Self::Min,
            "median" => Self::Median,
            "avg" => Self::Avg,
            "sum" => Self::Sum,
            "count" => Self::Count,
            _ => return None,
        })
    }
}

/// Reads a part of 1 as whole percents; half a percent rounds up.
fn percent(part: &str) -> Option<u8> {
    let part = part.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part))?;
    #[expect(clippy::cast_possible_truncation, reason = "within 0..=100, and the fraction goes")]
    Some((part * 100.0 + 0.5) as u8)
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(name) => write!(
                f,
                "histogram_aggregates: `{name}` is skipped: use max, min, median, avg, sum or count"
            ),
            Self::Percentile(part) => write!(
                f,
                "histogram_percentiles: `{part}` is skipped: use a number from 0 to 1, as 0.95"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes(settings: &HistogramSettings) -> Vec<&str> {
        settings.suffixes().map(|suffix| suffix.text.as_str()).collect()
    }

    #[test]
    fn percentiles_are_rounded_to_whole_percents_sorted_and_single() {
        let (settings, bad) =
            HistogramSettings::parse(&[], &["0.999", "0.29", "0", "0.95", "0.951", "1"]);
        let percents = [".0percentile", ".29percentile", ".95percentile", ".100percentile"];
        assert_eq!(suffixes(&settings), percents);
        assert!(bad.is_empty());
    }

    #[test]
    fn entries_that_mean_nothing_are_skipped_and_told() {
        let (settings, bad) = HistogramSettings::parse(&["min", "invalid", "min", "sum"], &[]);
        assert_eq!(suffixes(&settings), [".min", ".sum"]);
        assert_eq!(bad, [BadEntry::Aggregate("invalid".into())]);

        for part in ["x", "1.5", "-0.1", "0.12test", "nan", ""] {
            let (settings, bad) = HistogramSettings::parse(&[], &[part, "0.5"]);
            assert_eq!(suffixes(&settings), [".50percentile"]);
            assert_eq!(bad, [BadEntry::Percentile(part.into())]);
            assert!(bad[0].to_string().contains(&format!("`{part}`")));
        }
    }

    #[test]
    fn only_the_count_is_a_rate() {
        let settings = HistogramSettings::default();
        assert_eq!(suffixes(&settings), [".max", ".median", ".avg", ".count", ".95percentile"]);
        for suffix in settings.suffixes() {
            assert_eq!(suffix.kind == SeriesKind::Rate, suffix.text == ".count");
        }
    }
}
