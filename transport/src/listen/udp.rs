//! UDP: one burst group for each address, bound without stealing a port or being stolen from.
//!
//! ```text
//!  lock   an abstract unix socket named after the address  ─ held: another lastdrop
//!  first  bind *without* SO_REUSEPORT                      ─ in use: somebody else
//!         then set SO_REUSEPORT on it
//!  rest   set SO_REUSEPORT, bind: they join the first
//!  spread the program that chooses one of them for each datagram
//! ```
//!
//! Buffers and stamps are set before `bind`, so that the first datagram finds them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};

use lastdrop_engine::datagram::Transport;
use socket2::{Domain, SockRef, Type};

use super::descriptors;
use super::fallback::{Attempts, Fallback, Feature};
use super::group::{self, BufferBounds, GroupPlan};
use super::strangers::strangers;
use super::{
    Address, AddressReport, GroupReport, Holder, ListenError, ListenSettings, RaisedLimit, Socket,
};
use crate::limits::{EPHEMERAL_PORT_TRIES_MAX, GROUP_SOCKETS_MAX};
use crate::sys::{self, Family, Stamps};

/// What to listen on with UDP.
#[derive(Clone, Debug)]
pub struct UdpSettings {
    /// Where datagrams may come from.
    pub interfaces: Interfaces,
    /// 0: a free one, the same on all addresses.
    pub port: u16,
    /// `SO_RCVBUF` of each socket in bytes (`dogstatsd_so_rcvbuf`): the kernel grants twice that,
    /// within its own limit. `None`: planned with the group.
    pub receive_buffer_bytes: Option<NonZeroUsize>,
    /// Kernel memory that the full group of one address may take, in bytes; see
    /// [`group::default_burst_bytes`].
    pub burst_bytes: usize,
}

/// The interfaces to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// 127.0.0.1 and ::1, or the one of them that there is.
    Localhost,
    /// 0.0.0.0 and ::, or the one of them that there is.
    All,
    /// One address.
    One(IpAddr),
}

impl Interfaces {
    fn hosts(self) -> Vec<IpAddr> {
        match self {
            Self::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::All => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Self::One(host) => vec![host],
        }
    }
}

/// Who chooses the socket of a group that gets a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spreading {
    /// There is only one.
    None,
    /// Our program: the datagrams of one sender go to all of them.
    ByDatagram,
    /// The kernel, by the sender's address and port: all of one sender go to the same.
    BySender,
}

/// What came of binding.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) groups: Vec<Group>,
    pub(super) errors: Vec<ListenError>,
    pub(super) fallbacks: Vec<Fallback>,
    pub(super) raised_limit: Option<RaisedLimit>,
}

/// The sockets on one address.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<Socket>,
    pub(super) lock: Option<UnixDatagram>,
    receive_buffer_bytes: usize,
    spreading: Spreading,
}

impl Group {
    pub(super) fn report(&self) -> AddressReport {
        let plan = GroupPlan {
            sockets: self.sockets.len(),
            receive_buffer_bytes: self.receive_buffer_bytes,
        };
        AddressReport {
            address: Address::Udp(self.address),
            transport: Transport::Udp,
            group: Some(GroupReport { plan, spreading: self.spreading }),
        }
    }
}

/// Binds a group on each address that `udp` names.
pub(super) fn bind(udp: &UdpSettings, settings: &ListenSettings) -> Bound {
    let hosts = udp.interfaces.hosts();
    let mut bound = bind_hosts(&hosts, udp, settings);
    // A port that the kernel found free on one address may be taken on the other.
    let is_unlucky = |error: &ListenError| matches!(error, ListenError::InUse { .. });
    for _ in 1..EPHEMERAL_PORT_TRIES_MAX {
        if udp.port != 0 || !bound.errors.iter().any(is_unlucky) {
            break;
        }
        let raised_limit = bound.raised_limit;
        bound = Bound { raised_limit, ..bind_hosts(&hosts, udp, settings) };
    }
    bound
}

fn bind_hosts(hosts: &[IpAddr], udp: &UdpSettings, settings: &ListenSettings) -> Bound {
    let mut bound = Bound::default();
    let mut binder = match Binder::new(hosts.len(), udp, settings) {
        Ok(binder) => binder,
        Err(error) => {
            bound.errors.push(error);
            return bound;
        }
    };
    bound.raised_limit = binder.raised_limit;
    let mut port = udp.port;
    let mut absent = Vec::new();
    for &host in hosts {
        match binder.bind_group(SocketAddr::new(host, port)) {
            Ok(group) => {
                port = group.address.port();
                bound.groups.push(group);
            }
            Err(ListenError::Bind { address, source }) if is_absent(&source) => {
                absent.push((address, source));
            }
            Err(error) => bound.errors.push(error),
        }
    }
    // The machine may lack one of two protocols, but not what it was asked for.
    let may_lack = hosts.len() > 1 && absent.len() < hosts.len();
    for (address, source) in absent {
        if may_lack {
            let errno = source.raw_os_error();
            binder.attempts.record(&place(address), Feature::Address, errno);
        } else {
            bound.errors.push(ListenError::Bind { address, source });
        }
    }
    bound.fallbacks = binder.attempts.into_fallbacks();
    bound
}

/// Whether the machine has no such protocol or address.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// The name of a listener among the fall-backs; the port is not known before it is bound.
fn place(address: SocketAddr) -> String {
    format!("udp {}", address.ip())
}

/// What all groups have in common.
struct Binder<'a> {
    udp: &'a UdpSettings,
    buffer: BufferBounds,
    plan: GroupPlan,
    stamps: Stamps,
    raised_limit: Option<RaisedLimit>,
    attempts: Attempts,
}

impl<'a> Binder<'a> {
    fn new(
        groups: usize,
        udp: &'a UdpSettings,
        settings: &ListenSettings,
    ) -> Result<Self, ListenError> {
        let mut attempts = Attempts::new(&settings.without);
        let buffer = probe(udp, &mut attempts)?;

        let receivers = settings.receivers.map_or(1, NonZeroUsize::get);
        let wished = group::plan(udp.burst_bytes, buffer, receivers, GROUP_SOCKETS_MAX);
        let wished_sockets = groups * wished.sockets;
        let others = settings.other_descriptors();
        let (room, raised_limit) = descriptors::reserve(wished_sockets + others);
        let room = room.saturating_sub(others);
        if room < wished_sockets {
            attempts.record("udp", Feature::Descriptors, Some(libc::EMFILE));
        }
        let plan = group::plan(udp.burst_bytes, buffer, receivers, room / groups.max(1));
        let stamps = settings.stamps(groups * plan.sockets);
        Ok(Self { udp, buffer, plan, stamps, raised_limit, attempts })
    }

    fn bind_group(&mut self, address: SocketAddr) -> Result<Group, ListenError> {
        let refused = |source| ListenError::Bind { address, source };
        let mut lock = None;
        if address.port() != 0 {
            lock = self.lock(address)?;
        }
        let first = self.open(address).map_err(refused)?;
        SockRef::from(&first).bind(&address.into()).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = Holder::Stranger(strangers(&[address], &Default::default()));
                ListenError::InUse { address, holder }
            }
            _ => refused(error),
        })?;
        let local = SockRef::from(&first).local_addr().map_err(refused)?;
        let local = local.as_socket().unwrap_or(address);
        if address.port() == 0 {
            lock = self.lock(local)?;
        }
        let mut sockets = vec![first];
        let spreading = self.widen(local, &mut sockets);
        let receive_buffer_bytes =
            sockets.iter().map(|socket| granted(socket).unwrap_or(0)).min().unwrap_or(0);
        Ok(Group { address: local, sockets, lock, receive_buffer_bytes, spreading })
    }

    /// Binds the rest of the group beside its first socket.
    fn widen(&mut self, address: SocketAddr, sockets: &mut Vec<Socket>) -> Spreading {
        let place = place(address);
        let Some(first) = sockets.first() else { return Spreading::None };
        if self.plan.sockets <= 1 {
            return Spreading::None;
        }
        let shared = self
            .attempts
            .attempt(&place, Feature::ReusePort, || SockRef::from(first).set_reuse_port(true));
        if shared.is_none() {
            // One socket is all there will be: let it have the largest buffer.
            let alone = group::plan(self.udp.burst_bytes, self.buffer, 1, 1);
            self.set_buffer(first, &place, alone);
            return Spreading::None;
        }
        while sockets.len() < self.plan.sockets {
            let Some(socket) = self.join(address, &place) else { break };
            sockets.push(socket);
        }
        let (Some(last), Ok(count)) = (sockets.last(), u32::try_from(sockets.len())) else {
            return Spreading::None;
        };
        if count == 1 {
            return Spreading::None;
        }
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        self.attempts
            .attempt(&place, Feature::Spread, || sys::spread(last.as_fd(), count, family))
            .map_or(Spreading::BySender, |()| Spreading::ByDatagram)
    }

    /// Binds one more socket to `address`.
    fn join(&mut self, address: SocketAddr, place: &str) -> Option<Socket> {
        let opened = self.open(address);
        let socket = self.attempts.attempt(place, Feature::Descriptors, || opened)?;
        self.attempts.attempt(place, Feature::ReusePort, || {
            SockRef::from(&socket).set_reuse_port(true)?;
            SockRef::from(&socket).bind(&address.into())
        })?;
        Some(socket)
    }

    /// Opens a socket with all options that it needs before it is bound.
    fn open(&mut self, address: SocketAddr) -> io::Result<Socket> {
        let socket = open(Domain::for_address(address))?;
        if address.is_ipv6() {
            SockRef::from(&socket).set_only_v6(true)?;
        }
        let place = place(address);
        self.set_buffer(&socket, &place, self.plan);
        if self.stamps == Stamps::Off {
            return Ok(socket);
        }
        let stamped = self
            .attempts
            .attempt(&place, Feature::Stamps, || sys::enable_stamps(socket.as_fd()))
            .map_or(Stamps::Off, |()| Stamps::On);
        Ok(socket.with_stamps(stamped))
    }

    /// Gives `socket` the planned buffer; what the configuration names is set as it is.
    fn set_buffer(&mut self, socket: &Socket, place: &str, plan: GroupPlan) {
        let planned = plan.receive_buffer_bytes;
        let asked = match self.udp.receive_buffer_bytes {
            Some(bytes) => bytes.get(),
            None if planned == self.buffer.default_bytes => return,
            None => planned.div_ceil(2),
        };
        self.attempts.attempt(place, Feature::ReceiveBuffer, || {
            SockRef::from(socket).set_recv_buffer_size(asked)
        });
        if granted(socket).is_some_and(|bytes| bytes < planned) {
            self.attempts.record(place, Feature::ReceiveBuffer, None);
        }
    }

    /// Takes the lock of `address`: an abstract unix socket, which the kernel frees when we end,
    /// however we do. It lives in the network namespace, as the port does.
    fn lock(&mut self, address: SocketAddr) -> Result<Option<UnixDatagram>, ListenError> {
        let name = format!("lastdrop-udp-{}-{}", address.ip(), address.port());
        let locked = self.attempts.demand(Feature::Lock, || {
            UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(name)?)
        });
        match locked {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(ListenError::InUse { address, holder: Holder::Lastdrop })
            }
            Err(error) => {
                self.attempts.record(&place(address), Feature::Lock, error.raw_os_error());
                Ok(None)
            }
        }
    }
}

/// Asks the kernel, with a socket that is thrown away, what buffers it grants and whether it can do
/// what the seal needs.
fn probe(udp: &UdpSettings, attempts: &mut Attempts) -> Result<BufferBounds, ListenError> {
    let failed = |source| ListenError::Bind {
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), udp.port),
        source,
    };
    let socket = open(Domain::IPV4).or_else(|_| open(Domain::IPV6)).map_err(failed)?;
    let option = SockRef::from(&socket);
    attempts.attempt("udp", Feature::QueueInfo, || sys::queue_info(socket.as_fd()));
    attempts.attempt("udp", Feature::Refuse, || sys::refuse(socket.as_fd()));

    if let Some(bytes) = udp.receive_buffer_bytes {
        let bytes = bytes.get();
        let granted = attempts
            .demand(Feature::ReceiveBuffer, || {
                option.set_recv_buffer_size(bytes)?;
                option.recv_buffer_size()
            })
            .map_err(|source| ListenError::ReceiveBuffer { bytes, source })?;
        return Ok(BufferBounds { default_bytes: granted, largest_bytes: granted });
    }
    let default_bytes = option.recv_buffer_size().map_err(failed)?;
    let largest_bytes = attempts
        .attempt("udp", Feature::ReceiveBuffer, || {
            option.set_recv_buffer_size(udp.burst_bytes.div_ceil(2))?;
            option.recv_buffer_size()
        })
        .map_or(default_bytes, |bytes| bytes.max(default_bytes));
    Ok(BufferBounds { default_bytes, largest_bytes })
}

fn open(domain: Domain) -> io::Result<Socket> {
    let socket = socket2::Socket::new(domain, Type::DGRAM.nonblocking(), None)?;
    Ok(Socket::new(socket.into(), Transport::Udp, Stamps::Off))
}

fn granted(socket: &Socket) -> Option<usize> {
    SockRef::from(socket).recv_buffer_size().ok()
}

#[cfg(test)]
mod tests;
