//! Azure App Service: all of it stands in the environment.

use super::{Tags, UNKNOWN, put, value};
use crate::config::sources::Environment;

/// Tags of a site.
pub(super) fn tags(environment: &Environment) -> Tags {
    let mut tags = Tags::new();
    put(&mut tags, environment, "WEBSITE_SITE_NAME", &["app_name", "aas.site.name"]);
    put(&mut tags, environment, "REGION_NAME", &["region"]);
    put(&mut tags, environment, "WEBSITE_INSTANCE_ID", &["aas.environment.instance_id"]);
    put(&mut tags, environment, "COMPUTERNAME", &["aas.environment.instance_name"]);
    put(&mut tags, environment, "WEBSITE_RESOURCE_GROUP", &["aas.resource.group"]);
    tags.insert("aas.environment.os", std::env::consts::OS.to_owned());
    tags.insert("aas.environment.runtime", runtime(environment));
    tags.insert("aas.site.kind", "app".to_owned());
    tags.insert("aas.site.type", site_type(environment).to_owned());
    let owner = value(environment, "WEBSITE_OWNER_NAME");
    let subscription = owner.as_deref().and_then(|owner| owner.split('+').next());
    if let Some(subscription) = subscription.filter(|subscription| !subscription.is_empty()) {
        tags.insert("aas.subscription.id", subscription.to_owned());
    }
    if let (Some(subscription), Some(group), Some(site)) =
        (tags.get("aas.subscription.id"), tags.get("aas.resource.group"), tags.get("aas.site.name"))
    {
        let resource = format!(
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.web/sites/\
             {site}"
        );
        tags.insert("aas.resource.id", resource);
    }
    tags
}

/// The stack; a container of the user's own has none, but Docker's version.
fn runtime(environment: &Environment) -> String {
    let stack = value(environment, "WEBSITE_STACK");
    let docker = value(environment, "DOCKER_SERVER_VERSION");
    match (stack.as_deref(), docker) {
        (Some("docker"), _) | (None, Some(_)) => "container".to_owned(),
        (Some("node"), _) => "node.js".to_owned(),
        (Some("dotnetcore"), _) => ".net".to_owned(),
        (Some("tomcat"), _) => "java".to_owned(),
        (Some(stack), _) => stack.to_owned(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

fn site_type(environment: &Environment) -> &'static str {
    let function = ["FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION"];
    if function.into_iter().any(|name| environment.value(name).is_some()) {
        "function"
    } else {
        "app"
    }
}
