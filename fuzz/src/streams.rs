//! Unix streams: that frames come out the same wherever the reads were cut.

use lastdrop_engine::frame::{FrameReader, Torn};

use crate::cut::Cuts;
use crate::reference::frame::{End, frames};

/// Longest payload taken here: small, so that too long ones are met often.
const PAYLOAD_BYTES_MAX: usize = 300;

/// For all streams and all ways to cut them into reads: the payloads and the end that the reference
/// finds in the whole.
pub fn framing(data: &[u8]) {
    let (cuts, stream) = Cuts::take(data);
    let (payloads, end) = frames(stream, PAYLOAD_BYTES_MAX);
    let mut expected = payloads.iter();
    let mut reader = FrameReader::new(PAYLOAD_BYTES_MAX);
    let mut torn = Ok(());
    'reads: for mut read in cuts.pieces(stream) {
        while !read.is_empty() {
            match reader.next(&mut read) {
                Ok(Some(payload)) => {
                    assert_eq!(Some(payload), expected.next().map(Vec::as_slice));
                }
                Ok(None) => assert!(read.is_empty(), "asked for more with bytes left"),
                Err(error) => {
                    torn = Err(error);
                    break 'reads;
                }
            }
        }
    }
    assert_eq!(expected.next(), None, "a frame was lost");
    let end_found = torn.and_then(|()| reader.end());
    assert_eq!(end_found, translated(end));
    assert!(end_found.err().is_none_or(|torn| !torn.to_string().is_empty()));
}

fn translated(end: End) -> Result<(), Torn> {
    Err(match end {
        End::Clean => return Ok(()),
        End::Empty => Torn::Empty,
        End::TooLong(payload_bytes) => {
            Torn::TooLong { payload_bytes, payload_bytes_max: PAYLOAD_BYTES_MAX }
        }
        End::InLength(header_bytes) => Torn::InHeader { header_bytes },
        End::InPayload(received_bytes, payload_bytes) => {
            Torn::InPayload { received_bytes, payload_bytes }
        }
    })
}
