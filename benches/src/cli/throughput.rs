//! Arguments of the experiments on speed and size, and of the receiver that they stand beside.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use lastdrop_lab::drain::DrainSource;
use lastdrop_lab::experiment::contexts::ContextsOptions;
use lastdrop_lab::experiment::engine::EngineOptions;
use lastdrop_lab::experiment::flush::FlushOptions;
use lastdrop_lab::experiment::idle::IdleOptions;
use lastdrop_lab::experiment::ingest::{self, IngestOptions};
use lastdrop_lab::experiment::memory::MemoryOptions;
use lastdrop_lab::experiment::start::StartOptions;
use lastdrop_lab::experiment::stop::StopOptions;
use lastdrop_lab::experiment::zero_loss::ZeroLossOptions;
use lastdrop_lab::load::Kind;
use lastdrop_lab::units;

/// The experiments on speed and size: each gives a report with plots.
#[derive(Debug, Subcommand)]
pub(crate) enum Measurement {
    Engine(EngineArgs),
    Ingest(IngestArgs),
    ZeroLoss(ZeroLossArgs),
    Contexts(ContextsArgs),
    Flush(FlushArgs),
    Memory(MemoryArgs),
    Start(StartArgs),
    Idle(IdleArgs),
    Stop(StopArgs),
}

/// Drain the sockets that the agent would have, and nothing else, until SIGINT or SIGTERM.
///
/// The first line of output is where to send to; what came follows as JSON.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// A unix datagram socket at this path instead of UDP
    #[arg(long, value_name = "PATH", conflicts_with = "single")]
    unix: Option<PathBuf>,
    /// One UDP socket instead of the agent's group
    #[arg(long)]
    single: bool,
    /// What each UDP socket asks for as its buffer [default: what the agent would]
    #[arg(long, value_name = "BYTES")]
    receive_buffer: Option<usize>,
}

impl From<DrainArgs> for DrainSource {
    fn from(DrainArgs { unix, single, receive_buffer }: DrainArgs) -> Self {
        let receive_buffer_bytes = receive_buffer;
        match unix {
            Some(path) => Self::Unix(path),
            None if single => Self::Single { receive_buffer_bytes },
            None => Self::Group { receive_buffer_bytes },
        }
    }
}

/// The engine alone, from memory: messages a second of a core, beside a plain loop.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Numbers of contexts
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',')]
    #[arg(default_values_t = [2_000, 24_000, 176_000, 490_000])]
    contexts: Vec<u32>,
    /// Type of the messages: c, g, s, h, ms or d
    #[arg(long, value_name = "TYPE", value_parser = kind, default_value = "c")]
    kind: Kind,
    /// Bytes that messages are packed to
    #[arg(long, value_name = "BYTES", default_value_t = 8_192)]
    datagram_bytes: usize,
    /// Rounds of each
    #[arg(long, value_name = "COUNT", default_value_t = 9)]
    rounds: u32,
    /// Messages of a round
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    messages: u64,
}

fn kind(symbol: &str) -> Result<Kind, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.symbol() == symbol);
    kind.ok_or_else(|| "use one of c, g, s, h, ms and d".to_owned())
}

impl From<EngineArgs> for EngineOptions {
    fn from(args: EngineArgs) -> Self {
        let EngineArgs { contexts, kind, datagram_bytes, rounds, messages } = args;
        Self { contexts, kind, datagram_bytes, rounds, messages }
    }
}

/// What the agent takes in and what that costs, beside a receiver that only drains.
#[derive(Debug, Args)]
#[command(after_help = scenarios())]
pub(crate) struct IngestArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Scenarios; all if none is named
    #[arg(value_name = "SCENARIO")]
    only: Vec<String>,
    /// Rounds of each
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: u32,
    /// How long each receiver is loaded
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "2s")]
    time: Duration,
    /// Datagrams a second of a moderate load
    #[arg(long, value_name = "COUNT", default_value_t = 50_000)]
    moderate: u32,
    /// Distinct contexts
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    contexts: u32,
}

fn scenarios() -> String {
    let lines = ingest::scenarios().map(|(name, what)| format!("  {name:<15} {what}\n"));
    format!("Scenarios:\n{}", lines.collect::<String>())
}

impl IngestArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> IngestOptions {
        let Self { agent: _, only, rounds, time, moderate, contexts } = self;
        IngestOptions { agent, only, rounds, time, moderate, contexts }
    }
}

/// The highest rate without a loss, beside a receiver that drains one socket.
#[derive(Debug, Args)]
pub(crate) struct ZeroLossArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Searches of each
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: u32,
    /// Threads that send, each with a socket of its own
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    senders: u32,
    /// How long each rate is sent
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "2s")]
    time: Duration,
}

impl ZeroLossArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> ZeroLossOptions {
        let Self { agent: _, rounds, senders, time } = self;
        ZeroLossOptions { agent, rounds, senders, time }
    }
}

/// What a message costs by the number of contexts, beside a receiver that only drains.
#[derive(Debug, Args)]
pub(crate) struct ContextsArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Numbers of contexts
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',')]
    #[arg(default_values_t = [1_000, 12_000, 100_000, 1_000_000])]
    contexts: Vec<u32>,
    /// How long each receiver is loaded: in every 10 s a slot ends and is flushed
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "10s")]
    time: Duration,
}

impl ContextsArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> ContextsOptions {
        ContextsOptions { agent, contexts: self.contexts, time: self.time }
    }
}

/// What a flush costs by the format of the series, and whether reception goes on meanwhile.
#[derive(Debug, Args)]
pub(crate) struct FlushArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Contexts of the flush in each format
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    contexts: u32,
    /// Contexts that are flushed while they are sampled
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    loaded: u32,
    /// Datagrams a second meanwhile, of up to 1,432 bytes
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    rate: u32,
    /// How long they are sampled; half way a flush is asked for
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "45s")]
    time: Duration,
}

impl FlushArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> FlushOptions {
        let Self { agent: _, contexts, loaded, rate, time } = self;
        FlushOptions { agent, contexts, loaded, rate, time }
    }
}

/// Resident memory by the number of contexts, while they are sampled and flushed.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Numbers of contexts
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',')]
    #[arg(default_values_t = [12_000, 100_000, 1_000_000])]
    contexts: Vec<u32>,
    /// How long they are sampled
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "25s")]
    time: Duration,
}

impl MemoryArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> MemoryOptions {
        MemoryOptions { agent, contexts: self.contexts, time: self.time }
    }
}

/// What an agent costs that gets nothing: wake-ups, processor time, memory.
#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// How long it is left alone first: it has started then, and closed its first slot
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "12s")]
    settle: Duration,
    /// How long it is watched
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "30s")]
    time: Duration,
}

impl IdleArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> IdleOptions {
        IdleOptions { agent, settle: self.settle, time: self.time }
    }
}

/// From the start to the first datagram, beside a program that does nothing.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Starts of each
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

impl StartArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> StartOptions {
        StartOptions { agent, runs: self.runs }
    }
}

/// From a wrapped task's exit to the agent's, beside a task without an agent.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Tasks of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Messages that a task sends right before its exit
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    burst: u64,
}

impl StopArgs {
    /// The options, with the agent that was found.
    pub(crate) fn options(self, agent: PathBuf) -> StopOptions {
        StopOptions { agent, runs: self.runs, burst: self.burst }
    }
}
