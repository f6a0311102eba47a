//! The sockets that clients send to: bound, sized, and able to say what they hold and lost.
//!
//! ```text
//!  settings ─▶ bind ─┬▶ sockets   UDP groups and the unix datagram socket: swept by the receiver
//!                    ├▶ stream    the unix stream listener: its connections bring bytes
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
mod socket_file;
mod strangers;
mod udp;
mod unix_datagram;
mod unix_stream;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use lastdrop_engine::datagram::Transport;

pub use self::descriptors::RaisedLimit;
pub use self::error::{Holder, ListenError};
use self::fallback::Attempts;
pub use self::fallback::{Fallback, Feature};
use self::group::GroupPlan;
pub use self::socket::Socket;
pub use self::strangers::Stranger;
pub use self::udp::{Interfaces, Spreading, UdpSettings};
pub use self::unix_stream::{Accepted, Connection, Reading, StreamListener};
use crate::limits::STREAM_CONNECTIONS_MAX;
use crate::sys::Stamps;

/// What to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenSettings {
    /// UDP, unless switched off.
    pub udp: Option<UdpSettings>,
    /// The unix datagram socket, if there is one.
    pub unix_datagram: Option<UnixSettings>,
    /// The unix stream socket, if there is one.
    pub unix_stream: Option<UnixSettings>,
    /// How many receivers share the sockets: each needs one of its own at least. `None`: one.
    pub receivers: Option<NonZeroUsize>,
    /// What to do without, as if the kernel refused it: shows on any machine how the agent fares in
    /// a sandbox.
    pub without: Vec<Feature>,
}

/// Where a unix socket stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSettings {
    /// Its path, up to [`UNIX_PATH_BYTES_MAX`](crate::limits::UNIX_PATH_BYTES_MAX) bytes long.
    pub path: PathBuf,
    /// The mode of its file, whatever the umask. Who may write may send.
    pub mode: u32,
}

impl UnixSettings {
    /// A socket with the mode that clients expect: every user may send.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, mode: 0o722 }
    }
}

impl ListenSettings {
    /// Descriptors that are needed beside the UDP sockets.
    fn other_descriptors(&self) -> usize {
        let datagram = usize::from(self.unix_datagram.is_some());
        let stream = if self.unix_stream.is_some() { 1 + STREAM_CONNECTIONS_MAX } else { 0 };
        datagram + stream
    }

    /// Whether datagrams must bear stamps when UDP has `udp_sockets` sockets. The queue of a single
    /// socket is the order of arrival; among several only stamps tell.
    fn stamps(&self, udp_sockets: usize) -> Stamps {
        let unix = [&self.unix_datagram, &self.unix_stream].into_iter().flatten().count();
        if udp_sockets + unix > 1 { Stamps::On } else { Stamps::Off }
    }
}

/// All that listens.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Sockets that bring datagrams, group by group.
    pub sockets: Vec<Socket>,
    /// The listener of the unix stream socket.
    pub stream: Option<StreamListener>,
    /// The UDP ports: keep it as long as the sockets.
    pub ports: Ports,
    /// What was granted.
    pub report: ListenReport,
}

/// A socket for the agent's own metrics: what is sent into the first end comes out of the second
/// like any client's datagram, and is counted as the agent's own. Sending never blocks.
///
/// # Errors
///
/// What the kernel reports.
pub fn own() -> io::Result<(UnixDatagram, Socket)> {
    let (sender, receiver) = UnixDatagram::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((sender, Socket::new(receiver.into(), Transport::Own, Stamps::Off)))
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
    let mut listeners = Listeners::default();
    let mut errors = Vec::new();
    if let Some(udp) = &settings.udp {
        let bound = udp::bind(udp, settings);
        listeners.add_udp(bound.groups);
        listeners.report.fallbacks = bound.fallbacks;
        listeners.report.raised_limit = bound.raised_limit;
        errors.extend(bound.errors);
    } else {
        (_, listeners.report.raised_limit) = descriptors::reserve(settings.other_descriptors());
    }
    if let Some(unix) = &settings.unix_datagram {
        let mut attempts = Attempts::new(&settings.without);
        // UDP, if there is any, has one socket at least.
        let stamps = settings.stamps(usize::from(settings.udp.is_some()));
        match unix_datagram::bind(unix, stamps, &mut attempts) {
            Ok(socket) => {
                listeners.report.add_unix(&unix.path, Transport::UnixDatagram);
                listeners.sockets.push(socket);
            }
            Err(error) => errors.push(error),
        }
        listeners.report.fallbacks.extend(attempts.into_fallbacks());
    }
    if let Some(unix) = &settings.unix_stream {
        match unix_stream::bind(unix) {
            Ok(listener) => {
                listeners.report.add_unix(&unix.path, Transport::UnixStream);
                listeners.stream = Some(listener);
            }
            Err(error) => errors.push(error),
        }
    }
    (listeners, errors)
}

impl Listeners {
    fn add_udp(&mut self, groups: Vec<udp::Group>) {
        for group in groups {
            self.report.addresses.push(group.report());
            self.ports.add(group.address, group.lock, &group.sockets);
            self.sockets.extend(group.sockets);
        }
        self.report.strangers = self.ports.strangers();
    }
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
    /// UDP: the group.
    pub group: Option<GroupReport>,
}

/// What was granted to the group of one UDP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// Its sockets, with the least buffer that one of them was granted.
    pub plan: GroupPlan,
    /// Who chooses the socket for a datagram.
    pub spreading: Spreading,
}

impl GroupReport {
    /// Returns how many datagrams of `datagram_bytes` bytes the kernel keeps for one sender while
    /// nobody reads; an estimate.
    #[must_use]
    pub fn capacity(&self, datagram_bytes: usize) -> usize {
        match self.spreading {
            Spreading::ByDatagram => self.plan.capacity(datagram_bytes),
            Spreading::None | Spreading::BySender => {
                GroupPlan { sockets: 1, ..self.plan }.capacity(datagram_bytes)
            }
        }
    }
}

impl ListenReport {
    fn add_unix(&mut self, path: &Path, transport: Transport) {
        let address = Address::Unix(path.to_owned());
        self.addresses.push(AddressReport { address, transport, group: None });
    }
}
