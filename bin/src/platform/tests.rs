//! Every platform by its environment: with all variables, and with each of them missing in turn.

use super::*;

type Variables<'a> = [(&'a str, &'a str)];

fn environment(variables: &Variables<'_>) -> Environment {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn google() -> Answers {
    Answers::from([
        ("container_id", "00FFAA".to_owned()),
        ("location", "projects/123/regions/Europe-West1".to_owned()),
        ("project_id", "my-project".to_owned()),
    ])
}

const SERVICE: &Variables<'_> =
    &[("K_SERVICE", "Shop"), ("K_REVISION", "shop-7"), ("K_CONFIGURATION", "shop")];
const FUNCTION: &Variables<'_> = &[
    ("K_SERVICE", "shop"),
    ("K_REVISION", "shop-7"),
    ("K_CONFIGURATION", "shop"),
    ("FUNCTION_TARGET", "handle"),
    ("FUNCTION_SIGNATURE_TYPE", "http"),
];
const JOB: &Variables<'_> = &[
    ("CLOUD_RUN_JOB", "nightly"),
    ("CLOUD_RUN_EXECUTION", "nightly-x7"),
    ("CLOUD_RUN_TASK_INDEX", "3"),
    ("CLOUD_RUN_TASK_ATTEMPT", "0"),
    ("CLOUD_RUN_TASK_COUNT", "10"),
];
const CONTAINER_APP: &Variables<'_> = &[
    ("CONTAINER_APP_NAME", "Shop"),
    ("CONTAINER_APP_ENV_DNS_SUFFIX", "happyhill-1.canadacentral.azurecontainerapps.io"),
    ("CONTAINER_APP_REVISION", "shop--1"),
    ("CONTAINER_APP_REPLICA_NAME", "shop--1-abc"),
    ("DD_AZURE_SUBSCRIPTION_ID", "SUB"),
    ("DD_AZURE_RESOURCE_GROUP", "Group"),
];
const APP_SERVICE: &Variables<'_> = &[
    ("WEBSITE_STACK", "NODE"),
    ("WEBSITE_SITE_NAME", "shop"),
    ("REGION_NAME", "East US"),
    ("WEBSITE_INSTANCE_ID", "abc"),
    ("COMPUTERNAME", "pc"),
    ("WEBSITE_RESOURCE_GROUP", "group"),
    ("WEBSITE_OWNER_NAME", "sub+group-EastUSwebspace-Linux"),
];
const MICROVM: &Variables<'_> =
    &[("AWS_LAMBDA_MICROVM_IMAGE_ARN", "arn:aws:lambda:eu-west-1:42:microvm-image:shop")];
const FARGATE: &Variables<'_> = &[("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x")];
const KUBERNETES: &Variables<'_> = &[
    ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ("POD_NAME", "shop-7f"),
    ("POD_NAMESPACE", "prod"),
    ("NODE_NAME", "node-1"),
    ("POD_SERVICE_ACCOUNT", "shop"),
];

const ALL: [(&Variables<'_>, Platform); 9] = [
    (SERVICE, Platform::CloudRunService),
    (FUNCTION, Platform::CloudRunFunction),
    (JOB, Platform::CloudRunJob),
    (CONTAINER_APP, Platform::ContainerApps),
    (APP_SERVICE, Platform::AppService),
    (MICROVM, Platform::Microvm),
    (FARGATE, Platform::Fargate),
    (KUBERNETES, Platform::Kubernetes),
    (&[], Platform::Local),
];

fn answers(platform: Platform) -> Answers {
    match platform {
        Platform::Fargate => Answers::from([("task", TASK.to_owned())]),
        Platform::CloudRunService | Platform::CloudRunFunction | Platform::CloudRunJob => google(),
        _ => Answers::new(),
    }
}

const TASK: &str = r#"{"Cluster":"arn:aws:ecs:us-west-2:111:cluster/Default",
    "TaskARN":"arn:aws:ecs:us-west-2:111:task/default/158d1c8083dd49d6b527399fd6414f5c",
    "Family":"shop","Revision":"26","AvailabilityZone":"us-west-2b","LaunchType":"FARGATE"}"#;

/// Checks all tags, in the order of their keys.
#[track_caller]
fn check(variables: &Variables<'_>, answers: &Answers, expected: &[&str]) {
    let environment = environment(variables);
    let tags = Platform::detect(&environment).tags(&environment, answers);
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    assert_eq!(tags, expected);
}

#[test]
fn presence_of_a_variable_decides_and_the_first_platform_counts() {
    for (variables, platform) in ALL {
        assert_eq!(Platform::detect(&environment(variables)), platform);
    }
    assert_eq!(Platform::detect(&environment(&[("K_SERVICE", "")])), Platform::CloudRunService);
    let both = [("CLOUD_RUN_JOB", "j"), ("KUBERNETES_SERVICE_HOST", "h"), ("WEBSITE_STACK", "")];
    assert_eq!(Platform::detect(&environment(&both)), Platform::CloudRunJob);
}

#[test]
fn a_service_has_its_tags_plain_and_with_prefix() {
    check(
        SERVICE,
        &google(),
        &[
            "_dd.origin:cloudrun",
            "configuration_name:shop",
            "container_id:00ffaa",
            "gcr.configuration_name:shop",
            "gcr.container_id:00ffaa",
            "gcr.location:europe-west1",
            "gcr.project_id:my-project",
            "gcr.resource_name:projects/my-project/locations/europe-west1/services/shop",
            "gcr.revision_name:shop-7",
            "gcr.service_name:shop",
            "location:europe-west1",
            "origin:cloudrun",
            "project_id:my-project",
            "revision_name:shop-7",
            "service_name:shop",
        ],
    );
}

#[test]
fn without_a_metadata_server_its_part_is_unknown() {
    check(
        JOB,
        &Answers::new(),
        &[
            "_dd.origin:cloudrunjobs",
            "container_id:unknown",
            "gcrj.container_id:unknown",
            "gcrj.execution_name:nightly-x7",
            "gcrj.job_name:nightly",
            "gcrj.location:unknown",
            "gcrj.project_id:unknown",
            "gcrj.resource_name:projects/unknown/locations/unknown/jobs/nightly",
            "gcrj.task_attempt:0",
            "gcrj.task_count:10",
            "gcrj.task_index:3",
            "job_name:nightly",
            "location:unknown",
            "origin:cloudrunjobs",
            "project_id:unknown",
        ],
    );
}

#[test]
fn a_function_names_its_target() {
    let environment = environment(FUNCTION);
    let tags = Platform::CloudRunFunction.tags(&environment, &google());
    assert_eq!(tags["gcrfx.build_function_target"], "handle");
    assert_eq!(tags["gcrfx.function_signature_type"], "http");
    assert_eq!(tags["gcrfx.service_name"], "shop");
    let resource = "projects/my-project/locations/europe-west1/services/shop";
    assert_eq!(tags["gcr.resource_name"], resource);
    assert_eq!(tags["gcrfx.resource_name"], format!("{resource}/functions/handle"));
    assert!(!tags.contains_key("gcr.service_name"));
}

#[test]
fn a_container_app_has_its_resource_id_and_its_region() {
    check(
        CONTAINER_APP,
        &Answers::new(),
        &[
            "_dd.origin:containerapp",
            "aca.app.name:shop",
            "aca.app.region:canadacentral",
            "aca.app.revision:shop--1",
            "aca.replica.name:shop--1-abc",
            "aca.resource.group:group",
            "aca.resource.id:/subscriptions/sub/resourcegroups/group/providers/microsoft.app/containerapps/shop",
            "aca.subscription.id:sub",
            "app_name:shop",
            "origin:containerapp",
            "region:canadacentral",
            "replica_name:shop--1-abc",
            "resource_group:group",
            "resource_id:/subscriptions/sub/resourcegroups/group/providers/microsoft.app/containerapps/shop",
            "revision:shop--1",
            "subscription_id:sub",
        ],
    );
}

#[test]
fn a_container_apps_job_has_no_region() {
    check(
        &[("CONTAINER_APP_NAME", "job")],
        &Answers::new(),
        &[
            "_dd.origin:containerapp",
            "aca.app.name:job",
            "aca.app.region:unknown",
            "app_name:job",
            "origin:containerapp",
            "region:unknown",
        ],
    );
}

#[test]
fn an_app_service_has_its_runtime_and_its_subscription() {
    let environment = environment(APP_SERVICE);
    let tags = Platform::AppService.tags(&environment, &Answers::new());
    assert_eq!(tags["aas.environment.runtime"], "node.js");
    assert_eq!(tags["aas.subscription.id"], "sub");
    assert_eq!(tags["region"], "east us");
    assert_eq!(tags["aas.site.type"], "app");
    let resource = "/subscriptions/sub/resourcegroups/group/providers/microsoft.web/sites/shop";
    assert_eq!(tags["aas.resource.id"], resource);
}

#[test]
fn a_task_has_what_its_metadata_say() {
    check(
        FARGATE,
        &answers(Platform::Fargate),
        &[
            "availability_zone:us-west-2b",
            "aws_account:111",
            "cluster_name:default",
            "ecs_cluster_name:default",
            "ecs_launch_type:fargate",
            "region:us-west-2",
            "task_arn:arn:aws:ecs:us-west-2:111:task/default/158d1c8083dd49d6b527399fd6414f5c",
            "task_family:shop",
            "task_version:26",
        ],
    );
    check(FARGATE, &Answers::from([("task", "{".to_owned())]), &[]);
}

#[test]
fn a_microvm_is_known_by_its_image() {
    check(
        MICROVM,
        &Answers::new(),
        &[
            "_dd.origin:lambdamicrovm",
            "account_id:42",
            "image_name:shop",
            "origin:lambdamicrovm",
            "region:eu-west-1",
            "resource_id:arn:aws:lambda:eu-west-1:42:microvm-image:shop",
            "resource_provider:aws",
            "resource_type:lambdamicrovm",
        ],
    );
}

/// For all platforms, with every single variable missing, empty or odd, with and without answers:
/// each tag has a value that can stand in a payload, and metrics bear none of an instance.
#[test]
fn a_variable_that_is_missing_or_odd_harms_nothing() {
    for (variables, platform) in ALL {
        for index in 0..variables.len() {
            for replacement in [None, Some(""), Some(":::"), Some("a,b|c\n"), Some("....")] {
                let mut changed = variables.to_vec();
                match replacement {
                    None => drop(changed.remove(index)),
                    Some(odd) => changed[index].1 = odd,
                }
                let environment = environment(&changed);
                for answers in [Answers::new(), answers(platform)] {
                    // Also as the platform that it isn't recognised as any more.
                    for platform in [platform, Platform::detect(&environment)] {
                        let tags = platform.tags(&environment, &answers);
                        let _ = platform.questions(&environment);
                        let _ = platform.instance(&environment, &answers);
                        for (key, value) in &tags {
                            assert!(
                                !value.is_empty() && !value.contains([',', '|', '\n']),
                                "{key}"
                            );
                        }
                        let metric = metric_tags(&tags);
                        assert!(!metric.iter().any(|tag| {
                            INSTANCE_TAGS.iter().any(|key| tag.starts_with(&format!("{key}:")))
                        }));
                    }
                }
            }
        }
    }
}

#[test]
fn an_instance_is_told_by_what_its_platform_says() {
    let expected = [
        Some("00ffaa"),
        Some("00ffaa"),
        Some("nightly-x7-3"),
        Some("shop--1-abc"),
        Some("abc"),
        None,
        Some("158d1c8083dd49d6b527399fd6414f5c"),
        Some("shop-7f"),
        None,
    ];
    for ((variables, platform), expected) in ALL.into_iter().zip(expected) {
        let instance = platform.instance(&environment(variables), &answers(platform));
        assert_eq!(instance.as_deref(), expected, "{}", platform.name());
    }
}
