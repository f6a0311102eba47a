//! The unix datagram socket.
//!
//! The kernel keeps 11 datagrams for it (`net.unix.max_dgram_qlen`) and drops none: a client that
//! blocks waits, one that doesn't is told.

use std::os::fd::AsFd as _;

use lastdrop_engine::datagram::Transport;
use socket2::Type;

use super::fallback::{Attempts, Feature};
use super::{ListenError, Socket, UnixSettings, socket_file};
use crate::sys::{self, Stamps};

/// Binds the socket.
pub(super) fn bind(
    settings: &UnixSettings,
    stamps: Stamps,
    attempts: &mut Attempts,
) -> Result<Socket, ListenError> {
    let (descriptor, file) = socket_file::bind(settings, Type::DGRAM)?;
    let socket = Socket::new(descriptor, Transport::UnixDatagram, Stamps::Off).with_file(file);
    if stamps == Stamps::Off {
        return Ok(socket);
    }
    let place = settings.path.display().to_string();
    let stamped = attempts
        .attempt(&place, Feature::Stamps, || sys::enable_stamps(socket.as_fd()))
        .map_or(Stamps::Off, |()| Stamps::On);
    Ok(socket.with_stamps(stamped))
}

#[cfg(test)]
mod tests;
