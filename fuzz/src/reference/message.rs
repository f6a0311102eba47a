//! Messages, by the tables of `docs/protocol.md`: everything is copied, every table is walked row by
//! row.
//!
//! Positions are those of "the first byte that doesn't fit", spelled out: what is missing is missing
//! at the end of where it could have stood.

use super::number;

/// Which optional fields are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `T`.
    pub timestamps: bool,
    /// `c:`, `e:` and `card:`.
    pub client_origin: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A metric.
    Metric(Metric),
    /// An event.
    Event(Event),
    /// A service check.
    ServiceCheck(ServiceCheck),
}

/// A double that equals itself, also if it is not a number.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits() || self.0.is_nan() && other.0.is_nan()
    }
}

impl Eq for Number {}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name.
    pub name: Vec<u8>,
    /// Type, as on the wire.
    pub kind: &'static str,
    /// The numbers; none for a set.
    pub values: Vec<Number>,
    /// The string of a set; else empty.
    pub member: Vec<u8>,
    /// Sample rate.
    pub rate: Number,
    /// Tags.
    pub tags: Vec<Vec<u8>>,
    /// Time, if given.
    pub timestamp: Option<i64>,
    /// Origin.
    pub origin: Origin,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Title, newlines restored.
    pub title: Vec<u8>,
    /// Text, newlines restored.
    pub text: Vec<u8>,
    /// Time, or 0.
    pub timestamp: i64,
    /// `normal` or `low`.
    pub priority: Vec<u8>,
    /// `error`, `warning`, `info` or `success`.
    pub alert_type: Vec<u8>,
    /// Host.
    pub host: Vec<u8>,
    /// Aggregation key.
    pub aggregation_key: Vec<u8>,
    /// Source type name.
    pub source_type_name: Vec<u8>,
    /// Tags.
    pub tags: Vec<Vec<u8>>,
    /// Origin.
    pub origin: Origin,
}

/// A service check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCheck {
    /// Name.
    pub name: Vec<u8>,
    /// 0 to 3.
    pub status: u8,
    /// Time, or 0.
    pub timestamp: i64,
    /// Host.
    pub host: Vec<u8>,
    /// Message.
    pub message: Vec<u8>,
    /// Tags.
    pub tags: Vec<Vec<u8>>,
    /// Origin.
    pub origin: Origin,
}

/// What `c:`, `e:` and `card:` say; what is absent is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Container id.
    pub container_id: Vec<u8>,
    /// Inode, or 0.
    pub inode: u64,
    /// Whether it is an init container.
    pub init: Option<bool>,
    /// Container name.
    pub container_name: Vec<u8>,
    /// Pod uid.
    pub pod_uid: Vec<u8>,
    /// Cardinality.
    pub cardinality: Vec<u8>,
}

/// Class of an error and its position in the line.
pub type Refused = (&'static str, usize);

/// Reads a line.
///
/// # Errors
///
/// The first check of the protocol's tables that fails.
pub fn parse(line: &[u8], options: Options) -> Result<Message, Refused> {
    if line.starts_with(b"_e{") {
        event(line, options).map(Message::Event)
    } else if line.starts_with(b"_sc") {
        service_check(line, options).map(Message::ServiceCheck)
    } else {
        metric(line, options).map(Message::Metric)
    }
}

/// The pieces of `bytes` between separators, each with its place.
fn pieces(bytes: &[u8], separator: u8, at: usize) -> Vec<(usize, Vec<u8>)> {
    let mut pieces = vec![(at, Vec::new())];
    for (index, &byte) in bytes.iter().enumerate() {
        if byte == separator {
            pieces.push((at + index + 1, Vec::new()));
        } else if let Some((_, piece)) = pieces.last_mut() {
            piece.push(byte);
        }
    }
    pieces
}

fn metric(line: &[u8], options: Options) -> Result<Metric, Refused> {
    let sections = pieces(line, b'|', 0);
    let [(_, head), (kind_at, kind), fields @ ..] = sections.as_slice() else {
        return Err(("no_separator", line.len()));
    };
    let colon = head.iter().position(|&byte| byte == b':').unwrap_or(head.len());
    if colon == 0 {
        return Err(("bad_name_value", 0));
    }
    if colon + 1 >= head.len() {
        return Err(("bad_name_value", head.len()));
    }
    let value = head[colon + 1..].to_vec();
    let kinds = ["c", "g", "s", "h", "ms", "d"];
    let Some(kind) = kinds.into_iter().find(|name| name.as_bytes() == kind) else {
        return Err(("bad_type", *kind_at));
    };
    let mut metric = Metric {
        name: head[..colon].to_vec(),
        kind,
        values: Vec::new(),
        member: Vec::new(),
        rate: Number(1.0),
        tags: Vec::new(),
        timestamp: None,
        origin: Origin::default(),
    };
    if kind == "s" {
        metric.member = value;
    } else {
        metric.values = numbers(&value, colon + 1)?;
    }
    for (at, field) in fields {
        if let Some(rate) = field.strip_prefix(b"@") {
            metric.rate = Number(number::float(rate).ok_or(("bad_rate", at + 1))?);
        } else if let Some(list) = field.strip_prefix(b"#") {
            metric.tags = tags(list);
        } else if options.timestamps && field.starts_with(b"T") {
            let second = number::integer(&field[1..]).filter(|&second| second > 0);
            metric.timestamp = Some(second.ok_or(("bad_timestamp", at + 1))?);
        } else if options.client_origin {
            metric.origin.take(field);
        }
    }
    Ok(metric)
}

fn numbers(value: &[u8], at: usize) -> Result<Vec<Number>, Refused> {
    let mut numbers = Vec::new();
    for (at, piece) in pieces(value, b':', at) {
        if !piece.is_empty() {
            numbers.push(Number(number::float(&piece).ok_or(("bad_value", at))?));
        }
    }
    if numbers.is_empty() { Err(("bad_value", at)) } else { Ok(numbers) }
}

fn tags(list: &[u8]) -> Vec<Vec<u8>> {
    if list.is_empty() {
        return Vec::new();
    }
    pieces(list, b',', 0).into_iter().map(|(_, tag)| tag).collect()
}

fn event(line: &[u8], options: Options) -> Result<Event, Refused> {
    let bad_header = |at| ("bad_event_header", at);
    let colon = line.iter().position(|&byte| byte == b':').ok_or_else(|| bad_header(line.len()))?;
    if colon < 7 {
        return Err(bad_header(colon));
    }
    // The header's last byte, whatever it is, stands for the closing brace.
    let lengths = &line[3..colon - 1];
    let comma =
        lengths.iter().position(|&byte| byte == b',').ok_or_else(|| bad_header(colon - 1))?;
    let length = |digits: &[u8], at| {
        let length = number::integer(digits).and_then(|length| u64::try_from(length).ok());
        length.map(u128::from).ok_or_else(|| bad_header(at))
    };
    let title_bytes = length(&lengths[..comma], 3)?;
    let text_bytes = length(&lengths[comma + 1..], 3 + comma + 1)?;
    let body = &line[colon + 1..];
    if title_bytes == 0 {
        return Err(("empty_title", colon + 1));
    }
    if (body.len() as u128) < title_bytes + 1 + text_bytes {
        return Err(("event_too_short", line.len()));
    }
    let title_bytes = usize::try_from(title_bytes).unwrap_or(usize::MAX);
    let text_end = title_bytes + 1 + usize::try_from(text_bytes).unwrap_or(usize::MAX);
    let mut event = Event {
        title: with_newlines(&body[..title_bytes]),
        text: with_newlines(&body[title_bytes + 1..text_end]),
        timestamp: 0,
        priority: b"normal".to_vec(),
        alert_type: b"info".to_vec(),
        host: Vec::new(),
        aggregation_key: Vec::new(),
        source_type_name: Vec::new(),
        tags: Vec::new(),
        origin: Origin::default(),
    };
    for (_, field) in pieces(&body[text_end..], b'|', 0) {
        let starts = |prefix: &str| field.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec);
        if let Some(second) = starts("d:") {
            event.timestamp = number::integer(&second).unwrap_or(event.timestamp);
        } else if let Some(host) = starts("h:") {
            event.host = host;
        } else if let Some(key) = starts("k:") {
            event.aggregation_key = key;
        } else if let Some(priority) = starts("p:") {
            if [&b"normal"[..], b"low"].contains(&&priority[..]) {
                event.priority = priority;
            }
        } else if let Some(name) = starts("s:") {
            event.source_type_name = name;
        } else if let Some(alert_type) = starts("t:") {
            if [&b"error"[..], b"warning", b"info", b"success"].contains(&&alert_type[..]) {
                event.alert_type = alert_type;
            }
        } else if let Some(list) = starts("#") {
            event.tags = tags(&list);
        } else if options.client_origin {
            event.origin.take(&field);
        }
    }
    Ok(event)
}

fn with_newlines(text: &[u8]) -> Vec<u8> {
    let mut restored = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(b"\\n") {
            restored.push(b'\n');
            at += 2;
        } else {
            restored.push(text[at]);
            at += 1;
        }
    }
    restored
}

fn service_check(line: &[u8], options: Options) -> Result<ServiceCheck, Refused> {
    let bars = line.iter().filter(|&&byte| byte == b'|').count();
    if bars < 2 || line.len() < 4 {
        return Err(("bad_sc_format", line.len()));
    }
    let sections = pieces(&line[4..], b'|', 4);
    let [(_, name), (status_at, status), fields @ ..] = sections.as_slice() else {
        return Err(("bad_sc_format", line.len()));
    };
    if name.is_empty() {
        return Err(("empty_sc_name", 4));
    }
    let status = match status.as_slice() {
        [digit @ b'0'..=b'3'] => digit - b'0',
        _ => return Err(("bad_sc_status", *status_at)),
    };
    let mut check = ServiceCheck {
        name: name.clone(),
        status,
        timestamp: 0,
        host: Vec::new(),
        message: Vec::new(),
        tags: Vec::new(),
        origin: Origin::default(),
    };
    for (_, field) in fields {
        if let Some(second) = field.strip_prefix(b"d:") {
            check.timestamp = number::integer(second).unwrap_or(check.timestamp);
        } else if let Some(host) = field.strip_prefix(b"h:") {
            check.host = host.to_vec();
        } else if let Some(message) = field.strip_prefix(b"m:") {
            check.message = message.to_vec();
        } else if let Some(list) = field.strip_prefix(b"#") {
            check.tags = tags(list);
        } else if options.client_origin {
            check.origin.take(field);
        }
    }
    Ok(check)
}

impl Origin {
    fn take(&mut self, field: &[u8]) {
        if let Some(cardinality) = field.strip_prefix(b"card:") {
            self.cardinality = cardinality.to_vec();
        } else if let Some(local) = field.strip_prefix(b"c:") {
            self.take_local(local);
        } else if let Some(external) = field.strip_prefix(b"e:") {
            self.take_external(external);
        }
    }

    /// Of several fields the last one counts as a whole.
    fn take_local(&mut self, content: &[u8]) {
        (self.container_id, self.inode) = (Vec::new(), 0);
        let is_list = content.contains(&b',');
        for (_, item) in pieces(content, b',', 0) {
            if let Some(id) = item.strip_prefix(b"ci-") {
                self.container_id = id.to_vec();
            } else if let Some(inode) = item.strip_prefix(b"in-") {
                self.inode = number::unsigned(inode).unwrap_or(0);
            } else if !is_list {
                self.container_id = item.strip_prefix(b"cid-").unwrap_or(&item).to_vec();
            }
        }
    }

    fn take_external(&mut self, content: &[u8]) {
        (self.init, self.container_name, self.pod_uid) = (None, Vec::new(), Vec::new());
        for (_, item) in pieces(content, b',', 0) {
            if let Some(flag) = item.strip_prefix(b"it-") {
                let words = [&b"1"[..], b"t", b"T", b"TRUE", b"true", b"True"];
                self.init = Some(words.contains(&flag));
            } else if let Some(name) = item.strip_prefix(b"cn-") {
                self.container_name = name.to_vec();
            } else if let Some(uid) = item.strip_prefix(b"pu-") {
                self.pod_uid = uid.to_vec();
            }
        }
    }
}
