//! Why a listener could not be set up: the address or path, the cause, the remedy.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::strangers::Stranger;
use crate::limits::UNIX_PATH_BYTES_MAX;

/// A listener that could not be set up.
#[derive(Debug)]
pub enum ListenError {
    /// The port is taken.
    InUse {
        /// What should have been bound.
        address: SocketAddr,
        /// By whom.
        holder: Holder,
    },
    /// The kernel refused the socket or the address.
    Bind {
        /// What should have been bound.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The receive buffer that the configuration asks for was refused.
    ReceiveBuffer {
        /// What was asked for.
        bytes: usize,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The path of a unix socket is longer than the kernel takes.
    UnixPathTooLong {
        /// What should have been bound.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// What stands at the path is no socket, or a symbolic link.
    UnixPathTaken {
        /// What should have been bound.
        path: PathBuf,
    },
    /// Somebody listens at the path.
    UnixInUse {
        /// What should have been bound.
        path: PathBuf,
    },
    /// The kernel refused the unix socket.
    Unix {
        /// What should have been bound.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Another lastdrop: it holds the lock of this address.
    Lastdrop,
    /// Somebody else: the sockets on this port, where the kernel shows them.
    Stranger(Vec<Stranger>),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { address, holder: Holder::Lastdrop } => write!(
                f,
                "udp {address} is in use by another lastdrop: stop it, or set another dogstatsd_port"
            ),
            Self::InUse { address, holder: Holder::Stranger(strangers) } => {
                write!(f, "udp {address} is in use by another program")?;
                for stranger in strangers {
                    write!(f, ", {stranger}")?;
                }
                f.write_str(": stop it, or set another dogstatsd_port")
            }
            Self::Bind { address, source } => {
                write!(f, "cannot listen on udp {address}: {source}: check bind_host and port")
            }
            Self::ReceiveBuffer { bytes, source } => write!(
                f,
                "cannot set the receive buffer to {bytes} bytes: {source}: lower or remove \
                 dogstatsd_so_rcvbuf"
            ),
            Self::UnixPathTooLong { path, bytes } => write!(
                f,
                "{} is {bytes} bytes long, a unix socket may have {UNIX_PATH_BYTES_MAX}: choose a \
                 shorter path",
                path.display()
            ),
            Self::UnixPathTaken { path } => write!(
                f,
                "{} exists and is not a socket: remove it, or choose another path",
                path.display()
            ),
            Self::UnixInUse { path } => write!(
                f,
                "{} is in use by another program: stop it, or choose another path",
                path.display()
            ),
            Self::Unix { path, source } => write!(
                f,
                "cannot listen on {}: {source}: check that the directory exists and can be written",
                path.display()
            ),
        }
    }
}

impl Error for ListenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InUse { .. }
            | Self::UnixPathTooLong { .. }
            | Self::UnixPathTaken { .. }
            | Self::UnixInUse { .. } => None,
            Self::Bind { source, .. }
            | Self::ReceiveBuffer { source, .. }
            | Self::Unix { source, .. } => Some(source),
        }
    }
}
