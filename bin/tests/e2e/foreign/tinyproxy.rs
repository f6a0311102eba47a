//! tinyproxy between the agent and its intake: in the clear, as a tunnel, and with a password.

use lastdrop_lab::intake::{Certificate, Intake, IntakeOptions};

use super::{Server, find, with_small_payloads};
use crate::harness::{Ended, Setup, holds_no_key, intake, send, unless_stalled};
use crate::port::free_port;

/// Contexts; ten make a request.
const CONTEXTS: usize = 40;

/// Nothing may print it.
const PASSWORD: &str = "proxypassword";

fn start(lines: &str) -> Option<Server> {
    let tinyproxy = find("tinyproxy")?;
    let port = free_port();
    Some(Server::start(&tinyproxy, port, |folder, command| {
        let settings = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\n\
             LogLevel Connect\nLogFile \"{}/log\"\n{lines}\n",
            folder.display()
        );
        std::fs::write(folder.join("tinyproxy.conf"), settings).unwrap();
        command.args(["-d", "-c", "tinyproxy.conf"]);
    }))
}

/// Sends increments and stops.
fn deliver(setup: Setup) -> Ended {
    let agent = setup.start();
    let target = agent.udp_target();
    for context in 0..CONTEXTS {
        send(&target, &[&format!("foreign.proxy:1|c|#context:{context}")]);
    }
    agent.stop()
}

fn proxy_url(proxy: &Server, user: &str) -> String {
    format!("http://{user}127.0.0.1:{}", proxy.port)
}

fn has_all(intake: &Intake, ended: &Ended) {
    ended.is_lossless(0);
    assert_eq!(intake.totals().count("foreign.proxy").round(), CONTEXTS as f64, "{ended}");
}

#[test]
fn everything_comes_through_a_proxy_that_reads_along() {
    let Some(proxy) = start("") else { return };
    let intake = intake("");
    let ended = deliver(with_small_payloads(&intake).env("DD_PROXY_HTTP", proxy_url(&proxy, "")));
    has_all(&intake, &ended);
    assert!(proxy.read("log").contains("POST http://127.0.0.1"), "{}", proxy.read("log"));
}

#[test]
fn everything_comes_through_a_tunnel_with_a_password_that_nothing_prints() {
    let options = IntakeOptions { tls: Some(Certificate::Valid), ..IntakeOptions::default() };
    let intake = Intake::start(options).unwrap();
    let lines = format!("ConnectPort {}\nBasicAuth user {PASSWORD}", intake.address().port());
    let Some(proxy) = start(&lines) else { return };
    let through = |user: &str| {
        let setup = with_small_payloads(&intake);
        let ca = setup.path("ca.pem");
        std::fs::write(&ca, intake.ca_pem().unwrap()).unwrap();
        setup
            .env("LASTDROP_CA_FILE", ca)
            .env("DD_PROXY_HTTPS", proxy_url(&proxy, user))
            .env("DD_LOG_LEVEL", "trace")
            .env("LASTDROP_STOP_TIMEOUT", "5s")
    };
    let (ended, ()) = unless_stalled(|| (deliver(through("")), ()));
    let left = ended.count("/endpoints/0/left/proxy/payloads");
    assert_eq!(left, ended.count("/endpoints/0/made/payloads"), "{ended}");
    assert_eq!(intake.totals().connections, 0, "{ended}");

    let ended = deliver(through(&format!("user:{PASSWORD}@")));
    has_all(&intake, &ended);
    assert!(proxy.read("log").contains("CONNECT 127.0.0.1"), "{}", proxy.read("log"));
    holds_no_key("the log", &ended.stderr);
    assert!(!ended.to_string().contains(PASSWORD), "{ended}");
}
