//! The agent's own counters as metrics, `lastdrop.*`, where that is switched on: docs/configuration.md
//! names them.
//!
//! What was counted since the last report goes as counters, so a task that lives for a second reports
//! as much as one that lives for a day. Zeros stay at home.

use crate::wiring::Ledgers;
use lastdrop_engine::datagram::Transport;
use lastdrop_engine::ledger::{ReceiverCounts, ShipperCounts, WorkerCounts};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Time between two reports.
const INTERVAL: Duration = Duration::from_secs(10);

/// What these names begin with: no namespace is put before them.
pub(crate) const NAMES: &str = "lastdrop.";

/// The counters and what was told of them.
pub(crate) struct Telemetry {
    ledgers: Ledgers,
    told: Counts,
    next: Instant,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    receivers: ReceiverCounts,
    workers: WorkerCounts,
    shipper: ShipperCounts,
}

impl Telemetry {
    /// Tells of these from `now` on.
    pub(crate) fn new(ledgers: Ledgers, now: Instant) -> Self {
        Self { ledgers, told: Counts::default(), next: now + INTERVAL }
    }

    /// When the next report is due.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// A report, if it is time: a datagram, one line a metric.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<String> {
        (now >= self.next).then(|| {
            self.next = now + INTERVAL;
            self.report()
        })
    }

    /// A report, whatever the time.
    pub(crate) fn report(&mut self) -> String {
        let counts = Counts {
            receivers: self.ledgers.receivers(),
            workers: self.ledgers.workers(),
            shipper: self.ledgers.shipper.read(),
        };
        let told = std::mem::replace(&mut self.told, counts);
        lines(&told, &counts)
    }
}

/// What has grown from one look to the next.
fn lines(before: &Counts, now: &Counts) -> String {
    let mut lines = String::new();
    let groups = [
        ("", before.receivers.each(), now.receivers.each()),
        ("", before.workers.each(), now.workers.each()),
        ("payload", before.shipper.each(), now.shipper.each()),
    ];
    for (of, before, now) in groups {
        for ((counter, kind, told), (_, _, value)) in before.into_iter().zip(now) {
            let grown = value.saturating_sub(told);
            if let Some(name) = name(of, counter).filter(|_| grown > 0 && !is_own(kind)) {
                // Writing to a string can't fail.
                let _ = write!(lines, "{NAMES}{name}:{grown}|c");
                let _ = kind.map_or(Ok(()), |kind| write!(lines, "|#kind:{kind}"));
                lines.push('\n');
            }
        }
    }
    let _ = writeln!(lines, "{NAMES}contexts:{}|g", now.workers.contexts);
    lines
}

/// The counters that are told, by their names in the ledger.
fn name(of: &str, counter: &str) -> Option<&'static str> {
    Some(match (of, counter) {
        ("", "received") => "datagrams",
        ("", "bytes") => "bytes",
        ("", "kernel_dropped") => "kernel_dropped",
        ("", "truncated") => "truncated",
        ("", "lines") => "messages",
        ("", "malformed") => "malformed",
        ("", "samples") => "samples",
        ("", "refused") => "refused",
        ("payload", "payloads") => "payloads",
        ("payload", "points_encoded") => "points",
        ("payload", "body_bytes") => "body_bytes",
        _ => return None,
    })
}

/// Whether datagrams are these themselves.
fn is_own(kind: Option<&str>) -> bool {
    kind == Some(Transport::Own.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lastdrop_engine::ledger::Refusal;

    #[test]
    fn what_has_grown_is_told_with_its_kind_and_the_rest_is_not() {
        let mut before = Counts::default();
        before.receivers.received[Transport::Udp as usize] = 5;
        let mut now = before;
        now.receivers.received[Transport::Udp as usize] = 8;
        now.receivers.received[Transport::Own as usize] = 2;
        now.workers.samples = 4;
        now.workers.contexts = 3;
        now.workers.refused[Refusal::ContextLimit as usize] = 1;
        now.shipper.payloads = 1;
        let expected = "lastdrop.datagrams:3|c|#kind:udp\n\
                        lastdrop.samples:4|c\n\
                        lastdrop.refused:1|c|#kind:context_limit\n\
                        lastdrop.payloads:1|c\n\
                        lastdrop.contexts:3|g\n";
        assert_eq!(lines(&before, &now), expected);
    }

    /// For all counters that are told: the page names them.
    #[test]
    fn the_page_names_every_metric() {
        const PAGE: &str = include_str!("../../docs/configuration.md");
        let counts = Counts::default();
        let told = [
            ("", counts.receivers.each()),
            ("", counts.workers.each()),
            ("payload", counts.shipper.each()),
        ];
        let names = told
            .iter()
            .flat_map(|(of, all)| all.iter().filter_map(|(counter, ..)| name(of, counter)));
        for name in names.chain(["contexts"]) {
            assert!(PAGE.contains(&format!("| `{NAMES}{name}` |")), "{name}");
        }
    }
}
