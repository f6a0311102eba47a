//! An experiment as its file describes it: loads, target, intake, times, goal and bounds.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::bounds::Bounds;
use super::measure::Measure;
use super::sidecar::Transport;
use super::target::time;
use crate::intake::Script;
use crate::load::{Length, LoadOptions, Mix, Random, Rate, Scope, Span, Texts};
use crate::sink::{OnFull, Target};
use crate::units;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../experiments/", $name, ".toml")))),*]
    };
}

/// The experiments that come with the lab, in the order of tables.
const SHIPPED: &[(&str, &str)] = &shipped!(
    "quality_gate_idle",
    "quality_gate_metrics",
    "rss_dsd_low",
    "rss_dsd_medium",
    "rss_dsd_heavy",
    "rss_dsd_ultraheavy",
    "uds_dogstatsd_to_api",
    "uds_dogstatsd_to_api_v3",
    "uds_dogstatsd_20mb_12k_contexts_20_senders",
    "dsd_uds_512kb_3k_contexts",
    "dsd_uds_1mb_3k_contexts",
    "dsd_uds_10mb_3k_contexts",
    "dsd_uds_100mb_3k_contexts",
    "dsd_uds_500mb_3k_contexts",
    "small_messages_unix",
    "small_messages_udp",
    "small_messages_one_cpu",
    "intake_latency_0ms",
    "intake_latency_100ms",
    "intake_latency_500ms",
    "intake_latency_1000ms",
    "last_burst",
    "sigterm_under_load",
);

/// An experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a line.
    pub about: String,
    /// What is compared.
    pub goal: Goal,
    /// True if it is one of the quick ones that must hold on every machine.
    #[serde(default)]
    pub gate: bool,
    /// How long is measured.
    #[serde(default = "duration", deserialize_with = "time")]
    pub duration: Duration,
    /// How long the load runs before.
    #[serde(default = "warm_up", deserialize_with = "time")]
    pub warm_up: Duration,
    /// What is special about the target here.
    #[serde(default)]
    pub target: TargetPart,
    /// What is sent, each from threads of its own; may be nothing.
    #[serde(default)]
    pub load: Vec<LoadPart>,
    /// How the intake behaves.
    #[serde(default)]
    pub intake: IntakePart,
    /// How it ends.
    #[serde(default)]
    pub stop: StopPart,
    /// What every replica must keep.
    #[serde(default)]
    pub bounds: Bounds,
}

fn duration() -> Duration {
    Duration::from_secs(10)
}

fn warm_up() -> Duration {
    Duration::from_secs(2)
}

/// What is compared in an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// How much is taken in.
    Ingress,
    /// Processor time for a million messages.
    Cpu,
    /// Peak memory.
    Memory,
    /// How long clients wait.
    Latency,
    /// What is lost.
    Loss,
    /// How long the stop takes.
    Stop,
}

impl Goal {
    /// The measure that says how well it is met.
    #[must_use]
    pub const fn measure(self) -> Measure {
        match self {
            Self::Ingress => Measure::IngressMibPerS,
            Self::Cpu => Measure::CpuSPerMillion,
            Self::Memory => Measure::MemoryPeakMib,
            Self::Latency => Measure::SendP99Us,
            Self::Loss => Measure::LostPercent,
            Self::Stop => Measure::StopMs,
        }
    }
}

/// What an experiment adds to its target.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetPart {
    /// Settings beside those that it is started with.
    pub env: std::collections::BTreeMap<String, String>,
    /// Processors that it may run on; empty for all.
    pub cpus: Vec<usize>,
    /// Most memory that it may have, as `64MiB`.
    #[serde(deserialize_with = "optional_bytes")]
    pub memory_limit: Option<u64>,
}

/// What is sent to one of the target's sockets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPart {
    /// Over what.
    pub transport: Transport,
    /// Bytes a second over all senders, as `20MiB`.
    #[serde(default, deserialize_with = "optional_bytes")]
    rate: Option<u64>,
    /// Or datagrams a second over all senders. With neither it is sent flat out.
    #[serde(default)]
    datagrams_per_s: Option<f64>,
    /// Share of the rate that is sent: below 1 where this kind of machine can't carry it.
    #[serde(default = "whole")]
    pub scale: f64,
    #[serde(default = "one")]
    senders: u32,
    #[serde(deserialize_with = "span")]
    contexts: Span,
    /// Whether each sender has so many contexts of its own.
    #[serde(default)]
    own_contexts: bool,
    #[serde(default = "counters", deserialize_with = "mix")]
    kinds: Mix,
    #[serde(default = "two", deserialize_with = "span")]
    tags: Span,
    /// With `tag_bytes`: random names and tags.
    #[serde(default, deserialize_with = "optional_span")]
    name_bytes: Option<Span>,
    #[serde(default, deserialize_with = "optional_span")]
    tag_bytes: Option<Span>,
    /// So many of a hundred tags are in no earlier context.
    #[serde(default = "eleven")]
    new_tags_percent: u32,
    #[serde(default = "one_span", deserialize_with = "span")]
    values: Span,
    #[serde(default = "hundred")]
    packed_percent: u32,
    /// Most messages of a datagram.
    #[serde(default = "thousand")]
    messages: u32,
    #[serde(default = "datagram_bytes")]
    datagram_bytes: usize,
    #[serde(default = "seed")]
    seed: u64,
    /// Whether a full unix socket makes the sender wait, rather than give the datagram up.
    #[serde(default = "yes")]
    wait: bool,
}

/// How the intake behaves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntakePart {
    /// Faults, as for `lastdrop-lab intake --script`.
    #[serde(deserialize_with = "script")]
    pub script: Script,
}

/// How an experiment ends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopPart {
    /// Datagrams of each load, flat out right before SIGTERM.
    pub burst: u64,
    /// SIGTERM comes while the loads go on, until they are refused.
    pub under_load: bool,
}

/// Why there is no experiment.
#[derive(Debug)]
pub enum PlanError {
    /// A file that can't be read.
    Unreadable(PathBuf, io::Error),
    /// A file that says something wrong.
    Wrong(String, String),
    /// No such experiment.
    Unknown(String),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "can't read {}: {error}", path.display()),
            Self::Wrong(name, error) => write!(f, "experiment {name}: {error}"),
            Self::Unknown(name) => write!(
                f,
                "no experiment {name}: `lastdrop-lab bench list` shows them; a file ends in .toml"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// The experiments that come with the lab.
    ///
    /// # Errors
    ///
    /// One of them says something wrong.
    pub fn shipped() -> Result<Vec<Self>, PlanError> {
        SHIPPED.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// Finds an experiment by its name, or reads a file that ends in `.toml`.
    ///
    /// # Errors
    ///
    /// There is none, the file can't be read, or says something wrong.
    pub fn find(name: &str) -> Result<Self, PlanError> {
        if name.ends_with(".toml") {
            let path = Path::new(name);
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| PlanError::Unreadable(path.to_owned(), error))?;
            return Self::parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text);
        }
        let found = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let (name, text) = found.ok_or_else(|| PlanError::Unknown(name.to_owned()))?;
        Self::parse(name, text)
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// It says something wrong: what and where.
    pub fn parse(name: &str, text: &str) -> Result<Self, PlanError> {
        let wrong = |error: String| PlanError::Wrong(name.to_owned(), error);
        let plan: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if plan.duration.is_zero() {
            return Err(wrong("`duration` is 0".to_owned()));
        }
        for (number, load) in plan.load.iter().enumerate() {
            load.check().map_err(|error| wrong(format!("load {}: {error}", number + 1)))?;
        }
        if plan.load.is_empty() && (plan.stop.burst > 0 || plan.stop.under_load) {
            return Err(wrong("`stop` wants a load, and there is none".to_owned()));
        }
        Ok(Self { name: name.to_owned(), ..plan })
    }
}

impl LoadPart {
    fn check(&self) -> Result<(), String> {
        if self.rate.is_some() && self.datagrams_per_s.is_some() {
            return Err("`rate` and `datagrams_per_s` are both set".to_owned());
        }
        if self.datagrams_per_s.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("`datagrams_per_s` is no rate above 0".to_owned());
        }
        if !(self.scale > 0.0 && self.scale <= 1.0) {
            return Err(format!("`scale` is {}: it goes from above 0 to 1", self.scale));
        }
        if self.name_bytes.is_some() != self.tag_bytes.is_some() {
            return Err("`name_bytes` and `tag_bytes` go together".to_owned());
        }
        if !(1..=65_507).contains(&self.datagram_bytes) {
            return Err(format!("`datagram_bytes` is {}: 1 to 65507", self.datagram_bytes));
        }
        let positive = [
            ("senders", self.senders),
            ("contexts", self.contexts.min),
            ("values", self.values.min),
            ("messages", self.messages),
        ];
        match positive.into_iter().find(|(_, number)| *number == 0) {
            Some((name, _)) => Err(format!("`{name}` is 0")),
            None if self.senders > 256 => Err(format!("`senders` is {}: 1 to 256", self.senders)),
            None => Ok(()),
        }
    }

    /// The load for a socket, without an end.
    #[must_use]
    pub fn options(&self, target: Target) -> LoadOptions {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^40")]
        let bytes = self.rate.map(|bytes| Rate::Bytes(bytes as f64 * self.scale));
        let datagrams = self.datagrams_per_s.map(|rate| Rate::Datagrams(rate * self.scale));
        let texts = match self.name_bytes.zip(self.tag_bytes) {
            Some((name_bytes, tag_bytes)) => {
                Texts::Random { name_bytes, tag_bytes, new_percent: self.new_tags_percent }
            }
            None => Texts::Plain,
        };
        LoadOptions {
            on_full: if self.wait { OnFull::Wait } else { OnFull::Fail },
            contexts: Random::new(self.seed).within(self.contexts),
            scope: if self.own_contexts { Scope::Own } else { Scope::Shared },
            tags: self.tags,
            texts,
            mix: self.kinds,
            values: self.values,
            packed_percent: self.packed_percent,
            messages: self.messages,
            datagram_bytes: self.datagram_bytes,
            rate: bytes.or(datagrams),
            seed: self.seed,
            senders: self.senders,
            ..LoadOptions::new(target, Length::Datagrams(0))
        }
    }
}

fn whole() -> f64 {
    1.0
}

fn one() -> u32 {
    1
}

fn one_span() -> Span {
    Span::only(1)
}

fn two() -> Span {
    Span::only(2)
}

fn eleven() -> u32 {
    11
}

fn hundred() -> u32 {
    100
}

fn thousand() -> u32 {
    1_000
}

fn datagram_bytes() -> usize {
    8_192
}

fn seed() -> u64 {
    1
}

fn yes() -> bool {
    true
}

fn counters() -> Mix {
    Mix::only(crate::load::Kind::Count)
}

/// A number, or text as `2-50`.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl fmt::Display for NumberOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    NumberOrText::deserialize(from)?.to_string().parse().map_err(D::Error::custom)
}

fn optional_span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    span(from).map(Some)
}

fn optional_bytes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = NumberOrText::deserialize(from)?.to_string();
    units::bytes(&text).map(Some).map_err(D::Error::custom)
}

fn mix<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Mix, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn script<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Script, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_whole_and_every_file_is_shipped() {
        let plans = Plan::shipped().unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments");
        for file in fs::read_dir(folder).unwrap() {
            let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(plans.iter().any(|plan| plan.name == name), "{name} is not in SHIPPED");
        }
        for plan in plans {
            assert!(!plan.bounds.is_empty(), "{}", plan.name);
            let scaled = plan.load.iter().any(|load| load.scale < 1.0);
            assert!(!scaled || plan.about.contains("scaled"), "{}: says nothing of it", plan.name);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let sound = "about = ''\ngoal = 'cpu'\n[[load]]\ntransport = 'udp'\ncontexts = 3\n";
        assert!(Plan::parse("x", sound).is_ok());
        let rows = [
            (sound.replace("cpu", "speed"), "unknown variant `speed`"),
            (format!("{sound}colour = 1"), "unknown field `colour`"),
            (format!("{sound}rate = '5MB'"), "write 512, 512KiB or 20MiB"),
            (format!("{sound}tags = '5-2'"), "write 3 or 2-50"),
            (format!("{sound}kinds = 'x=1'"), "write shares of c, g, s"),
            (format!("{sound}scale = 2"), "load 1: `scale` is 2"),
            (format!("{sound}rate = 1\ndatagrams_per_s = 1"), "are both set"),
            (format!("{sound}name_bytes = 1"), "go together"),
            (format!("{sound}senders = 0"), "`senders` is 0"),
            (format!("{sound}[bounds.max]\nspeed = 1"), "unknown variant `speed`"),
            (format!("{sound}[intake]\nscript = '5O3'"), "step \"5O3\""),
            (format!("{sound}[target]\nmemory_limit = 'x'"), "is no size"),
            ("about = ''\ngoal = 'stop'\n[stop]\nburst = 5".to_owned(), "wants a load"),
            (format!("duration = '0s'\n{sound}"), "`duration` is 0"),
        ];
        for (text, part) in rows {
            let error = Plan::parse("x", &text).unwrap_err().to_string();
            assert!(error.starts_with("experiment x: ") && error.contains(part), "{text}: {error}");
        }
        assert!(Plan::find("nothing").unwrap_err().to_string().contains("bench list"));
        assert!(matches!(Plan::find("/nowhere/x.toml"), Err(PlanError::Unreadable(..))));
    }

    #[test]
    fn a_load_is_what_its_file_says() {
        let text = "transport = 'udp'\ncontexts = '1000-10000'\nrate = '10MiB'\nscale = 0.5\n\
                    kinds = 'c=1,g=1'\nvalues = '2-32'\npacked_percent = 8\nown_contexts = true";
        let load: LoadPart = toml::from_str(text).unwrap();
        let options = load.options(Target::UnixDatagram("x".into()));
        assert_eq!(options.rate, Some(Rate::Bytes(5_242_880.0)));
        assert!((1_000..=10_000).contains(&options.contexts));
        assert_eq!((options.scope, options.packed_percent), (Scope::Own, 8));
        assert_eq!(options.values, Span { min: 2, max: 32 });
    }
}
