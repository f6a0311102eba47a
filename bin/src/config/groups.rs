//! The configuration as plain data, in the groups in which the parts of the agent want it.
//!
//! What a field holds is told by the table of keys ([`super::keys`]); here stands what its type
//! doesn't say: units, ranges and what an absent value means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::{Secret, Url};
use super::types::{
    Aggregate, Compressor, ControlSocket, Endpoint, EolRequired, HttpProtocol, InstanceTag,
    LogLevel, MapperProfile, Pin, Port, Receipt, TlsVersion, UseV3, V3Endpoint,
};

/// Where metrics go.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// None: nothing is sent.
    pub(crate) api_key: Option<Secret>,
    /// Already read when it was needed.
    pub(crate) api_key_file: Option<PathBuf>,
    /// Domain that the base URL is made of where there is no `dd_url`.
    pub(crate) site: String,
    /// Base URL as it is.
    pub(crate) dd_url: Option<Url>,
    /// Further base URLs, each with at least one key.
    pub(crate) additional_endpoints: Vec<Endpoint>,
    /// True: a host made of the site ends in a dot.
    pub(crate) site_fqdn: bool,
    /// True: every payload carries `Allow-Arbitrary-Tag-Value`.
    pub(crate) allow_arbitrary_tags: bool,
    /// True: series and sketches go to `pipelines_worker_url` instead.
    pub(crate) pipelines_worker: bool,
    /// Base URL of the observability pipelines worker.
    pub(crate) pipelines_worker_url: Option<Url>,
}

/// How the intake is reached.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Proxy for `http` targets.
    pub(crate) proxy_http: Option<Url>,
    /// Proxy for `https` targets.
    pub(crate) proxy_https: Option<Url>,
    /// Hosts that are reached without a proxy.
    pub(crate) no_proxy: Vec<String>,
    /// True: entries of `no_proxy` are domains, networks and `*`; false: hosts, compared exactly.
    pub(crate) no_proxy_nonexact_match: bool,
    /// False: the metadata addresses of clouds are reached without a proxy.
    pub(crate) use_proxy_for_cloud_metadata: bool,
    /// True: no certificate is checked.
    pub(crate) skip_ssl_validation: bool,
    /// Oldest version of TLS.
    pub(crate) min_tls_version: TlsVersion,
    /// PEM file of the authorities that may vouch for a server; none: the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Longest handshake.
    pub(crate) tls_handshake_timeout: Duration,
    /// File that session keys are written to, for debugging.
    pub(crate) tls_key_log_file: Option<PathBuf>,
}

/// Where metrics come from.
#[derive(Debug, Default)]
pub(crate) struct Dogstatsd {
    /// False: nothing listens.
    pub(crate) enabled: bool,
    /// UDP port.
    pub(crate) port: Port,
    /// Name or address that the UDP port is bound to.
    pub(crate) bind_host: String,
    /// Listen on every interface; none: where the platform needs it.
    pub(crate) non_local_traffic: Option<bool>,
    /// Path of the unix datagram socket.
    pub(crate) socket: Option<PathBuf>,
    /// Path of the unix stream socket.
    pub(crate) stream_socket: Option<PathBuf>,
    /// Longest datagram and frame in bytes.
    pub(crate) buffer_bytes: usize,
    /// `SO_RCVBUF` in bytes; 0: the system's.
    pub(crate) so_rcvbuf_bytes: u32,
    /// Where a last line without its line feed is thrown away.
    pub(crate) eol_required: EolRequired,
}

/// What is put on metrics, and which are left out.
#[derive(Debug, Default)]
pub(crate) struct Enrichment {
    /// Put before every name, with a dot between if it does not end in one; empty: nothing.
    pub(crate) namespace: String,
    /// Names that begin like this get no namespace.
    pub(crate) namespace_exclusions: Vec<String>,
    /// Names, or beginnings of names, that are left out.
    pub(crate) filterlist: Vec<String>,
    /// True: the filter list holds beginnings of names.
    pub(crate) filterlist_match_prefix: bool,
    /// In order; of those whose prefix matches the first alone is tried.
    pub(crate) mapper_profiles: Vec<MapperProfile>,
    /// Tags for everything, as written: not sorted, may repeat.
    pub(crate) tags: Vec<String>,
    /// Further tags for everything, likewise.
    pub(crate) extra_tags: Vec<String>,
    /// Tags for what comes through DogStatsD, likewise.
    pub(crate) dogstatsd_tags: Vec<String>,
    /// Value of the tag `env`, in lower case; empty: no tag.
    pub(crate) env: String,
    /// Value of the tag `service`, likewise.
    pub(crate) service: String,
    /// Value of the tag `version`, likewise.
    pub(crate) version: String,
    /// Host; `none`: an empty one.
    pub(crate) hostname: String,
    /// What tells the series of two instances apart.
    pub(crate) instance_tag: InstanceTag,
    /// True: the agent adds metrics of the platform.
    pub(crate) enhanced_metrics: bool,
}

/// How samples become points.
#[derive(Debug, Default)]
pub(crate) struct Aggregation {
    /// How long a silent counter sends zeros; zero: never.
    pub(crate) expiry: Duration,
    /// How long a silent context is remembered.
    pub(crate) context_expiry: Duration,
    /// False: what stands in a bucket that is still open at the stop is not sent.
    pub(crate) flush_incomplete_buckets: bool,
    /// Memory that contexts may take in bytes; none: chosen by the memory limit.
    pub(crate) context_bytes_max: Option<u64>,
    /// True: a sample's own time is read.
    pub(crate) no_aggregation_pipeline: bool,
    /// What a histogram sends, without duplicates.
    pub(crate) histogram_aggregates: Vec<Aggregate>,
    /// Percentiles that a histogram sends: ascending, without duplicates, each at most 100.
    pub(crate) histogram_percentiles: Vec<u8>,
    /// True: a histogram's samples also make a distribution.
    pub(crate) histogram_copy_to_distribution: bool,
    /// Put before the name of that distribution.
    pub(crate) histogram_copy_to_distribution_prefix: String,
}

/// How points become payloads.
#[derive(Debug, Default)]
pub(crate) struct Serializer {
    /// False: series are sent as v1 JSON.
    pub(crate) use_v2_series: bool,
    /// Whether series are sent as v3.
    pub(crate) use_v3_series: UseV3,
    /// The same for single base URLs; goes before.
    pub(crate) v3_endpoints: Vec<V3Endpoint>,
    /// Base URLs that get v3, by the older switch.
    pub(crate) v3_urls: Vec<Url>,
    /// Level for v3; 0: that of all payloads.
    pub(crate) v3_compression_level: i32,
    /// Largest compressed body in bytes, save series.
    pub(crate) max_payload_bytes: usize,
    /// Largest body before compression in bytes, save series.
    pub(crate) max_uncompressed_payload_bytes: usize,
    /// Largest compressed body of series in bytes.
    pub(crate) max_series_payload_bytes: usize,
    /// Largest body of series before compression in bytes.
    pub(crate) max_series_uncompressed_payload_bytes: usize,
    /// Most points in a body of series.
    pub(crate) max_series_points: usize,
    /// Compression of all bodies.
    pub(crate) compressor: Compressor,
    /// Level of zstd.
    pub(crate) zstd_level: i32,
    /// False: no series are sent.
    pub(crate) enable_series: bool,
    /// False: no sketches are sent.
    pub(crate) enable_sketches: bool,
    /// False: no events are sent.
    pub(crate) enable_events: bool,
    /// False: no service checks are sent.
    pub(crate) enable_service_checks: bool,
    /// False: nothing is sent to the v1 intake.
    pub(crate) enable_json_to_v1_intake: bool,
}

/// How payloads are delivered.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    /// Longest request, from connecting to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Connections to one base URL, at least 1.
    pub(crate) workers: usize,
    /// Requests in flight for each of them, at least 1.
    pub(crate) max_concurrent_requests: usize,
    /// Age at which a connection is replaced; zero: never.
    pub(crate) connection_reset_interval: Duration,
    /// HTTP version.
    pub(crate) http_protocol: HttpProtocol,
    /// Time between two checks of the keys.
    pub(crate) key_check_interval: Duration,
    /// Spread of the waiting times; at least 2.
    pub(crate) backoff_factor: f64,
    /// Shortest waiting time in seconds; above 0.
    pub(crate) backoff_base_s: f64,
    /// Longest waiting time in seconds; above 0.
    pub(crate) backoff_max_s: f64,
    /// Errors forgotten with each success, at least 1.
    pub(crate) recovery_interval: u32,
    /// True: a success forgets all errors.
    pub(crate) recovery_reset: bool,
    /// Payloads that wait to be sent again, in bytes for each base URL.
    pub(crate) retry_queue_bytes_max: u64,
    /// The same in payloads, by the older key; already in `retry_queue_bytes_max` where it counts.
    pub(crate) retry_queue_payloads_max: Option<u64>,
    /// Window of the gauges that tell the queue's capacity.
    pub(crate) retry_queue_capacity_interval: Duration,
    /// New payloads that wait for a connection.
    pub(crate) high_prio_buffer: usize,
    /// Payloads that wait for a connection again.
    pub(crate) low_prio_buffer: usize,
    /// Payloads on their way back to the retry queue.
    pub(crate) requeue_buffer: usize,
    /// Payloads on disk in bytes; 0: no spool.
    pub(crate) storage_bytes_max: u64,
    /// Folder of the spool.
    pub(crate) storage_path: Option<PathBuf>,
    /// Share of the disk that may be in use, above 0 and at most 1.
    pub(crate) storage_max_disk_ratio: f64,
    /// Share of the retry queue that moves to disk at once, likewise.
    pub(crate) flush_to_disk_mem_ratio: f64,
    /// Age at which a file of the spool is thrown away.
    pub(crate) outdated_file_age: Duration,
    /// Every how many deliveries one is logged; 0: none.
    pub(crate) logging_frequency: u64,
}

/// How the agent itself runs and stops.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// How much it says.
    pub(crate) log_level: LogLevel,
    /// Longest time from the start of the stop to the exit.
    pub(crate) stop_timeout: Duration,
    /// Silence on all sockets that ends the reception at the stop.
    pub(crate) linger: Duration,
    /// Time from the platform's SIGTERM to its SIGKILL; none: what the platform is known to give.
    pub(crate) grace_period: Option<Duration>,
    /// Kernel memory for a burst on UDP in bytes; none: chosen by the memory limit.
    pub(crate) burst_bytes: Option<u64>,
    /// Receiving threads; `1 <= receivers <= workers`.
    pub(crate) receivers: usize,
    /// Aggregating threads.
    pub(crate) workers: usize,
    /// When threads are pinned.
    pub(crate) pin: Pin,
    /// Where the receipt goes.
    pub(crate) receipt: Receipt,
    /// Where the agent is asked for its status.
    pub(crate) control_socket: ControlSocket,
    /// Loopback address of the pages over HTTP, if there are to be any.
    pub(crate) http: Option<SocketAddr>,
    /// How long nothing need be accepted before the page says so.
    pub(crate) delivery_window: Duration,
    /// True: the agent sends its own counters.
    pub(crate) self_metrics: bool,
    /// True: a loss makes the exit status 3.
    pub(crate) strict: bool,
}
