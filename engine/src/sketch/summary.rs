//! Count, extremes, mean and sum beside the bins, in the reference agent's order of operations: the
//! mean is a running one, so that its last bits are the reference's.
//!
//! Every field stays finite: a sum or mean that would leave the range of `f64` stops at its end.

use crate::series::Summary;

/// Counts one value.
pub(super) fn add(summary: &mut Summary, value: f64) {
    if summary.count == 0 {
        *summary = Summary { count: 1, min: value, max: value, avg: value, sum: value };
        return;
    }
    summary.count += 1;
    summary.min = summary.min.min(value);
    summary.max = summary.max.max(value);
    summary.sum = finite(summary.sum + value);
    summary.avg = finite(summary.avg + (value - summary.avg) / as_float(summary.count));
}

/// Counts a value `copies` times; the sum takes the copies with their fraction, the count without.
pub(super) fn add_copies(summary: &mut Summary, value: f64, copies: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is meant to go")]
    let count = copies as u64;
    let sum = finite(value * copies);
    merge(summary, &Summary { count, min: value, max: value, avg: value, sum });
}

/// Adds the values that another summary speaks for.
pub(super) fn merge(summary: &mut Summary, other: &Summary) {
    if other.count == 0 {
        return;
    }
    if summary.count == 0 {
        *summary = *other;
        return;
    }
    summary.count += other.count;
    summary.min = summary.min.min(other.min);
    summary.max = summary.max.max(other.max);
    summary.sum = finite(summary.sum + other.sum);
    let pull = (other.avg - summary.avg) * as_float(other.count) / as_float(summary.count);
    summary.avg = finite(summary.avg + pull);
}

/// Stops at the ends of the finite range.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

fn as_float(count: u64) -> f64 {
    count as f64
}
