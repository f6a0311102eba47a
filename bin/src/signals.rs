//! Signals as events: caught without loss between different numbers, read in the main loop.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{
    SIGBUS, SIGCHLD, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGSEGV, SIGSTOP, SIGTERM,
    SIGUSR1,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Numbers of the signals that there are, the real-time ones too.
const NUMBERS: std::ops::RangeInclusive<i32> = 1..=64;

/// Numbers that the C library keeps for itself.
const RESERVED: [i32; 2] = [32, 33];

/// The signals that are caught.
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    /// Its number.
    pub(crate) number: i32,
    /// Who it was sent to.
    pub(crate) reach: Reach,
}

/// Who a signal was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This process alone, by another.
    Process,
    /// By the kernel: what a terminal sends goes to every process of the foreground group.
    Group,
}

impl Signals {
    /// Catches what the sidecar reacts to.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn of_sidecar() -> io::Result<Self> {
        Self::catch(&[SIGTERM, SIGINT, SIGHUP, SIGUSR1])
    }

    /// Catches everything that can be sent on to a wrapped process, and the news of its end. Not
    /// what cannot be caught, and not what the kernel raises because of a fault of our own.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn of_wrapper() -> io::Result<Self> {
        let own = [SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGPIPE];
        let numbers: Vec<i32> =
            NUMBERS.filter(|number| !own.contains(number) && !RESERVED.contains(number)).collect();
        Self::catch(&numbers)
    }

    fn catch(numbers: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), numbers)?;
        Ok(Self { delivery })
    }

    /// Lets a poll report signals under `token`.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let descriptor = self.delivery.get_read().as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE)
    }

    /// The signals that came since the last call; of several with one number there may be one.
    pub(crate) fn pending(&mut self) -> Vec<Caught> {
        self.delivery.pending().map(|origin| caught(&origin)).collect()
    }
}

fn caught(origin: &Origin) -> Caught {
    let reach = match origin.cause {
        Cause::Kernel if origin.signal != SIGCHLD => Reach::Group,
        _ => Reach::Process,
    };
    Caught { number: origin.signal, reach }
}
