//! `lastdrop replay` over the aggregation vectors and over recordings.

use crate::replay::{ReplayArgs, run};
use clap::Parser;
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    replay: ReplayArgs,
}

/// The output for `input`, line by line.
fn output(args: &[&str], input: &str) -> Vec<Value> {
    let args = ["replay"].iter().chain(args);
    let Cli { replay } = Cli::try_parse_from(args).expect("good arguments");
    let mut output = Vec::new();
    run(&replay, &mut input.as_bytes(), &mut output).expect("memory can be written");
    assert!(output.is_ascii());
    let text = String::from_utf8(output).expect("ASCII");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The output for one vector.
fn answer(vector: &Value) -> Value {
    let [answer] = &output(&[], &vector.to_string())[..] else { panic!("one line") };
    answer.clone()
}

/// For all vectors: the same rows with the same keys, save for the bins of a sketch.
#[test]
fn vectors_are_answered_with_what_they_expect() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/vectors/aggregate.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let answers = output(&[], &text);
    let vectors: Vec<Value> =
        text.split_terminator('\n').map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(answers.len(), vectors.len());
    assert!(vectors.len() >= 111, "only {} vectors found", vectors.len());
    for (vector, answer) in vectors.into_iter().zip(answers) {
        match &vector["tags_of_vector"] {
            tags if *tags == json!(["legacy"]) => {
                assert!(answer["error"].is_string(), "{vector}");
            }
            tags if *tags == json!(["reference-defect"]) => {}
            _ => {
                let expected = sorted(&vector["expect_series"]);
                assert!(close(&sorted(&answer["series"]), &expected), "{vector}\ngave {answer}");
                let mut sketches = answer["sketches"].clone();
                for sketch in sketches.as_array_mut().expect("a list") {
                    check_bins(sketch);
                }
                let expected = sorted(&vector["expect_sketches"]);
                assert!(close(&sorted(&sketches), &expected), "{vector}\ngave {answer}");
            }
        }
    }
}

/// Takes the bins out of a sketch; they hold as many values as it counts, in ascending order.
fn check_bins(sketch: &mut Value) {
    let sketch = sketch.as_object_mut().expect("an object");
    let keys = sketch.remove("k").expect("keys");
    let counts = sketch.remove("n").expect("counts");
    let numbers = |list: &Value| -> Vec<i64> {
        list.as_array().expect("a list").iter().map(|n| n.as_i64().expect("whole")).collect()
    };
    assert!(numbers(&keys).is_sorted());
    assert_eq!(numbers(&keys).len(), numbers(&counts).len());
    assert_eq!(numbers(&counts).iter().sum::<i64>(), sketch["count"].as_i64().expect("whole"));
}

/// The rows in an order that both sides share.
fn sorted(rows: &Value) -> Value {
    let mut rows = rows.as_array().expect("a list").clone();
    rows.sort_by_key(|row| {
        json!([row["name"], row["tags"], row["host"], row["type"], row["ts"], row["points"]])
            .to_string()
    });
    rows.into()
}

/// Whether two values are the same, numbers to 1e-9 of their size.
fn close(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().expect("a number"), right.as_f64().expect("one"));
            (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| close(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_close = |(key, value)| right.get(key).is_some_and(|r| close(value, r));
            left.len() == right.len() && left.iter().all(is_close)
        }
        _ => left == right,
    }
}

#[test]
fn a_line_that_is_no_vector_is_answered_with_an_error_and_the_run_goes_on() {
    let good = r#"{"samples": [{"t": 1, "line": "a:1|c", "x": 1}], "flush_at": 10, "note": "",
        "config": null, "prior_flushes": null, "incomplete": null}"#
        .replace('\n', "");
    for (bad, expected) in [
        ("", "expected a JSON object: "),
        ("[]", "expected a JSON object: "),
        ("{}", "samples: expected a value"),
        (r#"{"samples": []}"#, "flush_at: expected a value"),
        (r#"{"samples": {}, "flush_at": 1}"#, "samples: expected a list"),
        (r#"{"samples": [1], "flush_at": 1}"#, "samples: expected a list of objects"),
        (r#"{"samples": [{"line": ""}], "flush_at": 1}"#, "t: expected a value"),
        (r#"{"samples": [{"t": 1}], "flush_at": 1}"#, "line: expected a value"),
        (r#"{"samples": [{"t": "1", "line": ""}], "flush_at": 1}"#, "t: expected seconds"),
        (r#"{"samples": [{"t": -1, "line": ""}], "flush_at": 1}"#, "t: expected seconds"),
        (r#"{"samples": [{"t": 1e10, "line": 1}], "flush_at": 1}"#, "line: expected a string"),
        (r#"{"samples": [], "flush_at": 1e11}"#, "flush_at: expected seconds"),
        (r#"{"samples": [], "flush_at": 1, "incomplete": 1}"#, "incomplete: expected true"),
        (
            r#"{"samples": [], "flush_at": 1, "prior_flushes": [{"after": 1, "at": 1}]}"#,
            "after: expected how many",
        ),
        (
            r#"{"samples": [], "flush_at": 1, "prior_flushes": [{"after": 0}]}"#,
            "at: expected a value",
        ),
        (r#"{"samples": [], "flush_at": 1, "config": {"colour": 1}}"#, "config: unknown key"),
        (
            r#"{"samples": [], "flush_at": 1, "config": {"histogram_weight_mode": "integer"}}"#,
            "histogram_weight_mode: expected float",
        ),
        (
            r#"{"samples": [], "flush_at": 1, "config": {"dogstatsd_expiry_seconds": -1}}"#,
            "dogstatsd_expiry_seconds: expected whole seconds",
        ),
        (r#"{"t": 1, "line": "a:1|c"}"#, "a recorded sample: use --flush-at"),
    ] {
        let answers = output(&[], &format!("{bad}\n{good}"));
        let [error, answer] = &answers[..] else { panic!("{answers:?}") };
        let error = error["error"].as_str().expect("an error");
        assert!(error.starts_with(expected), "{bad}: {error}");
        assert_eq!(answer["series"][0]["points"], json!([[0, 0.1]]));
    }
}

#[test]
fn a_recording_is_flushed_once_and_a_bad_line_costs_only_itself() {
    let recording = r#"{"t": 1005.0, "line": "g:1|g"}
{"t": 1012.0, "line": "g:2|g|#b,a\ng:3|g"}
{"t": 1004.0, "line": "g:4|g"}
bad
{"samples": [], "flush_at": 1}
"#;
    let answers = output(&["--flush-at", "1015.5"], recording);
    let [bad, mixed, answer] = &answers[..] else { panic!("{answers:?}") };
    assert!(bad["error"].as_str().expect("an error").starts_with("expected a JSON object"));
    assert_eq!(mixed["error"], "a vector: replay it without --flush-at");
    let row = |tags: Value, points: Value| json!({"name": "g", "type": "gauge", "interval": 10, "tags": tags, "points": points});
    let first = row(json!([]), json!([[1000, 4.0]]));
    assert_eq!(*answer, json!({"series": [first], "sketches": []}));

    let answers = output(&["--flush-at", "1015.5", "--incomplete"], recording);
    let whole = row(json!([]), json!([[1000, 4.0], [1010, 3.0]]));
    let tagged = row(json!(["a", "b"]), json!([[1010, 2.0]]));
    assert_eq!(answers[2]["series"], json!([whole, tagged]));
}

#[test]
fn wrong_usage_is_told() {
    for args in [&["--incomplete"][..], &["--flush-at", "x"], &["--flush-at=-1"]] {
        let args = ["replay"].iter().chain(args);
        assert!(Cli::try_parse_from(args).is_err());
    }
}

#[test]
fn a_sample_of_any_length_is_replayed() {
    let line = "c:1|c\n".repeat(100_000);
    let vector = json!({"samples": [{"t": 5, "line": line}], "flush_at": 10});
    assert_eq!(answer(&vector)["series"][0]["points"], json!([[0, 10_000.0]]));
    let vector = json!({"samples": [{"t": 5, "line": "x".repeat(300_000)}], "flush_at": 10});
    assert_eq!(answer(&vector)["error"], "line: expected no message longer than 256 KiB");
}

/// Rules that no vector of the file shows.
#[test]
fn rules_beyond_the_vectors_hold() {
    let rows = |vector: Value| answer(&vector);
    let at = |t: f64, line: &str| json!({"t": t, "line": line});

    // Two samples passed through are two series, also at different times.
    let config = json!({"no_aggregation": true, "serverless": false, "hostname": "h"});
    let samples = [at(1012.0, "g:1|g|T1003"), at(1012.0, "g:2|g|T1004")];
    let answer = rows(json!({"config": config, "samples": samples, "flush_at": 1013}));
    assert_eq!(answer["series"][0]["points"], json!([[1003, 1.0]]));
    assert_eq!(answer["series"][1]["points"], json!([[1004, 2.0]]));
    assert_eq!(answer["series"][1]["host"], "h");

    // A histogram with a time of its own is refused there; its copy is aggregated.
    let config = json!({
        "no_aggregation": true, "histogram_copy_to_distribution": true,
        "histogram_copy_to_distribution_prefix": "d.",
    });
    let samples = [at(1012.0, "h:1:2|h|T1003"), at(1012.0, "h:7|ms")];
    let answer = rows(json!({"config": config, "samples": samples, "flush_at": 1020}));
    assert_eq!(answer["sketches"][0]["ts"], 1000);
    assert_eq!(answer["sketches"][0]["sum"], 3.0);
    assert_eq!(answer["sketches"][1]["sum"], 7.0);
    assert_eq!(answer["series"].as_array().expect("a list").len(), 5);

    // A context whose first sample has an old time is no younger than that: no zeros follow.
    let samples = [at(1002.0, "c:1|c|T100")];
    let flushes = json!([{"after": 1, "at": 1003}]);
    let answer = rows(json!({"samples": samples, "prior_flushes": flushes, "flush_at": 1013}));
    assert_eq!(answer["series"], json!([]));

    // A counter sampled in a bucket that is still open is alive for the bucket before it.
    let config = json!({"dogstatsd_expiry_seconds": 10});
    let samples = [at(1005.0, "c:1|c"), at(1021.0, "g:1|g"), at(1031.0, "c:1|c")];
    let flushes = json!([{"after": 1, "at": 1010}]);
    let vector = json!({
        "config": config, "samples": samples, "prior_flushes": flushes, "flush_at": 1035,
    });
    assert_eq!(rows(vector)["series"][0]["points"], json!([[1020, 0.0]]));

    // The block list is not asked again about a copy.
    let config = json!({
        "histogram_copy_to_distribution": true, "histogram_copy_to_distribution_prefix": "d.",
        "statsd_metric_blocklist": ["d.h", "x"],
    });
    let samples = [at(1.0, "h:1|h"), at(1.0, "x:1|h"), at(1.0, "d.h:5|d")];
    let answer = rows(json!({"config": config, "samples": samples, "flush_at": 10}));
    assert_eq!(answer["sketches"].as_array().expect("a list").len(), 1);
    assert_eq!(answer["sketches"][0]["name"], "d.h");
    assert_eq!(answer["sketches"][0]["count"], 1);

    // A plain gauge and a histogram's series with the same name are two series.
    let samples = [at(1.0, "h:1|h"), at(2.0, "h.max:5|g"), at(11.0, "h:2|h")];
    let answer = rows(json!({"samples": samples, "flush_at": 20}));
    let max = answer["series"].as_array().expect("a list").iter();
    let max: Vec<_> = max.filter(|row| row["name"] == "h.max").collect();
    assert_eq!(max.len(), 2);
}
