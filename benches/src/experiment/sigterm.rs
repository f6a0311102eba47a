//! SIGTERM at a random instant under load, in sidecar mode: whatever it interrupts, the books
//! balance and the intake has what the receipt claims. With SIGKILL there is no receipt, but the
//! intake never has more than was sent.
//!
//! A seed decides the transport, the load and the instant: some milliseconds after the start, or in a
//! certain stage of a flush (see `Moment`).

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::side_by_side::run_all;
use super::sidecar::{End, Setup, Sidecar, Transport};
use super::{Finding, Spread, at_endpoints, counted, spread};
use crate::demo::{self, DemoError, Screen, during};
use crate::intake::{Certificate, Fault, Intake, IntakeOptions, Script, Span, Totals};
use crate::load::{Length, LoadOptions, LoadReport, Random, Rate};
use crate::sink::Target;

/// What to run.
#[derive(Clone, Debug)]
pub struct SigtermOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// The first seed.
    pub first_seed: u64,
    /// Seeds in all.
    pub seeds: u32,
    /// Runs at a time, at least 1.
    pub at_once: u32,
    /// How the agent is ended.
    pub ending: Ending,
}

/// How the agent is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM.
    Asked,
    /// SIGKILL.
    Killed,
}

/// Longest that a load runs without being refused: far longer than any run takes.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// Longest wait for the first request after a slot's end: a slot, and what a fleet is spread over.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(20);

/// Longest TLS handshake: what the connection that the intake is deaf on costs.
const HANDSHAKE_MAX: &str = "300ms";

/// What a seed stands for.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    seed: u64,
    transport: Transport,
    rate: u32,
    contexts: u32,
    senders: u32,
    /// The intake answers after this time.
    latency: Duration,
    moment: Moment,
    /// From the instant to the signal.
    delay: Duration,
}

/// What the signal shall hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Reception, anywhere in a slot.
    Any,
    /// A flush that was asked for; what is flushed may be in flight, for the intake answers late.
    Flush,
    /// The look-up of the intake's name, and the first connection to it, for a flush.
    Connect,
    /// A TLS handshake in which the intake takes no part.
    Handshake,
    /// The pause before a payload is sent again that was refused for now.
    Retry,
    /// The first delivery of a slot that has closed.
    Delivery,
}

impl Moment {
    const ALL: [Self; 6] =
        [Self::Any, Self::Flush, Self::Connect, Self::Handshake, Self::Retry, Self::Delivery];

    const fn name(self) -> &'static str {
        match self {
            Self::Any => "any time",
            Self::Flush => "after a flush on demand",
            Self::Connect => "during look-up and connect",
            Self::Handshake => "during a TLS handshake",
            Self::Retry => "before a retry",
            Self::Delivery => "during a delivery",
        }
    }
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let transport = [Transport::Udp, Transport::UnixDatagram][random.below(2) as usize];
        let (moment, delay_us_max) = match random.below(10) {
            0..=3 => (Moment::Any, 300_000),
            4..=5 => (Moment::Flush, 20_000),
            6 => (Moment::Connect, 3_000),
            7 => (Moment::Handshake, 20_000),
            8 => (Moment::Retry, 20_000),
            _ => (Moment::Delivery, 10_000),
        };
        Self {
            seed,
            transport,
            rate: 500 + random.below(10_000),
            contexts: 1 + random.below(2_000),
            senders: 1 + random.below(3),
            latency: Duration::from_millis(random.below(30).into()),
            moment,
            delay: Duration::from_micros(random.below(delay_us_max).into()),
        }
    }

    /// Distributions: the intake then knows the number of samples, not only their sum.
    fn load(&self) -> LoadOptions {
        let nowhere = Target::UnixDatagram(PathBuf::new());
        LoadOptions {
            rate: Some(Rate::Datagrams(self.rate.into())),
            contexts: self.contexts,
            senders: self.senders,
            mix: crate::load::Mix::only(crate::load::Kind::Distribution),
            seed: self.seed,
            ..LoadOptions::new(nowhere, Length::Refusal(LOAD_MAX))
        }
    }

    /// Starts an agent with an intake that answers late, and does what the moment needs.
    fn start(&self, agent: &Path) -> io::Result<Sidecar> {
        let mut script = Script::default();
        match self.moment {
            Moment::Handshake => script = script.deaf(1),
            Moment::Retry => {
                let unavailable = Fault::Status { code: 503, retry_after_s: None };
                script = script.then(unavailable, Span::Requests(1));
            }
            _ => {}
        }
        let script = script.then(Fault::Delay(self.latency), Span::Requests(u32::MAX));
        let tls = (self.moment == Moment::Handshake).then_some(Certificate::Valid);
        let options = IntakeOptions { tls, script, ..IntakeOptions::default() };
        let mut setup = Setup::before(Arc::new(Intake::start(options)?), agent, self.transport);
        let by_name = setup.intake.url().replace("127.0.0.1", "localhost");
        let setting = match self.moment {
            Moment::Connect => Some(("DD_DD_URL", by_name)),
            Moment::Handshake => Some(("DD_TLS_HANDSHAKE_TIMEOUT", HANDSHAKE_MAX.to_owned())),
            _ => None,
        };
        setup.settings.extend(setting.map(|(name, value)| (name.to_owned(), value)));
        Sidecar::start(setup)
    }
}

/// Runs the seeds.
///
/// # Errors
///
/// A run could not be set up. What does not balance is no error: it is in the finding.
pub fn run(options: &SigtermOptions, screen: &mut Screen) -> Result<Finding, DemoError> {
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => demo::agent::find_or_build(screen)?,
    };
    let one = |number: u32| {
        one(&agent, &Plan::of(options.first_seed + u64::from(number)), options.ending)
    };
    let runs = run_all(options.seeds, options.at_once, one, |all| {
        let bad = all.iter().filter(|run| !run.complaints.is_empty()).count();
        screen.status(&format!("{} of {} seeds · failed {bad}", all.len(), options.seeds));
    });
    screen.clear();
    Ok(finding(options, &runs.map_err(during("run the agent under load"))?))
}

/// What came of a seed.
struct Run {
    moment: Moment,
    sent: u64,
    accepted: u64,
    took: Duration,
    complaints: Vec<String>,
}

fn one(agent: &Path, plan: &Plan, ending: Ending) -> io::Result<Run> {
    let mut sidecar = plan.start(agent)?;
    let load = sidecar.load(&plan.load())?;
    match plan.moment {
        Moment::Any => {}
        Moment::Flush => {
            thread::sleep(plan.delay * 3);
            sidecar.signal(Signal::USR1)?;
        }
        Moment::Connect => sidecar.signal(Signal::USR1)?,
        Moment::Handshake | Moment::Retry => {
            thread::sleep(plan.delay * 3);
            sidecar.signal(Signal::USR1)?;
            let is_there = |totals: &Totals| match plan.moment {
                Moment::Handshake => totals.connections > 0,
                _ => totals.requests > 0,
            };
            // In vain only if nothing had come before the flush.
            let _ = sidecar.intake.wait_until(is_there, FIRST_REQUEST_MAX);
        }
        Moment::Delivery => {
            // In vain if the slot's payloads came to nothing: then it is any instant.
            let _ = sidecar.intake.wait_until(|totals| totals.requests > 0, FIRST_REQUEST_MAX);
        }
    }
    thread::sleep(plan.delay);
    let signal = match ending {
        Ending::Asked => Signal::TERM,
        Ending::Killed => Signal::KILL,
    };
    let end = sidecar.end(signal)?;
    let load = load.join().map_err(|_| io::Error::other("the load panicked"))??;
    let totals = sidecar.intake.totals();
    let complaints = match ending {
        Ending::Asked => wrong_after_term(plan, &load, &end, &totals),
        Ending::Killed => wrong_after_kill(&load, &totals),
    };
    let complaints = complaints.into_iter().map(|text| format!("{text}; {plan:?}")).collect();
    let accepted = totals.under("load.").sketch_count;
    Ok(Run { moment: plan.moment, sent: load.datagrams, accepted, took: end.took, complaints })
}

/// What doesn't fit between sender, receipt and intake.
fn wrong_after_term(plan: &Plan, load: &LoadReport, end: &End, totals: &Totals) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut complain = |is_wrong: bool, text: String| {
        if is_wrong {
            wrong.push(text);
        }
    };
    let receipt = &end.receipt;
    let success = end.status.is_some_and(|status| status.success());
    complain(!success, format!("the agent ended with {:?}: {}", end.status, end.log));
    let balanced = receipt.get("balanced").and_then(Value::as_bool).unwrap_or(false);
    complain(!balanced, format!("the receipt doesn't balance: {receipt}"));
    let received = counted(receipt, "/receivers/received");
    let dropped = counted(receipt, "/receivers/kernel_dropped");
    let late = counted(receipt, "/receivers/late");
    let aggregated = counted(receipt, "/workers/aggregated");
    let sent = load.datagrams;
    match plan.transport {
        // Between the count of what is late and the close a datagram is nobody's.
        Transport::Udp => complain(
            received + dropped + late > sent,
            format!("{sent} sent, {received} received + {dropped} dropped + {late} late"),
        ),
        Transport::UnixDatagram | Transport::UnixStream => complain(
            received != sent || dropped + late > 0,
            format!("{sent} sent, {received} received, {dropped} dropped, {late} late"),
        ),
    }
    complain(aggregated != received, format!("{aggregated} aggregated of {received} received"));
    let metric = totals.under("load.");
    let accepted = metric.sketch_count;
    complain(accepted != aggregated, format!("{aggregated} aggregated, the intake has {accepted}"));
    if received == sent {
        let sum = load.types.values().map(|totals| totals.sum).sum::<u64>();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let sum = sum as f64;
        complain(
            (metric.sketch_sum - sum).abs() > 0.5,
            format!("the sum sent is {sum}, the intake has {}", metric.sketch_sum),
        );
    }
    let claimed = at_endpoints(receipt, "/accepted/points");
    let made = at_endpoints(receipt, "/made/points");
    complain(claimed != made, format!("{made} points made, {claimed} accepted by the receipt"));
    let points = metric.sketches + metric.points;
    complain(points != claimed, format!("the receipt claims {claimed} points of {points}"));
    let twice = totals.duplicate_points;
    complain(twice > 0, format!("{twice} points came twice"));
    wrong
}

fn wrong_after_kill(load: &LoadReport, totals: &Totals) -> Vec<String> {
    let (sent, accepted) = (load.datagrams, totals.under("load.").sketch_count);
    let mut wrong = Vec::new();
    if accepted > sent {
        wrong.push(format!("{sent} sent, the intake has {accepted}"));
    }
    if totals.undecodable > 0 {
        wrong.push(format!("unreadable requests: {:?}", totals.undecodable_reasons));
    }
    wrong
}

fn finding(options: &SigtermOptions, runs: &[Run]) -> Finding {
    let SigtermOptions { first_seed, seeds, at_once, ending, .. } = options;
    let how = match ending {
        Ending::Asked => "SIGTERM",
        Ending::Killed => "SIGKILL",
    };
    let mut complaints: Vec<String> =
        runs.iter().flat_map(|run| run.complaints.iter().cloned()).collect();
    if runs.len() != *seeds as usize || runs.is_empty() {
        complaints.push(format!("{} of {seeds} seeds ran", runs.len()));
    }
    let mut table = format!(
        "{how} at a random instant under load: {seeds} seeds from {first_seed}, {at_once} at a time\n  \
         {:<26}  {:>10}  {:>12}  {:>12}  time from the signal to the end\n",
        "instant", "balanced", "sent", "accepted"
    );
    let mut rows = Vec::new();
    for moment in Moment::ALL {
        let of = || runs.iter().filter(|run| run.moment == moment);
        let (count, whole) = (of().count(), of().filter(|run| run.complaints.is_empty()).count());
        let sent: u64 = of().map(|run| run.sent).sum();
        let accepted: u64 = of().map(|run| run.accepted).sum();
        let took: Spread = spread(of().map(|run| run.took).collect());
        let name = moment.name();
        // A string takes all.
        let _ = writeln!(
            table,
            "  {name:<26}  {:>10}  {sent:>12}  {accepted:>12}  {took}",
            format!("{whole} of {count}")
        );
        rows.push(json!({
            "instant": name, "runs": count, "whole": whole, "sent": sent, "accepted": accepted,
            "took": took.to_json(),
        }));
    }
    let json = json!({ "signal": how, "first_seed": first_seed, "seeds": seeds, "rows": rows });
    Finding { table, json, complaints }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_one_plan_and_all_kinds_come_up() {
        assert_eq!(Plan::of(7), Plan::of(7));
        for moment in Moment::ALL {
            assert!((0..100).any(|seed| Plan::of(seed).moment == moment), "{moment:?}");
        }
        for transport in [Transport::Udp, Transport::UnixDatagram] {
            assert!((0..100).any(|seed| Plan::of(seed).transport == transport), "{transport:?}");
        }
    }
}
