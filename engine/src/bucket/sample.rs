//! One value on its way into a bucket.

use crate::time::Stamp;

/// Types whose values share one place a context and slot. Distributions stand apart: they are
/// [sketches](crate::sketch::Sketch) of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// `c`
    Counter,
    /// `g`
    Gauge,
    /// `s`
    Set,
    /// `h`
    Histogram,
    /// `ms`: a histogram of milliseconds.
    Timing,
}

/// One value of a metric message.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its type.
    pub kind: SampleKind,
    /// The value; finite. 0 for a set.
    pub value: f64,
    /// The member of a set; empty for every other type.
    pub member: &'a [u8],
    /// The rate it was sampled at, any number.
    pub rate: f64,
    /// When it arrived.
    pub stamp: Stamp,
}
