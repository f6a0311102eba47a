//! Bodies in every form and encoding, cut, changed and oversized.

use super::*;

use std::io::Write;

/// One line of the payload vectors, shared with the agent's encoder as data only.
#[derive(serde::Deserialize)]
struct Vector {
    id: String,
    kind: String,
    v2_hex: String,
    v2_agent_order_hex: String,
    v1_json: Option<String>,
    v3_hex: String,
}

fn vectors(kind: &str) -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../transport/tests/vectors/payloads.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let vectors = lines.lines().map(|line| serde_json::from_str::<Vector>(line).unwrap());
    let vectors: Vec<_> = vectors.filter(|vector| vector.kind == kind).collect();
    assert!(!vectors.is_empty(), "no {kind} in {path}");
    vectors
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

fn series(form: Form, body: &[u8]) -> Vec<Series> {
    match decode(form, None, body) {
        Ok(Body::Series(mut series)) => {
            // The order of tags means nothing, and only v2 and v1 keep it.
            series.iter_mut().for_each(|series| series.tags.sort());
            series
        }
        other => panic!("{form:?}: {other:?}"),
    }
}

/// For all vectors: the three forms and both field orders decode to the same series.
#[test]
fn all_forms_of_a_series_decode_to_the_same() {
    for vector in vectors("series") {
        let v2 = series(Form::SeriesV2, &bytes(&vector.v2_hex));
        assert_eq!(v2, series(Form::SeriesV2, &bytes(&vector.v2_agent_order_hex)), "{}", vector.id);
        assert_eq!(v2, series(Form::SeriesV3, &bytes(&vector.v3_hex)), "{}", vector.id);
        let mut as_v1 = v2.clone();
        for series in &mut as_v1 {
            series.resources.clear();
            series.origin = Origin::default();
        }
        let v1 = series_v1(&vector);
        if vector.id.contains("no-index") || vector.id == "s49-v3-test" {
            // v1 can't say "not indexed" and leaves such a series out.
            as_v1.retain(|series| v1.contains(series));
        }
        assert_eq!(as_v1, v1, "{}", vector.id);
    }
}

fn series_v1(vector: &Vector) -> Vec<Series> {
    series(Form::SeriesV1, vector.v1_json.as_ref().unwrap().as_bytes())
}

#[test]
fn both_field_orders_of_a_sketch_decode_to_the_same() {
    for vector in vectors("sketches") {
        let canonical = decode(Form::Sketches, None, &bytes(&vector.v2_hex)).unwrap();
        let other = decode(Form::Sketches, None, &bytes(&vector.v2_agent_order_hex)).unwrap();
        assert_eq!(canonical, other, "{}", vector.id);
    }
}

/// For all cuts of every vector that ends inside a field: an error or fewer series, never a panic.
#[test]
fn no_cut_of_a_body_panics() {
    for vector in vectors("series") {
        let (v2, v3) = (bytes(&vector.v2_hex), bytes(&vector.v3_hex));
        for end in 0..v2.len() {
            let _ = decode(Form::SeriesV2, None, &v2[..end]);
        }
        for end in 1..v3.len() {
            decode(Form::SeriesV3, None, &v3[..end]).unwrap_err();
        }
    }
}

/// For all bytes of every v3 vector and all changes of one bit: decoded or refused, never a panic.
#[test]
fn no_changed_bit_of_a_columnar_body_panics() {
    for vector in vectors("series") {
        let mut body = bytes(&vector.v3_hex);
        for at in 0..body.len() {
            for bit in 0..8 {
                body[at] ^= 1 << bit;
                let _ = decode(Form::SeriesV3, None, &body);
                body[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn every_encoding_gives_the_same_body_back() {
    let plain = bytes(&vectors("series")[0].v2_hex);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&plain).unwrap();
    let zlib = zlib.finish().unwrap();
    let expected = decode(Form::SeriesV2, None, &plain).unwrap();
    let two_frames =
        [zstd::encode_all(&plain[..7], 1).unwrap(), zstd::encode_all(&plain[7..], 1).unwrap()]
            .concat();
    let encoded = [
        ("identity", plain.clone()),
        ("zstd", zstd::encode_all(&plain[..], 1).unwrap()),
        ("zstd", two_frames),
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.clone()),
    ];
    for (encoding, body) in encoded {
        assert_eq!(decode(Form::SeriesV2, Some(encoding), &body).unwrap(), expected, "{encoding}");
    }
    let trailing = [zlib, vec![0]].concat();
    let error = decode(Form::SeriesV2, Some("deflate"), &trailing).unwrap_err();
    assert!(matches!(error, DecodeError::Compression(_)), "{error}");
    let error = decode(Form::SeriesV2, Some("br"), &plain).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownEncoding(_)), "{error}");
}

#[test]
fn a_compressed_bomb_is_refused_at_the_limit() {
    let zeros = vec![0; usize::try_from(BODY_BYTES_MAX).unwrap() + 1];
    let bomb = zstd::encode_all(&zeros[..], 1).unwrap();
    let error = decode(Form::SeriesV2, Some("zstd"), &bomb).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge), "{error}");
}

#[test]
fn what_no_agent_should_send_is_an_error() {
    let refused = |form, body: &str| decode(form, None, body.as_bytes()).unwrap_err().to_string();
    let v1 = |item: &str| refused(Form::SeriesV1, &format!(r#"{{"series":[{item}]}}"#));
    assert!(v1(r#"{"metric":"","type":"rate","points":[[1,2]]}"#).contains("without a metric"));
    assert!(v1(r#"{"metric":"m","type":"rate","points":[]}"#).contains("no point"));
    assert!(v1(r#"{"metric":"m","type":"rate","points":[["1",2]]}"#).contains("JSON"));
    assert!(v1(r#"{"metric":"m","type":"sum","points":[[1,2]]}"#).contains("JSON"));
    let check =
        r#"[{"check":"c","host_name":"","timestamp":1,"status":4,"message":"","tags":null}]"#;
    assert!(refused(Form::Checks, check).contains("status 4"));
}

#[test]
fn events_and_checks_keep_their_fields() {
    let events = r#"{"apiKey":"","events":{"api":[{"msg_title":"deploy","msg_text":"v2 out",
        "timestamp":1756737057,"priority":"normal","host":"web-1","tags":["env:prod"],
        "alert_type":"info"}]},"internalHostname":"web-1"}"#;
    let Body::Events(events) = decode(Form::Events, None, events.as_bytes()).unwrap() else {
        panic!("not events");
    };
    assert_eq!(events[0].source, "api");
    assert_eq!((events[0].title.as_str(), events[0].second), ("deploy", 1_756_737_057));
    assert_eq!(events[0].tags, ["env:prod"]);
    let checks = r#"[{"check":"app.ok","host_name":"web-1","timestamp":1756737057,"status":0,
        "message":"","tags":["env:prod"]}]"#;
    let Body::Checks(checks) = decode(Form::Checks, None, checks.as_bytes()).unwrap() else {
        panic!("not checks");
    };
    assert_eq!((checks[0].name.as_str(), checks[0].status), ("app.ok", 0));
}
