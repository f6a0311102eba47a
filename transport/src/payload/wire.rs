//! The protobuf wire format, writing only: what the payloads need of it and no more.
//!
//! Scalars follow proto3: a field that is zero or empty is left out. See
//! <https://protobuf.dev/programming-guides/encoding/>.

/// Field numbers' wire types.
#[derive(Clone, Copy)]
#[repr(u8)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
}

/// Appends a variable-length integer: seven bits a byte, lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes [`varint`] writes: 1 to 10.
pub(super) const fn varint_bytes(value: u64) -> usize {
    // Zero takes a byte too, like 1.
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Maps numbers of small magnitude to small numbers: 0, -1, 1, -2 … to 0, 1, 2, 3 …
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends a signed integer as a zigzag varint, as in packed `sint32` and `sint64`.
pub(super) fn signed_varint(out: &mut Vec<u8>, value: i64) {
    varint(out, zigzag(value));
}

/// Appends an integer field, unless it is zero. Negative numbers take ten bytes, as `int64` does.
pub(super) fn integer(out: &mut Vec<u8>, field: u32, value: i64) {
    if value != 0 {
        tag(out, field, WireType::Varint);
        varint(out, value as u64);
    }
}

/// Appends a `double` field, unless it is zero. Minus zero counts as zero.
pub(super) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value != 0.0 {
        tag(out, field, WireType::Fixed64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a `string` field, unless it is empty.
pub(super) fn string(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        repeated_string(out, field, value);
    }
}

/// Appends one element of a repeated `string` field, empty or not.
pub(super) fn repeated_string(out: &mut Vec<u8>, field: u32, value: &str) {
    bytes(out, field, value.as_bytes());
}

/// Appends a `bytes` field (or a packed one, or an encoded message), empty or not.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, WireType::Length);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends an embedded message, or a packed field, that `body` writes; empty or not.
///
/// Its length is only known afterwards: one byte is kept free for it, and the rare body of 128 bytes
/// or more is moved on to make room.
pub(super) fn message(out: &mut Vec<u8>, field: u32, body: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, WireType::Length);
    out.push(0);
    let start = out.len();
    body(out);
    let mut end = out.len();
    let mut length = (end - start) as u64;

    let moved = varint_bytes(length) - 1;
    if moved > 0 {
        out.resize(end + moved, 0);
        out.copy_within(start..end, start + moved);
        end = start + moved;
    } else {
        end = start;
    }
    for byte in &mut out[start - 1..end] {
        let more = if length >= 0x80 { 0x80 } else { 0 };
        *byte = (length & 0x7f) as u8 | more;
        length >>= 7;
    }
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: WireType) {
    varint(out, u64::from(field) << 3 | wire_type as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_takes_as_many_bytes_as_foretold() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain([u64::MAX]) {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_bytes(value), "{value}");
        }
    }

    #[test]
    fn zigzag_keeps_small_magnitudes_small() {
        let mapped = [0, -1, 1, -2, 2, i64::MAX, i64::MIN].map(zigzag);
        assert_eq!(mapped, [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX]);
    }

    /// For all lengths around the borders of the length's own size: the body stands unharmed behind
    /// its length.
    #[test]
    fn a_message_of_any_length_stands_behind_its_length() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
            let body: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut nested = vec![0xff];
            message(&mut nested, 3, |out| out.extend_from_slice(&body));
            let mut flat = vec![0xff];
            bytes(&mut flat, 3, &body);
            assert_eq!(nested, flat, "{length}");
        }
    }

    #[test]
    fn zero_and_empty_are_left_out() {
        let mut out = Vec::new();
        integer(&mut out, 1, 0);
        double(&mut out, 2, 0.0);
        double(&mut out, 2, -0.0);
        string(&mut out, 3, "");
        assert!(out.is_empty());
        repeated_string(&mut out, 3, "");
        integer(&mut out, 1, -1);
        assert_eq!(out, b"\x1a\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
}
