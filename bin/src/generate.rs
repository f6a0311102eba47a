//! `lastdrop generate FOLDER`: shell completions and manual pages, written for the package
//! (`.ci/package`) by a build of its own.

use crate::cli::Cli;
use clap::CommandFactory as _;
use clap_complete::aot::{Shell, generate_to};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command if it was typed.
pub(crate) fn run() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [command, folder] = &arguments[..] else { return None };
    (command == "generate").then(|| match write(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => crate::fail(&why),
    })
}

fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "lastdrop", folder)?;
    }
    clap_mangen::generate_to(Cli::command(), folder)
}
