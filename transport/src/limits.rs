//! Bounds of headers, bodies, queues and connections, each with its unit and reason.

/// Most datagrams that one `recvmmsg` may bring: the kernel's own bound (`UIO_MAXIOV`).
pub const BATCH_DATAGRAMS_MAX: usize = 1024;
