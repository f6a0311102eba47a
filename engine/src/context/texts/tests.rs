//! Texts are kept once, as long as anybody has a context that bears them and no longer.

use super::*;

fn context(texts: &mut Texts, name: &str, tags: &[&str]) -> Context {
    context_of(texts, name, "host", tags)
}

fn context_of(texts: &mut Texts, name: &str, host: &str, tags: &[&str]) -> Context {
    let tags = tags.iter().map(|tag| (*tag).into()).collect();
    let identity = Identity { name: name.into(), host: host.into(), tags };
    let meaning = texts.meaning(&identity);
    texts.context(&meaning).unwrap()
}

#[test]
fn a_text_that_several_bear_is_kept_once() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let _one = context(&mut texts, "requests", &["env:prod", "path:/a"]);
    let bytes = texts.bytes();
    let two = context(&mut texts, "requests", &["path:/b", "env:prod"]);
    assert_eq!(texts.bytes() - bytes, "path:/b".len() + TEXT_BYTES_FIXED);
    assert_eq!((two.name(), two.host()), ("requests", "host"));
    assert!(two.tags().eq(["path:/b", "env:prod"]));
}

#[test]
fn a_tag_that_comes_again_is_left_out() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = context(&mut texts, "requests", &["b", "a", "b", "c", "a", "b", ""]);
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
    let one = context(&mut texts, "requests", &["env:prod", "path:/a"]);
    let two = context(&mut texts, "requests", &["env:prod"]);
    texts.give_back(one).unwrap();
    assert!(texts.find("path:/a").is_none());
    assert!(two.tags().eq(["env:prod"]));
    texts.give_back(two).unwrap();
    assert_eq!(texts.bytes(), 0);
    assert!(texts.known.is_empty());
}

#[test]
fn a_context_that_somebody_else_has_is_not_taken_back() {
    let (mut texts, mut others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let one = context(&mut texts, "requests", &["env:prod"]);
    let shared = one.clone();
    let one = texts.give_back(one).unwrap_err();
    assert_eq!(shared.name(), "requests");
    drop(shared);
    let one = others.give_back(one).unwrap_err();
    texts.give_back(one).unwrap();
    assert!(texts.find("env:prod").is_none());
}

#[test]
fn a_context_outlives_the_texts_it_was_made_of() {
    let mut texts = Texts::new(1 << 20, |_| ());
    let one = context(&mut texts, "requests", &["env:prod"]);
    drop(texts);
    assert!(one.tags().eq(["env:prod"]));
}

#[test]
fn the_same_series_by_whichever_worker_and_in_whichever_order() {
    let (mut texts, mut others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let one = context(&mut texts, "requests", &["a", "b", ""]);
    assert!(one.same_series(&context(&mut others, "requests", &["b", "a"])));
    assert!(!one.same_series(&context(&mut others, "requests", &["b", "c"])));
    assert!(!one.same_series(&context(&mut others, "requests", &["b"])));
    assert!(!one.same_series(&context(&mut others, "others", &["b", "a"])));
    assert!(!one.same_series(&context_of(&mut others, "requests", "other", &["b", "a"])));
}

#[test]
fn what_there_is_no_room_for_leaves_nothing_behind() {
    let mut texts = Texts::new(1 << 12, |_| ());
    let one = context(&mut texts, "requests", &["env:prod"]);
    let (bytes, known) = (texts.bytes(), texts.known.len());
    let long = "x".repeat(1 << 12);
    let tags = ["env:prod", "new", &long, "newer"].map(Into::into).to_vec();
    let identity = Identity { name: "other".into(), host: "host".into(), tags };
    assert!(texts.context(&texts.meaning(&identity)).is_none());
    assert_eq!((texts.bytes(), texts.known.len()), (bytes, known));
    texts.give_back(one).unwrap();
    assert_eq!((texts.bytes(), texts.known.len()), (0, 0));
}

#[test]
fn a_text_stays_where_it_is_found_though_it_was_hashed_for_others() {
    let (mut texts, others) = (Texts::new(1 << 20, |_| ()), Texts::new(1 << 20, |_| ()));
    let identity = Identity { name: "requests".into(), host: "host".into(), tags: Vec::new() };
    let one = texts.context(&others.meaning(&identity)).unwrap();
    texts.give_back(one).unwrap();
    let bytes = |id: &TextId| text_of(&texts.arena, *id).len() + TEXT_BYTES_FIXED;
    assert_eq!(texts.bytes(), texts.known.iter().map(bytes).sum());
}
