//! The rest between sweeps: under load a receiver that wakes for every datagram pays more for waking
//! than for reading, while the burst group is deep enough to wait.
//!
//! ```text
//!  rate = datagrams of the last sweep / time since the sweep before
//!  rate >= 1 a millisecond: rest, at most REST_MAX, and at most as long as a client that sends flat
//!                           out would need to fill half of the group
//! ```
//!
//! A single datagram after a pause is read at once and nothing rests after it. Unix sockets hold some
//! ten datagrams and then stop their clients: with one of them among the sources there is no rest.

use std::time::Duration;

/// Longest rest: it bounds what a stop or a slot's close could ever wait, if nothing woke them, and
/// the age of a datagram that a worker sees.
const REST_MAX: Duration = Duration::from_millis(20);

/// A rest shorter than this is not worth its timer.
const REST_MIN: Duration = Duration::from_micros(500);

/// What a client needs for a datagram, sending flat out: less than any that was measured.
const DATAGRAM_NS_MIN: u64 = 400;

/// Kernel memory of a small datagram in a socket's queue.
const DATAGRAM_KERNEL_BYTES: u64 = 832;

/// Decides on the rests of a receiver.
#[derive(Debug)]
pub(super) struct Rest {
    /// None if the sockets are not deep enough.
    longest: Option<Duration>,
    /// Datagrams received, and the monotonic time, at the end of the sweep before.
    before: (u64, u64),
}

impl Rest {
    /// Rests over sockets that hold so many bytes of kernel memory together; over none if 0.
    pub(super) fn new(group_bytes: u64) -> Self {
        let fills_ns = group_bytes / DATAGRAM_KERNEL_BYTES * DATAGRAM_NS_MIN;
        let longest = Duration::from_nanos(fills_ns / 2).min(REST_MAX);
        Self { longest: (longest >= REST_MIN).then_some(longest), before: (0, 0) }
    }

    /// How long to rest after a sweep, if at all: `received` datagrams by now in all, at `now_ns` of
    /// the monotonic clock.
    pub(super) fn after_sweep(&mut self, received: u64, now_ns: u64) -> Option<Duration> {
        let (received_before, before_ns) = std::mem::replace(&mut self.before, (received, now_ns));
        let (datagrams, ns) = (received - received_before, now_ns.saturating_sub(before_ns));
        self.longest.filter(|_| datagrams.saturating_mul(1_000_000) >= ns.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_group_is_rested_over_only_if_it_is_deep() {
        let longest = |bytes| Rest::new(bytes).longest;
        assert_eq!(longest(0), None);
        assert_eq!(longest(212_992), None);
        assert_eq!(longest(64 * 212_992), Some(Duration::from_nanos(64 * 256 * 400 / 2)));
        assert_eq!(longest(52 << 20), Some(Duration::from_nanos((52 << 20) / 832 * 400 / 2)));
        assert_eq!(longest(1 << 30), Some(REST_MAX));
    }

    #[test]
    fn only_load_brings_a_rest() {
        let mut rest = Rest::new(1 << 30);
        assert_eq!(rest.after_sweep(1, 1_000 * MS), None, "one after a pause");
        assert_eq!(rest.after_sweep(2, 2_000 * MS), None, "and another");
        assert_eq!(rest.after_sweep(6, 2_000 * MS + MS / 10), Some(REST_MAX));
        assert_eq!(rest.after_sweep(256, 2_020 * MS), Some(REST_MAX));
        assert_eq!(rest.after_sweep(256, 2_040 * MS), None, "it is over");
    }
}
