//! The files of docs/deploy: every one parses, is whole, and names no setting that doesn't exist.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use saphyr_parser::{Event, Parser};
use serde_json::Value;
use std::path::PathBuf;

/// A code block of a page.
struct Block {
    page: String,
    language: String,
    text: String,
}

/// All code blocks of all pages.
fn blocks() -> Vec<Block> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy");
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let page = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for (index, part) in text.split("\n```").enumerate().filter(|(index, _)| index % 2 == 1) {
            let (language, text) = part.split_once('\n').unwrap();
            assert!(!language.is_empty(), "{page}: block {index} doesn't say what it is");
            let (page, language) = (page.clone(), language.to_owned());
            blocks.push(Block { page, language, text: text.to_owned() });
        }
    }
    blocks
}

/// The keys at the top of a YAML file and all its plain values.
fn yaml(block: &Block) -> (Vec<String>, Vec<String>) {
    let (mut top, mut scalars) = (Vec::new(), Vec::new());
    let (mut depth, mut is_key) = (0, true);
    for event in Parser::new_from_str(&block.text) {
        let (event, _) =
            event.unwrap_or_else(|why| panic!("{}: {why}\n{}", block.page, block.text));
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                is_key = true;
            }
            Event::Scalar(text, ..) => {
                if depth == 1 {
                    if is_key {
                        top.push(text.to_string());
                    }
                    is_key = !is_key;
                }
                scalars.push(text.to_string());
            }
            _ => {}
        }
    }
    (top, scalars)
}

/// All texts in a JSON value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

#[test]
fn every_file_to_apply_is_whole() {
    let mut files = 0;
    for block in blocks() {
        let needed: &[&str] = match (block.language.as_str(), block.page.as_str()) {
            ("yaml", "container-apps.md") => &["location", "type", "properties"],
            ("yaml", _) => &["apiVersion", "kind", "metadata", "spec"],
            ("json", _) => &["family", "networkMode", "cpu", "memory", "containerDefinitions"],
            ("sh" | "dockerfile", _) => continue,
            (other, page) => panic!("{page}: nobody checks {other}"),
        };
        let top = match block.language.as_str() {
            "yaml" => yaml(&block).0,
            _ => {
                let value: Value = serde_json::from_str(&block.text).unwrap();
                value.as_object().unwrap().keys().cloned().collect()
            }
        };
        for key in needed {
            assert!(top.iter().any(|known| known == key), "{}: no {key} in {top:?}", block.page);
        }
        files += 1;
    }
    assert!(files >= 9, "{files}");
}

/// For all names in all files that look like the agent's: the program knows them, or its platforms do.
#[test]
fn every_setting_in_a_file_exists() {
    const OF_PLATFORMS: [&str; 3] =
        ["DD_AZURE_SUBSCRIPTION_ID", "DD_AZURE_RESOURCE_GROUP", "DD_DOGSTATSD_URL"];
    let settings = include_str!("../../docs/configuration.md");
    let mut checked = 0;
    for block in blocks() {
        let mut found = Vec::new();
        match block.language.as_str() {
            "yaml" => found = yaml(&block).1,
            "json" => texts(&serde_json::from_str(&block.text).unwrap(), &mut found),
            _ => continue,
        }
        let is_ours = |name: &&String| name.starts_with("DD_") || name.starts_with("LASTDROP_");
        for name in found.iter().filter(is_ours) {
            let known =
                settings.contains(&format!("`{name}`")) || OF_PLATFORMS.contains(&name.as_str());
            assert!(known, "{}: {name}", block.page);
            checked += 1;
        }
        assert!(found.iter().any(|text| text == "DD_API_KEY"), "{}: no key", block.page);
    }
    assert!(checked >= 30, "{checked}");
}

/// For all pages of platforms: each says what happens at the stop.
#[test]
fn every_page_tells_of_the_stop() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let is_index = path.ends_with("README.md");
        assert!(is_index || text.contains("**At its stop**"), "{}", path.display());
    }
}
