//! Google Cloud Run: services, functions and jobs.
//!
//! The metadata server knows the container, the region and the project. The tags stand twice: plain,
//! and under the prefix of the kind (`gcr`, `gcrfx`, `gcrj`).

use super::{Answers, Flavor, Question, Tags, UNKNOWN, clean, put, put_all, value};
use crate::config::sources::Environment;

/// The metadata server.
const HOST: &str = "metadata.google.internal";

/// Names another one, as Google's own libraries have it.
const HOST_VARIABLE: &str = "GCE_METADATA_HOST";

/// What the metadata server is asked for.
pub(super) fn questions(environment: &Environment) -> Vec<Question> {
    let host = environment.value(HOST_VARIABLE).filter(|host| !host.is_empty()).unwrap_or(HOST);
    let paths = [
        ("container_id", "/instance/id"),
        ("location", "/instance/region"),
        ("project_id", "/project/project-id"),
    ];
    let question = |(name, path)| Question {
        name,
        url: format!("http://{host}/computeMetadata/v1{path}"),
        flavor: Flavor::Google,
    };
    paths.map(question).into()
}

/// Tags of a service.
pub(super) fn tags_of_service(environment: &Environment, answers: &Answers) -> Tags {
    let mut tags = Tags::new();
    put_answers(
        &mut tags,
        answers,
        [
            &["container_id", "gcr.container_id"],
            &["location", "gcr.location"],
            &["project_id", "gcr.project_id"],
        ],
    );
    put(&mut tags, environment, "K_SERVICE", &["service_name", "gcr.service_name"]);
    put(&mut tags, environment, "K_REVISION", &["revision_name", "gcr.revision_name"]);
    let configuration = ["configuration_name", "gcr.configuration_name"];
    put(&mut tags, environment, "K_CONFIGURATION", &configuration);
    let resource = format!("{}/services/{}", place(&tags), or_unknown(environment, "K_SERVICE"));
    tags.insert("gcr.resource_name", resource);
    tags
}

/// Tags of a function.
pub(super) fn tags_of_function(environment: &Environment, answers: &Answers) -> Tags {
    let mut tags = Tags::new();
    put_answers(
        &mut tags,
        answers,
        [
            &["container_id", "gcrfx.container_id"],
            &["location", "gcrfx.location"],
            &["project_id", "gcrfx.project_id"],
        ],
    );
    put(&mut tags, environment, "K_SERVICE", &["service_name", "gcrfx.service_name"]);
    put(&mut tags, environment, "K_REVISION", &["revision_name", "gcrfx.revision_name"]);
    let configuration = ["configuration_name", "gcrfx.configuration_name"];
    put(&mut tags, environment, "K_CONFIGURATION", &configuration);
    put(&mut tags, environment, "FUNCTION_TARGET", &["gcrfx.build_function_target"]);
    put(&mut tags, environment, "FUNCTION_SIGNATURE_TYPE", &["gcrfx.function_signature_type"]);
    let service = format!("{}/services/{}", place(&tags), or_unknown(environment, "K_SERVICE"));
    let function = format!("{service}/functions/{}", or_unknown(environment, "FUNCTION_TARGET"));
    tags.insert("gcr.resource_name", service);
    tags.insert("gcrfx.resource_name", function);
    tags
}

/// Tags of a job.
pub(super) fn tags_of_job(environment: &Environment, answers: &Answers) -> Tags {
    let mut tags = Tags::new();
    put_answers(
        &mut tags,
        answers,
        [
            &["container_id", "gcrj.container_id"],
            &["location", "gcrj.location"],
            &["project_id", "gcrj.project_id"],
        ],
    );
    put(&mut tags, environment, "CLOUD_RUN_JOB", &["job_name", "gcrj.job_name"]);
    put(&mut tags, environment, "CLOUD_RUN_EXECUTION", &["gcrj.execution_name"]);
    put(&mut tags, environment, "CLOUD_RUN_TASK_INDEX", &["gcrj.task_index"]);
    put(&mut tags, environment, "CLOUD_RUN_TASK_ATTEMPT", &["gcrj.task_attempt"]);
    put(&mut tags, environment, "CLOUD_RUN_TASK_COUNT", &["gcrj.task_count"]);
    let resource = format!("{}/jobs/{}", place(&tags), or_unknown(environment, "CLOUD_RUN_JOB"));
    tags.insert("gcrj.resource_name", resource);
    tags
}

/// Puts what the metadata server says of container, location and project under their keys. The
/// region comes as a path, of which the last part counts.
fn put_answers(tags: &mut Tags, answers: &Answers, keys: [&[&'static str]; 3]) {
    for keys in keys {
        let answer = keys.first().and_then(|name| answers.get(name));
        let last = answer.map(|answer| answer.rsplit('/').next().unwrap_or_default());
        let value = last.and_then(clean).unwrap_or_else(|| UNKNOWN.to_owned());
        put_all(tags, keys, &value);
    }
}

fn place(tags: &Tags) -> String {
    let tag = |key: &str| tags.get(key).map_or(UNKNOWN, String::as_str);
    format!("projects/{}/locations/{}", tag("project_id"), tag("location"))
}

fn or_unknown(environment: &Environment, name: &str) -> String {
    value(environment, name).unwrap_or_else(|| UNKNOWN.to_owned())
}
