//! The wrapper as PID 1, on a terminal, and what the process inside finds.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::PATIENCE;
use support::port::free_port;

/// The program around a command, given to `outer`, which is to run it.
fn wrapped(outer: &[&str], command: &[&str]) -> Command {
    let inner = support::lastdrop(&[]);
    let mut whole = Command::new(outer[0]);
    whole.args(&outer[1..]).arg(inner.get_program()).args(["init", "--"]).args(command);
    surround(&mut whole, &inner);
    whole
}

/// Puts a command into the environment of the tests, on a port of its own.
fn surround(command: &mut Command, inner: &Command) {
    let port = free_port();
    command
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DD_DOGSTATSD_PORT", port.to_string())
        .env("LASTDROP_RECEIPT", "off")
        .env("LASTDROP_CONTROL_SOCKET", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// In a PID namespace of its own, as its PID 1, without privileges.
const AS_PID_1: [&str; 7] =
    ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The only child of a process.
fn child_of(process: &Child) -> String {
    let path = format!("/proc/{0}/task/{0}/children", process.id());
    let began = Instant::now();
    loop {
        let children = fs::read_to_string(&path).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            return child.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no child");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads lines as they come, on a thread of its own, so that the wait for one has a bound.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line.trim().to_owned());
        }
    });
    lines
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

#[test]
fn pid_1_reaps_a_hundred_orphans() {
    // Each subshell leaves a process behind that ends at once; the loop ends when no zombie is left.
    let script = r"
        [ $PPID = 1 ] || exit 8
        for i in $(seq 100); do ( : & ); done
        for try in $(seq 1000); do
            grep -qs '^State:.Z' /proc/[0-9]*/status || exit 5
            sleep 0.01
        done
        exit 9";
    let output = wrapped(&AS_PID_1, &["bash", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

/// A command that SIGKILL ends, by whomever it was sent.
#[test]
fn the_status_of_a_killed_process_is_given_by_pid_1() {
    let output = wrapped(&AS_PID_1, &["bash", "-c", "[ $PPID = 1 ] && kill -KILL $$"]).output();
    assert_eq!(output.unwrap().status.code(), Some(137));
}

/// For all signals that a platform or a person may send to PID 1: the process gets each.
#[test]
fn signals_to_pid_1_arrive_at_the_process() {
    let signals = ["TERM", "INT", "HUP", "USR1", "USR2", "WINCH", "TSTP", "CONT", "RTMIN"];
    let traps: String =
        signals.iter().map(|name| format!("trap 'echo got-{name}' {name}; ")).collect();
    let script = format!("{traps} trap 'exit 6' QUIT; echo ready; while :; do sleep 0.02; done");
    let mut process = Ended(wrapped(&AS_PID_1, &["bash", "-c", &script]).spawn().unwrap());
    let lines = lines_of(process.0.stdout.take().unwrap());
    assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("ready"));
    let pid_1 = child_of(&process.0);
    for name in signals {
        kill(&format!("-{name}"), &pid_1);
        let expected = format!("got-{name}");
        assert_eq!(lines.recv_timeout(PATIENCE), Ok(expected));
    }
    kill("-QUIT", &pid_1);
    assert_eq!(process.0.wait().unwrap().code(), Some(6));
}

/// What a terminal sends goes to the whole group: the process must not get it twice.
#[test]
fn ctrl_c_on_a_terminal_reaches_the_process_once() {
    let inner = support::lastdrop(&[]);
    let program = inner.get_program().to_str().unwrap();
    let script = "trap \"echo got-int\" INT; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo is-terminal; \
                  echo ready; read -r line; echo line-$line; exit 4";
    let line = format!("exec '{program}' init -- bash -c '{script}'");
    let mut command = Command::new("script");
    command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
    surround(&mut command, &inner);
    let mut process = Ended(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut terminal = process.0.stdin.take().unwrap();
    let screen = lines_of(process.0.stdout.take().unwrap());
    let mut seen = String::new();
    let mut read_until = |text: &str| {
        while !seen.contains(text) {
            match screen.recv_timeout(PATIENCE) {
                Ok(line) => seen.push_str(&line),
                Err(_) => panic!("{text} is missing in {seen:?}"),
            }
        }
        seen.clone()
    };
    read_until("ready");
    terminal.write_all(b"\x03").unwrap();
    read_until("got-int");
    terminal.write_all(b"bye\n").unwrap();
    let seen = read_until("line-bye");
    assert!(seen.contains("is-terminal"), "{seen}");
    assert_eq!(seen.matches("got-int").count(), 1, "{seen}");
    assert_eq!(process.0.wait().unwrap().code(), Some(4));
}

#[test]
fn the_process_has_the_limit_of_open_files_that_we_had() {
    let limited = ["bash", "-c", "ulimit -Sn 200; exec \"$0\" \"$@\""];
    let script = "ulimit -Sn; grep 'open files' /proc/$PPID/limits";
    let output = wrapped(&limited, &["bash", "-c", script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (own, ours) = said.split_once('\n').unwrap();
    assert_eq!(own, "200");
    assert!(!ours.contains(" 200 "), "ours was not raised, so nothing was restored: {ours}");
}

#[test]
fn clients_learn_the_unix_socket_where_there_is_no_udp() {
    let path = std::env::temp_dir().join(format!("lastdrop-url-{}.sock", std::process::id()));
    let url = |variables: &[(&str, &str)]| {
        let output = wrapped(&["env"], &["sh", "-c", "echo $DD_DOGSTATSD_URL"])
            .env("DD_DOGSTATSD_SOCKET", &path)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(url(&[]), "");
    assert_eq!(url(&[("DD_DOGSTATSD_PORT", "0")]), format!("unix://{}", path.display()));
    let own = [("DD_DOGSTATSD_PORT", "0"), ("DD_DOGSTATSD_URL", "udp://elsewhere")];
    assert_eq!(url(&own), "udp://elsewhere");
}

#[test]
fn a_tracer_that_will_find_no_agent_is_told_of_once() {
    let output = wrapped(&["env"], &["true"]).env("DD_TRACE_ENABLED", "true").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("nothing listens on port 8126").count(), 1, "{said}");
}
