//! What a kernel refused, and what is done instead.
//!
//! Sandboxes (gVisor) and old kernels lack some of what the listeners use. Each of these is given up
//! alone, by name, and status shows it: a listener that can do less still listens.

use std::fmt;
use std::io;

/// Something that a listener wants of the kernel and can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// One of the two addresses that `localhost` (or "all interfaces") stands for.
    Address,
    /// The lock in the abstract unix namespace.
    Lock,
    /// Descriptors for the whole group.
    Descriptors,
    /// A receive buffer of the planned size (`SO_RCVBUF`).
    ReceiveBuffer,
    /// Several sockets on one address (`SO_REUSEPORT`).
    ReusePort,
    /// Spreading datagram by datagram over the group (`SO_ATTACH_REUSEPORT_CBPF`).
    Spread,
    /// Kernel stamps (`SO_TIMESTAMPNS`).
    Stamps,
    /// Drop counts and queued bytes (`SO_MEMINFO`).
    QueueInfo,
    /// The filter that closes a socket to what comes late (`SO_ATTACH_FILTER`).
    Refuse,
}

impl Feature {
    /// The name of the option or resource, as the kernel's documentation has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Lock => "abstract unix socket",
            Self::Descriptors => "RLIMIT_NOFILE",
            Self::ReceiveBuffer => "SO_RCVBUF",
            Self::ReusePort => "SO_REUSEPORT",
            Self::Spread => "SO_ATTACH_REUSEPORT_CBPF",
            Self::Stamps => "SO_TIMESTAMPNS",
            Self::QueueInfo => "SO_MEMINFO",
            Self::Refuse => "SO_ATTACH_FILTER",
        }
    }

    /// What is done instead.
    #[must_use]
    pub const fn instead(self) -> &'static str {
        match self {
            Self::Address => "listening on the other address only",
            Self::Lock => "a second agent is known by its port alone",
            Self::Descriptors => "as many sockets as the limit allows",
            Self::ReceiveBuffer => "the buffer that was granted",
            Self::ReusePort => "fewer sockets",
            Self::Spread => "the kernel spreads by sender: one sender fills one socket",
            Self::Stamps => "datagrams arrive when they are read",
            Self::QueueInfo => "drops in the kernel are not counted",
            Self::Refuse => "at the stop the sockets are read until empty, twice",
        }
    }
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The listener: `udp` (all addresses), `udp 127.0.0.1`, a path.
    pub place: String,
    /// What was refused.
    pub feature: Feature,
    /// The kernel's error number; `None` if it granted less than asked without an error.
    pub errno: Option<i32>,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.place, self.feature.name())?;
        match self.errno {
            Some(errno) => write!(f, "refused ({})", io::Error::from_raw_os_error(errno))?,
            None => f.write_str("granted in part")?,
        }
        write!(f, ": {}", self.feature.instead())
    }
}

/// Tries features one by one and keeps what was refused.
#[derive(Debug)]
pub(super) struct Attempts {
    fallbacks: Vec<Fallback>,
    without: Vec<Feature>,
}

impl Attempts {
    /// For a kernel that is taken to have none of the features `without`.
    pub(super) fn new(without: &[Feature]) -> Self {
        Self { fallbacks: Vec::new(), without: without.to_vec() }
    }

    /// Does `call`; a refusal is recorded and gives `None`.
    pub(super) fn attempt<T>(
        &mut self,
        place: &str,
        feature: Feature,
        call: impl FnOnce() -> io::Result<T>,
    ) -> Option<T> {
        self.demand(feature, call)
            .map_err(|error| self.record(place, feature, error.raw_os_error()))
            .ok()
    }

    /// Does `call`, for a feature that must not be missing here.
    pub(super) fn demand<T>(
        &self,
        feature: Feature,
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if self.without.contains(&feature) {
            return Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT));
        }
        call()
    }

    /// Records that `feature` is missing; once for each place.
    pub(super) fn record(&mut self, place: &str, feature: Feature, errno: Option<i32>) {
        let is_known = self.fallbacks.iter().any(|f| f.feature == feature && f.place == place);
        if !is_known {
            self.fallbacks.push(Fallback { place: place.to_owned(), feature, errno });
        }
    }

    pub(super) fn into_fallbacks(self) -> Vec<Fallback> {
        self.fallbacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_told_once_with_what_is_done_instead() {
        let mut attempts = Attempts::new(&[]);
        let refusal = || -> io::Result<()> { Err(io::Error::from_raw_os_error(libc::EPERM)) };
        assert_eq!(attempts.attempt("udp", Feature::Stamps, || Ok(7)), Some(7));
        assert_eq!(attempts.attempt("udp", Feature::Stamps, refusal), None);
        assert_eq!(attempts.attempt("udp", Feature::Stamps, refusal), None);
        attempts.record("udp", Feature::ReceiveBuffer, None);
        let told: Vec<String> = attempts.into_fallbacks().iter().map(Fallback::to_string).collect();
        assert_eq!(
            told,
            [
                "udp: SO_TIMESTAMPNS refused (Operation not permitted (os error 1)): datagrams \
                 arrive when they are read",
                "udp: SO_RCVBUF granted in part: the buffer that was granted",
            ]
        );
    }
}
