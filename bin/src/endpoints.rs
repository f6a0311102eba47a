//! The endpoints that payloads go to, opened from the configuration.

use crate::config::Config;
use lastdrop_transport::forward::backoff::Rng;
use lastdrop_transport::forward::endpoint::{Endpoint, EndpointId, EndpointLimits};
use lastdrop_transport::forward::host::{
    Destinations, FinalDot, intake_url, merge, site_base_url, without_user,
};
use lastdrop_transport::forward::secret::Secret;
use lastdrop_transport::forward::transaction::AGENT_VERSION;
use lastdrop_transport::net::{
    Pool, PoolSettings, Roots, Scheme, Target, Timeouts, TlsSettings,
};
use lastdrop_transport::shipper::Outlet;
use mio::{Registry, Token};
use std::io;
use std::sync::Arc;

/// Connections that one endpoint may have at once.
const CONNECTIONS_MAX: usize = 4;

/// Opens an endpoint for each base URL and key. Without a usable key there is one that counts what
/// is not sent.
///
/// # Errors
///
/// A base URL that can't be used, or TLS settings that can't.
pub(crate) fn open(
    config: &Config,
    registry: &Registry,
    waker: &Arc<mio::Waker>,
    rng: &mut Rng,
) -> io::Result<Vec<Outlet>> {
    let intake = &config.intake;
    let base_url = intake.dd_url.as_ref().map_or_else(
        || site_base_url(&intake.site, FinalDot::Set),
        |url| url.expose().to_owned(),
    );
    let key = intake.api_key.as_ref().map_or("", |key| key.expose());
    let (destinations, _unused) = merge(&base_url, key, &[]);
    let mut outlets = Vec::new();
    match destinations {
        Destinations::NoKey { base_url } => {
            let id = EndpointId { base_url: without_user(&base_url).into(), slot: 0 };
            let endpoint = Endpoint::new(id, None, limits(), seeded(rng));
            outlets.push(Outlet { endpoint, pool: None });
        }
        Destinations::Endpoints(endpoints) => {
            for settings in endpoints {
                let url = intake_url(&settings.base_url, AGENT_VERSION);
                let target = Target::parse(&url).map_err(io::Error::other)?;
                for (slot, key) in (0..).zip(settings.keys) {
                    let token = Token(outlets.len() * CONNECTIONS_MAX);
                    let pool = pool(config, &target, registry, waker, token)?;
                    let base_url = without_user(&settings.base_url).into();
                    outlets.push(outlet(EndpointId { base_url, slot }, key, pool, rng));
                }
            }
        }
    }
    Ok(outlets)
}

fn outlet(id: EndpointId, key: Secret, pool: Pool, rng: &mut Rng) -> Outlet {
    Outlet { endpoint: Endpoint::new(id, Some(key), limits(), seeded(rng)), pool: Some(pool) }
}

fn pool(
    config: &Config,
    target: &Target,
    registry: &Registry,
    waker: &Arc<mio::Waker>,
    token: Token,
) -> io::Result<Pool> {
    let tls = match target.scheme() {
        Scheme::Http => None,
        Scheme::Https => {
            let roots =
                config.intake.tls_ca_file.clone().map_or(Roots::System, Roots::File);
            let settings = TlsSettings { roots, ..TlsSettings::default() };
            Some(settings.load().map_err(io::Error::other)?.config)
        }
    };
    let settings = PoolSettings {
        target: target.clone(),
        proxy: None,
        tls,
        timeouts: Timeouts::default(),
        connections_max: CONNECTIONS_MAX,
        token,
        waker: Arc::clone(waker),
    };
    Pool::new(settings, registry).map_err(io::Error::other)
}

fn limits() -> EndpointLimits {
    EndpointLimits { in_flight_max: CONNECTIONS_MAX, ..EndpointLimits::default() }
}

fn seeded(rng: &mut Rng) -> Rng {
    Rng::from_seed(rng.bits())
}
