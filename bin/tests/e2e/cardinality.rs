//! A client that makes up a new context with every sample: memory stays within its bound, the
//! contexts that were known before count to the last sample, and so does what is refused.
//!
//! Ten million of them, against the release build:
//! `LASTDROP_TEST_CONTEXTS=10000000 cargo test --release -p lastdrop --test e2e cardinality -- --nocapture`

use std::time::Instant;

use lastdrop_lab::sink::{OnFull, Sink, Target};

use crate::harness::{Agent, Setup, intake, same_count, send, wait_for};

/// Distinct contexts that are sent, unless the variable names another number.
const CONTEXTS: u64 = 200_000;

/// The bound that is set: what some 25,000 of them take.
const CONTEXT_BYTES: u64 = 16 << 20;

/// What the process may take beside its contexts; see docs/configuration.md.
const REST_BYTES: u64 = 8 << 20;

/// Lines in a datagram, one of them of a context that is known.
const LINES: u64 = 150;

/// The most memory that the process had in bytes, so far.
fn peak_bytes(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn contexts() -> u64 {
    let variable = std::env::var("LASTDROP_TEST_CONTEXTS");
    variable.map_or(CONTEXTS, |text| text.parse().unwrap())
}

#[test]
fn hostile_cardinality_stays_within_its_bound_and_costs_known_contexts_nothing() {
    let contexts = contexts();
    let intake = intake("");
    let setup = Setup::run(&intake);
    let path = setup.path("dsd.socket");
    let agent = setup
        .env("DD_DOGSTATSD_STREAM_SOCKET", &path)
        .env("LASTDROP_CONTEXT_BYTES", CONTEXT_BYTES.to_string())
        .start();
    agent.udp();
    let target = Target::UnixStream(path);
    send(&target, &["known:1|c|#kept:yes"]);
    wait_for(&intake, "the known context", |totals| totals.count("known") > 0.0);
    let idle = peak_bytes(&agent);

    let began = Instant::now();
    let mut sink = Sink::connect(&target, OnFull::Wait).unwrap();
    let mut known = 1;
    let mut datagram = String::new();
    let mut next = 0;
    while next < contexts {
        datagram.clear();
        datagram.push_str("known:1|c|#kept:yes\n");
        known += 1;
        for id in next..contexts.min(next + LINES - 1) {
            datagram.push_str(&format!("hostile:1|c|#request_id:{id:08x}\n"));
        }
        next += LINES - 1;
        let sent = sink.send(&[datagram.as_bytes()]);
        assert!(sent.taken == 1 && sent.error.is_none(), "{sent:?}");
    }
    drop(sink);
    let took = began.elapsed();
    wait_for(&intake, "all of the known context", |totals| {
        totals.count("known").round() >= known as f64
    });
    let peak = peak_bytes(&agent);
    let ended = agent.stop();
    ended.has_code(0);
    assert_eq!(ended.receipt["balanced"], true, "{ended}");
    let totals = intake.totals();
    same_count(totals.count("known"), known);
    let refused = ended.count("/workers/refused/context_limit");
    same_count(totals.count("hostile") + refused as f64, contexts);
    assert!(refused > 0, "the bound was never reached: {ended}");
    println!(
        "{contexts} contexts in {took:.1?}: {refused} refused; memory {idle} idle, {peak} at most"
    );
    assert!(
        peak - idle <= CONTEXT_BYTES + REST_BYTES,
        "{peak} bytes at most, {idle} before, {CONTEXT_BYTES} for contexts"
    );
}
