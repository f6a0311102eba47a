//! The settings of a vector: names are the reference agent's, what is missing is at its default.

use lastdrop_engine::enrich::{
    Blocklist, Mapper, Mapping, MetricHost, NameMatch, Namespace, Profile, Settings,
};
use lastdrop_engine::message::{ClientOrigin, Options, Timestamps};
use serde_json::{Value, json};

/// Which fields of a message are read.
pub(crate) fn options(config: &Value) -> Options {
    let mut options = Options::default();
    if config["dogstatsd_no_aggregation_pipeline"] == json!(false) {
        options.timestamps = Timestamps::Ignore;
    }
    if config["dogstatsd_origin_detection_client"] == json!(true) {
        options.client_origin = ClientOrigin::Read;
    }
    options
}

/// What is made of names and tags.
pub(crate) fn enrichment(config: &Value) -> Settings {
    let string = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
    let is_set = |key: &str| config[key] == json!(true);
    let namespace_exclusions = match &config["statsd_metric_namespace_blacklist"] {
        Value::Null => Namespace::EXCLUSIONS.map(String::from).to_vec(),
        list => strings(list),
    };
    let name_match = match is_set("statsd_metric_blocklist_match_prefix") {
        true => NameMatch::Prefix,
        false => NameMatch::Exact,
    };
    let profiles: Vec<_> = list(&config["dogstatsd_mapper_profiles"]).map(profile).collect();
    Settings {
        hostname: string("hostname"),
        metric_host: match config["serverless"] == json!(false) {
            true => MetricHost::Named,
            false => MetricHost::Never,
        },
        namespace: Namespace::new(&string("statsd_metric_namespace"), namespace_exclusions),
        blocklist: Blocklist::new(strings(&config["statsd_metric_blocklist"]), name_match),
        mapper: Mapper::new(&profiles).expect("a good mapper"),
        extra_tags: strings(&config["dogstatsd_tags"]),
        histogram_copy_prefix: is_set("histogram_copy_to_distribution")
            .then(|| string("histogram_copy_to_distribution_prefix")),
    }
}

fn profile(profile: &Value) -> Profile {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mapping = |mapping: &Value| Mapping {
        pattern: string(&mapping["match"]),
        match_type: string(&mapping["match_type"]),
        name: string(&mapping["name"]),
        tags: mapping["tags"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), string(value)))
            .collect(),
    };
    Profile {
        name: string(&profile["name"]),
        prefix: string(&profile["prefix"]),
        mappings: list(&profile["mappings"]).map(mapping).collect(),
    }
}

/// The elements of a list; none if there is no list.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The strings of a list; none if there is no list.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    list(value).map(|text| text.as_str().expect("a string").to_owned()).collect()
}
