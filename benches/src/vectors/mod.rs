//! Runs vectors of the transport's parts: a line of input each, a line of output each.

pub mod http;
//! Answers the vectors of the protocol: what our code makes of the inputs of a vector file.

pub(crate) mod ddsketch;
pub mod payloads;
