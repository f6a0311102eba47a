//! Parts of the agent on the caller's thread, for benchmarks: a worker between its two rings, and
//! the settings that it and the merge have by default.

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::handover::{BucketConsumer, bucket_ring};
use lastdrop_engine::ledger::WorkerLedger;
use lastdrop_engine::limits::PACKET_RING_BYTES_DEFAULT;
use lastdrop_engine::ring::{PacketProducer, packet_ring};
use lastdrop_engine::time::Stamp;
use lastdrop_engine::worker::{Turn, Worker, WorkerSettings};

/// When everything here arrives: within one slot.
pub const ARRIVAL_S: u64 = 1_003;

/// A datagram over UDP, arrived within the slot of all others.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Datagram<'_> {
    Datagram {
        bytes,
        stamp: Stamp::from_s(ARRIVAL_S),
        transport: Transport::Udp,
        extent: Extent::Whole,
    }
}

/// A worker between its two rings, fed and driven by one thread.
#[derive(Debug)]
pub struct LoneWorker {
    packets: PacketProducer,
    worker: Worker,
    ledger: WorkerLedger,
    /// Kept open: a worker without a merge has nobody to hand over to.
    _handovers: BucketConsumer,
}

impl Default for LoneWorker {
    fn default() -> Self {
        let (packets, consumer, _) = packet_ring(0, PACKET_RING_BYTES_DEFAULT);
        let (out, handovers) = bucket_ring();
        let (worker, _, ledger) = Worker::new(
            consumer,
            out,
            WorkerSettings { context_bytes_max: usize::MAX, ..WorkerSettings::default() },
        );
        Self { packets, worker, ledger, _handovers: handovers }
    }
}

impl LoneWorker {
    /// Puts datagrams into the ring at once.
    ///
    /// # Panics
    ///
    /// If they don't fit: call it with an empty ring, and with half of what that holds at most.
    pub fn push<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]> + Clone) {
        let sizes = datagrams.clone().map(|bytes| PacketProducer::record_bytes(bytes.len()));
        let (bytes, largest) = sizes.fold((0, 0), |(sum, max), size| (sum + size, size.max(max)));
        let Ok(mut batch) = self.packets.batch(bytes, largest) else {
            panic!("{bytes} bytes don't fit into the ring");
        };
        datagrams.for_each(|bytes| batch.push(&datagram(bytes)));
        batch.commit();
    }

    /// Lets the worker apply all that is in the ring.
    pub fn apply(&mut self) {
        while self.worker.turn() == Turn::Applied {}
    }

    /// Samples applied so far.
    #[must_use]
    pub fn aggregated(&self) -> u64 {
        self.ledger.read().aggregated
    }
}
