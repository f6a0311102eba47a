//! Answers the vectors of the protocol: what our code makes of the inputs of a vector file.

pub(crate) mod ddsketch;
