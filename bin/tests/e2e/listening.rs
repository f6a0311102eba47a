//! Settings and ports that can't be had: the sidecar says why and ends, the wrapper says why and
//! runs its command.

use std::net::UdpSocket;

use crate::harness::{Agent, Setup, intake};
use crate::port::free_port;

/// A sidecar and a wrapper with the same setting: both tell the same in one line, the one ends with
/// 2, the other passes its command's status on.
#[track_caller]
fn check(port: &str, parts: &[&str]) {
    let run = Setup::bare(&["run"]).env("DD_DOGSTATSD_PORT", port);
    let init = Setup::bare(&["init", "--receipt=off"]).env("DD_DOGSTATSD_PORT", port);
    let init = init.wrapping(&["bash", "-c", "echo it ran; exit 7"]);
    for (setup, code, stdout) in [(run, 2, ""), (init, 7, "it ran\n")] {
        let ended = setup.env("DD_API_KEY", "0").start().end();
        ended.has_code(code);
        assert_eq!(ended.stdout, stdout, "{ended}");
        let errors = ended.complaints();
        let told = errors.iter().filter(|line| parts.iter().all(|part| line.contains(part)));
        assert_eq!(told.count(), 1, "{ended}");
    }
}

#[test]
fn a_bad_port_is_told_with_what_would_be_accepted() {
    let parts = ["DD_DOGSTATSD_PORT", "\"banana\" is not a port", "accepted: 0 to 65535"];
    check("banana", &parts);
    // In front of a command too it is one line: what is wrong, and what follows from it.
    let init = Setup::bare(&["init", "--", "true"]).env("DD_DOGSTATSD_PORT", "banana");
    let ended = init.start().end();
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
    assert!(ended.stderr.contains("; the command runs without the agent"), "{ended}");
}

#[test]
fn a_port_in_use_by_a_stranger_is_told_with_its_address() {
    let stranger = UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
    let address = stranger.local_addr().unwrap();
    let text = format!("udp {address} is in use by another program");
    check(&address.port().to_string(), &[&text]);
}

#[test]
fn a_port_in_use_by_another_lastdrop_is_told_and_the_first_goes_on() {
    let intake = intake("");
    let first: Agent = Setup::run(&intake).start();
    let address = first.udp();
    let text = format!("udp {address} is in use by another lastdrop");
    check(&address.port().to_string(), &[&text]);
    let target = first.udp_target();
    crate::harness::send(&target, &["still.there:1|c"]);
    first.stop().is_lossless(0);
    assert_eq!(intake.totals().count("still.there"), 1.0);
}
