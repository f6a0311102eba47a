//! How far delivery has come, as the shipper tells it to whoever asks.
//!
//! The endpoints belong to the shipper's thread. It is asked by a command that carries the way of
//! the answer, so that nothing is shared and nobody waits for a lock.

use crate::forward::endpoint::{Endpoint, EndpointId, EndpointStatus};
use crate::forward::ledger::Ledger;
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::merge::Top;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// A question: how far are you?
#[derive(Debug)]
pub struct ReportRequest {
    /// The answer may wait until this flush has been shipped and everything queued is settled; 0 for
    /// an answer at once.
    pub flush: u64,
    /// Until when it may wait.
    pub until: Instant,
    /// How many of the busiest contexts and widest names are wanted; 0 looks at none.
    pub top: usize,
    /// Where the answer goes; with room for it, for the shipper doesn't wait.
    pub reply: SyncSender<Report>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Report {
    /// Number of the last flush that every worker has come to and that is in the queues.
    pub flushed: u64,
    /// True if nothing waited for delivery and nothing was in flight.
    pub delivered: bool,
    /// The balances as of the last mark that every worker has come to.
    pub balances: Vec<Balance>,
    /// The endpoints.
    pub endpoints: Vec<EndpointReport>,
    /// Who sends the most, as far as that was asked for.
    pub top: Top,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct EndpointReport {
    /// Which one.
    pub id: EndpointId,
    /// What it is doing.
    pub status: EndpointStatus,
    /// What became of its payloads.
    pub ledger: Ledger,
    /// Whether that and what waits is all that it was given.
    pub balanced: bool,
}

impl ReportRequest {
    /// Whether there is no more to wait for.
    pub(crate) fn is_due(&self, flushed: u64, delivered: bool, now: Instant) -> bool {
        self.flush == 0 || (flushed >= self.flush && delivered) || now >= self.until
    }

    /// Gives the answer; one that nobody waits for any more is lost.
    pub(crate) fn answer(&self, report: Report) {
        let _ = self.reply.try_send(report);
    }
}

impl EndpointReport {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self {
            id: endpoint.id().clone(),
            status: endpoint.status(),
            ledger: endpoint.ledger().clone(),
            balanced: endpoint.balance().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    #[test]
    fn a_flush_is_waited_for_until_it_is_shipped_and_delivered_or_time_is_up() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let due = |flush, flushed, delivered, at| {
            let (reply, _answer) = sync_channel(1);
            ReportRequest { flush, until, top: 0, reply }.is_due(flushed, delivered, at)
        };
        assert!(due(0, 0, false, now));
        assert!(!due(2, 1, true, now));
        assert!(!due(2, 2, false, now));
        assert!(due(2, 2, true, now));
        assert!(due(2, 3, true, now));
        assert!(due(2, 0, false, until));
    }
}
