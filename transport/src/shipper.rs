//! Closed buckets to payloads to transactions; and the last part of the stop: flush and deliver.
//!
//! ```text
//!  bucket rings ─▶ Merge ─▶ builders ─▶ Payload ─▶ every endpoint's queue ─▶ its connections
//! ```
//!
//! One thread drives all of it with one poll. It sleeps until a worker hands something over, a
//! connection moves, or a pause ends.

use crate::forward::endpoint::{Dispatch, Endpoint, Fate};
use crate::forward::outcome::{Attempt, NotSent as NotSentClass, Sent, Unanswered};
use crate::forward::transaction::{self, HeaderValue, TransactionId, headers};
use crate::http::{self, Method, Path, Request, ResponseError};
use crate::net::{Answer, Broken, Failure, Late, NotSent, Phase, Pool};
use crate::payload::{
    Encoding, EventsBuilder, Lost, Payload, PayloadKind, PayloadSettings, SeriesBuilder,
    SeriesFormat, ServiceChecksBuilder, SketchesBuilder,
};
use crate::report::{EndpointReport, Report, ReportRequest};
use lastdrop_engine::context::Tag;
use lastdrop_engine::ledger::{ShipperCounts, ShipperLedger};
use lastdrop_engine::merge::{Item, Merge};
use lastdrop_engine::stop::{Delivered, Drained, Flushed};
use lastdrop_engine::wake::Waker;
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Token of the wake-up among the events; connections have those below.
const WAKE: Token = Token(usize::MAX);

/// Events taken at once; the rest waits for the next poll.
const EVENTS_MAX: usize = 64;

/// What the supervisor asks of the shipper.
#[derive(Debug)]
pub enum Command {
    /// Every ring is empty and its content applied: flush everything, deliver until the deadline,
    /// end.
    Finish {
        /// The proof.
        drained: Drained,
        /// When the whole stop has to be over.
        deadline: Instant,
    },
    /// Say how far delivery has come.
    Report(ReportRequest),
}

/// How payloads are made.
#[derive(Clone, Debug)]
pub struct ShipperSettings {
    /// Format of series.
    pub series: SeriesFormat,
    /// Compression and limits.
    pub payloads: PayloadSettings,
    /// Host of the agent, named in events payloads.
    pub hostname: String,
}

/// One endpoint with its connections; none if nothing may be sent to it.
pub struct Outlet {
    /// Queue, breakers and ledger.
    pub endpoint: Endpoint,
    /// Connections; none without a key.
    pub pool: Option<Pool>,
}

/// The shipper's thread of work.
pub struct Shipper {
    poll: Poll,
    merge: Merge,
    commands: rtrb::Consumer<Command>,
    outlets: Vec<Outlet>,
    /// Wake workers that wait for room in their bucket ring.
    workers: Vec<Waker>,
    /// Asked for a report that can't be given yet.
    asked: Vec<ReportRequest>,
    settings: ShipperSettings,
    counts: ShipperCounts,
    ledger: ShipperLedger,
}

/// What the shipper leaves behind.
pub struct Shipped {
    /// The state of the stop; none if the thread ended without a proof to flush on.
    pub delivered: Option<Delivered>,
    /// The endpoints, settled.
    pub endpoints: Vec<Endpoint>,
}

impl Shipper {
    /// Makes the poll that the shipper's connections live in, and the waker that ends its sleep.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn poll() -> io::Result<(Poll, Arc<mio::Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        Ok((poll, waker))
    }

    /// A shipper over the given merge and outlets, and its ledger.
    #[must_use]
    pub fn new(
        poll: Poll,
        merge: Merge,
        commands: rtrb::Consumer<Command>,
        outlets: Vec<Outlet>,
        workers: Vec<Waker>,
        settings: ShipperSettings,
    ) -> (Self, ShipperLedger) {
        let ledger = ShipperLedger::default();
        let counts = ShipperCounts::default();
        let shipper = Self {
            poll,
            merge,
            commands,
            outlets,
            workers,
            asked: Vec::new(),
            settings,
            counts,
            ledger: ledger.clone(),
        };
        (shipper, ledger)
    }

    /// Replaces the tags put on everything and on series; see [`Merge::set_tags`].
    pub fn set_tags(&mut self, everywhere: Vec<Tag>, series_only: Vec<Tag>) {
        self.merge.set_tags(everywhere, series_only);
    }

    /// Ships until told to finish.
    pub fn run(mut self) -> Shipped {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            // Looked for before the commands are: what was given before the end is then there.
            let abandoned = self.commands.is_abandoned();
            while let Ok(command) = self.commands.pop() {
                match command {
                    Command::Finish { drained, deadline } => return self.finish(drained, deadline),
                    Command::Report(request) => self.asked.push(request),
                }
            }
            if abandoned {
                return self.abandoned();
            }
            self.merge.take_in();
            for worker in &self.workers {
                worker.wake();
            }
            self.flush_closed();
            self.report();
            self.turn(&mut events);
        }
    }

    /// Answers those who wait for a report, where there is no more to wait for.
    fn report(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let (flushed, now) = (self.merge.flushed(), Instant::now());
        let delivered = self.outlets.iter().all(|outlet| outlet.endpoint.is_idle());
        let outlets = &self.outlets;
        self.asked.retain(|request| {
            let due = request.is_due(flushed, delivered, now);
            if due {
                let endpoints = outlets.iter().map(|outlet| EndpointReport::new(&outlet.endpoint));
                request.answer(Report { flushed, delivered, endpoints: endpoints.collect() });
            }
            !due
        });
    }

    /// The end of the stop: everything that was handed over leaves the merge, and what is queued is
    /// delivered as long as there is time.
    fn finish(mut self, drained: Drained, deadline: Instant) -> Shipped {
        let flushed = self.flush_everything(drained);
        let now = Instant::now();
        for Outlet { endpoint, pool } in &mut self.outlets {
            endpoint.begin_stop(deadline, now);
            if let Some(pool) = pool {
                pool.set_deadline(deadline);
            }
        }
        let mut events = Events::with_capacity(EVENTS_MAX);
        let in_flight = |outlet: &Outlet| outlet.pool.as_ref().map_or(0, Pool::unfinished) > 0;
        while self.outlets.iter().any(|outlet| outlet.pool.is_some() && !outlet.endpoint.is_idle())
        {
            if Instant::now() >= deadline && !self.outlets.iter().any(in_flight) {
                break;
            }
            self.turn_until(&mut events, Some(deadline));
        }
        self.settle();
        Shipped { delivered: Some(flushed.delivered()), endpoints: self.endpoints() }
    }

    /// The supervisor is gone: nothing proves that all is here, so nothing is flushed.
    fn abandoned(mut self) -> Shipped {
        self.settle();
        Shipped { delivered: None, endpoints: self.endpoints() }
    }

    fn endpoints(self) -> Vec<Endpoint> {
        self.outlets.into_iter().map(|outlet| outlet.endpoint).collect()
    }

    /// Settles what the endpoints still hold.
    fn settle(&mut self) {
        for Outlet { endpoint, .. } in &mut self.outlets {
            for undelivered in endpoint.finish() {
                endpoint.settle(undelivered, Fate::GivenUp);
            }
        }
    }

    fn flush_closed(&mut self) {
        let Self { merge, outlets, settings, counts, .. } = self;
        let mut encoder = Encoder::new(settings, outlets, counts);
        while merge.flush_closed(&mut |item| encoder.push(item)) {}
        encoder.finish();
        self.ledger.publish(&self.counts);
    }

    fn flush_everything(&mut self, drained: Drained) -> Flushed {
        let Self { merge, outlets, settings, counts, .. } = self;
        let mut encoder = Encoder::new(settings, outlets, counts);
        let flushed = merge.finish(drained, &mut |item| encoder.push(item));
        encoder.finish();
        self.ledger.publish(&self.counts);
        flushed
    }

    fn turn(&mut self, events: &mut Events) {
        let asked = self.asked.iter().map(|request| request.until).min();
        self.turn_until(events, asked);
    }

    /// Sends what may be sent, sleeps until something happens, and takes note of it.
    fn turn_until(&mut self, events: &mut Events, deadline: Option<Instant>) {
        let now = Instant::now();
        for outlet in &mut self.outlets {
            outlet.send(now);
        }
        let wakeups = self.outlets.iter().filter_map(Outlet::next_wakeup).chain(deadline);
        let timeout = wakeups.min().map(|at| at.saturating_duration_since(now));
        if self.poll.poll(events, timeout).is_err() {
            events.clear();
        }
        let now = Instant::now();
        for outlet in &mut self.outlets {
            outlet.handle(events, now);
        }
    }
}

impl Outlet {
    /// Sends what may be sent. A request can be over at once, by a connection that broke in the same
    /// instant: no event will tell of it, so its result is taken before anything sleeps.
    fn send(&mut self, now: Instant) {
        loop {
            self.dispatch(now);
            if self.take_results(now) == 0 {
                return;
            }
        }
    }

    /// Hands the endpoint's next requests to the connections.
    fn dispatch(&mut self, now: Instant) {
        let Some(pool) = &mut self.pool else { return };
        while let Some(dispatch) = self.endpoint.poll_send(now) {
            match request(&dispatch) {
                Ok(request) => pool.send(dispatch.id.number(), request, now),
                Err(_) => {
                    // A header that can't be written is a fault of the key: no attempt was made.
                    let attempt = Attempt::NotSent { why: NotSentClass::Local };
                    self.endpoint.handle_outcome(dispatch.id, attempt, now);
                    return;
                }
            }
        }
    }

    /// Drives the connections and takes their results.
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
        self.take_results(now);
    }

    /// Tells the endpoint what came of its requests; returns of how many.
    fn take_results(&mut self, now: Instant) -> usize {
        let Some(pool) = &mut self.pool else { return 0 };
        let mut results = 0;
        while let Some((number, result)) = pool.poll_done() {
            let id = TransactionId::from_number(number);
            self.endpoint.handle_outcome(id, attempt(&result), now);
            results += 1;
        }
        results
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let pool = self.pool.as_ref()?;
        pool.next_timeout().into_iter().chain(self.endpoint.next_wakeup()).min()
    }
}

/// The request that carries a payload.
fn request(dispatch: &Dispatch) -> Result<Request, http::RequestError> {
    let payload = &dispatch.payload;
    let headers = headers(payload, &dispatch.key)
        .map(|header| match header.value {
            HeaderValue::Plain(value) => http::Header::new(header.name, value),
            HeaderValue::Secret(key) => http::Header::secret(header.name, key.expose()),
        })
        .collect::<Result<_, _>>()?;
    let path = Path::new(payload.route.path())?;
    Ok(Request { method: Method::Post, path, headers, body: payload.body.clone() })
}

/// What a result of the connections means to the forwarder.
fn attempt(result: &Result<Answer, Failure>) -> Attempt {
    match result {
        Ok(answer) => Attempt::Answered { status: answer.status, retry_after: None },
        Err(Failure::NotSent(why)) => Attempt::NotSent { why: not_sent(why) },
        Err(Failure::WhileSending(why)) => {
            // At the deadline it isn't known what of the request has left.
            let sent = match why {
                Broken::Late(Late::Deadline) => Sent::Whole,
                _ => Sent::Part,
            };
            Attempt::Unanswered { sent, why: unanswered(why) }
        }
        Err(Failure::NoAnswer(why)) => {
            Attempt::Unanswered { sent: Sent::Whole, why: unanswered(why) }
        }
    }
}

fn not_sent(why: &NotSent) -> NotSentClass {
    match why {
        NotSent::Resolve(_) => NotSentClass::Resolve,
        NotSent::Connect(_) => NotSentClass::Connect,
        NotSent::Proxy(_) => NotSentClass::Proxy,
        NotSent::Tls(_) => NotSentClass::Tls,
        NotSent::Late(Late::Deadline, _) => NotSentClass::Deadline,
        NotSent::Late(Late::Timeout, phase) => match phase {
            Phase::Resolving => NotSentClass::Resolve,
            Phase::Tunneling => NotSentClass::Proxy,
            Phase::Handshaking => NotSentClass::Tls,
            Phase::Waiting => NotSentClass::Local,
            Phase::Connecting | Phase::Sending => NotSentClass::Connect,
        },
        NotSent::Broken(_) => NotSentClass::Connect,
        NotSent::TooManyWaiting => NotSentClass::Local,
    }
}

fn unanswered(why: &Broken) -> Unanswered {
    match why {
        Broken::Late(Late::Deadline) => Unanswered::Deadline,
        Broken::Late(Late::Timeout) => Unanswered::Timeout,
        Broken::Answer(ResponseError::ClosedBeforeResponse) | Broken::Socket(_) => {
            Unanswered::Closed
        }
        Broken::Answer(ResponseError::TruncatedHead | ResponseError::TruncatedBody) => {
            Unanswered::Truncated
        }
        Broken::Answer(_) | Broken::Tls(_) => Unanswered::Malformed,
    }
}

/// Series, sketches, events and checks of one flush on their way into payloads and queues.
struct Encoder<'a> {
    series: SeriesBuilder,
    sketches: SketchesBuilder,
    events: EventsBuilder,
    service_checks: ServiceChecksBuilder,
    outlets: &'a mut [Outlet],
    counts: &'a mut ShipperCounts,
}

impl<'a> Encoder<'a> {
    /// Cheap: the builders allocate with their first item.
    fn new(
        settings: &ShipperSettings,
        outlets: &'a mut [Outlet],
        counts: &'a mut ShipperCounts,
    ) -> Self {
        Self {
            series: SeriesBuilder::new(settings.series, &settings.payloads),
            sketches: SketchesBuilder::new(&settings.payloads),
            events: EventsBuilder::new(&settings.payloads, &settings.hostname),
            service_checks: ServiceChecksBuilder::new(&settings.payloads),
            outlets,
            counts,
        }
    }

    fn push(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) | Item::Passed(series) => {
                let lost = self.series.push(&series);
                self.count(lost);
            }
            Item::Sketch(sketches) => {
                let lost = self.sketches.push(&sketches);
                self.count(lost);
            }
            Item::Events(events) => {
                let lost = self.events.push_all(events);
                self.count(lost);
            }
            Item::ServiceChecks(checks) => {
                for check in checks {
                    let lost = self.service_checks.push(check);
                    self.count(lost);
                }
            }
        }
        while let Some(payload) = self.take_full() {
            self.enqueue(payload);
        }
    }

    /// Sends what the builders still hold on its way.
    fn finish(&mut self) {
        loop {
            let rest = self
                .series
                .finish()
                .or_else(|| self.sketches.finish())
                .or_else(|| self.events.finish())
                .or_else(|| self.service_checks.finish());
            let Some(payload) = rest else { break };
            self.enqueue(payload);
        }
    }

    fn take_full(&mut self) -> Option<Payload> {
        self.series
            .take_full()
            .or_else(|| self.sketches.take_full())
            .or_else(|| self.events.take_full())
            .or_else(|| self.service_checks.take_full())
    }

    fn count(&mut self, lost: Lost) {
        self.counts.too_large += lost.too_large;
        self.counts.not_finite += lost.not_finite;
        self.counts.not_expressible += lost.no_index;
    }

    /// Queues a payload at every endpoint; they share its body.
    fn enqueue(&mut self, payload: Payload) {
        self.counts.payloads += 1;
        self.counts.body_bytes += payload.body.len() as u64;
        self.counts.uncompressed_bytes += payload.uncompressed_bytes;
        match payload.kind {
            PayloadKind::Events => self.counts.events_encoded += payload.items,
            PayloadKind::ServiceChecks => self.counts.service_checks_encoded += payload.items,
            _ => self.counts.points_encoded += payload.points,
        }
        for outlet in &mut *self.outlets {
            outlet.endpoint.enqueue(to_transaction(&payload));
        }
    }
}

fn to_transaction(payload: &Payload) -> transaction::Payload {
    transaction::Payload {
        route: match payload.kind {
            PayloadKind::SeriesV1 => transaction::Route::SeriesV1,
            PayloadKind::SeriesV2 => transaction::Route::SeriesV2,
            PayloadKind::SeriesV3 => transaction::Route::SeriesV3,
            PayloadKind::Sketches => transaction::Route::Sketches,
            PayloadKind::Events => transaction::Route::Events,
            PayloadKind::ServiceChecks => transaction::Route::Checks,
        },
        encoding: match payload.encoding {
            Encoding::Identity => transaction::Encoding::Identity,
            Encoding::Zstd => transaction::Encoding::Zstd,
            Encoding::Deflate => transaction::Encoding::Deflate,
            Encoding::Gzip => transaction::Encoding::Gzip,
        },
        body: payload.body.clone(),
        items: u32::try_from(payload.items).unwrap_or(u32::MAX),
        points: u32::try_from(payload.points).unwrap_or(u32::MAX),
    }
}
