//! The pages over HTTP with the real program: what they say, and what clients can't do to them.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;
use support::{KEY, PATIENCE, lastdrop};

/// An agent with pages and ports that the system chose, ended with the test.
struct Agent {
    process: Child,
    pages: SocketAddr,
    udp: SocketAddr,
    /// Kept open, so that nobody is cut off.
    _stderr: BufReader<ChildStderr>,
}

impl Agent {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = lastdrop(&["run", "--linger=0", "--dogstatsd-port=__random__"])
            .envs([("LASTDROP_HTTP", "127.0.0.1:0"), ("DD_LOG_LEVEL", "info")])
            .env("LASTDROP_CONTROL_SOCKET", "off")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let (mut udp, mut line) = (None, String::new());
        let pages = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the agent has ended");
            if let Some(address) = line.trim().strip_prefix("lastdrop: info: listening: Udp(127.") {
                udp = Some(format!("127.{}", address.trim_end_matches(')')).parse().unwrap());
            }
            if let Some(address) = line.trim().strip_prefix("lastdrop: info: http: ") {
                break address.parse().unwrap();
            }
        };
        Self { process, pages, udp: udp.unwrap(), _stderr: stderr }
    }

    /// What is answered to these bytes, head and page; all of it, since the agent closes.
    fn answer(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.pages).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.answer(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), page.to_owned())
    }

    fn send(&self, datagram: &str) {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(datagram.as_bytes(), self.udp).unwrap();
    }

    /// Waits for a page that holds all these parts: each thread publishes its counters in its own
    /// time, so that those of one are no promise of another's.
    fn wait_for(&self, path: &str, parts: &[&str]) -> (u16, String) {
        let began = Instant::now();
        loop {
            let (status, page) = self.get(path);
            let Some(missing) = parts.iter().find(|part| !page.contains(**part)) else {
                return (status, page);
            };
            assert!(began.elapsed() < PATIENCE, "{path} has no {missing}:\n{page}");
        }
    }

    fn stop(mut self) -> bool {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_agent_that_is_well_is_ready_healthy_and_delivers() {
    let (url, _requests) = support::intake();
    let agent = Agent::start(&[("DD_API_KEY", KEY), ("DD_DD_URL", &url)]);
    for path in ["/readyz", "/healthz", "/delivery"] {
        assert_eq!(agent.get(path), (200, "ok\n".to_owned()), "{path}");
    }
    agent.send("page.views:3|c");
    let counted = [
        "lastdrop_receivers_received_total{kind=\"udp\"} 1\n",
        "lastdrop_workers_samples_total 1\n",
        "lastdrop_workers_contexts 1\n",
    ];
    let (status, page) = agent.wait_for("/metrics", &counted);
    assert_eq!(status, 200);
    assert!(page.contains("# TYPE lastdrop_workers_age_ns_max gauge\n"), "{page}");
    // How many they are by now is the clock's affair.
    let accepted = format!("total{{endpoint=\"{url}#0\",outcome=\"accepted\"}} ");
    for of in ["payloads", "points"] {
        assert!(page.contains(&format!("\nlastdrop_endpoint_{of}_{accepted}")), "{page}");
    }
    // Every line is a comment or a name with a number behind it.
    for line in page.lines().filter(|line| !line.starts_with("# TYPE lastdrop_")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("lastdrop_") && value.parse::<u64>().is_ok(), "{line}");
    }
}

/// An intake that is down takes nobody out of service: the one page says so, the others don't.
#[test]
fn an_intake_that_is_down_shows_on_one_page_alone() {
    // Nobody listens on the discard port.
    let agent = Agent::start(&[
        ("DD_API_KEY", KEY),
        ("DD_DD_URL", "http://127.0.0.1:9"),
        ("LASTDROP_DELIVERY_WINDOW", "0"),
    ]);
    agent.send("_sc|up|0");
    let pid = agent.process.id().to_string();
    assert!(Command::new("kill").args(["-USR1", &pid]).status().unwrap().success());
    let (status, page) = agent.wait_for("/delivery", &["nothing accepted for", "last failure"]);
    assert_eq!(status, 503);
    assert!(page.contains("127.0.0.1:9"), "{page}");
    for path in ["/readyz", "/healthz"] {
        assert_eq!(agent.get(path), (200, "ok\n".to_owned()), "{path}");
    }
}

#[test]
fn without_a_key_nothing_is_delivered() {
    let agent = Agent::start(&[]);
    let (status, page) = agent.get("/delivery");
    assert_eq!((status, page.contains("no API key")), (503, true), "{page}");
    assert_eq!(agent.get("/readyz").0, 200);
}

#[test]
fn what_is_not_asked_for_properly_is_refused_and_answered() {
    let agent = Agent::start(&[]);
    let post = "POST /healthz HTTP/1.1\r\ncontent-length: 9\r\n\r\nnine more";
    let answer = agent.answer(post.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
    assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(20_000));
    assert!(agent.answer(long.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(agent.answer(b"\x16\x03\x01\x00garbage\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(agent.get("/").0, 404);
    let head = agent.answer(b"HEAD /healthz?x HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

/// Clients that hold more connections than there may be, and say nothing or half of something: the
/// next one is answered, and the stop doesn't wait for any of them.
#[test]
fn slow_clients_keep_nobody_waiting_and_never_the_stop() {
    let agent = Agent::start(&[]);
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(agent.pages).unwrap();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n");
        slow.push(stream);
        assert_eq!(agent.get("/healthz").0, 200);
    }
    assert!(agent.stop());
    drop(slow);
}

/// For all addresses that others can reach: they are no value of the setting.
#[test]
fn only_the_loopback_is_served() {
    for address in
        ["0.0.0.0:9125", "192.168.1.1:9125", "[::]:9125", "localhost:9125", "banana", "70000"]
    {
        let output = lastdrop(&["run"]).env("LASTDROP_HTTP", address).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("LASTDROP_HTTP") && said.contains("[::1]:9125"), "{said}");
    }
}

/// The agent can do without the pages.
#[test]
fn a_port_that_is_taken_is_told_and_the_agent_runs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = lastdrop(&["init", "--", "true"])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([("LASTDROP_HTTP", port.as_str()), ("DD_DOGSTATSD_PORT", "__random__")])
        .env("LASTDROP_CONTROL_SOCKET", "off")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no pages over HTTP: 127.0.0.1:"), "{said}");
}
