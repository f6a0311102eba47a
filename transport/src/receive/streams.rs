//! The clients of the unix stream socket: accepted, read, cut into frames, into a packet ring.
//!
//! A stream has no stamp of the kernel's: a frame arrives when it is read. A connection whose bytes
//! make no sense any more, or that ends inside a frame, is closed and counted as torn; its complete
//! frames were delivered before.

use super::{Lane, Read, count};
use crate::clock::{Clock, Reading};
use crate::listen::{Accepted, Connection, Reading as Bytes, StreamListener};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::frame::FrameReader;
use lastdrop_engine::ledger::ReceiverCounts;
use lastdrop_engine::ring::PacketProducer;
use lastdrop_engine::time::Stamp;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;

/// By how much frames may grow on their way into the ring: the smallest is 5 bytes long, and a
/// record of 24.
const GROWTH_MAX: usize = 5;

const TRANSPORT: Transport = Transport::UnixStream;

/// The listener and its connections.
pub(super) struct Streams {
    listener: StreamListener,
    /// Connections by slot; a slot is used again when its client has left.
    connections: Vec<Option<Client>>,
    open: usize,
    /// Somebody may be waiting to be accepted.
    waiting: bool,
    registry: Registry,
    /// Token of slot 0; the listener has the one before.
    first_token: usize,
    buffer: Box<[u8]>,
    frame_bytes_max: usize,
}

struct Client {
    connection: Connection,
    frames: FrameReader,
    ready: bool,
}

impl Streams {
    /// Registers the listener under `token`; its connections get the tokens after it.
    pub(super) fn new(
        listener: StreamListener,
        frame_bytes_max: usize,
        registry: &Registry,
        token: usize,
    ) -> io::Result<Self> {
        let descriptor = listener.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), Token(token), Interest::READABLE)?;
        Ok(Self {
            listener,
            connections: Vec::new(),
            open: 0,
            waiting: true,
            registry: registry.try_clone()?,
            first_token: token + 1,
            buffer: vec![0; READ_BYTES].into(),
            frame_bytes_max,
        })
    }

    /// Notes that the kernel has something under a token.
    pub(super) fn note_ready(&mut self, token: usize) {
        let Some(slot) = token.checked_sub(self.first_token) else {
            self.waiting = true;
            return;
        };
        if let Some(Some(client)) = self.connections.get_mut(slot) {
            client.ready = true;
        }
    }

    /// Number of slots.
    pub(super) fn slots(&self) -> usize {
        self.connections.len()
    }

    /// Whether a slot has something that was not read yet, as far as is known.
    pub(super) fn is_ready(&self, slot: usize) -> bool {
        matches!(self.connections.get(slot), Some(Some(client)) if client.ready)
    }

    /// Whether any has.
    pub(super) fn any_ready(&self) -> bool {
        self.waiting || self.connections.iter().flatten().any(|client| client.ready)
    }

    /// Accepts whoever waits, as far as there is room.
    pub(super) fn accept(&mut self, counts: &mut ReceiverCounts) {
        while self.waiting {
            match self.listener.accept(self.open) {
                Ok(Accepted::Connection(connection)) => self.add(connection, counts),
                Ok(Accepted::Nobody) => self.waiting = false,
                // When somebody leaves there is room: `remove` sets `waiting` again.
                Ok(Accepted::Full) => {
                    counts.stream_full += 1;
                    self.waiting = false;
                }
                Err(_) => {
                    count(&mut counts.read_errors, TRANSPORT, 1);
                    self.waiting = false;
                }
            }
        }
    }

    /// Reads one connection once, into the ring of a lane.
    pub(super) fn read(
        &mut self,
        slot: usize,
        lane: &mut Lane,
        clock: &mut Clock,
        counts: &mut ReceiverCounts,
    ) -> Read {
        let record_bytes_max = PacketProducer::record_bytes(self.frame_bytes_max);
        let Some(Some(client)) = self.connections.get_mut(slot) else { return Read::Empty };
        let abandoned = lane.packets.is_abandoned();
        // One frame may have been held back from earlier reads.
        let room = if abandoned { usize::MAX } else { lane.packets.room(record_bytes_max) };
        let wanted = (room.saturating_sub(record_bytes_max) / GROWTH_MAX).min(self.buffer.len());
        let Some(buffer) = self.buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Read::RingFull;
        };
        counts.receive_calls += 1;
        let bytes = match client.connection.read(buffer) {
            Ok(Bytes::Bytes(bytes)) => buffer.get(..bytes).unwrap_or_default(),
            Ok(Bytes::Nothing) => {
                client.ready = false;
                return Read::Empty;
            }
            Ok(Bytes::End) => {
                let torn = client.frames.end().is_err();
                self.remove(slot, torn, counts);
                return Read::Empty;
            }
            Err(_) => {
                count(&mut counts.read_errors, TRANSPORT, 1);
                let torn = client.frames.end().is_err();
                self.remove(slot, torn, counts);
                return Read::Empty;
            }
        };
        let now = clock.advance(Reading::now());
        let more = bytes.len() == wanted;
        let records = bytes.len() * GROWTH_MAX + record_bytes_max;
        match frames(&mut client.frames, bytes, lane, now, (records, record_bytes_max), counts) {
            Ok(()) if more => Read::More,
            Ok(()) => {
                client.ready = false;
                Read::Empty
            }
            Err(Torn) => {
                self.remove(slot, true, counts);
                Read::Empty
            }
        }
    }

    /// Turns new clients away, accepts those that wait, and makes all connections refuse. What they
    /// have written can still be read, up to the end.
    pub(super) fn refuse(&mut self, counts: &mut ReceiverCounts) {
        // A listener or connection that can't refuse is as good as closed by its client.
        let _ = self.listener.refuse();
        self.waiting = true;
        self.accept(counts);
        for client in self.connections.iter_mut().flatten() {
            let _ = client.connection.refuse();
            client.ready = true;
        }
    }

    fn add(&mut self, connection: Connection, counts: &mut ReceiverCounts) {
        counts.stream_connections += 1;
        let slot = self.connections.iter().position(Option::is_none);
        let slot = slot.unwrap_or(self.connections.len());
        let descriptor = connection.as_fd().as_raw_fd();
        let token = Token(self.first_token + slot);
        if self.registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE).is_err() {
            count(&mut counts.read_errors, TRANSPORT, 1);
            counts.streams_ended += 1;
            return;
        }
        let frames = FrameReader::new(self.frame_bytes_max);
        // What came before the registration has no event of its own.
        let client = Some(Client { connection, frames, ready: true });
        match self.connections.get_mut(slot) {
            Some(free) => *free = client,
            None => self.connections.push(client),
        }
        self.open += 1;
    }

    fn remove(&mut self, slot: usize, torn: bool, counts: &mut ReceiverCounts) {
        if let Some(client) = self.connections.get_mut(slot).and_then(Option::take) {
            let descriptor = client.connection.as_fd().as_raw_fd();
            // Closing takes it out of the poll as well.
            let _ = self.registry.deregister(&mut SourceFd(&descriptor));
            self.open -= 1;
            self.waiting = true;
            counts.streams_ended += 1;
            counts.torn_frames += u64::from(torn);
        }
    }
}

/// The connection's bytes can't be followed any further.
struct Torn;

/// Cuts bytes into frames and puts them into the ring, which is known to have room, all at once.
fn frames(
    reader: &mut FrameReader,
    mut bytes: &[u8],
    lane: &mut Lane,
    stamp: Stamp,
    (records, record_bytes_max): (usize, usize),
    counts: &mut ReceiverCounts,
) -> Result<(), Torn> {
    let abandoned = lane.packets.is_abandoned();
    let mut batch =
        if abandoned { None } else { lane.packets.batch(records, record_bytes_max).ok() };
    let mut lane_received = 0;
    let result = loop {
        match reader.next(&mut bytes) {
            Ok(Some(frame)) => {
                count(&mut counts.received, TRANSPORT, 1);
                lane_received += 1;
                count(&mut counts.bytes, TRANSPORT, frame.len() as u64);
                let datagram =
                    Datagram { bytes: frame, stamp, transport: TRANSPORT, extent: Extent::Whole };
                match &mut batch {
                    Some(batch) => batch.push(&datagram),
                    None => count(&mut counts.worker_gone, TRANSPORT, 1),
                }
            }
            Ok(None) => break Ok(()),
            Err(_) => break Err(Torn),
        }
    };
    if let Some(batch) = batch {
        batch.commit();
    }
    lane.received += lane_received;
    result
}
