//! The fuzz targets of lastdrop, one function each: the same for the fuzzer (`fuzz_targets/`) and
//! for plain `cargo test` (`tests/corpus.rs`). How to run them: `docs/fuzzing.md`.
//!
//! A target takes any bytes and panics if what it claims for all inputs doesn't hold for these.

// Nothing is tested in here, and the configuration would bring the agent's unit tests with it.
#![cfg(not(test))]

mod aggregation;
mod cli;
mod configurations;
mod cut;
mod decode;
mod drains;
mod enrichments;
mod messages;
mod payloads;
pub mod reference;
mod replay;
mod responses;
mod sketches;
mod spools;
mod streams;

pub use aggregation::aggregation;
pub use configurations::configuration;
pub use drains::drain;
pub use enrichments::{enrichment, mapper};
pub use messages::{datagram, differential};
pub use payloads::{payload, splitting};
pub use replay::replay;
pub use responses::{chunks, response};
pub use sketches::sketch;
pub use spools::spool;
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
    ("aggregation", aggregation),
    ("sketch", sketch),
    ("drain", drain),
    ("enrichment", enrichment),
    ("mapper", mapper),
    ("spool", spool),
    ("configuration", configuration),
];
