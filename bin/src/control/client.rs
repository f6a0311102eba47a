//! The other end of the control socket: the commands `status` and `flush`.

use super::{NAME_END, NAME_START, folders, is_trusted, name_of_port, places};
use crate::agent::EXIT_USAGE;
use crate::config::Config;
use crate::config::types::{ControlSocket, LogLevel, Port};
use crate::{cli, config, log, status};
use rustix::process::geteuid;
use serde_json::Value;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::error;

/// Exit status where no agent answers, or not everything was delivered.
const EXIT_FAILED: u8 = 1;

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Time beyond what the agent was given that its answer may take: its threads are waited for three
/// times, four seconds each, before it says that they don't answer.
const PATIENCE: Duration = Duration::from_secs(13);

/// Runs `lastdrop status`.
pub(crate) fn status(command: cli::Status) -> u8 {
    let cli::Status { json, agent } = command;
    match ask(agent, "status", Duration::ZERO) {
        Ok(answer) => {
            put_out(&if json { answer.to_string() + "\n" } else { status::for_people(&answer) });
            0
        }
        Err(exit_status) => exit_status,
    }
}

/// Runs `lastdrop flush`.
pub(crate) fn flush(command: cli::Flush) -> u8 {
    let cli::Flush { json, timeout, agent } = command;
    match ask(agent, &format!("flush {}", timeout.as_millis()), timeout) {
        Ok(answer) => {
            put_out(&if json {
                answer.to_string() + "\n"
            } else {
                status::flush_for_people(&answer)
            });
            if answer["delivered"] == true { 0 } else { EXIT_FAILED }
        }
        Err(exit_status) => exit_status,
    }
}

/// Asks the agent that the settings lead to. A failure is told and gives the exit status.
fn ask(agent: cli::Running, request: &str, patience: Duration) -> Result<Value, u8> {
    log::start(LogLevel::Error);
    let config = config::load(agent.into_flags()).map_err(|why| {
        error!("{why}");
        EXIT_USAGE
    })?;
    let answer = connect(&config).and_then(|stream| {
        let answer = exchange(&stream, request, patience).map_err(|why| why.to_string())?;
        match answer.get("error").and_then(Value::as_str) {
            Some(why) => Err(why.to_owned()),
            None => Ok(answer),
        }
    });
    answer.map_err(|why| {
        error!("{why}");
        EXIT_FAILED
    })
}

/// Connects to the agent of the port in the settings; where they name none, to the only one there is.
fn connect(config: &Config) -> Result<UnixStream, String> {
    let is_auto = config.process.control_socket == ControlSocket::Auto;
    match config.dogstatsd.port {
        Port::Off | Port::Random if is_auto => connect_to_only(&others(&[])),
        Port::Fixed(port) => connect_to_first(&places(config, &name_of_port(port.get()))),
        Port::Off | Port::Random => connect_to_first(&places(config, "")),
    }
}

/// Connects to the first place where an agent of this user, or of root, listens.
fn connect_to_first(places: &[PathBuf]) -> Result<UnixStream, String> {
    let mut failures = Vec::new();
    for path in places {
        match connect_to(path) {
            Ok(stream) => return Ok(stream),
            Err(why) => failures.push(why),
        }
    }
    if failures.is_empty() {
        return Err("lastdrop_control_socket is off".to_owned());
    }
    let others = match &others(places)[..] {
        [] => String::new(),
        others => format!("; --control-socket reaches others: {}", listed(others)),
    };
    Err(format!("no agent answers ({}){others}", failures.join("; ")))
}

fn connect_to_only(places: &[PathBuf]) -> Result<UnixStream, String> {
    let mut answering: Vec<_> =
        places.iter().filter_map(|path| Some((path.clone(), connect_to(path).ok()?))).collect();
    match answering.pop() {
        None => {
            Err("no agent answers (there is no socket of one under the usual names)".to_owned())
        }
        Some((_, stream)) if answering.is_empty() => Ok(stream),
        Some((path, _)) => {
            let all: Vec<_> = answering.into_iter().map(|(path, _)| path).chain([path]).collect();
            Err(format!("several agents answer; --control-socket names one: {}", listed(&all)))
        }
    }
}

fn connect_to(path: &Path) -> Result<UnixStream, String> {
    match UnixStream::connect(path) {
        // Root may ask the agents of all users.
        Ok(stream) if geteuid().is_root() || is_trusted(&stream) => Ok(stream),
        Ok(_) => Err(format!("{}: belongs to another user", path.display())),
        Err(why) => Err(format!("{}: {why}", path.display())),
    }
}

/// Most sockets that are looked at.
const OTHERS_MAX: usize = 64;

/// The sockets of agents in the usual folders that are not among `places`.
fn others(places: &[PathBuf]) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(NAME_START) && name.ends_with(NAME_END) && !places.contains(path)
    };
    let entries = folders().into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(is_ours).take(OTHERS_MAX).collect();
    paths.sort_unstable();
    paths
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

fn exchange(mut stream: &UnixStream, request: &str, patience: Duration) -> io::Result<Value> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    stream.set_read_timeout(Some(patience + PATIENCE))?;
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes());
    let exchanged = asked
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer));
    match exchanged {
        // An agent that closes without a look at the question breaks the connection, before it is
        // whole or after.
        Err(why) if !matches!(why.kind(), BrokenPipe | ConnectionReset | NotConnected) => {
            return Err(why);
        }
        _ => {}
    }
    if answer.is_empty() {
        return Err(io::Error::other("the agent is busy, or ended while it was asked"));
    }
    serde_json::from_str(&answer).map_err(io::Error::other)
}

/// Prints a page; what could command a terminal is escaped, for the answer comes from outside.
fn put_out(page: &str) {
    let mut plain = String::with_capacity(page.len());
    for char in page.chars() {
        if char.is_control() && char != '\n' {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    // A reader that has seen enough (`| head`) is no failure, and nobody else can be told.
    let _ = io::stdout().write_all(plain.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever in the exchange the agent closes, what is told is the same, and helps.
    #[test]
    fn an_agent_that_closes_without_a_look_is_busy() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let closed = exchange(&ours, "status\n", Duration::ZERO).unwrap_err();

        let (ours, theirs) = UnixStream::pair().unwrap();
        let asker = std::thread::spawn(move || exchange(&ours, "status\n", Duration::ZERO));
        // What was asked lies unread when this closes: a reset, not an end.
        while rustix::io::ioctl_fionread(&theirs).unwrap() == 0 {
            std::thread::yield_now();
        }
        drop(theirs);
        let reset = asker.join().unwrap().unwrap_err();

        for why in [closed, reset] {
            assert_eq!(why.to_string(), "the agent is busy, or ended while it was asked");
        }
    }
}
