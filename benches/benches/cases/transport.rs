//! From series to the wire, and what comes back: encode, compress, read an answer.

use std::hint::black_box;

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Bin, Origin, OwnTags, Point, Series, SeriesKind, SketchPoint, SketchSeries, Summary, Tags,
};
use lastdrop_transport::http::{BodySink, Purpose, ResponseLimits, ResponseReader};
use lastdrop_transport::payload::{
    Compression, PayloadSettings, SeriesBuilder, SeriesFormat, SketchesBuilder,
};

use super::Case;

/// Series of a run.
const SERIES: usize = 2_000;

pub(super) fn cases() -> Vec<Case> {
    let zstd = Compression::default();
    vec![
        series("encode/series-v1", SeriesFormat::V1, Compression::None),
        series("encode/series-v2", SeriesFormat::V2, Compression::None),
        series("encode/series-v3", SeriesFormat::V3, Compression::None),
        sketches("encode/sketches", Compression::None),
        series("compress/series-v2-zstd", SeriesFormat::V2, zstd),
        series("compress/series-v2-zlib", SeriesFormat::V2, Compression::Zlib),
        series("compress/series-v3-zstd", SeriesFormat::V3, zstd),
        answer("http/accepted", ACCEPTED),
        answer("http/chunked", CHUNKED),
    ]
}

/// What the merge has of each context.
struct Contexts(Vec<(String, Vec<Tag>)>);

impl Contexts {
    fn new() -> Self {
        let context = |number: usize| {
            let tags = [
                format!("customer:{number:07}"),
                "env:production".to_owned(),
                "service:checkout".to_owned(),
            ];
            let tags = tags.iter().map(|tag| Tag::from(tag.as_str())).collect();
            (format!("shop.requests.{:03}", number % 200), tags)
        };
        Self((0..SERIES).map(context).collect())
    }
}

fn series(name: &'static str, format: SeriesFormat, compression: Compression) -> Case {
    let settings = PayloadSettings { compression, ..PayloadSettings::default() };
    let make = move || (Contexts::new(), SeriesBuilder::new(format, &settings));
    Case::fresh(name, SERIES, make, |(contexts, builder)| {
        for (number, (name, tags)) in contexts.0.iter().enumerate() {
            let lost = builder.push(&Series {
                name,
                host: "",
                tags: Tags { own: OwnTags::List(tags), global: &[] },
                kind: SeriesKind::Rate,
                points: &[Point { second: 1_000, value: value(number) }],
                interval_s: Series::INTERVAL_S,
                unit: "",
                source_type_name: "",
                no_index: false,
                origin: Origin::DOGSTATSD,
            });
            debug_assert_eq!(lost.total(), 0);
            while let Some(payload) = builder.take_full() {
                black_box(payload);
            }
        }
        black_box(builder.finish());
    })
}

fn sketches(name: &'static str, compression: Compression) -> Case {
    let settings = PayloadSettings { compression, ..PayloadSettings::default() };
    let make = move || (Contexts::new(), SketchesBuilder::new(&settings));
    Case::fresh(name, SERIES, make, |(contexts, builder)| {
        let bins: Vec<_> = (1_300..1_320).map(|key| Bin { key, count: 3 }).collect();
        for (number, (name, tags)) in contexts.0.iter().enumerate() {
            let value = value(number);
            let summary = Summary { count: 60, min: 1.0, max: value, avg: value, sum: value };
            let lost = builder.push(&SketchSeries {
                name,
                host: "",
                tags: Tags { own: OwnTags::List(tags), global: &[] },
                points: &[SketchPoint { second: 1_000, summary, bins: &bins }],
                no_index: false,
                origin: Origin::DOGSTATSD,
            });
            debug_assert_eq!(lost.total(), 0);
            while let Some(payload) = builder.take_full() {
                black_box(payload);
            }
        }
        black_box(builder.finish());
    })
}

fn value(number: usize) -> f64 {
    f64::from(u32::try_from(number * 7_919 % 1_000).unwrap_or(0)) / 10.0
}

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\n\
    content-type: application/json\r\n\
    date: Fri, 27 Nov 2026 10:00:00 GMT\r\n\
    x-content-type-options: nosniff\r\n\
    strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
    content-length: 15\r\n\r\n{\"status\":\"ok\"}";

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: application/json\r\n\
    transfer-encoding: chunked\r\n\r\n\
    8\r\n{\"status\r\n7\r\n\":\"ok\"}\r\n0\r\n\r\n";

fn answer(name: &'static str, bytes: &'static [u8]) -> Case {
    const ANSWERS: usize = 200;
    Case::repeated(
        name,
        ANSWERS,
        move || bytes,
        |bytes| {
            for _ in 0..ANSWERS {
                let limits = ResponseLimits::default();
                let mut reader = ResponseReader::new(Purpose::Exchange, limits);
                let mut sink = BodySink::keeping(1_024);
                let read = reader.read(black_box(bytes), &mut sink);
                assert!(read.is_ok() && reader.response().is_some(), "the answer is whole");
            }
        },
    )
}
