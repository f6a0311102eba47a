//! Series, sketches, events and checks of one flush on their way into payloads and queues.
//!
//! Series are encoded once for each format that an endpoint wants. A full payload is queued and
//! sent on before the next one is begun, so that a flush of 100,000 contexts never holds more than
//! a few of them here.

use super::ShipperSettings;
use super::outlet::{Outlets, Wants};
use crate::payload::{
    EventsBuilder, Lost, Payload, PayloadKind, SeriesBuilder, SeriesFormat, ServiceChecksBuilder,
    SketchesBuilder,
};
use lastdrop_engine::ledger::ShipperCounts;
use lastdrop_engine::merge::Item;
use lastdrop_engine::series::{Event, Series, ServiceCheck, SketchSeries};

/// Which kinds of payloads are made at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// Series of any format.
    pub series: bool,
    /// Sketches.
    pub sketches: bool,
    /// Events.
    pub events: bool,
    /// Service checks.
    pub service_checks: bool,
}

impl Enabled {
    /// All of them.
    pub const ALL: Self = Self { series: true, sketches: true, events: true, service_checks: true };
}

/// One flush.
pub(super) struct Encoder<'a> {
    enabled: Enabled,
    /// One for each format; at least one.
    series: Vec<(SeriesFormat, SeriesBuilder)>,
    sketches: SketchesBuilder,
    events: EventsBuilder,
    service_checks: ServiceChecksBuilder,
    outlets: &'a mut Outlets,
    counts: &'a mut ShipperCounts,
}

impl<'a> Encoder<'a> {
    /// Cheap: the builders allocate with their first item.
    pub(super) fn new(
        settings: &ShipperSettings,
        outlets: &'a mut Outlets,
        counts: &'a mut ShipperCounts,
    ) -> Self {
        let builder = |format| {
            let payloads = match format {
                SeriesFormat::V3 => &settings.payloads_v3,
                SeriesFormat::V1 | SeriesFormat::V2 => &settings.payloads,
            };
            (format, SeriesBuilder::new(format, payloads))
        };
        Self {
            enabled: settings.enabled,
            series: outlets.series_formats().into_iter().map(builder).collect(),
            sketches: SketchesBuilder::new(&settings.payloads),
            events: EventsBuilder::new(&settings.payloads, &settings.hostname),
            service_checks: ServiceChecksBuilder::new(&settings.payloads),
            outlets,
            counts,
        }
    }

    /// Takes what leaves the merge.
    pub(super) fn push(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) | Item::Passed(series) => self.push_series(&series),
            Item::Sketch(sketches) => self.push_sketches(&sketches),
            Item::Events(events) => self.push_events(events),
            Item::ServiceChecks(checks) => self.push_checks(checks),
        }
    }

    /// Queues what the builders still hold.
    pub(super) fn finish(&mut self) {
        for at in 0..self.series.len() {
            while let Some((format, payload)) =
                self.series.get_mut(at).and_then(|(format, it)| Some((*format, it.finish()?)))
            {
                self.enqueue(&payload, Wants::Format(format));
            }
        }
        loop {
            let rest = self
                .sketches
                .finish()
                .or_else(|| self.events.finish())
                .or_else(|| self.service_checks.finish());
            let Some(payload) = rest else { break };
            self.enqueue(&payload, Wants::All);
        }
    }

    fn push_series(&mut self, series: &Series<'_>) {
        let points = series.points.len() as u64;
        if !self.enabled.series {
            self.counts.switched_off += points;
            return;
        }
        // The intake's word for a unit is not known: none is better than a wrong one.
        let series = Series { unit: "", ..*series };
        for at in 0..self.series.len() {
            let Some((format, builder)) = self.series.get_mut(at) else { continue };
            let format = *format;
            let lost = builder.push(&series);
            let full = builder.take_full();
            self.count(lost);
            // The first format is what the merge made; each further one is made of the same points
            // again.
            self.counts.points_again += if at > 0 { points } else { 0 };
            if let Some(payload) = full {
                self.enqueue(&payload, Wants::Format(format));
            }
        }
    }

    fn push_sketches(&mut self, sketches: &SketchSeries<'_>) {
        if !self.enabled.sketches {
            self.counts.switched_off += sketches.points.len() as u64;
            return;
        }
        let lost = self.sketches.push(sketches);
        self.count(lost);
        while let Some(payload) = self.sketches.take_full() {
            self.enqueue(&payload, Wants::All);
        }
    }

    fn push_events(&mut self, events: &[Event]) {
        if !self.enabled.events {
            self.counts.switched_off += events.len() as u64;
            return;
        }
        let lost = self.events.push_all(events);
        self.count(lost);
        while let Some(payload) = self.events.take_full() {
            self.enqueue(&payload, Wants::All);
        }
    }

    fn push_checks(&mut self, checks: &[ServiceCheck]) {
        if !self.enabled.service_checks {
            self.counts.switched_off += checks.len() as u64;
            return;
        }
        for check in checks {
            let lost = self.service_checks.push(check);
            self.count(lost);
            while let Some(payload) = self.service_checks.take_full() {
                self.enqueue(&payload, Wants::All);
            }
        }
    }

    fn count(&mut self, lost: Lost) {
        self.counts.too_large += lost.too_large;
        self.counts.not_finite += lost.not_finite;
        self.counts.not_expressible += lost.no_index;
    }

    fn enqueue(&mut self, payload: &Payload, wants: Wants) {
        self.counts.payloads += 1;
        self.counts.body_bytes += payload.body.len() as u64;
        self.counts.uncompressed_bytes += payload.uncompressed_bytes;
        match payload.kind {
            PayloadKind::Events => self.counts.events_encoded += payload.items,
            PayloadKind::ServiceChecks => self.counts.service_checks_encoded += payload.items,
            PayloadKind::SeriesV1
            | PayloadKind::SeriesV2
            | PayloadKind::SeriesV3
            | PayloadKind::Sketches => self.counts.points_encoded += payload.points,
        }
        self.outlets.enqueue(payload, wants);
        self.outlets.go_on();
    }
}
