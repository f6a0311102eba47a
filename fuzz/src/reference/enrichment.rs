//! Enrichment, by the steps of `docs/protocol.md`, and the wildcards of its mapper by trying out.

/// What is configured, as lists that are walked from the front.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Host of metrics that name none; `None` where metrics have no host at all.
    pub hostname: Option<String>,
    /// Prefix of names; the empty one changes nothing.
    pub namespace: String,
    /// Starts of names that get no prefix.
    pub exclusions: Vec<String>,
    /// Names that are dropped.
    pub blocked_names: Vec<String>,
    /// Starts of names that are dropped.
    pub blocked_starts: Vec<String>,
    /// Tags of everything.
    pub extra_tags: Vec<String>,
}

/// Name, host and tags as they came, without the extra ones.
pub type Identity = (String, String, Vec<String>);

/// What a metric's name and tags stand for; `None` if the metric is dropped.
#[must_use]
pub fn identity(config: &Config, name: &[u8], tags: &[Vec<u8>]) -> Option<Identity> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut host, mut cardinality, mut own) = (None, false, Vec::new());
    for tag in tags {
        if let Some(named) = tag.strip_prefix(b"host:") {
            host = Some(text(named));
        } else if tag.starts_with(b"dd.internal.card:") && !cardinality {
            cardinality = tag.len() > b"dd.internal.card:".len();
        } else if !tag.starts_with(b"dd.internal.entity_id:")
            && !tag.starts_with(b"dd.internal.jmx_check_name:")
        {
            own.push(text(tag));
        }
    }
    let mut full_name = name.to_vec();
    let excluded = config.exclusions.iter().any(|start| name.starts_with(start.as_bytes()));
    if !config.namespace.is_empty() && !excluded {
        let dot = if config.namespace.ends_with('.') { "" } else { "." };
        full_name = [config.namespace.as_bytes(), dot.as_bytes(), name].concat();
    }
    let is = |entry: &String| full_name == entry.as_bytes();
    let starts = |entry: &String| full_name.starts_with(entry.as_bytes());
    if config.blocked_names.iter().any(is) || config.blocked_starts.iter().any(starts) {
        return None;
    }
    own.retain(|tag| !config.extra_tags.contains(tag));
    let host = config.hostname.clone().map(|hostname| host.unwrap_or(hostname));
    Some((text(&full_name), host.unwrap_or_default(), own))
}

/// What the stars of a wildcard pattern stand for, each as long as it can be, the first one first.
/// A star stands for anything but a dot. Takes exponential time in the number of stars.
#[must_use]
pub fn wildcard<'n>(pattern: &[u8], name: &'n [u8]) -> Option<Vec<&'n [u8]>> {
    match pattern {
        [] => name.is_empty().then(Vec::new),
        [b'*', rest @ ..] => {
            let reach = name.iter().position(|&byte| byte == b'.').unwrap_or(name.len());
            (0..=reach).rev().find_map(|length| {
                let mut captures = vec![&name[..length]];
                captures.extend(wildcard(rest, &name[length..])?);
                Some(captures)
            })
        }
        [byte, rest @ ..] => wildcard(rest, name.strip_prefix(&[*byte])?),
    }
}
