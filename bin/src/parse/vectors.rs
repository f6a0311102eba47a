//! Test vectors: each a JSON object with a datagram and the settings it is to be read with.
//!
//! What a vector doesn't set is at the default of the vectors, not of this machine.

use std::fmt;

use lastdrop_engine::enrich::{
    Blocklist, Mapper, Mapping, MetricHost, NameMatch, Namespace, Profile,
};
use lastdrop_engine::message::{ClientOrigin, LineEnd, Timestamps};
use serde_json::{Map, Value};

use super::{ParseSettings, Reader, Stage};
use crate::json::{Json, Object, from_hex};

/// The answer to one vector: the list of its messages, or an object that says why it can't be read.
pub(super) fn answer(line: &[u8]) -> Json {
    match Vector::read(line) {
        Ok(Vector { datagram, stage, settings }) => {
            let messages = Reader::new(settings, stage).messages(&datagram);
            messages.into_iter().flatten().map(Json::from).collect::<Vec<_>>().into()
        }
        Err(error) => {
            let mut object = Object::default();
            object.set("error", error.to_string());
            object.into()
        }
    }
}

struct Vector {
    datagram: Vec<u8>,
    stage: Stage,
    settings: ParseSettings,
}

/// Why a vector can't be read.
#[derive(Debug)]
enum VectorError {
    /// The line is no JSON object.
    Json(serde_json::Error),
    /// There is neither `in` nor `in_hex`, or both.
    NoInput,
    /// The value of a key is not what it should be.
    Value { key: String, expected: &'static str },
    /// A setting that doesn't exist.
    UnknownKey(String),
}

impl Vector {
    fn read(line: &[u8]) -> Result<Self, VectorError> {
        let vector: Map<String, Value> = serde_json::from_slice(line).map_err(VectorError::Json)?;
        let datagram = match (vector.get("in"), vector.get("in_hex")) {
            (Some(text), None) => string("in", text)?.into_bytes(),
            (None, Some(digits)) => from_hex(string("in_hex", digits)?.as_bytes())
                .ok_or_else(|| unexpected("in_hex", "pairs of hex digits"))?,
            _ => return Err(VectorError::NoInput),
        };
        let stage = match vector.get("stage") {
            None | Some(Value::Null) => Stage::Parsed,
            Some(name) if name == "enriched" => Stage::Enriched,
            Some(_) => return Err(unexpected("stage", "\"enriched\", or no stage at all")),
        };
        let mut config = Config::default();
        match vector.get("config") {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                entries.iter().try_for_each(|(key, value)| config.set(key, value))?;
            }
            Some(_) => return Err(unexpected("config", "an object")),
        }
        Ok(Self { datagram, stage, settings: config.settings() })
    }
}

/// The settings of a vector, by the names of the reference agent.
struct Config {
    settings: ParseSettings,
    transport: String,
    eol_required: Vec<String>,
    namespace: String,
    namespace_exclusions: Vec<String>,
    blocklist: Vec<String>,
    blocklist_match: NameMatch,
    histogram_copy: bool,
    histogram_copy_prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: ParseSettings::default(),
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

impl Config {
    fn set(&mut self, key: &str, value: &Value) -> Result<(), VectorError> {
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
    fn settings(self) -> ParseSettings {
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

fn string(key: &str, value: &Value) -> Result<String, VectorError> {
    value.as_str().map(String::from).ok_or_else(|| unexpected(key, "a string"))
}

fn strings(key: &str, value: &Value) -> Result<Vec<String>, VectorError> {
    let list = value.as_array().and_then(|list| {
        list.iter().map(|text| text.as_str().map(String::from)).collect::<Option<Vec<_>>>()
    });
    list.ok_or_else(|| unexpected(key, "a list of strings"))
}

fn flag(key: &str, value: &Value) -> Result<bool, VectorError> {
    value.as_bool().ok_or_else(|| unexpected(key, "true or false"))
}

fn unexpected(key: &str, expected: &'static str) -> VectorError {
    VectorError::Value { key: key.into(), expected }
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "expected a JSON object: {error}"),
            Self::NoInput => f.write_str("expected one of `in` and `in_hex`"),
            Self::Value { key, expected } => write!(f, "{key}: expected {expected}"),
            Self::UnknownKey(key) => write!(f, "config: unknown key {key:?}"),
        }
    }
}
