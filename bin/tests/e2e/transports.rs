//! Every type of value over every transport and over the boundary of a bucket; and the history of a
//! datagram that was too long.

use lastdrop_lab::intake::decode::Kind;
use lastdrop_lab::intake::{Intake, StoredSeries};
use lastdrop_lab::sink::Target;

use crate::harness::{Setup, intake, same_count, send, wait_for};

/// How the datagrams get to the agent.
enum Transport {
    Udp,
    UnixDatagram,
    UnixStream,
}

/// Every type in one datagram, and so in one bucket.
const FIRST: &str = "\
v.count:3|c|#k:v\nv.count:2|c|@0.5|#k:v\n\
v.gauge:1|g\nv.gauge:8.5|g\n\
v.set:a|s\nv.set:b|s\nv.set:a|s\n\
v.histogram:1:2:3:4:5:6:7:8:9:10|h\nv.histogram:11:12:13:14:15:16:17:18:19:20|h\n\
v.timing:40|ms\nv.timing:10|ms|@0.5\n\
v.distribution:1:2:3.5|d";

/// The same for the next bucket.
const SECOND: &str = "\
v.count:5|c|#k:v\n\
v.gauge:4|g\nv.gauge:-2|g\n\
v.set:c|s\n\
v.histogram:-1.5|h\n\
v.timing:7|ms\n\
v.distribution:10|d|@0.5";

/// What the two buckets hold: a rate as its count, a sketch as its number of samples.
const POINTS: [(&str, [f64; 2]); 14] = [
    ("v.count", [7.0, 5.0]),
    ("v.gauge", [8.5, -2.0]),
    ("v.set", [2.0, 1.0]),
    ("v.histogram.count", [20.0, 1.0]),
    ("v.histogram.max", [20.0, -1.5]),
    ("v.histogram.avg", [10.5, -1.5]),
    ("v.histogram.median", [10.0, -1.5]),
    ("v.histogram.95percentile", [19.0, -1.5]),
    ("v.timing.count", [3.0, 1.0]),
    ("v.timing.max", [40.0, 7.0]),
    ("v.timing.avg", [20.0, 7.0]),
    ("v.timing.median", [10.0, 7.0]),
    ("v.timing.95percentile", [40.0, 7.0]),
    ("v.distribution", [3.0, 2.0]),
];

/// The values of a series in the order of their seconds; between two buckets that had samples a
/// counter is told to be zero.
fn values(series: &StoredSeries) -> Vec<f64> {
    let interval_s = f64::from(u32::try_from(series.interval_s).unwrap());
    let value = |&(_, value): &(i64, f64)| match series.kind {
        Kind::Rate => (value * interval_s * 1e6).round() / 1e6,
        _ => value,
    };
    let zero_is_no_sample = matches!(series.kind, Kind::Rate | Kind::Count);
    let points = series.points.iter().map(value);
    points.filter(|value| !zero_is_no_sample || *value != 0.0).collect()
}

#[track_caller]
fn both_buckets_are_exact(intake: &Intake) {
    for (name, expected) in POINTS {
        let series = intake.series(name);
        assert_eq!(series.len(), 1, "{name}: {series:#?}");
        assert_eq!(values(&series[0]), expected, "{name}: {series:#?}");
    }
    let totals = intake.totals();
    assert_eq!(totals.metrics["v.distribution"].sketch_sum, 6.5 + 20.0);
    assert_eq!(totals.metrics.len(), POINTS.len(), "{:?}", totals.metrics.keys());
    assert_eq!((totals.duplicate_points, totals.undecodable), (0, 0));
    assert_eq!(intake.series("v.count")[0].tags, ["k:v"]);
}

/// Sends the first bucket, waits until the agent has shipped it by itself, sends the second, stops.
#[track_caller]
fn check(transport: Transport, arguments: &[&str]) {
    let intake = intake("");
    let setup = Setup::run(&intake).args(arguments);
    let path = setup.path("dsd.socket");
    let (setup, target) = match transport {
        Transport::Udp => (setup, None),
        Transport::UnixDatagram => {
            (setup.env("DD_DOGSTATSD_SOCKET", &path), Some(Target::UnixDatagram(path)))
        }
        Transport::UnixStream => {
            (setup.env("DD_DOGSTATSD_STREAM_SOCKET", &path), Some(Target::UnixStream(path)))
        }
    };
    let agent = setup.start();
    let udp = agent.udp_target();
    let target = target.unwrap_or(udp);
    send(&target, &[FIRST]);
    wait_for(&intake, "the first bucket", |totals| {
        totals.metrics.contains_key("v.count") && totals.metrics.contains_key("v.distribution")
    });
    send(&target, &[SECOND]);
    agent.stop().is_lossless(0);
    both_buckets_are_exact(&intake);
}

#[test]
fn every_type_over_udp_is_exact_in_both_buckets() {
    check(Transport::Udp, &[]);
}

#[test]
fn every_type_is_exact_with_two_receivers_and_three_workers() {
    check(Transport::Udp, &["--receivers=2", "--workers=3"]);
}

#[test]
fn every_type_over_a_unix_datagram_socket_is_exact_in_both_buckets() {
    check(Transport::UnixDatagram, &[]);
}

#[test]
fn every_type_over_a_unix_stream_is_exact_in_both_buckets() {
    check(Transport::UnixStream, &[]);
}

/// The cut leaves a line that would be read as whole: a tag that has lost its end.
#[test]
fn the_torn_last_line_of_a_datagram_that_was_too_long_is_counted_and_not_aggregated() {
    const BYTES_MAX: usize = 8192;
    let whole = "torn:1|c|#tag:whole\n";
    let lines = BYTES_MAX / whole.len() - 1;
    let mut datagram = whole.repeat(lines);
    datagram.push_str(&format!("torn:1|c|#tag:{}", "x".repeat(BYTES_MAX)));
    let intake = intake("");
    let agent = Setup::run(&intake).start();
    send(&agent.udp_target(), &[&datagram, "torn:1|c|#tag:whole"]);
    let ended = agent.stop();
    ended.has_code(0);
    assert_eq!(ended.count("/receivers/truncated/udp"), 1);
    assert_eq!(ended.count("/workers/torn"), 1);
    assert_eq!(ended.receipt["balanced"], true, "{ended}");
    let series = intake.series("torn");
    assert_eq!(
        series.iter().map(|series| series.tags.as_slice()).collect::<Vec<_>>(),
        [["tag:whole"]]
    );
    same_count(intake.totals().count("torn"), lines as u64 + 1);
}
