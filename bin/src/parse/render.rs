//! Messages, samples and errors as JSON objects.

use std::borrow::Cow;

use lastdrop_engine::context::Tag;
use lastdrop_engine::enrich::{Attributes, EnrichedMetric, Enricher};
use lastdrop_engine::message::{
    Error, Event, ExternalData, Kind, Message, Metric, OriginFields, ServiceCheck, Values,
};

use crate::json::{Json, Object};

/// A refused line that starts `line_at` bytes into its datagram.
pub(super) fn error(error: Error, line_at: usize) -> Object {
    let mut object = Object::default();
    object.set("kind", "error");
    object.set("reason", error.class.name());
    object.set("of", error.class.of().name());
    object.set("at", u64::from(error.at).saturating_add(line_at as u64));
    object
}

/// A message as it is on the wire.
pub(super) fn message(message: &Message<'_>) -> Object {
    match message {
        Message::Metric(metric) => {
            let mut object = Object::default();
            object.set("kind", "metric");
            object.set_bytes("name", metric.name);
            object.set("type", metric.kind.name());
            match metric.values {
                Values::Set(value) => object.set_bytes("set_value", value),
                values => {
                    object.set("values", values.numbers().map(Json::from).collect::<Vec<_>>())
                }
            }
            object.set("rate", metric.rate);
            object.set_byte_list("tags", metric.tags.iter());
            object.set_if("timestamp", metric.timestamp);
            add_origin(&mut object, &metric.origin, metric.origin.cardinality);
            object
        }
        Message::Event(event) => {
            let mut object = start_of_event(event, event.host);
            object.set_byte_list("tags", event.tags.iter());
            add_origin(&mut object, &event.origin, event.origin.cardinality);
            object
        }
        Message::ServiceCheck(check) => {
            let mut object = start_of_service_check(check, check.host);
            object.set_byte_list("tags", check.tags.iter());
            add_origin(&mut object, &check.origin, check.origin.cardinality);
            object
        }
    }
}

/// What the configuration makes of a message: the samples of a metric, none if it is blocked, or
/// the event or service check.
pub(super) fn enriched(enricher: &Enricher, message: &Message<'_>) -> Vec<Object> {
    match message {
        Message::Metric(metric) => enricher
            .metric(metric.name, metric.tags, &metric.origin)
            .map_or_else(Vec::new, |enriched| samples(enricher, metric, &enriched)),
        Message::Event(event) => {
            let (host, attributes) = enricher.attributes(event.host, event.tags, &event.origin);
            let mut object = start_of_event(event, &host);
            add_attributes(&mut object, enricher, &attributes, &event.origin);
            vec![object]
        }
        Message::ServiceCheck(check) => {
            let (host, attributes) = enricher.attributes(check.host, check.tags, &check.origin);
            let mut object = start_of_service_check(check, &host);
            add_attributes(&mut object, enricher, &attributes, &check.origin);
            vec![object]
        }
    }
}

/// One object a value; a histogram's is followed by that of its copy, if histograms are copied.
fn samples(enricher: &Enricher, metric: &Metric<'_>, enriched: &EnrichedMetric<'_>) -> Vec<Object> {
    let kind = match metric.kind {
        Kind::Timing => Kind::Histogram,
        kind => kind,
    };
    let sample = |name: &[u8], kind: Kind, value: SampleValue<'_>| {
        let mut object = Object::default();
        object.set("kind", "metric");
        object.set_bytes("name", name);
        object.set("type", kind.name());
        match value {
            SampleValue::Number(value) => object.set("values", vec![Json::from(value)]),
            SampleValue::String(value) => object.set_bytes("set_value", value),
        }
        object.set("rate", metric.rate);
        object.set_bytes("host", &enriched.host);
        object.set_if("timestamp", metric.timestamp);
        object.set_if("unit", (metric.kind == Kind::Timing).then_some("millisecond"));
        add_attributes(&mut object, enricher, &enriched.attributes, &metric.origin);
        object.set_bytes_if("jmx_check_name", enriched.attributes.jmx_check_name.as_deref());
        object
    };
    if let Values::Set(value) = metric.values {
        return vec![sample(&enriched.name, kind, SampleValue::String(value))];
    }
    let copy_prefix = enricher.histogram_copy_prefix().filter(|_| kind == Kind::Histogram);
    let copy_name = copy_prefix.map(|prefix| [prefix.as_bytes(), &enriched.name].concat());
    let mut samples = Vec::new();
    for value in metric.values.numbers().map(SampleValue::Number) {
        samples.push(sample(&enriched.name, kind, value));
        if let Some(name) = &copy_name {
            samples.push(sample(name, Kind::Distribution, value));
        }
    }
    samples
}

#[derive(Clone, Copy)]
enum SampleValue<'a> {
    Number(f64),
    /// What a set counts.
    String(&'a [u8]),
}

fn start_of_event(event: &Event<'_>, host: &[u8]) -> Object {
    let mut object = Object::default();
    object.set("kind", "event");
    object.set_bytes("title", &event.title);
    object.set_bytes("text", &event.text);
    object.set("timestamp", event.timestamp);
    object.set("priority", event.priority.name());
    object.set("alert_type", event.alert_type.name());
    object.set_bytes("hostname", host);
    object.set_bytes("aggregation_key", event.aggregation_key);
    object.set_bytes("source_type_name", event.source_type_name);
    object
}

fn start_of_service_check(check: &ServiceCheck<'_>, host: &[u8]) -> Object {
    let mut object = Object::default();
    object.set("kind", "service_check");
    object.set_bytes("name", check.name);
    object.set("status", check.status as u32);
    object.set("timestamp", check.timestamp);
    object.set_bytes("hostname", host);
    object.set_bytes("message", check.message);
    object
}

/// Adds the tags, own and extra, and where the message comes from.
fn add_attributes(
    object: &mut Object,
    enricher: &Enricher,
    attributes: &Attributes<'_>,
    origin: &OriginFields<'_>,
) {
    let own = attributes.tags.iter().map(Cow::as_ref);
    let extra = enricher.extra_tags().iter().map(Tag::as_str).map(str::as_bytes);
    object.set_byte_list("tags", own.chain(extra));
    add_origin(object, origin, attributes.cardinality.as_deref());
    object.set_bytes_if("entity_id", attributes.entity_id.as_deref());
}

/// Adds what the client says of its origin: only what it said.
fn add_origin(object: &mut Object, origin: &OriginFields<'_>, cardinality: Option<&[u8]>) {
    let local = origin.local_data();
    object.set_bytes_if("container_id", local.container_id);
    object.set_if("inode", local.inode);
    let external = external_data(&origin.external_data());
    if !external.is_empty() {
        object.set("external_data", external);
    }
    object.set_bytes_if("cardinality", cardinality);
}

fn external_data(external: &ExternalData<'_>) -> Object {
    let mut object = Object::default();
    object.set_if("init", external.init);
    object.set_bytes_if("container_name", external.container_name);
    object.set_bytes_if("pod_uid", external.pod_uid);
    object
}
