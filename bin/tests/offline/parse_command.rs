//! `lastdrop parse` over the protocol's vectors and over plain input.

use crate::parse::{ParseArgs, run};
use crate::vectors::MessageSettings;
use clap::Parser;
use lastdrop_engine::enrich::Settings;
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    parse: ParseArgs,
}

/// The output for `input`, line by line.
fn output(args: &[&str], settings: MessageSettings, input: &[u8]) -> Vec<Value> {
    let args = ["parse"].iter().chain(args);
    let Cli { parse } = Cli::try_parse_from(args).expect("good arguments");
    let mut output = Vec::new();
    run(&parse, settings, &mut &input[..], &mut output).expect("memory can be written");
    assert!(output.is_ascii());
    let text = String::from_utf8(output).expect("ASCII");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn plain(args: &[&str], input: &[u8]) -> Vec<Value> {
    output(args, MessageSettings::default(), input)
}

/// For all vectors: the same messages with the same keys, save for the position of an error.
#[test]
fn vectors_are_answered_with_what_they_expect() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/vectors/parse.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let answers = plain(&["--vectors"], text.as_bytes());
    let vectors: Vec<Value> =
        text.split_terminator('\n').map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(answers.len(), vectors.len());
    assert!(vectors.len() >= 368, "only {} vectors found", vectors.len());
    for (vector, mut answer) in vectors.into_iter().zip(answers) {
        if vector["tags_of_vector"] == json!(["reference-defect"]) {
            continue;
        }
        let mut expected = vector["expect"].clone();
        for message in answer.as_array_mut().expect("a list") {
            let message = message.as_object_mut().expect("an object");
            let position = message.remove("at");
            assert_eq!(position.is_some(), message["kind"] == "error", "{vector}");
        }
        if vector["config"]["dogstatsd_mapper_profiles"].is_array() {
            sort_tags(&mut answer);
            sort_tags(&mut expected);
        }
        assert_eq!(answer, expected, "{vector}");
    }
}

/// Tags that a mapper makes are in no particular order.
fn sort_tags(messages: &mut Value) {
    for message in messages.as_array_mut().into_iter().flatten() {
        if let Some(tags) = message.get_mut("tags").and_then(Value::as_array_mut) {
            tags.sort_by_key(Value::to_string);
        }
    }
}

#[test]
fn a_line_that_is_no_vector_is_answered_with_an_error_and_the_run_goes_on() {
    let good = r#"{"in": "a:1|c", "expect": "ignored", "stage": null, "config": null}"#;
    for (bad, expected) in [
        ("", "expected a JSON object: "),
        ("{", "expected a JSON object: "),
        ("[]", "expected a JSON object: "),
        ("{}", "expected one of `in` and `in_hex`"),
        (r#"{"in": "", "in_hex": ""}"#, "expected one of `in` and `in_hex`"),
        (r#"{"in": 1}"#, "in: expected a string"),
        (r#"{"in_hex": "0"}"#, "in_hex: expected pairs of hex digits"),
        (r#"{"in": "", "stage": "parsed"}"#, "stage: expected "),
        (r#"{"in": "", "config": []}"#, "config: expected an object"),
        (r#"{"in": "", "config": {"colour": 1}}"#, "config: unknown key \"colour\""),
        (r#"{"in": "", "config": {"serverless": "no"}}"#, "serverless: expected true or false"),
        (r#"{"in": "", "config": {"transport": "tcp"}}"#, "transport: expected "),
        (r#"{"in": "", "config": {"dogstatsd_tags": "a"}}"#, "dogstatsd_tags: expected a list"),
        (r#"{"in": "", "config": {"dogstatsd_tags": [1]}}"#, "dogstatsd_tags: expected a list"),
        (
            r#"{"in": "", "config": {"dogstatsd_mapper_profiles": [{"mappings": [{"tags": 1}]}]}}"#,
            "dogstatsd_mapper_profiles: expected a list of profiles",
        ),
    ] {
        let answers = plain(&["--vectors"], format!("{bad}\n{good}").as_bytes());
        let [error, messages] = &answers[..] else { panic!("{answers:?}") };
        let error = error["error"].as_str().expect("an error");
        assert!(error.starts_with(expected), "{bad}: {error}");
        assert_eq!(messages[0]["name"], "a");
    }
}

#[test]
fn bytes_that_are_no_text_are_no_vector() {
    let answers = plain(&["--vectors"], b"{\"in\": \"\xff\"}\n");
    assert!(answers[0]["error"].is_string());
}

#[test]
fn a_mapper_with_a_broken_rule_is_off() {
    let mappings = json!([{"match": "a", "name": "b"}, {"match": "**", "name": "b"}]);
    let profiles = json!([{"name": "p", "prefix": "*", "mappings": mappings}]);
    let config = json!({"dogstatsd_mapper_profiles": profiles});
    let vector = json!({"in": "a:1|c", "stage": "enriched", "config": config});
    let answers = plain(&["--vectors"], vector.to_string().as_bytes());
    assert_eq!(answers[0][0]["name"], "a");
}

#[test]
fn messages_are_numbered_within_their_datagrams() {
    let objects = plain(&["--escapes"], b"a:1|c\\nb:x|c\n\n_sc|c|0\\r\\n_e{1,4}:a|b\\\\nc");
    let ids: Vec<_> = objects
        .iter()
        .map(|object| (&object["datagram"], &object["index"], &object["kind"]))
        .map(|(datagram, index, kind)| json!([datagram, index, kind]))
        .collect();
    let expected = [
        json!([0, 0, "metric"]),
        json!([0, 1, "error"]),
        json!([2, 0, "service_check"]),
        json!([2, 1, "event"]),
    ];
    assert_eq!(ids, expected);
    assert_eq!(objects[1]["reason"], "bad_value");
    assert_eq!(objects[1]["at"], 8, "counted from the start of the datagram");
    assert_eq!(objects[3]["text"], "b\nc");
}

#[test]
fn input_may_be_hex_and_a_bad_line_costs_only_itself() {
    let objects = plain(&["--hex"], b"613a317c63\nxx\n613a317c637c23ff\n");
    assert_eq!(objects[0]["name"], "a");
    assert_eq!(objects[1], json!({"datagram": 1, "error": "expected pairs of hex digits"}));
    assert_eq!(objects[2]["tags_hex"], json!(["ff"]));
}

#[test]
fn bytes_are_taken_as_they_are_unless_told_otherwise() {
    let objects = plain(&[], b"a\\n\xff:1|c|#x\r\n");
    assert_eq!(objects[0]["name_hex"], "615c6eff");
    assert_eq!(objects[0]["tags"], json!(["x"]));
}

#[test]
fn enriched_samples_follow_the_configuration() {
    let enrichment = Settings {
        extra_tags: vec!["env:x".into()],
        histogram_copy_prefix: Some("copy.".into()),
        ..Settings::default()
    };
    let settings = MessageSettings { enrichment, ..MessageSettings::default() };
    let objects = output(&["--enriched"], settings, b"a:1:2|ms|#host:h\n");
    let names: Vec<_> = objects.iter().map(|object| object["name"].clone()).collect();
    assert_eq!(names, ["a", "copy.a", "a", "copy.a"]);
    let expected = json!({
        "datagram": 0, "index": 0, "kind": "metric", "name": "copy.a", "type": "d",
        "values": [2.0], "rate": 1.0, "host": "", "unit": "millisecond", "tags": ["env:x"],
    });
    assert_eq!(objects[3], expected);
}

#[test]
fn files_are_read_one_after_the_other_and_a_missing_one_is_named() {
    let directory = std::env::temp_dir().join(format!("lastdrop-parse-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = |name: &str| directory.join(name).display().to_string();
    std::fs::write(path("one"), "a:1|c").expect("a file");
    std::fs::write(path("two"), "b:1|c\n").expect("a file");
    let objects = plain(&[&path("one"), &path("two")], b"ignored:1|c");
    let found: Vec<_> = objects.iter().map(|o| json!([o["datagram"], o["name"]])).collect();
    assert_eq!(found, [json!([0, "a"]), json!([1, "b"])]);
    let missing = path("three");
    let Cli { parse } = Cli::try_parse_from(["parse", &missing]).expect("good arguments");
    let error = run(&parse, MessageSettings::default(), &mut &[][..], &mut Vec::new());
    assert!(error.expect_err("no such file").to_string().starts_with(&missing));
    std::fs::remove_dir_all(&directory).expect("the directory is ours");
}
