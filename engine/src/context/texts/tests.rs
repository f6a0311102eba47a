//! Texts are kept once, as long as anybody has a context that bears them and no longer.

use super::super::record::OWNERS_MAX;
use super::super::{Context, Shelf};
use super::*;
use crate::sync::Ordering;
use std::panic;

fn record(texts: &mut Texts, name: &str, tags: &[&str]) -> RecordId {
    record_of(texts, name, "host", tags)
}

fn record_of(texts: &mut Texts, name: &str, host: &str, tags: &[&str]) -> RecordId {
    let tags = tags.iter().map(|tag| (*tag).into()).collect();
    let identity = Identity { name: name.into(), host: host.into(), tags };
    let meaning = texts.meaning(&identity);
    texts.context(&meaning).unwrap()
}

fn shared(texts: &mut Texts, name: &str, host: &str, tags: &[&str]) -> Context {
    let record = record_of(texts, name, host, tags);
    texts.get(record).share()
}

#[test]
fn a_text_that_several_bear_is_kept_once() {
    let mut texts = Texts::new(1 << 20, |_| ());
    record(&mut texts, "requests", &["env:prod", "path:/a"]);
    let bytes = texts.bytes();
    let two = record(&mut texts, "requests", &["path:/b", "env:prod"]);
    assert_eq!(texts.bytes() - bytes, "path:/b".len() + TEXT_BYTES_FIXED);
    let two = texts.get(two);
    assert_eq!((two.name(), two.host()), ("requests", "host"));
    assert!(two.tags().eq(["path:/b", "env:prod"]));
}

#[test]
fn a_context_without_a_host_or_tags_has_none() {
    let mut texts = Texts::new(1 << 20, |_| ());
    for (host, tags) in [("", &[][..]), ("", &["a", "b"]), ("host", &[]), ("host", &["host"])] {
        let context = record_of(&mut texts, "host", host, tags);
        let context = texts.get(context);
        assert_eq!((context.name(), context.host()), ("host", host));
        assert!(context.tags().eq(tags.iter().copied()));
    }
}

#[test]
fn a_tag_that_comes_again_is_left_out() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = record(&mut texts, "requests", &["b", "a", "b", "c", "a", "b", ""]);
    let one = texts.get(one);
    assert!(one.tags().eq(["b", "a", "c", ""]));
    assert!(one.telling_tags().eq(["b", "a", "c"]));
}

#[test]
fn tags_that_only_have_the_same_hash_stay() {
    let mut tags = ["b", "a", "b", "c", "a"].map(|text| Hashed { hash: 7, text }).to_vec();
    remove_repeated(&mut tags);
    assert!(tags.iter().map(|tag| tag.text).eq(["b", "a", "c"]));
}

#[test]
fn texts_go_with_the_last_context_that_bears_them() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = record(&mut texts, "requests", &["env:prod", "path:/a"]);
    let two = record(&mut texts, "requests", &["env:prod"]);
    texts.give_back(one).unwrap();
    assert!(texts.find_tag("path:/a").is_none());
    assert!(texts.get(two).tags().eq(["env:prod"]));
    texts.give_back(two).unwrap();
    assert_eq!((texts.bytes(), texts.names.len(), texts.tags.len()), (0, 0, 0));
}

/// Whether a tag is gone that so many held, when the context that held it last is.
fn is_gone(holders: u16) -> bool {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = record(&mut texts, "requests", &["env:prod"]);
    let tag = texts.find_tag("env:prod").unwrap();
    *texts.holders(tag) = holders - 1;
    let two = record(&mut texts, "others", &["env:prod"]);
    texts.give_back(two).unwrap();
    assert_eq!(*texts.holders(tag), holders - u16::from(holders < NOTE_MAX));
    *texts.holders(tag) = if holders < NOTE_MAX { 1 } else { holders };
    texts.give_back(one).unwrap();
    texts.find_tag("env:prod").is_none()
}

#[test]
fn a_text_that_was_held_more_often_than_can_be_counted_stays() {
    assert_eq!([2, NOTE_MAX - 1, NOTE_MAX].map(is_gone), [true, true, false]);
}

#[test]
fn a_context_with_too_many_owners_keeps_those_it_has() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = record(&mut texts, "requests", &["env:prod"]);
    let alive = texts.get(one).share();
    alive.get().record().owners.store(OWNERS_MAX, Ordering::Relaxed);
    for _ in 0..2 {
        let clone = panic::catch_unwind(panic::AssertUnwindSafe(|| alive.clone()));
        assert!(clone.is_err());
        assert_eq!(alive.get().record().owners.load(Ordering::Relaxed), OWNERS_MAX);
    }
    alive.get().record().owners.store(1, Ordering::Relaxed);
    let one = texts.give_back(one).unwrap_err();
    drop(alive);
    texts.give_back(one).unwrap();
}

/// Around the size that stands in a word of its own.
#[test]
fn a_context_may_have_more_tags_than_fit_into_a_short_record() {
    let mut texts = Texts::new(1 << 22, |_| ());
    for count in [21_840, 21_841, 21_842, 21_843, 21_844] {
        let tags: Vec<_> = (0..count).map(|number| format!("{number:x}")).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let long = record_of(&mut texts, "long", "", &tags);
        let short = record(&mut texts, "short", &["a"]);
        assert_eq!(texts.get(long).name(), "long");
        assert!(texts.get(long).tags().eq(tags.iter().copied()), "{count}");
        texts.give_back(long).unwrap();
        texts.give_back(short).unwrap();
        assert_eq!((texts.bytes(), texts.names.len(), texts.tags.len()), (0, 0, 0));
    }
}

#[test]
fn a_context_that_somebody_else_has_is_not_taken_back() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = record(&mut texts, "requests", &["env:prod"]);
    let shared = texts.get(one).share();
    let two = shared.clone();
    drop(shared);
    let one = texts.give_back(one).unwrap_err();
    assert_eq!(two.get().name(), "requests");
    drop(two);
    texts.give_back(one).unwrap();
    assert!(texts.find_tag("env:prod").is_none());
}

#[test]
fn a_context_outlives_the_texts_it_was_made_of() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = shared(&mut texts, "requests", "", &["env:prod"]);
    drop(texts);
    assert!(one.get().tags().eq(["env:prod"]));
}

#[test]
fn a_context_on_a_shelf_is_owned_until_it_is_removed() {
    let (mut texts, mut others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let mut shelf = Shelf::default();
    let one = record(&mut texts, "one", &["env:prod"]);
    shelf.put(2, &texts.get(one).share());
    shelf.put(0, &shared(&mut others, "two", "", &[]));
    let names = |shelf: &Shelf| [0, 1, 2, 3].map(|at| Some(shelf.get(at)?.name().to_owned()));
    assert_eq!(names(&shelf), [Some("two".into()), None, Some("one".into()), None]);
    let one = texts.give_back(one).unwrap_err();
    shelf.remove(2);
    texts.give_back(one).unwrap();
    drop(others);
    assert_eq!(names(&shelf), [Some("two".into()), None, None, None]);
    let three = record(&mut texts, "three", &[]);
    shelf.put(2, &texts.get(three).share());
    assert_eq!(names(&shelf), [Some("two".into()), None, Some("three".into()), None]);
    drop(shelf);
    texts.give_back(three).unwrap();
}

#[test]
fn the_same_series_by_whichever_worker_and_in_whichever_order() {
    let (mut texts, mut others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let one = shared(&mut texts, "requests", "host", &["a", "b", ""]);
    let mut is_same = |name: &str, host: &str, tags: &[&str]| {
        one.get().same_series(shared(&mut others, name, host, tags).get())
    };
    assert!(is_same("requests", "host", &["b", "a"]));
    assert!(!is_same("requests", "host", &["b", "c"]));
    assert!(!is_same("requests", "host", &["b"]));
    assert!(!is_same("others", "host", &["b", "a"]));
    assert!(!is_same("requests", "other", &["b", "a"]));
}

/// A text that has no room, and a record of many numbers whose texts have.
#[test]
fn what_there_is_no_room_for_leaves_nothing_behind() {
    let mut texts = Texts::new(1 << 12, |_| ());
    let one = record(&mut texts, "requests", &["env:prod"]);
    let before = (texts.bytes(), texts.names.len(), texts.tags.len());
    let long = "x".repeat(1 << 12);
    let tags = ["env:prod", "new", &long, "newer"].map(Into::into).to_vec();
    let identity = Identity { name: "other".into(), host: "host".into(), tags };
    let with_a_long_text = texts.meaning(&identity);
    let identity = Identity { tags: vec!["new".into()], ..identity.clone() };
    let mut with_a_long_record = texts.meaning(&identity);
    with_a_long_record.tags = with_a_long_record.tags.repeat(1 << 11);
    for meaning in [with_a_long_text, with_a_long_record] {
        assert!(texts.context(&meaning).is_none());
        assert_eq!((texts.bytes(), texts.names.len(), texts.tags.len()), before);
    }
    texts.give_back(one).unwrap();
    assert_eq!((texts.bytes(), texts.names.len(), texts.tags.len()), (0, 0, 0));
}

#[test]
fn a_text_stays_where_it_is_found_though_it_was_hashed_for_others() {
    let (mut texts, others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let identity = Identity { name: "requests".into(), host: "host".into(), tags: Vec::new() };
    let one = texts.context(&others.meaning(&identity)).unwrap();
    texts.give_back(one).unwrap();
    let bytes = |id: &TextId| text_of(&texts.arena, *id).len() + TEXT_BYTES_FIXED;
    assert_eq!(texts.bytes(), texts.names.iter().map(bytes).sum());
}
