//! Platforms with the real program: what a metadata server says is on the metrics, and a server that
//! says nothing holds nothing up.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use serde_json::Value;
use std::net::TcpListener;
use std::process::Output;
use std::time::Instant;
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
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
    assert_eq!(asked.len(), 3);
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
