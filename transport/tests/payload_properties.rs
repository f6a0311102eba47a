//! What holds for all series, sketches, limits and compressors: nothing is lost or doubled in
//! silence, no limit is broken, and a reader gets back what went in.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail like the test")]

mod payload;

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Bin, Origin, OwnTags, Point, SeriesKind, SketchPoint, SketchSeries, Summary, Tags,
};
use lastdrop_transport::payload::{
    Columns, Compression, Lost, Payload, PayloadKind, PayloadLimits, PayloadSettings,
    SeriesBuilder, SeriesFormat, SketchesBuilder,
};
use payload::input::OwnedSeries;
use payload::reader::{DogsketchMessage, OriginMessage, SeriesMessage, SketchMessage};
use payload::{columns, decompress, reader};
use proptest::prelude::*;
use serde_json::Value;

const FORMATS: [SeriesFormat; 3] = [SeriesFormat::V1, SeriesFormat::V2, SeriesFormat::V3];

fn compressions() -> impl Strategy<Value = Compression> {
    prop_oneof![
        (-5..=4).prop_map(|level| Compression::Zstd { level }),
        Just(Compression::Zlib),
        Just(Compression::Gzip),
        Just(Compression::None),
    ]
}

/// Limits so small that a handful of series breaks them.
fn limits() -> impl Strategy<Value = PayloadLimits> {
    (100usize..6000, 100usize..20_000, 1u64..60).prop_map(
        |(compressed_bytes_max, uncompressed_bytes_max, points_max)| PayloadLimits {
            compressed_bytes_max,
            uncompressed_bytes_max,
            points_max,
        },
    )
}

fn settings() -> impl Strategy<Value = PayloadSettings> {
    (compressions(), limits(), limits()).prop_map(|(compression, series, other)| PayloadSettings {
        compression,
        series,
        other,
    })
}

/// Texts that recur, texts that don't compress, and texts that want escapes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,3}",
        2 => any::<String>(),
        1 => proptest::collection::vec(any::<char>(), 0..400).prop_map(String::from_iter),
    ]
}

fn tag() -> impl Strategy<Value = Tag> {
    let text = prop_oneof![
        8 => text(),
        1 => text().prop_map(|rest| format!("device:{rest}")),
        1 => text().prop_map(|rest| format!("dd.internal.resource:{rest}")),
        1 => (text(), text()).prop_map(|(a, b)| format!("dd.internal.resource:{a}:{b}")),
    ];
    text.prop_map(|text| Tag::from(text.as_str()))
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        (-100i32..100).prop_map(f64::from),
        any::<i64>().prop_map(|value| value as f64),
        (-(1i64 << 49)..1 << 49).prop_map(|value| value as f64),
        any::<f32>().prop_map(f64::from),
        any::<f64>(),
    ]
}

fn second() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_756_737_000i64..1_756_738_000, 1 => any::<i64>()]
}

fn origin() -> impl Strategy<Value = Origin> {
    (0u32..11, 0u32..40, prop_oneof![Just(0u32), 472u32..475])
        .prop_map(|(product, category, service)| Origin { product, category, service })
}

prop_compose! {
    fn series()(
        name in text(),
        host in text(),
        global in proptest::collection::vec(tag(), 0..4),
        own in proptest::collection::vec(tag(), 0..6),
        kind in prop_oneof![
            Just(SeriesKind::Count), Just(SeriesKind::Rate), Just(SeriesKind::Gauge)
        ],
        points in proptest::collection::vec((second(), value()), 1..8),
        interval_s in prop_oneof![Just(0u64), Just(10), 0..=i64::MAX as u64],
        (unit, source_type_name, no_index) in (text(), text(), any::<bool>()),
        origin in origin(),
    ) -> OwnedSeries {
        let points = points.into_iter().map(|(second, value)| Point { second, value }).collect();
        OwnedSeries {
            name, host, global, own, kind, points, interval_s, unit, source_type_name, no_index,
            origin,
        }
    }
}

/// What a reader should find of a series, after the rules and not after the writer; nothing if all
/// of it is left out.
fn expected(series: &OwnedSeries, format: SeriesFormat) -> Option<SeriesMessage> {
    let mut resources = vec![("host".to_owned(), series.host.clone())];
    let (mut device, mut lifted, mut tags) = (String::new(), Vec::new(), Vec::new());
    for tag in series.global.iter().chain(&series.own).map(Tag::as_str) {
        if let Some(rest) = tag.strip_prefix("device:") {
            device = rest.to_owned();
        } else if let Some(rest) = tag.strip_prefix("dd.internal.resource:") {
            if let Some((kind, name)) = rest.split_once(':')
                && !kind.is_empty()
                && !name.is_empty()
            {
                lifted.push((kind.to_owned(), name.to_owned()));
            }
        } else {
            tags.push(tag.to_owned());
        }
    }
    if !device.is_empty() {
        resources.push(("device".to_owned(), device));
    }
    if format != SeriesFormat::V1 {
        resources.append(&mut lifted);
    }
    let finite = series.points.iter().filter(|point| point.value.is_finite());
    let points: Vec<_> = finite.map(|point| (point.second, point.value)).collect();
    if points.is_empty() || (format == SeriesFormat::V1 && series.no_index) {
        return None;
    }
    let Origin { product, category, service } = series.origin;
    let metric_type = if series.no_index { 9 } else { 0 };
    let origin = [metric_type, product.into(), category.into(), service.into()];
    let mut message = SeriesMessage {
        resources,
        metric: series.name.clone(),
        tags,
        points,
        kind: series.kind as u64,
        unit: series.unit.clone(),
        source_type_name: series.source_type_name.clone(),
        interval: i64::try_from(series.interval_s).unwrap(),
        metadata: Some(Some(OriginMessage(origin))),
    };
    match format {
        SeriesFormat::V1 => {
            message.unit.clear();
            message.metadata = None;
        }
        SeriesFormat::V2 => {}
        SeriesFormat::V3 => {
            message.tags.sort();
            message.resources.retain(|(kind, name)| kind != "host" || !name.is_empty());
        }
    }
    Some(message)
}

/// Reads a payload of series of any format.
fn read_series(payload: &Payload) -> Vec<SeriesMessage> {
    let body = decompress(payload);
    match payload.kind {
        PayloadKind::SeriesV1 => {
            let read: Value = serde_json::from_slice(&body).unwrap();
            read["series"].as_array().unwrap().iter().map(json_series).collect()
        }
        PayloadKind::SeriesV2 => reader::series(&body),
        PayloadKind::SeriesV3 => {
            let mut read = columns::series(&body);
            read.iter_mut().for_each(|series| series.tags.sort());
            read
        }
        other => panic!("no series in {other:?}"),
    }
}

fn json_series(read: &Value) -> SeriesMessage {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut resources = vec![("host".to_owned(), text(&read["host"]))];
    if !read["device"].is_null() {
        resources.push(("device".to_owned(), text(&read["device"])));
    }
    let point = |point: &Value| (point[0].as_i64().unwrap(), point[1].as_f64().unwrap());
    SeriesMessage {
        resources,
        metric: text(&read["metric"]),
        tags: read["tags"].as_array().unwrap().iter().map(text).collect(),
        points: read["points"].as_array().unwrap().iter().map(point).collect(),
        kind: ["", "count", "rate", "gauge"].iter().position(|kind| read["type"] == *kind).unwrap()
            as u64,
        unit: String::new(),
        source_type_name: read["source_type_name"].as_str().unwrap_or_default().to_owned(),
        interval: read["interval"].as_i64().unwrap(),
        metadata: None,
    }
}

/// Pushes all series and takes all payloads, with what each push said to be lost.
fn split(builder: &mut SeriesBuilder, all: &[OwnedSeries]) -> (Vec<Payload>, Vec<Lost>) {
    let (mut payloads, mut lost) = (Vec::new(), Vec::new());
    for series in all {
        lost.push(builder.push(&series.borrowed()));
        payloads.extend(builder.take_full());
        assert_eq!(builder.take_full(), None, "one push fills one payload at most");
    }
    payloads.extend(std::iter::from_fn(|| builder.finish()));
    (payloads, lost)
}

/// The uncompressed size of the payload that would hold this series alone.
fn bytes_alone(series: &OwnedSeries, format: SeriesFormat) -> usize {
    let (payloads, _) =
        split(&mut SeriesBuilder::new(format, &ENDLESS), std::slice::from_ref(series));
    payloads[0].body.len()
}

const ENDLESS: PayloadSettings = {
    let endless = PayloadLimits {
        compressed_bytes_max: usize::MAX,
        uncompressed_bytes_max: usize::MAX,
        points_max: u64::MAX,
    };
    PayloadSettings { compression: Compression::None, series: endless, other: endless }
};

fn assert_within(payload: &Payload, limits: &PayloadLimits) {
    assert!(payload.body.len() <= limits.compressed_bytes_max, "{payload:?}");
    assert!(payload.uncompressed_bytes <= limits.uncompressed_bytes_max as u64);
    assert!(payload.points <= limits.points_max);
    assert!(payload.items > 0);
}

fn check_series(all: &[OwnedSeries], format: SeriesFormat, settings: &PayloadSettings) {
    let format = match (format, settings.compression) {
        (SeriesFormat::V3, Compression::Zlib) => SeriesFormat::V2,
        _ => format,
    };
    let limits = match format {
        SeriesFormat::V1 => PayloadLimits { points_max: u64::MAX, ..settings.other },
        SeriesFormat::V2 | SeriesFormat::V3 => settings.series,
    };
    let settings = PayloadSettings { series: limits, other: limits, ..*settings };
    let mut builder = SeriesBuilder::new(format, &settings);
    let (payloads, lost) = split(&mut builder, all);

    let mut wanted = Vec::new();
    for (series, lost) in all.iter().zip(&lost) {
        let expected = expected(series, format);
        let finite = expected.as_ref().map_or(0, |series| series.points.len() as u64);
        if lost.too_large > 0 {
            assert_eq!(lost.too_large, finite);
            let alone = bytes_alone(series, format);
            let fits = alone <= limits.uncompressed_bytes_max.min(limits.compressed_bytes_max)
                && finite <= limits.points_max;
            assert!(!fits || settings.compression != Compression::None, "dropped for nothing");
        } else {
            assert_eq!(series.points.len() as u64, finite + lost.total());
            wanted.extend(expected);
        }
    }

    let mut got = Vec::new();
    for payload in &payloads {
        assert_within(payload, &limits);
        let read = read_series(payload);
        assert_eq!(payload.items, read.len() as u64);
        assert_eq!(
            payload.points,
            read.iter().map(|series| series.points.len() as u64).sum::<u64>()
        );
        got.extend(read);
    }
    assert_eq!(got, wanted);
    assert_eq!(split(&mut builder, all), (payloads, lost), "a finished builder is as good as new");
}

/// One distribution with its points: second, summary, bins.
#[derive(Clone, Debug)]
struct OwnedSketches {
    name: String,
    host: String,
    tags: Vec<Tag>,
    points: Vec<(i64, Summary, Vec<Bin>)>,
    origin: Origin,
    no_index: bool,
}

prop_compose! {
    fn summary()(
        // As counts of an intake's readers go, and beyond.
        count in prop_oneof![0u64..1000, 0..=i64::MAX as u64],
        (min, max, avg, sum) in (value(), value(), value(), value()),
    ) -> Summary {
        Summary { count, min, max, avg, sum }
    }
}

prop_compose! {
    fn sketches()(
        name in text(),
        host in text(),
        tags in proptest::collection::vec(tag(), 0..4),
        points in proptest::collection::vec(
            (
                second(),
                summary(),
                proptest::collection::vec(
                    (any::<i16>(), any::<u16>()).prop_map(|(key, count)| Bin { key, count }),
                    0..40,
                ),
            ),
            1..4,
        ),
        origin in origin(),
        no_index in any::<bool>(),
    ) -> OwnedSketches {
        OwnedSketches { name, host, tags, points, origin, no_index }
    }
}

impl OwnedSketches {
    /// Calls `with` with the distribution; its tags stand in two parts.
    fn borrowed<R>(&self, with: impl FnOnce(&SketchSeries<'_>) -> R) -> R {
        let points: Vec<SketchPoint<'_>> = self
            .points
            .iter()
            .map(|(second, summary, bins)| SketchPoint { second: *second, summary: *summary, bins })
            .collect();
        let (global, own) = self.tags.split_at(self.tags.len() / 2);
        with(&SketchSeries {
            name: &self.name,
            host: &self.host,
            tags: Tags { own: OwnTags::List(own), global },
            points: &points,
            no_index: self.no_index,
            origin: self.origin,
        })
    }

    /// What a reader should find, and how many points are not finite.
    fn expected(&self) -> (Option<SketchMessage>, u64) {
        let finite = |(_, summary, _): &&(i64, Summary, Vec<Bin>)| {
            let Summary { min, max, avg, sum, .. } = summary;
            min.is_finite() && max.is_finite() && avg.is_finite() && sum.is_finite()
        };
        let points: Vec<_> = self
            .points
            .iter()
            .filter(finite)
            .filter(|(_, _, bins)| !bins.is_empty())
            .map(|(second, summary, bins)| DogsketchMessage {
                second: *second,
                count: i64::try_from(summary.count).unwrap(),
                summary: [summary.min, summary.max, summary.avg, summary.sum],
                keys: bins.iter().map(|bin| bin.key.into()).collect(),
                counts: bins.iter().map(|bin| bin.count.into()).collect(),
            })
            .collect();
        let not_finite = self.points.len() - self.points.iter().filter(finite).count();
        if points.is_empty() {
            return (None, not_finite as u64);
        }
        let Origin { product, category, service } = self.origin;
        let metric_type = if self.no_index { 9 } else { 0 };
        let origin = [metric_type, product.into(), category.into(), service.into()];
        let message = SketchMessage {
            metric: self.name.clone(),
            host: self.host.clone(),
            tags: self.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            points,
            metadata: Some(Some(OriginMessage(origin))),
        };
        (Some(message), not_finite as u64)
    }
}

fn check_sketches(all: &[OwnedSketches], settings: &PayloadSettings) {
    let limits = PayloadLimits { points_max: u64::MAX, ..settings.other };
    let settings = PayloadSettings { other: limits, ..*settings };
    let mut builder = SketchesBuilder::new(&settings);
    let (mut payloads, mut wanted) = (Vec::new(), Vec::new());
    for sketches in all {
        let lost = sketches.borrowed(|sketches| builder.push(sketches));
        payloads.extend(builder.take_full());
        let (expected, not_finite) = sketches.expected();
        assert_eq!(lost.not_finite, not_finite);
        if lost.too_large == 0 {
            wanted.extend(expected);
        } else {
            assert_eq!(lost.too_large, expected.unwrap().points.len() as u64);
        }
    }
    payloads.extend(std::iter::from_fn(|| builder.finish()));

    let mut got = Vec::new();
    for payload in &payloads {
        assert_within(payload, &limits);
        let read = reader::sketches(&decompress(payload));
        assert!(read.has_metadata);
        assert_eq!(payload.items, read.sketches.len() as u64);
        let points = read.sketches.iter().map(|sketch| sketch.points.len() as u64);
        assert_eq!(payload.points, points.sum::<u64>());
        got.extend(read.sketches);
    }
    assert_eq!(got, wanted);
}

fn check_sketch_columns(all: &[OwnedSketches]) {
    let mut message = Columns::default();
    let mut wanted = Vec::new();
    for sketches in all {
        let (Some(mut expected), _) = sketches.expected() else { continue };
        sketches.borrowed(|sketches| message.push_sketches(sketches));
        expected.tags.sort();
        expected.points.iter_mut().for_each(|point| point.summary[2] = 0.0);
        wanted.push(expected);
    }
    let mut body = Vec::new();
    message.write(&mut body);
    assert_eq!(body.len(), message.encoded_bytes());
    let mut got = columns::sketches(&body);
    got.iter_mut().for_each(|sketch| sketch.tags.sort());
    assert_eq!(got, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// For all series, formats, compressors and limits: no payload breaks a limit, every series is
    /// in exactly one payload, whole and in order, or is said to be lost, and of what was pushed
    /// nothing is missing.
    #[test]
    fn series_come_back_once_and_within_the_limits(
        all in proptest::collection::vec(series(), 0..50),
        settings in settings(),
        format in proptest::sample::select(&FORMATS[..]),
    ) {
        check_series(&all, format, &settings);
    }

    /// The same for sketches.
    #[test]
    fn sketches_come_back_once_and_within_the_limits(
        all in proptest::collection::vec(sketches(), 0..40),
        settings in settings(),
    ) {
        check_sketches(&all, &settings);
    }

    /// For all sketches: the columnar form says what the other one does, but for the mean.
    #[test]
    fn sketches_come_back_from_columns(all in proptest::collection::vec(sketches(), 0..40)) {
        check_sketch_columns(&all);
    }
}

/// For all formats and compressors at their default limits, with tags that compress well and with
/// tags that don't: a large flush breaks no limit, and every payload but the last is full.
#[test]
fn a_large_flush_makes_full_payloads_at_the_default_limits() {
    for noisy_tags in [1, 12] {
        let all: Vec<OwnedSeries> = (0..12_000).map(|at| context(at, noisy_tags)).collect();
        for format in FORMATS {
            // gzip is zlib in another wrapper.
            for compression in [Compression::default(), Compression::Zlib, Compression::None] {
                let settings = PayloadSettings { compression, ..Default::default() };
                let (payloads, lost) = split(&mut SeriesBuilder::new(format, &settings), &all);
                assert!(lost.iter().all(|&lost| lost == Lost::NONE));
                let series = payloads.iter().map(|payload| payload.items).sum::<u64>();
                assert_eq!(series, all.len() as u64);
                let (_, full) = payloads.split_last().unwrap();
                for payload in full {
                    assert!(fullness(payload, &settings) > 0.9, "{payload:?}");
                }
            }
        }
    }
}

/// How near a payload came to the nearest of its limits.
fn fullness(payload: &Payload, settings: &PayloadSettings) -> f64 {
    let limits = match payload.kind {
        PayloadKind::SeriesV1 => settings.other,
        _ => settings.series,
    };
    assert_within(payload, &limits);
    let plain = decompress(payload).len() as f64;
    let compressed = match payload.kind {
        // Columns are compressed last, so their plain size has to do.
        PayloadKind::SeriesV3 => plain,
        _ => payload.body.len() as f64,
    };
    (payload.points as f64 / limits.points_max as f64)
        .max(plain / limits.uncompressed_bytes_max as f64)
        .max(compressed / limits.compressed_bytes_max as f64)
}

/// A context as they come: few names, tags that recur, and some that don't.
fn context(at: u64, noisy_tags: u64) -> OwnedSeries {
    let tag = |text: String| Tag::from(text.as_str());
    let noise = |salt: u64| (at * 16 + salt + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noisy = (0..noisy_tags).map(|salt| tag(format!("id{salt}:{:016x}", noise(salt))));
    OwnedSeries {
        name: format!("app.request.duration.{}", at % 50),
        host: "web-1".to_owned(),
        global: vec![tag("env:prod".to_owned()), tag("region:eu-west-1".to_owned())],
        own: noisy.chain([tag(format!("status:{}", at % 7))]).collect(),
        kind: SeriesKind::Gauge,
        points: vec![Point { second: 1_756_737_050, value: (noise(0) % 1000) as f64 / 8.0 }],
        interval_s: 10,
        unit: String::new(),
        source_type_name: String::new(),
        origin: Origin::DOGSTATSD,
        no_index: false,
    }
}
