//! Arguments as plain data, and their help.

mod bench;
mod servers;
mod throughput;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use lastdrop_lab::demo::DemoOptions;
use lastdrop_lab::intake::{Certificate, IntakeOptions, STEPS, Script};
use lastdrop_lab::interrupt::Interrupt;
use lastdrop_lab::load::{Length, LoadOptions, Mix, Rate, Scope, Span, Texts};
use lastdrop_lab::sink::{OnFull, Target};
use lastdrop_lab::task::TaskOptions;
use lastdrop_lab::units;

pub(crate) use bench::{BenchArgs, Experiment};
pub(crate) use throughput::{DrainArgs, Measurement};

/// The workbench of lastdrop: demo, embedded intake, load generator.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit status: 0 all is well; 1 something was lost or does not balance; 2 wrong \
                  arguments, or the command could not run."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Bench(BenchArgs),
    Demo(DemoArgs),
    Drain(DrainArgs),
    Intake(IntakeArgs),
    Load(LoadArgs),
    Vectors(VectorsArgs),
    #[command(hide = true)]
    Task(TaskArgs),
}

/// Run the whole way on this machine: intake, the real agent, and a task that ends with a burst.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lastdrop-lab demo                     10,000 increments over 5 s, 500 at once, exit
  lastdrop-lab demo --tls               the same over TLS
  lastdrop-lab demo --fault lose-one    the intake forgets one increment: must exit with 1
  lastdrop-lab demo --script '503@2s'   the intake is down for two seconds")]
pub(crate) struct DemoArgs {
    /// The agent to run [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Let the intake speak TLS, with a certificate authority made for this run
    #[arg(long)]
    tls: bool,
    /// What the intake shall do wrong, to see that the demo can fail
    #[arg(long, value_enum)]
    fault: Option<DemoFault>,
    /// Faults of the intake, as for `lastdrop-lab intake`
    #[arg(long, value_name = "STEPS", default_value = "", conflicts_with = "fault")]
    script: Script,
    /// Increments of the steady stream
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    stream: u64,
    /// Time that the stream takes
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "5s")]
    over: Duration,
    /// Increments of the last burst
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    burst: u64,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DemoFault {
    /// The intake forgets one increment
    LoseOne,
}

impl DemoArgs {
    pub(crate) fn options(&self) -> DemoOptions {
        DemoOptions {
            agent: self.agent.clone(),
            tls: self.tls.then_some(Certificate::Valid),
            script: match self.fault {
                Some(DemoFault::LoseOne) => Script::default().forget(1),
                None => self.script.clone(),
            },
            stream: self.stream,
            over: self.over,
            burst: self.burst,
            ..DemoOptions::default()
        }
    }
}

/// Serve a Datadog-compatible intake on loopback until SIGINT or SIGTERM, then print its totals.
///
/// The first line of output is the URL, for DD_DD_URL; with TLS the second one is the setting that
/// makes a client trust it. The totals follow as JSON.
#[derive(Debug, Args)]
#[command(after_help = intake_help())]
pub(crate) struct IntakeArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Speak TLS
    #[arg(long)]
    tls: bool,
    /// The certificate to show: the wrong ones are for clients that must refuse them
    #[arg(long, value_enum, default_value_t, requires = "tls")]
    certificate: CertificateKind,
    /// Where to write the certificate authority, as PEM
    #[arg(long, value_name = "FILE", default_value = "lastdrop-lab-ca.pem")]
    pub(crate) ca: PathBuf,
    /// Faults, one step a POST: see below
    #[arg(long, value_name = "STEPS", default_value = "")]
    script: Script,
}

/// The grammar is the one that the script's own errors print.
fn intake_help() -> String {
    format!(
        "In a script, {STEPS}.\n\n\
         Examples:\n  \
         lastdrop-lab intake --port 8080\n  \
         lastdrop-lab intake --script '503*2, delay=1500ms'\n  \
         lastdrop-lab intake --tls --certificate expired"
    )
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum CertificateKind {
    #[default]
    Valid,
    WrongName,
    Expired,
    NotYetValid,
    UnknownAuthority,
    SelfSigned,
}

impl IntakeArgs {
    pub(crate) fn options(&self) -> IntakeOptions {
        let certificate = match self.certificate {
            CertificateKind::Valid => Certificate::Valid,
            CertificateKind::WrongName => Certificate::WrongName,
            CertificateKind::Expired => Certificate::Expired,
            CertificateKind::NotYetValid => Certificate::NotYetValid,
            CertificateKind::UnknownAuthority => Certificate::UnknownAuthority,
            CertificateKind::SelfSigned => Certificate::SelfSigned,
        };
        let tls = self.tls.then_some(certificate);
        IntakeOptions { port: self.port, tls, script: self.script.clone() }
    }
}

/// Send DogStatsD load, and print exactly what was sent as JSON.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("target").required(true),
    group = ArgGroup::new("length").required(true),
    after_help = "\
Examples:
  lastdrop-lab load --udp 127.0.0.1:8125 --datagrams 10000 --rate 2000 --burst 500
  lastdrop-lab load --unix /run/dsd.socket --time 10s --mix c=70,g=20,d=10 --contexts 20000
  lastdrop-lab load --unix-stream /run/dsd.stream --time 5s --messages 40 --senders 2"
)]
pub(crate) struct LoadArgs {
    /// Send to a UDP address
    #[arg(long, value_name = "ADDRESS", group = "target")]
    udp: Option<SocketAddr>,
    /// Send to a unix datagram socket
    #[arg(long, value_name = "PATH", group = "target")]
    unix: Option<PathBuf>,
    /// Send to a unix stream socket, each datagram as a frame behind its length
    #[arg(long, value_name = "PATH", group = "target")]
    unix_stream: Option<PathBuf>,
    /// End the steady stream after so many datagrams
    #[arg(long, value_name = "COUNT", group = "length")]
    datagrams: Option<u64>,
    /// End the steady stream after this time
    #[arg(long, value_name = "TIME", value_parser = units::duration, group = "length")]
    time: Option<Duration>,
    /// End at the first send that fails, or after this time, without a burst
    #[arg(long, value_name = "TIME", value_parser = units::duration, group = "length")]
    until_refused: Option<Duration>,
    /// Datagrams a second over all senders [default: flat out]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Bytes a second over all senders, as 20MiB
    #[arg(long, value_name = "BYTES", value_parser = units::bytes, conflicts_with = "rate")]
    byte_rate: Option<u64>,
    /// Datagrams sent flat out when the stream has ended
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    burst: u64,
    /// Distinct pairs of name and tag set
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    contexts: u32,
    /// Tags of each message, as 3 or 2-50
    #[arg(long, value_name = "COUNT", default_value = "2")]
    tags: Span,
    /// Bytes of each name; then names and tags are random text
    #[arg(long, value_name = "BYTES", requires = "tag_bytes")]
    name_bytes: Option<Span>,
    /// Bytes of each tag; then names and tags are random text
    #[arg(long, value_name = "BYTES", requires = "name_bytes")]
    tag_bytes: Option<Span>,
    /// So many of a hundred random tags are in no earlier context
    #[arg(long, value_name = "PERCENT", default_value_t = 11)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=100))]
    new_tags: u32,
    /// Shares of the kinds (c, g, s, h, ms, d, _e, _sc), as c=70,g=20,d=10
    #[arg(long, value_name = "SHARES", default_value = "c")]
    mix: Mix,
    /// Values of each message, as 3 or 2-32
    #[arg(long, value_name = "COUNT", default_value = "1")]
    values: Span,
    /// So many messages of a hundred have so many values, the others one
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=100))]
    packed: u32,
    /// Most messages of a datagram
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Most bytes of a datagram
    #[arg(long, value_name = "BYTES", default_value_t = 1_432)]
    datagram_bytes: usize,
    /// Give up a datagram that a unix socket has no room for, instead of waiting
    #[arg(long)]
    no_wait: bool,
    /// The same seed gives the same datagrams
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads, each with its own socket
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    senders: u32,
}

impl From<LoadArgs> for LoadOptions {
    fn from(args: LoadArgs) -> Self {
        let unix = args.unix.map(Target::UnixDatagram);
        let stream = args.unix_stream.map(Target::UnixStream);
        let nowhere = || Target::Udp(([127, 0, 0, 1], 8125).into());
        let target = args.udp.map(Target::Udp).or(unix).or(stream).unwrap_or_else(nowhere);
        let length = match (args.datagrams, args.until_refused) {
            (Some(count), _) => Length::Datagrams(count),
            (None, Some(time)) => Length::Refusal(time),
            (None, None) => Length::Time(args.time.unwrap_or_default()),
        };
        let texts = match args.name_bytes.zip(args.tag_bytes) {
            Some((name_bytes, tag_bytes)) => {
                Texts::Random { name_bytes, tag_bytes, new_percent: args.new_tags }
            }
            None => Texts::Plain,
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 2^40")]
        let byte_rate = args.byte_rate.map(|bytes| Rate::Bytes(bytes as f64));
        Self {
            target,
            on_full: if args.no_wait { OnFull::Fail } else { OnFull::Wait },
            contexts: args.contexts,
            scope: Scope::Shared,
            tags: args.tags,
            texts,
            mix: args.mix,
            values: args.values,
            packed_percent: args.packed,
            messages: args.messages,
            datagram_bytes: args.datagram_bytes,
            rate: args.rate.map(|rate| Rate::Datagrams(rate.into())).or(byte_rate),
            length,
            burst: args.burst,
            seed: args.seed,
            senders: args.senders,
            interrupt: Interrupt::default(),
        }
    }
}

/// Answer vectors from stdin: what our code makes of each line, as a line of JSON.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lastdrop-lab vectors payloads < transport/tests/vectors/payloads.jsonl
  lastdrop-lab vectors ddsketch < engine/tests/vectors/ddsketch.jsonl")]
pub(crate) struct VectorsArgs {
    /// What the lines ask for
    #[arg(value_enum)]
    pub(crate) kind: VectorKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VectorKind {
    /// Operations on sketches
    Ddsketch,
    /// Series and sketches to encode
    Payloads,
    /// Bytes of an HTTP answer, split as they arrive
    Http,
}

/// The demo's task.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    stream: u64,
    #[arg(long, value_parser = units::duration)]
    over: Duration,
    #[arg(long)]
    burst: u64,
    #[arg(long)]
    progress: PathBuf,
}

impl From<TaskArgs> for TaskOptions {
    fn from(args: TaskArgs) -> Self {
        let TaskArgs { to, stream, over, burst, progress } = args;
        Self { to, stream, over, burst, progress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    /// For every example of the help: it parses.
    #[test]
    fn the_examples_of_the_help_are_accepted() {
        let mut examples = 0;
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            for line in help.lines().map(str::trim).filter(|line| line.starts_with("lastdrop-lab"))
            {
                let line = line.split("   ").next().unwrap().split(" < ").next().unwrap();
                let line = line.replace(", ", ",").replace('\'', "");
                parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                examples += 1;
            }
        }
        assert_eq!(examples, 29);
    }

    #[test]
    fn load_needs_one_target_and_one_end() {
        assert!(parse("x load --udp 127.0.0.1:1 --time 1s").is_ok());
        assert!(parse("x load --time 1s").is_err());
        assert!(parse("x load --udp 127.0.0.1:1").is_err());
        assert!(parse("x load --udp 127.0.0.1:1 --unix /s --time 1s").is_err());
        assert!(parse("x load --udp 127.0.0.1:1 --time 1s --datagrams 1").is_err());
    }

    #[test]
    fn a_fault_of_the_demo_is_a_script() {
        let Ok(Command::Demo(args)) = parse("x demo --fault lose-one --tls") else {
            panic!("refused");
        };
        assert_eq!(args.options().script, Script::default().forget(1));
        assert_eq!(args.options().tls, Some(Certificate::Valid));
        assert!(parse("x demo --script 5O3").is_err());
    }
}
