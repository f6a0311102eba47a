//! Faults planted in the agent, each of which must be found: by the lab where the counts are wrong,
//! by the receipt where a thread has panicked. What is not found here isn't proved anywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use support::port::free_port;

/// The lab beside the agent, built if it isn't there.
fn lab() -> PathBuf {
    let lab = Path::new(env!("CARGO_BIN_EXE_lastdrop")).with_file_name("lastdrop-lab");
    if !lab.is_file() {
        let status = Command::new("cargo").args(["build", "-p", "lastdrop-lab"]).status().unwrap();
        assert!(status.success());
    }
    lab
}

/// Runs the experiment over an agent with a fault; gives the exit status and what was found.
fn job(fault: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    // The lab keeps settings of its caller from the agent: a script brings the fault in.
    let agent = folder.path().join("agent");
    let script = format!(
        "#!/bin/sh\nLASTDROP_FAULT={fault} exec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_lastdrop")
    );
    std::fs::write(&agent, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&agent, mode).unwrap();
    let mut command = Command::new(lab());
    command.args(["bench", "--json", "job", "--tasks", "2", "--at-once", "2", "--alone", "0"]);
    // Long enough for every thread to look often enough, on a loaded machine too.
    command.args(["--stream", "500", "--over", "1s"]);
    let output = command.arg("--agent").arg(&agent).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

#[test]
fn the_lab_finds_every_fault() {
    let (status, finding) = job("none");
    assert_eq!(status, Some(0), "without a fault all is well: {finding:#}");
    for fault in [
        "drop-line",
        "count-twice",
        "lose-worker",
        "lose-open-bucket",
        "forget-endpoint",
        "ledger-lies",
        "panic-receive-0",
        "panic-ship",
        "panic-work-0-stopping",
    ] {
        let (status, finding) = job(fault);
        assert_eq!(status, Some(1), "{fault} was not found: {finding:#}");
        assert_eq!(finding["found"]["whole"], 0, "{fault}");
    }
}

/// The agent with a fault.
fn agent(fault: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop"));
    command.env("LASTDROP_FAULT", fault);
    command
}

/// Most rounds of the child of [`wrap`].
const ROUNDS_MAX: u32 = 50;

/// Runs a child that sends for a while and exits with 7, once the agent has told of its panic if it
/// panics while running; gives the exit status and the receipt, or nothing if the agent told of none.
fn wrap(fault: &str) -> Option<(ExitStatus, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let (receipt, enough) = (folder.path().join("receipt.json"), folder.path().join("enough"));
    let port = free_port();
    let child = format!(
        "for round in $(seq {ROUNDS_MAX}); do\n\
         \"$0\" task --to 127.0.0.1:{port} --stream 60 --over 300ms --burst 0 --progress \"$1\"\n\
         [ -e \"$2\" ] && break\n\
         done\n\
         sleep 0.1\n\
         exit 7"
    );
    let mut command = agent(fault);
    command.args(["init", "--strict", "--receipt"]).arg(&receipt).arg("--");
    command.args(["sh", "-c", &child]).arg(lab()).arg(folder.path().join("progress")).arg(&enough);
    command.env("DD_DOGSTATSD_PORT", port.to_string()).stderr(Stdio::piped());
    if fault.ends_with("-stopping") {
        std::fs::write(&enough, "").unwrap();
    }
    let mut process = command.spawn().unwrap();
    let mut told = false;
    for line in BufReader::new(process.stderr.take().unwrap()).lines() {
        if line.unwrap().contains("panicked at") {
            told = true;
            std::fs::write(&enough, "").unwrap();
        }
    }
    let status = process.wait().unwrap();
    let receipt = std::fs::read_to_string(receipt).unwrap();
    told.then(|| (status, serde_json::from_str(&receipt).unwrap()))
}

/// Most stops that are tried until the thread panics in one: a receiver looks when it wakes a worker,
/// and may find it awake.
const STOPS_MAX: u32 = 10;

/// For each thread, while it runs and while the agent stops: the child's exit status stands, and
/// the receipt names the thread.
#[test]
fn a_panic_never_harms_the_child_and_is_named() {
    for (fault, thread) in [
        ("panic-receive-0", "receive-0"),
        ("panic-work-0", "work-0"),
        ("panic-ship", "ship"),
        ("panic-main", "main"),
        ("panic-receive-0-stopping", "receive-0"),
        ("panic-work-0-stopping", "work-0"),
        ("panic-ship-stopping", "ship"),
    ] {
        let panicked = (0..STOPS_MAX).find_map(|_| wrap(fault));
        let (status, receipt) = panicked.expect(fault);
        assert_eq!(status.code(), Some(7), "{fault}: {receipt:#}");
        assert_eq!(receipt["panicked"], serde_json::json!([thread]), "{fault}: {receipt:#}");
        assert_eq!((&receipt["balanced"], &receipt["lossless"]), (&false.into(), &false.into()));
        let took_ms = receipt["stop"]["took_ms"].as_u64().unwrap();
        // Whoever waits for the dead does so for 6 s, until the reserve of flush and delivery.
        assert!(took_ms < 4_000, "{fault}: nobody waits for the dead: {took_ms} ms");
    }
}

/// Of a stop that panics itself there is nothing to tell but that.
#[test]
fn a_panic_of_the_stop_itself_is_told_and_never_harms_the_child() {
    let output = agent("panic-main-stopping")
        .args(["init", "--dogstatsd-port=0", "--", "sh", "-c", "exit 7"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("the stop has panicked"), "{said}");
}

/// Whoever asks gets no answer; nothing else suffers.
#[test]
fn a_panic_of_the_control_thread_costs_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let receipt = folder.path().join("receipt.json");
    let output = agent("panic-control")
        .env("LASTDROP_CONTROL_SOCKET", &socket)
        .args(["init", "--dogstatsd-port=0", "--receipt"])
        .arg(&receipt)
        .args(["--", env!("CARGO_BIN_EXE_lastdrop"), "status"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the agent is busy, or ended while it was asked"), "{said}");
    let receipt: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    assert_eq!(
        (&receipt["panicked"], &receipt["balanced"]),
        (&serde_json::json!([]), &true.into())
    );
}

/// A sidecar whose main thread panics stops as if it had been asked to, and says so.
#[test]
fn a_panic_of_the_main_thread_of_a_sidecar_is_a_stop() {
    let mut command = agent("panic-main");
    let output = command.args(["run", "--linger=0", "--dogstatsd-port=0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let receipt: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(receipt["panicked"], serde_json::json!(["main"]));
    assert_eq!(receipt["stop"]["stage"], "delivered");
}

/// Counted twice in the worker: the balances of a flush on demand say so while the agent runs.
#[test]
fn a_flush_finds_books_that_do_not_balance() {
    for (fault, balanced) in [("none", true), ("count-twice", false)] {
        let port = free_port();
        let script = format!("printf a:1\\|c >/dev/udp/127.0.0.1/{port}; \"$0\" flush --json");
        let output = agent(fault)
            .env("DD_DOGSTATSD_PORT", port.to_string())
            .args(["init", "--receipt=off", "--", "bash", "-c", &script])
            .arg(env!("CARGO_BIN_EXE_lastdrop"))
            .output()
            .unwrap();
        let flush: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(flush["balanced"], balanced, "{fault}: {flush:#}");
        let lines = &flush["balances"][1];
        assert_eq!((&lines["name"], &lines["holds"]), (&"lines".into(), &balanced.into()));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("lines don't balance"), !balanced, "{said}");
    }
}
