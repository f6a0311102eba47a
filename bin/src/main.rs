//! The agent as a program: reads the command line, runs the command, gives the exit status.

mod agent;
mod child;
mod cli;
mod config;
mod control;
mod endpoints;
mod flushes;
mod identity;
mod log;
mod own_metrics;
mod pin;
mod platform;
mod receipt;
mod settings;
mod signals;
mod status;
mod supervise;
mod tracers;
mod wiring;

use crate::cli::{Cli, Command, Show};
use crate::config::{ConfigError, print, types};
use clap::Parser as _;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use tracing::{error, warn};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => ExitCode::from(agent::run(run)),
        Command::Init(init) => ExitCode::from(agent::init(init)),
        Command::Status(status) => ExitCode::from(control::client::status(status)),
        Command::Flush(flush) => ExitCode::from(control::client::flush(flush)),
        Command::Config(show) => match shown(show) {
            Ok(page) => put_out(&page),
            Err(error) => fail(&error),
        },
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
    log::start(config.process.log_level);
    for notice in &config.notices {
        warn!("{notice}");
    }
    Ok(print::for_people(&config))
}

fn put_out(page: &str) -> ExitCode {
    match io::stdout().write_all(page.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

/// Says why there is nothing to show. Without a configuration there is no level either.
fn fail(error: &dyn Display) -> ExitCode {
    log::start(types::LogLevel::Error);
    error!("{error}");
    ExitCode::from(agent::EXIT_USAGE)
}
