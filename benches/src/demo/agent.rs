//! The agent as a program: where it is, how it is built if it isn't there, what it must not inherit.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::{DemoError, Screen, during};

/// The package and the program.
const NAME: &str = "lastdrop";

/// Finds the agent beside this program, or builds it there with the profile that this program was
/// built with.
pub(crate) fn find_or_build(screen: &mut Screen) -> Result<PathBuf, DemoError> {
    let this = std::env::current_exe().map_err(during("find this program"))?;
    let folder = output_folder(&this);
    let agent = folder.join(NAME);
    if agent.is_file() {
        return Ok(agent);
    }
    let mut cargo = build_command(folder);
    let command = text_of(&cargo);
    screen.line(&format!("no {} yet: {command}", agent.display()));
    let status = cargo.status().map_err(during(format!("run `{command}`")))?;
    if status.success() && agent.is_file() {
        Ok(agent)
    } else {
        Err(DemoError::Build { command, status })
    }
}

/// The folder that cargo puts programs in; those of tests are one below.
fn output_folder(program: &Path) -> &Path {
    let folder = program.parent().unwrap_or(program);
    if folder.file_name() == Some(OsStr::new("deps")) {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    }
}

fn build_command(folder: &Path) -> Command {
    // Cargo names the folder of a profile after it, save for `dev`.
    let profile = match folder.file_name() {
        Some(name) if name == "debug" => OsStr::new("dev"),
        Some(name) => name,
        None => OsStr::new("release"),
    };
    let mut command = Command::new("cargo");
    command.args(["build", "--package", NAME, "--profile"]).arg(profile);
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    command
}

fn text_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Keeps the settings of whoever runs the demo from reaching the agent: they would change what it
/// sends, or where to.
pub(crate) fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if steers_the_agent(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
}

fn steers_the_agent(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["DD_", "LASTDROP_"].iter().any(|prefix| name.starts_with(prefix))
        || ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"]
            .contains(&name.as_str())
}

/// Ends an agent that was given up.
pub(crate) fn kill(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // Fails only if it ended this instant.
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_built_like_this_program_and_where_it_will_be_looked_for() {
        let rows = [
            ("/t/debug/lastdrop-lab", "/t/debug", "--profile dev"),
            ("/t/release/lastdrop-lab", "/t/release", "--profile release"),
            ("/t/debug/deps/tests-0123", "/t/debug", "--profile dev"),
        ];
        for (program, folder, profile) in rows {
            let found = output_folder(Path::new(program));
            assert_eq!(found, Path::new(folder));
            let command = text_of(&build_command(found));
            assert!(command.starts_with(&format!("cargo build --package lastdrop {profile} ")));
            assert!(command.ends_with(" --target-dir /t"), "{command}");
        }
    }

    #[test]
    fn settings_and_proxies_are_kept_from_the_agent_and_nothing_else() {
        for name in ["DD_API_KEY", "LASTDROP_PIN", "http_proxy", "HTTPS_PROXY", "SSL_CERT_FILE"] {
            assert!(steers_the_agent(name), "{name}");
        }
        for name in ["PATH", "HOME", "ADD_ON", "PROXY"] {
            assert!(!steers_the_agent(name), "{name}");
        }
    }
}
