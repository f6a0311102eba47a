//! Sketches as protobuf (`SketchPayload`).

use lastdrop_engine::series::{SketchPoint, SketchSeries};

use super::series_v2::metadata;
use super::split::{Fit, Frame, Lead, Splitter};
use super::wire;
use super::{Lost, Payload, PayloadKind, PayloadSettings};

/// Turns sketches into payloads, item by item: see the [module](super).
pub struct SketchesBuilder {
    splitter: Splitter,
}

impl SketchesBuilder {
    /// An empty builder. Allocates with the first sketch.
    #[must_use]
    pub fn new(settings: &PayloadSettings) -> Self {
        let frame = Frame { lead: Lead { first: b"", next: b"" }, footer: FOOTER.into() };
        Self { splitter: Splitter::new(PayloadKind::Sketches, frame, settings) }
    }

    /// Puts a distribution into a payload and says which of its sketches are not in it. Empty
    /// sketches say nothing and are left out without being a loss.
    pub fn push(&mut self, sketches: &SketchSeries<'_>) -> Lost {
        let not_finite = sketches.points.iter().filter(|point| !is_finite(point)).count() as u64;
        let sent = sent_points(sketches.points).count() as u64;
        if sent == 0 {
            return Lost { not_finite, ..Lost::NONE };
        }
        match self.splitter.push(sent, |out| wire::message(out, 1, |out| write(out, sketches))) {
            Fit::Taken => Lost { not_finite, ..Lost::NONE },
            Fit::TooLarge => Lost { not_finite, too_large: sent, ..Lost::NONE },
        }
    }

    /// Takes a payload that is full.
    pub fn take_full(&mut self) -> Option<Payload> {
        self.splitter.take_full()
    }

    /// Takes what is left, full or not; `None` when all is taken and the builder is empty again.
    pub fn finish(&mut self) -> Option<Payload> {
        self.splitter.finish()
    }
}

/// The payload's own metadata, always empty.
const FOOTER: &[u8] = &[0x12, 0];

/// The sketches that the intake can be told and that tell it something.
pub(super) fn sent_points<'a>(
    points: &'a [SketchPoint<'a>],
) -> impl Iterator<Item = &'a SketchPoint<'a>> {
    points.iter().filter(|point| is_finite(point) && !point.bins.is_empty())
}

/// False if values near the end of the number range have added up to infinity.
fn is_finite(point: &SketchPoint<'_>) -> bool {
    let summary = &point.summary;
    [summary.min, summary.max, summary.avg, summary.sum].iter().all(|value| value.is_finite())
}

fn write(out: &mut Vec<u8>, sketches: &SketchSeries<'_>) {
    wire::string(out, 1, sketches.name);
    wire::string(out, 2, sketches.host);
    for tag in sketches.tags.iter() {
        wire::repeated_string(out, 4, tag);
    }
    for point in sent_points(sketches.points) {
        wire::message(out, 7, |out| write_point(out, point));
    }
    metadata(out, 8, sketches.origin, sketches.no_index);
}

fn write_point(out: &mut Vec<u8>, point: &SketchPoint<'_>) {
    let summary = &point.summary;
    wire::integer(out, 1, point.second);
    wire::integer(out, 2, i64::try_from(summary.count).unwrap_or(i64::MAX));
    wire::double(out, 3, summary.min);
    wire::double(out, 4, summary.max);
    wire::double(out, 5, summary.avg);
    wire::double(out, 6, summary.sum);
    wire::message(out, 7, |out| {
        for bin in point.bins {
            wire::signed_varint(out, bin.key.into());
        }
    });
    wire::message(out, 8, |out| {
        for bin in point.bins {
            wire::varint(out, bin.count.into());
        }
    });
}
