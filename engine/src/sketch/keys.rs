//! The logarithmic grid of the sketch: from a value to its key and back.
//!
//! Key `k > 0` stands for the values around `GAMMA^(k - BIAS)`: the logarithm is *rounded* to the
//! nearest key, half to even, where the textbook takes the ceiling. Negative values mirror the
//! positive ones, and what is too small to matter has key 0.

/// Ratio of two neighbouring keys: twice the wanted relative error of 1/128, plus 1. Exact.
pub const GAMMA: f64 = 1.015625;

/// Natural logarithm of [`GAMMA`].
pub const LN_GAMMA: f64 = 0.015504186535965254;

/// Key of the value 1.
pub const BIAS: i16 = 1338;

/// Smallest magnitude with a key other than 0: `GAMMA^(1 - BIAS)`.
pub const MAGNITUDE_MIN: f64 = 9.94185408912145e-10;

/// Largest magnitude with a lower bound that is finite: `GAMMA^(32766 - BIAS)`.
pub const MAGNITUDE_MAX: f64 = 4.137616223466104e211;

/// Key of every magnitude above [`MAGNITUDE_MAX`].
pub const KEY_INFINITE: i16 = i16::MAX;

/// Gives the key of a finite value, `-32767..=32767`; keys order as values do.
///
/// Divides by [`LN_GAMMA`] and rounds half to even, as the reference agent does: its keys are
/// equal to the last one.
#[must_use]
pub fn key(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < MAGNITUDE_MIN || magnitude.is_nan() {
        return 0;
    }
    let position = (magnitude.ln() / LN_GAMMA).round_ties_even() + f64::from(BIAS);
    #[expect(clippy::cast_possible_truncation, reason = "a whole number in 1..=32767")]
    let key = position.clamp(1.0, f64::from(KEY_INFINITE)) as i16;
    if value < 0.0 { -key } else { key }
}

/// Gives the value that a key stands for; the infinite keys give infinities.
#[must_use]
pub fn lower_bound(key: i16) -> f64 {
    let magnitude = match key.unsigned_abs() {
        0 => 0.0,
        steps if steps >= KEY_INFINITE.unsigned_abs() => f64::INFINITY,
        steps => GAMMA.powf(f64::from(steps) - f64::from(BIAS)),
    };
    if key < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_the_key_of_its_lower_bound() {
        for k in 0..KEY_INFINITE {
            assert_eq!(key(lower_bound(k)), k);
            assert_eq!(key(lower_bound(-k)), -k);
        }
        assert_eq!(lower_bound(1), MAGNITUDE_MIN);
        assert_eq!(lower_bound(KEY_INFINITE - 1), MAGNITUDE_MAX);
        assert_eq!(GAMMA.ln(), LN_GAMMA);
    }

    /// So far from 1 the grid of values is finer than that of positions: some value stands exactly
    /// half way.
    #[test]
    fn half_way_between_two_keys_the_even_one_is_taken() {
        for below in 1000_i16..1032 {
            let middle = f64::from(below) + 0.5;
            let mut value = (middle * LN_GAMMA).exp() * (1.0 - 1e-13);
            while value.ln() / LN_GAMMA < middle {
                value = value.next_up();
            }
            assert_eq!(value.ln() / LN_GAMMA, middle);
            assert_eq!(key(value), below + below % 2 + BIAS);
            assert_eq!(key(-value), -key(value));
        }
    }

    #[test]
    fn what_lies_beyond_the_grid_has_the_outermost_keys() {
        assert_eq!(key(0.0), 0);
        assert_eq!(key(f64::MIN_POSITIVE), 0);
        assert_eq!(key(MAGNITUDE_MIN.next_down()), 0);
        assert_eq!(key(f64::MAX), KEY_INFINITE);
        assert_eq!(key(f64::MIN), -KEY_INFINITE);
        assert_eq!(lower_bound(i16::MIN), f64::NEG_INFINITY);
    }
}
