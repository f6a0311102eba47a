//! Experiments: what the agent claims against what others have counted.
//!
//! Three counts have to agree to the last sample: what the senders' own system calls took, what the
//! intake accepted, and what the agent's receipt says. Each experiment ends with a finding: a table
//! for people, the same for programs, and everything that is not as it should be.

mod account;
pub mod bounds;
pub mod burst;
pub mod compare;
mod contender;
pub mod contexts;
mod destination;
pub mod engine;
pub mod flush;
pub mod idle;
pub mod ingest;
pub mod job;
pub mod memory;
pub mod measure;
pub mod peers;
pub mod plan;
pub mod plot;
pub mod report;
pub mod run;
pub mod seal;
mod side_by_side;
mod sidecar;
pub mod sigterm;
pub mod spool;
pub mod start;
pub mod stats;
pub mod stop;
pub mod stream;
pub mod zero_loss;
pub mod suite;
pub mod target;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::{self, DemoError, Screen};

/// Complaints printed in full; all are counted.
const COMPLAINTS_SHOWN: usize = 20;

/// What an experiment found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// For people.
    pub table: String,
    /// For programs.
    pub json: Value,
    /// Everything that is not as it should be; empty if the experiment succeeded.
    pub complaints: Vec<String>,
}

impl Finding {
    /// The finding for programs, its complaints included.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "found": self.json, "complaints": self.complaints })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table)?;
        for complaint in self.complaints.iter().take(COMPLAINTS_SHOWN) {
            writeln!(f, "FAILED: {complaint}")?;
        }
        match self.complaints.len().saturating_sub(COMPLAINTS_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "FAILED: {more} more"),
        }
    }
}

/// The agent that was named, or the one beside this program, built if it isn't there.
///
/// # Errors
///
/// It can't be built.
pub fn agent(named: Option<PathBuf>, screen: &mut Screen) -> Result<PathBuf, DemoError> {
    named.map_or_else(|| demo::agent::find_or_build(screen), Ok)
}

/// The value below which a share (0 to 1) of all lies, by nearest rank; `None` of nothing.
fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "few values")]
    let rank = share * sorted.len() as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to len")]
    let index = (rank.ceil() as usize).saturating_sub(1);
    sorted.get(index).copied()
}

/// Median, 99th percentile and maximum.
fn spread(mut values: Vec<Duration>) -> Spread {
    values.sort_unstable();
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&values, share));
    Spread { median, p99, max }
}

/// How durations are spread; nothing if there were none.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    median: Option<Duration>,
    p99: Option<Duration>,
    max: Option<Duration>,
}

impl Spread {
    fn to_json(self) -> Value {
        let ms = |value: Option<Duration>| value.map(|value| value.as_secs_f64() * 1e3);
        json!({ "median_ms": ms(self.median), "p99_ms": ms(self.p99), "max_ms": ms(self.max) })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median: Some(median), p99: Some(p99), max: Some(max) } = self else {
            return f.write_str("not measured");
        };
        let [median, p99, max] = [median, p99, max].map(|value| value.as_secs_f64() * 1e3);
        write!(f, "median {median:.1} ms · p99 {p99:.1} ms · max {max:.1} ms")
    }
}

/// The sum of the counters by kind that a receipt has under a path, or the counter itself.
fn counted(receipt: &Value, path: &str) -> u64 {
    match receipt.pointer(path) {
        Some(Value::Object(kinds)) => kinds.values().filter_map(Value::as_u64).sum(),
        Some(value) => value.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// The sum of a counter over all endpoints of a receipt.
fn at_endpoints(receipt: &Value, path: &str) -> u64 {
    let endpoints = receipt.get("endpoints").and_then(Value::as_array);
    endpoints.into_iter().flatten().map(|endpoint| counted(endpoint, path)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&values, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(quantile(&values, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(quantile(&values, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(quantile(&values[..1], 0.5), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn counters_are_summed_over_kinds_and_endpoints() {
        let receipt = json!({
            "receivers": { "received": { "udp": 3, "unix_datagram": 4 }, "sweeps": 9 },
            "endpoints": [{ "made": { "points": 2 } }, { "made": { "points": 5 } }],
        });
        assert_eq!(counted(&receipt, "/receivers/received"), 7);
        assert_eq!(counted(&receipt, "/receivers/sweeps"), 9);
        assert_eq!(counted(&receipt, "/receivers/late"), 0);
        assert_eq!(at_endpoints(&receipt, "/made/points"), 7);
    }

    #[test]
    fn many_complaints_are_counted_not_printed() {
        let complaints = (0..25).map(|number| format!("number {number}")).collect();
        let finding = Finding { table: "table\n".to_owned(), json: Value::Null, complaints };
        let text = finding.to_string();
        assert!(text.ends_with("FAILED: number 19\nFAILED: 5 more\n"), "{text}");
    }
}
