//! The endpoints with their connections, and the one poll that all of them live in.

use super::WAKE;
use super::attempt::{attempt, request};
use super::encoder::{Made, Wants};
use super::key_file;
use crate::forward::endpoint::{Endpoint, EndpointId, KeyState};
use crate::forward::outcome::{Attempt, NotSent, Verdict};
use crate::forward::room::Room;
use crate::forward::transaction::{ArbitraryTags, TransactionId};
use crate::net::{Answer, Failure, Pool};
use crate::payload::SeriesFormat;
use mio::{Events, Poll};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{debug, info, warn};

/// Events taken at once; the rest waits for the next poll.
const EVENTS_MAX: usize = 64;

/// What is special about one endpoint.
#[derive(Clone, Debug)]
pub struct OutletSettings {
    /// The format in which it gets series.
    pub series: SeriesFormat,
    /// The file that its key came from, to be read again when the key is refused.
    pub key_file: Option<PathBuf>,
    /// Whether its requests ask for tags of any form.
    pub arbitrary_tags: ArbitraryTags,
    /// Every how many deliveries one is logged, beginning with the first; 0: none.
    pub log_every: u64,
}

/// One endpoint with its connections.
pub struct Outlet {
    endpoint: Endpoint,
    /// None without a key: nothing is sent.
    pool: Option<Pool>,
    settings: OutletSettings,
    health: Health,
    accepted: u64,
    refused: u64,
}

/// What the last attempt said of an endpoint; told in the log when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Unknown,
    /// It takes or refuses payloads.
    Decides,
    /// It does neither: payloads wait.
    Fails,
}

/// All outlets and their poll.
pub(super) struct Outlets {
    poll: Poll,
    events: Events,
    list: Vec<Outlet>,
}

impl Outlets {
    pub(super) fn new(poll: Poll, list: Vec<Outlet>) -> Self {
        Self { poll, events: Events::with_capacity(EVENTS_MAX), list }
    }

    /// The formats that series are wanted in, at least one, none twice.
    pub(super) fn series_formats(&self) -> Vec<SeriesFormat> {
        let mut formats = Vec::new();
        for outlet in &self.list {
            if !formats.contains(&outlet.settings.series) {
                formats.push(outlet.settings.series);
            }
        }
        if formats.is_empty() {
            formats.push(SeriesFormat::V2);
        }
        formats
    }

    /// What room its endpoints have for a payload.
    pub(super) fn rooms(&self, made: &Made, now: Instant) -> impl Iterator<Item = Room> {
        let Made { payload, wants } = made;
        let wanting = self.list.iter().filter(move |outlet| outlet.is_among(*wants));
        wanting.map(move |it| it.endpoint.room(payload.kind, payload.body.len(), now))
    }

    /// When an endpoint will have been silent for so long that the others may go on.
    pub(super) fn silent_at(&self, now: Instant) -> Option<Instant> {
        let all = self.list.iter().filter_map(|outlet| outlet.endpoint.silent_at());
        all.filter(|at| *at > now).min()
    }

    /// Queues a payload at every endpoint that it is for; they share its body.
    pub(super) fn enqueue(&mut self, made: &Made) {
        for outlet in self.list.iter_mut().filter(|outlet| outlet.is_among(made.wants)) {
            outlet.endpoint.enqueue(made.payload.clone());
        }
    }

    /// Sends what may be sent, sleeps until something happens, at most until `until`, and takes note
    /// of it. Does not sleep if something was settled on the way: the caller may be waiting for that.
    pub(super) fn turn(&mut self, until: Option<Instant>) {
        let now = Instant::now();
        let settled = self.drive(now);
        let timeout = if settled > 0 {
            Some(Duration::ZERO)
        } else {
            let wakeups = self.list.iter().filter_map(Outlet::next_wakeup).chain(until);
            wakeups.min().map(|at| at.saturating_duration_since(now))
        };
        self.poll(timeout);
        self.drive(Instant::now());
    }

    /// From now on everything has to fit before `deadline`.
    pub(super) fn begin_stop(&mut self, deadline: Instant) {
        let now = Instant::now();
        for Outlet { endpoint, pool, .. } in &mut self.list {
            endpoint.begin_stop(deadline, now);
            if let Some(pool) = pool {
                pool.set_deadline(deadline);
            }
        }
    }

    /// True if nothing waits and nothing is in flight, but at endpoints that send nothing.
    pub(super) fn are_idle(&self) -> bool {
        self.list.iter().all(|outlet| outlet.pool.is_none() || outlet.endpoint.is_idle())
    }

    /// True if no request has left that is not finished.
    pub(super) fn are_silent(&self) -> bool {
        self.list
            .iter()
            .all(|outlet| outlet.pool.as_ref().is_none_or(|pool| pool.unfinished() == 0))
    }

    /// True if at least one of them may send.
    pub(super) fn may_send(&self) -> bool {
        self.list.iter().any(|outlet| outlet.pool.is_some())
    }

    pub(super) fn ids(&self) -> Vec<&EndpointId> {
        self.list.iter().map(|outlet| outlet.endpoint.id()).collect()
    }

    pub(super) fn endpoints(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.list.iter_mut().map(|outlet| &mut outlet.endpoint)
    }

    pub(super) fn into_endpoints(self) -> Vec<Endpoint> {
        self.list.into_iter().map(|outlet| outlet.endpoint).collect()
    }

    /// Sends and settles as far as nothing has to be waited for; says how much was settled.
    fn drive(&mut self, now: Instant) -> usize {
        self.list.iter_mut().map(|outlet| outlet.drive(now)).sum()
    }

    /// Polls once and hands the events to the connections.
    fn poll(&mut self, timeout: Option<Duration>) {
        if self.poll.poll(&mut self.events, timeout).is_err() {
            self.events.clear();
        }
        let now = Instant::now();
        for outlet in &mut self.list {
            outlet.handle(&self.events, now);
        }
    }
}

impl Outlet {
    /// An endpoint with its connections; none if nothing may be sent to it.
    #[must_use]
    pub fn new(endpoint: Endpoint, pool: Option<Pool>, settings: OutletSettings) -> Self {
        Self { endpoint, pool, settings, health: Health::Unknown, accepted: 0, refused: 0 }
    }

    /// Sends what may be sent and settles what is finished, until neither leads to the other; says
    /// how much was settled.
    fn drive(&mut self, now: Instant) -> usize {
        let mut settled = 0;
        loop {
            self.send(now);
            match self.take_done(now) {
                0 => return settled,
                more => settled += more,
            }
        }
    }

    /// Hands the endpoint's next requests to the connections.
    fn send(&mut self, now: Instant) {
        let Some(pool) = &mut self.pool else { return };
        while let Some(dispatch) = self.endpoint.poll_send(now) {
            match request(&dispatch, self.settings.arbitrary_tags) {
                Ok(request) => pool.send(dispatch.id.number(), request, now),
                Err(error) => {
                    // A header that can't be written is a fault of ours: no attempt was made.
                    warn!("{}: {error}", self.endpoint.id());
                    let attempt = Attempt::NotSent { why: NotSent::Local };
                    self.endpoint.handle_outcome(dispatch.id, attempt, now);
                }
            }
        }
    }

    fn is_among(&self, wants: Wants) -> bool {
        match wants {
            Wants::All => true,
            Wants::Format(format) => format == self.settings.series,
        }
    }

    /// Drives the connections.
    fn handle(&mut self, events: &Events, now: Instant) {
        let Some(pool) = &mut self.pool else { return };
        for event in events {
            if event.token() == WAKE {
                pool.handle_wake(now);
            } else {
                pool.handle_event(event.token(), now);
            }
        }
        if pool.next_timeout().is_some_and(|at| at <= now) {
            pool.handle_timeout(now);
        }
    }

    /// Tells the endpoint what came of its requests; says of how many.
    fn take_done(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        while let Some((number, result)) = self.pool.as_mut().and_then(Pool::poll_done) {
            taken += 1;
            self.settle(TransactionId::from_number(number), &result, now);
        }
        taken
    }

    fn settle(&mut self, id: TransactionId, result: &Result<Answer, Failure>, now: Instant) {
        let before = self.endpoint.key_state();
        if matches!(result, Ok(answer) if answer.status == 403) {
            self.renew_key();
        }
        let attempt = attempt(result, since_1970_s());
        let verdict = self.endpoint.handle_outcome(id, attempt, now);
        self.log_key(before);
        match verdict {
            Some(Verdict::Accepted) => self.log_accepted(result),
            Some(Verdict::Refused { status }) => self.log_refused(status),
            Some(Verdict::Retry { .. }) => self.log_failure(result),
            Some(Verdict::Resend { .. }) | None => {}
        }
    }

    /// Reads the key anew where it came from a file: it may have been replaced.
    fn renew_key(&mut self) {
        let Some(path) = &self.settings.key_file else { return };
        match key_file::read(path) {
            Ok(key) => self.endpoint.replace_key(key),
            // Told once: as long as the key stays refused, the file is looked at again and again.
            Err(why) if self.endpoint.key_state() == KeyState::Refused => debug!("{why}"),
            Err(why) => warn!("{why}; the API key stays as it was"),
        }
    }

    fn log_key(&self, before: KeyState) {
        let id = self.endpoint.id();
        match (before, self.endpoint.key_state()) {
            (before, after) if before == after => {}
            (_, KeyState::Refused) => {
                warn!("{id}: the API key is refused (403): payloads are dropped until it is right");
            }
            (KeyState::Refused, KeyState::Unproven) => info!("{id}: the API key was replaced"),
            (KeyState::Refused, KeyState::Accepted) => info!("{id}: the API key is accepted again"),
            (_, KeyState::Accepted) => info!("{id}: the API key is accepted"),
            (_, KeyState::Unproven | KeyState::Missing) => {}
        }
    }

    fn log_accepted(&mut self, result: &Result<Answer, Failure>) {
        self.log_decided();
        let every = self.settings.log_every;
        if every > 0 && self.accepted.is_multiple_of(every) {
            let status = result.as_ref().map_or(0, |answer| answer.status);
            let before = self.accepted;
            info!("{}: payload accepted ({status}), after {before} others", self.endpoint.id());
        }
        self.accepted += 1;
    }

    /// The first one as a warning: what is wrong with one payload is often wrong with the next.
    fn log_refused(&mut self, status: u16) {
        self.log_decided();
        let id = self.endpoint.id();
        if self.refused == 0 && status != 403 {
            warn!(
                "{id}: a payload was refused ({status}) and is dropped; further ones are counted"
            );
        } else {
            debug!("{id}: a payload was refused ({status})");
        }
        self.refused += 1;
    }

    fn log_decided(&mut self) {
        if self.health == Health::Fails {
            info!("{}: answers again", self.endpoint.id());
        }
        self.health = Health::Decides;
    }

    fn log_failure(&mut self, result: &Result<Answer, Failure>) {
        let id = self.endpoint.id();
        let why = match result {
            Ok(answer) => format!("it answered {}", answer.status),
            Err(failure) => failure.to_string(),
        };
        if self.health == Health::Fails {
            debug!("{id}: {why}");
        } else {
            warn!("{id}: {why}; payloads wait and are sent again");
        }
        self.health = Health::Fails;
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let pool = self.pool.as_ref()?;
        pool.next_timeout().into_iter().chain(self.endpoint.next_wakeup()).min()
    }
}

/// Seconds since 1970 by the wall clock; 0 if it stands before that.
pub(super) fn since_1970_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
