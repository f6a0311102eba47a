//! The receipt says what the counters say, and its page knows every field of it.

use super::*;
use lastdrop_engine::ledger::{MergeCounts, ShipperCounts};

/// The page that tells of every field, as code: `field`.
const PAGE: &str = include_str!("../../../docs/receipt.md");

fn is_told(field: &str) -> bool {
    PAGE.contains(&format!("`{field}`"))
}

#[test]
fn every_counter_has_its_line_on_the_page() {
    let all = [
        ReceiverCounts::default().each(),
        WorkerCounts::default().each(),
        MergeCounts::default().each(),
        ShipperCounts::default().each(),
    ];
    for (name, kind, _) in all.into_iter().flatten() {
        assert!(is_told(name), "docs/receipt.md doesn't tell of {name}");
        if let Some(kind) = kind {
            assert!(is_told(kind), "docs/receipt.md doesn't tell of {name}.{kind}");
        }
    }
}

#[test]
fn every_other_field_has_its_line_on_the_page() {
    let tally = || TallyReport { payloads: 0, items: 0, points: 0 };
    let report = Report {
        version: VERSION,
        agent: "",
        mode: "run",
        child_exit_status: None,
        balanced: true,
        lossless: true,
        stop: StopReport { stage: "", took_ms: 0 },
        panicked: Vec::new(),
        lanes: vec![LaneReport {
            lane: 0,
            proved: false,
            records: Some(0),
            reason: Some(""),
            unapplied: Some(0),
        }],
        receivers: Counters(Vec::new()),
        workers: Counters(Vec::new()),
        merge: Counters(Vec::new()),
        shipper: Counters(Vec::new()),
        endpoints: vec![EndpointReport {
            endpoint: String::new(),
            balanced: true,
            made: tally(),
            restored: tally(),
            accepted: tally(),
            refused: BTreeMap::new(),
            dropped: BTreeMap::new(),
            unknown: BTreeMap::new(),
            spooled: tally(),
            left: BTreeMap::new(),
            retried: tally(),
            duplicates_possible: tally(),
            evicted: tally(),
        }],
        spool: Some(SpoolReport::new(&SpoolCounters::default())),
        balances: vec![BalanceReport { name: "", left: 0, right: 0, holds: true }],
        notes: &[],
        log_lines_dropped: 0,
    };
    check_fields(&serde_json::to_value(&report).unwrap());
}

fn check_fields(value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                assert!(is_told(name), "docs/receipt.md doesn't tell of {name}");
                check_fields(value);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(check_fields),
        _ => {}
    }
}

#[test]
fn counters_of_a_kind_stand_together_and_zeros_are_left_out() {
    let counts = ReceiverCounts { received: [3, 0, 5, 0], ..ReceiverCounts::default() };
    let json = serde_json::to_value(Counters(counts.each())).unwrap();
    assert_eq!(json["received"], serde_json::json!({ "udp": 3, "unix_stream": 5 }));
    assert_eq!(json["sweeps"], 0);
}
