//! The sketch against what it stands for: a store against a list of bins handled one by one, a sketch
//! against its sorted values.

use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The bins, one by one, by the reference agent's rules word for word.
#[derive(Clone, Debug)]
struct Model {
    bins: Vec<Bin>,
    shape: Shape,
}

impl Model {
    fn insert(&mut self, key: i16, count: u32) {
        let at = self.bins.iter().position(|bin| bin.key >= key).unwrap_or(self.bins.len());
        let first = self.bins.get(at).filter(|bin| bin.key == key).map(|bin| bin.count);
        let replaced = if first.is_some() { at + 1 } else { at };
        let total = u32::from(first.unwrap_or(0)) + count;
        let bins = self.written(key, total);
        self.bins.splice(at..replaced, bins);
    }

    fn merge(&mut self, other: &Self) {
        let mut merged = Vec::new();
        let mut at = 0;
        for bin in &other.bins {
            while at < self.bins.len() && self.bins[at].key < bin.key {
                merged.push(self.bins[at]);
                at += 1;
            }
            if at < self.bins.len() && self.bins[at].key == bin.key {
                let total = u32::from(self.bins[at].count) + u32::from(bin.count);
                merged.extend(self.written(bin.key, total));
                at += 1;
            } else {
                merged.push(*bin);
            }
        }
        merged.extend(&self.bins[at..]);
        self.bins = merged;
        self.trim();
    }

    fn trim(&mut self) {
        let full = self.shape.bin_count_max.get();
        let surplus = self.bins.len().saturating_sub(usize::from(self.shape.bins_max.get()));
        if surplus == 0 {
            return;
        }
        let mut missing = 0;
        let mut trimmed = Vec::new();
        for bin in self.bins.drain(..surplus) {
            missing += u32::from(bin.count);
            if missing > u32::from(full) {
                trimmed.push(Bin { key: bin.key, count: full });
                missing -= u32::from(full);
            }
        }
        let kept = self.bins[0];
        trimmed.extend(self.written(kept.key, missing + u32::from(kept.count)));
        trimmed.extend(&self.bins[1..]);
        self.bins = trimmed;
    }

    /// The remainder first, then full bins.
    fn written(&self, key: i16, total: u32) -> Vec<Bin> {
        let full = self.shape.bin_count_max.get();
        let remainder = u16::try_from(total % u32::from(full)).unwrap();
        let mut bins = vec![Bin { key, count: full }; (total / u32::from(full)) as usize];
        if remainder > 0 {
            bins.insert(0, Bin { key, count: remainder });
        }
        bins
    }
}

#[derive(Clone, Debug)]
enum Step {
    Keys(Vec<i16>),
    Copies(i16, u32),
    Merge(Vec<Self>),
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        vec(-4_i16..4, 0..20).prop_map(Step::Keys),
        (-4_i16..4, 1_u32..60).prop_map(|(key, count)| Step::Copies(key, count)),
    ];
    leaf.prop_recursive(2, 16, 6, |inner| vec(inner, 0..6).prop_map(Step::Merge))
}

fn run(steps: &[Step], shape: Shape) -> (Store, Model) {
    let mut store = Store::new(shape);
    let mut model = Model { bins: Vec::new(), shape };
    for step in steps {
        match step {
            Step::Keys(keys) => {
                store.insert(&mut keys.clone());
                for &key in keys {
                    model.insert(key, 1);
                }
                model.trim();
            }
            Step::Copies(key, count) => {
                store.insert_copies(*key, *count);
                model.insert(*key, *count);
                model.trim();
            }
            Step::Merge(inner) => {
                let (other, other_model) = run(inner, shape);
                store.merge(&other);
                model.merge(&other_model);
            }
        }
    }
    (store, model)
}

fn sketch_of(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::new();
    for &value in values {
        assert_eq!(sketch.insert(value, 1.0), Taken::Whole);
    }
    sketch
}

/// Values of all sizes that the grid resolves, on both sides of zero.
fn value() -> impl Strategy<Value = f64> {
    (-200_i32..700, 1.0..2.0, any::<bool>()).prop_map(|(exponent, mantissa, negative)| {
        let magnitude: f64 = mantissa * 2_f64.powi(exponent.max(-29));
        if negative { -magnitude } else { magnitude }
    })
}

proptest! {
    /// For all shapes and sequences of inserts, merges and trims: the runs write out the very bins
    /// that the rules make one by one.
    #[test]
    fn a_store_writes_the_bins_that_the_rules_make_one_by_one(
        steps in vec(step(), 0..12), bins_max in 1_u16..8, bin_count_max in 1_u16..12,
    ) {
        let shape = Shape {
            bins_max: NonZeroU16::new(bins_max).unwrap(),
            bin_count_max: NonZeroU16::new(bin_count_max).unwrap(),
        };
        let (store, model) = run(&steps, shape);
        prop_assert_eq!(store.bins as usize, model.bins.len());
        prop_assert_eq!(store.bins().collect::<Vec<_>>(), model.bins);
    }

    /// For all values on the grid: the key's value is within 1/128 of it.
    #[test]
    fn a_key_stands_for_its_value_to_one_part_in_128(value in value()) {
        let error = (lower_bound(key(value)) - value).abs();
        prop_assert!(error <= value.abs() / 128.0, "{} off by {}", value, error);
    }

    /// For all values and quantiles: count and extremes are exact, and the estimate lies in the bin
    /// of the value of that rank.
    #[test]
    fn a_quantile_lies_in_the_bin_of_its_rank(
        mut values in vec(value(), 1..2000), q in 0.001_f64..0.999,
    ) {
        let mut sketch = sketch_of(&values);
        sketch.finish();
        values.sort_by(f64::total_cmp);
        let summary = sketch.summary();
        prop_assert_eq!(summary.count, values.len() as u64);
        prop_assert_eq!(summary.min, values[0]);
        prop_assert_eq!(summary.max, values[values.len() - 1]);
        let counted: usize = sketch.bins().iter().map(|bin| usize::from(bin.count)).sum();
        prop_assert_eq!(counted, values.len());

        let rank = (q * (values.len() - 1) as f64).round_ties_even();
        let ranked = values.iter().enumerate().find(|&(i, _)| i as f64 == rank).unwrap().1;
        let low = lower_bound(key(*ranked));
        let (from, to) = if low < 0.0 { (low * GAMMA, low) } else { (low, low * GAMMA) };
        let estimate = sketch.quantile(q);
        let slack = low.abs() * 1e-9;
        // In the lowest bin the estimate starts from the smallest value instead of the bin's bound.
        let lowest = key(*ranked) == key(values[0]);
        let (from, to) =
            if lowest { (from.min(values[0]), to.max(values[0])) } else { (from, to) };
        prop_assert!(from - slack <= estimate && estimate <= to + slack, "{} for {}", estimate, ranked);
    }

    /// For all sets of values whose sums are exact: however they are merged, counts, extremes, sum
    /// and bins are the same.
    #[test]
    fn merging_is_associative_and_commutative(
        parts in [0; 3].map(|_| vec((-1_000_000_i32..1_000_000).prop_map(|i| f64::from(i) / 64.0), 0..700)),
    ) {
        let [a, b, c] = [0, 1, 2].map(|i| sketch_of(&parts[i]));
        let mut left = a.clone();
        left.merge(&mut b.clone());
        left.merge(&mut c.clone());
        let mut tail = c;
        tail.merge(&mut b.clone());
        let mut right = tail;
        right.merge(&mut a.clone());
        let mut whole = sketch_of(&parts.concat());
        for sketch in [&mut left, &mut right, &mut whole] {
            sketch.finish();
        }
        for sketch in [&left, &right] {
            let (ours, theirs) = (sketch.summary(), whole.summary());
            prop_assert_eq!(sketch.bins(), whole.bins());
            prop_assert_eq!(ours.count, theirs.count);
            prop_assert_eq!((ours.min, ours.max, ours.sum), (theirs.min, theirs.max, theirs.sum));
            prop_assert!((ours.avg - theirs.avg).abs() <= 1e-9 * ours.max.abs().max(ours.min.abs()));
        }
    }

    /// For all values and rates, even senseless ones: the bins count what the summary counts, and
    /// every field stays finite.
    #[test]
    fn no_value_and_no_rate_makes_a_summary_infinite(
        samples in vec((any::<f64>().prop_filter("finite", |v| v.is_finite()), any::<f64>()), 1..100),
    ) {
        let mut sketch = Sketch::new();
        for (value, rate) in samples {
            let _ = sketch.insert(value, rate);
        }
        sketch.finish();
        let summary = sketch.summary();
        for field in [summary.min, summary.max, summary.avg, summary.sum] {
            prop_assert!(field.is_finite());
        }
        let counted: u64 = sketch.bins().iter().map(|bin| u64::from(bin.count)).sum();
        prop_assert_eq!(counted, summary.count);
        prop_assert!(counted <= u64::from(SKETCH_COUNT_MAX));
    }
}

#[test]
fn a_tiny_rate_fills_the_sketch_and_says_so() {
    let mut sketch = Sketch::new();
    assert_eq!(sketch.insert(3.0, 0.5), Taken::Whole);
    assert_eq!(sketch.insert(5.0, 1e-300), Taken::Clamped);
    assert_eq!(sketch.insert(5.0, 1.0), Taken::Refused);
    assert_eq!(sketch.insert(5.0, 0.5), Taken::Refused);
    sketch.finish();
    let summary = sketch.summary();
    assert_eq!(summary.count, u64::from(SKETCH_COUNT_MAX));
    assert_eq!(summary.sum, 6.0 + 5.0 * f64::from(SKETCH_COUNT_MAX - 2));
    assert_eq!(sketch.bins().len(), usize::from(Shape::default().bins_max.get()));
}

#[test]
fn the_smallest_clamped_rate_is_the_first_that_asks_for_more() {
    let whole = 1.0 / f64::from(SKETCH_COUNT_MAX);
    assert_eq!(Sketch::new().insert(1.0, whole), Taken::Whole);
    assert_eq!(Sketch::new().insert(1.0, 1.0 / f64::from(SKETCH_COUNT_MAX + 1)), Taken::Clamped);
    assert_eq!(Sketch::new().insert(1.0, f64::from_bits(1)), Taken::Clamped);
}

#[test]
fn a_rate_that_is_no_part_counts_once() {
    for rate in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -0.5, 1.0, 7.0] {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.insert(4.0, rate), Taken::Whole);
        assert_eq!(sketch.summary(), sketch_of(&[4.0]).summary());
    }
}

#[test]
fn an_empty_sketch_stays_empty_whatever_is_done_to_it() {
    let mut sketch = Sketch::new();
    sketch.finish();
    sketch.merge(&mut Sketch::new());
    sketch.insert_interpolated(2.0, 1.0, 5);
    assert!(sketch.is_empty());
    assert!(sketch.bins().is_empty());
    assert_eq!(sketch.quantile(0.5), 0.0);
}

#[test]
fn a_cleared_sketch_is_like_a_new_one() {
    let mut sketch = sketch_of(&[1.0; 1000]);
    sketch.finish();
    sketch.clear();
    assert!(sketch.is_empty());
    assert_eq!(sketch.insert(2.0, 1.0), Taken::Whole);
    sketch.finish();
    let mut fresh = sketch_of(&[2.0]);
    fresh.finish();
    assert_eq!(sketch.bins(), fresh.bins());
    assert_eq!(sketch.summary(), fresh.summary());
}

#[test]
fn a_sketch_goes_on_after_it_was_finished() {
    let mut sketch = sketch_of(&[1.0]);
    sketch.finish();
    assert_eq!(sketch.insert(1.0, 1.0), Taken::Whole);
    sketch.finish();
    assert_eq!(sketch.bins(), [Bin { key: BIAS, count: 2 }]);
}

#[test]
fn a_sketch_of_few_values_is_small() {
    assert!(size_of::<Sketch>() <= 120);
    let sketch = sketch_of(&[1.0, 2.0, 3.0]);
    assert!(sketch.keys.capacity() <= 4);
    assert_eq!(sketch.bins.capacity(), 0);
}
