//! Every bound of the engine, with its unit and its reason.

use std::num::NonZeroU16;

/// Length of a bucket in seconds: the protocol's aggregation interval.
pub const SLOT_S: u64 = 10;

/// Default longest datagram and stream frame in bytes (`dogstatsd_buffer_size`): what clients of
/// unix sockets pack to.
pub const DATAGRAM_BYTES_DEFAULT: usize = 8192;

/// Default size of a packet ring in bytes, one per worker: some 10,000 small datagrams, 25 ms of a
/// receiver at full speed. Memory is touched only as far as the ring was ever filled.
pub const PACKET_RING_BYTES_DEFAULT: usize = 1 << 20;

/// Smallest packet ring in bytes: the largest batch of one `recvmmsg` has to fit with room to
/// spare.
pub const PACKET_RING_BYTES_MIN: usize = 1 << 16;

/// Bytes of a worker's turn: after that many it frees the ring's space and publishes its epoch, so
/// that a receiver with a full ring waits for a quarter of it at most.
pub const TURN_BYTES_MAX: usize = 1 << 18;

/// Workers that a merge can have.
pub const WORKERS_MAX: usize = 255;

/// Handovers that a bucket ring holds; a worker with a full one keeps the rest and tries again.
pub const BUCKET_RING_LEN: usize = 256;

/// Samples passed through with their own time that are handed on together; what comes between two
/// marks beyond that doesn't wait for the next one. The reference agent's number.
pub const PASSED_BATCH_LEN: usize = 2048;

/// New contexts that are handed on together; what is learned between two marks beyond that doesn't
/// wait for the next one. 160 KiB of them.
pub const DEFINED_BATCH_LEN: usize = 4096;

/// Events, or service checks, that leave the engine together: some hundred kilobytes, so that they
/// can be encoded as there is room.
pub const EVENTS_BATCH_LEN: usize = 1000;

/// Open buckets of a worker beyond which a sample whose own time needs another one is refused: every
/// one of them costs memory until its time has come. Eleven hours without a gap.
pub const BUCKETS_OPEN_MAX: usize = 4096;

/// Entries of a bucket that stand together in memory: 128 KiB, which the allocator has of the
/// system and gives back to it by themselves.
pub const PIECE_LEN: u32 = 4096;

/// Emptied pieces of buckets that a return ring holds, and that a worker keeps; what doesn't fit is
/// freed. With up to some thousand contexts no slot allocates; with more it is a piece at a time.
pub const RETURN_RING_LEN: usize = 2;

/// Bound of the memory that contexts may take in one worker, in bytes, where nobody derives one from
/// the machine's (replays, tests): about 340,000 contexts with short tags. A sample of a new context
/// beyond it is refused and counted.
pub const CONTEXT_BYTES_DEFAULT: usize = 64 << 20;

/// Seconds after which a context that is not sampled is forgotten, by default.
pub const CONTEXT_EXPIRY_S_DEFAULT: u64 = 20;

/// Seconds for which a counter that is not sampled reports zeros, by default.
pub const COUNTER_EXPIRY_S_DEFAULT: u64 = 300;

/// What one context costs besides its texts, their numbers and its spellings, in bytes:
///
/// | bytes | for |
/// |---|---|
/// | 16 + 12 | what the worker knows of it, and where it stands by its meaning |
/// | 10 | what stands before and behind the numbers in its record |
/// | 17 + 4 | what the merge knows of it, and the worker's number of it |
/// | 1.5 × 32 | its entries in the bucket that is open and, as far as they fill at the same time, in the one that ships |
/// | 4 | when it was sampled, while a slot closes and ships |
/// | 8 + 11 | with several workers, the arrival of its first sample and where it stands by what it is |
pub const CONTEXT_BYTES_FIXED: usize = 130;

/// The same of a context that no worker knows any more, and which gets zeros: the record, what the
/// merge knows of it, the arrival of its first sample, and where it stands by what it is.
pub const SILENT_CONTEXT_BYTES_FIXED: usize = 10 + 17 + 8 + 11;

/// What one spelling costs, in bytes: its place in a table that may be half full.
pub const SPELLING_BYTES_FIXED: usize = 20;

/// What one spelling that isn't its context's own costs besides, in bytes: the number of the context,
/// a pointer to what it is told by, and what the allocator takes for that.
pub const ALIAS_BYTES_FIXED: usize = 40;

/// What one text of contexts costs besides its bytes: what stands before it, what is rounded up, and a
/// place in a table that may be half full.
pub const TEXT_BYTES_FIXED: usize = 16;

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

/// Distinct members a set counts in one slot. More are refused: the set's value stops there.
pub const SET_MEMBERS_MAX: usize = 65_536;

/// Bytes of the distinct members of one set in one slot; refused likewise.
pub const SET_BYTES_MAX: usize = 4 << 20;

/// Members a set looks through one by one before it keeps a hash table.
pub const SET_SCANNED_MAX: usize = 8;

/// Values a histogram holds as they came in one slot; at this number close values are folded into
/// one. 128 KiB at one rate, 256 KiB at several.
pub const HISTOGRAM_VALUES_MAX: usize = 16_384;
