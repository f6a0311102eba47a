//! One endpoint: a base URL and one key, with its own queue, breakers and ledger, so that a dead
//! one delays nobody.
//!
//! No socket and no clock: the caller drives it and says what time it is.
//!
//! ```text
//! room                  whether there is room for a payload, and use
//! enqueue, restore      a payload comes
//! poll_send             what to send now; call until it returns None
//! handle_outcome        what came of it
//! next_wakeup           when to call poll_send again if nothing else happens
//! poll_release          files of the spool that are done with
//! begin_stop            from now on everything has to fit before a deadline
//! finish, settle        what is left, and what became of it
//! ```

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::backoff::{Backoff, BackoffSettings, Breaker, Rng};
use super::host::without_user;
use super::ledger::{DropReason, Imbalance, Ledger, Tally};
use super::outcome::{Attempt, Cause, KeyUsed, NotSent, Taken, Unanswered, Verdict, judge};
use super::retry::Backlog;
use super::room::Room;
use super::secret::Secret;
use super::transaction::{Ticket, Transaction, TransactionId};
use crate::limits::{
    AHEAD_BYTES_MAX, HOLD_BACK_TIME_MAX, QUEUE_BYTES_DEFAULT, REQUESTS_IN_FLIGHT_DEFAULT,
    REQUESTS_IN_FLIGHT_MAX,
};
use crate::payload::{Payload, PayloadKind};

/// Which endpoint: a base URL and the place of its key among the keys of that URL. Holds no key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId {
    base_url: Arc<str>,
    slot: u16,
}

impl EndpointId {
    /// The endpoint of a base URL as configured, and of the key at place `slot` (from 0) among the
    /// keys of that URL. Keeps no user and no password that the URL may hold.
    #[must_use]
    pub fn new(base_url: &str, slot: u16) -> Self {
        Self { base_url: without_user(base_url).into(), slot }
    }

    /// Base URL as configured, without user and password.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Place of its key among the keys of this URL, from 0.
    #[must_use]
    pub const fn slot(&self) -> u16 {
        self.slot
    }
}

/// Limits of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointLimits {
    /// Requests in flight at once; 0 means 1.
    pub in_flight_max: usize,
    /// Bytes of bodies that may wait.
    pub queue_bytes_max: usize,
    /// Shape of the back-off.
    pub backoff: BackoffSettings,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            in_flight_max: REQUESTS_IN_FLIGHT_DEFAULT,
            queue_bytes_max: QUEUE_BYTES_DEFAULT,
            backoff: BackoffSettings::default(),
        }
    }
}

/// What the intake has said about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// There is none: nothing is sent.
    Missing,
    /// No answer yet.
    Unproven,
    /// The last answer that judged it was good.
    Accepted,
    /// The last answer that judged it was 403.
    Refused,
}

/// One request to be made now.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// To be named in [`Endpoint::handle_outcome`].
    pub id: TransactionId,
    /// What to send.
    pub payload: Payload,
    /// The key to send it with.
    pub key: Secret,
}

/// A transaction that the stop did not deliver; to be given to [`Endpoint::settle`].
#[derive(Debug)]
pub struct Undelivered {
    /// The payload.
    pub payload: Payload,
    /// Whether the intake may have it.
    pub taken: Taken,
    /// Why it was not delivered.
    pub cause: Cause,
    /// The file it came from.
    pub ticket: Option<Ticket>,
}

/// What became of an [`Undelivered`] transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in a file of the spool.
    Spooled,
    /// It is lost, or at best unknown.
    GivenUp,
}

/// What is to be done with a file of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Its content was accepted or refused: remove it.
    Remove(Ticket),
    /// Its content left memory undelivered: keep it for later.
    Keep(Ticket),
}

/// What an endpoint is doing, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Payloads that wait.
    pub queued: Tally,
    /// Bytes of their bodies.
    pub queued_bytes: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Routes that are not sent to for now.
    pub routes_blocked: usize,
    /// Why the last attempt failed, if any did.
    pub last_failure: Option<Cause>,
    /// What the intake says of the key.
    pub key: KeyState,
    /// When the intake accepted a payload last, if it ever has.
    pub last_accepted: Option<Instant>,
    /// Since when there has been something to accept, and nothing was.
    pub unaccepted_since: Option<Instant>,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    key: Option<Secret>,
    /// Counts replacements of the key.
    key_generation: u64,
    key_state: KeyState,
    in_flight_max: usize,
    backlog: Backlog,
    /// To be sent before anything else; all of them were in flight, so at most `in_flight_max`.
    resend: VecDeque<Transaction>,
    /// At most `in_flight_max`.
    in_flight: Vec<InFlight>,
    /// When something last came of what was in flight, or went into an empty air.
    heard: Option<Instant>,
    /// Bytes that it wants to have ahead of the next payload.
    ahead_bytes_max: usize,
    breakers: [Breaker; PayloadKind::COUNT],
    backoff: Backoff,
    phase: Phase,
    /// Of the next payload made by this process; counts up from [`MADE_FIRST`].
    next_made_id: u64,
    /// Of the next payload read from the spool; counts down to 0, for those are older than all that
    /// was made, and come newest first.
    next_restored_id: u64,
    /// Files whose content is done with; at most as many as were restored.
    releases: VecDeque<Release>,
    /// Handed out by `finish`, not settled yet.
    unsettled: Tally,
    last_failure: Option<Cause>,
    last_accepted: Option<Instant>,
    /// When the first request was made of those since the last acceptance.
    unaccepted_since: Option<Instant>,
    ledger: Ledger,
}

/// Number of the first payload made by this process: half of all numbers are for restored ones.
const MADE_FIRST: u64 = 1 << 63;

#[derive(Debug)]
struct InFlight {
    transaction: Transaction,
    key_generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping { deadline: Instant },
    Finished,
}

impl Endpoint {
    /// Opens an endpoint. Without a key it takes everything and sends nothing, until
    /// [`Endpoint::replace_key`] brings one.
    #[must_use]
    pub fn new(id: EndpointId, key: Option<Secret>, limits: EndpointLimits, rng: Rng) -> Self {
        Self {
            id,
            key_state: if key.is_some() { KeyState::Unproven } else { KeyState::Missing },
            key,
            key_generation: 0,
            in_flight_max: limits.in_flight_max.clamp(1, REQUESTS_IN_FLIGHT_MAX),
            backlog: Backlog::new(limits.queue_bytes_max),
            resend: VecDeque::new(),
            in_flight: Vec::new(),
            heard: None,
            ahead_bytes_max: AHEAD_BYTES_MAX,
            breakers: Default::default(),
            backoff: Backoff::new(limits.backoff, rng),
            phase: Phase::Running,
            next_made_id: MADE_FIRST,
            next_restored_id: MADE_FIRST - 1,
            releases: VecDeque::new(),
            unsettled: Tally::default(),
            last_failure: None,
            last_accepted: None,
            unaccepted_since: None,
            ledger: Ledger::default(),
        }
    }

    /// Says what room there is for a payload of this kind and size, in bytes. What is in flight may
    /// come back, so it counts too.
    #[must_use]
    pub fn room(&self, kind: PayloadKind, bytes: usize, now: Instant) -> Room {
        if self.closed().is_some() {
            return Room::Spare;
        }
        let works = |kind: PayloadKind| self.breakers[kind.index()].failures() == 0;
        let in_flight: usize = self.held().map(Transaction::bytes_without_file).sum();
        let exceeds = |held: usize, max: usize| held > 0 && held.saturating_add(bytes) > max;
        // A route that is blocked must not keep the room of those that work.
        let waiting = self.backlog.bytes_without_file(|other| !works(kind) || works(other));
        let is_full = exceeds(in_flight + waiting, self.backlog.bytes_max());
        match (works(kind), is_full) {
            (true, true) if self.silent_at().is_none_or(|at| now < at) => Room::Full,
            (_, true) => Room::Overflow,
            (false, false) => Room::Spare,
            (true, false) => match self.backlog.fresh_bytes(kind) {
                Some(fresh) if !exceeds(in_flight + fresh, self.ahead_bytes_max) => Room::Wanted,
                _ => Room::Enough,
            },
        }
    }

    /// When it will have been silent for so long that it may not hold back others any more; `None`
    /// if no answer is awaited.
    #[must_use]
    pub fn silent_at(&self) -> Option<Instant> {
        let heard = self.heard.filter(|_| !self.in_flight.is_empty())?;
        heard.checked_add(HOLD_BACK_TIME_MAX)
    }

    /// From now on as much is wanted as the queue holds: what is not in it can't be kept.
    pub fn hoard(&mut self) {
        self.ahead_bytes_max = self.backlog.bytes_max();
    }

    /// Takes a payload made by this process. It never fails: what can't be kept is counted.
    pub fn enqueue(&mut self, payload: Payload) {
        self.ledger.made += Tally::from(&payload);
        let transaction = Transaction::new(TransactionId(self.next_made_id), payload);
        self.next_made_id += 1;
        if let Some(reason) = self.closed() {
            self.give_up(transaction, reason);
        } else {
            let evicted = self.backlog.push_fresh(transaction);
            self.note_evicted(evicted);
        }
    }

    /// Takes a payload read from the spool, the newest first. It waits with those to be retried,
    /// and is older than all that were made: the first to go if the queue is full, for it has a
    /// file.
    pub fn restore(&mut self, payload: Payload, taken: Taken, ticket: Ticket) {
        self.ledger.restored += Tally::from(&payload);
        let transaction = Transaction::new(TransactionId(self.next_restored_id), payload);
        let transaction = Transaction { taken, ticket: Some(ticket), ..transaction };
        self.next_restored_id -= 1;
        if let Some(reason) = self.closed() {
            self.give_up(transaction, reason);
        } else {
            let evicted = self.backlog.push_retry(transaction);
            self.note_evicted(evicted);
        }
    }

    /// Sets the key that requests use from now on. A request that is refused although its key has
    /// been replaced is sent again: after a 403, read the key anew and call this before
    /// [`Endpoint::handle_outcome`]. The same key again changes nothing.
    pub fn replace_key(&mut self, key: Secret) {
        if self.key.as_ref() != Some(&key) {
            self.key = Some(key);
            self.key_generation += 1;
            self.key_state = KeyState::Unproven;
        }
    }

    /// Says what to send now, if anything: at once what a replaced key cost, then new payloads in
    /// order, then failed ones, newest first. The caller owes an outcome for each.
    pub fn poll_send(&mut self, now: Instant) -> Option<Dispatch> {
        let key = self.key.clone()?;
        let late = match self.phase {
            Phase::Running => false,
            Phase::Stopping { deadline } => now >= deadline,
            Phase::Finished => true,
        };
        if late || self.in_flight.len() >= self.in_flight_max {
            return None;
        }
        let transaction = match self.resend.pop_front() {
            // Admitted before, and maybe as the probe that all others wait for.
            Some(transaction) => transaction,
            None => self.take_admitted(now)?,
        };
        if transaction.attempts > 0 {
            self.ledger.retried += Tally::from(&transaction.payload);
        }
        let dispatch = Dispatch { id: transaction.id, payload: transaction.payload.clone(), key };
        let transaction =
            Transaction { attempts: transaction.attempts.saturating_add(1), ..transaction };
        if self.in_flight.is_empty() {
            self.heard = Some(now);
        }
        self.in_flight.push(InFlight { transaction, key_generation: self.key_generation });
        self.unaccepted_since = self.unaccepted_since.or(Some(now));
        Some(dispatch)
    }

    /// Takes the result of an attempt and returns what it meant. `None`, and nothing changes, if
    /// `id` is not in flight.
    pub fn handle_outcome(
        &mut self,
        id: TransactionId,
        attempt: Attempt,
        now: Instant,
    ) -> Option<Verdict> {
        let place = self.in_flight.iter().position(|in_flight| in_flight.transaction.id == id)?;
        let InFlight { transaction, key_generation } = self.in_flight.swap_remove(place);
        self.heard = Some(now);
        let taken = transaction.taken.and(attempt.taken());
        let transaction = Transaction { taken, ..transaction };
        let key = if key_generation == self.key_generation {
            KeyUsed::Current
        } else {
            KeyUsed::Replaced
        };
        let verdict = judge(attempt, key);
        self.note_key(attempt, key);
        match verdict {
            Verdict::Accepted => self.accept(transaction, now),
            Verdict::Refused { status } => self.refuse(transaction, status, now),
            Verdict::Resend { cause } => {
                self.resend.push_back(Transaction { cause, ..transaction });
            }
            Verdict::Retry { cause, after } => {
                self.last_failure = Some(cause);
                let breaker = &mut self.breakers[transaction.payload.kind.index()];
                breaker.note_failure(after, &mut self.backoff, now);
                // That time ran out in the last attempt says less than why the ones before failed.
                let cut_off = cause == Cause::NotSent(NotSent::Deadline);
                let untried = transaction.cause == Cause::NeverTried;
                let cause = if cut_off && !untried { transaction.cause } else { cause };
                let evicted = self.backlog.push_retry(Transaction { cause, ..transaction });
                self.note_evicted(evicted);
            }
        }
        Some(verdict)
    }

    /// When to call [`Endpoint::poll_send`] again if neither a payload nor an outcome comes before;
    /// `None` if only those can change anything. Meant to be asked after `poll_send` had nothing.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        if self.key.is_none() || self.in_flight.len() >= self.in_flight_max {
            return None;
        }
        let waiting = PayloadKind::ALL.into_iter().filter(|&kind| self.backlog.waits(kind));
        let until = waiting.filter_map(|kind| self.breakers[kind.index()].blocked_until()).min()?;
        match self.phase {
            Phase::Running => Some(until),
            Phase::Stopping { deadline } => Some(until).filter(|&until| until < deadline),
            Phase::Finished => None,
        }
    }

    /// Says which file of the spool is done with, one at a time.
    pub fn poll_release(&mut self) -> Option<Release> {
        self.releases.pop_front()
    }

    /// From now on nothing is worth more than to deliver what is here before `deadline`: pauses are
    /// cut to what fits, and one success opens a route for all that waits. Requests in flight go
    /// on.
    pub fn begin_stop(&mut self, deadline: Instant, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping { deadline };
            self.backoff.begin_stop(deadline);
            for breaker in &mut self.breakers {
                breaker.begin_stop(&mut self.backoff, now);
            }
        }
    }

    /// True if nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting() == Tally::default()
    }

    /// Ends the endpoint and hands over what it still holds, newest first, each to be settled. What
    /// is in flight counts as sent whole: whoever knows better says so by
    /// [`Endpoint::handle_outcome`] before.
    pub fn finish(&mut self) -> Vec<Undelivered> {
        self.phase = Phase::Finished;
        self.unsettled += self.waiting();
        let in_flight = std::mem::take(&mut self.in_flight).into_iter().map(|in_flight| {
            let cause = Cause::Unanswered(Unanswered::Deadline);
            Transaction { taken: Taken::Maybe, cause, ..in_flight.transaction }
        });
        let resend = std::mem::take(&mut self.resend);
        let mut left: Vec<_> = in_flight.chain(resend).chain(self.backlog.take_all()).collect();
        left.sort_unstable_by_key(|transaction| Reverse(transaction.id));
        left.into_iter()
            .map(|Transaction { payload, taken, cause, ticket, .. }| Undelivered {
                payload,
                taken,
                cause,
                ticket,
            })
            .collect()
    }

    /// Counts what became of something that [`Endpoint::finish`] handed over.
    pub fn settle(&mut self, undelivered: Undelivered, fate: Fate) {
        let tally = Tally::from(&undelivered.payload);
        self.unsettled -= tally;
        let Undelivered { taken, cause, .. } = undelivered;
        match (fate, taken) {
            (Fate::Spooled, _) => self.ledger.spooled += tally,
            (Fate::GivenUp, Taken::Maybe) => {
                *self.ledger.unknown.entry(cause).or_default() += tally
            }
            (Fate::GivenUp, Taken::No) => *self.ledger.left.entry(cause).or_default() += tally,
        }
    }

    /// Which endpoint this is.
    #[must_use]
    pub const fn id(&self) -> &EndpointId {
        &self.id
    }

    /// What the intake has said about the key. To be logged when it changes, not per payload.
    #[must_use]
    pub const fn key_state(&self) -> KeyState {
        self.key_state
    }

    /// The counters.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Checks that every payload ever taken is accounted for.
    ///
    /// # Errors
    /// Both sides of the balance, if they differ.
    pub fn balance(&self) -> Result<(), Imbalance> {
        self.ledger.balance(self.waiting() + self.unsettled)
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> EndpointStatus {
        let blocked = |breaker: &&Breaker| breaker.failures() > 0;
        EndpointStatus {
            queued: self.backlog.tally(),
            queued_bytes: self.backlog.bytes(),
            in_flight: self.in_flight.len(),
            routes_blocked: self.breakers.iter().filter(blocked).count(),
            last_failure: self.last_failure,
            key: self.key_state,
            last_accepted: self.last_accepted,
            unaccepted_since: self.unaccepted_since,
        }
    }

    /// Why nothing can be taken in, if so.
    fn closed(&self) -> Option<DropReason> {
        if self.phase == Phase::Finished {
            Some(DropReason::Finished)
        } else if self.key.is_none() {
            Some(DropReason::NoApiKey)
        } else {
            None
        }
    }

    fn take_admitted(&mut self, now: Instant) -> Option<Transaction> {
        let breakers = &mut self.breakers;
        let taken = self.backlog.take_next(|kind| breakers[kind.index()].admits(now))?;
        breakers[taken.payload.kind.index()].note_sent();
        Some(taken)
    }

    fn accept(&mut self, transaction: Transaction, now: Instant) {
        let tally = Tally::from(&transaction.payload);
        self.ledger.accepted += tally;
        self.last_accepted = Some(now);
        self.unaccepted_since = (!self.is_idle()).then_some(now);
        if transaction.taken == Taken::Maybe {
            self.ledger.duplicates_possible += tally;
        }
        self.note_answered(&transaction, now);
    }

    fn refuse(&mut self, transaction: Transaction, status: u16, now: Instant) {
        *self.ledger.refused.entry(status).or_default() += Tally::from(&transaction.payload);
        self.note_answered(&transaction, now);
    }

    /// The intake has decided: the route works, and a file is done with.
    fn note_answered(&mut self, transaction: &Transaction, now: Instant) {
        self.breakers[transaction.payload.kind.index()].note_success(&mut self.backoff, now);
        self.releases.extend(transaction.ticket.map(Release::Remove));
    }

    fn note_key(&mut self, attempt: Attempt, key: KeyUsed) {
        if let (Attempt::Answered { status, .. }, KeyUsed::Current) = (attempt, key) {
            match status {
                200..=299 => self.key_state = KeyState::Accepted,
                403 => self.key_state = KeyState::Refused,
                _ => {}
            }
        }
    }

    fn note_evicted(&mut self, evicted: Vec<Transaction>) {
        for transaction in evicted {
            self.ledger.evicted += Tally::from(&transaction.payload);
            self.give_up(transaction, DropReason::QueueFull);
        }
    }

    /// Counts a transaction that leaves memory undelivered: what has a file stays spooled, what may
    /// have been taken is unknown, the rest is dropped.
    fn give_up(&mut self, transaction: Transaction, reason: DropReason) {
        let tally = Tally::from(&transaction.payload);
        if let Some(ticket) = transaction.ticket {
            self.releases.push_back(Release::Keep(ticket));
            self.ledger.spooled += tally;
        } else if transaction.taken == Taken::Maybe {
            *self.ledger.unknown.entry(transaction.cause).or_default() += tally;
        } else {
            *self.ledger.dropped.entry(reason).or_default() += tally;
        }
    }

    /// Queued, in flight, or to be sent again at once.
    fn waiting(&self) -> Tally {
        let held = self.held().map(|transaction| Tally::from(&transaction.payload));
        self.backlog.tally() + held.sum()
    }

    /// In flight, or to be sent again at once.
    fn held(&self) -> impl Iterator<Item = &Transaction> {
        let in_flight = self.in_flight.iter().map(|in_flight| &in_flight.transaction);
        in_flight.chain(&self.resend)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.base_url, self.slot)
    }
}

#[cfg(test)]
mod tests;
