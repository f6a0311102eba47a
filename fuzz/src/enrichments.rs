//! Enrichment with any configuration, and the mapper's rules.

use arbitrary::{Result, Unstructured};
use lastdrop_engine::enrich::{
    Blocklist, Enricher, Mapper, Mapping, MetricHost, NameMatch, Namespace, Profile, Resolved,
    Settings,
};
use lastdrop_engine::message::{ClientOrigin, Message, Options, parse};

use crate::reference::enrichment::{Config, Identity, identity, wildcard};

/// For all configurations and metrics: name, host and tags are those of the reference, or both drop
/// the metric. Events and service checks go through without a panic.
pub fn enrichment(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let _ = check_enrichment(&mut input);
}

fn check_enrichment(input: &mut Unstructured<'_>) -> Result<()> {
    let by_start = input.arbitrary()?;
    let blocked = words(input)?;
    let name_match = if by_start { NameMatch::Prefix } else { NameMatch::Exact };
    let mut config = Config {
        hostname: if input.arbitrary()? { Some(word(input)?) } else { None },
        namespace: word(input)?,
        exclusions: words(input)?,
        extra_tags: words(input)?,
        ..Config::default()
    };
    let enricher = Enricher::new(Settings {
        hostname: config.hostname.clone().unwrap_or_default(),
        metric_host: match config.hostname {
            Some(_) => MetricHost::Named,
            None => MetricHost::Never,
        },
        namespace: Namespace::new(&config.namespace, config.exclusions.clone()),
        blocklist: Blocklist::new(blocked.clone(), name_match),
        mapper: Mapper::default(),
        extra_tags: config.extra_tags.clone(),
        histogram_copy_prefix: None,
    });
    match name_match {
        NameMatch::Exact => config.blocked_names = blocked,
        NameMatch::Prefix => config.blocked_starts = blocked,
    }
    let line = line(input)?;
    let options = Options { client_origin: ClientOrigin::Read, ..Options::default() };
    match parse(&line, options) {
        Ok(Message::Metric(metric)) => {
            let tags: Vec<_> = metric.tags.iter().map(<[u8]>::to_vec).collect();
            let found = translated(enricher.resolve(metric.name, metric.tags));
            assert_eq!(found, identity(&config, metric.name, &tags));
        }
        Ok(Message::Event(event)) => {
            let event = enricher.event(&event, 1);
            assert!(event.tags.is_sorted() && event.tags.len() >= enricher.extra_tags().len());
        }
        Ok(Message::ServiceCheck(check)) => {
            let check = enricher.service_check(&check, 1);
            assert!(check.tags.is_sorted() && check.tags.len() >= enricher.extra_tags().len());
        }
        Err(_) => {}
    }
    Ok(())
}

/// For all profiles: they are refused with a reason, or name any metric without a panic; and a name
/// that a wildcard pattern matches gets what its stars stand for, as found by trying out.
pub fn mapper(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let _ = match input.arbitrary() {
        Ok(true) => check_profiles(&mut input),
        Ok(false) => check_wildcard(&mut input),
        Err(error) => Err(error),
    };
}

fn check_profiles(input: &mut Unstructured<'_>) -> Result<()> {
    let mut profiles = Vec::new();
    for _ in 0..input.int_in_range(1..=2)? {
        let mut mappings = Vec::new();
        for _ in 0..input.int_in_range(0..=2)? {
            mappings.push(Mapping {
                pattern: pattern(input)?,
                match_type: (*input.choose(&["", "wildcard", "regex", "regex", "x"])?).to_owned(),
                name: word(input)?,
                tags: vec![(word(input)?, word(input)?)],
            });
        }
        profiles.push(Profile { name: word(input)?, prefix: word(input)?, mappings });
    }
    match Mapper::new(&profiles) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(mapper) => drop(mapped(mapper, &line(input)?)),
    }
    Ok(())
}

fn check_wildcard(input: &mut Unstructured<'_>) -> Result<()> {
    let mut pattern = String::new();
    let mut stars = 0;
    for _ in 0..input.int_in_range(1..=12)? {
        let piece = *input.choose(&["*", "*", "a", "b", ".", ".", "a.b", "-"])?;
        if piece != "*" || stars < 4 && !pattern.ends_with('*') {
            stars += usize::from(piece == "*");
            pattern.push_str(piece);
        }
    }
    let mut name = String::new();
    for _ in 0..input.int_in_range(1..=16)? {
        name.push_str(input.choose(&["a", "b", ".", "-", "ab", "a.b", "é"])?);
    }
    let template = "new.$1.${2}.$3.${4}";
    let mapping =
        Mapping { pattern: pattern.clone(), name: template.to_owned(), ..Mapping::default() };
    let profile = Profile { name: "p".to_owned(), prefix: "*".to_owned(), mappings: vec![mapping] };
    let mapper = match Mapper::new(&[profile]) {
        Ok(mapper) => mapper,
        // Nothing was pushed: the only pattern of this kind that is refused.
        Err(error) => {
            assert!(pattern.is_empty(), "{pattern}: {error}");
            return Ok(());
        }
    };
    let found = mapped(mapper, format!("{name}:1|c").as_bytes());
    let expected = match wildcard(pattern.as_bytes(), name.as_bytes()) {
        None => name.clone(),
        Some(stars) => {
            let star = |at: usize| {
                String::from_utf8_lossy(stars.get(at).copied().unwrap_or_default()).into_owned()
            };
            format!("new.{}.{}.{}.{}", star(0), star(1), star(2), star(3))
        }
    };
    assert_eq!(found, Some((expected, String::new(), Vec::new())), "{pattern} on {name}");
    Ok(())
}

/// What a line's metric is called after the mapper; `None` if it is none.
fn mapped(mapper: Mapper, line: &[u8]) -> Option<Identity> {
    let enricher = Enricher::new(Settings { mapper, ..Settings::default() });
    match parse(line, Options::default()) {
        Ok(Message::Metric(metric)) => translated(enricher.resolve(metric.name, metric.tags)),
        _ => None,
    }
}

fn translated(found: Resolved<'_>) -> Option<Identity> {
    match found {
        Resolved::Blocked => None,
        Resolved::Context(found) => {
            let tags = found.tags.iter().map(|tag| tag.clone().into_owned()).collect();
            Some((found.name.into_owned(), found.host.into_owned(), tags))
        }
    }
}

/// Short words that often start each other, and any others.
fn word(input: &mut Unstructured<'_>) -> Result<String> {
    let common = ["", "a", "ab", "a.", "a.b", "*", "$1", "${1}_x", "b", "é"];
    let at = input.int_in_range(0..=common.len())?;
    match common.get(at) {
        Some(word) => Ok((*word).to_owned()),
        None => Ok(input.arbitrary::<&str>()?.to_owned()),
    }
}

fn words(input: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..input.int_in_range(0..=4)? {
        words.push(word(input)?);
    }
    Ok(words)
}

/// A pattern of pieces that mean something in regular expressions, or any text.
fn pattern(input: &mut Unstructured<'_>) -> Result<String> {
    let pieces =
        ["a", ".", "*", "(", ")", "[a-z]", "+", "?", "|", "{2,9}", "\\d", "(?P<g>", "^", "$"];
    let mut pattern = String::new();
    for _ in 0..input.int_in_range(0..=10)? {
        pattern.push_str(input.choose(&pieces)?);
    }
    if input.ratio(1, 8)? {
        pattern.push_str(input.arbitrary()?);
    }
    Ok(pattern)
}

/// A metric with a name and tags that the words may fit, or any bytes.
fn line(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if input.ratio(1, 4)? {
        return Ok(input.bytes(input.len())?.to_vec());
    }
    let mut line = format!("{}{}:1|c|#", word(input)?, word(input)?);
    for _ in 0..input.int_in_range(0..=5)? {
        let prefixes = ["", "", "host:", "dd.internal.card:", "dd.internal.entity_id:", "x:"];
        line.push_str(input.choose(&prefixes)?);
        line.push_str(&word(input)?);
        line.push(',');
    }
    Ok(line.into_bytes())
}
