//! The endpoints that payloads go to, opened from the configuration.

use crate::config::Config;
use crate::config::secret::Url;
use crate::config::sources::Source;
use crate::config::types::{Compressor, TlsVersion, UseV3};
use lastdrop_transport::forward::backoff::{BackoffSettings, Recovery, Rng};
use lastdrop_transport::forward::endpoint::{Endpoint, EndpointId, EndpointLimits};
use lastdrop_transport::forward::host::{
    Destinations, FinalDot, intake_url, is_datadogs, key_check_url, merge, site_base_url,
};
use lastdrop_transport::forward::secret::Secret;
use lastdrop_transport::forward::transaction::{AGENT_VERSION, ArbitraryTags};
use lastdrop_transport::http::Path;
use lastdrop_transport::limits::REQUESTS_IN_FLIGHT_MAX;
use lastdrop_transport::net::{
    self, NoProxy, NoProxyMatching, Pool, PoolSettings, ProxySettings, ProxyUrl, Roots, Scheme,
    Target, Timeouts, TlsSettings, Trust, Verification,
};
use lastdrop_transport::payload::SeriesFormat;
use lastdrop_transport::shipper::{Outlet, OutletSettings};
use mio::{Registry, Token};
use rustls::ClientConfig;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tracing::warn;

/// Where the intake is asked about a key.
const KEY_CHECK_PATH: &str = "/api/v1/validate";

/// Hosts of the clouds' metadata, reached without a proxy unless configured otherwise.
const METADATA_HOSTS: [&str; 2] = ["169.254.169.254", "100.100.100.200"];

/// What all endpoints have in common.
struct Common<'a> {
    config: &'a Config,
    proxies: ProxySettings,
    /// Made with the first https target: reading the system's authorities takes its time.
    tls: Option<Arc<ClientConfig>>,
    registry: &'a Registry,
    waker: &'a Arc<mio::Waker>,
}

/// Opens an endpoint for each base URL and key. Without a usable key there is one that counts what
/// is not sent.
///
/// # Errors
///
/// A base URL, proxy or file of authorities that can't be used.
pub(crate) fn open(
    config: &Config,
    registry: &Registry,
    waker: &Arc<mio::Waker>,
    rng: &mut Rng,
) -> io::Result<Vec<Outlet>> {
    let mut common = Common { config, proxies: proxies(config)?, tls: None, registry, waker };
    let limits = limits(config);
    let mut outlets: Vec<Outlet> = Vec::new();
    let endpoints = match destinations(config) {
        Destinations::NoKey { base_url } => {
            let id = EndpointId::new(&base_url, 0);
            let endpoint = Endpoint::new(id, None, limits, Rng::from_seed(rng.bits()));
            let settings = outlet_settings(config, &base_url, None);
            return Ok(vec![Outlet::new(endpoint, None, settings)]);
        }
        Destinations::Endpoints(endpoints) => endpoints,
    };
    for settings in endpoints {
        for (slot, key) in (0..).zip(settings.keys) {
            let token = Token(outlets.len() * limits.in_flight_max);
            let pool = common.pool(&settings.base_url, limits.in_flight_max, token)?;
            let id = EndpointId::new(&settings.base_url, slot);
            let of_outlet = outlet_settings(config, &settings.base_url, key_file(config, &key));
            let endpoint = Endpoint::new(id, Some(key), limits, Rng::from_seed(rng.bits()));
            outlets.push(Outlet::new(endpoint, Some(pool), of_outlet));
        }
    }
    #[cfg(feature = "planted-faults")]
    if crate::faults::is("forget-endpoint") {
        outlets.pop();
    }
    Ok(outlets)
}

/// A question about one key, with the connection to ask it on.
pub(crate) struct KeyCheck {
    /// Whose key.
    pub(crate) id: EndpointId,
    /// The connection.
    pub(crate) pool: Pool,
    /// Path and query; they hold the key, and print it masked.
    pub(crate) path: Path,
}

/// Prepares a question for each base URL and key; none without a usable key.
///
/// # Errors
///
/// A base URL, proxy or file of authorities that can't be used.
pub(crate) fn key_checks(
    config: &Config,
    registry: &Registry,
    waker: &Arc<mio::Waker>,
) -> io::Result<Vec<KeyCheck>> {
    let mut common = Common { config, proxies: proxies(config)?, tls: None, registry, waker };
    let mut checks: Vec<KeyCheck> = Vec::new();
    let Destinations::Endpoints(endpoints) = destinations(config) else { return Ok(checks) };
    for settings in endpoints {
        for (slot, key) in (0..).zip(settings.keys) {
            let pool = common.pool(&key_check_url(&settings.base_url), 1, Token(checks.len()))?;
            let path = Path::new(KEY_CHECK_PATH).map_err(io::Error::other)?;
            let path = path.with_query("api_key", key.expose());
            checks.push(KeyCheck { id: EndpointId::new(&settings.base_url, slot), pool, path });
        }
    }
    Ok(checks)
}

fn outlet_settings(config: &Config, base_url: &str, key_file: Option<PathBuf>) -> OutletSettings {
    OutletSettings {
        series: series_format(config, base_url),
        key_file,
        arbitrary_tags: if config.intake.allow_arbitrary_tags {
            ArbitraryTags::Wanted
        } else {
            ArbitraryTags::NotWanted
        },
        log_every: config.forwarder.logging_frequency,
    }
}

/// The file that a key came from, if it was one.
fn key_file(config: &Config, key: &Secret) -> Option<PathBuf> {
    let main = config.intake.api_key.as_ref()?;
    let api_key = config.settings.iter().find(|setting| setting.key.name == "api_key")?;
    match &api_key.source {
        Source::SecretFile(path) if main.expose() == key.expose() => Some(path.clone()),
        _ => None,
    }
}

/// The format in which a base URL gets series. The choice for single URLs goes before that for all.
fn series_format(config: &Config, base_url: &str) -> SeriesFormat {
    let serializer = &config.serializer;
    let same = |url: &Url| url.expose().trim_end_matches('/') == base_url;
    let chosen = serializer.v3_endpoints.iter().find(|endpoint| same(&endpoint.url));
    let use_v3 = match chosen {
        Some(endpoint) => endpoint.use_v3,
        None if serializer.v3_urls.iter().any(same) => UseV3::Always,
        None => serializer.use_v3_series,
    };
    let v3 = match use_v3 {
        UseV3::Never => false,
        UseV3::DatadogOnly => is_datadogs(base_url),
        UseV3::Always => true,
    };
    if !serializer.use_v2_series {
        SeriesFormat::V1
    } else if v3 && serializer.compressor != Compressor::Zlib {
        SeriesFormat::V3
    } else {
        SeriesFormat::V2
    }
}

fn destinations(config: &Config) -> Destinations {
    let intake = &config.intake;
    let dot = if intake.site_fqdn { FinalDot::Add } else { FinalDot::Omit };
    let base_url = intake
        .dd_url
        .as_ref()
        .map_or_else(|| site_base_url(&intake.site, dot), |url| url.expose().to_owned());
    let key = intake.api_key.as_ref().map_or("", |key| key.expose());
    let additional: Vec<_> = intake
        .additional_endpoints
        .iter()
        .map(|endpoint| {
            let keys = endpoint.keys.iter().map(|key| key.expose().to_owned()).collect();
            (endpoint.url.expose().to_owned(), keys)
        })
        .collect();
    merge(&base_url, key, &additional).0
}

impl Common<'_> {
    fn pool(&mut self, base_url: &str, connections_max: usize, token: Token) -> io::Result<Pool> {
        let url = intake_url(base_url, AGENT_VERSION);
        let target = Target::parse(&url).map_err(io::Error::other)?;
        let tls = match target.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(self.tls()?),
        };
        let network = &self.config.network;
        let settings = PoolSettings {
            proxy: self.proxies.proxy_for(&target).cloned(),
            target,
            tls,
            timeouts: Timeouts {
                request: self.config.forwarder.timeout,
                tls_handshake: network.tls_handshake_timeout,
                connection_age: Some(self.config.forwarder.connection_reset_interval)
                    .filter(|age| !age.is_zero()),
                ..Timeouts::default()
            },
            connections_max,
            token,
            waker: Arc::clone(self.waker),
        };
        Pool::new(settings, self.registry).map_err(io::Error::other)
    }

    fn tls(&mut self) -> io::Result<Arc<ClientConfig>> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let network = &self.config.network;
        let settings = TlsSettings {
            version_min: match network.min_tls_version {
                TlsVersion::V1_2 => net::TlsVersion::V1_2,
                TlsVersion::V1_3 => net::TlsVersion::V1_3,
            },
            roots: network.ca_file.clone().map_or(Roots::System, Roots::File),
            verification: if network.skip_ssl_validation {
                Verification::Skipped
            } else {
                Verification::Full
            },
            ..TlsSettings::default()
        };
        let tls = settings.load().map_err(io::Error::other)?;
        if matches!(tls.trust, Trust::Anyone) {
            warn!(
                "skip_ssl_validation is set: no certificate is checked, and the API key goes to whoever answers"
            );
        }
        self.tls = Some(Arc::clone(&tls.config));
        Ok(tls.config)
    }
}

fn proxies(config: &Config) -> io::Result<ProxySettings> {
    let network = &config.network;
    let parse = |url: &Option<Url>| match url {
        Some(url) => ProxyUrl::parse(url.expose()).map(Some).map_err(io::Error::other),
        None => Ok(None),
    };
    let matching = if network.no_proxy_nonexact_match {
        NoProxyMatching::Suffix
    } else {
        NoProxyMatching::Exact
    };
    let metadata = if network.use_proxy_for_cloud_metadata { &[][..] } else { &METADATA_HOSTS };
    let hosts = network.no_proxy.iter().map(String::as_str).chain(metadata.iter().copied());
    Ok(ProxySettings {
        http: parse(&network.proxy_http)?,
        https: parse(&network.proxy_https)?,
        no_proxy: NoProxy::new(hosts, matching),
    })
}

fn limits(config: &Config) -> EndpointLimits {
    let forwarder = &config.forwarder;
    let recovery = if forwarder.recovery_reset {
        Recovery::Reset
    } else {
        Recovery::Steps(forwarder.recovery_interval)
    };
    EndpointLimits {
        // As many connections, so that the payloads of the last flush go out side by side.
        in_flight_max: forwarder.max_concurrent_requests.clamp(1, REQUESTS_IN_FLIGHT_MAX),
        queue_bytes_max: usize::try_from(forwarder.retry_queue_bytes_max).unwrap_or(usize::MAX),
        backoff: BackoffSettings::new(
            forwarder.backoff_factor,
            forwarder.backoff_base_s,
            forwarder.backoff_max_s,
            recovery,
        ),
    }
}
