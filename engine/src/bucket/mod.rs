//! The aggregates of one slot in one worker, dense by context.

mod entries;

pub use entries::{Bucket, Entry};
