//! Bounds of headers, bodies, queues and connections, each with its unit and reason.

/// Most datagrams that one `recvmmsg` may bring: the kernel's own bound (`UIO_MAXIOV`).
pub const BATCH_DATAGRAMS_MAX: usize = 1024;

/// Longest datagram that can be received whole, in bytes: well above what UDP carries and what the
/// default send buffer lets through a unix socket.
pub const SLOT_BYTES_MAX: usize = 1 << 20;

/// Default and upper bound of the kernel memory that one full burst group may take, in bytes: what
/// 50,000 datagrams of 80 bytes need, which the kernel charges with 832 bytes each, and the
/// head-room that random spreading costs. Nothing is taken until datagrams wait.
pub const BURST_BYTES_DEFAULT: usize = 52 << 20;

/// Part of the container's memory limit that a full burst group may take: one in so many.
pub const BURST_MEMORY_SHARE: u64 = 8;

/// Most sockets in one burst group: as many as hold [`BURST_BYTES_DEFAULT`] with the buffers of a
/// kernel in its default state (212,992 bytes).
pub const GROUP_SOCKETS_MAX: usize = 256;

/// Descriptors that the listeners leave to the rest of the agent: connections to the intake, files,
/// clients of the stream socket, timers.
pub const DESCRIPTORS_RESERVED: usize = 256;

/// Most bytes read of a table under `/proc/net`, some 30,000 sockets: enough for any container, and
/// a bound on a host with more.
pub const SOCKET_TABLE_BYTES_MAX: u64 = 4 << 20;

/// Tries to find one ephemeral port that is free on all addresses of the listener.
pub const EPHEMERAL_PORT_TRIES_MAX: usize = 16;
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

/// Bytes of bodies, waiting and in flight, that an endpoint which takes them has ahead of the next
/// payload, before that is made: some eight full ones of series, enough to keep its connections busy.
/// What is not encoded yet waits merged, which takes less room.
pub const AHEAD_BYTES_MAX: usize = 4 << 20;

/// Closed slots that wait, merged, behind the one that is encoded. With more of them the intake is
/// slower than the data: payloads are made without waiting for room, and queues that are full give
/// up their oldest.
pub const SLOTS_WAITING_MAX: usize = 2;

/// How long an endpoint that has answered nothing to what is in flight may hold back the others,
/// once its queue is full.
pub const HOLD_BACK_TIME_MAX: Duration = Duration::from_secs(3);

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

/// Bytes of an answer's head, from the first byte of the status line to the blank line inclusive;
/// the trailer section has the same budget again. Real intakes and proxies stay below 4 KiB.
pub const HEAD_BYTES_MAX: usize = 65_536;

/// Field lines of a head (folded lines count), and again of the trailer section.
pub const HEADER_LINES_MAX: usize = 128;

/// Bytes of an answer's body. The intake answers with some tens of bytes; a proxy's page of
/// explanation fits too.
pub const BODY_BYTES_MAX: u64 = 1_048_576;

/// Bytes of a chunk's size line without its CRLF: room for extensions, which are ignored.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// Interim answers (1xx) before the final one.
pub const INTERIM_ANSWERS_MAX: usize = 8;

/// Bytes of an answer's body that are kept for the log; the rest is read and counted only.
pub const BODY_KEPT_BYTES: usize = 1000;

/// Most clients connected to the unix stream socket; more wait in its backlog until one leaves.
pub const STREAM_CONNECTIONS_MAX: usize = 512;

/// Connections to the unix stream socket that may wait to be accepted (the kernel may allow less:
/// `net.core.somaxconn`).
pub const STREAM_BACKLOG: i32 = 1024;

/// Longest path of a unix socket in bytes: `sun_path` less its end.
pub const UNIX_PATH_BYTES_MAX: usize = 107;
/// A whole request, from the start of the connection to the last byte of the answer.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);

/// Resolving and connecting, all addresses together; capped by what is left of the request's time.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

/// The least share of the connect time that an address gets before the next one is tried: enough
/// for one lost SYN.
pub const CONNECT_TIME_MIN: Duration = Duration::from_secs(2);

/// The TLS handshake.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long an unused connection is kept open.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(90);

/// Unused connections that are kept open to one endpoint.
pub const IDLE_CONNECTIONS_MAX: usize = 5;

/// Silence on a connection after which the kernel asks whether the other side is still there.
pub const TCP_KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// How long resolved addresses are used for new connections: intakes move by changing them.
pub const ADDRESSES_TIME_MAX: Duration = Duration::from_secs(60);

/// Addresses of a name that are tried.
pub const ADDRESSES_MAX: usize = 16;

/// Requests that wait for a connection of one pool; the forwarder's own queues hold the rest.
pub const POOL_WAITING_MAX: usize = 1024;

/// Bytes read from a connection at once.
pub const READ_BYTES: usize = 16_384;

/// Reads from one connection before the others have their turn.
pub const READS_PER_TURN: usize = 32;

/// Most of the stop's time that is kept for counting what could not be encoded any more: some
/// millions of contexts.
pub const STOP_COUNT_TIME_MAX: Duration = Duration::from_millis(250);

/// Of what is left of the stop, counting gets at most this part.
pub const STOP_COUNT_SHARE: u32 = 8;

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

/// Files whose content is in memory at once: each holds a descriptor for its lock. The endpoints
/// share them evenly, so that the files of a dead one don't keep those of the others on disk.
pub const SPOOL_CLAIMS_MAX: usize = 32;

/// Most of the stop's time that is kept for writing what could not be delivered.
pub const SPOOL_STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// Of what is left of the stop the spool gets at most this part.
pub const SPOOL_STOP_SHARE: u32 = 4;

/// Most bytes that are read of the file with the API key.
pub const KEY_FILE_BYTES_MAX: u64 = 65_536;

/// Files that are read in one go while the agent is at work; those beyond wait for the next turn of
/// its loop.
pub const SPOOL_LOOKS_MAX: usize = 16;
