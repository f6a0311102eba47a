//! What the merge knows of one worker.

use super::contexts::{Contexts, MergedId};
use crate::bucket::Bucket;
use crate::context::ContextId;
use crate::handover::{BucketConsumer, Definition, Open};
use crate::time::{Slot, Stamp};

/// What the merge knows of one worker.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) ring: BucketConsumer,
    /// The worker's context numbers as the merge's own.
    pub(super) ids: Vec<Option<MergedId>>,
    pub(super) closed: Closed,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) cutoff: Slot,
    pub(super) at: Stamp,
    pub(super) open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// Everything is handed over; the time of the seal.
    Sealed(Stamp),
}

impl Lane {
    /// Learns a context of the worker.
    pub(super) fn define(&mut self, definition: Definition, contexts: &mut Contexts) {
        let Definition { id, context, kind, first } = definition;
        let merged = contexts.hold(context, kind, first);
        let index = id as usize;
        if index >= self.ids.len() {
            self.ids.resize(index + 1, None);
        }
        if let Some(known) = self.ids.get_mut(index) {
            *known = Some(merged);
        }
    }

    /// Forgets contexts of the worker.
    pub(super) fn retire(&mut self, ids: &[ContextId], contexts: &mut Contexts) {
        for id in ids {
            if let Some(merged) = self.ids.get_mut(*id as usize).and_then(Option::take) {
                contexts.release(merged);
            }
        }
    }

    /// Replaces the worker's context numbers by the merge's.
    pub(super) fn rename(&self, bucket: &mut Bucket, contexts: &mut Contexts) {
        bucket.rename(|id, seen| {
            let merged = self.ids.get(id as usize).copied().flatten()?;
            contexts.note_seen(merged, seen);
            Some(merged)
        });
    }
}
