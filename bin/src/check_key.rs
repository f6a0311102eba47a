//! `lastdrop check-key`: asks the intake whether it knows the keys. Never done unless asked: the agent
//! itself learns of a bad key by the first 403.

use crate::config::Config;
use crate::endpoints::{self, KeyCheck};
use crate::{cli, config, log};
use lastdrop_transport::forward::transaction::USER_AGENT;
use lastdrop_transport::http::{Header, Method, Request};
use lastdrop_transport::net::{Answer, Failure};
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::error;

/// Exit status where a key is refused or could not be asked about.
const EXIT_FAILED: u8 = 1;

/// Token of the wake-up among the events; connections have those below.
const WAKE: Token = Token(usize::MAX);

/// Time for all checks together.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the intake says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    Invalid,
    /// It answered with something that is neither.
    Unclear(u16),
}

/// Runs the command; gives the exit status.
pub(crate) fn run(flags: cli::Flags) -> u8 {
    let checked = config::load(flags).map_err(|why| why.to_string()).and_then(|config| {
        log::start(config.process.log_level);
        check(&config).map_err(|why| why.to_string())
    });
    match checked {
        Ok(true) => 0,
        Ok(false) => EXIT_FAILED,
        Err(why) => {
            log::start(config::types::LogLevel::Error);
            error!("{why}");
            crate::agent::EXIT_USAGE
        }
    }
}

/// Asks about every key of every endpoint; prints a line each, and says whether all are valid.
fn check(config: &Config) -> io::Result<bool> {
    let mut poll = Poll::new()?;
    let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
    let mut checks = endpoints::key_checks(config, poll.registry(), &waker)?;
    if checks.is_empty() {
        println!("no API key is set: set DD_API_KEY");
        return Ok(false);
    }
    let deadline = Instant::now() + PATIENCE;
    for check in &mut checks {
        let agent = Header::new("User-Agent", USER_AGENT).map_err(io::Error::other)?;
        let request = Request {
            method: Method::Get,
            path: check.path.clone(),
            headers: Arc::new([agent]),
            body: bytes::Bytes::new(),
        };
        check.pool.set_deadline(deadline);
        check.pool.send(0, request, Instant::now());
    }
    let mut all_valid = true;
    for check in &mut checks {
        let result = ask(&mut poll, check)?;
        all_valid &= matches!(result.as_ref().map(verdict), Ok(Verdict::Valid));
        println!("{}: {}", check.id, told(&result));
    }
    Ok(all_valid)
}

/// Waits for one result; the pool's own deadline bounds it.
fn ask(poll: &mut Poll, check: &mut KeyCheck) -> io::Result<Result<Answer, Failure>> {
    let mut events = Events::with_capacity(16);
    loop {
        if let Some((_, result)) = check.pool.poll_done() {
            return Ok(result);
        }
        let now = Instant::now();
        // Other checks' events are not waited for here: they are looked at when it is their turn.
        let pause = check.pool.next_timeout().map(|at| at.saturating_duration_since(now));
        poll.poll(&mut events, pause.map(|pause| pause.min(LOOK)).or(Some(LOOK)))?;
        let now = Instant::now();
        check.pool.handle_wake(now);
        check.pool.handle_timeout(now);
    }
}

/// How often a connection is looked at although no event came for it: an event may have been taken
/// while another check was waited for.
const LOOK: Duration = Duration::from_millis(20);

fn verdict(answer: &Answer) -> Verdict {
    match answer.status {
        200 => Verdict::Valid,
        403 => Verdict::Invalid,
        status => Verdict::Unclear(status),
    }
}

fn told(result: &Result<Answer, Failure>) -> String {
    match result.as_ref().map(verdict) {
        Ok(Verdict::Valid) => "the key is valid".to_owned(),
        Ok(Verdict::Invalid) => "the key is refused".to_owned(),
        Ok(Verdict::Unclear(status)) => format!("no word on the key: status {status}"),
        Err(why) => format!("no word on the key: {why}"),
    }
}
