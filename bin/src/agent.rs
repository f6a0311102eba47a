//! The two ways to run: beside an application, or around a process.

use crate::child::{Child, Conditions};
use crate::config::sources::Environment;
use crate::config::types::{InstanceTag, LogLevel};
use crate::config::{self, Config, ConfigError};
use crate::control::Server;
use crate::desk::Desk;
use crate::grace::Grace;
use crate::identity::Surroundings;
use crate::platform::Platform;
use crate::receipt::{Context, Receipt};
use crate::signals::Signals;
use crate::status::Facts;
use crate::stopping::Linger;
use crate::supervise::Supervisor;
use crate::wiring::{self, Pipeline};
use crate::{cli, http, log, settings, tracers};
use lastdrop_engine::datagram::Transport;
use lastdrop_transport::listen::{self, Address, AddressReport, Listeners, Ports, RaisedLimit};
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Exit status of wrong usage, of a bad configuration, and of a port that is taken.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Exit status where something was lost and `--strict` was given.
const EXIT_LOST: u8 = 3;

/// The agent beside an application: receives until a signal, stops, and gives the exit status.
pub(crate) fn run(run: cli::Run) -> u8 {
    let config = match load(run.flags) {
        Ok(config) => config,
        Err(why) => {
            error!("{why}");
            return EXIT_USAGE;
        }
    };
    match start_sidecar(&config) {
        Ok((mut supervisor, mut agent)) => {
            supervisor.run(Some(&mut agent.pipeline));
            // SIGTERM reaches all containers of a task at once: the application's last words come
            // after ours.
            let linger = Linger::Silence(config.process.linger);
            let lossless = agent.stop(&mut supervisor, &config, linger);
            // Whoever cuts the stop short is told what that has cost, asked or not; so is whoever
            // meets a bug of ours.
            let told =
                config.process.strict || supervisor.was_cut_short() || supervisor.has_panicked();
            if told && !lossless { EXIT_LOST } else { 0 }
        }
        Err(why) => {
            error!("{why}");
            EXIT_USAGE
        }
    }
}

/// The agent around a process: the process runs whatever becomes of the agent, and its exit status
/// is the one that is given.
pub(crate) fn init(init: cli::Init) -> u8 {
    let signals = match Signals::of_wrapper() {
        Ok(signals) => signals,
        Err(why) => {
            log::start(LogLevel::Error);
            error!("signals can't be caught ({why}); the command is not started");
            return EXIT_USAGE;
        }
    };
    let config = load(init.flags);
    if let Some(hint) = tracers::hint(&Environment::of_process()) {
        warn!("{hint}");
    }
    let mut supervisor = match Supervisor::new(signals) {
        Ok(supervisor) => supervisor,
        Err(why) => {
            error!("signals can't be waited for ({why}); the command is not started");
            return EXIT_USAGE;
        }
    };
    let agent = match &config {
        Ok(config) => start_wrapped(config, &supervisor),
        Err(why) => {
            error!("{why}; the command runs without the agent");
            None
        }
    };
    wrap(&init.command, &mut supervisor, agent, config.as_ref().ok())
}

/// Runs the command, then stops the agent, if there is one.
fn wrap(
    command: &[OsString],
    supervisor: &mut Supervisor,
    mut agent: Option<Agent>,
    config: Option<&Config>,
) -> u8 {
    let conditions = agent.as_ref().map(Agent::conditions_of_child).unwrap_or_default();
    let status = match Child::spawn(command, &conditions) {
        Ok(child) => {
            supervisor.adopt(child, Grace::new(grace_period(config)));
            supervisor.run(agent.as_mut().map(|agent| &mut agent.pipeline));
            supervisor.child_ended().unwrap_or(u8::MAX)
        }
        Err(why) => {
            error!("{why}");
            why.exit_status()
        }
    };
    let (Some(agent), Some(config)) = (agent, config) else { return status };
    let lossless = agent.stop(supervisor, config, Linger::No);
    if status == 0 && config.process.strict && !lossless { EXIT_LOST } else { status }
}

/// The time from the platform's SIGTERM to its SIGKILL.
fn grace_period(config: Option<&Config>) -> Duration {
    let platform = || Platform::detect(&Environment::of_process()).grace_period();
    config.and_then(|config| config.process.grace_period).unwrap_or_else(platform)
}

/// The running agent.
struct Agent {
    mode: &'static str,
    pipeline: Pipeline,
    ports: Arc<Ports>,
    /// What clients send to.
    addresses: Vec<AddressReport>,
    /// Set if the soft limit of open files was raised.
    raised_limit: Option<RaisedLimit>,
    /// Removes the control socket when it goes.
    _control: Option<Server>,
    /// What the kernel refused, and sockets of others on our ports.
    notes: Vec<String>,
}

impl Agent {
    fn start(
        config: &Config,
        mode: &'static str,
        (listeners, unbound): (Listeners, Vec<String>),
        supervisor: &Supervisor,
    ) -> io::Result<Self> {
        let Listeners { sockets, stream, ports, report } = listeners;
        for address in &report.addresses {
            info!("listening: {:?}", address.address);
        }
        let mut notes: Vec<String> = report.fallbacks.iter().map(ToString::to_string).collect();
        notes.extend(report.strangers.iter().map(ToString::to_string));
        for note in &notes {
            info!("{note}");
        }
        let surroundings = Surroundings::of_process(mode);
        let platform = surroundings.platform;
        warn_of_overwriting(config, platform);
        let pipeline = wiring::start(config, surroundings, (sockets, stream), supervisor.bell())?;
        let ports = Arc::new(ports);
        let (addresses, raised_limit) = (report.addresses.clone(), report.raised_limit);
        let facts = Facts {
            mode,
            platform: platform.name(),
            listen: report,
            unbound,
            context_bytes_max: settings::context_bytes(config),
            ports: Arc::clone(&ports),
            ledgers: pipeline.ledgers.clone(),
            lanes: pipeline.running.lanes().to_vec(),
            started: Instant::now(),
        };
        let desk = Desk::new(facts, supervisor.wishes(), Arc::clone(supervisor.bell()));
        let desk = Arc::new(desk);
        let control = Server::start(config, &desk);
        if let Some(address) = config.process.http {
            http::start(address, &desk, config.process.delivery_window);
        }
        Ok(Self { mode, pipeline, ports, addresses, raised_limit, _control: control, notes })
    }

    /// What a wrapped process is to find: its own limit of open files, and where metrics go if that
    /// is not the usual port.
    fn conditions_of_child(&self) -> Conditions {
        let url = clients_url(&self.addresses)
            .filter(|_| std::env::var_os(CLIENTS_URL).is_none_or(|url| url.is_empty()));
        Conditions {
            files_max: self.raised_limit.map(|limit| limit.before),
            variables: url.into_iter().map(|url| (CLIENTS_URL, url)).collect(),
        }
    }

    /// Stops the agent and writes the receipt; says whether everything received was delivered.
    fn stop(self, supervisor: &mut Supervisor, config: &Config, linger: Linger) -> bool {
        let mut notes = self.notes;
        for stranger in self.ports.strangers().iter().map(ToString::to_string) {
            if !notes.contains(&stranger) {
                notes.push(stranger);
            }
        }
        let Some(stop) = supervisor.stop(self.pipeline, config, linger) else {
            error!(
                "the stop has panicked: what was not delivered is lost, and there is no receipt"
            );
            return false;
        };
        let context = Context { mode: self.mode, child: supervisor.child_ended(), notes: &notes };
        let receipt = Receipt::new(&stop, &context);
        if let Err(why) = receipt.write(&config.process.receipt) {
            warn!("the receipt can't be written: {why}");
        }
        receipt.is_lossless()
    }
}

/// Tells clients where to send.
const CLIENTS_URL: &str = "DD_DOGSTATSD_URL";

/// The URL for clients where there is no UDP: the port they would find by themselves.
fn clients_url(addresses: &[AddressReport]) -> Option<OsString> {
    if addresses.iter().any(|report| report.transport == Transport::Udp) {
        return None;
    }
    let url = |scheme: &str, transport| {
        addresses.iter().find_map(|report| match &report.address {
            Address::Unix(path) if report.transport == transport => {
                let mut url = OsString::from(scheme);
                url.push(path);
                Some(url)
            }
            _ => None,
        })
    };
    url("unix://", Transport::UnixDatagram).or_else(|| url("unixstream://", Transport::UnixStream))
}

/// Says once what is lost as soon as two instances run with nothing to tell their series apart.
fn warn_of_overwriting(config: &Config, platform: Platform) {
    let tells_apart = config.enrichment.instance_tag != InstanceTag::Off;
    if platform != Platform::Local && !tells_apart && config.enrichment.hostname == "none" {
        warn!(
            "on {} nothing tells two instances apart: their counts and gauges overwrite each other \
             at the intake, distributions don't; set LASTDROP_INSTANCE_TAG to random or platform, \
             at the price of more series",
            platform.name()
        );
    }
}

/// Resolves the configuration, starts the log and tells what is worth a line of it.
///
/// # Errors
///
/// A bad value, for the caller to tell with what follows from it.
fn load(flags: cli::Flags) -> Result<Config, ConfigError> {
    let loaded = config::load(flags);
    log::start(loaded.as_ref().map_or(LogLevel::Error, |config| config.process.log_level));
    for notice in loaded.iter().flat_map(|config| &config.notices) {
        warn!("{notice}");
    }
    loaded
}

/// Binds everything or nothing.
fn start_sidecar(config: &Config) -> Result<(Supervisor, Agent), String> {
    let text = |why: io::Error| why.to_string();
    let supervisor = Signals::of_sidecar().and_then(Supervisor::new).map_err(text)?;
    let listeners = listen::bind(&settings::listen(config)?).map_err(|why| why.to_string())?;
    let agent = Agent::start(config, "run", (listeners, Vec::new()), &supervisor).map_err(text)?;
    Ok((supervisor, agent))
}

/// Binds what can be bound: the application is more important than its metrics.
fn start_wrapped(config: &Config, supervisor: &Supervisor) -> Option<Agent> {
    let listen_settings = match settings::listen(config) {
        Ok(settings) => settings,
        Err(why) => {
            error!("{why}; the command runs without the agent");
            return None;
        }
    };
    let (listeners, errors) = listen::bind_available(&listen_settings);
    let unbound: Vec<_> = errors.iter().map(ToString::to_string).collect();
    for why in &unbound {
        error!("{why}; nothing is collected there");
    }
    match Agent::start(config, "init", (listeners, unbound), supervisor) {
        Ok(agent) => Some(agent),
        Err(why) => {
            error!("{why}; the command runs without the agent");
            None
        }
    }
}
