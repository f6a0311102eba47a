//! Spreads a histogram bucket evenly over the keys between its bounds. DogStatsD has no such
//! message; the vectors of the sketch do.

use super::Sketch;
use super::keys::{key, lower_bound};
use super::summary;

impl Sketch {
    /// Inserts `count` values spread evenly between two bounds; nothing if they are out of order.
    ///
    /// Each key takes the share of the values that its distance to the next one has in the whole.
    /// Fractions of a value are carried on from one share to the next, save those of shares below
    /// 1: these keys lend their room to the key before them.
    pub fn insert_interpolated(&mut self, lower: f64, upper: f64, count: u32) {
        let (first, last) = (key(lower), key(upper));
        if first > last || count == 0 {
            return;
        }
        let mut taken = Vec::new();
        let mut left = count;
        let mut start = first;
        let mut carried = 0.0;
        for next in first.saturating_add(1)..=last {
            let width = lower_bound(next) - lower_bound(start);
            let share = width / (upper - lower) * f64::from(count);
            if share > 1.0 {
                carried += share.fract();
            }
            #[expect(clippy::cast_possible_truncation, reason = "a share is cut to whole values")]
            let mut take = share as u32;
            if carried > 1.0 {
                take = take.saturating_add(1);
                carried -= 1.0;
            }
            let take = take.min(left);
            if take > 0 {
                taken.push((start, take));
                left -= take;
                start = next;
            }
            if left == 0 {
                break;
            }
        }
        if left > 0 {
            taken.push((start, left));
        }
        for &(key, count) in &taken {
            summary::add_copies(&mut self.summary, lower_bound(key), f64::from(count));
        }
        self.flush();
        self.store.insert_all(taken.into_iter());
    }
}
