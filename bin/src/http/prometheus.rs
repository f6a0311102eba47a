//! The counters in the text form of Prometheus.

use crate::status::Facts;
use lastdrop_transport::report::{EndpointReport, Report};
use std::fmt::Write as _;

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters that say how it is now, and may fall.
const GAUGES: [&str; 5] =
    ["clock_shift_ns", "contexts", "context_bytes", "age_ns_max", "slot_age_ns_max"];

/// Counters of one kind of threads, as the ledger gives them.
type Counters = Vec<(&'static str, Option<&'static str>, u64)>;

/// The page.
pub(super) fn page(facts: &Facts, report: &Report) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    let labels = [("version", version), ("mode", facts.mode), ("platform", facts.platform)];
    page.family("info", "gauge", [(&labels[..], 1)]);
    page.family("uptime_seconds", "gauge", [(&[][..], facts.started.elapsed().as_secs())]);
    page.counters("receivers", facts.ledgers.receivers().each());
    page.counters("workers", facts.ledgers.workers().each());
    page.counters("merge", facts.ledgers.merge.read().each());
    page.counters("shipper", facts.ledgers.shipper.read().each());
    page.lanes(facts);
    page.endpoints(&report.endpoints);
    page.family("log_lines_dropped_total", "counter", [(&[][..], crate::log::dropped())]);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// One metric: a line for each set of labels.
    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        values: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], u64)>,
    ) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "# TYPE lastdrop_{name} {kind}");
        for (labels, value) in values {
            let labels: Vec<_> =
                labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
            let labels = match &labels[..] {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(self.0, "lastdrop_{name}{labels} {value}");
        }
    }

    /// The counters of one kind of threads; those that are counted by kind with a label.
    fn counters(&mut self, threads: &str, counters: Counters) {
        for group in counters.chunk_by(|one, next| one.0 == next.0) {
            let Some((name, ..)) = group.first() else { continue };
            let (suffix, kind) =
                if GAUGES.contains(name) { ("", "gauge") } else { ("_total", "counter") };
            let values: Vec<_> = group
                .iter()
                .map(|(_, kind, value)| (kind.map(|kind| ("kind", kind)), *value))
                .collect();
            let values = values.iter().map(|(label, value)| (label.as_slice(), *value));
            self.family(&format!("{threads}_{name}{suffix}"), kind, values);
        }
    }

    fn lanes(&mut self, facts: &Facts) {
        let numbers: Vec<_> = (0..facts.lanes.len()).map(|number| number.to_string()).collect();
        let labels: Vec<_> = numbers.iter().map(|number| [("lane", number.as_str())]).collect();
        let read = |lane: &lastdrop_engine::stop::LaneEpochs| {
            // In this order, so that the difference is never below zero.
            let applied = lane.applied.observe().epoch;
            (applied, lane.committed.observe().epoch.saturating_sub(applied))
        };
        let lanes: Vec<_> = facts.lanes.iter().map(read).collect();
        let applied =
            labels.iter().zip(&lanes).map(|(labels, (applied, _))| (&labels[..], *applied));
        self.family("lane_records_applied_total", "counter", applied);
        let waiting =
            labels.iter().zip(&lanes).map(|(labels, (_, waiting))| (&labels[..], *waiting));
        self.family("lane_records_waiting", "gauge", waiting);
    }

    /// Payloads and points by what became of them, and what waits.
    fn endpoints(&mut self, endpoints: &[EndpointReport]) {
        let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.id.to_string()).collect();
        let mut rows = Vec::new();
        for (EndpointReport { ledger, .. }, name) in endpoints.iter().zip(&names) {
            let sum = |tallies: &mut dyn Iterator<Item = &_>| tallies.copied().sum();
            for (outcome, tally) in [
                ("made", ledger.made),
                ("restored", ledger.restored),
                ("accepted", ledger.accepted),
                ("refused", sum(&mut ledger.refused.values())),
                ("dropped", sum(&mut ledger.dropped.values())),
                ("unknown", sum(&mut ledger.unknown.values())),
                ("retried", ledger.retried),
            ] {
                rows.push(([("endpoint", name.as_str()), ("outcome", outcome)], tally));
            }
        }
        let payloads = rows.iter().map(|(labels, tally)| (&labels[..], tally.payloads));
        self.family("endpoint_payloads_total", "counter", payloads);
        let points = rows.iter().map(|(labels, tally)| (&labels[..], tally.points));
        self.family("endpoint_points_total", "counter", points);
        let labels: Vec<_> = names.iter().map(|name| [("endpoint", name.as_str())]).collect();
        let queued = |endpoint: &EndpointReport| endpoint.status.queued.payloads;
        let waiting = labels.iter().zip(endpoints).map(|(labels, one)| (&labels[..], queued(one)));
        self.family("endpoint_payloads_queued", "gauge", waiting);
        let in_flight = |endpoint: &EndpointReport| endpoint.status.in_flight as u64;
        let flying =
            labels.iter().zip(endpoints).map(|(labels, one)| (&labels[..], in_flight(one)));
        self.family("endpoint_payloads_in_flight", "gauge", flying);
    }
}

/// The text of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_bear_their_kind_and_labels_are_escaped() {
        let mut page = Page::default();
        let counters =
            vec![("received", Some("udp"), 3), ("received", Some("own"), 0), ("contexts", None, 7)];
        page.counters("x", counters);
        page.family("y", "gauge", [(&[("endpoint", "a\"b\\c\nd")][..], 1)]);
        assert_eq!(
            page.0,
            "# TYPE lastdrop_x_received_total counter\n\
             lastdrop_x_received_total{kind=\"udp\"} 3\n\
             lastdrop_x_received_total{kind=\"own\"} 0\n\
             # TYPE lastdrop_x_contexts gauge\n\
             lastdrop_x_contexts 7\n\
             # TYPE lastdrop_y gauge\n\
             lastdrop_y{endpoint=\"a\\\"b\\\\c\\nd\"} 1\n"
        );
    }
}
