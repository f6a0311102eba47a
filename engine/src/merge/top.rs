//! Who sends the most, and what varies the most: for people who look for the cause of a flood.

use super::contexts::Contexts;
use crate::context::Context;
use ahash::RandomState;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Who sends the most, and what varies the most.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// Contexts with their samples in the slots that were shipped, the busiest first. Of one context no
    /// more than 2^32 - 1 are counted.
    pub busiest: Vec<(Context, u64)>,
    /// Names with the number of their contexts, the widest first.
    pub widest: Vec<(String, u64)>,
}

impl Top {
    /// The first `count` of each.
    pub(super) fn of(contexts: &Contexts, count: usize) -> Self {
        let mut busiest: Vec<_> = contexts.samples().collect();
        keep_largest(&mut busiest, count);
        let mut names = HashMap::<&str, u64, RandomState>::default();
        for (context, _) in contexts.samples() {
            *names.entry(context.name()).or_default() += 1;
        }
        let mut widest: Vec<_> = names.into_iter().collect();
        keep_largest(&mut widest, count);
        Self {
            busiest: busiest.into_iter().map(|(context, n)| (context.share(), n)).collect(),
            widest: widest.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
        }
    }
}

/// Sorts items by their number, the largest first, and keeps so many.
fn keep_largest<T>(items: &mut Vec<(T, u64)>, count: usize) {
    if items.len() > count {
        items.select_nth_unstable_by_key(count, |(_, number)| Reverse(*number));
        items.truncate(count);
    }
    items.sort_unstable_by_key(|(_, number)| Reverse(*number));
}
