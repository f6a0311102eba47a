//! The entries that several workers have of one slot, each context once, and their way out.

use super::contexts::MergedId;
use crate::bucket::{Bucket, Entry, Pieces};
use crate::ledger::MergeCounts;
use std::vec;

#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Pieces,
    sampled: Sampled,
}

/// Which contexts there are entries of.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    /// Position of the entry plus one, by context; 0 is none.
    positions: Vec<u32>,
}

/// Entries on their way out, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: vec::IntoIter<Vec<Entry>>,
    /// Those before `next` have left.
    piece: Vec<Entry>,
    next: usize,
}

/// What is next of outgoing entries.
#[derive(Debug)]
pub(super) enum Next {
    Entry(Entry),
    /// All of its entries have left.
    Emptied(Vec<Entry>),
}

impl Entries {
    /// Adds a worker's bucket; of two entries of one context the older decides the type. Gives the
    /// pieces that are empty now.
    pub(super) fn add(
        &mut self,
        bucket: Bucket,
        contexts: MergedId,
        counts: &mut MergeCounts,
    ) -> Vec<Vec<Entry>> {
        let Self { list, sampled: Sampled { positions } } = self;
        positions.resize(contexts as usize, 0);
        let entries = bucket.into_entries();
        if list.len() == 0 {
            for (position, entry) in (1..).zip(entries.iter()) {
                if let Some(known) = positions.get_mut(entry.context as usize) {
                    *known = position;
                }
            }
            *list = entries;
            return Vec::new();
        }
        let mut pieces = entries.into_pieces();
        for entry in pieces.iter_mut().flat_map(|piece| piece.drain(..)) {
            let Some(position) = positions.get_mut(entry.context as usize) else { continue };
            match position.checked_sub(1) {
                Some(known) => join(list.at(known), entry, counts),
                None => *position = list.push(entry) + 1,
            }
        }
        pieces
    }

    /// What leaves, and what is known of it meanwhile.
    pub(super) fn leave(self) -> (Outgoing, Sampled) {
        let pieces = self.list.into_pieces().into_iter();
        (Outgoing { pieces, ..Outgoing::default() }, self.sampled)
    }
}

impl Sampled {
    pub(super) fn holds(&self, id: MergedId) -> bool {
        self.positions.get(id as usize).is_some_and(|position| *position > 0)
    }
}

impl Outgoing {
    /// The next entry, or a piece whose entries have all left.
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(entry) = self.piece.get_mut(self.next) {
            self.next += 1;
            return Some(Next::Entry(std::mem::take(entry)));
        }
        self.next = 0;
        let mut emptied = std::mem::take(&mut self.piece);
        self.piece = self.pieces.next().unwrap_or_default();
        if emptied.capacity() == 0 && self.piece.is_empty() {
            return None;
        }
        emptied.clear();
        Some(Next::Emptied(emptied))
    }
}

/// Joins two workers' entries of one context and slot.
fn join(known: &mut Entry, mut other: Entry, counts: &mut MergeCounts) {
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
