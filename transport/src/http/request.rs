//! Writes a request's head; everything in it was validated when it was made, so that no value from
//! a configuration can add a header or a second request.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::error::RequestError;
use super::head::is_token;

/// The methods that an agent needs; for CONNECT there is [`write_connect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The key check.
    Get,
    /// Every payload.
    Post,
}

impl Method {
    /// Returns the name as it stands in the request line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One header of a request. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: &'static str,
    value: Arc<str>,
    shown: Shown,
}

/// Whether `Debug` may show a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    Masked,
}

/// Headers that the writer sets itself, or that must not be sent: a body's end must have one
/// author, and answers are read uncompressed and at once.
const RESERVED: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Header {
    /// Makes a header whose value may be shown.
    ///
    /// # Errors
    /// If the name is not a token or reserved for the writer, or the value has a control character
    /// (a tab is one here).
    pub fn new(name: &'static str, value: &str) -> Result<Self, RequestError> {
        Self::checked(name, value, Shown::Plain)
    }

    /// Makes a header whose value, a key or password, never appears in `Debug` or an error.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn secret(name: &'static str, value: &str) -> Result<Self, RequestError> {
        Self::checked(name, value, Shown::Masked)
    }

    fn checked(name: &'static str, value: &str, shown: Shown) -> Result<Self, RequestError> {
        if !is_token(name.as_bytes()) {
            return Err(RequestError::BadHeaderName { name });
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(RequestError::ReservedHeader { name });
        }
        match value.bytes().position(|byte| byte.is_ascii_control()) {
            Some(at) => Err(RequestError::BadHeaderValue { name, at }),
            None => Ok(Self { name, value: value.trim().into(), shown }),
        }
    }

    /// Returns the name as given.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, &[self.name, ": ", &self.value, "\r\n"]);
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.shown {
            Shown::Plain => &self.value,
            Shown::Masked => "***",
        };
        write!(f, "{}: {value}", self.name)
    }
}

/// Path and query of a URL, percent-encoded where needed. Cheap to clone. `Debug` and `Display`
/// show no query: the key check carries the key in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Path(Arc<str>);

impl Path {
    /// Takes a path that begins with `/`, or the empty one.
    ///
    /// # Errors
    /// If it begins with something else, or has a space, `#`, a control or a non-ASCII character.
    pub fn new(path: &str) -> Result<Self, RequestError> {
        if !path.is_empty() && !path.starts_with('/') {
            return Err(RequestError::BadPath { at: 0 });
        }
        match path.bytes().position(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            Some(at) => Err(RequestError::BadPath { at }),
            None => Ok(Self(path.into())),
        }
    }

    /// Returns this path with `?name=value`, or `&name=value` where it has a query; any value will
    /// do.
    #[must_use]
    pub fn with_query(&self, name: &'static str, value: &str) -> Self {
        let separator = if self.0.contains('?') { '&' } else { '?' };
        let mut path = format!("{}{separator}{name}=", self.0);
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
        Self(path.into())
    }

    /// Returns the path without its query, for logs.
    #[must_use]
    pub fn without_query(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// Returns the path without a slash at its end, as a prefix for others.
    #[must_use]
    pub fn as_prefix(&self) -> Self {
        Self(self.0.trim_end_matches('/').into())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_query())?;
        f.write_str(if self.0.contains('?') { "?***" } else { "" })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A host with its port where it is not the scheme's own, as it stands in `Host`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority(Arc<str>);

impl Authority {
    /// Takes `host`, `host:port`, an IPv4 or a bracketed IPv6 address with or without port.
    ///
    /// # Errors
    /// If it is empty or has a character that none of these has. Whether the host makes sense is
    /// for the resolver to say.
    pub fn new(text: &str) -> Result<Self, RequestError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte);
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(at) => Err(RequestError::BadAuthority { at }),
            None if text.is_empty() => Err(RequestError::BadAuthority { at: 0 }),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom the request line speaks to.
#[derive(Clone, Copy, Debug)]
pub enum Via<'a> {
    /// The server, directly or through a tunnel: the line names the path.
    Direct,
    /// A proxy for plain HTTP: the line names the whole URL.
    Proxy {
        /// `Proxy-Authorization`, if the proxy wants one.
        authorization: Option<&'a Header>,
    },
}

/// A request. Cheap to clone: headers and body are shared.
#[derive(Clone)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Appended to the base URL's path.
    pub path: Path,
    /// In the order in which they are sent.
    pub headers: Arc<[Header]>,
    /// Written as it is after the head.
    pub body: Bytes,
}

impl Request {
    /// Appends the head to `out`: request line, `Host`, the headers, `Content-Length`, blank line.
    pub fn write_head(&self, host: &Authority, prefix: &Path, via: Via<'_>, out: &mut Vec<u8>) {
        put(out, &[self.method.name(), " "]);
        if let Via::Proxy { .. } = via {
            put(out, &["http://", &host.0]);
        }
        put(out, &[&prefix.0, &self.path.0]);
        if prefix.0.is_empty() && self.path.0.is_empty() {
            put(out, &["/"]);
        }
        put(out, &[" HTTP/1.1\r\nHost: ", &host.0, "\r\n"]);
        if let Via::Proxy { authorization: Some(header) } = via {
            header.write(out);
        }
        for header in &*self.headers {
            header.write(out);
        }
        put(out, &["Content-Length: ", &self.body.len().to_string(), "\r\n\r\n"]);
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Appends a CONNECT request to `out`. `target` must bear its port (RFC 9110, 9.3.6).
pub fn write_connect(target: &Authority, authorization: Option<&Header>, out: &mut Vec<u8>) {
    put(out, &["CONNECT ", &target.0, " HTTP/1.1\r\nHost: ", &target.0, "\r\n"]);
    if let Some(header) = authorization {
        header.write(out);
    }
    put(out, &["\r\n"]);
}

fn put(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"body";

    fn authority() -> Authority {
        Authority::new("app.example.com:8443").unwrap()
    }

    fn request(headers: &[Header]) -> Request {
        Request {
            method: Method::Post,
            path: Path::new("/api/v2/series").unwrap(),
            headers: headers.into(),
            body: Bytes::from_static(BODY),
        }
    }

    /// Reads the bytes with a foreign parser: exactly one request, as lines of `name: value` after
    /// its request line.
    fn read_back(bytes: &[u8]) -> Vec<String> {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut fields);
        let head = parsed.parse(bytes).unwrap().unwrap();
        assert_eq!(head, bytes.len(), "bytes after the head");
        let line = format!("{} {}", parsed.method.unwrap(), parsed.path.unwrap());
        let fields = parsed
            .headers
            .iter()
            .map(|field| format!("{}: {}", field.name, std::str::from_utf8(field.value).unwrap()));
        std::iter::once(line).chain(fields).collect()
    }

    fn written(request: &Request, prefix: &str, via: Via<'_>) -> Vec<String> {
        let mut out = Vec::new();
        request.write_head(&authority(), &Path::new(prefix).unwrap(), via, &mut out);
        read_back(&out)
    }

    #[test]
    fn a_head_has_host_headers_and_length() {
        let request = request(&[
            Header::secret("DD-Api-Key", " abc ").unwrap(),
            Header::new("Content-Type", "application/json").unwrap(),
        ]);
        let expect = [
            "POST /datadog/api/v2/series",
            "Host: app.example.com:8443",
            "DD-Api-Key: abc",
            "Content-Type: application/json",
            "Content-Length: 4",
        ];
        assert_eq!(written(&request, "/datadog", Via::Direct), expect);
    }

    #[test]
    fn a_proxy_gets_the_whole_url_and_its_authorization() {
        let authorization = Header::secret("Proxy-Authorization", "Basic dTpw").unwrap();
        let expect = [
            "POST http://app.example.com:8443/api/v2/series",
            "Host: app.example.com:8443",
            "Proxy-Authorization: Basic dTpw",
            "Content-Length: 4",
        ];
        let via = Via::Proxy { authorization: Some(&authorization) };
        assert_eq!(written(&request(&[]), "", via), expect);
        let mut out = Vec::new();
        write_connect(&authority(), Some(&authorization), &mut out);
        let expect = [
            "CONNECT app.example.com:8443",
            "Host: app.example.com:8443",
            "Proxy-Authorization: Basic dTpw",
        ];
        assert_eq!(read_back(&out), expect);
    }

    /// For all bytes at all places of a header value, path, query and host: refused, or read back
    /// as one request with the same number of fields.
    #[test]
    fn no_byte_anywhere_adds_a_header_or_a_request() {
        for byte in 0..=0x7f_u8 {
            for at in 0..=3 {
                let mut text = String::from("/ab");
                text.insert(at, char::from(byte));
                let mut request = request(&[]);
                if let Ok(header) = Header::new("X-Any", &text) {
                    assert!(!byte.is_ascii_control(), "{byte:#04x} at {at}");
                    request.headers = [header].into();
                }
                if let Ok(path) = Path::new(&text) {
                    assert!(byte > b' ' && byte < 0x7f, "{byte:#04x} at {at}");
                    request.path = path;
                }
                request.path = request.path.with_query("api_key", &text);
                let host = Authority::new(&text[1..]).unwrap_or_else(|_| authority());
                let mut out = Vec::new();
                request.write_head(&host, &Path::new("").unwrap(), Via::Direct, &mut out);
                assert_eq!(read_back(&out).len(), 3 + request.headers.len(), "{byte:#04x} at {at}");
                let mut out = Vec::new();
                write_connect(&host, None, &mut out);
                assert_eq!(read_back(&out).len(), 2, "{byte:#04x} at {at}");
            }
        }
    }

    #[test]
    fn an_error_names_the_place_and_not_the_value() {
        let error = Header::secret("DD-Api-Key", "sec\nret").unwrap_err();
        assert_eq!(error, RequestError::BadHeaderValue { name: "DD-Api-Key", at: 3 });
        assert!(!error.to_string().contains("sec"));
        assert_eq!(Path::new("api").unwrap_err(), RequestError::BadPath { at: 0 });
        assert_eq!(Path::new("/a b").unwrap_err(), RequestError::BadPath { at: 2 });
        assert_eq!(Authority::new("").unwrap_err(), RequestError::BadAuthority { at: 0 });
        assert_eq!(Authority::new("a@b").unwrap_err(), RequestError::BadAuthority { at: 1 });
        let bad_name = RequestError::BadHeaderName { name: "X:Y" };
        assert_eq!(Header::new("X:Y", "").unwrap_err(), bad_name);
    }

    #[test]
    fn headers_of_the_writer_cannot_be_set() {
        for name in ["Content-Length", "HOST", "transfer-encoding", "Expect", "Accept-Encoding"] {
            assert_eq!(Header::new(name, "x").unwrap_err(), RequestError::ReservedHeader { name });
        }
    }

    #[test]
    fn no_debug_text_shows_a_secret() {
        let mut request = request(&[Header::secret("DD-Api-Key", "secret").unwrap()]);
        request.path = request.path.with_query("api_key", "sec/ret");
        let text = format!("{request:?} {}", request.path);
        assert!(!text.contains("sec"), "{text}");
        assert!(text.contains("/api/v2/series?***"), "{text}");
        assert_eq!(&*request.path.0, "/api/v2/series?api_key=sec%2Fret");
    }
}
