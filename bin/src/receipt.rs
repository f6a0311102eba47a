//! The receipt: the ledger at the end, as JSON, and whether anything was lost.
//!
//! Field by field it is told in `docs/receipt.md`; a test holds that page against [`Receipt`].

use crate::config::types;
use crate::wiring::Ledgers;
use lastdrop_engine::ledger::{
    Balance, ReceiverCounts, WorkerCounts, buckets_balance, datagrams_balance, encoded_balance,
    lines_balance, samples_balance,
};
use lastdrop_engine::stop::Lane;
use lastdrop_transport::forward::endpoint::Endpoint;
use lastdrop_transport::forward::ledger::{Ledger, Tally};
use lastdrop_transport::shipper::Shipped;
use rustix::stdio::stderr;
use rustix::termios::isatty;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Write as _};
use std::time::Duration;

/// Version of the receipt's form; grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// How the stop went.
pub(crate) struct Stop {
    /// The counters of all threads.
    pub(crate) ledgers: Ledgers,
    /// How far it came.
    pub(crate) ending: Ending,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How far a stop came.
pub(crate) enum Ending {
    /// To the end: everything is delivered, or counted.
    Shipped(Shipped),
    /// A second signal, the deadline or a panic ended it at this stage: the counters stand as they
    /// were then.
    CutShort {
        /// The stage.
        stage: &'static str,
    },
}

/// What the receipt adds to the counters.
pub(crate) struct Context<'a> {
    /// `run` or `init`.
    pub(crate) mode: &'static str,
    /// Exit status of the wrapped process.
    pub(crate) child: Option<u8>,
    /// What the kernel refused, and sockets of others on our ports, one line each.
    pub(crate) notes: &'a [String],
}

/// The ledger at the end.
pub(crate) struct Receipt {
    json: Value,
    lossless: bool,
}

impl Receipt {
    /// Draws up the receipt.
    pub(crate) fn new(stop: &Stop, context: &Context<'_>) -> Self {
        let Stop { ledgers, ending, took } = stop;
        let receivers = ledgers.receivers();
        let workers = ledgers.workers();
        let merge = ledgers.merge.read();
        let shipper = ledgers.shipper.read();
        let (lanes, endpoints) = match ending {
            Ending::Shipped(shipped) => {
                let lanes = shipped.delivered.as_ref().map_or(&[][..], |d| d.lanes());
                (lanes, &shipped.endpoints[..])
            }
            Ending::CutShort { .. } => (&[][..], &[][..]),
        };
        let balances = [
            datagrams_balance(&receivers, &workers),
            lines_balance(&workers),
            samples_balance(&workers),
            buckets_balance(&workers, &merge),
            encoded_balance(&merge, &shipper),
        ];
        let complete = matches!(ending, Ending::Shipped(shipped) if shipped.delivered.is_some());
        let proved = lanes.iter().all(|lane| matches!(lane, Lane::Proved { .. }));
        let balanced = complete
            && proved
            && balances.iter().all(Balance::holds)
            && endpoints.iter().all(|endpoint| endpoint.balance().is_ok());
        let lossless = balanced
            && lost_before_shipping(&receivers, &workers) == 0
            && endpoints.iter().all(delivered_all);
        let stage = match ending {
            Ending::Shipped(_) => "delivered",
            Ending::CutShort { stage } => stage,
        };
        let json = json!({
            "version": VERSION,
            "agent": concat!("lastdrop ", env!("CARGO_PKG_VERSION")),
            "mode": context.mode,
            "child_exit_status": context.child,
            "balanced": balanced,
            "lossless": lossless,
            "stop": { "stage": stage, "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) },
            "lanes": lanes.iter().enumerate().map(lane).collect::<Vec<_>>(),
            "receivers": counters(receivers.each()),
            "workers": counters(workers.each()),
            "merge": counters(merge.each()),
            "shipper": counters(shipper.each()),
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "balances": balances.iter().map(balance).collect::<Vec<_>>(),
            "notes": context.notes,
            "log_lines_dropped": crate::log::dropped(),
        });
        Self { json, lossless }
    }

    /// True if everything received was delivered.
    pub(crate) fn is_lossless(&self) -> bool {
        self.lossless
    }

    /// Writes the receipt where the configuration wants it: on standard error as one line, or over
    /// several for people; to a file at once or not at all.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn write(&self, target: &types::Receipt) -> io::Result<()> {
        match target {
            types::Receipt::Off => Ok(()),
            types::Receipt::Stderr if isatty(stderr()) => {
                io::stderr().write_all(format!("{:#}\n", self.json).as_bytes())
            }
            types::Receipt::Stderr => io::stderr().write_all(format!("{}\n", self.json).as_bytes()),
            types::Receipt::File(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(format!(".{}.tmp", std::process::id()));
                let temporary = path.with_file_name(name);
                fs::write(&temporary, format!("{}\n", self.json))?;
                fs::rename(&temporary, path)
            }
        }
    }
}

/// Datagrams and samples that were lost on this side of the payloads, malformed ones and those that
/// the configuration drops not counted.
fn lost_before_shipping(receivers: &ReceiverCounts, workers: &WorkerCounts) -> u64 {
    let dropped: u64 = receivers.kernel_dropped.iter().sum();
    let gone: u64 = receivers.worker_gone.iter().sum();
    dropped + gone + workers.torn + workers.refused_for_lack_of_room()
}

fn delivered_all(endpoint: &Endpoint) -> bool {
    let ledger = endpoint.ledger();
    ledger.accepted.payloads == ledger.made.payloads + ledger.restored.payloads
}

fn lane((number, lane): (usize, &Lane)) -> Value {
    match lane {
        Lane::Proved { epoch } => json!({ "lane": number, "proved": true, "records": epoch }),
        Lane::Short { reason, unapplied } => json!({
            "lane": number, "proved": false, "reason": reason.name(), "unapplied": unapplied,
        }),
    }
}

fn balance(balance: &Balance) -> Value {
    json!({
        "name": balance.name, "left": balance.left, "right": balance.right,
        "holds": balance.holds(),
    })
}

/// Counters by name; those of a kind in an object of their own, where zeros are left out.
pub(crate) fn counters(each: Vec<(&'static str, Option<&'static str>, u64)>) -> Value {
    let mut object = Map::new();
    for (name, kind, value) in each {
        match kind {
            None => {
                object.insert(name.to_owned(), value.into());
            }
            Some(kind) => {
                let group = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let (Value::Object(group), 1..) = (group, value) {
                    group.insert(kind.to_owned(), value.into());
                }
            }
        }
    }
    Value::Object(object)
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let Ledger {
        made,
        restored,
        accepted,
        refused,
        dropped,
        unknown,
        spooled,
        left,
        retried,
        duplicates_possible,
        evicted,
    } = endpoint.ledger();
    json!({
        "endpoint": endpoint.id().to_string(),
        "made": tally(made),
        "restored": tally(restored),
        "accepted": tally(accepted),
        "refused": by(refused.iter()),
        "dropped": by(dropped.iter()),
        "unknown": by(unknown.iter()),
        "spooled": tally(spooled),
        "left": by(left.iter()),
        "retried": tally(retried),
        "duplicates_possible": tally(duplicates_possible),
        "evicted": tally(evicted),
        "balanced": endpoint.balance().is_ok(),
    })
}

pub(crate) fn tally(tally: &Tally) -> Value {
    json!({ "payloads": tally.payloads, "items": tally.items, "points": tally.points })
}

pub(crate) fn by<'a, K: ToString + 'a>(tallies: impl Iterator<Item = (&'a K, &'a Tally)>) -> Value {
    Value::Object(tallies.map(|(key, value)| (key.to_string(), tally(value))).collect())
}
