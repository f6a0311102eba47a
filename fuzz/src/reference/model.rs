//! Aggregation, naive: every sample is kept, every figure is computed over all of them at the end.
//!
//! Time is whole seconds and slots are ten of them. A sample belongs to the slot of its arrival, or
//! to the oldest that is open. A close ships the slots before it; a flush ships what there is of
//! the slots up to now as a part of its own, at a second within the slot that no other part has, and
//! leaves the last second to the close.

use std::collections::{BTreeMap, BTreeSet};

/// Length of a slot in seconds.
const SLOT_S: u64 = 10;

/// Name and tags, sorted and each once.
pub type Context = (String, Vec<String>);

/// What a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A counter's value, already scaled.
    Counter(i64),
    /// A gauge's value.
    Gauge(i64),
    /// A set's member.
    Set(String),
    /// A histogram's value and weight.
    Histogram(i64, u64),
    /// A distribution's value and weight.
    Distribution(i64, u64),
}

/// What a series or a sketch shows at one second, in doubles: the sum of a sketch is named
/// `<name>.sum`, its count `<name>.count`, and so on.
pub type Figures = BTreeMap<(String, Vec<String>, u64), f64>;

/// Everything that was sampled.
#[derive(Debug, Default)]
pub struct Model {
    /// Samples in open slots with the order of their arrival, by start of the slot.
    open: BTreeMap<u64, BTreeMap<Context, Vec<(u64, Sample)>>>,
    /// The next part's second of slots that flushes have shipped a part of.
    parts: BTreeMap<u64, u64>,
    /// Oldest slot that arrivals may still go to.
    floor: u64,
    figures: Figures,
}

impl Model {
    /// Takes a sample that arrived at `second`; `order` decides between two gauges.
    pub fn sample(&mut self, second: u64, order: u64, context: Context, sample: Sample) {
        let slot = slot(second).max(self.floor);
        let contexts = self.open.entry(slot).or_default();
        contexts.entry(context).or_default().push((order, sample));
    }

    /// Ships the slots before that of `second`.
    pub fn close(&mut self, second: u64) {
        let cutoff = slot(second);
        let open = self.open.split_off(&cutoff);
        for (slot, contexts) in std::mem::replace(&mut self.open, open) {
            let second = self.parts.get(&slot).copied().unwrap_or(slot);
            self.ship(second, contexts);
        }
        self.floor = self.floor.max(cutoff);
    }

    /// Ships a part of each slot up to that of `second`.
    pub fn flush(&mut self, second: u64) {
        let slots: Vec<u64> = self.open.range(..=slot(second)).map(|(slot, _)| *slot).collect();
        for slot in slots {
            let last = slot + SLOT_S - 1;
            let part = self.parts.get(&slot).copied().unwrap_or(slot);
            if part < last
                && let Some(contexts) = self.open.remove(&slot)
            {
                self.ship(part, contexts);
                self.parts.insert(slot, second.clamp(part + 1, last));
            }
        }
        self.floor = self.floor.max(slot(second));
    }

    /// Ships what is left and gives every figure that was shipped.
    #[must_use]
    pub fn finish(mut self) -> Figures {
        self.close(u64::MAX);
        self.figures
    }

    fn ship(&mut self, second: u64, contexts: BTreeMap<Context, Vec<(u64, Sample)>>) {
        for ((name, tags), samples) in contexts {
            for (suffix, value) in figures(&samples) {
                let key = (format!("{name}{suffix}"), tags.clone(), second);
                assert!(self.figures.insert(key, value).is_none(), "the model ships a slot twice");
            }
        }
    }
}

fn slot(second: u64) -> u64 {
    second / SLOT_S * SLOT_S
}

/// All figures over the samples of one context in one part; they are of one type.
fn figures(samples: &[(u64, Sample)]) -> Vec<(String, f64)> {
    let named = |list: &[(&str, f64)]| {
        list.iter().map(|(suffix, value)| ((*suffix).to_owned(), *value)).collect()
    };
    let mut gauges = Vec::new();
    let mut members = BTreeSet::new();
    let mut sum = 0;
    let mut weighted = Vec::new();
    for (order, sample) in samples {
        match sample {
            Sample::Counter(value) => sum += value,
            Sample::Gauge(value) => gauges.push((*order, *value)),
            Sample::Set(member) => _ = members.insert(member),
            Sample::Histogram(value, weight) | Sample::Distribution(value, weight) => {
                weighted.extend((0..*weight).map(|_| *value));
            }
        }
    }
    weighted.sort_unstable();
    match samples.first().map(|(_, sample)| sample) {
        None => Vec::new(),
        Some(Sample::Counter(_)) => named(&[("", sum as f64 / SLOT_S as f64)]),
        Some(Sample::Gauge(_)) => {
            named(&[("", gauges.iter().max().map_or(0, |(_, value)| *value) as f64)])
        }
        Some(Sample::Set(_)) => named(&[("", members.len() as f64)]),
        Some(Sample::Histogram(..)) => {
            let (count, sum) = (weighted.len(), weighted.iter().sum::<i64>() as f64);
            let mut figures = named(&[
                (".min", weighted[0] as f64),
                (".max", weighted[count - 1] as f64),
                (".sum", sum),
                (".avg", sum / count as f64),
                (".count", count as f64 / SLOT_S as f64),
                (".median", weighted[(count - 1) / 2] as f64),
            ]);
            for percent in [50, 95, 99] {
                // Below the hundredth value the first is the first of all.
                let index = (percent * count - 1) / 100;
                figures.push((format!(".{percent}percentile"), weighted[index] as f64));
            }
            figures
        }
        Some(Sample::Distribution(..)) => {
            let sum = weighted.iter().sum::<i64>() as f64;
            named(&[
                (".min", weighted[0] as f64),
                (".max", weighted[weighted.len() - 1] as f64),
                (".sum", sum),
                (".count", weighted.len() as f64),
            ])
        }
    }
}
