//! A value as it was written, before anyone knows what it should be: text, a list or a map.
//!
//! Flags, environment and defaults give text; the file gives all three. Numbers stay text, so that
//! a `version: 1.10` does not become 1.1 on its way through a float.

use std::borrow::Cow;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A scalar.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A map, in the order of the file; a name may repeat, and then the last one counts.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the entry.
    pub(crate) name: String,
    /// Line of the name in the file, counted from 1; 0 where there is no file.
    pub(crate) line: usize,
    /// What it holds.
    pub(crate) node: Node,
}

impl Node {
    /// Makes a scalar.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Gives the scalar without blanks around it; nothing for a list or a map.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Finds an entry of a map: the last one of that name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        let Self::Map(entries) = self else { return None };
        entries.iter().rev().find(|entry| entry.name == name)
    }

    /// Gives the structure that a scalar spells as JSON; anything else as it is.
    pub(crate) fn structured(&self) -> Cow<'_, Self> {
        let Self::Text(text) = self else { return Cow::Borrowed(self) };
        if !text.trim_start().starts_with(['[', '{']) {
            return Cow::Borrowed(self);
        }
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Cow::Owned(Self::from(value)),
            Err(_) => Cow::Borrowed(self),
        }
    }

    /// Tells whether a reference to a secret (`ENC[…]`) stands in it that nobody has resolved.
    pub(crate) fn holds_unresolved_secret(&self) -> bool {
        match self {
            Self::Text(text) => text.contains("ENC["),
            Self::List(items) => items.iter().any(Self::holds_unresolved_secret),
            Self::Map(entries) => entries.iter().any(|entry| entry.node.holds_unresolved_secret()),
        }
    }
}

impl From<serde_json::Value> for Node {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::text(""),
            Value::Bool(truth) => Self::text(truth.to_string()),
            Value::Number(number) => Self::text(number.to_string()),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| Entry { name, line: 0, node: Self::from(value) })
                    .collect(),
            ),
        }
    }
}
