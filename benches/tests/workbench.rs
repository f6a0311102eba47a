//! The commands that measure servers: what they exit with, what they leave behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lab with a folder of its own for everything temporary.
fn lab(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop-lab"));
    command.arg("bench").args(arguments).arg("--out").arg(folder.join("out"));
    command.env("TMPDIR", folder.join("tmp")).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    fs::create_dir_all(folder.join("tmp")).unwrap();
    command
}

fn run(line: &str) -> (Output, Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<&str> = line.split(' ').chain(["--json"]).collect();
    let output = lab(&words, folder.path()).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    (output, json, folder)
}

#[test]
fn an_experiment_that_keeps_its_bounds_exits_with_0_and_is_put_down() {
    let line = "run sigterm_under_load --replicas 2 --duration 500ms --warm-up 100ms";
    let (output, report, folder) = run(line);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let replicas = report["found"]["experiments"][0]["replicas"].as_array().unwrap();
    assert_eq!(replicas.len(), 2);
    for replica in replicas {
        assert_eq!(replica["values"]["lost"], 0.0, "{replica:#}");
        assert!(replica["values"]["memory_peak_mib"].as_f64().unwrap() > 1.0);
    }
    for file in ["run.md", "run.json", "run-sigterm_under_load.svg"] {
        assert!(folder.path().join("out").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_broken_bound_exits_with_1_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let text = "about = 'x'\ngoal = 'memory'\nduration = '200ms'\nwarm_up = '0s'\n\
                [bounds.max]\nmemory_peak_mib = 0.1";
    fs::write(&file, text).unwrap();
    let (output, report, _) = run(&format!("run {} --replicas 1", file.display()));
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let complaint = report["complaints"][0].as_str().unwrap();
    assert!(complaint.starts_with("mine: memory_peak_mib is "), "{complaint}");
    assert!(complaint.ends_with(" and must be at most 0.1"), "{complaint}");
}

/// A build that refuses everything is worse than one that doesn't; not the other way round.
#[test]
fn a_regression_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let refusing =
        "DD_STATSD_METRIC_BLOCKLIST=load. DD_STATSD_METRIC_BLOCKLIST_MATCH_PREFIX=true {agent}";
    for (baseline, comparison, code) in [("{agent}", refusing, 1), (refusing, "{agent}", 0)] {
        let words = "ab --json --replicas 2 --duration 300ms --warm-up 100ms --measure lost_percent \
                     --experiments small_messages_unix";
        let mut words: Vec<&str> = words.split_whitespace().collect();
        words.extend(["--baseline", baseline, "--comparison", comparison]);
        let output = lab(&words, folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let verdict = &report["found"]["experiments"][0]["verdict"];
        assert_eq!(verdict, if code == 1 { "regression" } else { "improvement" });
    }
    assert!(folder.path().join("out/ab-small_messages_unix.svg").is_file());
}

#[test]
fn a_server_that_is_not_there_is_named_with_how_to_get_it() {
    let (output, report, folder) = run("peers --only brubeck");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let why = report["found"][0]["why_not"].as_str().unwrap();
    assert!(why.starts_with("not installed: build it"), "{why}");
    let page = fs::read_to_string(folder.path().join("out/peers.md")).unwrap();
    assert!(page.contains("| brubeck |"), "{page}");
}

#[test]
fn what_cannot_be_measured_exits_with_2_and_says_why() {
    let rows = [
        ("run nothing", "no experiment nothing: `lastdrop-lab bench list` shows them"),
        ("run /nowhere/x.toml", "can't read /nowhere/x.toml: "),
        ("run quality_gate_idle --target /nowhere/x", "can't start /nowhere/x: "),
        ("run uds_dogstatsd_to_api --target statsd", "statsd has no unix_datagram socket"),
        (
            "ab --baseline x --comparison y --measure speed",
            "\"speed\" is none of ingress_mib_per_s",
        ),
    ];
    for (line, part) in rows {
        let folder = tempfile::tempdir().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let output = lab(&words, folder.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.contains(part), "{line}: {stderr}");
    }
}

/// For both signals, while load runs: the lab ends soon, and neither the server nor a file of it is
/// left.
#[test]
fn an_interrupt_leaves_no_process_and_no_socket() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let line = "run dsd_uds_1mb_3k_contexts --replicas 1 --duration 600s --warm-up 0s";
        let words: Vec<&str> = line.split(' ').collect();
        let mut process = lab(&words, folder.path()).spawn().unwrap();
        let tmp = folder.path().join("tmp");
        wait_until(|| !children(&process).is_empty() && has_socket(&tmp));
        let servers = children(&process);
        kill_process(pid(process.id()), signal).unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.code(), Some(130));
        assert!(
            servers.iter().all(|id| !fs::exists(format!("/proc/{id}")).unwrap()),
            "{servers:?}"
        );
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it never came to it");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Children of all of a process's threads.
fn children(process: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let ids = lists.map(Result::unwrap_or_default).collect::<Vec<_>>().join(" ");
    ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn has_socket(tmp: &Path) -> bool {
    let runs = fs::read_dir(tmp).into_iter().flatten().flatten();
    runs.map(|run| run.path().join("unix_datagram")).any(|socket| socket.exists())
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}
