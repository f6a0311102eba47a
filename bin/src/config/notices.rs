//! What a configuration is good in spite of: each worth one line at level `warn`, and no more.

use std::fmt;

use serde_json::Value;

use super::error::BadValue;
use super::key::{Key, Role};
use super::node::Node;
use super::read::truth;
use super::sources::{self, Found, Source, Sources};
use super::{Config, keys};

/// Variables of ours begin like this.
const OUR_PREFIX: &str = "LASTDROP_";

/// One letter in so many may be wrong in a name that is taken for a mistyped one.
const LETTERS_A_TYPO: usize = 4;

/// So many letters may be wrong at most.
const TYPOS_MAX: usize = 3;

/// How many keys one line names; a whole settings file of the agent's would be too many.
const NAMES_MAX: usize = 20;

/// What to warn of. None shows a secret.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// A bad value was replaced, as its key's rule says.
    Replaced {
        /// The bad value.
        bad: BadValue,
        /// What is used instead.
        used: String,
    },
    /// Keys of the agent's are set that do nothing here.
    NotImplemented {
        /// Their names and places.
        names: Vec<String>,
        /// The same for those that want logs to be collected.
        logs: Vec<String>,
    },
    /// A name that is not a setting.
    Unknown {
        /// The name and its place.
        name: String,
        /// The nearest that is a setting, if one is near.
        nearest: Option<String>,
    },
    /// Something is not sent because a key says so.
    SwitchedOff {
        /// The key.
        key: &'static str,
    },
    /// There is no API key to send with.
    NoApiKey {
        /// The name by which an unusable one was set.
        unusable: Option<String>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { bad, used } => write!(f, "{bad}; used instead: {used}"),
            Self::NotImplemented { names, logs } => {
                let all: Vec<&str> = names.iter().chain(logs).map(String::as_str).collect();
                let (named, more) = all.split_at(all.len().min(NAMES_MAX));
                write!(f, "not implemented, and ignored: {}", named.join(", "))?;
                if !more.is_empty() {
                    write!(f, " and {} more", more.len())?;
                }
                if !logs.is_empty() {
                    f.write_str("; logs are not collected, output passes through untouched")?;
                }
                Ok(())
            }
            Self::Unknown { name, nearest: Some(nearest) } => {
                write!(f, "{name} is not a setting and is ignored; did you mean {nearest}?")
            }
            Self::Unknown { name, nearest: None } => {
                write!(f, "{name} is not a setting and is ignored; see `lastdrop config`")
            }
            Self::SwitchedOff { key } => write!(f, "{key} is false: nothing of it is sent"),
            Self::NoApiKey { unusable: None } => {
                f.write_str("no API key: metrics are received but not sent; set DD_API_KEY")
            }
            Self::NoApiKey { unusable: Some(name) } => write!(
                f,
                "no API key: {name} holds a placeholder that was not resolved; metrics are \
                 received but not sent; set DD_API_KEY"
            ),
        }
    }
}

/// Adds to the replaced values of a configuration everything else that is worth a line.
pub(crate) fn complete(config: &mut Config, sources: &Sources) {
    let (mut unimplemented, mut logs) = (Vec::new(), Vec::new());
    for key in keys::ALL {
        match key.role {
            Role::Read(_) => {}
            Role::Logs => logs.extend(sources.find(key).filter(|f| differs(f, key)).map(label)),
            Role::Missing => {
                unimplemented.extend(sources.find(key).filter(|f| differs(f, key)).map(label));
            }
            Role::Done => {
                let unwanted = |found: &Found| truth(&found.node) == Some(false);
                unimplemented.extend(sources.find(key).filter(unwanted).map(label));
            }
        }
    }
    let mut unknown = unknown_variables(sources);
    for found in unknown_names(sources) {
        match nearest(&found.name, file_names().map(str::to_owned)) {
            None => unimplemented.push(label(found)),
            nearest => unknown.push(Notice::Unknown { name: label(found), nearest }),
        }
    }
    if !unimplemented.is_empty() || !logs.is_empty() {
        config.notices.push(Notice::NotImplemented { names: unimplemented, logs });
    }
    config.notices.append(&mut unknown);
    let off = config.settings.iter().filter(|setting| {
        setting.key.name.starts_with("enable_payloads.") && setting.shown == Value::Bool(false)
    });
    config.notices.extend(off.map(|setting| Notice::SwitchedOff { key: setting.key.name }));
    if config.intake.api_key.is_none() {
        let unusable = take_unusable_key(&mut config.notices);
        config.notices.push(Notice::NoApiKey { unusable });
    }
}

/// Names a value by what the user wrote, and a line of the file by its place too.
fn label(found: Found) -> String {
    match found.source {
        Source::File { .. } => format!("{} ({})", found.name, found.source),
        _ => found.name,
    }
}

/// Tells whether a value asks for something else than the default.
fn differs(found: &Found, key: &Key) -> bool {
    let default = Node::text(key.default);
    let same_truth = truth(&found.node).is_some() && truth(&found.node) == truth(&default);
    found.node.as_text() != default.as_text() && !same_truth
}

/// Names the variables that look like ours and are not.
fn unknown_variables(sources: &Sources) -> Vec<Notice> {
    let ours = || {
        let all = keys::ALL.iter().flat_map(Key::environment);
        all.chain([sources::FILE_VARIABLE.to_owned()]).filter(|name| name.starts_with(OUR_PREFIX))
    };
    let known: Vec<String> = ours().collect();
    let unknown = |name: &&str| name.starts_with(OUR_PREFIX) && !known.iter().any(|k| k == name);
    let names = sources.environment.names().filter(unknown);
    names
        .map(|name| Notice::Unknown { name: name.to_owned(), nearest: nearest(name, ours()) })
        .collect()
}

/// Finds what stands in the file under a name that begins no key.
fn unknown_names(sources: &Sources) -> Vec<Found> {
    let all = sources.document.iter().flat_map(|document| document.top());
    all.filter(|found| !file_names().any(|name| name == found.name)).collect()
}

/// The names that may stand at the top of the file.
fn file_names() -> impl Iterator<Item = &'static str> {
    let names = keys::ALL.iter().flat_map(Key::names);
    names.map(|name| name.split('.').next().unwrap_or(name))
}

/// Gives the name that a mistyped one was probably meant to be.
fn nearest(typed: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let typos_max = (typed.len() / LETTERS_A_TYPO).min(TYPOS_MAX);
    let near = names.filter(|name| name.len().abs_diff(typed.len()) <= typos_max);
    let typos = near.map(|name| (strsim::damerau_levenshtein(typed, &name), name));
    typos.filter(|&(typos, _)| typos <= typos_max).min().map(|(_, name)| name)
}

/// Takes the notice of an API key that can't be used out of the others and gives the name that it
/// was set by: the notice of the missing key says it all.
fn take_unusable_key(notices: &mut Vec<Notice>) -> Option<String> {
    let position = notices.iter().position(
        |notice| matches!(notice, Notice::Replaced { bad, .. } if bad.is_of("api_key")),
    )?;
    match notices.remove(position) {
        Notice::Replaced { bad, .. } => Some(bad.name().to_owned()),
        _ => None,
    }
}
