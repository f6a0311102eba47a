//! The configuration as a whole: precedence, provenance, errors, notices.

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;

use super::types::{Port, Receipt};
use super::*;
use crate::cli::{Cli, Command};

/// A key of 32 characters, as real ones are. Nothing may print it.
const SECRET: &str = "5ecre75ecre75ecre75ecre75ecre7ab";

/// The flags of a command line.
fn flags(line: &[&str]) -> Flags {
    let line = ["lastdrop", "run"].iter().chain(line);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Run(run) => run.flags,
        _ => panic!("not run"),
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn sources(line: &[&str], variables: &[(&str, &str)], file: &str) -> Sources {
    let document = Document::parse(Path::new("/etc/dd.yaml"), file).unwrap();
    Sources {
        flags: flags(line),
        environment: environment(variables),
        document: Some(document),
        key_file: None,
    }
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    resolve(&sources(&[], variables, ""))
}

fn from_file(file: &str) -> Result<Config, ConfigError> {
    resolve(&sources(&[], &[], file))
}

/// A setting as it is shown: value and source.
fn shown(config: &Config, name: &str) -> (String, String) {
    let setting = config.setting(name).unwrap();
    (print::plain(&setting.shown), setting.source.to_string())
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

/// What is warned of, save the missing key.
fn notices(config: &Config) -> Vec<String> {
    let all = config.notices.iter().map(ToString::to_string);
    all.filter(|notice| !notice.starts_with("no API key")).collect()
}

fn error_of(result: Result<Config, ConfigError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

/// For all sets of sources: the one that counts most decides, and is named.
#[test]
fn flag_goes_before_environment_before_file_before_default() {
    let flag: &[&str] = &["--dogstatsd-port=1"];
    let variable: &[(&str, &str)] = &[("DD_DOGSTATSD_PORT", "2")];
    let file = "# ports\ndogstatsd_port: 3\n";
    for (line, variables, file, expected) in [
        (flag, variable, file, pair("1", "flag --dogstatsd-port")),
        (flag, variable, "", pair("1", "flag --dogstatsd-port")),
        (flag, &[][..], file, pair("1", "flag --dogstatsd-port")),
        (flag, &[][..], "", pair("1", "flag --dogstatsd-port")),
        (&[][..], variable, file, pair("2", "environment DD_DOGSTATSD_PORT")),
        (&[][..], variable, "", pair("2", "environment DD_DOGSTATSD_PORT")),
        (&[][..], &[][..], file, pair("3", "/etc/dd.yaml:2")),
        (&[][..], &[][..], "", pair("8125", "default")),
    ] {
        let config = resolve(&sources(line, variables, file)).unwrap();
        assert_eq!(shown(&config, "dogstatsd_port"), expected);
    }
}

#[test]
fn of_several_variables_the_first_that_is_set_counts() {
    let both = [("DD_URL", "http://second"), ("DD_DD_URL", "http://first")];
    let config = from_environment(&both).unwrap();
    assert_eq!(shown(&config, "dd_url"), pair("http://first", "environment DD_DD_URL"));
    let config = from_environment(&both[..1]).unwrap();
    assert_eq!(shown(&config, "dd_url"), pair("http://second", "environment DD_URL"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = resolve(&sources(&[], &[("DD_SITE", "")], "site: datadoghq.eu")).unwrap();
    assert_eq!(shown(&config, "site"), pair("datadoghq.eu", "/etc/dd.yaml:1"));
}

/// For all keys: the default is a good value of its kind.
#[test]
fn nothing_set_gives_the_defaults_and_one_notice() {
    let config = resolve(&Sources::default()).unwrap();
    assert!(config.settings.iter().all(|setting| setting.source == Source::Default));
    assert_eq!(config.dogstatsd.port, Port::Fixed(8125.try_into().unwrap()));
    assert_eq!(config.process.stop_timeout, Duration::from_secs(8));
    assert_eq!(config.process.linger, Duration::from_secs(2));
    assert_eq!(config.process.receipt, Receipt::Stderr);
    assert_eq!(config.aggregation.histogram_percentiles, [95]);
    assert_eq!(config.enrichment.namespace_exclusions.len(), 21);
    assert_eq!(config.forwarder.retry_queue_bytes_max, 15 << 20);
    assert_eq!(config.dogstatsd.non_local_traffic, None);
    assert!(config.aggregation.flush_incomplete_buckets);
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        ["no API key: metrics are received but not sent; set DD_API_KEY"],
        "the only thing to warn of"
    );
}

/// For all keys that take no bad value: one is an error that names key, value, place and what is accepted.
#[test]
fn a_bad_value_is_told_in_one_line() {
    for (variable, value) in [
        ("DD_DOGSTATSD_PORT", "banana"),
        ("DD_DOGSTATSD_PORT", "65536"),
        ("DD_DOGSTATSD_PORT", "-1"),
        ("DD_BIND_HOST", "http://x"),
        ("DD_SITE", "https://datadoghq.eu"),
        ("DD_DD_URL", "app.datadoghq.eu"),
        ("DD_TAGS", "a\u{7}b"),
        ("DD_LOG_LEVEL", "loud"),
        ("LASTDROP_STOP_TIMEOUT", "soon"),
        ("LASTDROP_STOP_TIMEOUT", "-1s"),
        ("LASTDROP_STOP_TIMEOUT", "8 parsecs"),
        ("LASTDROP_STOP_TIMEOUT", "1e300h"),
        ("LASTDROP_BURST_BYTES", "8MB"),
        ("LASTDROP_BURST_BYTES", "99999999999GiB"),
        ("LASTDROP_RECEIVERS", "0"),
        ("LASTDROP_WORKERS", "65"),
        ("LASTDROP_PIN", "maybe"),
        ("DD_USE_DOGSTATSD", "maybe"),
        ("DD_DOGSTATSD_BUFFER_SIZE", "0"),
        ("DD_ENV", "a,b"),
        ("DD_FORWARDER_TIMEOUT", "0"),
        ("DD_FORWARDER_BACKOFF_BASE", "x"),
        ("DD_SERIALIZER_ZSTD_COMPRESSOR_LEVEL", "99"),
        ("DD_FORWARDER_STORAGE_MAX_DISK_RATIO", "80"),
        ("HTTP_PROXY", "ftp://x"),
        ("LASTDROP_STRICT", "maybe"),
    ] {
        let error = error_of(from_environment(&[(variable, value)]));
        let front = format!("{variable}: {value:?} is not ");
        assert!(error.starts_with(&front), "{variable}={value}: {error}");
        assert!(error.contains(" (from the environment; accepted: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn an_error_names_the_place_as_the_user_wrote_it() {
    assert_eq!(
        error_of(from_environment(&[("DD_DOGSTATSD_PORT", "banana")])),
        "DD_DOGSTATSD_PORT: \"banana\" is not a port (from the environment; accepted: 0 to 65535, \
         or __random__)"
    );
    assert_eq!(
        error_of(resolve(&sources(&["--pin=x"], &[], ""))),
        "--pin: \"x\" is not a way to pin (from the command line; accepted: auto, always, never)"
    );
    assert_eq!(
        error_of(from_file("a: 1\nbind_host: [x]\n")),
        "bind_host: a list is not a host (from /etc/dd.yaml:2; accepted: a name or an address, \
         without a port)"
    );
}

#[test]
fn a_long_bad_value_is_cut() {
    let error = error_of(from_environment(&[("DD_DOGSTATSD_PORT", &"9".repeat(1000))]));
    assert!(error.contains("999…\""), "{error}");
    assert!(error.len() < 200, "{error}");
}

#[test]
fn every_receiver_needs_a_worker() {
    let error = error_of(from_environment(&[("LASTDROP_RECEIVERS", "2")]));
    assert!(error.contains("1 is fewer than lastdrop_receivers (2)"), "{error}");
}

#[test]
fn the_api_key_is_trimmed() {
    let config = from_environment(&[("DD_API_KEY", &format!(" {SECRET}\n"))]).unwrap();
    assert_eq!(config.intake.api_key.unwrap().expose(), SECRET);
    assert!(config.notices.is_empty());
}

/// For all ways not to have a key: metrics are received but not sent, and one line says so.
#[test]
fn without_a_usable_key_one_line_says_so() {
    for (value, expected) in [
        ("", "no API key: metrics are received"),
        (" \t ", "no API key: metrics are received"),
        ("ENC[vault/key]", "no API key: DD_API_KEY holds a placeholder"),
        ("${DD_KEY}", "no API key: DD_API_KEY holds a placeholder"),
        ("$(DD_KEY)", "no API key: DD_API_KEY holds a placeholder"),
        ("<YOUR_API_KEY>", "no API key: DD_API_KEY holds a placeholder"),
    ] {
        let config = from_environment(&[("DD_API_KEY", value)]).unwrap();
        assert_eq!(config.intake.api_key, None, "{value:?}");
        let [notice] = &config.notices[..] else { panic!("{value:?}: {:?}", config.notices) };
        assert!(notice.to_string().starts_with(expected), "{value:?}: {notice}");
    }
}

#[test]
fn a_key_that_would_break_a_header_is_an_error_that_does_not_show_it() {
    let error = error_of(from_environment(&[("DD_API_KEY", &format!("{SECRET}\r\nX-Evil: 1"))]));
    assert!(error.starts_with("DD_API_KEY: the value (not shown) is not an API key"), "{error}");
}

/// For all keys but the API key: a reference to a secret is refused wherever it stands.
#[test]
fn an_unresolved_secret_is_refused() {
    let refused = |error: String| {
        assert!(error.contains("the reference to a secret (ENC[…]) is not resolved"), "{error}");
        assert!(!error.contains("handle"), "{error}");
    };
    refused(error_of(from_environment(&[("DD_TAGS", "env:ENC[handle]")])));
    refused(error_of(from_environment(&[("DD_DOGSTATSD_PORT", "ENC[handle]")])));
    refused(error_of(from_file("tags: [a, 'b:ENC[handle]']")));
}

#[test]
fn the_key_file_counts_where_no_key_is_set_as_high() {
    let wanted = |line: &[(&str, &str)], file: &str| wanted_key_file(&sources(&[], line, file));
    let path = Some(PathBuf::from("/run/key"));
    let variable = ("DD_API_KEY_FILE", "/run/key");
    assert_eq!(wanted(&[variable], ""), path);
    assert_eq!(wanted(&[variable], "api_key: abc"), path, "environment goes before file");
    assert_eq!(wanted(&[variable, ("DD_API_KEY", "abc")], ""), None);
    assert_eq!(wanted(&[("DD_API_KEY", "abc")], "api_key_file: /run/key"), None);
    assert_eq!(wanted(&[], "api_key_file: /run/key"), path);
    assert_eq!(wanted(&[], ""), None);
}

#[test]
fn a_variable_of_ours_that_does_not_exist_gets_a_suggestion() {
    let config = from_environment(&[
        ("LASTDROP_STOP_TIMOUT", "1"),
        ("LASTDROP_SERVICE_HOST", "10.0.0.1"),
        ("LASTDROP_CONFIG", "/etc"),
    ])
    .unwrap();
    assert_eq!(
        notices(&config),
        [
            "LASTDROP_SERVICE_HOST is not a setting and is ignored; see `lastdrop config`",
            "LASTDROP_STOP_TIMOUT is not a setting and is ignored; did you mean \
             LASTDROP_STOP_TIMEOUT?",
        ]
    );
}

#[test]
fn what_is_not_implemented_is_named_in_one_warning() {
    let variables = [
        ("DD_DOGSTATSD_QUEUE_SIZE", "4096"),
        ("DD_DOGSTATSD_ORIGIN_DETECTION", "true"),
        ("DD_TRACE_ENABLED", "false"),
    ];
    let file = "apm_config:\n  enabled: true\nstatsd_forward_host: x\n";
    let config = resolve(&sources(&[], &variables, file)).unwrap();
    assert_eq!(
        notices(&config),
        ["not implemented, and ignored: DD_DOGSTATSD_QUEUE_SIZE, DD_DOGSTATSD_ORIGIN_DETECTION, \
          statsd_forward_host (/etc/dd.yaml:3), apm_config (/etc/dd.yaml:1)"]
    );
}

#[test]
fn what_equals_its_default_is_not_worth_a_warning() {
    let config = from_environment(&[
        ("DD_DOGSTATSD_QUEUE_SIZE", "1024"),
        ("DD_DOGSTATSD_ORIGIN_DETECTION", "False"),
        ("DD_LOGS_ENABLED", "0"),
        ("DD_STATSD_FORWARD_HOST", ""),
    ])
    .unwrap();
    assert_eq!(notices(&config), [""; 0]);
}

#[test]
fn a_file_full_of_other_keys_gets_one_warning_of_bounded_length() {
    let file: String = (0..500).map(|n| format!("section_{n}: 1\n")).collect();
    let config = from_file(&file).unwrap();
    let [notice] = &notices(&config)[..] else { panic!("{:?}", config.notices) };
    assert!(notice.ends_with(" and 480 more"), "{notice}");
}

#[test]
fn a_mistyped_name_in_the_file_gets_a_suggestion() {
    let config = from_file("site: x\ndogstatsd_prot: 1\n").unwrap();
    assert_eq!(
        notices(&config),
        ["dogstatsd_prot (/etc/dd.yaml:2) is not a setting and is ignored; did you mean \
          dogstatsd_port?"]
    );
}

/// For all seven keys of the stop: what is done anyway may be asked for, and losing data may not,
/// except by the one key that is honoured.
#[test]
fn the_keys_of_the_stop_are_accepted() {
    let wished = [
        ("DD_AGGREGATOR_DRAIN_SAMPLES_ON_STOP", "true"),
        ("DD_DOGSTATSD_FLUSH_ON_STOP", "true"),
        ("DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS", "true"),
        ("DD_FORWARDER_STOP_WAIT_FOR_INFLIGHT", "true"),
        ("DD_AGGREGATOR_STOP_TIMEOUT", "5"),
        ("DD_FORWARDER_STOP_TIMEOUT", "5"),
        ("DD_DOGSTATSD_PACKET_BUFFER_FLUSH_TIMEOUT", "100ms"),
    ];
    assert_eq!(notices(&from_environment(&wished).unwrap()), [""; 0]);
    let refused = wished.map(|(name, _)| (name, "false"));
    let config = from_environment(&refused[..4]).unwrap();
    assert_eq!(
        notices(&config),
        ["not implemented, and ignored: DD_AGGREGATOR_DRAIN_SAMPLES_ON_STOP, \
          DD_DOGSTATSD_FLUSH_ON_STOP, DD_FORWARDER_STOP_WAIT_FOR_INFLIGHT"]
    );
    assert!(!config.aggregation.flush_incomplete_buckets);
}

#[test]
fn who_wants_logs_is_told_that_there_are_none() {
    for (name, value) in
        [("DD_LOGS_ENABLED", "true"), ("DD_SERVERLESS_LOG_PATH", "/l/*"), ("DD_SOURCE", "go")]
    {
        let config = from_environment(&[(name, value)]).unwrap();
        let expected = format!(
            "not implemented, and ignored: {name}; logs are not collected, output passes through \
             untouched"
        );
        assert_eq!(notices(&config), [expected]);
    }
}

#[test]
fn a_kind_of_payload_that_is_switched_off_is_named() {
    let config = from_environment(&[("DD_ENABLE_PAYLOADS_EVENTS", "false")]).unwrap();
    assert_eq!(notices(&config), ["enable_payloads.events is false: nothing of it is sent"]);
}

/// For all keys whose rule is to replace: the warning says what was wrong and what is used.
#[test]
fn a_bad_value_is_replaced_where_the_rule_says_so() {
    let rows = [
        ("DD_MIN_TLS_VERSION", "tlsv1.0", "tlsv1.2"),
        ("DD_SERIALIZER_COMPRESSOR_KIND", "lzma", "none"),
        ("DD_FORWARDER_HTTP_PROTOCOL", "http2", "auto"),
        ("DD_USE_V3_API_SERIES_ENABLED", "perhaps", "false"),
        ("DD_USE_V3_API_SERIES_ENDPOINTS", "{\"http://a\":\"x\"}", "{\"http://a\":\"false\"}"),
        ("DD_FORWARDER_NUM_WORKERS", "0", "1"),
        ("DD_FORWARDER_MAX_CONCURRENT_REQUESTS", "-1", "1"),
        ("DD_FORWARDER_BACKOFF_FACTOR", "1", "2.0"),
        ("DD_FORWARDER_BACKOFF_BASE", "0", "2.0"),
        ("DD_FORWARDER_BACKOFF_MAX", "0", "64.0"),
        ("DD_FORWARDER_RECOVERY_INTERVAL", "0", "2"),
        ("DD_FORWARDER_APIKEY_VALIDATION_INTERVAL", "0", "3600s"),
        ("DD_HISTOGRAM_AGGREGATES", "max mode", "max"),
        ("DD_HISTOGRAM_PERCENTILES", "0.5 2", "50"),
        ("DD_DOGSTATSD_EOL_REQUIRED", "udp tcp", "udp"),
        ("DD_DOGSTATSD_MAPPER_PROFILES", "[{}]", "-"),
    ];
    for (variable, value, used) in rows {
        let config = from_environment(&[(variable, value)]).unwrap();
        let [notice] = &notices(&config)[..] else { panic!("{variable}: {:?}", config.notices) };
        assert!(notice.starts_with(&format!("{variable}: {value:?} is not ")), "{notice}");
        assert!(notice.ends_with(&format!("; used instead: {used}")), "{notice}");
    }
    let replacing = keys::ALL.iter().filter(|key| matches!(key.bad_value, Rule::Replaced(_)));
    let in_rows = |key: &Key| rows.iter().any(|(name, ..)| key.environment()[0] == *name);
    let others: Vec<&str> = replacing.filter(|key| !in_rows(key)).map(|key| key.name).collect();
    assert_eq!(others, ["api_key", "additional_endpoints"], "the secret ones have their own tests");
}

#[test]
fn an_endpoint_without_a_usable_key_is_left_out_and_the_value_not_shown() {
    let value = format!(r#"{{"https://a": ["{SECRET}"], "https://b": ["ENC[b]"]}}"#);
    let config = from_environment(&[("DD_ADDITIONAL_ENDPOINTS", &value)]).unwrap();
    let [endpoint] = &config.intake.additional_endpoints[..] else { panic!("{config:?}") };
    assert_eq!((endpoint.url.expose(), endpoint.keys[0].expose()), ("https://a", SECRET));
    let [notice] = &notices(&config)[..] else { panic!("{:?}", config.notices) };
    assert!(
        notice.starts_with("DD_ADDITIONAL_ENDPOINTS: the value (not shown) is not"),
        "{notice}"
    );
    assert!(notice.ends_with(r#"; used instead: {"https://a":["********re7ab"]}"#), "{notice}");
}

/// For all keys and hostile values: a configuration or one short line, never a panic.
#[test]
fn no_value_breaks_more_than_its_own_line() {
    let deep = "[".repeat(100_000);
    let long = "🦀".repeat(10_000);
    for key in keys::ALL {
        let variable = &key.environment()[0];
        for value in ["\0", "\u{1b}[2J\n", "[", "{\"a\":", "-1", "1e999", "é", "@", &deep, &long] {
            let Err(error) = from_environment(&[(variable, value)]) else { continue };
            let line = error.to_string();
            assert!(line.len() < 600 && !line.chars().any(char::is_control), "{variable}: {line}");
        }
    }
}

/// For all sources of a proxy: `DD_` goes before the common variables, and those before the file.
#[test]
fn an_empty_dd_proxy_means_none() {
    let file = "proxy:\n  https: http://file:1\n  no_proxy: [a]\n";
    let proxy = |variables: &[(&str, &str)]| {
        let config = resolve(&sources(&[], variables, file)).unwrap();
        shown(&config, "proxy.https")
    };
    let (dd, common) = ("DD_PROXY_HTTPS", "HTTPS_PROXY");
    assert_eq!(proxy(&[]), pair("http://file:1", "/etc/dd.yaml:2"));
    assert_eq!(proxy(&[(common, "c:1")]), pair("http://c:1", "environment HTTPS_PROXY"));
    assert_eq!(proxy(&[("https_proxy", "c:1")]).0, "http://c:1");
    assert_eq!(proxy(&[(common, "")]).0, "http://file:1");
    assert_eq!(proxy(&[(common, "c:1"), (dd, "http://d:1")]).0, "http://d:1");
    assert_eq!(proxy(&[(common, "c:1"), (dd, "")]), pair("-", "environment DD_PROXY_HTTPS"));
}

/// For both ways to name a file, and for a folder: it is read; only the default may be missing.
#[test]
fn a_named_file_must_be_there_and_the_default_need_not() {
    let folder = std::env::temp_dir().join(format!("lastdrop-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, missing) = (folder.join("datadog.yaml"), folder.join("missing.yaml"));
    std::fs::write(&file, "site: here").unwrap();
    let load = |flag: Option<&Path>, variable: &Path, default: &Path| {
        let flag: Vec<String> =
            flag.iter().map(|path| format!("--config={}", path.display())).collect();
        let flag: Vec<&str> = flag.iter().map(String::as_str).collect();
        let environment = environment(&[("LASTDROP_CONFIG", &variable.to_string_lossy())]);
        let document = Document::load(&flags(&flag), &environment, default)?;
        Ok::<_, ConfigError>(document.map(|document| document.top().count()))
    };
    let none = Path::new("");
    assert_eq!(load(None, none, &missing).unwrap(), None);
    assert_eq!(load(None, none, &file).unwrap(), Some(1));
    assert_eq!(load(None, &folder, &missing).unwrap(), Some(1));
    assert_eq!(load(Some(&file), &missing, &missing).unwrap(), Some(1));
    for result in [load(None, &missing, &file), load(Some(&missing), &file, &file)] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("missing.yaml: can't be read: "), "{error}");
    }
    std::fs::write(&file, "# agent\nsite: \"here").unwrap();
    let error = load(None, none, &file).unwrap_err().to_string();
    assert!(error.contains("/datadog.yaml:2: "), "{error}");
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    let error = load(None, none, &file).unwrap_err().to_string();
    assert!(error.ends_with("longer than 1 MiB"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_older_name_counts_where_the_newer_is_not_set_as_high() {
    let older = ("DD_STATSD_METRIC_BLOCKLIST", "old");
    let newer = ("DD_METRIC_FILTERLIST", "new");
    let file = "metric_filterlist: [file]\nvector:\n  metrics:\n    url: http://v\n";
    let config = resolve(&sources(&[], &[older], file)).unwrap();
    assert_eq!(
        shown(&config, "metric_filterlist"),
        pair("old", "environment DD_STATSD_METRIC_BLOCKLIST")
    );
    assert_eq!(
        shown(&config, "observability_pipelines_worker.metrics.url"),
        pair("http://v", "/etc/dd.yaml:4")
    );
    assert_eq!(notices(&config), [""; 0]);
    let config = resolve(&sources(&[], &[older, newer], file)).unwrap();
    assert_eq!(config.enrichment.filterlist, ["new"]);
}

#[test]
fn the_older_limit_of_the_retry_queue_counts_payloads_of_two_mebibytes() {
    let older = ("DD_FORWARDER_RETRY_QUEUE_MAX_SIZE", "3");
    let newer = ("DD_FORWARDER_RETRY_QUEUE_PAYLOADS_MAX_SIZE", "1MiB");
    let bytes = |variables: &[(&str, &str)]| {
        let config = from_environment(variables).unwrap();
        (
            config.forwarder.retry_queue_bytes_max,
            shown(&config, newer.0.trim_start_matches("DD_").to_lowercase().as_str()).1,
        )
    };
    assert_eq!(bytes(&[older]), (6 << 20, format!("environment {}", older.0)));
    assert_eq!(bytes(&[older, newer]), (1 << 20, format!("environment {}", newer.0)));
}

#[test]
fn structures_are_read_from_the_file_as_from_json() {
    let file = "dogstatsd_mapper_profiles:\n  - name: p\n    prefix: 'x.'\n    mappings:\n      \
                - match: 'x.*'\n        name: x\n        tags:\n          a: $1\n";
    let json =
        r#"[{"name":"p","prefix":"x.","mappings":[{"match":"x.*","name":"x","tags":{"a":"$1"}}]}]"#;
    let from_json = from_environment(&[("DD_DOGSTATSD_MAPPER_PROFILES", json)]).unwrap();
    let from_file = from_file(file).unwrap();
    assert_eq!(from_file.enrichment.mapper_profiles, from_json.enrichment.mapper_profiles);
    assert_eq!(from_file.enrichment.mapper_profiles.len(), 1);
}

/// For all places where a secret can be set, and all ways to print: it is not in the output.
#[test]
fn no_secret_is_in_any_output() {
    let json = format!(r#"{{"https://a": ["{SECRET}"]}}"#);
    let proxy = format!("http://me:{SECRET}@proxy:1");
    for (name, value) in [
        ("DD_API_KEY", SECRET),
        ("DD_ADDITIONAL_ENDPOINTS", &json),
        ("DD_PROXY_HTTPS", &proxy),
        ("DD_DD_URL", &proxy),
    ] {
        let in_environment = sources(&[], &[(name, value)], "");
        let names =
            name.strip_prefix("DD_").unwrap().to_lowercase().replace("proxy_", "proxy:\n  ");
        let in_file = sources(&[], &[], &format!("{names}: '{value}'\n"));
        for sources in [in_environment, in_file] {
            let config = resolve(&sources).unwrap();
            let printed =
                [print::for_people(&config), print::for_programs(&config), format!("{config:#?}")];
            for page in printed {
                assert!(!page.contains(&SECRET[..SECRET.len() - 5]), "{name}: {page}");
                assert!(page.contains("********"), "{name}: {page}");
            }
        }
    }
}

/// For all keys that may hold a secret, and bad values around one: the error doesn't show it.
#[test]
fn no_secret_is_in_any_error() {
    for (name, value) in [
        ("DD_API_KEY", format!("{SECRET}\r\nX-Evil: 1")),
        ("DD_API_KEY", format!("{SECRET} {SECRET}")),
        ("DD_ADDITIONAL_ENDPOINTS", format!(r#"{{"https://a": ["{SECRET}"#)),
        ("DD_ADDITIONAL_ENDPOINTS", format!(r#"{{"a": ["{SECRET}"]}}"#)),
        ("DD_PROXY_HTTPS", format!("ftp://me:{SECRET}@proxy:1")),
        ("DD_PROXY_HTTPS", format!("me:{SECRET}@pro xy:1")),
        ("DD_DD_URL", format!("me:{SECRET}@app")),
    ] {
        let error = resolve(&sources(&[], &[(name, &value)], "")).unwrap_err();
        for page in [error.to_string(), format!("{error:?}")] {
            assert!(page.contains(name), "{page}");
            assert!(!page.contains(SECRET), "{page}");
        }
    }
}

/// For all keys: the document has its row and no other, as the program prints them.
#[test]
fn the_document_shows_the_table_of_keys() {
    let document = include_str!("../../../docs/configuration.md");
    let start = document.find("| key | set by |").unwrap();
    let (written, expected) = (&document[start..], print::keys_as_markdown());
    for (row, expected) in written.lines().zip(expected.lines()) {
        assert_eq!(row, expected, "see the command above the table");
    }
    assert_eq!(written.lines().count(), expected.lines().count());
}

#[test]
fn a_configuration_can_be_given_to_every_thread() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&resolve(&Sources::default()).unwrap());
}

/// For all keys: names, variables and flags are used once.
#[test]
fn no_name_stands_twice_in_the_table() {
    let mut names: Vec<String> = Vec::new();
    for key in keys::ALL {
        names.extend(key.names().map(str::to_owned));
        names.extend(key.environment());
        names.extend(key.flag.map(str::to_owned));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
