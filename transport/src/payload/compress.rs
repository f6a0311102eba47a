//! Compression of request bodies: as a stream that can tell, between two pushes, how large it is.

use flate2::{Compress, Compression as DeflateLevel, Crc, FlushCompress, Status};
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe;

/// How bodies are compressed (`serializer_compressor_kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As one zstd frame.
    Zstd {
        /// 1 (fast) to 22; the library clamps what is outside.
        level: i32,
    },
    /// As deflate in a zlib wrapper, at the library's default level.
    Zlib,
    /// As gzip, at the library's default level.
    Gzip,
    /// Not at all.
    None,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: Self::ZSTD_LEVEL }
    }
}

impl Compression {
    /// Default level of zstd: the fastest of the usual ones.
    pub const ZSTD_LEVEL: i32 = 1;

    /// How the body of a request says that it is compressed so.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        match self {
            Self::Zstd { .. } => Encoding::Zstd,
            Self::Zlib => Encoding::Deflate,
            Self::Gzip => Encoding::Gzip,
            Self::None => Encoding::Identity,
        }
    }
}

/// How a body is compressed, as its request names it. The numbers stand in spooled files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Not compressed.
    Identity = 0,
    /// zstd (RFC 8878).
    Zstd = 1,
    /// Deflate in a zlib wrapper (RFC 1950), as RFC 9110 wants it; never raw.
    Deflate = 2,
    /// gzip (RFC 1952).
    Gzip = 3,
}

impl Encoding {
    /// Every encoding, each at the place of its number.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Zstd, Self::Deflate, Self::Gzip];

    /// The content coding's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

/// Compresses one body after another.
///
/// Its working memory is allocated with the first body, kept for the next, and freed with the
/// compressor.
pub(super) struct Compressor {
    compression: Compression,
    coder: Option<Coder>,
}

enum Coder {
    Zstd(Encoder<'static>),
    Zlib(Compress),
    Gzip(Compress, Crc),
    None,
}

impl Compressor {
    pub(super) const fn new(compression: Compression) -> Self {
        Self { compression, coder: None }
    }

    pub(super) const fn encoding(&self) -> Encoding {
        self.compression.encoding()
    }

    /// The most bytes that pushing `length` more bytes and finishing can add to the output.
    pub(super) fn bytes_max(&self, length: usize) -> usize {
        match self.compression {
            // Holds for a whole frame; what flushes cost is already in the output they made.
            Compression::Zstd { .. } => zstd_safe::compress_bound(length),
            // The library's own bound for what it can't compress, which has room for the wrappers.
            Compression::Zlib | Compression::Gzip => length + length / 10 + 128,
            Compression::None => length,
        }
    }

    /// Compresses `input` and appends all of it to `out`, so that the length of `out` counts.
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.bytes_max(input.len()));
        match self.coder() {
            Coder::Zstd(encoder) => zstd_run(encoder, input, out, ZstdEnd::Block),
            Coder::Zlib(deflate) => deflate_run(deflate, input, out, FlushCompress::Sync),
            Coder::Gzip(deflate, crc) => {
                gzip_run(deflate, crc, input, out, FlushCompress::Sync);
            }
            Coder::None => out.extend_from_slice(input),
        }
    }

    /// Compresses `input` and ends the body. The next push begins a new one.
    pub(super) fn finish(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.bytes_max(input.len()));
        match self.coder() {
            Coder::Zstd(encoder) => zstd_run(encoder, input, out, ZstdEnd::Frame),
            Coder::Zlib(deflate) => {
                deflate_run(deflate, input, out, FlushCompress::Finish);
                deflate.reset();
            }
            Coder::Gzip(deflate, crc) => {
                gzip_run(deflate, crc, input, out, FlushCompress::Finish);
                out.extend_from_slice(&crc.sum().to_le_bytes());
                out.extend_from_slice(&crc.amount().to_le_bytes());
                deflate.reset();
                crc.reset();
            }
            Coder::None => out.extend_from_slice(input),
        }
    }

    fn coder(&mut self) -> &mut Coder {
        self.coder.get_or_insert_with(|| match self.compression {
            Compression::Zstd { level } => Coder::Zstd(zstd_encoder(level)),
            Compression::Zlib => Coder::Zlib(Compress::new(DeflateLevel::default(), true)),
            Compression::Gzip => {
                Coder::Gzip(Compress::new(DeflateLevel::default(), false), Crc::new())
            }
            Compression::None => Coder::None,
        })
    }
}

#[derive(Clone, Copy)]
enum ZstdEnd {
    Block,
    Frame,
}

#[expect(clippy::expect_used, reason = "the library clamps the level; no memory is a panic anyway")]
fn zstd_encoder(level: i32) -> Encoder<'static> {
    Encoder::new(level).expect("any level will do")
}

#[expect(clippy::expect_used, reason = "from memory to memory only misuse of the library fails")]
fn zstd_run(encoder: &mut Encoder<'static>, input: &[u8], out: &mut Vec<u8>, end: ZstdEnd) {
    let mut source = InBuffer::around(input);
    while source.pos() < input.len() {
        let written = out.len();
        encoder.run(&mut source, &mut OutBuffer::around_pos(out, written)).expect("compresses");
        out.reserve(SPARE_BYTES);
    }
    loop {
        let written = out.len();
        let mut sink = OutBuffer::around_pos(out, written);
        let left = match end {
            ZstdEnd::Block => encoder.flush(&mut sink),
            ZstdEnd::Frame => encoder.finish(&mut sink, true),
        };
        if left.expect("flushes") == 0 {
            break;
        }
        out.reserve(SPARE_BYTES);
    }
}

/// Room that a coder finds at each turn, so that it always makes progress.
const SPARE_BYTES: usize = 256;

/// First ten bytes of a gzip stream: magic, deflate, no flags, no time, no hint, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

fn gzip_run(
    deflate: &mut Compress,
    crc: &mut Crc,
    input: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) {
    if deflate.total_out() == 0 {
        out.extend_from_slice(&GZIP_HEADER);
    }
    crc.update(input);
    deflate_run(deflate, input, out, flush);
}

#[expect(clippy::expect_used, reason = "only misuse of the library fails")]
fn deflate_run(deflate: &mut Compress, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
    loop {
        out.reserve(SPARE_BYTES);
        let read = deflate.total_in();
        let status = deflate.compress_vec(input, out, flush).expect("the stream is open");
        let read = usize::try_from(deflate.total_in() - read).unwrap_or(input.len());
        input = input.get(read..).unwrap_or_default();
        // With room left in the output there is nothing left to come out.
        let flushed = input.is_empty() && out.len() < out.capacity();
        if flushed && (status == Status::StreamEnd || !matches!(flush, FlushCompress::Finish)) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ALL: [Compression; 4] = [
        Compression::Zstd { level: Compression::ZSTD_LEVEL },
        Compression::Zlib,
        Compression::Gzip,
        Compression::None,
    ];

    /// Bytes that no compressor makes smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn decompressed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match encoding {
            Encoding::Zstd => zstd::stream::copy_decode(body, &mut plain).unwrap(),
            Encoding::Deflate => {
                flate2::read::ZlibDecoder::new(body).read_to_end(&mut plain).map(drop).unwrap();
            }
            Encoding::Gzip => {
                flate2::read::GzDecoder::new(body).read_to_end(&mut plain).map(drop).unwrap();
            }
            Encoding::Identity => plain.extend_from_slice(body),
        }
        plain
    }

    /// For all compressors, lengths around their block sizes, and bytes that don't compress: what a
    /// piece adds stays within what was foretold, and the whole comes back.
    #[test]
    fn no_piece_grows_beyond_its_bound() {
        let lengths = [0, 1, 100, 31_744, 32_768, 65_535, 65_536, 131_071, 131_073, 300_000];
        for compression in ALL {
            let mut compressor = Compressor::new(compression);
            for first in lengths {
                let input = noise(first + 1000);
                let mut body = Vec::new();
                let mut read = 0;
                for length in [first, 0, 1, 999] {
                    let bound = body.len() + compressor.bytes_max(length);
                    let piece = &input[read..read + length];
                    match length {
                        999 => compressor.finish(piece, &mut body),
                        _ => compressor.push(piece, &mut body),
                    }
                    assert!(body.len() <= bound, "{compression:?} {length}");
                    read += length;
                }
                assert_eq!(decompressed(compressor.encoding(), &body), input, "{compression:?}");
            }
        }
    }

    #[test]
    fn an_empty_body_is_one_too() {
        for compression in ALL {
            let mut compressor = Compressor::new(compression);
            for _ in 0..2 {
                let mut body = Vec::new();
                compressor.finish(b"", &mut body);
                assert_eq!(decompressed(compressor.encoding(), &body), b"");
            }
        }
    }

    /// A body ends where it ends: a reader of single frames finds all of it.
    #[test]
    fn zstd_writes_one_frame_however_often_it_is_pushed() {
        let mut compressor = Compressor::new(Compression::default());
        let mut body = Vec::new();
        for _ in 0..5 {
            compressor.push(&noise(1000), &mut body);
        }
        compressor.finish(b"end", &mut body);
        assert_eq!(zstd_safe::find_frame_compressed_size(&body).unwrap(), body.len());
    }
}
