//! The control socket: `lastdrop status` and `lastdrop flush` ask a running agent through it.
//!
//! A unix stream socket of mode 0600, named by the UDP port; both ends check whose process is on the other. A connection
//! carries one line (`status`, or `flush` and milliseconds) and brings back one JSON object. It is
//! served by threads of its own, which sleep until somebody connects and read nothing but counters;
//! what only the main thread or the shipper can do is asked of them as a [`Wish`].

pub(crate) mod client;
mod server;

use crate::config::Config;
use crate::config::types::ControlSocket;
use lastdrop_transport::listen::{Address, AddressReport};
use lastdrop_transport::report::ReportRequest;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

pub(crate) use self::server::Server;

/// What is asked of the main thread.
pub(crate) enum Wish {
    /// Flush, and tell the number of the flush.
    Flush(SyncSender<u64>),
    /// Let the shipper report.
    Report(ReportRequest),
}

/// Where the socket of this name may be, the place that counts most first; none if there is to be
/// none.
fn places(config: &Config, name: &str) -> Vec<PathBuf> {
    match &config.process.control_socket {
        ControlSocket::Off => Vec::new(),
        ControlSocket::Path(path) => vec![path.clone()],
        ControlSocket::Auto => folders().into_iter().map(|folder| folder.join(name)).collect(),
    }
}

/// The name of the socket of an agent that listens so: by its UDP port, by its process without one.
fn name(addresses: &[AddressReport]) -> String {
    let port = addresses.iter().find_map(|report| match report.address {
        Address::Udp(address) => Some(address.port()),
        Address::Unix(_) => None,
    });
    port.map_or_else(|| format!("{NAME_START}pid-{}{NAME_END}", std::process::id()), name_of_port)
}

fn name_of_port(port: u16) -> String {
    format!("{NAME_START}{port}{NAME_END}")
}

const NAME_START: &str = "lastdrop-";
const NAME_END: &str = ".sock";

/// The folders for the socket.
fn folders() -> Vec<PathBuf> {
    usual_folders(std::env::var_os("XDG_RUNTIME_DIR"))
}

/// The user's own folder, the system's, and the one that anybody may write to.
fn usual_folders(users: Option<OsString>) -> Vec<PathBuf> {
    let users = users.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    users.into_iter().chain(["/run".into(), "/tmp".into()]).collect()
}

/// Whether the process at the other end is run by this user or by root.
fn is_trusted(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lastdrop_engine::datagram::Transport;

    #[test]
    fn the_users_own_folder_goes_first() {
        let folders = usual_folders(Some("/run/user/7".into()));
        assert_eq!(folders[0], PathBuf::from("/run/user/7"));
        assert_eq!(folders[1..], usual_folders(None));
        assert_eq!(usual_folders(Some("".into()))[0], PathBuf::from("/run"));
    }

    /// Of several agents with ports of their own choice each has a socket of its own.
    #[test]
    fn a_socket_is_named_by_the_port_that_is_bound() {
        let udp = |port| AddressReport {
            address: Address::Udp(([127, 0, 0, 1], port).into()),
            transport: Transport::Udp,
            group: None,
        };
        assert_eq!(name(&[udp(40_123), udp(40_123)]), "lastdrop-40123.sock");
        assert_eq!(name(&[]), format!("lastdrop-pid-{}.sock", std::process::id()));
    }

    #[test]
    fn a_process_trusts_itself() {
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(is_trusted(&stream));
    }
}
