//! The commands as their users meet them: output, exit status, signals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn lab(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop-lab"));
    command.args(arguments.split(' ')).stdin(Stdio::null()).stderr(Stdio::piped());
    command.stdout(Stdio::piped());
    command
}

fn output(arguments: &str) -> (Output, String, String) {
    let output = lab(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_intake_prints_its_url_then_at_a_signal_its_totals() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut intake = lab("intake --script 503").spawn().unwrap();
        let mut stdout = BufReader::new(intake.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        let address = url.trim().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "POST /intake/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 503");
        let pid = Pid::from_raw(i32::try_from(intake.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let totals: Value = serde_json::from_reader(stdout).unwrap();
        assert_eq!((&totals["requests"], &totals["connections"]), (&1.into(), &1.into()));
        assert_eq!(intake.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn load_prints_what_it_sent_as_json() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let (output, stdout, _) = output(&format!("load --udp {address} --datagrams 30 --burst 10"));
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["datagrams"], &report["burst_datagrams"]), (&40.into(), &10.into()));
}

#[test]
fn what_cannot_run_exits_with_2_and_says_why() {
    let rows = [
        ("load --unix /nowhere/socket --datagrams 1", "can't send to unixgram:///nowhere/socket: "),
        ("demo --agent /nowhere/agent", "can't start /nowhere/agent: "),
        ("demo --script 5O3", "step \"5O3\""),
        ("load --time 5", "--time"),
        ("intake --certificate expired", "--tls"),
    ];
    for (arguments, part) in rows {
        let (output, _, stderr) = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(part), "{arguments}: {stderr}");
    }
}

/// With the real agent; that the intake forgets a single one must show.
#[test]
fn the_demo_accounts_for_every_increment() {
    let rows = [
        ("demo --over 1s", 0, "sent 10500 · accepted 10500 · lost 0"),
        ("demo --over 1s --tls", 0, "sent 10500 · accepted 10500 · lost 0"),
        ("demo --over 1s --fault lose-one", 1, "sent 10500 · accepted 10499 · lost 1"),
    ];
    for (arguments, code, first_line) in rows {
        let (output, stdout, stderr) = output(arguments);
        assert_eq!(stdout.lines().next(), Some(first_line), "{arguments}: {stdout}{stderr}");
        assert_eq!(output.status.code(), Some(code), "{arguments}: {stdout}{stderr}");
    }
}

#[test]
fn a_demo_that_fails_exits_with_1() {
    let (output, stdout, _) = output("demo --agent false --json");
    assert_eq!(output.status.code(), Some(1));
    let outcome: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&outcome["sent"], &outcome["balanced"]), (&0.into(), &false.into()));
}

/// For every kind: the project's own vectors are answered, a line each, in order.
#[test]
fn vectors_are_answered_line_by_line() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let rows = [
        ("ddsketch", "engine/tests/vectors/ddsketch.jsonl"),
        ("payloads", "transport/tests/vectors/payloads.jsonl"),
        ("http", "transport/tests/vectors/http_responses.jsonl"),
    ];
    for (kind, path) in rows {
        let path = format!("{root}/{path}");
        let input = std::fs::File::open(&path).unwrap();
        let output = lab(&format!("vectors {kind}")).stdin(input).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let ids = |lines: &str| {
            let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.map(|line| line["id"].clone()).collect::<Vec<_>>()
        };
        let questions = ids(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(ids(&String::from_utf8(output.stdout).unwrap()), questions, "{kind}");
    }
}
