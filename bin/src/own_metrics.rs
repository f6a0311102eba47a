//! Sends the agent's own metrics into its own socket: those of its platform, and its counters.

use crate::identity::Pending;
use crate::platform::Tags;
use crate::platform::cgroup::Meter;
use crate::platform::enhanced::Enhanced;
use crate::telemetry::Telemetry;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Time between two reports of usage.
const INTERVAL: Duration = Duration::from_secs(3);

/// Makes the metrics and sends them.
pub(crate) struct OwnMetrics {
    socket: UnixDatagram,
    platform: Option<OfPlatform>,
    telemetry: Option<Telemetry>,
}

/// Those of a platform.
struct OfPlatform {
    enhanced: Enhanced,
    identity: Pending,
    meter: Meter,
    started: Instant,
    next: Instant,
}

impl OwnMetrics {
    /// Metrics that go into `socket`.
    pub(crate) fn new(socket: UnixDatagram) -> Self {
        Self { socket, platform: None, telemetry: None }
    }

    /// Adds those of a platform, and sends the first at once.
    pub(crate) fn add_platform(&mut self, enhanced: Enhanced, identity: Pending) {
        self.send(&enhanced.at_start());
        let started = Instant::now();
        let (meter, next) = (Meter::new(), started + INTERVAL);
        self.platform = Some(OfPlatform { enhanced, identity, meter, started, next });
    }

    /// Adds the agent's own counters.
    pub(crate) fn add_telemetry(&mut self, telemetry: Telemetry) {
        self.telemetry = Some(telemetry);
    }

    /// How long it is until the next report.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        let dues =
            [self.platform.as_ref().map(|of| of.next), self.telemetry.as_ref().map(Telemetry::due)];
        dues.into_iter().flatten().min().map(|due| due.saturating_duration_since(now))
    }

    /// Reports what it is time for. After a pause there is one report, not one for each that was
    /// missed.
    pub(crate) fn tick(&mut self, now: Instant) {
        let usage = self.platform.as_mut().filter(|of| now >= of.next).and_then(|of| of.usage(now));
        let counters = self.telemetry.as_mut().and_then(|telemetry| telemetry.tick(now));
        usage.iter().chain(&counters).for_each(|datagram| self.send(datagram));
    }

    /// Reports the last usage, the end and the last counters; before the seal, so that it is part of
    /// what is proved.
    pub(crate) fn stop(&mut self, child_ended: Option<u8>) {
        if let Some(mut of) = self.platform.take() {
            let usage = of.usage(Instant::now());
            let succeeded = child_ended.map(|status| status == 0);
            let end = of.enhanced.at_stop(succeeded, of.started.elapsed());
            usage.iter().chain([&end]).for_each(|datagram| self.send(datagram));
        }
        if let Some(mut telemetry) = self.telemetry.take() {
            self.send(&telemetry.report());
        }
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

impl OfPlatform {
    /// What the instance uses, once it is known which one it is.
    fn usage(&mut self, now: Instant) -> Option<String> {
        self.next = now + INTERVAL;
        let identity = self.identity.known()?;
        let (used, limit) = (self.meter.usage(now), self.meter.limit());
        Some(self.enhanced.usage(&identity.instance, used, limit))
    }
}

/// What the environment says of a platform, for its metrics.
pub(crate) fn enhanced(surroundings: &crate::identity::Surroundings) -> Option<Enhanced> {
    let tags: Tags = surroundings.platform.tags(&surroundings.environment, &Default::default());
    Enhanced::new(surroundings.platform, tags)
}
