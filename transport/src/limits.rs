//! Bounds of headers, bodies, queues and connections, each with its unit and reason.

use std::time::Duration;

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
