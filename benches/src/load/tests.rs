//! The report of a load against what its receiver finds.

use super::*;
use crate::sink::BATCH_MAX;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// Nobody listens on the discard port.
const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// What a receiver finds, read by splitting text: nothing of the generator's own bookkeeping.
#[derive(Debug, Default, PartialEq)]
struct Found {
    datagrams: u64,
    bytes: u64,
    types: BTreeMap<String, TypeTotals>,
    contexts: BTreeSet<String>,
}

impl Found {
    fn take(&mut self, datagram: &str) {
        self.datagrams += 1;
        self.bytes += u64::try_from(datagram.len()).unwrap();
        for message in datagram.split('\n') {
            let mut fields = message.split('|');
            let mut values = fields.next().unwrap().split(':');
            let name = values.next().unwrap();
            let word = name.split('.').nth(1).unwrap();
            let symbol = fields.next().unwrap();
            assert!(Kind::ALL.iter().any(|kind| kind.symbol() == symbol && kind.word() == word));
            self.contexts.insert(format!("{name}|{}", fields.next().unwrap_or_default()));
            let totals = self.types.entry(word.to_owned()).or_default();
            totals.messages += 1;
            for value in values {
                totals.samples += 1;
                totals.sum += value.parse::<u64>().unwrap();
            }
        }
    }

    #[track_caller]
    fn check(&self, report: &LoadReport) {
        assert_eq!((self.datagrams, self.bytes), (report.datagrams, report.bytes));
        let types: BTreeMap<_, _> = self.types.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(types, report.types);
        let sum = |of: fn(&TypeTotals) -> u64| types.values().map(of).sum::<u64>();
        assert_eq!(sum(|totals| totals.messages), report.messages);
        assert_eq!(sum(|totals| totals.samples), report.samples);
    }
}

/// Reads so many datagrams with a closure that gives one a call.
fn find(datagrams: u64, mut receive: impl FnMut(&mut [u8]) -> usize) -> Found {
    let mut found = Found::default();
    let mut buffer = vec![0; 65_536];
    for _ in 0..datagrams {
        let bytes = receive(&mut buffer);
        found.take(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
    found
}

fn wide(target: Target) -> LoadOptions {
    LoadOptions {
        mix: "c=4,g=2,s,h,ms,d=3".parse().unwrap(),
        contexts: 300,
        tags: Span::only(3),
        values: Span::only(2),
        messages: 5,
        burst: 50,
        senders: 2,
        ..LoadOptions::new(target, Length::Datagrams(1_001))
    }
}

#[test]
fn the_report_of_udp_load_is_what_a_receiver_finds() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let target = Target::Udp(receiver.local_addr().unwrap());
    // So few that a default receive buffer holds them all: none may be dropped here.
    let length = Length::Datagrams(140);
    let options =
        LoadOptions { length, rate: Some(Rate::Datagrams(50_000.0)), burst: 20, ..wide(target) };
    let found = thread::scope(|scope| {
        let load = scope.spawn(|| run(&options).unwrap());
        let found = find(160, |buffer| receiver.recv(buffer).unwrap());
        found.check(&load.join().unwrap());
        found
    });
    assert_eq!(found.contexts.len(), 300);
    assert_eq!(found.types.len(), 6);
}

#[test]
fn the_report_of_unix_datagram_load_is_what_a_receiver_finds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let options = wide(Target::UnixDatagram(path));
    thread::scope(|scope| {
        let load = scope.spawn(|| run(&options).unwrap());
        let found = find(1_051, |buffer| receiver.recv(buffer).unwrap());
        let report = load.join().unwrap();
        found.check(&report);
        assert_eq!(report.burst_datagrams, 50);
    });
}

#[test]
fn the_report_of_unix_stream_load_is_what_a_receiver_finds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let options = LoadOptions { senders: 1, ..wide(Target::UnixStream(path)) };
    thread::scope(|scope| {
        let load = scope.spawn(|| run(&options).unwrap());
        let mut stream = listener.accept().unwrap().0;
        let found = find(1_051, |buffer| {
            use std::io::Read;
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap();
            stream.read_exact(&mut buffer[..length]).unwrap();
            length
        });
        found.check(&load.join().unwrap());
    });
}

/// With nobody on the port some sends fail; sent and failed add up to what was tried.
#[test]
fn refused_sends_are_counted_apart() {
    let report = run(&LoadOptions::new(Target::Udp(CLOSED), Length::Datagrams(1_000))).unwrap();
    assert!(report.failed.datagrams > 0, "{report:?}");
    assert_eq!(report.datagrams + report.failed.datagrams, 1_000);
    assert_eq!(report.failed.errors.values().sum::<u64>(), report.failed.datagrams);
    assert_eq!(report.messages, report.datagrams);
}

/// Neither failures nor the block's end, which cut a call short, take anything off what is due.
#[test]
fn a_batch_is_tried_whole_over_failures_and_the_end_of_the_block() {
    let end = Length::Datagrams(0);
    let options = LoadOptions { messages: 200, ..LoadOptions::new(Target::Udp(CLOSED), end) };
    let block = Arc::new(Block::build(&options, 0));
    let mut sender = Sender::new(&options, 0, Arc::clone(&block)).unwrap();
    let stage = Stage::of(end, 0, 0, 1, &options.interrupt);
    let mut taken = 0;
    for _ in 0..100 {
        taken += sender.send_all(BATCH_MAX, &stage).unwrap();
    }
    let mut report = LoadReport::default();
    sender.add_to(&mut report);
    assert!(block.len() < 6_400 && report.failed.datagrams > 0);
    assert_eq!(taken + report.failed.datagrams, 6_400);
    assert_eq!(report.datagrams, taken);
}

/// A receiver that goes away in the middle: what it found and what was sent are the same.
#[test]
fn load_until_the_refusal_sent_what_the_receiver_took() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let end = Length::Refusal(Duration::from_secs(60));
    let options = LoadOptions { burst: 10, ..LoadOptions::new(Target::UnixDatagram(path), end) };
    thread::scope(|scope| {
        let load = scope.spawn(|| run(&options).unwrap());
        let mut found = find(500, |buffer| receiver.recv(buffer).unwrap());
        receiver.shutdown(std::net::Shutdown::Read).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1_024];
        while let Ok(bytes @ 1..) = receiver.recv(&mut buffer) {
            found.take(std::str::from_utf8(&buffer[..bytes]).unwrap());
        }
        let report = load.join().unwrap();
        found.check(&report);
        assert_eq!(report.failed.datagrams, 1, "{report:?}");
    });
}

/// Nobody reads: what the socket held before it was full is sent, the rest failed.
#[test]
fn a_full_socket_fails_the_rest_if_so_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let receiver = UnixDatagram::bind(&path).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let options = LoadOptions {
        on_full: OnFull::Fail,
        ..LoadOptions::new(Target::UnixDatagram(path), Length::Datagrams(100))
    };
    let report = run(&options).unwrap();
    assert_eq!(report.failed.errors["EAGAIN"], 100 - report.datagrams);
    let left = std::iter::from_fn(|| receiver.recv(&mut [0; 256]).ok()).count();
    assert_eq!(u64::try_from(left).unwrap(), report.datagrams);
}

#[test]
fn a_broken_stream_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let length = Length::Time(Duration::from_secs(60));
    let options = LoadOptions::new(Target::UnixStream(path), length);
    thread::scope(|scope| {
        let load = scope.spawn(|| run(&options).unwrap());
        drop(listener.accept().unwrap());
        let report = load.join().unwrap();
        assert_eq!(report.failed.datagrams, 1, "{report:?}");
    });
}

#[test]
fn the_same_seed_gives_the_same_datagrams() {
    let target = || Target::Udp(CLOSED);
    let datagrams = |options: &LoadOptions, sender| {
        let block = Block::build(options, sender);
        block.from(0).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let options = wide(target());
    assert_eq!(datagrams(&options, 0), datagrams(&options, 0));
    assert_ne!(datagrams(&options, 0), datagrams(&options, 1));
    let other = LoadOptions { seed: 2, ..wide(target()) };
    assert_ne!(datagrams(&options, 0), datagrams(&other, 0));
}

/// For several bounds: no datagram passes its size or its number of messages.
#[test]
fn datagrams_keep_their_bounds() {
    for (messages, datagram_bytes) in [(1, 1_432), (100, 512), (7, 65_000), (100, 1)] {
        let target = Target::Udp(CLOSED);
        let options = LoadOptions { messages, datagram_bytes, ..wide(target) };
        let block = Block::build(&options, 0);
        for (number, datagram) in block.from(0).enumerate() {
            let count = block.messages_of(number).len();
            assert_eq!(datagram.split(|&byte| byte == b'\n').count(), count);
            assert!(count <= usize::try_from(messages).unwrap());
            assert!(datagram.len() <= datagram_bytes || count == 1);
        }
    }
}

#[test]
fn a_mix_without_sense_is_refused() {
    for text in ["", "x=1", "c=0", "c=-1", "c=1,,g=1", "c=70000"] {
        assert!(text.parse::<Mix>().is_err(), "{text:?}");
    }
    assert_eq!("c".parse::<Mix>().unwrap(), Mix::only(Kind::Count));
}

fn drawn() -> LoadOptions {
    LoadOptions {
        contexts: 2_000,
        mix: "c=900,g=90,_e=55,_sc=55".parse().unwrap(),
        tags: Span { min: 2, max: 50 },
        texts: Texts::Random {
            name_bytes: Span { min: 1, max: 200 },
            tag_bytes: Span { min: 3, max: 150 },
            new_percent: 11,
        },
        values: Span { min: 2, max: 32 },
        packed_percent: 8,
        messages: 1_000,
        datagram_bytes: 8_192,
        ..LoadOptions::new(Target::Udp(CLOSED), Length::Datagrams(1))
    }
}

/// The distributions are those that were asked for, and no message is longer than a datagram.
#[test]
fn random_texts_keep_their_distributions() {
    let block = Block::build(&drawn(), 0);
    let text: Vec<u8> = block.from(0).collect::<Vec<_>>().join(&b'\n');
    let text = String::from_utf8(text).unwrap();
    assert!(block.from(0).all(|datagram| datagram.len() <= 8_192));
    let messages: Vec<&str> = text.split('\n').collect();
    let share = |wanted: &dyn Fn(&str) -> bool| {
        100 * messages.iter().filter(|message| wanted(message)).count() / messages.len()
    };
    assert!((3..8).contains(&share(&|message| message.starts_with("_e{"))));
    assert!((3..8).contains(&share(&|message| message.starts_with("_sc|"))));
    assert!((5..11).contains(&share(&|message| message.split('|').next().unwrap().contains(":")
        && !message.starts_with('_')
        && message.split('|').next().unwrap().matches(':').count() > 1)));
    let (mut count, mut bytes, mut distinct) = (0, 0, BTreeSet::new());
    let mut contexts = BTreeSet::new();
    for message in &messages {
        let list = message.rsplit_once("|#").map_or("", |(_, tags)| tags);
        for tag in list.split(',') {
            count += 1;
            bytes += tag.len();
            distinct.insert(tag);
        }
        contexts.insert(message.split(':').next().unwrap());
    }
    let mean = |sum: usize, of: usize| sum / of;
    assert!((24..28).contains(&mean(count, messages.len())), "{}", mean(count, messages.len()));
    assert!((72..80).contains(&mean(bytes, count)), "{}", mean(bytes, count));
    // Some contexts' tags are cut short by the datagram's end, and short tags may coincide.
    let new = 100 * distinct.len() / (2_000 * 26);
    assert!((9..12).contains(&new), "{new}");
    assert!(contexts.len() > 1_700);
}

#[test]
fn senders_have_contexts_of_their_own_if_so_asked() {
    let names = |options: &LoadOptions, sender| {
        let block = Block::build(options, sender);
        let texts = block.from(0).map(|datagram| String::from_utf8(datagram.to_vec()).unwrap());
        let names = texts.map(|text| text.split(':').next().unwrap().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let mix = Mix::only(Kind::Gauge);
    let shared = LoadOptions { mix, messages: 1, contexts: 300, ..drawn() };
    let own = LoadOptions { scope: Scope::Own, ..shared.clone() };
    assert_eq!(names(&shared, 0), names(&shared, 1));
    assert!(names(&own, 0).is_disjoint(&names(&own, 1)));
    assert_eq!(names(&own, 1).len(), 300);
}

/// Two stages are one load: the second goes on where the first ended.
#[test]
fn stages_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let options = wide(Target::UnixDatagram(path));
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut load = prepare(&options).unwrap();
            load.send(Length::Datagrams(301), 0).unwrap();
            let first = load.report();
            load.send(Length::Datagrams(300), 40).unwrap();
            (first, load.report())
        });
        let found = find(641, |buffer| receiver.recv(buffer).unwrap());
        let (first, both) = load.join().unwrap();
        assert_eq!((first.datagrams, both.burst_datagrams), (301, 40));
        found.check(&both);
    });
}

#[test]
fn a_rate_in_bytes_is_kept_and_an_interrupt_ends_it() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = Target::Udp(receiver.local_addr().unwrap());
    let rate = Some(Rate::Bytes(200_000.0));
    let options = LoadOptions { rate, target, ..drawn() };
    let mut load = prepare(&options).unwrap();
    load.send(Length::Time(Duration::from_millis(500)), 0).unwrap();
    let bytes = load.report().bytes;
    assert!((1..=120_000).contains(&bytes), "{bytes}");
    options.interrupt.raise();
    load.send(Length::Time(Duration::from_secs(600)), 1_000_000).unwrap();
    assert!(load.report().datagrams < 1_000);
}
