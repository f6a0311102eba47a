//! Payloads: that an independent reader gets back what went in, and that cutting into payloads loses
//! nothing, doubles nothing and breaks no limit.

use arbitrary::{Result, Unstructured};
use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Bin, CheckStatus, Event, Origin, OwnTags, Point, Series, SeriesKind, ServiceCheck, SketchPoint,
    SketchSeries, Summary, Tags,
};
use lastdrop_transport::payload::{
    Compression, EventsBuilder, Lost, Payload, PayloadLimits, PayloadSettings, SeriesBuilder,
    SeriesFormat, ServiceChecksBuilder, SketchesBuilder,
};

use crate::decode::{self, DogsketchMessage, OriginMessage, SeriesMessage, SketchMessage};

/// For all series, sketches, events, service checks and compressors, at the intake's limits: a
/// reader that shares no line with the writer finds each of them, whole and in order.
pub fn payload(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(compression) = compression(&mut input) else { return };
    let settings = PayloadSettings { compression, ..PayloadSettings::default() };
    let _ = all_forms(&mut input, &settings);
}

/// The same with limits so small that a handful of items breaks them: what is said to be lost is
/// too large, everything else is in exactly one payload, and no payload breaks a limit.
pub fn splitting(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(settings) = small_settings(&mut input) else { return };
    let _ = all_forms(&mut input, &settings);
}

fn all_forms(input: &mut Unstructured<'_>, settings: &PayloadSettings) -> Result<()> {
    match input.int_in_range(0..=5)? {
        0 => check_series(&list(input, series)?, SeriesFormat::V1, settings),
        1 => check_series(&list(input, series)?, SeriesFormat::V2, settings),
        2 => check_series(&list(input, series)?, SeriesFormat::V3, settings),
        3 => check_sketches(&list(input, sketches)?, settings),
        4 => check_events(&list(input, event)?, settings),
        _ => check_service_checks(&list(input, service_check)?, settings),
    }
    Ok(())
}

fn small_settings(input: &mut Unstructured<'_>) -> Result<PayloadSettings> {
    let mut limits = || -> Result<PayloadLimits> {
        Ok(PayloadLimits {
            compressed_bytes_max: input.int_in_range(60..=4000)?,
            uncompressed_bytes_max: input.int_in_range(60..=8000)?,
            points_max: input.int_in_range(1..=40)?,
        })
    };
    let (series, other) = (limits()?, limits()?);
    Ok(PayloadSettings { compression: compression(input)?, series, other })
}

fn compression(input: &mut Unstructured<'_>) -> Result<Compression> {
    Ok(match input.int_in_range(0..=3)? {
        0 => Compression::None,
        1 => Compression::Zlib,
        2 => Compression::Gzip,
        _ => Compression::Zstd { level: input.int_in_range(-3..=3)? },
    })
}

/// As many items as the input holds, up to 40.
fn list<T>(
    input: &mut Unstructured<'_>,
    one: fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while items.len() < 40 && !input.is_empty() {
        items.push(one(input)?);
    }
    Ok(items)
}

/// A series that owns what [`Series`] borrows.
struct OwnedSeries {
    name: String,
    host: String,
    global: Vec<Tag>,
    own: Vec<Tag>,
    kind: SeriesKind,
    points: Vec<Point>,
    interval_s: u64,
    unit: String,
    source_type_name: String,
    no_index: bool,
    origin: Origin,
}

fn series(input: &mut Unstructured<'_>) -> Result<OwnedSeries> {
    let mut points = Vec::new();
    for _ in 0..input.int_in_range(1..=5)? {
        points.push(Point { second: second(input)?, value: value(input)? });
    }
    Ok(OwnedSeries {
        name: text(input)?,
        host: text(input)?,
        global: tags(input)?,
        own: tags(input)?,
        kind: *input.choose(&[SeriesKind::Count, SeriesKind::Rate, SeriesKind::Gauge])?,
        points,
        interval_s: u64::from(input.arbitrary::<u32>()?),
        unit: text(input)?,
        source_type_name: text(input)?,
        no_index: input.ratio(1, 8)?,
        origin: origin(input)?,
    })
}

impl OwnedSeries {
    fn borrowed(&self) -> Series<'_> {
        Series {
            name: &self.name,
            host: &self.host,
            tags: Tags { own: OwnTags::List(&self.own), global: &self.global },
            kind: self.kind,
            points: &self.points,
            interval_s: self.interval_s,
            unit: &self.unit,
            source_type_name: &self.source_type_name,
            no_index: self.no_index,
            origin: self.origin,
        }
    }

    /// What a reader should find, by the rules of `docs/intake.md`; nothing if all is left out.
    fn expected(&self, format: SeriesFormat) -> Option<SeriesMessage> {
        let finite = self.points.iter().filter(|point| point.value.is_finite());
        let points: Vec<_> = finite.map(|point| (point.second, point.value)).collect();
        if points.is_empty() || format == SeriesFormat::V1 && self.no_index {
            return None;
        }
        let all = || self.global.iter().chain(&self.own).map(Tag::as_str);
        let device = all().filter_map(|tag| tag.strip_prefix("device:")).next_back();
        let named = |tag: &str| {
            let (kind, name) = tag.strip_prefix("dd.internal.resource:")?.split_once(':')?;
            (!kind.is_empty() && !name.is_empty()).then(|| (kind.to_owned(), name.to_owned()))
        };
        let mut resources = vec![("host".to_owned(), self.host.clone())];
        if let Some(device) = device.filter(|device| !device.is_empty()) {
            resources.push(("device".to_owned(), device.to_owned()));
        }
        if format != SeriesFormat::V1 {
            resources.extend(all().filter_map(named));
        }
        let stays =
            |tag: &&str| !tag.starts_with("device:") && !tag.starts_with("dd.internal.resource:");
        let mut message = SeriesMessage {
            resources,
            metric: self.name.clone(),
            tags: all().filter(stays).map(str::to_owned).collect(),
            points,
            kind: self.kind as u64,
            unit: self.unit.clone(),
            source_type_name: self.source_type_name.clone(),
            interval: i64::try_from(self.interval_s).unwrap_or(i64::MAX),
            metadata: Some(Some(metadata(self.origin, self.no_index))),
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
}

fn check_series(all: &[OwnedSeries], format: SeriesFormat, settings: &PayloadSettings) {
    let mut builder = SeriesBuilder::new(format, settings);
    // Columns are never sent as zlib: the second format takes their place.
    let format = match (format, settings.compression) {
        (SeriesFormat::V3, Compression::Zlib) => SeriesFormat::V2,
        _ => format,
    };
    let limits = if format == SeriesFormat::V1 { settings.other } else { settings.series };
    let (mut payloads, mut wanted) = (Vec::new(), Vec::new());
    for series in all {
        let lost = builder.push(&series.borrowed());
        payloads.extend(builder.take_full());
        let expected = series.expected(format);
        let points = expected.as_ref().map_or(0, |series| series.points.len() as u64);
        if lost.too_large > 0 {
            assert_eq!(lost.too_large, points);
        } else {
            assert_eq!(series.points.len() as u64, points + lost.total());
            wanted.extend(expected);
        }
    }
    payloads.extend(std::iter::from_fn(|| builder.finish()));
    let mut found = Vec::new();
    for payload in &payloads {
        let read = decode::series(payload);
        let points = read.iter().map(|series| series.points.len() as u64).sum();
        within(payload, &limits, read.len(), points);
        found.extend(read);
    }
    assert_eq!(found, wanted);
}

/// A distribution that owns what [`SketchSeries`] borrows.
struct OwnedSketches {
    name: String,
    host: String,
    tags: Vec<Tag>,
    points: Vec<(i64, Summary, Vec<Bin>)>,
    no_index: bool,
    origin: Origin,
}

fn sketches(input: &mut Unstructured<'_>) -> Result<OwnedSketches> {
    let mut points = Vec::new();
    for _ in 0..input.int_in_range(1..=3)? {
        let count = u64::from(input.arbitrary::<u32>()?);
        let (min, max) = (value(input)?, value(input)?);
        let summary = Summary { count, min, max, avg: value(input)?, sum: value(input)? };
        let mut bins = Vec::new();
        for _ in 0..input.int_in_range(0..=12)? {
            bins.push(Bin { key: input.arbitrary()?, count: input.arbitrary()? });
        }
        points.push((second(input)?, summary, bins));
    }
    Ok(OwnedSketches {
        name: text(input)?,
        host: text(input)?,
        tags: tags(input)?,
        points,
        no_index: input.ratio(1, 8)?,
        origin: origin(input)?,
    })
}

impl OwnedSketches {
    fn is_finite((_, summary, _): &&(i64, Summary, Vec<Bin>)) -> bool {
        [summary.min, summary.max, summary.avg, summary.sum].iter().all(|value| value.is_finite())
    }

    fn expected(&self) -> Option<SketchMessage> {
        let sent = self.points.iter().filter(Self::is_finite).filter(|(.., bins)| !bins.is_empty());
        let point = |(second, summary, bins): &(i64, Summary, Vec<Bin>)| DogsketchMessage {
            second: *second,
            count: i64::try_from(summary.count).unwrap_or(i64::MAX),
            summary: [summary.min, summary.max, summary.avg, summary.sum],
            keys: bins.iter().map(|bin| bin.key.into()).collect(),
            counts: bins.iter().map(|bin| bin.count.into()).collect(),
        };
        let points: Vec<_> = sent.map(point).collect();
        (!points.is_empty()).then(|| SketchMessage {
            metric: self.name.clone(),
            host: self.host.clone(),
            tags: self.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            points,
            metadata: Some(Some(metadata(self.origin, self.no_index))),
        })
    }
}

fn check_sketches(all: &[OwnedSketches], settings: &PayloadSettings) {
    let mut builder = SketchesBuilder::new(settings);
    let (mut payloads, mut wanted) = (Vec::new(), Vec::new());
    for one in all {
        let points: Vec<_> = one
            .points
            .iter()
            .map(|(second, summary, bins)| SketchPoint { second: *second, summary: *summary, bins })
            .collect();
        let lost = builder.push(&SketchSeries {
            name: &one.name,
            host: &one.host,
            tags: Tags { own: OwnTags::List(&one.tags), global: &[] },
            points: &points,
            no_index: one.no_index,
            origin: one.origin,
        });
        payloads.extend(builder.take_full());
        let finite = one.points.iter().filter(OwnedSketches::is_finite).count();
        assert_eq!(lost.not_finite, (one.points.len() - finite) as u64);
        match (one.expected(), lost.too_large) {
            (Some(expected), 0) => wanted.push(expected),
            (expected, lost) => {
                assert_eq!(expected.map_or(0, |one| one.points.len() as u64), lost);
            }
        }
    }
    payloads.extend(std::iter::from_fn(|| builder.finish()));
    let mut found = Vec::new();
    for payload in &payloads {
        let read = decode::sketches(payload);
        let points = read.iter().map(|sketch| sketch.points.len() as u64).sum();
        within(payload, &settings.other, read.len(), points);
        found.extend(read);
    }
    assert_eq!(found, wanted);
}

fn event(input: &mut Unstructured<'_>) -> Result<Event> {
    Ok(Event {
        title: text(input)?,
        text: text(input)?,
        second: second(input)?,
        priority: input.choose(&["normal", "low"])?,
        alert_type: input.choose(&["error", "warning", "info", "success"])?,
        host: text(input)?,
        aggregation_key: text(input)?,
        source_type_name: text(input)?,
        tags: tags(input)?,
    })
}

/// Events go sorted by their source, which is `api` where none is named.
fn check_events(all: &[Event], settings: &PayloadSettings) {
    let mut builder = EventsBuilder::new(settings, "host");
    let lost = builder.push_all(all);
    let payloads: Vec<_> = std::iter::from_fn(|| builder.finish()).collect();
    let mut found = Vec::new();
    for payload in &payloads {
        let read = decode::events(payload);
        within(payload, &settings.other, read.len(), 0);
        found.extend(read);
    }
    let mut wanted: Vec<_> = all.iter().map(decode::Event::from).collect();
    found.sort();
    wanted.sort();
    none_new(&found, &wanted, lost);
}

fn service_check(input: &mut Unstructured<'_>) -> Result<ServiceCheck> {
    use CheckStatus::{Critical, Ok as Fine, Unknown, Warning};
    Ok(ServiceCheck {
        name: text(input)?,
        status: *input.choose(&[Fine, Warning, Critical, Unknown])?,
        second: second(input)?,
        host: text(input)?,
        message: text(input)?,
        tags: tags(input)?,
    })
}

fn check_service_checks(all: &[ServiceCheck], settings: &PayloadSettings) {
    let mut builder = ServiceChecksBuilder::new(settings);
    let (mut payloads, mut wanted) = (Vec::new(), Vec::new());
    for check in all {
        match builder.push(check) {
            Lost::NONE => wanted.push(decode::ServiceCheck::from(check)),
            lost => assert_eq!(lost, Lost { too_large: 1, ..Lost::NONE }),
        }
        payloads.extend(builder.take_full());
    }
    payloads.extend(std::iter::from_fn(|| builder.finish()));
    let mut found = Vec::new();
    for payload in &payloads {
        let read = decode::service_checks(payload);
        within(payload, &settings.other, read.len(), 0);
        found.extend(read);
    }
    assert_eq!(found, wanted);
}

/// Everything found was wanted, and just as many are missing as were said to be too large. Both
/// lists are sorted.
fn none_new(found: &[decode::Event], wanted: &[decode::Event], lost: Lost) {
    assert_eq!(found.len() as u64 + lost.total(), wanted.len() as u64);
    let mut wanted = wanted.iter();
    assert!(found.iter().all(|one| wanted.any(|other| one == other)), "{found:?}");
}

fn within(payload: &Payload, limits: &PayloadLimits, items: usize, points: u64) {
    assert!(payload.body.len() <= limits.compressed_bytes_max, "{payload:?}");
    assert!(payload.uncompressed_bytes <= limits.uncompressed_bytes_max as u64, "{payload:?}");
    assert!(payload.points <= limits.points_max, "{payload:?}");
    assert!(items > 0, "an empty payload");
    assert_eq!((payload.items, payload.points), (items as u64, points));
}

fn metadata(origin: Origin, no_index: bool) -> OriginMessage {
    let metric_type = if no_index { 9 } else { 0 };
    let Origin { product, category, service } = origin;
    OriginMessage([metric_type, product.into(), category.into(), service.into()])
}

/// Texts that recur, and any others.
fn text(input: &mut Unstructured<'_>) -> Result<String> {
    let common = ["", "a", "b", "web-1", "app.request", "\"\\\n\u{1}é"];
    match input.int_in_range(0..=8_usize)? {
        at @ 0..6 => Ok(common[at].to_owned()),
        6 => Ok("x".repeat(input.int_in_range(0..=300)?)),
        _ => Ok(input.arbitrary::<&str>()?.to_owned()),
    }
}

fn tags(input: &mut Unstructured<'_>) -> Result<Vec<Tag>> {
    let mut tags = Vec::new();
    for _ in 0..input.int_in_range(0..=4)? {
        let prefix = *input.choose(&["", "", "env:", "device:", "dd.internal.resource:", "é:"])?;
        let rest = text(input)?;
        tags.push(Tag::from(format!("{prefix}{rest}").as_str()));
    }
    Ok(tags)
}

fn second(input: &mut Unstructured<'_>) -> Result<i64> {
    Ok(match input.ratio(7, 8)? {
        true => 1_756_737_000 + i64::from(input.arbitrary::<u8>()?),
        false => input.arbitrary()?,
    })
}

fn value(input: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match input.int_in_range(0..=4)? {
        0 => 0.0,
        1 => f64::from(input.arbitrary::<i8>()?),
        2 => input.arbitrary::<i64>()? as f64,
        3 => input.arbitrary::<f32>()?.into(),
        _ => input.arbitrary()?,
    })
}

fn origin(input: &mut Unstructured<'_>) -> Result<Origin> {
    let service = *input.choose(&[0, 472, 473, 474])?;
    Ok(Origin {
        product: input.int_in_range(0..=12)?,
        category: input.arbitrary::<u8>()?.into(),
        service,
    })
}
