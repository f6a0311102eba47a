//! The bytes of a unix stream as datagrams: each frame is its length in four bytes, little-endian,
//! and as many bytes of payload.
//!
//! Bytes come in as they are read, split anywhere. A frame that lies whole in one read is handed
//! out where it lies; only one that is split is put together in memory of its own.
//!
//! ```text
//! read 1   ┌ 5 ┐ a : 1 | c ┌ 5 ┐ b :         "a:1|c" in place, then "5 b :" is held
//! read 2   2 | c ┌ 5 …                        "b:2|c" from what was held, and so on
//! ```
//!
//! Nothing in the bytes tells where the next frame starts once a length is wrong. So any error
//! ends the connection, and says with how much lost.

use std::fmt;

/// Bytes of the length in front of each frame.
const HEADER_BYTES: usize = size_of::<u32>();

/// Cuts one connection's bytes into frames.
///
/// Hand each read to [`FrameReader::next`] until it asks for more, and call
/// [`FrameReader::end`] when the peer has closed. After an error there is nothing to be had from
/// this connection any more.
#[derive(Debug)]
pub struct FrameReader {
    payload_bytes_max: usize,
    /// Header and payload of a frame that has not come whole; at most header and
    /// `payload_bytes_max`.
    held: Vec<u8>,
    /// True once `held` has become whole and was handed out.
    spent: bool,
}

/// Why a connection's bytes can't be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// A frame is longer than the limit.
    TooLong {
        /// Length in bytes that the peer announced.
        payload_bytes: usize,
        /// Longest payload that is taken.
        payload_bytes_max: usize,
    },
    /// A frame of length 0: the peer has nothing more to say.
    Empty,
    /// The peer closed inside the four bytes of a length.
    InHeader {
        /// Bytes that had come.
        header_bytes: usize,
    },
    /// The peer closed inside a payload.
    InPayload {
        /// Bytes of payload that had come.
        received_bytes: usize,
        /// Length in bytes that the peer announced.
        payload_bytes: usize,
    },
}

impl FrameReader {
    /// A reader for one connection that takes payloads of up to `payload_bytes_max` bytes. Memory
    /// is allocated with the first frame that comes in pieces.
    #[must_use]
    pub const fn new(payload_bytes_max: usize) -> Self {
        Self { payload_bytes_max, held: Vec::new(), spent: false }
    }

    /// Takes the next frame's payload off the front of `input`, not empty. `None` means that all
    /// of `input` was taken and more is needed.
    ///
    /// # Errors
    ///
    /// A length of 0 or above the limit ends the connection.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<&'s [u8]>, Torn> {
        if self.spent {
            self.held.clear();
            self.spent = false;
        }
        if self.held.is_empty() {
            let length = payload_bytes(input, self.payload_bytes_max)?;
            let behind = length.zip(input.get(HEADER_BYTES..));
            if let Some((payload, rest)) = behind.and_then(|(n, bytes)| bytes.split_at_checked(n)) {
                *input = rest;
                return Ok(Some(payload));
            }
        } else {
            self.hold(input, HEADER_BYTES);
            let Some(payload_bytes) = payload_bytes(&self.held, self.payload_bytes_max)? else {
                return Ok(None);
            };
            self.hold(input, HEADER_BYTES + payload_bytes);
            self.spent = self.held.len() == HEADER_BYTES + payload_bytes;
            if self.spent {
                return Ok(self.held.get(HEADER_BYTES..));
            }
        }
        self.held.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    /// Tells how the connection ended, once the peer has closed it.
    ///
    /// # Errors
    ///
    /// The peer closed in the middle of a frame.
    pub fn end(&self) -> Result<(), Torn> {
        if self.held.is_empty() || self.spent {
            return Ok(());
        }
        let header_bytes = self.held.len().min(HEADER_BYTES);
        match payload_bytes(&self.held, self.payload_bytes_max)? {
            None => Err(Torn::InHeader { header_bytes }),
            Some(payload_bytes) => {
                let received_bytes = self.held.len() - header_bytes;
                Err(Torn::InPayload { received_bytes, payload_bytes })
            }
        }
    }

    /// Moves bytes from `input` until `target` bytes are held, or `input` is empty.
    fn hold(&mut self, input: &mut &[u8], target: usize) {
        let missing = target.saturating_sub(self.held.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.held.extend_from_slice(taken);
        *input = rest;
    }
}

/// Reads the length in front of a frame: `None` if it isn't whole, else 1 to `payload_bytes_max`.
fn payload_bytes(bytes: &[u8], payload_bytes_max: usize) -> Result<Option<usize>, Torn> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    match usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX) {
        0 => Err(Torn::Empty),
        payload_bytes if payload_bytes > payload_bytes_max => {
            Err(Torn::TooLong { payload_bytes, payload_bytes_max })
        }
        payload_bytes => Ok(Some(payload_bytes)),
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { payload_bytes, payload_bytes_max } => write!(
                f,
                "a frame of {payload_bytes} bytes is longer than {payload_bytes_max}: raise \
                 dogstatsd_buffer_size, or let the client pack less into one frame"
            ),
            Self::Empty => f.write_str("a frame of length 0 ends the connection"),
            Self::InHeader { header_bytes } => {
                write!(f, "the client closed after {header_bytes} of {HEADER_BYTES} length bytes")
            }
            Self::InPayload { received_bytes, payload_bytes } => {
                write!(f, "the client closed after {received_bytes} of {payload_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for Torn {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 64;

    fn stream(payloads: &[Vec<u8>]) -> Vec<u8> {
        let frame = |payload: &Vec<u8>| {
            let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
            [&length[..], payload].concat()
        };
        payloads.iter().flat_map(frame).collect()
    }

    /// Reads `reads` one after the other, then the end: the frames, and how it ended.
    fn read(reads: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), Torn>) {
        let mut reader = FrameReader::new(LIMIT);
        let mut frames = Vec::new();
        for mut input in reads.iter().copied() {
            loop {
                match reader.next(&mut input) {
                    Ok(Some(payload)) => frames.push(payload.to_vec()),
                    Ok(None) => break,
                    Err(torn) => return (frames, Err(torn)),
                }
            }
            assert!(input.is_empty(), "asked for more with {} bytes left", input.len());
        }
        (frames, reader.end())
    }

    proptest! {
        /// For all frames and all splits of their bytes: the same frames come out.
        #[test]
        fn frames_may_be_split_anywhere(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=LIMIT), 0..6),
            mut cuts in prop::collection::vec(0..400_usize, 0..12),
        ) {
            let bytes = stream(&payloads);
            cuts.sort_unstable();
            let mut reads = Vec::new();
            let mut start = 0;
            for end in cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]) {
                reads.push(&bytes[start..end]);
                start = end;
            }
            prop_assert_eq!(read(&reads), (payloads, Ok(())));
        }

        /// For all bytes in all splits: no panic, and never more memory than one frame.
        #[test]
        fn garbage_is_bounded(bytes: Vec<u8>, read_bytes in 1..20_usize) {
            let mut reader = FrameReader::new(LIMIT);
            for mut input in bytes.chunks(read_bytes) {
                while let Ok(Some(payload)) = reader.next(&mut input) {
                    prop_assert!((1..=LIMIT).contains(&payload.len()));
                }
                prop_assert!(reader.held.len() <= HEADER_BYTES + LIMIT);
            }
        }
    }

    #[test]
    fn a_stream_that_ends_between_frames_is_whole_and_inside_one_it_is_torn() {
        let bytes = stream(&[b"ab".to_vec(), b"cde".to_vec()]);
        for end in 0..=bytes.len() {
            let torn = match end {
                0 | 6 | 13 => Ok(()),
                1..4 => Err(Torn::InHeader { header_bytes: end }),
                4 | 5 => Err(Torn::InPayload { received_bytes: end - 4, payload_bytes: 2 }),
                7..10 => Err(Torn::InHeader { header_bytes: end - 6 }),
                _ => Err(Torn::InPayload { received_bytes: end - 10, payload_bytes: 3 }),
            };
            assert_eq!(read(&[&bytes[..end]]).1, torn, "cut at {end}");
        }
    }

    #[test]
    fn a_length_that_is_zero_or_above_the_limit_ends_the_connection() {
        let too_long = Torn::TooLong { payload_bytes: LIMIT + 1, payload_bytes_max: LIMIT };
        for (payload, torn) in [(vec![], Torn::Empty), (vec![0; LIMIT + 1], too_long)] {
            let bytes = stream(&[b"ab".to_vec(), payload, b"lost".to_vec()]);
            let (header, rest) = bytes.split_at(8);
            assert_eq!(read(&[&bytes]), (vec![b"ab".to_vec()], Err(torn)), "in one read");
            assert_eq!(read(&[header, rest]), (vec![b"ab".to_vec()], Err(torn)), "in two");
        }
    }

    #[test]
    fn a_whole_frame_is_not_copied() {
        let bytes = stream(&[b"abc".to_vec()]);
        let mut reader = FrameReader::new(LIMIT);
        let payload = reader.next(&mut &bytes[..]).unwrap().unwrap();
        assert!(bytes.as_ptr_range().contains(&payload.as_ptr()));
        assert_eq!(reader.held.capacity(), 0);
    }
}
