//! Datagrams in memory: load for benchmarks that have no socket.
//!
//! Every context has one message of a usual length, and the messages stand in random order: with
//! many contexts each look-up goes somewhere else, as it would in a process with many callers.

use std::fmt::Write as _;

use crate::load::{Kind, Random};

/// Fewest messages of a load that is timed: one pass over few contexts is no short loop then.
const MESSAGES_MIN: u32 = 1 << 16;

/// Distinct metric names; further contexts differ in their tags.
const NAMES: u32 = 200;

/// Datagrams that stand one behind the other.
#[derive(Debug)]
pub struct MemoryLoad {
    bytes: Vec<u8>,
    /// Where each datagram ends; growing.
    ends: Vec<usize>,
    messages: u64,
}

impl MemoryLoad {
    /// Messages of one type, of some 110 bytes each, all contexts equally often and some 65,000
    /// times in all at least, packed into datagrams of up to `datagram_bytes` bytes.
    #[must_use]
    pub fn new(contexts: u32, kind: Kind, datagram_bytes: usize, seed: u64) -> Self {
        Self::with_messages(MESSAGES_MIN, contexts, kind, datagram_bytes, seed)
    }

    /// The same with at least so many messages.
    #[must_use]
    pub fn with_messages(
        messages_min: u32,
        contexts: u32,
        kind: Kind,
        datagram_bytes: usize,
        seed: u64,
    ) -> Self {
        let contexts = contexts.max(1);
        let mut random = Random::new(seed);
        let repeats = messages_min.div_ceil(contexts).max(1);
        let mut order: Vec<u32> = (0..repeats).flat_map(|_| 0..contexts).collect();
        random.shuffle(&mut order);
        let mut load = Self { bytes: Vec::new(), ends: Vec::new(), messages: 0 };
        let mut text = String::new();
        for context in order {
            text.clear();
            write_message(&mut text, context, kind, &mut random);
            load.push(&text, datagram_bytes);
        }
        load
    }

    /// The datagrams in groups of some `bytes` bytes, for staging; none is cut.
    pub fn chunks(&self, bytes: usize) -> impl Iterator<Item = Chunk<'_>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.start(next);
            let first = next;
            while next < self.ends.len() && (next == first || self.ends[next] - start <= bytes) {
                next += 1;
            }
            (next > first).then_some(Chunk { load: self, first, end: next })
        })
    }

    /// Messages in all.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of a message, on average.
    #[must_use]
    pub fn message_bytes(&self) -> u64 {
        self.bytes.len() as u64 / self.messages.max(1)
    }

    fn start(&self, datagram: usize) -> usize {
        datagram.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Adds a message to the last datagram if it fits there, else to a new one.
    fn push(&mut self, text: &str, datagram_bytes: usize) {
        self.messages += 1;
        let length = self.ends.len().checked_sub(1).map(|last| self.bytes.len() - self.start(last));
        if length.is_some_and(|length| length + 1 + text.len() <= datagram_bytes) {
            self.bytes.push(b'\n');
            self.ends.pop();
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }
}

/// Some datagrams of a load.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    load: &'a MemoryLoad,
    first: usize,
    end: usize,
}

impl<'a> Chunk<'a> {
    /// The datagrams, in order.
    pub fn datagrams(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let range = self.first..self.end;
        range.map(move |index| &self.load.bytes[self.load.start(index)..self.load.ends[index]])
    }
}

fn write_message(text: &mut String, context: u32, kind: Kind, random: &mut Random) {
    let written = write!(
        text,
        "bench.shop.requests.{:03}:{}|{}|#customer:{context:07},env:production,region:eu-west-1,\
         service:checkout,version:4.{}.1",
        context % NAMES,
        1 + random.below(1_000),
        kind.symbol(),
        context % 10,
    );
    debug_assert!(written.is_ok(), "a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_context_comes_equally_often_and_no_datagram_is_too_long() {
        let load = MemoryLoad::new(1_000, Kind::Count, 1_432, 1);
        assert_eq!((load.messages(), load.message_bytes()), (66_000, 110));
        let mut seen = BTreeMap::new();
        let mut messages = 0;
        for datagram in load.chunks(1 << 16).flat_map(Chunk::datagrams) {
            assert!(datagram.len() <= 1_432, "{}", datagram.len());
            for line in datagram.split(|byte| *byte == b'\n') {
                let tags = line.iter().position(|byte| *byte == b'#').map(|at| &line[at..]);
                *seen.entry(tags).or_insert(0) += 1;
                messages += 1;
            }
        }
        assert_eq!(messages, load.messages());
        assert_eq!((seen.len(), seen.values().all(|times| *times == 66)), (1_000, true));
    }

    #[test]
    fn chunks_hold_whole_datagrams_and_lose_none() {
        let load = MemoryLoad::new(10, Kind::Gauge, 300, 1);
        let whole: Vec<_> = load.chunks(usize::MAX).flat_map(Chunk::datagrams).collect();
        for bytes in [1, 300, 1_000] {
            let chunks: Vec<_> = load.chunks(bytes).collect();
            let datagrams: Vec<_> = chunks.iter().flat_map(|chunk| chunk.datagrams()).collect();
            assert_eq!(datagrams, whole);
        }
    }
}
