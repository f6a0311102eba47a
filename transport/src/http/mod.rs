//! HTTP/1.1 of a client, sans-IO: bytes and lengths in, bytes and outcomes out.
//!
//! No socket and no clock in here. A driver writes a request's head, which [`Request::write_head`]
//! puts into the driver's buffer, then the body as it is; what it reads goes into a
//! [`ResponseReader`] in pieces of any size:
//!
//! ```text
//!             ┌──────────────── interim answer (1xx) ───────────────┐
//!             ▼                                                     │
//!        status line ──► field lines ──► what frames the body? ─────┤
//!                                         │      │      │     │     │
//!                                      length chunked  end   none   tunnel
//!                                         │      │      │     │     │
//!                                         └──────┴──┬───┴─────┴─────┘
//!                                                   ▼
//!                         complete: status, framing, may the connection be used again?
//! ```
//!
//! The rules are those of RFC 9112, read strictly where a proxy and we could disagree about where a
//! message ends (lengths, chunk framing, bare CR), and leniently where nothing hangs on it (a bare
//! LF between field lines, folded values, HTTP/1.2). No general parser of whole messages draws the
//! line there; `httparse` takes the field lines apart for us. The outcome depends on the bytes alone, never on how they were cut.

#![deny(clippy::indexing_slicing)]

mod body;
mod error;
mod head;
mod request;
mod response;

pub use body::BodySink;
pub use error::{CloseReason, RequestError, ResponseError};
pub use request::{Authority, Header, Method, Path, Request, Via, write_connect};
pub use response::{Framing, Progress, Purpose, Response, ResponseLimits, ResponseReader};
