//! The base URL of an endpoint, taken apart and checked once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::http::{Authority, Path};

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns the port where the URL names none.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host as a name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// To be resolved; may bear a final dot, which keeps the resolver from trying search domains.
    Name(Arc<str>),
    /// An IPv4 address, or an IPv6 address that stood in brackets.
    Address(IpAddr),
}

/// A base URL: scheme, host, port and a path before every request's own. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Host and port as written in the URL.
    authority: Authority,
    /// Without a slash at its end.
    prefix: Path,
    /// Whom the certificate must name; without the final dot.
    server_name: ServerName<'static>,
}

/// What is wrong with a base URL. Never repeats the URL: it may carry a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It has a user or password.
    UserInfo,
    /// The host is missing or neither a name nor an address.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The path has a query, a fragment, or characters that must be percent-encoded.
    Path,
}

impl Target {
    /// Takes a URL such as `https://app.datadoghq.com` or `http://[::1]:8428/datadog/` apart. A
    /// slash at its end is dropped, since every request's path begins with one.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(TargetError::Scheme)?;
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            scheme if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(TargetError::Scheme),
        };
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(path_at).ok_or(TargetError::Path)?;
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        if path.contains('?') {
            return Err(TargetError::Path);
        }
        let (host, port) = parse_authority(authority)?;
        Ok(Self {
            scheme,
            port: port.unwrap_or_else(|| scheme.port()),
            // A colon without a port is legal in a URL and means nothing.
            authority: Authority::new(authority.trim_end_matches(':'))
                .map_err(|_| TargetError::Host)?,
            prefix: Path::new(path).map_err(|_| TargetError::Path)?.as_prefix(),
            server_name: server_name(&host)?,
            host,
        })
    }

    /// Returns how the bytes travel.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port, the scheme's own if the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns host and port as the URL wrote them, for `Host`.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the path before every request's own, without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Returns whom the certificate must name, without the final dot; SNI says the same.
    #[must_use]
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Takes `host`, `host:port`, `[v6]` or `[v6]:port` apart.
pub(super) fn parse_authority(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(TargetError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| TargetError::Host)?;
            let port = match port {
                "" => "",
                port => port.strip_prefix(':').ok_or(TargetError::Host)?,
            };
            (Host::Address(address.into()), port)
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (parse_host(name)?, port)
        }
    };
    match port {
        "" => Ok((host, None)),
        // `parse` alone would take a plus sign.
        port if !port.bytes().all(|byte| byte.is_ascii_digit()) => Err(TargetError::Port),
        port => match port.parse() {
            Ok(0) | Err(_) => Err(TargetError::Port),
            Ok(port) => Ok((host, Some(port))),
        },
    }
}

fn parse_host(name: &str) -> Result<Host, TargetError> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let host = Host::Name(name.into());
    server_name(&host).map(|_| host)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, TargetError> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            ServerName::try_from(name.to_owned()).map_err(|_| TargetError::Host)
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URL must begin with https:// or http://",
            Self::UserInfo => "the URL must not have a user or password",
            Self::Host => "the URL's host is neither a name nor an address",
            Self::Port => "the URL's port is not a number from 1 to 65535",
            Self::Path => "the URL's path must have no query and no unencoded characters",
        })
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let parts = |url: &str| {
            let target = Target::parse(url).unwrap();
            let name = target.server_name().to_str().into_owned();
            (target.to_string(), target.port(), name)
        };
        let rows = [
            ("https://app.datadoghq.com", "https://app.datadoghq.com", 443, "app.datadoghq.com"),
            ("HTTPS://app.datadoghq.com./", "https://app.datadoghq.com.", 443, "app.datadoghq.com"),
            ("http://vm:8428/datadog", "http://vm:8428/datadog", 8428, "vm"),
            ("http://vm:8428/datadog/", "http://vm:8428/datadog", 8428, "vm"),
            (" https://10.0.0.1:443/ ", "https://10.0.0.1:443", 443, "10.0.0.1"),
            ("https://[::1]:8443", "https://[::1]:8443", 8443, "::1"),
            ("http://[2001:db8::1]/x/y", "http://[2001:db8::1]/x/y", 80, "2001:db8::1"),
            ("http://a_b.example:", "http://a_b.example", 80, "a_b.example"),
        ];
        for (url, shown, port, name) in rows {
            assert_eq!(parts(url), (shown.to_owned(), port, name.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_bad_url_names_its_bad_part() {
        let rows = [
            ("app.datadoghq.com", TargetError::Scheme),
            ("ftp://a", TargetError::Scheme),
            ("", TargetError::Scheme),
            ("https://", TargetError::Host),
            ("https://.", TargetError::Host),
            ("https://:443", TargetError::Host),
            ("https://a b", TargetError::Host),
            ("https://a\r\nX: y", TargetError::Host),
            ("https://::1", TargetError::Host),
            ("https://[::1", TargetError::Host),
            ("https://[::1]x", TargetError::Host),
            ("https://[a]", TargetError::Host),
            ("https://a:0", TargetError::Port),
            ("https://a:65536", TargetError::Port),
            ("https://a:+1", TargetError::Port),
            ("https://user:password@a", TargetError::UserInfo),
            ("https://a/b?c", TargetError::Path),
            ("https://a?c", TargetError::Path),
            ("https://a#c", TargetError::Path),
            ("https://a/b c", TargetError::Path),
        ];
        for (url, error) in rows {
            assert_eq!(Target::parse(url).unwrap_err(), error, "{url}");
        }
    }
}
