//! A TCP connection to the first address that takes it, one after another.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::failure::ConnectFailure;
use super::resolve::Addresses;
use crate::limits::{CONNECT_TIME_MIN, TCP_KEEPALIVE_TIME};

/// A connection in the making. Each address has its share of the time left, so that one that is
/// silent leaves time for the next.
#[derive(Debug)]
pub(super) struct Dial {
    token: Token,
    addresses: Addresses,
    /// How many addresses were tried, the current one included; at most `addresses.len()`.
    tried: usize,
    current: Option<(TcpStream, SocketAddr)>,
    /// When the current address has had its share.
    share_until: Instant,
    /// When all of them have had theirs.
    until: Instant,
    failure: Option<ConnectFailure>,
}

#[derive(Debug)]
pub(super) enum Dialed {
    Pending,
    Connected(TcpStream),
    Failed(ConnectFailure),
}

impl Dial {
    /// Prepares to try `addresses`, of which there is at least one, up to `until`.
    pub(super) fn new(token: Token, addresses: Addresses, now: Instant, until: Instant) -> Self {
        Self { token, addresses, tried: 0, current: None, share_until: now, until, failure: None }
    }

    /// Goes on as far as it can without waiting. The stream is registered for both directions.
    pub(super) fn advance(&mut self, registry: &Registry, now: Instant) -> Dialed {
        loop {
            if let Some((stream, address)) = self.current.take() {
                match connected(&stream) {
                    Ok(Connected::Yes) => return Dialed::Connected(stream),
                    Ok(Connected::NotYet) if now < self.share_until => {
                        self.current = Some((stream, address));
                        return Dialed::Pending;
                    }
                    Ok(Connected::NotYet) => self.failed(address, io::ErrorKind::TimedOut),
                    Err(error) => self.failed(address, error.kind()),
                }
            }
            let Some(address) = self.next_address(now) else {
                // Without any address tried there is no failure to tell of: time alone was up.
                return self.failure.map_or(Dialed::Pending, Dialed::Failed);
            };
            match open(address, registry, self.token) {
                Ok(stream) => self.current = Some((stream, address)),
                Err(error) => self.failed(address, error.kind()),
            }
        }
    }

    /// Returns when [`advance`](Self::advance) must be called again though nothing happened.
    pub(super) fn timeout(&self) -> Instant {
        self.share_until
    }

    /// Picks the next address and gives it an equal share of the time left, but not too little.
    fn next_address(&mut self, now: Instant) -> Option<SocketAddr> {
        let left = self.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let address = *self.addresses.get(self.tried)?;
        let waiting = self.addresses.len().saturating_sub(self.tried).max(1);
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let share = left.checked_div(waiting).unwrap_or(left).max(CONNECT_TIME_MIN).min(left);
        self.share_until = now.checked_add(share).unwrap_or(self.until);
        self.tried = self.tried.saturating_add(1);
        Some(address)
    }

    fn failed(&mut self, address: SocketAddr, kind: io::ErrorKind) {
        self.failure = Some(ConnectFailure { address, kind, tried: self.tried });
    }
}

fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE_TIME);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

enum Connected {
    Yes,
    NotYet,
}

/// Asks the kernel, as mio's documentation of `connect` says: first for an error, then for a peer.
fn connected(stream: &TcpStream) -> io::Result<Connected> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(Connected::Yes),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Connected::NotYet),
        Err(error) => Err(error),
    }
}
