//! What tests of the program share: how it is started, and a server that takes requests.

#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod port;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest time that a test waits for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A key of the right form.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A request that a server took.
pub(crate) struct Request {
    /// Its path.
    pub(crate) path: String,
    /// Its head, as it came.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// The program with an environment of its own, and without the settings file of this machine.
pub(crate) fn lastdrop(arguments: &[&str]) -> Command {
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-settings.yaml");
    std::fs::write(&empty, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop"));
    command.args(arguments).env_clear().env("LASTDROP_CONFIG", empty).stdin(Stdio::null());
    command
}

/// An intake that accepts everything; its URL and what it took.
pub(crate) fn intake() -> (String, Receiver<Request>) {
    server(|_| "202 Accepted", |_| "{}")
}

/// A server that answers each path with a status and a body; its URL and what it took.
pub(crate) fn server(
    status: fn(&str) -> &'static str,
    body: fn(&str) -> &'static str,
) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || serve(&stream.unwrap(), status, body, &sender));
        }
    });
    (url, requests)
}

/// Answers the requests of one connection.
fn serve(
    stream: &TcpStream,
    status: fn(&str) -> &'static str,
    answer: fn(&str) -> &'static str,
    sender: &Sender<Request>,
) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length, mut line) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
            line.clear();
        }
        let mut body = vec![0; length];
        if head.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, text) = (status(&path), answer(&path));
        let _ = sender.send(Request { path, head, body });
        let length = text.len();
        let _ = write!(&*stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{text}");
    }
}
