//! Values that must not be seen: keys of the intake, and addresses that may hold a password.
//!
//! Both mask themselves wherever they are printed (`Debug`, `Display`); the whole text is given only
//! where it is asked for by name.

use std::fmt;

/// How many of a key's last characters may be shown.
const TAIL_CHARS: usize = 5;

/// Shortest key, in characters, of which the tail is shown: of a shorter one too much would be.
const TAIL_FROM_CHARS: usize = 20;

/// A key: visible ASCII, so that it can stand in a header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes a key without the blanks around it; nothing if it is empty or holds what can't stand in
    /// a header.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// Gives the whole key.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = match self.0.len() {
            TAIL_FROM_CHARS.. => self.0.get(self.0.len() - TAIL_CHARS..).unwrap_or_default(),
            _ => "",
        };
        write!(f, "********{tail}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An `http` or `https` address without a slash at its end; may hold `user:password@`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(String);

impl Url {
    /// Takes an address; nothing if it has another scheme, no host, or blanks or control characters
    /// in it.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let clean = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = http && clean && !host.is_empty() && !host.starts_with(':');
        fits.then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// Gives the whole address, with what may be secret in it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide_user(&self.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gives the text with everything before its last `@` hidden, save a scheme: what is typed as an
/// address may hold a user and a password even if it is not one.
pub(crate) fn hide_user(text: &str) -> String {
    let Some((front, host)) = text.rsplit_once('@') else { return text.to_owned() };
    match front.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://********@{host}"),
        None => format!("********@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_at_most_its_last_five_characters() {
        let key = Secret::new(" 0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(key.expose(), "0123456789abcdef0123456789abcdef");
        assert_eq!(format!("{key} {key:?}"), "********bcdef ********bcdef");
        let short = Secret::new("0123456789abcdef012").unwrap();
        assert_eq!(format!("{short} {short:?}"), "******** ********");
    }

    /// For all bytes that can't stand in a header: no key.
    #[test]
    fn a_key_that_would_break_a_header_is_none() {
        for text in ["", " \t", "a b", "a\r\nX-Evil: 1", "a\u{7f}", "schlüssel"] {
            assert_eq!(Secret::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_loses_its_last_slash_and_hides_its_user() {
        let url = Url::new("http://user:p@ss@proxy:3128/").unwrap();
        assert_eq!(url.expose(), "http://user:p@ss@proxy:3128");
        assert_eq!(format!("{url} {url:?}").matches("p@ss").count(), 0);
        assert_eq!(url.to_string(), "http://********@proxy:3128");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "proxy:3128", "ftp://x", "http://", "http:///x", "https://:443", "http://a b"]
        {
            assert_eq!(Url::new(text), None, "{text:?}");
        }
    }
}
