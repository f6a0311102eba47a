//! What the configuration makes of a message: names are mapped, prefixed and blocked, tags that
//! mean something are taken out, and every message gets its host.
//!
//! ```text
//! name, tags ── mapper ── tags taken out ── namespace ── block list ──▶ Context { name, host, tags }
//! ```
//!
//! For a metric all this depends on the spelling of its name and tags alone. So it is done once for
//! each spelling that the context table hasn't seen, and may take its time.

mod events;
mod mapper;
mod names;
mod tags;

pub use mapper::{Mapper, MapperError, Mapping, Problem, Profile};
pub use names::{Blocklist, NameMatch, Namespace};
pub use tags::Attributes;

use crate::context::{Identity, Tag};
use crate::message::{OriginFields, Tags};
use std::borrow::Cow;

/// What is configured for the enrichment of messages. The default is what a serverless agent does
/// without any configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Host of messages that don't name one (`hostname`).
    pub hostname: String,
    /// Whether metrics have a host.
    pub metric_host: MetricHost,
    /// Prefix of metric names (`statsd_metric_namespace` and its exclusions).
    pub namespace: Namespace,
    /// Metrics to drop (`statsd_metric_blocklist`).
    pub blocklist: Blocklist,
    /// Rules that rewrite names (`dogstatsd_mapper_profiles`).
    pub mapper: Mapper,
    /// Tags that every message gets, in any order (`dogstatsd_tags` and the platform's).
    pub extra_tags: Vec<String>,
    /// Prefix of the distributions that copy each histogram, if they are wanted; may be empty
    /// (`histogram_copy_to_distribution` and its prefix).
    pub histogram_copy_prefix: Option<String>,
}

/// Whether metrics have a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricHost {
    /// As in a serverless platform: no host, and the value of a `host:` tag is lost. Events and
    /// service checks do have one.
    #[default]
    Never,
    /// The `host:` tag, else the agent's host.
    Named,
}

/// Applies [`Settings`].
#[derive(Clone, Debug)]
pub struct Enricher {
    settings: Settings,
    /// Sorted, without duplicates.
    extra_tags: Vec<Tag>,
}

/// What a spelling of name and tags stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// Its samples are dropped: the name is on the block list.
    Blocked,
    /// A context; bytes of its parts that are no UTF-8 have become U+FFFD.
    Context(Identity<'a>),
}

/// A metric's name, host and tags as they came, after all steps but the merging of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichedMetric<'a> {
    /// Name, mapped and prefixed.
    pub name: Cow<'a, [u8]>,
    /// Host, may be empty.
    pub host: Cow<'a, [u8]>,
    /// The rest, without [`Enricher::extra_tags`].
    pub attributes: Attributes<'a>,
}

impl Enricher {
    /// Prepares `settings` for use.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut extra_tags: Vec<_> =
            settings.extra_tags.iter().map(|tag| Tag::from(tag.as_str())).collect();
        extra_tags.sort_unstable();
        extra_tags.dedup();
        Self { settings, extra_tags }
    }

    /// The tags that every series, event and service check gets: sorted, without duplicates.
    #[must_use]
    pub fn extra_tags(&self) -> &[Tag] {
        &self.extra_tags
    }

    /// What a histogram's name is prefixed with to name the distribution that copies it; `None` if
    /// histograms are not copied. The copy has the histogram's host and tags.
    #[must_use]
    pub fn histogram_copy_prefix(&self) -> Option<&str> {
        self.settings.histogram_copy_prefix.as_deref()
    }

    /// Finds out what a spelling stands for. Allocates.
    ///
    /// A field `card:` has no say here: unlike in the reference agent it doesn't turn the internal
    /// tag for the same purpose into an ordinary one.
    #[must_use]
    pub fn resolve<'a>(&'a self, name: &'a [u8], tags: Tags<'a>) -> Resolved<'a> {
        let Some(metric) = self.metric(name, tags, &OriginFields::default()) else {
            return Resolved::Blocked;
        };
        let mut tags: Vec<_> = metric.attributes.tags.into_iter().map(into_text).collect();
        let is_extra =
            |tag: &str| self.extra_tags.binary_search_by(|x| x.as_str().cmp(tag)).is_ok();
        tags.retain(|tag| !is_extra(tag));
        let (name, host) = (into_text(metric.name), into_text(metric.host));
        Resolved::Context(Identity { name, host, tags })
    }

    /// Enriches a metric but leaves its tags in their order; `None` if its name is blocked.
    #[must_use]
    pub fn metric<'a>(
        &'a self,
        name: &'a [u8],
        tags: Tags<'a>,
        origin: &OriginFields<'a>,
    ) -> Option<EnrichedMetric<'a>> {
        let mut name = Cow::Borrowed(name);
        let mut mapped_tags = Vec::new();
        if let Some(mapped) = self.settings.mapper.map(&name) {
            name = Cow::Owned(mapped.name.into_bytes());
            mapped_tags = mapped.tags;
        }
        let mapped_tags = mapped_tags.into_iter().map(|tag| Cow::Owned(tag.into_bytes()));
        let tags = tags.iter().map(Cow::Borrowed).chain(mapped_tags);
        let mut attributes = Attributes::new(tags, origin.cardinality);
        let name = self.settings.namespace.apply(name);
        if self.settings.blocklist.blocks(&name) {
            return None;
        }
        let host = match (self.settings.metric_host, attributes.host.take()) {
            (MetricHost::Never, _) => Cow::Borrowed(&[][..]),
            (MetricHost::Named, Some(host)) => host,
            (MetricHost::Named, None) => Cow::Borrowed(self.settings.hostname.as_bytes()),
        };
        Some(EnrichedMetric { name, host, attributes })
    }
}

/// The bytes as text; what is no UTF-8 becomes U+FFFD.
fn into_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
    }
}

#[cfg(test)]
mod tests;
