//! The main thread: signals, the wrapped process, and the stop, whose decisions are those of
//! [`crate::stopping`]. Every wait goes on looking after signals and processes.

use crate::child::Child;
use crate::config::Config;
use crate::control::Wish;
use crate::flushes::Flushes;
use crate::grace::Grace;
use crate::receipt::{Ending, Stop};
use crate::signals::{Reach, Signals};
use crate::stopping::{Action, COUNTING, Facts, Linger, Stopping, Times};
use crate::wiring::{End, Pipeline, ReceiverThread, Thread};
use lastdrop_engine::ring::LaneSeal;
use lastdrop_engine::stop::{Drained, Lane, Patience, Running, Sealed, ShortReason};
use lastdrop_transport::{receive, shipper};
use mio::{Events, Poll, Token};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use tracing::{error, info};

/// Token of the signals among the events.
const SIGNALS: Token = Token(0);
/// Token of the bell that threads ring when they end.
const BELL: Token = Token(1);

/// The main thread's loop.
pub(crate) struct Supervisor {
    poll: Poll,
    events: Events,
    signals: Signals,
    bell: Arc<mio::Waker>,
    wrapped: Option<Wrapped>,
    /// Exit status of the wrapped process, once it has ended.
    child_ended: Option<u8>,
    /// Signals that ask for the stop, so far; sidecar only.
    stop_signals: u32,
    /// This loop has panicked.
    panicked: bool,
    /// Flushes on demand.
    flushes: Flushes,
    /// What the control socket asks for.
    wishes: Receiver<Wish>,
    wish: Sender<Wish>,
}

/// A wrapped process.
struct Wrapped {
    child: Child,
    grace: Grace,
}

/// Signals that a platform, or whoever else is in charge, asks a process to end with.
const ASKS_TO_END: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];

impl Supervisor {
    /// A loop that looks after the given signals.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn new(signals: Signals) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(mio::Waker::new(poll.registry(), BELL)?);
        signals.register(poll.registry(), SIGNALS)?;
        let (wish, wishes) = mpsc::channel();
        Ok(Self {
            poll,
            events: Events::with_capacity(8),
            signals,
            bell,
            wrapped: None,
            child_ended: None,
            stop_signals: 0,
            panicked: false,
            flushes: Flushes::default(),
            wishes,
            wish,
        })
    }

    /// What threads ring when they end.
    pub(crate) fn bell(&self) -> &Arc<mio::Waker> {
        &self.bell
    }

    /// Where the control socket puts its wishes; to be followed by the bell.
    pub(crate) fn wishes(&self) -> Sender<Wish> {
        self.wish.clone()
    }

    /// Looks after a wrapped process from now on, that has so much time to end when it is asked to.
    pub(crate) fn adopt(&mut self, child: Child, grace: Grace) {
        self.wrapped = Some(Wrapped { child, grace });
    }

    /// Whether a second signal has ended the stop.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.stop_signals > 1
    }

    /// Exit status of the wrapped process, once it has ended.
    pub(crate) fn child_ended(&self) -> Option<u8> {
        self.child_ended
    }

    /// Whether this loop has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// Runs until it is time to stop: the wrapped process has ended, or a signal says so. After a
    /// panic a wrapped process is looked after without a look at the pipeline, which goes on by
    /// itself; without a process it is time to stop.
    pub(crate) fn run(&mut self, pipeline: Option<&mut Pipeline>) {
        let done = catch_unwind(AssertUnwindSafe(|| self.run_beside(pipeline)));
        if done.is_err() {
            self.panicked = true;
            if self.wrapped.is_some() {
                self.run_beside(None);
            }
        }
        // From here on nobody is listened to: who waits learns it, for the way of its answer ends.
        (self.wish, self.wishes) = mpsc::channel();
    }

    fn run_beside(&mut self, pipeline: Option<&mut Pipeline>) {
        let mut pipeline = pipeline;
        while self.child_ended.is_none() && self.stop_signals == 0 {
            #[cfg(feature = "planted-faults")]
            if pipeline.is_some() {
                crate::faults::look("main");
            }
            // Without a pipeline nothing is ever due.
            let due = pipeline.as_deref().and_then(|pipeline| self.due_in(pipeline));
            self.wait(due);
            if let Some(pipeline) = pipeline.as_deref_mut() {
                self.obey(pipeline);
                pipeline.own.iter_mut().for_each(|own| own.tick(Instant::now()));
            }
        }
    }

    /// How long it is until the pipeline has to be looked after; none if nothing is due.
    fn due_in(&self, pipeline: &Pipeline) -> Option<Duration> {
        let now = Instant::now();
        let own = pipeline.own.as_ref().and_then(|own| own.due_in(now));
        let grace = self.wrapped.as_ref().and_then(|wrapped| wrapped.grace.due_in(now));
        [self.flushes.due_in(now), own, grace].into_iter().flatten().min()
    }

    /// Does what the control socket, the signals and the time ask of the pipeline.
    fn obey(&mut self, pipeline: &mut Pipeline) {
        while let Ok(wish) = self.wishes.try_recv() {
            match wish {
                Wish::Flush(reply) => self.flushes.ask_and_tell(reply),
                Wish::Report(request) => {
                    pipeline.shipper.command(shipper::Command::Report(request));
                }
            }
        }
        if let Some(wrapped) = &mut self.wrapped
            && wrapped.grace.flush(Instant::now())
        {
            info!("the command has not ended yet: flushing what there is");
            self.flushes.ask();
        }
        if let Some(number) = self.flushes.next(Instant::now()) {
            info!("flush {number}");
            pipeline.command_receivers(receive::Command::Flush(number));
        }
    }

    /// The stop, from the last words of clients to the last delivery; none if it panics.
    pub(crate) fn stop(
        &mut self,
        pipeline: Pipeline,
        config: &Config,
        linger: Linger,
    ) -> Option<Stop> {
        let stop = catch_unwind(AssertUnwindSafe(|| self.drive(pipeline, config, linger)));
        self.panicked |= stop.is_err();
        stop.ok()
    }

    fn drive(&mut self, pipeline: Pipeline, config: &Config, linger: Linger) -> Stop {
        let began = Instant::now();
        let signals_before = self.stop_signals;
        let timeout = config.process.stop_timeout;
        let timeout = self
            .wrapped
            .as_ref()
            .map_or(timeout, |wrapped| wrapped.grace.stop_timeout(began, timeout));
        let times = Times::new(began, timeout);
        #[cfg(feature = "planted-faults")]
        crate::faults::stopping();

        let Pipeline { running, mut receivers, mut workers, mut shipper, ledgers, own } = pipeline;
        let mut stopping = Stopping::new(times, linger, ledgers.clients());
        if let Linger::Silence(silence) = linger {
            info!("listening for the last words of clients, until they are silent for {silence:?}");
        }
        if let Some(mut own) = own {
            own.stop(self.child_ended);
        }
        let mut drain = Drain::Running(running);
        let mut worker_gone = false;
        let mut panicked = Vec::new();
        if self.panicked {
            panicked.push("main".to_owned());
        }
        let stage = loop {
            #[cfg(feature = "planted-faults")]
            crate::faults::look("main");
            let facts = Facts {
                clients: ledgers.clients(),
                interrupted: self.stop_signals > signals_before,
                receivers_ended: receivers.iter_mut().all(|one| one.thread.has_ended()),
                drained: drain.look(),
                shipper_ended: shipper.thread.has_ended(),
            };
            let now = Instant::now();
            match stopping.next(now, &facts) {
                Action::Wait(until) => self.wait(Some(until.saturating_duration_since(now))),
                Action::Seal => {
                    info!("sealing");
                    receivers.iter_mut().for_each(|one| one.command(receive::Command::Seal));
                }
                Action::Compare => {
                    let seals = take_seals(std::mem::take(&mut receivers), &mut panicked);
                    drain = drain.compare(seals);
                }
                Action::Finish => {
                    if let Some(drained) = std::mem::replace(&mut drain, Drain::Over).settle() {
                        info!(lanes = ?drained.lanes(), "drained");
                        worker_gone = drained.lanes().iter().any(of_gone_worker);
                        let deadline = times.deadline;
                        shipper.command(shipper::Command::Finish { drained, deadline });
                    }
                }
                Action::End(stage) => break stage,
            }
        };
        // Its epoch goes first; a moment later its thread says how it ended, and rings.
        let latest = times.deadline + COUNTING;
        while worker_gone && !workers.iter_mut().any(Thread::has_panicked) {
            let Some(left) = latest.checked_duration_since(Instant::now()) else { break };
            self.wait(Some(left));
        }
        panicked.extend(workers.into_iter().filter_map(panicked_name));
        let shipper_name = shipper.thread.name();
        let ending = match shipper.thread.end() {
            End::Result(shipped) => Ending::Shipped(shipped),
            End::NotYet => Ending::CutShort { stage: stage.name() },
            End::Panic => {
                panicked.push(shipper_name);
                Ending::CutShort { stage: stage.name() }
            }
        };
        Stop { ledgers, ending, panicked, took: began.elapsed() }
    }

    /// Waits for something to happen, at most for `timeout`, and looks after signals and processes.
    fn wait(&mut self, timeout: Option<Duration>) {
        if self.poll.poll(&mut self.events, timeout).is_err() {
            // Interrupted: look, and wait again.
            self.events.clear();
        }
        for signal in self.signals.pending() {
            match (&mut self.wrapped, signal.number) {
                (Some(_), SIGCHLD) => {}
                // A terminal has sent it to the whole group, the process included.
                (Some(_), _) if signal.reach == Reach::Group => {}
                (Some(Wrapped { child, grace }), number) => {
                    child.signal(number);
                    // The process may be moved to another machine before it goes on.
                    if number == SIGTSTP {
                        self.flushes.ask();
                    }
                    if ASKS_TO_END.contains(&number) {
                        grace.begin(Instant::now());
                    }
                }
                (None, SIGUSR1) => self.flushes.ask(),
                (None, SIGCHLD) => {}
                (None, _) => self.stop_signals += 1,
            }
        }
        if let Some(wrapped) = &mut self.wrapped {
            self.child_ended = wrapped.child.reap();
        }
    }
}

/// How far the drain has come.
enum Drain {
    /// The receivers still run.
    Running(Running),
    /// The workers apply what is in the rings.
    Sealed(Sealed),
    /// They have, or are gone.
    Drained(Drained),
    /// The proof is with the shipper.
    Over,
}

impl Drain {
    /// Begins to compare the epochs.
    fn compare(self, seals: Vec<LaneSeal>) -> Self {
        match self {
            Self::Running(running) => Self::Sealed(running.seal(seals)),
            other => other,
        }
    }

    /// Compares the epochs; true once nobody has to be waited for.
    fn look(&mut self) -> bool {
        *self = match std::mem::replace(self, Self::Over) {
            Self::Sealed(sealed) => match sealed.drained(Patience::Left) {
                Ok(drained) => Self::Drained(drained),
                Err(sealed) => Self::Sealed(sealed),
            },
            other => other,
        };
        matches!(self, Self::Drained(_))
    }

    /// What is found now, be it short.
    fn settle(self) -> Option<Drained> {
        match self {
            Self::Drained(drained) => Some(drained),
            Self::Sealed(sealed) => sealed.drained(Patience::Spent).ok(),
            Self::Running(_) | Self::Over => None,
        }
    }
}

/// The seals of the receivers that have ended, and the names of those that have panicked.
fn take_seals(receivers: Vec<ReceiverThread>, panicked: &mut Vec<String>) -> Vec<LaneSeal> {
    let mut seals = Vec::new();
    for receiver in receivers {
        let name = receiver.thread.name();
        match receiver.thread.end() {
            End::Result(own) => seals.extend(own),
            End::NotYet => error!("{name} has not come to the seal in time"),
            End::Panic => panicked.push(name),
        }
    }
    seals
}

/// Whether the worker of a lane has left before it had applied all: by a panic, for it leaves in no
/// other way.
fn of_gone_worker(lane: &Lane) -> bool {
    matches!(lane, Lane::Short { reason: ShortReason::WorkerGone, .. })
}

/// The name of a thread if it has panicked.
fn panicked_name(thread: Thread<()>) -> Option<String> {
    let name = thread.name();
    matches!(thread.end(), End::Panic).then_some(name)
}
