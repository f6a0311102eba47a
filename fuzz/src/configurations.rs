//! The configuration: a settings file and an environment of any content.
//!
//! The agent's is no library; its folder `config` is compiled in here, as it is. What it wants of
//! the command line stands in [`crate::cli`].

use std::path::Path;
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value};

use self::config::sources::{Document, Environment, Source, Sources};
use self::config::{Config, ConfigError, keys, print};

#[allow(dead_code, reason = "shared with the agent, which uses all of it")]
#[path = "../../bin/src/config/mod.rs"]
mod config;

/// Where the settings file is said to be.
const PATH: &str = "/etc/datadog-agent/datadog.yaml";

/// What no output may hold; the last five characters of a key may be shown.
const SECRET: &str = "5ecre75ecre75ecre75ecre75ecre7";

/// Between the variables and the settings file of an input.
const SEPARATOR: &str = "\n---\n";

/// How many settings there are.
static SETTINGS: LazyLock<usize> = LazyLock::new(|| {
    config::resolve(&Sources::default()).map_or(0, |config| config.settings.len())
});

/// For all settings files and environments: a configuration or an error in one line, never a panic;
/// what a variable sets comes from that variable; and no key, user or password is in anything that
/// is shown. For all settings: the same from a file as from the environment.
///
/// The first byte chooses between the two, and which variables hold a secret beside what the input
/// has.
pub fn configuration(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    if choice & 1 == 0 {
        check_text(choice >> 1, &String::from_utf8_lossy(rest));
    } else {
        let _ = check_places(&mut Unstructured::new(rest));
    }
}

/// Takes variables, a line each, and behind [`SEPARATOR`] a file.
fn check_text(secrets: u8, text: &str) {
    if text.contains(&SECRET[..12]) {
        return;
    }
    let (variables, file) = text.split_once(SEPARATOR).unwrap_or(("", text));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let mut variables: Vec<_> =
        variables.map(|(name, value)| (name.into(), value.into())).collect();
    plant(secrets, &mut variables);
    let environment: Environment = variables.into_iter().collect();
    let resolved = Document::parse(Path::new(PATH), file).and_then(|document| {
        let document = Some(document);
        config::resolve(&Sources {
            environment: environment.clone(),
            document,
            ..Sources::default()
        })
    });
    match resolved {
        Err(error) => check_error(&error, file),
        Ok(config) => check_config(&config, &environment),
    }
}

/// Puts the secret into some of the variables that may hold one, with what they hold around it.
fn plant(secrets: u8, variables: &mut Vec<(String, String)>) {
    for (bit, name, front, back) in [
        (1, "DD_API_KEY", "", ""),
        (2, "DD_PROXY_HTTPS", "http://user:", "@proxy:3128"),
        (4, "DD_DD_URL", "https://user:", "@intake"),
        (8, "DD_ADDITIONAL_ENDPOINTS", "{\"https://a.b\": [\"", "\"]}"),
        (16, "HTTP_PROXY", "user:", "@"),
    ] {
        if secrets & bit == 0 {
            continue;
        }
        let known = variables.iter_mut().find(|(known, _)| known == name);
        match known {
            // A user is what stands before an `@`.
            Some((_, value)) if back.starts_with('@') => {
                *value = format!("{front}{SECRET}@{value}")
            }
            Some((_, value)) => *value = format!("{value}{front}{SECRET}{back}"),
            None => variables.push((name.to_owned(), format!("{front}{SECRET}{back}"))),
        }
    }
}

fn check_error(error: &ConfigError, file: &str) {
    let shown = error.to_string();
    assert!(!shown.is_empty() && !shown.contains('\n'), "{shown:?}");
    keeps_secrets(&shown);
    keeps_secrets(&format!("{error:?}"));
    if let ConfigError::Syntax { error, .. } = error {
        // A carriage return breaks a line too, in YAML; the end of the file is a line further on.
        let lines = file.split(['\n', '\r']).count() + 1;
        assert!((1..=lines).contains(&error.line), "{shown:?}");
    }
}

fn check_config(config: &Config, environment: &Environment) {
    assert_eq!(config.settings.len(), *SETTINGS, "a setting is missing");
    for setting in &config.settings {
        let is_set = |name: &String| environment.value(name).is_some_and(|text| !text.is_empty());
        if let Some(name) = setting.key.environment().into_iter().find(is_set) {
            assert_eq!(setting.source, Source::Environment(name), "{}", setting.key.name);
        }
    }
    for notice in &config.notices {
        assert!(!notice.to_string().contains('\n'), "{notice}");
    }
    keeps_secrets(&print::for_people(config));
    keeps_secrets(&print::for_programs(config));
    keeps_secrets(&format!("{config:?}"));
}

fn keeps_secrets(shown: &str) {
    assert!(!shown.contains(&SECRET[..12]), "a secret in {shown}");
}

/// Sets the same keys in a file, as JSON, which is YAML too, and in the environment.
fn check_places(input: &mut Unstructured<'_>) -> Result<()> {
    let (mut variables, mut root) = (Vec::new(), Map::new());
    for _ in 0..input.int_in_range(1..=4)? {
        let key = input.choose(keys::ALL)?;
        let text = text(input)?;
        // An empty variable is one that isn't set; an entry that is there stays.
        if !text.is_empty() && put(&mut root, key.name, &text) {
            let variable = key.environment().swap_remove(0);
            variables.push((variable, text));
        }
    }
    let file = Value::Object(root).to_string();
    let document = Document::parse(Path::new(PATH), &file);
    let document = Some(document.unwrap_or_else(|error| panic!("{file}: {error}")));
    let of_file = config::resolve(&Sources { document, ..Sources::default() });
    let environment = variables.into_iter().collect();
    let of_environment = config::resolve(&Sources { environment, ..Sources::default() });
    match (of_file, of_environment) {
        (Ok(one), Ok(two)) => {
            let shown = |config: &Config| -> Vec<_> {
                config.settings.iter().map(|one| (one.key.name, one.shown.clone())).collect()
            };
            assert_eq!(shown(&one), shown(&two), "{file}");
        }
        (Err(_), Err(_)) => {}
        (one, two) => panic!("{file}: {:?} but {:?}", one.err(), two.err()),
    }
    Ok(())
}

/// Puts a text where a dotted name stands; says whether there was room.
fn put(root: &mut Map<String, Value>, name: &str, text: &str) -> bool {
    let (first, rest) = match name.split_once('.') {
        None if root.contains_key(name) => return false,
        None => return root.insert(name.to_owned(), text.into()).is_none(),
        Some(parts) => parts,
    };
    let inner = root.entry(first).or_insert_with(|| Map::new().into());
    inner.as_object_mut().is_some_and(|inner| put(inner, rest, text))
}

/// Values that some keys take, or any text that can stand in an environment.
fn text(input: &mut Unstructured<'_>) -> Result<String> {
    let common = [
        "true",
        "no",
        "0",
        "1",
        "8125",
        "-3",
        "1.5",
        "1e3",
        "10s",
        "1m30s",
        "64MiB",
        "auto",
        "a,b",
        "a:1 b:2",
        "[\"a\",\"b\"]",
        "{\"https://a\":[\"k\"]}",
        "https://a.b/",
        "/tmp/x",
        "zstd",
        "null",
        "~",
        "tlsv1.3",
        "ENC[x]",
        "0.5",
        "18446744073709551616",
        "[{\"name\":\"a\",\"prefix\":\"a.\"}]",
    ];
    let at = input.int_in_range(0..=common.len())?;
    Ok(match common.get(at) {
        Some(text) => (*text).to_owned(),
        None => input.arbitrary::<&str>()?.chars().filter(|c| *c != '\0').collect(),
    })
}
