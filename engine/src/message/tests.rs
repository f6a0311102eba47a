//! What holds for whole messages: each kind read in full, positions of errors, and the properties
//! that hold for all bytes.

use super::*;
use crate::series::CheckStatus;
use proptest::prelude::*;
use std::borrow::Cow;

const ALL_FIELDS: Options =
    Options { timestamps: Timestamps::Read, client_origin: ClientOrigin::Read };

fn metric(line: &str, options: Options) -> Metric<'_> {
    match parse(line.as_bytes(), options) {
        Ok(Message::Metric(metric)) => metric,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_metric_with_every_field_is_read_in_full() {
    let metric =
        metric("a.b:1:2.5::-3|ms|#x:y,,z|@0.5|T7|c:ci-1,in-2|e:it-1|card:low|new:1", ALL_FIELDS);
    assert_eq!((metric.name, metric.kind), (&b"a.b"[..], Kind::Timing));
    assert_eq!(metric.values.count(), 3);
    assert_eq!(metric.values.numbers().collect::<Vec<_>>(), [1.0, 2.5, -3.0]);
    assert_eq!((metric.rate, metric.timestamp), (0.5, Some(7)));
    assert_eq!(metric.tags.raw(), b"x:y,,z");
    assert_eq!(metric.origin.local_data().container_id, Some(&b"1"[..]));
    assert_eq!(metric.origin.local_data().inode, Some(2));
    assert_eq!(metric.origin.external_data().init, Some(true));
    assert_eq!(metric.origin.cardinality, Some(&b"low"[..]));
}

#[test]
fn a_field_that_is_switched_off_is_not_looked_at() {
    let options = Options { timestamps: Timestamps::Ignore, client_origin: ClientOrigin::Ignore };
    let metric = metric("a:1|c|Tx|c:ci-1|e:it-1|card:low", options);
    assert_eq!((metric.timestamp, metric.origin), (None, OriginFields::default()));
}

#[test]
fn an_empty_cardinality_takes_back_the_one_before_it() {
    for (line, cardinality) in
        [("a:1|c|card:", Some(&b""[..])), ("a:1|c|card:x|card:", None), ("a:1|c", None)]
    {
        assert_eq!(metric(line, ALL_FIELDS).origin.cardinality, cardinality, "{line}");
    }
}

#[test]
fn a_set_is_one_string_with_its_colons() {
    let metric = metric("a:1:b:|s", Options::default());
    assert_eq!(metric.values, Values::Set(b"1:b:"));
    assert_eq!((metric.values.count(), metric.values.numbers().count()), (1, 0));
}

#[test]
fn an_error_points_at_the_first_thing_that_does_not_fit() {
    for (line, class, at) in [
        ("daemon:666", Class::NoSeparator, 10),
        (":1|c", Class::BadNameValue, 0),
        ("abc|c", Class::BadNameValue, 3),
        ("abc:|c", Class::BadNameValue, 4),
        ("abc:1|x|@y", Class::BadType, 6),
        ("abc:1|", Class::BadType, 6),
        ("abc:x|c", Class::BadValue, 4),
        ("abc:1:2:x:3|c", Class::BadValue, 8),
        ("abc:::|c", Class::BadValue, 4),
        ("abc:1|c|#t|@x", Class::BadRate, 12),
        ("abc:1|c|T0|@x", Class::BadTimestamp, 9),
        ("_e{5,4}", Class::BadEventHeader, 7),
        ("_e{5}:x", Class::BadEventHeader, 5),
        ("_e{12345}:x", Class::BadEventHeader, 8),
        ("_e{x,4}:title|text", Class::BadEventHeader, 3),
        ("_e{5,-4}:title|text", Class::BadEventHeader, 5),
        ("_e{0,4}:|text", Class::EmptyTitle, 8),
        ("_e{5,4}:title|tex", Class::EventTooShort, 17),
        ("_e{5,18446744073709551615}:title|text", Class::BadEventHeader, 5),
        ("_e{9223372036854775807,9223372036854775807}:x", Class::EventTooShort, 45),
        ("_sc", Class::BadScFormat, 3),
        ("_sc|a", Class::BadScFormat, 5),
        ("_sc||0", Class::EmptyScName, 4),
        ("_sc|abc|4", Class::BadScStatus, 8),
    ] {
        assert_eq!(parse(line.as_bytes(), ALL_FIELDS), Err(Error::new(class, at)), "{line}");
    }
}

/// For all good lines: cut anywhere, there is a message or an error within it, and no panic.
#[test]
fn a_line_may_be_cut_at_every_byte() {
    for line in [
        "a.b:1:2.5:0x1p3|d|#x:y,z|@0.5|T1657100540|c:ci-1,in-2|e:it-1,cn-x|card:low",
        "_e{5,7}:title|te\\nxt|d:1|h:h|k:k|p:low|s:s|t:error|#a,b|c:x",
        "_sc|name|2|d:1|h:h|#a,b|m:message|c:x",
    ] {
        assert!(parse(line.as_bytes(), ALL_FIELDS).is_ok(), "{line}");
        for end in 0..line.len() {
            let cut = &line.as_bytes()[..end];
            if let Err(error) = parse(cut, ALL_FIELDS) {
                assert!(error.at as usize <= end, "{line} cut at {end}: {error}");
            }
        }
    }
}

/// Bytes without those that end or separate something.
fn word(forbidden: &'static [u8], min: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("separator", move |byte| !forbidden.contains(byte));
    prop::collection::vec(byte, min..12)
}

/// A tag section: any bytes but those that end it.
fn section() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(word(b"|\n,", 0), 0..4).prop_map(|tags| tags.join(&b','))
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

proptest! {
    /// For all metrics: written to the wire and read, the same metric.
    #[test]
    fn a_written_metric_is_read_back(
        name in word(b":|\n", 1),
        kind in prop::sample::select(&Kind::ALL[..]),
        values in prop::collection::vec(any::<f64>().prop_filter("grammar", |v| v.is_finite()), 1..4),
        string in word(b"|\n", 1),
        rate in prop::option::of(any::<f64>().prop_filter("grammar", |v| v.is_finite())),
        timestamp in prop::option::of(1..i64::MAX),
        tags in section(),
        id in prop::option::of(word(b"|\n", 0)),
    ) {
        prop_assume!(!name.starts_with(b"_e{") && !name.starts_with(b"_sc"));
        let numbers = values.iter().map(|v| format!("{v:e}")).collect::<Vec<_>>().join(":");
        let value = if kind == Kind::Set { &string[..] } else { numbers.as_bytes() };
        let mut line = join(&[&name, b":", value, b"|", kind.name().as_bytes()]);
        if let Some(rate) = rate {
            line.extend_from_slice(format!("|@{rate}").as_bytes());
        }
        line.extend_from_slice(&join(&[b"|#", &tags]));
        if let Some(timestamp) = timestamp {
            line.extend_from_slice(format!("|T{timestamp}").as_bytes());
        }
        if let Some(id) = &id {
            line.extend_from_slice(&join(&[b"|c:", id]));
        }
        let Ok(Message::Metric(read)) = parse(&line, ALL_FIELDS) else {
            return Err(TestCaseError::fail("no metric"));
        };
        prop_assert_eq!((read.name, read.kind), (&name[..], kind));
        prop_assert_eq!(read.rate, rate.unwrap_or(1.0));
        prop_assert_eq!(read.timestamp, timestamp);
        prop_assert_eq!(read.tags.raw(), &tags[..]);
        prop_assert_eq!(read.tags.iter().collect::<Vec<_>>().join(&b','), tags);
        prop_assert_eq!(read.origin.local_data, id.as_deref());
        if kind == Kind::Set {
            prop_assert_eq!(read.values, Values::Set(&string));
        } else {
            prop_assert_eq!(read.values.count(), values.len());
            prop_assert_eq!(read.values.numbers().collect::<Vec<_>>(), values);
        }
    }

    /// For all events: written to the wire and read, the same event.
    #[test]
    fn a_written_event_is_read_back(
        title in word(b"\\", 1),
        text in word(b"\\", 0),
        timestamp: i64,
        priority in prop::sample::select(&[Priority::Normal, Priority::Low][..]),
        host in word(b"|\n", 0),
        key in word(b"|\n", 0),
        source in word(b"|\n", 0),
        tags in section(),
    ) {
        let escape = |text: &[u8]| {
            let pieces: Vec<_> = text.split(|&byte| byte == b'\n').collect();
            pieces.join(&b"\\n"[..])
        };
        let (wire_title, wire_text) = (escape(&title), escape(&text));
        let line = join(&[
            format!("_e{{{},{}}}:", wire_title.len(), wire_text.len()).as_bytes(),
            &wire_title, b"|", &wire_text,
            format!("|d:{timestamp}|p:{}|t:success|h:", priority.name()).as_bytes(),
            &host, b"|k:", &key, b"|s:", &source, b"|#", &tags,
        ]);
        let expected = Event {
            title: Cow::Owned(title),
            text: Cow::Owned(text),
            timestamp,
            priority,
            alert_type: AlertType::Success,
            host: &host,
            aggregation_key: &key,
            source_type_name: &source,
            tags: Tags(&tags),
            origin: OriginFields::default(),
        };
        prop_assert_eq!(parse(&line, ALL_FIELDS), Ok(Message::Event(expected)));
    }

    /// For all service checks: written to the wire and read, the same service check.
    #[test]
    fn a_written_service_check_is_read_back(
        name in word(b"|\n", 1),
        timestamp: i64,
        host in word(b"|\n", 0),
        message in word(b"|\n", 0),
        tags in section(),
    ) {
        let line = join(&[
            b"_sc|", &name, format!("|2|d:{timestamp}|h:").as_bytes(),
            &host, b"|#", &tags, b"|m:", &message,
        ]);
        let expected = ServiceCheck {
            name: &name,
            status: CheckStatus::Critical,
            timestamp,
            host: &host,
            message: &message,
            tags: Tags(&tags),
            origin: OriginFields::default(),
        };
        prop_assert_eq!(parse(&line, ALL_FIELDS), Ok(Message::ServiceCheck(expected)));
    }

    /// For all bytes around a good line: no panic, and the good line is read.
    #[test]
    fn garbage_never_costs_its_neighbour(
        before in prop::collection::vec(any::<u8>(), 0..80),
        after in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let good = b"good:1|c|#a";
        let datagram = join(&[&before, b"\n", good, b"\n", &after]);
        let mut found = false;
        for line in lines(&datagram, LineEnd::Optional) {
            let line = line.unwrap();
            found |= line.bytes == good && line.at == before.len() + 1;
            if let Err(error) = parse(line.bytes, ALL_FIELDS) {
                prop_assert!(error.at as usize <= line.bytes.len());
            }
        }
        prop_assert!(found);
    }

    /// For all strings of the protocol's own bytes, which get further than random ones: no panic.
    #[test]
    fn what_looks_like_a_message_never_panics(line in "(_e\\{|_sc)?[a-c:|,#@Tcehdms{}0-9.x_+-]{0,40}") {
        if let Ok(Message::Metric(metric)) = parse(line.as_bytes(), ALL_FIELDS) {
            let numbers = metric.values.numbers().count();
            prop_assert!(metric.kind == Kind::Set || numbers == metric.values.count());
        }
    }
}
