//! Where the agent runs: found out from the environment alone, with the tags that tell it.
//!
//! ```text
//!  environment ─▶ detect ─▶ Platform ─┬▶ questions ─▶ answers (metadata servers, see `metadata`)
//!                                     └▶ tags(environment, answers)
//! ```
//!
//! All but the asking is pure. A variable counts when it is there, even if it is empty; what is
//! missing or odd makes a tag `unknown` or leaves it out, and never more than that.

mod app_service;
pub(crate) mod cgroup;
mod cloud_run;
mod container_apps;
pub(crate) mod enhanced;
mod fargate;
mod kubernetes;
pub(crate) mod metadata;
mod microvm;

use crate::config::sources::Environment;
use lastdrop_engine::series::Origin;
use std::collections::BTreeMap;
use std::time::Duration;

/// Stands for what could not be found out.
pub(crate) const UNKNOWN: &str = "unknown";

/// Tags that differ from instance to instance: not put on metrics.
const INSTANCE_TAGS: [&str; 12] = [
    "aca.replica.name",
    "container_id",
    "gcr.container_id",
    "gcrfx.container_id",
    "gcrj.container_id",
    "gcrj.execution_name",
    "gcrj.task_attempt",
    "gcrj.task_count",
    "gcrj.task_index",
    "pod_name",
    "replica_name",
    "task_arn",
];

/// Where the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// AWS Lambda MicroVM.
    Microvm,
    /// Cloud Run function.
    CloudRunFunction,
    /// Cloud Run service.
    CloudRunService,
    /// Cloud Run job.
    CloudRunJob,
    /// Azure Container Apps, an app or a job.
    ContainerApps,
    /// Azure App Service.
    AppService,
    /// Amazon ECS on Fargate.
    Fargate,
    /// Kubernetes.
    Kubernetes,
    /// None of these.
    Local,
}

/// Tags by key; a later one takes the place of an earlier one.
pub(crate) type Tags = BTreeMap<&'static str, String>;

/// What a metadata server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// What the answer is kept under.
    pub(crate) name: &'static str,
    /// Where to ask: plain HTTP.
    pub(crate) url: String,
    /// Whether the server wants to be told that it is Google's.
    pub(crate) flavor: Flavor,
}

/// The kind of a metadata server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Wants the header `Metadata-Flavor: Google`.
    Google,
    /// Wants nothing.
    Plain,
}

/// What metadata servers have answered, by the names of the questions.
pub(crate) type Answers = BTreeMap<&'static str, String>;

impl Platform {
    /// Recognises the platform; the first that matches counts.
    pub(crate) fn detect(environment: &Environment) -> Self {
        let has = |name| environment.value(name).is_some();
        if has("AWS_LAMBDA_MICROVM_IMAGE_ARN") {
            Self::Microvm
        } else if has("K_SERVICE") && has("FUNCTION_TARGET") {
            Self::CloudRunFunction
        } else if has("K_SERVICE") {
            Self::CloudRunService
        } else if has("CLOUD_RUN_JOB") {
            Self::CloudRunJob
        } else if has("CONTAINER_APP_NAME") {
            Self::ContainerApps
        } else if has("WEBSITE_STACK") {
            Self::AppService
        } else if has(fargate::METADATA_VARIABLE) {
            Self::Fargate
        } else if has("KUBERNETES_SERVICE_HOST") {
            Self::Kubernetes
        } else {
            Self::Local
        }
    }

    /// The name in status and log; for most it is the value of the tag `origin` too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fargate => "fargate",
            Self::Kubernetes => "kubernetes",
            Self::Local => "local",
            _ => match self.origin_tag() {
                Some(origin) => origin,
                None => UNKNOWN,
            },
        }
    }

    /// The value of the tags `origin` and `_dd.origin`, on platforms that have them.
    const fn origin_tag(self) -> Option<&'static str> {
        match self {
            Self::Microvm => Some("lambdamicrovm"),
            Self::CloudRunFunction | Self::CloudRunService => Some("cloudrun"),
            Self::CloudRunJob => Some("cloudrunjobs"),
            Self::ContainerApps => Some("containerapp"),
            Self::AppService => Some("appservice"),
            Self::Fargate | Self::Kubernetes | Self::Local => None,
        }
    }

    /// Where most of its series come from, in the intake's numbers.
    pub(crate) const fn origin(self) -> Origin {
        match self {
            Self::AppService => Origin::serverless(35),
            Self::CloudRunFunction | Self::CloudRunService | Self::CloudRunJob => {
                Origin::serverless(36)
            }
            Self::ContainerApps => Origin::serverless(37),
            Self::Microvm => Origin::serverless(38),
            Self::Fargate | Self::Kubernetes | Self::Local => Origin::DOGSTATSD,
        }
    }

    /// Time from its SIGTERM to its SIGKILL, where nothing else is configured.
    pub(crate) const fn grace_period(self) -> Duration {
        match self {
            Self::ContainerApps | Self::AppService | Self::Fargate | Self::Kubernetes => {
                Duration::from_secs(30)
            }
            Self::CloudRunFunction | Self::CloudRunService | Self::CloudRunJob
            // Nobody says: the shortest that any platform gives.
            | Self::Microvm | Self::Local => Duration::from_secs(10),
        }
    }

    /// The tag that tells the version of this program, on serverless platforms.
    pub(crate) fn version_tag(self, mode: &str) -> Option<String> {
        let key =
            if mode == "init" { "datadog_init_version" } else { "_dd.datadog_sidecar_version" };
        self.origin_tag().map(|_| format!("{key}:{}", env!("CARGO_PKG_VERSION")))
    }

    /// What is to be asked of a metadata server, all at once.
    pub(crate) fn questions(self, environment: &Environment) -> Vec<Question> {
        match self {
            Self::CloudRunFunction | Self::CloudRunService | Self::CloudRunJob => {
                cloud_run::questions(environment)
            }
            Self::Fargate => fargate::questions(environment),
            _ => Vec::new(),
        }
    }

    /// All that is known of the instance.
    pub(crate) fn tags(self, environment: &Environment, answers: &Answers) -> Tags {
        let mut tags = match self {
            Self::Microvm => microvm::tags(environment),
            Self::CloudRunFunction => cloud_run::tags_of_function(environment, answers),
            Self::CloudRunService => cloud_run::tags_of_service(environment, answers),
            Self::CloudRunJob => cloud_run::tags_of_job(environment, answers),
            Self::ContainerApps => container_apps::tags(environment),
            Self::AppService => app_service::tags(environment),
            Self::Fargate => fargate::tags(answers),
            Self::Kubernetes => kubernetes::tags(environment),
            Self::Local => Tags::new(),
        };
        if let Some(origin) = self.origin_tag() {
            tags.insert("origin", origin.to_owned());
            tags.insert("_dd.origin", origin.to_owned());
        }
        tags
    }

    /// What tells this instance from others, where the platform says.
    pub(crate) fn instance(self, environment: &Environment, answers: &Answers) -> Option<String> {
        let tags = self.tags(environment, answers);
        let tag = |key: &str| tags.get(key).filter(|value| *value != UNKNOWN).cloned();
        match self {
            Self::CloudRunFunction | Self::CloudRunService => tag("container_id"),
            Self::CloudRunJob => {
                let (execution, task) = (tag("gcrj.execution_name")?, tag("gcrj.task_index")?);
                Some(format!("{execution}-{task}"))
            }
            Self::ContainerApps => tag("replica_name"),
            Self::AppService => tag("aas.environment.instance_id"),
            Self::Fargate => {
                tag("task_arn").and_then(|arn| Some(arn.rsplit_once('/')?.1.to_owned()))
            }
            Self::Kubernetes => tag("pod_name"),
            Self::Microvm | Self::Local => None,
        }
    }
}

/// The tags that metrics bear, as text: without those that differ from instance to instance.
pub(crate) fn metric_tags(tags: &Tags) -> Vec<String> {
    let shared = tags.iter().filter(|(key, _)| !INSTANCE_TAGS.contains(key));
    shared.map(|(key, value)| format!("{key}:{value}")).collect()
}

/// A variable as the value of a tag: in lower case, none if it is empty or breaks the form.
fn value(environment: &Environment, name: &str) -> Option<String> {
    environment.value(name).and_then(clean)
}

/// Text as the value of a tag.
fn clean(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && !text.contains(|c: char| c == ',' || c == '|' || c.is_control());
    fits.then(|| text.to_lowercase())
}

/// Puts the value of a variable under each of the keys, if there is one.
fn put(tags: &mut Tags, environment: &Environment, name: &str, keys: &[&'static str]) {
    if let Some(value) = value(environment, name) {
        put_all(tags, keys, &value);
    }
}

fn put_all(tags: &mut Tags, keys: &[&'static str], value: &str) {
    for key in keys {
        tags.insert(key, value.to_owned());
    }
}

#[cfg(test)]
mod tests;
