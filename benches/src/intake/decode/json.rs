//! The JSON forms: series v1, events, service checks.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::{Check, DecodeError, Event, Kind, Origin, Series};

#[derive(Deserialize)]
struct SeriesBody {
    series: Vec<JsonSeries>,
}

#[derive(Deserialize)]
struct JsonSeries {
    metric: String,
    points: Vec<(i64, f64)>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    host: String,
    #[serde(default)]
    device: String,
    #[serde(rename = "type")]
    kind: JsonKind,
    #[serde(default)]
    interval: u64,
    #[serde(default)]
    source_type_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum JsonKind {
    Count,
    Rate,
    Gauge,
}

#[derive(Deserialize)]
struct EventsBody {
    events: BTreeMap<String, Vec<JsonEvent>>,
}

#[derive(Deserialize)]
struct JsonEvent {
    msg_title: String,
    msg_text: String,
    timestamp: i64,
    host: String,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    alert_type: String,
    #[serde(default)]
    aggregation_key: String,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct JsonCheck {
    check: String,
    host_name: String,
    timestamp: i64,
    status: u8,
    message: String,
    tags: Option<Vec<String>>,
}

pub(super) fn series(body: &[u8]) -> Result<Vec<Series>, DecodeError> {
    let body: SeriesBody = parse(body)?;
    let series = body.series.into_iter().map(|from| Series {
        metric: from.metric,
        host: from.host,
        device: from.device,
        tags: from.tags.unwrap_or_default(),
        resources: Vec::new(),
        kind: match from.kind {
            JsonKind::Count => Kind::Count,
            JsonKind::Rate => Kind::Rate,
            JsonKind::Gauge => Kind::Gauge,
        },
        interval_s: from.interval,
        points: from.points,
        source_type: from.source_type_name,
        unit: String::new(),
        origin: Origin::default(),
    });
    Ok(series.collect())
}

pub(super) fn events(body: &[u8]) -> Result<Vec<Event>, DecodeError> {
    let body: EventsBody = parse(body)?;
    let events = body.events.into_iter().flat_map(|(source, events)| {
        events.into_iter().map(move |from| Event {
            source: source.clone(),
            title: from.msg_title,
            text: from.msg_text,
            second: from.timestamp,
            host: from.host,
            priority: from.priority,
            alert_type: from.alert_type,
            aggregation_key: from.aggregation_key,
            tags: from.tags,
        })
    });
    Ok(events.collect())
}

pub(super) fn checks(body: &[u8]) -> Result<Vec<Check>, DecodeError> {
    let body: Vec<JsonCheck> = parse(body)?;
    let checks = body.into_iter().map(|from| {
        if from.check.is_empty() || from.status > 3 {
            let what = format!("service check {:?} with status {}", from.check, from.status);
            return Err(DecodeError::Content(what));
        }
        Ok(Check {
            name: from.check,
            host: from.host_name,
            second: from.timestamp,
            status: from.status,
            message: from.message,
            tags: from.tags.unwrap_or_default(),
        })
    });
    checks.collect()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(body).map_err(DecodeError::Json)
}
