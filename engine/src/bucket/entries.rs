//! A bucket: one entry for each context that was sampled in the slot, in the order of first
//! samples.
//!
//! The entry of a context in the bucket that arrivals go to is found by the *place* that the context
//! remembers, without a search; the entry there says whether it is that context's. All other buckets
//! (an older one that is still open, one for samples with a time of their own) are reached by an index
//! that is made when it is first needed.

use super::{Aggregates, Pieces};
use crate::context::{ContextId, Place, prefetch};
use hashbrown::HashTable;

/// The aggregates of one context in one slot.
#[derive(Debug, Default)]
pub struct Entry {
    /// The context, by its number in the worker.
    pub context: ContextId,
    /// Samples added to it; stays at the largest number that there is.
    pub samples: u32,
    /// What they came to.
    pub aggregates: Aggregates,
}

impl Entry {
    /// Counts samples that were added.
    #[inline]
    pub(crate) fn count_samples(&mut self, samples: u64) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.samples = self.samples.saturating_add(samples);
    }
}

/// The aggregates of one slot in one worker.
#[derive(Debug, Default)]
pub struct Bucket {
    start_s: u64,
    entries: Pieces,
    /// Context to position; only once somebody asked for an entry without knowing its place.
    index: Option<HashTable<u32>>,
    samples: u64,
    holds: Holds,
}

/// Whether a bucket counts as one where counters could have been sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Holds {
    #[default]
    DistributionsOnly,
    Series,
}

impl Bucket {
    /// A bucket for a slot, whose first entries use the memory of an emptied piece.
    pub(crate) fn open(start_s: u64, spare: Option<Vec<Entry>>) -> Self {
        let entries = spare.map_or_else(Pieces::default, Pieces::reusing);
        Self { start_s, entries, ..Self::default() }
    }

    /// Start of its slot: seconds since 1970.
    #[must_use]
    pub fn start_s(&self) -> u64 {
        self.start_s
    }

    /// Samples aggregated in it.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// True if anything but distributions was offered to it.
    #[must_use]
    pub fn has_series(&self) -> bool {
        self.holds == Holds::Series
    }

    /// The entries, in the order of first samples.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of a context, made if there is none, in the bucket that arrivals go to.
    #[inline]
    pub(crate) fn entry(&mut self, id: ContextId, place: &mut Place) -> &mut Entry {
        if self.entries.get(place.0).is_none_or(|entry| entry.context != id) {
            place.0 = self.find_or_add(id);
        }
        self.at(place.0)
    }

    /// Has the entry at a place brought into the cache.
    #[inline]
    pub(crate) fn fetch(&self, place: Place) {
        if let Some(entry) = self.entries.get(place.0) {
            prefetch(std::ptr::from_ref(entry));
        }
    }

    /// The entry of a context, made if there is none, in any other bucket.
    pub(crate) fn side_entry(&mut self, id: ContextId) -> &mut Entry {
        if self.index.is_none() {
            let mut index = HashTable::with_capacity(self.entries.len() as usize);
            for (position, entry) in (0..).zip(self.entries.iter()) {
                index.insert_unique(index_hash(entry.context), position, |&position| {
                    index_hash(self.entries.get(position).map_or(0, |e| e.context))
                });
            }
            self.index = Some(index);
        }
        let position = self.find_or_add(id);
        self.at(position)
    }

    /// Counts samples that were added to one of the entries.
    #[inline]
    pub(crate) fn count_samples(&mut self, samples: u64) {
        self.samples += samples;
    }

    /// Notes that a sample of another type than distribution was offered.
    #[inline]
    pub(crate) fn note_series(&mut self) {
        self.holds = Holds::Series;
    }

    /// Replaces every entry's context number; one for which there is none gets the largest, which
    /// nobody bears.
    pub(crate) fn rename(&mut self, number: impl Fn(ContextId) -> Option<ContextId>) {
        self.index = None;
        for entry in self.entries.iter_mut() {
            entry.context = number(entry.context).unwrap_or(ContextId::MAX);
        }
    }

    /// The entries, for the merge.
    pub(crate) fn into_entries(self) -> Pieces {
        self.entries
    }

    fn find_or_add(&mut self, id: ContextId) -> u32 {
        let Self { entries, index, .. } = self;
        if let Some(index) = index {
            let context = |position: u32| entries.get(position).map(|e| e.context);
            let found = index.find(index_hash(id), |&position| context(position) == Some(id));
            if let Some(&position) = found {
                return position;
            }
            index.insert_unique(index_hash(id), entries.len(), |&position| {
                index_hash(context(position).unwrap_or_default())
            });
        }
        entries.push(Entry { context: id, ..Entry::default() })
    }

    #[inline]
    fn at(&mut self, position: u32) -> &mut Entry {
        self.entries.at(position)
    }
}

/// Spreads a context number over the index: numbers are dense, so a multiplication will do.
fn index_hash(id: ContextId) -> u64 {
    u64::from(id).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

// There is one for each context in each slot that is open or ships.
const _: () = assert!(size_of::<Entry>() == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_the_index_lead_to_the_same_entry() {
        let mut bucket = Bucket::open(1000, None);
        let mut places = [Place::default(); 100];
        for (id, place) in (0..).zip(&mut places) {
            bucket.entry(id, place).samples = 1;
        }
        for (id, place) in (0..).zip(&mut places) {
            assert_eq!(bucket.side_entry(id).samples, 1);
            assert_eq!(bucket.entry(id, place).context, id);
        }
        bucket.side_entry(100).samples = 2;
        let mut unknown = Place::default();
        assert_eq!(bucket.entry(100, &mut unknown).samples, 2);
        assert_eq!(bucket.entries().count(), 101);
    }

    /// Whichever context has its entry at the same position there.
    #[test]
    fn a_place_in_one_bucket_leads_to_nobody_elses_entry_in_the_next() {
        let mut places = [Place::default(); 10];
        for order in [[3, 1, 7, 9], [1, 3, 9, 8], [9, 2, 1, 3]] {
            let mut bucket = Bucket::open(1000, None);
            for id in order.into_iter().chain(order) {
                let entry = bucket.entry(id, &mut places[id as usize]);
                assert_eq!(entry.context, id);
                entry.samples += 1;
            }
            assert!(
                bucket
                    .entries()
                    .map(|entry| (entry.context, entry.samples))
                    .eq(order.map(|id| (id, 2)))
            );
        }
    }
}
