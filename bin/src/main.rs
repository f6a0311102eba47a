//! The agent as a program: reads the command line, runs the command, gives the exit status.

mod agent;
mod check_key;
mod child;
mod cli;
mod config;
mod control;
mod desk;
mod endpoints;
#[cfg(feature = "planted-faults")]
mod faults;
mod flushes;
#[cfg(feature = "generate")]
mod generate;
mod grace;
mod http;
mod identity;
mod input;
mod json;
mod log;
mod own_metrics;
mod parse;
mod pin;
mod platform;
mod receipt;
mod replay;
mod settings;
mod signals;
mod status;
mod stopping;
mod supervise;
mod telemetry;
mod tracers;
mod vectors;
mod wiring;

use crate::cli::{Cli, Command, Parse, Show};
use crate::config::{ConfigError, print, types};
use crate::vectors::MessageSettings;
use clap::Parser as _;
use lastdrop_transport::sys::give_back_large_memory;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use tracing::{error, warn};

fn main() -> ExitCode {
    #[cfg(feature = "generate")]
    if let Some(exit_status) = generate::run() {
        return exit_status;
    }
    give_back_large_memory();
    match Cli::parse().command {
        Command::Run(run) => ExitCode::from(agent::run(run)),
        Command::Init(init) => ExitCode::from(agent::init(init)),
        Command::CheckKey(check) => ExitCode::from(check_key::run(check.flags)),
        Command::Status(status) => ExitCode::from(control::client::status(status)),
        Command::Flush(flush) => ExitCode::from(control::client::flush(flush)),
        Command::Config(show) => match shown(show) {
            Ok(page) => put_out(&page),
            Err(error) => fail(&error),
        },
        Command::Parse(parse) => parsed(parse),
        Command::Replay(replay) => {
            put_out_with(|output| replay::run(&replay, &mut io::stdin().lock(), output))
        }
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

/// Runs `lastdrop parse`. Vectors bring their own settings.
fn parsed(parse: Parse) -> ExitCode {
    let settings = if parse.args.vectors {
        MessageSettings::default()
    } else {
        match config::load(parse.flags) {
            Ok(config) => settings::messages(&config),
            Err(error) => return fail(&error),
        }
    };
    put_out_with(|output| parse::run(&parse.args, settings, &mut io::stdin().lock(), output))
}

fn put_out(page: &str) -> ExitCode {
    put_out_with(|output| output.write_all(page.as_bytes()))
}

/// Writes on standard output, line by line, so that whoever talks to us gets answers.
fn put_out_with(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> ExitCode {
    match write(&mut io::stdout().lock()) {
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
