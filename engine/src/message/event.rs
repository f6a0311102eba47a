//! Events: `"_e{" title bytes "," text bytes "}:" title "|" text { "|" field }`.

use std::borrow::Cow;

use super::error::{Class, Error};
use super::{Fields, Options, OriginFields, Tags, cut, number};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Title with its newlines restored, at least one byte.
    pub title: Cow<'a, [u8]>,
    /// Text with its newlines restored.
    pub text: Cow<'a, [u8]>,
    /// Seconds since 1970 as the client gave them; 0 where it gave none.
    pub timestamp: i64,
    /// How much it matters.
    pub priority: Priority,
    /// What kind of news it is.
    pub alert_type: AlertType,
    /// Host; empty where none is given.
    pub host: &'a [u8],
    /// Key under which events are grouped, may be empty.
    pub aggregation_key: &'a [u8],
    /// Source type name, may be empty.
    pub source_type_name: &'a [u8],
    /// Tags as they came.
    pub tags: Tags<'a>,
    /// The client's word on its origin.
    pub origin: OriginFields<'a>,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Shown as usual.
    #[default]
    Normal,
    /// Hidden unless asked for.
    Low,
}

impl Priority {
    /// The priority as it stands on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    fn read(name: &[u8]) -> Option<Self> {
        [Self::Normal, Self::Low].into_iter().find(|priority| priority.name().as_bytes() == name)
    }
}

/// What kind of news an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertType {
    /// Something is broken.
    Error,
    /// Something may break.
    Warning,
    /// Something happened.
    #[default]
    Info,
    /// Something went well.
    Success,
}

impl AlertType {
    /// The alert type as it stands on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Success => "success",
        }
    }

    fn read(name: &[u8]) -> Option<Self> {
        [Self::Error, Self::Warning, Self::Info, Self::Success]
            .into_iter()
            .find(|alert_type| alert_type.name().as_bytes() == name)
    }
}

/// Reads an event. Lengths count bytes, before newlines are restored; the brace that closes the
/// header and the byte between title and text may be anything.
pub fn parse(line: &[u8], options: Options) -> Result<Event<'_>, Error> {
    let (header, Some(body)) = cut(line, b':') else {
        return Err(Error::new(Class::BadEventHeader, line.len()));
    };
    let (title_len, text_len) = lengths(header)?;
    let body_at = line.len() - body.len();
    if title_len == 0 {
        return Err(Error::new(Class::EmptyTitle, body_at));
    }
    let Some((title, text, fields)) = split_body(body, title_len, text_len) else {
        return Err(Error::new(Class::EventTooShort, line.len()));
    };
    let mut event = Event {
        title: restore_newlines(title),
        text: restore_newlines(text),
        timestamp: 0,
        priority: Priority::default(),
        alert_type: AlertType::default(),
        host: &[],
        aggregation_key: &[],
        source_type_name: &[],
        tags: Tags::default(),
        origin: OriginFields::default(),
    };
    // The fields start right behind the text, so that the first of them is normally empty.
    for (_, field) in Fields::new(Some(fields), line.len()) {
        event.take(field, options);
    }
    Ok(event)
}

impl<'a> Event<'a> {
    /// Takes over an optional field. A bad one is nothing, and leaves an earlier one as it is.
    fn take(&mut self, field: &'a [u8], options: Options) {
        match field {
            [b'd', b':', second @ ..] => {
                self.timestamp = number::integer(second).unwrap_or(self.timestamp);
            }
            [b'h', b':', host @ ..] => self.host = host,
            [b'k', b':', key @ ..] => self.aggregation_key = key,
            [b'p', b':', name @ ..] => {
                self.priority = Priority::read(name).unwrap_or(self.priority)
            }
            [b's', b':', name @ ..] => self.source_type_name = name,
            [b't', b':', name @ ..] => {
                self.alert_type = AlertType::read(name).unwrap_or(self.alert_type);
            }
            [b'#', tags @ ..] => self.tags = Tags(tags),
            _ => self.origin.take(field, options),
        }
    }
}

/// Reads the two lengths between `_e{` and the header's last byte. A length beyond what memory can
/// hold is given as the largest there is, so that no body is long enough for it.
fn lengths(header: &[u8]) -> Result<(usize, usize), Error> {
    const OPENING: usize = "_e{".len();
    const HEADER_BYTES_MIN: usize = "_e{1,1}".len();

    if header.len() < HEADER_BYTES_MIN {
        return Err(Error::new(Class::BadEventHeader, header.len()));
    }
    let inner = header.get(OPENING..header.len() - 1).unwrap_or_default();
    let (title, text) = cut(inner, b',');
    let text = text.ok_or_else(|| Error::new(Class::BadEventHeader, header.len() - 1))?;
    let length = |digits, at| match number::integer(digits) {
        Some(length @ 0..) => Ok(usize::try_from(length).unwrap_or(usize::MAX)),
        _ => Err(Error::new(Class::BadEventHeader, at)),
    };
    Ok((length(title, OPENING)?, length(text, header.len() - 1 - text.len())?))
}

/// Splits a body into title, text and what follows them; `None` if it is too short.
fn split_body(body: &[u8], title_len: usize, text_len: usize) -> Option<(&[u8], &[u8], &[u8])> {
    let (title, rest) = body.split_at_checked(title_len)?;
    let (text, fields) = rest.get(1..)?.split_at_checked(text_len)?;
    Some((title, text, fields))
}

/// Replaces each backslash that an `n` follows, and the `n`, by a newline. Allocates only if there
/// is one.
fn restore_newlines(text: &[u8]) -> Cow<'_, [u8]> {
    let mut restored = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"\\n") {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        restored.extend_from_slice(before);
        restored.push(b'\n');
        rest = behind.get(2..).unwrap_or_default();
    }
    if restored.is_empty() {
        return Cow::Borrowed(text);
    }
    restored.extend_from_slice(rest);
    Cow::Owned(restored)
}
