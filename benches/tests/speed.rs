//! The experiments on speed and size with small arguments: each comes to its end, and leaves figures,
//! a page, numbers and plots. What they are worth is for release builds; here nothing is timed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs an experiment that must find nothing wrong and write these plots; gives what it found.
fn bench(line: &str, plots: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop-lab"));
    command.args(["bench", "--json"]).args(line.split(' ')).arg("--out").arg(folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (text, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{line}: {text}{log}");
    let printed: Value = serde_json::from_str(&text).unwrap();
    let name = printed["name"].as_str().unwrap();
    let read = |end: &str| fs::read_to_string(folder.path().join(format!("{name}{end}"))).unwrap();
    let written: Value = serde_json::from_str(&read(".json")).unwrap();
    assert_eq!(written, printed);
    let page = read(".md");
    for plot in plots {
        let svg = read(&format!("{plot}.svg"));
        assert!(svg.starts_with("<svg") && svg.contains("</svg>"), "{svg}");
        assert!(page.contains(&format!("]({name}{plot}.svg)")), "{page}");
    }
    for (number, row) in page.lines().filter(|line| line.starts_with('|')).enumerate() {
        assert!(!row.contains("NaN") && !row.contains("inf"), "{number}: {row}");
    }
    printed["found"].clone()
}

/// A number that is above zero.
fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0 && value.is_finite())
}

fn rows(found: &Value) -> &Vec<Value> {
    found.as_array().unwrap()
}

#[test]
fn engine_gives_a_rate_for_each_number_of_contexts() {
    let found = bench("engine --contexts 10,300 --rounds 2 --messages 5000", &[""]);
    let of: Vec<_> = rows(&found).iter().map(|row| row["contexts"].as_u64().unwrap()).collect();
    assert_eq!(of, [10, 300]);
    for row in rows(&found) {
        assert!(positive(&row["engine_ns"]) && positive(&row["plain_ns"]), "{row:#}");
    }
}

/// One scenario of each kind: beside a drain and beside another agent, at a rate and flat out.
#[test]
fn ingest_gives_both_accounts_of_every_round() {
    let line = "ingest unix moderate group-moderate --rounds 2 --time 200ms --moderate 2000";
    let found = bench(line, &["-rate", "-cpu"]);
    let of: Vec<_> = rows(&found).iter().map(|row| row["scenario"].as_str().unwrap()).collect();
    assert_eq!(of, ["unix", "moderate", "group-moderate"]);
    for row in rows(&found) {
        assert!(positive(&row["rate_ratio"]) && positive(&row["cpu_ratio"]), "{row:#}");
        for round in rows(&row["rounds"]) {
            for account in [&round["beside"], &round["agent"]] {
                let count = |name: &str| account[name].as_u64().unwrap();
                assert_eq!(count("sent"), count("received") + count("dropped"), "{row:#}");
            }
        }
        assert_eq!(rows(&row["rounds"]).len(), 2);
    }
}

/// On one processor and on all of them the agent's limit is found beside the single socket's.
#[test]
fn zero_loss_comes_to_an_end_with_a_rate() {
    let found = bench("zero-loss --rounds 1 --time 50ms", &[""]);
    let of: Vec<_> = rows(&found).iter().map(|row| row["processors"].as_str().unwrap()).collect();
    assert_eq!(of, ["all", "one"]);
    for row in rows(&found) {
        assert!(positive(&row["one_socket_rate"]) && positive(&row["agent_rate"]), "{row:#}");
        assert!(positive(&row["times"]), "{row:#}");
    }
}

#[test]
fn contexts_gives_what_a_message_costs() {
    let found = bench("contexts --contexts 50,3000 --time 300ms", &[""]);
    let of: Vec<_> = rows(&found).iter().map(|row| row["contexts"].as_u64().unwrap()).collect();
    assert_eq!(of, [50, 3000]);
    for row in rows(&found) {
        assert!(positive(&row["cpu_s_per_million"]), "{row:#}");
        assert!(positive(&row["drain_cpu_s_per_million"]), "{row:#}");
    }
}

/// What is sampled while it is flushed is not lost.
#[test]
fn flush_gives_the_cost_of_every_format_and_loses_nothing_under_load() {
    let found = bench("flush --contexts 500 --loaded 2000 --rate 500 --time 12s", &[""]);
    let of: Vec<_> =
        rows(&found["alone"]).iter().map(|row| row["format"].as_str().unwrap()).collect();
    assert_eq!(of, ["v1", "v2", "v3"]);
    for row in rows(&found["alone"]) {
        assert!(positive(&row["ship_cpu_s"]) && positive(&row["body_bytes_a_point"]), "{row:#}");
    }
    let loaded = &found["loaded"];
    assert!(loaded["points"].as_u64().unwrap() >= 2_000, "{loaded:#}");
    assert_eq!((&loaded["lost"], &loaded["kernel_dropped"]), (&0.0.into(), &0.into()));
    assert!(positive(&loaded["age_ms_max"]), "{loaded:#}");
}

/// The first row is the idle agent's.
#[test]
fn memory_gives_what_contexts_take() {
    let found = bench("memory --contexts 400 --time 3s", &[""]);
    let of: Vec<_> = rows(&found).iter().map(|row| row["contexts"].as_u64().unwrap()).collect();
    assert_eq!(of, [0, 400]);
    assert!(rows(&found).iter().all(|row| positive(&row["rss_bytes"])), "{found:#}");
}

#[test]
fn start_stands_beside_an_empty_program() {
    let found = bench("start --runs 3", &[""]);
    for who in ["agent_ms", "empty_ms"] {
        assert_eq!(rows(&found[who]).len(), 3);
        assert!(rows(&found[who]).iter().all(positive), "{found:#}");
    }
}

#[test]
fn idle_gives_every_thread() {
    let found = bench("idle --settle 2s --time 1s", &[""]);
    let of: Vec<_> =
        rows(&found["threads"]).iter().map(|row| row["name"].as_str().unwrap()).collect();
    for thread in ["receive-0", "work-0", "ship"] {
        assert!(of.contains(&thread), "{of:?}");
    }
    assert!(positive(&found["rss_bytes"]) && positive(&found["seconds"]), "{found:#}");
}

#[test]
fn stop_stands_beside_a_bare_exit() {
    let found = bench("stop --runs 3 --burst 50", &[""]);
    for who in ["wrapped_ms", "bare_ms"] {
        assert_eq!(rows(&found[who]).len(), 3);
        assert!(rows(&found[who]).iter().all(positive), "{found:#}");
    }
}
