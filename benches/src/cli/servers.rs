//! Arguments of the commands that measure any server by the experiments' files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lastdrop_lab::experiment::compare::{CompareOptions, Rule};
use lastdrop_lab::experiment::measure::Measure;
use lastdrop_lab::experiment::peers::PeersOptions;
use lastdrop_lab::experiment::plan::Plan;
use lastdrop_lab::experiment::suite::{SuiteError, SuiteOptions, Times};
use lastdrop_lab::experiment::target::Target;
use lastdrop_lab::units;

/// How long is measured, and before, in the long form.
const LONG: Times =
    Times { duration: Some(Duration::from_secs(60)), warm_up: Some(Duration::from_secs(10)) };

/// Other times than those in the experiments' files.
#[derive(Debug, Args)]
struct TimeArgs {
    /// Measure for this time [default: what the file says, mostly 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Let the load run this long before [default: what the file says, mostly 2s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    warm_up: Option<Duration>,
    /// Measure for 60 s after 10 s
    #[arg(long, conflicts_with_all = ["duration", "warm_up"])]
    long: bool,
}

impl TimeArgs {
    fn times(&self) -> Times {
        if self.long { LONG } else { Times { duration: self.duration, warm_up: self.warm_up } }
    }
}

/// Run experiments against a server; exits with 1 if a replica breaks a bound.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What `{agent}` stands for [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    times: TimeArgs,
    /// Names of experiments, or files that end in .toml
    #[arg(required = true, value_name = "NAME|FILE")]
    experiments: Vec<String>,
    /// The server: a name, a file that ends in .toml, or a command that takes lastdrop's place
    #[arg(long, value_name = "TARGET", default_value = "lastdrop")]
    target: String,
    /// Replicas of each experiment; each has to keep the bounds
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    replicas: u32,
}

impl RunArgs {
    pub(crate) fn options(&self) -> Result<SuiteOptions, SuiteError> {
        Ok(SuiteOptions {
            name: "run".to_owned(),
            plans: find_all(&self.experiments)?,
            target: Target::find(&self.target)?,
            agent: self.agent.clone(),
            replicas: self.replicas,
            times: self.times.times(),
        })
    }
}

/// Run the quick experiments that must hold everywhere, once each: under five minutes.
#[derive(Debug, Args)]
pub(crate) struct GatesArgs {
    /// What `{agent}` stands for [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    times: TimeArgs,
    /// The server: a name, a file that ends in .toml, or a command that takes lastdrop's place
    #[arg(long, value_name = "TARGET", default_value = "lastdrop")]
    target: String,
}

impl GatesArgs {
    pub(crate) fn options(&self) -> Result<SuiteOptions, SuiteError> {
        let plans = Plan::shipped()?.into_iter().filter(|plan| plan.gate).collect();
        Ok(SuiteOptions {
            name: "gates".to_owned(),
            plans,
            target: Target::find(&self.target)?,
            agent: self.agent.clone(),
            replicas: 1,
            times: self.times.times(),
        })
    }
}

/// Compare two builds under the same load; exits with 1 if the second is worse.
#[derive(Debug, Args)]
pub(crate) struct AbArgs {
    /// What `{agent}` stands for [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    times: TimeArgs,
    /// What it is compared with: a command that takes lastdrop's place, a name, or a .toml file
    #[arg(long, value_name = "CMD")]
    baseline: String,
    /// What is judged
    #[arg(long, value_name = "CMD")]
    comparison: String,
    /// Experiments, by name or file
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    #[arg(default_value = "small_messages_udp,dsd_uds_10mb_3k_contexts")]
    experiments: Vec<String>,
    /// What is compared, as cpu_s_per_million [default: each experiment's goal]
    #[arg(long, value_name = "MEASURE", value_parser = measure)]
    measure: Option<Measure>,
    /// Replicas of each side
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=1_000))]
    replicas: u32,
    /// Least difference that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

impl AbArgs {
    pub(crate) fn options(&self) -> Result<CompareOptions, SuiteError> {
        Ok(CompareOptions {
            baseline: Target::find(&self.baseline)?,
            comparison: Target::find(&self.comparison)?,
            plans: find_all(&self.experiments)?,
            measure: self.measure,
            agent: self.agent.clone(),
            replicas: self.replicas,
            times: self.times.times(),
            rule: Rule { tolerance_percent: self.tolerance, ..Rule::default() },
        })
    }
}

/// Measure every server that is installed by the same work, and name those that aren't.
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// What `{agent}` stands for [default: lastdrop beside this program; built if it isn't there]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Only these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
}

impl PeersArgs {
    pub(crate) fn options(&self) -> PeersOptions {
        PeersOptions { only: self.only.clone(), agent: self.agent.clone() }
    }
}

fn find_all(names: &[String]) -> Result<Vec<Plan>, SuiteError> {
    names.iter().map(|name| Plan::find(name).map_err(SuiteError::from)).collect()
}

fn measure(text: &str) -> Result<Measure, String> {
    Measure::ALL.into_iter().find(|measure| measure.name() == text).ok_or_else(|| {
        let names = Measure::ALL.map(Measure::name).join(", ");
        format!("{text:?} is none of {names}")
    })
}
