//! Kinds of values: what each is called, what is accepted, how it is read and how it is shown.
//!
//! [`plain`] has the kinds that are one number or text or a list of them, [`choice`] those that are
//! a word of a few, [`structured`] those with maps in them.

mod choice;
mod plain;
mod structured;

use serde::Serialize;
use serde_json::Value;

pub(crate) use self::choice::*;
pub(crate) use self::plain::*;
pub(crate) use self::structured::*;
use super::node::Node;

/// What reading a value gave.
pub(crate) enum Reading<T> {
    /// A good value.
    Good(T),
    /// Something bad, and what the key's rule puts in its place.
    Replaced(T),
    /// Something bad.
    Bad,
}

/// What became of a value: the same as [`Reading`], with the value as it may be shown.
pub(crate) enum Put {
    /// It is in the configuration.
    Good(Value),
    /// Something else is.
    Replaced(Value),
    /// Nothing is.
    Bad,
}

/// A kind of values.
pub(crate) struct Kind<T> {
    /// What a value is, with its article.
    pub(crate) noun: &'static str,
    /// What is accepted.
    pub(crate) accepted: &'static str,
    /// Reads one.
    pub(crate) read: fn(&Node) -> Reading<T>,
    /// Shows one to programs; a secret masked.
    pub(crate) show: fn(&T) -> Value,
}

impl<T> Kind<T> {
    /// Reads a value into its place in the configuration.
    pub(crate) fn put(&self, node: &Node, place: &mut T) -> Put {
        let (value, put): (T, fn(Value) -> Put) = match (self.read)(node) {
            Reading::Good(value) => (value, Put::Good),
            Reading::Replaced(value) => (value, Put::Replaced),
            Reading::Bad => return Put::Bad,
        };
        let shown = (self.show)(&value);
        *place = value;
        put(shown)
    }
}

/// A value that is good if there is one.
fn good<T>(value: Option<T>) -> Reading<T> {
    value.map_or(Reading::Bad, Reading::Good)
}

/// A value that is good if there is one, and replaced if there is none.
fn good_or<T>(value: Option<T>, otherwise: T) -> Reading<T> {
    value.map_or(Reading::Replaced(otherwise), Reading::Good)
}

/// Shows a value as what it serializes to.
fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Tells whether text can stand in a line of a log or of a payload.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
