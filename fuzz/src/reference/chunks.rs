//! Chunked bodies (RFC 9112, 7.1) read in one piece, with the strictness of
//! `transport/src/http`: no bare LF and no stray CR in the chunk framing, trailers checked and
//! ignored.

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the body.
    pub body_bytes_max: u64,
    /// Bytes of a size line without its CRLF.
    pub line_bytes_max: usize,
    /// Bytes of the trailer section.
    pub trailer_bytes_max: usize,
    /// Lines of the trailer section.
    pub trailer_lines_max: usize,
}

/// What a body comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ends after so many bytes of input.
    Complete {
        /// The body.
        body: Vec<u8>,
        /// Bytes of input that belong to it.
        used: usize,
    },
    /// It goes on behind the input.
    Incomplete,
    /// It is wrong: the class.
    Wrong(&'static str),
}

/// Reads a body from the start of `input`.
#[must_use]
pub fn decode(input: &[u8], bounds: Bounds) -> Outcome {
    let mut body = Vec::new();
    let mut rest = input;
    loop {
        let size = match size_line(&mut rest, bounds.line_bytes_max) {
            Ok(Some(size)) => size,
            Ok(None) => return Outcome::Incomplete,
            Err(()) => return Outcome::Wrong("bad_chunk"),
        };
        if body.len() as u128 + u128::from(size) > u128::from(bounds.body_bytes_max) {
            return Outcome::Wrong("body_too_large");
        }
        if size == 0 {
            break;
        }
        for _ in 0..size {
            let Some((&byte, behind)) = rest.split_first() else {
                return Outcome::Incomplete;
            };
            body.push(byte);
            rest = behind;
        }
        for wanted in b"\r\n" {
            match rest.split_first() {
                None => return Outcome::Incomplete,
                Some((byte, behind)) if byte == wanted => rest = behind,
                Some(_) => return Outcome::Wrong("bad_chunk"),
            }
        }
    }
    match trailers(rest, bounds) {
        Ok(Some(bytes)) => Outcome::Complete { body, used: input.len() - rest.len() + bytes },
        Ok(None) => Outcome::Incomplete,
        Err(class) => Outcome::Wrong(class),
    }
}

/// Takes a size line off `rest`: `None` if it isn't whole yet.
fn size_line(rest: &mut &[u8], bytes_max: usize) -> Result<Option<u64>, ()> {
    let Some(newline) = rest.iter().position(|&byte| byte == b'\n') else {
        let begun = rest.strip_suffix(b"\r").filter(|line| line.len() == bytes_max);
        let fits = rest.len() <= bytes_max || begun.is_some();
        return if fits { Ok(None) } else { Err(()) };
    };
    let line = rest[..newline].strip_suffix(b"\r").ok_or(())?;
    *rest = &rest[newline + 1..];
    if line.len() > bytes_max || line.contains(&b'\r') {
        return Err(());
    }
    let before = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let text = str::from_utf8(before).map_err(drop)?.trim_end_matches([' ', '\t']);
    if text.is_empty() || text.len() > 16 || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(());
    }
    u64::from_str_radix(text, 16).map(Some).map_err(drop)
}

/// Bytes of the trailer section, or `None` if it isn't whole yet.
fn trailers(input: &[u8], bounds: Bounds) -> Result<Option<usize>, &'static str> {
    let mut used = 0;
    let mut lines = 0;
    loop {
        let Some(newline) = input[used..].iter().position(|&byte| byte == b'\n') else {
            let fits = input.len() <= bounds.trailer_bytes_max;
            return if fits { Ok(None) } else { Err("head_too_large") };
        };
        let line = &input[used..used + newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        used += newline + 1;
        if used > bounds.trailer_bytes_max {
            return Err("head_too_large");
        }
        if line.is_empty() {
            return Ok(Some(used));
        }
        lines += 1;
        if lines > bounds.trailer_lines_max {
            return Err("too_many_headers");
        }
        let folded = lines > 1 && (line.starts_with(b" ") || line.starts_with(b"\t"));
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let is_field = line.contains(&b':') && !name.is_empty() && name.iter().all(is_token_byte);
        let has_control = line.iter().any(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f);
        if has_control || !(folded || is_field) {
            return Err("bad_trailer");
        }
    }
}

fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
