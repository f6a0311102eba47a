//! Sockets on our port that aren't ours: they take datagrams away, or get them when we are gone.
//!
//! The kernel lists all UDP sockets of the network namespace under `/proc/net`; ours are known by
//! their inode.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::limits::SOCKET_TABLE_BYTES_MAX;

/// A socket of somebody else on a port of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stranger {
    /// What it is bound to.
    pub address: SocketAddr,
    /// User that owns it.
    pub uid: u32,
    /// What tells it apart; `/proc/<pid>/fd` shows it as `socket:[inode]`.
    pub inode: u64,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (user {}, socket:[{}])", self.address, self.uid, self.inode)
    }
}

/// Returns the sockets on `ours` that aren't among `inodes`, by reading the kernel's tables. None
/// where the kernel shows no tables (gVisor).
pub(super) fn strangers(ours: &[SocketAddr], inodes: &HashSet<u64>) -> Vec<Stranger> {
    ["/proc/net/udp", "/proc/net/udp6"]
        .into_iter()
        .filter_map(|path| read(path).ok())
        .flat_map(|table| strangers_in(&table, ours, inodes))
        .collect()
}

/// The same with the contents of one table.
fn strangers_in(table: &str, ours: &[SocketAddr], inodes: &HashSet<u64>) -> Vec<Stranger> {
    table
        .lines()
        .filter_map(parse)
        .filter(|socket| !inodes.contains(&socket.inode))
        .filter(|socket| ours.iter().any(|&address| overlap(address, socket.address)))
        .collect()
}

fn read(path: &str) -> io::Result<String> {
    let mut table = String::new();
    File::open(path)?.take(SOCKET_TABLE_BYTES_MAX).read_to_string(&mut table)?;
    Ok(table)
}

/// One line: `511: 0100007F:1FBD 00000000:0000 07 tx:rx tr:when retransmits uid timeout inode …`.
fn parse(line: &str) -> Option<Stranger> {
    let mut fields = line.split_whitespace().skip(1);
    let (host, port) = fields.next()?.split_once(':')?;
    let address = SocketAddr::new(parse_host(host)?, u16::from_str_radix(port, 16).ok()?);
    let uid = fields.nth(5)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Stranger { address, uid, inode })
}

/// An address as the kernel prints it: words of 32 bits, each as the number that it is in memory.
fn parse_host(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(IpAddr::from(word(hex)?));
    }
    let mut bytes = [0; 16];
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    for (place, text) in bytes.chunks_exact_mut(4).zip(hex.as_bytes().chunks_exact(8)) {
        place.copy_from_slice(&word(str::from_utf8(text).ok()?)?);
    }
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// Whether one datagram could be meant for both: same port, and the same host or all hosts.
fn overlap(ours: SocketAddr, theirs: SocketAddr) -> bool {
    ours.port() == theirs.port()
        && (theirs.ip().is_unspecified()
            || ours.ip() == theirs.ip()
            || (ours.ip().is_unspecified() && ours.is_ipv4() == theirs.is_ipv4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";

    fn check(table: &str, ours: &[&str], own_inodes: &[u64], expected: &[(&str, u32, u64)]) {
        let ours: Vec<SocketAddr> = ours.iter().map(|text| text.parse().unwrap()).collect();
        let inodes = own_inodes.iter().copied().collect();
        let found: Vec<_> = strangers_in(&format!("{HEAD}{table}"), &ours, &inodes)
            .iter()
            .map(|stranger| (stranger.address.to_string(), stranger.uid, stranger.inode))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|&(text, uid, inode)| (text.to_owned(), uid, inode)).collect();
        assert_eq!(found, expected);
    }

    const LOOPBACK: &str = "  511: 0100007F:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0000000000000000 0\n";
    const ALL: &str = "  511: 00000000:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 7\n";
    const LOOPBACK_V6: &str = "  511: 00000000000000000000000001000000:1FBD 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  5        0 4713 2 0000000000000000 0\n";
    const MAPPED: &str = "  511: 0000000000000000FFFF00000100007F:1FBD 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  5        0 4714 2 0000000000000000 0\n";

    #[test]
    fn only_overlapping_addresses_of_others_are_named() {
        check(LOOPBACK, &["127.0.0.1:8125"], &[], &[("127.0.0.1:8125", 1000, 4711)]);
        check(LOOPBACK, &["127.0.0.1:8125"], &[4711], &[]);
        check(LOOPBACK, &["127.0.0.1:8126"], &[], &[]);
        check(LOOPBACK, &["127.0.0.2:8125"], &[], &[]);
        check(LOOPBACK, &["[::1]:8125"], &[], &[]);
        check(LOOPBACK, &["0.0.0.0:8125"], &[], &[("127.0.0.1:8125", 1000, 4711)]);
        check(ALL, &["127.0.0.1:8125"], &[], &[("0.0.0.0:8125", 0, 4712)]);
        check(LOOPBACK_V6, &["[::1]:8125"], &[], &[("[::1]:8125", 5, 4713)]);
        check(LOOPBACK_V6, &["0.0.0.0:8125"], &[], &[]);
        check(MAPPED, &["127.0.0.1:8125"], &[], &[("127.0.0.1:8125", 5, 4714)]);
    }

    /// For all places to cut a line: nothing but the whole is understood, and nothing panics.
    #[test]
    fn broken_line_names_nobody() {
        let line = LOOPBACK.trim_end();
        let inode_end = line.find("4711").unwrap();
        for end in 0..=inode_end {
            assert_eq!(parse(&line[..end]), None, "{}", &line[..end]);
        }
        for line in ["", "a b c", "1: é:1FBD", "1: 0100007F 0 0 0 0 0 0 0 0 0", HEAD] {
            assert_eq!(parse(line), None);
        }
    }

    #[test]
    fn kernel_lists_a_real_socket() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::UdpSocket::bind(host) else { continue };
            let address = socket.local_addr().unwrap();
            let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
            let found = strangers(&[address], &HashSet::new());
            assert!(found.iter().any(|s| s.inode == inode && s.address == address), "{found:?}");
            assert_eq!(strangers(&[address], &HashSet::from([inode])), []);
        }
    }
}
