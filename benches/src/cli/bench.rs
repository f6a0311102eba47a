//! Arguments of the experiments.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::servers::{AbArgs, GatesArgs, PeersArgs, RunArgs};
use clap::{Args, Subcommand, ValueEnum};
use lastdrop_lab::experiment::burst::BurstOptions;
use lastdrop_lab::experiment::job::{JobFault, JobOptions};
use lastdrop_lab::experiment::seal::{SealOptions, Transport};
use lastdrop_lab::experiment::sigterm::{Ending, SigtermOptions};
use lastdrop_lab::experiment::spool::SpoolOptions;
use lastdrop_lab::experiment::stream::StreamOptions;
use lastdrop_lab::units;

use super::throughput::Measurement;

/// Run an experiment that compares what the agent claims with what others have counted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lastdrop-lab bench job --tasks 50 --at-once 4
  lastdrop-lab bench job --fault 503 --tasks 20 --at-once 16
  lastdrop-lab bench burst --datagrams 50000,500 --runs 5
  lastdrop-lab bench sigterm --seeds 100
  lastdrop-lab bench sigterm --first-seed 4711 --seeds 1
  lastdrop-lab bench seal --transport udp --runs 100
  lastdrop-lab bench stream --clients 1000
  lastdrop-lab bench spool --seeds 100
  lastdrop-lab bench engine
  lastdrop-lab bench ingest udp moderate --rounds 5
  lastdrop-lab bench zero-loss
  lastdrop-lab bench memory --contexts 100000 --time 15s
  lastdrop-lab bench list
  lastdrop-lab bench run rss_dsd_low quality_gate_idle --replicas 5
  lastdrop-lab bench ab --baseline old/lastdrop --comparison new/lastdrop
  lastdrop-lab bench gates
  lastdrop-lab bench peers")]
pub(crate) struct BenchArgs {
    /// Print the finding as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where to write the report: a page, its numbers and its plots [default: bench in cargo's
    /// target folder]; not all experiments write one
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) out: Option<PathBuf>,
    /// Which one
    #[command(subcommand)]
    pub(crate) experiment: Experiment,
}

/// The experiments.
#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    Job(JobArgs),
    Burst(BurstArgs),
    Sigterm(SigtermArgs),
    Seal(SealArgs),
    Stream(StreamArgs),
    Spool(SpoolArgs),
    #[command(flatten)]
    Measure(Measurement),
    /// Show the experiments that come with the lab
    List,
    Run(RunArgs),
    Ab(AbArgs),
    Gates(GatesArgs),
    Peers(PeersArgs),
}

/// Tasks in wrapper mode, each with a steady stream and a burst right before its exit.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Tasks in all
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    tasks: u32,
    /// Tasks at a time [default: twice the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Messages of a task's steady stream
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    stream: u64,
    /// Time that the stream takes
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "400ms")]
    over: Duration,
    /// Messages of a task's last burst
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    burst: u64,
    /// What every intake does wrong
    #[arg(long, value_enum)]
    fault: Option<FaultKind>,
    /// Tasks for the latency of the exit, one at a time, with and without an agent
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    alone: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FaultKind {
    /// Answer 503 for two seconds, from the first request on
    #[value(name = "503")]
    Unavailable,
    /// Reset the first connection in the middle of a body
    Reset,
    /// Answer every request after 1.5 s
    Latency,
    /// Forget one increment of each task: the experiment must fail
    LoseOne,
}

impl From<JobArgs> for JobOptions {
    fn from(args: JobArgs) -> Self {
        Self {
            agent: args.agent,
            tasks: args.tasks,
            at_once: args.at_once.unwrap_or_else(twice_the_processors),
            stream: args.stream,
            over: args.over,
            burst: args.burst,
            fault: args.fault.map(|fault| match fault {
                FaultKind::Unavailable => JobFault::Unavailable,
                FaultKind::Reset => JobFault::Reset,
                FaultKind::Latency => JobFault::Latency,
                FaultKind::LoseOne => JobFault::LoseOne,
            }),
            alone: args.alone,
        }
    }
}

fn twice_the_processors() -> u32 {
    thread::available_parallelism().map_or(2, |count| u32::try_from(2 * count.get()).unwrap_or(2))
}

/// A burst flat out, then the exit, everything on one processor with the kernel's usual buffers.
#[derive(Debug, Args)]
pub(crate) struct BurstArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Datagrams of a burst; several numbers make several experiments
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',')]
    #[arg(default_values_t = [50_000, 5_000, 500])]
    datagrams: Vec<u64>,
    /// Runs of each
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    runs: u32,
    /// Processor that everything is pinned to
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    cpu: usize,
}

impl From<BurstArgs> for BurstOptions {
    fn from(BurstArgs { agent, datagrams, runs, cpu }: BurstArgs) -> Self {
        Self { agent, datagrams, runs, cpu }
    }
}

/// Which runs to make of an experiment that a seed decides.
#[derive(Debug, Args)]
struct SeedArgs {
    /// Seeds, counted up from the first; each decides a load and its instants
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    seeds: u32,
    /// The first seed: with --seeds 1 it replays one run
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    first_seed: u64,
    /// Runs at a time [default: twice the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
}

impl SeedArgs {
    fn at_once(&self) -> u32 {
        self.at_once.unwrap_or_else(twice_the_processors)
    }
}

/// SIGTERM (or SIGKILL) at a random instant under load, in sidecar mode.
#[derive(Debug, Args)]
pub(crate) struct SigtermArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    seeds: SeedArgs,
    /// Kill instead: the intake must never have more than was sent
    #[arg(long)]
    kill: bool,
}

impl From<SigtermArgs> for SigtermOptions {
    fn from(args: SigtermArgs) -> Self {
        Self {
            agent: args.agent,
            first_seed: args.seeds.first_seed,
            seeds: args.seeds.seeds,
            at_once: args.seeds.at_once(),
            ending: if args.kill { Ending::Killed } else { Ending::Asked },
        }
    }
}

/// A flood over the stop: every send before the first refusal is received or counted as dropped.
///
/// Over UDP the kernel's counters are the witness: it runs in a network namespace of its own.
#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Which of the agent's sockets is flooded
    #[arg(long, value_enum, default_value_t = TransportKind::Udp)]
    transport: TransportKind,
    /// Runs; each has its own seed
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    runs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum TransportKind {
    Udp,
    UnixDatagram,
    UnixStream,
}

impl SealArgs {
    /// True if other traffic on this machine would be counted too.
    pub(crate) fn needs_a_network_alone(&self) -> bool {
        self.transport == TransportKind::Udp
    }
}

impl From<SealArgs> for SealOptions {
    fn from(SealArgs { agent, transport, runs }: SealArgs) -> Self {
        let transport = match transport {
            TransportKind::Udp => Transport::Udp,
            TransportKind::UnixDatagram => Transport::UnixDatagram,
            TransportKind::UnixStream => Transport::UnixStream,
        };
        Self { agent, transport, runs }
    }
}

/// Clients of the unix stream socket that connect, write frames and exit at once.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Clients in all, each a process
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    clients: u32,
    /// Clients at a time [default: twice the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
}

impl From<StreamArgs> for StreamOptions {
    fn from(StreamArgs { agent, clients, at_once }: StreamArgs) -> Self {
        Self { agent, clients, at_once: at_once.unwrap_or_else(twice_the_processors) }
    }
}

/// SIGKILL while a spool is written, read and delivered: a later start delivers all of it.
#[derive(Debug, Args)]
pub(crate) struct SpoolArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    seeds: SeedArgs,
}

impl From<SpoolArgs> for SpoolOptions {
    fn from(SpoolArgs { agent, seeds }: SpoolArgs) -> Self {
        let at_once = seeds.at_once();
        Self { agent, first_seed: seeds.first_seed, seeds: seeds.seeds, at_once }
    }
}
