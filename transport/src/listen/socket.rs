//! A socket that brings datagrams: what the receiver does with it, and the steps of the seal.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use lastdrop_engine::datagram::Transport;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::socket_file::SocketFile;
use super::unix_stream::{Connection, StreamListener};
use crate::sys::{self, Batch, QueueInfo, Stamps};

/// A bound UDP or unix datagram socket, not blocking.
///
/// The steps of the seal, each over all sockets before the next: [`refuse`](Self::refuse), receive
/// until nothing comes, [`queue_info`](Self::queue_info), [`close`](Self::close).
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    transport: Transport,
    stamps: Stamps,
    /// Removed with the socket.
    _file: Option<SocketFile>,
}

impl Socket {
    pub(super) fn new(descriptor: OwnedFd, transport: Transport, stamps: Stamps) -> Self {
        Self { descriptor, transport, stamps, _file: None }
    }

    pub(super) fn with_stamps(self, stamps: Stamps) -> Self {
        Self { stamps, ..self }
    }

    pub(super) fn with_file(self, file: SocketFile) -> Self {
        Self { _file: Some(file), ..self }
    }

    /// Returns what kind of socket it is.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns whether its datagrams bear the kernel's stamp.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// Reads up to `datagrams_max` waiting datagrams into `batch` and returns how many came; never
    /// blocks. One system call.
    ///
    /// # Errors
    ///
    /// What the kernel reports. An empty socket is no error.
    pub fn receive(&self, batch: &mut Batch, datagrams_max: usize) -> io::Result<usize> {
        batch.recv(self.as_fd(), self.stamps, datagrams_max)
    }

    /// Takes in nothing more; what waits can still be read. On UDP late datagrams count as drops
    /// from here on, on a unix socket late senders get `EPIPE`.
    ///
    /// # Errors
    ///
    /// What the kernel reports: some can't do this for UDP, as the report of the listeners says.
    pub fn refuse(&self) -> io::Result<()> {
        match self.transport {
            Transport::Udp => sys::refuse(self.as_fd()),
            Transport::UnixDatagram | Transport::UnixStream | Transport::Own => {
                SockRef::from(self).shutdown(Shutdown::Read)
            }
        }
    }

    /// Returns what the kernel knows of a UDP socket's queue, or `None` where it doesn't say. (Unix
    /// sockets drop nothing, and are charged to the sender.) One system call.
    #[must_use]
    pub fn queue_info(&self) -> Option<QueueInfo> {
        match self.transport {
            Transport::Udp => sys::queue_info(self.as_fd()).ok(),
            Transport::UnixDatagram | Transport::UnixStream | Transport::Own => None,
        }
    }

    /// Returns how many datagrams the kernel has dropped since the socket was bound; see
    /// [`QueueInfo::drops`].
    #[must_use]
    pub fn drops(&self) -> Option<u32> {
        self.queue_info().map(|info| info.drops)
    }

    /// Returns the kernel memory that may wait, in bytes.
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> Option<u32> {
        self.queue_info().map(|info| info.receive_buffer_bytes)
    }

    /// Returns the kernel memory of what waits, in bytes; 0 if nothing does.
    #[must_use]
    pub fn queued_bytes(&self) -> Option<u32> {
        self.queue_info().map(|info| info.queued_bytes)
    }

    /// Closes the socket; what waits in it is lost. The file of a unix socket is removed, unless
    /// somebody else has replaced it.
    pub fn close(self) {}

    /// Returns the number that names it under `/proc`.
    pub(super) fn inode(&self) -> Option<u64> {
        rustix::fs::fstat(&self.descriptor).ok().map(|status| status.st_ino)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Lets mio watch a type by its descriptor.
macro_rules! watched_by_descriptor {
    ($($watched:ty),*) => {$(
        impl Source for $watched {
            fn register(
                &mut self,
                registry: &Registry,
                token: Token,
                interests: Interest,
            ) -> io::Result<()> {
                SourceFd(&self.as_fd().as_raw_fd()).register(registry, token, interests)
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: Token,
                interests: Interest,
            ) -> io::Result<()> {
                SourceFd(&self.as_fd().as_raw_fd()).reregister(registry, token, interests)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                SourceFd(&self.as_fd().as_raw_fd()).deregister(registry)
            }
        }
    )*};
}

watched_by_descriptor!(Socket, StreamListener, Connection);
