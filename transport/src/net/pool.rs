//! The connections to one endpoint: opened on demand, kept for the next request, one request at a
//! time on each.
//!
//! The pool owns no loop and no clock. Its caller polls mio and calls, in this order:
//!
//! 1. [`handle_event`](Pool::handle_event) for each event with a token of the pool's,
//!    [`handle_wake`](Pool::handle_wake) after the waker's event,
//! 2. [`handle_timeout`](Pool::handle_timeout) when [`next_timeout`](Pool::next_timeout) has come,
//! 3. [`send`](Pool::send) whenever there is something to send,
//! 4. [`poll_done`](Pool::poll_done) until it is empty, before it sleeps again: each call above may
//!    have finished a request, `send` among them.
//!
//! Every request that was sent comes back exactly once from `poll_done`, with an answer or a
//! failure.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::{Registry, Token, Waker};
use rustls::ClientConfig;

use super::attempt::{Answer, Attempt, ConnectionUse, Job, Outcome, Plan, Timeouts, Way, later};
use super::exchange::Sent;
use super::failure::{Broken, Failure, Late, NotSent, Phase, ResolveFailure};
use super::proxy::ProxyUrl;
use super::resolve::{Addresses, Resolver};
use super::stream::{ReadOutcome, Stream};
use super::target::{Scheme, Target};
use crate::http::{Request, ResponseError};
use crate::limits::{IDLE_CONNECTIONS_MAX, POOL_WAITING_MAX, READ_BYTES};

/// What a pool is made with.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where the requests go.
    pub target: Target,
    /// The proxy in between, see [`ProxySettings::proxy_for`](super::ProxySettings::proxy_for).
    pub proxy: Option<ProxyUrl>,
    /// Needed for an https target.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Connections at once, at least one; that many tokens from `token` on belong to the pool.
    pub connections_max: usize,
    /// The first of the pool's tokens.
    pub token: Token,
    /// Wakes the loop when a name is resolved.
    pub waker: Arc<Waker>,
}

/// Why there is no pool.
#[derive(Debug)]
pub enum PoolError {
    /// The target is https and there is no TLS configuration.
    NoTls,
    /// mio's registry could not be duplicated.
    Registry(io::Error),
}

/// The connections to one endpoint.
pub struct Pool {
    plan: Plan,
    resolver: Resolver,
    /// Slot `i` uses the token `token + i`.
    slots: Vec<Slot>,
    token: Token,
    /// At most `POOL_WAITING_MAX`, oldest first.
    waiting: VecDeque<(u64, Request)>,
    done: VecDeque<(u64, Result<Answer, Failure>)>,
    deadline: Option<Instant>,
    /// When a connection last stopped reading only to let others have their turn.
    hungry_since: Option<Instant>,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Idle { stream: Stream, until: Instant },
    Busy(Box<Attempt>),
}

impl Pool {
    /// Makes a pool without any connection; sockets will be registered with `registry`.
    ///
    /// # Errors
    /// If an https target has no TLS configuration, or the registry cannot be duplicated.
    pub fn new(settings: PoolSettings, registry: &Registry) -> Result<Self, PoolError> {
        let PoolSettings { target, proxy, tls, timeouts, connections_max, token, waker } = settings;
        let (host, port) = match &proxy {
            Some(proxy) => (proxy.host().clone(), proxy.port()),
            None => (target.host().clone(), target.port()),
        };
        let way = match (target.scheme(), proxy, tls) {
            (Scheme::Http, None, _) => Way::Plain,
            (Scheme::Http, Some(proxy), _) => Way::Forwarded(proxy),
            (Scheme::Https, None, Some(config)) => Way::Secure(config),
            (Scheme::Https, Some(proxy), Some(config)) => Way::Tunneled(proxy, config),
            (Scheme::Https, _, None) => return Err(PoolError::NoTls),
        };
        let registry = registry.try_clone().map_err(PoolError::Registry)?;
        Ok(Self {
            plan: Plan { target, way, timeouts, registry },
            resolver: Resolver::new(host, port, waker),
            slots: (0..connections_max.max(1)).map(|_| Slot::Free).collect(),
            token,
            waiting: VecDeque::new(),
            done: VecDeque::new(),
            deadline: None,
            hungry_since: None,
            buffer: vec![0; READ_BYTES].into(),
        })
    }

    /// Returns where the requests go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.plan.target
    }

    /// Returns how many requests have neither an answer nor a failure yet.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let busy = self.slots.iter().filter(|slot| matches!(slot, Slot::Busy(_))).count();
        busy.saturating_add(self.waiting.len())
    }

    /// Sends a request on an idle connection, else on a new one, else once there is one. It comes
    /// back from [`poll_done`](Self::poll_done) under `id`.
    pub fn send(&mut self, id: u64, request: Request, now: Instant) {
        if self.waiting.len() >= POOL_WAITING_MAX {
            self.done.push_back((id, Err(Failure::NotSent(NotSent::TooManyWaiting))));
            return;
        }
        self.waiting.push_back((id, request));
        self.start_waiting(now);
    }

    /// Goes on with the connection of `token`; a token that is not the pool's is ignored.
    pub fn handle_event(&mut self, token: Token, now: Instant) {
        if let Some(slot) = token.0.checked_sub(self.token.0) {
            self.advance(slot, now);
            self.start_waiting(now);
        }
    }

    /// Takes the resolver's answer, if it is this pool's name that was resolved.
    pub fn handle_wake(&mut self, now: Instant) {
        if let Some(answer) = self.resolver.answer(now) {
            self.resolved(&answer, now);
            self.start_waiting(now);
        }
    }

    /// Ends what is late, goes on with what was put off, and closes what was unused for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.hungry_since = None;
        self.handle_wake(now);
        let deadline_passed = self.deadline.is_some_and(|deadline| now >= deadline);
        for slot in 0..self.slots.len() {
            // What came in time counts, even if the loop looks at it late.
            self.advance(slot, now);
            let late = match self.slots.get(slot) {
                Some(Slot::Busy(_)) if deadline_passed => Late::Deadline,
                Some(Slot::Busy(attempt)) if now >= attempt.timeout() => Late::Timeout,
                _ => continue,
            };
            self.give_up(slot, late);
        }
        self.start_waiting(now);
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let slots = self.slots.iter().filter_map(|slot| match slot {
            Slot::Free => None,
            Slot::Idle { until, .. } => Some(*until),
            Slot::Busy(attempt) => Some(attempt.timeout()),
        });
        let deadline = self.deadline.filter(|_| self.unfinished() > 0);
        slots.chain(self.hungry_since).chain(deadline).min()
    }

    /// Returns a request that is finished, with its answer or why it has none.
    pub fn poll_done(&mut self) -> Option<(u64, Result<Answer, Failure>)> {
        self.done.pop_front()
    }

    /// Ends every request that is unfinished at `deadline`, whatever its own time says: what was
    /// sent, even in part, has an unknown outcome then, and the rest is as unsent as before.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Puts waiting requests on connections as far as there are any, the most recently used first.
    fn start_waiting(&mut self, now: Instant) {
        let deadline_passed = self.deadline.is_some_and(|deadline| now >= deadline);
        while !self.waiting.is_empty() {
            if deadline_passed {
                self.drop_waiting();
                return;
            }
            let (slot, stream) = match self.take_idle() {
                Some((slot, stream)) => (slot, Some(stream)),
                None => match self.slots.iter().position(|slot| matches!(slot, Slot::Free)) {
                    Some(slot) => (slot, None),
                    None => return,
                },
            };
            let Some((id, request)) = self.waiting.pop_front() else { return };
            let until = later(now, self.plan.timeouts.request);
            let job = Job { id, request, until, sent_before: Sent::Nothing };
            match stream {
                Some(stream) => {
                    let attempt = Attempt::reuse(job, self.token_of(slot), &self.plan, stream);
                    self.start(slot, attempt, now);
                }
                None => self.open(slot, job, ConnectionUse::New, now),
            }
        }
    }

    /// Fails all waiting requests: they were never sent.
    fn drop_waiting(&mut self) {
        let late = NotSent::Late(Late::Deadline, Phase::Waiting);
        let dropped = self.waiting.drain(..);
        self.done.extend(dropped.map(|(id, _)| (id, Err(Failure::NotSent(late.clone())))));
    }

    /// Takes the idle connection that was used last, dropping those that turn out closed.
    fn take_idle(&mut self) -> Option<(usize, Stream)> {
        loop {
            let idle = self.slots.iter().enumerate().filter_map(|(slot, state)| match state {
                Slot::Idle { until, .. } => Some((*until, slot)),
                Slot::Free | Slot::Busy(_) => None,
            });
            let (_, slot) = idle.max()?;
            let Slot::Idle { mut stream, .. } = self.take(slot) else { return None };
            if is_silent(&mut stream, &mut self.buffer) {
                return Some((slot, stream));
            }
            stream.close();
        }
    }

    fn open(&mut self, slot: usize, job: Job, connection: ConnectionUse, now: Instant) {
        let (id, sent_before) = (job.id, job.sent_before);
        let lookup = self.resolver.lookup(now);
        match Attempt::open(job, self.token_of(slot), connection, &self.plan, lookup, now) {
            Ok(attempt) => self.start(slot, attempt, now),
            Err(failure) => self.done.push_back((id, Err(in_all(failure, sent_before)))),
        }
    }

    fn start(&mut self, slot: usize, attempt: Attempt, now: Instant) {
        if let Some(state) = self.slots.get_mut(slot) {
            *state = Slot::Busy(Box::new(attempt));
            self.advance(slot, now);
        }
    }

    /// Goes on with one connection as far as it can without waiting.
    fn advance(&mut self, slot: usize, now: Instant) {
        match self.slots.get_mut(slot) {
            None | Some(Slot::Free) => {}
            Some(Slot::Idle { stream, until }) => {
                if now >= *until || !is_silent(stream, &mut self.buffer) {
                    self.close(slot);
                }
            }
            Some(Slot::Busy(attempt)) => {
                let outcome = attempt.advance(&self.plan, &mut self.buffer, now);
                self.settle(slot, outcome, now);
            }
        }
    }

    fn settle(&mut self, slot: usize, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Waiting => {}
            Outcome::Hungry => self.hungry_since = Some(now),
            Outcome::Answered(answer, stream) => {
                if let Slot::Busy(attempt) = self.take(slot) {
                    self.done.push_back((attempt.job.id, Ok(answer)));
                }
                if let Some(stream) = stream {
                    self.keep(slot, stream, now);
                }
            }
            Outcome::Dead(sent_before) => {
                if let Slot::Busy(attempt) = self.take(slot) {
                    let job = Job { sent_before, ..attempt.job };
                    self.open(slot, job, ConnectionUse::NewAfterDead, now);
                }
            }
            Outcome::Failed(failure) => self.fail(slot, failure),
        }
    }

    /// Keeps a connection for the next request, unless it is too old or enough are kept.
    fn keep(&mut self, slot: usize, stream: Stream, now: Instant) {
        let idle = self.slots.iter().filter(|slot| matches!(slot, Slot::Idle { .. })).count();
        let Timeouts { idle: idle_time, connection_age, .. } = self.plan.timeouts;
        let too_old = connection_age.map(|age| later(stream.opened(), age));
        let until = too_old.into_iter().fold(later(now, idle_time), Instant::min);
        if idle >= IDLE_CONNECTIONS_MAX || until <= now {
            stream.close();
        } else if let Some(state) = self.slots.get_mut(slot) {
            *state = Slot::Idle { stream, until };
        }
    }

    fn give_up(&mut self, slot: usize, late: Late) {
        if let Some(Slot::Busy(attempt)) = self.slots.get(slot) {
            let failure = attempt.late(late);
            self.fail(slot, failure);
        }
    }

    fn fail(&mut self, slot: usize, failure: Failure) {
        // The endpoint may have moved.
        self.resolver.forget();
        if let Slot::Busy(attempt) = self.take(slot) {
            let Job { id, sent_before, .. } = attempt.job;
            self.done.push_back((id, Err(in_all(failure, sent_before))));
        }
    }

    fn resolved(&mut self, answer: &Result<Addresses, ResolveFailure>, now: Instant) {
        for slot in 0..self.slots.len() {
            let Some(Slot::Busy(attempt)) = self.slots.get_mut(slot) else { continue };
            if !attempt.is_resolving() {
                continue;
            }
            match answer {
                Ok(addresses) => {
                    attempt.resolved(addresses, now);
                    self.advance(slot, now);
                }
                Err(why) => self.fail(slot, Failure::NotSent(NotSent::Resolve(why.clone()))),
            }
        }
    }

    fn close(&mut self, slot: usize) {
        if let Slot::Idle { stream, .. } = self.take(slot) {
            stream.close();
        }
    }

    /// Empties a slot and returns what was in it.
    fn take(&mut self, slot: usize) -> Slot {
        let state = self.slots.get_mut(slot);
        state.map_or(Slot::Free, |state| std::mem::replace(state, Slot::Free))
    }

    fn token_of(&self, slot: usize) -> Token {
        Token(self.token.0.saturating_add(slot))
    }
}

/// Leaves the buffer out: answers may repeat what we sent.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("plan", &self.plan)
            .field("resolver", &self.resolver)
            .field("slots", &self.slots)
            .field("waiting", &self.waiting)
            .field("done", &self.done)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTls => f.write_str("an https target needs a TLS configuration"),
            Self::Registry(error) => write!(f, "the poll cannot be shared: {error}"),
        }
    }
}

impl std::error::Error for PoolError {}

/// What a failure means for a request of which so much had gone into a dead connection before: all
/// of it makes the outcome unknown, however the new attempt ended.
fn in_all(failure: Failure, sent_before: Sent) -> Failure {
    match sent_before {
        Sent::Whole if !failure.outcome_is_unknown() => {
            Failure::NoAnswer(Broken::Answer(ResponseError::ClosedBeforeResponse))
        }
        Sent::Nothing | Sent::Part | Sent::Whole => failure,
    }
}

/// Tells whether an idle connection is still good: nothing came, not even its end.
fn is_silent(stream: &mut Stream, buffer: &mut [u8]) -> bool {
    matches!(stream.read(buffer), Ok(ReadOutcome::Blocked))
}
