//! Samples with a time of their own that go past the buckets: each leaves as a series of one point.
//!
//! Their contexts stand in a table of their own, because being sampled here makes no context alive:
//! no zeros follow.

use super::aggregation::{learn, spelling};
use crate::context::{ContextId, ContextRef, Contexts, Discard, Retired};
use crate::enrich::Enricher;
use crate::handover::Passed;
use crate::ledger::Refusal;
use crate::limits::{PASSED_BATCH_LEN, SLOT_S};
use crate::message::{Kind, Metric};
use crate::series::SeriesKind;
use crate::time::Stamp;

#[derive(Debug)]
pub(super) struct Passing {
    contexts: Contexts,
    /// Not handed over yet; up to about [`PASSED_BATCH_LEN`].
    samples: Vec<Passed>,
}

impl Passing {
    pub(super) fn new(context_bytes_max: usize, discard: Discard) -> Self {
        Self { contexts: Contexts::new(context_bytes_max, discard), samples: Vec::new() }
    }

    /// The number of a metric's context.
    ///
    /// # Errors
    ///
    /// Why its samples are refused.
    pub(super) fn find(
        &mut self,
        enricher: &Enricher,
        metric: &Metric<'_>,
        arrival: Stamp,
    ) -> Result<ContextId, Refusal> {
        let spelling = spelling(metric);
        let hash = self.contexts.hash(spelling);
        if let Some(id) = self.contexts.find(hash, spelling) {
            return self.contexts.touch(id, arrival).then_some(id).ok_or(Refusal::Blocked);
        }
        let learned = learn(&mut self.contexts, enricher, hash, spelling, metric, arrival)?;
        Ok(learned.id())
    }

    /// Takes the finite samples of a gauge or counter, and says how many there were. A counter's
    /// value is per second of a slot; its rate doesn't count.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnsupportedTimestamp`] for any other type.
    pub(super) fn pass(&mut self, id: ContextId, metric: &Metric<'_>) -> Result<u64, Refusal> {
        let (kind, divisor) = match metric.kind {
            Kind::Gauge => (SeriesKind::Gauge, 1.0),
            Kind::Counter => (SeriesKind::Rate, SLOT_S as f64),
            _ => return Err(Refusal::UnsupportedTimestamp),
        };
        let before = self.samples.len();
        let context = self.contexts.context(id).ok_or(Refusal::Blocked)?;
        let second = metric.timestamp.unwrap_or_default();
        let finite = metric.values.numbers().filter(|value| value.is_finite());
        self.samples.extend(finite.map(|value| Passed {
            context: context.share(),
            kind,
            second,
            value: value / divisor,
        }));
        Ok((self.samples.len() - before) as u64)
    }

    pub(super) fn is_batch_full(&self) -> bool {
        self.samples.len() >= PASSED_BATCH_LEN
    }

    pub(super) fn take(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.samples)
    }

    pub(super) fn context(&self, id: ContextId) -> Option<ContextRef<'_>> {
        self.contexts.context(id)
    }

    /// Forgets idle contexts.
    pub(super) fn expire(&mut self, at: Stamp, idle_s: u64) -> Retired {
        self.contexts.expire(at, idle_s, |_| false)
    }

    pub(super) fn contexts_len(&self) -> usize {
        self.contexts.len()
    }

    pub(super) fn context_bytes(&self) -> usize {
        self.contexts.bytes()
    }
}
