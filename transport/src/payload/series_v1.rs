//! Series as JSON, for destinations that take nothing newer. It can't say where a series comes
//! from, which resources it has, or that it must not be indexed.

use lastdrop_engine::series::{Series, SeriesKind};

use super::series::finite_points;
use super::split::{Frame, Lead};
use super::{json, lift};

pub(super) fn frame() -> Frame {
    Frame { lead: Lead { first: b"{\"series\":[", next: b"," }, footer: b"]}"[..].into() }
}

pub(super) fn write(out: &mut Vec<u8>, series: &Series<'_>) {
    out.extend_from_slice(b"{\"metric\":");
    json::string(out, series.name);
    out.extend_from_slice(b",\"points\":[");
    for (at, point) in finite_points(series.points).enumerate() {
        out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        json::integer(out, point.second);
        out.push(b',');
        json::number(out, point.value);
        out.push(b']');
    }
    out.extend_from_slice(b"],\"tags\":");
    json::strings(out, series.tags.iter().filter(|tag| lift::stays(tag)));
    out.extend_from_slice(b",\"host\":");
    json::string(out, series.host);
    let device = lift::device(series.tags);
    if !device.is_empty() {
        out.extend_from_slice(b",\"device\":");
        json::string(out, device);
    }
    out.extend_from_slice(b",\"type\":");
    json::string(out, kind_name(series.kind));
    out.extend_from_slice(b",\"interval\":");
    json::integer(out, series.interval_s.try_into().unwrap_or(i64::MAX));
    if !series.source_type_name.is_empty() {
        out.extend_from_slice(b",\"source_type_name\":");
        json::string(out, series.source_type_name);
    }
    out.push(b'}');
}

const fn kind_name(kind: SeriesKind) -> &'static str {
    match kind {
        SeriesKind::Count => "count",
        SeriesKind::Rate => "rate",
        SeriesKind::Gauge => "gauge",
    }
}
