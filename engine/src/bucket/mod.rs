//! The aggregates of one slot.

pub mod sample;

pub mod counter;
pub mod gauge;
pub mod histogram;
pub mod set;
pub mod value;

pub use counter::Counter;
pub use gauge::Gauge;
pub use histogram::{BadEntry, Histogram, HistogramSettings, Suffix};
pub use sample::{Refusal, Sample, SampleKind};
pub use set::Set;
pub use value::{TypeConflict, Value};
