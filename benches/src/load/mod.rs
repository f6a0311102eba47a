//! Load that knows what it is: DogStatsD messages drawn from a seed, sent at a rate or flat out, and
//! counted exactly.
//!
//! All datagrams are built before the run as one block per sender, which is then replayed from the
//! start as often as it takes. While it runs a sender only counts how often the kernel took each
//! datagram; messages, samples and sums are added up from those counts afterwards.

mod block;
mod kind;
mod pace;
mod random;
mod sender;
mod shape;
mod span;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::sink::{OnFull, Target};
use block::Block;
pub use kind::{Kind, Mix, MixError};
pub(crate) use pace::Pacer;
pub use random::Random;
use sender::{Sender, Stage};
pub use shape::Texts;
pub use span::Span;
pub use wait::SendTimes;
use wait::Waits;

/// What to send, where to, how fast and for how long.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The socket to send to.
    pub target: Target,
    /// What to do when it is full.
    pub on_full: OnFull,
    /// Distinct pairs of metric name and tag set, at least 1.
    pub contexts: u32,
    /// Whose contexts these are.
    pub scope: Scope,
    /// Tags of each context.
    pub tags: Span,
    /// What names and tags look like.
    pub texts: Texts,
    /// Shares of the kinds.
    pub mix: Mix,
    /// Values of a message that has several, at least 1; a set always has one.
    pub values: Span,
    /// So many messages of a hundred have several values.
    pub packed_percent: u32,
    /// Most messages of a datagram, at least 1.
    pub messages: u32,
    /// Most bytes of a datagram, unless a single message is longer.
    pub datagram_bytes: usize,
    /// Over all senders; `None` sends flat out.
    pub rate: Option<Rate>,
    /// When the steady stream ends.
    pub length: Length,
    /// Datagrams sent flat out when the stream has ended.
    pub burst: u64,
    /// Chooses contexts, kinds and values: the same seed gives the same datagrams.
    pub seed: u64,
    /// Threads, each with its own socket, at least 1.
    pub senders: u32,
    /// Ends all streams and bursts once it is raised.
    pub interrupt: Interrupt,
}

impl LoadOptions {
    /// One sender of plain counters with two tags, flat out, one message a datagram.
    #[must_use]
    pub fn new(target: Target, length: Length) -> Self {
        Self {
            target,
            on_full: OnFull::Wait,
            contexts: 1_000,
            scope: Scope::Shared,
            tags: Span::only(2),
            texts: Texts::Plain,
            mix: Mix::only(Kind::Count),
            values: Span::only(1),
            packed_percent: 100,
            messages: 1,
            datagram_bytes: 1_432,
            rate: None,
            length,
            burst: 0,
            seed: 1,
            senders: 1,
            interrupt: Interrupt::default(),
        }
    }
}

/// Whose contexts are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All senders send the same.
    #[default]
    Shared,
    /// Each sender has so many of its own.
    Own,
}

/// How fast to send, over all senders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Datagrams a second.
    Datagrams(f64),
    /// Bytes a second, without frame lengths.
    Bytes(f64),
}

/// When a steady stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this many datagrams, failed ones included.
    Datagrams(u64),
    /// After this time.
    Time(Duration),
    /// At the first send that fails, or after this time, and without a last burst. What was sent
    /// before is what the receiver's sockets took while they were open, save over UDP: there a
    /// closed port takes one datagram more and refuses only the next.
    Refusal(Duration),
}

/// Exactly what was sent. A send that failed is in `failed` and nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoadReport {
    /// The socket, as a URL.
    pub target: String,
    /// The seed that gives the same datagrams again.
    pub seed: u64,
    /// From the first send to the last of all senders.
    pub seconds: f64,
    /// Datagrams that the kernel took, the last burst included.
    pub datagrams: u64,
    /// Those of the last burst.
    pub burst_datagrams: u64,
    /// Bytes of all datagrams, without frame lengths.
    pub bytes: u64,
    /// Messages in them.
    pub messages: u64,
    /// Values in them.
    pub samples: u64,
    /// By kind, for those that were sent.
    pub types: BTreeMap<&'static str, TypeTotals>,
    /// Datagrams that the kernel refused.
    pub failed: Failed,
    /// How long the system calls that sent took, each for up to 64 datagrams; of the last stage.
    pub send_times: SendTimes,
}

/// What was sent of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TypeTotals {
    /// Messages.
    pub messages: u64,
    /// Values; of events and checks none.
    pub samples: u64,
    /// Their sum; of a set, the sum of the numbers in its members' names.
    pub sum: u64,
}

/// Sends that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Datagrams.
    pub datagrams: u64,
    /// By the name of the error (`ECONNREFUSED`, `EAGAIN`, …).
    pub errors: BTreeMap<String, u64>,
}

/// Builds the datagrams, sends them, and reports.
///
/// # Errors
///
/// A socket can't be opened or connected. Failed sends are no error: they are in the report.
pub fn run(options: &LoadOptions) -> io::Result<LoadReport> {
    prepare(options)?.run()
}

/// Builds the datagrams and opens the sockets, but sends nothing yet.
///
/// # Errors
///
/// A socket can't be opened or connected.
pub fn prepare(options: &LoadOptions) -> io::Result<Load> {
    prepare_with(options, &Payload::build(options))
}

/// Opens the sockets for datagrams that are built already, from the same options but for the
/// target.
///
/// # Errors
///
/// A socket can't be opened or connected.
pub fn prepare_with(options: &LoadOptions, payload: &Payload) -> io::Result<Load> {
    let numbered = (0_u32..).zip(&payload.blocks);
    let senders = numbered.map(|(number, block)| Sender::new(options, number, Arc::clone(block)));
    let senders = senders.collect::<io::Result<Vec<_>>>()?;
    Ok(Load { options: options.clone(), seconds: 0.0, senders })
}

/// The datagrams of all senders: what a comparison sends to both of its sides.
#[derive(Clone, Debug)]
pub struct Payload {
    blocks: Vec<Arc<Block>>,
}

impl Payload {
    /// Builds what the options describe.
    #[must_use]
    pub fn build(options: &LoadOptions) -> Self {
        let senders = 0..options.senders.max(1);
        let blocks = senders.map(|sender| Arc::new(Block::build(options, sender)));
        Self { blocks: blocks.collect() }
    }
}

/// A load that is ready to be sent.
#[derive(Debug)]
pub struct Load {
    options: LoadOptions,
    seconds: f64,
    senders: Vec<Sender>,
}

impl Load {
    /// Sends stream and burst as its options say, and reports.
    ///
    /// # Errors
    ///
    /// A sender has panicked.
    pub fn run(mut self) -> io::Result<LoadReport> {
        let (length, burst) = (self.options.length, self.options.burst);
        self.send(length, burst)?;
        Ok(self.report())
    }

    /// Sends a stage: a stream of this length, then a burst. The next one goes on where this one
    /// ended.
    ///
    /// # Errors
    ///
    /// A sender has panicked.
    pub fn send(&mut self, length: Length, burst: u64) -> io::Result<()> {
        let count = self.senders.len();
        let interrupt = &self.options.interrupt;
        let start = Instant::now();
        let finished = thread::scope(|scope| {
            let senders = self.senders.iter_mut().enumerate();
            let running: Vec<_> = senders
                .map(|(number, sender)| {
                    let stage = Stage::of(length, burst, number, count, interrupt);
                    scope.spawn(move || sender.run(start, &stage))
                })
                .collect();
            let joined = running.into_iter().map(thread::ScopedJoinHandle::join);
            joined.collect::<Result<Vec<_>, _>>()
        });
        finished.map_err(|_| io::Error::other("a sender panicked"))?;
        self.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// What all stages so far have sent.
    #[must_use]
    pub fn report(&self) -> LoadReport {
        let LoadOptions { target, seed, .. } = &self.options;
        let mut waits = Waits::default();
        let mut report = LoadReport {
            target: target.to_string(),
            seed: *seed,
            seconds: self.seconds,
            ..LoadReport::default()
        };
        for sender in &self.senders {
            sender.add_to(&mut report);
            waits.add(sender.waits());
        }
        report.send_times = waits.times();
        report
    }
}

fn count(datagrams: usize) -> u64 {
    u64::try_from(datagrams).unwrap_or(u64::MAX)
}
