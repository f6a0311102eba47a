//! What a running agent sees now, and what a flush on demand has proved: as JSON, and for people.
//!
//! Counters are read where their threads publish them, so that asking disturbs nobody.

use crate::receipt::{Counters, TallyReport, by};
use crate::wiring::Ledgers;
use lastdrop_engine::context::Context;
use lastdrop_engine::epoch::Writer;
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::stop::LaneEpochs;
use lastdrop_transport::forward::endpoint::KeyState;
use lastdrop_transport::forward::ledger::{Ledger, Tally};
use lastdrop_transport::listen::{Address, AddressReport, ListenReport, Ports, Spreading};
use lastdrop_transport::report::{EndpointReport, Report};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sizes of datagrams in bytes for which it is told how many the sockets hold: one message, a large
/// one, a packet of a network, the largest that clients pack.
const DATAGRAM_SIZES: [usize; 4] = [80, 512, 1432, 8192];

/// What doesn't change, and where to read what does.
pub(crate) struct Facts {
    /// `run` or `init`.
    pub(crate) mode: &'static str,
    /// The platform, by the name of its origin.
    pub(crate) platform: &'static str,
    /// What was granted.
    pub(crate) listen: ListenReport,
    /// What was asked for and could not be bound, one line each.
    pub(crate) unbound: Vec<String>,
    /// The ports, to look for strangers.
    pub(crate) ports: Arc<Ports>,
    /// The counters.
    pub(crate) ledgers: Ledgers,
    /// Memory that contexts may take in bytes.
    pub(crate) context_bytes_max: usize,
    /// The epochs of the lanes.
    pub(crate) lanes: Vec<LaneEpochs>,
    /// When the agent started.
    pub(crate) started: Instant,
}

/// Counters at the last look, for rates since then.
pub(crate) struct Rates {
    at: Instant,
    counters: [(&'static str, u64); 4],
}

impl Rates {
    /// The first look.
    pub(crate) fn new(facts: &Facts) -> Self {
        Self { at: Instant::now(), counters: Self::read(facts) }
    }

    fn read(facts: &Facts) -> [(&'static str, u64); 4] {
        let receivers = facts.ledgers.receivers();
        let workers = facts.ledgers.workers();
        [
            ("datagrams", receivers.received.iter().sum()),
            ("bytes", receivers.bytes.iter().sum()),
            ("messages", workers.lines),
            ("samples", workers.samples),
        ]
    }

    /// What came per second since the last look.
    fn since(&mut self, facts: &Facts) -> Value {
        let next = Self { at: Instant::now(), counters: Self::read(facts) };
        let over_s = next.at.duration_since(self.at).as_secs_f64();
        let mut rates = Map::new();
        rates.insert("over_s".to_owned(), rounded(over_s));
        for ((name, now), (_, before)) in next.counters.into_iter().zip(self.counters) {
            let rate = now.saturating_sub(before) as f64 / over_s.max(0.001);
            rates.insert(format!("{name}_per_s"), rounded(rate));
        }
        *self = next;
        Value::Object(rates)
    }
}

fn rounded(number: f64) -> Value {
    json!((number * 10.0).round() / 10.0)
}

/// The whole status.
pub(crate) fn snapshot(facts: &Facts, report: &Report, rates: &mut Rates) -> Value {
    let texts = |items: Vec<String>| Value::from(items);
    json!({
        "agent": concat!("lastdrop ", env!("CARGO_PKG_VERSION")),
        "pid": std::process::id(),
        "mode": facts.mode,
        "platform": facts.platform,
        "uptime_s": facts.started.elapsed().as_secs(),
        "listening": facts.listen.addresses.iter().map(address).collect::<Vec<_>>(),
        "not_bound": facts.unbound,
        "fallbacks": texts(facts.listen.fallbacks.iter().map(ToString::to_string).collect()),
        "strangers": texts(facts.ports.strangers().iter().map(ToString::to_string).collect()),
        "rates": rates.since(facts),
        "receivers": Counters(facts.ledgers.receivers().each()),
        "workers": Counters(facts.ledgers.workers().each()),
        "merge": Counters(facts.ledgers.merge.read().each()),
        "shipper": Counters(facts.ledgers.shipper.read().each()),
        "contexts": contexts(facts, report),
        "lanes": lanes(facts),
        "endpoints": report.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "last_problem": crate::log::last_problem().map(|(ago, line)| {
            json!({ "line": line, "ago_s": ago.as_secs() })
        }),
        "log_lines_dropped": crate::log::dropped(),
    })
}

/// How many contexts there are, what they take, and who makes the most of them. The lists know what
/// was shipped: a slot is shipped when it is over.
fn contexts(facts: &Facts, report: &Report) -> Value {
    let workers = facts.ledgers.workers();
    let busiest = |(context, samples): &(Context, u64)| {
        let context = context.get();
        let tags: Vec<_> = context.tags().collect();
        json!({ "name": context.name(), "tags": tags, "samples": samples })
    };
    json!({
        "known": facts.ledgers.merge.read().contexts,
        "bytes": workers.context_bytes,
        "bytes_max": facts.context_bytes_max,
        "busiest": report.top.busiest.iter().map(busiest).collect::<Vec<_>>(),
        "widest": report.top.widest.iter().map(|(name, contexts)| {
            json!({ "name": name, "contexts": contexts })
        }).collect::<Vec<_>>(),
    })
}

fn address(report: &AddressReport) -> Value {
    let address = match &report.address {
        Address::Udp(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
    };
    let mut row = json!({ "address": address, "transport": report.transport.name() });
    if let Some(group) = report.group {
        let holds = DATAGRAM_SIZES.map(|size| (size.to_string(), group.capacity(size).into()));
        row["sockets"] = group.plan.sockets.into();
        row["buffer_bytes"] = group.plan.receive_buffer_bytes.into();
        row["spreading"] = spreading(group.spreading).into();
        row["holds_datagrams_of_bytes"] = Value::Object(holds.into_iter().collect());
    }
    row
}

fn spreading(spreading: Spreading) -> &'static str {
    match spreading {
        Spreading::None => "one_socket",
        Spreading::BySender => "by_sender",
        Spreading::ByDatagram => "by_datagram",
    }
}

/// The lanes: what is in the ring is what was committed less what was applied.
fn lanes(facts: &Facts) -> Vec<Value> {
    let lane = |(number, epochs): (usize, &LaneEpochs)| {
        // In this order, so that the difference is never below zero.
        let applied = epochs.applied.observe();
        let committed = epochs.committed.observe();
        json!({
            "lane": number,
            "applied": applied.epoch,
            "in_ring": committed.epoch.saturating_sub(applied.epoch),
            "worker_alive": applied.writer == Writer::Alive,
            "receiver_alive": committed.writer == Writer::Alive,
        })
    };
    facts.lanes.iter().enumerate().map(lane).collect()
}

fn endpoint(report: &EndpointReport) -> Value {
    let EndpointReport { id, status, ledger, balanced: _ } = report;
    json!({
        "endpoint": id.to_string(),
        "key": match status.key {
            KeyState::Missing => "missing",
            KeyState::Unproven => "unproven",
            KeyState::Accepted => "accepted",
            KeyState::Refused => "refused",
        },
        "queued": TallyReport::from(&status.queued),
        "queued_bytes": status.queued_bytes,
        "in_flight": status.in_flight,
        "routes_blocked": status.routes_blocked,
        "last_failure": status.last_failure.map(|cause| cause.to_string()),
        "last_accepted_ago_s": status.last_accepted.map(|at| at.elapsed().as_secs()),
        "unaccepted_for_s": status.unaccepted_since.map(|since| since.elapsed().as_secs()),
        "made": TallyReport::from(&ledger.made),
        "accepted": TallyReport::from(&ledger.accepted),
        "refused": by(&ledger.refused),
        "dropped": by(&ledger.dropped),
        "unknown": by(&ledger.unknown),
        "retried": TallyReport::from(&ledger.retried),
    })
}

/// What a flush has proved: `delivered` only if every worker has come to its mark, the books balance
/// from the datagrams received to the payloads, nothing waits, and every endpoint has accepted all it was given since
/// the flush was asked for.
pub(crate) fn flushed(
    number: u64,
    facts: &Facts,
    before: &Report,
    after: &Report,
    took: Duration,
) -> Value {
    let shipped = after.flushed >= number;
    let endpoints: Vec<(Value, u64)> = after
        .endpoints
        .iter()
        .map(|endpoint| {
            let earlier = before.endpoints.iter().find(|earlier| earlier.id == endpoint.id);
            flushed_endpoint(endpoint, earlier.map(|earlier| &earlier.ledger))
        })
        .collect();
    let lost: u64 = endpoints.iter().map(|(_, lost)| lost).sum();
    let balanced = after.balances.iter().all(Balance::holds)
        && after.endpoints.iter().all(|endpoint| endpoint.balanced);
    let balance = |balance: &Balance| {
        let Balance { name, left, right } = balance;
        json!({ "name": name, "left": left, "right": right, "holds": balance.holds() })
    };
    json!({
        "flush": number,
        "delivered": shipped && balanced && after.delivered && lost == 0,
        "shipped": shipped,
        "balanced": balanced,
        "balances": after.balances.iter().map(balance).collect::<Vec<_>>(),
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "lanes": lanes(facts),
        "endpoints": endpoints.into_iter().map(|(row, _)| row).collect::<Vec<_>>(),
    })
}

/// What one endpoint did during a flush, and how many payloads it gave up.
fn flushed_endpoint(report: &EndpointReport, before: Option<&Ledger>) -> (Value, u64) {
    let none = Ledger::default();
    let before = before.unwrap_or(&none);
    let EndpointReport { id, status, ledger, balanced } = report;
    let given_up = |ledger: &Ledger| {
        let all = ledger.refused.values().chain(ledger.dropped.values());
        all.chain(ledger.unknown.values()).copied().sum::<Tally>()
    };
    let mut accepted = ledger.accepted;
    accepted -= before.accepted;
    let mut lost = given_up(ledger);
    lost -= given_up(before);
    let row = json!({
        "endpoint": id.to_string(),
        "balanced": balanced,
        "accepted": TallyReport::from(&accepted),
        "given_up": TallyReport::from(&lost),
        "dropped": by(&ledger.dropped),
        "queued": TallyReport::from(&status.queued),
        "in_flight": status.in_flight,
        "last_failure": status.last_failure.map(|cause| cause.to_string()),
    });
    (row, lost.payloads)
}

/// The status for people: what is asked for first stands first, zeros are left out.
pub(crate) fn for_people(status: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut page = format!(
        "{}, {} on {}, pid {}, up {} s\n",
        text(&status["agent"]),
        text(&status["mode"]),
        text(&status["platform"]),
        status["pid"],
        status["uptime_s"],
    );
    // Writing to a string can't fail.
    for row in array(&status["listening"]) {
        let _ = write!(page, "listening      {}", text(&row["address"]));
        if let Some(holds) = row["holds_datagrams_of_bytes"].as_object() {
            let mut holds: Vec<_> =
                holds.iter().map(|(bytes, n)| (bytes.parse::<u32>().unwrap_or(0), n)).collect();
            holds.sort_unstable_by_key(|(bytes, _)| *bytes);
            let holds: Vec<_> = holds.iter().map(|(b, n)| format!("{n} of {b} B")).collect();
            let _ = write!(page, ", {} sockets, hold {}", row["sockets"], holds.join(", "));
        }
        page.push('\n');
    }
    let lists = [("not bound", "not_bound"), ("fall-back", "fallbacks"), ("stranger", "strangers")];
    for (title, key) in lists {
        for row in array(&status[key]) {
            let _ = writeln!(page, "{title:<14} {}", text(row));
        }
    }
    let rates = &status["rates"];
    let _ = writeln!(
        page,
        "rates          {} datagrams/s, {} messages/s, {} samples/s, {} B/s over {} s",
        rates["datagrams_per_s"],
        rates["messages_per_s"],
        rates["samples_per_s"],
        rates["bytes_per_s"],
        rates["over_s"],
    );
    let drops = &status["receivers"]["kernel_dropped"];
    let drops = drops.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64());
    let _ = writeln!(page, "kernel drops   {} datagrams", drops.sum::<u64>());
    let ms = |name: &str| status["workers"][name].as_u64().unwrap_or(0) as f64 / 1e6;
    let _ = writeln!(
        page,
        "worst age      {:.1} ms from a datagram's arrival to its parsing, {:.1} ms in the last slot",
        ms("age_ns_max"),
        ms("slot_age_ns_max"),
    );
    contexts_for_people(&mut page, &status["contexts"]);
    for row in array(&status["lanes"]) {
        let _ = writeln!(
            page,
            "lane {:<9} {} records applied, {} in the ring{}{}",
            row["lane"].to_string(),
            row["applied"],
            row["in_ring"],
            if row["worker_alive"] == false { ", its worker is gone" } else { "" },
            if row["receiver_alive"] == false { ", its receiver is gone" } else { "" },
        );
    }
    for row in array(&status["endpoints"]) {
        let _ = writeln!(
            page,
            "endpoint       {}: key {}, {} payloads accepted, {} queued, {} in flight{}{}{}",
            text(&row["endpoint"]),
            text(&row["key"]),
            row["accepted"]["payloads"],
            row["queued"]["payloads"],
            row["in_flight"],
            if row["routes_blocked"] == 0 { "" } else { ", waits before it tries again" },
            row["unaccepted_for_s"]
                .as_u64()
                .map_or_else(String::new, |s| { format!(", nothing accepted for {s} s") }),
            failure(row),
        );
    }
    if let Some(line) = status["last_problem"]["line"].as_str() {
        let _ = writeln!(page, "last problem   {line} ({} s ago)", status["last_problem"]["ago_s"]);
    }
    for part in ["receivers", "workers", "merge", "shipper"] {
        let mut counted = Vec::new();
        for (name, value) in status[part].as_object().into_iter().flatten() {
            match value {
                Value::Object(kinds) => {
                    counted.extend(kinds.iter().map(|(kind, n)| format!("{name}.{kind} {n}")));
                }
                n if *n != 0 => counted.push(format!("{name} {n}")),
                _ => {}
            }
        }
        let _ = writeln!(page, "{part:<14} {}", counted.join(", "));
    }
    page
}

/// Contexts that a page for people names.
const NAMED_MAX: usize = 5;

fn contexts_for_people(page: &mut String, contexts: &Value) {
    let mebibytes = |bytes: &Value| bytes.as_u64().unwrap_or(0) >> 20;
    // Writing to a string can't fail.
    let _ = writeln!(
        page,
        "contexts       {} known, {} of {} MiB",
        contexts["known"],
        mebibytes(&contexts["bytes"]),
        mebibytes(&contexts["bytes_max"]),
    );
    for row in array(&contexts["busiest"]).iter().take(NAMED_MAX) {
        let tags: Vec<_> = array(&row["tags"]).iter().filter_map(Value::as_str).collect();
        let name = row["name"].as_str().unwrap_or_default();
        let _ = writeln!(
            page,
            "  busiest      {name}{{{}}}: {} samples",
            tags.join(","),
            row["samples"]
        );
    }
    for row in array(&contexts["widest"]).iter().take(NAMED_MAX) {
        let name = row["name"].as_str().unwrap_or_default();
        let _ = writeln!(page, "  widest       {name}: {} contexts", row["contexts"]);
    }
}

/// The outcome of a flush for people.
pub(crate) fn flush_for_people(flush: &Value) -> String {
    let mut page = String::new();
    let applied: u64 = array(&flush["lanes"]).iter().filter_map(|l| l["applied"].as_u64()).sum();
    let _ = writeln!(
        page,
        "flush {}: {} in {} ms, {applied} records applied",
        flush["flush"],
        match (flush["delivered"] == true, flush["shipped"] == true) {
            (true, _) => "delivered",
            (false, true) if flush["balanced"] == false => "the books don't balance: this is a bug",
            (false, true) => "aggregated and encoded, but not delivered",
            (false, false) => "not every worker has come to its mark",
        },
        flush["took_ms"],
    );
    for row in array(&flush["endpoints"]) {
        let _ = writeln!(
            page,
            "  {}: {} payloads with {} points accepted, {} given up, {} queued, {} in flight{}",
            row["endpoint"].as_str().unwrap_or_default(),
            row["accepted"]["payloads"],
            row["accepted"]["points"],
            row["given_up"]["payloads"],
            row["queued"]["payloads"],
            row["in_flight"],
            failure(row),
        );
    }
    page
}

fn failure(row: &Value) -> String {
    let failure = row["last_failure"].as_str().map(|why| format!(", last failure: {why}"));
    failure.unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
