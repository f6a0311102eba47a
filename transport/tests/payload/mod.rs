//! What the payload tests share: inputs, an independent reader, and decompression.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod columns;
pub(crate) mod input;
pub(crate) mod reader;

use std::io::Read;

use lastdrop_transport::payload::{Encoding, Payload};

/// The body before compression, by the libraries' own readers.
pub(crate) fn decompress(payload: &Payload) -> Vec<u8> {
    let mut plain = Vec::new();
    let body: &[u8] = &payload.body;
    match payload.encoding {
        Encoding::Zstd => plain = zstd::stream::decode_all(body).unwrap(),
        Encoding::Deflate => {
            flate2::bufread::ZlibDecoder::new(body).read_to_end(&mut plain).map(drop).unwrap();
        }
        Encoding::Gzip => {
            flate2::bufread::GzDecoder::new(body).read_to_end(&mut plain).map(drop).unwrap();
        }
        Encoding::Identity => plain.extend_from_slice(body),
    }
    assert_eq!(plain.len() as u64, payload.uncompressed_bytes);
    plain
}

/// Bytes of a vector's hexadecimal text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
