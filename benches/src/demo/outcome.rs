//! What the demo found: three independent counts and whether they agree.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use crate::intake::Totals;
use crate::task::{METRIC, Progress};

/// Lines of the agent's log shown when something is wrong.
const LOG_LINES: usize = 20;

/// Everything needed to judge a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Messages that the task was to send.
    pub planned: u64,
    /// What the task's own sends returned.
    pub progress: Progress,
    /// What the intake counted.
    pub totals: Totals,
    /// From the task's exit to the agent's.
    pub drain: Option<Duration>,
    /// How the agent ended; `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    /// The agent's receipt; `None` if it wrote none that is JSON.
    pub receipt: Option<Value>,
    /// What the agent logged.
    pub log: String,
}

impl Outcome {
    /// Increments that the intake counted. A whole number if nothing else is wrong.
    #[must_use]
    pub fn accepted(&self) -> f64 {
        self.totals.count(METRIC)
    }

    /// Increments sent and not accepted; negative if the intake counted more than were sent.
    #[must_use]
    pub fn lost(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let lost = self.progress.sent as f64 - self.accepted();
        // Rates are quotients: what rounding leaves of them is no loss.
        if lost.abs() < 1e-6 { 0.0 } else { lost }
    }

    /// True if the receipt says that its books balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let balanced = self.receipt.as_ref().and_then(|receipt| receipt.get("balanced"));
        balanced.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Everything that is not as it should be, in words; empty if the demo succeeded.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |wrong: bool, text: String| {
            if wrong {
                complaints.push(text);
            }
        };
        let Progress { sent, failed, .. } = self.progress;
        complain(sent != self.planned, format!("{sent} of {} messages were sent", self.planned));
        complain(failed > 0, format!("{failed} sends failed"));
        complain(self.lost() > 0.0, format!("increments lost: {}", Count(self.lost())));
        complain(
            self.lost() < 0.0,
            format!("increments counted that were never sent: {}", Count(-self.lost())),
        );
        for reason in self.totals.undecodable_reasons.iter().take(3) {
            complain(true, format!("the intake could not read a request: {reason}"));
        }
        match self.status {
            Some(status) => complain(!status.success(), format!("the agent ended with {status}")),
            None => complain(true, "the agent did not end and was killed".to_owned()),
        }
        match self.receipt {
            Some(_) => complain(!self.balanced(), "the receipt does not balance".to_owned()),
            None => complain(true, "the agent wrote no receipt".to_owned()),
        }
        complaints
    }

    /// The last lines of what the agent logged.
    #[must_use]
    pub fn last_words(&self) -> String {
        let lines: Vec<_> = self.log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The outcome for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "planned": self.planned,
            "sent": self.progress.sent,
            "failed": self.progress.failed,
            "accepted": self.accepted(),
            "lost": self.lost(),
            "balanced": self.balanced(),
            "burst_s": self.progress.burst_s,
            "drain_s": self.drain.map(|drain| drain.as_secs_f64()),
            "requests": self.totals.requests,
            "connections": self.totals.connections,
            "duplicate_points": self.totals.duplicate_points,
            "undecodable": self.totals.undecodable,
            "complaints": self.complaints(),
            "receipt": self.receipt,
        })
    }
}

/// The outcome for people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accepted, lost) = (Count(self.accepted()), Count(self.lost()));
        writeln!(f, "sent {} · accepted {accepted} · lost {lost}", self.progress.sent)?;
        if let Some(burst_s) = self.progress.burst_s {
            writeln!(f, "the last burst took {:.1} ms", burst_s * 1e3)?;
        }
        if let Some(drain) = self.drain {
            let drain_ms = drain.as_secs_f64() * 1e3;
            writeln!(f, "the agent was gone {drain_ms:.1} ms after the task")?;
        }
        let Totals { requests, connections, duplicate_points, .. } = &self.totals;
        writeln!(
            f,
            "at the intake: requests {requests} · connections {connections} · points that came \
             twice {duplicate_points}"
        )?;
        if let Some(receipt) = &self.receipt {
            let verdict = if self.balanced() { "balanced" } else { "NOT balanced" };
            writeln!(f, "the agent's receipt, {verdict}:\n{receipt:#}")?;
        }
        let complaints = self.complaints();
        for complaint in &complaints {
            writeln!(f, "FAILED: {complaint}")?;
        }
        if !complaints.is_empty() && !self.log.is_empty() {
            writeln!(f, "the agent's last words:\n{}", self.last_words())?;
        }
        Ok(())
    }
}

/// Increments: a whole number, or what it is instead.
struct Count(f64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.0 - self.0.round()).abs() < 1e-6 {
            write!(f, "{:.0}", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Metric;
    use std::os::unix::process::ExitStatusExt;

    /// A run in which all went well, with so many increments counted.
    fn outcome(accepted: f64) -> Outcome {
        let mut totals = Totals { requests: 2, connections: 1, ..Totals::default() };
        let metric = Metric { count: accepted, ..Metric::default() };
        totals.metrics.insert(METRIC.to_owned(), metric);
        Outcome {
            planned: 10_500,
            progress: Progress { sent: 10_500, failed: 0, burst_s: Some(0.002), exit_ns: Some(1) },
            totals,
            drain: Some(Duration::from_millis(4)),
            status: Some(ExitStatus::from_raw(0)),
            receipt: Some(json!({"version": 1, "balanced": true})),
            log: "a warning".to_owned(),
        }
    }

    fn first_line(outcome: &Outcome) -> String {
        outcome.to_string().lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_run_without_loss_has_nothing_to_complain_about() {
        let outcome = outcome(10_500.0);
        assert_eq!(first_line(&outcome), "sent 10500 · accepted 10500 · lost 0");
        assert_eq!(outcome.complaints(), [""; 0]);
        assert!(!outcome.to_string().contains("a warning"), "the log is for failures");
    }

    #[test]
    fn one_lost_increment_is_a_failure() {
        let outcome = outcome(10_499.0);
        assert_eq!(first_line(&outcome), "sent 10500 · accepted 10499 · lost 1");
        assert_eq!(outcome.complaints(), ["increments lost: 1"]);
        assert!(outcome.to_string().contains("a warning"));
        assert_eq!(outcome.to_json()["lost"], 1.0);
    }

    #[test]
    fn more_than_was_sent_is_a_failure_too() {
        let outcome = outcome(10_501.0);
        assert_eq!(first_line(&outcome), "sent 10500 · accepted 10501 · lost -1");
        assert_eq!(outcome.complaints(), ["increments counted that were never sent: 1"]);
    }

    #[test]
    fn what_rounding_leaves_of_rates_is_no_loss() {
        let rounded = outcome(10_500.000_000_001);
        assert_eq!(first_line(&rounded), "sent 10500 · accepted 10500 · lost 0");
        assert_eq!(rounded.complaints(), [""; 0]);
        assert_eq!(first_line(&outcome(10_499.5)), "sent 10500 · accepted 10499.5 · lost 0.5");
    }

    /// Each of these alone makes the demo fail.
    #[test]
    fn every_other_thing_wrong_is_named() {
        let check = |change: fn(&mut Outcome), complaint: &str| {
            let mut outcome = outcome(10_500.0);
            change(&mut outcome);
            let complaints = outcome.complaints();
            assert!(complaints.iter().any(|text| text.contains(complaint)), "{complaints:?}");
        };
        check(|o| o.receipt = None, "wrote no receipt");
        check(|o| o.receipt = Some(json!({"version": 1})), "does not balance");
        check(|o| o.receipt = Some(json!({"balanced": false})), "does not balance");
        check(|o| o.receipt = Some(json!({"balanced": "true"})), "does not balance");
        check(|o| o.status = Some(ExitStatus::from_raw(3 << 8)), "exit status: 3");
        check(|o| o.status = None, "was killed");
        check(|o| o.planned = 10_501, "10500 of 10501 messages were sent");
        check(|o| o.progress.failed = 2, "2 sends failed");
        check(|o| o.totals.undecodable_reasons.push("bad".to_owned()), "could not read");
    }
}
