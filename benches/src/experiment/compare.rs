//! Two builds under the same load: alternating replicas, and a rule that says whether one is worse.
//!
//! The rule: with Δ the difference of the means in percent of the baseline's, and its confidence
//! interval by Welch,
//!
//! ```text
//!  erratic     if the replicas of one side scatter by more than a tenth: reported, not judged
//!  regression  if the interval lies wholly on the worse side, and Δ is beyond the tolerance
//!  improvement if the same holds on the better side
//!  same        otherwise
//! ```
//!
//! With an interval of 90 % a build is called worse than itself in at most 5 of 100 comparisons; the
//! tolerance makes it fewer. `tests/decision.rs` holds the rule to that on recorded replicas.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::measure::{Measure, rounded};
use super::plan::Plan;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::run::{Prepared, Replica};
use super::stats::{Interval, deviation, mean, number, welch};
use super::suite::{SuiteError, Times};
use super::target::Target;
use crate::demo::Screen;
use crate::interrupt::Interrupt;

/// When a difference counts.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Confidence of the interval, 0 to 1.
    pub confidence: f64,
    /// Least difference that matters, in percent of the baseline.
    pub tolerance_percent: f64,
    /// Most that the replicas of a side may scatter (standard deviation), in percent of their mean.
    pub scatter_percent_max: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { confidence: 0.9, tolerance_percent: 5.0, scatter_percent_max: 10.0 }
    }
}

/// What the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No difference that counts.
    Same,
    /// The comparison is better.
    Improvement,
    /// The comparison is worse.
    Regression,
    /// The replicas scatter too much to be judged.
    Erratic,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Improvement => "improvement",
            Self::Regression => "REGRESSION",
            Self::Erratic => "erratic",
        })
    }
}

/// A judged difference.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Of the means, in percent of the baseline's; `None` if there are too few values.
    pub delta_percent: Option<Interval>,
    /// What it means.
    pub verdict: Verdict,
}

impl Rule {
    /// Judges what replicas have measured. Two that are too few to say anything are erratic.
    #[must_use]
    pub fn judge(&self, measure: Measure, baseline: &[f64], comparison: &[f64]) -> Judgement {
        let delta_percent = welch(baseline, comparison, self.confidence).zip(mean(baseline)).map(
            |(difference, mean)| {
                let percent =
                    |value: f64| if value == 0.0 { 0.0 } else { 100.0 * value / mean.abs() };
                Interval {
                    estimate: percent(difference.estimate),
                    low: percent(difference.low),
                    high: percent(difference.high),
                }
            },
        );
        let Some(delta) = delta_percent else {
            return Judgement { delta_percent, verdict: Verdict::Erratic };
        };
        let scatters = [baseline, comparison].map(scatter_percent);
        let verdict = if scatters.into_iter().any(|scatter| scatter > self.scatter_percent_max) {
            Verdict::Erratic
        } else if delta.estimate.abs() <= self.tolerance_percent
            || (delta.low <= 0.0 && delta.high >= 0.0)
        {
            Verdict::Same
        } else if (delta.estimate > 0.0) == measure.is_better_higher() {
            Verdict::Improvement
        } else {
            Verdict::Regression
        };
        Judgement { delta_percent, verdict }
    }
}

/// The standard deviation in percent of the mean; 0 of values that are all the same.
fn scatter_percent(values: &[f64]) -> f64 {
    match deviation(values).zip(mean(values)) {
        Some((deviation, mean)) if deviation > 0.0 => 100.0 * deviation / mean.abs(),
        _ => 0.0,
    }
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// What it is compared with.
    pub baseline: Target,
    /// What is judged.
    pub comparison: Target,
    /// The experiments.
    pub plans: Vec<Plan>,
    /// What is compared, if it isn't each experiment's goal.
    pub measure: Option<Measure>,
    /// What `{agent}` stands for, if it isn't the one beside this program.
    pub agent: Option<PathBuf>,
    /// Replicas of each side, at least 2.
    pub replicas: u32,
    /// Other times than the files'.
    pub times: Times,
    /// When a difference counts.
    pub rule: Rule,
}

/// Runs the comparison.
///
/// # Errors
///
/// A replica could not be run to its end. A regression is no error: it is among the complaints.
pub fn run(
    options: &CompareOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<Report, SuiteError> {
    let agent = super::agent(options.agent.clone(), screen)?;
    let mut found = Found::new(options);
    for plan in &options.plans {
        let plan = options.times.of(plan.clone());
        screen.status(&format!("{}: building the load", plan.name));
        let prepared = Prepared::new(plan, options.baseline.dialect, interrupt);
        let name = &prepared.plan.name;
        let mut sides = [Vec::new(), Vec::new()];
        for number in 0..options.replicas.max(2) {
            // What drifts in the course of a run hits both: each goes first every other time.
            let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let word = SIDES[side];
                let of = options.replicas.max(2);
                screen.status(&format!("{name}: {word}, replica {} of {of}", number + 1));
                let target = [&options.baseline, &options.comparison][side];
                let replica = prepared.run(target, &agent);
                sides[side].push(replica.map_err(|e| SuiteError::Replica(name.clone(), e))?);
            }
        }
        found.add(options, &prepared.plan, &sides);
    }
    screen.clear();
    Ok(found.report)
}

const SIDES: [&str; 2] = ["baseline", "comparison"];

/// What all experiments so far have found.
struct Found {
    report: Report,
    table: Table,
}

impl Found {
    fn new(options: &CompareOptions) -> Self {
        let Rule { confidence, tolerance_percent, .. } = options.rule;
        let interval = format!("{:.0} % interval", 100.0 * confidence);
        let headings =
            ["experiment", "measure", "baseline", "comparison", "Δ mean, %", &interval, "verdict"];
        let (baseline, comparison) = (&options.baseline.name, &options.comparison.name);
        let report = Report {
            name: "ab".to_owned(),
            title: "Two builds under the same load".to_owned(),
            notes: vec![
                format!("baseline: `{baseline}`; comparison: `{comparison}`."),
                format!(
                    "{} replicas a side, in turns; a difference counts beyond {tolerance_percent} % \
                     if the interval leaves out 0.",
                    options.replicas
                ),
            ],
            json: json!({ "baseline": baseline, "comparison": comparison, "experiments": [] }),
            ..Report::default()
        };
        Self { report, table: Table::new("", &headings) }
    }

    fn add(&mut self, options: &CompareOptions, plan: &Plan, sides: &[Vec<Replica>; 2]) {
        let measure = options.measure.unwrap_or_else(|| plan.goal.measure());
        let values = sides.each_ref().map(|side| of(measure, side));
        let [baseline, comparison] = &values;
        let judgement = options.rule.judge(measure, baseline, comparison);
        let [mean_a, mean_b] =
            values.each_ref().map(|side| mean(side).map_or_else(String::new, rounded));
        let (delta, interval) = match judgement.delta_percent {
            Some(Interval { estimate, low, high }) => {
                (format!("{estimate:+.2}"), format!("{low:+.2} … {high:+.2}"))
            }
            None => (String::new(), String::new()),
        };
        let verdict = judgement.verdict;
        self.table.push(&[
            plan.name.clone(),
            measure.label().to_owned(),
            mean_a,
            mean_b,
            delta.clone(),
            interval,
            verdict.to_string(),
        ]);
        self.report.tables = vec![self.table.clone()];
        if verdict == Verdict::Regression {
            let text = format!("{}: {measure} is worse by {delta} %", plan.name);
            self.report.complaints.push(text);
        }
        for (word, side) in SIDES.iter().zip(sides) {
            for complaint in side.iter().flat_map(|replica| &replica.complaints) {
                self.report.notes.push(format!("{}, {word}: {complaint}", plan.name));
            }
        }
        self.report.plots.push((plan.name.clone(), plot(plan, measure, &values)));
        let raw =
            sides.each_ref().map(|side| side.iter().map(Replica::to_json).collect::<Vec<_>>());
        let experiment = json!({
            "experiment": plan.name, "measure": measure, "verdict": verdict,
            "delta_percent": judgement.delta_percent.map(|delta| {
                json!({ "mean": delta.estimate, "low": delta.low, "high": delta.high })
            }),
            "baseline": raw[0], "comparison": raw[1],
        });
        if let Some(Value::Array(experiments)) = self.report.json.get_mut("experiments") {
            experiments.push(experiment);
        }
    }
}

fn of(measure: Measure, side: &[Replica]) -> Vec<f64> {
    side.iter().filter_map(|replica| replica.values.get(&measure).copied()).collect()
}

fn plot(plan: &Plan, measure: Measure, values: &[Vec<f64>; 2]) -> Plot {
    let mut series = Vec::new();
    for (word, side) in SIDES.iter().zip(values) {
        let points = side.iter().enumerate().map(|(index, value)| (number(index + 1), *value));
        series.push(Series::new(word, Mark::Dots, points.collect()));
    }
    for (word, side) in SIDES.iter().zip(values) {
        let points = mean(side).map(|mean| (0.0, mean)).into_iter().collect();
        series.push(Series::new(&format!("mean of the {word}"), Mark::Level, points));
    }
    Plot {
        title: format!("{}: {}", plan.name, measure.label()),
        x: Axis::linear("replica"),
        y: Axis::linear(measure.label()),
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Measure = Measure::CpuSPerMillion;

    #[test]
    fn a_difference_counts_if_it_is_certain_and_large() {
        let judge = |measure, a: &[f64], b: &[f64]| Rule::default().judge(measure, a, b).verdict;
        let base = [10.0, 10.1, 9.9, 10.0];
        assert_eq!(judge(CPU, &base, &base), Verdict::Same);
        assert_eq!(judge(CPU, &base, &[10.4, 10.3, 10.4, 10.5]), Verdict::Same, "too small");
        assert_eq!(judge(CPU, &base, &[11.1, 11.0, 10.9, 11.0]), Verdict::Regression);
        assert_eq!(judge(CPU, &base, &[9.1, 9.0, 8.9, 9.0]), Verdict::Improvement);
        let rate = Measure::MessagesPerS;
        assert_eq!(judge(rate, &base, &[11.1, 11.0, 10.9, 11.0]), Verdict::Improvement);
        assert_eq!(judge(rate, &base, &[9.1, 9.0, 8.9, 9.0]), Verdict::Regression);
        assert_eq!(judge(CPU, &base, &[8.0, 12.0, 14.0, 10.0]), Verdict::Erratic);
        assert_eq!(judge(CPU, &base[..1], &base), Verdict::Erratic, "too few");
        assert_eq!(judge(CPU, &[0.0; 3], &[0.0; 3]), Verdict::Same);
        assert_eq!(judge(CPU, &[0.0; 3], &[1.0; 3]), Verdict::Regression);
    }
}
