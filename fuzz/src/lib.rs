//! The fuzz targets of lastdrop, one function each: the same for the fuzzer (`fuzz_targets/`) and
//! for plain `cargo test` (`tests/corpus.rs`). How to run them: `docs/fuzzing.md`.
//!
//! A target takes any bytes and panics if what it claims for all inputs doesn't hold for these.

mod cut;
mod decode;
mod messages;
mod payloads;
pub mod reference;
mod responses;
mod streams;

pub use messages::{datagram, differential};
pub use payloads::{payload, splitting};
pub use responses::{chunks, response};
pub use streams::framing;

/// What a target is: it panics on an input for which its claim doesn't hold.
pub type Target = fn(&[u8]);

/// Name and function of every target.
pub const TARGETS: &[(&str, Target)] = &[
    ("datagram", datagram),
    ("differential", differential),
    ("framing", framing),
    ("response", response),
    ("chunks", chunks),
    ("payload", payload),
    ("splitting", splitting),
];
