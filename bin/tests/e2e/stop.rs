//! What a stop owes to those who have sent.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lastdrop_lab::load::{self, LoadOptions};
use rustix::process::Signal;

use crate::harness::{
    Setup, arrived, increments, intake, same_count, send, unless_stalled, wait_for,
};

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

/// SIGTERM reaches all containers of a task at once: the agent hears the others out. A client that
/// stands still itself for as long as the agent listens is none of those, so it has another try.
#[test]
fn what_a_client_sends_in_the_two_seconds_after_sigterm_is_accepted() {
    for _ in 0..10 {
        let intake = intake("");
        let setup = Setup::run(&intake).without("LASTDROP_LINGER");
        let agent = setup.args(&["--stop-timeout=30s"]).start();
        let load = increments(agent.udp_target(), 500);
        let began = Instant::now();
        agent.signal(Signal::TERM);
        let report =
            load::run(&LoadOptions { rate: Some(load::Rate::Datagrams(250.0)), ..load }).unwrap();
        assert_eq!(report.datagrams + report.failed.datagrams, 500);
        // Of 2 s of sending and 2 s of silence: no gap was as long as the silence.
        if began.elapsed() < Duration::from_millis(3_500) {
            assert_eq!(report.datagrams, 500);
            agent.end().is_lossless(0);
            arrived(&intake, &report);
            return;
        }
    }
    panic!("the client stood still in every try");
}

/// As many payloads as connections, and an intake that answers none of them: nobody waits in line.
#[test]
fn the_payloads_of_the_last_flush_go_out_at_once() {
    // One datagram lies in one slot.
    let lines: Vec<_> = (0..40).map(|context| format!("at.once:1|c|#context:{context}")).collect();
    let (ended, intake) = unless_stalled(|| {
        let intake = intake("silent*1000");
        let setup = Setup::run(&intake).env("DD_SERIALIZER_MAX_SERIES_POINTS_PER_PAYLOAD", "10");
        let agent = setup.args(&["--stop-timeout=4s"]).start();
        send(&agent.udp_target(), &[&lines.join("\n")]);
        (agent.stop(), intake)
    });
    assert_eq!(ended.count("/endpoints/0/unknown/deadline/payloads"), 4, "{ended}");
    assert_eq!((intake.totals().requests, intake.totals().connections), (4, 4), "{ended}");
}

/// The silence that is waited for otherwise is longer than this test has patience.
#[test]
fn a_client_that_closes_its_stream_after_sigterm_has_said_its_last_word() {
    let intake = intake("");
    let setup = Setup::run(&intake).args(&["--stop-timeout=10m"]).env("LASTDROP_LINGER", "9m");
    let path = setup.path("stream.sock");
    let agent = setup.env("DD_DOGSTATSD_STREAM_SOCKET", &path).start();
    agent.says("listening: Unix");
    let mut client = UnixStream::connect(&path).unwrap();
    let mut say = |message: &str| {
        let length = u32::try_from(message.len()).unwrap().to_le_bytes();
        client.write_all(&[&length[..], message.as_bytes()].concat()).unwrap();
    };
    say("words:1|c");
    // Known to be held: a flush proves that the frame was read.
    agent.signal(Signal::USR1);
    wait_for(&intake, "the first word", |totals| totals.count("words") == 1.0);
    agent.signal(Signal::TERM);
    agent.says("listening for the last words");
    say("words:2|c");
    drop(client);
    agent.end().is_lossless(0);
    same_count(intake.totals().count("words"), 3);
}

#[test]
fn each_signal_that_asks_for_the_end_is_a_stop_and_sigpipe_is_none() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let intake = intake("");
        let agent = Setup::run(&intake).start();
        let target = agent.udp_target();
        send(&target, &["asked:1|c"]);
        agent.signal(Signal::PIPE);
        send(&target, &["asked:1|c"]);
        agent.signal(signal);
        agent.end().is_lossless(0);
        same_count(intake.totals().count("asked"), 2);
    }
}

/// As where a platform takes the processor away, for as long as a load takes: what came in the
/// meantime is in the sockets, and so is SIGTERM.
#[test]
fn a_frozen_agent_delivers_what_came_while_it_was() {
    let intake = intake("");
    let agent = Setup::run(&intake).start();
    let load = increments(agent.udp_target(), 600);
    agent.signal(Signal::STOP);
    let report =
        load::run(&LoadOptions { rate: Some(load::Rate::Datagrams(200.0)), ..load }).unwrap();
    agent.signal(Signal::TERM);
    agent.signal(Signal::CONT);
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
    // A slot's end may have sent it before: it is the delivery that the second signal shall end.
    agent.says("drained");
    let ended = agent.stop();
    ended.has_code(3);
    assert_eq!(ended.receipt["lossless"], false, "{ended}");
    assert_eq!(ended.receipt["stop"]["stage"], "deliver", "{ended}");
}
