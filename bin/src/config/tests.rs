use std::path::Path;

use clap::Parser as _;

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
    let setting = config.settings.iter().find(|setting| setting.key.name == name).unwrap();
    (print::plain(&setting.shown), setting.source.to_string())
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
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
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        ["no API key: metrics are received but not sent; set DD_API_KEY"],
        "the only thing to warn of"
    );
}

/// For all kinds: a value of the environment as it arrives in the configuration, and shown again.
#[test]
fn good_values_are_read_in_every_spelling() {
    for (variable, value, key, expected) in [
        ("DD_DOGSTATSD_PORT", "0", "dogstatsd_port", "0"),
        ("DD_DOGSTATSD_PORT", " 65535 ", "dogstatsd_port", "65535"),
        ("DD_DOGSTATSD_PORT", "__random__", "dogstatsd_port", "__random__"),
        ("DD_BIND_HOST", "::1", "bind_host", "::1"),
        ("DD_DD_URL", "http://127.0.0.1:8080/x/", "dd_url", "http://127.0.0.1:8080/x"),
        ("DD_TAGS", "a:1,b:2  c", "tags", "a:1, b:2, c"),
        ("DD_TAGS", r#"["a:1", "b c"]"#, "tags", "a:1, b c"),
        ("DD_TAGS", "[not:json", "tags", "[not:json"),
        ("DD_LOG_LEVEL", "WARNING", "log_level", "warn"),
        ("DD_LOG_LEVEL", "critical", "log_level", "error"),
        ("LASTDROP_STOP_TIMEOUT", "25", "lastdrop_stop_timeout", "25s"),
        ("LASTDROP_STOP_TIMEOUT", "1m30s", "lastdrop_stop_timeout", "90s"),
        ("LASTDROP_LINGER", "1.5s", "lastdrop_linger", "1500ms"),
        ("LASTDROP_LINGER", "0", "lastdrop_linger", "0s"),
        ("LASTDROP_BURST_BYTES", "auto", "lastdrop_burst_bytes", "auto"),
        ("LASTDROP_BURST_BYTES", "4096", "lastdrop_burst_bytes", "4096"),
        ("LASTDROP_BURST_BYTES", "8MiB", "lastdrop_burst_bytes", "8388608"),
        ("LASTDROP_PIN", "never", "lastdrop_pin", "never"),
        ("LASTDROP_RECEIPT", "off", "lastdrop_receipt", "off"),
        ("LASTDROP_RECEIPT", "/tmp/r.json", "lastdrop_receipt", "/tmp/r.json"),
        ("LASTDROP_STRICT", "True", "lastdrop_strict", "true"),
        ("LASTDROP_WORKERS", "2", "lastdrop_workers", "2"),
    ] {
        let config = from_environment(&[(variable, value)]).unwrap();
        assert_eq!(shown(&config, key).0, expected, "{variable}={value}");
    }
}

/// For all kinds: a bad value is an error that names key, value, place and what is accepted.
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
        ("DD_API_KEY", SECRET),
        ("LASTDROP_STOP_TIMOUT", "1"),
        ("LASTDROP_SERVICE_HOST", "10.0.0.1"),
    ])
    .unwrap();
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "LASTDROP_SERVICE_HOST is not a setting and is ignored; see `lastdrop config`",
            "LASTDROP_STOP_TIMOUT is not a setting and is ignored; did you mean \
             LASTDROP_STOP_TIMEOUT?",
        ]
    );
}

/// For all places where the key can be set, and all ways to print: the key is not in the output.
#[test]
fn the_key_is_in_no_output() {
    let in_file = format!("api_key: {SECRET}\n");
    let key = ("DD_API_KEY", SECRET);
    for sources in [sources(&[], &[key], ""), sources(&[], &[], &in_file)] {
        let config = resolve(&sources).unwrap();
        let printed =
            [print::for_people(&config), print::for_programs(&config), format!("{config:#?}")];
        for page in printed {
            assert!(!page.contains(&SECRET[..SECRET.len() - 5]), "{page}");
            assert!(page.contains("********re7ab"), "{page}");
        }
    }
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
