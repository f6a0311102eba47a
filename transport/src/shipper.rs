//! Closed buckets to payloads to transactions; and the last part of the stop: flush and deliver.
//!
//! ```text
//!  bucket rings ─▶ Merge ─▶ Encoder ─▶ Payload ─▶ every endpoint's queue ─▶ its connections
//!                                                    ▲            │
//!                                     at the start   └── spool ◀──┘  at the stop
//! ```
//!
//! One thread drives all of it with one poll. It sleeps until a worker hands something over, a
//! connection moves, or a pause ends.
//!
//! Nothing is pushed down this way: a payload is made when the endpoints have [room and use for
//! it](crate::forward::room). What they don't ask for yet waits in the merge, where it takes less
//! room than encoded:
//!
//! ```text
//! an endpoint works, and has little ahead     the next payload is made, and the loop goes on
//! all that work have enough ahead             wait for an answer
//! more slots wait than there may              make payloads anyway; full queues give up their oldest
//! the stop's time is over                     what is not in a queue is counted: left
//! ```

mod attempt;
mod encoder;
mod key_file;
mod outlet;

pub use encoder::Enabled;
pub use outlet::{Outlet, OutletSettings};

use crate::forward::backoff::Rng;
use crate::forward::endpoint::{Endpoint, Fate, Undelivered};
use crate::forward::room::Room;
use crate::forward::spool::{Spool, SpoolCounters, SpoolLimits};
use crate::limits::{
    SLOTS_WAITING_MAX, SPOOL_STOP_SHARE, SPOOL_STOP_TIME_MAX, STOP_COUNT_SHARE, STOP_COUNT_TIME_MAX,
};
use crate::payload::PayloadSettings;
use crate::report::{EndpointReport, Report, ReportRequest};
use encoder::Encoder;
use lastdrop_engine::context::Tag;
use lastdrop_engine::ledger::{Balance, ShipperLedger, encoded_balance};
use lastdrop_engine::merge::{Merge, Top};
use lastdrop_engine::stop::{Delivered, Drained, Flushed};
use lastdrop_engine::wake::Waker;
use mio::{Poll, Token};
use outlet::{Outlets, since_1970_s};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tracing::{error, warn};

/// Token of the wake-up among the events; connections have those below.
const WAKE: Token = Token(usize::MAX);

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

/// How payloads are made and kept.
#[derive(Clone, Debug)]
pub struct ShipperSettings {
    /// Compression and limits.
    pub payloads: PayloadSettings,
    /// The same for v3 series.
    pub payloads_v3: PayloadSettings,
    /// What is made at all.
    pub enabled: Enabled,
    /// Host of the agent, named in events payloads.
    pub hostname: String,
    /// Where undelivered payloads go, if anywhere.
    pub spool: Option<SpoolSettings>,
}

/// Where undelivered payloads go.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// The folder to make the spool in.
    pub path: PathBuf,
    /// Its limits.
    pub limits: SpoolLimits,
    /// Draws the names of its files.
    pub rng: Rng,
}

/// The shipper's thread of work.
pub struct Shipper {
    merge: Merge,
    encoder: Encoder,
    /// Number of the last flush that is in the queues whole.
    flushed: u64,
    commands: rtrb::Consumer<Command>,
    outlets: Outlets,
    spool_settings: Option<SpoolSettings>,
    spool: Option<Spool>,
    /// Wake workers that wait for room in their bucket ring.
    workers: Vec<Waker>,
    /// Asked for a report that can't be given yet.
    asked: Vec<ReportRequest>,
    ledger: ShipperLedger,
}

/// How far shipping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// A payload was queued; there may be more.
    Made,
    /// There is more, and no room for it.
    Waits,
    /// All that is due is in the queues.
    Done,
}

/// What the shipper leaves behind.
pub struct Shipped {
    /// The state of the stop; none if the thread ended without a proof to flush on.
    pub delivered: Option<Delivered>,
    /// The endpoints, settled.
    pub endpoints: Vec<Endpoint>,
    /// What the spool has done, if there was one.
    pub spool: Option<SpoolCounters>,
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
        mut settings: ShipperSettings,
    ) -> (Self, ShipperLedger) {
        let ledger = ShipperLedger::default();
        let outlets = Outlets::new(poll, outlets);
        let shipper = Self {
            merge,
            spool_settings: settings.spool.take(),
            encoder: Encoder::new(settings, outlets.series_formats()),
            flushed: 0,
            commands,
            outlets,
            spool: None,
            workers,
            asked: Vec::new(),
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
        self.open_spool();
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
            let now = Instant::now();
            let progress = self.ship(now);
            self.report();
            // What an earlier run left comes in slices, each as short as a turn.
            let claim_at = self.claim().then_some(now);
            let asked = self.asked.iter().map(|request| request.until).min();
            let until = [self.ship_at(progress, now), claim_at, asked];
            self.outlets.turn(until.into_iter().flatten().min());
            self.release();
        }
    }

    /// Answers those who wait for a report, where there is no more to wait for.
    fn report(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let (flushed, now) = (self.flushed, Instant::now());
        let delivered = self.outlets.endpoints().all(|endpoint| endpoint.is_idle());
        let balances = self.balances();
        let Self { merge, outlets, asked, .. } = self;
        asked.retain(|request| {
            let due = request.is_due(flushed, delivered, now);
            if due {
                let endpoints = outlets.endpoints().map(|endpoint| EndpointReport::new(endpoint));
                let (balances, endpoints) = (balances.clone(), endpoints.collect());
                let top = if request.top > 0 { merge.top(request.top) } else { Top::default() };
                request.answer(Report { flushed, delivered, balances, endpoints, top });
            }
            !due
        });
    }

    /// The balances from the receivers' count of datagrams to the payloads, as of the last marks.
    fn balances(&self) -> Vec<Balance> {
        let mut balances = self.merge.balances();
        balances.push(self.encoded_balance());
        balances
    }

    /// Every point that has left the merge is in a payload, or on its way into one.
    fn encoded_balance(&self) -> Balance {
        let Balance { name, left, right } =
            encoded_balance(self.merge.counts(), self.encoder.counts());
        Balance { name, left, right: right + self.encoder.held() }
    }

    /// Looks at the balances after each flush on demand: it proves that nothing is missing, as the
    /// stop does.
    fn balance_flush(&self) {
        let flush = self.flushed;
        for Balance { name, left, right } in self.balances().iter().filter(|one| !one.holds()) {
            error!(
                "flush {flush}: {name} don't balance: {left} came in, {right} are accounted for"
            );
        }
    }

    /// Makes the next payload of what is due, if there is room for it, and queues it.
    fn ship(&mut self, now: Instant) -> Progress {
        let progress = loop {
            if let Some(made) = self.encoder.next() {
                let must = self.merge.closes_behind() > SLOTS_WAITING_MAX;
                if !must && !Room::lets_go(self.outlets.rooms(made, now)) {
                    break Progress::Waits;
                }
                self.queue_next();
                break Progress::Made;
            }
            let Self { merge, encoder, .. } = self;
            if !merge.ship_next(&mut |item| encoder.push(item)) && !encoder.close() {
                break Progress::Done;
            }
        };
        debug_assert!(self.encoded_balance().holds());
        self.ledger.publish(self.encoder.counts());
        if progress == Progress::Done && self.flushed != self.merge.flushed() {
            self.flushed = self.merge.flushed();
            self.balance_flush();
        }
        progress
    }

    /// When to go on shipping if nothing else happens.
    fn ship_at(&self, progress: Progress, now: Instant) -> Option<Instant> {
        match progress {
            Progress::Made => Some(now),
            Progress::Waits => self.outlets.silent_at(now),
            Progress::Done => None,
        }
    }

    fn queue_next(&mut self) {
        if let Some(made) = self.encoder.take_next() {
            self.outlets.enqueue(&made);
        }
    }

    /// The end of the stop: everything that was handed over leaves the merge, and what is queued is
    /// delivered as long as there is time.
    fn finish(mut self, drained: Drained, deadline: Instant) -> Shipped {
        let deliver_until = self.deliver_until(deadline);
        self.outlets.begin_stop(deliver_until);
        if self.spool.is_some() {
            self.outlets.endpoints().for_each(Endpoint::hoard);
        }
        self.merge.begin_finish(&drained);
        self.ship_until(count_at(deadline).min(deliver_until));
        let flushed = self.leave_rest(drained);
        while !self.outlets.are_idle() {
            if Instant::now() >= deliver_until && self.outlets.are_silent() {
                break;
            }
            self.outlets.turn(Some(deliver_until));
            self.release();
        }
        self.settle(deadline);
        self.shipped(Some(flushed.delivered()))
    }

    /// Ships what is due, until all of it is queued or time is up.
    fn ship_until(&mut self, until: Instant) {
        loop {
            let now = Instant::now();
            if now >= until {
                return;
            }
            let progress = self.ship(now);
            if progress == Progress::Done {
                return;
            }
            let ship_at = self.ship_at(progress, now).unwrap_or(until);
            self.outlets.turn(Some(ship_at.min(until)));
            self.release();
        }
    }

    /// Counts what can't be shipped any more.
    fn leave_rest(&mut self, drained: Drained) -> Flushed {
        self.leave_made(Instant::now());
        let Self { merge, encoder, ledger, .. } = self;
        let flushed = merge.finish(drained, &mut |item| encoder.leave(item));
        ledger.publish(encoder.counts());
        flushed
    }

    /// Queues what is encoded as far as nothing is given up for it; the rest is left.
    fn leave_made(&mut self, now: Instant) {
        self.encoder.close();
        while let Some(made) = self.encoder.next() {
            if Room::suffices(self.outlets.rooms(made, now)) {
                self.queue_next();
            } else {
                self.encoder.leave_next();
            }
        }
    }

    /// The supervisor is gone: nothing proves that all is here, so nothing is flushed.
    fn abandoned(mut self) -> Shipped {
        self.leave_made(Instant::now());
        self.ledger.publish(self.encoder.counts());
        self.settle(Instant::now() + SPOOL_STOP_TIME_MAX);
        self.shipped(None)
    }

    fn shipped(self, delivered: Option<Delivered>) -> Shipped {
        Shipped {
            delivered,
            endpoints: self.outlets.into_endpoints(),
            spool: self.spool.map(|spool| spool.counters().clone()),
        }
    }

    /// When delivery ends: with a spool, early enough to write what is left.
    fn deliver_until(&self, deadline: Instant) -> Instant {
        let left = deadline.saturating_duration_since(Instant::now());
        let reserve = (left / SPOOL_STOP_SHARE).min(SPOOL_STOP_TIME_MAX);
        match self.spool {
            Some(_) => deadline.checked_sub(reserve).unwrap_or(deadline),
            None => deadline,
        }
    }

    /// Opens the spool, unless nothing may be sent anyway. One that can't be opened is none.
    fn open_spool(&mut self) {
        let Some(SpoolSettings { path, limits, rng }) = self.spool_settings.take() else { return };
        if self.outlets.may_send() {
            match Spool::open(&path, limits, rng, since_1970_s()) {
                Ok(spool) => self.spool = Some(spool),
                Err(why) => warn!("{why}"),
            }
        }
    }

    /// Reads a slice of the spool; says whether there is more to be had.
    fn claim(&mut self) -> bool {
        let Some(spool) = self.spool.as_mut().filter(|spool| spool.has_more()) else {
            return false;
        };
        if let Some(restored) = spool.claim(&self.outlets.ids())
            && let Some(endpoint) = self.outlets.endpoints().nth(restored.endpoint)
        {
            endpoint.restore(restored.payload, restored.taken, restored.ticket);
        }
        spool.has_more()
    }

    /// Gives back the files whose payloads are decided.
    fn release(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        for endpoint in self.outlets.endpoints() {
            while let Some(release) = endpoint.poll_release() {
                spool.release(release);
            }
        }
    }

    /// Settles what the endpoints still hold: into the spool as far as there is one and time until
    /// `deadline`, one endpoint after the other, of each the newest first.
    fn settle(&mut self, deadline: Instant) {
        let mut left: Vec<_> =
            self.outlets.endpoints().map(|endpoint| endpoint.finish().into_iter()).collect();
        loop {
            let mut settled = 0;
            for (endpoint, left) in self.outlets.endpoints().zip(&mut left) {
                let Some(undelivered) = left.next() else { continue };
                let fate = put(self.spool.as_mut(), endpoint, &undelivered, deadline);
                endpoint.settle(undelivered, fate);
                settled += 1;
            }
            if settled == 0 {
                break;
            }
        }
        self.release();
        if let Some(spool) = &mut self.spool {
            spool.sync();
        }
    }
}

/// When to begin to count what is left of a stop that has to be over at `deadline`.
fn count_at(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    let reserve = (left / STOP_COUNT_SHARE).min(STOP_COUNT_TIME_MAX);
    deadline.checked_sub(reserve).unwrap_or(deadline)
}

fn put(
    spool: Option<&mut Spool>,
    endpoint: &Endpoint,
    undelivered: &Undelivered,
    deadline: Instant,
) -> Fate {
    match spool {
        None => Fate::GivenUp,
        Some(spool) if Instant::now() >= deadline => spool.leave(undelivered),
        Some(spool) => spool.put(endpoint.id(), undelivered, since_1970_s()),
    }
}

#[cfg(test)]
mod tests;
