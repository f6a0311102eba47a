//! HTTP proxies: their URLs, and for which targets they are passed by.

use std::fmt;
use std::net::IpAddr;

use super::target::{Host, Scheme, Target, parse_authority};
use crate::http::{Authority, Header, RequestError};

/// A proxy that speaks plain HTTP. `Debug` and `Display` mask user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    host: Host,
    port: u16,
    authority: Authority,
    authorization: Option<Header>,
}

/// What is wrong with a proxy's URL. Never repeats the URL: it may carry a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyUrlError {
    /// It begins with another scheme than `http://`.
    Scheme,
    /// Host or port make no sense.
    Host,
    /// User or password have characters that cannot be sent.
    UserInfo,
}

impl ProxyUrl {
    /// Takes `http://[user[:password]@]host[:port]`; the scheme may be missing, the port is 80 then
    /// as with it. User and password may be percent-encoded.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let url = url.trim();
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(ProxyUrlError::Scheme),
            None => url,
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user_info, authority) = match rest.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info), authority),
            None => (None, rest),
        };
        let (host, port) = parse_authority(authority).map_err(|_| ProxyUrlError::Host)?;
        let authorization =
            user_info.map(basic).transpose().map_err(|_| ProxyUrlError::UserInfo)?;
        Ok(Self {
            host,
            port: port.unwrap_or_else(|| Scheme::Http.port()),
            authority: Authority::new(authority).map_err(|_| ProxyUrlError::Host)?,
            authorization,
        })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns `Proxy-Authorization`, if the URL has a user.
    pub(super) fn authorization(&self) -> Option<&Header> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_info = if self.authorization.is_some() { "***:***@" } else { "" };
        write!(f, "http://{user_info}{}", self.authority)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for ProxyUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "only proxies that begin with http:// are spoken to",
            Self::Host => "the proxy's host or port makes no sense",
            Self::UserInfo => "the proxy's user or password has characters that cannot be sent",
        })
    }
}

impl std::error::Error for ProxyUrlError {}

/// Which proxies there are, and for whom not.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `http://` targets.
    pub http: Option<ProxyUrl>,
    /// For `https://` targets.
    pub https: Option<ProxyUrl>,
    /// For whom not.
    pub no_proxy: NoProxy,
}

impl ProxySettings {
    /// Returns the proxy that a target is reached through.
    #[must_use]
    pub fn proxy_for(&self, target: &Target) -> Option<&ProxyUrl> {
        let proxy = match target.scheme() {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        };
        proxy.filter(|_| !self.no_proxy.covers(target))
    }
}

/// The targets that are reached directly.
#[derive(Clone, Debug, Default)]
pub struct NoProxy {
    entries: Vec<String>,
    matching: NoProxyMatching,
}

/// How the entries of `no_proxy` are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoProxyMatching {
    /// An entry is the URL's host as written there, with the port where one is written.
    #[default]
    Exact,
    /// An entry is a domain with all below it, `.domain` for those below it only, an address, a
    /// CIDR block, each of them with or without a port, or `*`; this machine is never proxied.
    Suffix,
}

impl NoProxy {
    /// Takes the entries; empty ones are skipped.
    #[must_use]
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>, matching: NoProxyMatching) -> Self {
        let entries = entries.into_iter().map(|entry| entry.trim().to_ascii_lowercase());
        Self { entries: entries.filter(|entry| !entry.is_empty()).collect(), matching }
    }

    /// Tells whether a target is reached directly.
    #[must_use]
    pub fn covers(&self, target: &Target) -> bool {
        match self.matching {
            NoProxyMatching::Exact => {
                let host = target.authority().as_str();
                self.entries.iter().any(|entry| entry.eq_ignore_ascii_case(host))
            }
            NoProxyMatching::Suffix => {
                is_this_machine(target.host())
                    || self.entries.iter().any(|entry| entry_covers(entry, target))
            }
        }
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Name(name) => bare(name).eq_ignore_ascii_case("localhost"),
        Host::Address(address) => address.is_loopback(),
    }
}

fn entry_covers(entry: &str, target: &Target) -> bool {
    if entry == "*" {
        return true;
    }
    if let Host::Address(address) = target.host()
        && let Some((network, bits)) = entry.split_once('/')
    {
        let block = network.parse().ok().zip(bits.parse().ok());
        return block.is_some_and(|(network, bits)| in_block(*address, network, bits));
    }
    let (host, port) = split_port(entry);
    if port.is_some_and(|port| port != target.port()) {
        return false;
    }
    match target.host() {
        Host::Address(address) => host.parse() == Ok(*address),
        Host::Name(name) => {
            let name = bare(name).to_ascii_lowercase();
            let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
            match host.strip_prefix('.') {
                Some(domain) => is_below(&name, domain),
                None => name == host || is_below(&name, host),
            }
        }
    }
}

/// Tells whether `name` ends in `.domain`.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Cuts the final dot off.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Cuts a port off an entry, and the brackets off an IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    let (host, port) = match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (entry, None),
    };
    let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    (unbracketed.unwrap_or(host), port)
}

/// Tells whether the first `bits` bits of both addresses are the same.
fn in_block(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128_u32),
        _ => return false,
    };
    let Some(host_bits) = width.checked_sub(bits) else { return false };
    // A shift by the whole width (every address is in `/0`) leaves nothing to compare.
    let differing = address ^ network;
    differing.checked_shr(host_bits).unwrap_or(0) == 0
}

/// Makes `Proxy-Authorization: Basic …` of `user:password` (RFC 7617).
fn basic(user_info: &str) -> Result<Header, RequestError> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut credentials = percent_decoded(user);
    credentials.push(b':');
    credentials.extend(percent_decoded(password));
    Header::secret("Proxy-Authorization", &format!("Basic {}", base64(&credentials)))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.first_chunk::<2>().filter(|_| *first == b'%');
        // `from_str_radix` alone would take a plus sign.
        let pair = pair.filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let hex = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let group_bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let group_bits = group_bits << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (group_bits >> (18 - 6 * digit)) & 0x3f;
            let known = digit <= group.len();
            let character = DIGITS.get(index as usize).filter(|_| known).unwrap_or(&b'=');
            text.push(char::from(*character));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart_and_shows_no_password() {
        let rows = [
            ("http://proxy:3128", "http://proxy:3128", 3128, None),
            ("proxy.example", "http://proxy.example", 80, None),
            ("HTTP://[::1]:8080/", "http://[::1]:8080", 8080, None),
            ("http://u:p@proxy:1", "http://***:***@proxy:1", 1, Some("u:p")),
            ("http://u@proxy:1", "http://***:***@proxy:1", 1, Some("u:")),
            ("http://a%3Ab:%%41%4@proxy", "http://***:***@proxy", 80, Some("a:b:%A%4")),
            ("http://u:p@ss@proxy", "http://***:***@proxy", 80, Some("u:p@ss")),
        ];
        for (url, shown, port, credentials) in rows {
            let proxy = ProxyUrl::parse(url).unwrap();
            assert_eq!((proxy.to_string(), proxy.port()), (shown.to_owned(), port), "{url}");
            assert_eq!(format!("{proxy:?}"), format!("\"{shown}\""));
            let expect = credentials.map(|credentials| {
                let value = format!("Basic {}", base64(credentials.as_bytes()));
                Header::secret("Proxy-Authorization", &value).unwrap()
            });
            assert_eq!(proxy.authorization(), expect.as_ref(), "{url}");
        }
    }

    #[test]
    fn a_bad_url_names_its_bad_part() {
        let rows = [
            ("https://proxy", ProxyUrlError::Scheme),
            ("socks5://proxy", ProxyUrlError::Scheme),
            ("", ProxyUrlError::Host),
            ("http://u:p@", ProxyUrlError::Host),
            ("http://pro xy", ProxyUrlError::Host),
            ("http://proxy:port", ProxyUrlError::Host),
            ("http://proxy\r\nX: y", ProxyUrlError::Host),
        ];
        for (url, error) in rows {
            assert_eq!(ProxyUrl::parse(url).unwrap_err(), error, "{url}");
        }
    }

    /// RFC 4648, 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let rows = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in rows {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn no_proxy_covers_what_its_entries_say() {
        use NoProxyMatching::{Exact, Suffix};
        let rows = [
            (Exact, "a.example", "https://a.example", true),
            (Exact, "a.example", "https://a.example:8443", false),
            (Exact, "a.example:8443", "https://a.example:8443/x", true),
            (Exact, "example", "https://a.example", false),
            (Exact, "*", "https://a.example", false),
            (Exact, "localhost", "https://localhost:1", false),
            (Suffix, "example.com", "https://example.com", true),
            (Suffix, "example.com", "https://app.example.com.", true),
            (Suffix, "example.com", "https://badexample.com", false),
            (Suffix, ".example.com", "https://app.example.com", true),
            (Suffix, ".example.com", "https://example.com", false),
            (Suffix, "*.example.com", "https://app.example.com", true),
            (Suffix, "Example.COM", "https://APP.example.com", true),
            (Suffix, "example.com:443", "https://app.example.com", true),
            (Suffix, "example.com:8443", "https://app.example.com", false),
            (Suffix, "*", "https://a.example", true),
            (Suffix, "10.1.2.3", "http://10.1.2.3:8080", true),
            (Suffix, "10.1.2.3:80", "http://10.1.2.3:8080", false),
            (Suffix, "10.0.0.0/8", "http://10.1.2.3", true),
            (Suffix, "10.0.0.0/8", "http://11.1.2.3", false),
            (Suffix, "0.0.0.0/0", "http://11.1.2.3", true),
            (Suffix, "10.0.0.0/33", "http://10.0.0.0", false),
            (Suffix, "fd00::/8", "http://[fd12::1]", true),
            (Suffix, "::/0", "http://[fd12::1]", true),
            (Suffix, "[fd12::1]:80", "http://[fd12::1]", true),
            (Suffix, "fd12::1", "http://[fd12::1]:81", true),
            (Suffix, "", "http://localhost:1", true),
            (Suffix, "", "http://127.9.9.9", true),
            (Suffix, "", "http://[::1]", true),
            (Suffix, "", "http://a.example", false),
        ];
        for (matching, entry, url, covered) in rows {
            let no_proxy = NoProxy::new([entry], matching);
            let target = Target::parse(url).unwrap();
            assert_eq!(no_proxy.covers(&target), covered, "{matching:?} {entry:?} {url}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let proxies = ProxySettings {
            http: None,
            https: Some(ProxyUrl::parse("proxy:3128").unwrap()),
            no_proxy: NoProxy::new(["direct.example"], NoProxyMatching::Exact),
        };
        let proxy_for = |url: &str| {
            let target = Target::parse(url).unwrap();
            proxies.proxy_for(&target).map(ProxyUrl::to_string)
        };
        assert_eq!(proxy_for("http://a.example"), None);
        assert_eq!(proxy_for("https://a.example"), Some("http://proxy:3128".to_owned()));
        assert_eq!(proxy_for("https://direct.example"), None);
    }
}
