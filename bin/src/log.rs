//! The agent's own log: short lines on standard error, which never wait for a reader.
//!
//! Standard error is shared with the wrapped command, so it can't be made non-blocking: the flag
//! would be the command's too. Instead each line is written with `RWF_NOWAIT`, which says "not now"
//! for this one write alone. Where a kernel or a kind of file doesn't know that flag, the descriptor
//! is asked first whether it takes a line; a pipe that does takes one of [`LINE_BYTES_MAX`] without
//! waiting, unless somebody else fills it in the same instant. A line that would have to wait is
//! dropped and counted: a full pipe costs lines, never the stop.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, write};
use rustix::stdio::stderr;
use rustix::termios::isatty;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::types::LogLevel;

/// Longest line in bytes: what a pipe takes whole or not at all (`PIPE_BUF`).
const LINE_BYTES_MAX: usize = 4096;

/// Longest spelling of a character: `\u{…}` with six digits.
const ESCAPE_BYTES_MAX: usize = 10;

/// Stands at the end of a line that was cut.
const CUT: &str = "…\n";

/// Tells `pwritev2` to write where the descriptor stands, as `write` does.
const HERE: u64 = u64::MAX;

/// How many lines were dropped. The lock also keeps lines of different threads apart; it is never
/// held for longer than a write that does not wait.
static DROPPED: Mutex<u64> = Mutex::new(0);

/// The last warning or error, and when it came.
static LAST_PROBLEM: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Starts the log of this process at a level. A second call changes nothing.
pub(crate) fn start(level: LogLevel) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(filter(level))
        .with_ansi(false)
        .event_format(Line { colours: isatty(stderr()) })
        .with_writer(|| Lines)
        .finish();
    // An error says that there is a log already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Gives the number of lines that were dropped because standard error took no more.
pub(crate) fn dropped() -> u64 {
    *DROPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the last warning or error, and how long ago it came.
pub(crate) fn last_problem() -> Option<(Duration, String)> {
    let last = LAST_PROBLEM.lock().unwrap_or_else(PoisonError::into_inner);
    last.as_ref().map(|(at, line)| (at.elapsed(), line.clone()))
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// One event as one line: `lastdrop: warning: what happened, key=value`.
struct Line {
    /// On a terminal. The library's own colours are a feature that is left out.
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = String::new();
        context.field_format().format_fields(Writer::new(&mut fields), event)?;
        let (word, colour) = name(*event.metadata().level());
        if *event.metadata().level() <= Level::WARN {
            let problem = line(&format!("{word}: "), &fields).trim_end().to_owned();
            let mut last = LAST_PROBLEM.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((Instant::now(), problem));
        }
        let line = if self.colours {
            line(&format!("lastdrop: \x1b[{colour}m{word}\x1b[0m: "), &fields)
        } else {
            line(&format!("lastdrop: {word}: "), &fields)
        };
        writer.write_str(&line)
    }
}

/// Names a level, and gives its colour on a terminal.
fn name(level: Level) -> (&'static str, u8) {
    match level {
        Level::ERROR => ("error", 31),
        Level::WARN => ("warning", 33),
        Level::INFO => ("info", 32),
        Level::DEBUG => ("debug", 36),
        Level::TRACE => ("trace", 90),
    }
}

/// Joins a line of at most [`LINE_BYTES_MAX`] bytes. What would break it, or command a terminal, is
/// escaped: part of what is logged comes from outside.
fn line(front: &str, text: &str) -> String {
    let mut line = front.to_owned();
    for char in text.chars() {
        if line.len() + ESCAPE_BYTES_MAX + CUT.len() > LINE_BYTES_MAX {
            return line + CUT;
        }
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line + "\n"
}

/// Standard error as the log writes it: takes every line, keeps it or drops it, never waits.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put_or_count(stderr(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line, or counts it as dropped.
fn put_or_count(target: BorrowedFd<'_>, line: &[u8]) {
    let mut dropped = DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if put(target, line) == Outcome::Dropped {
        *dropped = dropped.saturating_add(1);
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is where it should be.
    Written,
    /// It is not, or not whole.
    Dropped,
}

/// Writes a line if that needs no waiting.
fn put(target: BorrowedFd<'_>, line: &[u8]) -> Outcome {
    match pwritev2(target, &[IoSlice::new(line)], HERE, ReadWriteFlags::NOWAIT) {
        Ok(written) => whole(written, line),
        // A file on a disk may say so too; it is slow at times, but never full of unread lines.
        Err(Errno::AGAIN) if is_file(target) => put_if_ready(target, line),
        Err(Errno::AGAIN) => Outcome::Dropped,
        Err(_) => put_if_ready(target, line),
    }
}

/// Writes a line if the descriptor says that it takes one.
fn put_if_ready(target: BorrowedFd<'_>, line: &[u8]) -> Outcome {
    let mut asked = [PollFd::new(&target, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut asked, Some(&now)) {
        Ok(1..) => write(target, line).map_or(Outcome::Dropped, |written| whole(written, line)),
        Ok(0) | Err(_) => Outcome::Dropped,
    }
}

fn whole(written: usize, line: &[u8]) -> Outcome {
    if written == line.len() { Outcome::Written } else { Outcome::Dropped }
}

fn is_file(target: BorrowedFd<'_>) -> bool {
    fstat(target).is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_file())
}

#[cfg(test)]
mod tests;
