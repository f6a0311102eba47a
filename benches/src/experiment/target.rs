//! A server to measure, described in a file: how to start it, what it speaks, and where it sends.
//!
//! In the words of a command, in settings and in files that it reads, names in braces stand for what
//! is different in each run: see [`Place`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::sidecar::Transport;
use crate::units;

/// Where the files of servers are that the lab ships a description for.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers");

/// The descriptions that come with the lab, in the order of tables.
const SHIPPED: [(&str, &str); 7] = [
    ("lastdrop", include_str!("../../targets/lastdrop.toml")),
    ("serverless-compat", include_str!("../../targets/serverless-compat.toml")),
    ("statsd", include_str!("../../targets/statsd.toml")),
    ("netdata", include_str!("../../targets/netdata.toml")),
    ("collectd", include_str!("../../targets/collectd.toml")),
    ("brubeck", include_str!("../../targets/brubeck.toml")),
    ("statsite", include_str!("../../targets/statsite.toml")),
];

/// A server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name in tables.
    #[serde(skip)]
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// The version that the description was written for.
    #[serde(default)]
    pub version: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Settings.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files that it reads, by their names in the run's folder.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What it can be sent to.
    pub transports: Vec<Transport>,
    /// What it understands.
    #[serde(default)]
    pub dialect: Dialect,
    /// Where it sends.
    pub output: Output,
    /// The receipt that it writes into the run's folder, if it is one that does.
    #[serde(default)]
    pub receipt: Option<String>,
    /// How long it may take to send what it has once it was asked to stop.
    #[serde(default = "stop_time", deserialize_with = "time")]
    pub stop_time: Duration,
    /// How it is installed, for those who don't have it.
    #[serde(default)]
    pub install: String,
}

fn stop_time() -> Duration {
    Duration::from_secs(15)
}

pub(super) fn time<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    units::duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// What a server understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// DogStatsD.
    #[default]
    Dogstatsd,
    /// StatsD: no tags, no distributions, no packed values.
    Statsd,
}

/// Where a server sends, and what a counter looks like there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// To a Datadog intake.
    Datadog,
    /// Lines of text to Graphite.
    Graphite(Graphite),
    /// Where nobody can count it: why.
    Unseen(String),
}

/// What a counter looks like in Graphite.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graphite {
    /// How the paths of counters end.
    #[serde(default)]
    pub suffix: String,
    /// What a value says.
    pub value: GraphiteValue,
}

/// What the values of a counter say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphiteValue {
    /// Increments since the last value.
    Increments,
    /// Increments since the start.
    Total,
}

/// Why there is no target.
#[derive(Debug)]
pub enum TargetError {
    /// A file that can't be read.
    Unreadable(PathBuf, io::Error),
    /// A file that says something wrong.
    Wrong(String, String),
    /// A command line without a command.
    Empty,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "can't read {}: {error}", path.display()),
            Self::Wrong(name, error) => write!(f, "target {name}: {error}"),
            Self::Empty => {
                let names = SHIPPED.map(|(name, _)| name).join(", ");
                write!(f, "no target: name one of {names}, a .toml file, or a command line")
            }
        }
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// The targets that come with the lab.
    ///
    /// # Errors
    ///
    /// One of them says something wrong.
    pub fn shipped() -> Result<Vec<Self>, TargetError> {
        SHIPPED.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// lastdrop beside this program.
    ///
    /// # Errors
    ///
    /// Its description says something wrong.
    pub fn lastdrop() -> Result<Self, TargetError> {
        Self::parse(SHIPPED[0].0, SHIPPED[0].1)
    }

    /// Finds what a word or a line stands for: the name of one that comes with the lab, a file that
    /// ends in `.toml`, or a command line. Of a command line the program takes lastdrop's place,
    /// words before it with a `=` are settings, and words behind it further arguments.
    ///
    /// # Errors
    ///
    /// The file can't be read or says something wrong, or there is no command.
    pub fn find(text: &str) -> Result<Self, TargetError> {
        if let Some((name, description)) = SHIPPED.iter().find(|(name, _)| *name == text.trim()) {
            return Self::parse(name, description);
        }
        if text.ends_with(".toml") {
            let path = Path::new(text);
            let file = fs::read_to_string(path);
            let file = file.map_err(|error| TargetError::Unreadable(path.to_owned(), error))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            return Self::parse(&name, &file);
        }
        let mut target = Self { name: text.trim().to_owned(), ..Self::lastdrop()? };
        let mut words = text.split_whitespace().peekable();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            target.env.insert(name.to_owned(), value.to_owned());
            words.next();
        }
        let program = words.next().ok_or(TargetError::Empty)?;
        program.clone_into(&mut target.command[0]);
        target.command.extend(words.map(str::to_owned));
        Ok(target)
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// It says something wrong: what and where.
    pub fn parse(name: &str, text: &str) -> Result<Self, TargetError> {
        let wrong = |error: String| TargetError::Wrong(name.to_owned(), error);
        let target: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if target.command.is_empty() {
            return Err(wrong("`command` has no words".to_owned()));
        }
        if target.transports.is_empty() {
            return Err(wrong("`transports` names none".to_owned()));
        }
        Ok(Self { name: name.to_owned(), ..target })
    }

    /// True if the program is there, and what the peers' folder should hold of its arguments: a
    /// script, where the program is its interpreter.
    #[must_use]
    pub fn is_installed(&self, place: &Place) -> bool {
        let program = place.fill(&self.command[0]);
        let found = |path: &Path| path.is_file();
        let mut installed =
            self.command.iter().skip(1).filter(|argument| argument.starts_with("{peers}"));
        if !installed.all(|argument| found(Path::new(&place.fill(argument)))) {
            return false;
        }
        if program.contains('/') {
            return found(Path::new(&program));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| found(&folder.join(&program)))
    }
}

/// What the names in braces stand for in one run.
#[derive(Clone, Debug)]
pub struct Place {
    /// `{agent}`: the lastdrop beside this program.
    pub agent: PathBuf,
    /// `{folder}`: the folder of this run, removed after it.
    pub folder: PathBuf,
    /// `{udp_port}`: 0 if nothing is sent over UDP.
    pub udp_port: u16,
    /// `{unix_datagram}`: a path, empty if nothing is sent to it.
    pub unix_datagram: String,
    /// `{unix_stream}`: a path, empty if nothing is sent to it.
    pub unix_stream: String,
    /// `{intake_url}`.
    pub intake_url: String,
    /// `{intake_port}`.
    pub intake_port: u16,
    /// `{free_port}`: a port that nobody uses, for servers that must have another one.
    pub free_port: u16,
}

impl Place {
    /// A place where nothing runs, to see whether a program is there.
    #[must_use]
    pub fn nowhere(agent: &Path) -> Self {
        Self {
            agent: agent.to_owned(),
            folder: PathBuf::new(),
            udp_port: 0,
            unix_datagram: String::new(),
            unix_stream: String::new(),
            intake_url: String::new(),
            intake_port: 0,
            free_port: 0,
        }
    }

    /// Puts what they stand for in the place of the names. `{peers}` is where `benches/peers/install`
    /// puts servers.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        text.replace("{agent}", &self.agent.to_string_lossy())
            .replace("{folder}", &self.folder.to_string_lossy())
            .replace("{udp_port}", &self.udp_port.to_string())
            .replace("{unix_datagram}", &self.unix_datagram)
            .replace("{unix_stream}", &self.unix_stream)
            .replace("{intake_url}", &self.intake_url)
            .replace("{intake_port}", &self.intake_port.to_string())
            .replace("{free_port}", &self.free_port.to_string())
            .replace("{peers}", PEERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn place() -> Place {
        Place {
            agent: "/bin/sh".into(),
            folder: "/f".into(),
            udp_port: 8125,
            unix_datagram: "/f/d".to_owned(),
            unix_stream: String::new(),
            intake_url: "http://127.0.0.1:1".to_owned(),
            intake_port: 1,
            free_port: 2,
        }
    }

    /// For every description that comes with the lab: it can be read, and no name in braces is left.
    #[test]
    fn what_is_shipped_is_whole() {
        let targets = Target::shipped().unwrap();
        for target in &targets {
            let filled =
                target.command.iter().chain(target.env.values()).chain(target.files.values());
            for text in filled.map(|text| place().fill(text)) {
                for name in ["{folder}", "{udp", "{unix", "{intake", "{peers}", "{agent}", "{free"]
                {
                    assert!(!text.contains(name), "{}: {text}", target.name);
                }
            }
            assert!(target.name == "lastdrop" || !target.install.is_empty(), "{}", target.name);
        }
        assert_eq!(targets[0].name, "lastdrop");
        assert!(targets[0].is_installed(&place()));
    }

    /// An interpreter that is there is no server yet.
    #[test]
    fn a_script_that_is_missing_is_a_server_that_is_missing() {
        let mut target = Target::find("statsd").unwrap();
        target.command = ["sh", "{folder}/made.at.start"].map(str::to_owned).to_vec();
        assert!(target.is_installed(&place()));
        target.command.push("{peers}/nobody/installs/this.js".to_owned());
        assert!(!target.is_installed(&place()));
    }

    #[test]
    fn a_command_line_takes_the_place_of_lastdrop() {
        let target = Target::find("A=b=c ./mine --workers 2").unwrap();
        assert_eq!(target.env["A"], "b=c");
        assert_eq!(target.command[..2], ["./mine", "run"]);
        assert_eq!(target.command[target.command.len() - 2..], ["--workers", "2"]);
        assert_eq!(Target::find("statsd").unwrap().dialect, Dialect::Statsd);
        assert!(matches!(Target::find(" A=b "), Err(TargetError::Empty)));
        assert!(matches!(Target::find("/nowhere/x.toml"), Err(TargetError::Unreadable(..))));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let sound = "about = ''\ncommand = ['x']\ntransports = ['udp']\noutput = 'datadog'\n";
        assert!(Target::parse("x", sound).is_ok());
        let rows = [
            ("about = ''\n", "missing field `command`"),
            (&format!("{sound}colour = 1"), "unknown field `colour`"),
            (&sound.replace("['x']", "[]"), "`command` has no words"),
            (&sound.replace("'udp'", "'tcp'"), "unknown variant `tcp`"),
            (&format!("{sound}stop_time = '5'"), "write 1500ms, 2s or 3m"),
        ];
        for (text, part) in rows {
            let error = Target::parse("x", text).unwrap_err().to_string();
            assert!(error.starts_with("target x: ") && error.contains(part), "{error}");
        }
    }
}
