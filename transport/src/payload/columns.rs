//! Series and sketches as columns: one field of the message holds the names of all, another their
//! kinds, another their values, so that like stands beside like and compresses well.
//!
//! Texts that come again and again are said once, in a dictionary column, and numbered from 1 (0 is
//! "none"). Numbers that grow slowly are written as the difference to the one before (*delta*).
//! What has no size stands nowhere: there is no field in front of a series, and a reader walks all
//! columns at once, taking from each as the series' kind and counts tell it.
//!
//! | column | field | coding |
//! | --- | --- | --- |
//! | name, tag, resource, source type, unit strings | 1, 2, 4, 8, 25 | length and text |
//! | tagsets | 3 | count, then the tags' numbers in ascending order, delta |
//! | resource sets: count; types; names | 5; 6, 7 | plain; delta within the set |
//! | origins | 9 | product, category, service |
//! | kind; number of points; interval | 10; 15; 14 | plain |
//! | name, tagset, resource set, source type, origin, unit | 11, 12, 13, 23, 24, 26 | delta |
//! | seconds of all points of all series | 16 | delta |
//! | values | 17, 18 or 19 | whole, 32-bit or 64-bit |
//! | bins per sketch; keys; counts | 20; 21; 22 | plain; delta within the sketch; plain |

use std::array;

use lastdrop_engine::series::{Origin, OwnTags, Series, SketchPoint, SketchSeries, Tags};

use super::dictionary::Dictionary;
use super::series::finite_points;
use super::sketches::sent_points;
use super::{lift, wire};

const NAME_STRINGS: usize = 1;
const TAG_STRINGS: usize = 2;
const TAGSETS: usize = 3;
const RESOURCE_STRINGS: usize = 4;
const RESOURCE_COUNTS: usize = 5;
const RESOURCE_TYPES: usize = 6;
const RESOURCE_NAMES: usize = 7;
const SOURCE_TYPE_STRINGS: usize = 8;
const ORIGINS: usize = 9;
const KINDS: usize = 10;
const NAMES: usize = 11;
const TAGSET_REFS: usize = 12;
const RESOURCE_SET_REFS: usize = 13;
const INTERVALS: usize = 14;
const POINT_COUNTS: usize = 15;
const SECONDS: usize = 16;
const INTEGERS: usize = 17;
const FLOATS: usize = 18;
const DOUBLES: usize = 19;
const BIN_COUNTS: usize = 20;
const BIN_KEYS: usize = 21;
const BIN_SIZES: usize = 22;
const SOURCE_TYPES: usize = 23;
const ORIGIN_REFS: usize = 24;
const UNIT_STRINGS: usize = 25;
const UNITS: usize = 26;

/// One more than the highest column's number.
const COLUMNS: usize = 27;

/// Field of the message that holds the columns. Field 1 stays free, so that a reader of v2 series
/// finds none.
const DATA: u32 = 3;

/// Low bits of a kind: series have those of their `SeriesKind`.
const KIND_SKETCH: u64 = 4;
const FLAG_NO_INDEX: u64 = 0x100;
const FLAG_UNIT: u64 = 0x200;

/// A message under construction: series for the intake's v3 path, or sketches, for which the format
/// exists but the intake has no path yet.
pub struct Columns {
    /// Columns by number, but for the dictionaries.
    plain: [Vec<u8>; COLUMNS],
    names: Dictionary,
    tags: Dictionary,
    tagsets: Dictionary,
    resource_strings: Dictionary,
    /// Columns 5 to 7 say the same in the message's way.
    resource_sets: Dictionary,
    source_types: Dictionary,
    origins: Dictionary,
    units: Dictionary,
    last: Last,
    items: u64,
    // Working memory.
    new_tags: Vec<&'static str>,
    numbers: Vec<i64>,
    pairs: Vec<(i64, i64)>,
}

/// What the deltas refer to.
#[derive(Clone, Copy, Default)]
struct Last {
    name: i64,
    tagset: i64,
    resource_set: i64,
    source_type: i64,
    origin: i64,
    unit: i64,
    second: i64,
}

/// How far a message had come: what was pushed until then is a message, too.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// Sizes of the columns by number.
    lengths: [usize; COLUMNS],
    pub(super) items: u64,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            plain: array::from_fn(|_| Vec::new()),
            names: Dictionary::default(),
            tags: Dictionary::default(),
            tagsets: Dictionary::default(),
            resource_strings: Dictionary::default(),
            resource_sets: Dictionary::default(),
            source_types: Dictionary::default(),
            origins: Dictionary::default(),
            units: Dictionary::default(),
            last: Last::default(),
            items: 0,
            new_tags: Vec::new(),
            numbers: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

impl Columns {
    /// Adds a series with its finite points.
    pub fn push_series(&mut self, series: &Series<'_>) {
        let values = finite_points(series.points).map(|point| point.value);
        let numbers = NumberKind::of_all(values);
        let kind = series.kind as u64 | numbers.bits() | no_index_flag(series.no_index);
        let unit_flag = if series.unit.is_empty() { 0 } else { FLAG_UNIT };
        wire::varint(&mut self.plain[KINDS], kind | unit_flag);
        self.push_name(series.name);
        self.push_tagset(series.tags, lift::stays);

        self.pairs.clear();
        self.push_host(series.host);
        let device = lift::device(series.tags);
        if !device.is_empty() {
            self.push_resource("device", device);
        }
        for (kind, name) in lift::resources(series.tags) {
            self.push_resource(kind, name);
        }
        self.push_resource_set();

        wire::varint(&mut self.plain[INTERVALS], series.interval_s);
        let count = finite_points(series.points).count() as u64;
        wire::varint(&mut self.plain[POINT_COUNTS], count);
        self.push_source_type(series.source_type_name);
        self.push_origin(series.origin);
        if !series.unit.is_empty() {
            let unit = text_number(&mut self.units, series.unit);
            delta(&mut self.plain[UNITS], &mut self.last.unit, unit);
        }
        for point in finite_points(series.points) {
            delta(&mut self.plain[SECONDS], &mut self.last.second, point.second);
            self.push_value(numbers, point.value);
        }
        self.items += 1;
    }

    /// Adds a distribution with its sketches that are neither empty nor infinite. Their mean isn't
    /// said: a reader has sum and count.
    pub fn push_sketches(&mut self, sketches: &SketchSeries<'_>) {
        let points = || sent_points(sketches.points);
        let numbers = NumberKind::of_all(points().flat_map(summary_values));
        let kind = KIND_SKETCH | numbers.bits() | no_index_flag(sketches.no_index);
        wire::varint(&mut self.plain[KINDS], kind);
        self.push_name(sketches.name);
        self.push_tagset(sketches.tags, |_| true);
        self.pairs.clear();
        self.push_host(sketches.host);
        self.push_resource_set();
        wire::varint(&mut self.plain[INTERVALS], 0);
        wire::varint(&mut self.plain[POINT_COUNTS], points().count() as u64);
        self.push_source_type("");
        self.push_origin(sketches.origin);
        for point in points() {
            delta(&mut self.plain[SECONDS], &mut self.last.second, point.second);
            for value in summary_values(point) {
                self.push_value(numbers, value);
            }
            let count = i64::try_from(point.summary.count).unwrap_or(i64::MAX);
            wire::signed_varint(&mut self.plain[INTEGERS], count);
            self.push_bins(point);
        }
        self.items += 1;
    }

    /// Size of the message in bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        match self.columns(&self.mark()).map(|(field, bytes)| field_bytes(field, bytes.len())).sum()
        {
            0 => 0,
            data => field_bytes(DATA, data),
        }
    }

    /// Appends the message, of [`encoded_bytes`](Self::encoded_bytes); nothing if it holds nothing.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_until(&self.mark(), out);
    }

    /// Where the message stands.
    pub(super) fn mark(&self) -> Mark {
        Mark { lengths: array::from_fn(|number| self.column(number).len()), items: self.items }
    }

    /// Appends the message as it was at a mark that was taken since it was empty.
    pub(super) fn write_until(&self, mark: &Mark, out: &mut Vec<u8>) {
        if mark.items > 0 {
            wire::message(out, DATA, |out| {
                for (field, bytes) in self.columns(mark) {
                    wire::bytes(out, field, bytes);
                }
            });
        }
    }

    /// Empties the message and keeps its memory.
    pub(super) fn clear(&mut self) {
        for column in &mut self.plain {
            column.clear();
        }
        for dictionary in [
            &mut self.names,
            &mut self.tags,
            &mut self.tagsets,
            &mut self.resource_strings,
            &mut self.resource_sets,
            &mut self.source_types,
            &mut self.origins,
            &mut self.units,
        ] {
            dictionary.clear();
        }
        self.last = Last::default();
        self.items = 0;
    }

    /// The columns that held something at a mark, by ascending number.
    fn columns(&self, mark: &Mark) -> impl Iterator<Item = (u32, &[u8])> {
        let columns = mark.lengths.iter().enumerate();
        (0..)
            .zip(columns.map(|(number, &length)| &self.column(number)[..length]))
            .filter(|(_, bytes)| !bytes.is_empty())
    }

    fn column(&self, number: usize) -> &[u8] {
        match number {
            NAME_STRINGS => self.names.bytes(),
            TAG_STRINGS => self.tags.bytes(),
            TAGSETS => self.tagsets.bytes(),
            RESOURCE_STRINGS => self.resource_strings.bytes(),
            SOURCE_TYPE_STRINGS => self.source_types.bytes(),
            ORIGINS => self.origins.bytes(),
            UNIT_STRINGS => self.units.bytes(),
            _ => &self.plain[number],
        }
    }

    fn push_name(&mut self, name: &str) {
        let name = optional_number(&mut self.names, name);
        delta(&mut self.plain[NAMES], &mut self.last.name, name);
    }

    fn push_source_type(&mut self, source_type: &str) {
        let source_type = optional_number(&mut self.source_types, source_type);
        delta(&mut self.plain[SOURCE_TYPES], &mut self.last.source_type, source_type);
    }

    fn push_origin(&mut self, origin: Origin) {
        let origin = self.origins.number(|out| {
            wire::varint(out, origin.product.into());
            wire::varint(out, origin.category.into());
            wire::varint(out, origin.service.into());
        });
        delta(&mut self.plain[ORIGIN_REFS], &mut self.last.origin, origin);
    }

    /// Adds the tags for which `stays` says so. Global tags make a set of their own, which sets of
    /// own tags refer to: they are the same for all.
    fn push_tagset(&mut self, tags: Tags<'_>, stays: fn(&str) -> bool) {
        let global = self.tagset_number(0, OwnTags::List(tags.global), stays);
        let all = match self.tagset_number(global, tags.own, stays) {
            0 => global,
            both => both,
        };
        delta(&mut self.plain[TAGSET_REFS], &mut self.last.tagset, all);
    }

    /// The number of the set of these tags and those of the set `base`; 0 if no tag stays.
    fn tagset_number(&mut self, base: i64, tags: OwnTags<'_>, stays: fn(&str) -> bool) -> i64 {
        let mut new_tags: Vec<&str> = std::mem::take(&mut self.new_tags);
        let Self { numbers, .. } = self;
        numbers.clear();
        for tag in tags.iter().filter(|tag| stays(tag)) {
            match known_text_number(&mut self.tags, tag) {
                Some(number) => numbers.push(number),
                None => new_tags.push(tag),
            }
        }
        // Those of one set are numbered in the order of their bytes.
        new_tags.sort_unstable();
        numbers.extend(new_tags.iter().map(|tag| text_number(&mut self.tags, tag)));
        self.new_tags = emptied(new_tags);
        if numbers.is_empty() {
            return 0;
        }
        if base > 0 {
            numbers.push(-base);
        }
        numbers.sort_unstable();
        self.tagsets.number(|out| {
            wire::signed_varint(out, numbers.len() as i64);
            let mut last = 0;
            for &number in &*numbers {
                delta(out, &mut last, number);
            }
        })
    }

    fn push_host(&mut self, host: &str) {
        if !host.is_empty() {
            self.push_resource("host", host);
        }
    }

    /// Adds a resource to the set at hand.
    fn push_resource(&mut self, kind: &str, name: &str) {
        let kind = text_number(&mut self.resource_strings, kind);
        let name = text_number(&mut self.resource_strings, name);
        self.pairs.push((kind, name));
    }

    /// Refers to the set of the resources at hand.
    fn push_resource_set(&mut self) {
        let Self { pairs, resource_sets, plain, .. } = self;
        let known = resource_sets.len();
        let set = if pairs.is_empty() {
            0
        } else {
            resource_sets.number(|out| {
                for &(kind, name) in &*pairs {
                    wire::signed_varint(out, kind);
                    wire::signed_varint(out, name);
                }
            })
        };
        if resource_sets.len() > known {
            wire::varint(&mut plain[RESOURCE_COUNTS], pairs.len() as u64);
            let (mut last_kind, mut last_name) = (0, 0);
            for &(kind, name) in &*pairs {
                delta(&mut plain[RESOURCE_TYPES], &mut last_kind, kind);
                delta(&mut plain[RESOURCE_NAMES], &mut last_name, name);
            }
        }
        delta(&mut plain[RESOURCE_SET_REFS], &mut self.last.resource_set, set);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the kind is one that loses nothing")]
    fn push_value(&mut self, kind: NumberKind, value: f64) {
        match kind {
            NumberKind::Zero => {}
            NumberKind::Int24 | NumberKind::Int48 => {
                wire::signed_varint(&mut self.plain[INTEGERS], value as i64);
            }
            NumberKind::Float => {
                self.plain[FLOATS].extend_from_slice(&(value as f32).to_le_bytes());
            }
            NumberKind::Double => self.plain[DOUBLES].extend_from_slice(&value.to_le_bytes()),
        }
    }

    fn push_bins(&mut self, point: &SketchPoint<'_>) {
        let mut last = 0;
        for bin in point.bins {
            delta(&mut self.plain[BIN_KEYS], &mut last, bin.key.into());
            wire::varint(&mut self.plain[BIN_SIZES], bin.count.into());
        }
        wire::varint(&mut self.plain[BIN_COUNTS], point.bins.len() as u64);
    }
}

/// The narrowest way to write a number that loses nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberKind {
    Zero,
    /// Whole and up to 2^24: a 32-bit float holds it too.
    Int24,
    /// Whole, from -2^48 to 2^48 - 1: beyond that a varint is no shorter than eight bytes.
    Int48,
    Float,
    Double,
}

impl NumberKind {
    fn of_all(values: impl Iterator<Item = f64>) -> Self {
        values.map(Self::of).fold(Self::Zero, Self::join)
    }

    #[expect(clippy::cast_possible_truncation, reason = "that is the question")]
    fn of(value: f64) -> Self {
        const TWO_24: f64 = 16_777_216.0;
        const TWO_48: f64 = 281_474_976_710_656.0;
        if value == 0.0 {
            Self::Zero
        } else if value.fract() == 0.0 && value.abs() <= TWO_24 {
            Self::Int24
        } else if value.fract() == 0.0 && (-TWO_48..TWO_48).contains(&value) {
            Self::Int48
        } else if f64::from(value as f32) == value {
            Self::Float
        } else {
            Self::Double
        }
    }

    /// The narrowest kind that holds both.
    const fn join(self, other: Self) -> Self {
        use NumberKind::{Double, Float, Int24, Int48, Zero};
        match (self, other) {
            (Zero, kind) | (kind, Zero) => kind,
            (Double, _) | (_, Double) | (Int48, Float) | (Float, Int48) => Double,
            (Float, _) | (_, Float) => Float,
            (Int48, _) | (_, Int48) => Int48,
            (Int24, Int24) => Int24,
        }
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Zero => 0x00,
            Self::Int24 | Self::Int48 => 0x10,
            Self::Float => 0x20,
            Self::Double => 0x30,
        }
    }
}

const fn no_index_flag(no_index: bool) -> u64 {
    if no_index { FLAG_NO_INDEX } else { 0 }
}

/// The values of a sketch's summary in the order of the message; its count goes apart.
const fn summary_values(point: &SketchPoint<'_>) -> [f64; 3] {
    [point.summary.sum, point.summary.min, point.summary.max]
}

/// The number of a text that may be missing: 0 for the empty one.
fn optional_number(dictionary: &mut Dictionary, text: &str) -> i64 {
    if text.is_empty() { 0 } else { text_number(dictionary, text) }
}

fn text_number(dictionary: &mut Dictionary, text: &str) -> i64 {
    dictionary.number(|out| {
        wire::varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    })
}

/// The memory of a list, for the next one.
fn emptied(mut list: Vec<&str>) -> Vec<&'static str> {
    list.clear();
    // Of a list with items of the same size, `collect` makes one in the same place.
    list.into_iter().map(|_| "").collect()
}

fn known_text_number(dictionary: &mut Dictionary, text: &str) -> Option<i64> {
    dictionary.known_number(|out| {
        wire::varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    })
}

fn delta(out: &mut Vec<u8>, last: &mut i64, value: i64) {
    wire::signed_varint(out, value.wrapping_sub(*last));
    *last = value;
}

const fn field_bytes(number: u32, length: usize) -> usize {
    wire::varint_bytes((number as u64) << 3) + wire::varint_bytes(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use lastdrop_engine::context::Tag;

    #[test]
    fn an_empty_tag_is_a_tag() {
        let mut columns = Columns::default();
        let own = [Tag::from("")];
        columns.push_tagset(Tags { own: OwnTags::List(&own), global: &[] }, lift::stays);
        assert_eq!(columns.column(TAG_STRINGS), [0]);
        assert_eq!(columns.column(TAGSETS), [2, 2]);
        assert_eq!(columns.column(TAGSET_REFS), [2]);
    }

    #[test]
    fn two_kinds_of_numbers_join_to_one_that_holds_both() {
        use NumberKind::{Double, Float, Int24, Int48, Zero};
        let values =
            [(0.0, Zero), (-5.0, Int24), (16_777_217.0, Int48), (0.5, Float), (0.1, Double)];
        for (value, kind) in values {
            assert_eq!(NumberKind::of(value), kind, "{value}");
            assert_eq!(kind.join(kind), kind);
            for (_, other) in values {
                assert_eq!(kind.join(other), other.join(kind), "{kind:?} {other:?}");
                assert_eq!(kind.join(other).join(kind), kind.join(other), "{kind:?} {other:?}");
            }
        }
        assert_eq!(Int24.join(Float), Float);
        assert_eq!(Int48.join(Float), Double);
    }
}
