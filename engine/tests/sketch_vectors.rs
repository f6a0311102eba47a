//! Every vector of `vectors/ddsketch.jsonl`: keys, lower bounds, stores and whole sketches, with the
//! constants that the reference agent's own tests assert.

#![allow(clippy::unwrap_used, reason = "a vector that can't be read fails the test")]

use std::num::NonZeroU16;

use lastdrop_engine::series::Bin;
use lastdrop_engine::sketch::{Shape, Sketch, Store, Taken, key, lower_bound};
use serde_json::{Value, json};

/// How many vectors the file holds: a vector lost on the way would pass silently.
const VECTORS: usize = 188;

#[test]
fn every_vector_of_the_file_holds() {
    let vectors = include_str!("vectors/ddsketch.jsonl");
    let mut seen = 0;
    for line in vectors.lines() {
        check(&serde_json::from_str(line).unwrap());
        seen += 1;
    }
    assert_eq!(seen, VECTORS);
}

fn check(vector: &Value) {
    let id = text(&vector["id"]);
    match text(&vector["type"]) {
        "key" => assert_eq!(i64::from(key(number(&vector["v"]))), integer(&vector["k"]), "{id}"),
        "lower_bound" => close(lower_bound(key_of(&vector["k"])), &vector["v"], 1e-12, id),
        "store_merge" => {
            let mut store = store_of(vector, "bins");
            store.merge(&store_of(vector, "other"));
            check_store(&store, vector);
        }
        "store_trim" => {
            let mut store = store_of(vector, "bins");
            store.trim();
            check_store(&store, vector);
        }
        "store_insert_keys" => {
            let mut store = store_of(vector, "bins");
            store.insert(&mut list(&vector["keys"]).iter().map(key_of).collect::<Vec<_>>());
            check_store(&store, vector);
        }
        "sketch" => check_sketch(vector, id),
        other => panic!("{id}: unknown type {other}"),
    }
}

fn check_store(store: &Store, vector: &Value) {
    let bins: Vec<_> = store.bins().map(|bin| json!([bin.key, bin.count])).collect();
    assert_eq!(json!(bins), vector["expect"], "{}", vector["id"]);
}

fn check_sketch(vector: &Value, id: &str) {
    let mut sketch = build(&vector["ops"], shape_of(vector));
    sketch.finish();
    let expect = &vector["expect"];
    if expect.is_null() {
        assert!(sketch.is_empty() && sketch.bins().is_empty(), "{id}");
        return;
    }
    let keys: Vec<_> = sketch.bins().iter().map(|bin| bin.key).collect();
    let counts: Vec<_> = sketch.bins().iter().map(|bin| bin.count).collect();
    assert_eq!(json!(keys), expect["k"], "{id}");
    assert_eq!(json!(counts), expect["n"], "{id}");

    let summary = sketch.summary();
    let counted: u64 = counts.iter().copied().map(u64::from).sum();
    assert_eq!(json!(summary.count), expect["cnt"], "{id}");
    assert_eq!(json!(counted), expect["count"], "{id}");
    for (value, field) in
        [(summary.min, "min"), (summary.max, "max"), (summary.sum, "sum"), (summary.avg, "avg")]
    {
        assert_eq!(value, number(&expect[field]), "{id} {field}");
    }
    for pair in list(&vector["quantiles"]) {
        close(sketch.quantile(number(&pair[0])), &pair[1], 1e-9, id);
    }
}

fn build(ops: &Value, shape: Shape) -> Sketch {
    let mut sketch = Sketch::with_shape(shape);
    for op in list(ops) {
        match text(&op["op"]) {
            "merge" => sketch.merge(&mut build(&op["ops"], shape)),
            "interpolate" => {
                let count = u32::try_from(integer(&op["count"])).unwrap();
                sketch.insert_interpolated(number(&op["lower"]), number(&op["upper"]), count);
            }
            _ => {
                let rate = op.get("rate").map_or(1.0, number);
                for value in values(op) {
                    assert_eq!(sketch.insert(value, rate), Taken::Whole);
                }
            }
        }
    }
    sketch
}

/// The values that an inserting operation stands for.
fn values(op: &Value) -> Vec<f64> {
    let count = |field: &str| usize::try_from(integer(&op[field])).unwrap();
    match text(&op["op"]) {
        "insert" => vec![number(&op["v"])],
        "repeat" => vec![number(&op["v"]); count("times")],
        "range" => {
            let (from, step) = (number(&op["from"]), number(&op["step"]));
            (0..count("count")).map(|i| from + i as f64 * step).collect()
        }
        "list" => list(&op["v"]).iter().map(number).collect(),
        "bins" => (key_of(&op["first"])..).take(count("count")).map(lower_bound).collect(),
        other => panic!("unknown operation {other}"),
    }
}

fn shape_of(vector: &Value) -> Shape {
    let limit = |field: &str, default: NonZeroU16| {
        vector.get(field).map_or(default, |limit| {
            NonZeroU16::new(u16::try_from(integer(limit)).unwrap()).unwrap()
        })
    };
    let Shape { bins_max, bin_count_max } = Shape::default();
    Shape { bins_max: limit("bin_limit", bins_max), bin_count_max: limit("max_n", bin_count_max) }
}

fn store_of(vector: &Value, field: &str) -> Store {
    let bin = |pair: &Value| Bin {
        key: key_of(&pair[0]),
        count: u16::try_from(integer(&pair[1])).unwrap(),
    };
    let bins: Vec<_> = list(&vector[field]).iter().map(bin).collect();
    Store::from_bins(shape_of(vector), &bins)
}

/// Same value to a relative tolerance, or the same kind of no value.
fn close(value: f64, expected: &Value, tolerance: f64, id: &str) {
    let expected = number(expected);
    let same = value == expected
        || value.is_nan() && expected.is_nan()
        || (value - expected).abs() <= tolerance * expected.abs();
    assert!(same, "{id}: {value} is not {expected}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| text(value).parse().unwrap())
}

fn key_of(value: &Value) -> i16 {
    i16::try_from(integer(value)).unwrap()
}

fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
