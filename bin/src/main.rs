//! The agent as a program: reads the command line, runs the command, gives the exit status.

mod cli;
mod config;
mod log;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing::{error, warn};

use crate::cli::{Cli, Command, Flags, Show};
use crate::config::types::LogLevel;
use crate::config::{Config, ConfigError, print};

/// Exit status of wrong usage and of a bad configuration.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => start(run.flags),
        Command::Init(init) => start(init.flags),
        Command::Config(show) => match shown(show) {
            Ok(page) => put_out(&page),
            Err(error) => fail(&error),
        },
    }
}

/// Resolves the configuration that the agent would run with.
fn start(flags: Flags) -> ExitCode {
    match config::load(flags) {
        Ok(config) => {
            log_notices(&config);
            fail(&"the configuration is good, but this build has no agent in it")
        }
        Err(error) => fail(&error),
    }
}

/// Runs `lastdrop config`: gives what it prints.
fn shown(show: Show) -> Result<String, ConfigError> {
    if show.markdown {
        return Ok(print::keys_as_markdown());
    }
    let config = config::load(show.flags)?;
    if show.json {
        return Ok(print::for_programs(&config));
    }
    log_notices(&config);
    Ok(print::for_people(&config))
}

/// Starts the log and tells what is worth a line.
fn log_notices(config: &Config) {
    log::start(config.process.log_level);
    for notice in &config.notices {
        warn!("{notice}");
    }
}

fn put_out(page: &str) -> ExitCode {
    match io::stdout().write_all(page.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

/// Says why there is nothing to run with. Without a configuration there is no level either.
fn fail(error: &dyn Display) -> ExitCode {
    log::start(LogLevel::Error);
    error!("{error}");
    ExitCode::from(EXIT_USAGE)
}
