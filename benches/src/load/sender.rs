//! One thread of a load: its socket, its datagrams, and how often each of them was taken.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::block::Block;
use super::pace::Pacer;
use super::wait::Waits;
use super::{Failed, Length, LoadOptions, LoadReport, Rate, count};
use crate::interrupt::Interrupt;
use crate::sink::{BATCH_MAX, Sent, Sink};

/// One sender's part of a stage.
pub(super) struct Stage<'a> {
    length: Length,
    burst: u64,
    interrupt: &'a Interrupt,
}

impl<'a> Stage<'a> {
    pub(super) fn of(
        length: Length,
        burst: u64,
        sender: usize,
        senders: usize,
        interrupt: &'a Interrupt,
    ) -> Self {
        let (sender, senders) = (count(sender), count(senders).max(1));
        // The first senders take what doesn't divide evenly.
        let part = |whole: u64| whole / senders + u64::from(sender < whole % senders);
        let length = match length {
            Length::Datagrams(count) => Length::Datagrams(part(count)),
            time @ (Length::Time(_) | Length::Refusal(_)) => time,
        };
        Self { length, burst: part(burst), interrupt }
    }
}

/// One thread's socket, datagrams and counts.
#[derive(Debug)]
pub(super) struct Sender {
    sink: Sink,
    block: Arc<Block>,
    /// Datagrams a second; `None` sends flat out.
    per_s: Option<f64>,
    /// Where in the block the next datagram stands.
    next: usize,
    /// How often the kernel took each datagram of the block.
    taken: Vec<u64>,
    burst_datagrams: u64,
    failed: Failed,
    waits: Waits,
    /// A failure has ended it: nothing can follow.
    over: bool,
}

impl Sender {
    pub(super) fn new(options: &LoadOptions, number: u32, block: Arc<Block>) -> io::Result<Self> {
        let sink = Sink::connect(&options.target, options.on_full).map_err(|error| {
            let text = format!("sender {number} can't send to {}: {error}", options.target);
            io::Error::new(error.kind(), text)
        })?;
        let rate = options.rate.map(|rate| match rate {
            Rate::Datagrams(per_s) => per_s,
            Rate::Bytes(per_s) => per_s / block.datagram_bytes_mean(),
        });
        let per_s = rate.map(|per_s| per_s / f64::from(options.senders.max(1)));
        Ok(Self {
            sink,
            per_s,
            next: 0,
            taken: vec![0; block.len()],
            block,
            burst_datagrams: 0,
            failed: Failed::default(),
            waits: Waits::default(),
            over: false,
        })
    }

    pub(super) fn run(&mut self, start: Instant, stage: &Stage<'_>) {
        self.waits = Waits::default();
        if !self.over && self.stream(start, stage) {
            self.burst(stage);
        }
    }

    /// Sends the steady stream; false if a failure ended it.
    fn stream(&mut self, start: Instant, stage: &Stage<'_>) -> bool {
        let mut pacer = self.per_s.map(|per_s| Pacer::new(per_s, start));
        let (mut left, end) = match stage.length {
            Length::Datagrams(count) => (count, None),
            Length::Time(time) | Length::Refusal(time) => (u64::MAX, Some(start + time)),
        };
        while left > 0 {
            // A clock read a batch: cheap beside the system call.
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) || stage.interrupt.is_raised() {
                break;
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_MAX);
            let due = pacer.as_mut().map_or(wanted, |pacer| pacer.take(now, wanted));
            if due == 0 {
                thread::sleep(pacer.as_ref().map_or(Duration::ZERO, Pacer::pause));
            } else if self.send_all(due, stage).is_none() {
                return false;
            }
            left -= count(due);
        }
        true
    }

    fn burst(&mut self, stage: &Stage<'_>) {
        let mut left = stage.burst;
        while left > 0 && !stage.interrupt.is_raised() {
            let batch = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_MAX);
            let Some(taken) = self.send_all(batch, stage) else { return };
            self.burst_datagrams += taken;
            left -= count(batch);
        }
    }

    /// Tries so many datagrams, and gives the number that were taken; `None` if a failure ended it.
    pub(super) fn send_all(&mut self, datagrams: usize, stage: &Stage<'_>) -> Option<u64> {
        let (mut left, mut taken) = (datagrams, 0);
        while left > 0 {
            let sent = self.send(left);
            left -= sent.taken;
            taken += count(sent.taken);
            if let Some(error) = sent.error {
                *self.failed.errors.entry(error_name(&error)).or_default() += 1;
                self.failed.datagrams += 1;
                left -= 1;
                if self.sink.breaks() || matches!(stage.length, Length::Refusal(_)) {
                    self.over = true;
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
        let asked = Instant::now();
        let sent = self.sink.send(&batch[..count]);
        self.waits.push(asked.elapsed());
        for taken in &mut self.taken[self.next..self.next + sent.taken] {
            *taken += 1;
        }
        let tried = sent.taken + usize::from(sent.error.is_some());
        self.next = (self.next + tried) % self.block.len();
        sent
    }

    /// How long the sends of the last stage took.
    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    pub(super) fn add_to(&self, report: &mut LoadReport) {
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
        for (error, times) in &self.failed.errors {
            *report.failed.errors.entry(error.clone()).or_default() += times;
        }
    }
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
