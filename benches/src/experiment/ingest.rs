//! How much the agent takes in and what that costs, beside a receiver that only drains the same
//! sockets in the same run: datagram sizes, transports, processors, flat out and at a moderate load.
//!
//! Absolute rates drift with the machine, so what counts is the ratio of the two, round by round.

mod scenario;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use self::scenario::Scenario;
use super::contender::{Account, Trial};
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::stats::{median, number};
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Length, LoadOptions, Rate, Span};
use crate::sink::Target;

/// What to run.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Names of the scenarios; empty for all.
    pub only: Vec<String>,
    /// Rounds of each, at least 1.
    pub rounds: u32,
    /// How long each receiver is loaded.
    pub time: Duration,
    /// Datagrams a second of the scenarios with a moderate load.
    pub moderate: u32,
    /// Distinct contexts.
    pub contexts: u32,
}

/// Names of all scenarios, with what they are.
pub fn scenarios() -> impl Iterator<Item = (&'static str, &'static str)> {
    scenario::ALL.iter().map(|scenario| (scenario.name, scenario.what))
}

/// Runs the scenarios.
///
/// # Errors
///
/// There is no such scenario, a receiver could not be started, or it was interrupted.
pub fn run(
    options: &IngestOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let is_wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|wanted| wanted == name);
    if let Some(unknown) = options.only.iter().find(|name| scenario::named(name).is_none()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("no scenario {unknown:?}"),
        ));
    }
    let mut rows = Vec::new();
    for scenario in scenario::ALL.iter().filter(|scenario| is_wanted(scenario.name)) {
        let mut row = Row { scenario, rounds: Vec::new() };
        for round in 1..=options.rounds.max(1) {
            interrupt.check()?;
            screen.status(&format!("{}: round {round} of {}", scenario.name, options.rounds));
            row.rounds.push(Round::run(scenario, options, interrupt)?);
        }
        rows.push(row);
    }
    screen.clear();
    Ok(report(options, &rows))
}

/// A scenario and what was measured of it.
struct Row<'a> {
    scenario: &'a Scenario,
    rounds: Vec<Round>,
}

/// The two that are compared, one after the other.
struct Round {
    beside: Account,
    agent: Account,
}

impl Round {
    fn run(
        scenario: &Scenario,
        options: &IngestOptions,
        interrupt: &Interrupt,
    ) -> io::Result<Self> {
        let trial = Trial {
            agent: options.agent.clone(),
            transport: scenario.transport,
            load: load(scenario, options),
            warm_up: None,
            cpus: scenario.cpus(),
        };
        let beside = trial.run(&scenario.beside.contender())?;
        interrupt.check()?;
        Ok(Self { beside, agent: trial.run(&scenario.agent())? })
    }
}

fn load(scenario: &Scenario, options: &IngestOptions) -> LoadOptions {
    let nowhere = Target::Udp(([127, 0, 0, 1], 0).into());
    LoadOptions {
        contexts: options.contexts,
        tags: Span::only(scenario::TAGS),
        messages: scenario.messages,
        datagram_bytes: scenario.datagram_bytes,
        rate: scenario.moderate.then_some(Rate::Datagrams(options.moderate.into())),
        ..LoadOptions::new(nowhere, Length::Time(options.time))
    }
}

impl Row<'_> {
    /// The median over the rounds of something that has a value in each.
    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        let values: Vec<f64> = self.rounds.iter().map(value).collect();
        median(&values).unwrap_or(f64::NAN)
    }

    fn worker_millions(&self) -> [f64; 2] {
        let of = |account: &Account| account.worker_millions().unwrap_or(f64::NAN);
        [self.median(|round| of(&round.beside)), self.median(|round| of(&round.agent))]
    }

    /// The worst age of a datagram at the agent's parser over all rounds, in milliseconds.
    fn age_ms_max(&self) -> f64 {
        self.rounds.iter().map(|round| round.agent.age_ms_max()).fold(0.0, f64::max)
    }

    /// What an account says against itself.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (number, round) in self.rounds.iter().enumerate() {
            for (who, account) in [("beside", &round.beside), ("agent", &round.agent)] {
                let place = format!("{}, round {}, {who}", self.scenario.name, number + 1);
                if account.unaccounted() > 0 {
                    complaints.push(format!(
                        "{place}: {} datagrams neither taken nor dropped",
                        account.unaccounted()
                    ));
                }
                if account.receipt.get("balanced").is_some_and(|balanced| balanced != true) {
                    complaints.push(format!("{place}: the receipt isn't balanced"));
                }
            }
        }
        complaints
    }

    fn to_json(&self) -> Value {
        let account = |account: &Account| {
            json!({
                "sent": account.load.datagrams, "seconds": account.load.seconds,
                "received": account.received, "dropped": account.dropped,
                "messages": account.messages(), "bytes": account.load.bytes,
                "cpu_s": account.cpu.as_secs_f64(),
                "rss_bytes": account.rss_bytes,
                "worker_cpu_s": account.worker_cpu.as_secs_f64(),
            })
        };
        let rounds = self.rounds.iter().map(
            |round| json!({ "beside": account(&round.beside), "agent": account(&round.agent) }),
        );
        let [_, worker_millions] = self.worker_millions();
        json!({
            "scenario": self.scenario.name, "what": self.scenario.what,
            "rate_ratio": self.median(|round| round.agent.rate() / round.beside.rate()),
            "cpu_ratio": self.median(|round| round.agent.cpu_us() / round.beside.cpu_us()),
            "agent_worker_millions_per_cpu_s": worker_millions,
            "agent_age_ms_max": self.age_ms_max(),
            "agent_cpu_s_per_million": self.median(|round| round.agent.cpu_s_per_million()),
            "rounds": rounds.collect::<Vec<_>>(),
        })
    }
}

fn report(options: &IngestOptions, rows: &[Row<'_>]) -> Report {
    let mut taken = Table::new(
        "datagrams",
        &[
            "scenario",
            "bytes",
            "sent k/s",
            "beside k/s",
            "agent k/s",
            "ratio",
            "lost %",
            "beside µs",
            "agent µs",
            "ratio",
        ],
    );
    let mut work = Table::new(
        "messages of the agent",
        &[
            "scenario",
            "a datagram",
            "M/s",
            "CPU s/M",
            "beside",
            "worker M/CPU s",
            "beside",
            "worst age, ms",
        ],
    );
    for row in rows {
        let percent = |account: &Account| 100.0 * share(account.dropped, account.load.datagrams);
        taken.push(&[
            row.scenario.name.to_owned(),
            format!(
                "{:.0}",
                row.median(|round| share(round.agent.load.bytes, round.agent.load.datagrams))
            ),
            format!(
                "{:.0}",
                row.median(
                    |round| share(round.agent.load.datagrams, 1_000) / round.agent.load.seconds
                )
            ),
            format!("{:.0}", row.median(|round| round.beside.rate() / 1e3)),
            format!("{:.0}", row.median(|round| round.agent.rate() / 1e3)),
            format!("{:.2}", row.median(|round| round.agent.rate() / round.beside.rate())),
            format!("{:.1}", row.median(|round| percent(&round.agent))),
            format!("{:.2}", row.median(|round| round.beside.cpu_us())),
            format!("{:.2}", row.median(|round| round.agent.cpu_us())),
            format!("{:.2}", row.median(|round| round.agent.cpu_us() / round.beside.cpu_us())),
        ]);
        let [beside, agent] = row.worker_millions();
        work.push(&[
            row.scenario.name.to_owned(),
            format!(
                "{:.1}",
                row.median(|round| share(round.agent.load.messages, round.agent.load.datagrams))
            ),
            format!(
                "{:.2}",
                row.median(|round| round.agent.messages() / round.agent.load.seconds / 1e6)
            ),
            format!("{:.3}", row.median(|round| round.agent.cpu_s_per_million())),
            format!("{:.3}", row.median(|round| round.beside.cpu_s_per_million())),
            format!("{agent:.2}"),
            if beside.is_nan() { "–".to_owned() } else { format!("{beside:.2}") },
            format!("{:.1}", row.age_ms_max()),
        ]);
    }
    let mut notes = vec![
        format!(
            "Medians of {} rounds of {:.0} s each; ratios are formed within a round. \
             {} contexts, {} tags a message.",
            options.rounds,
            options.time.as_secs_f64(),
            options.contexts,
            scenario::TAGS
        ),
        "CPU is of the whole receiving process, from before the load until it has come to rest; \
         the sender is another process on the same processors."
            .to_owned(),
        "Worst age: from a datagram's arrival to the turn that parsed it, as the agent says, over \
         all rounds."
            .to_owned(),
    ];
    notes.extend(rows.iter().map(|row| format!("{}: {}.", row.scenario.name, row.scenario.what)));
    Report {
        name: "ingest".to_owned(),
        title: "What the agent takes in, and what that costs".to_owned(),
        notes,
        tables: vec![taken, work],
        plots: plots(rows),
        json: rows.iter().map(Row::to_json).collect::<Vec<_>>().into(),
        complaints: rows.iter().flat_map(Row::complaints).collect(),
    }
}

fn plots(rows: &[Row<'_>]) -> Vec<(String, Plot)> {
    let names: Vec<&str> = rows.iter().map(|row| row.scenario.name).collect();
    let bars = |name: &str, value: &dyn Fn(&Row<'_>) -> f64| {
        let points = rows.iter().enumerate().map(|(at, row)| (number(at), value(row))).collect();
        Series::new(name, Mark::Bars, points)
    };
    let plot = |title: &str, label: &str, series| Plot {
        title: title.to_owned(),
        x: Axis::names("", &names),
        y: Axis::linear(label),
        series,
    };
    let rate = plot(
        "Datagrams taken",
        "thousand a second",
        vec![
            bars("beside", &|row| row.median(|round| round.beside.rate() / 1e3)),
            bars("agent", &|row| row.median(|round| round.agent.rate() / 1e3)),
        ],
    );
    let cost = plot(
        "Processor time of a datagram",
        "microseconds",
        vec![
            bars("beside", &|row| row.median(|round| round.beside.cpu_us())),
            bars("agent", &|row| row.median(|round| round.agent.cpu_us())),
        ],
    );
    vec![("rate".to_owned(), rate), ("cpu".to_owned(), cost)]
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
