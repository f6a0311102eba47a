//! The whole way on one machine with nothing to set up: the embedded intake, the real agent as a
//! process, and a task that sends a steady stream, then a last burst, and exits.
//!
//! What is reported as accepted is what the intake counted; what is reported as sent is what the
//! task's own sends returned. The agent's receipt is shown beside the two and has no say in them.

pub(crate) mod agent;
mod outcome;
mod screen;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::intake::{Certificate, Intake, IntakeOptions, Script};
use crate::port::FreePort;
use crate::task::{self, METRIC, Progress};
pub use outcome::Outcome;
pub use screen::Screen;

/// An API key in the usual form that opens nothing.
pub(crate) const API_KEY: &str = "00112233445566778899aabbccddeeff";

/// How long the agent may take beyond the task's stream before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the line of progress is renewed.
const REDRAW: Duration = Duration::from_millis(100);

/// What the demo shall show.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
    /// Over TLS, with a certificate authority made for this run.
    pub tls: Option<Certificate>,
    /// What the intake shall do wrong.
    pub script: Script,
    /// Messages of the steady stream.
    pub stream: u64,
    /// Time that the stream takes.
    pub over: Duration,
    /// Messages of the last burst.
    pub burst: u64,
    /// Settings of the agent beside those that the demo needs.
    pub settings: Vec<(&'static str, String)>,
    /// Words before the agent's own on its command line: a program that starts it with less
    /// privileges.
    pub launcher: Vec<OsString>,
}

impl Default for DemoOptions {
    /// 10,000 messages over 5 s, then 500 at once; no TLS, no fault.
    fn default() -> Self {
        Self {
            agent: None,
            tls: None,
            script: Script::default(),
            stream: 10_000,
            over: Duration::from_secs(5),
            burst: 500,
            settings: Vec::new(),
            launcher: Vec::new(),
        }
    }
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum DemoError {
    /// A step of the setting up failed.
    Setup {
        /// What was to be done.
        step: String,
        /// What came in the way.
        error: io::Error,
    },
    /// The agent isn't there and can't be built.
    Build {
        /// The command that was tried.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup { step, error } => write!(f, "can't {step}: {error}"),
            Self::Build { command, status } => {
                write!(f, "`{command}` failed ({status}); name a built agent with --agent PATH")
            }
        }
    }
}

impl std::error::Error for DemoError {}

/// Names the step that an I/O error belongs to.
pub(crate) fn during(step: impl Into<String>) -> impl FnOnce(io::Error) -> DemoError {
    let step = step.into();
    move |error| DemoError::Setup { step, error }
}

/// Runs the demo; blocks until the agent is gone, a minute beyond the stream at most.
///
/// # Errors
///
/// The demo could not be set up. A loss is no error: it is in the outcome.
pub fn run(options: &DemoOptions, screen: &mut Screen) -> Result<Outcome, DemoError> {
    let folder = tempfile::tempdir().map_err(during("make a temporary folder"))?;
    // The launcher may make another user of us.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))
        .map_err(during("open the temporary folder to all users"))?;
    let program = match &options.agent {
        Some(path) => path.clone(),
        None => agent::find_or_build(screen)?,
    };
    let intake_options =
        IntakeOptions { tls: options.tls, script: options.script.clone(), port: 0 };
    let intake = Intake::start(intake_options).map_err(during("start the intake"))?;
    let patience = options.over + PATIENCE;
    let port = FreePort::find().map_err(during("find a free UDP port"))?;
    let run = Run { options, folder: folder.path(), intake: &intake, port, patience };
    let start = run.start_agent(&program)?;
    let end = run.watch(start, screen);
    Ok(run.outcome(end))
}

/// One run of the demo.
struct Run<'a> {
    options: &'a DemoOptions,
    folder: &'a Path,
    intake: &'a Intake,
    port: FreePort,
    /// Longest time that the agent may run.
    patience: Duration,
}

/// How the agent ended, and when (nanoseconds of the monotonic clock).
struct End {
    status: Option<ExitStatus>,
    at_ns: u64,
}

impl Run<'_> {
    fn progress_file(&self) -> PathBuf {
        self.folder.join("progress")
    }

    fn receipt_file(&self) -> PathBuf {
        self.folder.join("receipt.json")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Starts `lastdrop init --receipt FILE -- lastdrop-lab task …`.
    fn start_agent(&self, program: &Path) -> Result<Child, DemoError> {
        let this = std::env::current_exe().map_err(during("find this program"))?;
        let port = self.port.number();
        let log = File::create(self.log_file()).map_err(during("create the agent's log"))?;
        let log_too = log.try_clone().map_err(during("share the agent's log"))?;
        let launcher = self.options.launcher.iter().map(OsString::as_os_str);
        let mut words = launcher.chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(program.as_os_str()));
        agent::clear_settings(&mut command);
        command
            .args(words)
            .args(["init", "--receipt"])
            .arg(self.receipt_file())
            .arg("--")
            .arg(this)
            .arg("task")
            .args(["--to", &format!("127.0.0.1:{port}")])
            .args(["--stream", &self.options.stream.to_string()])
            .args(["--over", &format!("{}ms", self.options.over.as_millis())])
            .args(["--burst", &self.options.burst.to_string()])
            .arg("--progress")
            .arg(self.progress_file())
            .env("DD_API_KEY", API_KEY)
            .env("DD_DD_URL", self.intake.url())
            .env("DD_DOGSTATSD_PORT", port.to_string())
            .envs(self.options.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too);
        if let Some(pem) = self.intake.ca_pem() {
            let file = self.folder.join("ca.pem");
            fs::write(&file, pem).map_err(during("write the certificate authority"))?;
            command.env("SSL_CERT_FILE", file);
        }
        command.spawn().map_err(during(format!("start {}", program.display())))
    }

    /// Shows the progress until the agent is gone.
    fn watch(&self, mut agent: Child, screen: &mut Screen) -> End {
        let start = Instant::now();
        let deadline = start + self.patience;
        let id = agent.id();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let status = agent.wait().ok();
            // Fails only if the watcher has given up.
            ended.send(End { status, at_ns: task::monotonic_ns() })
        });
        let end = loop {
            match end.recv_timeout(REDRAW) {
                Ok(end) => break end,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {
                    screen.status(&self.progress_line(start.elapsed()));
                }
                Err(_) => {
                    agent::kill(id);
                    break End { status: None, at_ns: task::monotonic_ns() };
                }
            }
        };
        screen.clear();
        end
    }

    fn progress_line(&self, elapsed: Duration) -> String {
        let Progress { sent, .. } = self.progress();
        let accepted = self.intake.totals().count(METRIC);
        let planned = self.options.stream + self.options.burst;
        format!(
            "{:4.1} s · sent {sent} of {planned} · accepted {accepted:.0}",
            elapsed.as_secs_f64()
        )
    }

    /// What the task last said; nothing if it never came to it.
    fn progress(&self) -> Progress {
        task::latest(&fs::read_to_string(self.progress_file()).unwrap_or_default())
    }

    fn outcome(&self, end: End) -> Outcome {
        let receipt = fs::read(self.receipt_file()).unwrap_or_default();
        let progress = self.progress();
        let drain_ns = progress.exit_ns.map(|exit_ns| end.at_ns.saturating_sub(exit_ns));
        Outcome {
            planned: self.options.stream + self.options.burst,
            progress,
            totals: self.intake.totals(),
            drain: drain_ns.map(Duration::from_nanos),
            status: end.status,
            receipt: serde_json::from_slice(&receipt).ok(),
            log: fs::read_to_string(self.log_file()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is ever sent, nothing is ever received: only the complaints tell it from success.
    #[test]
    fn an_agent_that_fails_at_once_is_no_success() {
        let options = DemoOptions { agent: Some("false".into()), ..DemoOptions::default() };
        let outcome = run(&options, &mut Screen::quiet()).unwrap();
        assert!(outcome.to_string().starts_with("sent 0 · accepted 0 · lost 0\n"));
        let complaints = outcome.complaints();
        for part in ["0 of 10500", "exit status: 1", "no receipt"] {
            assert!(complaints.iter().any(|text| text.contains(part)), "{complaints:?}");
        }
    }

    #[test]
    fn an_agent_that_cannot_be_started_is_an_error_that_names_it() {
        let options = DemoOptions { agent: Some("/nowhere/x".into()), ..DemoOptions::default() };
        let error = run(&options, &mut Screen::quiet()).unwrap_err();
        assert!(error.to_string().starts_with("can't start /nowhere/x: "), "{error}");
    }

    #[test]
    fn an_agent_that_does_not_end_is_killed_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::start(IntakeOptions::default()).unwrap();
        let options = DemoOptions::default();
        let patience = Duration::ZERO;
        let port = FreePort::find().unwrap();
        let run = Run { options: &options, folder: folder.path(), intake: &intake, port, patience };
        let agent = Command::new("sleep").arg("600").spawn().unwrap();
        let end = run.watch(agent, &mut Screen::quiet());
        assert_eq!(end.status, None);
        let complaints = run.outcome(end).complaints();
        assert!(complaints.iter().any(|text| text.contains("was killed")), "{complaints:?}");
    }
}
