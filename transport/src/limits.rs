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

/// Most clients connected to the unix stream socket; more wait in its backlog until one leaves.
pub const STREAM_CONNECTIONS_MAX: usize = 512;

/// Connections to the unix stream socket that may wait to be accepted (the kernel may allow less:
/// `net.core.somaxconn`).
pub const STREAM_BACKLOG: i32 = 1024;

/// Longest path of a unix socket in bytes: `sun_path` less its end.
pub const UNIX_PATH_BYTES_MAX: usize = 107;
