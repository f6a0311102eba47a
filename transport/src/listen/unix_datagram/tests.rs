//! A real socket, with a client that goes on over the seal.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::super::socket_file::tests::Directory;
use super::super::{ListenSettings, Listeners, bind, bind_available};
use super::*;
use crate::sys::Batch;

fn settings(directory: &Directory) -> ListenSettings {
    ListenSettings { unix_datagram: Some(directory.settings()), ..ListenSettings::default() }
}

fn drain(listeners: &Listeners, batch: &mut Batch) -> u64 {
    let mut datagrams = 0;
    while let received @ 1.. = listeners.sockets[0].receive(batch, 64).unwrap() {
        datagrams += received as u64;
    }
    datagrams
}

#[test]
fn datagrams_arrive_in_order_and_the_file_goes_at_the_end() {
    let directory = Directory::new();
    let mut listeners = bind(&settings(&directory)).unwrap();
    let path = directory.settings().path;
    let client = UnixDatagram::unbound().unwrap();
    for text in ["1", "2", "3"] {
        client.send_to(text.as_bytes(), &path).unwrap();
    }
    let socket = listeners.sockets.pop().unwrap();
    assert_eq!((socket.transport(), socket.stamps()), (Transport::UnixDatagram, Stamps::Off));
    assert_eq!(socket.queue_info(), None);
    let mut batch = Batch::new(8, 16);
    assert_eq!(socket.receive(&mut batch, 8).unwrap(), 3);
    let texts: Vec<_> = batch.datagrams().map(|datagram| datagram.bytes.to_vec()).collect();
    assert_eq!(texts, [b"1", b"2", b"3"]);
    socket.close();
    assert!(!path.exists());
}

/// The seal while a client goes on, 50 times: what its sends took is received, and the first send
/// after that is refused.
#[test]
fn seal_receives_exactly_what_the_client_could_send() {
    for run in 0..50 {
        let directory = Directory::new();
        let listeners = bind(&settings(&directory)).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.connect(directory.settings().path).unwrap();
        let sent = AtomicU64::new(0);
        let mut batch = Batch::new(64, 128);
        let (received, refusal) = thread::scope(|scope| {
            let client = scope.spawn(|| {
                loop {
                    if let Err(error) = client.send(&[b'x'; 80]) {
                        return error;
                    }
                    sent.fetch_add(1, Ordering::Release);
                }
            });
            let mut received = 0;
            while received < 20 * run {
                received += drain(&listeners, &mut batch);
                thread::yield_now();
            }
            listeners.sockets[0].refuse().unwrap();
            received += drain(&listeners, &mut batch);
            (received, client.join().unwrap())
        });
        assert_eq!(refusal.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(received, sent.load(Ordering::Acquire), "run {run}");
        assert_eq!(drain(&listeners, &mut batch), 0);
    }
}

#[test]
fn socket_beside_another_one_is_stamped_or_says_why_not() {
    let directory = Directory::new();
    let mut settings = settings(&directory);
    let path = directory.settings().path.with_extension("stream");
    settings.unix_stream = Some(UnixSettings::new(path));
    assert_eq!(bind(&settings).unwrap().sockets[0].stamps(), Stamps::On);

    settings.without = vec![Feature::Stamps];
    let listeners = bind(&settings).unwrap();
    assert_eq!(listeners.sockets[0].stamps(), Stamps::Off);
    assert_eq!(listeners.report.fallbacks[0].feature, Feature::Stamps);
    assert_eq!(listeners.report.addresses.len(), 2);
}

/// `bind` gives nothing where one listener fails; `bind_available` gives the others.
#[test]
fn one_bad_listener_is_fatal_or_left_out_as_the_caller_wishes() {
    let directory = Directory::new();
    let mut settings = settings(&directory);
    settings.unix_stream = Some(UnixSettings::new("/proc/missing/socket".into()));
    let error = bind(&settings).unwrap_err();
    assert!(matches!(error, ListenError::Unix { .. }), "{error}");
    assert!(!directory.settings().path.exists(), "the good one was given up too");

    let (listeners, errors) = bind_available(&settings);
    assert_eq!((listeners.sockets.len(), errors.len()), (1, 1));
    assert!(directory.settings().path.exists());
}
