//! Service checks: `"_sc|" name "|" status { "|" field }`.

use super::error::{Class, Error};
use super::{Fields, Options, OriginFields, Tags, cut, number};
use crate::series::CheckStatus;

/// One service check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCheck<'a> {
    /// Name: at least one byte, any but `|` and newline.
    pub name: &'a [u8],
    /// State.
    pub status: CheckStatus,
    /// Seconds since 1970 as the client gave them; 0 where it gave none.
    pub timestamp: i64,
    /// Host; empty where none is given.
    pub host: &'a [u8],
    /// Message as it came, may be empty.
    pub message: &'a [u8],
    /// Tags as they came.
    pub tags: Tags<'a>,
    /// The client's word on its origin.
    pub origin: OriginFields<'a>,
}

/// Reads a service check. The byte after `_sc` may be anything.
pub fn parse(line: &[u8], options: Options) -> Result<ServiceCheck<'_>, Error> {
    const OPENING: usize = "_sc|".len();

    let bad_format = Error::new(Class::BadScFormat, line.len());
    let body = line.get(OPENING..).ok_or(bad_format)?;
    if line.iter().filter(|&&byte| byte == b'|').count() < 2 {
        return Err(bad_format);
    }
    let (name, rest) = cut(body, b'|');
    let rest = rest.ok_or(bad_format)?;
    if name.is_empty() {
        return Err(Error::new(Class::EmptyScName, OPENING));
    }
    let (status, fields) = cut(rest, b'|');
    let status = match status {
        b"0" => CheckStatus::Ok,
        b"1" => CheckStatus::Warning,
        b"2" => CheckStatus::Critical,
        b"3" => CheckStatus::Unknown,
        _ => return Err(Error::new(Class::BadScStatus, line.len() - rest.len())),
    };
    let mut check = ServiceCheck {
        name,
        status,
        timestamp: 0,
        host: &[],
        message: &[],
        tags: Tags::default(),
        origin: OriginFields::default(),
    };
    for (_, field) in Fields::new(fields, line.len()) {
        check.take(field, options);
    }
    Ok(check)
}

impl<'a> ServiceCheck<'a> {
    /// Takes over an optional field. A bad one is nothing, and leaves an earlier one as it is.
    fn take(&mut self, field: &'a [u8], options: Options) {
        match field {
            [b'd', b':', second @ ..] => {
                self.timestamp = number::integer(second).unwrap_or(self.timestamp);
            }
            [b'h', b':', host @ ..] => self.host = host,
            [b'#', tags @ ..] => self.tags = Tags(tags),
            [b'm', b':', message @ ..] => self.message = message,
            _ => self.origin.take(field, options),
        }
    }
}
