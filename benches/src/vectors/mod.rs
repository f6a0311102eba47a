//! Runs vectors of the transport's parts: a line of input each, a line of output each.

pub(crate) mod http;
