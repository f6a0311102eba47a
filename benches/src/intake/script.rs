//! Faults on command: what the intake does to a request instead of answering 202.
//!
//! A script is a list of steps. Each POST takes the first step that isn't used up; when none is
//! left the intake behaves. As text: `503*2, delay=1500ms, ok*3, reset=4096@2s`.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::units;

/// What happens to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: the content decides.
    None,
    /// Reads the request, doesn't count it, answers with this status.
    Status {
        /// The status, 200 to 599.
        code: u16,
        /// Value of a `Retry-After` field, in seconds.
        retry_after_s: Option<u32>,
    },
    /// Answers with this status without reading the body, then closes. Counts nothing.
    Early(u16),
    /// Counts the content at once and answers after a while.
    Delay(Duration),
    /// Counts the content and answers one byte at a time, with this pause before each.
    Drip(Duration),
    /// Resets the connection once it has read this many bytes of the body, or all. Counts nothing.
    Reset(usize),
    /// Counts the content, then resets the connection without an answer.
    Close,
    /// Counts the content and never answers; the connection stays open.
    Silent,
    /// Counts the content; the answer promises more bytes than come before the connection closes.
    WrongLength,
    /// Counts the content; the answer's head never ends.
    EndlessHeaders,
}

/// How long a step lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// This many requests.
    Requests(u32),
    /// This long, from the first request that took it.
    Time(Duration),
}

/// Steps still to be played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    steps: VecDeque<Step>,
    /// Increments to leave out of counters that are otherwise accepted.
    forget: u32,
    /// Connections to accept and never read from.
    deaf: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    fault: Fault,
    span: Span,
    ends: Option<Instant>,
}

impl Script {
    /// Adds a step behind those already there.
    #[must_use]
    pub fn then(mut self, fault: Fault, span: Span) -> Self {
        self.steps.push_back(Step { fault, span, ends: None });
        self
    }

    /// Makes the intake forget this many increments of the counters that it accepts, one a request:
    /// a loss that only counting can find.
    #[must_use]
    pub fn forget(mut self, increments: u32) -> Self {
        self.forget = increments;
        self
    }

    /// Makes the intake accept this many connections without ever reading from them: half-open to
    /// an HTTP client, a handshake that stalls to a TLS client.
    #[must_use]
    pub fn deaf(mut self, connections: u32) -> Self {
        self.deaf = connections;
        self
    }

    /// Tells whether the connection that was just accepted is one to be deaf on.
    pub(super) fn take_deaf(&mut self) -> bool {
        let deaf = self.deaf > 0;
        self.deaf = self.deaf.saturating_sub(1);
        deaf
    }

    /// Takes what the request that arrives now must suffer.
    pub(super) fn take(&mut self, now: Instant) -> Fault {
        while let Some(step) = self.steps.front_mut() {
            match &mut step.span {
                Span::Requests(left @ 1..) => {
                    *left -= 1;
                    return step.fault.clone();
                }
                Span::Requests(_) => {}
                Span::Time(length) => {
                    if now < *step.ends.get_or_insert(now + *length) {
                        return step.fault.clone();
                    }
                }
            }
            self.steps.pop_front();
        }
        Fault::None
    }

    /// Tells how many increments are still to be forgotten.
    pub(super) fn forget_left(&mut self) -> &mut u32 {
        &mut self.forget
    }
}

/// A step that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    step: String,
    why: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, why } = self;
        write!(f, "step {step:?}: {why}; {STEPS}")
    }
}

impl std::error::Error for ScriptError {}

/// The grammar, for help and errors.
pub const STEPS: &str = "steps are separated by commas: ok, 503, 429/RETRY_AFTER_S, early=413, \
    delay=1500ms, drip=1s, reset=BODY_BYTES, close, silent, wrong-length, endless-headers, each for \
    one POST or ending in *POSTS or @TIME (503*2, 503@2s); beside them, at any time, \
    deaf*CONNECTIONS and forget*INCREMENTS";

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for step in text.split(',').map(str::trim).filter(|step| !step.is_empty()) {
            let error = |why: String| ScriptError { step: step.to_owned(), why };
            let (fault, span) = split_span(step).map_err(error)?;
            match (fault, span) {
                ("forget", Span::Requests(increments)) => script.forget += increments,
                ("deaf", Span::Requests(connections)) => script.deaf += connections,
                _ => script = script.then(read_fault(fault).map_err(error)?, span),
            }
        }
        Ok(script)
    }
}

fn split_span(step: &str) -> Result<(&str, Span), String> {
    if let Some((fault, times)) = step.split_once('*') {
        let times = times.parse().map_err(|error| format!("{times:?} requests: {error}"))?;
        Ok((fault, Span::Requests(times)))
    } else if let Some((fault, time)) = step.split_once('@') {
        Ok((fault, Span::Time(units::duration(time)?)))
    } else {
        Ok((step, Span::Requests(1)))
    }
}

fn read_fault(text: &str) -> Result<Fault, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match (name, value) {
        ("ok", "") => Ok(Fault::None),
        ("close", "") => Ok(Fault::Close),
        ("silent", "") => Ok(Fault::Silent),
        ("wrong-length", "") => Ok(Fault::WrongLength),
        ("endless-headers", "") => Ok(Fault::EndlessHeaders),
        ("early", value) => read_status(value).map(Fault::Early),
        ("delay", value) => units::duration(value).map(Fault::Delay),
        ("drip", value) => units::duration(value).map(Fault::Drip),
        ("reset", value) => {
            value.parse().map(Fault::Reset).map_err(|error| format!("{value:?} bytes: {error}"))
        }
        (status, "") => {
            let (code, retry_after) = status.split_once('/').unzip();
            let retry_after_s = retry_after.map(str::parse).transpose();
            Ok(Fault::Status {
                code: read_status(code.unwrap_or(status))?,
                retry_after_s: retry_after_s.map_err(|error| format!("retry-after: {error}"))?,
            })
        }
        _ => Err("unknown".to_owned()),
    }
}

fn read_status(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| (200..600).contains(code));
    code.ok_or_else(|| format!("{text:?} is no status from 200 to 599"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(text: &str, requests: usize) -> Vec<Fault> {
        let mut script: Script = text.parse().unwrap();
        let now = Instant::now();
        (0..requests).map(|_| script.take(now)).collect()
    }

    #[test]
    fn each_request_takes_one_step_and_then_all_is_well() {
        let status = |code| Fault::Status { code, retry_after_s: None };
        assert_eq!(
            played("503*2, ok, reset=4096,429/7", 6),
            [
                status(503),
                status(503),
                Fault::None,
                Fault::Reset(4096),
                Fault::Status { code: 429, retry_after_s: Some(7) },
                Fault::None,
            ]
        );
        assert_eq!(played("", 1), [Fault::None]);
        assert_eq!(played("503*0", 1), [Fault::None]);
    }

    #[test]
    fn a_timed_step_ends_counting_from_its_first_request() {
        let mut script: Script = "503@2s,close".parse().unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let status = Fault::Status { code: 503, retry_after_s: None };
        assert_eq!(script.take(at(5)), status);
        assert_eq!(script.take(at(6)), status);
        assert_eq!(script.take(at(7)), Fault::Close);
        assert_eq!(script.take(at(7)), Fault::None);
    }

    #[test]
    fn every_step_of_the_grammar_is_read() {
        let text = "early=413,delay=1500ms,drip=1s,close,silent,wrong-length,endless-headers";
        let second = Duration::from_secs(1);
        assert_eq!(
            played(text, 7),
            [
                Fault::Early(413),
                Fault::Delay(Duration::from_millis(1_500)),
                Fault::Drip(second),
                Fault::Close,
                Fault::Silent,
                Fault::WrongLength,
                Fault::EndlessHeaders,
            ]
        );
        let beside: Script = "forget*3,deaf".parse().unwrap();
        assert_eq!(beside, Script::default().forget(3).deaf(1));
    }

    #[test]
    fn a_step_that_makes_no_sense_is_named() {
        for text in [
            "5O3",
            "99",
            "600",
            "delay",
            "delay=5",
            "reset=-1",
            "close=1",
            "503*x",
            "no",
            "forget@1s",
        ] {
            let error = text.parse::<Script>().unwrap_err();
            assert_eq!(error.step, text);
        }
    }
}
