//! Numbers: the grammar of `docs/protocol.md` checked character by character, hex numbers rounded
//! bit by bit.

/// Reads a number; `None` if it is none, or too large for a double.
#[must_use]
pub fn float(bytes: &[u8]) -> Option<f64> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?.to_ascii_lowercase();
    if text == "nan" {
        return Some(f64::NAN);
    }
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, &text[..]),
    };
    if rest == "inf" || rest == "infinity" {
        return Some(sign * f64::INFINITY);
    }
    if !underscores_are_fine(rest) {
        return None;
    }
    let plain = rest.replace('_', "");
    let magnitude = match plain.strip_prefix("0x") {
        Some(hex) => hexadecimal(hex)?,
        None => decimal(&plain)?,
    };
    magnitude.is_finite().then_some(sign * magnitude)
}

/// Reads a whole number of 64 bits with an optional sign.
#[must_use]
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let magnitude = digits_only(digits)?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Reads a whole number of 64 bits without a sign.
#[must_use]
pub fn unsigned(bytes: &[u8]) -> Option<u64> {
    digits_only(bytes).and_then(|value| u64::try_from(value).ok())
}

/// At least one digit; what has more than 64 bits stays that large.
fn digits_only(digits: &[u8]) -> Option<i128> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let limit = 1 << 100;
    let add = |sum: i128, digit: &u8| (sum * 10 + i128::from(digit - b'0')).min(limit);
    all_digits.then(|| digits.iter().fold(0, add))
}

/// Each underscore has a digit on both sides, or `0x` before it. `text` has no sign.
fn underscores_are_fine(text: &str) -> bool {
    let is_hex = text.starts_with("0x");
    let is_digit = |c: char| if is_hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len()).filter(|&at| chars[at] == '_').all(|at| {
        let before = at > 0 && (is_digit(chars[at - 1]) || is_hex && at == 2);
        let behind = at + 1 < chars.len() && is_digit(chars[at + 1]);
        before && behind
    })
}

/// Digits, a point anywhere among them, and perhaps an exponent. The standard library rounds.
fn decimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |digits: &str| digits.chars().all(|c| c.is_ascii_digit());
    let mantissa_is_fine =
        all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_is_fine = exponent.is_none_or(|text| exponent_of(text).is_some());
    (mantissa_is_fine && exponent_is_fine).then(|| text.parse().ok())?
}

/// An optional sign and at least one digit; beyond a billion it makes no difference.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let magnitude = i64::try_from(digits_only(digits.as_bytes())?.min(1_000_000_000)).ok()?;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// What follows `0x`: hex digits, a point anywhere among them, and an exponent to the base of two.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent = exponent_of(exponent)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Option<Vec<u32>> =
        whole.chars().chain(fraction.chars()).map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| !digits.is_empty())?;
    let bits: Vec<bool> =
        digits.iter().flat_map(|digit| [8, 4, 2, 1].map(|bit| digit & bit != 0)).collect();
    let fraction_bits = 4 * i64::try_from(fraction.len()).ok()?;
    Some(rounded(&bits, exponent - fraction_bits))
}

/// The double nearest to the number that `bits`, highest first, stand for, times `2^exponent`: ties
/// go to the even one.
fn rounded(bits: &[bool], exponent: i64) -> f64 {
    let Some(leading_zeros) = bits.iter().position(|&bit| bit) else {
        return 0.0;
    };
    let bits = &bits[leading_zeros..];
    let length = i64::try_from(bits.len()).unwrap_or(i64::MAX);
    let highest = exponent + length - 1;
    if highest > 1023 {
        return f64::INFINITY;
    }
    // The exponent of the last bit that a double keeps.
    let lowest = (highest - 52).max(-1074);
    let Ok(kept_bits) = usize::try_from(highest - lowest + 1) else {
        // Less than half of the smallest double.
        return 0.0;
    };
    let bit = |at: usize| bits.get(at).copied().unwrap_or(false);
    let mut kept = (0..kept_bits).fold(0_u64, |sum, at| sum * 2 + u64::from(bit(at)));
    let rest_is_set = bits.iter().skip(kept_bits + 1).any(|&bit| bit);
    if bit(kept_bits) && (rest_is_set || kept % 2 == 1) {
        kept += 1;
    }
    let mut value = kept as f64;
    for _ in 0..lowest.abs() {
        // Exact at every step: no bit of `kept` falls below the lowest.
        value *= if lowest < 0 { 0.5 } else { 2.0 };
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_numbers_round_half_to_even_also_among_the_smallest() {
        for (text, expected) in [
            ("0x1p4", 16.0),
            ("-0X1.8P-2", -0.375),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.000_000_000_000_000_4),
            ("0x1.fffffffffffffp1023", f64::MAX),
        ] {
            assert_eq!(float(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(float(b"0x1.fffffffffffff8p1023"), None);
    }
}
