//! The lines of a head or a trailer section: cut at LF, counted against the budget, kept only where
//! something hangs on them.
//!
//! What a field line is made of, `httparse` says, one line at a time. Where lines end, which may be
//! folded, how many there may be and what the first one says is ours: as a parser of whole heads it
//! refuses HTTP/1.2, takes a folded line for an error or keeps its line break, and its answer to a
//! head without end is to be called again with all of it.

use httparse::Status;

use super::error::ResponseError;

/// Cuts bytes that come in any pieces into lines, up to a budget of bytes for all of them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line that has begun, without its LF; at most as long as the budget.
    line: Vec<u8>,
    /// Whether `line` was handed out and begins anew with the next byte.
    handed_out: bool,
    /// Bytes taken so far, line ends included.
    bytes: usize,
}

impl Lines {
    /// Takes bytes off `input` up to the next LF. Returns the line without CRLF or LF, or `None` if
    /// it has not ended yet.
    ///
    /// # Errors
    /// `HeadTooLarge` as soon as all lines together have more than `bytes_max` bytes.
    pub(super) fn next<'a>(
        &'a mut self,
        input: &mut &[u8],
        bytes_max: usize,
    ) -> Result<Option<&'a [u8]>, ResponseError> {
        if self.handed_out {
            self.line.clear();
            self.handed_out = false;
        }
        let room = bytes_max.saturating_sub(self.bytes);
        let end = input.iter().take(room).position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |at| at.saturating_add(1));
        let Some((taken, rest)) = input.split_at_checked(taken).filter(|_| taken <= room) else {
            return Err(ResponseError::HeadTooLarge);
        };
        *input = rest;
        self.bytes = self.bytes.saturating_add(taken.len());
        self.line.extend_from_slice(taken);
        if end.is_none() {
            return Ok(None);
        }
        self.handed_out = true;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Tells whether no byte was taken yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.bytes == 0
    }
}

/// A status line's two facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusLine {
    /// The digit after `HTTP/1.`: 0 has its own rules, everything above acts as 1.
    pub(super) minor: u8,
    /// 100 to 999.
    pub(super) status: u16,
}

impl StatusLine {
    /// Reads `HTTP/d.d`, one space, three digits, then nothing or a space and any text.
    pub(super) fn parse(line: &[u8]) -> Result<Self, ResponseError> {
        let Some(rest) = line.strip_prefix(b"HTTP/") else {
            return Err(ResponseError::BadStatusLine);
        };
        let [major, b'.', minor, b' ', a, b, c, rest @ ..] = rest else {
            return Err(ResponseError::BadStatusLine);
        };
        let (Some(major), Some(minor)) = (digit(*major), digit(*minor)) else {
            return Err(ResponseError::BadStatusLine);
        };
        let (Some(a), Some(b), Some(c)) = (digit(*a), digit(*b), digit(*c)) else {
            return Err(ResponseError::BadStatusLine);
        };
        let reason_is_sound = match rest {
            [] => true,
            [b' ', reason @ ..] => !reason.iter().any(|byte| is_control(*byte)),
            _ => false,
        };
        if a == 0 || !reason_is_sound {
            return Err(ResponseError::BadStatusLine);
        }
        if major != 1 {
            return Err(ResponseError::BadVersion);
        }
        let status = u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c);
        Ok(Self { minor, status })
    }
}

/// The fields of one head, of which only four are looked at. The lines of a field are joined
/// with a comma, which is what RFC 9110, 5.3 lets anyone on the way do.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) content_length: Option<Vec<u8>>,
    pub(super) transfer_encoding: Option<Vec<u8>>,
    pub(super) connection: Option<Vec<u8>>,
    pub(super) retry_after: Option<Vec<u8>>,
    /// Lines so far, folded ones included.
    lines: usize,
    /// The field that a folded line would continue.
    last: Option<Field>,
}

/// The fields that are kept, and all others.
#[derive(Clone, Copy, Debug)]
enum Field {
    ContentLength,
    TransferEncoding,
    Connection,
    RetryAfter,
    Other,
}

impl Field {
    fn named(name: &str) -> Self {
        let named = [
            ("content-length", Self::ContentLength),
            ("transfer-encoding", Self::TransferEncoding),
            ("connection", Self::Connection),
            ("retry-after", Self::RetryAfter),
        ];
        let found = named.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map_or(Self::Other, |(_, field)| field)
    }
}

impl Fields {
    /// Takes the next line, which is not the blank one.
    ///
    /// # Errors
    /// `TooManyHeaders` beyond `lines_max`, else `BadHeader`.
    pub(super) fn line(&mut self, line: &[u8], lines_max: usize) -> Result<(), ResponseError> {
        self.lines = self.lines.saturating_add(1);
        if self.lines > lines_max {
            return Err(ResponseError::TooManyHeaders);
        }
        if let [b' ' | b'\t', ..] = line {
            return self.continuation(line);
        }
        // A section of this one line.
        let section = [line, b"\r\n\r\n"].concat();
        let mut room = [httparse::EMPTY_HEADER];
        let Ok(Status::Complete((_, [header]))) = httparse::parse_headers(&section, &mut room)
        else {
            return Err(ResponseError::BadHeader);
        };
        let field = Field::named(header.name);
        self.last = Some(field);
        if let Some(kept) = self.kept(field) {
            match kept {
                Some(list) => {
                    list.push(b',');
                    list.extend_from_slice(trim(header.value));
                }
                None => *kept = Some(trim(header.value).to_vec()),
            }
        }
        Ok(())
    }

    /// Joins a folded line to the one before it with a space (RFC 9112, 5.2).
    fn continuation(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let Some(field) = self.last.filter(|_| !line.iter().any(|byte| is_control(*byte))) else {
            return Err(ResponseError::BadHeader);
        };
        if let Some(Some(value)) = self.kept(field) {
            value.push(b' ');
            value.extend_from_slice(trim(line));
        }
        Ok(())
    }

    fn kept(&mut self, field: Field) -> Option<&mut Option<Vec<u8>>> {
        match field {
            Field::ContentLength => Some(&mut self.content_length),
            Field::TransferEncoding => Some(&mut self.transfer_encoding),
            Field::Connection => Some(&mut self.connection),
            Field::RetryAfter => Some(&mut self.retry_after),
            Field::Other => None,
        }
    }
}

/// Splits a field's value into the members of its list, without the space around them; empty
/// members are kept.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim)
}

/// Cuts spaces and tabs off both ends.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Tells whether `name` is a token (RFC 9110, 5.6.2), which a field name must be.
pub(super) fn is_token(name: &[u8]) -> bool {
    let punctuation = b"!#$%&'*+-.^_`|~";
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(byte))
}

/// Tells whether `byte` is a control character; a tab is not one.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte.wrapping_sub(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For all bytes at all places of a field line: taken exactly if the name stays a token and the
    /// value has no control character. So the parser that we stand on is held to our rule.
    #[test]
    fn a_field_line_is_a_token_a_colon_and_no_control_character() {
        // A line has no LF in it.
        for byte in (0..=u8::MAX).filter(|byte| *byte != b'\n') {
            for at in 0..=5 {
                let mut line = b"ab: c".to_vec();
                line.insert(at, byte);
                let colon = line.iter().position(|byte| *byte == b':').unwrap();
                let (name, value) = line.split_at(colon);
                let folded = matches!(line.first(), Some(b' ' | b'\t'));
                let sound = is_token(name) && !value.iter().any(|byte| is_control(*byte));
                let taken = Fields::default().line(&line, 1).is_ok();
                assert_eq!(taken, sound && !folded, "{byte:#04x} at {at}");
            }
        }
    }
}
