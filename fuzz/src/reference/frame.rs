//! From bytes to lines, and from a whole stream to frames.

/// A line with its place in the datagram, or the place of an unterminated rest.
pub type Line = Result<(usize, Vec<u8>), usize>;

/// Cuts a datagram at each newline, takes one carriage return off each line and skips what is then
/// empty. With `newline_required` an unterminated rest is refused.
#[must_use]
pub fn lines(datagram: &[u8], newline_required: NewlineRequired) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < datagram.len() {
        let newline = (start..datagram.len()).find(|&at| datagram[at] == b'\n');
        let end = match (newline, newline_required) {
            (Some(end), _) => end,
            (None, NewlineRequired::No) => datagram.len(),
            (None, NewlineRequired::Yes) => {
                lines.push(Err(start));
                break;
            }
        };
        let mut line = datagram[start..end].to_vec();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(Ok((start, line)));
        }
        start = end + 1;
    }
    lines
}

/// Whether the last line needs a newline too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewlineRequired {
    /// The end of the datagram will do.
    No,
    /// It does.
    Yes,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Between two frames.
    Clean,
    /// A frame of length 0.
    Empty,
    /// A frame longer than allowed: its length.
    TooLong(usize),
    /// Inside a length: bytes of it that came.
    InLength(usize),
    /// Inside a payload: bytes of it that came, and its length.
    InPayload(usize, usize),
}

/// Cuts a whole stream into its payloads.
#[must_use]
pub fn frames(stream: &[u8], payload_bytes_max: usize) -> (Vec<Vec<u8>>, End) {
    let mut payloads = Vec::new();
    let mut at = 0;
    loop {
        let left = stream.len() - at;
        if left == 0 {
            return (payloads, End::Clean);
        }
        if left < 4 {
            return (payloads, End::InLength(left));
        }
        let length = (0..4).map(|byte| usize::from(stream[at + byte]) << (8 * byte)).sum();
        if length == 0 {
            return (payloads, End::Empty);
        }
        if length > payload_bytes_max {
            return (payloads, End::TooLong(length));
        }
        if left - 4 < length {
            return (payloads, End::InPayload(left - 4, length));
        }
        payloads.push(stream[at + 4..at + 4 + length].to_vec());
        at += 4 + length;
    }
}
