//! The receiver: sweeps the sockets into the packet rings, closes slots, and seals.
//!
//! ```text
//!  wait ─▶ commands ─▶ sweep the sockets that have something ─▶ slot over? sweep all, Close ─▶ wait
//!  Seal:   refuse all ─▶ empty all ─▶ count all ─▶ close all ─▶ seal every lane
//! ```
//!
//! Under load there is a rest before the wait: see `rest.rs`.
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

mod datagrams;
mod rest;
mod streams;

use self::datagrams::Datagrams;
use self::rest::Rest;
use self::streams::Streams;
use crate::clock::{Clock, Reading};
use crate::listen::{Socket, StreamListener};
use lastdrop_engine::datagram::Transport;
use lastdrop_engine::ledger::{ReceiverCounts, ReceiverLedger};
use lastdrop_engine::ring::{LaneSeal, Mark, PacketProducer};
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::wake::{Sleeper, Waker};
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Token of the wake-up among the events; sockets have their index, streams what follows.
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
    datagrams: Datagrams,
    streams: Option<Streams>,
    lanes: Vec<Lane>,
    poll: Poll,
    events: Events,
    commands: rtrb::Consumer<Command>,
    sleeper: Sleeper,
    clock: Clock,
    /// When the next slot is due to be closed.
    close_at: Stamp,
    rest: Rest,
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
    /// Datagrams received for it.
    received: u64,
}

impl Lane {
    /// A lane that nothing was received for yet.
    #[must_use]
    pub fn new(packets: PacketProducer, worker: Waker) -> Self {
        Self { packets, worker, received: 0 }
    }
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

/// What a sweep reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A datagram socket, by its index.
    Datagrams(usize),
    /// A stream connection, by its slot.
    Stream(usize),
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
        (sockets, listener): (Vec<Socket>, Option<StreamListener>),
        lanes: Vec<Lane>,
        commands: rtrb::Consumer<Command>,
        sleeper: Sleeper,
        settings: ReceiverSettings,
    ) -> io::Result<(Self, ReceiverLedger)> {
        let clock = Clock::new(Reading::now());
        let longest = settings.datagram_bytes_max;
        let registry = poll.registry();
        let datagrams = Datagrams::new(sockets, lanes.len(), longest, registry, &clock)?;
        let token = datagrams.len();
        let streams =
            listener.map(|one| Streams::new(one, longest, registry, token)).transpose()?;
        let rest = Rest::new(if streams.is_some() { 0 } else { datagrams.group_bytes() });
        let ledger = ReceiverLedger::default();
        let receiver = Self {
            datagrams,
            streams,
            lanes,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            commands,
            sleeper,
            close_at: due_after(clock.present(), settings.close_delay_ns),
            rest,
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
            self.rest();
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

    /// Reads sockets, waiting for the workers where a ring is full. Each has its turn: one that is
    /// filled as fast as it is read must not keep the others, or the close of a slot, waiting.
    fn sweep(&mut self, which: Which) {
        self.counts.sweeps += 1;
        for index in 0..self.datagrams.len() {
            if which != Which::Ready || self.datagrams.is_ready(index) {
                self.read_out(Source::Datagrams(index), which);
            }
        }
        if let Some(streams) = &mut self.streams {
            streams.accept(&mut self.counts);
            for slot in 0..streams.slots() {
                let ready = |streams: &Streams| which != Which::Ready || streams.is_ready(slot);
                if self.streams.as_ref().is_some_and(ready) {
                    self.read_out(Source::Stream(slot), which);
                }
            }
        }
        for lane in &self.lanes {
            lane.worker.wake();
        }
    }

    /// Reads one source until it is empty or its turn is over.
    fn read_out(&mut self, source: Source, which: Which) {
        let mut reads = 0;
        while reads < which.reads_max() {
            match self.read(source) {
                Read::Empty => return,
                Read::More => reads += 1,
                Read::RingFull => self.wait_for_lane(self.lane_of(source)),
            }
        }
    }

    fn read(&mut self, source: Source) -> Read {
        let lane = self.lane_of(source);
        let Self { datagrams, streams, lanes, clock, counts, .. } = self;
        let Some(lane) = lanes.get_mut(lane) else { return Read::Empty };
        match (source, streams) {
            (Source::Datagrams(index), _) => datagrams.read(index, lane, clock, counts),
            (Source::Stream(slot), Some(streams)) => streams.read(slot, lane, clock, counts),
            (Source::Stream(_), None) => Read::Empty,
        }
    }

    fn lane_of(&self, source: Source) -> usize {
        match source {
            Source::Datagrams(index) => self.datagrams.lane(index),
            Source::Stream(slot) => slot % self.lanes.len().max(1),
        }
    }

    /// Puts a mark into every lane, after all that was received and the count of it: whoever has seen
    /// the mark's effect reads counters that are at least as new.
    fn mark(&mut self, mark: Mark) {
        self.publish();
        for index in 0..self.lanes.len() {
            let datagrams = self.lanes.get(index).map_or(0, |lane| lane.received);
            self.mark_lane(index, Mark::Received { datagrams });
            self.mark_lane(index, mark);
        }
    }

    fn mark_lane(&mut self, index: usize, mark: Mark) {
        while let Some(lane) = self.lanes.get_mut(index) {
            if lane.packets.is_abandoned() || lane.packets.mark(mark).is_ok() {
                lane.worker.wake();
                return;
            }
            self.wait_for_lane(index);
        }
    }

    /// Sleeps until the ring of a lane has room for a batch, or its worker is gone.
    fn wait_for_lane(&mut self, lane: usize) {
        self.counts.ring_full += 1;
        self.publish();
        let Some(Lane { packets, worker, .. }) = self.lanes.get(lane) else { return };
        worker.wake();
        let batch_bytes = PacketProducer::record_bytes(self.settings.datagram_bytes_max);
        let has_room = || packets.is_abandoned() || packets.room(batch_bytes) >= 2 * batch_bytes;
        let (poll, events) = (&mut self.poll, &mut self.events);
        self.sleeper
            .sleep_unless(has_room, || poll_events(poll, events, Some(RING_FULL_PAUSE_MAX)));
        self.note_ready();
    }

    /// Under load, lets some datagrams come together, deaf to the sockets and awake to commands:
    /// whoever gives one unparks this thread.
    fn rest(&mut self) {
        let now = self.clock.advance(Reading::now());
        let received = self.counts.received.iter().sum();
        let Some(pause) = self.rest.after_sweep(received, self.clock.monotonic_ns()) else {
            return;
        };
        let left = Duration::from_nanos(self.close_at.ns().saturating_sub(now.ns()));
        if self.commands.is_empty() {
            thread::park_timeout(pause.min(left));
        }
    }

    /// Sleeps until something arrives, a command comes, or a slot is over.
    fn wait(&mut self) {
        let now = self.clock.advance(Reading::now());
        let left_ns = self.close_at.ns().saturating_sub(now.ns());
        // Rounded up to what the kernel's timer resolves, so that it isn't early by a hair.
        let mut timeout = Duration::from_nanos(left_ns).saturating_add(Duration::from_millis(1));
        if self.datagrams.any_ready() || self.streams.as_ref().is_some_and(Streams::any_ready) {
            timeout = Duration::ZERO;
        }
        poll_events(&mut self.poll, &mut self.events, Some(timeout));
        self.note_ready();
    }

    fn note_ready(&mut self) {
        for event in &self.events {
            match event.token() {
                WAKE => {}
                Token(index) if index < self.datagrams.len() => self.datagrams.note_ready(index),
                Token(token) => {
                    if let Some(streams) = &mut self.streams {
                        streams.note_ready(token);
                    }
                }
            }
        }
    }

    /// The seal, in four passes over all sockets.
    fn seal(mut self) -> Vec<LaneSeal> {
        let all_refuse = self.datagrams.refuse(&mut self.counts);
        // Where a kernel can't refuse, once more.
        for _ in 0..if all_refuse { 1 } else { 2 } {
            self.refuse_streams();
            self.sweep(Which::Rest);
        }
        while self.datagrams.any_queued() || self.streams.as_ref().is_some_and(Streams::any_ready) {
            self.refuse_streams();
            self.sweep(Which::Rest);
        }
        self.datagrams.count_drops(&mut self.counts.late);
        self.datagrams.close();
        self.streams = None;
        let at = self.clock.advance(Reading::now());
        self.publish();
        let mut seals = Vec::with_capacity(self.lanes.len());
        for Lane { packets, worker, .. } in std::mem::take(&mut self.lanes) {
            seals.extend(self.seal_lane(packets, &worker, at));
            worker.wake();
        }
        seals
    }

    /// Turns stream clients away; those that waited for room in the list of connections, too.
    fn refuse_streams(&mut self) {
        if let Some(streams) = &mut self.streams {
            streams.refuse(&mut self.counts);
        }
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
        self.datagrams.count_drops(&mut self.counts.kernel_dropped);
    }

    fn publish(&mut self) {
        self.counts.clock_shift_ns = self.clock.shift_ns();
        self.ledger.publish(&self.counts);
    }
}

/// Longest pause of a receiver whose ring is full. It is woken when there is room; this only bounds
/// the harm if a worker dies in between.
const RING_FULL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Which sockets a sweep reads, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that the kernel has said something of, some reads each.
    Ready,
    /// Every one, as far as anything can be in it that was there when the sweep began.
    All,
    /// Every one to its end: they refuse, so there is one.
    Rest,
}

impl Which {
    /// Reads of one socket in one sweep.
    const fn reads_max(self) -> usize {
        match self {
            Self::Ready => 16,
            // At some 64 datagrams a read, far more than any socket's buffer holds.
            Self::All => 1024,
            Self::Rest => usize::MAX,
        }
    }
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
