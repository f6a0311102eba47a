//! The decisions of the stop, without clock, thread or socket: what to do next, and how long it may
//! be waited for.
//!
//! ```text
//!  stage    goes on when                                     at the latest        then does
//!  linger   the sockets were silent long enough              reserved             Seal
//!  seal     the receivers have ended                         reserved             Compare
//!  drain    every worker's epoch has reached the seal,       reserved             Finish
//!           or there is no shipper left to wait for
//!  deliver  the shipper has ended                            deadline + counting  End
//! ```
//!
//! How long is long enough? For a client without a connection, the configured silence: nothing says
//! that it has ended. A client that holds a stream says so by closing it. So if all that was ever
//! received came over streams, and those that were held after the stop was asked for are closed, a
//! short silence will do: time for another process of the same application to connect.
//!
//! A second signal ends every stage at once. There is one deadline: a stage gets what those before
//! it have left, and the reserve is what flush and delivery are sure to get, so that a sick worker
//! never keeps the healthy ones from flushing.

use std::time::{Duration, Instant};

/// What flush and delivery are sure to get of the stop's time, if it is long enough.
pub(crate) const RESERVE: Duration = Duration::from_secs(2);

/// Time beyond the deadline that the shipper gets to count what is left.
pub(crate) const COUNTING: Duration = Duration::from_millis(400);

/// The silence that is enough once all clients have left.
const LEFT_SILENCE: Duration = Duration::from_millis(200);

/// How often silence is looked for while lingering: nothing wakes us for an arrival.
const LINGER_STEP: Duration = Duration::from_millis(50);

/// The times of one stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When flush and delivery begin at the latest.
    pub(crate) reserved: Instant,
    /// When the whole has to be over.
    pub(crate) deadline: Instant,
}

impl Times {
    /// The times of a stop that begins now and may take `timeout`.
    pub(crate) fn new(now: Instant, timeout: Duration) -> Self {
        let deadline = now + timeout;
        Self { reserved: deadline - RESERVE.min(timeout / 2), deadline }
    }
}

/// What is known of the threads, looked at anew before each decision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// What clients have done.
    pub(crate) clients: Clients,
    /// A signal has come since the stop began, and there is no process that it is meant for.
    pub(crate) interrupted: bool,
    /// All receivers have ended, by their seal or by a panic.
    pub(crate) receivers_ended: bool,
    /// Every worker has come to the seal, or is gone.
    pub(crate) drained: bool,
    /// The shipper has ended, by its last delivery or by a panic.
    pub(crate) shipper_ended: bool,
}

/// What the receivers know of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clients {
    /// Datagrams received so far from clients without a connection.
    pub(crate) datagrams: u64,
    /// Frames received so far from streams.
    pub(crate) frames: u64,
    /// Streams that are open.
    pub(crate) streams: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look again when something has happened, and at this time at the latest.
    Wait(Instant),
    /// Tell the receivers to seal.
    Seal,
    /// Take the seals that there are, and compare the epochs from now on.
    Compare,
    /// Settle what the drain has found by now, and let the shipper flush and deliver.
    Finish,
    /// It is over, at this stage.
    End(Stage),
}

/// The stages of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The sockets still receive.
    Linger,
    /// The receivers seal.
    Seal,
    /// The workers apply what is in the rings.
    Drain,
    /// The shipper flushes and delivers.
    Deliver,
}

impl Stage {
    /// The name in the receipt.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            // Nothing is sealed yet: the receipt tells how far it came, and lingering is no step.
            Self::Linger | Self::Seal => "seal",
            Self::Drain => "drain",
            Self::Deliver => "deliver",
        }
    }
}

/// Whether the sockets are listened to after the stop was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linger {
    /// No: the process that sends has ended.
    No,
    /// Until they were silent for so long.
    Silence(Duration),
}

/// A stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopping {
    times: Times,
    linger: Linger,
    stage: Stage,
    /// The clients when they were last seen to do anything, and when that was.
    heard: Option<(Clients, Instant)>,
    /// True if a stream was open when the stop was asked for, or since.
    held: bool,
}

impl Stopping {
    /// A stop that begins while the clients are like this.
    pub(crate) const fn new(times: Times, linger: Linger, clients: Clients) -> Self {
        Self { times, linger, stage: Stage::Linger, heard: None, held: clients.streams > 0 }
    }

    /// Says what to do next; to be asked again once that is done.
    pub(crate) fn next(&mut self, now: Instant, facts: &Facts) -> Action {
        if facts.interrupted {
            return Action::End(self.stage);
        }
        let Times { reserved, deadline } = self.times;
        let (over, until, then) = match self.stage {
            Stage::Linger => {
                let silent_at = self.silent_at(now, facts.clients);
                let until = silent_at.min(now + LINGER_STEP).min(reserved);
                (now >= silent_at, until, (Stage::Seal, Action::Seal))
            }
            Stage::Seal => (facts.receivers_ended, reserved, (Stage::Drain, Action::Compare)),
            Stage::Drain => {
                let over = facts.drained || facts.shipper_ended;
                (over, reserved, (Stage::Deliver, Action::Finish))
            }
            Stage::Deliver => {
                let end = (Stage::Deliver, Action::End(Stage::Deliver));
                (facts.shipper_ended, deadline + COUNTING, end)
            }
        };
        // While lingering `until` is only the next look.
        let latest = if self.stage == Stage::Linger { reserved } else { until };
        if !over && now < latest {
            return Action::Wait(until);
        }
        let action;
        (self.stage, action) = then;
        action
    }

    /// When the sockets will have been silent long enough, as far as is known.
    fn silent_at(&mut self, now: Instant, clients: Clients) -> Instant {
        let Linger::Silence(silence) = self.linger else { return now };
        let since = match self.heard {
            Some((before, since)) if before == clients => since,
            _ => now,
        };
        self.heard = Some((clients, since));
        self.held |= clients.streams > 0;
        let all_left = self.held && clients.streams == 0 && clients.datagrams == 0;
        since + if all_left { silence.min(LEFT_SILENCE) } else { silence }
    }
}

#[cfg(test)]
#[path = "stopping/tests.rs"]
mod tests;
