//! Bytes cut into reads: the start of an input says where.

/// Where to cut, as the lengths of the reads.
pub(crate) struct Cuts<'a>(&'a [u8]);

impl<'a> Cuts<'a> {
    /// Takes the cuts off the front of `data`: a count of up to 15, and as many lengths.
    pub(crate) fn take(data: &'a [u8]) -> (Self, &'a [u8]) {
        let Some((count, rest)) = data.split_first() else {
            return (Self(&[]), data);
        };
        let count = usize::from(count % 16).min(rest.len());
        let (lengths, rest) = rest.split_at(count);
        (Self(lengths), rest)
    }

    /// The pieces of `bytes`: the lengths again and again, or all in one piece if there is none. A
    /// length of 0 is an empty read.
    pub(crate) fn pieces(&self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() && self.0.iter().any(|&length| length > 0) {
            for &length in self.0 {
                let (piece, behind) = rest.split_at(usize::from(length).min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
        }
        pieces.push(rest);
        pieces
    }
}
