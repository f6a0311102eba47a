//! What stands on the pages.

use super::connection::{Answer, Request};
use super::health::Health;
use super::prometheus;
use crate::desk::Desk;
use lastdrop_engine::epoch::Writer;
use lastdrop_transport::forward::endpoint::{EndpointStatus, KeyState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pages and what they remember from one look to the next.
pub(super) struct Pages {
    desk: Arc<Desk>,
    health: Health,
    /// For so long nothing need be accepted.
    delivery_window: Duration,
}

impl Pages {
    /// The pages of an agent.
    pub(super) fn new(desk: Arc<Desk>, delivery_window: Duration) -> Self {
        let health = Health::new(&desk.facts().lanes, Instant::now());
        Self { desk, health, delivery_window }
    }

    /// The page of a path.
    pub(super) fn answer(&mut self, request: Request<'_>) -> Answer {
        match request.path {
            "/metrics" => self.metrics(),
            "/readyz" => verdict(self.is_ready()),
            "/healthz" => verdict(self.is_healthy()),
            "/delivery" => verdict(self.delivers()),
            _ => Answer::text(404, "there are /metrics, /readyz, /healthz and /delivery"),
        }
    }

    fn metrics(&self) -> Answer {
        match self.desk.report() {
            Ok(report) => Answer {
                status: 200,
                content_type: prometheus::CONTENT_TYPE,
                body: prometheus::page(self.desk.facts(), &report),
            },
            Err(why) => Answer::text(503, why),
        }
    }

    /// Whether everything that was asked for is bound, and read.
    fn is_ready(&self) -> Result<(), String> {
        let facts = self.desk.facts();
        if let Some(why) = facts.unbound.first() {
            return Err(why.clone());
        }
        let gone = |lane: usize| format!("the sockets of lane {lane} are closed");
        let mut receivers = facts.lanes.iter().map(|lane| lane.committed.observe().writer);
        receivers.position(|writer| writer == Writer::Gone).map_or(Ok(()), |lane| Err(gone(lane)))
    }

    /// Whether every thread is alive and turns: the answer of the shipper comes through the main
    /// thread.
    fn is_healthy(&mut self) -> Result<(), String> {
        self.health.look(&self.desk.facts().lanes, Instant::now())?;
        self.desk.report().map(|_| ())
    }

    /// Whether every endpoint accepts.
    fn delivers(&self) -> Result<(), String> {
        let now = Instant::now();
        for endpoint in self.desk.report()?.endpoints {
            is_accepting(&endpoint.status, self.delivery_window, now)
                .map_err(|why| format!("{}: {why}", endpoint.id))?;
        }
        Ok(())
    }
}

fn verdict(verdict: Result<(), String>) -> Answer {
    match verdict {
        Ok(()) => Answer::text(200, "ok"),
        Err(why) => Answer::text(503, why),
    }
}

/// Whether an endpoint has accepted something within `window`, or had nothing to accept.
fn is_accepting(status: &EndpointStatus, window: Duration, now: Instant) -> Result<(), String> {
    if status.key == KeyState::Missing {
        return Err("no API key: nothing is sent".to_owned());
    }
    let waited = status.unaccepted_since.map(|since| now.saturating_duration_since(since));
    match waited.filter(|waited| *waited > window) {
        None => Ok(()),
        Some(waited) => {
            let why = status.last_failure.map(|cause| format!(", last failure: {cause}"));
            Err(format!("nothing accepted for {} s{}", waited.as_secs(), why.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lastdrop_transport::forward::ledger::Tally;

    #[test]
    fn an_endpoint_may_be_silent_for_its_window_and_for_ever_if_it_had_nothing_to_accept() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let status = |key, unaccepted_since| EndpointStatus {
            queued: Tally::default(),
            queued_bytes: 0,
            in_flight: 0,
            routes_blocked: 0,
            last_failure: None,
            key,
            last_accepted: None,
            unaccepted_since,
        };
        let window = Duration::from_secs(60);
        let idle = status(KeyState::Accepted, None);
        assert_eq!(is_accepting(&idle, window, at(9999)), Ok(()));
        let waiting = status(KeyState::Unproven, Some(now));
        assert_eq!(is_accepting(&waiting, window, at(60)), Ok(()));
        let late = is_accepting(&waiting, window, at(61));
        assert_eq!(late, Err("nothing accepted for 61 s".to_owned()));
        assert!(is_accepting(&status(KeyState::Missing, None), window, now).is_err());
    }
}
