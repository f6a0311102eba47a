//! Series as protobuf, one message a series (`MetricPayload`).
//!
//! Fields stand in the reference agent's order, which is not that of their numbers; a reader of
//! protobuf doesn't mind, and bodies can be compared byte by byte.

use lastdrop_engine::series::{Origin, Series};

use super::lift;
use super::series::finite_points;
use super::split::{Frame, Lead};
use super::wire;

pub(super) fn frame() -> Frame {
    Frame { lead: Lead { first: b"", next: b"" }, footer: b""[..].into() }
}

pub(super) fn write(out: &mut Vec<u8>, series: &Series<'_>) {
    wire::message(out, 1, |out| write_series(out, series));
}

fn write_series(out: &mut Vec<u8>, series: &Series<'_>) {
    // The host stands even where there is none to name.
    resource(out, "host", series.host);
    let device = lift::device(series.tags);
    if !device.is_empty() {
        resource(out, "device", device);
    }
    for (kind, name) in lift::resources(series.tags) {
        resource(out, kind, name);
    }
    wire::string(out, 2, series.name);
    for tag in series.tags.iter().filter(|tag| lift::stays(tag)) {
        wire::repeated_string(out, 3, tag);
    }
    wire::integer(out, 5, series.kind as i64);
    wire::string(out, 6, series.unit);
    wire::string(out, 7, series.source_type_name);
    wire::integer(out, 8, i64::try_from(series.interval_s).unwrap_or(i64::MAX));
    for point in finite_points(series.points) {
        wire::message(out, 4, |out| {
            wire::integer(out, 2, point.second);
            wire::double(out, 1, point.value);
        });
    }
    metadata(out, 9, series.origin, series.no_index);
}

fn resource(out: &mut Vec<u8>, kind: &str, name: &str) {
    wire::message(out, 1, |out| {
        wire::string(out, 1, kind);
        wire::string(out, 2, name);
    });
}

/// Appends the metadata of a series or a sketch: where it comes from, and whether to index it. Both
/// messages stand even if nothing is in them.
pub(super) fn metadata(out: &mut Vec<u8>, field: u32, origin: Origin, no_index: bool) {
    wire::message(out, field, |out| {
        wire::message(out, 1, |out| {
            if no_index {
                wire::integer(out, 3, METRIC_TYPE_NOT_INDEXED);
            }
            wire::integer(out, 4, origin.product.into());
            wire::integer(out, 5, origin.category.into());
            wire::integer(out, 6, origin.service.into());
        });
    });
}

/// The origin's metric type for what the intake takes without indexing it.
const METRIC_TYPE_NOT_INDEXED: i64 = 9;
