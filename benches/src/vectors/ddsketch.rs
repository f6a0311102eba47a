//! Sketch vectors: for each line of questions, one line of answers.
//!
//! A line names what is asked (`type`) and the inputs; the answer has its `id` and the result fields:
//!
//! ```text
//!   const              expect (all constants), or v of the one with this name
//!   key                k of v
//!   lower_bound        v of k
//!   store_merge        expect: bins with those of other
//!   store_trim         expect: bins within bin_limit
//!   store_insert_keys  expect: bins with keys
//!   sketch             expect of ops (null if empty), and the quantiles asked for
//! ```
//!
//! Numbers that are not finite are the strings `inf`, `-inf` and `nan`. Results that a line holds
//! already are ignored. A line that can't be answered gives `error`, and the next one follows.

use std::io::{self, BufRead, Write};
use std::num::NonZeroU16;

use lastdrop_engine::limits::{SKETCH_COUNT_MAX, SKETCH_KEYS_BUFFERED};
use lastdrop_engine::series::Bin;
use lastdrop_engine::sketch::{self, Shape, Sketch, Store, Taken};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer_lines;

/// Values that one operation may insert: a line must not keep the command busy for hours.
const VALUES_MAX: u32 = 100_000_000;

/// Answers every line of `input` on `output`.
///
/// # Errors
///
/// Only those of reading and writing: a bad line is answered, too.
pub fn run(input: impl BufRead, output: impl Write) -> io::Result<()> {
    answer_lines(input, output, answer)
}

fn answer(line: &[u8]) -> Value {
    let Line { id, question } = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let mut answer = match question.answer() {
        Ok(answer) => answer,
        Err(error) => json!({ "error": error }),
    };
    answer["id"] = id;
    answer
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    #[serde(flatten)]
    question: Question,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Question {
    Const {
        name: Option<String>,
    },
    Key {
        #[serde(deserialize_with = "number")]
        v: f64,
    },
    LowerBound {
        k: i16,
    },
    StoreMerge {
        bins: Vec<(i16, u16)>,
        other: Vec<(i16, u16)>,
        #[serde(flatten)]
        limits: Limits,
    },
    StoreTrim {
        bins: Vec<(i16, u16)>,
        #[serde(flatten)]
        limits: Limits,
    },
    StoreInsertKeys {
        bins: Vec<(i16, u16)>,
        keys: Vec<i16>,
        #[serde(flatten)]
        limits: Limits,
    },
    Sketch {
        ops: Vec<Operation>,
        #[serde(default)]
        quantiles: Vec<Quantile>,
        #[serde(flatten)]
        limits: Limits,
    },
}

#[derive(Deserialize)]
struct Limits {
    bin_limit: Option<NonZeroU16>,
    max_n: Option<NonZeroU16>,
}

/// A quantile that is asked for, alone or beside the value that someone expects.
#[derive(Deserialize)]
#[serde(untagged)]
enum Quantile {
    Alone(f64),
    Beside((f64, IgnoredAny)),
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Insert {
        #[serde(deserialize_with = "number")]
        v: f64,
        #[serde(default = "one", deserialize_with = "number")]
        rate: f64,
    },
    Repeat {
        #[serde(deserialize_with = "number")]
        v: f64,
        times: u32,
    },
    Range {
        from: f64,
        step: f64,
        count: u32,
    },
    List {
        v: Vec<f64>,
        #[serde(default = "one", deserialize_with = "number")]
        rate: f64,
    },
    Bins {
        first: i16,
        count: u32,
    },
    Merge {
        ops: Vec<Self>,
    },
    Interpolate {
        lower: f64,
        upper: f64,
        count: u32,
    },
}

impl Question {
    fn answer(self) -> Result<Value, String> {
        Ok(match self {
            Self::Const { name: None } => {
                let all = constants().into_iter().map(|(name, value)| (name.to_owned(), value));
                json!({ "expect": Value::Object(all.collect()) })
            }
            Self::Const { name: Some(name) } => {
                let asked = constants().into_iter().find(|(known, _)| *known == name);
                let (_, value) = asked.ok_or_else(|| format!("unknown constant `{name}`"))?;
                json!({ "v": value })
            }
            Self::Key { v } => json!({ "k": sketch::key(v) }),
            Self::LowerBound { k } => json!({ "v": written(sketch::lower_bound(k)) }),
            Self::StoreMerge { bins, other, limits } => {
                let mut store = store(&bins, &limits)?;
                store.merge(&self::store(&other, &limits)?);
                bins_of(&store)
            }
            Self::StoreTrim { bins, limits } => {
                let mut store = store(&bins, &limits)?;
                store.trim();
                bins_of(&store)
            }
            Self::StoreInsertKeys { bins, mut keys, limits } => {
                let mut store = store(&bins, &limits)?;
                store.insert(&mut keys);
                bins_of(&store)
            }
            Self::Sketch { ops, quantiles, limits } => {
                let mut sketch = build(&ops, limits.shape())?;
                sketch.finish();
                let mut answer = json!({ "expect": described(&sketch) });
                if !quantiles.is_empty() {
                    let pairs = quantiles.iter().map(Quantile::q).map(|q| {
                        let value = written(sketch.quantile(q));
                        json!([q, value])
                    });
                    answer["quantiles"] = pairs.collect();
                }
                answer
            }
        })
    }
}

impl Limits {
    fn shape(&self) -> Shape {
        let Shape { bins_max, bin_count_max } = Shape::default();
        Shape {
            bins_max: self.bin_limit.unwrap_or(bins_max),
            bin_count_max: self.max_n.unwrap_or(bin_count_max),
        }
    }
}

impl Quantile {
    fn q(&self) -> f64 {
        match self {
            Self::Alone(q) | Self::Beside((q, _)) => *q,
        }
    }
}

fn constants() -> Vec<(&'static str, Value)> {
    let Shape { bins_max, bin_count_max } = Shape::default();
    vec![
        ("eps", json!((sketch::GAMMA - 1.0) / 2.0)),
        ("gamma", json!(sketch::GAMMA)),
        ("ln_gamma", json!(sketch::LN_GAMMA)),
        ("emin", json!(1 - sketch::BIAS)),
        ("bias", json!(sketch::BIAS)),
        ("norm_min", json!(sketch::MAGNITUDE_MIN)),
        ("norm_max", json!(sketch::MAGNITUDE_MAX)),
        ("infinity_key", json!(sketch::KEY_INFINITE)),
        ("bin_limit", json!(bins_max)),
        ("max_n", json!(bin_count_max)),
        ("max_count", json!(SKETCH_COUNT_MAX)),
        ("buffer", json!(SKETCH_KEYS_BUFFERED)),
    ]
}

fn store(bins: &[(i16, u16)], limits: &Limits) -> Result<Store, String> {
    let shape = limits.shape();
    if bins.iter().any(|&(_, count)| count == 0 || count > shape.bin_count_max.get()) {
        return Err(format!("a bin counts 1 to {} values", shape.bin_count_max));
    }
    if !bins.is_sorted_by_key(|&(key, _)| key) {
        return Err("bins must stand in ascending order of key".to_owned());
    }
    let bins: Vec<_> = bins.iter().map(|&(key, count)| Bin { key, count }).collect();
    Ok(Store::from_bins(shape, &bins))
}

fn bins_of(store: &Store) -> Value {
    let bins = store.bins().map(|Bin { key, count }| json!([key, count]));
    json!({ "expect": bins.collect::<Value>() })
}

fn build(ops: &[Operation], shape: Shape) -> Result<Sketch, String> {
    let mut sketch = Sketch::with_shape(shape);
    for op in ops {
        match op {
            Operation::Merge { ops } => sketch.merge(&mut build(ops, shape)?),
            Operation::Interpolate { lower, upper, count } => {
                sketch.insert_interpolated(*lower, *upper, *count);
            }
            Operation::Insert { v, rate } => insert(&mut sketch, *v, *rate)?,
            Operation::List { v, rate } => {
                v.iter().try_for_each(|&v| insert(&mut sketch, v, *rate))?;
            }
            Operation::Repeat { v, times } => {
                (0..bounded(*times)?).try_for_each(|_| insert(&mut sketch, *v, 1.0))?;
            }
            Operation::Range { from, step, count } => (0..bounded(*count)?)
                .try_for_each(|i| insert(&mut sketch, from + f64::from(i) * step, 1.0))?,
            Operation::Bins { first, count } => {
                for offset in 0..bounded(*count)? {
                    let key = i64::from(*first) + i64::from(offset);
                    let key = i16::try_from(key).map_err(|_| format!("no key {key}"))?;
                    insert(&mut sketch, sketch::lower_bound(key), 1.0)?;
                }
            }
        }
    }
    Ok(sketch)
}

/// Inserts a value; one that its rate makes too heavy counts as often as there is room.
fn insert(sketch: &mut Sketch, value: f64, rate: f64) -> Result<(), String> {
    if !value.is_finite() {
        return Err(format!("{value} never reaches a sketch"));
    }
    match sketch.insert(value, rate) {
        Taken::Whole | Taken::Clamped => Ok(()),
        Taken::Refused => Err(format!("a sketch counts no more than {SKETCH_COUNT_MAX} values")),
    }
}

fn bounded(count: u32) -> Result<u32, String> {
    if count > VALUES_MAX {
        return Err(format!("an operation inserts no more than {VALUES_MAX} values"));
    }
    Ok(count)
}

fn described(sketch: &Sketch) -> Value {
    if sketch.is_empty() {
        return Value::Null;
    }
    let summary = sketch.summary();
    json!({
        "cnt": summary.count,
        "min": summary.min,
        "max": summary.max,
        "sum": summary.sum,
        "avg": summary.avg,
        "count": sketch.bins().iter().map(|bin| u64::from(bin.count)).sum::<u64>(),
        "k": sketch.bins().iter().map(|bin| bin.key).collect::<Value>(),
        "n": sketch.bins().iter().map(|bin| bin.count).collect::<Value>(),
    })
}

/// Writes a number that JSON may have no form for.
fn written(value: f64) -> Value {
    if value.is_nan() {
        json!("nan")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        json!(value)
    }
}

/// Reads a number that may be written as a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(f64),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

fn one() -> f64 {
    1.0
}
