//! Metrics on their way to their contexts, some at a time.
//!
//! With many contexts a look-up waits for memory, again and again: for the table of spellings, for
//! what is known of the context, for its name and tags, for its entry. Each of these steps is made
//! for a whole batch before the next one, so that the waits of different messages run side by side:
//!
//! ```text
//! for all: hash ─▶ for all: guess ─▶ for all: fetch ─▶ for all: fetch texts, entry ─▶ for all: apply
//! ```
//!
//! Only the last step compares, learns and adds, message by message in the order of arrival. The
//! steps before it change nothing, so a guess that a message before has made wrong costs time alone.

use crate::context::{Contexts, Guess};
use crate::message::Metric;
use crate::sampler::Sampler;
use crate::time::Stamp;

/// Messages of a batch: enough to keep every line buffer of a core busy, few enough to stay in its
/// first cache.
const MESSAGES: usize = 16;

/// A metric that waits for its batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending<'a> {
    pub(super) metric: Metric<'a>,
    pub(super) arrival: Stamp,
    /// Where its datagram stands in the order of arrivals.
    pub(super) order: Stamp,
    pub(super) hash: u32,
    pub(super) guess: Option<Guess>,
}

/// Metrics that are applied together.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pending: [Pending<'a>; MESSAGES],
    /// The first so many are taken; `len < MESSAGES` when a place is asked for.
    len: usize,
}

impl<'a> Batch<'a> {
    /// The place that the next metric is read into; taken once [`Batch::advance`] says so.
    #[inline]
    pub(super) fn place(&mut self) -> &mut Pending<'a> {
        #[expect(clippy::indexing_slicing, reason = "`advance` says when the batch is full")]
        &mut self.pending[self.len]
    }

    /// Takes the place, and says whether that was the last one.
    #[inline]
    pub(super) fn advance(&mut self) -> Filled {
        self.len += 1;
        if self.len == MESSAGES { Filled::All } else { Filled::Some }
    }

    /// Has everything brought into the cache that the metrics lead to.
    #[inline]
    pub(super) fn fetch(&mut self, contexts: &Contexts, sampler: &Sampler) {
        let taken = self.pending.get_mut(..self.len).unwrap_or_default();
        for pending in &mut *taken {
            pending.guess = contexts.guess(pending.hash);
        }
        let guesses = || taken.iter().filter_map(|pending| pending.guess);
        for guess in guesses() {
            contexts.fetch(guess);
        }
        for guess in guesses() {
            sampler.fetch(contexts.fetch_texts(guess));
        }
    }

    /// Gives the metrics in the order of arrival, and is empty.
    #[inline]
    pub(super) fn take(&mut self) -> &[Pending<'a>] {
        let len = std::mem::take(&mut self.len);
        self.pending.get(..len).unwrap_or_default()
    }
}

/// How many places of a batch are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is room.
    Some,
    /// It has to be applied.
    All,
}
