//! Tags that become fields of their own in a series: `device:` and `dd.internal.resource:`.
//!
//! Sketches keep them as tags. Nothing is collected: each question is a walk over the tags, which
//! are few, and nearly all of which fail at their first byte.

use lastdrop_engine::series::Tags;

const DEVICE: &str = "device:";
const RESOURCE: &str = "dd.internal.resource:";

/// The device, or empty: what the last `device:` tag says.
pub(super) fn device(tags: Tags<'_>) -> &str {
    tags.iter().filter_map(|tag| tag.strip_prefix(DEVICE)).last().unwrap_or_default()
}

/// Type and name of every resource that a tag `dd.internal.resource:TYPE:NAME` names, in order. One
/// without a type or a name names none.
pub(super) fn resources(tags: Tags<'_>) -> impl Iterator<Item = (&str, &str)> {
    tags.iter()
        .filter_map(|tag| tag.strip_prefix(RESOURCE)?.split_once(':'))
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
}

/// True for a tag that stays a tag.
pub(super) fn stays(tag: &str) -> bool {
    !tag.starts_with(DEVICE) && !tag.starts_with(RESOURCE)
}
