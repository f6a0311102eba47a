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

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All entries in order.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all but the first `len` entries.
    pub(super) fn truncate(&mut self, len: usize) {
        let Self { bytes, ends, table, hasher } = self;
        for index in (len..ends.len()).rev() {
            let hash = hasher.hash_one(entry_at(bytes, ends, index));
            if let Ok(entry) = table.find_entry(hash, |&at| at == index) {
                entry.remove();
            }
            ends.pop();
        }
        bytes.truncate(ends.last().copied().unwrap_or_default());
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
        assert_eq!(dictionary.bytes(), b"bac");
    }

    /// For all lengths: what is cut off is new again, what is left keeps its number.
    #[test]
    fn truncation_forgets_the_last_entries_and_no_other() {
        let words: Vec<String> = (0..200).map(|word: u32| format!("<{word}>")).collect();
        for len in [0, 1, 100, 199, 200] {
            let mut dictionary = Dictionary::default();
            for word in &words {
                number(&mut dictionary, word);
            }
            dictionary.truncate(len);
            assert_eq!(dictionary.bytes(), words[..len].concat().as_bytes());
            assert_eq!(number(&mut dictionary, "new"), len as i64 + 1);
            for (at, word) in words[..len].iter().enumerate() {
                assert_eq!(number(&mut dictionary, word), at as i64 + 1);
            }
            for word in &words[len..] {
                assert!(number(&mut dictionary, word) > len as i64 + 1);
            }
        }
    }
}
