//! An API key that can't slip into a log: printing it shows a mask.

use std::fmt;

/// Characters of a key that may be shown: enough to tell two keys apart, useless to anyone else.
const SHOWN: usize = 5;

/// A key as the intake wants it: trimmed, not empty, visible ASCII only, so it fits into a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Why a configured text can't be used as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKey {
    /// Absent, empty, or nothing but white space.
    Empty,
    /// A placeholder (`ENC[…]`) that nothing has resolved.
    Unresolved,
    /// Holds a blank, a control character or a character beyond ASCII.
    NotPrintable,
}

impl Secret {
    /// Takes a key from configuration or from a file, trimming white space around it.
    ///
    /// # Errors
    /// Says why the text is no key; it never repeats the text.
    pub fn parse(text: &str) -> Result<Self, UnusableKey> {
        let key = text.trim();
        if key.is_empty() {
            return Err(UnusableKey::Empty);
        }
        if key.starts_with("ENC[") && key.ends_with(']') {
            return Err(UnusableKey::Unresolved);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UnusableKey::NotPrintable);
        }
        Ok(Self(key.into()))
    }

    /// The key itself, for the request and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    /// The last five characters behind a mask; only the mask where that would show half the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = self.0.len().checked_sub(SHOWN).filter(|&start| start >= SHOWN);
        f.write_str("***")?;
        f.write_str(tail.and_then(|start| self.0.get(start..)).unwrap_or_default())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no API key: set DD_API_KEY",
            Self::Unresolved => "the API key is a placeholder that was not resolved: set the key",
            Self::NotPrintable => "the API key holds a character that no key has: check its source",
        })
    }
}

impl std::error::Error for UnusableKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_and_printed_only_as_a_mask() {
        let key = Secret::parse(" 0123456789abcdef\n").unwrap();
        assert_eq!(key.expose(), "0123456789abcdef");
        assert_eq!(format!("{key} {key:?} {:?}", Some(&key)), "***bcdef ***bcdef Some(***bcdef)");
        let short = Secret::parse("abcdefgh").unwrap();
        assert_eq!(format!("{short:?}"), "***");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        for (text, why) in [
            ("", UnusableKey::Empty),
            (" \t\r\n", UnusableKey::Empty),
            ("ENC[my-handle]", UnusableKey::Unresolved),
            ("two words", UnusableKey::NotPrintable),
            ("line\r\nInjected: yes", UnusableKey::NotPrintable),
            ("schlüssel", UnusableKey::NotPrintable),
        ] {
            assert_eq!(Secret::parse(text), Err(why), "{text:?}");
        }
    }
}
