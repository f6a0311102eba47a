//! How long the agent takes from the wrapped task's exit to its own, beside a task without an agent.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::job::Alone;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::stats::{median, number, quantile};
use crate::demo::{DemoError, DemoOptions, Screen};

/// What to run.
#[derive(Clone, Debug)]
pub struct StopOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Tasks of each.
    pub runs: u32,
    /// Messages that a task sends right before its exit.
    pub burst: u64,
}

/// Runs the tasks, one at a time, with and without an agent in turn.
///
/// # Errors
///
/// A task could not be set up.
pub fn run(options: &StopOptions, screen: &mut Screen) -> Result<Report, DemoError> {
    let task = DemoOptions {
        agent: Some(options.agent.clone()),
        burst: options.burst,
        over: Duration::ZERO,
        ..DemoOptions::default()
    };
    let alone = Alone::measure(options.runs, &task, screen)?;
    screen.clear();
    let ms = |durations: &[Duration]| -> Vec<f64> {
        durations.iter().map(|duration| duration.as_secs_f64() * 1e3).collect()
    };
    Ok(report(options, &ms(&alone.wrapped), &ms(&alone.bare)))
}

fn report(options: &StopOptions, wrapped: &[f64], bare: &[f64]) -> Report {
    let mut table = Table::new("milliseconds", &["exit", "median", "p99", "max"]);
    let mut series = Vec::new();
    for (who, values) in [("task's exit to agent's exit", wrapped), ("a task's own exit", bare)] {
        let cell = |share| format!("{:.2}", quantile(values, share).unwrap_or(f64::NAN));
        let middle = median(values).unwrap_or(f64::NAN);
        table.push(&[who.to_owned(), format!("{middle:.2}"), cell(0.99), cell(1.0)]);
        // The share of the exits that took no longer.
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = number(sorted.len());
        let points = sorted.iter().enumerate();
        let points = points.map(|(at, ms)| (*ms, 100.0 * number(at + 1) / count)).collect();
        series.push(Series::new(who, Mark::Line, points));
    }
    let wanted = usize::try_from(options.runs).unwrap_or(usize::MAX);
    let complaint = format!("{} of {wanted} tasks were measured", wrapped.len().min(bare.len()));
    let plot = Plot {
        title: "Exits that took no longer".to_owned(),
        x: Axis::logarithmic("ms"),
        y: Axis::linear("%"),
        series,
    };
    Report {
        name: "stop".to_owned(),
        title: "From the task's exit to the agent's".to_owned(),
        notes: vec![format!(
            "{} tasks of each kind, one at a time; each sends {} messages right before its exit, \
             and the agent delivers them to a healthy intake before its own.",
            options.runs, options.burst
        )],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: json!({ "wrapped_ms": wrapped, "bare_ms": bare }),
        complaints: if wrapped.len().min(bare.len()) < wanted { vec![complaint] } else { vec![] },
    }
}
