//! The types of values that are more than a number or a text. What is `Serialize` is shown so.

use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Serialize;

use super::secret::{Secret, Url};

/// A UDP port to listen on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Port {
    /// No UDP.
    #[default]
    Off,
    /// One that the system chooses.
    Random,
    /// This one.
    Fixed(NonZeroU16),
}

/// Where a last line without its line feed is thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EolRequired {
    /// In UDP datagrams.
    pub(crate) udp: bool,
    /// On unix sockets of both kinds.
    pub(crate) uds: bool,
}

/// What a histogram sends beside percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Aggregate {
    /// Largest value.
    Max,
    /// Smallest value.
    Min,
    /// Median.
    Median,
    /// Mean.
    Avg,
    /// Sum.
    Sum,
    /// Values per second.
    Count,
}

/// How names that match are renamed and tagged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MapperProfile {
    /// Name of the profile, not empty.
    pub(crate) name: String,
    /// Beginning of the names that it is tried on; `*`: all.
    pub(crate) prefix: String,
    /// Tried in order; the first match counts.
    pub(crate) mappings: Vec<Mapping>,
}

/// One rule of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mapping {
    /// Pattern that the whole name must match; not empty, and clean if it is a wildcard.
    #[serde(rename = "match")]
    pub(crate) pattern: String,
    /// How the pattern is read.
    pub(crate) match_type: MatchType,
    /// New name, with `$1` or `${1}` for what was captured; not empty.
    pub(crate) name: String,
    /// Keys and values of tags, likewise, in ascending order of keys.
    pub(crate) tags: Vec<(String, String)>,
}

/// How the pattern of a mapping is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MatchType {
    /// `*` stands for any characters but dots.
    Wildcard,
    /// A regular expression.
    Regex,
}

/// A further destination: a base URL with at least one key, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Base URL.
    pub(crate) url: Url,
    /// Its keys: every payload is sent once for each.
    pub(crate) keys: Vec<Secret>,
}

/// Whether series are sent as v3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UseV3 {
    /// To nobody.
    #[default]
    #[serde(rename = "false")]
    Never,
    /// To hosts of Datadog's own domains.
    DatadogOnly,
    /// To everybody.
    #[serde(rename = "true")]
    Always,
}

/// Whether series are sent to a base URL as v3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V3Endpoint {
    /// Base URL.
    pub(crate) url: Url,
    /// Whether.
    pub(crate) use_v3: UseV3,
}

/// Compression of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compressor {
    /// Zstandard.
    Zstd,
    /// `Content-Encoding: deflate`, which is zlib.
    Zlib,
    /// Gzip.
    Gzip,
    /// None.
    #[default]
    None,
}

/// Oldest version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "tlsv1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "tlsv1.3")]
    V1_3,
}

/// HTTP version. There is only HTTP/1.1 here, so both mean the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HttpProtocol {
    /// Whatever both sides speak.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
}

/// When threads are pinned to processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pin {
    /// Unless a quota of processor time is smaller than the allowed set of processors.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the receipt goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// To standard error.
    #[default]
    Stderr,
    /// Nowhere.
    Off,
    /// To a file.
    File(PathBuf),
}

/// What tells the series of two instances apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InstanceTag {
    /// Nothing.
    #[default]
    Off,
    /// A tag of this process's own choice.
    Random,
    /// A tag with what the platform calls the instance.
    Platform,
}

/// Where a running agent is asked for its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ControlSocket {
    /// At the first of the usual places that can be had.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// At this path.
    Path(PathBuf),
}

/// How much the agent says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What it can't do.
    Error,
    /// What the user should change.
    #[default]
    Warn,
    /// What it does.
    Info,
    /// How it does it.
    Debug,
    /// Every step.
    Trace,
}
