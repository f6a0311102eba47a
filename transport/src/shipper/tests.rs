//! The outlets against a small server on the loopback: who gets what, what a refused key leads to,
//! and that waiting costs nothing.

use super::encoder::{Made, Wants};
use super::outlet::Outlets;
use super::*;
use crate::forward::endpoint::{EndpointId, EndpointLimits, KeyState};
use crate::forward::secret::Secret;
use crate::forward::transaction::ArbitraryTags;
use crate::limits::REQUESTS_IN_FLIGHT_DEFAULT;
use crate::net::{Pool, PoolSettings, Target, Timeouts};
use crate::payload::{Encoding, Payload, PayloadKind, SeriesFormat};
use bytes::Bytes;
use lastdrop_engine::merge::Item;
use lastdrop_engine::series::{Origin, OwnTags, Point, Series, SeriesKind, Tags};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

mod pull;

/// How long a test waits for what must happen: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that takes one request a connection.
struct Intake {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Intake {
    /// Answers a request by its head. Its thread ends with the test's process.
    fn start(answer: impl Fn(&str) -> &'static str + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                stream.read_exact(&mut body).unwrap();
                let fields = "Connection: close\r\nContent-Length: 0\r\n\r\n";
                let answer = format!("HTTP/1.1 {}\r\n{fields}", answer(&head));
                // Before the answer: whoever has that may count.
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of a path.
    fn count(&self, path: &str) -> usize {
        let line = format!("POST {path} ");
        self.heads().iter().filter(|head| head.starts_with(&line)).count()
    }
}

fn key(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn settings(series: SeriesFormat, key_file: Option<&Path>) -> OutletSettings {
    OutletSettings {
        series,
        key_file: key_file.map(Path::to_owned),
        arbitrary_tags: ArbitraryTags::NotWanted,
        log_every: 1,
    }
}

/// Outlets to the given addresses, each with its settings.
fn outlets(of: Vec<(SocketAddr, OutletSettings)>) -> Outlets {
    let (poll, waker) = Shipper::poll().unwrap();
    let outlet = |(number, (address, settings)): (usize, (SocketAddr, OutletSettings))| {
        let url = format!("http://{address}");
        let pool = PoolSettings {
            target: Target::parse(&url).unwrap(),
            proxy: None,
            tls: None,
            timeouts: Timeouts::default(),
            connections_max: 4,
            token: Token(number * REQUESTS_IN_FLIGHT_DEFAULT),
            waker: Arc::clone(&waker),
        };
        let pool = Pool::new(pool, poll.registry()).unwrap();
        let id = EndpointId::new(&url, 0);
        let limits = EndpointLimits::default();
        let endpoint = Endpoint::new(id, Some(key("0001")), limits, Rng::from_seed(7));
        Outlet::new(endpoint, Some(pool), settings)
    };
    let list = of.into_iter().enumerate().map(outlet).collect();
    Outlets::new(poll, list)
}

fn made() -> Made {
    let payload = Payload {
        kind: PayloadKind::SeriesV2,
        body: Bytes::from_static(b"body"),
        encoding: Encoding::Identity,
        points: 3,
        items: 1,
        uncompressed_bytes: 4,
    };
    Made { payload, wants: Wants::All }
}

/// Everything in the given payloads, and no spool.
fn shipper_settings(payloads: PayloadSettings) -> ShipperSettings {
    ShipperSettings {
        payloads,
        payloads_v3: payloads,
        enabled: Enabled::ALL,
        hostname: String::new(),
        spool: None,
    }
}

/// Turns until the condition holds.
fn turn_until(outlets: &mut Outlets, holds: impl Fn(&mut Outlets) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(outlets) {
        assert!(Instant::now() < deadline, "waited in vain");
        outlets.turn(Some(deadline));
    }
}

fn only(outlets: &mut Outlets) -> &mut Endpoint {
    outlets.endpoints().next().unwrap()
}

#[test]
fn a_refused_key_is_read_again_from_its_file_and_the_payload_is_sent_with_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "0002\n").unwrap();
    let intake = Intake::start(|head| match head.contains("DD-Api-Key: 0002\r\n") {
        true => "202 Accepted",
        false => "403 Forbidden",
    });
    let settings = settings(SeriesFormat::V2, Some(&file));
    let mut outlets = outlets(vec![(intake.address, settings)]);
    outlets.enqueue(&made());
    turn_until(&mut outlets, |outlets| outlets.are_idle());
    assert_eq!(only(&mut outlets).ledger().accepted.points, 3);
    assert_eq!(only(&mut outlets).key_state(), KeyState::Accepted);
    assert_eq!(intake.heads().len(), 2);
}

#[test]
fn a_refused_key_without_a_new_one_costs_the_payload() {
    let intake = Intake::start(|_| "403 Forbidden");
    for file in [None, Some(Path::new("/nowhere/key"))] {
        let mut outlets = outlets(vec![(intake.address, settings(SeriesFormat::V2, file))]);
        outlets.enqueue(&made());
        turn_until(&mut outlets, |outlets| outlets.are_idle());
        assert_eq!(only(&mut outlets).ledger().refused[&403].points, 3);
        assert_eq!(only(&mut outlets).key_state(), KeyState::Refused);
    }
}

#[test]
fn a_pause_that_the_intake_asks_for_comes_through() {
    let intake = Intake::start(|_| "429 Too Many Requests\r\nRetry-After: 200");
    let start = Instant::now();
    let mut outlets = outlets(vec![(intake.address, settings(SeriesFormat::V2, None))]);
    outlets.enqueue(&made());
    turn_until(&mut outlets, |outlets| only(outlets).next_wakeup().is_some());
    let pause = only(&mut outlets).next_wakeup().unwrap() - start;
    assert!((199..230).contains(&pause.as_secs()), "{pause:?}");
}

/// A turn with nothing to do sleeps as long as it may, also while a pause or an answer is awaited.
#[test]
fn waiting_takes_no_turns() {
    let intake = Intake::start(|_| "503 No");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut outlets = outlets(vec![
        (intake.address, settings(SeriesFormat::V2, None)),
        (silent.local_addr().unwrap(), settings(SeriesFormat::V2, None)),
    ]);
    outlets.enqueue(&made());
    turn_until(&mut outlets, |outlets| only(outlets).next_wakeup().is_some());
    let until = Instant::now() + Duration::from_millis(200);
    let mut turns = 0;
    while Instant::now() < until {
        outlets.turn(Some(until));
        turns += 1;
    }
    assert!(turns < 10, "{turns} turns");
}

#[test]
fn each_endpoint_gets_series_in_its_own_format_and_the_points_still_balance() {
    let intakes = [(); 3].map(|()| Intake::start(|_| "202 Accepted"));
    let formats = [SeriesFormat::V2, SeriesFormat::V3, SeriesFormat::V2];
    let of = intakes.iter().zip(formats);
    let mut outlets =
        outlets(of.map(|(intake, format)| (intake.address, settings(format, None))).collect());
    let settings = ShipperSettings {
        enabled: Enabled { sketches: false, ..Enabled::ALL },
        ..shipper_settings(PayloadSettings::default())
    };
    let mut encoder = Encoder::new(settings, outlets.series_formats());
    let points = [Point { second: 1_756_737_060, value: 2.5 }; 2];
    for name in ["a", "b"] {
        encoder.push(Item::Series(Series {
            name,
            host: "",
            tags: Tags { own: OwnTags::List(&[]), global: &[] },
            kind: SeriesKind::Gauge,
            points: &points,
            interval_s: 10,
            unit: "millisecond",
            source_type_name: "",
            no_index: false,
            origin: Origin::DOGSTATSD,
        }));
    }
    assert!(encoder.close());
    while let Some(made) = encoder.take_next() {
        outlets.enqueue(&made);
    }
    turn_until(&mut outlets, |outlets| outlets.are_idle());
    for (intake, format) in intakes.iter().zip(formats) {
        let (v2, v3) =
            (intake.count("/api/v2/series"), intake.count("/api/intake/metrics/v3/series"));
        let expected = if format == SeriesFormat::V3 { (0, 1) } else { (1, 0) };
        assert_eq!((v2, v3), expected, "{format:?}");
    }
    let counts = encoder.counts();
    assert_eq!((counts.payloads, counts.points_encoded, counts.points_again), (2, 8, 4));
}
