//! Licence expressions: `MIT OR Apache-2.0`, `(MIT/Zlib) AND ISC`, `Apache-2.0 WITH LLVM-exception`.

/// True if `allowed` is enough for what the expression asks for; false, too, for what is none.
pub(crate) fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any(&mut words, allowed) && words.is_empty()
}

/// Reads `A OR B OR …` off the end of the words.
fn any(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut holds = all(words, allowed);
    while words.pop_if(|word| *word == "OR").is_some() {
        holds |= all(words, allowed);
    }
    holds
}

/// Reads `A AND B AND …`, which binds closer.
fn all(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.pop_if(|word| *word == "AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let Some(word) = words.pop() else { return false };
    if word == "(" {
        return any(words, allowed) & words.pop_if(|word| *word == ")").is_some();
    }
    if words.pop_if(|word| *word == "WITH").is_some() {
        let exception = words.pop().unwrap_or("");
        return allowed.contains(&format!("{word} WITH {exception}").as_str());
    }
    allowed.contains(&word)
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let rows = [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/ISC", true),
        ("GPL-3.0 AND MIT", false),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("GPL-3.0 AND MIT OR ISC", true),
        ("(GPL-3.0 OR MIT) AND Zlib", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("MIT WITH an-exception", false),
        ("MIT WITH an-exception OR ISC", true),
        ("(MIT", false),
        ("MIT OR", true),
        ("MIT MIT", false),
        ("", false),
    ];
    for (expression, allowed) in rows {
        assert_eq!(is_allowed(expression, &["MIT", "ISC"]), allowed, "{expression}");
    }
}
