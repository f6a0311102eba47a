//! The only file that names atomics and thread parking: the standard library's, or the model
//! checker's under `--cfg lastdrop_loom`, so that the very code that ships is what gets checked.

/// Also under the checker: its own counting publishes nothing that anything here relies on.
pub(crate) use std::sync::Arc;

/// Likewise; one that stands in memory of other kinds of data.
pub(crate) use std::sync::atomic::AtomicU32;

#[cfg(lastdrop_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
#[cfg(not(lastdrop_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// A value alone on its cache lines, so that two threads that write neighbours don't slow each
/// other down. 128 bytes: adjacent lines are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// Whether the model check has planted the mistake of that name, to see itself catch it.
#[cfg(not(lastdrop_loom))]
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// Whether the model check has planted the mistake of that name, to see itself catch it.
#[cfg(lastdrop_loom)]
pub(crate) fn mutant(name: &str) -> bool {
    use std::sync::LazyLock;
    static PLANTED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("LASTDROP_MUTANT").ok());
    PLANTED.as_deref() == Some(name)
}

/// The ordering, unless the model check weakens it.
#[inline(always)]
pub(crate) fn unless_mutant(name: &str, ordering: Ordering) -> Ordering {
    if mutant(name) { Ordering::Relaxed } else { ordering }
}
