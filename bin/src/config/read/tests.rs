//! Values as text and as structures, for each reader.

use serde_json::json;

use super::*;

/// What reading a value gives, as it is shown: good, replaced or bad.
fn read<T>(kind: &Kind<T>, text: &str) -> String {
    read_node(kind, &Node::text(text))
}

fn read_node<T>(kind: &Kind<T>, node: &Node) -> String {
    match (kind.read)(node) {
        Reading::Good(value) => (kind.show)(&value).to_string(),
        Reading::Replaced(value) => format!("replaced {}", (kind.show)(&value)),
        Reading::Bad => "bad".to_owned(),
    }
}

/// Checks rows of text and reading.
#[track_caller]
fn check<T>(kind: &Kind<T>, rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(read(kind, text), *expected, "{} from {text:?}", kind.noun);
    }
}

#[test]
fn numbers_have_their_ranges() {
    check(&THREADS, &[("1", "1"), ("64", "64"), ("0", "bad"), ("65", "bad"), ("1.5", "bad")]);
    check(&COUNT, &[("1", "1"), ("100000", "100000"), ("0", "bad"), ("100001", "bad")]);
    check(&COUNT_OR_ZERO, &[("0", "0"), ("-1", "bad")]);
    check(&COUNT_OR_NOTHING, &[("", "null"), ("3", "3"), ("x", "bad")]);
    check(&ZSTD_LEVEL, &[("1", "1"), ("22", "22"), ("0", "bad"), ("23", "bad")]);
    check(&ZSTD_LEVEL_OR_ZERO, &[("0", "0"), ("23", "bad")]);
    check(&RATIO, &[("0.5", "0.5"), ("1", "1.0"), ("0", "bad"), ("1.1", "bad"), ("NaN", "bad")]);
}

/// For all keys with a fall-back in the reference agent: the same one, and text is still an error.
#[test]
fn numbers_out_of_range_fall_back_where_the_reference_agent_does() {
    check(&COUNT_OR_ONE, &[("3", "3"), ("0", "replaced 1"), ("-7", "replaced 1"), ("x", "bad")]);
    check(&RECOVERY, &[("3", "3"), ("0", "replaced 2"), ("-7", "replaced 2"), ("x", "bad")]);
    check(&MINUTES, &[("5", r#""300s""#), ("0", r#"replaced "3600s""#), ("x", "bad")]);
    check(&FACTOR, &[("2.5", "2.5"), ("1.9", "replaced 2.0"), ("inf", "bad"), ("x", "bad")]);
    check(&BACKOFF_BASE, &[("0.1", "0.1"), ("0", "replaced 2.0"), ("-1", "replaced 2.0")]);
    check(&BACKOFF_MAX, &[("10", "10.0"), ("0", "replaced 64.0"), ("x", "bad")]);
}

#[test]
fn sizes_take_binary_units() {
    check(&BYTES, &[("0", "0"), ("4096", "4096"), ("8 MiB", "8388608"), ("1GiB", "1073741824")]);
    check(&BYTES, &[("8MB", "bad"), ("MiB", "bad"), ("1e3", "bad"), ("", "bad")]);
    check(&BYTES, &[("18446744073709551615", "18446744073709551615"), ("99999999999GiB", "bad")]);
    check(&SIZE, &[("1", "1"), ("0", "bad")]);
    check(&BUFFER, &[("512", "512"), ("1MiB", "1048576"), ("511", "bad"), ("1048577", "bad")]);
    check(&SOCKET_BUFFER, &[("0", "0"), ("2147483647", "2147483647"), ("2147483648", "bad")]);
    check(&BYTES_OR_AUTO, &[("auto", r#""auto""#), ("1KiB", "1024"), ("some", "bad")]);
}

#[test]
fn times_take_units() {
    check(&TIME, &[("8", r#""8s""#), ("8s", r#""8s""#), ("1m30s", r#""90s""#), ("0", r#""0s""#)]);
    check(&TIME, &[("1.5s", r#""1500ms""#), ("500us", r#""0.5ms""#), ("2h", r#""7200s""#)]);
    check(&TIME, &[("", "bad"), ("s", "bad"), ("-1s", "bad"), ("1d", "bad"), ("1e300h", "bad")]);
    check(&TIME, &[("9999999999", "bad"), ("NaNs", "bad"), ("1s1", "bad"), ("é", "bad")]);
    check(&TIME_OR_AUTO, &[("auto", r#""auto""#), ("30", r#""30s""#), ("soon", "bad")]);
    check(&SECONDS, &[("0", r#""0s""#), ("1s", "bad"), ("-1", "bad")]);
    check(&SECONDS_FROM_ONE, &[("1", r#""1s""#), ("0", "bad")]);
    check(&DAYS, &[("10", r#""864000s""#), ("0", "bad"), ("3661", "bad")]);
}

#[test]
fn truths_are_read_in_all_spellings() {
    for text in ["true", "True", "T", "yes", "ON", "1"] {
        assert_eq!(read(&BOOL, text), "true", "{text}");
    }
    for text in ["false", "FALSE", "f", "no", "off", "0"] {
        assert_eq!(read(&BOOL, text), "false", "{text}");
    }
    check(&BOOL, &[("", "bad"), ("2", "bad"), ("maybe", "bad")]);
    check(&BOOL_OR_AUTO, &[("auto", r#""auto""#), ("true", "true"), ("x", "bad")]);
}

#[test]
fn words_are_one_of_a_few() {
    check(&PORT, &[("0", "0"), ("8125", "8125"), ("__random__", r#""__random__""#)]);
    check(&PORT, &[("65536", "bad"), ("-1", "bad"), ("random", "bad")]);
    check(&PIN, &[("Always", r#""always""#), ("", "bad")]);
    check(&RECEIPT, &[("off", r#""off""#), ("/r.json", r#""/r.json""#), ("", "bad")]);
    check(&LOG_LEVEL, &[("WARNING", r#""warn""#), ("critical", r#""error""#), ("loud", "bad")]);
    check(&COMPRESSOR, &[("gzip", r#""gzip""#), ("lzma", r#"replaced "none""#)]);
    check(&TLS_VERSION, &[("TLSv1.3", r#""tlsv1.3""#), ("tlsv1.0", r#"replaced "tlsv1.2""#)]);
    check(&HTTP_PROTOCOL, &[("http1", r#""http1""#), ("http2", r#"replaced "auto""#)]);
    check(&USE_V3, &[("datadog_only", r#""datadog_only""#), ("true", r#""true""#)]);
    check(&USE_V3, &[("0", r#""false""#), ("some", r#"replaced "false""#)]);
}

#[test]
fn lists_take_separators_json_and_lists() {
    check(&TAGS, &[("a:1, b:2  c", r#"["a:1","b:2","c"]"#), ("", "[]"), (" , ", "[]")]);
    check(&TAGS, &[(r#"["a:1", "b, c", ""]"#, r#"["a:1","b, c"]"#), ("[a", r#"["[a"]"#)]);
    check(&TAGS, &[(r#"{"a": 1}"#, "bad"), ("a\u{7}", "bad"), (r#"[["a"]]"#, "bad")]);
    check(&NAMES, &[("a b,c", r#"["a","b,c"]"#)]);
    check(&HOSTS, &[("a,b c", r#"["a","b","c"]"#)]);
    check(&URLS, &[("http://a/ https://b", r#"["http://a","https://b"]"#), ("a", "bad")]);
    let list = Node::from(json!(["a b", 1, true, null]));
    assert_eq!(read_node(&TAGS, &list), r#"["a b","1","true"]"#);
}

/// For all lists in which the reference agent skips what it doesn't know: the rest is used.
#[test]
fn bad_items_are_left_out_where_the_reference_agent_does() {
    check(&AGGREGATES, &[("max sum max", r#"["max","sum"]"#), ("", "[]")]);
    check(&AGGREGATES, &[("max mode", r#"replaced ["max"]"#), (r#"{"a":1}"#, "bad")]);
    check(&PERCENTILES, &[("0.99 0.5 0.50", "[50,99]"), ("0 1", "[0,100]"), ("0.955", "[96]")]);
    check(&PERCENTILES, &[("0.5 1.5 x NaN -1", "replaced [50]")]);
    check(&EOL, &[("udp uds", r#"["udp","uds"]"#), ("named_pipe", "[]"), ("", "[]")]);
    check(&EOL, &[("udp tcp", r#"replaced ["udp"]"#)]);
}

#[test]
fn texts_stay_as_they_are() {
    check(&TEXT, &[(" a b ", r#""a b""#), ("", r#""""#), ("a\nb", "bad")]);
    check(&TAG_VALUE, &[("Prod", r#""prod""#), ("a,b", "bad")]);
    check(&HOST, &[("::1", r#""::1""#), ("[::1]", r#""::1""#), ("", "bad"), ("http://x", "bad")]);
    check(&SITE, &[("datadoghq.eu", r#""datadoghq.eu""#), ("https://x", "bad"), ("", "bad")]);
    check(&PATH, &[("", "null"), ("/run/x", r#""/run/x""#), ("/a\0", "bad")]);
    check(&URL, &[("", "null"), ("https://x/", r#""https://x""#), ("x", "bad")]);
    check(&PROXY, &[("proxy:3128", r#""http://proxy:3128""#), ("", "null"), ("ftp://x", "bad")]);
    check(&PROXY, &[("http://me:secret@proxy:1", r#""http://********@proxy:1""#)]);
}

#[test]
fn endpoints_keep_each_key_once_and_hide_it() {
    let key = "0123456789abcdef0123456789abcdef";
    let text = format!(r#"{{"http://b": "{key}", "https://a/": ["{key}", " {key} ", ""]}}"#);
    let shown = r#"{"http://b":["********bcdef"],"https://a":["********bcdef"]}"#;
    check(&ENDPOINTS, &[(&text, shown), ("", "{}"), ("{}", "{}")]);
    check(&ENDPOINTS, &[(r#"{"http://a": []}"#, "replaced {}")]);
    check(
        &ENDPOINTS,
        &[(r#"{"http://a": ["ENC[k]", "x"]}"#, r#"replaced {"http://a":["********"]}"#)],
    );
    for bad in ["x", "[]", r#"{"a": ["x"]}"#, r#"{"http://a": ["a b"]}"#, r#"{"http://a": {}}"#] {
        check(&ENDPOINTS, &[(bad, "bad")]);
    }
}

#[test]
fn v3_is_chosen_for_each_endpoint() {
    check(&V3_ENDPOINTS, &[(r#"{"http://a/": true}"#, r#"{"http://a":"true"}"#), ("", "{}")]);
    check(&V3_ENDPOINTS, &[(r#"{"http://a": "x"}"#, r#"replaced {"http://a":"false"}"#)]);
    check(&V3_ENDPOINTS, &[(r#"{"a": "true"}"#, "bad"), ("[]", "bad"), ("{", "bad")]);
}

#[test]
fn mapper_profiles_are_read_whole() {
    let text = r#"[{"name": "p", "prefix": "x.", "mappings": [
        {"match": "x.*.y", "name": "x", "tags": {"b": "$1", "a": "2"}},
        {"match": "x\\.(\\w+)", "match_type": "regex", "name": "z"}]}]"#;
    let Reading::Good(profiles) = (PROFILES.read)(&Node::text(text)) else { panic!("not good") };
    let [profile] = &profiles[..] else { panic!("{profiles:?}") };
    assert_eq!((profile.name.as_str(), profile.prefix.as_str()), ("p", "x."));
    let [first, second] = &profile.mappings[..] else { panic!("{profile:?}") };
    assert_eq!(json!(first.tags), json!([["a", "2"], ["b", "$1"]]));
    assert_eq!(first.match_type, crate::config::types::MatchType::Wildcard);
    assert_eq!(second.match_type, crate::config::types::MatchType::Regex);
    assert_eq!(second.pattern, r"x\.(\w+)");
    check(&PROFILES, &[("", "[]"), ("[]", "[]")]);
}

/// For all faults in a profile: the mapper is off, with a warning.
#[test]
fn one_bad_profile_switches_the_mapper_off() {
    for mapping in [
        r#"{"name": "x"}"#,
        r#"{"match": "x"}"#,
        r#"{"match": "a b", "name": "x"}"#,
        r#"{"match": "a.**", "name": "x"}"#,
        r#"{"match": "a", "match_type": "glob", "name": "x"}"#,
        r#"{"match": "a", "name": "x", "tags": ["a"]}"#,
    ] {
        let text = format!(r#"[{{"name": "p", "prefix": "x", "mappings": [{mapping}]}}]"#);
        check(&PROFILES, &[(&text, "replaced []")]);
    }
    check(&PROFILES, &[(r#"[{"prefix": "x"}]"#, "replaced []"), ("[{", "replaced []")]);
    check(&PROFILES, &[(r#"[{"name": "x"}]"#, "replaced []"), ("{}", "replaced []")]);
}
