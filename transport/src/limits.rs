//! Bounds of headers, bodies, queues and connections, each with its unit and reason.

use std::time::Duration;

// The forwarder.

/// Requests that one endpoint has in flight at once unless configured
/// (`forwarder_max_concurrent_requests`).
pub const REQUESTS_IN_FLIGHT_DEFAULT: usize = 10;

/// Most requests in flight that a configuration may ask of one endpoint: each holds a body.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// New transactions of one route that wait in order of arrival (`forwarder_high_prio_buffer_size`);
/// further ones wait with those to be retried, so that after an outage the newest goes first.
pub const FRESH_TRANSACTIONS_MAX: usize = 100;

/// Bytes of bodies that wait for one endpoint, new and failed together
/// (`forwarder_retry_queue_payloads_max_size`). Beyond it the oldest is dropped.
pub const QUEUE_BYTES_DEFAULT: usize = 15 * 1024 * 1024;

/// Back-off after the first failure, before doubling (`forwarder_backoff_base`).
pub const BACKOFF_BASE_DEFAULT: Duration = Duration::from_secs(2);

/// Longest back-off (`forwarder_backoff_max`).
pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(64);

/// Width of the spread: a back-off of up to `b` is drawn from `b / factor` to `b`
/// (`forwarder_backoff_factor`).
pub const BACKOFF_FACTOR_DEFAULT: f64 = 2.0;

/// Failures that one success forgives (`forwarder_recovery_interval`).
pub const BACKOFF_RECOVERY_DEFAULT: u32 = 2;

/// Longest back-off that a configuration may ask for: a day.
pub const BACKOFF_LONGEST: Duration = Duration::from_secs(86_400);

/// Longest pause that an intake may ask for with `Retry-After`. Longer ones are cut to this: an
/// intake that is wrong about its clock must not silence a fleet.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Back-off during the stop, before doubling: small enough for several attempts in a grace period
/// of ten seconds.
pub const STOP_BACKOFF_BASE: Duration = Duration::from_millis(125);

/// Shortest back-off during the stop: what keeps the last moments from turning into a busy loop.
pub const STOP_BACKOFF_LEAST: Duration = Duration::from_millis(50);

/// A back-off during the stop takes at most this part of the time that remains.
pub const STOP_BACKOFF_SHARE: u32 = 4;

/// Time that must remain after a `Retry-After` for the attempt itself; a pause that leaves less
/// does not fit into the stop and is not kept.
pub const STOP_ATTEMPT_RESERVE: Duration = Duration::from_millis(500);

// The spool.

/// Bytes that the files of a spool may hold together unless configured. Like the reference agent's
/// `forwarder_storage_max_size_in_bytes` it is zero: no spool.
pub const SPOOL_BYTES_DEFAULT: u64 = 0;

/// Days after which a spooled payload is too old to be worth sending
/// (`forwarder_outdated_file_in_days`).
pub const SPOOL_AGE_DAYS_DEFAULT: u64 = 10;

/// Largest file that is read back: twice the largest body that the defaults let through, and more
/// than a file that was not written by us should make us read.
pub const SPOOL_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Files that are known at once; those beyond wait for the next start.
pub const SPOOL_FILES_MAX: usize = 65_536;

/// Files whose content is in memory at once: each holds a descriptor for its lock.
pub const SPOOL_CLAIMS_MAX: usize = 32;
