//! Answers vectors: a line of input each, what our code makes of it as a line of output each.

pub mod ddsketch;
pub mod http;
pub mod payloads;
pub(crate) mod http;
