//! Where load goes: a UDP, unix datagram or unix stream socket that takes many datagrams a call and
//! says exactly how many it took. The only `unsafe` of this package (`sendmmsg`).
#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::{mem, ptr};

/// Most datagrams of one call.
pub const BATCH_MAX: usize = 64;

/// The socket to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// UDP.
    Udp(SocketAddr),
    /// A unix datagram socket.
    UnixDatagram(PathBuf),
    /// A unix stream socket; every datagram goes as a frame behind its length (4 bytes, little
    /// endian).
    UnixStream(PathBuf),
}

/// Reads what `Display` writes.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?}: use udp://, unixgram:// or unix://");
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        match scheme {
            "udp" => {
                rest.parse().map(Self::Udp).map_err(|error| format!("address {rest:?}: {error}"))
            }
            "unixgram" => Ok(Self::UnixDatagram(rest.into())),
            "unix" => Ok(Self::UnixStream(rest.into())),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::UnixDatagram(path) => write!(f, "unixgram://{}", path.display()),
            Self::UnixStream(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What a sender does when a unix datagram socket is full. (A full UDP socket drops without telling
/// the sender; a stream always waits, since half a frame can't be taken back.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// Waits until the receiver has made room.
    #[default]
    Wait,
    /// Gives the datagram up, as most client libraries do; it counts as failed.
    Fail,
}

/// What became of one call.
#[derive(Debug)]
pub struct Sent {
    /// Datagrams that the kernel took, from the front.
    pub taken: usize,
    /// Why the one behind them was not taken, if it was tried and failed.
    pub error: Option<io::Error>,
}

/// A connected socket.
#[derive(Debug)]
pub struct Sink {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram),
    UnixStream { stream: UnixStream, frames: Vec<u8> },
}

impl Sink {
    /// Opens a socket and connects it.
    ///
    /// # Errors
    ///
    /// Nobody listens (unix sockets only), or no descriptor is left.
    pub fn connect(target: &Target, on_full: OnFull) -> io::Result<Self> {
        let socket = match target {
            Target::Udp(address) => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Socket::Udp(socket)
            }
            Target::UnixDatagram(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(on_full == OnFull::Fail)?;
                Socket::UnixDatagram(socket)
            }
            Target::UnixStream(path) => {
                Socket::UnixStream { stream: UnixStream::connect(path)?, frames: Vec::new() }
            }
        };
        Ok(Self { socket })
    }

    /// Sends up to [`BATCH_MAX`] datagrams in one system call where there is one for it.
    pub fn send(&mut self, datagrams: &[&[u8]]) -> Sent {
        let datagrams = &datagrams[..datagrams.len().min(BATCH_MAX)];
        match &mut self.socket {
            Socket::Udp(socket) => {
                let mut sent = send_many(socket, datagrams);
                // An answer of ICMP fails one datagram and is forgotten; of a batch the kernel tells
                // only how far it came, and the next call would not meet the error again.
                if sent.error.is_none() && sent.taken < datagrams.len() {
                    sent.error = Some(io::Error::other("refused inside a batch"));
                }
                sent
            }
            Socket::UnixDatagram(socket) => send_many(socket, datagrams),
            Socket::UnixStream { stream, frames } => send_frames(stream, frames, datagrams),
        }
    }

    /// True if nothing can follow after a failure: a stream that broke may have lost its framing.
    #[must_use]
    pub fn breaks(&self) -> bool {
        matches!(self.socket, Socket::UnixStream { .. })
    }
}

fn send_many(socket: &impl AsFd, datagrams: &[&[u8]]) -> Sent {
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
    // SAFETY: `mmsghdr` is a plain C struct of integers and pointers: all zero is a valid value.
    let mut messages: [libc::mmsghdr; BATCH_MAX] = unsafe { mem::zeroed() };
    let mut count: libc::c_uint = 0;
    for ((datagram, part), message) in datagrams.iter().zip(&mut parts).zip(&mut messages) {
        part.iov_base = datagram.as_ptr().cast_mut().cast();
        part.iov_len = datagram.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    loop {
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: `fd` is open, for `socket` is borrowed. The first `count` messages each point to
        // one entry of `parts`, which points to a slice of `datagrams`; all three outlive the call.
        // The kernel reads the datagrams and writes only `msg_len` of `messages`.
        let taken = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, 0) };
        if let Ok(taken) = usize::try_from(taken) {
            return Sent { taken, error: None };
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Sent { taken: 0, error: Some(error) };
        }
    }
}

/// Writes all frames in one call if the socket takes them so; a frame counts once it is whole.
fn send_frames(stream: &mut UnixStream, frames: &mut Vec<u8>, datagrams: &[&[u8]]) -> Sent {
    frames.clear();
    for datagram in datagrams {
        // A datagram is bounded far below 4 GiB; a longer one would only be refused by the agent.
        let length = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
        frames.extend_from_slice(&length.to_le_bytes());
        frames.extend_from_slice(datagram);
    }
    let mut written = 0;
    let mut error = None;
    while written < frames.len() {
        match stream.write(&frames[written..]) {
            Ok(bytes) => written += bytes,
            Err(failed) if failed.kind() == io::ErrorKind::Interrupted => {}
            Err(failed) => {
                error = Some(failed);
                break;
            }
        }
    }
    let mut whole = 0;
    let ends = datagrams.iter().take_while(|datagram| {
        whole += 4 + datagram.len();
        whole <= written
    });
    Sent { taken: ends.count(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    /// Nobody listens on the discard port.
    const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    const THREE: [&[u8]; 3] = [b"a:1|c", b"bb:22|g", b""];

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for text in ["udp://127.0.0.1:8125", "udp://[::1]:1", "unixgram:///a b", "unix:///c"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["udp://x", "tcp://127.0.0.1:1", "127.0.0.1:1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn udp_takes_a_batch_whole_and_in_order() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let target = Target::Udp(receiver.local_addr().unwrap());
        let sent = Sink::connect(&target, OnFull::Wait).unwrap().send(&THREE);
        assert!(sent.taken == 3 && sent.error.is_none(), "{sent:?}");
        for expected in THREE {
            let mut buffer = [0; 64];
            let bytes = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..bytes], expected);
        }
    }

    /// Each answer that the port is closed costs one datagram, inside a batch too.
    #[test]
    fn a_datagram_refused_inside_a_batch_is_an_error_and_not_taken() {
        let mut sink = Sink::connect(&Target::Udp(CLOSED), OnFull::Wait).unwrap();
        let sent = sink.send(&[THREE[0]; BATCH_MAX]);
        assert!(sent.taken < BATCH_MAX && sent.error.is_some(), "{sent:?}");
    }

    #[test]
    fn a_refused_datagram_is_an_error_and_not_taken() {
        let mut sink = Sink::connect(&Target::Udp(CLOSED), OnFull::Wait).unwrap();
        assert_eq!(sink.send(&[b"a:1|c"]).taken, 1, "the first can't know");
        let sent = sink.send(&[b"a:1|c"]);
        assert_eq!(sent.taken, 0);
        assert_eq!(sent.error.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }

    /// What was taken and what was not add up to what the receiver finds.
    #[test]
    fn a_full_unix_datagram_socket_fails_without_waiting_if_so_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut sink = Sink::connect(&Target::UnixDatagram(path), OnFull::Fail).unwrap();
        let mut taken = 0;
        let error = loop {
            let sent = sink.send(&[THREE[0]; BATCH_MAX]);
            taken += sent.taken;
            if let Some(error) = sent.error {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let found = std::iter::from_fn(|| receiver.recv(&mut [0; 64]).ok()).count();
        assert_eq!(found, taken);
    }

    #[test]
    fn a_stream_carries_each_datagram_behind_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut sink = Sink::connect(&Target::UnixStream(path), OnFull::Wait).unwrap();
        let sent = sink.send(&THREE);
        assert!(sent.taken == 3 && sent.error.is_none(), "{sent:?}");
        drop(sink);
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\x05\0\0\0a:1|c\x07\0\0\0bb:22|g\0\0\0\0");
    }

    #[test]
    fn a_stream_whose_reader_is_gone_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut sink = Sink::connect(&Target::UnixStream(path), OnFull::Wait).unwrap();
        drop(listener.accept().unwrap());
        let sent = sink.send(&THREE);
        assert_eq!(sent.taken, 0);
        assert_eq!(sent.error.unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert!(sink.breaks());
    }
}
