//! Numbers about numbers: mean, spread, quantiles, and the interval in which the difference of two
//! means lies (Welch).
//!
//! Student's distribution needs no special function here: with `x = sqrt(ν)·tan θ` its density is
//! proportional to `cos(θ)^(ν-1)`, which is summed up until the wanted share of it is below.

use crate::load::Random;

/// The arithmetic mean; `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / number(values.len()))
}

/// The standard deviation of what the values were drawn from; `None` of fewer than two.
#[must_use]
pub fn deviation(values: &[f64]) -> Option<f64> {
    variance(values).map(f64::sqrt)
}

fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Some(squares / number(values.len() - 1))
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let (lower, upper) =
        (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted[sorted.len() / 2]);
    Some(f64::midpoint(*lower, upper))
}

/// The value below which a share (0 to 1) of all lies, by nearest rank; `None` of nothing.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let rank = (share * number(values.len())).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to len")]
    let index = (rank as usize).saturating_sub(1);
    sorted(values).get(index).copied()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Where a quantity lies with a given confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate, in the middle.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Estimates by how much the mean of `b` is above that of `a`, with an interval that holds the true
/// difference with the confidence (0 to 1, both ends excluded). The two may differ in number and in
/// spread. `None` if either has fewer than two values.
#[must_use]
pub fn welch(a: &[f64], b: &[f64], confidence: f64) -> Option<Interval> {
    let (size_a, size_b) = (number(a.len()), number(b.len()));
    let (error_a, error_b) = (variance(a)? / size_a, variance(b)? / size_b);
    let estimate = mean(b)? - mean(a)?;
    let error = error_a + error_b;
    if error == 0.0 {
        return Some(Interval { estimate, low: estimate, high: estimate });
    }
    let freedom =
        error.powi(2) / (error_a.powi(2) / (size_a - 1.0) + error_b.powi(2) / (size_b - 1.0));
    let reach = student_quantile(f64::midpoint(1.0, confidence), freedom) * error.sqrt();
    Some(Interval { estimate, low: estimate - reach, high: estimate + reach })
}

/// The value that a Student-distributed one stays below with a probability above one half.
fn student_quantile(probability: f64, freedom: f64) -> f64 {
    const STEPS: usize = 2_000;
    // The normal distribution is as near as makes no difference from there on.
    let freedom = freedom.clamp(1.0, 2_000.0);
    let step = std::f64::consts::FRAC_PI_2 / number(STEPS);
    // The middle of each strip.
    let strip = |index: usize| ((number(index) + 0.5) * step).cos().powf(freedom - 1.0);
    let whole: f64 = (0..STEPS).map(strip).sum();
    // Half of the distribution lies below zero.
    let mut wanted = (2.0 * probability - 1.0) * whole;
    for index in 0..STEPS {
        let here = strip(index);
        if here >= wanted {
            return freedom.sqrt() * ((number(index) + wanted / here) * step).tan();
        }
        wanted -= here;
    }
    f64::INFINITY
}

/// Draws so many of the values, each as often as it comes; nothing of nothing.
#[must_use]
pub fn resample(values: &[f64], count: usize, random: &mut Random) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    (0..count).map(|_| values[random.index(values.len())]).collect()
}

/// A count as a number to reckon with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts here stay below 2^53")]
pub fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3 * b.abs().max(1.0)
    }

    #[test]
    fn the_middle_and_the_spread_of_values() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!((mean(&values), median(&values)), (Some(5.0), Some(4.5)));
        assert!(close(deviation(&values).unwrap(), 2.138));
        assert_eq!((median(&[3.0, 1.0, 2.0]), mean(&[])), (Some(2.0), None));
        assert_eq!((median(&[]), deviation(&[1.0])), (None, None));
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// Against the printed tables.
    #[test]
    fn student_agrees_with_the_tables() {
        let rows = [
            (0.95, 1.0, 6.314),
            (0.95, 4.0, 2.132),
            (0.95, 10.0, 1.812),
            (0.975, 5.0, 2.571),
            (0.99, 30.0, 2.457),
            (0.95, 1e9, 1.645),
        ];
        for (probability, freedom, expected) in rows {
            let found = student_quantile(probability, freedom);
            assert!(close(found, expected), "{probability} {freedom}: {found}");
        }
    }

    /// A worked example with unequal sizes and spreads: 20.6 degrees of freedom.
    #[test]
    fn welch_allows_for_unequal_spread() {
        let a =
            [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7];
        let b =
            [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.0];
        let found = welch(&a, &b, 0.9).unwrap();
        assert!(close(found.estimate, 2.786), "{found:?}");
        assert!(found.low > 0.0 && found.high < 6.0, "{found:?}");
        assert!(close(f64::midpoint(found.low, found.high), found.estimate));
        assert_eq!(welch(&a[..1], &b, 0.9), None);
    }

    #[test]
    fn without_spread_the_difference_is_certain() {
        let certain = Interval { estimate: 1.0, low: 1.0, high: 1.0 };
        assert_eq!(welch(&[1.0, 1.0], &[2.0, 2.0], 0.9), Some(certain));
    }

    /// For 2,000 pairs of samples of one distribution: the interval holds zero about as often as it
    /// says it does.
    #[test]
    fn the_interval_is_as_wide_as_it_claims() {
        let mut random = Random::new(1);
        let pool: Vec<f64> = (0..1_000).map(|_| f64::from(random.below(1_000))).collect();
        let holds = (0..2_000).filter(|_| {
            let [a, b] = [(); 2].map(|()| resample(&pool, 8, &mut random));
            let interval = welch(&a, &b, 0.9).unwrap();
            interval.low <= 0.0 && interval.high >= 0.0
        });
        let holds = holds.count();
        assert!((1_750..=1_850).contains(&holds), "{holds} of 2000");
    }

    #[test]
    fn a_resample_is_made_of_the_values_and_comes_again_with_its_seed() {
        let draw = |seed| resample(&[1.0, 2.0, 3.0], 20, &mut Random::new(seed));
        assert_eq!(draw(7), draw(7));
        assert!(draw(7).iter().all(|value| [1.0, 2.0, 3.0].contains(value)));
        assert!(resample(&[], 3, &mut Random::new(1)).is_empty());
    }
}
