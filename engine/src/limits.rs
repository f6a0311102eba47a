//! Every bound of the engine, with its unit and its reason.

use std::num::NonZeroU16;

/// Length of a bucket in seconds: the protocol's aggregation interval.
pub const SLOT_S: u64 = 10;

/// Default longest datagram and stream frame in bytes (`dogstatsd_buffer_size`): what clients of
/// unix sockets pack to.
pub const DATAGRAM_BYTES_DEFAULT: usize = 8192;

/// Keys a sketch gathers before it sorts them into its bins; the reference agent's number, which
/// decides how overflowing bins come out.
pub const SKETCH_KEYS_BUFFERED: usize = 512;

/// Bins a sketch keeps before the lowest ones fold into one: the reference agent's number.
pub const SKETCH_BINS_MAX: NonZeroU16 = NonZeroU16::new(4096).unwrap();

/// Values a bin can count; the rest goes to further bins under the same key. The intake's width.
pub const SKETCH_BIN_COUNT_MAX: NonZeroU16 = NonZeroU16::MAX;

/// Values a sketch can count in one slot: as many as its bins hold when all are full. A rate of
/// 1e-300 would ask for 1e300 of them, and every 65,535 are a bin to be sent.
pub const SKETCH_COUNT_MAX: u32 = SKETCH_BINS_MAX.get() as u32 * SKETCH_BIN_COUNT_MAX.get() as u32;
