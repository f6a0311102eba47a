//! Series to payloads, in the format that the destination takes.

use lastdrop_engine::series::Series;

use super::split::Splitter;
use super::{Lost, Payload, PayloadSettings, series_v2};

/// The format that series are sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesFormat {
    /// Protobuf, one message a series.
    V2,
}

/// Turns series into payloads, item by item: see the [module](super).
pub struct SeriesBuilder {
    format: Format,
}

enum Format {
    V2(Splitter),
}

impl SeriesBuilder {
    /// An empty builder. Allocates with the first series.
    #[must_use]
    pub fn new(format: SeriesFormat, settings: &PayloadSettings) -> Self {
        let format = match format {
            SeriesFormat::V2 => Format::V2(series_v2::splitter(settings)),
        };
        Self { format }
    }

    /// Puts a series into a payload and says which of its points are not in it.
    pub fn push(&mut self, series: &Series<'_>) -> Lost {
        match &mut self.format {
            Format::V2(splitter) => series_v2::push(splitter, series),
        }
    }

    /// Takes a payload that is full.
    pub fn take_full(&mut self) -> Option<Payload> {
        match &mut self.format {
            Format::V2(splitter) => splitter.take_full(),
        }
    }

    /// Takes what is left, full or not; `None` when all is taken and the builder is empty again.
    pub fn finish(&mut self) -> Option<Payload> {
        match &mut self.format {
            Format::V2(splitter) => splitter.finish(),
        }
    }
}
