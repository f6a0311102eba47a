//! `datadog.yaml` to a [`Node`], each entry with its line.
//!
//! Events of the parser build the tree on a stack of open lists and maps. What a settings file has
//! no use for is refused instead of guessed at: aliases (they also multiply), several documents,
//! names that are not scalars.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{Entry, Node};

/// Deepest nesting of lists and maps: the deepest setting known is six deep.
const DEPTH_MAX: usize = 64;

/// Why a file can't be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// What is wrong there; holds no value of the file.
    pub(crate) problem: String,
}

/// A list or a map whose end has not come yet.
enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, name: Option<(String, usize)> },
}

/// Reads a document; an empty one is an empty map. Entries without a value (`site:`, `site: null`)
/// are left out.
///
/// # Errors
///
/// Where the text is not YAML, or holds what this file says that it refuses.
pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            line: error.marker().line(),
            problem: error.info().to_owned(),
        })?;
        let node = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => {
                push(&mut open, Open::List(Vec::new()), span)?;
                continue;
            }
            Event::MappingStart(..) => {
                push(&mut open, Open::Map { entries: Vec::new(), name: None }, span)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Some(Node::List(items)),
                Some(Open::Map { entries, .. }) => Some(Node::Map(entries)),
                None => continue,
            },
            Event::Alias(_) => return Err(refuse(span, "an alias (*name): write the value out")),
            Event::DocumentStart(_) if root.is_some() => {
                return Err(refuse(span, "a second document"));
            }
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(node),
            Some(Open::List(items)) => items.push(node.unwrap_or_else(|| Node::text(""))),
            Some(Open::Map { entries, name }) => match (name.take(), node) {
                (None, Some(Node::Text(text))) => *name = Some((text, span.start.line())),
                (None, _) => return Err(refuse(span, "a name that is not a scalar")),
                (Some(_), None) => {}
                (Some((name, line)), Some(node)) => entries.push(Entry { name, line, node }),
            },
        }
    }
    match root.flatten() {
        None => Ok(Node::Map(Vec::new())),
        Some(map @ Node::Map(_)) => Ok(map),
        Some(_) => Err(YamlError { line: 1, problem: "not a map of settings".to_owned() }),
    }
}

/// Gives a scalar, or nothing for YAML's null.
fn scalar(text: &str, style: ScalarStyle) -> Option<Node> {
    let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    (!null).then(|| Node::text(text))
}

fn push(open: &mut Vec<Open>, opened: Open, span: Span) -> Result<(), YamlError> {
    if open.len() >= DEPTH_MAX {
        return Err(refuse(span, "nesting deeper than 64"));
    }
    open.push(opened);
    Ok(())
}

fn refuse(span: Span, what: &str) -> YamlError {
    YamlError { line: span.start.line(), problem: format!("{what} is not supported") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, line: usize, node: Node) -> Entry {
        Entry { name: name.to_owned(), line, node }
    }

    #[test]
    fn scalars_lists_and_maps_keep_their_text_and_line() {
        let text =
            "# agent\nversion: 1.10\nproxy:\n  http: 'http://p:1'\ntags:\n  - a:1\n  - \"b\"\n";
        let expected = Node::Map(vec![
            entry("version", 2, Node::text("1.10")),
            entry("proxy", 3, Node::Map(vec![entry("http", 4, Node::text("http://p:1"))])),
            entry("tags", 5, Node::List(vec![Node::text("a:1"), Node::text("b")])),
        ]);
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn an_entry_without_a_value_is_left_out_and_a_quoted_one_is_not() {
        let text = "site:\ndd_url: ~\nenv: null\nbind_host: ''\n";
        assert_eq!(parse(text), Ok(Node::Map(vec![entry("bind_host", 4, Node::text(""))])));
    }

    #[test]
    fn an_empty_file_holds_no_settings() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(parse(text), Ok(Node::Map(Vec::new())), "{text:?}");
        }
    }

    #[test]
    fn what_settings_have_no_use_for_is_refused_with_its_line() {
        let deep = format!("a: {}", "[".repeat(100));
        for (text, line) in [
            ("a: &x 1\nb: *x\n", 2),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: 1\n? [b]\n: c\n", 2),
            ("- a\n- b\n", 1),
            ("a: 1\n b: 2\n", 2),
            ("a: \"open\n", 1),
            (&deep, 1),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.line >= line && error.line <= line + 1, "{text:?}: {error:?}");
        }
    }
    /// For all places where a file can end too early: a map or an error with its line, never a panic.
    #[test]
    fn a_file_that_is_cut_is_a_map_or_an_error() {
        let text = "# é\na: {b: [1, 'two', \"3\"]}\nc:\n  - d: |\n      text\n    e: >-\n      f\n";
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            let lines = text[..end].lines().count() + 1;
            match parse(&text[..end]) {
                Ok(node) => assert!(matches!(node, Node::Map(_)), "{end}: {node:?}"),
                Err(error) => assert!((1..=lines).contains(&error.line), "{end}: {error:?}"),
            }
        }
    }
}
