//! Ports for programs that have to be told one before they start.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Below those that the kernel hands out by itself: no client's socket gets one of them.
const LOWEST: u16 = 10_240;
const COUNT: u16 = 20_000;

/// A UDP port of loopback that nobody listened on, and that no other program of this workbench looks
/// at as long as this lives: to find out that a port is free it has to be bound for a moment, and in
/// that moment the program that was told it could not listen.
#[derive(Debug)]
pub(crate) struct FreePort {
    number: u16,
    /// An abstract unix socket named after the port: no other process can have it too.
    _claim: UnixDatagram,
}

impl FreePort {
    /// Finds a port. Within a process none is given twice in a row.
    ///
    /// # Errors
    ///
    /// None is free, or the process has no descriptor left.
    pub(crate) fn find() -> io::Result<Self> {
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish() >> 1));
        for _ in 0..COUNT {
            // Relaxed: only that no two get the same step matters.
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(COUNT);
            let number = LOWEST + u16::try_from(step).unwrap_or(0);
            if let Some(port) = Self::claim(number)? {
                return Ok(port);
            }
        }
        Err(io::Error::other(format!("no port from {LOWEST} to {} is free", LOWEST + COUNT - 1)))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// None if somebody else has it.
    fn claim(number: u16) -> io::Result<Option<Self>> {
        let name = SocketAddr::from_abstract_name(format!("lastdrop-lab-port-{number}"))?;
        let Some(claim) = unless_taken(UnixDatagram::bind_addr(&name))? else { return Ok(None) };
        let free = unless_taken(UdpSocket::bind(("127.0.0.1", number)))?;
        Ok(free.map(|_| Self { number, _claim: claim }))
    }
}

fn unless_taken<T>(bound: io::Result<T>) -> io::Result<Option<T>> {
    match bound {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_given_to_nobody_else_and_stays_free_for_its_program() {
        let port = FreePort::find().unwrap();
        assert!(FreePort::claim(port.number()).unwrap().is_none());
        UdpSocket::bind(("127.0.0.1", port.number())).unwrap();
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(FreePort::claim(listener.local_addr().unwrap().port()).unwrap().is_none());
    }
}
