//! The control socket: `lastdrop status` and `lastdrop flush` ask a running agent through it.
//!
//! A unix stream socket of mode 0600; both ends check whose process is on the other. A connection
//! carries one line (`status`, or `flush` and milliseconds) and brings back one JSON object. It is
//! served by threads of its own, which sleep until somebody connects and read nothing but counters;
//! what only the main thread or the shipper can do is asked of them as a [`Wish`].

pub(crate) mod client;
mod server;

use crate::config::Config;
use crate::config::types::{ControlSocket, Port};
use lastdrop_transport::report::ReportRequest;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

pub(crate) use self::server::{Desk, Server};

/// What is asked of the main thread.
pub(crate) enum Wish {
    /// Flush, and tell the number of the flush.
    Flush(SyncSender<u64>),
    /// Let the shipper report.
    Report(ReportRequest),
}

/// Where the socket may be, the place that counts most first; none if there is to be none.
fn places(config: &Config) -> Vec<PathBuf> {
    match &config.process.control_socket {
        ControlSocket::Off => Vec::new(),
        ControlSocket::Path(path) => vec![path.clone()],
        ControlSocket::Auto => {
            let port = match config.dogstatsd.port {
                Port::Fixed(port) => port.get(),
                Port::Off | Port::Random => 0,
            };
            usual_places(std::env::var_os("XDG_RUNTIME_DIR"), port)
        }
    }
}

/// The user's own folder, the system's, and the one that anybody may write to.
fn usual_places(user_folder: Option<OsString>, port: u16) -> Vec<PathBuf> {
    let name = format!("lastdrop-{port}.sock");
    let user_folder = user_folder.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    user_folder
        .into_iter()
        .chain(["/run".into(), "/tmp".into()])
        .map(|folder| folder.join(&name))
        .collect()
}

/// Whether the process at the other end is run by this user or by root.
fn is_trusted(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_folder_goes_first() {
        let places = usual_places(Some("/run/user/7".into()), 8125);
        assert_eq!(places[0], PathBuf::from("/run/user/7/lastdrop-8125.sock"));
        assert_eq!(places[1..], usual_places(None, 8125));
        assert_eq!(usual_places(Some("".into()), 0)[0], PathBuf::from("/run/lastdrop-0.sock"));
    }

    #[test]
    fn a_process_trusts_itself() {
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(is_trusted(&stream));
    }
}
