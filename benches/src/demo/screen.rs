//! Progress on stderr: one line that is rewritten on a terminal, a plain line a second elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often a plain line comes.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// Where progress is shown.
#[derive(Debug)]
pub struct Screen {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Terminal,
    Plain { shown: Option<Instant> },
    Quiet,
}

impl Screen {
    /// Shows progress on stderr.
    #[must_use]
    pub fn stderr() -> Self {
        let terminal = stderr().is_terminal();
        Self { kind: if terminal { Kind::Terminal } else { Kind::Plain { shown: None } } }
    }

    /// Shows nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { kind: Kind::Quiet }
    }

    /// Shows how things stand; on a terminal in place of what stood there.
    pub fn status(&mut self, text: &str) {
        match &mut self.kind {
            Kind::Terminal => write(&format!("\r\x1b[K{text}")),
            Kind::Plain { shown } => {
                if shown.is_none_or(|shown| shown.elapsed() >= PLAIN_EVERY) {
                    *shown = Some(Instant::now());
                    write(&format!("{text}\n"));
                }
            }
            Kind::Quiet => {}
        }
    }

    /// Says something that stays.
    pub fn line(&mut self, text: &str) {
        self.clear();
        if !matches!(self.kind, Kind::Quiet) {
            write(&format!("{text}\n"));
        }
    }

    /// Takes the rewritten line off a terminal.
    pub fn clear(&mut self) {
        if matches!(self.kind, Kind::Terminal) {
            write("\r\x1b[K");
        }
    }
}

/// A closed stderr costs the progress, not the run.
fn write(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
