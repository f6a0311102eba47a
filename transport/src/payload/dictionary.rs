//! Numbers for byte strings, counted from 1 in the order of their first use.

use ahash::RandomState;
use hashbrown::HashTable;

/// A set of byte strings, which stand one behind the other in one buffer: the column of the message
/// that tells a reader what the numbers stand for.
#[derive(Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each entry ends in `bytes`; it starts where the one before ends.
    ends: Vec<usize>,
    /// Indices into `ends`.
    table: HashTable<usize>,
    hasher: RandomState,
}

impl Dictionary {
    /// The number of the entry that `write` appends; adds it if it is new.
    pub(super) fn number(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> i64 {
        let Self { bytes, ends, table, hasher } = self;
        // Written where it will stand if it is new, and cut off again if it isn't.
        let start = bytes.len();
        write(bytes);
        let (known, entry) = bytes.split_at(start);
        let hash = hasher.hash_one(entry);
        let index = match table.find(hash, |&at| entry_at(known, ends, at) == entry) {
            Some(&index) => {
                bytes.truncate(start);
                index
            }
            None => {
                let index = ends.len();
                ends.push(bytes.len());
                table.insert_unique(hash, index, |&at| hasher.hash_one(entry_at(bytes, ends, at)));
                index
            }
        };
        (index + 1) as i64
    }

    /// The number of the entry that `write` appends, if it is there.
    pub(super) fn known_number(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<i64> {
        let Self { bytes, ends, table, hasher } = self;
        let start = bytes.len();
        write(bytes);
        let (known, entry) = bytes.split_at(start);
        let is_entry = |at: &usize| entry_at(known, ends, *at) == entry;
        let index = table.find(hasher.hash_one(entry), is_entry).copied();
        bytes.truncate(start);
        Some((index? + 1) as i64)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All entries in order.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all entries and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.table.clear();
    }
}

fn entry_at<'a>(bytes: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &bytes[start..ends[index]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(dictionary: &mut Dictionary, text: &str) -> i64 {
        dictionary.number(|out| out.extend_from_slice(text.as_bytes()))
    }

    #[test]
    fn entries_are_numbered_by_first_use() {
        let mut dictionary = Dictionary::default();
        let numbers = ["b", "a", "b", "", "a", "c", ""].map(|text| number(&mut dictionary, text));
        assert_eq!(numbers, [1, 2, 1, 3, 2, 4, 3]);
        let known = ["a", "", "d"]
            .map(|text| dictionary.known_number(|out| out.extend_from_slice(text.as_bytes())));
        assert_eq!(known, [Some(2), Some(3), None]);
        assert_eq!(dictionary.bytes(), b"bac");
    }

    /// Past the points where the table grows: every entry keeps its number, and a cleared dictionary
    /// counts from 1 again.
    #[test]
    fn many_entries_keep_their_numbers() {
        let mut dictionary = Dictionary::default();
        for _ in 0..2 {
            for _ in 0..2 {
                for at in 0..1000 {
                    assert_eq!(number(&mut dictionary, &format!("<{at}>")), at + 1);
                }
            }
            assert_eq!(dictionary.len(), 1000);
            dictionary.clear();
        }
    }
}
