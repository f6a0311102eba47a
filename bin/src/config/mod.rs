//! The configuration: read from flag, environment, file and default, in that order, into one typed
//! value that remembers where each setting came from.
//!
//! [`keys`] is the table of what there is, [`read`] says how a value is read, [`sources`] where it is
//! looked for. [`resolve`] joins the three and touches nothing outside; [`load`] does that part.

pub(crate) mod error;
pub(crate) mod groups;
mod key;
pub(crate) mod keys;
mod node;
pub(crate) mod notices;
pub(crate) mod print;
mod read;
pub(crate) mod secret;
pub(crate) mod sources;
pub(crate) mod types;
mod yaml;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use self::error::BadValue;
pub(crate) use self::error::ConfigError;
use self::groups::{
    Aggregation, Dogstatsd, Enrichment, Forwarder, Intake, Network, Process, Serializer,
};
use self::key::{Key, Role, Rule};
use self::node::Node;
pub(crate) use self::notices::Notice;
use self::read::{Put, Reading};
use self::sources::{Document, Environment, Found, SecretFile, Source, Sources};
use crate::cli::Flags;

/// What one payload counts for where a queue is limited by their number, in bytes.
const PAYLOAD_BYTES: u64 = 2 << 20;

/// Everything that can be set, as the parts of the agent want it.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where metrics go.
    pub(crate) intake: Intake,
    /// How the intake is reached.
    pub(crate) network: Network,
    /// Where metrics come from.
    pub(crate) dogstatsd: Dogstatsd,
    /// What is put on them, and which are left out.
    pub(crate) enrichment: Enrichment,
    /// How samples become points.
    pub(crate) aggregation: Aggregation,
    /// How points become payloads.
    pub(crate) serializer: Serializer,
    /// How payloads are delivered.
    pub(crate) forwarder: Forwarder,
    /// How the agent itself runs and stops.
    pub(crate) process: Process,
    /// Each key that is read with its value as it may be shown, in the order of the table.
    pub(crate) settings: Vec<Setting>,
    /// What to warn of, once.
    pub(crate) notices: Vec<Notice>,
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
    let document = Document::load(&flags, &environment, Path::new(sources::DEFAULT_FILE))?;
    let mut sources = Sources { flags, environment, document, key_file: None };
    if let Some(path) = wanted_key_file(&sources) {
        sources.key_file = Some(SecretFile::load(path)?);
    }
    resolve(&sources)
}

/// Reads a length of time as it is written in a setting (`1m30s`).
pub(crate) fn duration(text: &str) -> Option<Duration> {
    match (read::TIME.read)(&Node::text(text)) {
        Reading::Good(time) => Some(time),
        Reading::Replaced(_) | Reading::Bad => None,
    }
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
        let Role::Read(put) = key.role else { continue };
        let found = sources.find(key).unwrap_or_else(|| Found {
            source: Source::Default,
            name: key.name.to_owned(),
            node: Node::text(key.default),
        });
        let shown = apply(&mut config, key, &found, put)?;
        config.settings.push(Setting { key, shown, source: found.source });
    }
    let Process { receivers, workers, .. } = config.process;
    if workers < receivers {
        return Err(ConfigError::TooFewWorkers { receivers, workers });
    }
    config.honour_older_queue_limit();
    notices::complete(&mut config, sources);
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
            debug_assert!(matches!(key.bad_value, Rule::Replaced(_)), "{}: not told", key.name);
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
    /// Gives the setting of a key that is read.
    pub(crate) fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key.name == name)
    }

    /// Limits the retry queue by a number of payloads, if that is what was set.
    fn honour_older_queue_limit(&mut self) {
        const NEWER: &str = "forwarder_retry_queue_payloads_max_size";
        const OLDER: &str = "forwarder_retry_queue_max_size";
        let Some(payloads) = self.forwarder.retry_queue_payloads_max else { return };
        let Some(source) = self.setting(OLDER).map(|setting| setting.source.clone()) else {
            return;
        };
        let newer = self.settings.iter_mut().find(|setting| setting.key.name == NEWER);
        let Some(newer) = newer.filter(|newer| newer.source == Source::Default) else { return };
        self.forwarder.retry_queue_bytes_max = payloads.saturating_mul(PAYLOAD_BYTES);
        newer.shown = self.forwarder.retry_queue_bytes_max.into();
        newer.source = source;
    }
}

#[cfg(test)]
mod tests;
