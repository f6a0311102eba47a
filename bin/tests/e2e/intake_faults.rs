//! An intake that misbehaves costs nothing and doubles nothing.

use lastdrop_lab::load;

use crate::harness::{Setup, arrived, increments, intake};

/// Sends 1,000 increments, stops the agent, and expects exactly them at an intake that misbehaves
/// for some requests, `faults`; some of their bodies it has counted, and gets a second time. The
/// stop may take longer than this test has patience: what is tried again is not put off to its end.
#[track_caller]
fn check(script: &str, faults: u64, duplicate_bodies: u64) {
    let intake = intake(script);
    let agent = Setup::run(&intake).args(&["--stop-timeout=10m"]).start();
    let report = load::run(&increments(agent.udp_target(), 1_000)).unwrap();
    agent.stop().is_lossless(0);
    arrived(&intake, &report);
    let totals = intake.totals();
    assert_eq!(totals.requests, totals.accepted_requests + faults, "{totals:#?}");
    assert_eq!(totals.duplicate_bodies, duplicate_bodies, "{totals:#?}");
}

#[test]
fn two_answers_of_503_are_overcome() {
    check("503*2", 2, 0);
}

#[test]
fn a_connection_that_is_reset_in_the_body_is_overcome() {
    check("reset=10", 1, 0);
}

#[test]
fn a_latency_of_one_and_a_half_seconds_is_waited_for() {
    check("delay=1500ms", 0, 0);
}

#[test]
fn an_answer_before_the_body_is_overcome() {
    check("early=503", 1, 0);
}

/// The intake has counted it: that it comes again must not double it.
#[test]
fn a_request_whose_answer_was_lost_is_sent_again_and_counts_once() {
    check("close", 0, 1);
}
