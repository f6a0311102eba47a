//! `openssl s_server` as the other side of TLS: which versions are spoken, and that nothing of a
//! request leaves before the session stands.

use std::path::Path;
use std::thread;

use super::{Server, certificate, find};
use crate::harness::{Ended, Setup, intake, send, unless_stalled};
use crate::port::free_port;

/// Stops an agent that has one increment for a server that speaks one version of TLS only, and
/// gives what the server has printed, which is whatever it was sent.
fn meet(openssl: &Path, version: &str, min: &str) -> (Ended, String) {
    let port = free_port();
    let server = Server::start(openssl, port, |folder, command| {
        certificate(openssl, folder);
        let accept = format!("127.0.0.1:{port}");
        command.args(["s_server", "-accept", &accept, "-cert", "cert.pem", "-key", "key.pem"]);
        // Old versions are off unless asked for like this. It answers nothing, and ends when its
        // standard input does.
        command.args([version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        command.stdin(std::process::Stdio::piped());
    });
    let agent = Setup::run(&intake(""))
        .env("DD_DD_URL", format!("https://localhost:{port}"))
        .env("DD_MIN_TLS_VERSION", min)
        .env("LASTDROP_CA_FILE", server.folder.path().join("cert.pem"))
        .env("LASTDROP_STOP_TIMEOUT", "5s")
        .start();
    send(&agent.udp_target(), &["foreign.openssl:1|c"]);
    let ended = agent.stop();
    (ended, server.output())
}

/// Meets servers side by side, each given as its version and the agent's minimum; hands what came of
/// each to `check`.
fn meet_all(pairs: [(&str, &str); 3], check: impl Fn(&str, &Ended, &str) + Sync) {
    let Some(openssl) = find("openssl") else { return };
    let openssl = openssl.as_path();
    thread::scope(|scope| {
        for (version, min) in pairs {
            let check = &check;
            scope.spawn(move || {
                let (ended, printed) = unless_stalled(|| meet(openssl, version, min));
                check(version, &ended, &printed);
            });
        }
    });
}

#[test]
fn versions_from_the_minimum_on_are_spoken() {
    let pairs = [("-tls1_2", "tlsv1.2"), ("-tls1_3", "tlsv1.2"), ("-tls1_3", "tlsv1.3")];
    meet_all(pairs, |version, ended, printed| {
        assert!(printed.contains("POST /api/v2/series HTTP/1.1"), "{version}: {printed}\n{ended}");
        assert_eq!(ended.count("/endpoints/0/unknown/deadline/payloads"), 1, "{ended}");
    });
}

#[test]
fn versions_below_the_minimum_get_no_byte_of_a_request() {
    let pairs = [("-tls1_1", "tlsv1.2"), ("-tls1_1", "tlsv1.0"), ("-tls1_2", "tlsv1.3")];
    meet_all(pairs, |version, ended, printed| {
        assert!(!printed.contains("POST"), "{version}: {printed}");
        assert_eq!(ended.count("/endpoints/0/left/tls/payloads"), 1, "{version}: {ended}");
    });
}
