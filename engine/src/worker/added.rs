//! Values of one message into an entry, and what became of them.

use crate::bucket::{Entry, Sample, SampleKind};
use crate::ledger::Refusal;
use crate::message::{Kind, Metric, Values};
use crate::sketch::Taken;
use crate::time::Stamp;

/// What became of the samples of one message.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) aggregated: u64,
    pub(super) clamped: u64,
    pub(super) not_finite: u64,
    pub(super) refused: u64,
    pub(super) refusal: Option<Refusal>,
}

impl Added {
    /// Adds the values to the sketch.
    pub(super) fn distribution(&mut self, entry: &mut Entry, metric: &Metric<'_>) {
        for value in metric.values.numbers() {
            if !value.is_finite() {
                self.not_finite += 1;
                continue;
            }
            match entry.aggregates.insert(value, metric.rate) {
                Taken::Whole => self.aggregated += 1,
                Taken::Clamped => {
                    self.aggregated += 1;
                    self.clamped += 1;
                }
                Taken::Refused => self.refuse(Refusal::SketchCount),
            }
        }
    }

    /// Adds the values to what stands for all types but distributions. Of two gauges the one with
    /// the later stamp stays.
    #[inline]
    pub(super) fn others(&mut self, entry: &mut Entry, metric: &Metric<'_>, stamp: Stamp) {
        let kind = match metric.kind {
            Kind::Counter => SampleKind::Counter,
            Kind::Gauge => SampleKind::Gauge,
            Kind::Set => SampleKind::Set,
            Kind::Histogram | Kind::Distribution => SampleKind::Histogram,
            Kind::Timing => SampleKind::Timing,
        };
        let mut sample = Sample { kind, value: 0.0, member: &[], rate: metric.rate, stamp };
        match metric.values {
            Values::One(value) => {
                sample.value = value;
                self.one(entry, &sample);
            }
            Values::Packed(_) => {
                for value in metric.values.numbers() {
                    sample.value = value;
                    self.one(entry, &sample);
                }
            }
            Values::Set(member) => {
                sample.member = member;
                self.one(entry, &sample);
            }
        }
    }

    #[inline(always)]
    fn one(&mut self, entry: &mut Entry, sample: &Sample<'_>) {
        if !sample.value.is_finite() {
            self.not_finite += 1;
            return;
        }
        match entry.aggregates.add(sample) {
            Ok(()) => self.aggregated += 1,
            Err(refusal) => self.refuse(refusal),
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        self.refusal = Some(refusal);
    }
}
