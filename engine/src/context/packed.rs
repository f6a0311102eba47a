//! Numbers of texts in as few bytes as they take: three in the first 48 MiB of an arena, which most
//! never fill, and four behind.

use super::arena::TextId;

/// The bits of the third byte that say that there is a fourth. Where not all of them are set, they
/// belong to the number.
const LONG: u8 = 0b1100_0000;

/// Bits in three bytes besides them.
const LOW_BITS: u32 = 22;

/// The first number that takes four bytes.
const LONG_MIN: u32 = (LONG as u32) << 16;

/// A number's end: what four bytes can't hold.
pub(super) const NUMBERS_END: u32 = 1 << (LOW_BITS + u8::BITS);

/// Appends a number below [`NUMBERS_END`].
pub(super) fn push(out: &mut Vec<u8>, id: TextId) {
    let TextId(number) = id;
    debug_assert!(number < NUMBERS_END, "an arena has no more words");
    let [a, b, c, _] = number.to_le_bytes();
    if number < LONG_MIN {
        out.extend([a, b, c]);
    } else {
        let [high, ..] = (number >> LOW_BITS).to_le_bytes();
        out.extend([a, b, c | LONG, high]);
    }
}

/// Ends a list of numbers: so each can be read as four bytes, which is faster.
pub(super) fn end(out: &mut Vec<u8>) {
    out.push(0);
}

/// Numbers, one behind the other, and their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed<'a>(pub(super) &'a [u8]);

impl Iterator for Packed<'_> {
    type Item = TextId;

    #[inline]
    fn next(&mut self) -> Option<TextId> {
        let (bytes, behind_long) = self.0.split_first_chunk::<4>()?;
        let word = u32::from_le_bytes(*bytes);
        let short = word & 0xff_ffff;
        if short < LONG_MIN {
            self.0 = self.0.get(3..)?;
            return Some(TextId(short));
        }
        self.0 = behind_long;
        Some(TextId((short - LONG_MIN) | (word >> 24 << LOW_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_out_as_they_went_in() {
        let borders = (0..30).map(|bits| 1_u32 << bits).chain([LONG_MIN, NUMBERS_END]);
        let numbers: Vec<_> = borders
            .flat_map(|border| [border - 1, border])
            .filter(|number| *number < NUMBERS_END)
            .collect();
        let mut bytes = Vec::new();
        for number in &numbers {
            let before = bytes.len();
            push(&mut bytes, TextId(*number));
            assert_eq!(bytes.len() - before, if *number < LONG_MIN { 3 } else { 4 }, "{number}");
        }
        end(&mut bytes);
        assert!(Packed(&bytes).eq(numbers.into_iter().map(TextId)));
    }
}
