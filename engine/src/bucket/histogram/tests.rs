//! Histograms against the figures that the reference agent gives, and against exact ones where they
//! are folded.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const ALL: [&str; 6] = ["max", "min", "median", "avg", "sum", "count"];

/// A histogram of `(value, rate)` pairs.
fn histogram_of(samples: &[(f64, f64)]) -> Histogram {
    let mut histogram = Histogram::new();
    for &(value, rate) in samples {
        histogram.add(value, rate).unwrap();
    }
    histogram
}

fn emitted(
    mut histogram: Histogram,
    aggregates: &[&str],
    percentiles: &[&str],
) -> Vec<(String, f64)> {
    let (settings, bad) = HistogramSettings::parse(aggregates, percentiles);
    assert!(bad.is_empty());
    let mut series = Vec::new();
    histogram.emit(&settings, |suffix, value| series.push((suffix.text.clone(), value)));
    series
}

fn check(samples: &[(f64, f64)], percentiles: &[&str], expected: &[(&str, f64)]) {
    let series = emitted(histogram_of(samples), &ALL, percentiles);
    let series: Vec<_> = series.iter().map(|(text, value)| (text.as_str(), *value)).collect();
    assert_eq!(series, expected, "{samples:?}");
}

#[test]
fn rates_weigh_in_every_figure() {
    check(
        &[(1.0, 1.0), (2.0, 0.5), (3.0, 0.2), (10.0, 0.5)],
        &["0.20", "0.95", "0.80"],
        &[
            (".max", 10.0),
            (".min", 1.0),
            (".median", 3.0),
            (".avg", 4.0),
            (".sum", 40.0),
            (".count", 1.0),
            (".20percentile", 2.0),
            (".80percentile", 3.0),
            (".95percentile", 10.0),
        ],
    );
}

#[test]
fn one_value_is_every_figure() {
    let figures = |count, sum| {
        [
            (".max", 5.0),
            (".min", 5.0),
            (".median", 5.0),
            (".avg", 5.0),
            (".sum", sum),
            (".count", count),
            (".95percentile", 5.0),
        ]
    };
    check(&[(5.0, 1.0)], &["0.95"], &figures(0.1, 5.0));
    check(&[(5.0, 0.0)], &["0.95"], &figures(0.1, 5.0));
    check(&[(5.0, 0.1)], &["0.95"], &figures(1.0, 50.0));
    check(&[(5.0, 2.0)], &["0.95"], &figures(0.05, 2.5));
}

#[test]
fn the_median_of_two_is_the_lower_one() {
    for (samples, median) in [
        ([(1.0, 1.0), (2.0, 1.0)], 1.0),
        ([(-5.0, 1.0), (5.0, 1.0)], -5.0),
        ([(100.0, 1.0), (1.0, 0.5)], 1.0),
    ] {
        let series = emitted(histogram_of(&samples), &["median"], &[]);
        assert_eq!(series, [(".median".to_owned(), median)]);
    }
}

#[test]
fn a_negative_rate_alone_has_median_0_and_no_percentile() {
    check(
        &[(5.0, -0.5)],
        &["0.95"],
        &[
            (".max", 5.0),
            (".min", 5.0),
            (".median", 0.0),
            (".avg", 5.0),
            (".sum", -10.0),
            (".count", -0.2),
        ],
    );
}

#[test]
fn weights_that_cancel_out_leave_the_mean_away() {
    let series = emitted(histogram_of(&[(5.0, 1.0), (6.0, -1.0)]), &["avg", "count"], &[]);
    assert_eq!(series, [(".count".to_owned(), 0.0)]);
}

#[test]
fn an_unusable_rate_loses_only_its_own_sample() {
    let mut histogram = histogram_of(&[(2.0, 1.0)]);
    assert_eq!(histogram.add(1.0, f64::NAN), Err(Refusal::BadRate));
    assert_eq!(histogram.add(0.0, f64::from_bits(1)), Err(Refusal::BadRate));
    assert_eq!(histogram.add(1e300, 1e-10), Err(Refusal::BadRate));
    assert_eq!(histogram.add(1e-10, 1e-308), Ok(()));
    assert_eq!(histogram.add(1e-10, 1e-308), Err(Refusal::Overflow));
    assert_eq!(emitted(histogram, &["max", "min"], &[]).len(), 2);
}

#[test]
fn an_empty_histogram_emits_nothing() {
    assert_eq!(emitted(Histogram::new(), &ALL, &["0.5"]), []);
}

#[test]
fn sums_keep_what_cancels_out() {
    for samples in [
        [(1.0, 1.0), (1e100, 1.0), (1.0, 1.0), (-1e100, 1.0)],
        [(1.0, 1.0), (1e100, 0.5), (1.0, 1.0), (-1e100, 0.5)],
    ] {
        let series = emitted(histogram_of(&samples), &["sum"], &[]);
        assert_eq!(series, [(".sum".to_owned(), 2.0)], "{samples:?}");
    }
    for sign in [1.0, -1.0] {
        let samples = [1e16, 1.0, 1.0].map(|value| (sign * value, 1.0));
        let series = emitted(histogram_of(&samples), &["sum"], &[]);
        assert_eq!(series, [(".sum".to_owned(), sign * 10_000_000_000_000_002.0)]);
    }
}

proptest! {
    /// For all values at rate 1: median and percentile N stand at `(n - 1) / 2` and
    /// `(N * n - 1) / 100` of the sorted list, rounded down.
    #[test]
    fn without_rates_figures_stand_at_their_rank(
        mut values in vec(-1e9..1e9, 1..300), percent in 1_usize..=100,
    ) {
        let samples: Vec<_> = values.iter().map(|&value| (value, 1.0)).collect();
        let part = format!("{}", percent as f64 / 100.0);
        let series = emitted(histogram_of(&samples), &["median"], &[&part]);
        values.sort_by(f64::total_cmp);
        let n = values.len();
        prop_assert_eq!(series[0].1, values[(n - 1) / 2]);
        prop_assert_eq!(series[1].1, values[(percent * n - 1) / 100]);
    }

    /// For all whole values, however they are spread over two workers: the same figures.
    #[test]
    fn two_workers_histograms_make_one(
        one in vec((0..1000, 1..5), 0..50), two in vec((0..1000, 1..5), 0..50),
    ) {
        let samples = |part: &[(i32, i32)]| -> Vec<_> {
            part.iter().map(|&(value, weight)| (f64::from(value), 1.0 / f64::from(weight))).collect()
        };
        let mut merged = histogram_of(&samples(&one));
        merged.merge(&histogram_of(&samples(&two)));
        let whole = histogram_of(&samples(&[one, two].concat()));
        prop_assert_eq!(
            emitted(merged, &ALL, &["0.5", "0.99"]),
            emitted(whole, &ALL, &["0.5", "0.99"])
        );
    }
}

/// Ten times as many values as there is room for, spread over many keys: whole numbers in a fixed
/// shuffle, so that sums are exact.
fn crowd() -> impl Iterator<Item = f64> {
    let modulus = 163_841_u64;
    (0..10 * HISTOGRAM_VALUES_MAX as u64).map(move |i| (i * 7919 % modulus) as f64 - 500.0)
}

#[test]
fn two_full_histograms_make_one_with_exact_count_and_sum() {
    let mut parts = [Histogram::new(), Histogram::new()];
    for (i, value) in crowd().enumerate() {
        parts[i % 2].add(value, 1.0).unwrap();
    }
    let [mut merged, other] = parts;
    merged.merge(&other);
    assert!(merged.values.len() <= HISTOGRAM_VALUES_MAX);
    let series = emitted(merged, &["sum", "count"], &[]);
    assert_eq!(series[0].1, crowd().sum::<f64>());
    assert_eq!(series[1].1, crowd().count() as f64 / 10.0);
}

#[test]
fn a_full_histogram_stays_within_its_room_and_one_key_of_the_truth() {
    let mut histogram = Histogram::new();
    let mut values = Vec::new();
    for value in crowd() {
        histogram.add(value, 1.0).unwrap();
        values.push(value);
        assert!(histogram.values.len() <= HISTOGRAM_VALUES_MAX);
    }
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let series = emitted(histogram, &ALL, &["0.01", "0.5", "0.99"]);
    let figure = |text: &str| series.iter().find(|(suffix, _)| suffix == text).unwrap().1;
    assert_eq!(figure(".max"), values[n - 1]);
    assert_eq!(figure(".min"), values[0]);
    assert_eq!(figure(".count"), n as f64 / 10.0);
    assert_eq!(figure(".sum"), values.iter().sum::<f64>());
    for (suffix, rank) in [
        (".median", (n - 1) / 2),
        (".1percentile", (n - 1) / 100),
        (".50percentile", (50 * n - 1) / 100),
        (".99percentile", (99 * n - 1) / 100),
    ] {
        assert_eq!(key(figure(suffix)), key(values[rank]), "{suffix}");
    }
}

#[test]
fn few_distinct_values_stay_exact_however_many_come() {
    let mut histogram = Histogram::new();
    let mut sum = 0.0;
    for i in 0..5 * HISTOGRAM_VALUES_MAX {
        let value = (i % 1000) as f64;
        histogram.add(value, 0.5).unwrap();
        sum += 2.0 * value;
    }
    let series = emitted(histogram, &["median", "sum"], &["0.999"]);
    let expected = [(".median", 499.0), (".sum", sum), (".100percentile", 999.0)];
    assert_eq!(series, expected.map(|(text, value)| (text.to_owned(), value)));
}

#[test]
fn values_spread_over_the_whole_grid_find_room_too() {
    let mut histogram = Histogram::new();
    for k in (1..32_000).cycle().take(4 * HISTOGRAM_VALUES_MAX) {
        histogram.add(crate::sketch::lower_bound(k), 1.0).unwrap();
        assert!(histogram.values.len() <= HISTOGRAM_VALUES_MAX);
    }
    let series = emitted(histogram, &["count", "min", "max"], &[]);
    assert_eq!(series[0].1, 4.0 * HISTOGRAM_VALUES_MAX as f64 / 10.0);
    assert_eq!(series[1].1, crate::sketch::lower_bound(1));
    assert_eq!(series[2].1, crate::sketch::lower_bound(31_999));
}

#[test]
fn values_of_one_rate_cost_eight_bytes() {
    let histogram = histogram_of(&[(1.0, 0.5); 64]);
    assert!(matches!(histogram.values, Values::Same(_)));
    let mixed = histogram_of(&[(1.0, 0.5), (1.0, 1.0)]);
    assert!(matches!(mixed.values, Values::Own(_)));
}
