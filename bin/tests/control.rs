//! The control socket with the real program: status and flush of a running agent.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::port::free_port;
use support::{KEY, PATIENCE, lastdrop};

/// How often something is sent until no slot ends between it and its flush.
const TRIES: u64 = 3;

/// An agent with a control socket and a port of its own, ended with the test.
struct Agent {
    process: Child,
    socket: PathBuf,
    port: u16,
}

impl Agent {
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let socket = folder.join(format!("{name}-{}.sock", std::process::id()));
        let port = free_port();
        let process = lastdrop(&["run", "--linger=0", "--bind-host=127.0.0.1"])
            .arg(format!("--dogstatsd-port={port}"))
            .arg(format!("--control-socket={}", socket.display()))
            .envs(variables.iter().copied())
            .env("DD_LOG_LEVEL", "error")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { process, socket, port };
        let began = Instant::now();
        while agent.ask(&["status"]).status.code() != Some(0) {
            assert!(began.elapsed() < PATIENCE, "no agent answers");
        }
        agent
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let socket = format!("--control-socket={}", self.socket.display());
        lastdrop(arguments).arg(socket).output().unwrap()
    }

    fn ask_json(&self, command: &str) -> Value {
        let output = self.ask(&[command, "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn send(&self, datagram: &str) {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(datagram.as_bytes(), ("127.0.0.1", self.port)).unwrap();
    }

    /// Sends a datagram and flushes, until a flush holds 1 at `pointer`: what a slot's end has shipped
    /// in between is no part of it. Gives the tries, the last flush and its exit status.
    fn send_and_flush(&self, datagram: &str, pointer: &str) -> (u64, Value, Option<i32>) {
        let mut tries = 0;
        loop {
            tries += 1;
            self.send(datagram);
            let output = self.ask(&["flush", "--json"]);
            let flush: Value = serde_json::from_slice(&output.stdout).unwrap();
            if flush.pointer(pointer) == Some(&1.into()) {
                return (tries, flush, output.status.code());
            }
            assert!(tries < TRIES, "no 1 at {pointer}: {flush:#}");
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_flush_delivers_what_was_received_before_and_says_so() {
    let (url, requests) = support::intake();
    // A zero for a slot that ends meanwhile would be a payload more.
    let without_zeros = ("DD_DOGSTATSD_EXPIRY_SECONDS", "0");
    let variables = [("DD_API_KEY", KEY), ("DD_DD_URL", &url), without_zeros];
    let agent = Agent::start("flush", &variables);
    agent.send("page.views:3|c\npage.time:4|d");
    let output = agent.ask(&["flush"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("flush 1: delivered in "), "{said}");
    let mut paths: Vec<_> = requests.try_iter().map(|request| request.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/api/beta/sketches", "/api/v2/series"]);
    let (tries, flush, _) =
        agent.send_and_flush("page.views:1|c", "/endpoints/0/accepted/payloads");
    let number = 1 + tries;
    let names: Vec<_> =
        flush["balances"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(
        names,
        ["datagrams", "lines", "samples", "buckets", "passed", "merged", "passed_on", "points"]
    );
    let datagrams = &flush["balances"][0]["left"];
    assert_eq!((&flush["balanced"], datagrams), (&true.into(), &number.into()));
    assert_eq!((&flush["flush"], &flush["delivered"]), (&number.into(), &true.into()));
}

#[test]
fn a_flush_that_nobody_accepts_says_why_and_fails() {
    let agent = Agent::start("no-key", &[("DD_DOGSTATSD_EXPIRY_SECONDS", "0")]);
    let dropped = "/endpoints/0/dropped/no_api_key/points";
    let (_, flush, code) = agent.send_and_flush("page.views:3|c", dropped);
    assert_eq!(code, Some(1));
    assert_eq!((&flush["shipped"], &flush["delivered"]), (&true.into(), &false.into()));
}

#[test]
fn sigusr1_flushes_and_the_agent_goes_on() {
    let (url, requests) = support::intake();
    let agent = Agent::start("usr1", &[("DD_API_KEY", KEY), ("DD_DD_URL", &url)]);
    agent.send("page.views:3|c");
    agent.signal("-USR1");
    assert_eq!(requests.recv_timeout(PATIENCE).unwrap().path, "/api/v2/series");
    assert_eq!(agent.ask(&["status"]).status.code(), Some(0));
}

#[test]
fn status_tells_what_was_received_and_the_socket_is_the_users_alone() {
    let agent = Agent::start("status", &[]);
    let mode = std::fs::metadata(&agent.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    agent.send("page.views:3|c");
    let began = Instant::now();
    let status = loop {
        let status = agent.ask_json("status");
        if status["workers"]["samples"] == 1 {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "{status}");
    };
    assert_eq!(status["mode"], "run");
    assert_eq!(status["endpoints"][0]["key"], "missing");
    assert_eq!(status["listening"][0]["address"], format!("127.0.0.1:{}", agent.port));
    let page = String::from_utf8(agent.ask(&["status"]).stdout).unwrap();
    assert!(page.contains("samples 1"), "{page}");
}

/// The agent's clock and the kernel's stamp are of one time line: an age is above zero, and no more
/// than the test has taken.
#[test]
fn status_tells_the_worst_age_of_a_datagram() {
    let agent = Agent::start("age", &[]);
    let before = &agent.ask_json("status")["workers"]["age_ns_max"];
    assert_eq!(before, 0, "nothing came");
    let began = Instant::now();
    agent.send("a:1|c");
    while agent.ask_json("status")["workers"]["samples"] != 1 {
        assert!(began.elapsed() < PATIENCE, "no sample");
    }
    let age_ns = agent.ask_json("status")["workers"]["age_ns_max"].as_u64().unwrap();
    assert!(age_ns > 0 && u128::from(age_ns) < began.elapsed().as_nanos(), "{age_ns}");
    let page = String::from_utf8(agent.ask(&["status"]).stdout).unwrap();
    let line = format!("worst age      {:.1} ms", Duration::from_nanos(age_ns).as_secs_f64() * 1e3);
    assert!(page.contains(&line), "{page}");
}

/// Who floods the agent stands in its status, by context and by name.
#[test]
fn status_names_the_busiest_contexts_and_the_widest_names() {
    let (url, requests) = support::intake();
    let agent = Agent::start("top", &[("DD_API_KEY", KEY), ("DD_DD_URL", &url)]);
    agent.send("wide:1|c|#id:1\nwide:1|c|#id:2\nwide:1|c|#id:3\nbusy:1:2:3:4:5|g|#k:v");
    assert_eq!(agent.ask(&["flush"]).status.code(), Some(0));
    drop(requests);
    let contexts = &agent.ask_json("status")["contexts"];
    let busiest = serde_json::json!({ "name": "busy", "tags": ["k:v"], "samples": 5 });
    assert_eq!(contexts["busiest"][0], busiest, "{contexts}");
    assert_eq!(contexts["widest"][0], serde_json::json!({ "name": "wide", "contexts": 3 }));
    assert_eq!(contexts["known"], 4);
    let page = String::from_utf8(agent.ask(&["status"]).stdout).unwrap();
    assert!(page.contains("busiest      busy{k:v}: 5 samples"), "{page}");
    assert!(page.contains("widest       wide: 3 contexts"), "{page}");
}

/// Two agents with ports of the system's choice: each has a socket of its own, and a client that
/// can't know which one is meant is told of both.
#[test]
fn agents_with_random_ports_have_a_socket_each() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        lastdrop(&["run", "--linger=0", "--dogstatsd-port=__random__"])
            .env("XDG_RUNTIME_DIR", folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let sockets = || std::fs::read_dir(folder.path()).unwrap().count();
    let wait_for = |count| {
        let began = Instant::now();
        while sockets() != count {
            assert!(began.elapsed() < PATIENCE, "{} sockets, not {count}", sockets());
        }
    };
    let mut agents = vec![start()];
    wait_for(1);
    agents.push(start());
    wait_for(2);
    let ask = |port: &str| {
        let port = format!("--dogstatsd-port={port}");
        let output = lastdrop(&["status", &port]).env("XDG_RUNTIME_DIR", folder.path()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // A socket is there a moment before it is listened on.
    let began = Instant::now();
    let (code, said) = loop {
        let (code, said) = ask("__random__");
        if said.contains("several agents answer") || began.elapsed() > PATIENCE {
            break (code, said);
        }
    };
    assert_eq!(code, Some(1));
    assert!(said.contains("several agents answer"), "{said}");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(said.contains(&name), "{said}");
        let port = name.trim_start_matches("lastdrop-").trim_end_matches(".sock");
        assert_eq!(ask(port).0, Some(0), "{name}");
        assert!(ask("1").1.contains(&name));
    }
    for mut agent in agents {
        let _ = agent.kill();
        let _ = agent.wait();
    }
}

/// For all answers of an agent that can't deliver: the key is in none.
#[test]
fn no_answer_shows_the_key() {
    // Nobody listens on the discard port: the endpoint has a failure to tell of.
    let url = "http://127.0.0.1:9";
    let agent = Agent::start("secret", &[("DD_API_KEY", KEY), ("DD_DD_URL", url)]);
    agent.send("page.views:3|c");
    let flush = agent.ask(&["flush", "--json", "--timeout=1s"]);
    assert_eq!(flush.status.code(), Some(1), "{flush:?}");
    let (page, json) = (agent.ask(&["status"]), agent.ask(&["status", "--json"]));
    for answer in [flush, page, json] {
        let said = [answer.stdout, answer.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(said[0].contains("127.0.0.1:9"), "{said:?}");
        assert!(said.iter().all(|text| !text.contains(KEY)), "{said:?}");
    }
}

#[test]
fn where_no_agent_is_the_places_looked_at_are_named() {
    let output = lastdrop(&["status", "--control-socket=/nowhere/a.sock"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/a.sock: No such file"), "{said}");
}

/// For all kinds of clients that do not behave: the next one is served.
#[test]
fn a_client_that_says_nothing_or_nonsense_keeps_nobody_waiting() {
    let agent = Agent::start("nonsense", &[]);
    let silent = std::os::unix::net::UnixStream::connect(&agent.socket).unwrap();
    for request in [&b"drop everything"[..], &[0xff; 100], b"flush soon", b""] {
        let mut client = std::os::unix::net::UnixStream::connect(&agent.socket).unwrap();
        client.write_all(request).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        assert!(!answer.contains("agent\":"), "{answer}");
    }
    assert_eq!(agent.ask(&["status"]).status.code(), Some(0));
    drop(silent);
}
