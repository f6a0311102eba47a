//! The experiments with small counts: the claim holds, and each of them can fail. The full counts
//! are in `docs/proof.md`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs an experiment; gives its exit status and what it found.
fn bench(arguments: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop-lab"));
    command.args(["bench", "--json"]).args(arguments.split(' ')).stdin(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let finding = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{arguments}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), finding)
}

/// Runs an experiment that must find nothing wrong; gives what it found.
fn whole(arguments: &str) -> Value {
    let (status, finding) = bench(arguments);
    assert_eq!(status, Some(0), "{arguments}: {finding:#}");
    finding["found"].clone()
}

#[test]
fn fifty_tasks_lose_nothing_of_their_last_burst() {
    let found = whole("job --tasks 50 --at-once 4 --alone 0");
    assert_eq!((&found["whole"], &found["sent"]), (&50.into(), &35_000.into()));
    assert_eq!(found["kernel_dropped"], 0);
}

/// For each fault of the intake: nothing is lost, and nothing comes twice that could have been
/// known to have come.
#[test]
fn tasks_lose_nothing_to_an_intake_that_recovers() {
    for fault in ["503", "reset", "latency"] {
        let found = whole(&format!("job --tasks 8 --at-once 8 --alone 0 --fault {fault}"));
        assert_eq!(found["whole"], 8, "{fault}");
    }
}

#[test]
fn a_single_lost_increment_fails_the_experiment() {
    let (status, finding) = bench("job --tasks 2 --alone 0 --fault lose-one");
    assert_eq!((status, &finding["found"]["whole"]), (Some(1), &0.into()), "{finding:#}");
}

#[test]
fn bursts_on_one_processor_lose_nothing() {
    let found = whole("burst --datagrams 5000,500 --runs 3");
    assert_eq!((&found[0]["whole"], &found[1]["whole"]), (&3.into(), &3.into()));
}

#[test]
fn a_signal_at_any_time_leaves_the_books_balanced() {
    let found = whole("sigterm --seeds 100 --at-once 8");
    let runs = |row: &Value| row["runs"].as_u64().unwrap();
    assert_eq!(found["rows"].as_array().unwrap().iter().map(runs).sum::<u64>(), 100);
}

#[test]
fn after_a_kill_the_intake_never_has_more_than_was_sent() {
    whole("sigterm --seeds 20 --at-once 8 --kill");
}

#[test]
fn a_flood_over_the_seal_is_accounted_for() {
    for transport in ["udp", "unix_datagram", "unix_stream"] {
        let found = whole(&format!("seal --runs 10 --transport {transport}"));
        assert_eq!(found["unbalanced"], 0, "{transport}");
    }
}

/// Most of the clients are gone before the agent has accepted them.
#[test]
fn frames_of_clients_that_exit_at_once_arrive() {
    let found = whole("stream --clients 200 --at-once 8");
    assert_eq!((&found["clients"], &found["accepted"]), (&200.into(), &found["sent"]));
}

#[test]
fn a_spool_survives_a_kill_and_the_next_start_delivers_it() {
    let found = whole("spool --seeds 12 --at-once 6");
    let runs = |row: &Value| row["runs"].as_u64().unwrap();
    assert_eq!(found["rows"].as_array().unwrap().iter().map(runs).sum::<u64>(), 12);
}
