//! What a bucket holds for one context: a value, a sketch, both or nothing yet.
//!
//! A context is nearly always sampled as one of the two in a slot. One that is sampled as both has
//! them behind a pointer, so that every other takes no room for a second one.

use super::{Sample, Value};
use crate::ledger::Refusal;
use crate::sketch::{Sketch, Taken};
use std::mem;

/// The value of one context in one slot, and its sketch.
#[derive(Debug, Default)]
pub enum Aggregates {
    /// No sample came yet, or only such as are not finite.
    #[default]
    Nothing,
    /// All types but distributions; empty if its samples were refused.
    Value(Value),
    /// Distributions; empty likewise.
    Sketch(Box<Sketch>),
    /// Both.
    Both(Box<(Value, Box<Sketch>)>),
}

impl Aggregates {
    /// What there is of a value and a sketch.
    pub(crate) fn of(value: Option<Value>, sketch: Option<Box<Sketch>>) -> Self {
        match (value, sketch) {
            (None, None) => Self::Nothing,
            (Some(value), None) => Self::Value(value),
            (None, Some(sketch)) => Self::Sketch(sketch),
            (Some(value), Some(sketch)) => Self::Both(Box::new((value, sketch))),
        }
    }

    /// The value and the sketch.
    #[inline]
    pub(crate) fn into_parts(self) -> (Option<Value>, Option<Box<Sketch>>) {
        match self {
            Self::Nothing => (None, None),
            Self::Value(value) => (Some(value), None),
            Self::Sketch(sketch) => (None, Some(sketch)),
            Self::Both(both) => (Some(both.0), Some(both.1)),
        }
    }

    /// The value, if there is one.
    #[inline]
    fn value(&mut self) -> Option<&mut Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Both(both) => Some(&mut both.0),
            Self::Nothing | Self::Sketch(_) => None,
        }
    }

    /// The sketch, if there is one.
    #[inline]
    fn sketch(&mut self) -> Option<&mut Sketch> {
        match self {
            Self::Sketch(sketch) => Some(sketch),
            Self::Both(both) => Some(&mut both.1),
            Self::Nothing | Self::Value(_) => None,
        }
    }

    /// Adds a finite sample of any type but distribution.
    ///
    /// # Errors
    ///
    /// As [`Value::add`]; an empty value stays if there was none.
    #[inline]
    pub(crate) fn add(&mut self, sample: &Sample<'_>) -> Result<(), Refusal> {
        let value = match self {
            Self::Value(value) => value,
            Self::Both(both) => &mut both.0,
            none => none.begin_value(sample),
        };
        value.add(sample)
    }

    /// Puts an empty value where there is none, for a sample that came first.
    #[inline(never)]
    fn begin_value(&mut self, sample: &Sample<'_>) -> &mut Value {
        let value = Value::new(sample.kind, sample.stamp);
        let (_, sketch) = mem::take(self).into_parts();
        *self = Self::of(Some(value), sketch);
        self.value().unwrap_or_else(|| unreachable!("put there above"))
    }

    /// Inserts a finite value that was sampled at `rate` into the sketch, which is made if there is
    /// none.
    #[inline]
    pub(crate) fn insert(&mut self, value: f64, rate: f64) -> Taken {
        match self.sketch() {
            Some(sketch) => sketch.insert(value, rate),
            None => self.begin_sketch(value, rate),
        }
    }

    #[inline(never)]
    fn begin_sketch(&mut self, value: f64, rate: f64) -> Taken {
        let mut sketch = Box::<Sketch>::default();
        let taken = sketch.insert(value, rate);
        let (value, _) = mem::take(self).into_parts();
        *self = Self::of(value, Some(sketch));
        taken
    }
}

// A context in a slot is hardly more than this.
const _: () = assert!(size_of::<Aggregates>() == size_of::<Value>());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::SampleKind;
    use crate::time::Stamp;

    /// The counter's sum and the sketch's, as far as there is one.
    fn sums(aggregates: &mut Aggregates) -> (Option<f64>, Option<f64>) {
        let counter = aggregates.value().map(|value| match value {
            Value::Counter(counter, _) => counter.per_second() * 10.0,
            other => panic!("{other:?}"),
        });
        (counter, aggregates.sketch().map(|sketch| sketch.summary().sum))
    }

    fn counted(value: f64) -> Sample<'static> {
        let stamp = Stamp::from_s(1000);
        Sample { kind: SampleKind::Counter, value, member: b"", rate: 1.0, stamp }
    }

    #[test]
    fn a_value_and_a_sketch_stand_together_whichever_came_first() {
        for value_first in [true, false] {
            let mut aggregates = Aggregates::default();
            assert_eq!(sums(&mut aggregates), (None, None));
            for is_value in [value_first, !value_first] {
                if is_value {
                    assert_eq!(aggregates.add(&counted(2.0)), Ok(()));
                } else {
                    assert_eq!(aggregates.insert(3.0, 1.0), Taken::Whole);
                }
            }
            assert_eq!(aggregates.insert(3.0, 1.0), Taken::Whole);
            assert_eq!(sums(&mut aggregates), (Some(2.0), Some(6.0)));
            let (value, sketch) = aggregates.into_parts();
            assert_eq!(sums(&mut Aggregates::of(value, sketch)), (Some(2.0), Some(6.0)));
        }
    }

    #[test]
    fn the_first_sample_decides_the_type_even_if_it_is_refused() {
        let first = Stamp::from_s(1000);
        let kind = SampleKind::Counter;
        let sample = Sample { kind, value: 1.0, member: b"", rate: 0.0, stamp: first };
        let gauge = Sample { kind: SampleKind::Gauge, stamp: Stamp::from_s(1001), ..sample };
        for is_sketched in [false, true] {
            let mut aggregates = Aggregates::default();
            if is_sketched {
                assert_eq!(aggregates.insert(1.0, 1.0), Taken::Whole);
            }
            assert_eq!(aggregates.add(&sample), Err(Refusal::BadRate));
            assert_eq!(aggregates.add(&Sample { rate: 0.5, ..gauge }), Ok(()));
            let (value, sketch) = aggregates.into_parts();
            assert_eq!(sketch.is_some(), is_sketched);
            let Some(Value::Counter(counter, _)) = value else { panic!("{value:?}") };
            assert_eq!(counter.per_second(), 0.2);
        }
    }
}
