//! Real connections, with clients that leave early or go on over the seal.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::super::socket_file::tests::Directory;
use super::super::{ListenSettings, bind};
use super::*;

fn listen(directory: &Directory) -> StreamListener {
    let settings =
        ListenSettings { unix_stream: Some(directory.settings()), ..ListenSettings::default() };
    bind(&settings).unwrap().stream.unwrap()
}

fn client(directory: &Directory) -> UnixStream {
    UnixStream::connect(directory.settings().path).unwrap()
}

fn accept(listener: &StreamListener) -> Connection {
    let Ok(Accepted::Connection(connection)) = listener.accept(0) else {
        panic!("a client was waiting");
    };
    connection
}

/// Reads until the end and returns how many bytes came.
fn read_to_end(connection: &mut Connection) -> u64 {
    let mut total = 0;
    loop {
        match connection.read(&mut [0; 4096]).unwrap() {
            Reading::Bytes(bytes) => total += bytes as u64,
            Reading::Nothing => thread::yield_now(),
            Reading::End => return total,
        }
    }
}

#[test]
fn nobody_waits_and_nothing_is_there_are_no_errors() {
    let directory = Directory::new();
    let listener = listen(&directory);
    assert!(matches!(listener.accept(0), Ok(Accepted::Nobody)));
    let mut client = client(&directory);
    let mut connection = accept(&listener);
    assert_eq!(connection.read(&mut [0; 8]).unwrap(), Reading::Nothing);
    client.write_all(b"abc").unwrap();
    assert_eq!(connection.read(&mut [0; 2]).unwrap(), Reading::Bytes(2));
    drop(client);
    assert_eq!(connection.read(&mut [0; 2]).unwrap(), Reading::Bytes(1));
    assert_eq!(connection.read(&mut [0; 2]).unwrap(), Reading::End);
}

#[test]
fn client_that_wrote_and_left_before_it_was_accepted_is_heard() {
    let directory = Directory::new();
    let listener = listen(&directory);
    for _ in 0..100 {
        client(&directory).write_all(&[b'x'; 100]).unwrap();
        assert_eq!(read_to_end(&mut accept(&listener)), 100);
    }
}

#[test]
fn more_clients_than_there_may_be_wait_their_turn() {
    let directory = Directory::new();
    let listener = listen(&directory);
    let _client = client(&directory);
    assert!(matches!(listener.accept(STREAM_CONNECTIONS_MAX), Ok(Accepted::Full)));
    let full = listener.accept(STREAM_CONNECTIONS_MAX - 1);
    assert!(matches!(full, Ok(Accepted::Connection(_))));
}

/// New clients are turned away; one that waits, with what it wrote, is still let in.
#[test]
fn listener_that_refuses_still_gives_up_those_who_wait() {
    let directory = Directory::new();
    let listener = listen(&directory);
    client(&directory).write_all(b"early").unwrap();
    listener.refuse().unwrap();
    let error = UnixStream::connect(directory.settings().path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(read_to_end(&mut accept(&listener)), 5);
    assert!(matches!(listener.accept(0), Ok(Accepted::Nobody)));
    listener.close();
    assert!(!directory.settings().path.exists());
}

/// The seal while a client goes on, 50 times: what its writes took is read, then comes the end.
#[test]
fn seal_reads_exactly_what_the_client_could_write() {
    for run in 0..50 {
        let directory = Directory::new();
        let listener = listen(&directory);
        let mut client = client(&directory);
        let mut connection = accept(&listener);
        let written = AtomicU64::new(0);
        let (read, refusal) = thread::scope(|scope| {
            let client = scope.spawn(|| {
                loop {
                    match client.write(&[b'x'; 80]) {
                        Ok(bytes) => written.fetch_add(bytes as u64, Ordering::Release),
                        Err(error) => return error,
                    };
                }
            });
            let mut read = 0;
            while read < 1000 * run {
                if let Reading::Bytes(bytes) = connection.read(&mut [0; 512]).unwrap() {
                    read += bytes as u64;
                }
            }
            listener.refuse().unwrap();
            connection.refuse().unwrap();
            read += read_to_end(&mut connection);
            (read, client.join().unwrap())
        });
        assert_eq!(refusal.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(read, written.load(Ordering::Acquire), "run {run}");
        connection.close();
    }
}
