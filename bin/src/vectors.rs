//! The settings of test vectors: names are the reference agent's, and what a vector doesn't set is
//! at the default of the vectors, not of this machine.

use std::fmt;

use lastdrop_engine::enrich::{
    Blocklist, Mapper, Mapping, MetricHost, NameMatch, Namespace, Profile, Settings,
};
use lastdrop_engine::message::{ClientOrigin, LineEnd, Options, Timestamps};
use serde_json::{Map, Value};

use crate::json::Object;

/// How messages are read and enriched. The default is what the reference agent does in a serverless
/// platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageSettings {
    /// Fields to read.
    pub(crate) options: Options,
    /// Whether a last line without newline is refused.
    pub(crate) line_end: LineEnd,
    /// What is made of names and tags.
    pub(crate) enrichment: Settings,
}

/// The settings of a vector that are about messages.
pub(crate) struct MessageConfig {
    settings: MessageSettings,
    transport: String,
    eol_required: Vec<String>,
    namespace: String,
    namespace_exclusions: Vec<String>,
    blocklist: Vec<String>,
    blocklist_match: NameMatch,
    histogram_copy: bool,
    histogram_copy_prefix: String,
}

impl Default for MessageConfig {
    fn default() -> Self {
        Self {
            settings: MessageSettings::default(),
            transport: "udp".into(),
            eol_required: Vec::new(),
            namespace: String::new(),
            namespace_exclusions: Namespace::EXCLUSIONS.map(String::from).into(),
            blocklist: Vec::new(),
            blocklist_match: NameMatch::Exact,
            histogram_copy: false,
            histogram_copy_prefix: String::new(),
        }
    }
}

impl MessageConfig {
    /// Sets a key.
    ///
    /// # Errors
    ///
    /// A key that doesn't exist, or the wrong kind of value.
    pub(crate) fn set(&mut self, key: &str, value: &Value) -> Result<(), VectorError> {
        let enrichment = &mut self.settings.enrichment;
        match key {
            "transport" => self.transport = transport(key, value)?,
            "dogstatsd_eol_required" => self.eol_required = strings(key, value)?,
            "dogstatsd_no_aggregation_pipeline" => {
                self.settings.options.timestamps = match flag(key, value)? {
                    true => Timestamps::Read,
                    false => Timestamps::Ignore,
                };
            }
            "dogstatsd_origin_detection_client" => {
                self.settings.options.client_origin = match flag(key, value)? {
                    true => ClientOrigin::Read,
                    false => ClientOrigin::Ignore,
                };
            }
            "hostname" => enrichment.hostname = string(key, value)?,
            "serverless" => {
                enrichment.metric_host = match flag(key, value)? {
                    true => MetricHost::Never,
                    false => MetricHost::Named,
                };
            }
            "statsd_metric_namespace" => self.namespace = string(key, value)?,
            "statsd_metric_namespace_blacklist" => {
                self.namespace_exclusions = strings(key, value)?;
            }
            "statsd_metric_blocklist" | "metric_filterlist" => {
                self.blocklist = strings(key, value)?;
            }
            "statsd_metric_blocklist_match_prefix" | "metric_filterlist_match_prefix" => {
                self.blocklist_match = match flag(key, value)? {
                    true => NameMatch::Prefix,
                    false => NameMatch::Exact,
                };
            }
            "dogstatsd_tags" => enrichment.extra_tags = strings(key, value)?,
            "dogstatsd_mapper_profiles" => {
                // Like the reference agent: a broken rule switches the mapper off.
                enrichment.mapper = Mapper::new(&profiles(key, value)?).unwrap_or_default();
            }
            "histogram_copy_to_distribution" => self.histogram_copy = flag(key, value)?,
            "histogram_copy_to_distribution_prefix" => {
                self.histogram_copy_prefix = string(key, value)?;
            }
            _ => return Err(VectorError::UnknownKey(key.into())),
        }
        Ok(())
    }

    /// What the entries amount to together.
    pub(crate) fn settings(self) -> MessageSettings {
        let mut settings = self.settings;
        if self.eol_required.contains(&self.transport) {
            settings.line_end = LineEnd::Required;
        }
        let enrichment = &mut settings.enrichment;
        enrichment.namespace = Namespace::new(&self.namespace, self.namespace_exclusions);
        enrichment.blocklist = Blocklist::new(self.blocklist, self.blocklist_match);
        enrichment.histogram_copy_prefix =
            self.histogram_copy.then_some(self.histogram_copy_prefix);
        settings
    }
}

/// A transport by the name that `dogstatsd_eol_required` has for it.
fn transport(key: &str, value: &Value) -> Result<String, VectorError> {
    let name = string(key, value)?;
    let is_known = matches!(name.as_str(), "udp" | "uds" | "named_pipe");
    is_known.then_some(name).ok_or_else(|| unexpected(key, "udp, uds or named_pipe"))
}

fn profiles(key: &str, value: &Value) -> Result<Vec<Profile>, VectorError> {
    let expected = || unexpected(key, "a list of profiles with name, prefix and mappings");
    let text = |value: &Value, name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(expected()),
    };
    let mapping = |mapping: &Value| {
        let tags = match mapping.get("tags") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(tags)) => {
                let tag =
                    |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.into()));
                tags.iter().map(tag).collect::<Option<_>>().ok_or_else(expected)?
            }
            Some(_) => return Err(expected()),
        };
        Ok(Mapping {
            pattern: text(mapping, "match")?,
            match_type: text(mapping, "match_type")?,
            name: text(mapping, "name")?,
            tags,
        })
    };
    let profile = |profile: &Value| {
        let mappings = match profile.get("mappings") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(mappings)) => mappings.iter().map(mapping).collect(),
            Some(_) => Err(expected()),
        };
        let (name, prefix) = (text(profile, "name")?, text(profile, "prefix")?);
        Ok(Profile { name, prefix, mappings: mappings? })
    };
    value.as_array().ok_or_else(expected)?.iter().map(profile).collect()
}

/// A string.
pub(crate) fn string(key: &str, value: &Value) -> Result<String, VectorError> {
    value.as_str().map(String::from).ok_or_else(|| unexpected(key, "a string"))
}

/// A list of strings.
pub(crate) fn strings(key: &str, value: &Value) -> Result<Vec<String>, VectorError> {
    let list = value.as_array().and_then(|list| {
        list.iter().map(|text| text.as_str().map(String::from)).collect::<Option<Vec<_>>>()
    });
    list.ok_or_else(|| unexpected(key, "a list of strings"))
}

/// True or false.
pub(crate) fn flag(key: &str, value: &Value) -> Result<bool, VectorError> {
    value.as_bool().ok_or_else(|| unexpected(key, "true or false"))
}

/// The error for a value of the wrong kind.
pub(crate) fn unexpected(key: &str, expected: &'static str) -> VectorError {
    VectorError::Value { key: key.into(), expected }
}

/// Reads a vector: a JSON object.
///
/// # Errors
///
/// Whatever else it is.
pub(crate) fn object(line: &[u8]) -> Result<Map<String, Value>, VectorError> {
    serde_json::from_slice(line).map_err(VectorError::Json)
}

/// The entries of a vector's `config`; none if it has none.
///
/// # Errors
///
/// If it is no object.
pub(crate) fn config(
    vector: &Map<String, Value>,
) -> Result<impl Iterator<Item = (&str, &Value)>, VectorError> {
    let entries = match vector.get("config") {
        None | Some(Value::Null) => None,
        Some(Value::Object(entries)) => Some(entries),
        Some(_) => return Err(unexpected("config", "an object")),
    };
    Ok(entries.into_iter().flatten().map(|(key, value)| (key.as_str(), value)))
}

/// Why a vector can't be read.
#[derive(Debug)]
pub(crate) enum VectorError {
    /// The line is no JSON object.
    Json(serde_json::Error),
    /// The value of a key is not what it should be.
    Value { key: String, expected: &'static str },
    /// What the keys say together makes no sense.
    Whole(&'static str),
    /// A setting that doesn't exist.
    UnknownKey(String),
}

impl VectorError {
    /// The error as an answer.
    pub(crate) fn answer(&self) -> Object {
        let mut object = Object::default();
        object.set("error", self.to_string());
        object
    }
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "expected a JSON object: {error}"),
            Self::Whole(problem) => f.write_str(problem),
            Self::Value { key, expected } => write!(f, "{key}: expected {expected}"),
            Self::UnknownKey(key) => write!(f, "config: unknown key {key:?}"),
        }
    }
}
