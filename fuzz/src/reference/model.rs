//! Aggregation, naive: every sample is kept, every figure is computed over all of them at the end.
//!
//! Time is whole seconds and slots are ten of them. A sample belongs to the slot of its arrival, or
//! to the oldest that is open; one with a time of its own belongs to the slot of that time, whatever
//! has been shipped. A close ships the slots before it; a flush ships what there is of the slots up
//! to now as a part of its own, at a second within the slot that no other part has, and leaves the
//! last second to the close. What flushes have cut and left is aggregated piece by piece: of two
//! pieces of different types the one whose first sample is older stays.

use std::collections::{BTreeMap, BTreeSet};

/// Length of a slot in seconds.
const SLOT_S: u64 = 10;

/// Name and tags, sorted and each once.
pub type Context = (&'static str, &'static [&'static str]);

/// What a sample says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Adds up.
    Counter,
    /// The last one counts.
    Gauge,
    /// The distinct ones count.
    Set,
    /// Aggregates and percentiles.
    Histogram,
    /// A sketch; beside whatever else its context holds.
    Distribution,
}

/// One sample. The member of a set is the value as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its type.
    pub kind: Type,
    /// Its value, as sent.
    pub value: i64,
    /// For how many it stands.
    pub weight: u64,
    /// When it arrived, finely; decides between two gauges.
    pub order: u64,
}

/// One figure of a series or a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Whose it is.
    pub context: Context,
    /// Which it is: what stands behind the name of a series, `sketch.sum` and so on for a sketch.
    pub figure: &'static str,
    /// Second of the point.
    pub second: u64,
}

/// All figures by key; of one key in the order in which they were shipped.
pub type Figures = Vec<(Key, f64)>;

/// Samples of one context and slot between two flushes, in the order of their arrival.
type Piece = Vec<Sample>;

/// Everything that was sampled.
#[derive(Debug, Default)]
pub struct Model {
    /// Pieces of open slots, by their start.
    open: BTreeMap<u64, BTreeMap<Context, Vec<Piece>>>,
    /// The next part's second of open slots that flushes have shipped a part of.
    parts: BTreeMap<u64, u64>,
    /// Oldest slot that arrivals may still go to.
    floor: u64,
    figures: Figures,
}

impl Model {
    /// Takes a sample that arrived at `second`.
    pub fn arrival(&mut self, second: u64, context: Context, sample: Sample) {
        self.add(slot(second).max(self.floor), context, sample);
    }

    /// Takes a sample that says that it is of `second`.
    pub fn timestamped(&mut self, second: u64, context: Context, sample: Sample) {
        self.add(slot(second), context, sample);
    }

    fn add(&mut self, slot: u64, context: Context, sample: Sample) {
        let pieces = self.open.entry(slot).or_default().entry(context).or_default();
        match pieces.last_mut() {
            Some(piece) => piece.push(sample),
            None => pieces.push(vec![sample]),
        }
    }

    /// Ships the slots before that of `second`.
    pub fn close(&mut self, second: u64) {
        let cutoff = slot(second);
        let open = self.open.split_off(&cutoff);
        for (slot, contexts) in std::mem::replace(&mut self.open, open) {
            let second = self.parts.get(&slot).copied().unwrap_or(slot);
            self.ship(second, contexts);
        }
        self.parts = self.parts.split_off(&cutoff);
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
            } else if let Some(contexts) = self.open.get_mut(&slot) {
                contexts.values_mut().for_each(|pieces| pieces.push(Piece::new()));
            }
        }
        self.floor = self.floor.max(slot(second));
    }

    /// Ships what is left and gives every figure that was shipped.
    #[must_use]
    pub fn finish(mut self) -> Figures {
        self.close(u64::MAX);
        // Stable: figures of one key stay in their order.
        self.figures.sort_by_key(|(key, _)| *key);
        self.figures
    }

    fn ship(&mut self, second: u64, contexts: BTreeMap<Context, Vec<Piece>>) {
        for (context, pieces) in contexts {
            let mut figure = |figure, value| {
                self.figures.push((Key { context, figure, second }, value));
            };
            let is_sketched = |sample: &Sample| sample.kind == Type::Distribution;
            let sketched: Vec<_> = pieces.iter().flatten().copied().filter(is_sketched).collect();
            distribution(&sketched, &mut figure);
            let rest = |mut piece: Piece| {
                piece.retain(|sample| !is_sketched(sample));
                piece
            };
            let others = pieces.into_iter().map(rest).reduce(joined).unwrap_or_default();
            let kind = owner(&others).map(|first| first.kind);
            match kind {
                None | Some(Type::Distribution) => {}
                Some(Type::Counter) => {
                    let sum: i64 = others.iter().map(|one| number(one) * weight(one)).sum();
                    figure("", sum as f64 / SLOT_S as f64);
                }
                Some(Type::Gauge) => {
                    let last = others.iter().max_by_key(|sample| sample.order);
                    figure("", last.map_or(0, number) as f64);
                }
                Some(Type::Set) => {
                    let member = |one: &Sample| (one.kind == Type::Set).then_some(one.value);
                    let members: BTreeSet<_> = others.iter().map(member).collect();
                    figure("", members.len() as f64);
                }
                Some(Type::Histogram) => histogram(&others, &mut figure),
            }
        }
    }
}

/// The sample that decides of which type a piece is: its first, or that of the first piece that was
/// joined.
fn owner(piece: &Piece) -> Option<&Sample> {
    piece.first()
}

/// Two pieces as one.
fn joined(mut one: Piece, mut two: Piece) -> Piece {
    match (owner(&one), owner(&two)) {
        (_, None) => return one,
        (None, _) => return two,
        (Some(first), Some(second)) if first.kind != second.kind => {
            return if second.order < first.order { two } else { one };
        }
        (Some(first), Some(second)) if second.order < first.order => {
            std::mem::swap(&mut one, &mut two);
        }
        _ => {}
    }
    one.append(&mut two);
    one
}

fn slot(second: u64) -> u64 {
    second / SLOT_S * SLOT_S
}

/// What a sample is to an aggregate that is no set.
fn number(sample: &Sample) -> i64 {
    if sample.kind == Type::Set { 0 } else { sample.value }
}

fn weight(sample: &Sample) -> i64 {
    sample.weight.cast_signed()
}

/// Every value as often as it counts, sorted.
fn weighted(samples: &[Sample]) -> Vec<i64> {
    let copies = |sample: &Sample| {
        (0..sample.weight).map({
            let value = number(sample);
            move |_| value
        })
    };
    let mut values: Vec<i64> = samples.iter().flat_map(copies).collect();
    values.sort_unstable();
    values
}

fn histogram(samples: &[Sample], figure: &mut impl FnMut(&'static str, f64)) {
    let values = weighted(samples);
    let (count, sum) = (values.len(), values.iter().sum::<i64>() as f64);
    figure(".min", values[0] as f64);
    figure(".max", values[count - 1] as f64);
    figure(".sum", sum);
    figure(".avg", sum / count as f64);
    figure(".count", count as f64 / SLOT_S as f64);
    figure(".median", values[(count - 1) / 2] as f64);
    for (name, percent) in [(".50percentile", 50), (".95percentile", 95), (".99percentile", 99)] {
        // Below the hundredth value the first is the first of all.
        figure(name, values[(percent * count - 1) / 100] as f64);
    }
}

fn distribution(samples: &[Sample], figure: &mut impl FnMut(&'static str, f64)) {
    let values = weighted(samples);
    if let (Some(first), Some(last)) = (values.first(), values.last()) {
        figure("sketch.min", *first as f64);
        figure("sketch.max", *last as f64);
        figure("sketch.sum", values.iter().sum::<i64>() as f64);
        figure("sketch.count", values.len() as f64);
    }
}
