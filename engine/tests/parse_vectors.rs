//! Every vector of `vectors/parse.jsonl`, through one function.
//!
//! A vector gives a datagram, the settings that differ from the defaults, and what the reference
//! agent makes of it: the messages as they are parsed, or with `"stage": "enriched"` the samples
//! after enrichment, or errors. A key that is missing means the same as an empty value: the vectors
//! themselves leave empty origin fields out.

#![expect(clippy::expect_used, reason = "a vector file that can't be read is a failed test")]

mod config;

use std::borrow::Cow;

use config::{enrichment, options};
use lastdrop_engine::context::Tag;
use lastdrop_engine::enrich::{Attributes, Enricher};
use lastdrop_engine::message::{
    Class, Error, Event, Kind, LineEnd, Message, Metric, OriginFields, ServiceCheck, Tags, Values,
    lines, parse,
};
use serde_json::{Map, Value, json};

/// Vectors whose outcome is a defect of the reference agent that we don't share: the datagram, and
/// what we do instead.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "m:1|g|c:in-18446744073709551616",
        "an inode beyond 64 bits is malformed like any other, so there is none",
    ),
    ("d:1|g|#b,a", "a duplicate among the extra tags is left out"),
    ("d:1|g|#q", "duplicates among the extra tags are left out"),
];

#[test]
fn every_vector_holds() {
    let vectors = vectors();
    assert!(vectors.len() >= 368, "only {} vectors found", vectors.len());
    vectors.iter().for_each(check);
}

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/parse.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let vectors = text.split('\n').filter(|line| !line.is_empty());
    vectors.map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn check(vector: &Value) {
    let datagram = datagram(vector);
    let is_defect = vector["tags_of_vector"] == json!(["reference-defect"]);
    let known = DIFFERENCES.iter().find(|(text, _)| text.as_bytes() == datagram);
    let mut messages = messages(&datagram, &vector["stage"], &vector["config"]);
    let mut expected = vector["expect"].as_array().expect("a list").clone();
    if vector["config"]["dogstatsd_mapper_profiles"].is_array() {
        // The reference makes a mapping's tags in no particular order.
        sort_tags(&mut messages);
        sort_tags(&mut expected);
    }
    let same = messages.len() == expected.len()
        && messages.iter().zip(&expected).all(|(message, expected)| agrees(message, expected));
    match known {
        None => assert!(same, "{vector}\ngave {}", Value::from(messages)),
        Some((_, reason)) => {
            assert!(is_defect, "only a defect of the reference may be listed: {vector}");
            assert!(!same, "no difference any more, take it off the list: {reason}");
        }
    }
}

fn datagram(vector: &Value) -> Vec<u8> {
    match vector["in_hex"].as_str() {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect(),
        None => vector["in"].as_str().expect("in or in_hex").into(),
    }
}

fn messages(datagram: &[u8], stage: &Value, config: &Value) -> Vec<Value> {
    let (options, end) = (options(config), line_end(config));
    let enricher = Enricher::new(enrichment(config));
    lines(datagram, end)
        .flat_map(|line| match line.and_then(|line| parse(line.bytes, options)) {
            Err(refused) => vec![error(refused)],
            Ok(message) if stage == "enriched" => enriched(&enricher, &message),
            Ok(message) => vec![parsed(&message)],
        })
        .collect()
}

fn parsed(message: &Message<'_>) -> Value {
    match message {
        Message::Metric(message) => with_origin(metric(message), &message.origin),
        Message::Event(message) => with_origin(event(message), &message.origin),
        Message::ServiceCheck(message) => with_origin(service_check(message), &message.origin),
    }
}

fn line_end(config: &Value) -> LineEnd {
    let transport = config["transport"].as_str().unwrap_or("udp");
    match config["dogstatsd_eol_required"].as_array() {
        Some(list) if list.iter().any(|name| name == transport) => LineEnd::Required,
        _ => LineEnd::Optional,
    }
}

/// What enrichment makes of a message: a metric becomes one sample a value, a histogram's perhaps
/// followed by its copy.
fn enriched(enricher: &Enricher, message: &Message<'_>) -> Vec<Value> {
    let with_attributes = |mut fields: Value, host: &[u8], attributes: &Attributes<'_>| {
        let extra = enricher.extra_tags().iter().map(Tag::as_str).map(Value::from);
        fields["hostname"] = text(host);
        fields["tags"] = attributes.tags.iter().map(|tag| text(tag)).chain(extra).collect();
        fields["entity_id"] = optional_text(&attributes.entity_id);
        fields["cardinality"] = optional_text(&attributes.cardinality);
        fields["jmx_check_name"] = optional_text(&attributes.jmx_check_name);
        fields
    };
    let fields = parsed(message);
    match message {
        Message::Event(message) => {
            let (host, attributes) =
                enricher.attributes(message.host, message.tags, &message.origin);
            vec![with_attributes(fields, &host, &attributes)]
        }
        Message::ServiceCheck(message) => {
            let (host, attributes) =
                enricher.attributes(message.host, message.tags, &message.origin);
            vec![with_attributes(fields, &host, &attributes)]
        }
        Message::Metric(message) => {
            let Some(found) = enricher.metric(message.name, message.tags, &message.origin) else {
                return vec![];
            };
            let mut fields = with_attributes(fields, &found.host, &found.attributes);
            fields["name"] = text(&found.name);
            let host = fields["hostname"].take();
            fields["host"] = host;
            if message.kind == Kind::Timing {
                fields["type"] = Kind::Histogram.name().into();
                fields["unit"] = "millisecond".into();
            }
            samples(message, &fields, enricher.histogram_copy_prefix())
        }
    }
}

fn samples(metric: &Metric<'_>, fields: &Value, copy_prefix: Option<&str>) -> Vec<Value> {
    if metric.kind == Kind::Set {
        return vec![fields.clone()];
    }
    let mut samples = Vec::new();
    for value in metric.values.numbers() {
        let mut sample = fields.clone();
        sample["values"] = vec![number(value)].into();
        let mut copy = sample.clone();
        samples.push(sample);
        if let (Some(prefix), Kind::Histogram | Kind::Timing) = (copy_prefix, metric.kind) {
            copy["type"] = Kind::Distribution.name().into();
            copy["name"] = format!("{prefix}{}", copy["name"].as_str().expect("text")).into();
            samples.push(copy);
        }
    }
    samples
}

fn optional_text(value: &Option<Cow<'_, [u8]>>) -> Value {
    value.as_ref().map(|value| text(value)).into()
}

fn metric(metric: &Metric<'_>) -> Value {
    let mut fields = json!({
        "kind": "metric",
        "name": text(metric.name),
        "type": metric.kind.name(),
        "rate": number(metric.rate),
        "tags": tags(metric.tags),
        "timestamp": metric.timestamp,
    });
    match metric.values {
        Values::Set(value) => fields["set_value"] = text(value),
        _ => fields["values"] = metric.values.numbers().map(number).collect(),
    }
    fields
}

fn event(event: &Event<'_>) -> Value {
    json!({
        "kind": "event",
        "title": text(&event.title),
        "text": text(&event.text),
        "timestamp": event.timestamp,
        "priority": event.priority.name(),
        "alert_type": event.alert_type.name(),
        "hostname": text(event.host),
        "aggregation_key": text(event.aggregation_key),
        "source_type_name": text(event.source_type_name),
        "tags": tags(event.tags),
    })
}

fn service_check(check: &ServiceCheck<'_>) -> Value {
    json!({
        "kind": "service_check",
        "name": text(check.name),
        "status": check.status as u8,
        "timestamp": check.timestamp,
        "hostname": text(check.host),
        "message": text(check.message),
        "tags": tags(check.tags),
    })
}

fn error(error: Error) -> Value {
    let of = error.class.of().name();
    json!({"kind": "error", "reason": error.class.name(), "of": of})
}

fn with_origin(mut fields: Value, origin: &OriginFields<'_>) -> Value {
    let local = origin.local_data();
    let external = origin.external_data();
    fields["container_id"] = local.container_id.map(text).into();
    fields["inode"] = local.inode.into();
    fields["cardinality"] = origin.cardinality.map(text).into();
    if !external.is_empty() {
        fields["external_data"] = json!({
            "init": external.init,
            "container_name": external.container_name.map(text),
            "pod_uid": external.pod_uid.map(text),
        });
    }
    fields
}

fn tags(tags: Tags<'_>) -> Value {
    tags.iter().map(text).collect()
}

/// A byte string as the vectors have it: text, or `hex:` and its bytes if it is no UTF-8.
fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => format!("hex:{}", hex(bytes)).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(value: f64) -> Value {
    match value {
        _ if value.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        _ => value.into(),
    }
}

/// True if the two objects have the same values: to the bit for numbers, with nothing and an empty
/// string taken for the same.
fn agrees(message: &Value, expected: &Value) -> bool {
    without_empty(message) == without_empty(&with_hex_marked(expected))
        && bits(message) == bits(expected)
}

/// Turns `x_hex` into `x` with the mark that [`text`] sets.
fn with_hex_marked(fields: &Value) -> Value {
    let marked = fields.as_object().expect("an object").iter().map(|(key, value)| {
        let mark = |value: &Value| Value::from(format!("hex:{}", value.as_str().expect("hex")));
        match (key.strip_suffix("_hex"), value) {
            (None, _) => (key.clone(), value.clone()),
            (Some(key), Value::Array(list)) => (key.into(), list.iter().map(mark).collect()),
            (Some(key), value) => (key.into(), mark(value)),
        }
    });
    marked.collect()
}

fn without_empty(fields: &Value) -> Map<String, Value> {
    let fields = fields.as_object().expect("an object").iter();
    let is_empty = |value: &Value| value.is_null() || value == "";
    fields
        .filter(|(_, value)| !is_empty(value))
        .map(|(key, value)| match value {
            Value::Object(_) => (key.clone(), without_empty(value).into()),
            _ => (key.clone(), value.clone()),
        })
        .collect()
}

/// Puts the tags of each message into an order that both sides share.
fn sort_tags(messages: &mut [Value]) {
    let lists = messages.iter_mut().filter_map(|message| message["tags"].as_array_mut());
    lists.for_each(|tags| tags.sort_by_key(Value::to_string));
}

/// The bits of the values, to tell the two zeros apart.
fn bits(message: &Value) -> Vec<Option<u64>> {
    let values = message["values"].as_array().into_iter().flatten();
    values.map(|value| value.as_f64().map(f64::to_bits)).collect()
}

#[test]
fn every_class_of_error_occurs_in_a_vector() {
    let vectors = vectors();
    for class in Class::ALL {
        let occurs = |vector: &Value| {
            let expected = vector["expect"].as_array().expect("a list").iter();
            expected.clone().any(|message| message["reason"] == class.name())
        };
        assert!(vectors.iter().any(occurs), "{}", class.name());
    }
}
