//! The numbers of the protocol: the grammar of Go's `strconv.ParseFloat`, correctly rounded.
//!
//! ```text
//! number  = [ "+" | "-" ] ( decimal | hex | "inf" | "infinity" ) | "nan"     words in any case
//! decimal = digits with at most one "."  [ ("e" | "E") [ "+" | "-" ] digits ]
//! hex     = ("0x" | "0X") hex digits with at most one "."  ("p" | "P") [ "+" | "-" ] digits
//! ```
//!
//! A mantissa has at least one digit. One underscore may stand between two digits and after `0x`.
//! A number beyond the range of a double is refused; one too close to zero becomes zero.
//!
//! Most values on the wire are short: up to 16 digits and perhaps a point. Such a number is
//! `mantissa / 10^places` with both exact as doubles, so that one division rounds it correctly. All
//! else is left to the standard library, which rounds correctly too but knows neither hex nor
//! underscores and takes words and overflow in its own way.

/// Digits and point of a number that [`short`] tries: 16 digits fit into 64 bits, and are rounded once;
/// 15, which a point leaves, are a whole number that a double holds exactly.
const SHORT_BYTES_MAX: usize = 16;

/// The powers of ten that a short number can be divided by; each is exact.
const POWERS_OF_TEN: [f64; SHORT_BYTES_MAX] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Where counting an exponent stops. A mantissa would need 250,000 digits to bring a larger one
/// back into the range of a double.
const EXPONENT_MAX: i64 = 1_000_000;

/// Reads a number; `None` if `bytes` isn't one from its first to its last byte.
#[inline]
pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    short(bytes).or_else(|| any(bytes))
}

/// Reads digits up to `end`, the kind of number that is seen most: their value and count, at least
/// one and at most nine. `None` says nothing about any other.
#[inline]
pub(super) fn whole(bytes: &[u8], end: u8) -> Option<(f64, usize)> {
    const DIGITS_MAX: usize = 9;
    let mut value = 0_u32;
    for (count, &byte) in bytes.iter().take(DIGITS_MAX + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (byte == end && count > 0).then(|| (f64::from(value), count));
        }
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    None
}

/// Reads a whole number to the base of ten: an optional sign and digits, within 64 bits.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads digits to the base of ten, without any sign, within 64 bits.
pub(super) fn unsigned(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [b'+', ..] => None,
        _ => str::from_utf8(bytes).ok()?.parse().ok(),
    }
}

/// Reads a number if it is short; `None` says nothing about any other.
#[inline]
fn short(bytes: &[u8]) -> Option<f64> {
    let (sign, digits) = split_sign(bytes);
    if digits.len() > SHORT_BYTES_MAX {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut point = None;
    for (position, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(position);
        } else {
            return None;
        }
    }
    let places = point.map_or(0, |position| digits.len() - 1 - position);
    let digit_count = digits.len() - usize::from(point.is_some());
    if digit_count == 0 {
        return None;
    }
    let whole = mantissa as f64;
    let magnitude = if places == 0 { whole } else { whole / POWERS_OF_TEN.get(places)? };
    Some(sign.apply(magnitude))
}

/// Reads any number, at leisure.
#[inline(never)]
fn any(bytes: &[u8]) -> Option<f64> {
    if !bytes.contains(&b'_') {
        return without_underscores(bytes);
    }
    if !underscores_separate_digits(bytes) {
        return None;
    }
    // Nobody writes underscores: a copy is good enough for them.
    let bytes: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'_').collect();
    without_underscores(&bytes)
}

fn without_underscores(bytes: &[u8]) -> Option<f64> {
    let (sign, unsigned) = split_sign(bytes);
    let magnitude = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => hex(rest)?,
        // What starts like this is a decimal number to the standard library too, or nothing.
        [b'0'..=b'9' | b'.', ..] => str::from_utf8(unsigned).ok()?.parse().ok()?,
        _ if is_infinity(unsigned) => return Some(sign.apply(f64::INFINITY)),
        _ if bytes.eq_ignore_ascii_case(b"nan") => return Some(f64::NAN),
        _ => return None,
    };
    magnitude.is_finite().then(|| sign.apply(magnitude))
}

fn is_infinity(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity")
}

/// True if each underscore stands between two digits, or between `0x` and a digit.
fn underscores_separate_digits(bytes: &[u8]) -> bool {
    let (_, unsigned) = split_sign(bytes);
    let (is_hex, mut digits) = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => (true, rest),
        _ => (false, unsigned),
    };
    let is_digit = |byte: u8| byte.is_ascii_digit() || is_hex && byte.is_ascii_hexdigit();
    let mut after_digit = is_hex;
    while let [byte, rest @ ..] = digits {
        let before_digit = rest.first().is_some_and(|&next| is_digit(next));
        if *byte == b'_' && !(after_digit && before_digit) {
            return false;
        }
        after_digit = is_digit(*byte);
        digits = rest;
    }
    true
}

/// Reads what follows `0x`: the first 64 significant bits as they are, and whether any bit is set
/// below them. Infinite if too large.
fn hex(bytes: &[u8]) -> Option<f64> {
    let p = bytes.iter().position(|byte| matches!(byte, b'p' | b'P'))?;
    let (mantissa, exponent) = bytes.split_at_checked(p)?;
    let mut exponent = binary_exponent(exponent.get(1..)?)?;
    let mut significand = 0_u64;
    let mut below = false;
    let mut has_digit = false;
    let mut after_point = false;
    for &byte in mantissa {
        if byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        has_digit = true;
        if significand >> (u64::BITS - 4) == 0 {
            significand = significand * 16 + u64::from(digit);
            exponent -= if after_point { 4 } else { 0 };
        } else {
            below |= digit != 0;
            exponent += if after_point { 0 } else { 4 };
        }
    }
    has_digit.then(|| round_binary(significand, below, exponent))
}

/// Reads the exponent of a hex number: an optional sign and at least one decimal digit.
fn binary_exponent(bytes: &[u8]) -> Option<i64> {
    let (sign, digits) = split_sign(bytes);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(match sign {
        Sign::Plus => magnitude,
        Sign::Minus => -magnitude,
    })
}

/// Rounds `significand * 2^exponent`, plus a little if bits are set `below` it, to the nearest
/// double, ties to even; infinite if too large.
fn round_binary(significand: u64, below: bool, exponent: i64) -> f64 {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    /// Exponent of the smallest normal double.
    const NORMAL_MIN: i64 = f64::MIN_EXP as i64 - 1;

    if significand == 0 {
        return 0.0;
    }
    // With the highest bit set the value is 1.xxx * 2^(exponent + 63), save for the shift.
    let shift = significand.leading_zeros();
    let significand = significand << shift;
    let exponent = exponent + 63 - i64::from(shift);
    if exponent >= i64::from(f64::MAX_EXP) {
        return f64::INFINITY;
    }
    // A subnormal double keeps fewer bits: all below 2^-1074 are rounded away.
    let lost_by_range = u32::try_from(NORMAL_MIN - exponent).unwrap_or(0);
    let dropped = u64::BITS - f64::MANTISSA_DIGITS + lost_by_range.min(u64::BITS);
    if dropped > u64::BITS {
        return 0.0;
    }
    let kept = significand.checked_shr(dropped).unwrap_or(0);
    let rest = significand << (u64::BITS - dropped);
    let half = 1 << (u64::BITS - 1);
    let round_up = rest > half || rest == half && (below || kept & 1 == 1);
    // The highest of the kept bits of a normal number is its implied one: it adds 1 to the
    // exponent field, and so does a carry out of the fraction.
    let field = u64::try_from(exponent - NORMAL_MIN).unwrap_or(0);
    f64::from_bits((field << FRACTION_BITS) + kept + u64::from(round_up))
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

impl Sign {
    fn apply(self, magnitude: f64) -> f64 {
        match self {
            Self::Plus => magnitude,
            Self::Minus => -magnitude,
        }
    }
}

#[inline]
fn split_sign(bytes: &[u8]) -> (Sign, &[u8]) {
    match bytes {
        [b'-', rest @ ..] => (Sign::Minus, rest),
        [b'+', rest @ ..] => (Sign::Plus, rest),
        _ => (Sign::Plus, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: f64) {
        let value = float(text.as_bytes()).unwrap_or_else(|| panic!("{text} is refused"));
        assert_eq!(value.to_bits(), expected.to_bits(), "{text}: {value} for {expected}");
    }

    /// What the quick way can't read it leaves to the other, so only this shows that it is taken.
    #[test]
    fn short_numbers_are_read_the_quick_way() {
        for (text, expected) in [
            ("17.25", Some(17.25)),
            ("-12345678901234.5", Some(-12_345_678_901_234.5)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("90071992547409930", None),
            ("1e3", None),
            (".", None),
        ] {
            assert_eq!(short(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn digits_are_read_up_to_their_end_and_nothing_else_is() {
        for (text, expected) in [
            ("0|", Some((0.0, 1))),
            ("007|c", Some((7.0, 3))),
            ("999999999|", Some((999_999_999.0, 9))),
            ("1000000000|", None),
            ("1", None),
            ("1:2|", None),
            ("1.5|", None),
            ("-1|", None),
            ("|", None),
            ("", None),
        ] {
            assert_eq!(whole(text.as_bytes(), b'|'), expected, "{text}");
        }
    }

    #[test]
    fn every_form_of_a_number_is_read() {
        for (text, expected) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-0", -0.0),
            ("007", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1.25", -1.25),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("0.000000000000001", 1e-15),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("1e-400", 0.0),
            ("-1e-400", -0.0),
            ("0x1p4", 16.0),
            ("-0X1.8P-2", -0.375),
            ("0x.1p+2", 0.25),
            ("0x1.p0", 1.0),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p-99999999999999999999", 0.0),
            ("0x123456789abcdef0123p0", 5_373_003_642_731_685e6),
            ("0x0.00000000000000000000000000000001p128", 1.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.0000000000000000000000001p-1075", 5e-324),
            ("0x1p-1076", 0.0),
            ("0x0.fffffffffffff8p-1022", 2.225_073_858_507_201_4e-308),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.000_000_000_000_000_4),
            ("0x1.000000000000080000000000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("1_000", 1000.0),
            ("0x_1p0", 1.0),
            ("0x_a_bp1_0", 175_104.0),
            ("1_23.50_0e+1_2", 1.235e14),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
        ] {
            check(text, expected);
        }
        assert!(float(b"nAn").is_some_and(f64::is_nan));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "+",
            "-",
            "--1",
            "+-1",
            ".",
            "-.",
            "1.2.3",
            "1..",
            "1,5",
            "1e",
            "1e+",
            "e3",
            ".e1",
            "0x",
            "0x10",
            "0x1e2",
            "0xp1",
            "0x.p1",
            "0x1p",
            "0x1p+",
            "0x1p1.",
            "0x1p0x1",
            "0x1.1.1p0",
            "0xgp0",
            "0b1",
            "0o7",
            "_1",
            "1_",
            "1__0",
            "1_.5",
            "1._5",
            "1_e5",
            "1e_5",
            "1e5_",
            "0_x1p0",
            "0x__1p0",
            "0x1_p0",
            "0x1p_1",
            "in_f",
            "+nan",
            "-nan",
            "nan1",
            "infi",
            "infinit",
            "infinityy",
            "1e309",
            "-1e309",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1p99999999999999999999",
            " 1",
            "1 ",
            "1f",
            "\u{661}",
            "1\0",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_have_the_signs_that_their_kind_allows() {
        assert_eq!(integer(b"+0005"), Some(5));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "+", "-", "1_0", "1.0", " 1", "9223372036854775808", "\u{661}"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", "+1", "-1", "18446744073709551616"] {
            assert_eq!(unsigned(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        /// For all doubles in their shortest spelling: the same double comes back.
        #[test]
        fn a_printed_double_is_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("{value}"), format!("{value:e}")] {
                prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(bits), "{}", text);
            }
        }

        /// For all short decimals: the short way and the standard library agree to the bit.
        #[test]
        fn a_short_decimal_is_rounded_like_a_long_one(text in "[+-]?[0-9]{0,9}(\\.[0-9]{0,9})?") {
            let expected = text.parse::<f64>().ok().map(f64::to_bits);
            prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), expected);
        }

        /// For all doubles written in hex, exactly or with digits to round away: the same double.
        #[test]
        fn a_double_written_in_hex_is_read_back(bits: u64, tail in "([0-7][0-9a-f]{0,20})?") {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_normal());
            let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap() - 1023;
            let text = format!("0x1.{:013x}{tail}p{exponent}", bits & ((1 << 52) - 1));
            prop_assert_eq!(float(text.as_bytes()), Some(value), "{}", text);
        }
    }
}
