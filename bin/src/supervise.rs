//! The main thread: signals, the wrapped process, the stop and its one deadline.
//!
//! ```text
//!  step     waits for                                   at the latest
//!  linger   silence (sidecar only)                      deadline − reserve
//!  seal     the receivers' threads to end               deadline − reserve
//!  drain    every worker's epoch to reach the seal      deadline − reserve
//!  deliver  the shipper's thread to end                 deadline
//! ```
//!
//! The reserve is what flush and delivery are sure to get, so that a sick worker never keeps the
//! healthy ones from flushing. Every wait ends early when its condition holds, and goes on looking
//! after signals and processes.

use crate::child::Child;
use crate::config::Config;
use crate::control::Wish;
use crate::flushes::Flushes;
use crate::receipt::{Ending, Stop};
use crate::signals::{Reach, Signals};
use crate::wiring::{End, Ledgers, Pipeline};
use lastdrop_engine::stop::Patience;
use lastdrop_transport::{receive, shipper};
use mio::{Events, Poll, Token};
use signal_hook::consts::{SIGCHLD, SIGTSTP, SIGUSR1};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use tracing::{error, info};

/// Token of the signals among the events.
const SIGNALS: Token = Token(0);
/// Token of the bell that threads ring when they end.
const BELL: Token = Token(1);

/// What flush and delivery are sure to get of the stop's time.
const RESERVE: Duration = Duration::from_secs(2);

/// Time beyond the deadline that the shipper gets to count what is left.
const GRACE: Duration = Duration::from_millis(400);

/// How often silence is looked for while lingering: nothing wakes us for an arrival.
const LINGER_STEP: Duration = Duration::from_millis(50);

/// The main thread's loop.
pub(crate) struct Supervisor {
    poll: Poll,
    events: Events,
    signals: Signals,
    bell: Arc<mio::Waker>,
    child: Option<Child>,
    /// Exit status of the wrapped process, once it has ended.
    child_ended: Option<u8>,
    /// Signals that ask for the stop, so far; sidecar only.
    stop_signals: u32,
    /// Flushes on demand.
    flushes: Flushes,
    /// What the control socket asks for.
    wishes: Receiver<Wish>,
    wish: Sender<Wish>,
}

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
            child: None,
            child_ended: None,
            stop_signals: 0,
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

    /// Looks after a wrapped process from now on.
    pub(crate) fn adopt(&mut self, child: Child) {
        self.child = Some(child);
    }

    /// Exit status of the wrapped process, once it has ended.
    pub(crate) fn child_ended(&self) -> Option<u8> {
        self.child_ended
    }

    /// Runs until it is time to stop: the wrapped process has ended, or a signal says so.
    pub(crate) fn run(&mut self, pipeline: Option<&mut Pipeline>) {
        let mut pipeline = pipeline;
        while self.child_ended.is_none() && self.stop_signals == 0 {
            let now = Instant::now();
            let own = pipeline.as_ref().and_then(|pipeline| pipeline.own.as_ref());
            let dues = [self.flushes.due_in(now), own.map(|own| own.due_in(now))];
            self.wait(dues.into_iter().flatten().min());
            if let Some(pipeline) = pipeline.as_deref_mut() {
                self.obey(pipeline);
                pipeline.own.iter_mut().for_each(|own| own.tick(Instant::now()));
            }
        }
        // From here on nobody is listened to: who waits learns it, for the way of its answer ends.
        (self.wish, self.wishes) = mpsc::channel();
    }

    /// Does what the control socket and the signals ask of the pipeline.
    fn obey(&mut self, pipeline: &mut Pipeline) {
        while let Ok(wish) = self.wishes.try_recv() {
            match wish {
                Wish::Flush(reply) => self.flushes.ask_and_tell(reply),
                Wish::Report(request) => {
                    pipeline.shipper.command(shipper::Command::Report(request));
                }
            }
        }
        if let Some(number) = self.flushes.next(Instant::now()) {
            pipeline.command_receivers(receive::Command::Flush(number));
        }
    }

    /// The stop, from the seal to the last delivery.
    pub(crate) fn stop(&mut self, pipeline: Pipeline, config: &Config) -> Stop {
        let began = Instant::now();
        let signals_before = self.stop_signals;
        let deadline = began + config.process.stop_timeout;
        let reserved = deadline - RESERVE.min(config.process.stop_timeout / 2);
        let stop = |ledgers, ending| Stop { ledgers, ending, took: began.elapsed() };

        let Pipeline { running, mut receivers, workers, mut shipper, ledgers, own } = pipeline;
        if let Some(mut own) = own {
            own.stop(self.child_ended);
        }
        if self.child.is_none() {
            self.linger(&ledgers, config.process.linger, reserved);
        }
        info!("sealing");
        for receiver in &mut receivers {
            receiver.command(receive::Command::Seal);
        }
        let interrupted = |supervisor: &Self| supervisor.stop_signals > signals_before;
        self.wait_until(reserved, |this| {
            interrupted(this) || receivers.iter_mut().all(|one| one.thread.has_ended())
        });
        if interrupted(self) {
            return stop(ledgers, Ending::CutShort { stage: "seal" });
        }
        let mut seals = Vec::new();
        for receiver in receivers {
            match receiver.thread.end() {
                End::Result(own) => seals.extend(own),
                End::NotYet => error!("a receiver has not come to the seal in time"),
                End::Panic => error!("a receiver has panicked: what the kernel held is not known"),
            }
        }
        let mut sealed = Some(running.seal(seals));
        let mut drained = None;
        self.wait_until(reserved, |this| {
            let patience = if Instant::now() < reserved { Patience::Left } else { Patience::Spent };
            match sealed.take().map(|sealed| sealed.drained(patience)) {
                Some(Ok(proof)) => drained = Some(proof),
                Some(Err(waiting)) => sealed = Some(waiting),
                None => {}
            }
            drained.is_some() || interrupted(this)
        });
        // Out of time: what is not applied now is short.
        let drained =
            drained.or_else(|| sealed.and_then(|sealed| sealed.drained(Patience::Spent).ok()));
        let Some(drained) = drained.filter(|_| !interrupted(self)) else {
            return stop(ledgers, Ending::CutShort { stage: "drain" });
        };
        info!(lanes = ?drained.lanes(), "drained");
        drop(workers);
        shipper.command(shipper::Command::Finish { drained, deadline });
        self.wait_until(deadline + GRACE, |this| interrupted(this) || shipper.thread.has_ended());
        match shipper.thread.end() {
            End::Result(shipped) => stop(ledgers, Ending::Shipped(shipped)),
            End::NotYet => stop(ledgers, Ending::CutShort { stage: "deliver" }),
            End::Panic => {
                error!("the shipper has panicked: what it held is lost");
                stop(ledgers, Ending::CutShort { stage: "deliver" })
            }
        }
    }

    /// Keeps receiving until the sockets were silent for `silence`: where all containers are
    /// signalled together, the application's last words come after our signal.
    fn linger(&mut self, ledgers: &Ledgers, silence: Duration, until: Instant) {
        let signals_before = self.stop_signals;
        let mut received = ledgers.datagrams_received();
        let mut quiet_since = Instant::now();
        while Instant::now() < until && self.stop_signals == signals_before {
            let now_received = ledgers.datagrams_received();
            if now_received != received {
                (received, quiet_since) = (now_received, Instant::now());
            }
            if quiet_since.elapsed() >= silence {
                return;
            }
            self.wait(Some(LINGER_STEP));
        }
    }

    /// Waits until the condition holds or it is `until`.
    fn wait_until(&mut self, until: Instant, mut holds: impl FnMut(&Self) -> bool) {
        while !holds(self) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(Some(left));
        }
    }

    /// Waits for something to happen, at most for `timeout`, and looks after signals and processes.
    fn wait(&mut self, timeout: Option<Duration>) {
        if self.poll.poll(&mut self.events, timeout).is_err() {
            // Interrupted: look, and wait again.
            self.events.clear();
        }
        for signal in self.signals.pending() {
            match (&mut self.child, signal.number) {
                (Some(_), SIGCHLD) => {}
                // A terminal has sent it to the whole group, the process included.
                (Some(_), _) if signal.reach == Reach::Group => {}
                (Some(child), number) => {
                    child.signal(number);
                    // The process may be moved to another machine before it goes on.
                    if number == SIGTSTP {
                        self.flushes.ask();
                    }
                }
                (None, SIGUSR1) => self.flushes.ask(),
                (None, SIGCHLD) => {}
                (None, _) => self.stop_signals += 1,
            }
        }
        if let Some(child) = &mut self.child {
            self.child_ended = child.reap();
        }
    }
}
