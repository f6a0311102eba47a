//! Load that knows what it is: DogStatsD messages drawn from a seed, sent at a rate or flat out, and
//! counted exactly.
//!
//! All datagrams are built before the run as one block per sender, which is then replayed from the
//! start as often as it takes. While it runs a sender only counts how often the kernel took each
//! datagram; messages, samples and sums are added up from those counts afterwards.

mod block;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::sink::{BATCH_MAX, OnFull, Sent, Sink, Target};
use block::Block;
pub use block::{Kind, Mix, MixError, Random};
pub(crate) use pace::Pacer;

/// What to send, where to, how fast and for how long.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The socket to send to.
    pub target: Target,
    /// What to do when it is full.
    pub on_full: OnFull,
    /// Distinct pairs of metric name and tag set, at least 1.
    pub contexts: u32,
    /// Tags of each message.
    pub tags: u32,
    /// Shares of the metric types.
    pub mix: Mix,
    /// Values of each message, at least 1; a set always has one.
    pub values: u32,
    /// Most messages of a datagram, at least 1.
    pub messages: u32,
    /// Most bytes of a datagram, unless a single message is longer.
    pub datagram_bytes: usize,
    /// Datagrams a second over all senders; `None` sends flat out.
    pub rate: Option<u32>,
    /// When the steady stream ends.
    pub length: Length,
    /// Datagrams sent flat out when the stream has ended.
    pub burst: u64,
    /// Chooses contexts, types and values: the same seed gives the same datagrams.
    pub seed: u64,
    /// Threads, each with its own socket, at least 1.
    pub senders: u32,
}

impl LoadOptions {
    /// One sender of plain counters with two tags, flat out, one message a datagram.
    #[must_use]
    pub fn new(target: Target, length: Length) -> Self {
        Self {
            target,
            on_full: OnFull::Wait,
            contexts: 1_000,
            tags: 2,
            mix: Mix::only(Kind::Count),
            values: 1,
            messages: 1,
            datagram_bytes: 1_432,
            rate: None,
            length,
            burst: 0,
            seed: 1,
            senders: 1,
        }
    }
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
    /// By metric type, for the types that were sent.
    pub types: BTreeMap<&'static str, TypeTotals>,
    /// Datagrams that the kernel refused.
    pub failed: Failed,
}

/// What was sent of one metric type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TypeTotals {
    /// Messages.
    pub messages: u64,
    /// Values.
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
    let shares = (0..options.senders.max(1)).map(|number| Share::of(options, number));
    let senders = shares.map(|share| Sender::new(options, share));
    let senders = senders.collect::<io::Result<Vec<_>>>()?;
    Ok(Load { target: options.target.to_string(), seed: options.seed, senders })
}

/// A load that is ready to be sent.
pub struct Load {
    target: String,
    seed: u64,
    senders: Vec<Sender>,
}

impl Load {
    /// Sends it, and reports.
    ///
    /// # Errors
    ///
    /// A sender has panicked.
    pub fn run(self) -> io::Result<LoadReport> {
        let Self { target, seed, senders } = self;
        run_all(senders, LoadReport { target, seed, ..LoadReport::default() })
    }
}

fn run_all(senders: Vec<Sender>, report: LoadReport) -> io::Result<LoadReport> {
    let start = Instant::now();
    let finished = thread::scope(|scope| {
        let running: Vec<_> =
            senders.into_iter().map(|sender| scope.spawn(move || sender.run(start))).collect();
        let joined = running.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let finished = finished.map_err(|_| io::Error::other("a sender panicked"))?;
    let mut report = LoadReport { seconds: start.elapsed().as_secs_f64(), ..report };
    for sender in finished {
        sender.add_to(&mut report);
    }
    Ok(report)
}

/// One sender's part of the whole.
struct Share {
    number: u32,
    length: Length,
    rate: Option<f64>,
    burst: u64,
}

impl Share {
    fn of(options: &LoadOptions, number: u32) -> Self {
        let senders = options.senders.max(1);
        // The first senders take what doesn't divide evenly.
        let part = |whole: u64| {
            let senders = u64::from(senders);
            whole / senders + u64::from(u64::from(number) < whole % senders)
        };
        Self {
            number,
            length: match options.length {
                Length::Datagrams(count) => Length::Datagrams(part(count)),
                time @ (Length::Time(_) | Length::Refusal(_)) => time,
            },
            rate: options.rate.map(|rate| f64::from(rate) / f64::from(senders)),
            burst: part(options.burst),
        }
    }
}

/// One thread's socket, datagrams and counts.
struct Sender {
    sink: Sink,
    block: Block,
    share: Share,
    /// Where in the block the next datagram stands.
    next: usize,
    /// How often the kernel took each datagram of the block.
    taken: Vec<u64>,
    burst_datagrams: u64,
    failed: Failed,
}

impl Sender {
    fn new(options: &LoadOptions, share: Share) -> io::Result<Self> {
        let sink = Sink::connect(&options.target, options.on_full).map_err(|error| {
            io::Error::new(error.kind(), format!("can't send to {}: {error}", options.target))
        })?;
        let block = Block::build(options, share.number);
        let taken = vec![0; block.len()];
        let failed = Failed::default();
        Ok(Self { sink, block, share, next: 0, taken, burst_datagrams: 0, failed })
    }

    fn run(mut self, start: Instant) -> Self {
        if self.stream(start) {
            self.burst();
        }
        self
    }

    /// Sends the steady stream; false if a failure ended it.
    fn stream(&mut self, start: Instant) -> bool {
        let mut pacer = self.share.rate.map(|rate| Pacer::new(rate, start));
        let (mut left, end) = match self.share.length {
            Length::Datagrams(count) => (count, None),
            Length::Time(time) | Length::Refusal(time) => (u64::MAX, Some(start + time)),
        };
        while left > 0 {
            // A clock read a batch: cheap beside the system call.
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                break;
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_MAX);
            let due = pacer.as_mut().map_or(wanted, |pacer| pacer.take(now, wanted));
            if due == 0 {
                thread::sleep(pacer.as_ref().map_or(Duration::ZERO, Pacer::pause));
            } else if self.send_all(due).is_none() {
                return false;
            }
            left -= count(due);
        }
        true
    }

    fn burst(&mut self) {
        let mut left = self.share.burst;
        while left > 0 {
            let batch = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_MAX);
            let Some(taken) = self.send_all(batch) else { return };
            self.burst_datagrams += taken;
            left -= count(batch);
        }
    }

    /// Tries so many datagrams, and gives the number that were taken; `None` if a failure ended it.
    fn send_all(&mut self, datagrams: usize) -> Option<u64> {
        let (mut left, mut taken) = (datagrams, 0);
        while left > 0 {
            let sent = self.send(left);
            left -= sent.taken;
            taken += count(sent.taken);
            if let Some(error) = sent.error {
                *self.failed.errors.entry(error_name(&error)).or_default() += 1;
                self.failed.datagrams += 1;
                left -= 1;
                if self.sink.breaks() || matches!(self.share.length, Length::Refusal(_)) {
                    return None;
                }
            }
        }
        Some(taken)
    }

    /// Sends up to `wanted` datagrams from where the block was left, and moves on behind the last
    /// one tried.
    fn send(&mut self, wanted: usize) -> Sent {
        let mut batch: [&[u8]; BATCH_MAX] = [&[]; BATCH_MAX];
        let mut count = 0;
        for (slot, datagram) in batch.iter_mut().zip(self.block.from(self.next)).take(wanted) {
            *slot = datagram;
            count += 1;
        }
        let sent = self.sink.send(&batch[..count]);
        for taken in &mut self.taken[self.next..self.next + sent.taken] {
            *taken += 1;
        }
        let tried = sent.taken + usize::from(sent.error.is_some());
        self.next = (self.next + tried) % self.block.len();
        sent
    }

    fn add_to(self, report: &mut LoadReport) {
        for (datagram, &times) in self.taken.iter().enumerate().filter(|(_, times)| **times > 0) {
            report.datagrams += times;
            report.bytes += times * self.block.bytes_of(datagram);
            for message in self.block.messages_of(datagram) {
                let totals = report.types.entry(message.kind.word()).or_default();
                totals.messages += times;
                totals.samples += times * u64::from(message.samples);
                totals.sum += times * message.sum;
                report.messages += times;
                report.samples += times * u64::from(message.samples);
            }
        }
        report.burst_datagrams += self.burst_datagrams;
        report.failed.datagrams += self.failed.datagrams;
        for (error, times) in self.failed.errors {
            *report.failed.errors.entry(error).or_default() += times;
        }
    }
}

fn count(datagrams: usize) -> u64 {
    u64::try_from(datagrams).unwrap_or(u64::MAX)
}

fn error_name(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "ECONNREFUSED",
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::ENOBUFS) => "ENOBUFS",
        Some(libc::EPIPE) => "EPIPE",
        Some(libc::ECONNRESET) => "ECONNRESET",
        Some(libc::ENOTCONN) => "ENOTCONN",
        Some(libc::EMSGSIZE) => "EMSGSIZE",
        Some(libc::EPERM) => "EPERM",
        _ => return error.to_string(),
    };
    name.to_owned()
}
