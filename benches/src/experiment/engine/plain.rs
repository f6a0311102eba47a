//! The baseline that the engine is measured against: the least that could be called parse, look up
//! and add, on one thread, without any of the rest of the job.
//!
//! A line is cut with `memchr`, name and tags are hashed as they came, one table from their bytes to
//! a sum is probed, and the value is added. No sample rates, no types, no escapes, no tag order, no
//! slots, no limits, no counters.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use memchr::memchr;

/// Sums by name and tags.
#[derive(Debug, Default)]
pub(super) struct Plain {
    hasher: RandomState,
    sums: HashTable<Sum>,
}

#[derive(Debug)]
struct Sum {
    hash: u64,
    /// Name, then tags.
    key: Box<[u8]>,
    name_bytes: usize,
    sum: f64,
}

impl Plain {
    /// Adds the messages of a datagram; what isn't one is skipped.
    pub(super) fn datagram(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
            self.line(&bytes[..end]);
            bytes = bytes.get(end + 1..).unwrap_or_default();
        }
    }

    /// The number of sums, and the sum of them.
    pub(super) fn totals(&self) -> (usize, f64) {
        (self.sums.len(), self.sums.iter().map(|entry| entry.sum).sum())
    }

    #[inline]
    fn line(&mut self, line: &[u8]) -> Option<()> {
        let (name, rest) = cut(line, b':')?;
        let (value, rest) = cut(rest, b'|')?;
        let (_kind, tags) = cut(rest, b'|')?;
        let value = number(value)?;
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.write(tags);
        let hash = hasher.finish();
        let same = |entry: &Sum| {
            entry.hash == hash
                && entry.name_bytes == name.len()
                && entry.key.strip_prefix(name) == Some(tags)
        };
        match self.sums.entry(hash, same, |entry| entry.hash) {
            Entry::Occupied(mut known) => known.get_mut().sum += value,
            Entry::Vacant(place) => {
                let key = [name, tags].concat().into();
                place.insert(Sum { hash, key, name_bytes: name.len(), sum: value });
            }
        }
        Some(())
    }
}

#[inline]
fn cut(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr(separator, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// A whole number of few digits.
#[inline]
fn number(digits: &[u8]) -> Option<f64> {
    let mut number = 0_u32;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    Some(f64::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_by_name_and_tags() {
        let mut plain = Plain::default();
        plain.datagram(b"a:1|c|#x\na:2|c|#x\na:40|c|#y\nbroken\nab:100|c|#\n");
        assert_eq!(plain.totals(), (3, 143.0));
    }
}
