//! Why there is no configuration: each reason in one line that shows no secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::key::Key;
use super::node::Node;
use super::secret::hide_user;
use super::sources::{Found, Source};
use super::yaml::YamlError;

/// How much of a bad value is repeated, in characters.
const SHOWN_CHARS: usize = 60;

/// Why there is no configuration. Each is told in one line and shows no secret.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// A value is not what its key takes.
    BadValue(BadValue),
    /// A value refers to a secret (`ENC[…]`) that nobody has resolved.
    UnresolvedSecret {
        /// The name it was set by.
        name: String,
        /// Where.
        source: Source,
    },
    /// The settings file, or a file that holds a secret, can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The settings file is not a YAML map.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: YamlError,
    },
    /// Fewer workers than receivers: each receiver needs a worker of its own.
    TooFewWorkers {
        /// Configured receivers.
        receivers: usize,
        /// Configured workers.
        workers: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadValue(bad) => bad.fmt(f),
            Self::UnresolvedSecret { name, source } => write!(
                f,
                "{name}: the reference to a secret (ENC[…]) is not resolved (from {}); give the \
                 value itself, or a file for the key (DD_API_KEY_FILE)",
                Place(source)
            ),
            Self::Unreadable { path, error } => {
                write!(f, "{}: can't be read: {error}", path.display())
            }
            Self::Syntax { path, error } => {
                write!(f, "{}:{}: {}", path.display(), error.line, error.problem)
            }
            Self::TooFewWorkers { receivers, workers } => write!(
                f,
                "lastdrop_workers: {workers} is fewer than lastdrop_receivers ({receivers}); each \
                 receiver needs a worker of its own"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A value that is not what its key takes.
#[derive(Clone, Debug)]
pub(crate) struct BadValue {
    /// The key.
    key: &'static Key,
    /// The name it was set by.
    name: String,
    /// The value, as far as it may be shown.
    shown: String,
    /// Where it was set.
    source: Source,
}

impl BadValue {
    /// Describes a value that was refused.
    pub(crate) fn new(key: &'static Key, found: &Found) -> Self {
        let shown = match &found.node {
            _ if key.secret => "the value (not shown)".to_owned(),
            Node::Text(text) => format!("{:?}", shorten(&hide_user(text))),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a map".to_owned(),
        };
        Self { key, name: found.name.clone(), shown, source: found.source.clone() }
    }

    /// Tells whether it is a value of this key.
    pub(crate) fn is_of(&self, key: &str) -> bool {
        self.key.name == key
    }

    /// Gives the name it was set by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: Key { noun, accepted, .. }, name, shown, source } = self;
        write!(f, "{name}: {shown} is not {noun} (from {}; accepted: {accepted})", Place(source))
    }
}

/// Says where a value came from, beside the name that it was set by.
struct Place<'a>(&'a Source);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Flag(_) => f.write_str("the command line"),
            Source::Environment(_) => f.write_str("the environment"),
            Source::File { .. } | Source::SecretFile(_) | Source::Default => self.0.fmt(f),
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
