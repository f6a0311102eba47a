//! Bytes over a socket, in the clear or through TLS, never waiting.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::failure::{Broken, TlsFailure};

/// A connected socket, with a TLS session or without.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    session: Option<Box<ClientConnection>>,
    /// Bytes that the socket took, TLS records included.
    wire_bytes: u64,
    opened: Instant,
}

/// Whether the server has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Pending,
    Complete,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing for now.
    Blocked,
    /// The other side said that nothing more comes.
    Ended,
    /// The socket ended and TLS had not said that it would: bytes may have been cut off.
    CutOff,
}

impl Stream {
    /// A stream over a socket that was connected at `opened`.
    pub(super) fn plain(socket: TcpStream, opened: Instant) -> Self {
        Self { socket, session: None, wire_bytes: 0, opened }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Puts a TLS session on top; [`handshake`](Self::handshake) must complete before bytes are
    /// written.
    pub(super) fn with_session(
        self,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
    ) -> Result<Self, TlsFailure> {
        let session = ClientConnection::new(Arc::clone(config), name.clone())?;
        Ok(Self { session: Some(Box::new(session)), ..self })
    }

    /// Goes on with the handshake as far as it can.
    pub(super) fn handshake(&mut self) -> Result<Handshake, TlsFailure> {
        loop {
            match self.flush() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(TlsFailure::Socket(error.kind())),
            }
            let Some(session) = &mut self.session else { return Ok(Handshake::Complete) };
            if !session.is_handshaking() {
                return Ok(Handshake::Complete);
            }
            match session.read_tls(&mut self.socket) {
                Ok(0) => return Err(TlsFailure::Closed),
                Ok(_) => {
                    if let Err(error) = session.process_new_packets() {
                        // Says why, as TLS wants; the socket closes right after.
                        let _ = session.write_tls(&mut self.socket);
                        return Err(error.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Handshake::Pending);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(TlsFailure::Socket(error.kind())),
            }
        }
    }

    /// Gives the stream as much of `head` and then `body` as it takes; at least one of them is not
    /// empty. What a TLS session took may still have to be [flushed](Self::flush).
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing for now.
    pub(super) fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(session) = &mut self.session else {
            let pieces = [IoSlice::new(head), IoSlice::new(body)];
            let written = retried(|| self.socket.write_vectored(&pieces))?;
            self.wire_bytes = self.wire_bytes.saturating_add(written as u64);
            return if written == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(written) };
        };
        // A session takes up to its buffer's size; it never blocks or fails.
        let mut taken = session.writer().write(head)?;
        if taken == head.len() {
            taken = taken.saturating_add(session.writer().write(body)?);
        }
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes out what the TLS session holds.
    ///
    /// # Errors
    /// `WouldBlock` if some of it has to wait.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while session.wants_write() {
            let written = retried(|| session.write_tls(&mut self.socket))?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.wire_bytes = self.wire_bytes.saturating_add(written as u64);
        }
        Ok(())
    }

    /// Reads into `buffer`, which is not empty.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, Broken> {
        let Some(session) = &mut self.session else {
            return match retried(|| self.socket.read(buffer)) {
                Ok(0) => Ok(ReadOutcome::Ended),
                Ok(count) => Ok(ReadOutcome::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(ReadOutcome::Blocked),
                Err(error) => Err(Broken::Socket(error.kind())),
            };
        };
        loop {
            match session.reader().read(buffer) {
                Ok(0) => return Ok(ReadOutcome::Ended),
                Ok(count) => return Ok(ReadOutcome::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(ReadOutcome::CutOff);
                }
                // The session has nothing: it needs records.
                Err(_) => {}
            }
            match retried(|| session.read_tls(&mut self.socket)) {
                Ok(_) => {
                    if let Err(error) = session.process_new_packets() {
                        let _ = session.write_tls(&mut self.socket);
                        return Err(Broken::Tls(error));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(ReadOutcome::Blocked);
                }
                Err(error) => return Err(Broken::Socket(error.kind())),
            }
        }
    }

    /// Returns how many bytes the socket took so far, TLS records included.
    pub(super) fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// Says goodbye where TLS wants it, then closes; does not wait.
    pub(super) fn close(mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            let _ = self.flush();
        }
    }
}

/// Calls `operation` again as long as signals interrupt it.
fn retried<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
