//! Platforms with the real program: what a metadata server says is on the metrics, and a server that
//! says nothing holds nothing up.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Output;
use std::time::Instant;
use support::port::free_port;
use support::{KEY, PATIENCE, Request, lastdrop};

/// What a job of Cloud Run finds in its environment.
const JOB: [(&str, &str); 3] =
    [("CLOUD_RUN_JOB", "nightly"), ("CLOUD_RUN_EXECUTION", "x7"), ("CLOUD_RUN_TASK_INDEX", "3")];

/// Runs a command that sends two datagrams and exits with a status; with a free port, and payloads that
/// can be read.
fn init(variables: &[(&str, &str)], status: u8) -> Output {
    let script = format!(
        "printf 'page.views:3|c\\npage.time:4|d' > /dev/udp/127.0.0.1/$DD_DOGSTATSD_PORT; exit {status}"
    );
    let port = free_port();
    lastdrop(&["init", "--", "bash", "-c", &script])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DD_DOGSTATSD_PORT", port.to_string())
        .env("DD_SERIALIZER_COMPRESSOR_KIND", "none")
        .env("LASTDROP_CONTROL_SOCKET", "off")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The receipt: the last line of standard error.
fn receipt(output: &Output) -> Value {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// All bodies of a path as text; strings stand in them as they are.
fn bodies(requests: &[Request], path: &str) -> String {
    let of_path = requests.iter().filter(|request| request.path == path);
    of_path.map(|request| String::from_utf8_lossy(&request.body)).collect()
}

#[test]
fn a_job_bears_what_the_metadata_server_says_and_tells_how_it_ended() {
    let (intake_url, requests) = support::intake();
    let (metadata_url, asked) = support::server(
        |_| "200 OK",
        |path| match path {
            "/computeMetadata/v1/instance/region" => "projects/12/regions/Europe-West1",
            "/computeMetadata/v1/project/project-id" => "shop",
            _ => "00ffaa",
        },
    );
    let host = metadata_url.strip_prefix("http://").unwrap();
    let variables = [("DD_API_KEY", KEY), ("DD_DD_URL", &intake_url), ("GCE_METADATA_HOST", host)];
    let output = init(&[&JOB[..], &variables].concat(), 7);
    assert_eq!(output.status.code(), Some(7));
    let receipt = receipt(&output);
    assert_eq!((&receipt["lossless"], &receipt["balanced"]), (&true.into(), &true.into()));
    assert_eq!(receipt["receivers"]["received"]["udp"], 2);
    assert!(receipt["receivers"]["received"]["own"].as_u64() >= Some(2), "{receipt}");
    let requests: Vec<Request> = requests.try_iter().collect();
    let (series, sketches) =
        (bodies(&requests, "/api/v2/series"), bodies(&requests, "/api/beta/sketches"));
    for tag in
        ["location:europe-west1", "project_id:shop", "job_name:nightly", "origin:cloudrunjobs"]
    {
        assert!(series.contains(tag) && sketches.contains(tag), "{tag}");
    }
    for metric in ["task.started", "task.ended", "task.duration", "succeeded:false"] {
        assert!(sketches.contains(metric), "{metric}");
    }
    assert!(!series.contains("container_id") && !series.contains("execution_name"), "{series}");
    let asked: Vec<Request> = asked.try_iter().collect();
    // One that is not answered soon is asked once more.
    let paths: BTreeSet<_> = asked.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert!(asked.iter().all(|request| request.head.contains("\r\nMetadata-Flavor: Google\r\n")));
}

#[test]
fn a_silent_metadata_server_makes_tags_unknown_and_delays_the_end_by_its_bound_at_most() {
    let (intake_url, requests) = support::intake();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let variables = [("DD_API_KEY", KEY), ("DD_DD_URL", &intake_url), ("GCE_METADATA_HOST", &host)];
    let began = Instant::now();
    let output = init(&[&JOB[..], &variables].concat(), 0);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(receipt(&output)["lossless"], true);
    let requests: Vec<Request> = requests.try_iter().collect();
    assert!(bodies(&requests, "/api/v2/series").contains("location:unknown"));
}

#[test]
fn a_task_of_fargate_bears_its_family_and_its_instance_on_series_alone() {
    let (intake_url, requests) = support::intake();
    let (metadata_url, _asked) = support::server(
        |_| "200 OK",
        |_| r#"{"Cluster":"Default","TaskARN":"arn:aws:ecs:eu-west-1:42:task/default/0abc","Family":"shop"}"#,
    );
    let variables = [
        ("DD_API_KEY", KEY),
        ("DD_DD_URL", &intake_url),
        ("ECS_CONTAINER_METADATA_URI_V4", &metadata_url),
        ("LASTDROP_INSTANCE_TAG", "platform"),
    ];
    let output = init(&variables, 0);
    assert_eq!(receipt(&output)["lossless"], true);
    let requests: Vec<Request> = requests.try_iter().collect();
    let series = bodies(&requests, "/api/v2/series");
    assert!(series.contains("task_family:shop") && series.contains("lastdrop_instance:0abc"));
    let sketches = bodies(&requests, "/api/beta/sketches");
    assert!(sketches.contains("task_family:shop") && !sketches.contains("lastdrop_instance"));
    assert!(!series.contains("task_arn"));
}

#[test]
fn without_a_key_no_metadata_server_is_asked() {
    let (metadata_url, asked) = support::server(|_| "200 OK", |_| "x");
    let host = metadata_url.strip_prefix("http://").unwrap();
    let output = init(&[&JOB[..], &[("GCE_METADATA_HOST", host)]].concat(), 5);
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(asked.try_iter().count(), 0);
}

/// The agent's own counters go the way of all metrics and stand in the ledger as its own.
#[test]
fn self_metrics_are_sent_where_they_are_switched_on() {
    let (intake_url, requests) = support::intake();
    let variables = [
        ("DD_API_KEY", KEY),
        ("DD_DD_URL", &intake_url),
        ("LASTDROP_SELF_METRICS", "true"),
        ("DD_STATSD_METRIC_NAMESPACE", "shop"),
    ];
    let receipt = receipt(&init(&variables, 0));
    assert_eq!(receipt["lossless"], true, "{receipt}");
    assert_eq!(receipt["receivers"]["received"], serde_json::json!({ "udp": 2, "own": 1 }));
    let requests: Vec<Request> = requests.try_iter().collect();
    let series = bodies(&requests, "/api/v2/series");
    assert!(series.contains("shop.page.views") && series.contains("lastdrop.contexts"));
    assert!(!series.contains("shop.lastdrop"));
}

#[test]
fn own_metrics_can_be_switched_off() {
    let output = init(&[&JOB[..], &[("DD_ENHANCED_METRICS", "false")]].concat(), 0);
    let receipt = receipt(&output);
    assert_eq!(receipt["receivers"]["received"], serde_json::json!({ "udp": 2 }));
}

/// What a platform puts into the environment, with the tags on metrics that each variable makes.
struct Row {
    /// The variable by which the platform is recognised.
    detected_by: &'static str,
    variables: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Tags that no variable makes.
    others: &'static [&'static str],
}

const ROWS: [Row; 8] = [
    Row {
        detected_by: "K_SERVICE",
        variables: &[
            ("K_SERVICE", "svc-a", &["service_name:svc-a", "gcr.service_name:svc-a"]),
            ("K_REVISION", "rev-b", &["revision_name:rev-b", "gcr.revision_name:rev-b"]),
            ("K_CONFIGURATION", "conf-c", &["gcr.configuration_name:conf-c"]),
        ],
        others: &["origin:cloudrun", "gcr.location:eu-9", "gcr.project_id:shop"],
    },
    Row {
        detected_by: "K_SERVICE",
        variables: &[
            ("K_SERVICE", "svc-a", &["gcrfx.service_name:svc-a"]),
            ("K_REVISION", "rev-b", &["gcrfx.revision_name:rev-b"]),
            ("K_CONFIGURATION", "conf-c", &["gcrfx.configuration_name:conf-c"]),
            // Without it this is a service.
            ("FUNCTION_TARGET", "target-d", &["gcrfx.build_function_target:target-d"]),
            ("FUNCTION_SIGNATURE_TYPE", "sig-e", &["gcrfx.function_signature_type:sig-e"]),
        ],
        others: &["origin:cloudrun", "location:eu-9", "project_id:shop"],
    },
    Row {
        detected_by: "CLOUD_RUN_JOB",
        variables: &[
            ("CLOUD_RUN_JOB", "job-a", &["job_name:job-a", "gcrj.job_name:job-a"]),
            // These tell instances apart, and are on no metric.
            ("CLOUD_RUN_EXECUTION", "execution-b", &[]),
            ("CLOUD_RUN_TASK_INDEX", "31", &[]),
            ("CLOUD_RUN_TASK_ATTEMPT", "32", &[]),
            ("CLOUD_RUN_TASK_COUNT", "33", &[]),
        ],
        others: &["origin:cloudrunjobs", "gcrj.location:eu-9", "gcrj.project_id:shop"],
    },
    Row {
        detected_by: "CONTAINER_APP_NAME",
        variables: &[
            ("CONTAINER_APP_NAME", "app-a", &["app_name:app-a", "aca.app.name:app-a"]),
            ("CONTAINER_APP_ENV_DNS_SUFFIX", "x.region-b.azure.io", &["aca.app.region:region-b"]),
            ("CONTAINER_APP_REVISION", "rev-c", &["revision:rev-c", "aca.app.revision:rev-c"]),
            ("CONTAINER_APP_REPLICA_NAME", "replica-d", &[]),
            ("DD_AZURE_SUBSCRIPTION_ID", "sub-e", &["aca.subscription.id:sub-e"]),
            ("DD_AZURE_RESOURCE_GROUP", "group-f", &["aca.resource.group:group-f"]),
        ],
        others: &["origin:containerapp"],
    },
    Row {
        detected_by: "WEBSITE_STACK",
        variables: &[
            ("WEBSITE_STACK", "stack-a", &["aas.environment.runtime:stack-a"]),
            ("WEBSITE_SITE_NAME", "site-b", &["app_name:site-b", "aas.site.name:site-b"]),
            ("REGION_NAME", "region-c", &["region:region-c"]),
            ("WEBSITE_INSTANCE_ID", "instance-d", &["aas.environment.instance_id:instance-d"]),
            ("COMPUTERNAME", "computer-e", &["aas.environment.instance_name:computer-e"]),
            ("WEBSITE_RESOURCE_GROUP", "group-f", &["aas.resource.group:group-f"]),
            ("WEBSITE_OWNER_NAME", "owner-g+x", &["aas.subscription.id:owner-g"]),
            ("FUNCTIONS_WORKER_RUNTIME", "worker-h", &[]),
        ],
        others: &["origin:appservice", "aas.site.kind:app"],
    },
    Row {
        detected_by: "AWS_LAMBDA_MICROVM_IMAGE_ARN",
        variables: &[(
            "AWS_LAMBDA_MICROVM_IMAGE_ARN",
            "arn:aws:lambda:region-a:42:microvm-image:image-b",
            &["region:region-a", "account_id:42", "image_name:image-b"],
        )],
        others: &["origin:lambdamicrovm", "resource_provider:aws"],
    },
    Row {
        detected_by: "ECS_CONTAINER_METADATA_URI_V4",
        variables: &[("ECS_CONTAINER_METADATA_URI_V4", METADATA, &["task_family:family-a"])],
        others: &[],
    },
    Row {
        detected_by: "KUBERNETES_SERVICE_HOST",
        variables: &[
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1", &[]),
            ("POD_NAME", "pod-b", &[]),
            ("POD_NAMESPACE", "space-c", &["kube_namespace:space-c"]),
            ("NODE_NAME", "node-d", &["kube_node:node-d"]),
            ("POD_SERVICE_ACCOUNT", "account-e", &["kube_service_account:account-e"]),
        ],
        others: &[],
    },
];

/// Stands for the address of the metadata server.
const METADATA: &str = "the metadata server";

/// For all platforms, with all variables and with every single one missing in turn: the program ends
/// as its command does, nothing panics, nothing is lost, the tags of the variables that are there are
/// on the metrics, and nothing of the one that isn't.
#[test]
fn every_variable_of_every_platform_may_be_missing() {
    let (intake_url, requests) = support::intake();
    let (metadata_url, _asked) = support::server(
        |_| "200 OK",
        |path| match path {
            "/computeMetadata/v1/instance/region" => "projects/12/regions/eu-9",
            "/computeMetadata/v1/project/project-id" => "shop",
            "/task" => r#"{"Family":"family-a"}"#,
            _ => "00ffaa",
        },
    );
    let host = metadata_url.strip_prefix("http://").unwrap();
    let common = [("DD_API_KEY", KEY), ("DD_DD_URL", &intake_url), ("GCE_METADATA_HOST", host)];
    for row in ROWS {
        for missing in [None].into_iter().chain((0..row.variables.len()).map(Some)) {
            let variables: Vec<_> = row
                .variables
                .iter()
                .enumerate()
                .filter(|(index, _)| Some(*index) != missing)
                .map(|(_, (name, value, _))| {
                    (*name, if *value == METADATA { metadata_url.as_str() } else { *value })
                })
                .collect();
            let output = init(&[&variables[..], &common].concat(), 5);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{said}");
            assert!(!said.contains("panicked at"), "{said}");
            let receipt = receipt(&output);
            assert_eq!(receipt["lossless"], true, "{receipt}");
            assert_eq!(receipt["panicked"], serde_json::json!([]));
            let requests: Vec<Request> = requests.try_iter().collect();
            let series = bodies(&requests, "/api/v2/series");
            assert!(series.contains("page.views"));
            if missing.is_some_and(|missing| row.variables[missing].0 == row.detected_by) {
                continue;
            }
            let as_service = missing.is_some_and(|m| row.variables[m].0 == "FUNCTION_TARGET");
            for (index, (name, value, tags)) in row.variables.iter().enumerate() {
                let is_there = Some(index) != missing;
                if tags.is_empty() || !is_there {
                    assert!(!series.contains(&format!(":{value}")), "{name} {missing:?}: {series}");
                }
                for tag in tags.iter().filter(|_| is_there && !as_service) {
                    assert!(series.contains(tag), "{tag} {missing:?}: {series}");
                }
            }
            assert!(row.others.iter().all(|tag| series.contains(tag)), "{missing:?}: {series}");
        }
    }
}
