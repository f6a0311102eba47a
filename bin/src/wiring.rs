//! The threads and what each of them owns, on one page.
//!
//! ```text
//!  thread      owns                                              wakes
//!  receive-i   its sockets, the producers of its lanes           the workers of its lanes
//!  work-i      one packet ring's consumer, contexts, buckets     its receiver (room), the shipper
//!  ship        all bucket rings' consumers, merge, connections   the workers (room)
//!  main        the rest: signals, child, the stop                whoever it has a command for
//! ```
//!
//! Every thread rings the bell of the main thread when it ends, however it ends.

use crate::config::Config;
use crate::identity::{self, Identity, Surroundings};
use crate::own_metrics::{self, OwnMetrics};
use crate::pin::Pins;
use crate::stopping::Clients;
use crate::telemetry::Telemetry;
use crate::{endpoints, settings};
use lastdrop_engine::datagram::Transport;
use lastdrop_engine::handover::bucket_ring;
use lastdrop_engine::ledger::{
    MergeLedger, ReceiverCounts, ReceiverLedger, ShipperLedger, WorkerCounts, WorkerLedger,
};
use lastdrop_engine::limits::PACKET_RING_BYTES_DEFAULT;
use lastdrop_engine::merge::{Merge, MergeSettings};
use lastdrop_engine::ring::{LaneSeal, packet_ring};
use lastdrop_engine::stop::{LaneEpochs, Running};
use lastdrop_engine::time::NS_PER_S;
use lastdrop_engine::wake::{SleepFlag, Sleeper, Waker, sleeper};
use lastdrop_engine::worker::{Turn, Worker};
use lastdrop_transport::clock::{Observer, Reading};
use lastdrop_transport::forward::backoff::Rng;
use lastdrop_transport::listen::{self, Socket, StreamListener};
use lastdrop_transport::receive::{self, Lane, Receiver, ReceiverSettings};
use lastdrop_transport::shipper::{self, Shipped, Shipper};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

/// The running pipeline.
pub(crate) struct Pipeline {
    /// The first state of the stop.
    pub(crate) running: Running,
    /// The receivers' threads, each with its commands and its waker.
    pub(crate) receivers: Vec<ReceiverThread>,
    /// The workers' threads.
    pub(crate) workers: Vec<Thread<()>>,
    /// The shipper's thread with its commands and its waker.
    pub(crate) shipper: ShipperThread,
    /// The counters of all of them.
    pub(crate) ledgers: Ledgers,
    /// Who this instance is, where the agent makes metrics of that.
    pub(crate) own: Option<OwnMetrics>,
}

/// A receiver's thread.
pub(crate) struct ReceiverThread {
    pub(crate) thread: Thread<Vec<LaneSeal>>,
    pub(crate) commands: rtrb::Producer<receive::Command>,
    pub(crate) waker: Arc<mio::Waker>,
}

/// The shipper's thread.
pub(crate) struct ShipperThread {
    pub(crate) thread: Thread<Shipped>,
    pub(crate) commands: rtrb::Producer<shipper::Command>,
    pub(crate) waker: Arc<mio::Waker>,
}

/// The counters of all threads.
#[derive(Clone)]
pub(crate) struct Ledgers {
    pub(crate) receivers: Vec<ReceiverLedger>,
    pub(crate) workers: Vec<WorkerLedger>,
    pub(crate) merge: MergeLedger,
    pub(crate) shipper: ShipperLedger,
}

impl Pipeline {
    /// Gives every receiver the same command.
    pub(crate) fn command_receivers(&mut self, command: receive::Command) {
        for receiver in &mut self.receivers {
            receiver.command(command);
        }
    }
}

impl ReceiverThread {
    /// Gives a command. One that finds the inbox full or the thread gone is moot: the same kind
    /// waits already, or nobody is there to obey.
    pub(crate) fn command(&mut self, command: receive::Command) {
        let _ = self.commands.push(command);
        let _ = self.waker.wake();
        // It may rest, deaf to its poll.
        self.thread.thread.unpark();
    }
}

impl ShipperThread {
    /// Gives a command, as [`ReceiverThread::command`] does.
    pub(crate) fn command(&mut self, command: shipper::Command) {
        let _ = self.commands.push(command);
        let _ = self.waker.wake();
    }
}

impl Ledgers {
    /// The sum over all receivers.
    pub(crate) fn receivers(&self) -> ReceiverCounts {
        let mut sum = ReceiverCounts::default();
        for ledger in &self.receivers {
            sum.add(&ledger.read());
        }
        sum
    }

    /// The sum over all workers.
    pub(crate) fn workers(&self) -> WorkerCounts {
        let mut sum = WorkerCounts::default();
        for ledger in &self.workers {
            sum.add(&ledger.read());
        }
        sum
    }

    /// What clients have done so far; the agent's own metrics are none.
    pub(crate) fn clients(&self) -> Clients {
        let receivers = self.receivers();
        let received = |transport: Transport| {
            receivers.received.get(transport as usize).copied().unwrap_or_default()
        };
        Clients {
            datagrams: received(Transport::Udp) + received(Transport::UnixDatagram),
            frames: received(Transport::UnixStream),
            streams: receivers.stream_connections.saturating_sub(receivers.streams_ended),
        }
    }
}

/// A seed that differs between processes, also those of one image that start in the same instant.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Commands that may wait for a thread: a flush every second and the seal.
const COMMANDS_MAX: usize = 16;

/// Starts all threads over the given sockets. Receivers receive at once; the others begin when it is
/// known who this instance is.
///
/// # Errors
///
/// What the kernel reports when a thread or a poll can't be made, and an endpoint's address or TLS
/// settings that can't be used. Threads that run already end on their own.
pub(crate) fn start(
    config: &Config,
    surroundings: Surroundings,
    (mut sockets, stream): (Vec<Socket>, Option<StreamListener>),
    bell: &Arc<mio::Waker>,
) -> io::Result<Pipeline> {
    let receivers = config.process.receivers;
    let workers = config.process.workers;
    let mut rng = Rng::from_seed(random_seed());
    let mut pins = Pins::new(config.process.pin, &mut rng);
    let enricher = Arc::new(settings::enricher(config));
    let origin = surroundings.platform.origin();
    let enhanced =
        own_metrics::enhanced(&surroundings).filter(|_| config.enrichment.enhanced_metrics);
    let identity = identity::find_out(config, surroundings, &mut rng);
    let mut own = match (&enhanced, config.process.self_metrics) {
        (None, false) => None,
        _ => {
            let (sender, socket) = listen::own()?;
            sockets.push(socket);
            Some(OwnMetrics::new(sender))
        }
    };
    if let (Some(own), Some(enhanced)) = (&mut own, enhanced) {
        own.add_platform(enhanced, identity.clone());
    }

    let (poll, ship_waker) = Shipper::poll()?;
    let mut starts: Vec<ReceiverStart> =
        (0..receivers).map(|_| ReceiverStart::new()).collect::<io::Result<_>>()?;
    let mut lanes = Vec::with_capacity(workers);
    let mut buckets = Vec::with_capacity(workers);
    let mut ledgers = Vec::with_capacity(workers);
    let mut threads = Vec::with_capacity(workers);
    let mut room_wakers = Vec::with_capacity(workers);
    for index in 0..workers {
        let (packets, consumer, committed) = packet_ring(index, PACKET_RING_BYTES_DEFAULT);
        let (out, ring) = bucket_ring();
        let settings = settings::worker(config, &enricher);
        let (mut worker, applied, ledger) = Worker::new(consumer, out, settings);
        #[cfg(feature = "planted-faults")]
        worker.plant(crate::faults::of_worker());
        // Lanes are shared out in blocks, as the sockets are.
        let Some(start) = starts.get_mut(index * receivers / workers) else { continue };
        let (sleeper, flag) = sleeper();
        let thread = spawn(&format!("work-{index}"), pins.next(), bell, {
            let (room, ship) = (start.room_waker(), Arc::clone(&ship_waker));
            let identity = identity.clone();
            move || {
                worker.set_enricher(Arc::clone(&identity.wait().enricher));
                work(worker, &sleeper, &room, &ship);
            }
        })?;
        start.workers.0.push(thread.thread.clone());
        start.lanes.push(Lane::new(packets, thread_waker(&flag, &thread)));
        room_wakers.push(thread_waker(&flag, &thread));
        lanes.push(LaneEpochs { committed, applied });
        buckets.push(ring);
        ledgers.push(ledger);
        threads.push(thread);
    }
    let (shipper, merge_ledger, shipper_ledger) = {
        let (merge, merge_ledger) =
            Merge::new(buckets, MergeSettings { origin, ..settings::merge(config, &enricher) });
        let outlets = endpoints::open(config, poll.registry(), &ship_waker, &mut rng)?;
        let settings = settings::shipper(config, Rng::from_seed(rng.bits()));
        let (commands, inbox) = rtrb::RingBuffer::new(COMMANDS_MAX);
        let (mut shipper, shipper_ledger) =
            Shipper::new(poll, merge, inbox, outlets, room_wakers, settings);
        let thread = spawn("ship", None, bell, move || {
            #[cfg(feature = "planted-faults")]
            crate::faults::look("ship");
            let Identity { enricher, series_tags, .. } = identity.wait();
            shipper.set_tags(enricher.extra_tags().to_vec(), series_tags.clone());
            let shipped = shipper.run();
            #[cfg(feature = "planted-faults")]
            crate::faults::look("ship");
            shipped
        })?;
        (ShipperThread { thread, commands, waker: ship_waker }, merge_ledger, shipper_ledger)
    };
    let close_delay_ns = rng.bits() % (SPREAD_S * NS_PER_S);
    let mut receiver_ledgers = Vec::with_capacity(receivers);
    let mut receiver_threads = Vec::with_capacity(receivers);
    let mut sockets = shares(sockets, receivers);
    // Streams are rare: the first receiver has them.
    let mut stream = stream;
    for (index, start) in starts.into_iter().enumerate() {
        let own = (sockets.next().unwrap_or_default(), stream.take());
        let settings =
            ReceiverSettings { datagram_bytes_max: config.dogstatsd.buffer_bytes, close_delay_ns };
        let (commands, inbox) = rtrb::RingBuffer::new(COMMANDS_MAX);
        let waker = start.waker;
        let (receiver, ledger) =
            Receiver::new(start.poll, own, start.lanes, inbox, start.sleeper, settings)?;
        let orphans = start.workers;
        let thread = spawn(&format!("receive-{index}"), pins.next(), bell, move || {
            // Outlives the receiver, whose rings are gone by then.
            let _orphans = orphans;
            receiver.run()
        })?;
        receiver_ledgers.push(ledger);
        receiver_threads.push(ReceiverThread { thread, commands, waker });
    }
    let ledgers = Ledgers {
        receivers: receiver_ledgers,
        workers: ledgers,
        merge: merge_ledger,
        shipper: shipper_ledger,
    };
    if let Some(own) = own.as_mut().filter(|_| config.process.self_metrics) {
        own.add_telemetry(Telemetry::new(ledgers.clone(), Instant::now()));
    }
    Ok(Pipeline {
        running: Running::new(lanes),
        receivers: receiver_threads,
        workers: threads,
        shipper,
        ledgers,
        own,
    })
}

/// Longest time by which a process closes its slots later than another, in seconds: a fleet that was
/// started at once must not send at once.
const SPREAD_S: u64 = 3;

/// What a receiver needs before its workers run, so that they can wake it.
struct ReceiverStart {
    poll: mio::Poll,
    waker: Arc<mio::Waker>,
    sleeper: Sleeper,
    flag: SleepFlag,
    lanes: Vec<Lane>,
    workers: Orphans,
}

impl ReceiverStart {
    fn new() -> io::Result<Self> {
        let (poll, waker) = Receiver::poll()?;
        let (sleeper, flag) = sleeper();
        Ok(Self { poll, waker, sleeper, flag, lanes: Vec::new(), workers: Orphans(Vec::new()) })
    }

    /// For a worker: wakes the receiver that waits for room.
    fn room_waker(&self) -> Waker {
        let waker = Arc::clone(&self.waker);
        self.flag.clone().waker(move || {
            // An event descriptor that can't be written to is full, so the wake-up is there.
            let _ = waker.wake();
        })
    }
}

/// The workers of a receiver, woken when it is gone: one that sleeps would not learn of a panic.
struct Orphans(Vec<thread::Thread>);

impl Drop for Orphans {
    fn drop(&mut self) {
        self.0.iter().for_each(thread::Thread::unpark);
    }
}

/// A worker's thread of work.
fn work(mut worker: Worker, sleeper: &Sleeper, room: &Waker, ship: &mio::Waker) {
    let mut handed_over = 0;
    let mut observer = Observer::new(Reading::now());
    loop {
        #[cfg(feature = "planted-faults")]
        crate::faults::look(thread::current().name().unwrap_or_default());
        let turn = match observer.present(Reading::now()) {
            Some(present) => worker.turn_at(present),
            None => worker.turn(),
        };
        room.wake();
        if worker.handed_over() != handed_over {
            handed_over = worker.handed_over();
            // As in `room_waker`: a failure means that a wake-up is there already.
            let _ = ship.wake();
        }
        match turn {
            Turn::Applied => {}
            Turn::Idle => {
                observer.caught_up();
                sleeper.sleep_unless(|| worker.has_work(), thread::park);
            }
            Turn::Ended => return,
        }
    }
}

/// Wakes a thread that parks.
fn thread_waker<T>(flag: &SleepFlag, thread: &Thread<T>) -> Waker {
    let thread = thread.thread.clone();
    flag.clone().waker(move || {
        // Wakers are called by the thread whose turn it is: receiver or shipper.
        #[cfg(feature = "planted-faults")]
        crate::faults::look(thread::current().name().unwrap_or_default());
        thread.unpark();
    })
}

/// A thread and what it leaves behind.
///
/// The result travels in a channel and not in a join handle: the bell is rung after it was sent, so
/// whoever wakes up finds it there, while a join handle may still say that the thread runs.
pub(crate) struct Thread<T> {
    thread: thread::Thread,
    results: mpsc::Receiver<T>,
    end: End<T>,
}

/// How a thread has ended.
pub(crate) enum End<T> {
    /// It hasn't.
    NotYet,
    /// With this.
    Result(T),
    /// By a panic.
    Panic,
}

impl<T> Thread<T> {
    /// The name that it was started with.
    pub(crate) fn name(&self) -> String {
        self.thread.name().unwrap_or_default().to_owned()
    }

    /// Whether the thread has ended, one way or the other.
    pub(crate) fn has_ended(&mut self) -> bool {
        if let End::NotYet = self.end {
            self.end = match self.results.try_recv() {
                Ok(result) => End::Result(result),
                Err(mpsc::TryRecvError::Empty) => End::NotYet,
                Err(mpsc::TryRecvError::Disconnected) => End::Panic,
            };
        }
        !matches!(self.end, End::NotYet)
    }

    /// Whether the thread has ended by a panic.
    pub(crate) fn has_panicked(&mut self) -> bool {
        self.has_ended() && matches!(self.end, End::Panic)
    }

    /// How the thread has ended by now.
    pub(crate) fn end(mut self) -> End<T> {
        self.has_ended();
        self.end
    }
}

/// Starts a thread that rings the bell when it ends.
fn spawn<T: Send + 'static>(
    name: &str,
    pin: Option<core_affinity::CoreId>,
    bell: &Arc<mio::Waker>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Thread<T>> {
    let bell = EndBell(Arc::clone(bell));
    let (sender, results) = mpsc::channel();
    let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped in the opposite order, by a panic too: the channel ends, then the bell rings.
        let _bell = bell;
        let sender = sender;
        if let Some(core) = pin {
            core_affinity::set_for_current(core);
        }
        // The main thread is gone if nobody takes the result.
        let _ = sender.send(body());
    })?;
    Ok(Thread { thread: handle.thread().clone(), results, end: End::NotYet })
}

/// Rings when it is dropped.
struct EndBell(Arc<mio::Waker>);

impl Drop for EndBell {
    fn drop(&mut self) {
        let _ = self.0.wake();
    }
}

/// Shares sockets out in blocks.
fn shares(sockets: Vec<Socket>, count: usize) -> impl Iterator<Item = Vec<Socket>> {
    let total = sockets.len();
    let mut sockets = sockets.into_iter();
    (0..count).map(move |index| {
        let share = total * (index + 1) / count - total * index / count;
        sockets.by_ref().take(share).collect()
    })
}
