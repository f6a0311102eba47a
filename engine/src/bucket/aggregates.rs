//! What a bucket holds for one context: a value, a sketch, both or nothing yet.
//!
//! A context is nearly always sampled as one of the two in a slot. One that is sampled as both has
//! them behind a pointer, so that every other takes no room for a second one.

use super::{SampleKind, Value};
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

    /// Puts an empty value where there is none.
    #[inline(never)]
    pub(crate) fn begin_value(&mut self, kind: SampleKind) -> &mut Value {
        let value = Value::new(kind);
        match self {
            Self::Nothing => *self = Self::Value(value),
            _ => *self = Self::of(Some(value), mem::take(self).into_parts().1),
        }
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

    /// The counter's sum and the sketch's, as far as there is one.
    fn sums(aggregates: &mut Aggregates) -> (Option<f64>, Option<f64>) {
        let counter = aggregates.value().map(|value| match value {
            Value::Counter(counter) => counter.per_second() * 10.0,
            other => panic!("{other:?}"),
        });
        (counter, aggregates.sketch().map(|sketch| sketch.summary().sum))
    }

    fn count(aggregates: &mut Aggregates, value: f64) {
        match aggregates.begin_value(SampleKind::Counter) {
            Value::Counter(counter) => counter.add(value, 1.0).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_and_a_sketch_stand_together_whichever_came_first() {
        for value_first in [true, false] {
            let mut aggregates = Aggregates::default();
            assert_eq!(sums(&mut aggregates), (None, None));
            for is_value in [value_first, !value_first] {
                if is_value {
                    count(&mut aggregates, 2.0);
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
}
