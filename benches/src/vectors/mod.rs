//! Test vectors line by line through the engine's and the transport's own code: inputs on standard
//! input, results on standard output, one line each, for comparison by other programs.

pub mod ddsketch;
pub mod http;
pub mod payloads;

use std::io::{self, BufRead, Write};

use serde::Serialize;

/// Writes one line of JSON for each line of input, in order.
///
/// Lines are bytes, not text: one that is not UTF-8 is a bad line, not the end of the run.
fn answer_lines<A: Serialize>(
    input: impl BufRead,
    mut output: impl Write,
    answer: impl Fn(&[u8]) -> A,
) -> io::Result<()> {
    for line in input.split(b'\n') {
        serde_json::to_writer(&mut output, &answer(&line?))?;
        output.write_all(b"\n")?;
    }
    output.flush()
}
