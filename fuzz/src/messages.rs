//! The parser: that it holds its promises on any bytes, and that it agrees with the reference.

use lastdrop_engine::message::{
    ClientOrigin, Error, ExternalData, Line, LineEnd, Message, Options, OriginFields, Tags,
    Timestamps, Values, lines, parse,
};

use crate::reference;
use crate::reference::frame::NewlineRequired;
use crate::reference::message::Number;

/// For all datagrams: nothing panics, every line and every borrowed field lies in the datagram,
/// every error points into its line, and iterators give as much as was announced.
///
/// The first byte chooses the options, here and in [`differential`].
pub fn datagram(data: &[u8]) {
    let Some((options, end, datagram)) = configured(data) else { return };
    let mut line_end = 0;
    for line in lines(datagram, end) {
        match line {
            Err(error) => assert!(line_end <= error.at as usize && error.at as usize <= data.len()),
            Ok(line) => {
                assert!(line.at >= line_end && !line.bytes.is_empty());
                line_end = line.at + line.bytes.len();
                assert_eq!(datagram.get(line.at..line_end), Some(line.bytes));
                promises(line.bytes, options);
            }
        }
    }
}

fn promises(line: &[u8], options: Options) {
    let (tags, origin) = match parse(line, options) {
        Err(error) => {
            assert!(error.at as usize <= line.len(), "{error}");
            assert!(!error.to_string().is_empty() && !error.class.of().name().is_empty());
            return;
        }
        Ok(Message::Metric(metric)) => {
            let numbers = metric.values.numbers().count();
            match metric.values {
                Values::Set(member) => assert!(numbers == 0 && !member.is_empty()),
                _ => assert_eq!(numbers, metric.values.count()),
            }
            assert!(!metric.name.iter().any(|byte| b":|".contains(byte)));
            assert!(!metric.name.is_empty() && metric.timestamp.is_none_or(|second| second > 0));
            (metric.tags, metric.origin)
        }
        Ok(Message::Event(event)) => {
            assert!(!event.title.is_empty());
            (event.tags, event.origin)
        }
        Ok(Message::ServiceCheck(check)) => {
            assert!(!check.name.is_empty());
            (check.tags, check.origin)
        }
    };
    let commas = tags.raw().iter().filter(|&&byte| byte == b',').count();
    assert_eq!(tags.iter().count(), if tags.raw().is_empty() { 0 } else { commas + 1 });
    let (local, external) = (origin.local_data(), origin.external_data());
    assert!(options.client_origin == ClientOrigin::Read || origin == OriginFields::default());
    assert!(local.inode != Some(0) && local.container_id != Some(b""));
    assert_eq!(external.is_empty(), external == ExternalData::default());
    assert!(external.container_name != Some(b"") && external.pod_uid != Some(b""));
}

/// For all datagrams: the parser and the slow reference find the same lines in the same places,
/// and in each the same message or the same class of error at the same byte.
pub fn differential(data: &[u8]) {
    let Some((options, end, datagram)) = configured(data) else { return };
    let required = match end {
        LineEnd::Required => NewlineRequired::Yes,
        LineEnd::Optional => NewlineRequired::No,
    };
    let mut expected = reference::frame::lines(datagram, required).into_iter();
    for line in lines(datagram, end) {
        match (line, expected.next()) {
            (Ok(line), Some(Ok((at, bytes)))) => {
                assert_eq!((line.at, line.bytes), (at, &bytes[..]));
                same_message(line, options);
            }
            (Err(error), Some(Err(at))) => assert_eq!(refused(error), ("unterminated", at)),
            (line, expected) => panic!("{line:?}, and the reference has {expected:?}"),
        }
    }
    assert_eq!(expected.next(), None, "a line less than the reference");
}

fn same_message(line: Line<'_>, options: Options) {
    let reference_options = reference::message::Options {
        timestamps: options.timestamps == Timestamps::Read,
        client_origin: options.client_origin == ClientOrigin::Read,
    };
    let expected = reference::message::parse(line.bytes, reference_options);
    let found = parse(line.bytes, options).map(translated).map_err(refused);
    assert_eq!(found, expected, "{:?}", line.bytes.escape_ascii().to_string());
}

/// Options and datagram of an input.
fn configured(data: &[u8]) -> Option<(Options, LineEnd, &[u8])> {
    let (&choice, datagram) = data.split_first()?;
    let timestamps = if choice & 1 == 0 { Timestamps::Read } else { Timestamps::Ignore };
    let client_origin = if choice & 2 == 0 { ClientOrigin::Ignore } else { ClientOrigin::Read };
    let end = if choice & 4 == 0 { LineEnd::Optional } else { LineEnd::Required };
    Some((Options { timestamps, client_origin }, end, datagram))
}

fn refused(error: Error) -> reference::message::Refused {
    (error.class.name(), error.at as usize)
}

/// A message of the engine in the words of the reference.
fn translated(message: Message<'_>) -> reference::message::Message {
    match message {
        Message::Metric(metric) => {
            reference::message::Message::Metric(reference::message::Metric {
                name: metric.name.to_vec(),
                kind: metric.kind.name(),
                values: metric.values.numbers().map(Number).collect(),
                member: match metric.values {
                    Values::Set(member) => member.to_vec(),
                    _ => Vec::new(),
                },
                rate: Number(metric.rate),
                tags: owned(metric.tags),
                timestamp: metric.timestamp,
                origin: origin(&metric.origin),
            })
        }
        Message::Event(event) => reference::message::Message::Event(reference::message::Event {
            title: event.title.to_vec(),
            text: event.text.to_vec(),
            timestamp: event.timestamp,
            priority: event.priority.name().into(),
            alert_type: event.alert_type.name().into(),
            host: event.host.to_vec(),
            aggregation_key: event.aggregation_key.to_vec(),
            source_type_name: event.source_type_name.to_vec(),
            tags: owned(event.tags),
            origin: origin(&event.origin),
        }),
        Message::ServiceCheck(check) => {
            reference::message::Message::ServiceCheck(reference::message::ServiceCheck {
                name: check.name.to_vec(),
                status: check.status as u8,
                timestamp: check.timestamp,
                host: check.host.to_vec(),
                message: check.message.to_vec(),
                tags: owned(check.tags),
                origin: origin(&check.origin),
            })
        }
    }
}

fn owned(tags: Tags<'_>) -> Vec<Vec<u8>> {
    tags.iter().map(<[u8]>::to_vec).collect()
}

fn origin(fields: &OriginFields<'_>) -> reference::message::Origin {
    let (local, external) = (fields.local_data(), fields.external_data());
    reference::message::Origin {
        container_id: local.container_id.unwrap_or_default().to_vec(),
        inode: local.inode.unwrap_or_default(),
        init: external.init,
        container_name: external.container_name.unwrap_or_default().to_vec(),
        pod_uid: external.pod_uid.unwrap_or_default().to_vec(),
        cardinality: fields.cardinality.unwrap_or_default().to_vec(),
    }
}
