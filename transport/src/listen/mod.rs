//! The sockets that clients send to: bound, sized, and able to say what they hold and lost.
//!
//! ```text
//!  settings ─▶ bind ─┬▶ sockets   UDP groups and the unix datagram socket: swept by the receiver
//!                    ├▶ ports     locks on our ports; looks for strangers at start and at the seal
//!                    └▶ report    what was granted, what the kernel refused: for status
//! ```
//!
//! Nothing here reads a datagram on its own or decides when to stop; the receiver does.

pub mod group;
pub mod memory_limit;

mod descriptors;
mod error;
mod fallback;
mod socket;
mod strangers;
mod udp;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use lastdrop_engine::datagram::Transport;

pub use self::descriptors::RaisedLimit;
pub use self::error::{Holder, ListenError};
pub use self::fallback::{Fallback, Feature};
pub use self::socket::Socket;
pub use self::strangers::Stranger;
pub use self::udp::{Interfaces, Spreading, UdpSettings};

/// What to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenSettings {
    /// UDP, unless switched off.
    pub udp: Option<UdpSettings>,
    /// How many receivers share the sockets: each needs one of its own at least. `None`: one.
    pub receivers: Option<NonZeroUsize>,
    /// What this "kernel" refuses.
    #[cfg(test)]
    refused: Vec<Feature>,
}

/// All that listens.
#[derive(Debug)]
pub struct Listeners {
    /// Sockets that bring datagrams, group by group.
    pub sockets: Vec<Socket>,
    /// The UDP ports: keep it as long as the sockets.
    pub ports: Ports,
    /// What was granted.
    pub report: ListenReport,
}

/// Binds everything that `settings` ask for, or nothing.
///
/// # Errors
///
/// The first listener that could not be set up.
pub fn bind(settings: &ListenSettings) -> Result<Listeners, ListenError> {
    let (listeners, errors) = bind_available(settings);
    errors.into_iter().next().map_or(Ok(listeners), Err)
}

/// Binds what can be bound, and says what can't: for an agent that must not stand in the way of the
/// application that it wraps.
#[must_use]
pub fn bind_available(settings: &ListenSettings) -> (Listeners, Vec<ListenError>) {
    let mut listeners =
        Listeners { sockets: Vec::new(), ports: Ports::default(), report: ListenReport::default() };
    let mut errors = Vec::new();
    if let Some(udp) = &settings.udp {
        let bound = udp::bind(udp, settings);
        for group in bound.groups {
            listeners.report.addresses.push(group.report());
            listeners.ports.add(group.address, group.lock, &group.sockets);
            listeners.sockets.extend(group.sockets);
        }
        errors.extend(bound.errors);
        listeners.report.fallbacks.extend(bound.fallbacks);
        listeners.report.raised_limit = bound.raised_limit;
        listeners.report.strangers = listeners.ports.strangers();
    }
    (listeners, errors)
}

/// The UDP ports that are ours, and the locks that keep a second lastdrop away from them.
#[derive(Debug, Default)]
pub struct Ports {
    addresses: Vec<SocketAddr>,
    inodes: HashSet<u64>,
    /// Held, never used.
    _locks: Vec<UnixDatagram>,
}

impl Ports {
    fn add(&mut self, address: SocketAddr, lock: Option<UnixDatagram>, sockets: &[Socket]) {
        self.addresses.push(address);
        self.inodes.extend(sockets.iter().filter_map(Socket::inode));
        self._locks.extend(lock);
    }

    /// Returns the addresses that are bound, with the port that the kernel chose where it was asked
    /// to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Looks for sockets on our ports that aren't ours. Reads the kernel's tables; empty where it
    /// shows none.
    #[must_use]
    pub fn strangers(&self) -> Vec<Stranger> {
        if self.addresses.is_empty() {
            return Vec::new();
        }
        strangers::strangers(&self.addresses, &self.inodes)
    }
}

/// What was granted, for status and receipt.
#[derive(Clone, Debug, Default)]
pub struct ListenReport {
    /// One row for each address or path.
    pub addresses: Vec<AddressReport>,
    /// What the kernel refused.
    pub fallbacks: Vec<Fallback>,
    /// Sockets of others on our ports, as seen when ours were bound.
    pub strangers: Vec<Stranger>,
    /// Set if the soft limit of open files was raised.
    pub raised_limit: Option<RaisedLimit>,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// UDP.
    Udp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// What was granted on one address.
#[derive(Clone, Debug)]
pub struct AddressReport {
    /// What clients send to.
    pub address: Address,
    /// The kind of its sockets.
    pub transport: Transport,
    /// Sockets on it, with the least buffer that one of them was granted.
    pub plan: group::GroupPlan,
    /// Who chooses the socket for a datagram.
    pub spreading: Spreading,
}

impl AddressReport {
    /// Returns how many datagrams of `datagram_bytes` bytes the kernel keeps for one sender while
    /// nobody reads; an estimate. `None` where the kernel counts otherwise (unix sockets).
    #[must_use]
    pub fn capacity(&self, datagram_bytes: usize) -> Option<usize> {
        match (self.transport, self.spreading) {
            (Transport::Udp, Spreading::ByDatagram) => Some(self.plan.capacity(datagram_bytes)),
            (Transport::Udp, Spreading::BySender | Spreading::None) => {
                Some(group::GroupPlan { sockets: 1, ..self.plan }.capacity(datagram_bytes))
            }
            (Transport::UnixDatagram | Transport::UnixStream, _) => None,
        }
    }
}
