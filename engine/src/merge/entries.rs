//! The entries that several workers have of one slot, each context once, and their way out.

use super::contexts::MergedId;
use crate::bucket::{Aggregates, Bucket, Entry, Pieces, Value};
use crate::ledger::MergeCounts;
use std::vec;

#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Pieces,
    /// Position of the entry plus one, by context; 0 is none. Only once there is a second bucket.
    positions: Vec<u32>,
}

/// Which contexts there are entries of: a bit for each.
#[derive(Debug)]
pub(super) struct Sampled {
    words: Vec<u64>,
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
        let Self { list, positions } = self;
        let entries = bucket.into_entries();
        if list.len() == 0 {
            *list = entries;
            return Vec::new();
        }
        if positions.is_empty() {
            positions.resize(contexts as usize, 0);
            for (position, entry) in (1..).zip(list.iter()) {
                if let Some(known) = positions.get_mut(entry.context as usize) {
                    *known = position;
                }
            }
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

    /// Which contexts there are entries of.
    pub(super) fn sampled(&self, contexts: MergedId) -> Sampled {
        let mut words = vec![0; contexts.div_ceil(u64::BITS) as usize];
        for entry in self.list.iter() {
            let (word, bit) = place(entry.context);
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
        Sampled { words }
    }

    /// What leaves.
    pub(super) fn leave(self) -> Outgoing {
        Outgoing { pieces: self.list.into_pieces().into_iter(), ..Outgoing::default() }
    }
}

impl Sampled {
    pub(super) fn holds(&self, id: MergedId) -> bool {
        let (word, bit) = place(id);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Which word, and which bit of it.
fn place(id: MergedId) -> (usize, u64) {
    ((id / u64::BITS) as usize, 1 << (id % u64::BITS))
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
fn join(known: &mut Entry, other: Entry, counts: &mut MergeCounts) {
    known.samples = known.samples.saturating_add(other.samples);
    let (mut ours, mut sketch) = std::mem::take(&mut known.aggregates).into_parts();
    let (mut theirs, their_sketch) = other.aggregates.into_parts();
    if owns_type(&theirs, &ours) {
        std::mem::swap(&mut ours, &mut theirs);
    }
    if let (Some(value), Some(theirs)) = (&mut ours, theirs) {
        match value.merge(&theirs) {
            Ok(refused) => counts.set_limit += refused as u64,
            Err(_) => counts.type_conflict += 1,
        }
    }
    match (&mut sketch, their_sketch) {
        (_, None) => {}
        (sketch @ None, theirs) => *sketch = theirs,
        (Some(sketch), Some(mut theirs)) => sketch.merge(&mut theirs),
    }
    known.aggregates = Aggregates::of(ours, sketch);
}

/// Whether the type of `other` decides, because its value came first.
fn owns_type(other: &Option<Value>, known: &Option<Value>) -> bool {
    match (other, known) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(theirs), Some(ours)) => {
            let differ = std::mem::discriminant(theirs) != std::mem::discriminant(ours);
            differ && theirs.first() < ours.first()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_context_has_a_bit_of_its_own() {
        for id in [0, 1, 31, 32, 63, 64, 127, 128, 199] {
            let mut list = Pieces::default();
            list.push(Entry { context: id, ..Entry::default() });
            let sampled = Entries { list, ..Entries::default() }.sampled(200);
            assert!((0..300).all(|other| sampled.holds(other) == (other == id)), "{id}");
        }
    }
}
