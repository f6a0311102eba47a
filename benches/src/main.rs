//! The workbench's commands: arguments to plain data, then one call into the library.

mod cli;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{self, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use lastdrop_lab::demo::{self, Screen};
use lastdrop_lab::experiment::report::{self, Report};
use lastdrop_lab::experiment::suite::{self, SuiteError};
use lastdrop_lab::experiment::{
    self, burst, compare, contexts, engine, flush, idle, ingest, job, memory, peers, seal, sigterm,
    spool, start, stop, stream, zero_loss,
};
use lastdrop_lab::intake::{Intake, IntakeOptions};
use lastdrop_lab::interrupt::{self, Interrupt};
use lastdrop_lab::sink::Target;
use lastdrop_lab::{drain, load, task, vectors};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use cli::{
    BenchArgs, Cli, Command, DemoArgs, DrainArgs, Experiment, IntakeArgs, Measurement, VectorKind,
};

/// What was checked does not hold.
const FAILED: u8 = 1;

/// Nothing could be checked: wrong arguments, or something in the way. Clap exits with it too.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bench(args) => run_bench(args),
        Command::Demo(args) => run_demo(&args),
        Command::Drain(args) => run_drain(args),
        Command::Intake(args) => run_intake(args),
        Command::Load(args) => load::run(&args.into())
            .map_err(Into::into)
            .and_then(|report| print_json(&report))
            .map(|()| ExitCode::SUCCESS),
        Command::Vectors(args) => answer_vectors(args.kind),
        Command::Task(args) => {
            task::run(&args.into()).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("lastdrop-lab: {error}");
        ExitCode::from(UNUSABLE)
    })
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

fn run_demo(args: &DemoArgs) -> Done {
    let outcome = demo::run(&args.options(), &mut Screen::stderr())?;
    if args.json {
        print_json(&outcome.to_json())?;
    } else {
        print(&outcome.to_string())?;
    }
    let failed = !outcome.complaints().is_empty();
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn run_bench(BenchArgs { json, out, experiment }: BenchArgs) -> Done {
    let screen = &mut Screen::stderr();
    let finding = match experiment {
        Experiment::Job(args) => job::run(&args.into(), screen)?,
        Experiment::Measure(measurement) => return show(&measure(measurement, screen)?, json, out),
        Experiment::Burst(args) => burst::run(&args.into(), screen)?,
        Experiment::Sigterm(args) => sigterm::run(&args.into(), screen)?,
        Experiment::Stream(args) => stream::run(&args.into(), screen)?,
        Experiment::Spool(args) => spool::run(&args.into(), screen)?,
        Experiment::Seal(args) => {
            if args.needs_a_network_alone()
                && let Some(status) = seal::alone_in_a_network()?
            {
                let status = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(ExitCode::from(status.unwrap_or(UNUSABLE)));
            }
            seal::run(&args.into(), screen)?
        }
        Experiment::List => {
            print(&suite::list()?.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        Experiment::Run(args) => {
            let found = suite::run(&args.options()?, &Interrupt::on_signals()?, screen);
            return show_found(found, json, out);
        }
        Experiment::Gates(args) => {
            let found = suite::run(&args.options()?, &Interrupt::on_signals()?, screen);
            return show_found(found, json, out);
        }
        Experiment::Ab(args) => {
            let found = compare::run(&args.options()?, &Interrupt::on_signals()?, screen);
            return show_found(found, json, out);
        }
        Experiment::Peers(args) => {
            let found = peers::run(&args.options(), &Interrupt::on_signals()?, screen);
            return show_found(found, json, out);
        }
    };
    if json {
        print_json(&finding.to_json())?;
    } else {
        print(&finding.to_string())?;
    }
    let failed = !finding.complaints.is_empty();
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn measure(
    measurement: Measurement,
    screen: &mut Screen,
) -> Result<Report, Box<dyn std::error::Error>> {
    let interrupt = &Interrupt::on_signals()?;
    let mut agent = |named: &mut Option<PathBuf>| experiment::agent(named.take(), screen);
    Ok(match measurement {
        Measurement::Engine(args) => engine::run(&args.into(), interrupt, screen)?,
        Measurement::Ingest(mut args) => {
            let agent = agent(&mut args.agent)?;
            ingest::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::ZeroLoss(mut args) => {
            let agent = agent(&mut args.agent)?;
            zero_loss::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Contexts(mut args) => {
            let agent = agent(&mut args.agent)?;
            contexts::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Flush(mut args) => {
            let agent = agent(&mut args.agent)?;
            flush::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Memory(mut args) => {
            let agent = agent(&mut args.agent)?;
            memory::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Start(mut args) => {
            let agent = agent(&mut args.agent)?;
            start::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Idle(mut args) => {
            let agent = agent(&mut args.agent)?;
            idle::run(&args.options(agent), interrupt, screen)?
        }
        Measurement::Stop(mut args) => {
            let agent = agent(&mut args.agent)?;
            stop::run(&args.options(agent), screen)?
        }
    })
}

fn run_drain(args: DrainArgs) -> Done {
    let interrupt = Interrupt::on_signals()?;
    let bound = |target: &Target| print(&format!("{target}\n"));
    print_json(&drain::run(&args.into(), &interrupt, bound)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a report, and puts it down in a folder.
fn show(report: &Report, json: bool, out: Option<PathBuf>) -> Done {
    let page = report.write(&out.unwrap_or_else(report::default_folder))?;
    if json {
        print_json(&report.to_json())?;
    } else {
        print(&report.to_string())?;
    }
    eprintln!("see {}", page.display());
    let failed = !report.complaints.is_empty();
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Shows what servers were measured to be, or that somebody wanted it to end.
fn show_found(found: Result<Report, SuiteError>, json: bool, out: Option<PathBuf>) -> Done {
    match found {
        Err(error) if error.is_interrupt() => {
            eprintln!("lastdrop-lab: {error}");
            Ok(ExitCode::from(interrupt::STATUS))
        }
        found => show(&found?, json, out),
    }
}

/// Serves until SIGINT or SIGTERM, then prints the totals.
fn run_intake(args: IntakeArgs) -> Done {
    // Before the URL is printed: whoever reads it may send the signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let options: IntakeOptions = args.options();
    let intake = Intake::start(options)?;
    let mut lines = format!("{}\n", intake.url());
    if let Some(pem) = intake.ca_pem() {
        fs::write(&args.ca, pem)?;
        lines.push_str(&format!("SSL_CERT_FILE={}\n", path::absolute(&args.ca)?.display()));
    }
    print(&lines)?;
    signals.forever().next();
    print_json(&intake.stop())?;
    Ok(ExitCode::SUCCESS)
}

fn answer_vectors(kind: VectorKind) -> Done {
    let (input, output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    match kind {
        VectorKind::Ddsketch => vectors::ddsketch::run(input, output)?,
        VectorKind::Payloads => vectors::payloads::run(input, output)?,
        VectorKind::Http => vectors::http::run(input, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Box<dyn std::error::Error>> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))?;
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
