//! TLS with an authority of one's own, and the key that nothing prints.

use std::path::PathBuf;

use lastdrop_lab::intake::{Certificate, Intake, IntakeOptions};

use crate::harness::{API_KEY, Agent, Setup, holds_no_key, send, wait_for};

fn intake(certificate: Certificate) -> Intake {
    let options = IntakeOptions { tls: Some(certificate), ..IntakeOptions::default() };
    Intake::start(options).unwrap()
}

/// A sidecar that trusts the intake's authority, told by `variable`.
fn trusting(intake: &Intake, variable: &str) -> (Setup, PathBuf) {
    let setup = Setup::run(intake);
    let file = setup.path("ca.pem");
    std::fs::write(&file, intake.ca_pem().unwrap()).unwrap();
    (setup.env(variable, &file), file)
}

fn send_to(agent: &Agent) {
    send(&agent.udp_target(), &["over.tls:1|c\nover.tls:2|c", "over.tls.too:1|d"]);
}

#[test]
fn an_authority_of_ones_own_is_trusted_from_either_variable() {
    for variable in ["LASTDROP_CA_FILE", "SSL_CERT_FILE"] {
        let intake = intake(Certificate::Valid);
        let agent = trusting(&intake, variable).0.start();
        send_to(&agent);
        agent.stop().is_lossless(0);
        assert_eq!(intake.totals().count("over.tls").round(), 3.0, "{variable}");
    }
}

/// A handshake costs round trips that a stop has no time for: the connection of an earlier flush
/// serves. A gauge is one payload each time, and no zeros follow it: two payloads at once would take
/// a connection each.
#[test]
fn the_stop_delivers_over_a_connection_that_is_there() {
    let intake = intake(Certificate::Valid);
    let agent = trusting(&intake, "LASTDROP_CA_FILE").0.start();
    send(&agent.udp_target(), &["over.tls:1|g"]);
    agent.signal(rustix::process::Signal::USR1);
    // The intake counts a request before it answers; only the answer sets the connection free.
    agent.says("payload accepted (202), after 0 others");
    send(&agent.udp_target(), &["over.tls:2|g"]);
    let ended = agent.stop();
    ended.is_lossless(0);
    let connections: Vec<_> = intake.requests().iter().map(|it| it.connection).collect();
    assert_eq!((connections, intake.totals().connections), (vec![1, 1], 1), "{ended}");
}

#[test]
fn a_server_with_another_name_gets_nothing() {
    let intake = intake(Certificate::WrongName);
    let agent = trusting(&intake, "LASTDROP_CA_FILE").0.args(&["--stop-timeout=30s"]).start();
    send_to(&agent);
    agent.signal(rustix::process::Signal::TERM);
    wait_for(&intake, "a refused handshake", |totals| totals.handshakes_failed > 0);
    let ended = agent.stop();
    assert_eq!((intake.totals().requests, intake.totals().keys), (0, 0), "{ended}");
    assert_eq!(ended.receipt["lossless"], false, "{ended}");
}

#[test]
fn the_key_is_in_no_output_at_the_level_that_says_most() {
    let intake = intake(Certificate::Valid);
    let (setup, ca) = trusting(&intake, "LASTDROP_CA_FILE");
    let agent = setup.env("DD_LOG_LEVEL", "trace").start();
    send_to(&agent);
    let ended = agent.stop();
    ended.is_lossless(0);
    assert_eq!(intake.totals().keys, 1, "the intake did see a key");
    holds_no_key("the log", &ended.stderr);
    holds_no_key("the receipt", &ended.receipt.to_string());
    for arguments in [&["config"][..], &["config", "--json"]] {
        let config = Setup::bare(arguments).env("DD_API_KEY", API_KEY).env("LASTDROP_CA_FILE", &ca);
        let ended = config.env("DD_LOG_LEVEL", "trace").start().end();
        ended.has_code(0);
        holds_no_key("config", &format!("{}{}", ended.stdout, ended.stderr));
        assert!(ended.stdout.contains("api_key"), "{ended}");
    }
}
