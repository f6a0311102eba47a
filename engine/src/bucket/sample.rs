//! One value on its way into a bucket, and why it may be refused there.

use std::fmt;

use crate::limits::{SET_BYTES_MAX, SET_MEMBERS_MAX};
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

/// Why a value does not count. Nothing but this value is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The sample rate has no usable inverse: 0 for a counter, not a number, or so close to 0 that
    /// the value would become infinite.
    Rate,
    /// With this value the sum would leave the range of a 64-bit float.
    Overflow,
    /// The set has [`SET_MEMBERS_MAX`] members.
    SetMembers,
    /// The set's members have [`SET_BYTES_MAX`] bytes.
    SetBytes,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Overflow, Self::SetMembers, Self::SetBytes];

    /// The name used in the receipt and the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "sample_rate",
            Self::Overflow => "overflow",
            Self::SetMembers => "set_members",
            Self::SetBytes => "set_bytes",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate => write!(f, "unusable sample rate: send one within (0, 1]"),
            Self::Overflow => write!(f, "sum beyond the range of a 64-bit float: send less"),
            Self::SetMembers => write!(f, "set full at {SET_MEMBERS_MAX} members a slot"),
            Self::SetBytes => write!(f, "set full at {SET_BYTES_MAX} bytes of members a slot"),
        }
    }
}

impl std::error::Error for Refusal {}
