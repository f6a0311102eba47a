//! From the configuration to the settings of engine and transport: one function a part.

use crate::config::Config;
use crate::config::types::{self, Compressor, MapperProfile, MatchType, Port};
use crate::platform::enhanced::NAMES;
use crate::telemetry;
use crate::vectors::MessageSettings;
use lastdrop_engine::bucket::HistogramSettings;
use lastdrop_engine::enrich::{
    Blocklist, Enricher, Mapper, Mapping, MetricHost, NameMatch, Namespace, Profile, Settings,
};
use lastdrop_engine::merge::{Incomplete, MergeSettings};
use lastdrop_engine::message::{ClientOrigin, LineEnd, Options, Timestamps};
use lastdrop_engine::sampler::LateArrival;
use lastdrop_engine::series::Origin;
use lastdrop_engine::worker::{Timestamped, WorkerSettings};
use lastdrop_transport::forward::backoff::Rng;
use lastdrop_transport::forward::spool::SpoolLimits;
use lastdrop_transport::listen::{
    Interfaces, ListenSettings, UdpSettings, UnixSettings, group, memory_limit,
};
use lastdrop_transport::payload::{Compression, PayloadLimits, PayloadSettings};
use lastdrop_transport::shipper::{Enabled, ShipperSettings, SpoolSettings};
use std::net::{IpAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tracing::warn;

/// What to listen on.
///
/// # Errors
///
/// One line if the host to bind to has no address.
pub(crate) fn listen(config: &Config) -> Result<ListenSettings, String> {
    let dogstatsd = &config.dogstatsd;
    if !dogstatsd.enabled {
        return Ok(ListenSettings::default());
    }
    let port = match dogstatsd.port {
        Port::Off => None,
        Port::Random => Some(0),
        Port::Fixed(port) => Some(port.get()),
    };
    let udp = match port {
        None => None,
        Some(port) => Some(UdpSettings {
            interfaces: interfaces(config)?,
            port,
            receive_buffer_bytes: usize::try_from(dogstatsd.so_rcvbuf_bytes)
                .ok()
                .and_then(NonZeroUsize::new),
            burst_bytes: burst_bytes(config),
        }),
    };
    Ok(ListenSettings {
        udp,
        unix_datagram: dogstatsd.socket.clone().map(UnixSettings::new),
        unix_stream: dogstatsd.stream_socket.clone().map(UnixSettings::new),
        receivers: NonZeroUsize::new(config.process.receivers),
        ..ListenSettings::default()
    })
}

fn interfaces(config: &Config) -> Result<Interfaces, String> {
    let dogstatsd = &config.dogstatsd;
    if dogstatsd.non_local_traffic == Some(true) {
        return Ok(Interfaces::All);
    }
    let host = dogstatsd.bind_host.as_str();
    if host.is_empty() || host == "localhost" {
        return Ok(Interfaces::Localhost);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Interfaces::One(address));
    }
    let address = (host, 0).to_socket_addrs().ok().and_then(|mut found| found.next());
    address.map(|address| Interfaces::One(address.ip())).ok_or_else(|| {
        format!("bind_host: {host:?} has no address (accepted: localhost, an IP address or a name that resolves)")
    })
}

fn burst_bytes(config: &Config) -> usize {
    let configured = config.process.burst_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    configured.unwrap_or_else(|| group::default_burst_bytes(memory_limit::memory_limit_bytes()))
}

/// What is made of names and tags.
pub(crate) fn enricher(config: &Config) -> Enricher {
    Enricher::new(enrichment(config))
}

/// The same as settings, to which the platform's tags may still come.
pub(crate) fn enrichment(config: &Config) -> Settings {
    let enrichment = &config.enrichment;
    let aggregation = &config.aggregation;
    let copy = aggregation.histogram_copy_to_distribution;
    let own_names = NAMES.into_iter().chain([telemetry::NAMES]).map(str::to_owned);
    let exclusions = enrichment.namespace_exclusions.iter().cloned().chain(own_names).collect();
    Settings {
        hostname: hostname(config).to_owned(),
        metric_host: MetricHost::Never,
        namespace: Namespace::new(&enrichment.namespace, exclusions),
        blocklist: blocklist(config),
        mapper: mapper(&enrichment.mapper_profiles),
        extra_tags: tags(config),
        histogram_copy_prefix: copy
            .then(|| aggregation.histogram_copy_to_distribution_prefix.clone()),
    }
}

/// How messages are read that don't come over a socket: as if over UDP.
pub(crate) fn messages(config: &Config) -> MessageSettings {
    MessageSettings {
        options: options(config),
        line_end: line_end(config.dogstatsd.eol_required.udp),
        enrichment: enrichment(config),
    }
}

fn options(config: &Config) -> Options {
    let timestamps = if config.aggregation.no_aggregation_pipeline {
        Timestamps::Read
    } else {
        Timestamps::Ignore
    };
    Options { timestamps, client_origin: ClientOrigin::Ignore }
}

fn line_end(required: bool) -> LineEnd {
    if required { LineEnd::Required } else { LineEnd::Optional }
}

/// The host that events and service checks name; `none` is for none.
fn hostname(config: &Config) -> &str {
    match config.enrichment.hostname.as_str() {
        "none" => "",
        name => name,
    }
}

/// The tags put on everything. A later one doesn't replace an earlier one of the same key.
fn tags(config: &Config) -> Vec<String> {
    let enrichment = &config.enrichment;
    let unified = [
        ("env", &enrichment.env),
        ("service", &enrichment.service),
        ("version", &enrichment.version),
    ];
    let unified = unified
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}:{value}"));
    let listed = [&enrichment.tags, &enrichment.extra_tags, &enrichment.dogstatsd_tags];
    unified.chain(listed.into_iter().flatten().cloned()).collect()
}

fn blocklist(config: &Config) -> Blocklist {
    let enrichment = &config.enrichment;
    let name_match =
        if enrichment.filterlist_match_prefix { NameMatch::Prefix } else { NameMatch::Exact };
    Blocklist::new(enrichment.filterlist.clone(), name_match)
}

/// The mapper; one whose rules can't be used maps nothing, as in the reference agent.
fn mapper(profiles: &[MapperProfile]) -> Mapper {
    let profiles: Vec<Profile> = profiles.iter().map(profile).collect();
    Mapper::new(&profiles).unwrap_or_else(|error| {
        warn!("dogstatsd_mapper_profiles: {error}; no name is mapped");
        Mapper::default()
    })
}

fn profile(profile: &MapperProfile) -> Profile {
    let mapping = |mapping: &types::Mapping| Mapping {
        pattern: mapping.pattern.clone(),
        match_type: match mapping.match_type {
            MatchType::Wildcard => "wildcard".to_owned(),
            MatchType::Regex => "regex".to_owned(),
        },
        name: mapping.name.clone(),
        tags: mapping.tags.clone(),
    };
    Profile {
        name: profile.name.clone(),
        prefix: profile.prefix.clone(),
        mappings: profile.mappings.iter().map(mapping).collect(),
    }
}

/// How a worker reads and aggregates.
pub(crate) fn worker(config: &Config, enricher: &Arc<Enricher>) -> WorkerSettings {
    let eol = config.dogstatsd.eol_required;
    WorkerSettings {
        parse: options(config),
        line_end: [line_end(eol.udp), line_end(eol.uds), line_end(eol.uds)],
        context_bytes_max: context_bytes(config) / 4 * 3 / config.process.workers.max(1),
        discard: lastdrop_transport::sys::discard_pages,
        context_expiry_s: config.aggregation.context_expiry.as_secs(),
        late: LateArrival::JoinsOpenSlot,
        timestamped: Timestamped::Aggregated,
        enricher: Arc::clone(enricher),
    }
}

/// Memory for contexts: three parts of four are the workers', one is for counters that are silent and
/// still get zeros.
pub(crate) fn context_bytes(config: &Config) -> usize {
    let configured = config.aggregation.context_bytes_max;
    let share = |limit: u64| limit / CONTEXT_MEMORY_SHARE;
    let fitting = || memory_limit::memory_limit_bytes().map_or(u64::MAX, share);
    let bytes = configured.unwrap_or_else(|| fitting().min(CONTEXT_BYTES_DEFAULT));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Memory for contexts unless configured, in bytes.
const CONTEXT_BYTES_DEFAULT: u64 = 256 << 20;

/// Part of the container's memory limit that it may be then: one in so many.
const CONTEXT_MEMORY_SHARE: u64 = 4;

/// Whether the planted fault is to lose the open bucket.
fn loses_open_bucket() -> bool {
    #[cfg(feature = "planted-faults")]
    return crate::faults::is("lose-open-bucket");
    #[cfg(not(feature = "planted-faults"))]
    false
}

/// How the merge makes series of buckets.
pub(crate) fn merge(config: &Config, enricher: &Enricher) -> MergeSettings {
    let aggregation = &config.aggregation;
    let aggregates: Vec<_> = aggregation.histogram_aggregates.iter().map(aggregate_name).collect();
    let percentiles: Vec<_> = aggregation
        .histogram_percentiles
        .iter()
        .map(|percent| format!("{}", f64::from(*percent) / 100.0))
        .collect();
    let percentiles: Vec<_> = percentiles.iter().map(String::as_str).collect();
    let (histogram, _) = HistogramSettings::parse(&aggregates, &percentiles);
    let suffixes: Vec<_> =
        histogram.suffixes().map(|suffix| suffix.text.trim_start_matches('.').to_owned()).collect();
    MergeSettings {
        series_blocklist: blocklist(config).of_histogram_series(&suffixes),
        histogram: Arc::new(histogram),
        counter_expiry_s: aggregation.expiry.as_secs(),
        context_expiry_s: aggregation.context_expiry.as_secs(),
        idle_bytes_max: context_bytes(config) / 4,
        global_tags: enricher.extra_tags().to_vec(),
        late: LateArrival::JoinsOpenSlot,
        incomplete: if aggregation.flush_incomplete_buckets && !loses_open_bucket() {
            Incomplete::Shipped
        } else {
            Incomplete::Dropped
        },
        origin: Origin::DOGSTATSD,
    }
}

fn aggregate_name(aggregate: &types::Aggregate) -> &'static str {
    match aggregate {
        types::Aggregate::Max => "max",
        types::Aggregate::Min => "min",
        types::Aggregate::Median => "median",
        types::Aggregate::Avg => "avg",
        types::Aggregate::Sum => "sum",
        types::Aggregate::Count => "count",
    }
}

/// How payloads are made and kept; `rng` names the files of the spool.
pub(crate) fn shipper(config: &Config, rng: Rng) -> ShipperSettings {
    let serializer = &config.serializer;
    let compression = match serializer.compressor {
        Compressor::Zstd => Compression::Zstd { level: serializer.zstd_level },
        Compressor::Zlib => Compression::Zlib,
        Compressor::Gzip => Compression::Gzip,
        Compressor::None => Compression::None,
    };
    let payloads = PayloadSettings {
        compression,
        series: PayloadLimits {
            compressed_bytes_max: serializer.max_series_payload_bytes,
            uncompressed_bytes_max: serializer.max_series_uncompressed_payload_bytes,
            points_max: serializer.max_series_points as u64,
        },
        other: PayloadLimits {
            compressed_bytes_max: serializer.max_payload_bytes,
            uncompressed_bytes_max: serializer.max_uncompressed_payload_bytes,
            ..PayloadLimits::OTHER
        },
    };
    let compression_v3 = match (compression, serializer.v3_compression_level) {
        (Compression::Zstd { .. }, level @ 1..) => Compression::Zstd { level },
        (compression, _) => compression,
    };
    ShipperSettings {
        payloads,
        payloads_v3: PayloadSettings { compression: compression_v3, ..payloads },
        enabled: Enabled {
            series: serializer.enable_series,
            sketches: serializer.enable_sketches,
            events: serializer.enable_events,
            service_checks: serializer.enable_service_checks,
        },
        hostname: hostname(config).to_owned(),
        spool: spool(config, rng),
    }
}

/// Where undelivered payloads go; nowhere unless it may hold something.
fn spool(config: &Config, rng: Rng) -> Option<SpoolSettings> {
    let forwarder = &config.forwarder;
    let path = forwarder.storage_path.clone().filter(|_| forwarder.storage_bytes_max > 0)?;
    let limits = SpoolLimits {
        bytes_max: forwarder.storage_bytes_max,
        age_max: forwarder.outdated_file_age,
    };
    Some(SpoolSettings { path, limits, rng })
}
