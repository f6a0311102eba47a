//! Every bound of the engine, with its unit and its reason.

/// Length of a bucket in seconds: the protocol's aggregation interval.
pub const SLOT_S: u64 = 10;

/// Default longest datagram and stream frame in bytes (`dogstatsd_buffer_size`): what clients of
/// unix sockets pack to.
pub const DATAGRAM_BYTES_DEFAULT: usize = 8192;
