//! As much of Rust's grammar as house rules need: what is code, what ships, which paths it names.
//!
//! Bytes that don't count are blanked, line feeds stay: every position keeps its line.

/// Blanks comments and the contents of literals.
pub(crate) fn without_comments_and_literals(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let rest = &text[at..];
        let length = match byte {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => block_comment(rest),
            b'"' => string(rest),
            b'r' if !continues_a_word(text, at) || text[..at].ends_with(['b', 'c']) => {
                raw_string(rest).unwrap_or(0)
            }
            b'\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        blank(&mut out[at..at + length]);
        at += length.max(1);
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Blanks every item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(attribute) {
            let end = at + end_of_item(&code[at..]);
            blank(&mut out[at..end]);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Every path that code names, with its line: `use` trees written out, macros with their `!`, a
/// single word as a path of one.
pub(crate) fn paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < code.len() {
        if starts_word(code.as_bytes()[at]) && !continues_a_word(code, at) {
            at = path(code, at, "", &mut paths);
        } else {
            at += 1;
        }
    }
    // They stand in the order of the text.
    let (mut line, mut counted) = (1, 0);
    let with_line = |(at, path)| {
        line += line_feeds(&code[counted..at]);
        counted = at;
        (line, path)
    };
    paths.into_iter().map(with_line).collect()
}

/// The line that a position is on, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + line_feeds(&text[..at])
}

fn line_feeds(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Reads the path at `at`, and the tree that it may end in; gives the end.
fn path(code: &str, at: usize, prefix: &str, paths: &mut Vec<(usize, String)>) -> usize {
    let start = at;
    let mut end = at;
    loop {
        end += word_length(&code[end..]);
        let Some(after) = code[end..].strip_prefix("::") else { break };
        if after.starts_with('{') {
            return tree(code, end + 3, &format!("{prefix}{}", &code[start..end + 2]), paths);
        }
        if !after.starts_with(|next: char| next.is_ascii() && starts_word(next as u8)) {
            break;
        }
        end += 2;
    }
    let is_macro = code[end..].starts_with('!') && !code[end..].starts_with("!=");
    paths
        .push((start, format!("{prefix}{}{}", &code[start..end], if is_macro { "!" } else { "" })));
    end
}

/// Reads a `use` tree from behind its brace to behind the one that closes it.
fn tree(code: &str, start: usize, prefix: &str, paths: &mut Vec<(usize, String)>) -> usize {
    let mut at = start;
    while let Some(&byte) = code.as_bytes().get(at) {
        at = match byte {
            b'}' => return at + 1,
            _ if starts_word(byte) => path(code, at, prefix, paths),
            _ => at + 1,
        };
    }
    at
}

/// Length of the item at the start: to its `;`, or to the brace that closes its first one.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b';' if depth == 0 => return at + 1,
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let inside = rest[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&close).map_or(inside.len(), |at| at + close.len());
    Some(2 + hashes + length)
}

/// Length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    if inside.starts_with('\\') {
        return Some(2 + 1 + inside[2..].find('\'')? + 1);
    }
    let length = inside.chars().next()?.len_utf8();
    inside[length..].starts_with('\'').then_some(1 + length + 1)
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

fn continues_a_word(text: &str, at: usize) -> bool {
    text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let text = r##"a // b
/* c /* d */ e */ f "g \" h" 'i' '\'' '\u{e9}' 'é' r#"j " k"# br"l" &'m n
"##;
    let code = without_comments_and_literals(text);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "f", "b", "&'m", "n"]);
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn items_of_tests_are_blanked() {
    let code = "#[cfg(test)]\nuse a::{b, c};\nfn d() {}\n#[cfg(all(test, not(x)))]\nmod e { fn f() { g() } }\nh";
    let shipped = without_tests(code);
    let words: Vec<_> = paths(&shipped).into_iter().collect();
    let expected = [(3, "fn".into()), (3, "d".into()), (6, "h".into())];
    assert_eq!(words, expected);
}

#[test]
fn trees_are_written_out() {
    let code = "use a::{b::{self, C}, d as e,\n f::*};\ng::h!(i != j::<K>())";
    let paths = paths(code);
    let words: Vec<_> = paths.iter().map(|(line, path)| format!("{line} {path}")).collect();
    let expected = [
        "1 use",
        "1 a::b::self",
        "1 a::b::C",
        "1 a::d",
        "1 a::as",
        "1 a::e",
        "2 a::f",
        "3 g::h!",
        "3 i",
        "3 j",
        "3 K",
    ];
    assert_eq!(words, expected);
}
