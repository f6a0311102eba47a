//! The entries that several workers have of one slot, each context once.

use super::contexts::MergedId;
use crate::bucket::{Bucket, Entry};
use crate::ledger::MergeCounts;

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) list: Vec<Entry>,
    /// Position in `list` plus one, by context; 0 is none.
    positions: Vec<u32>,
}

impl Entries {
    /// Adds a worker's bucket; of two entries of one context the older decides the type.
    pub(super) fn add(
        &mut self,
        bucket: &mut Bucket,
        contexts: MergedId,
        counts: &mut MergeCounts,
    ) {
        self.positions.resize(contexts as usize, 0);
        for entry in bucket.drain() {
            let Some(position) = self.positions.get_mut(entry.context as usize) else { continue };
            match self.list.get_mut((*position).wrapping_sub(1) as usize) {
                Some(known) => join(known, entry, counts),
                None => {
                    self.list.push(entry);
                    *position = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
                }
            }
        }
    }

    pub(super) fn holds(&self, id: MergedId) -> bool {
        self.positions.get(id as usize).is_some_and(|position| *position > 0)
    }
}

/// Joins two workers' entries of one context and slot.
fn join(known: &mut Entry, mut other: Entry, counts: &mut MergeCounts) {
    known.seen = known.seen.max(other.seen);
    known.samples = known.samples.saturating_add(other.samples);
    if owns_type(&other, known) {
        std::mem::swap(&mut known.value, &mut other.value);
        std::mem::swap(&mut known.first, &mut other.first);
    }
    if let (Some(value), Some(theirs)) = (&mut known.value, other.value) {
        known.first = known.first.min(other.first);
        match value.merge(&theirs) {
            Ok(refused) => counts.set_limit += refused as u64,
            Err(_) => counts.type_conflict += 1,
        }
    }
    match (&mut known.sketch, other.sketch) {
        (_, None) => {}
        (sketch @ None, other) => *sketch = other,
        (Some(sketch), Some(mut other)) => sketch.merge(&mut other),
    }
}

/// Whether the type of `other` decides, because its value came first.
fn owns_type(other: &Entry, known: &Entry) -> bool {
    match (&other.value, &known.value) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(theirs), Some(ours)) => {
            let differ = std::mem::discriminant(theirs) != std::mem::discriminant(ours);
            differ && other.first < known.first
        }
    }
}
