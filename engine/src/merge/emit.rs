//! A context's aggregates of one slot as series and sketches.

use super::contexts::MergedId;
use super::{Item, Merge, Sink};
use crate::bucket::{Entry, Value};
use crate::context::{ContextRef, Tag};
use crate::series::{Origin, OwnTags, Point, Series, SeriesKind, SketchPoint, SketchSeries, Tags};
use std::sync::Arc;

impl Merge {
    /// Emits one context's aggregates of one slot.
    pub(super) fn emit(&mut self, start_s: u64, entry: Entry, sink: &mut Sink<'_>) {
        let id = entry.context;
        let (value, sketch) = entry.aggregates.into_parts();
        match value {
            None => {}
            Some(Value::Counter(counter, _)) => {
                let value = counter.per_second();
                self.emit_series(id, start_s, "", SeriesKind::Rate, value, "", sink);
            }
            Some(Value::Gauge(gauge, _)) => {
                let value = gauge.value();
                self.emit_series(id, start_s, "", SeriesKind::Gauge, value, "", sink);
            }
            Some(Value::Set(set, _)) => {
                let value = set.len() as f64;
                self.emit_series(id, start_s, "", SeriesKind::Gauge, value, "", sink);
            }
            Some(Value::Histogram(mut histogram, _)) => {
                let unit = histogram.unit();
                let settings = Arc::clone(&self.settings.histogram);
                histogram.emit(&settings, |suffix, value| {
                    let unit = if suffix.kind == SeriesKind::Gauge { unit } else { "" };
                    self.emit_series(id, start_s, &suffix.text, suffix.kind, value, unit, sink);
                });
            }
        }
        if let Some(mut sketch) = sketch
            && !sketch.is_empty()
            && let Some(context) = self.contexts.get(id)
        {
            sketch.finish();
            self.counts.sketches += 1;
            let point = SketchPoint {
                second: second(start_s),
                summary: sketch.summary(),
                bins: sketch.bins(),
            };
            sink(Item::Sketch(SketchSeries {
                name: context.name(),
                host: context.host(),
                tags: Tags { own: OwnTags::Context(context), global: &self.settings.global_tags },
                points: &[point],
                no_index: false,
                origin: self.settings.origin.of(context.name()),
            }));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one series, in one place")]
    pub(super) fn emit_series(
        &mut self,
        id: MergedId,
        start_s: u64,
        suffix: &str,
        kind: SeriesKind,
        value: f64,
        unit: &str,
        sink: &mut Sink<'_>,
    ) {
        let Some(context) = self.contexts.get(id) else { return };
        self.name.clear();
        self.name.push_str(context.name());
        self.name.push_str(suffix);
        if !suffix.is_empty() && self.settings.series_blocklist.blocks(self.name.as_bytes()) {
            self.counts.blocked += 1;
            return;
        }
        self.counts.points += 1;
        let points = [Point { second: second(start_s), value }];
        let origin = self.settings.origin.of(&self.name);
        let series = series(&self.series_tags, origin, context, &self.name, kind, &points);
        sink(Item::Series(Series { unit, ..series }));
    }
}

/// A series without a unit.
pub(super) fn series<'a>(
    global_tags: &'a [Tag],
    origin: Origin,
    context: ContextRef<'a>,
    name: &'a str,
    kind: SeriesKind,
    points: &'a [Point],
) -> Series<'a> {
    Series {
        name,
        host: context.host(),
        tags: Tags { own: OwnTags::Context(context), global: global_tags },
        kind,
        points,
        interval_s: Series::INTERVAL_S,
        unit: "",
        source_type_name: "",
        no_index: false,
        origin,
    }
}

/// A start as the intake counts seconds: signed.
fn second(start_s: u64) -> i64 {
    i64::try_from(start_s).unwrap_or(i64::MAX)
}
