//! JSON for the commands that print what the engine makes of input: in ASCII, keys in the order they
//! were given, and no value that JSON can't hold is lost.
//!
//! Two things that JSON has no form for have one here: bytes that are no UTF-8 stand in hex under the
//! key with `_hex` behind it, and numbers that aren't finite are `"NaN"`, `"+Inf"` and `"-Inf"`.

use std::fmt::{self, Write};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any number, finite or not.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Object),
}

/// A JSON object. A key is given once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object(Vec<(String, Json)>);

impl Object {
    /// Adds a value.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Json>) {
        debug_assert!(self.0.iter().all(|(other, _)| other != key), "{key} is given twice");
        self.0.push((key.into(), value.into()));
    }

    /// Adds a value if there is one.
    pub(crate) fn set_if(&mut self, key: &str, value: Option<impl Into<Json>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Adds a byte string: as text under `key`, or if it is no UTF-8 in hex under `key` and `_hex`.
    pub(crate) fn set_bytes(&mut self, key: &str, bytes: &[u8]) {
        match str::from_utf8(bytes) {
            Ok(text) => self.set(key, text),
            Err(_) => self.set(&format!("{key}_hex"), hex(bytes)),
        }
    }

    /// Adds a byte string if there is one.
    pub(crate) fn set_bytes_if(&mut self, key: &str, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.set_bytes(key, bytes);
        }
    }

    /// Adds a list of byte strings: all as text, or if one of them is no UTF-8 all in hex.
    pub(crate) fn set_byte_list<'a>(&mut self, key: &str, list: impl Iterator<Item = &'a [u8]>) {
        let list: Vec<_> = list.collect();
        let texts: Result<Vec<_>, _> = list.iter().map(|bytes| str::from_utf8(bytes)).collect();
        match texts {
            Ok(texts) => self.set(key, texts.into_iter().map(Json::from).collect::<Vec<_>>()),
            Err(_) => {
                let list: Vec<Json> = list.into_iter().map(|bytes| hex(bytes).into()).collect();
                self.set(&format!("{key}_hex"), list);
            }
        }
    }

    /// True if it has no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the keys of `other` behind its own.
    pub(crate) fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, value)| self.set(&key, value));
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Self>> for Json {
    fn from(list: Vec<Self>) -> Self {
        Self::List(list)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) if value.is_nan() => f.write_str("\"NaN\""),
            Self::Number(f64::INFINITY) => f.write_str("\"+Inf\""),
            Self::Number(f64::NEG_INFINITY) => f.write_str("\"-Inf\""),
            // The debug form is the shortest that reads back, with an exponent where it is long.
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => write_text(f, text),
            Self::List(list) => {
                f.write_char('[')?;
                for (index, value) in list.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write!(f, "{value}")?;
                }
                f.write_char(']')
            }
            Self::Object(object) => write!(f, "{object}"),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (index, (key, value)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            write_text(f, key)?;
            write!(f, ":{value}")?;
        }
        f.write_char('}')
    }
}

/// Writes a string in quotes; what isn't printable ASCII becomes an escape.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            ' '..='~' => f.write_char(c)?,
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(f, "\\u{unit:04x}")?;
                }
            }
        }
    }
    f.write_char('"')
}

/// The bytes as hex digits, two a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hex digits stand for; `None` if they aren't pairs of hex digits.
pub(crate) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_ascii_whatever_they_hold() {
        let text = "a\"\\\n\r\t\0\u{7f}\u{e4}\u{2028}\u{1f600}";
        let expected = r#""a\"\\\n\r\t\u0000\u007f\u00e4\u2028\ud83d\ude00""#;
        assert_eq!(Json::from(text).to_string(), expected);
    }

    #[test]
    fn numbers_read_back_and_those_that_are_not_finite_have_names() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"+Inf\""),
            (f64::NEG_INFINITY, "\"-Inf\""),
        ] {
            assert_eq!(Json::from(value).to_string(), expected);
        }
        assert_eq!(Json::from(u64::MAX).to_string(), "18446744073709551615");
    }

    #[test]
    fn bytes_are_text_or_hex_under_another_key() {
        let mut object = Object::default();
        object.set_bytes("a", b"x");
        object.set_bytes("b", b"x\xff");
        object.set_byte_list("c", [&b"x"[..], b""].into_iter());
        object.set_byte_list("d", [&b"x"[..], b"\xfe"].into_iter());
        let expected = r#"{"a":"x","b_hex":"78ff","c":["x",""],"d_hex":["78","fe"]}"#;
        assert_eq!(object.to_string(), expected);
    }

    #[test]
    fn hex_is_read_in_pairs_of_digits() {
        assert_eq!(from_hex(b"00fFa1"), Some(vec![0, 255, 0xa1]));
        for digits in ["0", "0g", "+1", "0x", " 0"] {
            assert_eq!(from_hex(digits.as_bytes()), None, "{digits}");
        }
    }
}
