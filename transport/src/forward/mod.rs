//! The forwarder: what an answer means, when to try again, and what became of every payload.
//! No socket and no clock: time comes in as a value, randomness as a seeded generator.
//!
//! ```text
//!  Payload ─▶ Endpoint (one a base URL and key) ─▶ Dispatch ─▶ connection ─▶ intake
//!                ▲   queue · breakers · ledger                    │
//!                └──────────────── Attempt ◀──────────────────────┘
//! ```
//!
//! The rules are told in `docs/delivery.md`. The modules stand in the order of use: each may use
//! those above it, none those below.

pub mod outcome;
pub mod retry_after;
pub mod secret;

pub mod host;
pub mod transaction;

pub mod backoff;
pub mod ledger;

mod retry;
pub mod room;

pub mod endpoint;

pub mod spool;
