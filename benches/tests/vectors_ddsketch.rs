//! `vectors ddsketch` answers every sketch vector as the vector says.

#![allow(clippy::unwrap_used, reason = "an answer that can't be read fails the test")]

use lastdrop_lab::vectors::ddsketch;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../engine/tests/vectors/ddsketch.jsonl");

/// What a vector states beside its inputs.
const RESULTS: [&str; 4] = ["k", "v", "expect", "quantiles"];

fn answers(questions: &str) -> Vec<Value> {
    let mut output = Vec::new();
    ddsketch::run(questions.as_bytes(), &mut output).unwrap();
    output
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// The same, with numbers to a relative error of 1e-9; whole numbers exactly.
fn same(answer: &Value, expected: &Value) -> bool {
    match (answer, expected) {
        (Value::Array(a), Value::Array(e)) => {
            a.len() == e.len() && a.iter().zip(e).all(|(a, e)| same(a, e))
        }
        (Value::Object(a), Value::Object(e)) => {
            a.len() == e.len() && a.iter().all(|(key, a)| same(a, &e[key]))
        }
        (Value::Number(a), Value::Number(e)) if a.is_f64() || e.is_f64() => {
            let (a, e) = (a.as_f64().unwrap(), e.as_f64().unwrap());
            (a - e).abs() <= 1e-9 * e.abs()
        }
        _ => answer == expected,
    }
}

#[test]
fn every_vector_is_answered_from_its_inputs_alone() {
    let vectors: Vec<Value> =
        VECTORS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut questions = String::new();
    for vector in &vectors {
        let mut question = vector.clone();
        let fields = question.as_object_mut().unwrap();
        fields.remove("expect");
        match vector["type"].as_str().unwrap() {
            "key" => fields.remove("k"),
            "lower_bound" => fields.remove("v"),
            // Asked for as plain numbers, without the values that are expected.
            "sketch" => {
                let pairs = vector["quantiles"].as_array().unwrap();
                fields
                    .insert("quantiles".into(), pairs.iter().map(|pair| pair[0].clone()).collect())
            }
            _ => None,
        };
        questions += &format!("{question}\n");
    }
    let answers = answers(&questions);
    assert_eq!(answers.len(), vectors.len());
    for (answer, vector) in answers.iter().zip(&vectors) {
        assert_eq!(answer["id"], vector["id"]);
        let mut compared = 0;
        for (field, value) in answer.as_object().unwrap() {
            if RESULTS.contains(&field.as_str()) {
                assert!(same(value, &vector[field]), "{}: {value}", vector["id"]);
                compared += 1;
            }
        }
        let expected = if vector["type"] == "sketch" { 2 } else { 1 };
        assert_eq!(compared, expected, "{}", vector["id"]);
    }
}

#[test]
fn results_in_a_line_do_not_change_the_answer() {
    for (answer, line) in answers(VECTORS).iter().zip(VECTORS.lines()) {
        let vector: Value = serde_json::from_str(line).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
        if vector["type"] == "sketch" {
            assert!(same(&answer["quantiles"], &vector["quantiles"]), "{}", vector["id"]);
        }
    }
}

#[test]
fn a_bad_line_is_told_and_the_next_one_is_answered() {
    let good = r#"{"id":"good","type":"key","v":1.0}"#;
    for bad in [
        "{",
        "[]",
        r#"{"id":"bad"}"#,
        r#"{"id":"bad","type":"nothing"}"#,
        r#"{"id":"bad","type":"const","name":"pi"}"#,
        r#"{"id":"bad","type":"key","v":"one"}"#,
        r#"{"id":"bad","type":"lower_bound","k":40000}"#,
        r#"{"id":"bad","type":"store_trim","bins":[[1,0]],"bin_limit":3}"#,
        r#"{"id":"bad","type":"store_trim","bins":[[2,1],[1,1]],"bin_limit":3}"#,
        r#"{"id":"bad","type":"store_trim","bins":[[1,1]],"bin_limit":0}"#,
        r#"{"id":"bad","type":"sketch","ops":[{"op":"insert","v":"inf"}]}"#,
        r#"{"id":"bad","type":"sketch","ops":[{"op":"bins","first":32000,"count":1000}]}"#,
        r#"{"id":"bad","type":"sketch","ops":[{"op":"repeat","v":1,"times":4000000000}]}"#,
        r#"{"id":"bad","type":"sketch","ops":[{"op":"insert","v":1,"rate":1e-300},{"op":"insert","v":1}]}"#,
    ] {
        let answers = answers(&format!("{bad}\r\n\n{good}"));
        assert_eq!(answers.len(), 3, "{bad}: one for each line, the blank one too");
        assert!(answers[0]["error"].is_string(), "{bad}: {}", answers[0]);
        assert!(answers[1]["error"].is_string(), "{bad}: {}", answers[1]);
        assert_eq!(answers[2], json!({ "id": "good", "k": 1338 }));
    }
}

#[test]
fn what_has_no_number_is_spelled_out() {
    let asked = r#"{"id":1,"type":"lower_bound","k":-32767}
{"id":2,"type":"sketch","ops":[],"quantiles":[0.5]}
{"id":3,"type":"key","v":"-inf"}
{"id":4,"type":"const","name":"bias"}"#;
    let expected = [
        json!({ "id": 1, "v": "-inf" }),
        json!({ "id": 2, "expect": null, "quantiles": [[0.5, 0.0]] }),
        json!({ "id": 3, "k": -32767 }),
        json!({ "id": 4, "v": 1338 }),
    ];
    assert_eq!(answers(asked), expected);
    let all = &answers(r#"{"id":"c","type":"const"}"#)[0];
    assert_eq!(all["expect"]["gamma"], 1.015625);
    assert_eq!(all["expect"]["eps"], 1.0 / 128.0);
}
