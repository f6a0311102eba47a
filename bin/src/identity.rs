//! Who this instance is: its platform and the tags that everything bears, found out beside the
//! reception.
//!
//! Metadata servers are asked by a thread of their own. Receivers don't wait for it; workers and the
//! shipper do, before their first turn, for no longer than [`metadata::PATIENCE`]: what was received
//! until then waits in the rings, and every payload bears every tag.

use crate::config::Config;
use crate::config::sources::Environment;
use crate::config::types::InstanceTag;
use crate::platform::{self, Answers, Platform, metadata};
use crate::settings;
use lastdrop_engine::context::Tag;
use lastdrop_engine::enrich::{self, Enricher};
use lastdrop_transport::forward::backoff::Rng;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock};
use std::thread;

/// The key of the tag that tells instances apart.
const INSTANCE_KEY: &str = "lastdrop_instance";

/// Random bits of an instance tag: few values in all, since each makes every series once more.
const RANDOM_BITS: u32 = 16;

/// Where the agent runs and how it was started.
pub(crate) struct Surroundings {
    /// The platform.
    pub(crate) platform: Platform,
    /// The environment.
    pub(crate) environment: Environment,
    /// `run` or `init`.
    pub(crate) mode: &'static str,
}

/// What is known once everybody was asked.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Puts the tags on everything.
    pub(crate) enricher: Arc<Enricher>,
    /// Further tags for series alone; sorted.
    pub(crate) series_tags: Vec<Tag>,
    /// What tells this instance from others.
    pub(crate) instance: String,
}

/// An identity that may not be known yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending(Arc<OnceLock<Identity>>);

impl Pending {
    /// Waits until it is known.
    pub(crate) fn wait(&self) -> &Identity {
        self.0.wait()
    }

    /// Gives it if it is known.
    pub(crate) fn known(&self) -> Option<&Identity> {
        self.0.get()
    }
}

impl Surroundings {
    /// Looks around.
    pub(crate) fn of_process(mode: &'static str) -> Self {
        let environment = Environment::of_process();
        Self { platform: Platform::detect(&environment), environment, mode }
    }
}

/// Begins to find out who this is. Without an API key nobody is asked: nothing will be sent.
pub(crate) fn find_out(config: &Config, surroundings: Surroundings, rng: &mut Rng) -> Pending {
    let questions = match config.intake.api_key {
        Some(_) => surroundings.platform.questions(&surroundings.environment),
        None => Vec::new(),
    };
    let draft = Draft {
        enrichment: settings::enrichment(config),
        dogstatsd_tags: config.enrichment.dogstatsd_tags.clone(),
        instance_tag: config.enrichment.instance_tag,
        random: format!("{:04x}", rng.bits() & ((1 << RANDOM_BITS) - 1)),
        surroundings,
    };
    let pending = Pending(Arc::new(OnceLock::new()));
    if questions.is_empty() {
        let _ = pending.0.set(draft.finish(&Answers::new()));
        return pending;
    }
    let draft = Arc::new(draft);
    let asked = {
        let (pending, draft) = (pending.clone(), Arc::clone(&draft));
        thread::Builder::new().name("identity".to_owned()).spawn(move || {
            // Whatever happens, those who wait must not wait for ever.
            let answers = catch_unwind(|| metadata::ask(questions)).unwrap_or_default();
            let _ = pending.0.set(draft.finish(&answers));
        })
    };
    if asked.is_err() {
        let _ = pending.0.set(draft.finish(&Answers::new()));
    }
    pending
}

/// All but the answers.
struct Draft {
    enrichment: enrich::Settings,
    /// Those of `enrichment.extra_tags` that nothing replaces.
    dogstatsd_tags: Vec<String>,
    instance_tag: InstanceTag,
    random: String,
    surroundings: Surroundings,
}

impl Draft {
    fn finish(&self, answers: &Answers) -> Identity {
        let Surroundings { platform, environment, mode } = &self.surroundings;
        let mut ours = platform::metric_tags(&platform.tags(environment, answers));
        ours.extend(platform.version_tag(mode));
        let enrichment = enrich::Settings {
            extra_tags: combined(&self.enrichment.extra_tags, &self.dogstatsd_tags, ours),
            ..self.enrichment.clone()
        };
        let of_platform = platform.instance(environment, answers);
        let instance = of_platform.unwrap_or_else(|| self.random.clone());
        let value = match self.instance_tag {
            InstanceTag::Off => None,
            InstanceTag::Random => Some(&self.random),
            InstanceTag::Platform => Some(&instance),
        };
        let series_tags = value.map(|value| Tag::from(format!("{INSTANCE_KEY}:{value}").as_str()));
        Identity {
            enricher: Arc::new(Enricher::new(enrichment)),
            series_tags: series_tags.into_iter().collect(),
            instance,
        }
    }
}

/// The user's tags and the platform's: of one key the platform's counts, save against those that are
/// meant for DogStatsD.
fn combined(users: &[String], kept: &[String], ours: Vec<String>) -> Vec<String> {
    let key = |tag: &str| tag.split(':').next().unwrap_or_default().to_owned();
    let keys: Vec<String> = ours.iter().map(|tag| key(tag)).collect();
    let stays = |tag: &&String| kept.contains(tag) || !keys.contains(&key(tag));
    users.iter().filter(stays).cloned().chain(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, sources::Sources};

    fn identity(variables: &[(&str, &str)], answers: &Answers) -> Identity {
        let environment: Environment =
            variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let sources = Sources { environment: environment.clone(), ..Sources::default() };
        let config = config::resolve(&sources).unwrap();
        let platform = Platform::detect(&environment);
        let draft = Draft {
            enrichment: settings::enrichment(&config),
            dogstatsd_tags: config.enrichment.dogstatsd_tags.clone(),
            instance_tag: config.enrichment.instance_tag,
            random: "00ff".to_owned(),
            surroundings: Surroundings { platform, environment, mode: "init" },
        };
        draft.finish(answers)
    }

    fn tags(identity: &Identity) -> Vec<&str> {
        identity.enricher.extra_tags().iter().map(Tag::as_str).collect()
    }

    #[test]
    fn off_all_platforms_there_are_the_users_tags_alone() {
        let identity = identity(&[("DD_TAGS", "a:1 b"), ("DD_ENV", "Prod")], &Answers::new());
        assert_eq!(tags(&identity), ["a:1", "b", "env:prod"]);
        assert!(identity.series_tags.is_empty());
    }

    #[test]
    fn the_platforms_tags_count_more_than_the_users_but_not_more_than_dogstatsds() {
        let identity = identity(
            &[
                ("CONTAINER_APP_NAME", "shop"),
                ("DD_TAGS", "region:mine,team:x"),
                ("DD_DOGSTATSD_TAGS", "app_name:mine"),
            ],
            &Answers::new(),
        );
        let version = concat!("datadog_init_version:", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            tags(&identity),
            [
                "_dd.origin:containerapp",
                "aca.app.name:shop",
                "aca.app.region:unknown",
                "app_name:mine",
                "app_name:shop",
                version,
                "origin:containerapp",
                "region:unknown",
                "team:x",
            ]
        );
    }

    #[test]
    fn an_instance_tag_is_the_platforms_or_random() {
        let pod = [("KUBERNETES_SERVICE_HOST", "x"), ("POD_NAME", "shop-7f")];
        let tag = |choice: &str, variables: &[(&str, &str)]| {
            let variables = [variables, &[("LASTDROP_INSTANCE_TAG", choice)]].concat();
            let identity = identity(&variables, &Answers::new());
            identity.series_tags.iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tag("off", &pod), Vec::<String>::new());
        assert_eq!(tag("random", &pod), ["lastdrop_instance:00ff"]);
        assert_eq!(tag("platform", &pod), ["lastdrop_instance:shop-7f"]);
        assert_eq!(tag("platform", &[]), ["lastdrop_instance:00ff"]);
    }
}
