//! Test vectors line by line through the engine's and the transport's own code: inputs on standard
//! input, results on standard output, one line each, for comparison by other programs.

pub mod ddsketch;
pub mod http;
pub mod payloads;
