//! Series, sketches, events and checks of one flush on their way into payloads.
//!
//! Series are encoded once for each format that an endpoint wants. What an item has filled is to be
//! taken before the next one is pushed, so that a flush of 100,000 contexts never holds more than a
//! few payloads here.

use super::ShipperSettings;
use crate::payload::{
    EventsBuilder, Lost, Payload, PayloadKind, SeriesBuilder, SeriesFormat, ServiceChecksBuilder,
    SketchesBuilder,
};
use lastdrop_engine::ledger::ShipperCounts;
use lastdrop_engine::merge::Item;
use lastdrop_engine::series::Series;
use std::collections::VecDeque;

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

/// Which endpoints a payload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// All of them.
    All,
    /// Those that get series in this format.
    Format(SeriesFormat),
}

/// A payload, and whom it is for.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) payload: Payload,
    pub(super) wants: Wants,
}

/// Makes payloads and counts what becomes of each item.
pub(super) struct Encoder {
    settings: ShipperSettings,
    /// At least one.
    formats: Vec<SeriesFormat>,
    /// Those of the flush at hand; they take megabytes, so there are none between two.
    builders: Option<Builders>,
    /// What is full, oldest first.
    made: VecDeque<Made>,
    /// Points, events and checks in both.
    held: u64,
    counts: ShipperCounts,
}

struct Builders {
    /// One for each format.
    series: Vec<(SeriesFormat, SeriesBuilder)>,
    sketches: SketchesBuilder,
    events: EventsBuilder,
    service_checks: ServiceChecksBuilder,
}

impl Encoder {
    /// An encoder for endpoints that want series in these formats.
    pub(super) fn new(settings: ShipperSettings, formats: Vec<SeriesFormat>) -> Self {
        Self {
            settings,
            formats,
            builders: None,
            made: VecDeque::new(),
            held: 0,
            counts: ShipperCounts::default(),
        }
    }

    /// Takes what leaves the merge.
    pub(super) fn push(&mut self, item: Item<'_>) {
        if !self.is_enabled(&item) {
            return;
        }
        let points = points(&item);
        self.held += points;
        if let Item::Series(_) | Item::Passed(_) = &item {
            // The first format is what the merge made; each further one is made of the same points
            // again.
            let again = points * (self.formats.len() as u64 - 1);
            self.counts.points_again += again;
            self.held += again;
        }
        let Self { settings, formats, builders, .. } = self;
        let builders = builders.get_or_insert_with(|| Builders::new(settings, formats));
        let lost = builders.push(item, &mut self.made);
        self.held -= lost.total();
        self.counts.too_large += lost.too_large;
        self.counts.not_finite += lost.not_finite;
        self.counts.not_expressible += lost.no_index;
    }

    /// Counts what leaves the merge and can't be encoded any more.
    pub(super) fn leave(&mut self, item: Item<'_>) {
        if self.is_enabled(&item) {
            self.counts.left += points(&item);
        }
    }

    /// Ends the flush: what is not full is to be taken too. Says whether there is anything.
    pub(super) fn close(&mut self) -> bool {
        if let Some(builders) = self.builders.take() {
            builders.finish(&mut self.made);
        }
        !self.made.is_empty()
    }

    /// The next payload.
    pub(super) fn next(&self) -> Option<&Made> {
        self.made.front()
    }

    /// Takes the next payload to queue it.
    pub(super) fn take_next(&mut self) -> Option<Made> {
        let made = self.made.pop_front()?;
        let payload = &made.payload;
        self.held -= weight(payload);
        self.counts.payloads += 1;
        self.counts.body_bytes += payload.body.len() as u64;
        self.counts.uncompressed_bytes += payload.uncompressed_bytes;
        *match payload.kind {
            PayloadKind::Events => &mut self.counts.events_encoded,
            PayloadKind::ServiceChecks => &mut self.counts.service_checks_encoded,
            PayloadKind::SeriesV1
            | PayloadKind::SeriesV2
            | PayloadKind::SeriesV3
            | PayloadKind::Sketches => &mut self.counts.points_encoded,
        } += weight(payload);
        Some(made)
    }

    /// Leaves the next payload, for which no queue has room any more.
    pub(super) fn leave_next(&mut self) {
        let Some(Made { payload, .. }) = self.made.pop_front() else { return };
        self.held -= weight(&payload);
        self.counts.left += weight(&payload);
    }

    /// Points, events and checks on their way into payloads that nobody has taken.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The counters.
    pub(super) fn counts(&self) -> &ShipperCounts {
        &self.counts
    }

    /// Whether an item is to be encoded; counts it if not.
    fn is_enabled(&mut self, item: &Item<'_>) -> bool {
        let enabled = self.settings.enabled;
        let is_enabled = match item {
            Item::Series(_) | Item::Passed(_) => enabled.series,
            Item::Sketch(_) => enabled.sketches,
            Item::Events(_) => enabled.events,
            Item::ServiceChecks(_) => enabled.service_checks,
        };
        if !is_enabled {
            self.counts.switched_off += points(item);
        }
        is_enabled
    }
}

impl Builders {
    /// Cheap: they allocate with their first items.
    fn new(settings: &ShipperSettings, formats: &[SeriesFormat]) -> Self {
        let builder = |&format: &SeriesFormat| {
            let payloads = match format {
                SeriesFormat::V3 => &settings.payloads_v3,
                SeriesFormat::V1 | SeriesFormat::V2 => &settings.payloads,
            };
            (format, SeriesBuilder::new(format, payloads))
        };
        Self {
            series: formats.iter().map(builder).collect(),
            sketches: SketchesBuilder::new(&settings.payloads),
            events: EventsBuilder::new(&settings.payloads, &settings.hostname),
            service_checks: ServiceChecksBuilder::new(&settings.payloads),
        }
    }

    /// Puts an item into payloads; those that are full then go to `made`. Says what is lost.
    fn push(&mut self, item: Item<'_>, made: &mut VecDeque<Made>) -> Lost {
        let mut all_lost = Lost::NONE;
        match item {
            Item::Series(series) | Item::Passed(series) => {
                // The intake's word for a unit is not known: none is better than a wrong one.
                let series = Series { unit: "", ..series };
                for (format, builder) in &mut self.series {
                    all_lost += builder.push(&series);
                    take_all(made, Wants::Format(*format), || builder.take_full());
                }
            }
            Item::Sketch(sketches) => {
                all_lost += self.sketches.push(&sketches);
                take_all(made, Wants::All, || self.sketches.take_full());
            }
            Item::Events(events) => {
                all_lost += self.events.push_all(events);
                take_all(made, Wants::All, || self.events.take_full());
            }
            Item::ServiceChecks(checks) => {
                for check in checks {
                    all_lost += self.service_checks.push(check);
                    take_all(made, Wants::All, || self.service_checks.take_full());
                }
            }
        }
        all_lost
    }

    /// The rest, full or not, goes to `made`.
    fn finish(mut self, made: &mut VecDeque<Made>) {
        for (format, builder) in &mut self.series {
            take_all(made, Wants::Format(*format), || builder.finish());
        }
        take_all(made, Wants::All, || self.sketches.finish());
        take_all(made, Wants::All, || self.events.finish());
        take_all(made, Wants::All, || self.service_checks.finish());
    }
}

fn take_all(made: &mut VecDeque<Made>, wants: Wants, next: impl FnMut() -> Option<Payload>) {
    made.extend(std::iter::from_fn(next).map(|payload| Made { payload, wants }));
}

/// Points of series and sketches, or events or checks.
fn points(item: &Item<'_>) -> u64 {
    let points = match item {
        Item::Series(series) | Item::Passed(series) => series.points.len(),
        Item::Sketch(sketches) => sketches.points.len(),
        Item::Events(events) => events.len(),
        Item::ServiceChecks(checks) => checks.len(),
    };
    points as u64
}

/// The same of a payload.
fn weight(payload: &Payload) -> u64 {
    match payload.kind {
        PayloadKind::Events | PayloadKind::ServiceChecks => payload.items,
        PayloadKind::SeriesV1
        | PayloadKind::SeriesV2
        | PayloadKind::SeriesV3
        | PayloadKind::Sketches => payload.points,
    }
}
