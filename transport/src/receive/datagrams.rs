//! The datagram sockets of a receiver: many datagrams a system call, straight into a packet ring.

use super::{Lane, Read, count};
use crate::clock::{Clock, Reading};
use crate::limits::BATCH_DATAGRAMS_MAX;
use crate::listen::Socket;
use crate::sys::{Batch, Extent as Cut, Received};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::ledger::ReceiverCounts;
use lastdrop_engine::ring::PacketProducer;
use mio::{Interest, Registry, Token};
use std::io;

/// The sockets and what is known of each.
pub(super) struct Datagrams {
    list: Vec<SocketState>,
    batch: Batch,
    record_bytes_max: usize,
}

struct SocketState {
    socket: Socket,
    /// Index of the lane that its datagrams go to.
    lane: usize,
    /// The kernel has said that something waits, and it was not read to the end since.
    ready: bool,
    /// Monotonic time of the last read that found the socket empty: nothing in it is older.
    empty_ns: u64,
    /// Drops up to the last time that they were counted; 32 bits, wraps.
    drops: u32,
}

impl Datagrams {
    /// Registers the sockets under their indices as tokens, and shares them out over the lanes in
    /// blocks.
    pub(super) fn new(
        sockets: Vec<Socket>,
        lanes: usize,
        datagram_bytes_max: usize,
        registry: &Registry,
        clock: &Clock,
    ) -> io::Result<Self> {
        let count = sockets.len().max(1);
        let mut list = Vec::with_capacity(sockets.len());
        for (index, mut socket) in sockets.into_iter().enumerate() {
            registry.register(&mut socket, Token(index), Interest::READABLE)?;
            let drops = socket.drops().unwrap_or(0);
            let (lane, empty_ns) = (index * lanes / count, clock.monotonic_ns());
            // What came before the registration has no event of its own.
            list.push(SocketState { socket, lane, ready: true, empty_ns, drops });
        }
        Ok(Self {
            list,
            batch: Batch::new(BATCH_DATAGRAMS_MAX, datagram_bytes_max),
            record_bytes_max: PacketProducer::record_bytes(datagram_bytes_max),
        })
    }

    /// Kernel memory of the sockets that one address has; 0 if there is one that isn't UDP.
    pub(super) fn group_bytes(&self) -> u64 {
        if self.list.iter().any(|state| state.socket.transport() != Transport::Udp) {
            return 0;
        }
        let each = self.list.iter().filter_map(|state| state.socket.receive_buffer_bytes());
        // There may be two addresses, and a client sends to one.
        each.map(u64::from).sum::<u64>() / 2
    }

    /// How many sockets there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Notes that the kernel has something for a socket.
    pub(super) fn note_ready(&mut self, index: usize) {
        if let Some(state) = self.list.get_mut(index) {
            state.ready = true;
        }
    }

    /// Whether a socket has something that was not read yet, as far as is known.
    pub(super) fn is_ready(&self, index: usize) -> bool {
        self.list.get(index).is_some_and(|state| state.ready)
    }

    /// Whether any has.
    pub(super) fn any_ready(&self) -> bool {
        self.list.iter().any(|state| state.ready)
    }

    /// The lane of a socket.
    pub(super) fn lane(&self, index: usize) -> usize {
        self.list.get(index).map_or(0, |state| state.lane)
    }

    /// Reads one socket once, into the ring of its lane.
    pub(super) fn read(
        &mut self,
        index: usize,
        lane: &mut Lane,
        clock: &mut Clock,
        counts: &mut ReceiverCounts,
    ) -> Read {
        let Self { list, batch, record_bytes_max } = self;
        let Some(state) = list.get_mut(index) else { return Read::Empty };
        let abandoned = lane.packets.is_abandoned();
        let room = if abandoned { usize::MAX } else { lane.packets.room(*record_bytes_max) };
        let wanted = batch.capacity().min(room / *record_bytes_max);
        if wanted == 0 {
            return Read::RingFull;
        }
        let now = clock.advance(Reading::now());
        let transport = state.socket.transport();
        counts.receive_calls += 1;
        let received = state.socket.receive(batch, wanted).unwrap_or_else(|_| {
            count(&mut counts.read_errors, transport, 1);
            0
        });
        let age_ns_max = clock.monotonic_ns().saturating_sub(state.empty_ns);
        let datagrams = batch.datagrams().map(|received| {
            let stamp = received.kernel_stamp_ns;
            let stamp = stamp.map_or(now, |stamp| clock.arrival(stamp, age_ns_max));
            datagram(&received, stamp, transport)
        });
        for datagram in datagrams.clone() {
            count(&mut counts.bytes, transport, datagram.bytes.len() as u64);
            if datagram.extent == Extent::Truncated {
                count(&mut counts.truncated, transport, 1);
            }
        }
        count(&mut counts.received, transport, received as u64);
        lane.received += received as u64;
        if abandoned {
            count(&mut counts.worker_gone, transport, received as u64);
        } else if received > 0 {
            push(&mut lane.packets, datagrams, *record_bytes_max);
        }
        // Fewer than asked for: the call found the socket empty. What comes later brings an event.
        if received < wanted {
            state.ready = false;
            state.empty_ns = clock.monotonic_ns();
            return Read::Empty;
        }
        Read::More
    }

    /// Makes every socket refuse, and says whether all could. What the kernel drops from here on is
    /// late; it has one counter for both.
    pub(super) fn refuse(&mut self, counts: &mut ReceiverCounts) -> bool {
        let mut all = true;
        for state in &mut self.list {
            state.count_new_drops(&mut counts.kernel_dropped);
            all &= state.socket.refuse().is_ok();
        }
        all
    }

    /// Whether the kernel says of any socket that something is queued.
    pub(super) fn any_queued(&self) -> bool {
        self.list.iter().any(|state| state.socket.queued_bytes() > Some(0))
    }

    /// Adds what the kernel has dropped since the last time.
    pub(super) fn count_drops(&mut self, counters: &mut [u64]) {
        for state in &mut self.list {
            state.count_new_drops(counters);
        }
    }

    /// Closes all sockets.
    pub(super) fn close(&mut self) {
        self.list.clear();
    }
}

impl SocketState {
    /// Adds the drops since the last call. The kernel's counter has 32 bits and wraps.
    fn count_new_drops(&mut self, counters: &mut [u64]) {
        let Some(drops) = self.socket.drops() else { return };
        count(counters, self.socket.transport(), drops.wrapping_sub(self.drops).into());
        self.drops = drops;
    }
}

/// Writes datagrams into a ring that is known to have room, all at once.
fn push<'a>(
    packets: &mut PacketProducer,
    datagrams: impl Iterator<Item = Datagram<'a>> + Clone,
    record_bytes_max: usize,
) {
    let size = |datagram: Datagram<'_>| PacketProducer::record_bytes(datagram.bytes.len());
    let bytes = datagrams.clone().map(size).sum();
    if let Ok(mut batch) = packets.batch(bytes, record_bytes_max) {
        for datagram in datagrams {
            batch.push(&datagram);
        }
        batch.commit();
    } else {
        unreachable!("the receive call asked for no more than the ring has room for");
    }
}

fn datagram<'a>(
    received: &Received<'a>,
    stamp: lastdrop_engine::time::Stamp,
    transport: Transport,
) -> Datagram<'a> {
    let extent = match received.extent {
        Cut::Whole => Extent::Whole,
        Cut::Truncated => Extent::Truncated,
    };
    Datagram { bytes: received.bytes, stamp, transport, extent }
}
