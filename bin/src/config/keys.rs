//! The table of keys: name, place in the configuration, default and meaning of every setting.
//!
//! `docs/configuration.md` shows it (`lastdrop config --markdown`), and a test compares the two. The
//! environment variable of a key is made of its name: `proxy.http` is `DD_PROXY_HTTP`,
//! `lastdrop_pin` is `LASTDROP_PIN`.

use super::key::{Key, Target};
use super::read::{
    AGGREGATES, API_KEY, BACKOFF_BASE, BACKOFF_MAX, BOOL, BOOL_OR_AUTO, BUFFER, BYTES,
    BYTES_OR_AUTO, COMPRESSOR, CONTROL_SOCKET, COUNT, COUNT_OR_NOTHING, COUNT_OR_ONE,
    COUNT_OR_ZERO, DAYS, ENDPOINTS, EOL, FACTOR, HOST, HOSTS, HTTP_ADDRESS, HTTP_PROTOCOL,
    INSTANCE_TAG, LOG_LEVEL, MINUTES, NAMES, PATH, PERCENTILES, PIN, PORT, PROFILES, PROXY, RATIO,
    RECEIPT, RECOVERY, SECONDS, SECONDS_FROM_ONE, SITE, SIZE, SOCKET_BUFFER, TAG_VALUE, TAGS, TEXT,
    THREADS, TIME, TIME_OR_AUTO, TLS_VERSION, URL, URLS, USE_V3, V3_ENDPOINTS, ZSTD_LEVEL,
    ZSTD_LEVEL_OR_ZERO,
};

/// Says into which field of the configuration a value of a kind is read.
macro_rules! into {
    ($kind:ident, $($field:ident).+) => {
        Target {
            noun: $kind.noun,
            accepted: $kind.accepted,
            put: |config, node| $kind.put(node, &mut config.$($field).+),
        }
    };
}

/// Every key, in the order in which it is shown. A value is checked in this order too, so the first
/// bad one is the one that is told.
#[rustfmt::skip] // A table: a row for each key, and what is special about it below.
pub(crate) const ALL: &[Key] = &[
    // The agent itself.
    Key::new("log_level", into!(LOG_LEVEL, process.log_level), "warn", "how much the agent says on standard error")
        .flag("--log-level"),
    Key::new("lastdrop_stop_timeout", into!(TIME, process.stop_timeout), "8s", "longest time from the start of the stop to the exit")
        .flag("--stop-timeout"),
    Key::new("lastdrop_linger", into!(TIME, process.linger), "2s", "silence on all sockets that ends the reception at the stop (`run` only)")
        .flag("--linger"),
    Key::new("lastdrop_grace_period", into!(TIME_OR_AUTO, process.grace_period), "auto", "time from the platform's SIGTERM to its SIGKILL (`init` only): the stop ends before; auto: 30s on Container Apps, App Service, Fargate and Kubernetes, else 10s")
        .flag("--grace-period"),
    Key::new("lastdrop_burst_bytes", into!(BYTES_OR_AUTO, process.burst_bytes), "auto", "kernel memory for a burst on UDP; auto: 52 MiB, or an eighth of the container's memory if that is less")
        .flag("--burst-bytes"),
    Key::new("lastdrop_receivers", into!(THREADS, process.receivers), "1", "receiving threads")
        .flag("--receivers"),
    Key::new("lastdrop_workers", into!(THREADS, process.workers), "1", "aggregating threads, not fewer than receivers")
        .flag("--workers"),
    Key::new("lastdrop_pin", into!(PIN, process.pin), "auto", "pin threads to processors; auto: unless a quota is smaller than the allowed set")
        .flag("--pin"),
    Key::new("lastdrop_receipt", into!(RECEIPT, process.receipt), "stderr", "where the receipt goes")
        .flag("--receipt"),
    Key::new("lastdrop_strict", into!(BOOL, process.strict), "false", "exit with 3 if anything was lost")
        .flag("--strict"),

    Key::new("lastdrop_control_socket", into!(CONTROL_SOCKET, process.control_socket), "auto", "unix socket that `lastdrop status` and `flush` ask; auto: lastdrop-<port>.sock under $XDG_RUNTIME_DIR, /run or /tmp")
        .flag("--control-socket"),
    Key::new("lastdrop_http", into!(HTTP_ADDRESS, process.http), "off", "loopback address for /metrics, /readyz, /healthz and /delivery, read-only"),
    Key::new("lastdrop_delivery_window", into!(TIME, process.delivery_window), "5m", "how long nothing need be accepted before /delivery says 503"),
    Key::new("lastdrop_self_metrics", into!(BOOL, process.self_metrics), "false", "send the agent's own counters as lastdrop.*"),

    // Where metrics go.
    Key::new("api_key", into!(API_KEY, intake.api_key), "", "key of the intake; without one nothing is sent")
        .secret().replaced_by("none, if it is a placeholder that was not resolved; anything else is an error"),
    Key::new("api_key_file", into!(PATH, intake.api_key_file), "", "file that holds the key, where the key itself is not set as high"),
    Key::new("site", into!(SITE, intake.site), "datadoghq.com", "site of the intake: https://app. and this")
        .flag("--site"),
    Key::new("dd_url", into!(URL, intake.dd_url), "", "base URL of the intake; goes before the site")
        .variables(&["DD_URL"]).flag("--dd-url"),
    Key::new("additional_endpoints", into!(ENDPOINTS, intake.additional_endpoints), "", "further destinations: every payload goes to each, once for each key")
        .secret().replaced_by("left out are unresolved keys and URLs without a key; anything else is an error"),
    Key::new("convert_dd_site_fqdn.enabled", into!(BOOL, intake.site_fqdn), "true", "end a host made of the site with a dot, so that search domains are skipped"),
    Key::new("allow_arbitrary_tags", into!(BOOL, intake.allow_arbitrary_tags), "false", "send the header Allow-Arbitrary-Tag-Value"),
    Key::new("observability_pipelines_worker.metrics.enabled", into!(BOOL, intake.pipelines_worker), "false", "send series and sketches to an observability pipelines worker instead")
        .older(&["vector.metrics.enabled"]),
    Key::new("observability_pipelines_worker.metrics.url", into!(URL, intake.pipelines_worker_url), "", "base URL of that worker")
        .older(&["vector.metrics.url"]),

    // How the intake is reached.
    Key::new("proxy.http", into!(PROXY, network.proxy_http), "", "proxy for http targets")
        .variables(&["HTTP_PROXY", "http_proxy"]).empty_is_none(),
    Key::new("proxy.https", into!(PROXY, network.proxy_https), "", "proxy for https targets")
        .variables(&["HTTPS_PROXY", "https_proxy"]).empty_is_none(),
    Key::new("proxy.no_proxy", into!(HOSTS, network.no_proxy), "", "hosts that are reached without a proxy")
        .variables(&["NO_PROXY", "no_proxy"]).empty_is_none(),
    Key::new("no_proxy_nonexact_match", into!(BOOL, network.no_proxy_nonexact_match), "false", "read no_proxy as domains, networks and *, not as exact hosts"),
    Key::new("use_proxy_for_cloud_metadata", into!(BOOL, network.use_proxy_for_cloud_metadata), "false", "ask the clouds' metadata addresses through the proxy too"),
    Key::new("skip_ssl_validation", into!(BOOL, network.skip_ssl_validation), "false", "check no certificate"),
    Key::new("lastdrop_ca_file", into!(PATH, network.ca_file), "", "PEM file of the authorities that may vouch for a server, instead of the system's"),
    Key::new("min_tls_version", into!(TLS_VERSION, network.min_tls_version), "tlsv1.2", "oldest version of TLS")
        .replaced_by("tlsv1.2, also for tlsv1.0 and tlsv1.1"),
    Key::new("tls_handshake_timeout", into!(TIME, network.tls_handshake_timeout), "10s", "longest TLS handshake"),
    Key::new("sslkeylogfile", into!(PATH, network.tls_key_log_file), "", "file for the session keys of TLS, for debugging"),

    // Where metrics come from.
    Key::new("use_dogstatsd", into!(BOOL, dogstatsd.enabled), "true", "listen at all"),
    Key::new("dogstatsd_port", into!(PORT, dogstatsd.port), "8125", "UDP port; 0: no UDP; __random__: a free one")
        .flag("--dogstatsd-port"),
    Key::new("bind_host", into!(HOST, dogstatsd.bind_host), "localhost", "name or address that the UDP port is bound to")
        .flag("--bind-host"),
    Key::new("dogstatsd_non_local_traffic", into!(BOOL_OR_AUTO, dogstatsd.non_local_traffic), "auto", "listen on every interface"),
    Key::new("dogstatsd_socket", into!(PATH, dogstatsd.socket), "", "unix datagram socket to listen on")
        .flag("--dogstatsd-socket"),
    Key::new("dogstatsd_stream_socket", into!(PATH, dogstatsd.stream_socket), "", "unix stream socket to listen on"),
    Key::new("dogstatsd_buffer_size", into!(BUFFER, dogstatsd.buffer_bytes), "8192", "longest datagram and frame in bytes"),
    Key::new("dogstatsd_so_rcvbuf", into!(SOCKET_BUFFER, dogstatsd.so_rcvbuf_bytes), "0", "receive buffer of a socket in bytes; 0: the system's"),
    Key::new("dogstatsd_eol_required", into!(EOL, dogstatsd.eol_required), "", "listeners where a last line without line feed is thrown away")
        .replaced_by("other words are left out"),

    // What is put on metrics, and which are left out.
    Key::new("tags", into!(TAGS, enrichment.tags), "", "tags put on everything")
        .flag("--tags"),
    Key::new("extra_tags", into!(TAGS, enrichment.extra_tags), "", "further tags put on everything"),
    Key::new("dogstatsd_tags", into!(TAGS, enrichment.dogstatsd_tags), "", "further tags put on what comes through DogStatsD"),
    Key::new("env", into!(TAG_VALUE, enrichment.env), "", "the tag env, put on everything in lower case"),
    Key::new("service", into!(TAG_VALUE, enrichment.service), "", "the tag service, likewise"),
    Key::new("version", into!(TAG_VALUE, enrichment.version), "", "the tag version, likewise"),
    Key::new("hostname", into!(TEXT, enrichment.hostname), "none", "host put on everything; none: no host"),
    Key::new("lastdrop_instance_tag", into!(INSTANCE_TAG, enrichment.instance_tag), "off", "tag lastdrop_instance on series, not on distributions: without it counts and gauges of two instances overwrite each other at the intake; with it each instance has series of its own"),
    Key::new("enhanced_metrics", into!(BOOL, enrichment.enhanced_metrics), "true", "add the agent's own metrics of the platform"),
    Key::new("statsd_metric_namespace", into!(TEXT, enrichment.namespace), "", "put before every metric name, with a dot between"),
    Key::new("statsd_metric_namespace_blacklist", into!(NAMES, enrichment.namespace_exclusions), NO_NAMESPACE, "names that begin like this get no namespace"),
    Key::new("metric_filterlist", into!(NAMES, enrichment.filterlist), "", "metric names that are left out")
        .older(&["statsd_metric_blocklist"]),
    Key::new("metric_filterlist_match_prefix", into!(BOOL, enrichment.filterlist_match_prefix), "false", "the filter list holds beginnings of names")
        .older(&["statsd_metric_blocklist_match_prefix"]),
    Key::new("dogstatsd_mapper_profiles", into!(PROFILES, enrichment.mapper_profiles), "", "how names are mapped to others, with tags")
        .replaced_by("no mapper"),

    // How samples become points.
    Key::new("dogstatsd_expiry_seconds", into!(SECONDS, aggregation.expiry), "300", "how long a silent counter sends zeros; 0: never"),
    Key::new("dogstatsd_context_expiry_seconds", into!(SECONDS, aggregation.context_expiry), "20", "how long a silent context is remembered"),
    Key::new("lastdrop_context_bytes", into!(BYTES_OR_AUTO, aggregation.context_bytes_max), "auto", "memory for contexts; samples of new ones beyond it are refused and counted, known ones go on; auto: 256 MiB, or a quarter of the container's memory if that is less"),
    Key::new("dogstatsd_flush_incomplete_buckets", into!(BOOL, aggregation.flush_incomplete_buckets), "true", "send the bucket that is open at the stop; false loses it, and the receipt says so"),
    Key::new("dogstatsd_no_aggregation_pipeline", into!(BOOL, aggregation.no_aggregation_pipeline), "true", "read a sample's own time"),
    Key::new("histogram_aggregates", into!(AGGREGATES, aggregation.histogram_aggregates), "max median avg count", "what a histogram sends")
        .replaced_by("other words are left out"),
    Key::new("histogram_percentiles", into!(PERCENTILES, aggregation.histogram_percentiles), "0.95", "percentiles that a histogram sends, to whole percents")
        .replaced_by("what is none is left out"),
    Key::new("histogram_copy_to_distribution", into!(BOOL, aggregation.histogram_copy_to_distribution), "false", "make a distribution of a histogram's samples too"),
    Key::new("histogram_copy_to_distribution_prefix", into!(TEXT, aggregation.histogram_copy_to_distribution_prefix), "", "put before the name of that distribution"),

    // How points become payloads.
    Key::new("use_v2_api.series", into!(BOOL, serializer.use_v2_series), "true", "send series as v2; false: as v1 JSON"),
    Key::new("use_v3_api.series.enabled", into!(USE_V3, serializer.use_v3_series), "false", "send series as v3")
        .replaced_by("false"),
    Key::new("use_v3_api.series.endpoints", into!(V3_ENDPOINTS, serializer.v3_endpoints), "", "the same for single URLs; goes before")
        .replaced_by("other words mean false; what is no map of URLs is an error"),
    Key::new("serializer_experimental_use_v3_api.series.endpoints", into!(URLS, serializer.v3_urls), "", "URLs that get v3, by the older switch"),
    Key::new("serializer_experimental_use_v3_api.compression_level", into!(ZSTD_LEVEL_OR_ZERO, serializer.v3_compression_level), "0", "level of zstd for v3"),
    Key::new("serializer_max_payload_size", into!(SIZE, serializer.max_payload_bytes), "2621440", "largest compressed body, save series"),
    Key::new("serializer_max_uncompressed_payload_size", into!(SIZE, serializer.max_uncompressed_payload_bytes), "4194304", "largest body before compression, save series"),
    Key::new("serializer_max_series_payload_size", into!(SIZE, serializer.max_series_payload_bytes), "512000", "largest compressed body of series"),
    Key::new("serializer_max_series_uncompressed_payload_size", into!(SIZE, serializer.max_series_uncompressed_payload_bytes), "5242880", "largest body of series before compression"),
    Key::new("serializer_max_series_points_per_payload", into!(COUNT, serializer.max_series_points), "10000", "most points in a body of series"),
    Key::new("serializer_compressor_kind", into!(COMPRESSOR, serializer.compressor), "zstd", "compression of bodies")
        .replaced_by("none"),
    Key::new("serializer_zstd_compressor_level", into!(ZSTD_LEVEL, serializer.zstd_level), "1", "level of zstd"),
    Key::new("enable_payloads.series", into!(BOOL, serializer.enable_series), "true", "send series"),
    Key::new("enable_payloads.sketches", into!(BOOL, serializer.enable_sketches), "true", "send sketches"),
    Key::new("enable_payloads.events", into!(BOOL, serializer.enable_events), "true", "send events"),
    Key::new("enable_payloads.service_checks", into!(BOOL, serializer.enable_service_checks), "true", "send service checks"),
    Key::new("enable_payloads.json_to_v1_intake", into!(BOOL, serializer.enable_json_to_v1_intake), "true", "send anything to the v1 intake"),

    // How payloads are delivered.
    Key::new("forwarder_timeout", into!(SECONDS_FROM_ONE, forwarder.timeout), "20", "longest request in seconds"),
    Key::new("forwarder_num_workers", into!(COUNT_OR_ONE, forwarder.workers), "1", "connections to one base URL")
        .replaced_by("1 if it is less"),
    Key::new("forwarder_max_concurrent_requests", into!(COUNT_OR_ONE, forwarder.max_concurrent_requests), "10", "requests in flight for each of them")
        .replaced_by("1 if it is less"),
    Key::new("forwarder_connection_reset_interval", into!(SECONDS, forwarder.connection_reset_interval), "0", "age in seconds at which a connection is replaced; 0: never"),
    Key::new("forwarder_http_protocol", into!(HTTP_PROTOCOL, forwarder.http_protocol), "auto", "HTTP version; here always HTTP/1.1")
        .replaced_by("auto"),
    Key::new("forwarder_apikey_validation_interval", into!(MINUTES, forwarder.key_check_interval), "60", "minutes between two checks of the keys")
        .replaced_by("60 if it is less than 1"),
    Key::new("forwarder_backoff_factor", into!(FACTOR, forwarder.backoff_factor), "2", "spread of the waiting times")
        .replaced_by("2 if it is less"),
    Key::new("forwarder_backoff_base", into!(BACKOFF_BASE, forwarder.backoff_base_s), "2", "shortest waiting time in seconds")
        .replaced_by("2 if it is not above 0"),
    Key::new("forwarder_backoff_max", into!(BACKOFF_MAX, forwarder.backoff_max_s), "64", "longest waiting time in seconds")
        .replaced_by("64 if it is not above 0"),
    Key::new("forwarder_recovery_interval", into!(RECOVERY, forwarder.recovery_interval), "2", "errors forgotten with each success")
        .replaced_by("2 if it is less than 1"),
    Key::new("forwarder_recovery_reset", into!(BOOL, forwarder.recovery_reset), "false", "forget all errors with a success"),
    Key::new("forwarder_retry_queue_payloads_max_size", into!(BYTES, forwarder.retry_queue_bytes_max), "15728640", "payloads that wait to be sent again, in bytes for each base URL"),
    Key::new("forwarder_retry_queue_max_size", into!(COUNT_OR_NOTHING, forwarder.retry_queue_payloads_max), "", "the same in payloads of 2 MiB, where the newer key is not set"),
    Key::new("forwarder_retry_queue_capacity_time_interval_sec", into!(SECONDS, forwarder.retry_queue_capacity_interval), "900", "window of the gauges that tell the queue's capacity"),
    Key::new("forwarder_high_prio_buffer_size", into!(COUNT, forwarder.high_prio_buffer), "100", "new payloads that wait for a connection"),
    Key::new("forwarder_low_prio_buffer_size", into!(COUNT, forwarder.low_prio_buffer), "100", "payloads that wait for a connection again"),
    Key::new("forwarder_requeue_buffer_size", into!(COUNT, forwarder.requeue_buffer), "100", "payloads on their way back to the retry queue"),
    Key::new("forwarder_storage_max_size_in_bytes", into!(BYTES, forwarder.storage_bytes_max), "0", "payloads on disk; 0: no spool"),
    Key::new("forwarder_storage_path", into!(PATH, forwarder.storage_path), "/opt/datadog-agent/run/transactions_to_retry", "folder of the spool"),
    Key::new("forwarder_storage_max_disk_ratio", into!(RATIO, forwarder.storage_max_disk_ratio), "0.8", "share of the disk that may be in use"),
    Key::new("forwarder_flush_to_disk_mem_ratio", into!(RATIO, forwarder.flush_to_disk_mem_ratio), "0.5", "share of the retry queue that moves to disk at once"),
    Key::new("forwarder_outdated_file_in_days", into!(DAYS, forwarder.outdated_file_age), "10", "age at which a file of the spool is thrown away"),
    Key::new("logging_frequency", into!(COUNT_OR_ZERO, forwarder.logging_frequency), "500", "every how many deliveries one is logged; 0: none"),

    // What is always so: nothing is lost on purpose, and the stop as a whole has one limit.
    Key::done("aggregator_drain_samples_on_stop", "true or false", "true", "apply what was received before the last flush"),
    Key::done("dogstatsd_flush_on_stop", "true or false", "true", "flush at the stop"),
    Key::done("forwarder_stop_wait_for_inflight", "true or false", "true", "let requests in flight finish at the stop"),
    Key::done("dogstatsd_disable_verbose_logs", "true or false", "true", "log no malformed message: they are counted"),
    Key::done("aggregator_stop_timeout", "a number of seconds", "2", "see lastdrop_stop_timeout, which holds for the whole stop"),
    Key::done("forwarder_stop_timeout", "a number of seconds", "3", "see lastdrop_stop_timeout, which holds for the whole stop"),
    Key::done("dogstatsd_packet_buffer_flush_timeout", "a length of time", "1ms", "no packet waits in a buffer here"),

    // What the reference agent has and this one has not.
    Key::missing("dogstatsd_stream_log_too_big", "true or false", "false", "log the head of a frame that is too long; they are counted here"),
    Key::missing("dogstatsd_pipe_name", "text", "", "named pipe on Windows"),
    Key::missing("dogstatsd_packet_buffer_size", "a number", "32", "packets in a batch"),
    Key::missing("dogstatsd_queue_size", "a number", "1024", "batches in the queue"),
    Key::missing("dogstatsd_workers_count", "a number", "0", "parsing threads; see lastdrop_workers"),
    Key::missing("dogstatsd_pipeline_count", "a number", "1", "aggregating threads; see lastdrop_workers"),
    Key::missing("dogstatsd_pipeline_autoadjust", "true or false", "false", "as many of them as processors"),
    Key::missing("dogstatsd_string_interner_size", "a number", "4096", "cached strings"),
    Key::missing("dogstatsd_no_aggregation_pipeline_batch_size", "a number", "2048", "samples with a time of their own in a batch"),
    Key::missing("dogstatsd_mapper_cache_size", "a number", "1000", "mapped names in a cache"),
    Key::missing("dogstatsd_origin_detection", "true or false", "false", "tags of the container that sends"),
    Key::missing("dogstatsd_origin_detection_client", "true or false", "false", "tags of the container that the client names"),
    Key::missing("dogstatsd_origin_optout_enabled", "true or false", "true", "let clients opt out of that"),
    Key::missing("dogstatsd_entity_id_precedence", "true or false", "false", "which container goes first"),
    Key::missing("dogstatsd_tag_cardinality", "text", "low", "how many tags of the container"),
    Key::missing("dogstatsd_metrics_stats_enable", "true or false", "false", "statistics for each metric"),
    Key::missing("dogstatsd_stats_enable", "true or false", "false", "packets per second"),
    Key::missing("dogstatsd_stats_buffer", "a number", "10", "packets per second"),
    Key::missing("dogstatsd_stats_port", "a port", "5000", "packets per second"),
    Key::missing("dogstatsd_mem_based_rate_limiter.enabled", "true or false", "false", "read more slowly when memory is short"),
    Key::missing("statsd_forward_host", "a host", "", "copy packets to another server"),
    Key::missing("statsd_forward_port", "a port", "0", "copy packets to another server"),
    Key::missing("aggregator_buffer_size", "a number", "100", "batches between two stages"),
    Key::missing("serverless_microvm_lifecycle_port", "a port", "9000", "port of the MicroVM's lifecycle hooks"),
    Key::missing("serverless_microvm_user_app_port", "a port", "0", "port of the application that hooks are passed on to"),
    Key::logs("aas_instance_logging_enabled", "true or false", "false", "collect the log files of an App Service instance"),
    Key::logs("aas_instance_log_file_descriptor", "text", "", "part of the names of those files"),
    Key::logs("logs_enabled", "true or false", "false", "collect logs"),
    Key::logs("serverless_log_path", "a path", "", "log files to collect"),
    Key::logs("source", "text", "", "where logs are said to come from"),
];

/// Names of the agent's own metrics and of its integrations.
const NO_NAMESPACE: &str = "datadog.agent datadog.dogstatsd datadog.process datadog.trace_agent \
    datadog.tracer activemq activemq_58 airflow cassandra confluent hazelcast hive ignite jboss jvm \
    kafka presto sidekiq solr tomcat runtime";

/// Finds a key by its name.
pub(crate) fn named(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.name == name)
}
