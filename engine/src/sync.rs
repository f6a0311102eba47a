//! The only file that names atomics and thread parking: the standard library's, or the model
//! checker's under `--cfg lastdrop_loom`, so that the very code that ships is what gets checked.

#[cfg(lastdrop_loom)]
pub(crate) use loom::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
#[cfg(not(lastdrop_loom))]
pub(crate) use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

/// A value alone on its cache lines, so that two threads that write neighbours don't slow each
/// other down. 128 bytes: adjacent lines are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
