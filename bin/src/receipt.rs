//! The receipt: the ledger at the end, as JSON, and whether anything was lost.
//!
//! Field by field it is told in `docs/receipt.md`; a test holds that page against [`Report`].

use crate::config::types;
use crate::wiring::Ledgers;
use lastdrop_engine::ledger::{
    Balance, ReceiverCounts, WorkerCounts, buckets_balance, datagrams_balance, encoded_balance,
    lines_balance, passed_balance, samples_balance,
};
use lastdrop_engine::stop::Lane;
use lastdrop_transport::forward::endpoint::Endpoint;
use lastdrop_transport::forward::ledger::{Ledger, Tally};
use lastdrop_transport::forward::spool::SpoolCounters;
use lastdrop_transport::shipper::Shipped;
use rustix::stdio::stderr;
use rustix::termios::isatty;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
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
    /// Names of the threads that have panicked.
    pub(crate) panicked: Vec<String>,
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
pub(crate) struct Receipt<'a> {
    report: Report<'a>,
}

/// The receipt as it is written, in the order in which it is read.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    agent: &'static str,
    mode: &'static str,
    child_exit_status: Option<u8>,
    balanced: bool,
    lossless: bool,
    stop: StopReport,
    panicked: Vec<String>,
    lanes: Vec<LaneReport>,
    receivers: Counters,
    workers: Counters,
    merge: Counters,
    shipper: Counters,
    endpoints: Vec<EndpointReport>,
    spool: Option<SpoolReport>,
    balances: Vec<BalanceReport>,
    notes: &'a [String],
    log_lines_dropped: u64,
}

#[derive(Debug, Serialize)]
struct StopReport {
    stage: &'static str,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
struct LaneReport {
    lane: usize,
    proved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unapplied: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BalanceReport {
    name: &'static str,
    left: u64,
    right: u64,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct EndpointReport {
    endpoint: String,
    balanced: bool,
    made: TallyReport,
    restored: TallyReport,
    accepted: TallyReport,
    refused: BTreeMap<String, TallyReport>,
    dropped: BTreeMap<String, TallyReport>,
    unknown: BTreeMap<String, TallyReport>,
    spooled: TallyReport,
    left: BTreeMap<String, TallyReport>,
    retried: TallyReport,
    duplicates_possible: TallyReport,
    evicted: TallyReport,
}

#[derive(Debug, Serialize)]
struct SpoolReport {
    stored: TallyReport,
    not_stored: BTreeMap<String, TallyReport>,
    read: TallyReport,
    outdated: TallyReport,
    crowded_out: TallyReport,
    damaged_files: u64,
    files_without_endpoint: u64,
    failed_files: u64,
    foreign_files: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct TallyReport {
    payloads: u64,
    items: u64,
    points: u64,
}

impl<'a> Receipt<'a> {
    /// Draws up the receipt.
    pub(crate) fn new(stop: &Stop, context: &Context<'a>) -> Self {
        let Stop { ledgers, ending, panicked, took } = stop;
        #[cfg_attr(not(feature = "planted-faults"), expect(unused_mut, reason = "faults write"))]
        let (mut receivers, mut workers) = (ledgers.receivers(), ledgers.workers());
        #[cfg(feature = "planted-faults")]
        crate::faults::lie(&mut receivers, &mut workers);
        let (merge, shipper) = (ledgers.merge.read(), ledgers.shipper.read());
        let (stage, delivered, endpoints, spool) = match ending {
            Ending::Shipped(Shipped { delivered, endpoints, spool }) => {
                ("delivered", delivered.as_ref(), &endpoints[..], spool.as_ref())
            }
            Ending::CutShort { stage } => (*stage, None, &[][..], None),
        };
        let lanes = delivered.map_or(&[][..], |delivered| delivered.lanes());
        let balances = [
            datagrams_balance(&receivers, &workers),
            lines_balance(&workers),
            samples_balance(&workers),
            buckets_balance(&workers, &merge),
            passed_balance(&workers, &merge),
            encoded_balance(&merge, &shipper),
        ];
        let balanced = delivered.is_some()
            && panicked.is_empty()
            && lanes.iter().all(|lane| matches!(lane, Lane::Proved { .. }))
            && balances.iter().all(Balance::holds)
            && endpoints.iter().all(|endpoint| endpoint.balance().is_ok());
        let lossless = balanced
            && lost_on_the_way_in(&receivers, &workers) == 0
            && merge.incomplete + merge.type_conflict + merge.set_limit == 0
            && shipper.too_large + shipper.not_expressible + shipper.left == 0
            && endpoints.iter().all(delivered_all);
        let report = Report {
            version: VERSION,
            agent: concat!("lastdrop ", env!("CARGO_PKG_VERSION")),
            mode: context.mode,
            child_exit_status: context.child,
            balanced,
            lossless,
            stop: StopReport {
                stage,
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            },
            panicked: panicked.clone(),
            lanes: lanes.iter().enumerate().map(LaneReport::new).collect(),
            receivers: Counters(receivers.each()),
            workers: Counters(workers.each()),
            merge: Counters(merge.each()),
            shipper: Counters(shipper.each()),
            endpoints: endpoints.iter().map(EndpointReport::new).collect(),
            spool: spool.map(SpoolReport::new),
            balances: balances.iter().map(BalanceReport::new).collect(),
            notes: context.notes,
            log_lines_dropped: crate::log::dropped(),
        };
        Self { report }
    }

    /// True if everything received was delivered.
    pub(crate) fn is_lossless(&self) -> bool {
        self.report.lossless
    }

    /// Writes the receipt where the configuration wants it: to standard error as one line, or over
    /// several for people; to a file whole or not at all.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(crate) fn write(&self, target: &types::Receipt) -> io::Result<()> {
        match target {
            types::Receipt::Off => Ok(()),
            types::Receipt::Stderr if isatty(stderr()) => {
                let text = serde_json::to_string_pretty(&self.report)?;
                io::stderr().write_all(format!("{text}\n").as_bytes())
            }
            types::Receipt::Stderr => {
                let text = serde_json::to_string(&self.report)?;
                io::stderr().write_all(format!("{text}\n").as_bytes())
            }
            types::Receipt::File(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(format!(".{}.tmp", std::process::id()));
                let temporary = path.with_file_name(name);
                let text = serde_json::to_string(&self.report)?;
                fs::write(&temporary, format!("{text}\n"))?;
                fs::rename(&temporary, path)
            }
        }
    }
}

/// Datagrams, messages and samples that were lost before they were aggregated; not those that were
/// malformed, and not those that the configuration drops.
fn lost_on_the_way_in(receivers: &ReceiverCounts, workers: &WorkerCounts) -> u64 {
    let dropped: u64 = receivers.kernel_dropped.iter().sum();
    let gone: u64 = receivers.worker_gone.iter().sum();
    let torn = receivers.torn_frames + workers.torn;
    dropped + gone + torn + workers.refused_for_lack_of_room()
}

fn delivered_all(endpoint: &Endpoint) -> bool {
    let ledger = endpoint.ledger();
    ledger.accepted.payloads == ledger.made.payloads + ledger.restored.payloads
}

impl LaneReport {
    fn new((lane, found): (usize, &Lane)) -> Self {
        match *found {
            Lane::Proved { epoch } => {
                Self { lane, proved: true, records: Some(epoch), reason: None, unapplied: None }
            }
            Lane::Short { reason, unapplied } => Self {
                lane,
                proved: false,
                records: None,
                reason: Some(reason.name()),
                unapplied: Some(unapplied),
            },
        }
    }
}

impl BalanceReport {
    fn new(balance: &Balance) -> Self {
        let Balance { name, left, right } = *balance;
        Self { name, left, right, holds: balance.holds() }
    }
}

impl EndpointReport {
    fn new(endpoint: &Endpoint) -> Self {
        // Every counter by its name: one that is added has to find its place here.
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
        Self {
            endpoint: endpoint.id().to_string(),
            balanced: endpoint.balance().is_ok(),
            made: made.into(),
            restored: restored.into(),
            accepted: accepted.into(),
            refused: by(refused),
            dropped: by(dropped),
            unknown: by(unknown),
            spooled: spooled.into(),
            left: by(left),
            retried: retried.into(),
            duplicates_possible: duplicates_possible.into(),
            evicted: evicted.into(),
        }
    }
}

impl SpoolReport {
    fn new(counters: &SpoolCounters) -> Self {
        let SpoolCounters {
            stored,
            not_stored,
            restored,
            outdated,
            crowded_out,
            damaged,
            no_endpoint,
            failed,
            foreign,
        } = counters;
        Self {
            stored: stored.into(),
            not_stored: by(not_stored),
            read: restored.into(),
            outdated: outdated.into(),
            crowded_out: crowded_out.into(),
            damaged_files: *damaged,
            files_without_endpoint: *no_endpoint,
            failed_files: *failed,
            foreign_files: *foreign,
        }
    }
}

impl From<&Tally> for TallyReport {
    fn from(tally: &Tally) -> Self {
        Self { payloads: tally.payloads, items: tally.items, points: tally.points }
    }
}

pub(crate) fn by<K: ToString>(tallies: &BTreeMap<K, Tally>) -> BTreeMap<String, TallyReport> {
    tallies.iter().map(|(key, tally)| (key.to_string(), tally.into())).collect()
}

/// The counters of one kind of thread, by name. Those that are counted by kind stand in an object of
/// their own, where zeros are left out.
#[derive(Debug)]
pub(crate) struct Counters(pub(crate) Vec<(&'static str, Option<&'static str>, u64)>);

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for group in self.0.chunk_by(|one, next| one.0 == next.0) {
            let Some((name, kind, value)) = group.first() else { continue };
            if kind.is_none() {
                map.serialize_entry(name, value)?;
                continue;
            }
            let counted: BTreeMap<_, _> = group
                .iter()
                .filter_map(|(_, kind, value)| kind.filter(|_| *value > 0).zip(Some(value)))
                .collect();
            map.serialize_entry(name, &counted)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[path = "receipt/tests.rs"]
mod tests;
