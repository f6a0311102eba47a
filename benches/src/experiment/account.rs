//! Sent against arrived, and the reasons that a receipt gives for what lies between.

use serde_json::Value;

use super::destination::Arrived;
use super::{at_endpoints, counted};
use crate::load::LoadReport;

/// Shares of an increment that rounding may leave of rates, for each million.
const ROUNDING: f64 = 1e-3;

/// What was sent and what arrived, in the same units.
///
/// Of gauges and sets no intake can tell how many samples there were: of them only the receipt
/// speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    sent: f64,
    arrived: f64,
}

impl Account {
    pub(super) fn of(sent: &[LoadReport], arrived: Arrived) -> Self {
        let mut of_sent = Arrived::default();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        for (kind, totals) in sent.iter().flat_map(|load| &load.types) {
            match *kind {
                "count" => of_sent.increments += totals.sum as f64,
                "histogram" | "timing" | "distribution" => of_sent.samples += totals.samples as f64,
                "event" => of_sent.events += totals.messages as f64,
                "check" => of_sent.checks += totals.messages as f64,
                _ => {}
            }
        }
        Self { sent: sum(of_sent), arrived: sum(arrived) }
    }

    /// What didn't arrive; negative if more arrived than was sent.
    pub(super) fn lost(&self) -> f64 {
        let lost = self.sent - self.arrived;
        let rounding = (ROUNDING * self.sent / 1e6).max(ROUNDING);
        if lost.abs() <= rounding { 0.0 } else { lost }
    }

    pub(super) fn lost_percent(&self) -> f64 {
        if self.sent > 0.0 { 100.0 * self.lost() / self.sent } else { 0.0 }
    }
}

fn sum(arrived: Arrived) -> f64 {
    let Arrived { increments, samples, events, checks } = arrived;
    increments + samples + events + checks
}

/// Bytes that were sent and that the receipt doesn't have as received.
pub(super) fn missed_bytes(sent: &[LoadReport], receipt: &Value) -> f64 {
    let sent: u64 = sent.iter().map(|load| load.bytes).sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let [sent, received] = [sent, counted(receipt, "/receivers/bytes")].map(|bytes| bytes as f64);
    sent - received
}

/// Where a receipt tells of losses: counters, and how they are called.
const REASONS: [(&str, &str); 19] = [
    ("/receivers/kernel_dropped", "datagrams dropped by the kernel"),
    ("/receivers/late", "datagrams after the seal"),
    ("/receivers/truncated", "datagrams truncated"),
    ("/receivers/worker_gone", "datagrams for a worker that is gone"),
    ("/receivers/read_errors", "failed reads"),
    ("/receivers/torn_frames", "frames torn"),
    ("/workers/torn", "messages torn"),
    ("/workers/malformed", "messages malformed"),
    ("/workers/refused", "samples refused"),
    ("/merge/incomplete", "samples of open buckets"),
    ("/merge/type_conflict", "type conflicts"),
    ("/merge/set_limit", "set members over the limit"),
    ("/merge/blocked", "points blocked"),
    ("/shipper/too_large", "points of items too large"),
    ("/shipper/not_finite", "points that are not finite"),
    ("/shipper/not_expressible", "points that can't be said"),
    ("/shipper/switched_off", "points switched off"),
    ("/shipper/left", "points that the stop had no time to encode"),
    ("/spool/not_stored", "points not stored"),
];

/// What becomes of payloads that are not accepted, each by reason.
const AT_ENDPOINTS: [&str; 4] = ["refused", "dropped", "unknown", "left"];

/// The counters of losses that are not zero, by name.
pub(super) fn reasons(receipt: &Value) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for (path, name) in REASONS {
        match receipt.pointer(path) {
            // By transport it is one reason, by class or reason several.
            Some(Value::Object(kinds)) if path.starts_with("/workers") => {
                let kinds = kinds.iter().filter_map(|(kind, count)| Some((kind, count.as_u64()?)));
                found.extend(kinds.map(|(kind, count)| (format!("{name}: {kind}"), count)));
            }
            _ => found.push((name.to_owned(), counted(receipt, path))),
        }
    }
    let endpoints = receipt.get("endpoints").and_then(Value::as_array);
    for endpoint in endpoints.into_iter().flatten() {
        for outcome in AT_ENDPOINTS {
            let reasons = endpoint.get(outcome).and_then(Value::as_object);
            for (reason, tally) in reasons.into_iter().flatten() {
                let points = counted(tally, "/points");
                found.push((format!("points {outcome}: {reason}"), points));
            }
        }
    }
    found.retain(|(_, count)| *count > 0);
    found
}

/// What is wrong with a receipt in itself.
pub(super) fn complaints(receipt: &Value) -> Vec<String> {
    if receipt.is_null() {
        return vec!["wrote no receipt".to_owned()];
    }
    let mut wrong = Vec::new();
    if receipt.get("balanced").and_then(Value::as_bool) != Some(true) {
        let [stop, lanes, balances] = ["stop", "lanes", "balances"].map(|part| &receipt[part]);
        wrong.push(format!("the receipt doesn't balance: {stop}, lanes {lanes}, {balances}"));
    }
    let [made, accepted] =
        ["/made/points", "/accepted/points"].map(|path| at_endpoints(receipt, path));
    if accepted > made {
        wrong.push(format!("{accepted} points accepted of {made} made"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::TypeTotals;
    use serde_json::json;

    fn sent() -> Vec<LoadReport> {
        let totals = |messages, samples, sum| TypeTotals { messages, samples, sum };
        let types = [
            ("count", totals(2, 3, 1_000)),
            ("gauge", totals(9, 9, 9)),
            ("distribution", totals(2, 4, 77)),
            ("event", totals(5, 0, 0)),
        ];
        vec![LoadReport { types: types.into(), bytes: 100, ..LoadReport::default() }]
    }

    #[test]
    fn what_did_not_arrive_is_lost() {
        let all = Arrived { increments: 1_000.0, samples: 4.0, events: 5.0, checks: 0.0 };
        assert_eq!(Account::of(&sent(), all).lost(), 0.0);
        let rounded = Arrived { increments: 999.999_999_9, ..all };
        assert_eq!(Account::of(&sent(), rounded).lost(), 0.0);
        let less = Arrived { samples: 3.0, ..all };
        let account = Account::of(&sent(), less);
        assert_eq!(account.lost(), 1.0);
        assert!((account.lost_percent() - 100.0 / 1_009.0).abs() < 1e-9);
        let more = Arrived { events: 6.0, ..all };
        assert_eq!(Account::of(&sent(), more).lost(), -1.0);
        assert_eq!(Account::of(&[], Arrived::default()).lost_percent(), 0.0);
    }

    #[test]
    fn a_receipt_names_what_became_of_it() {
        let receipt = json!({
            "balanced": true,
            "receivers": { "kernel_dropped": { "udp": 3 }, "bytes": { "udp": 60 }, "late": {} },
            "workers": { "malformed": {}, "refused": { "context_limit": 7 }, "torn": 0 },
            "endpoints": [{ "dropped": { "queue_full": { "payloads": 1, "points": 9 } } }],
        });
        let expected = [
            ("datagrams dropped by the kernel", 3),
            ("samples refused: context_limit", 7),
            ("points dropped: queue_full", 9),
        ];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(reasons(&receipt), expected);
        assert_eq!(missed_bytes(&sent(), &receipt), 40.0);
        assert_eq!(complaints(&receipt), [""; 0]);
    }

    #[test]
    fn a_receipt_that_is_missing_or_does_not_balance_is_a_complaint() {
        assert_eq!(complaints(&Value::Null), ["wrote no receipt"]);
        assert!(complaints(&json!({ "balanced": false }))[0].contains("doesn't balance"));
        assert_eq!(complaints(&json!({})).len(), 1);
    }
}
