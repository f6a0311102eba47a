//! Events and service checks: few enough to be enriched one by one, as plain data of their own.

use std::borrow::Cow;

use super::{Attributes, Enricher, into_text};
use crate::context::Tag;
use crate::message::{Event, OriginFields, ServiceCheck, Tags};
use crate::series;

impl Enricher {
    /// Enriches an event. One without a time gets `arrival_s`: seconds since 1970.
    #[must_use]
    pub fn event(&self, event: &Event<'_>, arrival_s: i64) -> series::Event {
        let (host, attributes) = self.attributes(event.host, event.tags, &event.origin);
        series::Event {
            title: text(&event.title),
            text: text(&event.text),
            second: second(event.timestamp, arrival_s),
            priority: event.priority.name(),
            alert_type: event.alert_type.name(),
            host: text(&host),
            aggregation_key: text(event.aggregation_key),
            source_type_name: text(event.source_type_name),
            tags: self.all_tags(attributes),
        }
    }

    /// Enriches a service check. One without a time gets `arrival_s`: seconds since 1970.
    #[must_use]
    pub fn service_check(&self, check: &ServiceCheck<'_>, arrival_s: i64) -> series::ServiceCheck {
        let (host, attributes) = self.attributes(check.host, check.tags, &check.origin);
        series::ServiceCheck {
            name: text(check.name),
            status: check.status,
            second: second(check.timestamp, arrival_s),
            host: text(&host),
            message: text(check.message),
            tags: self.all_tags(attributes),
        }
    }

    /// The host and the attributes of an event or service check. The field `h:` comes before the
    /// tag `host:`, that before the agent's own host.
    #[must_use]
    pub fn attributes<'a>(
        &'a self,
        host: &'a [u8],
        tags: Tags<'a>,
        origin: &OriginFields<'a>,
    ) -> (Cow<'a, [u8]>, Attributes<'a>) {
        let mut attributes = Attributes::new(tags.iter().map(Cow::Borrowed), origin.cardinality);
        let tagged = attributes.host.take();
        let host = match tagged {
            _ if !host.is_empty() => Cow::Borrowed(host),
            Some(tagged) => tagged,
            None => Cow::Borrowed(self.settings.hostname.as_bytes()),
        };
        (host, attributes)
    }

    /// Own and extra tags together: sorted, without duplicates.
    fn all_tags(&self, attributes: Attributes<'_>) -> Vec<Tag> {
        let own = attributes.tags.into_iter().map(|tag| Tag::from(&*into_text(tag)));
        let mut tags: Vec<_> = own.chain(self.extra_tags.iter().cloned()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

fn second(timestamp: i64, arrival_s: i64) -> i64 {
    if timestamp == 0 { arrival_s } else { timestamp }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
