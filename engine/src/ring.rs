//! The packet ring: datagrams and marks, one producer, one consumer; and the rings that carry
//! closed buckets on and empty ones back.
//!
//! A packet ring is a ring of bytes. A record is an 8-byte head, an 8-byte stamp and the payload,
//! padded to 8 bytes; it never wraps around the end, so a worker parses it where it lies:
//!
//! ```text
//!  0        4      5         6        7      8         16               16 + length
//!  │ length │ kind │ transp. │ extent │ zero │ stamp   │ payload        │ pad to 8
//! ```
//!
//! A [`PacketBatch`] is written record by record and becomes visible to the consumer in one store.
//! A *datagram* or a *mark* is a record; the filler before the end of the ring is not.

use crate::datagram::{Datagram, Extent, Transport};
use crate::epoch::{EpochReader, EpochWriter, epoch};
use crate::limits::PACKET_RING_BYTES_MIN;
use crate::time::{Slot, Stamp};
use rtrb::CopyToUninit as _;
use rtrb::chunks::{ReadChunk, WriteChunkUninit};
use std::mem::MaybeUninit;

/// Size of a record's head and stamp in bytes.
const HEAD: usize = 16;
/// Records begin at multiples of this many bytes.
const ALIGN: usize = 8;

const KIND_FILLER: u8 = 0;
const KIND_DATAGRAM: u8 = 1;
const KIND_CLOSE: u8 = 2;
const KIND_FLUSH: u8 = 3;
const KIND_SEAL: u8 = 4;
const KIND_RECEIVED: u8 = 5;

/// A mark among the datagrams. Marks travel with the data: what was received before one is before
/// it in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Every slot before `cutoff` is closed: a sweep over all sockets that began after the end of
    /// the last of them is in the ring.
    Close {
        /// Number of the close; grows. A slot ships once every worker has come to the same number.
        number: u64,
        /// First slot that stays open.
        cutoff: Slot,
        /// When the mark was made; contexts expire by it.
        at: Stamp,
    },
    /// Hand over everything, open slots too, and go on.
    Flush {
        /// Number of the flush; grows.
        number: u64,
        /// When the mark was made.
        at: Stamp,
    },
    /// So many datagrams were received for this ring so far, by the receiver's own count. Before a
    /// mark that hands something over: for the balances.
    Received {
        /// The count.
        datagrams: u64,
    },
    /// The last record of the ring: hand over everything.
    Seal {
        /// When the mark was made.
        at: Stamp,
    },
}

/// One record of a packet ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// What a client sent.
    Datagram(Datagram<'a>),
    /// What the receiver says.
    Mark(Mark),
}

/// The packet ring has no room; the worker is behind. The data stays in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Makes a packet ring of at least `bytes` bytes for lane number `lane`.
#[must_use]
pub fn packet_ring(lane: usize, bytes: usize) -> (PacketProducer, PacketConsumer, EpochReader) {
    let bytes = bytes.max(PACKET_RING_BYTES_MIN).next_multiple_of(ALIGN);
    let (producer, consumer) = rtrb::RingBuffer::new(bytes);
    let (committed, observer) = epoch();
    (
        PacketProducer { ring: producer, committed, lane },
        PacketConsumer { ring: consumer },
        observer,
    )
}

/// The receiver's end of a packet ring.
#[derive(Debug)]
pub struct PacketProducer {
    ring: rtrb::Producer<u8>,
    committed: EpochWriter,
    lane: usize,
}

impl PacketProducer {
    /// Ring bytes that a datagram of `length` bytes takes at most, filler not counted.
    #[must_use]
    pub const fn record_bytes(length: usize) -> usize {
        (HEAD + length).next_multiple_of(ALIGN)
    }

    /// Bytes of records that a batch is sure to take if none is larger than `record_bytes_max`.
    #[must_use]
    pub fn room(&self, record_bytes_max: usize) -> usize {
        self.ring.slots().saturating_sub(record_bytes_max)
    }

    /// Opens a batch for records of `bytes` bytes in all ([`PacketProducer::record_bytes`]), none
    /// of them larger than `record_bytes_max`.
    ///
    /// # Errors
    ///
    /// [`Full`] if the ring can't hold them for certain: leave the data in the kernel.
    pub fn batch(
        &mut self,
        bytes: usize,
        record_bytes_max: usize,
    ) -> Result<PacketBatch<'_>, Full> {
        // At the end of the ring less than one record may be lost to the filler.
        let wanted = bytes.saturating_add(record_bytes_max);
        let chunk = self.ring.write_chunk_uninit(wanted).map_err(|_| Full)?;
        Ok(PacketBatch { chunk, committed: &mut self.committed, used: 0, records: 0 })
    }

    /// Puts one mark into the ring.
    ///
    /// # Errors
    ///
    /// [`Full`]: try again when the worker has made room.
    pub fn mark(&mut self, mark: Mark) -> Result<(), Full> {
        let bytes = Self::record_bytes(16);
        let mut batch = self.batch(bytes, bytes)?;
        batch.push_mark(mark);
        batch.commit();
        Ok(())
    }

    /// Puts the seal into the ring, as the last record that it will ever hold, and ends the
    /// producer.
    ///
    /// # Errors
    ///
    /// The producer itself if the ring is full: try again when the worker has made room.
    pub fn seal(mut self, at: Stamp) -> Result<LaneSeal, Self> {
        match self.mark(Mark::Seal { at }) {
            Ok(()) => Ok(LaneSeal { lane: self.lane, epoch: self.committed.current() }),
            Err(Full) => Err(self),
        }
    }

    /// Number of the lane.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// True if the worker is gone: nothing that is pushed will ever be read.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Records committed so far.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.committed.current()
    }
}

/// The proof that a lane is sealed: made only by [`PacketProducer::seal`], which ends the producer.
#[derive(Debug)]
pub struct LaneSeal {
    pub(crate) lane: usize,
    pub(crate) epoch: u64,
}

/// Records being written; invisible to the worker until [`PacketBatch::commit`].
#[derive(Debug)]
pub struct PacketBatch<'a> {
    chunk: WriteChunkUninit<'a, u8>,
    committed: &'a mut EpochWriter,
    /// Bytes of the chunk that are initialised, from its start without a gap;
    /// `0 <= used <= chunk.len()`.
    used: usize,
    records: u64,
}

impl PacketBatch<'_> {
    /// Adds a datagram. Copies its bytes.
    ///
    /// # Panics
    ///
    /// If the records pushed exceed what the batch was opened for.
    pub fn push(&mut self, datagram: &Datagram<'_>) {
        let head = [KIND_DATAGRAM, datagram.transport as u8, datagram.extent as u8, 0];
        self.write(head, datagram.stamp, datagram.bytes);
    }

    fn push_mark(&mut self, mark: Mark) {
        let words = |a: u64, b: u64| {
            let mut payload = [0; 16];
            payload[..8].copy_from_slice(&a.to_ne_bytes());
            payload[8..].copy_from_slice(&b.to_ne_bytes());
            payload
        };
        match mark {
            Mark::Close { number, cutoff, at } => {
                self.write([KIND_CLOSE, 0, 0, 0], at, &words(number, cutoff.start_s()));
            }
            Mark::Flush { number, at } => {
                self.write([KIND_FLUSH, 0, 0, 0], at, &words(number, 0));
            }
            Mark::Received { datagrams } => {
                self.write([KIND_RECEIVED, 0, 0, 0], Stamp::default(), &words(datagrams, 0));
            }
            Mark::Seal { at } => self.write([KIND_SEAL, 0, 0, 0], at, &[]),
        }
    }

    fn write(&mut self, kind: [u8; 4], stamp: Stamp, payload: &[u8]) {
        let size = PacketProducer::record_bytes(payload.len());
        let (first, second) = self.chunk.as_mut_slices();
        // A record that doesn't fit before the end of the ring goes to its start.
        if self.used < first.len() && first.len() - self.used < size {
            let rest = &mut first[self.used..];
            let length = length_word(rest.len() - ALIGN);
            fill(&mut rest[..4], &length);
            fill(&mut rest[4..8], &[KIND_FILLER, 0, 0, 0]);
            zero(&mut rest[8..]);
            self.used = first.len();
        }
        let target = if self.used < first.len() {
            &mut first[self.used..self.used + size]
        } else {
            let start = self.used - first.len();
            &mut second[start..start + size]
        };
        fill(&mut target[..4], &length_word(payload.len()));
        fill(&mut target[4..8], &kind);
        fill(&mut target[8..HEAD], &stamp.ns().to_ne_bytes());
        fill(&mut target[HEAD..HEAD + payload.len()], payload);
        zero(&mut target[HEAD + payload.len()..]);
        self.used += size;
        self.records += 1;
    }

    /// Makes the records visible to the worker, all at once, and counts them.
    #[expect(unsafe_code, reason = "rtrb commits initialised slots; see SAFETY")]
    pub fn commit(self) {
        // SAFETY: `write` is the only one that moves `used`, and it initialises every byte that it
        // steps over, starting from 0: head, stamp, payload, padding, and the filler at the end of
        // the first slice, all of its bytes. So the first `used` slots are initialised. Tests:
        // `everything_comes_out_once_and_in_order`, and the fuzz targets `drain` and `aggregation`.
        unsafe { self.chunk.commit(self.used) };
        self.committed.advance(self.records);
    }
}

fn length_word(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes()
}

fn fill(target: &mut [MaybeUninit<u8>], bytes: &[u8]) {
    bytes.copy_to_uninit(target);
}

fn zero(target: &mut [MaybeUninit<u8>]) {
    target.fill(MaybeUninit::new(0));
}

/// The worker's end of a packet ring.
#[derive(Debug)]
pub struct PacketConsumer {
    ring: rtrb::Consumer<u8>,
}

impl PacketConsumer {
    /// True if nothing is in the ring now. Says nothing about what was taken out of it before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// True if the producer is gone. Look at it *before* [`PacketConsumer::is_empty`].
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Takes up to `bytes` bytes of records; they stay in the ring until
    /// [`PacketTurn::release`].
    pub fn turn(&mut self, bytes: usize) -> PacketTurn<'_> {
        let ready = self.ring.slots();
        // A record is published whole, so `ready` cuts none; `bytes` may, and `records` stops there.
        let chunk = self.ring.read_chunk(ready.min(bytes));
        PacketTurn { chunk: chunk.ok() }
    }
}

/// Records lent by the ring.
#[derive(Debug)]
pub struct PacketTurn<'a> {
    chunk: Option<ReadChunk<'a, u8>>,
}

impl PacketTurn<'_> {
    /// The records, in the order in which they were pushed.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        let (first, second) = self.chunk.as_ref().map_or((&[][..], &[][..]), ReadChunk::as_slices);
        Records { first, second, consumed: 0, count: 0 }
    }

    /// Gives the space of the first `consumed` bytes ([`Records::consumed`]) back to the producer.
    pub fn release(self, consumed: usize) {
        if let Some(chunk) = self.chunk {
            chunk.commit(consumed);
        }
    }
}

/// Iterator over the records of a turn.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    first: &'a [u8],
    second: &'a [u8],
    consumed: usize,
    count: u64,
}

impl<'a> Records<'a> {
    /// Bytes of the ring that the records seen so far take.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Records seen so far.
    #[must_use]
    pub fn count_seen(&self) -> u64 {
        self.count
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            if self.first.is_empty() {
                if self.second.is_empty() {
                    return None;
                }
                self.first = std::mem::take(&mut self.second);
            }
            let (head, rest) = self.first.split_first_chunk::<8>()?;
            let [l0, l1, l2, l3, kind, transport, extent, _] = *head;
            let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
            if kind == KIND_FILLER {
                self.first = rest.get(length..)?;
                self.consumed += ALIGN + length;
                continue;
            }
            let size = PacketProducer::record_bytes(length);
            let (stamp, rest) = rest.split_first_chunk::<8>()?;
            let payload = rest.get(..length)?;
            let next = self.first.get(size..)?;
            let stamp = Stamp::from_ns(u64::from_ne_bytes(*stamp));
            let record = decode(kind, transport, extent, stamp, payload)?;
            self.first = next;
            self.consumed += size;
            self.count += 1;
            return Some(record);
        }
    }
}

fn decode(kind: u8, transport: u8, extent: u8, at: Stamp, payload: &[u8]) -> Option<Record<'_>> {
    let word = |index: usize| {
        let bytes = payload.get(index * 8..)?.first_chunk::<8>()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    Some(match kind {
        KIND_DATAGRAM => Record::Datagram(Datagram {
            bytes: payload,
            stamp: at,
            transport: *Transport::ALL.get(usize::from(transport))?,
            extent: if extent == 0 { Extent::Whole } else { Extent::Truncated },
        }),
        KIND_CLOSE => {
            let cutoff = Slot::containing(word(1)?);
            Record::Mark(Mark::Close { number: word(0)?, cutoff, at })
        }
        KIND_FLUSH => Record::Mark(Mark::Flush { number: word(0)?, at }),
        KIND_RECEIVED => Record::Mark(Mark::Received { datagrams: word(0)? }),
        _ => Record::Mark(Mark::Seal { at }),
    })
}

#[cfg(test)]
#[path = "ring/tests.rs"]
mod tests;
