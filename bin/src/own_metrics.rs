//! Sends the agent's own metrics of its platform into its own socket.

use crate::identity::Pending;
use crate::platform::Tags;
use crate::platform::cgroup::Meter;
use crate::platform::enhanced::Enhanced;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Time between two reports of usage.
const INTERVAL: Duration = Duration::from_secs(3);

/// Makes the metrics and sends them.
pub(crate) struct OwnMetrics {
    enhanced: Enhanced,
    socket: UnixDatagram,
    identity: Pending,
    meter: Meter,
    started: Instant,
    next: Instant,
}

impl OwnMetrics {
    /// Metrics of a platform that go into `socket`. Sends the first at once.
    pub(crate) fn start(enhanced: Enhanced, socket: UnixDatagram, identity: Pending) -> Self {
        let started = Instant::now();
        let next = started + INTERVAL;
        let own = Self { enhanced, socket, identity, meter: Meter::new(), started, next };
        own.send(&own.enhanced.at_start());
        own
    }

    /// How long it is until the next report of usage.
    pub(crate) fn due_in(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Reports usage if it is time. After a pause there is one report, not one for each that was
    /// missed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        if let Some(identity) = self.identity.known() {
            let (used, limit) = (self.meter.usage(now), self.meter.limit());
            self.send(&self.enhanced.usage(&identity.instance, used, limit));
        }
    }

    /// Reports the last usage and the end; before the seal, so that it is part of what is proved.
    pub(crate) fn stop(&mut self, child_ended: Option<u8>) {
        self.next = Instant::now();
        self.tick(self.next);
        let succeeded = child_ended.map(|status| status == 0);
        self.send(&self.enhanced.at_stop(succeeded, self.started.elapsed()));
    }

    /// Puts a datagram into the socket. There is room for several, and they come seconds apart; if
    /// there is none all the same, the receiver has stood still for so long that these are not what
    /// is missed.
    fn send(&self, datagram: &str) {
        if let Err(why) = self.socket.send(datagram.as_bytes()) {
            tracing::debug!("own metrics: {why}");
        }
    }
}

/// What the environment says of a platform, for its metrics.
pub(crate) fn enhanced(surroundings: &crate::identity::Surroundings) -> Option<Enhanced> {
    let tags: Tags = surroundings.platform.tags(&surroundings.environment, &Default::default());
    Enhanced::new(surroundings.platform, tags)
}
