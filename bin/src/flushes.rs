//! Flushes on demand: counted, joined, and kept apart.
//!
//! A flush ships slots that are still open, and what comes after it in the same slot becomes a point
//! of its own, one second later at least: two points of one series and second would overwrite each
//! other at the intake. So there is at most one flush a second, and whoever asks in between gets the
//! next one.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Shortest time between two flushes.
const APART: Duration = Duration::from_secs(1);

/// The flushes of this process.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    /// Number of the last one; 0 before the first.
    number: u64,
    /// When that was.
    last: Option<Instant>,
    wanted: bool,
    /// Those who want to know the number of the next one.
    waiting: Vec<SyncSender<u64>>,
}

impl Flushes {
    /// Asks for a flush of what has been received so far.
    pub(crate) fn ask(&mut self) {
        self.wanted = true;
    }

    /// Asks for a flush and for its number.
    pub(crate) fn ask_and_tell(&mut self, reply: SyncSender<u64>) {
        self.wanted = true;
        self.waiting.push(reply);
    }

    /// How long it is until the next flush may begin; none if none is asked for.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        let left = self.last.map_or(Duration::ZERO, |last| (last + APART).duration_since(now));
        self.wanted.then_some(left)
    }

    /// The number of the flush that is to begin now, if one is.
    pub(crate) fn next(&mut self, now: Instant) -> Option<u64> {
        if self.due_in(now) != Some(Duration::ZERO) {
            return None;
        }
        self.number += 1;
        (self.last, self.wanted) = (Some(now), false);
        for reply in self.waiting.drain(..) {
            // Whoever has gone away needs no answer.
            let _ = reply.try_send(self.number);
        }
        Some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn flushes_are_a_second_apart_and_those_asked_for_in_between_are_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut flushes = Flushes::default();
        assert_eq!((flushes.due_in(start), flushes.next(start)), (None, None));
        flushes.ask();
        assert_eq!(flushes.next(start), Some(1));
        let (reply, number) = sync_channel(1);
        flushes.ask_and_tell(reply);
        flushes.ask();
        assert_eq!(flushes.due_in(at(400)), Some(Duration::from_millis(600)));
        assert_eq!(flushes.next(at(999)), None);
        assert_eq!(flushes.next(at(1000)), Some(2));
        assert_eq!(number.try_recv(), Ok(2));
        assert_eq!(flushes.due_in(at(5000)), None);
    }
}
