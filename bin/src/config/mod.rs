//! The configuration: read from flag, environment, file and default, in that order, into one typed
//! value that remembers where each setting came from.
//!
//! [`keys`] is the table of what there is, [`read`] says how a value is read, [`sources`] where it is
//! looked for. [`resolve`] joins the three and touches nothing outside; [`load`] does that part.

pub(crate) mod error;
mod key;
pub(crate) mod keys;
mod node;
pub(crate) mod print;
mod read;
mod secret;
pub(crate) mod sources;
mod types;
mod yaml;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use self::error::BadValue;
pub(crate) use self::error::{ConfigError, Notice};
use self::key::{Key, Role};
use self::node::Node;
use self::read::Put;
pub(crate) use self::secret::{Secret, Url};
use self::sources::{Document, Environment, Found, SecretFile, Source, Sources};
pub(crate) use self::types::{LogLevel, Pin, Port, Receipt};
use crate::cli::Flags;

/// Variables of ours begin like this.
const OUR_PREFIX: &str = "LASTDROP_";

/// How many letters a name may be off to be taken for a mistyped one.
const TYPO_DISTANCE: usize = 3;

/// Everything that can be set, as the parts of the agent want it.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where metrics go.
    pub(crate) intake: Intake,
    /// Where they come from.
    pub(crate) dogstatsd: Dogstatsd,
    /// What is put on them.
    pub(crate) enrichment: Enrichment,
    /// How the agent itself runs and stops.
    pub(crate) process: Process,
    /// Each key with its value as it may be shown, in the order of the table.
    pub(crate) settings: Vec<Setting>,
    /// What to warn of, once.
    pub(crate) notices: Vec<Notice>,
}

/// Where metrics go.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Key; none: nothing is sent.
    pub(crate) api_key: Option<Secret>,
    /// File that the key was to be read from.
    pub(crate) api_key_file: Option<PathBuf>,
    /// Domain that the base URL is made of.
    pub(crate) site: String,
    /// Base URL; goes before the site.
    pub(crate) dd_url: Option<Url>,
}

/// Where metrics come from.
#[derive(Debug, Default)]
pub(crate) struct Dogstatsd {
    /// UDP port.
    pub(crate) port: Port,
    /// Name or address that the UDP port is bound to.
    pub(crate) bind_host: String,
    /// Path of the unix datagram socket.
    pub(crate) socket: Option<PathBuf>,
}

/// What is put on metrics.
#[derive(Debug, Default)]
pub(crate) struct Enrichment {
    /// Tags for everything, as written: not sorted, may repeat.
    pub(crate) tags: Vec<String>,
    /// Host; `none` is for none.
    pub(crate) hostname: String,
}

/// How the agent itself runs and stops.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// How much it says.
    pub(crate) log_level: LogLevel,
    /// Longest time from the start of the stop to the exit.
    pub(crate) stop_timeout: Duration,
    /// Silence on all sockets that ends the reception at the stop.
    pub(crate) linger: Duration,
    /// Kernel memory for a burst on UDP in bytes; none: chosen by the memory limit.
    pub(crate) burst_bytes: Option<u64>,
    /// Receiving threads; `1 <= receivers <= workers`.
    pub(crate) receivers: usize,
    /// Aggregating threads.
    pub(crate) workers: usize,
    /// When threads are pinned.
    pub(crate) pin: Pin,
    /// Where the receipt goes.
    pub(crate) receipt: Receipt,
    /// True if a loss makes the exit status 3.
    pub(crate) strict: bool,
}

/// One key as it was resolved.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key.
    pub(crate) key: &'static Key,
    /// Its value, a secret masked.
    pub(crate) shown: Value,
    /// Where it came from.
    pub(crate) source: Source,
}

/// Resolves the configuration of this process: reads the environment, the settings file and the
/// file that holds the key.
///
/// # Errors
///
/// If a named file can't be read or a value is bad.
pub(crate) fn load(flags: Flags) -> Result<Config, ConfigError> {
    let environment = Environment::of_process();
    let document = Document::load(&flags, &environment)?;
    let mut sources = Sources { flags, environment, document, key_file: None };
    if let Some(path) = wanted_key_file(&sources) {
        sources.key_file = Some(SecretFile::load(path)?);
    }
    resolve(&sources)
}

/// Gives the file that the key is to be read from, unless the key itself is set where it counts as
/// much or more.
fn wanted_key_file(sources: &Sources) -> Option<PathBuf> {
    let file = sources.find(keys::named("api_key_file")?)?;
    let key = sources.find(keys::named("api_key")?);
    let wins = key.is_none_or(|key| file.source.rank() < key.source.rank());
    let path = file.node.as_text().filter(|path| wins && !path.is_empty())?;
    Some(PathBuf::from(path))
}

/// Resolves a configuration from what is given, and from nothing else.
///
/// # Errors
///
/// If a value is bad, for the first such key of the table.
pub(crate) fn resolve(sources: &Sources) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    for key in keys::ALL {
        let found = sources.find(key).unwrap_or_else(|| Found {
            source: Source::Default,
            name: key.name.to_owned(),
            node: Node::text(key.default),
        });
        let shown = match key.role {
            Role::Read(put) => apply(&mut config, key, &found, put)?,
        };
        config.settings.push(Setting { key, shown, source: found.source });
    }
    let Process { receivers, workers, .. } = config.process;
    if workers < receivers {
        return Err(ConfigError::TooFewWorkers { receivers, workers });
    }
    config.notices.extend(unknown_variables(&sources.environment));
    if config.intake.api_key.is_none() {
        let unusable = config.take_unusable_key();
        config.notices.push(Notice::NoApiKey { unusable });
    }
    Ok(config)
}

/// Puts one value into the configuration and gives it as it may be shown.
fn apply(
    config: &mut Config,
    key: &'static Key,
    found: &Found,
    put: fn(&mut Config, &Node) -> Put,
) -> Result<Value, ConfigError> {
    match put(config, &found.node) {
        Put::Replaced(used) => {
            let bad = BadValue::new(key, found);
            config.notices.push(Notice::Replaced { bad, used: print::plain(&used) });
            Ok(used)
        }
        Put::Good(_) | Put::Bad if found.node.holds_unresolved_secret() => {
            let (name, source) = (found.name.clone(), found.source.clone());
            Err(ConfigError::UnresolvedSecret { name, source })
        }
        Put::Good(shown) => Ok(shown),
        Put::Bad => Err(ConfigError::BadValue(BadValue::new(key, found))),
    }
}

impl Config {
    /// Takes the notice of an API key that can't be used out of the notices and gives the name that
    /// it was set by: the notice of the missing key says it all.
    fn take_unusable_key(&mut self) -> Option<String> {
        let position = self.notices.iter().position(
            |notice| matches!(notice, Notice::Replaced { bad, .. } if bad.is_of("api_key")),
        )?;
        match self.notices.remove(position) {
            Notice::Replaced { bad, .. } => Some(bad.name().to_owned()),
            _ => None,
        }
    }
}

/// Names the variables that look like ours and are not.
fn unknown_variables(environment: &Environment) -> Vec<Notice> {
    let known: Vec<String> = keys::ALL
        .iter()
        .flat_map(Key::environment)
        .chain([sources::FILE_VARIABLE.to_owned()])
        .filter(|name| name.starts_with(OUR_PREFIX))
        .collect();
    let unknown = |name: &&str| name.starts_with(OUR_PREFIX) && !known.iter().any(|k| k == name);
    let notice = |name: &str| Notice::UnknownVariable {
        name: name.to_owned(),
        nearest: nearest(name, &known).map(str::to_owned),
    };
    environment.names().filter(unknown).map(notice).collect()
}

/// Gives the name that a mistyped one was probably meant to be.
fn nearest<'a>(typed: &str, names: &'a [String]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(typed, name);
    let (distance, name) = names.iter().map(|name| (distance(name), name)).min()?;
    (distance <= TYPO_DISTANCE).then_some(name)
}

#[cfg(test)]
mod tests;
