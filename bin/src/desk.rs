//! Answers for whoever asks a running agent: counters are read where their threads publish them, and
//! what only the main thread or the shipper can do is asked of them as a [`Wish`].

use crate::control::Wish;
use crate::status::{self, Facts, Rates};
use lastdrop_transport::report::{Report, ReportRequest};
use serde_json::Value;
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest time that the agent's own threads may take to answer.
const AGENT_PATIENCE: Duration = Duration::from_secs(4);

/// Contexts and names that a status lists.
const TOP: usize = 10;

/// What an asker reads whose question nobody will answer.
const NO_ANSWER: &str = "the agent does not answer: it is stopping, or a thread of it has ended";

/// What the answers are made of.
pub(crate) struct Desk {
    facts: Facts,
    wishes: Sender<Wish>,
    /// Rung after a wish.
    bell: Arc<mio::Waker>,
    /// What the last status saw.
    rates: Mutex<Rates>,
}

impl Desk {
    /// A desk that answers with these facts.
    pub(crate) fn new(facts: Facts, wishes: Sender<Wish>, bell: Arc<mio::Waker>) -> Self {
        let rates = Mutex::new(Rates::new(&facts));
        Self { facts, wishes, bell, rates }
    }

    /// What doesn't change, and where to read what does.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The whole status.
    ///
    /// # Errors
    ///
    /// One line if the agent does not answer.
    pub(crate) fn status(&self) -> Result<Value, String> {
        let report = self.ask(0, Duration::ZERO, TOP)?;
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(status::snapshot(&self.facts, &report, &mut rates))
    }

    /// Flushes, waits for the delivery, and says what is proved.
    ///
    /// # Errors
    ///
    /// One line if the agent does not answer.
    pub(crate) fn flush(&self, patience: Duration) -> Result<Value, String> {
        let began = Instant::now();
        let before = self.report()?;
        let (reply, number) = sync_channel(1);
        self.wish(Wish::Flush(reply))?;
        let number = number.recv_timeout(AGENT_PATIENCE).map_err(|_| NO_ANSWER.to_owned())?;
        let after = self.ask(number, patience.saturating_sub(began.elapsed()), 0)?;
        Ok(status::flushed(number, &self.facts, &before, &after, began.elapsed()))
    }

    /// How far delivery has come. The answer has gone through the main thread and the shipper.
    ///
    /// # Errors
    ///
    /// One line if the agent does not answer.
    pub(crate) fn report(&self) -> Result<Report, String> {
        self.ask(0, Duration::ZERO, 0)
    }

    /// Lets the shipper report when a flush is delivered, or when it has waited long enough.
    fn ask(&self, flush: u64, patience: Duration, top: usize) -> Result<Report, String> {
        let (reply, report) = sync_channel(1);
        let until = Instant::now() + patience;
        self.wish(Wish::Report(ReportRequest { flush, until, top, reply }))?;
        report.recv_timeout(patience + AGENT_PATIENCE).map_err(|_| NO_ANSWER.to_owned())
    }

    fn wish(&self, wish: Wish) -> Result<(), String> {
        self.wishes.send(wish).map_err(|_| NO_ANSWER.to_owned())?;
        self.bell.wake().map_err(|why| why.to_string())
    }
}
