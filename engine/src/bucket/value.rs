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
use crate::time::Stamp;

/// The value of one context in one slot, and when the sample arrived that it was made for. Small: the
/// large kinds stand behind a pointer.
#[derive(Clone, Debug)]
pub enum Value {
    /// Sum of scaled values.
    Counter(Counter, Stamp),
    /// Last value, and how long before it the first one had arrived.
    Gauge(Gauge, Lead),
    /// Distinct members.
    Set(Box<Set>, Stamp),
    /// Values with weights; timings too.
    Histogram(Box<Histogram>, Stamp),
}

/// Nanoseconds, up to three days, in six bytes: they fit between a value's tag and a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lead([u8; 6]);

impl Lead {
    const NS_MAX: u64 = (1 << 48) - 1;

    #[inline]
    fn of(ns: u64) -> Self {
        let [a, b, c, d, e, f, ..] = ns.min(Self::NS_MAX).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    #[inline]
    fn ns(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

/// Two workers hold values of different types for one context and slot: what the second holds can't
/// be merged and is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeConflict;

impl Value {
    /// Makes an empty value for the type that came first, in a sample that arrived at `first`.
    #[must_use]
    pub fn new(kind: SampleKind, first: Stamp) -> Self {
        match kind {
            SampleKind::Counter => Self::Counter(Counter::default(), first),
            SampleKind::Gauge => Self::Gauge(Gauge::since(first), Lead::default()),
            SampleKind::Set => Self::Set(Box::default(), first),
            SampleKind::Histogram | SampleKind::Timing => Self::Histogram(Box::default(), first),
        }
    }

    /// Arrival of the sample that it was made for: of two workers' values the older one decides the
    /// type. A gauge's is three days before its last value's at most.
    #[must_use]
    pub fn first(&self) -> Stamp {
        match self {
            Self::Counter(_, first) | Self::Set(_, first) | Self::Histogram(_, first) => *first,
            Self::Gauge(gauge, lead) => {
                Stamp::from_ns(gauge.stamp().ns().saturating_sub(lead.ns()))
            }
        }
    }

    /// Adds a sample of any type.
    ///
    /// # Errors
    ///
    /// The reason why the sample does not count; the value is as it was.
    #[inline(always)]
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), Refusal> {
        debug_assert!(sample.value.is_finite());
        debug_assert!(sample.kind == SampleKind::Set || sample.member.is_empty());
        match self {
            Self::Counter(counter, _) => counter.add(sample.value, sample.rate),
            Self::Gauge(gauge, lead) => {
                let before = gauge.stamp();
                gauge.add(sample.value, sample.stamp);
                *lead = Lead::of(lead.ns() + (gauge.stamp().ns() - before.ns()));
                Ok(())
            }
            Self::Set(set, _) => set.add(sample.member),
            Self::Histogram(histogram, _) => add_to_histogram(histogram, sample),
        }
    }

    /// Adds another worker's value of the same type, which may be the older one; gives how many members
    /// of a set were refused for lack of room.
    ///
    /// # Errors
    ///
    /// [`TypeConflict`] if the types differ; this value is as it was.
    pub fn merge(&mut self, other: &Self) -> Result<usize, TypeConflict> {
        let older = self.first().min(other.first());
        match (self, other) {
            (Self::Counter(own, first), Self::Counter(other, _)) => {
                own.merge(*other);
                *first = older;
            }
            (Self::Gauge(own, lead), Self::Gauge(other, _)) => {
                own.merge(*other);
                *lead = Lead::of(own.stamp().ns() - older.ns());
            }
            (Self::Set(own, first), Self::Set(other, _)) => {
                *first = older;
                return Ok(own.merge(other));
            }
            (Self::Histogram(own, first), Self::Histogram(other, _)) => {
                own.merge(other);
                *first = older;
            }
            _ => return Err(TypeConflict),
        }
        Ok(0)
    }
}

/// Not in line with the others, which are short and come by the million.
#[inline(never)]
fn add_to_histogram(histogram: &mut Histogram, sample: &Sample<'_>) -> Result<(), Refusal> {
    histogram.add(sample.value, sample.rate)?;
    if sample.kind == SampleKind::Timing {
        histogram.mark_timing();
    }
    Ok(())
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
        let mut value = Value::new(first, STAMP);
        value.add(&sample(first, 5.0)).unwrap();
        value.add(&sample(second, 7.0)).unwrap();
        match value {
            Value::Counter(counter, _) => counter.per_second() * 10.0,
            Value::Gauge(gauge, _) => gauge.value(),
            Value::Set(set, _) => set.len() as f64,
            Value::Histogram(mut histogram, _) => {
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
            let mut value = Value::new(first, STAMP);
            value.add(&sample(first, 1.0)).unwrap();
            value.add(&sample(second, 3.0)).unwrap();
            let Value::Histogram(histogram, _) = value else { panic!("a histogram") };
            assert_eq!(histogram.unit(), unit);
        }
    }

    #[test]
    fn only_values_of_one_type_merge() {
        for one in KINDS {
            for two in KINDS {
                let mut value = Value::new(one, STAMP);
                value.add(&sample(one, 1.0)).unwrap();
                let merged = value.merge(&Value::new(two, STAMP));
                let same = std::mem::discriminant(&value)
                    == std::mem::discriminant(&Value::new(two, STAMP));
                assert_eq!(merged, if same { Ok(0) } else { Err(TypeConflict) });
            }
        }
    }

    /// Whatever comes later, in whatever order it is called, and over two workers.
    #[test]
    fn the_first_arrival_is_kept() {
        for kind in KINDS {
            let [first, later, latest] = [0, 1, 9_999_999_999].map(|ns| STAMP.ns() + ns);
            let at = |ns| Sample { stamp: Stamp::from_ns(ns), ..sample(kind, 1.0) };
            let mut value = Value::new(kind, at(later).stamp);
            for ns in [later, latest, later] {
                value.add(&at(ns)).unwrap();
                assert_eq!(value.first().ns(), later);
            }
            for mut other in [Value::new(kind, at(first).stamp), Value::new(kind, at(latest).stamp)]
            {
                let older = other.first().min(value.first());
                other.merge(&value).unwrap();
                assert_eq!(other.first(), older);
            }
        }
    }

    #[test]
    fn a_gauge_forgets_what_came_more_than_three_days_before() {
        let most = (1_u64 << 48) - 1;
        for (lead, kept) in
            [(most - 1, most - 1), (most, most), (most + 1, most), (u64::MAX / 2, most)]
        {
            let mut value = Value::new(SampleKind::Gauge, Stamp::from_ns(1));
            value
                .add(&Sample { stamp: Stamp::from_ns(1 + lead), ..sample(SampleKind::Gauge, 1.0) })
                .unwrap();
            assert_eq!(value.first().ns(), 1 + lead - kept);
        }
    }

    #[test]
    fn a_value_is_small() {
        assert!(size_of::<Value>() <= 24);
    }
}
