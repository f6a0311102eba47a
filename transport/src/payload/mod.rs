//! From series, sketches, events and checks to request bodies within the intake's limits. Knows no
//! HTTP: what leaves is bytes with a path and a content type.
//!
//! Each kind has a builder. Items go in one by one; as soon as one doesn't fit any more, the payload
//! before it is closed and waits to be taken, so that a flush of 100,000 contexts never holds more
//! than a few payloads:
//!
//! ```
//! use lastdrop_transport::payload::{PayloadSettings, SeriesBuilder, SeriesFormat};
//! # let series: Vec<lastdrop_engine::series::Series<'_>> = Vec::new();
//! # fn send(_: lastdrop_transport::payload::Payload) {}
//! # fn count(_: lastdrop_transport::payload::Lost) {}
//! let mut builder = SeriesBuilder::new(SeriesFormat::V2, &PayloadSettings::default());
//! for one in &series {
//!     count(builder.push(one));
//!     while let Some(payload) = builder.take_full() {
//!         send(payload);
//!     }
//! }
//! while let Some(payload) = builder.finish() {
//!     send(payload);
//! }
//! ```
//!
//! A builder is empty again after `finish` and may be used for the next flush. It allocates its
//! buffers and its compressor with the first item (they grow to two or three megabytes in a large
//! flush) and frees them when dropped: a builder per flush costs nothing while the agent idles.
//!
//! Nothing is lost in silence: what `push` doesn't put into a payload it returns as [`Lost`].

mod checks;
mod columns;
mod compress;
mod dictionary;
mod events;
mod json;
mod lift;
mod series;
mod series_v1;
mod series_v2;
mod series_v3;
mod sketches;
mod split;
mod wire;

pub use checks::ServiceChecksBuilder;
pub use columns::Columns;
pub use compress::{Compression, Encoding};
pub use events::EventsBuilder;
pub use series::{SeriesBuilder, SeriesFormat};
pub use sketches::SketchesBuilder;

use bytes::Bytes;
use std::ops::AddAssign;

/// What a payload holds, which decides where it goes. The numbers stand in spooled files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PayloadKind {
    /// Series as JSON.
    SeriesV1 = 0,
    /// Series as protobuf.
    SeriesV2 = 1,
    /// Series as columns.
    SeriesV3 = 2,
    /// Sketches as protobuf.
    Sketches = 3,
    /// Events as JSON.
    Events = 4,
    /// Service checks as JSON.
    ServiceChecks = 5,
}

impl PayloadKind {
    /// Number of kinds.
    pub const COUNT: usize = 6;

    /// Every kind, each at the place of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SeriesV1,
        Self::SeriesV2,
        Self::SeriesV3,
        Self::Sketches,
        Self::Events,
        Self::ServiceChecks,
    ];

    /// Place in [`PayloadKind::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Path of the intake that takes this kind, to be appended to its base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::SeriesV1 => "/api/v1/series",
            Self::SeriesV2 => "/api/v2/series",
            Self::SeriesV3 => "/api/intake/metrics/v3/series",
            Self::Sketches => "/api/beta/sketches",
            // Without the last slash the intake redirects.
            Self::Events => "/intake/",
            Self::ServiceChecks => "/api/v1/check_run",
        }
    }

    /// Media type of the uncompressed body.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::SeriesV2 | Self::SeriesV3 | Self::Sketches => "application/x-protobuf",
            Self::SeriesV1 | Self::Events | Self::ServiceChecks => "application/json",
        }
    }

    /// True if the body is made of protobuf messages, whose definitions have a version.
    #[must_use]
    pub const fn is_protobuf(self) -> bool {
        matches!(self, Self::SeriesV2 | Self::SeriesV3 | Self::Sketches)
    }
}

/// One encoded, compressed request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it holds.
    pub kind: PayloadKind,
    /// The body, compressed as `encoding` says. Cloning shares it.
    pub body: Bytes,
    /// How the body is compressed.
    pub encoding: Encoding,
    /// Points of the series or sketches in it; 0 for events and checks.
    pub points: u64,
    /// Series, sketches, events or checks in it, at least 1.
    pub items: u64,
    /// Size of the body before compression.
    pub uncompressed_bytes: u64,
}

/// What `push` could not put into any payload, by reason: points of series and sketches, or events
/// or checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "what is lost has to be counted"]
pub struct Lost {
    /// Of an item that no payload can hold. The limits, not the item's neighbours, decide.
    pub too_large: u64,
    /// Not a number or infinite: no format of the intake can say it.
    pub not_finite: u64,
    /// Of a series that must not be indexed, which the v1 format can't say.
    pub no_index: u64,
}

impl Lost {
    /// Nothing.
    pub const NONE: Self = Self { too_large: 0, not_finite: 0, no_index: 0 };

    /// All that was lost, whatever the reason.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.too_large + self.not_finite + self.no_index
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.too_large += other.too_large;
        self.not_finite += other.not_finite;
        self.no_index += other.no_index;
    }
}

/// How payloads are compressed, and how large one may be. The limits are those of the public
/// intake; a proxy may ask for smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadSettings {
    /// How bodies are compressed.
    pub compression: Compression,
    /// Limits of v2 and v3 series.
    pub series: PayloadLimits,
    /// Limits of v1 series, sketches, events and service checks.
    pub other: PayloadLimits,
}

impl Default for PayloadSettings {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            series: PayloadLimits::SERIES,
            other: PayloadLimits::OTHER,
        }
    }
}

/// How large one payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Bytes of the body as it is sent.
    pub compressed_bytes_max: usize,
    /// Bytes of the body before compression.
    pub uncompressed_bytes_max: usize,
    /// Points of all its series.
    pub points_max: u64,
}

impl PayloadLimits {
    /// What the intake takes at most for v2 and v3 series: 500 kB, 5 MiB, and 10,000 points.
    pub const SERIES: Self = Self {
        compressed_bytes_max: 512_000,
        uncompressed_bytes_max: 5_242_880,
        points_max: 10_000,
    };

    /// What it takes at most of everything else: 2.5 MiB and 4 MiB, however many points.
    pub const OTHER: Self = Self {
        compressed_bytes_max: 2_621_440,
        uncompressed_bytes_max: 4_194_304,
        points_max: u64::MAX,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers stand in spooled files: they must not move.
    #[test]
    fn every_kind_and_encoding_stands_at_its_number() {
        for (index, kind) in PayloadKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
        }
        for (index, encoding) in Encoding::ALL.into_iter().enumerate() {
            assert_eq!(encoding as usize, index);
        }
    }
}
