//! How many sockets a burst needs, how large their buffers are, and what they hold then.
//!
//! A program that ends sends its last metrics in one burst, faster than any agent is scheduled. With
//! the kernel's default limits one UDP socket holds 256 datagrams of 80 bytes; the rest is lost
//! before it can be read. So the listener is a *group* of sockets on one address, over which the
//! kernel spreads what arrives: in turn where it can tell, else at random.
//!
//! The group is sized in bytes of kernel memory, because that is what a full group costs and what
//! the container is charged with. Fewer sockets with larger buffers hold more of the same bytes
//! (less head-room) and cost fewer system calls, so buffers grow first, as far as the kernel grants.
//!
//! Chance needs head-room: of `m` datagrams that each of many sockets gets *on average*, a single
//! one gets `m ± √m`. With room for `c` the group is good for the `m` with `m + 4√m = c`, beyond
//! which not one socket in 30,000 goes; solved, `m = (√(c + 4) − 2)²`. We promise that much.

use crate::limits::{BURST_BYTES_DEFAULT, BURST_MEMORY_SHARE};

/// What the kernel grants a socket for waiting datagrams, in bytes as it counts them (twice what
/// `SO_RCVBUF` is given).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferBounds {
    /// Without asking (`net.core.rmem_default`).
    pub default_bytes: usize,
    /// At most (twice `net.core.rmem_max`); not less than the default.
    pub largest_bytes: usize,
}

/// The shape of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Number of sockets, at least 1.
    pub sockets: usize,
    /// Buffer of each in bytes as the kernel counts them.
    pub receive_buffer_bytes: usize,
}

/// Plans a group that takes up to `burst_bytes` of kernel memory when it is full, but at least one
/// socket with the default buffer. `sockets_min` and `sockets_max` bound the count (`sockets_max`
/// wins).
#[must_use]
pub fn plan(
    burst_bytes: usize,
    buffer: BufferBounds,
    sockets_min: usize,
    sockets_max: usize,
) -> GroupPlan {
    let sockets_max = sockets_max.max(1);
    let sockets =
        burst_bytes.div_ceil(buffer.largest_bytes.max(1)).max(sockets_min).clamp(1, sockets_max);
    let share_bytes = (burst_bytes / sockets).min(buffer.largest_bytes);
    if share_bytes >= buffer.default_bytes {
        return GroupPlan { sockets, receive_buffer_bytes: share_bytes };
    }
    let sockets = (burst_bytes / buffer.default_bytes.max(1)).max(sockets_min);
    GroupPlan { sockets: sockets.clamp(1, sockets_max), receive_buffer_bytes: buffer.default_bytes }
}

impl GroupPlan {
    /// Returns how many datagrams of `datagram_bytes` bytes the group keeps while nobody reads.
    #[must_use]
    pub fn capacity(&self, datagram_bytes: usize) -> usize {
        let each = self.receive_buffer_bytes / charged_bytes(datagram_bytes);
        if self.sockets <= 1 {
            return each;
        }
        let mean = each.saturating_add(4).isqrt().saturating_sub(2);
        self.sockets.saturating_mul(mean.saturating_mul(mean))
    }
}

/// Returns the kernel memory in bytes that a waiting UDP datagram of `datagram_bytes` bytes is
/// charged with on a 64-bit Linux with the common configuration: a block for headers and bytes (a
/// small one of fixed size, else the next power of two) and the descriptor of the packet.
///
/// The figures were measured on Linux 6.18; others differ a little, and status shows an estimate.
#[must_use]
pub fn charged_bytes(datagram_bytes: usize) -> usize {
    const PACKET_BYTES: usize = 256;
    const SMALL_BLOCK_BYTES: usize = 576;
    /// Room before the payload for link, IP and UDP headers, and behind it for the kernel's notes.
    const FRAME_BYTES: usize = 59 + 320;
    let needed = datagram_bytes.saturating_add(FRAME_BYTES);
    let block = if needed <= SMALL_BLOCK_BYTES {
        SMALL_BLOCK_BYTES
    } else {
        needed.checked_next_power_of_two().unwrap_or(needed)
    };
    block.saturating_add(PACKET_BYTES)
}

/// Returns the size of the burst group to aim at in bytes: [`BURST_BYTES_DEFAULT`], but no more than
/// one part in [`BURST_MEMORY_SHARE`] of the container's memory limit, if there is one.
#[must_use]
pub fn default_burst_bytes(memory_limit_bytes: Option<u64>) -> usize {
    memory_limit_bytes
        .and_then(|limit| usize::try_from(limit / BURST_MEMORY_SHARE).ok())
        .map_or(BURST_BYTES_DEFAULT, |share| share.min(BURST_BYTES_DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    /// A kernel in its default state.
    const COMMON: BufferBounds = BufferBounds { default_bytes: 212_992, largest_bytes: 425_984 };

    fn check(burst_bytes: usize, largest_bytes: usize, sockets: usize, buffer_bytes: usize) {
        let buffer = BufferBounds { largest_bytes, ..COMMON };
        let expected = GroupPlan { sockets, receive_buffer_bytes: buffer_bytes };
        assert_eq!(plan(burst_bytes, buffer, 1, 256), expected, "{burst_bytes} {largest_bytes}");
    }

    #[test]
    fn buffers_grow_before_the_number_of_sockets_does() {
        check(BURST_BYTES_DEFAULT, 212_992, 256, 212_992);
        check(BURST_BYTES_DEFAULT, 425_984, 128, 425_984);
        check(BURST_BYTES_DEFAULT, 8 * MIB, 7, BURST_BYTES_DEFAULT / 7);
        check(BURST_BYTES_DEFAULT, 64 * MIB, 1, BURST_BYTES_DEFAULT);
        check(8 * MIB, 425_984, 20, 8 * MIB / 20);
    }

    #[test]
    fn smallest_group_is_one_socket_with_the_default_buffer() {
        check(0, 425_984, 1, 212_992);
        check(100 * KIB, 425_984, 1, 212_992);
        check(300_000, 212_992, 1, 212_992);
        check(300_000, 425_984, 1, 300_000);
    }

    /// For all sizes: within the bounds, and never more memory than asked for, but for the smallest
    /// group.
    #[test]
    fn plan_keeps_its_bounds() {
        for burst_bytes in (0..80 * MIB).step_by(333_333) {
            for largest_bytes in [212_992, 300_000, 425_984, 8 * MIB, 128 * MIB] {
                let buffer = BufferBounds { largest_bytes, ..COMMON };
                for (sockets_min, sockets_max) in [(1, 1), (1, 256), (2, 64), (4, 2), (0, 0)] {
                    let plan = plan(burst_bytes, buffer, sockets_min, sockets_max);
                    let full_bytes = plan.sockets * plan.receive_buffer_bytes;
                    let smallest_bytes = sockets_min.max(1) * buffer.default_bytes;
                    assert!(full_bytes <= burst_bytes.max(smallest_bytes), "{plan:?}");
                    assert!(plan.sockets >= sockets_min.max(1).min(sockets_max.max(1)));
                    assert!(plan.sockets <= sockets_max.max(1));
                    assert!(plan.receive_buffer_bytes >= buffer.default_bytes);
                    assert!(plan.receive_buffer_bytes <= largest_bytes);
                }
            }
        }
    }

    /// What a kernel in its default state was seen to keep in one socket.
    #[test]
    fn one_socket_holds_what_was_measured() {
        let one = GroupPlan { sockets: 1, receive_buffer_bytes: 212_992 };
        let held = [80, 512, 1432, 8192].map(|datagram_bytes| one.capacity(datagram_bytes));
        assert_eq!(held, [256, 166, 92, 12]);
    }

    #[test]
    fn default_group_is_good_for_fifty_thousand_small_datagrams() {
        for largest_bytes in [212_992, 425_984, 8 * MIB] {
            let buffer = BufferBounds { largest_bytes, ..COMMON };
            let plan = plan(BURST_BYTES_DEFAULT, buffer, 1, 256);
            assert!(plan.capacity(80) >= 50_000, "{plan:?} {}", plan.capacity(80));
        }
    }

    #[test]
    fn group_in_a_small_container_is_good_for_five_thousand() {
        let burst_bytes = default_burst_bytes(Some(64 << 20));
        assert_eq!(burst_bytes, 8 * MIB);
        assert!(plan(burst_bytes, COMMON, 1, 256).capacity(80) >= 5000);
    }

    #[test]
    fn burst_never_takes_more_than_an_eighth_of_the_container() {
        assert_eq!(default_burst_bytes(None), BURST_BYTES_DEFAULT);
        assert_eq!(default_burst_bytes(Some(u64::MAX)), BURST_BYTES_DEFAULT);
        assert_eq!(default_burst_bytes(Some(128 << 20)), 16 * MIB);
        assert_eq!(default_burst_bytes(Some(0)), 0);
    }
}
