//! The order of the steps, and what comes out for contexts, events and service checks.

use super::*;
use crate::message::{Message, Options, parse};
use proptest::prelude::*;

fn named(settings: Settings) -> Enricher {
    let hostname = "agent".into();
    Enricher::new(Settings { hostname, metric_host: MetricHost::Named, ..settings })
}

/// Name, host and tags of the context that `line` belongs to; `None` if it is blocked.
fn context(enricher: &Enricher, line: &str) -> Option<(String, String, String)> {
    let Ok(Message::Metric(metric)) = parse(line.as_bytes(), Options::default()) else {
        panic!("{line} is no metric");
    };
    match enricher.resolve(metric.name, metric.tags) {
        Resolved::Blocked => None,
        Resolved::Context(context) => {
            Some((context.name.into(), context.host.into(), context.tags.join(",")))
        }
    }
}

#[track_caller]
fn check(enricher: &Enricher, line: &str, expected: Option<(&str, &str, &str)>) {
    let expected = expected.map(|(name, host, tags)| (name.into(), host.into(), tags.into()));
    assert_eq!(context(enricher, line), expected, "{line}");
}

#[test]
fn a_context_has_its_tags_in_the_order_in_which_they_came() {
    let enricher = named(Settings::default());
    check(&enricher, "a:1|c|#b,a,,b,a:1,", Some(("a", "agent", "b,a,,b,a:1,")));
    check(&enricher, "a:1|c", Some(("a", "agent", "")));
}

#[test]
fn tags_that_every_series_gets_are_not_a_context_s_own() {
    let extra_tags = vec!["z".into(), "env:x".into(), "z".into()];
    let enricher = named(Settings { extra_tags, ..Settings::default() });
    check(&enricher, "a:1|c|#z,b,env:x", Some(("a", "agent", "b")));
    let extra: Vec<_> = enricher.extra_tags().iter().map(Tag::as_str).collect();
    assert_eq!(extra, ["env:x", "z"]);
}

#[test]
fn the_empty_tag_is_no_part_of_the_key() {
    let enricher = named(Settings::default());
    for (tags, key) in [("a,", "a"), ("a", "a"), (",", ""), ("", "")] {
        let line = format!("n:1|c|#{tags}");
        let Ok(Message::Metric(metric)) = parse(line.as_bytes(), Options::default()) else {
            panic!("{line}");
        };
        let Resolved::Context(context) = enricher.resolve(metric.name, metric.tags) else {
            panic!("{line}");
        };
        assert_eq!(
            context
                .tags
                .iter()
                .filter(|tag| !tag.is_empty())
                .map(|tag| &**tag)
                .collect::<Vec<_>>()
                .join(","),
            key,
            "{tags}"
        );
    }
}

#[test]
fn a_host_tag_names_the_host_unless_metrics_have_none() {
    let enricher = named(Settings::default());
    check(&enricher, "a:1|c|#x,host:h", Some(("a", "h", "x")));
    check(&enricher, "a:1|c|#host:", Some(("a", "", "")));
    let serverless = Enricher::new(Settings { hostname: "agent".into(), ..Settings::default() });
    check(&serverless, "a:1|c|#x,host:h", Some(("a", "", "x")));
    check(&serverless, "a:1|c", Some(("a", "", "")));
}

/// The steps in their order: what the mapper makes is scanned for internal tags and prefixed, and
/// the block list sees the name that comes out.
#[test]
fn the_block_list_sees_the_mapped_and_prefixed_name() {
    let mapping = Mapping {
        pattern: "t.*.*".into(),
        name: "m".into(),
        tags: vec![("host".into(), "$1".into()), ("env".into(), "$2".into())],
        ..Mapping::default()
    };
    let profile = Profile { name: "p".into(), prefix: "t.".into(), mappings: vec![mapping] };
    let settings = Settings {
        mapper: Mapper::new(&[profile]).unwrap(),
        namespace: Namespace::new("ns", vec![]),
        ..Settings::default()
    };
    check(&named(settings.clone()), "t.a.b:1|c|#x", Some(("ns.m", "a", "x,env:b")));
    for (entry, blocked) in [("ns.m", true), ("m", false), ("t.a.b", false)] {
        let blocklist = Blocklist::new(vec![entry.into()], NameMatch::Exact);
        let enricher = named(Settings { blocklist, ..settings.clone() });
        assert_eq!(context(&enricher, "t.a.b:1|c").is_none(), blocked, "{entry}");
    }
}

#[test]
fn what_is_no_text_becomes_the_replacement_character() {
    let enricher = named(Settings::default());
    let tags = parse(b"a\xff:1|c|#\xfe,b", Options::default());
    let Ok(Message::Metric(metric)) = tags else { panic!("no metric") };
    let Resolved::Context(context) = enricher.resolve(metric.name, metric.tags) else {
        panic!("blocked");
    };
    assert_eq!((&*context.name, &context.tags[..1]), ("a\u{fffd}", &["\u{fffd}".into()][..]));
}

#[test]
fn an_event_gets_host_tags_and_time() {
    let settings = Settings { extra_tags: vec!["env:x".into()], ..Settings::default() };
    let enricher = named(settings);
    for (fields, host, second, tags) in [
        ("", "agent", 1000, "env:x"),
        ("|h:h1|d:7|#b,host:h2,b,a", "h1", 7, "a,b,env:x"),
        ("|#host:h2,env:x", "h2", 1000, "env:x"),
        ("|#host:", "", 1000, "env:x"),
        ("|h:|d:-5", "agent", -5, "env:x"),
    ] {
        let line = format!("_e{{5,8}}:title|te\\nxt\u{e4}|p:low|t:error|k:key|s:src{fields}");
        let Ok(Message::Event(event)) = parse(line.as_bytes(), Options::default()) else {
            panic!("{line}");
        };
        let event = enricher.event(&event, 1000);
        assert_eq!((event.title.as_str(), event.text.as_str()), ("title", "te\nxt\u{e4}"));
        assert_eq!((event.priority, event.alert_type), ("low", "error"));
        assert_eq!((&*event.aggregation_key, &*event.source_type_name), ("key", "src"));
        assert_eq!((&*event.host, event.second), (host, second), "{fields}");
        let joined: Vec<_> = event.tags.iter().map(Tag::as_str).collect();
        assert_eq!(joined.join(","), tags, "{fields}");
    }
}

#[test]
fn a_service_check_gets_host_tags_and_time() {
    let enricher = named(Settings::default());
    let line = b"_sc|up|2|h:h1|m:no|#b,a,dd.internal.card:low,a";
    let Ok(Message::ServiceCheck(check)) = parse(line, Options::default()) else { panic!() };
    let check = enricher.service_check(&check, 1000);
    assert_eq!((&*check.name, check.status as u8, check.second), ("up", 2, 1000));
    assert_eq!((&*check.host, &*check.message), ("h1", "no"));
    assert_eq!(check.tags, [Tag::from("a"), Tag::from("b")]);
}

proptest! {
    /// For all names and tag sections: none of a context's tags is one that every series gets, and
    /// the order in which they came makes no other difference.
    #[test]
    fn a_context_is_the_same_for_every_order_of_its_tags(
        name in "[a-c.]{1,8}",
        mut tags in prop::collection::vec("(a|b:1|env:x|host:h||\\PC{0,3})", 0..6),
    ) {
        let mapping = Mapping { pattern: "*.*".into(), name: "$1".into(), ..Mapping::default() };
        let profile = Profile { name: "p".into(), prefix: "*".into(), mappings: vec![mapping] };
        let mapper = Mapper::new(&[profile]).unwrap();
        let extra_tags = vec!["env:x".into()];
        let enricher = named(Settings { mapper, extra_tags, ..Settings::default() });
        tags.retain(|tag| !tag.contains(['|', ',', '\n']));
        let line = |tags: &[String]| format!("{name}:1|c|#,{}", tags.join(","));
        let sorted = |tags: &[String]| {
            let (name, host, tags) = context(&enricher, &line(tags)).unwrap();
            let mut tags: Vec<_> = tags.split(',').map(str::to_owned).collect();
            tags.sort();
            tags.dedup();
            (name, host, tags)
        };
        let there = sorted(&tags);
        prop_assert!(there.2.iter().all(|tag| tag != "env:x"));
        tags.reverse();
        prop_assert_eq!(sorted(&tags), there);
    }
}
