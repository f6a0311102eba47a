//! An intake that misbehaves costs nothing and doubles nothing.

use lastdrop_lab::intake::Intake;
use lastdrop_lab::load::{self, LoadOptions, LoadReport};
use rustix::process::Signal;

use crate::harness::{Ended, Setup, arrived, increments, intake, unless_stalled, wait_for};

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

/// A slot of 5,000 contexts in more than a hundred payloads, and a queue for four of them: what the
/// agent says at the end, and what was sent.
fn large_slot(intake: &Intake, stop_timeout: &str) -> (Ended, LoadReport) {
    let agent = Setup::run(intake)
        .args(&[stop_timeout])
        .env("DD_SERIALIZER_COMPRESSOR_KIND", "none")
        .env("DD_SERIALIZER_MAX_SERIES_PAYLOAD_SIZE", "4096")
        .env("DD_FORWARDER_RETRY_QUEUE_PAYLOADS_MAX_SIZE", "16384")
        .start();
    let load = increments(agent.udp_target(), 5_000);
    let report = load::run(&LoadOptions { contexts: 5_000, ..load }).unwrap();
    (agent.stop(), report)
}

/// It gets them as it can, and none has to make room for another.
#[test]
fn a_slow_intake_gets_all_of_a_slot_that_no_queue_could_hold() {
    let intake = intake("delay=20ms*1000000");
    let (ended, report) = large_slot(&intake, "--stop-timeout=10m");
    ended.is_lossless(0);
    arrived(&intake, &report);
    assert!(ended.count("/shipper/payloads") > 100, "{ended}");
    assert_eq!(ended.receipt["endpoints"][0]["dropped"], serde_json::json!({}), "{ended}");
}

/// No queue takes most of the slot: it is not encoded, and counted all the same.
#[test]
fn what_an_intake_that_never_answers_leaves_unencoded_is_counted() {
    let (ended, report) =
        unless_stalled(|| large_slot(&intake("silent*1000000"), "--stop-timeout=5s"));
    ended.has_code(0);
    let verdict = (&ended.receipt["balanced"], &ended.receipt["lossless"]);
    assert_eq!(verdict, (&true.into(), &false.into()), "{ended}");
    let points = ended.count("/merge/points");
    let (left, encoded) = (ended.count("/shipper/left"), ended.count("/shipper/points_encoded"));
    assert!(left > encoded && left + encoded == points, "{ended}");
    assert_eq!(ended.count("/merge/samples"), report.datagrams, "{ended}");
    assert_eq!(ended.receipt["endpoints"][0]["dropped"], serde_json::json!({}), "{ended}");
}

/// To an intake that never answers there are as many connections as requests may be in flight.
#[test]
fn requests_go_out_side_by_side_as_configured() {
    for (configured, expected) in [(None, 10), (Some("3"), 3), (Some("12"), 12)] {
        let intake = intake("silent*1000000");
        let mut setup = Setup::run(&intake)
            .args(&["--stop-timeout=1s"])
            .env("DD_SERIALIZER_COMPRESSOR_KIND", "none")
            .env("DD_SERIALIZER_MAX_SERIES_PAYLOAD_SIZE", "4096");
        if let Some(requests) = configured {
            setup = setup.env("DD_FORWARDER_MAX_CONCURRENT_REQUESTS", requests);
        }
        let agent = setup.start();
        let load = increments(agent.udp_target(), 2_000);
        load::run(&LoadOptions { contexts: 2_000, ..load }).unwrap();
        agent.signal(Signal::USR1);
        wait_for(&intake, "connections", |totals| totals.connections >= expected);
        agent.stop().has_code(0);
        assert_eq!(intake.totals().connections, expected, "{configured:?}");
    }
}
