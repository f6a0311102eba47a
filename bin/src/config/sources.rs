//! Where values come from, in order of precedence: flag, environment, file, default.
//!
//! What holds values as they were written has no `Debug`: some of them are secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ConfigError;
use super::key::Key;
use super::node::{Entry, Node};
use super::yaml;
use crate::cli::Flags;

/// Where the agent keeps its file.
pub(crate) const DEFAULT_FILE: &str = "/etc/datadog-agent/datadog.yaml";

/// Name of the file where only its folder is given.
const FILE_NAME: &str = "datadog.yaml";

/// Names a file, like the flag `--config`.
pub(crate) const FILE_VARIABLE: &str = "LASTDROP_CONFIG";

/// Longest settings file and secret file in bytes: many times what a file of settings holds.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag (`--dogstatsd-port`).
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// A line of the settings file.
    File {
        /// The file.
        path: Arc<Path>,
        /// Line, counted from 1.
        line: usize,
    },
    /// A file that holds nothing but a secret.
    SecretFile(PathBuf),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::SecretFile(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Source {
    /// Orders the sources: the smaller counts more.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Environment(_) => 1,
            Self::File { .. } => 2,
            Self::SecretFile(_) | Self::Default => 3,
        }
    }
}

/// A value that somebody set.
#[derive(Clone)]
pub(crate) struct Found {
    /// Where.
    pub(crate) source: Source,
    /// The name it was set by, as it was written: a flag, a variable or a name in the file.
    pub(crate) name: String,
    /// The value.
    pub(crate) node: Node,
}

/// The environment as a value, so that resolving it needs no process.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Copies the environment of this process; bytes that are not UTF-8 are replaced.
    pub(crate) fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// Gives a variable's value.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Gives the names of all variables, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// The settings file, parsed.
pub(crate) struct Document {
    path: Arc<Path>,
    root: Node,
}

impl Document {
    /// Parses the text of a settings file; the path is only named, not read.
    ///
    /// # Errors
    ///
    /// Where the text is not a YAML map.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let root = yaml::parse(text)
            .map_err(|error| ConfigError::Syntax { path: path.to_owned(), error })?;
        Ok(Self { path: path.into(), root })
    }

    /// Reads the file that the flag or the environment names, else the default one if it exists. A
    /// folder stands for the file in it.
    ///
    /// # Errors
    ///
    /// If the named file can't be read, or if the file found is not a YAML map.
    pub(crate) fn load(
        flags: &Flags,
        environment: &Environment,
        default: &Path,
    ) -> Result<Option<Self>, ConfigError> {
        let variable = environment.value(FILE_VARIABLE).filter(|path| !path.is_empty());
        let named = flags.config.clone().or_else(|| variable.map(PathBuf::from));
        let mut path = named.clone().unwrap_or_else(|| default.to_owned());
        if path.is_dir() {
            path.push(FILE_NAME);
        }
        match read_file(&path) {
            Ok(text) => Self::parse(&path, &text).map(Some),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    /// Gives everything at the top of the file.
    pub(crate) fn top(&self) -> impl Iterator<Item = Found> {
        let entries: &[Entry] = if let Node::Map(entries) = &self.root { entries } else { &[] };
        entries.iter().map(|entry| Found {
            source: Source::File { path: Arc::clone(&self.path), line: entry.line },
            name: entry.name.clone(),
            node: entry.node.clone(),
        })
    }

    /// Finds a key by its dotted name (`proxy.http` stands under `proxy`).
    fn find(&self, name: &str) -> Option<Found> {
        let mut node = &self.root;
        let mut line = 0;
        for part in name.split('.') {
            let entry = node.entry(part)?;
            (node, line) = (&entry.node, entry.line);
        }
        let source = Source::File { path: Arc::clone(&self.path), line };
        Some(Found { source, name: name.to_owned(), node: node.clone() })
    }
}

/// Reads a small text file whole.
///
/// # Errors
///
/// What the system says, or `InvalidData` if it is longer than a mebibyte or not UTF-8.
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than 1 MiB"));
    }
    Ok(text)
}

/// A file that holds nothing but a secret, as platforms mount them.
pub(crate) struct SecretFile {
    path: PathBuf,
    text: String,
}

impl SecretFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it can't be read.
    pub(crate) fn load(path: PathBuf) -> Result<Self, ConfigError> {
        match read_file(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }
}

/// Everything that can set a value.
#[derive(Default)]
pub(crate) struct Sources {
    /// The command line.
    pub(crate) flags: Flags,
    /// The environment.
    pub(crate) environment: Environment,
    /// The settings file, if there is one.
    pub(crate) document: Option<Document>,
    /// The file that holds the API key, if it is to come from one.
    pub(crate) key_file: Option<SecretFile>,
}

impl Sources {
    /// Finds the value of a key where it counts most. A variable that is set but empty counts as
    /// not set, except where the key says that empty means "none".
    pub(crate) fn find(&self, key: &Key) -> Option<Found> {
        self.in_key_file(key)
            .or_else(|| self.in_flags(key))
            .or_else(|| self.in_environment(key))
            .or_else(|| self.in_document(key))
    }

    fn in_key_file(&self, key: &Key) -> Option<Found> {
        let file = self.key_file.as_ref().filter(|_| key.name == "api_key")?;
        let source = Source::SecretFile(file.path.clone());
        Some(Found {
            source,
            name: "api_key_file".to_owned(),
            node: Node::text(file.text.as_str()),
        })
    }

    fn in_flags(&self, key: &Key) -> Option<Found> {
        let flag = key.flag?;
        let text = self.flags.value(flag)?;
        let source = Source::Flag(flag);
        Some(Found { source, name: flag.to_owned(), node: Node::text(text) })
    }

    fn in_environment(&self, key: &Key) -> Option<Found> {
        key.environment().into_iter().find_map(|name| {
            let text = self.environment.value(&name)?;
            if text.is_empty() && !key.is_emptied_by(&name) {
                return None;
            }
            let source = Source::Environment(name.clone());
            Some(Found { source, name, node: Node::text(text) })
        })
    }

    fn in_document(&self, key: &Key) -> Option<Found> {
        let document = self.document.as_ref()?;
        key.names().find_map(|name| document.find(name))
    }
}
