//! The sketch: insert and merge against all values in full, with the error that is promised.

use arbitrary::{Result, Unstructured};
use lastdrop_engine::sketch::{MAGNITUDE_MAX, MAGNITUDE_MIN, Sketch, Taken, key, lower_bound};

/// Most values of one input: several times what a sketch gathers before it sorts.
const VALUES_MAX: usize = 2500;

/// Half the distance between two neighbouring keys, relative: no value is further from what its bin
/// stands for (and a little for the rounding of logarithms).
const ERROR_MAX: f64 = 1.0 / 128.0 + 1e-9;

/// For all values in up to three sketches that are merged, sampled at any rate: count, sum and
/// extremes are those of the values, the bins count each value under its key, and every quantile of
/// the bins is a value of that rank to within 1/128.
pub fn sketch(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (mut sketches, mut exact) =
        ([Sketch::new(), Sketch::new(), Sketch::new()], Exact::default());
    for _ in 0..VALUES_MAX {
        if input.is_empty() || insert(&mut input, &mut sketches, &mut exact).is_err() {
            break;
        }
    }
    let [mut all, mut second, mut third] = sketches;
    second.merge(&mut third);
    all.merge(&mut second);
    all.finish();
    check(&all, &exact);
}

/// All values in full.
#[derive(Default)]
struct Exact {
    /// Each as often as it counts.
    values: Vec<f64>,
    sum: f64,
    /// Sum of the magnitudes, for the error that additions may make.
    magnitude: f64,
}

fn insert(
    input: &mut Unstructured<'_>,
    sketches: &mut [Sketch; 3],
    exact: &mut Exact,
) -> Result<()> {
    let value = match input.int_in_range(0..=4)? {
        0 => f64::from(input.arbitrary::<i8>()?),
        1 => f64::from(input.arbitrary::<f32>()?),
        2 => f64::from(input.arbitrary::<i32>()?) / 1000.0,
        3 => *input.choose(&[0.0, -0.0, MAGNITUDE_MIN, 1e-300, 1.0, MAGNITUDE_MAX, f64::MAX])?,
        _ => input.arbitrary()?,
    };
    let rate = match input.int_in_range(0..=9)? {
        0 => *input.choose(&[0.5, 0.25, 0.1, 0.3])?,
        1 => *input.choose(&[0.0, -1.0, 2.0, f64::NAN, f64::INFINITY])?,
        _ => 1.0,
    };
    // A caller's promise: what is not finite never comes here.
    if !value.is_finite() {
        return Ok(());
    }
    let weight = if rate > 0.0 && rate < 1.0 { 1.0 / rate } else { 1.0 };
    let sketch = &mut sketches[input.int_in_range(0..=2)?];
    assert_eq!(sketch.insert(value, rate), Taken::Whole);
    for copy in 1..=10 {
        if f64::from(copy) <= weight {
            exact.values.push(value);
        }
    }
    exact.sum += value * weight;
    exact.magnitude += (value * weight).abs();
    Ok(())
}

fn check(sketch: &Sketch, exact: &Exact) {
    let summary = sketch.summary();
    let mut sorted = exact.values.clone();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(summary.count, sorted.len() as u64);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        assert!(sketch.is_empty() && sketch.bins().is_empty());
        return;
    };
    assert_eq!((summary.min, summary.max), (*first, *last));
    if exact.magnitude.is_finite() {
        let error = exact.magnitude * 1e-12;
        assert!((summary.sum - exact.sum).abs() <= error, "{} for {}", summary.sum, exact.sum);
        assert!(summary.avg.is_finite());
    }
    // Values in order have keys in order, so the bins are the sorted values' keys, counted. More
    // distinct keys than a sketch keeps bins don't come of so few values.
    let mut values = sorted.iter();
    for bin in sketch.bins() {
        for value in values.by_ref().take(bin.count.into()) {
            assert_eq!(key(*value), bin.key, "{value}");
            let shown = lower_bound(bin.key);
            if (MAGNITUDE_MIN..=MAGNITUDE_MAX).contains(&value.abs()) && shown.is_finite() {
                assert!((shown - value).abs() <= value.abs() * ERROR_MAX, "{value} in {shown}");
            }
        }
    }
    assert_eq!(values.next(), None, "a value is in no bin");
    assert!(sketch.bins().is_sorted_by_key(|bin| bin.key));
}
