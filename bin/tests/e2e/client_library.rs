//! A client library that nobody here wrote is understood to the last sample.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::panic::RefUnwindSafe;

use cadence::prelude::*;
use cadence::{
    BufferedUdpMetricSink, BufferedUnixMetricSink, MetricSink, StatsdClient, UdpMetricSink,
    UnixMetricSink,
};
use lastdrop_lab::intake::Intake;

use crate::harness::{Setup, intake, same_count};

/// Rounds of one metric of each type.
const ROUNDS: u32 = 300;

/// Distinct members of the set. They fit into one datagram of the buffered sink, and so into one
/// bucket, whose count is theirs.
const MEMBERS: u32 = 60;

fn client(sink: impl MetricSink + Sync + Send + RefUnwindSafe + 'static) -> StatsdClient {
    StatsdClient::builder("e2e.", sink).with_tag("client", "cadence").build()
}

/// Sends every type but sets, one datagram a metric.
fn send_rounds(client: &StatsdClient) {
    for round in 0..ROUNDS {
        let value = u64::from(round);
        client.count("count", 3).unwrap();
        client.count_with_tags("count", 4_i64).with_tag("round", "odd").try_send().unwrap();
        client.gauge("gauge", value).unwrap();
        client.time("time", value).unwrap();
        client.histogram("histogram", f64::from(round) + 0.5).unwrap();
        client.distribution("distribution", f64::from(round)).unwrap();
    }
}

/// Sends all members twice, in one datagram.
fn send_set(client: &StatsdClient) {
    for member in (0..MEMBERS).chain(0..MEMBERS) {
        client.set("set", i64::from(member)).unwrap();
    }
    client.flush().unwrap();
}

#[track_caller]
fn intake_has_it_all(intake: &Intake) {
    let totals = intake.totals();
    let rounds = f64::from(ROUNDS);
    let last = |name: &str| totals.metrics[name].last.map(|last| last.value);
    same_count(totals.count("e2e.count"), 7 * u64::from(ROUNDS));
    assert_eq!(last("e2e.gauge"), Some(rounds - 1.0));
    assert_eq!(last("e2e.set"), Some(f64::from(MEMBERS)));
    for (name, max) in [("e2e.time", rounds - 1.0), ("e2e.histogram", rounds - 0.5)] {
        same_count(totals.count(&format!("{name}.count")), u64::from(ROUNDS));
        assert_eq!(last(&format!("{name}.max")), Some(max));
    }
    let sketch = &totals.metrics["e2e.distribution"];
    assert_eq!(sketch.sketch_count, u64::from(ROUNDS));
    assert_eq!(sketch.sketch_sum, rounds * (rounds - 1.0) / 2.0);
    assert_eq!(totals.duplicate_points, 0);
    let tags: Vec<_> = intake.series("e2e.count").into_iter().map(|series| series.tags).collect();
    assert_eq!(tags, [vec!["client:cadence"], vec!["client:cadence", "round:odd"]]);
}

#[test]
fn cadence_over_udp_is_counted_to_the_last_sample() {
    let intake = intake("");
    let agent = Setup::run(&intake).start();
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    send_rounds(&client(UdpMetricSink::from(agent.udp(), socket()).unwrap()));
    let buffered = BufferedUdpMetricSink::with_capacity(agent.udp(), socket(), 8192).unwrap();
    send_set(&client(buffered));
    agent.stop().is_lossless(0);
    intake_has_it_all(&intake);
}

#[test]
fn cadence_over_a_unix_socket_is_counted_to_the_last_sample() {
    let intake = intake("");
    let setup = Setup::run(&intake);
    let path = setup.path("dsd.socket");
    let agent = setup.env("DD_DOGSTATSD_SOCKET", &path).start();
    agent.says("listening: Unix(");
    let socket = || UnixDatagram::unbound().unwrap();
    send_rounds(&client(UnixMetricSink::from(&path, socket())));
    send_set(&client(BufferedUnixMetricSink::with_capacity(&path, socket(), 8192)));
    agent.stop().is_lossless(0);
    intake_has_it_all(&intake);
}
