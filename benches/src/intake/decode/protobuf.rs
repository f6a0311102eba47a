//! The protobuf forms: series v2 and sketches, as structs that derive their decoder.

use prost::Message;

use super::{DecodeError, Kind, Origin, Series, Sketch, SketchPoint};

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricPayload {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<MetricSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) resources: Vec<Resource>,
    #[prost(string, tag = "2")]
    pub(super) metric: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) points: Vec<MetricPoint>,
    #[prost(int32, tag = "5")]
    pub(super) kind: i32,
    #[prost(string, tag = "6")]
    pub(super) unit: String,
    #[prost(string, tag = "7")]
    pub(super) source_type_name: String,
    #[prost(int64, tag = "8")]
    pub(super) interval: i64,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricPoint {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) origin: Option<OriginFields>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OriginFields {
    #[prost(uint32, tag = "4")]
    pub(super) product: u32,
    #[prost(uint32, tag = "5")]
    pub(super) category: u32,
    #[prost(uint32, tag = "6")]
    pub(super) service: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SketchPayload {
    #[prost(message, repeated, tag = "1")]
    pub(super) sketches: Vec<SketchSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SketchSeries {
    #[prost(string, tag = "1")]
    pub(super) metric: String,
    #[prost(string, tag = "2")]
    pub(super) host: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub(super) dogsketches: Vec<Dogsketch>,
    #[prost(message, optional, tag = "8")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dogsketch {
    #[prost(int64, tag = "1")]
    pub(super) ts: i64,
    #[prost(int64, tag = "2")]
    pub(super) cnt: i64,
    #[prost(double, tag = "3")]
    pub(super) min: f64,
    #[prost(double, tag = "4")]
    pub(super) max: f64,
    #[prost(double, tag = "5")]
    pub(super) avg: f64,
    #[prost(double, tag = "6")]
    pub(super) sum: f64,
    #[prost(sint32, repeated, tag = "7")]
    pub(super) k: Vec<i32>,
    #[prost(uint32, repeated, tag = "8")]
    pub(super) n: Vec<u32>,
}

pub(super) fn series(body: &[u8]) -> Result<Vec<Series>, DecodeError> {
    let payload = MetricPayload::decode(body).map_err(DecodeError::Protobuf)?;
    payload.series.into_iter().map(one_series).collect()
}

fn one_series(from: MetricSeries) -> Result<Series, DecodeError> {
    let kind = match from.kind {
        1 => Kind::Count,
        2 => Kind::Rate,
        3 => Kind::Gauge,
        other => {
            return Err(DecodeError::Content(format!("{}: series type {other}", from.metric)));
        }
    };
    let interval_s = u64::try_from(from.interval).map_err(|_| {
        DecodeError::Content(format!("{}: an interval of {} s", from.metric, from.interval))
    })?;
    let mut host = String::new();
    let mut device = String::new();
    let mut resources = Vec::new();
    for resource in from.resources {
        match resource.kind.as_str() {
            "host" if host.is_empty() => host = resource.name,
            "device" if device.is_empty() => device = resource.name,
            _ => resources.push((resource.kind, resource.name)),
        }
    }
    Ok(Series {
        metric: from.metric,
        host,
        device,
        tags: from.tags,
        resources,
        kind,
        interval_s,
        points: from.points.iter().map(|point| (point.timestamp, point.value)).collect(),
        source_type: from.source_type_name,
        unit: from.unit,
        origin: origin(from.metadata),
    })
}

pub(super) fn sketches(body: &[u8]) -> Result<Vec<Sketch>, DecodeError> {
    let payload = SketchPayload::decode(body).map_err(DecodeError::Protobuf)?;
    payload.sketches.into_iter().map(one_sketch).collect()
}

fn one_sketch(from: SketchSeries) -> Result<Sketch, DecodeError> {
    let points = from.dogsketches.into_iter().map(|point| {
        if point.k.len() != point.n.len() {
            let (keys, counts) = (point.k.len(), point.n.len());
            let what = format!("{}: {keys} bin keys for {counts} counts", from.metric);
            return Err(DecodeError::Content(what));
        }
        let count = u64::try_from(point.cnt).map_err(|_| {
            DecodeError::Content(format!("{}: a count of {}", from.metric, point.cnt))
        })?;
        Ok(SketchPoint {
            second: point.ts,
            count,
            min: point.min,
            max: point.max,
            avg: point.avg,
            sum: point.sum,
            bins: point.k.into_iter().zip(point.n).collect(),
        })
    });
    let points = points.collect::<Result<_, _>>()?;
    let origin = origin(from.metadata);
    Ok(Sketch { metric: from.metric, host: from.host, tags: from.tags, points, origin })
}

fn origin(metadata: Option<Metadata>) -> Origin {
    let fields = metadata.and_then(|metadata| metadata.origin).unwrap_or_default();
    Origin { product: fields.product, category: fields.category, service: fields.service }
}
