//! Names to addresses without holding up the loop: a thread asks the system's resolver, which may
//! take its time, and wakes the loop when it knows.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Instant;

use mio::Waker;

use super::failure::ResolveFailure;
use super::target::Host;
use crate::limits::{ADDRESSES_MAX, ADDRESSES_TIME_MAX};

/// Addresses in the order in which they are tried.
pub(super) type Addresses = Arc<[SocketAddr]>;

/// The addresses of one host. At most one thread at a time works for it.
#[derive(Debug)]
pub(super) struct Resolver {
    host: Host,
    port: u16,
    waker: Arc<Waker>,
    state: State,
}

#[derive(Debug)]
enum State {
    Unknown,
    Asked(Receiver<Result<Addresses, ResolveFailure>>),
    Known { addresses: Addresses, until: Instant },
}

/// What is known at once.
#[derive(Debug)]
pub(super) enum Lookup {
    Known(Addresses),
    /// The waker will wake the loop; then [`Resolver::answer`] has the answer.
    Asked,
    Failed(ResolveFailure),
}

impl Resolver {
    pub(super) fn new(host: Host, port: u16, waker: Arc<Waker>) -> Self {
        Self { host, port, waker, state: State::Unknown }
    }

    /// Returns the addresses if the host is one or they are known, else asks for them. The thread
    /// that asks ends with its answer.
    pub(super) fn lookup(&mut self, now: Instant) -> Lookup {
        let name = match &self.host {
            Host::Address(address) => {
                return Lookup::Known([SocketAddr::new(*address, self.port)].into());
            }
            Host::Name(name) => Arc::clone(name),
        };
        match &self.state {
            State::Known { addresses, until } if now < *until => {
                return Lookup::Known(Arc::clone(addresses));
            }
            State::Asked(_) => return Lookup::Asked,
            State::Known { .. } | State::Unknown => {}
        }
        let (answer, answers) = sync_channel(1);
        let (port, waker) = (self.port, Arc::clone(&self.waker));
        let ask = move || {
            // Nobody listens any more once the pool has gone.
            let _ = answer.send(ask(&name, port));
            let _ = waker.wake();
        };
        match thread::Builder::new().name("resolve".to_owned()).spawn(ask) {
            Ok(_) => {
                self.state = State::Asked(answers);
                Lookup::Asked
            }
            Err(error) => Lookup::Failed(ResolveFailure::NoThread(error.kind())),
        }
    }

    /// Takes the thread's answer, if there is one.
    pub(super) fn answer(&mut self, now: Instant) -> Option<Result<Addresses, ResolveFailure>> {
        let State::Asked(answers) = &self.state else { return None };
        let answer = match answers.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                Err(ResolveFailure::Resolver("its thread ended without an answer".to_owned()))
            }
        };
        self.state = match &answer {
            Ok(addresses) => State::Known {
                addresses: Arc::clone(addresses),
                until: now.checked_add(ADDRESSES_TIME_MAX).unwrap_or(now),
            },
            Err(_) => State::Unknown,
        };
        Some(answer)
    }

    /// Forgets what is known, after a connection failed: the host may have moved.
    pub(super) fn forget(&mut self) {
        if let State::Known { .. } = self.state {
            self.state = State::Unknown;
        }
    }
}

fn ask(name: &str, port: u16) -> Result<Addresses, ResolveFailure> {
    let found = (name, port)
        .to_socket_addrs()
        .map_err(|error| ResolveFailure::Resolver(error.to_string()))?;
    let mut seen = HashSet::new();
    let addresses: Addresses =
        found.filter(|address| seen.insert(*address)).take(ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err(ResolveFailure::NoAddress) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    fn resolver(host: Host) -> (Poll, Resolver) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        (poll, Resolver::new(host, 8125, waker))
    }

    /// Waits for the waker, then for the answer, which is there already.
    fn answer(poll: &mut Poll, resolver: &mut Resolver, now: Instant) -> Result<Addresses, String> {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert!(!events.is_empty(), "never woken");
        resolver.answer(now).unwrap().map_err(|why| why.to_string())
    }

    #[test]
    fn an_address_needs_no_thread() {
        let (_poll, mut resolver) = resolver(Host::Address([10, 0, 0, 1].into()));
        let Lookup::Known(addresses) = resolver.lookup(Instant::now()) else { panic!() };
        assert_eq!(*addresses, [SocketAddr::from(([10, 0, 0, 1], 8125))]);
    }

    #[test]
    fn a_name_is_known_until_it_is_old_or_forgotten() {
        let now = Instant::now();
        let (mut poll, mut resolver) = resolver(Host::Name("localhost".into()));
        assert!(matches!(resolver.lookup(now), Lookup::Asked));
        assert!(matches!(resolver.lookup(now), Lookup::Asked));
        let addresses = answer(&mut poll, &mut resolver, now).unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
        assert!(matches!(resolver.lookup(now), Lookup::Known(_)));
        assert!(matches!(resolver.lookup(now + ADDRESSES_TIME_MAX), Lookup::Asked));
        answer(&mut poll, &mut resolver, now).unwrap();
        assert!(matches!(resolver.lookup(now), Lookup::Known(_)));
        resolver.forget();
        assert!(matches!(resolver.lookup(now), Lookup::Asked));
    }

    /// A name that no resolver is asked for, so that the test needs none.
    #[test]
    fn a_failure_is_told_and_the_next_lookup_asks_again() {
        let now = Instant::now();
        let (mut poll, mut resolver) = resolver(Host::Name("no\0name".into()));
        assert!(matches!(resolver.lookup(now), Lookup::Asked));
        assert!(answer(&mut poll, &mut resolver, now).is_err());
        assert!(matches!(resolver.lookup(now), Lookup::Asked));
    }
}
