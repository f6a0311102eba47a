//! The datagrams of one sender, built before the run, with what each of them says.
//!
//! Every context appears once, in random order; random further ones fill the block up to a size that
//! keeps replaying cheap.

use std::ops::Range;

use super::shape::{Context, Message, contexts};
use super::{LoadOptions, Random, Scope};
use crate::experiment::stats::number;

/// Fewest messages of a block, so that one of few contexts isn't the same short loop.
const MESSAGES_MIN: u32 = 8_192;

/// Datagrams to replay.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    datagrams: Vec<Datagram>,
}

#[derive(Debug)]
struct Datagram {
    bytes: Range<usize>,
    messages: Range<usize>,
}

impl Block {
    /// Builds a sender's block. Senders differ in all but, if so asked, the contexts.
    pub(super) fn build(options: &LoadOptions, sender: u32) -> Self {
        let contexts = contexts(
            options,
            match options.scope {
                Scope::Shared => 0,
                Scope::Own => sender,
            },
        );
        let mut random = Random::new(options.seed ^ (u64::from(sender) + 1) << 32);
        let mut block = Self { bytes: Vec::new(), messages: Vec::new(), datagrams: Vec::new() };
        let mut order: Vec<&Context> = contexts.iter().collect();
        random.shuffle(&mut order);
        let count = options.contexts.max(1);
        let more = (count..MESSAGES_MIN).map(|_| &contexts[random.index(contexts.len())]);
        order.extend(more);
        let mut text = String::new();
        for context in order {
            text.clear();
            let message = context.write_message(&mut text, options, &mut random);
            block.push(&text, message, options);
        }
        block
    }

    /// How many datagrams it holds; at least one.
    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// The datagrams from an index to the block's end.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        self.datagrams[first..].iter().map(|datagram| &self.bytes[datagram.bytes.clone()])
    }

    /// Bytes of a datagram, on average.
    pub(super) fn datagram_bytes_mean(&self) -> f64 {
        number(self.bytes.len()) / number(self.datagrams.len())
    }

    pub(super) fn bytes_of(&self, datagram: usize) -> u64 {
        u64::try_from(self.datagrams[datagram].bytes.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn messages_of(&self, datagram: usize) -> &[Message] {
        &self.messages[self.datagrams[datagram].messages.clone()]
    }

    /// Adds a message to the last datagram if it fits there, else to a new one.
    fn push(&mut self, text: &str, message: Message, options: &LoadOptions) {
        let messages_max = usize::try_from(options.messages.max(1)).unwrap_or(usize::MAX);
        match self.datagrams.last_mut() {
            Some(last)
                if last.messages.len() < messages_max
                    && last.bytes.len() + 1 + text.len() <= options.datagram_bytes =>
            {
                self.bytes.push(b'\n');
                self.bytes.extend_from_slice(text.as_bytes());
                last.bytes.end = self.bytes.len();
                last.messages.end += 1;
            }
            _ => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(text.as_bytes());
                let first = self.messages.len();
                let bytes = start..self.bytes.len();
                self.datagrams.push(Datagram { bytes, messages: first..first + 1 });
            }
        }
        self.messages.push(message);
    }
}
