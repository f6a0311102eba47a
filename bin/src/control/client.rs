//! The other end of the control socket: the commands `status` and `flush`.

use super::{is_trusted, places};
use crate::agent::EXIT_USAGE;
use crate::config::types::LogLevel;
use crate::{cli, config, log, status};
use rustix::process::geteuid;
use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use tracing::error;

/// Exit status where no agent answers, or not everything was delivered.
const EXIT_FAILED: u8 = 1;

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Time beyond what the agent was given that its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let answer = connect(places(&config)).and_then(|stream| {
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

/// Connects to the first place where an agent of this user, or of root, listens.
fn connect(places: Vec<PathBuf>) -> Result<UnixStream, String> {
    let mut failures = Vec::new();
    for path in places {
        match UnixStream::connect(&path) {
            // Root may ask the agents of all users.
            Ok(stream) if geteuid().is_root() || is_trusted(&stream) => return Ok(stream),
            Ok(_) => failures.push(format!("{}: belongs to another user", path.display())),
            Err(why) => failures.push(format!("{}: {why}", path.display())),
        }
    }
    if failures.is_empty() {
        return Err("lastdrop_control_socket is off".to_owned());
    }
    Err(format!("no agent answers ({})", failures.join("; ")))
}

fn exchange(mut stream: &UnixStream, request: &str, patience: Duration) -> io::Result<Value> {
    stream.set_read_timeout(Some(patience + PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer) {
        // An agent that closes without a look at the question resets the connection.
        Err(why) if why.kind() != io::ErrorKind::ConnectionReset => return Err(why),
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
