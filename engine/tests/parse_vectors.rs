//! Every vector of `vectors/parse.jsonl` that checks the parser, through one function.
//!
//! A vector gives a datagram, the settings that differ from the defaults, and the messages or
//! errors that the reference agent makes of it. A key that is missing means the same as an empty
//! value: the vectors themselves leave empty origin fields out.

#![expect(clippy::expect_used, reason = "a vector file that can't be read is a failed test")]

use lastdrop_engine::message::{
    Class, ClientOrigin, Error, Event, LineEnd, Message, Metric, Options, OriginFields,
    ServiceCheck, Tags, Timestamps, Values, lines, parse,
};
use serde_json::{Map, Value, json};

/// Vectors whose outcome is a defect of the reference agent that we don't share: the datagram, and
/// what we do instead.
const DIFFERENCES: &[(&str, &str)] = &[(
    "m:1|g|c:in-18446744073709551616",
    "an inode beyond 64 bits is malformed like any other, so there is none",
)];

#[test]
fn every_vector_of_the_parser_holds() {
    let mut checked = 0;
    for vector in vectors().iter().filter(|vector| vector.get("stage").is_none()) {
        checked += 1;
        check(vector);
    }
    assert!(checked >= 300, "only {checked} vectors found");
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
    let messages = messages(&datagram, &vector["config"]);
    let expected = vector["expect"].as_array().expect("a list");
    let same = messages.len() == expected.len()
        && messages.iter().zip(expected).all(|(message, expected)| agrees(message, expected));
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

fn messages(datagram: &[u8], config: &Value) -> Vec<Value> {
    let mut options = Options::default();
    if config["dogstatsd_no_aggregation_pipeline"] == json!(false) {
        options.timestamps = Timestamps::Ignore;
    }
    if config["dogstatsd_origin_detection_client"] == json!(true) {
        options.client_origin = ClientOrigin::Read;
    }
    let transport = config["transport"].as_str().unwrap_or("udp");
    let required = config["dogstatsd_eol_required"].as_array();
    let end = match required {
        Some(list) if list.iter().any(|name| name == transport) => LineEnd::Required,
        _ => LineEnd::Optional,
    };
    lines(datagram, end)
        .map(|line| match line.and_then(|line| parse(line.bytes, options)) {
            Ok(Message::Metric(message)) => metric(&message),
            Ok(Message::Event(message)) => event(&message),
            Ok(Message::ServiceCheck(message)) => service_check(&message),
            Err(refused) => error(refused),
        })
        .collect()
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
    with_origin(fields, &metric.origin)
}

fn event(event: &Event<'_>) -> Value {
    let fields = json!({
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
    });
    with_origin(fields, &event.origin)
}

fn service_check(check: &ServiceCheck<'_>) -> Value {
    let fields = json!({
        "kind": "service_check",
        "name": text(check.name),
        "status": check.status as u8,
        "timestamp": check.timestamp,
        "hostname": text(check.host),
        "message": text(check.message),
        "tags": tags(check.tags),
    });
    with_origin(fields, &check.origin)
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
