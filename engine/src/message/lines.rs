//! A datagram cut into lines, one for each message.

use super::{Class, Error};

/// Whether the last line of a datagram needs a newline too.
///
/// A datagram that was longer than the read buffer ends in the middle of a line, and such a line
/// may pass for a good one with a wrong value. A client that ends each line lets that be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// The end of the datagram ends its last line.
    #[default]
    Optional,
    /// A last line without a newline is refused as [`Class::Unterminated`].
    Required,
}

/// One line, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its `\n` and without one `\r` before that.
    pub bytes: &'a [u8],
    /// Where it starts in the datagram.
    pub at: usize,
}

/// Cuts a datagram into lines at each `\n`. Empty lines are skipped; nothing else ends a line.
#[must_use]
pub fn lines(datagram: &[u8], end: LineEnd) -> Lines<'_> {
    Lines { rest: datagram, datagram_len: datagram.len(), end }
}

/// The lines of a datagram; made by [`lines`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    datagram_len: usize,
    end: LineEnd,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let at = self.datagram_len - self.rest.len();
            let (line, rest) = super::cut(self.rest, b'\n');
            self.rest = rest.unwrap_or_default();
            if rest.is_none() && self.end == LineEnd::Required {
                return Some(Err(Error::new(Class::Unterminated, at)));
            }
            let bytes = line.strip_suffix(b"\r").unwrap_or(line);
            if !bytes.is_empty() {
                return Some(Ok(Line { bytes, at }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(datagram: &str, end: LineEnd) -> Vec<(usize, &str)> {
        let text = |line: Result<Line<'_>, Error>| match line {
            Ok(line) => (line.at, &datagram[line.at..line.at + line.bytes.len()]),
            Err(error) => (error.at as usize, error.class.name()),
        };
        lines(datagram.as_bytes(), end).map(text).collect()
    }

    #[test]
    fn a_newline_ends_a_line_and_takes_one_carriage_return_with_it() {
        for (datagram, expected) in [
            ("", vec![]),
            ("\n\r\n\n\r", vec![]),
            ("a", vec![(0, "a")]),
            ("a\r\r\nb\rc\n", vec![(0, "a\r"), (4, "b\rc")]),
            ("\na\n\nb", vec![(1, "a"), (4, "b")]),
        ] {
            assert_eq!(cut(datagram, LineEnd::Optional), expected, "{datagram:?}");
        }
    }

    #[test]
    fn an_unterminated_rest_is_refused_where_newlines_are_required() {
        for (datagram, expected) in [
            ("", vec![]),
            ("a\n", vec![(0, "a")]),
            ("a\nb", vec![(0, "a"), (2, "unterminated")]),
            ("a\n\r", vec![(0, "a"), (2, "unterminated")]),
        ] {
            assert_eq!(cut(datagram, LineEnd::Required), expected, "{datagram:?}");
        }
    }
}
