//! An epoch: the count of records that a stage has finished. One writer, many observers.
//!
//! # What is proved, and why an empty ring is not enough
//!
//! `rtrb` can say that a ring is empty. It can't say that the last record popped has been
//! aggregated: between the pop and the addition to the bucket the ring is empty and the bucket
//! incomplete. So each stage counts what it has *finished*:
//!
//! ```text
//!  receiver                     worker                                    supervisor, shipper
//!  ────────                     ──────                                    ───────────────────
//!  commit n records (ring)
//!  push Seal: record n+1
//!  return LaneSeal { n + 1 } ─────────────── by value ──────────────────▶ knows: sealed = n + 1
//!                               pop, aggregate  (program order)
//!                               at Seal: push every open bucket,
//!                                 then `Sealed`, into the bucket ring
//!                               advance(): store n + 1, Release   (A) ──▶ observe(): Acquire  (B)
//!                                                                         applied >= sealed: Drained
//!                                                                         pop the bucket ring: finds
//!                                                                         every bucket
//! ```
//!
//! If (B) reads the value that (A) stored, or a later one of the same writer, everything the worker
//! did before (A) happens before everything the observer does after (B): each aggregation and each
//! push into the bucket ring. The sealed epoch is the *last* record the producer can ever commit,
//! because sealing consumes the producer; so `applied >= sealed` says that no record is left
//! anywhere between the two. Counting records and not looking at the ring means that there is no
//! second variable whose order of reading could matter.
//!
//! The writer only ever grows its epoch, and only *after* the effect of the batch. An observer may
//! read an old value: it then waits longer, never too short.

use crate::sync::{Arc, AtomicU64, Ordering, Padded, unless_mutant};

/// The bit that says that the writer is gone; epochs stay far below it.
const GONE: u64 = 1 << 63;

/// Makes an epoch that stands at 0.
#[must_use]
pub fn epoch() -> (EpochWriter, EpochReader) {
    let shared = Arc::new(Padded(AtomicU64::new(0)));
    (EpochWriter { shared: shared.clone(), current: 0 }, EpochReader { shared })
}

/// The one writer of an epoch. Dropping it tells the observers that the epoch won't grow any more.
#[derive(Debug)]
pub struct EpochWriter {
    /// Written only here; `0 <= value < GONE` while the writer lives.
    shared: Arc<Padded<AtomicU64>>,
    /// What was stored last: the writer never loads.
    current: u64,
}

impl EpochWriter {
    /// Publishes that `records` more records are finished. Call it *after* their effect.
    pub fn advance(&mut self, records: u64) {
        self.current += records;
        // Release: pairs with the Acquire in `observe`; publishes the buckets, ring pushes and ledger
        // counters that stand before it in program order.
        self.shared.0.store(self.current, unless_mutant("epoch_publish", Ordering::Release));
    }

    /// Records finished so far.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.current
    }
}

impl Drop for EpochWriter {
    fn drop(&mut self) {
        // Release: as in `advance`; it stands for the epoch that it carries on.
        let release = unless_mutant("epoch_gone", Ordering::Release);
        self.shared.0.store(self.current | GONE, release);
    }
}

/// An observer of an epoch.
#[derive(Clone, Debug)]
pub struct EpochReader {
    shared: Arc<Padded<AtomicU64>>,
}

impl EpochReader {
    /// Reads the epoch. What the writer did before it reached the value that is returned is visible
    /// to the caller.
    #[must_use]
    pub fn observe(&self) -> Observed {
        // Acquire: pairs with the Release in `EpochWriter::advance` and in its `drop`.
        let value = self.shared.0.load(unless_mutant("epoch_observe", Ordering::Acquire));
        let writer = if value & GONE == 0 { Writer::Alive } else { Writer::Gone };
        Observed { epoch: value & !GONE, writer }
    }
}

/// What an observer saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Records that the writer had finished, or more by now.
    pub epoch: u64,
    /// Whether the epoch can still grow.
    pub writer: Writer,
}

/// Whether an epoch's writer still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// It may advance the epoch.
    Alive,
    /// It was dropped, by the end of its thread or by a panic: the epoch is final.
    Gone,
}

#[cfg(all(test, not(lastdrop_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_grows_and_its_end_is_seen() {
        let (mut writer, reader) = epoch();
        assert_eq!(reader.observe(), Observed { epoch: 0, writer: Writer::Alive });
        writer.advance(3);
        writer.advance(2);
        assert_eq!(writer.current(), 5);
        assert_eq!(reader.observe(), Observed { epoch: 5, writer: Writer::Alive });
        drop(writer);
        assert_eq!(reader.observe(), Observed { epoch: 5, writer: Writer::Gone });
    }
}
