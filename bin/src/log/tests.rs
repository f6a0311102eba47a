//! Log lines on a standard error that reads, stalls or is gone.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

/// Both ways to write a line.
const WAYS: [fn(BorrowedFd<'_>, &[u8]) -> Outcome; 2] = [put, put_if_ready];

/// Writes lines of the greatest length until one is dropped, and gives how many were not. A way that
/// waits is found out by the time that no write may ever take.
fn fill(
    target: impl Into<std::os::fd::OwnedFd>,
    put: fn(BorrowedFd<'_>, &[u8]) -> Outcome,
) -> usize {
    let (target, (sender, receiver)) = (target.into(), mpsc::channel());
    thread::spawn(move || {
        let line = [b'x'; LINE_BYTES_MAX];
        let lines = (0..10_000).take_while(|_| put(target.as_fd(), &line) == Outcome::Written);
        sender.send(lines.count())
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("a line waited for its reader")
}

/// For both ways: a pipe that nobody reads is filled, and then lines are dropped at once.
#[test]
fn a_full_pipe_drops_lines_and_never_waits() {
    for put in WAYS {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines = fill(writer, put);
        assert!((1..10_000).contains(&lines), "{lines}");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), lines * LINE_BYTES_MAX, "no line is torn");
    }
}

#[test]
fn a_full_socket_drops_lines_and_never_waits() {
    let (_reader, writer) = UnixStream::pair().unwrap();
    let lines = fill(writer, put);
    assert!((1..10_000).contains(&lines), "{lines}");
}

#[test]
fn a_file_takes_every_line() {
    let path = std::env::temp_dir().join(format!("lastdrop-log-{}", std::process::id()));
    for put in WAYS {
        let file = std::fs::File::create(&path).unwrap();
        for line in ["one\n", "two\n"] {
            assert_eq!(put(file.as_fd(), line.as_bytes()), Outcome::Written);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_reader_that_is_gone_costs_the_line_only() {
    for put in WAYS {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(put(writer.as_fd(), b"line\n"), Outcome::Dropped);
    }
}

#[test]
fn a_dropped_line_is_counted() {
    let (reader, writer) = io::pipe().unwrap();
    let before = dropped();
    put_or_count(writer.as_fd(), b"line\n");
    assert_eq!(dropped(), before);
    drop(reader);
    put_or_count(writer.as_fd(), b"line\n");
    assert_eq!(dropped(), before + 1);
}

#[test]
fn what_would_break_the_line_is_escaped() {
    assert_eq!(line("lastdrop: info: ", "a\nb\x1b[2Jé"), "lastdrop: info: a\\nb\\u{1b}[2Jé\n");
}

/// For all lengths around the limit: a line fits, and one that was cut says so.
#[test]
fn a_long_line_is_cut() {
    for length in LINE_BYTES_MAX - 40..LINE_BYTES_MAX + 40 {
        for char in ["x", "\u{1b}", "é", "🦀"] {
            let line = line("lastdrop: info: ", &char.repeat(length));
            assert!(line.len() <= LINE_BYTES_MAX, "{length} {char:?}: {}", line.len());
            assert!(line.ends_with('\n'));
        }
    }
    assert!(line("", &"x".repeat(LINE_BYTES_MAX)).ends_with("x…\n"));
    assert!(line("", &"x".repeat(LINE_BYTES_MAX / 2)).ends_with("xx\n"));
}
