//! The configuration on paper: for people, for programs, and the table of keys for the documentation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Config;
use super::key::{Key, Role, Rule};
use super::keys;
use super::types::InstanceTag;

/// Widest column of values that is kept in line, in characters.
const COLUMN_MAX: usize = 40;

/// Shows a value to people: `-` for nothing, a list with commas.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(entries) if entries.is_empty() => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Shows the configuration to people: key, value, source.
pub(crate) fn for_people(config: &Config) -> String {
    let rows: Vec<[String; 3]> = config
        .settings
        .iter()
        .map(|s| [s.key.name.to_owned(), plain(&s.shown), s.source.to_string()])
        .collect();
    let width = |cells: fn(&[String; 3]) -> &str| {
        rows.iter().map(|row| cells(row).chars().count()).max().unwrap_or_default()
    };
    let name_width = width(|[name, ..]| name);
    let value_width = width(|[_, value, _]| value).min(COLUMN_MAX);
    let mut page = String::new();
    for [name, value, source] in &rows {
        // Writing to a string can't fail.
        let _ = writeln!(page, "{name:name_width$}  {value:value_width$}  {source}");
    }
    let _ = writeln!(page, "\n# lastdrop_instance_tag: {}", cost(config.enrichment.instance_tag));
    page
}

/// What the choice of the instance tag costs.
fn cost(choice: InstanceTag) -> &'static str {
    match choice {
        InstanceTag::Off => {
            "nothing tells two instances apart, so their counts and gauges overwrite each other at the \
             intake (distributions don't)"
        }
        InstanceTag::Random => {
            "each instance has counts and gauges of its own: as many series as there were instances"
        }
        InstanceTag::Platform => {
            "each instance has counts and gauges of its own, by the platform's name for it: as many \
             series as there were instances"
        }
    }
}

/// Shows the configuration to programs: one JSON object.
pub(crate) fn for_programs(config: &Config) -> String {
    let settings: Vec<Value> = config
        .settings
        .iter()
        .map(|s| json!({"key": s.key.name, "value": s.shown, "source": s.source.to_string()}))
        .collect();
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    let mut page = json!({
        "settings": settings,
        "notices": notices,
        "instance_tag_costs": cost(config.enrichment.instance_tag),
    })
    .to_string();
    page.push('\n');
    page
}

/// Shows the table of keys as Markdown.
pub(crate) fn keys_as_markdown() -> String {
    let mut page = String::from(
        "| key | set by | a value is | default | meaning | accepted | a bad value | here |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for key in keys::ALL {
        page.push_str(&row(key));
    }
    page
}

fn row(key: &Key) -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let names: Vec<String> = key.names().map(code).collect();
    let variables = key.environment();
    let set_by: Vec<String> =
        variables.iter().map(String::as_str).chain(key.flag).map(code).collect();
    let bad_value = match key.bad_value {
        Rule::Error => "error".to_owned(),
        Rule::NotRead => "not read".to_owned(),
        Rule::Replaced(what) => format!("warning: {what}"),
    };
    let here = match key.role {
        Role::Read(_) => "implemented",
        Role::Done => "always so; a `false` is named in the warning",
        Role::Missing => "known, not implemented",
        Role::Logs => "known, not implemented: no logs",
    };
    let (names, set_by) = (names.join(", once "), set_by.join(", "));
    let Key { noun, meaning, accepted, .. } = key;
    let default = code(key.default);
    format!(
        "| {names} | {set_by} | {noun} | {default} | {meaning} | {accepted} | {bad_value} | {here} |\n"
    )
}
