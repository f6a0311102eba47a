//! Series to payloads, in the format that the destination takes.

use lastdrop_engine::series::{Point, Series};

use super::series_v3::ColumnsSplitter;
use super::split::{Fit, Frame, Splitter};
use super::{Compression, Lost, Payload, PayloadKind, PayloadSettings, series_v1, series_v2};

/// The format that series are sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesFormat {
    /// JSON.
    V1,
    /// Protobuf, one message a series.
    V2,
    /// Protobuf, one field a column. Never compressed as zlib: v2 takes its place there.
    V3,
}

/// Turns series into payloads, item by item: see the [module](super).
pub struct SeriesBuilder {
    format: Format,
}

enum Format {
    V1(Splitter),
    V2(Splitter),
    V3(Box<ColumnsSplitter>),
}

impl SeriesBuilder {
    /// An empty builder. Allocates with the first series.
    #[must_use]
    pub fn new(format: SeriesFormat, settings: &PayloadSettings) -> Self {
        let splitter = |kind, frame: Frame| Splitter::new(kind, frame, settings);
        let format = match (format, settings.compression) {
            (SeriesFormat::V1, _) => {
                Format::V1(splitter(PayloadKind::SeriesV1, series_v1::frame()))
            }
            // The intake reads v3 as a row of compressed pieces, which zlib has no notion of.
            (SeriesFormat::V2, _) | (SeriesFormat::V3, Compression::Zlib) => {
                Format::V2(splitter(PayloadKind::SeriesV2, series_v2::frame()))
            }
            (SeriesFormat::V3, _) => Format::V3(Box::new(ColumnsSplitter::new(settings))),
        };
        Self { format }
    }

    /// Puts a series into a payload and says which of its points are not in it.
    pub fn push(&mut self, series: &Series<'_>) -> Lost {
        let given = series.points.len() as u64;
        let finite = finite_points(series.points).count() as u64;
        let lost = Lost { not_finite: given - finite, ..Lost::NONE };
        if finite == 0 && given > 0 {
            return lost;
        }
        let fit = match &mut self.format {
            Format::V1(_) if series.no_index => return Lost { no_index: finite, ..lost },
            Format::V1(splitter) => splitter.push(finite, |out| series_v1::write(out, series)),
            Format::V2(splitter) => splitter.push(finite, |out| series_v2::write(out, series)),
            Format::V3(splitter) => splitter.push(finite, series),
        };
        match fit {
            Fit::Taken => lost,
            Fit::TooLarge => Lost { too_large: finite, ..lost },
        }
    }

    /// Takes a payload that is full.
    pub fn take_full(&mut self) -> Option<Payload> {
        match &mut self.format {
            Format::V1(splitter) | Format::V2(splitter) => splitter.take_full(),
            Format::V3(splitter) => splitter.take_full(),
        }
    }

    /// Takes what is left, full or not; `None` when all is taken and the builder is empty again.
    pub fn finish(&mut self) -> Option<Payload> {
        match &mut self.format {
            Format::V1(splitter) | Format::V2(splitter) => splitter.finish(),
            Format::V3(splitter) => splitter.finish(),
        }
    }
}

/// The points that the intake can be told.
pub(super) fn finite_points(points: &[Point]) -> impl Iterator<Item = &Point> {
    points.iter().filter(|point| point.value.is_finite())
}
