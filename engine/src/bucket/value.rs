//! What a bucket holds for one context, whatever its type.
//!
//! A context has one value a slot: name, host and tags identify it, the type doesn't. The type that
//! came first owns the slot, and samples of another type are fed to it as they are:
//!
//! ```text
//!   owner      a sample of another type does
//!   counter    adds its value over its rate; a set's counts as 0
//!   gauge      replaces the value; a set's makes it 0
//!   set        adds the empty member
//!   histogram  adds its value with its weight; a set's counts as 0
//! ```

use super::{Counter, Gauge, Histogram, Sample, SampleKind, Set};
use crate::ledger::Refusal;

/// The value of one context in one slot. Small: the large kinds stand behind a pointer.
#[derive(Clone, Debug)]
pub enum Value {
    /// Sum of scaled values.
    Counter(Counter),
    /// Last value.
    Gauge(Gauge),
    /// Distinct members.
    Set(Box<Set>),
    /// Values with weights; timings too.
    Histogram(Box<Histogram>),
}

/// Two workers hold values of different types for one context and slot: what the second holds can't
/// be merged and is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeConflict;

impl Value {
    /// Makes an empty value for the type that came first.
    #[must_use]
    pub fn new(kind: SampleKind) -> Self {
        match kind {
            SampleKind::Counter => Self::Counter(Counter::default()),
            SampleKind::Gauge => Self::Gauge(Gauge::default()),
            SampleKind::Set => Self::Set(Box::default()),
            SampleKind::Histogram | SampleKind::Timing => Self::Histogram(Box::default()),
        }
    }

    /// Adds a sample of any type.
    ///
    /// # Errors
    ///
    /// The reason why the sample does not count; the value is as it was.
    #[inline]
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), Refusal> {
        debug_assert!(sample.value.is_finite());
        debug_assert!(sample.kind == SampleKind::Set || sample.member.is_empty());
        match self {
            Self::Counter(counter) => counter.add(sample.value, sample.rate),
            Self::Gauge(gauge) => {
                gauge.add(sample.value, sample.stamp);
                Ok(())
            }
            Self::Set(set) => set.add(sample.member),
            Self::Histogram(histogram) => {
                histogram.add(sample.value, sample.rate)?;
                if sample.kind == SampleKind::Timing {
                    histogram.mark_timing();
                }
                Ok(())
            }
        }
    }

    /// Adds another worker's value; gives how many members of a set were refused for lack of room.
    ///
    /// # Errors
    ///
    /// [`TypeConflict`] if the types differ; this value is as it was.
    pub fn merge(&mut self, other: &Self) -> Result<usize, TypeConflict> {
        match (self, other) {
            (Self::Counter(own), Self::Counter(other)) => own.merge(*other),
            (Self::Gauge(own), Self::Gauge(other)) => own.merge(*other),
            (Self::Set(own), Self::Set(other)) => return Ok(own.merge(other)),
            (Self::Histogram(own), Self::Histogram(other)) => own.merge(other),
            _ => return Err(TypeConflict),
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Stamp;

    const KINDS: [SampleKind; 5] = [
        SampleKind::Counter,
        SampleKind::Gauge,
        SampleKind::Set,
        SampleKind::Histogram,
        SampleKind::Timing,
    ];

    fn sample(kind: SampleKind, value: f64) -> Sample<'static> {
        match kind {
            SampleKind::Set => Sample { kind, value: 0.0, member: b"a", rate: 1.0, stamp: STAMP },
            _ => Sample { kind, value, member: b"", rate: 1.0, stamp: STAMP },
        }
    }

    const STAMP: Stamp = Stamp::from_s(1000);

    /// What a slot shows after a sample of each of two types: its number, or a histogram's sum.
    fn shown(first: SampleKind, second: SampleKind) -> f64 {
        let mut value = Value::new(first);
        value.add(&sample(first, 5.0)).unwrap();
        value.add(&sample(second, 7.0)).unwrap();
        match value {
            Value::Counter(counter) => counter.per_second() * 10.0,
            Value::Gauge(gauge) => gauge.value(),
            Value::Set(set) => set.len() as f64,
            Value::Histogram(mut histogram) => {
                let (settings, _) = super::super::HistogramSettings::parse(&["sum"], &[]);
                let mut sum = None;
                histogram.emit(&settings, |_, value| sum = Some(value));
                sum.unwrap()
            }
        }
    }

    #[test]
    fn the_type_that_came_first_takes_samples_of_every_other() {
        let rows = [
            (SampleKind::Counter, [12.0, 12.0, 5.0, 12.0, 12.0]),
            (SampleKind::Gauge, [7.0, 7.0, 0.0, 7.0, 7.0]),
            (SampleKind::Set, [2.0, 2.0, 1.0, 2.0, 2.0]),
            (SampleKind::Histogram, [12.0, 12.0, 5.0, 12.0, 12.0]),
            (SampleKind::Timing, [12.0, 12.0, 5.0, 12.0, 12.0]),
        ];
        for (first, row) in rows {
            for (second, expected) in KINDS.into_iter().zip(row) {
                assert_eq!(shown(first, second), expected, "{first:?}, then {second:?}");
            }
        }
    }

    #[test]
    fn any_timing_makes_a_histogram_one_of_milliseconds() {
        for (first, second, unit) in [
            (SampleKind::Histogram, SampleKind::Histogram, ""),
            (SampleKind::Histogram, SampleKind::Timing, "millisecond"),
            (SampleKind::Timing, SampleKind::Histogram, "millisecond"),
            (SampleKind::Histogram, SampleKind::Gauge, ""),
        ] {
            let mut value = Value::new(first);
            value.add(&sample(first, 1.0)).unwrap();
            value.add(&sample(second, 3.0)).unwrap();
            let Value::Histogram(histogram) = value else { panic!("a histogram") };
            assert_eq!(histogram.unit(), unit);
        }
    }

    #[test]
    fn only_values_of_one_type_merge() {
        for one in KINDS {
            for two in KINDS {
                let mut value = Value::new(one);
                value.add(&sample(one, 1.0)).unwrap();
                let merged = value.merge(&Value::new(two));
                let same = std::mem::discriminant(&Value::new(one))
                    == std::mem::discriminant(&Value::new(two));
                assert_eq!(merged, if same { Ok(0) } else { Err(TypeConflict) });
            }
        }
    }

    #[test]
    fn a_value_is_small() {
        assert!(size_of::<Value>() <= 24);
    }
}
