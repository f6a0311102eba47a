//! A reader of the columnar form that shares nothing with the writer: expands every column to plain
//! lists first, then deals them out to the series. Entries left over are an error.

use std::collections::HashMap;
use std::vec::IntoIter;

use super::reader::{
    DogsketchMessage, OriginMessage, SeriesMessage, SketchMessage, columns, packed, take_varint,
    unzigzag,
};

/// The columns, dictionaries resolved, ready to be dealt out from the front.
struct Deal {
    kinds: IntoIter<u64>,
    names: IntoIter<String>,
    tagsets: IntoIter<Vec<String>>,
    resource_sets: IntoIter<Vec<(String, String)>>,
    intervals: IntoIter<u64>,
    point_counts: IntoIter<u64>,
    seconds: IntoIter<i64>,
    integers: IntoIter<i64>,
    floats: IntoIter<f32>,
    doubles: IntoIter<f64>,
    bin_counts: IntoIter<u64>,
    bin_keys: IntoIter<i64>,
    bin_sizes: IntoIter<u64>,
    source_types: IntoIter<String>,
    origins: IntoIter<OriginMessage>,
    units: IntoIter<String>,
}

/// Reads series.
pub(crate) fn series(body: &[u8]) -> Vec<SeriesMessage> {
    let mut deal = Deal::read(body);
    let mut all = Vec::new();
    while let Some(kind) = deal.kinds.next() {
        let count = deal.point_counts.next().unwrap();
        all.push(SeriesMessage {
            resources: deal.resource_sets.next().unwrap(),
            metric: deal.names.next().unwrap(),
            tags: deal.tagsets.next().unwrap(),
            points: (0..count).map(|_| (deal.seconds.next().unwrap(), deal.value(kind))).collect(),
            kind: kind & 0xf,
            unit: if kind & 0x200 == 0 { String::new() } else { deal.units.next().unwrap() },
            source_type_name: deal.source_types.next().unwrap(),
            interval: i64::try_from(deal.intervals.next().unwrap()).unwrap(),
            metadata: Some(Some(deal.origin(kind))),
        });
    }
    deal.finish();
    all
}

/// Reads sketches; their mean, which isn't sent, is left 0.
pub(crate) fn sketches(body: &[u8]) -> Vec<SketchMessage> {
    let mut deal = Deal::read(body);
    let mut all = Vec::new();
    while let Some(kind) = deal.kinds.next() {
        assert_eq!(kind & 0xf, 4, "a sketch");
        assert_eq!(deal.intervals.next(), Some(0));
        assert_eq!(deal.source_types.next().as_deref(), Some(""));
        let resources = deal.resource_sets.next().unwrap();
        assert!(resources.iter().all(|(kind, _)| kind == "host"), "a host and no more");
        let count = deal.point_counts.next().unwrap();
        all.push(SketchMessage {
            metric: deal.names.next().unwrap(),
            host: resources.into_iter().next().map_or_else(String::new, |(_, name)| name),
            tags: deal.tagsets.next().unwrap(),
            points: (0..count).map(|_| deal.dogsketch(kind)).collect(),
            metadata: Some(Some(deal.origin(kind))),
        });
    }
    deal.finish();
    all
}

impl Deal {
    fn read(body: &[u8]) -> Self {
        let message = columns(body);
        let data = match message.as_slice() {
            [] => &[][..],
            [(3, data)] => data,
            other => panic!("fields {other:?}"),
        };
        let by_number: HashMap<u64, &[u8]> = columns(data).into_iter().collect();
        assert!(by_number.values().all(|column| !column.is_empty()), "empty columns are absent");
        let column = |number: u64| by_number.get(&number).copied().unwrap_or_default();
        let signed = |number| packed(column(number)).into_iter().map(unzigzag).collect::<Vec<_>>();
        let summed = |number| running_sums(signed(number));

        let tagsets = tagsets(&signed(3), &strings(column(2)));
        let resource_sets =
            resource_sets(&packed(column(5)), &signed(6), &signed(7), &strings(column(4)));
        let origins = origins(&packed(column(9)));
        let bin_counts = packed(column(20));
        Self {
            kinds: packed(column(10)).into_iter(),
            names: looked_up(&summed(11), &strings(column(1))),
            tagsets: looked_up(&summed(12), &tagsets),
            resource_sets: looked_up(&summed(13), &resource_sets),
            intervals: packed(column(14)).into_iter(),
            point_counts: packed(column(15)).into_iter(),
            seconds: summed(16).into_iter(),
            integers: signed(17).into_iter(),
            floats: fixed(column(18), f32::from_le_bytes),
            doubles: fixed(column(19), f64::from_le_bytes),
            bin_keys: running_sums_in_runs(&signed(21), &bin_counts),
            bin_counts: bin_counts.into_iter(),
            bin_sizes: packed(column(22)).into_iter(),
            source_types: looked_up(&summed(23), &strings(column(8))),
            origins: looked_up(&summed(24), &origins),
            units: looked_up(&summed(26), &strings(column(25))),
        }
    }

    fn value(&mut self, kind: u64) -> f64 {
        match kind & 0xf0 {
            0x00 => 0.0,
            0x10 => self.integers.next().unwrap() as f64,
            0x20 => f64::from(self.floats.next().unwrap()),
            0x30 => self.doubles.next().unwrap(),
            other => panic!("numbers of kind {other:#x}"),
        }
    }

    fn origin(&mut self, kind: u64) -> OriginMessage {
        let mut origin = self.origins.next().unwrap();
        origin.0[0] = if kind & 0x100 == 0 { 0 } else { 9 };
        origin
    }

    fn dogsketch(&mut self, kind: u64) -> DogsketchMessage {
        let second = self.seconds.next().unwrap();
        let [sum, min, max] = [(); 3].map(|()| self.value(kind));
        let count = self.integers.next().unwrap();
        let bins = usize::try_from(self.bin_counts.next().unwrap()).unwrap();
        let keys: Vec<i64> = self.bin_keys.by_ref().take(bins).collect();
        let counts: Vec<u64> = self.bin_sizes.by_ref().take(bins).collect();
        assert_eq!((keys.len(), counts.len()), (bins, bins));
        DogsketchMessage { second, count, summary: [min, max, 0.0, sum], keys, counts }
    }

    fn finish(&self) {
        let left = [
            self.names.len(),
            self.tagsets.len(),
            self.resource_sets.len(),
            self.intervals.len(),
            self.point_counts.len(),
            self.seconds.len(),
            self.integers.len(),
            self.floats.len(),
            self.doubles.len(),
            self.bin_counts.len(),
            self.bin_keys.len(),
            self.bin_sizes.len(),
            self.source_types.len(),
            self.origins.len(),
            self.units.len(),
        ];
        assert_eq!(left, [0; 15], "entries are left over");
    }
}

fn strings(mut column: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !column.is_empty() {
        let length = usize::try_from(take_varint(&mut column)).unwrap();
        let (head, rest) = column.split_at(length);
        all.push(String::from_utf8(head.to_vec()).unwrap());
        column = rest;
    }
    all
}

/// What each reference stands for: 0 for nothing, else an entry counted from 1.
fn looked_up<T: Clone + Default>(references: &[i64], entries: &[T]) -> IntoIter<T> {
    let all: Vec<T> = references
        .iter()
        .map(|&reference| match usize::try_from(reference).unwrap() {
            0 => T::default(),
            number => entries[number - 1].clone(),
        })
        .collect();
    all.into_iter()
}

fn running_sums(mut deltas: Vec<i64>) -> Vec<i64> {
    let mut sum = 0i64;
    for value in &mut deltas {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
    deltas
}

/// Sums that start afresh after each of the counts.
fn running_sums_in_runs(deltas: &[i64], counts: &[u64]) -> IntoIter<i64> {
    let mut rest = deltas;
    let mut all = Vec::new();
    for &count in counts {
        let (run, behind) = rest.split_at(usize::try_from(count).unwrap());
        all.extend(running_sums(run.to_vec()));
        rest = behind;
    }
    assert!(rest.is_empty());
    all.into_iter()
}

fn tagsets(column: &[i64], strings: &[String]) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    let mut rest = column;
    while let Some((&length, behind)) = rest.split_first() {
        let (deltas, behind) = behind.split_at(usize::try_from(length).unwrap());
        rest = behind;
        let mut set = Vec::new();
        for number in running_sums(deltas.to_vec()) {
            let index = usize::try_from(number.unsigned_abs()).unwrap() - 1;
            if number < 0 {
                set.extend(sets[index].iter().cloned());
            } else {
                set.push(strings[index].clone());
            }
        }
        sets.push(set);
    }
    sets
}

fn resource_sets(
    lengths: &[u64],
    types: &[i64],
    names: &[i64],
    strings: &[String],
) -> Vec<Vec<(String, String)>> {
    let types = running_sums_in_runs(types, lengths);
    let names = running_sums_in_runs(names, lengths);
    let text = |number: i64| strings[usize::try_from(number).unwrap() - 1].clone();
    let mut pairs = types.zip(names).map(|(kind, name)| (text(kind), text(name)));
    lengths
        .iter()
        .map(|&length| pairs.by_ref().take(usize::try_from(length).unwrap()).collect())
        .collect()
}

fn origins(column: &[u64]) -> Vec<OriginMessage> {
    let triples = column.chunks_exact(3);
    assert!(triples.remainder().is_empty());
    triples.map(|triple| OriginMessage([0, triple[0], triple[1], triple[2]])).collect()
}

fn fixed<const N: usize, T>(column: &[u8], value: fn([u8; N]) -> T) -> IntoIter<T> {
    let (entries, rest) = column.as_chunks::<N>();
    assert!(rest.is_empty());
    entries.iter().map(|&entry| value(entry)).collect::<Vec<_>>().into_iter()
}
