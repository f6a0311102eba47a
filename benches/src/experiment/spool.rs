//! Three lives of a sidecar with one spool, of which SIGKILL may end the first two at any instant:
//!
//! ```text
//!  1  the intake is down; SIGTERM, and for every other seed SIGKILL while the spool is written
//!  2  the intake is back; SIGKILL while the spool is read and delivered
//!  3  the intake is well; SIGTERM when the spool is empty
//! ```
//!
//! What the first life has put on disk arrives, each payload once by the intake's count of bodies; no
//! file is damaged, and none is left.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::side_by_side::run_all;
use super::sidecar::{End, Setup, Sidecar, Transport};
use super::{Finding, at_endpoints, counted};
use crate::demo::{DemoError, Screen, during};
use crate::intake::{Fault, Intake, IntakeOptions, Script, Span, Totals};
use crate::load::{self, Length, LoadOptions, Random};

/// What to run.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// The first seed.
    pub first_seed: u64,
    /// Seeds in all; each decides the load and the instants.
    pub seeds: u32,
    /// Runs at a time, at least 1.
    pub at_once: u32,
}

/// Time of a stop that ends by itself; a loaded machine needs some of it.
const STOP_TIMEOUT: &str = "5s";

/// Time of a stop that is killed: short, so that many kills meet the spool being written.
const KILLED_STOP_TIMEOUT: &str = "1500ms";

/// Longest time from SIGTERM to SIGKILL in the first life, in microseconds.
const KILL_US_MAX: u32 = 1_600_000;

/// Largest body of series in bytes: the load makes many payloads.
const PAYLOAD_BYTES_MAX: &str = "4000";

/// Longest that the last life may take to deliver what it finds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs the seeds.
///
/// # Errors
///
/// A run could not be set up. What is lost is no error: it is in the finding.
pub fn run(options: &SpoolOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = super::agent(options.agent.clone(), screen)?;
    let one = |number: u32| one(&agent, options.first_seed + u64::from(number));
    let runs = run_all(options.seeds, options.at_once, one, |all| {
        let bad = all.iter().filter(|run| !run.complaints.is_empty()).count();
        screen.status(&format!("{} of {} seeds · failed {bad}", all.len(), options.seeds));
    });
    screen.clear();
    Ok(finding(options, &runs.map_err(during("run an agent with a spool"))?))
}

/// How the first life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// By itself: all that it had is on disk.
    Stopped,
    /// Killed while it stopped: some of it may be.
    Killed,
}

impl First {
    const ALL: [Self; 2] = [Self::Stopped, Self::Killed];

    const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "ends by itself",
            Self::Killed => "is killed while it stops",
        }
    }

    const fn stop_timeout(self) -> &'static str {
        match self {
            Self::Stopped => STOP_TIMEOUT,
            Self::Killed => KILLED_STOP_TIMEOUT,
        }
    }
}

/// What came of a seed.
struct Run {
    first: First,
    sent: u64,
    accepted: u64,
    /// Payloads that the intake got twice; the second time it didn't count them.
    twice: u64,
    complaints: Vec<String>,
}

/// The three lives of one seed.
fn one(agent: &Path, seed: u64) -> io::Result<Run> {
    let mut random = Random::new(seed);
    let first = First::ALL[random.index(2)];
    let folder = tempfile::tempdir()?;
    let down = Fault::Status { code: 503, retry_after_s: None };
    let script = Script::default().then(down, Span::Requests(u32::MAX));
    let intake = Arc::new(Intake::start(IntakeOptions { script, ..IntakeOptions::default() })?);
    let path = folder.path().display().to_string();
    let settings: Vec<(String, String)> = [
        ("DD_FORWARDER_STORAGE_MAX_SIZE_IN_BYTES", "10000000"),
        ("DD_FORWARDER_STORAGE_PATH", &path),
        ("DD_SERIALIZER_MAX_SERIES_PAYLOAD_SIZE", PAYLOAD_BYTES_MAX),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let start = |stop_timeout: &str| {
        let setup = Setup::before(Arc::clone(&intake), agent, Transport::UnixDatagram);
        let mut settings = settings.clone();
        settings.push(("LASTDROP_STOP_TIMEOUT".to_owned(), stop_timeout.to_owned()));
        Sidecar::start(Setup { settings, ..setup })
    };

    let mut sidecar = start(first.stop_timeout())?;
    let sent = load::run(&LoadOptions {
        contexts: 1 + random.below(2_000),
        seed,
        ..LoadOptions::new(sidecar.target().clone(), Length::Datagrams(2_000))
    })?;
    let one_end = match first {
        First::Stopped => Some(sidecar.end(Signal::TERM)?),
        First::Killed => {
            sidecar.signal(Signal::TERM)?;
            thread::sleep(Duration::from_micros(random.below(KILL_US_MAX).into()));
            let _ = sidecar.end(Signal::KILL)?;
            None
        }
    };

    let latency = Fault::Delay(Duration::from_millis(random.below(30).into()));
    intake.set_script(Script::default().then(latency, Span::Requests(u32::MAX)));
    let mut sidecar = start(STOP_TIMEOUT)?;
    thread::sleep(Duration::from_micros(random.below(60_000).into()));
    let _ = sidecar.end(Signal::KILL)?;

    intake.set_script(Script::default());
    let mut sidecar = start(STOP_TIMEOUT)?;
    let deadline = Instant::now() + PATIENCE;
    while payloads(folder.path())? > 0 && Instant::now() < deadline {
        thread::sleep(LOOK_EVERY);
    }
    let last_end = sidecar.end(Signal::TERM)?;

    let totals = intake.totals();
    let sum = sent.types.values().map(|totals| totals.sum).sum::<u64>();
    // A rate is a quotient: what rounding leaves of it is no difference.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let accepted = totals.under("load.").count.round() as u64;
    let mut complaints = wrong_of_last(&last_end, payloads(folder.path())?);
    if let Some(end) = one_end {
        complaints.extend(wrong_of_first(&end, sum, accepted, &totals));
    }
    if accepted > sum {
        complaints.push(format!("{sum} sent, {accepted} accepted"));
    }
    if totals.undecodable > 0 {
        complaints.push(format!("unreadable requests: {:?}", totals.undecodable_reasons));
    }
    let complaints = complaints.into_iter().map(|text| format!("seed {seed}: {text}")).collect();
    Ok(Run { first, sent: sum, accepted, twice: totals.duplicate_bodies, complaints })
}

/// Whole files in the spool.
fn payloads(folder: &Path) -> io::Result<usize> {
    match fs::read_dir(folder.join("lastdrop-spool")) {
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension() == Some(OsStr::new("payload")))
            .count()),
        // A life that was killed at once has made none.
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(why) => Err(why),
    }
}

/// What a first life that ended by itself says to be on disk has arrived, to the last point; that is
/// everything, unless the disk was too slow for the time of the stop.
fn wrong_of_first(end: &End, sent: u64, accepted: u64, totals: &Totals) -> Vec<String> {
    let mut wrong = Vec::new();
    let receipt = &end.receipt;
    let (made, spooled) =
        (at_endpoints(receipt, "/made/points"), at_endpoints(receipt, "/spooled/points"));
    let late = counted(receipt, "/spool/not_stored/late/points");
    if receipt.get("balanced").and_then(Value::as_bool) != Some(true) || made != spooled + late {
        wrong.push(format!("the first life spooled {spooled} of {made} points: {receipt}"));
    }
    let arrived = totals.points - totals.duplicate_points;
    if arrived != spooled {
        wrong.push(format!("{spooled} points were spooled, {arrived} have arrived"));
    }
    if spooled == made && accepted != sent {
        wrong.push(format!("{sent} sent, {accepted} accepted"));
    }
    wrong
}

/// A last life leaves nothing behind, and found nothing that it could not read.
fn wrong_of_last(end: &End, left: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    if left > 0 {
        wrong.push(format!("{left} payloads are left in the spool"));
    }
    if end.receipt.get("lossless").and_then(Value::as_bool) != Some(true) {
        wrong.push(format!("the last life was not lossless: {}", end.receipt));
    }
    for kind in ["damaged_files", "failed_files", "foreign_files", "files_without_endpoint"] {
        let count = counted(&end.receipt, &format!("/spool/{kind}"));
        if count > 0 {
            wrong.push(format!("{count} {kind}"));
        }
    }
    wrong
}

fn finding(options: &SpoolOptions, runs: &[Run]) -> Finding {
    let SpoolOptions { first_seed, seeds, at_once, .. } = options;
    let mut complaints: Vec<String> =
        runs.iter().flat_map(|run| run.complaints.iter().cloned()).collect();
    if runs.len() != *seeds as usize || runs.is_empty() {
        complaints.push(format!("{} of {seeds} seeds ran", runs.len()));
    }
    let mut table = format!(
        "a spool over SIGKILL: {seeds} seeds from {first_seed}, {at_once} at a time\n  \
         {:<26}  {:>12}  {:>12}  {:>12}  payloads sent twice, counted once\n",
        "the first life", "whole", "sent", "accepted"
    );
    let mut rows = Vec::new();
    for first in First::ALL {
        let of = || runs.iter().filter(|run| run.first == first);
        let (count, whole) = (of().count(), of().filter(|run| run.complaints.is_empty()).count());
        let sent: u64 = of().map(|run| run.sent).sum();
        let accepted: u64 = of().map(|run| run.accepted).sum();
        let twice: u64 = of().map(|run| run.twice).sum();
        let name = first.name();
        table.push_str(&format!(
            "  {name:<26}  {:>12}  {sent:>12}  {accepted:>12}  {twice}\n",
            format!("{whole} of {count}")
        ));
        rows.push(json!({
            "first_life": name, "runs": count, "whole": whole, "sent": sent,
            "accepted": accepted, "payloads_twice": twice,
        }));
    }
    let json = json!({ "first_seed": first_seed, "seeds": seeds, "rows": rows });
    Finding { table, json, complaints }
}
