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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::time::Duration;

    use mio::{Events, Poll};
    use socket2::{Domain, Socket, Type};

    use super::*;

    const CONNECT_TIME: Duration = Duration::from_secs(30);

    /// Advances a dial as events come; the clock stands still.
    fn settle(dial: &mut Dial, poll: &mut Poll, now: Instant) -> Dialed {
        let mut events = Events::with_capacity(4);
        loop {
            match dial.advance(poll.registry(), now) {
                Dialed::Pending => {
                    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                    assert!(!events.is_empty(), "waited in vain: {dial:?}");
                }
                settled => return settled,
            }
        }
    }

    fn dial(addresses: &[SocketAddr], now: Instant) -> Dial {
        Dial::new(Token(1), addresses.into(), now, now + CONNECT_TIME)
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nobody listens: bound, so that nobody else takes it, and never listening.
    fn refusing() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    /// A listener whose queue is full: the kernel drops what else knocks.
    fn silent() -> (Socket, Vec<std::net::TcpStream>, SocketAddr) {
        let (socket, address) = refusing();
        socket.listen(0).unwrap();
        (socket, vec![std::net::TcpStream::connect(address).unwrap()], address)
    }

    #[test]
    fn the_second_address_is_dialed_when_the_first_refuses() {
        let now = Instant::now();
        let mut poll = Poll::new().unwrap();
        let ((_refusing, dead), (_listener, live)) = (refusing(), listener());
        let mut dial = dial(&[dead, live], now);
        let Dialed::Connected(stream) = settle(&mut dial, &mut poll, now) else {
            panic!("{dial:?}")
        };
        assert_eq!(stream.peer_addr().unwrap(), live);
    }

    /// A silent address costs its share of the time, then the next has its turn.
    #[test]
    fn the_second_address_is_dialed_when_the_first_is_silent() {
        let now = Instant::now();
        let mut poll = Poll::new().unwrap();
        let ((_full, _queued, dead), (_listener, live)) = (silent(), listener());
        let mut dial = dial(&[dead, live], now);
        assert!(matches!(dial.advance(poll.registry(), now), Dialed::Pending));
        assert_eq!(dial.timeout(), now + CONNECT_TIME / 2);
        let now = now + CONNECT_TIME / 2;
        let Dialed::Connected(stream) = settle(&mut dial, &mut poll, now) else {
            panic!("{dial:?}")
        };
        assert_eq!(stream.peer_addr().unwrap(), live);
    }

    #[test]
    fn the_last_address_tells_the_failure() {
        let now = Instant::now();
        let mut poll = Poll::new().unwrap();
        let ((_full, _queued, silent), (_refusing, refusing)) = (silent(), refusing());
        let mut dial = dial(&[refusing, silent], now);
        while dial.tried < 2 {
            assert!(matches!(dial.advance(poll.registry(), now), Dialed::Pending));
            if dial.tried < 2 {
                poll.poll(&mut Events::with_capacity(4), Some(Duration::from_secs(20))).unwrap();
            }
        }
        let expect = ConnectFailure { address: silent, kind: io::ErrorKind::TimedOut, tried: 2 };
        let outcome = dial.advance(poll.registry(), now + CONNECT_TIME);
        assert!(matches!(outcome, Dialed::Failed(failure) if failure == expect), "{outcome:?}");
    }

    #[test]
    fn an_ipv6_address_is_dialed_too() {
        // A container may have none.
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let now = Instant::now();
        let mut poll = Poll::new().unwrap();
        let mut dial = dial(&[listener.local_addr().unwrap()], now);
        assert!(matches!(settle(&mut dial, &mut poll, now), Dialed::Connected(_)));
    }

    /// With little time left an address has its two seconds, not an equal share.
    #[test]
    fn a_share_is_never_too_short_to_connect() {
        let now = Instant::now();
        let poll = Poll::new().unwrap();
        let (_full, _queued, address) = silent();
        let addresses: Addresses = vec![address; 16].into();
        let mut dial = Dial::new(Token(1), addresses, now, now + Duration::from_secs(5));
        assert!(matches!(dial.advance(poll.registry(), now), Dialed::Pending));
        assert_eq!(dial.timeout(), now + CONNECT_TIME_MIN);
    }
}
