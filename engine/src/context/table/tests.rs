//! A spelling finds its context and no other; what is forgotten costs nothing any more.

use super::*;
use proptest::prelude::*;
use std::borrow::Cow;

const NOW: Stamp = Stamp::from_s(1000);

/// Looks a spelling up and learns it, its meaning being itself but for `host:`, as enrichment has it.
/// A quarter of all spellings have the same hash: it only says where to look.
fn learn(contexts: &mut Contexts, name: &str, tags: &str) -> Result<Inserted, LimitReached> {
    let spelling = Spelling { name: name.as_bytes(), tags: tags.as_bytes() };
    let hash = contexts.hash(spelling) % 4;
    if let Some(id) = contexts.find(hash, spelling) {
        return Ok(Inserted::Known(id));
    }
    let tags = Some(tags).filter(|tags| !tags.is_empty()).map(|tags| tags.split(','));
    let (hosts, tags): (Vec<_>, Vec<_>) =
        tags.into_iter().flatten().map(Cow::from).partition(|tag| tag.starts_with("host:"));
    let host = hosts.last().cloned().unwrap_or_default();
    contexts.insert(hash, spelling, &Identity { name: name.into(), host, tags }, NOW)
}

#[test]
fn order_and_repetition_of_tags_make_no_difference() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let first = learn(&mut contexts, "m", "b,a").unwrap();
    assert!(matches!(first, Inserted::New { .. }));
    for spelling in ["a,b", "b,a", "a,a,b", "a,b,", ",b,a"] {
        assert_eq!(learn(&mut contexts, "m", spelling).unwrap(), Inserted::Known(first.id()));
    }
    assert_eq!(contexts.len(), 1);
    let context = contexts.context(first.id()).unwrap();
    assert_eq!(context.tags().collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn more_tags_than_positions_fit_a_byte_are_found_in_any_order() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let mut tags: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let first = learn(&mut contexts, "m", &tags.join(",")).unwrap().id();
    for at in [255, 256, 299] {
        tags.swap(0, at);
        let joined = tags.join(",");
        assert_eq!(learn(&mut contexts, "m", &joined).unwrap(), Inserted::Known(first));
        let spelling = Spelling { name: b"m", tags: joined.as_bytes() };
        assert_eq!(contexts.find(contexts.hash(spelling) % 4, spelling), Some(first));
    }
}

#[test]
fn the_first_spelling_decides_whether_the_empty_tag_is_sent() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let first = learn(&mut contexts, "m", ",").unwrap();
    assert_eq!(learn(&mut contexts, "m", "").unwrap(), Inserted::Known(first.id()));
    assert_eq!(contexts.context(first.id()).unwrap().tags().count(), 1);
}

#[test]
fn case_name_and_a_comma_that_is_not_there_tell_contexts_apart() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    for (name, tags) in [("m", "a"), ("m", "A"), ("n", "a"), ("ma", ""), ("m", "ab"), ("m", "a,b")]
    {
        assert!(
            matches!(learn(&mut contexts, name, tags), Ok(Inserted::New { .. })),
            "{name}#{tags}"
        );
    }
    assert_eq!(contexts.len(), 6);
}

#[test]
fn an_idle_context_is_forgotten_and_its_number_and_memory_used_again() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let kept = learn(&mut contexts, "kept", "t").unwrap().id();
    let held = learn(&mut contexts, "held", "t").unwrap().id();
    let idle = learn(&mut contexts, "idle", "own:tag").unwrap().id();
    let bytes = contexts.bytes();
    assert!(contexts.touch(kept, Stamp::from_s(1030)));
    let retired = contexts.expire(Stamp::from_s(1021), 20, |id| id == held);
    assert_eq!(retired.contexts, [idle]);
    assert!(contexts.bytes() < bytes);
    assert_eq!(contexts.len(), 2);
    let other = learn(&mut contexts, "other", "own:tag").unwrap();
    assert!(matches!(other, Inserted::New { id, .. } if id == idle));
}

#[test]
fn at_the_limit_known_contexts_go_on_and_new_ones_are_refused() {
    let mut contexts = Contexts::new(1000, |_| ());
    let known = learn(&mut contexts, "known", "a,b").unwrap().id();
    let mut names = (0..).map(|i| format!("new.{i}"));
    while learn(&mut contexts, &names.next().unwrap(), "").is_ok() {}
    assert_eq!(learn(&mut contexts, "known", "a,b").unwrap(), Inserted::Known(known));
    assert_eq!(learn(&mut contexts, "known", "b,a").unwrap(), Inserted::Known(known));
    assert_eq!(learn(&mut contexts, "new", ""), Err(LimitReached));
    assert!(contexts.bytes() < 1000 + CONTEXT_BYTES_FIXED + 100);
}

#[test]
fn a_blocked_spelling_has_no_place() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let spelling = Spelling { name: b"secret", tags: b"" };
    let hash = contexts.hash(spelling);
    contexts.insert_blocked(hash, spelling, NOW).unwrap();
    let id = contexts.find(hash, spelling).unwrap();
    assert!(!contexts.touch(id, NOW));
    assert!(contexts.is_empty());
}

#[test]
fn contexts_and_blocked_spellings_are_forgotten_when_the_last_second_is_over() {
    let mut contexts = Contexts::new(1 << 24, |_| ());
    let id = learn(&mut contexts, "m", "t").unwrap().id();
    let spelling = Spelling { name: b"secret", tags: b"" };
    let hash = contexts.hash(spelling);
    contexts.insert_blocked(hash, spelling, NOW).unwrap();
    let retired = contexts.expire(Stamp::from_ns(1_020_999_999_999), 20, |_| false).contexts;
    assert_eq!((retired, contexts.find(hash, spelling).is_some()), (vec![], true));
    let retired = contexts.expire(Stamp::from_s(1021), 20, |_| false).contexts;
    assert_eq!((retired, contexts.find(hash, spelling)), (vec![id], None));
    // What is free already is not forgotten again.
    contexts.expire(Stamp::from_s(2000), 20, |_| false);
    assert_eq!((contexts.bytes(), contexts.free.len()), (0, 2));
}

proptest! {
    /// For all spellings: the context found is the one that a map of hosts and sorted tag sets finds.
    #[test]
    fn the_tables_agree_with_a_map_of_sorted_sets(
        spellings in prop::collection::vec(("[ab]{1,2}", prop::collection::vec("[ab:]{0,2}|host:[ab]", 0..4)), 1..60),
    ) {
        let mut contexts = Contexts::new(1 << 24, |_| ());
        let mut model = std::collections::HashMap::new();
        for (name, tags) in spellings {
            let joined = tags.join(",");
            let (hosts, mut set): (Vec<_>, Vec<_>) =
                tags.into_iter().partition(|tag| tag.starts_with("host:"));
            set.retain(|tag| !tag.is_empty());
            set.sort();
            set.dedup();
            let id = learn(&mut contexts, &name, &joined).unwrap().id();
            let identity = (name, hosts.last().cloned(), set);
            prop_assert_eq!(*model.entry(identity).or_insert(id), id);
        }
        let mut ids: Vec<_> = model.values().collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!((contexts.len(), ids.len()), (model.len(), model.len()));
    }

    /// For all sequences: what somebody has a context of reads as it did, whatever is forgotten
    /// meanwhile, and what nobody has is charged no more.
    #[test]
    fn what_is_forgotten_costs_nothing_when_it_has_come_back(
        steps in prop::collection::vec(
            (0..6u8, any::<prop::sample::Index>(), "[ab]{1,2}", prop::collection::vec("[ab:]{0,9}", 0..4)),
            1..100,
        ),
    ) {
        let idle = Stamp::from_s(1021);
        let mut contexts = Contexts::new(8000, |_| ());
        let mut held: Vec<(super::super::Context, String, Vec<String>)> = Vec::new();
        for (what, index, name, mut tags) in steps {
            match what {
                0 => {
                    contexts.expire(idle, 20, |id| id % 3 == 0);
                }
                1 if !held.is_empty() => {
                    held.swap_remove(index.index(held.len()));
                }
                _ => {
                    let Ok(learnt) = learn(&mut contexts, &name, &tags.join(",")) else { continue };
                    tags.retain(|tag| !tag.is_empty());
                    tags.sort();
                    tags.dedup();
                    let context = contexts.context(learnt.id()).unwrap().share();
                    held.push((context, name, tags));
                }
            }
            for (context, name, tags) in &held {
                let context = context.get();
                let mut telling: Vec<_> = context.telling_tags().collect();
                telling.sort_unstable();
                prop_assert_eq!(context.name(), name);
                prop_assert_eq!(&telling, tags);
            }
        }
        contexts.expire(idle, 20, |_| false);
        prop_assert_eq!(contexts.len(), 0);
        prop_assert!(contexts.leaving.len() <= held.len());
        held.clear();
        contexts.expire(idle, 20, |_| false);
        prop_assert_eq!((contexts.bytes(), contexts.leaving.len()), (0, 0));
    }
}
