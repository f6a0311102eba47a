//! The format of a spooled file: one payload, the endpoint it is for, and a checksum. No key.
//!
//! ```text
//!  0  8  "lastdrop"            24  8  points
//!  8  2  version               32  8  bytes before compression
//! 10  2  place of the key      40  8  created, seconds since 1970
//! 12  1  kind                  48  4  length of the base URL
//! 13  1  encoding              52  4  length of the body
//! 14  1  taken                 56     base URL, body
//! 15  1  zero                      4  CRC-32 of everything before
//! 16  8  items                 numbers are little-endian; nothing follows
//! ```

use bytes::Bytes;
use flate2::Crc;

use crate::forward::endpoint::EndpointId;
use crate::forward::outcome::Taken;
use crate::payload::{Encoding, Payload, PayloadKind};

const MAGIC: &[u8; 8] = b"lastdrop";
const VERSION: u16 = 1;

/// Bytes before the base URL.
const HEAD: usize = 56;
/// Bytes of the checksum.
const TAIL: usize = 4;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) endpoint: EndpointId,
    pub(super) payload: Payload,
    pub(super) taken: Taken,
    /// When the payload was first spooled: seconds since 1970.
    pub(super) created_s: u64,
}

/// Why a file is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It was not written by us, or by a later version: to be left alone.
    Foreign,
    /// It was, but is not whole: of no use to anyone.
    Damaged,
}

/// Writes a record. `None` if a length does not fit its field.
pub(super) fn encode(record: &Record) -> Option<Vec<u8>> {
    let Record { endpoint, payload, taken, created_s } = record;
    let mut bytes =
        Vec::with_capacity(HEAD + endpoint.base_url().len() + payload.body.len() + TAIL);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&endpoint.slot().to_le_bytes());
    bytes.push(payload.kind as u8);
    bytes.push(payload.encoding as u8);
    bytes.push(*taken as u8);
    bytes.push(0);
    bytes.extend_from_slice(&payload.items.to_le_bytes());
    bytes.extend_from_slice(&payload.points.to_le_bytes());
    bytes.extend_from_slice(&payload.uncompressed_bytes.to_le_bytes());
    bytes.extend_from_slice(&created_s.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(endpoint.base_url().len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.body.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(endpoint.base_url().as_bytes());
    bytes.extend_from_slice(&payload.body);
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    Some(bytes)
}

/// Reads a record; its body shares `bytes`.
///
/// # Errors
/// Says whose fault it is that there is none.
pub(super) fn decode(bytes: Bytes) -> Result<Record, Fault> {
    let mut head = Head(&bytes);
    let (Some(magic), Some(version)) = (head.take(), head.take()) else {
        // The first bytes decide whose it is; an empty or short one of ours is torn.
        let ours = MAGIC.starts_with(&bytes) || bytes.starts_with(MAGIC);
        return Err(if ours { Fault::Damaged } else { Fault::Foreign });
    };
    if (&magic, u16::from_le_bytes(version)) != (MAGIC, VERSION) {
        return Err(Fault::Foreign);
    }
    if !is_whole(&bytes) {
        return Err(Fault::Damaged);
    }
    read(head, &bytes).ok_or(Fault::Damaged)
}

/// Reads what follows the version of a whole file.
fn read(mut head: Head<'_>, bytes: &Bytes) -> Option<Record> {
    let slot = u16::from_le_bytes(head.take()?);
    let [kind, encoding, taken, _zero] = head.take()?;
    let items = u64::from_le_bytes(head.take()?);
    let points = u64::from_le_bytes(head.take()?);
    let uncompressed_bytes = u64::from_le_bytes(head.take()?);
    let created_s = u64::from_le_bytes(head.take()?);
    let url_bytes = usize::try_from(u32::from_le_bytes(head.take()?)).ok()?;
    let body_bytes = usize::try_from(u32::from_le_bytes(head.take()?)).ok()?;
    let body_start = HEAD.checked_add(url_bytes)?;
    let body_end = body_start.checked_add(body_bytes)?;
    if body_end.checked_add(TAIL)? != bytes.len() {
        return None;
    }
    let base_url = str::from_utf8(bytes.get(HEAD..body_start)?).ok()?;
    Some(Record {
        endpoint: EndpointId::new(base_url, slot),
        payload: Payload {
            kind: *PayloadKind::ALL.get(usize::from(kind))?,
            encoding: *Encoding::ALL.get(usize::from(encoding))?,
            body: bytes.slice(body_start..body_end),
            items,
            points,
            uncompressed_bytes,
        },
        taken: *[Taken::No, Taken::Maybe].get(usize::from(taken))?,
        created_s,
    })
}

fn is_whole(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk::<TAIL>()
        .is_some_and(|(content, sum)| u32::from_le_bytes(*sum) == checksum(content))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// What is left of the head.
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            endpoint: EndpointId::new("https://app.datadoghq.eu", 3),
            payload: Payload {
                kind: PayloadKind::Sketches,
                encoding: Encoding::Zstd,
                body: Bytes::from_static(b"a body"),
                items: 7,
                points: 9,
                uncompressed_bytes: 11,
            },
            taken: Taken::Maybe,
            created_s: 1_756_737_057,
        }
    }

    fn bytes() -> Vec<u8> {
        encode(&record()).unwrap()
    }

    #[test]
    fn a_record_reads_back_as_it_was_for_every_kind_encoding_and_doubt() {
        for kind in PayloadKind::ALL {
            for encoding in Encoding::ALL {
                for taken in [Taken::No, Taken::Maybe] {
                    let mut record = Record { taken, ..record() };
                    record.payload.kind = kind;
                    record.payload.encoding = encoding;
                    assert_eq!(decode(encode(&record).unwrap().into()), Ok(record));
                }
            }
        }
    }

    #[test]
    fn a_file_torn_at_any_byte_is_damaged() {
        let whole = bytes();
        for length in 0..whole.len() {
            let torn = Bytes::copy_from_slice(&whole[..length]);
            assert_eq!(decode(torn), Err(Fault::Damaged), "{length} bytes");
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(decode(longer.into()), Err(Fault::Damaged));
    }

    #[test]
    fn a_byte_changed_anywhere_is_noticed() {
        for place in 0..bytes().len() {
            let mut changed = bytes();
            changed[place] ^= 0x40;
            let expected = if place < 10 { Fault::Foreign } else { Fault::Damaged };
            assert_eq!(decode(changed.into()), Err(expected), "byte {place}");
        }
    }

    /// Even with a checksum that fits: a field out of range makes no record, and no panic.
    #[test]
    fn a_field_out_of_range_is_damage_even_under_a_good_checksum() {
        for (place, value) in
            [(12, 6), (13, 4), (14, 2), (48, 0xff), (51, 0xff), (55, 0xff), (56, 0xff)]
        {
            let mut changed = bytes();
            changed[place] = value;
            let content = changed.len() - TAIL;
            let sum = checksum(&changed[..content]);
            changed[content..].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(decode(changed.into()), Err(Fault::Damaged), "byte {place}");
        }
    }

    #[test]
    fn what_others_wrote_is_foreign() {
        for other in [&b"\x7fELF\x02\x01\x01 and so on"[..], b"lostdrop, nearly", b"x"] {
            assert_eq!(decode(Bytes::from_static(other)), Err(Fault::Foreign));
        }
    }
}
