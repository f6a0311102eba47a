//! A histogram in one slot: its values with their weights, and the figures they make at the end.
//!
//! A value sampled at rate `r` has the weight `1 / r`, with its fraction. While all weights are the
//! same, which is the rule, a value costs eight bytes. All arithmetic is the reference agent's, in its
//! order, so that the last bits agree.
//!
//! At [`HISTOGRAM_VALUES_MAX`] values, values close to each other are folded into one: first equal
//! ones, which changes nothing; then those that share a key of the sketch's grid; then, only if they
//! are spread over more of the grid than any measurement is, over coarser and coarser grids until
//! half the room is free. Count, sum, minimum and maximum stay exact; median and percentiles are
//! then off by at most one key, 1.6 %, however often it happens, because folding again by the same
//! key moves nothing further. No value is ever refused for lack of room.

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{BadEntry, HistogramSettings, Suffix};

use settings::Aggregate;

use crate::ledger::Refusal;
use crate::limits::{HISTOGRAM_VALUES_MAX, SLOT_S};
use crate::sketch::key;

/// Weights that differ by no more than this count as the same when they are summed.
const WEIGHT_EPSILON: f64 = 1e-9;

/// Values of a histogram or timing in one slot.
#[derive(Clone, Debug)]
pub struct Histogram {
    values: Values,
    /// Weight of the value that came first; all of them, while `values` are `Same`.
    weight: f64,
    /// Whether a weight differs from the first by more than [`WEIGHT_EPSILON`].
    weights_vary: bool,
    /// Sum of the weights, in order of arrival.
    count: f64,
    /// Smallest value, which folding may have taken from the list.
    min: f64,
    /// What folding took from the sum of value times weight.
    folded: f64,
    /// Whether a timing was among the values.
    timing: bool,
}

/// The values, in any order until they are sorted.
#[derive(Clone, Debug)]
enum Values {
    /// All of one weight.
    Same(Vec<f64>),
    /// Each with its own.
    Own(Vec<Weighted>),
}

#[derive(Clone, Copy, Debug)]
struct Weighted {
    value: f64,
    weight: f64,
}

impl Histogram {
    /// Makes an empty histogram; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            values: Values::Same(Vec::new()),
            weight: 1.0,
            weights_vary: false,
            count: 0.0,
            min: f64::INFINITY,
            folded: 0.0,
            timing: false,
        }
    }

    /// Adds a finite value with the inverse of its rate as its weight; rate 0 counts as 1.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadRate`] if weight or weighted value is not finite (the reference agent lets such a
    /// value spoil the whole histogram), [`Refusal::Overflow`] if the sum of weights would not be.
    pub fn add(&mut self, value: f64, rate: f64) -> Result<(), Refusal> {
        let weight = if rate == 0.0 { 1.0 } else { 1.0 / rate };
        // Not a number unless the weight is finite as well.
        if !(value * weight).is_finite() || !weight.is_finite() {
            return Err(Refusal::BadRate);
        }
        if !(self.count + weight).is_finite() {
            return Err(Refusal::Overflow);
        }
        self.push(Weighted { value, weight });
        Ok(())
    }

    /// Remembers that the values are milliseconds.
    pub fn mark_timing(&mut self) {
        self.timing = true;
    }

    /// Adds another worker's values.
    pub fn merge(&mut self, other: &Self) {
        for index in 0..other.values.len() {
            self.push(other.at(index));
        }
        self.min = self.min.min(other.min);
        self.folded += other.folded;
        self.weights_vary |= other.weights_vary;
        self.timing |= other.timing;
    }

    /// Gives the unit of the values: `millisecond` if a timing was among them, else empty. The count
    /// has no unit.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        if self.timing { "millisecond" } else { "" }
    }

    /// True if no value was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    /// Sorts the values and gives each series of the settings its value, in their order.
    ///
    /// Left out is what is not finite (the mean of weights that cancel out), and a percentile that
    /// the weights don't reach, which takes a negative one.
    pub fn emit(&mut self, settings: &HistogramSettings, mut each: impl FnMut(&Suffix, f64)) {
        if self.is_empty() {
            return;
        }
        self.values.sort();
        let mut finite = |suffix: &Suffix, value: f64| {
            if value.is_finite() {
                each(suffix, value);
            }
        };
        for (aggregate, suffix) in &settings.aggregates {
            finite(suffix, self.aggregate(*aggregate));
        }
        self.percentiles(settings, finite);
    }

    fn aggregate(&self, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Max => self.at(self.values.len() - 1).value,
            Aggregate::Min => self.min,
            Aggregate::Median => self.median(),
            Aggregate::Avg => self.sum() / self.count,
            Aggregate::Sum => self.sum(),
            Aggregate::Count => self.count / SLOT_S as f64,
        }
    }

    /// The first value at which the weights so far exceed half of all but one; 0 if none does.
    fn median(&self) -> f64 {
        let target = (self.count - 1.0) / 2.0;
        let mut reached = 0.0;
        for Weighted { value, weight } in self.iter() {
            reached += weight;
            if reached > target {
                return value;
            }
        }
        0.0
    }

    /// For each percentile, the first value at which the weights so far exceed its part of them.
    fn percentiles(&self, settings: &HistogramSettings, mut each: impl FnMut(&Suffix, f64)) {
        let mut wanted = settings.percentiles.iter().peekable();
        let mut reached = 0.0;
        for Weighted { value, weight } in self.iter() {
            reached += weight;
            let passed = |&&(percent, _): &&(u8, Suffix)| {
                reached > (f64::from(percent) * self.count - 1.0) / 100.0
            };
            while let Some((_, suffix)) = wanted.next_if(passed) {
                each(suffix, value);
            }
            if wanted.peek().is_none() {
                break;
            }
        }
    }

    /// Sums the sorted values times their weights, with the errors of the additions carried along:
    /// 1, 1e100, 1 and -1e100 make 2.
    fn sum(&self) -> f64 {
        let mut sum = Compensated::default();
        if self.weights_vary {
            for Weighted { value, weight } in self.iter() {
                sum.add(value * weight);
            }
            return sum.total() + self.folded;
        }
        let negatives = self.iter().take_while(|weighted| weighted.value < 0.0).count();
        let mut below = Compensated::default();
        for index in 0..negatives {
            below.add(self.at(index).value);
        }
        for index in (negatives..self.values.len()).rev() {
            sum.add(self.at(index).value);
        }
        let (above, mut both) = (sum, Compensated { sum: below.sum, error: 0.0 });
        both.add(above.sum);
        (both.sum + (both.error + below.error + above.error)) * self.weight
    }

    fn push(&mut self, new: Weighted) {
        if self.values.len() >= HISTOGRAM_VALUES_MAX {
            self.fold();
        }
        if self.is_empty() {
            self.weight = new.weight;
        }
        self.count += new.weight;
        self.min = self.min.min(new.value);
        self.weights_vary |= (self.weight - new.weight).abs() > WEIGHT_EPSILON;
        match &mut self.values {
            Values::Same(values) if new.weight == self.weight => values.push(new.value),
            _ => self.values.own(self.weight).push(new),
        }
    }

    /// Halves the list at least: equal values, then values of one key, then of neighbouring keys.
    fn fold(&mut self) {
        self.values.sort();
        let values = self.values.own(self.weight);
        self.weights_vary = true;
        self.folded += fold_alike(values, |value| value);
        let mut grid = 0;
        while values.len() > HISTOGRAM_VALUES_MAX / 2 {
            self.folded += fold_alike(values, |value| key(value) >> grid);
            grid += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = Weighted> {
        (0..self.values.len()).map(|index| self.at(index))
    }

    fn at(&self, index: usize) -> Weighted {
        match &self.values {
            Values::Same(values) => Weighted { value: values[index], weight: self.weight },
            Values::Own(values) => values[index],
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Same(values) => values.len(),
            Self::Own(values) => values.len(),
        }
    }

    fn sort(&mut self) {
        match self {
            Self::Same(values) => values.sort_unstable_by(f64::total_cmp),
            Self::Own(values) => values.sort_unstable_by(|a, b| a.value.total_cmp(&b.value)),
        }
    }

    /// Gives every value its own weight, which was `weight` if they had one together.
    fn own(&mut self, weight: f64) -> &mut Vec<Weighted> {
        if let Self::Same(values) = self {
            let own = values.iter().map(|&value| Weighted { value, weight }).collect();
            *self = Self::Own(own);
        }
        match self {
            Self::Own(values) => values,
            Self::Same(_) => unreachable!("made its own above"),
        }
    }
}

/// Folds neighbours of a sorted list that are alike into the largest of them, and gives what the
/// sum of value times weight lost by it.
fn fold_alike<K: PartialEq>(values: &mut Vec<Weighted>, likeness: impl Fn(f64) -> K) -> f64 {
    let mut lost = 0.0;
    values.dedup_by(|next, kept| {
        if likeness(next.value) != likeness(kept.value) {
            return false;
        }
        lost += (kept.value - next.value) * kept.weight;
        kept.value = next.value;
        kept.weight += next.weight;
        true
    });
    lost
}

/// A sum with the error of its additions beside it (Neumaier).
#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    error: f64,
}

impl Compensated {
    fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        let (large, small) =
            if self.sum.abs() >= term.abs() { (self.sum, term) } else { (term, self.sum) };
        self.error += (large - sum) + small;
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.error
    }
}
