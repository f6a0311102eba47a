//! A receiver that does nothing but drain: what the kernel hands over at most, and what that costs.
//!
//! It binds what the agent would bind, with the same options, and reads with the same system call,
//! but looks at nothing that comes. A process of its own, so that the kernel accounts for it alone.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lastdrop_transport::limits::BATCH_DATAGRAMS_MAX;
use lastdrop_transport::listen::{
    self, Address, Interfaces, ListenSettings, Socket, UdpSettings, UnixSettings, group,
    memory_limit,
};
use lastdrop_transport::sys::Batch;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;
use crate::sink::Target;

/// Longest datagram, as the agent's default.
const DATAGRAM_BYTES_MAX: usize = 8_192;

/// Longest sleep. A signal ends it; this is for one that comes right before it.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What to drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainSource {
    /// The agent's burst group, on a free UDP port of the loopback addresses.
    Group {
        /// What the agent's setting for `SO_RCVBUF` asks for; `None`: what the agent plans.
        receive_buffer_bytes: Option<usize>,
    },
    /// One UDP socket on a free port of 127.0.0.1, as a plain server has it.
    Single {
        /// As for the group; `None`: the kernel's default.
        receive_buffer_bytes: Option<usize>,
    },
    /// A unix datagram socket.
    Unix(PathBuf),
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReport {
    /// Datagrams read.
    pub datagrams: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Datagrams that the kernel dropped instead.
    pub kernel_dropped: u64,
    /// System calls that read.
    pub receive_calls: u64,
}

impl DrainSource {
    fn settings(&self) -> ListenSettings {
        let udp = |interfaces, burst_bytes, receive_buffer_bytes: Option<usize>| UdpSettings {
            interfaces,
            port: 0,
            receive_buffer_bytes: receive_buffer_bytes.and_then(std::num::NonZeroUsize::new),
            burst_bytes,
        };
        let (mut udp_settings, mut unix_datagram) = (None, None);
        match self {
            Self::Group { receive_buffer_bytes } => {
                let burst = group::default_burst_bytes(memory_limit::memory_limit_bytes());
                udp_settings = Some(udp(Interfaces::Localhost, burst, *receive_buffer_bytes));
            }
            Self::Single { receive_buffer_bytes } => {
                let interfaces = Interfaces::One([127, 0, 0, 1].into());
                udp_settings = Some(udp(interfaces, 1, *receive_buffer_bytes));
            }
            Self::Unix(path) => unix_datagram = Some(UnixSettings::new(path.clone())),
        }
        ListenSettings { udp: udp_settings, unix_datagram, ..ListenSettings::default() }
    }
}

/// Drains until interrupted and what was sent before is read; `bound` is told where to send to once it can be.
///
/// # Errors
///
/// It can't listen, or what `bound` reports.
pub fn run(
    source: &DrainSource,
    interrupt: &Interrupt,
    bound: impl FnOnce(&Target) -> io::Result<()>,
) -> io::Result<DrainReport> {
    let mut listeners = listen::bind(&source.settings()).map_err(io::Error::other)?;
    let first = listeners.report.addresses.first().map(|report| report.address.clone());
    let target = match first {
        Some(Address::Udp(address)) => Target::Udp(address),
        Some(Address::Unix(path)) => Target::UnixDatagram(path),
        None => return Err(io::Error::other("nothing to drain")),
    };
    let mut poll = Poll::new()?;
    for (index, socket) in listeners.sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(index), Interest::READABLE)?;
    }
    bound(&target)?;
    let mut reader = Reader::default();
    reader.drain(&mut poll, &listeners.sockets, interrupt)?;
    for socket in &listeners.sockets {
        while reader.read(socket) == Left::Perhaps {}
    }
    let mut report = reader.report;
    let drops = listeners.sockets.iter().filter_map(Socket::drops);
    report.kernel_dropped = drops.map(u64::from).sum();
    Ok(report)
}

/// Whether a socket has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// It is empty; what comes later brings an event.
    Nothing,
    /// The call was filled.
    Perhaps,
}

struct Reader {
    batch: Batch,
    report: DrainReport,
}

impl Default for Reader {
    fn default() -> Self {
        let batch = Batch::new(BATCH_DATAGRAMS_MAX, DATAGRAM_BYTES_MAX);
        Self { batch, report: DrainReport::default() }
    }
}

impl Reader {
    /// Reads each socket that has something once a sweep, so that none keeps the others waiting.
    fn drain(
        &mut self,
        poll: &mut Poll,
        sockets: &[Socket],
        interrupt: &Interrupt,
    ) -> io::Result<()> {
        let mut events = Events::with_capacity(sockets.len().max(1));
        let mut ready: Vec<usize> = (0..sockets.len()).collect();
        let mut is_ready = vec![true; sockets.len()];
        while !interrupt.is_raised() {
            let patience = if ready.is_empty() { SLEEP_MAX } else { Duration::ZERO };
            match poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                let Token(index) = event.token();
                if !std::mem::replace(&mut is_ready[index], true) {
                    ready.push(index);
                }
            }
            ready.retain(|&index| {
                is_ready[index] = self.read(&sockets[index]) == Left::Perhaps;
                is_ready[index]
            });
        }
        Ok(())
    }

    /// One system call.
    fn read(&mut self, socket: &Socket) -> Left {
        let Self { batch, report } = self;
        let received = socket.receive(batch, batch.capacity()).unwrap_or(0);
        let bytes = batch.datagrams().map(|datagram| datagram.bytes.len() as u64);
        report.receive_calls += 1;
        report.datagrams += received as u64;
        report.bytes += bytes.sum::<u64>();
        if received == batch.capacity() { Left::Perhaps } else { Left::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{self, Length, LoadOptions};
    use std::sync::mpsc;
    use std::thread;

    /// What was sent before the end was asked for is received or counted as dropped.
    #[test]
    fn what_is_sent_is_drained_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let sources = [
            DrainSource::Group { receive_buffer_bytes: Some(106_496) },
            DrainSource::Single { receive_buffer_bytes: None },
            DrainSource::Unix(folder.path().join("socket")),
        ];
        for source in sources {
            let interrupt = Interrupt::default();
            let (sender, receiver) = mpsc::channel();
            let report = thread::scope(|scope| {
                let draining = scope.spawn(|| {
                    run(&source, &interrupt, |target| {
                        sender.send(target.clone()).map_err(io::Error::other)
                    })
                });
                let target = receiver.recv().unwrap();
                let sent = load::run(&LoadOptions::new(target, Length::Datagrams(5_000))).unwrap();
                assert_eq!((sent.datagrams, sent.failed.datagrams), (5_000, 0));
                interrupt.raise();
                draining.join().unwrap().unwrap()
            });
            let accounted = report.datagrams + report.kernel_dropped;
            assert!(report.datagrams > 0 && accounted == 5_000, "{source:?}: {report:?}");
        }
    }
}
