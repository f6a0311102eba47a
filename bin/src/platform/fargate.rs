//! Amazon ECS: the task metadata endpoint, version 4, whose URL stands in the environment.

use super::{Answers, Flavor, Question, Tags, clean};
use crate::config::sources::Environment;
use serde_json::Value;

/// Names the endpoint; its presence tells the platform.
pub(super) const METADATA_VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// What the endpoint is asked for: one document tells all.
pub(super) fn questions(environment: &Environment) -> Vec<Question> {
    let url = environment.value(METADATA_VARIABLE).filter(|url| !url.is_empty());
    let question =
        |url| Question { name: "task", url: format!("{url}/task"), flavor: Flavor::Plain };
    url.map(question).into_iter().collect()
}

/// Tags of a task; none without an answer.
pub(super) fn tags(answers: &Answers) -> Tags {
    let mut tags = Tags::new();
    let Some(task) = answers.get("task") else { return tags };
    let Ok(task) = serde_json::from_str::<Value>(task) else { return tags };
    let field = |name: &str| task.get(name).and_then(Value::as_str).and_then(clean);
    // A name, or an ARN that ends in it.
    let cluster = field("Cluster").and_then(|cluster| clean(cluster.rsplit('/').next()?));
    let arn = field("TaskARN");
    let mut arn_parts = arn.as_deref().unwrap_or_default().split(':').skip(3);
    let (region, account) = (arn_parts.next(), arn_parts.next());
    for (key, found) in [
        ("ecs_cluster_name", cluster.clone()),
        ("cluster_name", cluster),
        ("task_family", field("Family")),
        ("task_version", field("Revision")),
        ("availability_zone", field("AvailabilityZone")),
        ("ecs_launch_type", field("LaunchType")),
        ("region", region.and_then(clean)),
        ("aws_account", account.and_then(clean)),
        ("task_arn", arn.clone()),
    ] {
        if let Some(value) = found {
            tags.insert(key, value);
        }
    }
    tags
}
