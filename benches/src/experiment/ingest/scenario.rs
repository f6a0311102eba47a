//! What is compared with what, under which load.

use super::super::contender::{Contender, DrainKind};
use super::super::sidecar::Transport;

/// Tags of each message: with them a message has some 75 bytes.
pub(super) const TAGS: u32 = 4;

/// One comparison.
#[derive(Debug)]
pub(super) struct Scenario {
    /// What it is called on the command line and in tables.
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) what: &'static str,
    pub(super) transport: Transport,
    /// Most messages of a datagram.
    pub(super) messages: u32,
    /// Most bytes of a datagram.
    pub(super) datagram_bytes: usize,
    /// At the moderate rate instead of flat out.
    pub(super) moderate: bool,
    /// All on one processor.
    pub(super) one_cpu: bool,
    /// Settings of the agent beside its defaults.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// What it is compared with.
    pub(super) beside: Beside,
}

/// What the agent is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beside {
    /// A receiver that drains the same sockets.
    Drain,
    /// The agent with other settings.
    Agent(&'static [(&'static str, &'static str)]),
}

/// One socket on one address instead of a group.
const ONE_SOCKET: &[(&str, &str)] = &[("LASTDROP_BURST_BYTES", "1"), ("DD_BIND_HOST", "127.0.0.1")];

const SMALL: Scenario = Scenario {
    name: "udp",
    what: "one message a UDP datagram, flat out, beside a receiver that drains the same group",
    transport: Transport::Udp,
    messages: 1,
    datagram_bytes: 1_432,
    moderate: false,
    one_cpu: false,
    settings: &[],
    beside: Beside::Drain,
};

const PACKED: u32 = u32::MAX;

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    SMALL,
    Scenario {
        name: "udp-one-cpu",
        what: "the same with sender and receiver on one processor",
        one_cpu: true,
        ..SMALL
    },
    Scenario {
        name: "udp-packed",
        what: "UDP datagrams of up to 1,432 bytes, flat out",
        messages: PACKED,
        ..SMALL
    },
    Scenario {
        name: "unix",
        what: "one message a unix datagram, flat out",
        transport: Transport::UnixDatagram,
        ..SMALL
    },
    Scenario {
        name: "unix-packed",
        what: "unix datagrams of up to 8 KiB, flat out",
        transport: Transport::UnixDatagram,
        messages: PACKED,
        datagram_bytes: 8_192,
        ..SMALL
    },
    Scenario {
        name: "moderate",
        what: "one message a UDP datagram at a moderate load",
        moderate: true,
        ..SMALL
    },
    Scenario {
        name: "group",
        what: "the agent with its group beside the agent with one socket, flat out",
        beside: Beside::Agent(ONE_SOCKET),
        ..SMALL
    },
    Scenario {
        name: "group-moderate",
        what: "the same at a moderate load",
        moderate: true,
        beside: Beside::Agent(ONE_SOCKET),
        ..SMALL
    },
    Scenario {
        name: "two-workers",
        what: "packed UDP datagrams, flat out: two workers beside one",
        messages: PACKED,
        settings: &[("LASTDROP_WORKERS", "2")],
        beside: Beside::Agent(&[]),
        ..SMALL
    },
];

/// The scenario of that name.
pub(super) fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// The agent as it is to be measured.
    pub(super) fn agent(&self) -> Contender {
        agent(self.settings)
    }

    /// Processors that everything runs on; empty for all.
    pub(super) fn cpus(&self) -> Vec<usize> {
        if self.one_cpu { vec![0] } else { Vec::new() }
    }
}

impl Beside {
    pub(super) fn contender(self) -> Contender {
        match self {
            Self::Drain => {
                Contender::Drain(DrainKind { single: false, receive_buffer_bytes: None })
            }
            Self::Agent(settings) => agent(settings),
        }
    }
}

fn agent(settings: &[(&str, &str)]) -> Contender {
    let owned = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Contender::Agent(owned.collect())
}
