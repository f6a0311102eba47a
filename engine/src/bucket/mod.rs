//! The aggregates of one slot in one worker, dense by context.

pub mod sample;

pub mod counter;
pub mod gauge;
pub mod histogram;
pub mod set;
pub mod value;

mod aggregates;
mod entries;
mod pieces;

pub use aggregates::Aggregates;
pub use counter::Counter;
pub use entries::{Bucket, Entry};
pub use gauge::Gauge;
pub use histogram::{BadEntry, Histogram, HistogramSettings, Suffix};
pub use sample::{Sample, SampleKind};
pub use set::Set;
pub use value::{TypeConflict, Value};

pub(crate) use pieces::Pieces;
