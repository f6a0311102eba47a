//! Experiments run one after another against one server, each replica held to the bounds.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::bounds::Broken;
use super::measure::{Measure, rounded};
use super::plan::{Plan, PlanError};
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::run::{Prepared, Replica};
use super::target::{Target, TargetError};
use crate::demo::{DemoError, Screen};
use crate::interrupt::Interrupt;

/// What a table shows of a replica.
const COLUMNS: [Measure; 8] = [
    Measure::IngressMibPerS,
    Measure::MessagesPerS,
    Measure::CpuSPerMillion,
    Measure::CpuPercent,
    Measure::MemoryPeakMib,
    Measure::SendP99Us,
    Measure::StopMs,
    Measure::Lost,
];

/// What to run, how often and how long.
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    /// Stem of the report's files.
    pub name: String,
    /// The experiments, in order.
    pub plans: Vec<Plan>,
    /// The server.
    pub target: Target,
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Replicas of each, at least 1.
    pub replicas: u32,
    /// Other times than the files'.
    pub times: Times,
}

/// Times that go before those of the experiments' files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// How long is measured.
    pub duration: Option<Duration>,
    /// How long the load runs before.
    pub warm_up: Option<Duration>,
}

impl Times {
    /// Applies them.
    #[must_use]
    pub fn of(self, plan: Plan) -> Plan {
        Plan {
            duration: self.duration.unwrap_or(plan.duration),
            warm_up: self.warm_up.unwrap_or(plan.warm_up),
            ..plan
        }
    }
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum SuiteError {
    /// An experiment can't be read.
    Plan(PlanError),
    /// A target can't be read.
    Target(TargetError),
    /// The agent is not there and can't be built.
    Agent(DemoError),
    /// A replica could not be run to its end.
    Replica(String, io::Error),
}

impl fmt::Display for SuiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
            Self::Agent(error) => error.fmt(f),
            Self::Replica(_, error) if error.kind() == io::ErrorKind::Interrupted => {
                f.write_str("interrupted: what was started is ended, nothing is reported")
            }
            Self::Replica(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl std::error::Error for SuiteError {}

impl From<DemoError> for SuiteError {
    fn from(error: DemoError) -> Self {
        Self::Agent(error)
    }
}

impl From<PlanError> for SuiteError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<TargetError> for SuiteError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl SuiteError {
    /// True if somebody wanted it to end.
    #[must_use]
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Replica(_, error) if error.kind() == io::ErrorKind::Interrupted)
    }
}

/// The experiments that come with the lab.
///
/// # Errors
///
/// One of their files says something wrong.
pub fn list() -> Result<Table, SuiteError> {
    let mut table = Table::new("", &["experiment", "goal", "gate", "bounds", "what it shows"]);
    for plan in Plan::shipped()? {
        let gate = if plan.gate { "yes" } else { "" };
        let goal = plan.goal.measure().name();
        table.push(&[&plan.name, goal, gate, &plan.bounds.to_string(), &plan.about]);
    }
    Ok(table)
}

/// Runs every replica of every experiment.
///
/// # Errors
///
/// A replica could not be run to its end. A broken bound is no error: it is in the report.
pub fn run(
    options: &SuiteOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<Report, SuiteError> {
    let agent = super::agent(options.agent.clone(), screen)?;
    let mut found = Found::default();
    for plan in &options.plans {
        let plan = options.times.of(plan.clone());
        screen.status(&format!("{}: building the load", plan.name));
        let prepared = Prepared::new(plan, options.target.dialect, interrupt);
        let mut replicas = Vec::new();
        for number in 1..=options.replicas.max(1) {
            let name = &prepared.plan.name;
            screen.status(&format!("{name}: replica {number} of {}", options.replicas.max(1)));
            let replica = prepared.run(&options.target, &agent);
            replicas.push(replica.map_err(|error| SuiteError::Replica(name.clone(), error))?);
        }
        found.add(&prepared.plan, replicas);
        if let Some(line) = found.lines.last() {
            screen.line(line);
        }
    }
    screen.clear();
    Ok(found.report(options))
}

/// What all experiments so far have found.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<String>>,
    /// One for each experiment, for whoever waits.
    lines: Vec<String>,
    plots: Vec<(String, Plot)>,
    notes: Vec<String>,
    json: Vec<Value>,
    complaints: Vec<String>,
}

impl Found {
    fn add(&mut self, plan: &Plan, replicas: Vec<Replica>) {
        let mut good = 0;
        for (number, replica) in (1..).zip(&replicas) {
            let broken = plan.bounds.broken(&replica.values);
            let name = match replicas.len() {
                1 => plan.name.clone(),
                _ => format!("{} #{number}", plan.name),
            };
            let verdict = if broken.is_empty() && replica.complaints.is_empty() {
                good += 1;
                "pass"
            } else {
                "FAIL"
            };
            let mut row = vec![name.clone()];
            row.extend(COLUMNS.map(|measure| {
                replica.values.get(&measure).map_or_else(String::new, |value| rounded(*value))
            }));
            row.push(verdict.to_owned());
            self.rows.push(row);
            if !replica.reasons.is_empty() {
                let reasons = replica.reasons.iter().map(|(name, count)| format!("{count} {name}"));
                let reasons = reasons.collect::<Vec<_>>().join(", ");
                self.notes.push(format!("{name}: {reasons}"));
            }
            let broken = broken.iter().map(Broken::to_string).chain(replica.complaints.clone());
            self.complaints.extend(broken.map(|text| format!("{name}: {text}")));
        }
        self.lines.push(format!("{}: {good} of {} replicas pass", plan.name, replicas.len()));
        self.plots.push((plan.name.clone(), memory_plot(plan, &replicas)));
        self.json.push(json!({
            "experiment": plan.name, "about": plan.about, "bounds": plan.bounds.to_string(),
            "replicas": replicas.iter().map(Replica::to_json).collect::<Vec<_>>(),
        }));
    }

    fn report(self, options: &SuiteOptions) -> Report {
        let mut headings = vec!["experiment"];
        headings.extend(COLUMNS.map(Measure::label));
        headings.push("bounds");
        let mut table = Table::new("", &headings);
        self.rows.iter().for_each(|row| table.push(row));
        Report {
            name: options.name.clone(),
            title: format!("{} against {}", counted(options.plans.len()), options.target.name),
            notes: self.notes,
            tables: vec![table],
            plots: self.plots,
            json: json!({ "target": options.target.name, "experiments": self.json }),
            complaints: self.complaints,
        }
    }
}

fn counted(experiments: usize) -> String {
    if experiments == 1 { "1 experiment".to_owned() } else { format!("{experiments} experiments") }
}

fn memory_plot(plan: &Plan, replicas: &[Replica]) -> Plot {
    let lines = (1..).zip(replicas).map(|(number, replica): (u32, _)| {
        Series::new(&format!("replica {number}"), Mark::Line, replica.memory.clone())
    });
    let bound = plan.bounds.max.get(&Measure::MemoryPeakMib);
    let bound = bound.map(|&bound| Series::new("bound", Mark::Level, vec![(0.0, bound)]));
    Plot {
        title: format!("{}: resident memory", plan.name),
        x: Axis::linear("seconds since the start"),
        y: Axis::linear("MiB"),
        series: lines.chain(bound).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::bounds::Values;

    fn plan() -> Plan {
        let text = "about = 'a'\ngoal = 'cpu'\n[bounds.max]\nlost = 0\nmemory_peak_mib = 9";
        Plan::parse("x", text).unwrap()
    }

    fn replica(lost: f64) -> Replica {
        let values = Values::from([(Measure::Lost, lost), (Measure::MemoryPeakMib, 5.0)]);
        Replica { values, memory: vec![(1.0, 4.0)], ..Replica::default() }
    }

    /// One of several that breaks a bound is enough, and so is a complaint without a broken bound.
    #[test]
    fn every_replica_has_to_pass() {
        let complaint = Replica { complaints: vec!["wrote no receipt".to_owned()], ..replica(0.0) };
        for (replicas, complaints) in [
            (vec![replica(0.0), replica(0.0)], vec![]),
            (vec![replica(0.0), replica(1.0)], vec!["x #2: lost is 1.00 and must be at most 0"]),
            (vec![complaint], vec!["x: wrote no receipt"]),
        ] {
            let mut found = Found::default();
            found.add(&plan(), replicas);
            assert_eq!(found.complaints, complaints);
        }
    }

    #[test]
    fn times_go_before_those_of_the_file() {
        let times = Times { duration: Some(Duration::from_secs(1)), warm_up: None };
        let plan = times.of(plan());
        assert_eq!((plan.duration.as_secs(), plan.warm_up.as_secs()), (1, 2));
    }

    #[test]
    fn the_list_has_every_experiment() {
        let text = list().unwrap().to_string();
        for name in ["quality_gate_idle", "rss_dsd_ultraheavy", "sigterm_under_load"] {
            assert!(text.contains(name), "{text}");
        }
    }
}
