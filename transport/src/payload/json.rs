//! JSON (RFC 8259), writing only: strings and numbers.

use std::io::Write;

/// Appends a string with its quotes. What needn't be escaped isn't.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| must_be_escaped(byte)) {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        escape(out, escaped[0]);
        rest = &escaped[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends `[` the strings, separated by `,` and `]`.
pub(super) fn strings<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (at, text) in texts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, text);
    }
    out.push(b']');
}

/// Appends an integer.
pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    print(out, format_args!("{value}"));
}

/// Appends a finite number in its shortest form that reads back as the same. Minus zero is written
/// as zero.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    debug_assert!(value.is_finite(), "JSON has no {value}");
    let magnitude = value.abs();
    if value == 0.0 {
        out.push(b'0');
    } else if (1e-6..1e21).contains(&magnitude) {
        print(out, format_args!("{value}"));
    } else {
        print(out, format_args!("{value:e}"));
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => print(out, format_args!("\\u{byte:04x}")),
    }
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory doesn't fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_string_of_every_character_to_u07ff_reads_back() {
        let text: String = ('\0'..='\u{7ff}').chain("東京🍣</script>".chars()).collect();
        let json = written(|out| string(out, &text));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn control_characters_are_escaped_and_html_is_not() {
        let json = written(|out| string(out, "\"\\\n\r\t\u{1}\u{1f}\u{7f}<é&>/"));
        assert_eq!(json, "\"\\\"\\\\\\n\\r\\t\\u0001\\u001f\u{7f}<é&>/\"");
    }

    #[test]
    fn numbers_are_plain_between_a_millionth_and_a_sextillion() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (42.0, "42"),
            (-0.7, "-0.7"),
            (1e-6, "0.000001"),
            (9.9e-7, "9.9e-7"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (-1.797_693_134_862_315_7e308, "-1.7976931348623157e308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(written(|out| number(out, value)), text);
            assert_eq!(serde_json::from_str::<f64>(text).unwrap(), value);
        }
    }
}
