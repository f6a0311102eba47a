//! The unix stream socket: its listener and the connections of its clients.
//!
//! The steps of the seal: the listener refuses, what waits is accepted, the connections refuse, and
//! are read to their end. A client that wrote and went away before it was accepted is heard.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::SocketFlags;
use socket2::{SockRef, Type};

use super::socket_file::{self, SocketFile};
use super::{ListenError, UnixSettings};
use crate::limits::{STREAM_BACKLOG, STREAM_CONNECTIONS_MAX};

/// The listening socket. Dropping it removes its file.
#[derive(Debug)]
pub struct StreamListener {
    descriptor: OwnedFd,
    _file: SocketFile,
}

/// What came of [`StreamListener::accept`].
#[derive(Debug)]
pub enum Accepted {
    /// A client.
    Connection(Connection),
    /// Nobody waits.
    Nobody,
    /// There are as many connections as there may be, or no descriptor is left. Clients wait in the
    /// backlog: accept again when one has left.
    Full,
}

/// What came of [`Connection::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The client has left, or the connection refuses and is read empty.
    End,
}

/// Binds the socket.
pub(super) fn bind(settings: &UnixSettings) -> Result<StreamListener, ListenError> {
    let (descriptor, file) = socket_file::bind(settings, Type::STREAM)?;
    SockRef::from(&descriptor)
        .listen(STREAM_BACKLOG)
        .map_err(|source| ListenError::Unix { path: settings.path.clone(), source })?;
    Ok(StreamListener { descriptor, _file: file })
}

impl StreamListener {
    /// Takes a client that waits; `connections` is the count of those that are open, at most
    /// [`STREAM_CONNECTIONS_MAX`]. Never blocks.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn accept(&self, connections: usize) -> io::Result<Accepted> {
        if connections >= STREAM_CONNECTIONS_MAX {
            return Ok(Accepted::Full);
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let error = match rustix::net::accept_with(&self.descriptor, flags) {
                Ok(descriptor) => {
                    let stream = UnixStream::from(descriptor);
                    return Ok(Accepted::Connection(Connection { stream }));
                }
                Err(error) => io::Error::from(error),
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(Accepted::Nobody),
                Some(libc::EMFILE | libc::ENFILE) => return Ok(Accepted::Full),
                // What Linux answers to `accept` on a listener that refuses and has nobody waiting.
                Some(libc::EINVAL) => return Ok(Accepted::Nobody),
                _ => return Err(error),
            }
        }
    }

    /// Turns new clients away (`ECONNREFUSED`); those that wait can still be accepted.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn refuse(&self) -> io::Result<()> {
        SockRef::from(&self.descriptor).shutdown(Shutdown::Read)
    }

    /// Closes the listener and removes its file, unless somebody else has replaced it.
    pub fn close(self) {}
}

/// The connection of a client: bytes to cut into frames.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Reads what is there into `buffer`, which must not be empty. Never blocks.
    ///
    /// # Errors
    ///
    /// What the kernel reports: the connection is of no more use.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Reading> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Reading::End),
                Ok(bytes) => return Ok(Reading::Bytes(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Reading::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in nothing more: the client's writes fail (`EPIPE`). What it has written can be read,
    /// up to [`Reading::End`].
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn refuse(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Read)
    }

    /// Closes the connection; what is not read is lost.
    pub fn close(self) {}
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests;
