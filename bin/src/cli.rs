//! The command line as plain data: what was typed, not yet what it means.
//!
//! Settings arrive here as text and are read by [`crate::config`], so that a bad value is told in
//! the same words whether it came from a flag, the environment or the file. No flag takes a
//! secret: a command line can be read by every user of the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::parse::ParseArgs;
use crate::replay::ReplayArgs;

const EXAMPLES: &str = "\
Examples:
  DD_API_KEY=… lastdrop run                  run as a sidecar until SIGTERM
  lastdrop init -- python task.py            run a task, deliver its metrics, exit with its status
  lastdrop config                            show every setting and where it comes from";

const RUN_EXAMPLES: &str = "\
Examples:
  DD_API_KEY=… lastdrop run
  lastdrop run --bind-host 127.0.0.1 --dogstatsd-port 8126
  lastdrop run --dogstatsd-socket /var/run/lastdrop/dsd.socket --stop-timeout 25s

SIGTERM or SIGINT stops it and delivers what was received. Exit status: 0 done; 2 usage or
configuration; 3 something was lost and --strict was given, or was left when a second signal ended
the stop.";

const INIT_EXAMPLES: &str = "\
Examples:
  lastdrop init -- python task.py --date today
  lastdrop init --strict -- sh -c './load && ./report'
  lastdrop init --receipt /tmp/receipt.json -- ./job

Exit status: the command's (128 + n if signal n ended it); 126 and 127 if it can't be started;
3 in place of 0 if something was lost and --strict was given; 2 on wrong usage of lastdrop.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  lastdrop config
  lastdrop config --json | jq '.settings[] | select(.source != \"default\")'
  lastdrop config --config ./datadog.yaml --dogstatsd-port 0

Secrets are masked. Exit status: 0; 2 if a value is bad.";

const CHECK_KEY_EXAMPLES: &str = "\
Examples:
  DD_API_KEY=… lastdrop check-key
  lastdrop check-key --site datadoghq.eu

The agent never asks by itself. Exit status: 0 every key is valid; 1 one is refused, missing or could
not be asked about; 2 on wrong usage or a bad configuration.";

const STATUS_EXAMPLES: &str = "\
Examples:
  lastdrop status
  lastdrop status --json | jq .rates
  lastdrop status --control-socket /run/lastdrop-8126.sock

Exit status: 0; 1 if no agent answers; 2 on wrong usage.";

const FLUSH_EXAMPLES: &str = "\
Examples:
  lastdrop flush
  lastdrop flush --timeout 2s --json

Everything received before is aggregated, encoded and delivered; the agent goes on. Exit status:
0 all of it was accepted; 1 something was not, or no agent answers; 2 on wrong usage.";

const PARSE_EXAMPLES: &str = "\
Examples:
  echo 'page.views:1|c|#env:prod' | lastdrop parse
  lastdrop parse --enriched --escapes datagrams.txt
  lastdrop parse --vectors vectors/parse.jsonl

A bad message is an answer, not a failure. Exit status: 0; 2 if a file can't be read or a setting
is bad.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  lastdrop replay vectors/aggregate.jsonl
  echo '{\"t\":1003,\"line\":\"page.views:1|c\"}' | lastdrop replay --flush-at 1010

A bad line is answered with an error, and the run goes on. Exit status: 0; 2 if a file can't be
read.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "lastdrop",
    version,
    about = "A DogStatsD agent for programs that end",
    after_help = EXAMPLES,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receive, aggregate and send metrics until SIGTERM
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Run a command and deliver its metrics when it ends
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Ask the intake whether the API keys are valid
    #[command(after_help = CHECK_KEY_EXAMPLES)]
    CheckKey(CheckKey),
    /// Show what a running agent sees
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Deliver what a running agent has received so far, without stopping it
    #[command(after_help = FLUSH_EXAMPLES)]
    Flush(Flush),
    /// Show every setting and where it comes from
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(Show),
    /// Show what the agent reads in datagrams, as JSON
    #[command(after_help = PARSE_EXAMPLES)]
    Parse(Parse),
    /// Show the series and sketches that recorded samples become, as JSON
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
}

/// `lastdrop run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The settings given as flags.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `lastdrop init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The command to run, and its arguments
    #[arg(last = true, required = true, value_names = ["CMD", "ARG"])]
    pub(crate) command: Vec<OsString>,
    /// The settings given as flags; last, because their heading holds for all that follows.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `lastdrop check-key`.
#[derive(Debug, Args)]
pub(crate) struct CheckKey {
    /// The settings given as flags.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `lastdrop status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Which agent.
    #[command(flatten)]
    pub(crate) agent: Running,
}

/// `lastdrop flush`.
#[derive(Debug, Args)]
pub(crate) struct Flush {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Longest time to wait for the delivery
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Which agent.
    #[command(flatten)]
    pub(crate) agent: Running,
}

/// The settings by which a running agent is found.
#[derive(Debug, Args)]
pub(crate) struct Running {
    /// Settings file, or its folder [default: /etc/datadog-agent/datadog.yaml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// UDP port of the agent [default: 8125]
    #[arg(long, value_name = "PORT")]
    dogstatsd_port: Option<String>,
    /// Its control socket [default: auto]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<String>,
}

impl Running {
    /// The same as settings.
    pub(crate) fn into_flags(self) -> Flags {
        let Self { config, dogstatsd_port, control_socket } = self;
        Flags { config, dogstatsd_port, control_socket, ..Flags::default() }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).ok_or_else(|| "seconds, or with a unit: 500ms, 8s".to_owned())
}

/// `lastdrop config`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Print the table of all keys as it stands in docs/configuration.md
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,
    /// The settings given as flags; last, because their heading holds for all that follows.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `lastdrop parse`.
#[derive(Debug, Args)]
pub(crate) struct Parse {
    /// What to read, and how to show it.
    #[command(flatten)]
    pub(crate) args: ParseArgs,
    /// The settings given as flags; last, because their heading holds for all that follows.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// The settings that have a flag, as typed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Flags {
    /// Settings file, or its folder [default: /etc/datadog-agent/datadog.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Site of the intake [default: datadoghq.com]
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Base URL of the intake, instead of a site
    #[arg(long, value_name = "URL")]
    dd_url: Option<String>,
    /// UDP port; 0 for none [default: 8125]
    #[arg(long, value_name = "PORT")]
    dogstatsd_port: Option<String>,
    /// Address that the UDP port is bound to [default: localhost]
    #[arg(long, value_name = "HOST")]
    bind_host: Option<String>,
    /// Unix datagram socket to listen on
    #[arg(long, value_name = "PATH")]
    dogstatsd_socket: Option<String>,
    /// Tags put on everything
    #[arg(long, value_name = "K:V,…")]
    tags: Option<String>,
    /// How much to log: off, error, warn, info, debug, trace [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Longest time the stop may take [default: 8s]
    #[arg(long, value_name = "TIME")]
    stop_timeout: Option<String>,
    /// Silence that ends the reception at the stop [default: 2s]
    #[arg(long, value_name = "TIME")]
    linger: Option<String>,
    /// Time from the platform's SIGTERM to its SIGKILL [default: auto]
    #[arg(long, value_name = "TIME")]
    grace_period: Option<String>,
    /// Kernel memory for a burst on UDP [default: auto]
    #[arg(long, value_name = "BYTES")]
    burst_bytes: Option<String>,
    /// Receiving threads [default: 1]
    #[arg(long, value_name = "COUNT")]
    receivers: Option<String>,
    /// Aggregating threads, not fewer than receivers [default: 1]
    #[arg(long, value_name = "COUNT")]
    workers: Option<String>,
    /// Pin threads to processors: auto, always or never [default: auto]
    #[arg(long, value_name = "WHEN")]
    pin: Option<String>,
    /// Where the receipt goes: a file, stderr or off [default: stderr]
    #[arg(long, value_name = "FILE")]
    receipt: Option<String>,
    /// Unix socket for status and flush: auto, off or a path [default: auto]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<String>,
    /// Exit with 3 if anything was lost [default: false]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL")]
    strict: Option<String>,
}

impl Flags {
    /// Gives what was typed for a flag (`--dogstatsd-port`), if anything.
    pub(crate) fn value(&self, flag: &str) -> Option<&str> {
        match flag {
            "--site" => &self.site,
            "--dd-url" => &self.dd_url,
            "--dogstatsd-port" => &self.dogstatsd_port,
            "--bind-host" => &self.bind_host,
            "--dogstatsd-socket" => &self.dogstatsd_socket,
            "--tags" => &self.tags,
            "--log-level" => &self.log_level,
            "--stop-timeout" => &self.stop_timeout,
            "--linger" => &self.linger,
            "--grace-period" => &self.grace_period,
            "--burst-bytes" => &self.burst_bytes,
            "--receivers" => &self.receivers,
            "--workers" => &self.workers,
            "--pin" => &self.pin,
            "--receipt" => &self.receipt,
            "--control-socket" => &self.control_socket,
            "--strict" => &self.strict,
            _ => &None,
        }
        .as_deref()
    }
}

#[cfg(test)]
mod tests;
