//! Bounds of headers, bodies, queues and connections, each with its unit and reason.

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
