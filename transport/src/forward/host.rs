//! Where payloads go: from site, URLs and keys of the configuration to base URLs with their keys.

use std::borrow::Cow;

use super::secret::{Secret, UnusableKey};

/// Base URL if neither a site nor a URL is configured.
pub const BASE_URL_DEFAULT: &str = "https://app.datadoghq.com";

/// Whether the host of a site gets a final dot (`convert_dd_site_fqdn.enabled`), which keeps the
/// resolver from trying its search domains. It belongs to the name that is resolved only, never to
/// TLS or to `Host`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalDot {
    /// `https://app.datadoghq.com.`
    #[default]
    Add,
    /// `https://app.datadoghq.com`
    Omit,
}

/// Base URL of a site (`datadoghq.eu`); the default one if `site` is blank.
#[must_use]
pub fn site_base_url(site: &str, dot: FinalDot) -> String {
    let site = site.trim().trim_end_matches('.');
    let host = if site.is_empty() { "datadoghq.com" } else { site };
    let dot = match dot {
        FinalDot::Add => ".",
        FinalDot::Omit => "",
    };
    format!("https://app.{host}{dot}")
}

/// Base URL that requests are sent to: `app.` hosts of Datadog get the version as their first
/// label (`7-81-2-app.agent.`), all others stay. A final slash goes, since paths begin with one.
#[must_use]
pub fn intake_url(base_url: &str, version: &str) -> String {
    let base_url = base_url.trim().trim_end_matches('/');
    let Some((scheme, rest)) = base_url.split_once("://") else { return base_url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some(domain) = host.strip_prefix("app.").filter(|domain| takes_version(domain)) else {
        return base_url.to_owned();
    };
    format!("{scheme}://{}-app.agent.{domain}{path}", version.replace('.', "-"))
}

/// True if the host of a base URL, or one above it, is a domain of Datadog's.
#[must_use]
pub fn is_datadogs(base_url: &str) -> bool {
    let base_url = without_user(base_url.trim());
    let rest = base_url.split_once("://").map_or(&*base_url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    })
}

/// The domains of Datadog's that take metrics.
const DOMAINS: [&str; 6] =
    ["datadoghq.com", "datadoghq.eu", "datad0g.com", "datad0g.eu", "ddog-gov.com", "ddog-gov.mil"];

/// True for what may follow `app.`: optional `mrf.`, optional data centre, a domain of Datadog's,
/// an optional final dot.
fn takes_version(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = domain.strip_prefix("mrf.").unwrap_or(domain);
    let domain = match domain.split_once('.') {
        Some((label, rest)) if is_data_centre(label) => rest,
        _ => domain,
    };
    DOMAINS.contains(&domain)
}

/// Two or more lower-case letters, then one or two digits: `us5`, `ap1`.
fn is_data_centre(label: &str) -> bool {
    let letters = label.trim_end_matches(|c: char| c.is_ascii_digit());
    letters.len() >= 2
        && letters.bytes().all(|byte| byte.is_ascii_lowercase())
        && (1..=2).contains(&(label.len() - letters.len()))
}

/// URL of the host that judges a key: `api.` of the site for Datadog's domains, else the base
/// itself. Takes the base URL as configured, without the version.
#[must_use]
pub fn key_check_url(base_url: &str) -> Cow<'_, str> {
    let base_url = base_url.trim().trim_end_matches('/');
    let host = base_url.split_once("://").map_or(base_url, |(_, host)| host);
    let labels: Vec<&str> = host.trim_end_matches('.').rsplit('.').collect();
    let (tail, before) = match labels[..] {
        [top, name, ref before @ ..] if is_site(name, top) => (format!("{name}.{top}"), before),
        _ => return Cow::Borrowed(base_url),
    };
    let check = match before.first() {
        Some(label) if is_data_centre(label) => format!("https://api.{label}.{tail}"),
        _ => format!("https://api.{tail}"),
    };
    Cow::Owned(check)
}

fn is_site(name: &str, top: &str) -> bool {
    let letters = !top.is_empty() && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    (name == "datadoghq" && letters) || (name, top) == ("ddog-gov", "com")
}

/// A base URL without the user and password that it may hold: for logs, labels and files.
#[must_use]
pub fn without_user(base_url: &str) -> String {
    let Some((scheme, rest)) = base_url.split_once("://") else { return base_url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// One base URL and its keys: one endpoint a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Base URL, without a final slash.
    pub base_url: String,
    /// Its keys, at least one, without duplicates.
    pub keys: Vec<Secret>,
}

/// A configured key that is not used, to be named in one log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedKey {
    /// The URL it was configured for.
    pub base_url: String,
    /// Why it can't be used.
    pub why: UnusableKey,
}

/// Where payloads go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// To each of these; at least one.
    Endpoints(Vec<EndpointSettings>),
    /// Nowhere: no key is usable. One endpoint without a key, for this URL, counts what is lost.
    NoKey {
        /// The main base URL.
        base_url: String,
    },
}

/// Joins the main base URL and key with the additional endpoints, in this order; one URL is one
/// entry with the keys of all that name it. A URL left without a usable key is left out. Also
/// returns the keys that are not used.
#[must_use]
pub fn merge(
    base_url: &str,
    key: &str,
    additional: &[(String, Vec<String>)],
) -> (Destinations, Vec<UnusedKey>) {
    let mut endpoints: Vec<EndpointSettings> = Vec::new();
    let mut unused = Vec::new();
    let main = std::iter::once((base_url, key));
    let others = additional.iter().flat_map(|(url, keys)| keys.iter().map(|key| (&**url, &**key)));
    for (url, key) in main.chain(others) {
        let base_url = url.trim().trim_end_matches('/').to_owned();
        match Secret::parse(key) {
            Ok(key) => add_key(&mut endpoints, base_url, key),
            Err(why) => unused.push(UnusedKey { base_url, why }),
        }
    }
    let destinations = if endpoints.is_empty() {
        Destinations::NoKey { base_url: base_url.trim().trim_end_matches('/').to_owned() }
    } else {
        Destinations::Endpoints(endpoints)
    };
    (destinations, unused)
}

fn add_key(endpoints: &mut Vec<EndpointSettings>, base_url: String, key: Secret) {
    match endpoints.iter_mut().find(|endpoint| endpoint.base_url == base_url) {
        Some(endpoint) if endpoint.keys.contains(&key) => {}
        Some(endpoint) => endpoint.keys.push(key),
        None => endpoints.push(EndpointSettings { base_url, keys: vec![key] }),
    }
}

#[cfg(test)]
mod tests;
