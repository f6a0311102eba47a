//! A client with a loop and a clock that can jump, and servers that follow a script.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lastdrop_transport::http::{Header, Method, Path, Request};
use lastdrop_transport::net::{Answer, Failure, Pool, PoolSettings, Target, Timeouts};
use mio::{Events, Poll, Token, Waker};

/// How long a test waits for what must happen: far longer than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

const WAKER: Token = Token(0);
const FIRST: Token = Token(10);

/// A pool with its loop.
pub(crate) struct Client {
    pub(crate) pool: Pool,
    poll: Poll,
    events: Events,
    /// The clock stands still but for its jumps: a limit is met exactly, on any machine.
    started: Instant,
    /// How far it was put forward.
    jumped: Duration,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self::with(url, |_| {})
    }

    /// Makes a client whose settings `change` may change.
    pub(crate) fn with(url: &str, change: impl FnOnce(&mut PoolSettings)) -> Self {
        let poll = Poll::new().unwrap();
        let mut settings = PoolSettings {
            target: Target::parse(url).unwrap(),
            proxy: None,
            tls: None,
            timeouts: Timeouts::default(),
            connections_max: 4,
            token: FIRST,
            waker: Arc::new(Waker::new(poll.registry(), WAKER).unwrap()),
        };
        change(&mut settings);
        let pool = Pool::new(settings, poll.registry()).unwrap();
        Self {
            pool,
            poll,
            events: Events::with_capacity(16),
            started: Instant::now(),
            jumped: Duration::ZERO,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.started + self.jumped
    }

    pub(crate) fn send(&mut self, id: u64, request: Request) {
        self.pool.send(id, request, self.now());
    }

    /// Puts the clock forward and tells the pool.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.jumped += time;
        self.pool.handle_timeout(self.now());
    }

    /// Runs the loop until a request is finished.
    pub(crate) fn done(&mut self) -> (u64, Result<Answer, Failure>) {
        let mut done = None;
        self.run_until(|client| {
            done = client.pool.poll_done();
            done.is_some()
        });
        done.unwrap()
    }

    /// Sends one request and runs the loop until it is finished.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        self.send(7, request);
        let (id, result) = self.done();
        assert_eq!(id, 7);
        result
    }

    /// Runs the loop until `condition` holds.
    pub(crate) fn run_until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "waited in vain: {:?}", self.pool);
            self.turn();
        }
    }

    /// Waits for events, but not for long, and hands them to the pool.
    pub(crate) fn turn(&mut self) {
        // Conditions outside the pool (a server's message) are looked at often enough.
        let longest = Duration::from_millis(10);
        let timeout = self.pool.next_timeout().map(|at| at.saturating_duration_since(self.now()));
        self.poll.poll(&mut self.events, Some(timeout.unwrap_or(longest).min(longest))).unwrap();
        let now = self.now();
        for event in &self.events {
            match event.token() {
                WAKER => self.pool.handle_wake(now),
                token => self.pool.handle_event(token, now),
            }
        }
        if self.pool.next_timeout().is_some_and(|at| at <= now) {
            self.pool.handle_timeout(now);
        }
    }
}

/// A POST with the key in its head.
pub(crate) fn post(body: impl Into<Bytes>) -> Request {
    Request {
        method: Method::Post,
        path: Path::new("/api/v2/series").unwrap(),
        headers: [Header::secret("DD-Api-Key", KEY).unwrap()].into(),
        body: body.into(),
    }
}

/// A server whose every connection is served by a script, in a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What the scripts report.
    pub(crate) reports: mpsc::Receiver<String>,
}

/// Where a script reports what it saw.
pub(crate) type Reports = mpsc::Sender<String>;

impl Server {
    /// Starts a server; `script` gets the connection's number, from 0.
    pub(crate) fn start(
        script: impl Fn(usize, TcpStream, &Reports) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reports) = mpsc::channel();
        let script = Arc::new(script);
        // Both kinds of thread end with the test's process; a script also with its connection.
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (script, reports) = (Arc::clone(&script), sender.clone());
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                thread::spawn(move || script(number, stream, &reports));
            }
        });
        Self { address, reports }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next report.
    pub(crate) fn report(&self) -> String {
        self.reports.recv_timeout(PATIENCE).unwrap()
    }
}

/// Reads one request: its head as text and its body. `None` at the end of the stream.
pub(crate) fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let head = read_head(stream)?;
    let mut body = vec![0; content_length(&head)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Reads a request's head, up to the blank line.
pub(crate) fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    Some(head)
}

fn content_length(head: &str) -> usize {
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.map_or(0, |length| length.parse().unwrap())
}

/// Answers every request of a connection with 202, reporting each body's length and number of the
/// connection as `connection:bytes`.
pub(crate) fn accept_all(number: usize, stream: impl Read + Write, reports: &Reports) {
    let mut stream = BufReader::new(stream);
    while let Some((_, body)) = read_request(&mut stream) {
        let _ = reports.send(format!("{number}:{}", body.len()));
        if stream.get_mut().write_all(ACCEPTED).is_err() {
            return;
        }
    }
}

pub(crate) const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";

/// The seed of a random test: a new one, or that of the run to be repeated.
pub(crate) fn seed() -> u64 {
    match std::env::var("LASTDROP_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    }
}

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
