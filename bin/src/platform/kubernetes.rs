//! Kubernetes: what the pod's specification puts into the environment with the downward API.
//!
//! The variables have the names that the Kubernetes documentation uses for its examples; those that
//! are not set give no tag.

use super::{Tags, put};
use crate::config::sources::Environment;

/// Tags of a pod.
pub(super) fn tags(environment: &Environment) -> Tags {
    let mut tags = Tags::new();
    put(&mut tags, environment, "POD_NAME", &["pod_name"]);
    put(&mut tags, environment, "POD_NAMESPACE", &["kube_namespace"]);
    put(&mut tags, environment, "NODE_NAME", &["kube_node"]);
    put(&mut tags, environment, "POD_SERVICE_ACCOUNT", &["kube_service_account"]);
    tags
}
