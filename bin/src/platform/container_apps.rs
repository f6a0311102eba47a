//! Azure Container Apps: all of it stands in the environment. Jobs have the name but not the suffix
//! that the region is read from.

use super::{Tags, UNKNOWN, put, put_all, value};
use crate::config::sources::Environment;

/// Tags of an app or job.
pub(super) fn tags(environment: &Environment) -> Tags {
    let mut tags = Tags::new();
    put(&mut tags, environment, "CONTAINER_APP_NAME", &["app_name", "aca.app.name"]);
    put_all(&mut tags, &["region", "aca.app.region"], &region(environment));
    put(&mut tags, environment, "CONTAINER_APP_REVISION", &["revision", "aca.app.revision"]);
    let replica = ["replica_name", "aca.replica.name"];
    put(&mut tags, environment, "CONTAINER_APP_REPLICA_NAME", &replica);
    let subscription = ["subscription_id", "aca.subscription.id"];
    put(&mut tags, environment, "DD_AZURE_SUBSCRIPTION_ID", &subscription);
    let group = ["resource_group", "aca.resource.group"];
    put(&mut tags, environment, "DD_AZURE_RESOURCE_GROUP", &group);
    if let (Some(subscription), Some(group), Some(name)) =
        (tags.get("subscription_id"), tags.get("resource_group"), tags.get("app_name"))
    {
        let resource = format!(
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.app/\
             containerapps/{name}"
        );
        put_all(&mut tags, &["resource_id", "aca.resource.id"], &resource);
    }
    tags
}

/// The third label from the end of `happyhill-70162bb9.canadacentral.azurecontainerapps.io`.
fn region(environment: &Environment) -> String {
    let suffix = value(environment, "CONTAINER_APP_ENV_DNS_SUFFIX");
    let label = suffix.as_deref().and_then(|suffix| suffix.rsplit('.').nth(2));
    label.filter(|label| !label.is_empty()).unwrap_or(UNKNOWN).to_owned()
}
