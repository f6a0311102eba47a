//! Without an API key the agent receives and counts, and is silent.

use crate::harness::{Setup, intake, send};

const WARNING: &str =
    "lastdrop: warning: no API key: metrics are received but not sent; set DD_API_KEY";

#[test]
fn a_sidecar_without_a_key_receives_and_connects_to_nobody() {
    let intake = intake("");
    let setup = Setup::run(&intake).without("DD_API_KEY");
    // Two points, whatever slots the two datagrams lie in.
    let agent = setup.env("DD_DOGSTATSD_EXPIRY_SECONDS", "0").start();
    send(&agent.udp_target(), &["kept:1|c", "kept:2:3|d"]);
    let ended = agent.stop();
    ended.has_code(0);
    assert_eq!(ended.complaints(), [WARNING], "{ended}");
    assert_eq!(intake.totals().connections, 0);
    assert_eq!(ended.count("/receivers/received/udp"), 2);
    assert_eq!(ended.count("/workers/samples"), 3);
    assert_eq!(ended.count("/endpoints/0/dropped/no_api_key/points"), 2);
    assert_eq!(ended.count("/endpoints/0/accepted/payloads"), 0);
    assert_eq!(ended.receipt["balanced"], true, "{ended}");
}

/// At the level that people run it with, the warning is all that is said.
#[test]
fn a_wrapper_without_a_key_says_one_line_and_gives_the_status_of_its_command() {
    let intake = intake("");
    let script = "printf kept:1\\|c >/dev/udp/127.0.0.1/$PORT; exit 7";
    let init = Setup::init(&intake, script).without("DD_API_KEY").without("DD_LOG_LEVEL");
    let ended = init.start().end();
    ended.has_code(7);
    assert_eq!(ended.stderr, format!("{WARNING}\n"));
    assert_eq!(intake.totals().connections, 0);
    assert_eq!(ended.count("/receivers/received/udp"), 1);
}
