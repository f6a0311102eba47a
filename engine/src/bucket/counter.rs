//! A counter in one slot: the sum of its values, each scaled by its sample rate.

use crate::ledger::Refusal;
use crate::limits::SLOT_S;

/// Sum of the values of a counter; finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counter {
    sum: f64,
}

impl Counter {
    /// Adds a finite value times the inverse of its rate, which is not rounded: a rate below 0
    /// negates, one above 1 shrinks.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadRate`] if the scaled value is not finite (the reference agent lets such a value
    /// spoil the sum), [`Refusal::Overflow`] if the sum would not be.
    #[inline]
    pub fn add(&mut self, value: f64, rate: f64) -> Result<(), Refusal> {
        let scaled = if rate == 1.0 { value } else { scaled(value, rate) };
        if !scaled.is_finite() {
            return Err(Refusal::BadRate);
        }
        let sum = self.sum + scaled;
        if !sum.is_finite() {
            return Err(Refusal::Overflow);
        }
        self.sum = sum;
        Ok(())
    }

    /// Adds what another worker counted; stops at the ends of the finite range.
    pub fn merge(&mut self, other: Self) {
        self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
    }

    /// Gives the value per second over a slot: the series is a
    /// [rate](crate::series::SeriesKind::Rate), which the intake multiplies back.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.sum / SLOT_S as f64
    }
}

/// A value times the inverse of its rate. Apart, because a compiler that sees both ways sees that
/// they agree for 1, and divides always.
#[inline(never)]
fn scaled(value: f64, rate: f64) -> f64 {
    value * (1.0 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(samples: &[(f64, f64)]) -> f64 {
        let mut counter = Counter::default();
        for &(value, rate) in samples {
            counter.add(value, rate).unwrap();
        }
        counter.per_second()
    }

    #[test]
    fn a_rate_scales_without_rounding() {
        assert_eq!(counted(&[(1.0, 1.0), (4.0, 0.5)]), 0.9);
        assert_eq!(counted(&[(1.0, 0.3)]), (1.0 / 0.3) / 10.0);
        assert_eq!(counted(&[(4.0, -0.5)]), -0.8);
        assert_eq!(counted(&[(4.0, 2.0)]), 0.2);
        assert_eq!(counted(&[(4.0, f64::INFINITY)]), 0.0);
    }

    #[test]
    fn an_unusable_rate_loses_only_its_own_sample() {
        let mut counter = Counter::default();
        counter.add(7.0, 1.0).unwrap();
        for rate in [0.0, -0.0, f64::NAN, f64::from_bits(1)] {
            assert_eq!(counter.add(1.0, rate), Err(Refusal::BadRate));
        }
        assert_eq!(counter.add(0.0, 0.0), Err(Refusal::BadRate));
        assert_eq!(counter.per_second(), 0.7);
    }

    #[test]
    fn a_sum_stays_finite() {
        let mut counter = Counter::default();
        counter.add(f64::MAX, 1.0).unwrap();
        assert_eq!(counter.add(f64::MAX, 1.0), Err(Refusal::Overflow));
        assert_eq!(counter.per_second(), f64::MAX / 10.0);
        counter.merge(counter);
        assert_eq!(counter.per_second(), f64::MAX / 10.0);
        counter.add(f64::MIN, 1.0).unwrap();
        assert_eq!(counter.per_second(), 0.0);
    }

    #[test]
    fn two_workers_counters_add_up() {
        let (mut one, mut two) = (Counter::default(), Counter::default());
        one.add(1.0, 1.0).unwrap();
        two.add(2.0, 0.5).unwrap();
        one.merge(two);
        assert_eq!(one.per_second(), 0.5);
    }
}
