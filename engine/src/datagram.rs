//! A datagram as it stands in the packet ring: its bytes, its arrival stamp and where it came from.

use crate::time::Stamp;

/// The kind of socket a datagram came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transport {
    /// UDP, over IPv4 or IPv6.
    Udp = 0,
    /// Unix datagram socket.
    UnixDatagram = 1,
    /// Unix stream socket with length-prefixed frames.
    UnixStream = 2,
    /// The agent's own: metrics of its own making come through a socket like all others.
    Own = 3,
}

impl Transport {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Udp, Self::UnixDatagram, Self::UnixStream, Self::Own];

    /// The name used in the receipt and the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::UnixDatagram => "unix_datagram",
            Self::UnixStream => "unix_stream",
            Self::Own => "own",
        }
    }
}

/// Whether a datagram arrived as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// It was longer than the receive buffer: the rest is gone and the last message is torn.
    Truncated,
}

/// One unit read from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What was read: lines, separated by `\n`.
    pub bytes: &'a [u8],
    /// When it arrived.
    pub stamp: Stamp,
    /// The kind of socket it came through.
    pub transport: Transport,
    /// Whether `bytes` is all of it.
    pub extent: Extent,
}
