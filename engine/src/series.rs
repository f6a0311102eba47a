//! What leaves the engine: series, sketches, events and service checks as plain data.
//!
//! Series and sketches are borrowed views, so that a flush of 100,000 contexts copies no string;
//! events and checks are rare and owned.

use crate::context::{ContextRef, Tag};
use crate::limits::SLOT_S;

/// How the intake reads the values of a series; the numbers are those of the v2 and v3 payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SeriesKind {
    /// A count over the interval. DogStatsD counters are sent as [`SeriesKind::Rate`].
    Count = 1,
    /// A value per second; the intake multiplies it with the interval.
    Rate = 2,
    /// The last value.
    Gauge = 3,
}

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub second: i64,
    /// The value; finite.
    pub value: f64,
}

/// Where a series comes from, in the intake's numbers (product, category, service).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// 10 is the agent, 1 is serverless.
    pub product: u32,
    /// 10 is DogStatsD; 35 to 38 and 71 are the serverless platforms.
    pub category: u32,
    /// 472 custom, 473 enhanced, 474 runtime; 0 none.
    pub service: u32,
}

impl Origin {
    /// DogStatsD on a host or platform that is not recognised.
    pub const DOGSTATSD: Self = Self { product: 10, category: 10, service: 0 };
    /// None at all.
    pub const NONE: Self = Self { product: 0, category: 0, service: 0 };

    const SERVERLESS: u32 = 1;
    const CUSTOM: u32 = 472;
    const ENHANCED: u32 = 473;
    const RUNTIME: u32 = 474;
    /// What the names of a platform's own metrics begin with.
    const ENHANCED_NAMES: [&'static str; 6] = [
        "aws.lambda.",
        "gcp.run.",
        "azure.app_containerapps.",
        "azure.containerapp.",
        "azure.app_services.",
        "azure.appservice.",
    ];

    /// Metrics of applications on a serverless platform.
    #[must_use]
    pub const fn serverless(category: u32) -> Self {
        Self { product: Self::SERVERLESS, category, service: Self::CUSTOM }
    }

    /// The origin of the metric `name` where most have this one: on a serverless platform the names
    /// of a runtime's metrics, of the platform's and of the agent's tell them apart.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        if self.product != Self::SERVERLESS {
            return self;
        }
        if name.starts_with("datadog.") {
            return Self::NONE;
        }
        let service = if name.starts_with("runtime.") || name.starts_with("jvm.") {
            Self::RUNTIME
        } else if Self::ENHANCED_NAMES.iter().any(|start| name.starts_with(start)) {
            Self::ENHANCED
        } else {
            self.service
        };
        Self { service, ..self }
    }
}

/// The tags of a series in two parts, without duplicates: the context's own, in any order, and those
/// that the configuration puts on everything, sorted.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    /// The context's own tags.
    pub own: OwnTags<'a>,
    /// The tags put on everything.
    pub global: &'a [Tag],
}

impl<'a> Tags<'a> {
    /// The global tags first, then the own ones: where the last of several tags counts, a context's
    /// own one does.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.global.iter().map(Tag::as_str).chain(self.own.iter())
    }
}

/// The tags that a series has to itself.
#[derive(Clone, Copy, Debug)]
pub enum OwnTags<'a> {
    /// Those of a context.
    Context(ContextRef<'a>),
    /// Those of something else.
    List(&'a [Tag]),
}

impl<'a> OwnTags<'a> {
    /// All of them.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        let (context, list) = match self {
            Self::Context(context) => (Some(context.tags()), &[][..]),
            Self::List(tags) => (None, tags),
        };
        context.into_iter().flatten().chain(list.iter().map(Tag::as_str))
    }
}

/// One series: a context's values over one or more slots.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Metric name with its suffix, if it is a histogram's (`request.time.95percentile`).
    pub name: &'a str,
    /// Host; empty where none is to be named.
    pub host: &'a str,
    /// Tags as they will be sent, save `device:` and `dd.internal.resource:` tags, which the
    /// payload lifts into fields of their own.
    pub tags: Tags<'a>,
    /// How the values are read.
    pub kind: SeriesKind,
    /// Points in ascending order of time, at least one.
    pub points: &'a [Point],
    /// Seconds that one point covers: [`SLOT_S`], also for a sample sent as it came.
    pub interval_s: u64,
    /// Unit of the values (`millisecond`), or empty.
    pub unit: &'a str,
    /// Source type: `System` for what the agent says of itself, empty for what it was told.
    pub source_type_name: &'a str,
    /// True if the intake is to take the values without making them searchable.
    pub no_index: bool,
    /// Where the series comes from.
    pub origin: Origin,
}

impl Series<'_> {
    /// Interval of a series made of buckets.
    pub const INTERVAL_S: u64 = SLOT_S;
}

/// Summary of a sketch, kept apart from its bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of values, weighted by the truncated inverse of their sample rate.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Running mean; its bits differ from `sum / count`.
    pub avg: f64,
    /// Sum of the values, each weighted by the untruncated inverse of its sample rate.
    pub sum: f64,
}

/// One bin of a sketch: how many values share a key. A key may repeat after an overflow of its
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Logarithmic key of the values.
    pub key: i16,
    /// Number of values, at least 1.
    pub count: u16,
}

/// One sketch at one time.
#[derive(Clone, Copy, Debug)]
pub struct SketchPoint<'a> {
    /// Seconds since 1970.
    pub second: i64,
    /// Count, extremes, mean and sum.
    pub summary: Summary,
    /// Bins in ascending order of key, at least one.
    pub bins: &'a [Bin],
}

/// One distribution: a context's sketches over one or more slots.
#[derive(Clone, Copy, Debug)]
pub struct SketchSeries<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Host; empty where none is to be named.
    pub host: &'a str,
    /// Tags as they will be sent.
    pub tags: Tags<'a>,
    /// Sketches in ascending order of time, at least one.
    pub points: &'a [SketchPoint<'a>],
    /// True if the intake is to take the sketches without making them searchable.
    pub no_index: bool,
    /// Where the sketches come from.
    pub origin: Origin,
}

/// One event, enriched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Title, not empty.
    pub title: String,
    /// Text, may be empty.
    pub text: String,
    /// Seconds since 1970.
    pub second: i64,
    /// `normal` or `low`.
    pub priority: &'static str,
    /// `error`, `warning`, `info` or `success`.
    pub alert_type: &'static str,
    /// Host, may be empty.
    pub host: String,
    /// Aggregation key, may be empty.
    pub aggregation_key: String,
    /// Source type name, may be empty.
    pub source_type_name: String,
    /// Tags: sorted, without duplicates.
    pub tags: Vec<Tag>,
}

/// State of a service check; the numbers are the protocol's and the intake's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CheckStatus {
    /// All is well.
    Ok = 0,
    /// Worth a look.
    Warning = 1,
    /// Broken.
    Critical = 2,
    /// Not known.
    Unknown = 3,
}

/// One service check, enriched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCheck {
    /// Name of the check, not empty.
    pub name: String,
    /// Its state.
    pub status: CheckStatus,
    /// Seconds since 1970.
    pub second: i64,
    /// Host, may be empty.
    pub host: String,
    /// Message, may be empty.
    pub message: String,
    /// Tags: sorted, without duplicates.
    pub tags: Vec<Tag>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_origins_apart_on_a_serverless_platform_only() {
        let service = |name| Origin::serverless(36).of(name).service;
        assert_eq!(service("page.views"), 472);
        assert_eq!(service("gcp.run.enhanced.cold_start"), 473);
        assert_eq!((service("runtime.go.heap"), service("jvm.gc")), (474, 474));
        assert_eq!((service("runtimes"), service("gcp.runner.x")), (472, 472));
        assert_eq!(Origin::serverless(36).of("datadog.agent.up"), Origin::NONE);
        assert_eq!(Origin::DOGSTATSD.of("runtime.go.heap"), Origin::DOGSTATSD);
    }
}
