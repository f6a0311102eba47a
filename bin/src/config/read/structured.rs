//! Kinds with maps in them: a YAML structure in the file, JSON everywhere else.

use serde_json::Value;

use super::super::node::{Entry, Node};
use super::super::secret::{Secret, Url};
use super::super::types::{Endpoint, MapperProfile, Mapping, MatchType, UseV3, V3Endpoint};
use super::choice::use_v3;
use super::plain::is_placeholder;
use super::{Kind, Reading, good, good_or, json};

/// Further destinations. Keys that were not resolved and addresses without a key are left out.
pub(crate) const ENDPOINTS: Kind<Vec<Endpoint>> = Kind {
    noun: "a map of URLs to lists of keys, each with at least one",
    accepted: "a JSON object {\"https://…\": [\"key\"]}, or a map",
    read: read_endpoints,
    show: |endpoints| {
        let keys = |one: &Endpoint| one.keys.iter().map(ToString::to_string).collect::<Value>();
        endpoints.iter().map(|one| (one.url.to_string(), keys(one))).collect()
    },
};

/// For which destinations v3 is used. Words that say nothing mean no.
pub(crate) const V3_ENDPOINTS: Kind<Vec<V3Endpoint>> = Kind {
    noun: "a map of URLs to choices of v3",
    accepted: "a JSON object {\"https://…\": \"true\"}, or a map; true, false, datadog_only",
    read: read_v3_endpoints,
    show: |endpoints| {
        endpoints.iter().map(|one| (one.url.to_string(), json(&one.use_v3))).collect()
    },
};

/// How names are mapped. One bad profile or mapping switches the mapper off.
pub(crate) const PROFILES: Kind<Vec<MapperProfile>> = Kind {
    noun: "a list of mapper profiles",
    accepted: "a JSON array of {name, prefix, mappings: [{match, match_type, name, tags}]}, or a list",
    read: |node| good_or(profiles(node), Vec::new()),
    show: json,
};

fn read_endpoints(node: &Node) -> Reading<Vec<Endpoint>> {
    let Some(entries) = entries(node) else { return Reading::Bad };
    let mut endpoints = Vec::new();
    let mut all_good = true;
    for Entry { name, node, .. } in entries {
        let Some(url) = Url::new(&name) else { return Reading::Bad };
        let Some(texts) = texts(node) else { return Reading::Bad };
        let mut keys: Vec<Secret> = Vec::new();
        for text in texts {
            match Secret::new(&text) {
                _ if text.trim().is_empty() => {}
                _ if is_placeholder(text.trim()) => all_good = false,
                None => return Reading::Bad,
                Some(key) if keys.contains(&key) => {}
                Some(key) => keys.push(key),
            }
        }
        match keys.is_empty() {
            true => all_good = false,
            false => endpoints.push(Endpoint { url, keys }),
        }
    }
    if all_good { Reading::Good(endpoints) } else { Reading::Replaced(endpoints) }
}

fn read_v3_endpoints(node: &Node) -> Reading<Vec<V3Endpoint>> {
    let Some(entries) = entries(node) else { return Reading::Bad };
    let all_good = entries.iter().all(|entry| use_v3(&entry.node).is_some());
    let endpoints: Option<Vec<V3Endpoint>> = entries
        .iter()
        .map(|Entry { name, node, .. }| {
            let use_v3 = use_v3(node).unwrap_or(UseV3::Never);
            Some(V3Endpoint { url: Url::new(name)?, use_v3 })
        })
        .collect();
    match endpoints {
        Some(endpoints) if !all_good => Reading::Replaced(endpoints),
        endpoints => good(endpoints),
    }
}

/// Reads profiles, or nothing if there is anything wrong with one of them.
fn profiles(node: &Node) -> Option<Vec<MapperProfile>> {
    items(node)?.iter().map(profile).collect()
}

fn profile(node: &Node) -> Option<MapperProfile> {
    let mappings = match node.entry("mappings") {
        Some(entry) => items(&entry.node)?.iter().map(mapping).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    Some(MapperProfile { name: text(node, "name")?, prefix: text(node, "prefix")?, mappings })
}

fn mapping(node: &Node) -> Option<Mapping> {
    let match_type = match text(node, "match_type").as_deref() {
        None | Some("wildcard") => MatchType::Wildcard,
        Some("regex") => MatchType::Regex,
        Some(_) => return None,
    };
    let pattern = text(node, "match")?;
    if match_type == MatchType::Wildcard && !is_wildcard(&pattern) {
        return None;
    }
    let tags = match node.entry("tags") {
        Some(entry) => entries(&entry.node)?,
        None => Vec::new(),
    };
    let tags = tags.into_iter().map(|tag| Some((tag.name, tag.node.as_text()?.to_owned())));
    let mut tags = tags.collect::<Option<Vec<_>>>()?;
    tags.sort_unstable();
    Some(Mapping { pattern, match_type, name: text(node, "name")?, tags })
}

/// Tells whether a pattern is made of names and single stars.
fn is_wildcard(pattern: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_*.-".contains(&byte);
    pattern.bytes().all(fits) && !pattern.contains("**")
}

/// Gives the text of an entry, unless it is missing or empty.
fn text(map: &Node, name: &str) -> Option<String> {
    let text = map.entry(name)?.node.as_text()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Gives the entries of a map, none for an empty text.
fn entries(node: &Node) -> Option<Vec<Entry>> {
    match node.structured().into_owned() {
        Node::Map(entries) => Some(entries),
        Node::Text(text) if text.trim().is_empty() => Some(Vec::new()),
        Node::Text(_) | Node::List(_) => None,
    }
}

/// Gives the items of a list, none for an empty text.
fn items(node: &Node) -> Option<Vec<Node>> {
    match node.structured().into_owned() {
        Node::List(items) => Some(items),
        Node::Text(text) if text.trim().is_empty() => Some(Vec::new()),
        Node::Text(_) | Node::Map(_) => None,
    }
}

/// Gives the texts of a list, or a text alone.
fn texts(node: Node) -> Option<Vec<String>> {
    match node {
        Node::Text(text) => Some(vec![text]),
        Node::List(items) => items
            .into_iter()
            .map(|item| match item {
                Node::Text(text) => Some(text),
                Node::List(_) | Node::Map(_) => None,
            })
            .collect(),
        Node::Map(_) => None,
    }
}
