//! The columnar form (series v3): every field of all series stands in a column of its own, strings
//! in dictionaries, references as differences.
//!
//! Each column is walked by an iterator that adds up its differences; a series takes its share of
//! every column in turn, and at the end every column must be used up.

use std::slice::Iter;

use prost::Message;

use super::{DecodeError, Kind, Origin, Series};

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(message, optional, tag = "3")]
    data: Option<Columns>,
}

#[derive(Clone, PartialEq, Message)]
struct Columns {
    #[prost(bytes = "vec", tag = "1")]
    names: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    tags: Vec<u8>,
    #[prost(sint64, repeated, tag = "3")]
    tag_sets: Vec<i64>,
    #[prost(bytes = "vec", tag = "4")]
    resources: Vec<u8>,
    #[prost(int64, repeated, tag = "5")]
    resource_set_lengths: Vec<i64>,
    #[prost(sint64, repeated, tag = "6")]
    resource_types: Vec<i64>,
    #[prost(sint64, repeated, tag = "7")]
    resource_names: Vec<i64>,
    #[prost(bytes = "vec", tag = "8")]
    source_types: Vec<u8>,
    #[prost(int32, repeated, tag = "9")]
    origins: Vec<i32>,
    #[prost(uint64, repeated, tag = "10")]
    type_words: Vec<u64>,
    #[prost(sint64, repeated, tag = "11")]
    name_refs: Vec<i64>,
    #[prost(sint64, repeated, tag = "12")]
    tag_set_refs: Vec<i64>,
    #[prost(sint64, repeated, tag = "13")]
    resource_set_refs: Vec<i64>,
    #[prost(uint64, repeated, tag = "14")]
    intervals: Vec<u64>,
    #[prost(uint64, repeated, tag = "15")]
    point_counts: Vec<u64>,
    #[prost(sint64, repeated, tag = "16")]
    timestamps: Vec<i64>,
    #[prost(sint64, repeated, tag = "17")]
    integers: Vec<i64>,
    #[prost(float, repeated, tag = "18")]
    floats: Vec<f32>,
    #[prost(double, repeated, tag = "19")]
    doubles: Vec<f64>,
    #[prost(sint64, repeated, tag = "23")]
    source_type_refs: Vec<i64>,
    #[prost(sint64, repeated, tag = "24")]
    origin_refs: Vec<i64>,
    #[prost(bytes = "vec", tag = "25")]
    units: Vec<u8>,
    #[prost(sint64, repeated, tag = "26")]
    unit_refs: Vec<i64>,
}

/// Most tags of one set: sets may name earlier sets, so a small body could unfold without end.
const SET_TAGS_MAX: usize = 1 << 16;

/// Set in a type word whose series has an entry in the unit column.
const HAS_UNIT: u64 = 0x200;

pub(super) fn series(body: &[u8]) -> Result<Vec<Series>, DecodeError> {
    let payload = Payload::decode(body).map_err(DecodeError::Protobuf)?;
    let columns = payload.data.unwrap_or_default();
    let mut reader = Reader::new(&columns)?;
    let series = columns.type_words.iter().map(|&word| reader.take_series(word));
    let series = series.collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(series)
}

/// The dictionaries, and how far each column has been taken.
struct Reader<'a> {
    names: Vec<String>,
    tag_sets: Vec<Vec<String>>,
    resource_sets: Vec<Vec<(String, String)>>,
    source_types: Vec<String>,
    origins: Vec<Origin>,
    units: Vec<String>,
    name_refs: Deltas<'a>,
    tag_set_refs: Deltas<'a>,
    resource_set_refs: Deltas<'a>,
    source_type_refs: Deltas<'a>,
    origin_refs: Deltas<'a>,
    unit_refs: Deltas<'a>,
    timestamps: Deltas<'a>,
    intervals: Iter<'a, u64>,
    point_counts: Iter<'a, u64>,
    integers: Iter<'a, i64>,
    floats: Iter<'a, f32>,
    doubles: Iter<'a, f64>,
}

impl<'a> Reader<'a> {
    fn new(columns: &'a Columns) -> Result<Self, DecodeError> {
        let tags = strings(&columns.tags, "tag strings")?;
        let resources = strings(&columns.resources, "resource strings")?;
        Ok(Self {
            names: strings(&columns.names, "metric names")?,
            tag_sets: tag_sets(&columns.tag_sets, &tags)?,
            resource_sets: resource_sets(columns, &resources)?,
            source_types: strings(&columns.source_types, "source types")?,
            origins: origins(&columns.origins)?,
            units: strings(&columns.units, "units")?,
            name_refs: Deltas::new(&columns.name_refs, "name references"),
            tag_set_refs: Deltas::new(&columns.tag_set_refs, "tag set references"),
            resource_set_refs: Deltas::new(&columns.resource_set_refs, "resource set references"),
            source_type_refs: Deltas::new(&columns.source_type_refs, "source type references"),
            origin_refs: Deltas::new(&columns.origin_refs, "origin references"),
            unit_refs: Deltas::new(&columns.unit_refs, "unit references"),
            timestamps: Deltas::new(&columns.timestamps, "timestamps"),
            intervals: columns.intervals.iter(),
            point_counts: columns.point_counts.iter(),
            integers: columns.integers.iter(),
            floats: columns.floats.iter(),
            doubles: columns.doubles.iter(),
        })
    }

    fn take_series(&mut self, word: u64) -> Result<Series, DecodeError> {
        let kind = match word & 0xf {
            1 => Kind::Count,
            2 => Kind::Rate,
            3 => Kind::Gauge,
            other => return Err(DecodeError::Content(format!("column 10: series type {other}"))),
        };
        let metric = entry(&self.names, self.name_refs.take()?, "metric name")?;
        let tags = entry(&self.tag_sets, self.tag_set_refs.take()?, "tag set")?;
        let resources = entry(&self.resource_sets, self.resource_set_refs.take()?, "resource set")?;
        let (host, device, resources) = lift(resources);
        let unit_ref = if word & HAS_UNIT == 0 { 0 } else { self.unit_refs.take()? };
        let interval_s = *self.intervals.next().ok_or_else(|| ends("intervals"))?;
        let count = *self.point_counts.next().ok_or_else(|| ends("point counts"))?;
        let points =
            (0..count).map(|_| Ok((self.timestamps.take()?, self.take_value(word & 0xf0)?)));
        let points = points.collect::<Result<_, DecodeError>>()?;
        Ok(Series {
            metric,
            host,
            device,
            tags,
            resources,
            kind,
            interval_s,
            points,
            source_type: entry(&self.source_types, self.source_type_refs.take()?, "source type")?,
            unit: entry(&self.units, unit_ref, "unit")?,
            origin: entry(&self.origins, self.origin_refs.take()?, "origin")?,
        })
    }

    fn take_value(&mut self, class: u64) -> Result<f64, DecodeError> {
        match class {
            0x00 => Ok(0.0),
            0x10 => {
                let &value = self.integers.next().ok_or_else(|| ends("integer values"))?;
                // The encoder may use this column only for what a double holds exactly.
                if value.unsigned_abs() > 1 << 53 {
                    return Err(DecodeError::Content(format!("column 17: the value {value}")));
                }
                #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
                Ok(value as f64)
            }
            0x20 => self.floats.next().map(|&v| f64::from(v)).ok_or_else(|| ends("float values")),
            0x30 => self.doubles.next().copied().ok_or_else(|| ends("double values")),
            other => Err(DecodeError::Content(format!("column 10: value class {other:#x}"))),
        }
    }

    /// Checks that no column holds more than the series took.
    fn finish(&self) -> Result<(), DecodeError> {
        let left = [
            self.name_refs.rest.len(),
            self.tag_set_refs.rest.len(),
            self.resource_set_refs.rest.len(),
            self.source_type_refs.rest.len(),
            self.origin_refs.rest.len(),
            self.unit_refs.rest.len(),
            self.timestamps.rest.len(),
            self.intervals.len(),
            self.point_counts.len(),
            self.integers.len(),
            self.floats.len(),
            self.doubles.len(),
        ];
        if left.iter().all(|&entries| entries == 0) {
            Ok(())
        } else {
            Err(DecodeError::Content(format!("columns with entries left over: {left:?}")))
        }
    }
}

/// A column whose entries are differences to the one before, over the whole column.
struct Deltas<'a> {
    rest: Iter<'a, i64>,
    sum: i64,
    name: &'static str,
}

impl<'a> Deltas<'a> {
    fn new(column: &'a [i64], name: &'static str) -> Self {
        Self { rest: column.iter(), sum: 0, name }
    }

    fn take(&mut self) -> Result<i64, DecodeError> {
        let &delta = self.rest.next().ok_or_else(|| ends(self.name))?;
        self.sum = add(self.sum, delta)?;
        Ok(self.sum)
    }
}

fn add(sum: i64, delta: i64) -> Result<i64, DecodeError> {
    sum.checked_add(delta).ok_or_else(|| DecodeError::Content("a difference overflows".to_owned()))
}

fn ends(column: &str) -> DecodeError {
    DecodeError::Content(format!("the column of {column} ends early"))
}

/// Looks up a reference that counts from 1; 0 stands for the empty value.
fn entry<T: Clone + Default>(table: &[T], id: i64, what: &str) -> Result<T, DecodeError> {
    if id == 0 {
        return Ok(T::default());
    }
    let found = usize::try_from(id).ok().and_then(|id| table.get(id - 1));
    found.cloned().ok_or_else(|| {
        DecodeError::Content(format!("{what} {id} of a dictionary of {}", table.len()))
    })
}

/// Reads a dictionary: varint length and text, one after another.
fn strings(mut bytes: &[u8], what: &str) -> Result<Vec<String>, DecodeError> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        let length = prost::decode_length_delimiter(&mut bytes).map_err(DecodeError::Protobuf)?;
        let (text, rest) = bytes.split_at_checked(length).ok_or_else(|| ends(what))?;
        let text = std::str::from_utf8(text)
            .map_err(|error| DecodeError::Content(format!("dictionary of {what}: {error}")))?;
        strings.push(text.to_owned());
        bytes = rest;
    }
    Ok(strings)
}

/// Reads the sets of tags: a length, then that many ids as differences. A negative id stands for
/// all tags of an earlier set.
fn tag_sets(column: &[i64], tags: &[String]) -> Result<Vec<Vec<String>>, DecodeError> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    let mut rest = column.iter();
    while let Some(&length) = rest.next() {
        let mut set = Vec::new();
        let mut id = 0;
        for _ in 0..length {
            id = add(id, *rest.next().ok_or_else(|| ends("tag sets"))?)?;
            match id {
                0 => return Err(DecodeError::Content("tag 0 in a tag set".to_owned())),
                1.. => set.push(entry(tags, id, "tag")?),
                _ => set.extend(entry(&sets, id.saturating_neg(), "prefix tag set")?),
            }
            if set.len() > SET_TAGS_MAX {
                return Err(DecodeError::Content(format!("a set of over {SET_TAGS_MAX} tags")));
            }
        }
        sets.push(set);
    }
    Ok(sets)
}

fn resource_sets(
    columns: &Columns,
    strings: &[String],
) -> Result<Vec<Vec<(String, String)>>, DecodeError> {
    let mut types = columns.resource_types.iter();
    let mut names = columns.resource_names.iter();
    let sets = columns.resource_set_lengths.iter().map(|&length| {
        // The differences start anew in each set.
        let (mut kind, mut name) = (0, 0);
        let set = (0..length).map(|_| {
            kind = add(kind, *types.next().ok_or_else(|| ends("resource types"))?)?;
            name = add(name, *names.next().ok_or_else(|| ends("resource names"))?)?;
            Ok((entry(strings, kind, "resource type")?, entry(strings, name, "resource name")?))
        });
        set.collect::<Result<Vec<_>, DecodeError>>()
    });
    sets.collect()
}

fn origins(column: &[i32]) -> Result<Vec<Origin>, DecodeError> {
    let number = |value: i32| {
        u32::try_from(value).map_err(|_| DecodeError::Content(format!("origin number {value}")))
    };
    let entries = column.chunks(3).map(|entry| match entry {
        &[product, category, service] => Ok(Origin {
            product: number(product)?,
            category: number(category)?,
            service: number(service)?,
        }),
        _ => Err(ends("origins")),
    });
    entries.collect()
}

/// Splits host and device off the resources: the first of each type, as in the v2 form.
fn lift(resources: Vec<(String, String)>) -> (String, String, Vec<(String, String)>) {
    let (mut host, mut device, mut others) = (String::new(), String::new(), Vec::new());
    for (kind, name) in resources {
        match kind.as_str() {
            "host" if host.is_empty() => host = name,
            "device" if device.is_empty() => device = name,
            _ => others.push((kind, name)),
        }
    }
    (host, device, others)
}
