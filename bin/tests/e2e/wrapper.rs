//! The command of `lastdrop init` runs as it would without the wrapper.

use crate::harness::{API_KEY, Ended, Setup, intake, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Signals that end a process, and their numbers.
const FATAL: [(&str, i32); 13] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
];

/// `init` without an intake, around a command.
fn wrap(command: &[&str]) -> Setup {
    Setup::bare(&["init", "--receipt=off", "--dogstatsd-port=0"]).wrapping(command)
}

fn end_of(command: &[&str]) -> Ended {
    wrap(command).start().end()
}

/// For all ways to end: the status is the one that a shell would give.
#[test]
fn the_exit_status_is_that_of_the_command() {
    for (signal, number) in FATAL {
        let ended = end_of(&["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")]);
        assert_eq!(ended.code, Some(128 + number), "{signal}: {ended}");
    }
    let rows: [(&[&str], i32); 4] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["/nowhere/command"], 127),
        (&["/dev/null"], 126),
    ];
    for (command, code) in rows {
        let ended = end_of(command);
        assert_eq!(ended.code, Some(code), "{command:?}: {ended}");
    }
}

/// A grandchild that goes on neither holds back the end nor is harmed by it.
#[test]
fn the_end_of_the_command_waits_for_none_of_its_children() {
    let intake = intake("");
    let script =
        "sleep 600 >/dev/null 2>&1 & echo $!; printf last:1\\|c >/dev/udp/127.0.0.1/$PORT; exit 3";
    let ended = Setup::init(&intake, script).start().end();
    ended.is_lossless(3);
    assert_eq!(intake.totals().count("last"), 1.0);
    let left = Pid::from_raw(ended.stdout.trim().parse().unwrap()).unwrap();
    kill_process(left, Signal::KILL).unwrap();
}

/// Where the wrapper isn't PID 1 either: it is the one that orphans come to.
#[test]
fn an_orphan_becomes_a_child_of_the_wrapper() {
    let script = "(sleep 600 >/dev/null 2>&1 & echo orphan $!); 
                  trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done";
    let agent = wrap(&["sh", "-c", script]).start();
    let orphan = agent.prints("orphan ").replace("orphan ", "");
    agent.prints("ready");
    let status = std::fs::read_to_string(format!("/proc/{orphan}/status")).unwrap();
    let parent = format!("PPid:\t{}\n", agent.pid().as_raw_nonzero());
    assert!(status.contains(&parent), "{status}");
    kill_process(Pid::from_raw(orphan.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    agent.signal(Signal::USR1);
    agent.end().has_code(4);
}

/// Cloud Run sends it ten seconds before a task is moved to another machine.
#[test]
fn sigtstp_reaches_the_command_and_is_a_hint_to_flush() {
    let intake = intake("");
    let script = "trap 'echo stopped' TSTP; printf early:1\\|c >/dev/udp/127.0.0.1/$PORT
                  echo ready; while :; do sleep 0.05; done";
    let agent = Setup::init(&intake, script).start();
    agent.prints("ready");
    agent.signal(Signal::TSTP);
    agent.prints("stopped");
    agent.says("flush 1");
    wait_for(&intake, "what was flushed", |totals| totals.count("early") == 1.0);
}

#[test]
fn standard_input_and_output_are_those_of_the_command() {
    let ended = wrap(&["cat"]).stdin("one\ntwo").start().end();
    ended.has_code(0);
    assert_eq!(ended.stdout, "one\ntwo");
}

#[test]
fn a_command_without_the_two_dashes_is_wrong_usage() {
    for arguments in [&["init", "true"][..], &["init"], &["init", "--"]] {
        let ended = Setup::bare(arguments).start().end();
        ended.has_code(2);
        assert!(ended.stderr.contains("-- "), "{ended}");
    }
}

/// The agent listens before the command starts, and reads what was sent before it could end.
#[test]
fn the_first_datagram_of_a_command_that_ends_at_once_is_accepted() {
    let intake = intake("");
    let script = "printf first:1\\|c >/dev/udp/127.0.0.1/$PORT";
    Setup::init(&intake, script).start().end().is_lossless(0);
    assert_eq!(intake.totals().count("first"), 1.0);
}

#[test]
fn the_environment_of_the_command_is_the_one_that_was_given() {
    let variables = [("DD_API_KEY", API_KEY), ("DD_SERVICE", "job"), ("EMPTY", ""), ("A", "b c")];
    let wrapped = variables.iter().fold(wrap(&["env", "-0"]), |setup, (name, value)| {
        setup.env(name, value).env("DD_DD_URL", "http://127.0.0.1:1")
    });
    let ended = wrapped.start().end();
    ended.has_code(0);
    let names = |text: &str| {
        let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let mut seen = names(&ended.stdout);
    seen.retain(|(name, _)| !["PATH", "LASTDROP_CONFIG", "DD_DD_URL"].contains(&name.as_str()));
    seen.sort();
    let mut given = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    given.sort();
    assert_eq!(seen, given);
}

#[test]
fn a_signal_goes_to_the_command_and_its_answer_is_the_end() {
    let script = "trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let agent = wrap(&["sh", "-c", script]).start();
    agent.prints("ready");
    let ended = agent.stop();
    ended.has_code(5);
    assert_eq!(ended.stdout, "ready\nheard\n");
    let agent = wrap(&["sh", "-c", "echo ready; exec sleep 600"]).start();
    agent.prints("ready");
    agent.signal(Signal::INT);
    agent.end().has_code(130);
}
