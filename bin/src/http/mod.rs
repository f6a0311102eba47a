//! The HTTP pages of a running agent: loopback alone, read-only, off unless asked for.
//!
//! One thread with one poll. A connection carries one request; heads, connections and times are
//! bounded, and where there is no room the oldest connection goes, so that a client that is slow on
//! purpose never keeps a probe out. The thread reads counters and asks what the control socket asks
//! ([`Desk`]): nothing waits for it, least of all the stop.

mod connection;
mod health;
mod pages;
mod prometheus;

use self::connection::{Connection, Progress};
use self::pages::Pages;
use crate::desk::Desk;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Connections at once.
const CONNECTIONS_MAX: usize = 16;

/// Longest time from the connect to the last byte of the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause after an accept that failed: out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Stack of the thread.
const STACK_BYTES: usize = 256 << 10;

/// Token of the listener; connections have their places.
const LISTENER: Token = Token(CONNECTIONS_MAX);

/// Serves the pages from a thread of its own. The agent can do without, so a failure is told and no
/// more.
pub(crate) fn start(address: SocketAddr, desk: &Arc<Desk>, delivery_window: Duration) {
    let pages = Pages::new(Arc::clone(desk), delivery_window);
    match Server::bind(address, pages).and_then(Server::spawn) {
        Ok(address) => info!("http: {address}"),
        Err(why) => warn!("no pages over HTTP: {address}: {why}"),
    }
}

/// The listener and its connections.
struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    pages: Pages,
    /// When to look at the listener again without an event.
    accept_at: Option<Instant>,
}

impl Server {
    fn bind(address: SocketAddr, pages: Pages) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let connections = (0..CONNECTIONS_MAX).map(|_| None).collect();
        Ok(Self { poll, listener, connections, pages, accept_at: None })
    }

    fn spawn(self) -> io::Result<SocketAddr> {
        let address = self.listener.local_addr()?;
        let thread = thread::Builder::new().name("http".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || self.run())?;
        Ok(address)
    }

    /// Serves for as long as the process lives.
    fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX + 1);
        loop {
            let ends = self.connections.iter().flatten().map(|one| one.began + CONNECTION_TIME_MAX);
            let next = ends.chain(self.accept_at).min();
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            if self.poll.poll(&mut events, timeout).is_err() {
                // Interrupted: look at what there is.
                events.clear();
            }
            events.iter().for_each(|event| self.turn(event));
            let now = Instant::now();
            for one in &mut self.connections {
                one.take_if(|one| now >= one.began + CONNECTION_TIME_MAX);
            }
            if self.accept_at.is_some_and(|at| now >= at) {
                self.accept();
            }
        }
    }

    fn turn(&mut self, event: &Event) {
        if event.token() == LISTENER {
            return self.accept();
        }
        let Some(place) = self.connections.get_mut(event.token().0) else { return };
        let pages = &mut self.pages;
        let step = |one: &mut Connection| one.step(|request| pages.answer(request));
        if place.as_mut().map(step) != Some(Progress::Open) {
            *place = None;
        }
    }

    /// Takes every connection that waits; in place of the oldest where all places are taken.
    fn accept(&mut self) {
        self.accept_at = None;
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.accept_at = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            };
            let oldest =
                |(_, one): &(usize, &mut Option<Connection>)| one.as_ref().map(|one| one.began);
            let Some((index, place)) = self.connections.iter_mut().enumerate().min_by_key(oldest)
            else {
                return;
            };
            // Closed first: its descriptor may be the one that is taken out of the poll.
            *place = None;
            let mut one = Connection::new(stream, Instant::now());
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(one.source(), Token(index), interest).is_ok() {
                *place = Some(one);
            }
        }
    }
}
