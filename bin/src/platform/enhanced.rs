//! The metrics that the agent makes of itself on a platform: cold start, shutdown, processor.
//!
//! They go through the same socket, worker and payloads as an application's, as distributions. Where
//! two names stand, both are sent: the platform's newer one and the one that older dashboards know.
//! They bear the tags that everything bears; here stand those that come on top.

use super::{Platform, Tags, UNKNOWN, clean};
use std::time::Duration;

/// What the agent made its metrics of.
pub(crate) struct Enhanced {
    platform: Platform,
    /// What the environment says.
    tags: Tags,
}

impl Enhanced {
    /// The metrics of a platform; none where there are none.
    pub(crate) fn new(platform: Platform, tags: Tags) -> Option<Self> {
        let has_some =
            !matches!(platform, Platform::Fargate | Platform::Kubernetes | Platform::Local);
        has_some.then_some(Self { platform, tags })
    }

    /// What is sent when the agent starts: a datagram, one line a metric.
    pub(crate) fn at_start(&self) -> String {
        let names: &[&str] = match self.platform {
            Platform::CloudRunJob => &["gcp.run.job.enhanced.task.started"],
            Platform::Microvm => &["aws.lambda.microvm.enhanced.launch"],
            _ => return self.start_or_stop("cold_start"),
        };
        self.lines(names.iter().map(|name| ((*name).to_owned(), 1.0)), &[])
    }

    /// What is sent when it stops, before the seal. `succeeded` is known of a wrapped process alone.
    pub(crate) fn at_stop(&self, succeeded: Option<bool>, ran: Duration) -> String {
        match self.platform {
            Platform::CloudRunJob => {
                let succeeded = succeeded.map(|succeeded| format!("succeeded:{succeeded}"));
                let ran_ms = ran.as_secs_f64() * 1000.0;
                let metrics = [
                    ("gcp.run.job.enhanced.task.ended".to_owned(), 1.0),
                    ("gcp.run.job.enhanced.task.duration".to_owned(), ran_ms.round()),
                ];
                self.lines(metrics.into_iter(), succeeded.as_slice())
            }
            Platform::Microvm => {
                let name = "aws.lambda.microvm.enhanced.terminate".to_owned();
                self.lines(std::iter::once((name, 1.0)), &[])
            }
            _ => self.start_or_stop("shutdown"),
        }
    }

    /// What is sent now and then: that the instance is there, and what it uses, in nanocores.
    pub(crate) fn usage(&self, instance: &str, used: Option<f64>, limit: Option<f64>) -> String {
        let (prefix, presence) = match self.platform {
            Platform::CloudRunJob => ("gcp.run.job.enhanced", None),
            Platform::ContainerApps => ("azure.app_containerapps.enhanced", Some("replica")),
            Platform::AppService => ("azure.app_services.enhanced", Some("instance")),
            Platform::Microvm => ("aws.lambda.microvm.enhanced", Some("instance")),
            _ => ("gcp.run.container.enhanced", Some("instance")),
        };
        let values = [(presence, Some(1.0)), (Some("cpu.usage"), used), (Some("cpu.limit"), limit)];
        let metrics = values
            .into_iter()
            .filter_map(|(name, value)| Some((format!("{prefix}.{}", name?), value?.round())));
        let tag = presence.map(|key| format!("{key}:{instance}"));
        self.lines(metrics, tag.as_slice())
    }

    fn start_or_stop(&self, what: &str) -> String {
        let prefixes = match self.platform {
            Platform::ContainerApps => ["azure.app_containerapps", "azure.containerapp"],
            Platform::AppService => ["azure.app_services", "azure.appservice"],
            _ => ["gcp.run.container", "gcp.run"],
        };
        let names = prefixes.into_iter().map(|prefix| (format!("{prefix}.enhanced.{what}"), 1.0));
        self.lines(names, &[])
    }

    fn lines(&self, metrics: impl Iterator<Item = (String, f64)>, further: &[String]) -> String {
        let mut tags = self.base();
        tags.extend_from_slice(further);
        let tags = if tags.is_empty() { String::new() } else { format!("|#{}", tags.join(",")) };
        metrics.map(|(name, value)| format!("{name}:{value}|d{tags}\n")).collect()
    }

    /// Tags of these metrics that other metrics don't bear, by the names that their dashboards use.
    fn base(&self) -> Vec<String> {
        let pairs: &[(&str, &str)] = match self.platform {
            Platform::ContainerApps => &[("name", "app_name"), ("revisionname", "revision")],
            Platform::AppService => &[
                ("name", "app_name"),
                ("resource_group", "aas.resource.group"),
                ("subscription_id", "aas.subscription.id"),
            ],
            _ => &[],
        };
        let value = |key: &str| self.tags.get(key).and_then(|value| clean(value));
        let tag = |&(name, key): &(&str, &str)| {
            format!("{name}:{}", value(key).unwrap_or_else(|| UNKNOWN.to_owned()))
        };
        pairs.iter().map(tag).collect()
    }
}

/// What the names of these metrics begin with: no namespace is put before them.
pub(crate) const NAMES: [&str; 6] = [
    "aws.lambda.microvm.enhanced.",
    "azure.app_containerapps.enhanced.",
    "azure.app_services.enhanced.",
    "azure.appservice.enhanced.",
    "azure.containerapp.enhanced.",
    "gcp.run.",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn enhanced(platform: Platform, tags: &[(&'static str, &str)]) -> Enhanced {
        let tags = tags.iter().map(|&(key, value)| (key, value.to_owned())).collect();
        Enhanced::new(platform, tags).unwrap()
    }

    #[test]
    fn a_service_says_that_it_starts_and_stops_by_both_names() {
        let service = enhanced(Platform::CloudRunService, &[]);
        assert_eq!(
            service.at_start(),
            "gcp.run.container.enhanced.cold_start:1|d\ngcp.run.enhanced.cold_start:1|d\n"
        );
        let ran = Duration::from_secs(1);
        assert_eq!(
            service.at_stop(None, ran),
            "gcp.run.container.enhanced.shutdown:1|d\ngcp.run.enhanced.shutdown:1|d\n"
        );
        assert_eq!(
            service.usage("00ff", Some(12.4), None),
            "gcp.run.container.enhanced.instance:1|d|#instance:00ff\n\
             gcp.run.container.enhanced.cpu.usage:12|d|#instance:00ff\n"
        );
    }

    #[test]
    fn a_job_says_how_it_ended_and_how_long_it_took() {
        let job = enhanced(Platform::CloudRunJob, &[]);
        assert_eq!(job.at_start(), "gcp.run.job.enhanced.task.started:1|d\n");
        assert_eq!(
            job.at_stop(Some(false), Duration::from_millis(1500)),
            "gcp.run.job.enhanced.task.ended:1|d|#succeeded:false\n\
             gcp.run.job.enhanced.task.duration:1500|d|#succeeded:false\n"
        );
        assert_eq!(
            job.usage("x", None, Some(2e9)),
            "gcp.run.job.enhanced.cpu.limit:2000000000|d\n"
        );
    }

    #[test]
    fn azure_has_tags_of_its_own_and_says_unknown_where_it_does_not_know() {
        let app = enhanced(Platform::ContainerApps, &[("app_name", "shop")]);
        assert_eq!(
            app.at_start(),
            "azure.app_containerapps.enhanced.cold_start:1|d|#name:shop,revisionname:unknown\n\
             azure.containerapp.enhanced.cold_start:1|d|#name:shop,revisionname:unknown\n"
        );
    }

    #[test]
    fn there_are_none_where_the_platform_has_none() {
        for platform in [Platform::Fargate, Platform::Kubernetes, Platform::Local] {
            assert!(Enhanced::new(platform, Tags::new()).is_none());
        }
    }
}
