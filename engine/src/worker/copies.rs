//! Which distribution copies a histogram (`histogram_copy_to_distribution`): found by the number of
//! the histogram's context, without another look at names.

use crate::context::{ContextId, ContextRef, Identity};

/// The table that a histogram's context stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// That of aggregated samples.
    Aggregated,
    /// That of samples that go past the buckets.
    Passed,
}

/// A histogram's context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    pub(super) table: Table,
    pub(super) id: ContextId,
}

/// Contexts of copies by that of their histogram; the copies' own are all aggregated.
#[derive(Debug, Default)]
pub(super) struct Copies {
    of_aggregated: Vec<Option<ContextId>>,
    of_passed: Vec<Option<ContextId>>,
}

impl Copies {
    pub(super) fn get(&self, of: Copied) -> Option<ContextId> {
        let copies = match of.table {
            Table::Aggregated => &self.of_aggregated,
            Table::Passed => &self.of_passed,
        };
        copies.get(of.id as usize).copied().flatten()
    }

    pub(super) fn set(&mut self, of: Copied, copy: ContextId) {
        let copies = self.table(of.table);
        let index = of.id as usize;
        if index >= copies.len() {
            copies.resize(index + 1, None);
        }
        if let Some(known) = copies.get_mut(index) {
            *known = Some(copy);
        }
    }

    /// Forgets contexts of a table, as histograms and as copies. O(contexts).
    pub(super) fn forget(&mut self, table: Table, retired: &[ContextId]) {
        for id in retired {
            if let Some(copy) = self.table(table).get_mut(*id as usize) {
                *copy = None;
            }
        }
        if table == Table::Aggregated && !retired.is_empty() {
            let mut retired = retired.to_vec();
            retired.sort_unstable();
            for copy in self.of_aggregated.iter_mut().chain(&mut self.of_passed) {
                if copy.is_some_and(|id| retired.binary_search(&id).is_ok()) {
                    *copy = None;
                }
            }
        }
    }

    fn table(&mut self, table: Table) -> &mut Vec<Option<ContextId>> {
        match table {
            Table::Aggregated => &mut self.of_aggregated,
            Table::Passed => &mut self.of_passed,
        }
    }
}

/// What a copy is: the histogram with another name.
pub(super) fn identity<'a>(original: ContextRef<'a>, prefix: &str) -> Identity<'a> {
    Identity {
        name: [prefix, original.name()].concat().into(),
        host: original.host().into(),
        tags: original.tags().map(Into::into).collect(),
    }
}
