//! The receiver: sweeps the sockets into the packet rings, closes slots, and seals.
//!
//! ```text
//!  wait ─▶ commands ─▶ sweep the sockets that have something ─▶ slot over? sweep all, Close ─▶ wait
//!  Seal:   refuse all ─▶ empty all ─▶ count all ─▶ close all ─▶ seal every lane
//! ```
//!
//! The data stays in the kernel as long as a ring has no room for it: a receive call asks for no
//! more datagrams than the ring can take at their largest.
//!
//! # The instant of the seal
//!
//! Reading until nothing comes and then closing has a hole: what a sender puts into the socket
//! between the two is thrown away uncounted. So every socket first refuses, then is read until
//! empty, then is asked for its drops, then closed, each step over all sockets before the next. A
//! send that returned before the first refusal is received or counted as dropped; later ones are
//! counted as late.

use crate::clock::{Clock, Reading};
use crate::limits::BATCH_DATAGRAMS_MAX;
use crate::listen::Socket;
use crate::sys::{Batch, Extent as Cut, Received};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::ledger::{ReceiverCounts, ReceiverLedger};
use lastdrop_engine::ring::{LaneSeal, Mark, PacketProducer};
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::wake::{Sleeper, Waker};
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Token of the wake-up among the events; sockets have their index.
const WAKE: Token = Token(usize::MAX);

/// Events taken at once; the rest waits for the next poll.
const EVENTS_MAX: usize = 256;

/// What the supervisor asks of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put a flush mark behind everything that was received before.
    Flush(u64),
    /// Take nothing more in, empty the sockets, seal the lanes, end.
    Seal,
}

/// How a receiver works.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverSettings {
    /// Longest datagram in bytes; what is longer is truncated.
    pub datagram_bytes_max: usize,
    /// How long after its end a slot is closed, in nanoseconds: spread over a fleet, so that it
    /// doesn't flush in step.
    pub close_delay_ns: u64,
}

/// A receiver: the producer of one or more packet rings.
pub struct Receiver {
    sockets: Sockets,
    lanes: Vec<Lane>,
    poll: Poll,
    events: Events,
    commands: rtrb::Consumer<Command>,
    sleeper: Sleeper,
    clock: Clock,
    /// When the next slot is due to be closed.
    close_at: Stamp,
    settings: ReceiverSettings,
    counts: ReceiverCounts,
    ledger: ReceiverLedger,
}

/// One packet ring and the worker behind it.
pub struct Lane {
    /// The ring.
    pub packets: PacketProducer,
    /// Wakes the worker.
    pub worker: Waker,
}

/// The sockets of a receiver, and what is known of each.
struct Sockets {
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

/// What came of reading a socket once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Nothing is left in it.
    Empty,
    /// There may be more.
    More,
    /// The ring has no room; the data stays in the kernel.
    RingFull,
}

impl Receiver {
    /// Makes the poll that the receiver's sockets live in, and the waker that ends its sleep.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn poll() -> io::Result<(Poll, Arc<mio::Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        Ok((poll, waker))
    }

    /// A receiver over the given sockets and lanes, which it shares out in blocks, and its ledger.
    ///
    /// `sleeper` is what the workers wake when a ring that was full has room again.
    ///
    /// # Errors
    ///
    /// What the kernel reports when the poll is set up.
    pub fn new(
        poll: Poll,
        sockets: Vec<Socket>,
        lanes: Vec<Lane>,
        commands: rtrb::Consumer<Command>,
        sleeper: Sleeper,
        settings: ReceiverSettings,
    ) -> io::Result<(Self, ReceiverLedger)> {
        let reading = Reading::now();
        let clock = Clock::new(reading);
        let count = sockets.len().max(1);
        let mut list = Vec::with_capacity(sockets.len());
        for (index, mut socket) in sockets.into_iter().enumerate() {
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            let drops = socket.drops().unwrap_or(0);
            let lane = index * lanes.len() / count;
            let empty_ns = reading.monotonic_ns;
            // What came before the registration has no event of its own.
            list.push(SocketState { socket, lane, ready: true, empty_ns, drops });
        }
        let ledger = ReceiverLedger::default();
        let receiver = Self {
            sockets: Sockets {
                list,
                batch: Batch::new(BATCH_DATAGRAMS_MAX, settings.datagram_bytes_max),
                record_bytes_max: PacketProducer::record_bytes(settings.datagram_bytes_max),
            },
            lanes,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            commands,
            sleeper,
            close_at: due_after(clock.present(), settings.close_delay_ns),
            clock,
            settings,
            counts: ReceiverCounts::default(),
            ledger: ledger.clone(),
        };
        Ok((receiver, ledger))
    }

    /// Receives until told to seal; gives the seals of its lanes.
    pub fn run(mut self) -> Vec<LaneSeal> {
        loop {
            match self.commands.pop() {
                Ok(Command::Flush(number)) => {
                    self.flush(number);
                    self.publish();
                    // One wake-up may stand for several commands.
                    continue;
                }
                Ok(Command::Seal) => return self.seal(),
                Err(_) if self.commands.is_abandoned() => return self.seal(),
                Err(_) => {}
            }
            let began = self.clock.advance(Reading::now());
            if began >= self.close_at {
                self.close_slots(began);
            } else {
                self.sweep(Which::Ready);
            }
            self.publish();
            self.wait();
        }
    }

    /// Closes the slots that had ended when this turn began. The sweep over all sockets begins
    /// after that, so whatever arrived in them is in the rings before the mark.
    fn close_slots(&mut self, began: Stamp) {
        self.sweep(Which::All);
        self.count_drops();
        let cutoff = began.slot();
        let number = cutoff.start_s() / Slot::SECONDS;
        self.mark(Mark::Close { number, cutoff, at: self.clock.present() });
        self.close_at = due_after(began, self.settings.close_delay_ns);
    }

    fn flush(&mut self, number: u64) {
        self.clock.advance(Reading::now());
        self.sweep(Which::All);
        self.count_drops();
        self.mark(Mark::Flush { number, at: self.clock.present() });
    }

    /// Reads sockets until they are empty, waiting for the workers where a ring is full.
    fn sweep(&mut self, which: Which) {
        self.counts.sweeps += 1;
        for index in 0..self.sockets.list.len() {
            while self.sockets.wants_reading(index, which) {
                match self.read(index) {
                    Read::Empty => break,
                    Read::More => {}
                    Read::RingFull => self.wait_for_room(index),
                }
            }
        }
        for lane in &self.lanes {
            lane.worker.wake();
        }
    }

    /// Reads one socket once, into the ring of its lane.
    fn read(&mut self, index: usize) -> Read {
        let Some(state) = self.sockets.list.get_mut(index) else { return Read::Empty };
        let Some(lane) = self.lanes.get_mut(state.lane) else { return Read::Empty };
        let batch = &mut self.sockets.batch;
        let record_bytes_max = self.sockets.record_bytes_max;
        let abandoned = lane.packets.is_abandoned();
        let room = if abandoned { usize::MAX } else { lane.packets.room(record_bytes_max) };
        let wanted = batch.capacity().min(room / record_bytes_max);
        if wanted == 0 {
            return Read::RingFull;
        }
        let now = self.clock.advance(Reading::now());
        self.counts.receive_calls += 1;
        let transport = state.socket.transport();
        let received = match state.socket.receive(batch, wanted) {
            Ok(received) => received,
            Err(_) => {
                count(&mut self.counts.read_errors, transport, 1);
                0
            }
        };
        let age_ns_max = self.clock.monotonic_ns().saturating_sub(state.empty_ns);
        let clock = &self.clock;
        let datagrams = batch.datagrams().map(|received| {
            let stamp =
                received.kernel_stamp_ns.map_or(now, |stamp| clock.arrival(stamp, age_ns_max));
            datagram(&received, stamp, transport)
        });
        if abandoned {
            count(&mut self.counts.worker_gone, transport, received as u64);
        } else if received > 0 {
            push(&mut lane.packets, datagrams, record_bytes_max);
        }
        for received in batch.datagrams() {
            count(&mut self.counts.received, transport, 1);
            count(&mut self.counts.bytes, transport, received.bytes.len() as u64);
            if received.extent == Cut::Truncated {
                count(&mut self.counts.truncated, transport, 1);
            }
        }
        // Fewer than asked for: the call found the socket empty. What comes later brings an event.
        if received < wanted {
            state.ready = false;
            state.empty_ns = self.clock.monotonic_ns();
            return Read::Empty;
        }
        Read::More
    }

    /// Puts a mark into every lane, after all that was received.
    fn mark(&mut self, mark: Mark) {
        for index in 0..self.lanes.len() {
            while let Some(lane) = self.lanes.get_mut(index) {
                if lane.packets.is_abandoned() || lane.packets.mark(mark).is_ok() {
                    lane.worker.wake();
                    break;
                }
                self.wait_for_lane(index);
            }
        }
    }

    fn wait_for_room(&mut self, socket: usize) {
        if let Some(state) = self.sockets.list.get(socket) {
            self.wait_for_lane(state.lane);
        }
    }

    /// Sleeps until the ring of a lane has room for a batch, or its worker is gone.
    fn wait_for_lane(&mut self, lane: usize) {
        self.counts.ring_full += 1;
        self.publish();
        let Some(Lane { packets, worker }) = self.lanes.get(lane) else { return };
        worker.wake();
        let batch_bytes = self.sockets.record_bytes_max;
        let has_room = || packets.is_abandoned() || packets.room(batch_bytes) >= batch_bytes;
        let (poll, events) = (&mut self.poll, &mut self.events);
        self.sleeper
            .sleep_unless(has_room, || poll_events(poll, events, Some(RING_FULL_PAUSE_MAX)));
        self.sockets.note_ready(&self.events);
    }

    /// Sleeps until something arrives, a command comes, or a slot is over.
    fn wait(&mut self) {
        let now = self.clock.advance(Reading::now());
        let left_ns = self.close_at.ns().saturating_sub(now.ns());
        // Rounded up to what the kernel's timer resolves, so that it isn't early by a hair.
        let timeout = Duration::from_nanos(left_ns).saturating_add(Duration::from_millis(1));
        poll_events(&mut self.poll, &mut self.events, Some(timeout));
        self.sockets.note_ready(&self.events);
    }

    /// The seal, in four passes over all sockets.
    fn seal(mut self) -> Vec<LaneSeal> {
        // Where a kernel can't refuse, sweep until empty twice.
        let mut sweeps = 1;
        for state in &mut self.sockets.list {
            // What is dropped from here on is late; the kernel has one counter for both.
            state.count_new_drops(&mut self.counts.kernel_dropped);
            if state.socket.refuse().is_err() {
                sweeps = 2;
            }
        }
        for _ in 0..sweeps {
            self.sweep(Which::All);
            while self.sockets.list.iter().any(|state| state.socket.queued_bytes() > Some(0)) {
                self.sweep(Which::All);
            }
        }
        for state in &mut self.sockets.list {
            state.count_new_drops(&mut self.counts.late);
        }
        self.sockets.list.clear();
        self.counts.clock_shift_ns = self.clock.shift_ns();
        self.publish();
        let at = self.clock.advance(Reading::now());
        let mut seals = Vec::with_capacity(self.lanes.len());
        for Lane { packets, worker } in std::mem::take(&mut self.lanes) {
            seals.extend(self.seal_lane(packets, &worker, at));
            worker.wake();
        }
        seals
    }

    /// Seals one lane; none if its worker is gone.
    fn seal_lane(
        &mut self,
        mut packets: PacketProducer,
        worker: &Waker,
        at: Stamp,
    ) -> Option<LaneSeal> {
        loop {
            packets = match packets.seal(at) {
                Ok(seal) => return Some(seal),
                Err(packets) if packets.is_abandoned() => return None,
                Err(packets) => packets,
            };
            worker.wake();
            let has_room = || packets.is_abandoned() || packets.room(64) > 64;
            let (poll, events) = (&mut self.poll, &mut self.events);
            self.sleeper
                .sleep_unless(has_room, || poll_events(poll, events, Some(RING_FULL_PAUSE_MAX)));
        }
    }

    /// Adds up what the kernel has dropped since the last time.
    fn count_drops(&mut self) {
        for state in &mut self.sockets.list {
            state.count_new_drops(&mut self.counts.kernel_dropped);
        }
    }

    fn publish(&mut self) {
        self.counts.clock_shift_ns = self.clock.shift_ns();
        self.ledger.publish(&self.counts);
    }
}

/// Longest pause of a receiver whose ring is full. It is woken when there is room; this only bounds
/// the harm if a worker dies in between.
const RING_FULL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Which sockets a sweep reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that the kernel has said something of.
    Ready,
    /// Every one.
    All,
}

impl Sockets {
    /// Whether a socket is to be read once more in this sweep.
    fn wants_reading(&self, index: usize, which: Which) -> bool {
        which == Which::All || self.list.get(index).is_some_and(|state| state.ready)
    }

    fn note_ready(&mut self, events: &Events) {
        for event in events {
            if let Some(state) = self.list.get_mut(event.token().0) {
                state.ready = true;
            }
        }
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

fn datagram<'a>(received: &Received<'a>, stamp: Stamp, transport: Transport) -> Datagram<'a> {
    let extent = match received.extent {
        Cut::Whole => Extent::Whole,
        Cut::Truncated => Extent::Truncated,
    };
    Datagram { bytes: received.bytes, stamp, transport, extent }
}

/// When the slot of `now` is to be closed.
fn due_after(now: Stamp, delay_ns: u64) -> Stamp {
    Stamp::from_ns(Stamp::from_s(now.slot().next().start_s()).ns().saturating_add(delay_ns))
}

/// Polls; an interruption by a signal counts as an early return.
fn poll_events(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) {
    if poll.poll(events, timeout).is_err() {
        events.clear();
    }
}

fn count(counters: &mut [u64], transport: Transport, n: u64) {
    if let Some(counter) = counters.get_mut(transport as usize) {
        *counter += n;
    }
}
