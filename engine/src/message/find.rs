//! Where the next separator is.
//!
//! Lines and fields are short: a call, and the choice of the widest instructions that a general
//! search begins with, would cost as much as the search itself.

/// Index of the first byte that is one of `separators`, with the instructions that every processor
/// of this kind has.
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::first_of;

/// Index of the first byte that is one of `separators`.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn first_of<const N: usize>(separators: [u8; N], bytes: &[u8]) -> Option<usize> {
    match *separators.as_slice() {
        [one] => memchr::memchr(one, bytes),
        [one, two] => memchr::memchr2(one, two, bytes),
        ref all => bytes.iter().position(|byte| all.contains(byte)),
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions have no safe functions on stable Rust")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        _mm_setzero_si128,
    };

    /// Bytes of a vector.
    const LANES: usize = size_of::<__m128i>();

    /// Bytes that are looked at before it is asked whether that was enough.
    const STEP: usize = 2 * LANES;

    #[inline]
    pub(in super::super) fn first_of<const N: usize>(
        separators: [u8; N],
        bytes: &[u8],
    ) -> Option<usize> {
        let (steps, rest) = bytes.as_chunks::<STEP>();
        for (number, step) in steps.iter().enumerate() {
            if let Some(at) = first_in_step(separators, step) {
                return Some(STEP * number + at);
            }
        }
        if rest.is_empty() {
            return None;
        }
        // Of the bytes that are looked at twice none is a separator.
        if let Some(last) = bytes.last_chunk() {
            return Some(bytes.len() - STEP + first_in_step(separators, last)?);
        }
        first_in_short(separators, bytes)
    }

    #[inline]
    fn first_in_step<const N: usize>(separators: [u8; N], step: &[u8; STEP]) -> Option<usize> {
        let [low, high] = step.as_chunks::<LANES>().0 else { return None };
        let marks = marks(separators, low) | marks(separators, high) << LANES;
        (marks != 0).then(|| marks.trailing_zeros() as usize)
    }

    /// The same for less than a step.
    #[inline]
    fn first_in_short<const N: usize>(separators: [u8; N], bytes: &[u8]) -> Option<usize> {
        let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return bytes.iter().position(|byte| separators.contains(byte));
        };
        let marks = marks(separators, low) | marks(separators, high) << (bytes.len() - LANES);
        (marks != 0).then(|| marks.trailing_zeros() as usize)
    }

    /// Bit `n` says whether byte `n` is one of the separators.
    #[inline]
    fn marks<const N: usize>(separators: [u8; N], bytes: &[u8; LANES]) -> u32 {
        // SAFETY: SSE2 is part of x86_64, and the only access to memory reads the array, at an address
        // that needn't be aligned. Run by every test that reads a message, by those below at every
        // place of a text, and by the fuzz targets `datagram` and `differential`.
        let mask = unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            let equal =
                |separator: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(separator.cast_signed()));
            let marks = separators.into_iter().map(equal);
            _mm_movemask_epi8(marks.fold(_mm_setzero_si128(), |all, one| _mm_or_si128(all, one)))
        };
        mask.cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_place_in_texts_of_every_length_is_found() {
        for len in 0..100 {
            let mut text = vec![b'x'; len];
            assert_eq!(first_of([b'|'], &text), None, "{len}");
            for at in (0..len).rev() {
                text[at] = b'|';
                assert_eq!(first_of([b'|'], &text), Some(at), "{len}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_first_that_a_plain_search_finds(
            text in prop::collection::vec(prop_oneof![8 => any::<u8>(), 1 => Just(b':')], 0..100),
        ) {
            for separators in [[b':', b'|'], [0, u8::MAX], [b'a', b':']] {
                let plain = text.iter().position(|byte| separators.contains(byte));
                prop_assert_eq!(first_of(separators, &text), plain);
            }
        }
    }
}
