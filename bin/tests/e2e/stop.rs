//! What a stop owes to those who have sent.

use lastdrop_lab::load::{self, LoadOptions};
use rustix::process::Signal;

use crate::harness::{Setup, arrived, increments, intake, send, wait_for};

#[test]
fn everything_sent_before_sigterm_is_accepted() {
    let intake = intake("");
    let agent = Setup::run(&intake).start();
    let load = increments(agent.udp_target(), 5_000);
    let report = load::run(&LoadOptions { burst: 5_000, ..load }).unwrap();
    assert_eq!(report.datagrams, 10_000);
    agent.stop().is_lossless(0);
    arrived(&intake, &report);
}

/// SIGTERM reaches all containers of a task at once: the agent hears the others out.
#[test]
fn what_a_client_sends_in_the_two_seconds_after_sigterm_is_accepted() {
    let intake = intake("");
    let agent = Setup::run(&intake).without("LASTDROP_LINGER").start();
    let load = increments(agent.udp_target(), 500);
    agent.signal(Signal::TERM);
    let report = load::run(&LoadOptions { rate: Some(250), ..load }).unwrap();
    assert_eq!(report.datagrams, 500);
    agent.end().is_lossless(0);
    arrived(&intake, &report);
}

/// The first SIGTERM would wait for the silent intake for ten minutes.
#[test]
fn a_second_sigterm_ends_the_stop_at_once() {
    let intake = intake("silent*1000");
    let agent = Setup::run(&intake).args(&["--strict", "--stop-timeout=10m"]).start();
    send(&agent.udp_target(), &["left:1|c"]);
    agent.signal(Signal::TERM);
    wait_for(&intake, "the last payload", |totals| totals.requests > 0);
    let ended = agent.stop();
    ended.has_code(3);
    assert_eq!(ended.receipt["lossless"], false, "{ended}");
    assert_eq!(ended.receipt["stop"]["stage"], "deliver", "{ended}");
}
