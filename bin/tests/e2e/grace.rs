//! The grace between the platform's SIGTERM and its SIGKILL: a stop ends before it does, and a command
//! that uses it up loses nothing of what it has sent.

use crate::harness::{Setup, intake, same_count, unless_stalled, wait_for};
use rustix::process::Signal;

/// A shell that does this when it is asked to end, and otherwise goes on.
fn on_term(action: &str) -> String {
    format!(
        "say() {{ printf \"$1\" >/dev/udp/127.0.0.1/$PORT; }}
         trap '{action}' TERM; trap 'say late:1\\|c; echo alive' USR1
         say early:1\\|c; echo ready; while :; do sleep 0.05; done"
    )
}

#[test]
fn a_command_that_outlives_its_grace_is_flushed_and_goes_on() {
    let intake = intake("");
    let agent = Setup::init(&intake, &on_term(":")).env("LASTDROP_GRACE_PERIOD", "3s").start();
    agent.prints("ready");
    agent.signal(Signal::TERM);
    agent.says("the command has not ended yet: flushing what there is");
    wait_for(&intake, "what the command had sent", |totals| totals.count("early") == 1.0);
    // It is heard as before, and has all of its time.
    agent.signal(Signal::USR1);
    agent.prints("alive");
    wait_for(&intake, "what it sent after that", |totals| totals.count("late") == 1.0);
}

/// Without its bound the stop would wait for the silent intake for ten minutes.
#[test]
fn the_stop_of_a_command_that_ends_in_time_is_over_before_the_grace() {
    let (ended, ()) = unless_stalled(|| {
        let intake = intake("silent*1000");
        let setup = Setup::init(&intake, &on_term("exit 5")).env("LASTDROP_STOP_TIMEOUT", "10m");
        let agent = setup.env("LASTDROP_GRACE_PERIOD", "10s").start();
        agent.prints("ready");
        (agent.stop(), ())
    });
    ended.has_code(5);
    assert_eq!(ended.receipt["balanced"], true, "{ended}");
    assert_eq!(ended.receipt["stop"]["stage"], "delivered", "{ended}");
    assert_eq!(ended.count("/endpoints/0/unknown/deadline/points"), 1, "{ended}");
}

/// Nobody has killed it when its grace was over, so nobody was going to.
#[test]
fn a_command_that_ends_after_its_grace_has_a_whole_stop() {
    // For longer than the command takes, and than a stop would have that had no time left.
    let intake = intake("503@4s");
    let setup = Setup::init(&intake, &on_term("sleep 2; say last:1\\|c; exit 5"));
    let setup = setup.env("LASTDROP_GRACE_PERIOD", "100ms").env("LASTDROP_STOP_TIMEOUT", "10m");
    let agent = setup.start();
    agent.prints("ready");
    agent.stop().is_lossless(5);
    same_count(intake.totals().count("early"), 1);
    same_count(intake.totals().count("last"), 1);
}
