//! What a flush costs: processor time of encoding and compression by the format of the series, and
//! whether datagrams are received and parsed as before while very many contexts are flushed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::account::{self, Account};
use super::contender::rest;
use super::counted;
use super::destination::of_totals;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::{Setup, Sidecar, Transport};
use super::stats::number;
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Length, LoadOptions, LoadReport, Rate, Span};
use crate::process::Usage;
use crate::sink::Target;

/// Formats of series, with the settings that choose them.
const FORMATS: [(&str, &[(&str, &str)]); 3] = [
    ("v1", &[("DD_USE_V2_API_SERIES", "false")]),
    ("v2", &[]),
    ("v3", &[("DD_USE_V3_API_SERIES_ENABLED", "true")]),
];

/// New contexts that an agent learns in a second at the very least.
const LEARNED_PER_S: u32 = 100_000;

/// Longest wait for a flush to be at the intake.
const PATIENCE: Duration = Duration::from_secs(60);

/// Once contexts have been known for so long, the slot that was closed last began after that.
const TWO_SLOTS: Duration = Duration::from_secs(20);

/// How often a loaded agent is asked for its status.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Points that a cost is told for.
const PER_POINTS: f64 = 100_000.0;

/// What to run.
#[derive(Clone, Debug)]
pub struct FlushOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Contexts of the flush in each format.
    pub contexts: u32,
    /// Contexts that are flushed while they are sampled.
    pub loaded: u32,
    /// Datagrams a second meanwhile, of up to 1,432 bytes.
    pub rate: u32,
    /// How long. Half way a flush is asked for, open slot included; slots that end are flushed too.
    pub time: Duration,
}

/// A flush of an agent that gets nothing meanwhile.
struct Alone {
    format: &'static str,
    points: u64,
    /// Of the thread that merges, encodes, compresses and sends.
    ship_cpu: Duration,
    cpu: Duration,
    /// Bytes of the bodies as sent, and before compression, a point.
    body_bytes: f64,
    plain_bytes: f64,
    /// Resident memory at its peak beyond what there was before.
    more_bytes: u64,
}

/// An agent that is loaded while it flushes.
struct Loaded {
    sent: LoadReport,
    lost: f64,
    received: u64,
    dropped: u64,
    /// Points that the intake had accepted when the load ended.
    points: u64,
    /// Worst age of a datagram at the parser over all, in milliseconds.
    age_ms: f64,
    /// The same over whole slots in which no context was new; none if there was no such slot.
    known_age_ms: Option<f64>,
    rss_bytes: u64,
    complaints: Vec<String>,
}

/// Flushes in each format, then under load.
///
/// # Errors
///
/// An agent could not be started, or it was interrupted.
pub fn run(
    options: &FlushOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let mut rows = Vec::new();
    for (format, settings) in FORMATS {
        interrupt.check()?;
        screen.status(&format!("a flush of {} contexts as {format}", options.contexts));
        rows.push(alone(options, format, settings)?);
    }
    screen.status(&format!("flushes of {} contexts under load", options.loaded));
    let loaded = loaded(options, interrupt)?;
    screen.clear();
    Ok(report(options, &rows, &loaded))
}

fn setup<'a>(agent: &'a Path, transport: Transport) -> io::Result<Setup<'a>> {
    let mut setup = Setup::new(agent, transport)?;
    // The default would refuse the last of a million, and give up their last flush.
    for (name, value) in [("LASTDROP_CONTEXT_BYTES", "4GiB"), ("LASTDROP_STOP_TIMEOUT", "25s")] {
        setup.settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(setup)
}

fn alone(
    options: &FlushOptions,
    format: &'static str,
    settings: &[(&str, &str)],
) -> io::Result<Alone> {
    let mut setup = setup(&options.agent, Transport::UnixDatagram)?;
    let owned = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    setup.settings.extend(owned);
    let mut sidecar = Sidecar::start(setup)?;
    let learn = Duration::from_secs(1 + u64::from(options.contexts / LEARNED_PER_S));
    let load = LoadOptions {
        contexts: options.contexts,
        tags: Span::only(4),
        messages: u32::MAX,
        datagram_bytes: 8_192,
        ..LoadOptions::new(nowhere(), Length::Time(learn))
    };
    sidecar.load(&load)?.join().map_err(|_| io::Error::other("a sender panicked"))??;
    let usage = || sidecar.usage();
    let before = rest(&usage)?;
    let points_before = sidecar.intake.totals().points;
    sidecar.signal(Signal::USR1)?;
    // A slot that has ended since the load is in it, and brings zeros: what counts is a point.
    let wanted = points_before + u64::from(options.contexts);
    if !sidecar.intake.wait_until(|totals| totals.points >= wanted, PATIENCE) {
        return Err(io::Error::other(format!("{format}: a flush didn't arrive")));
    }
    let after = rest(&usage)?;
    let points = sidecar.intake.totals().points - points_before;
    let end = sidecar.end(Signal::TERM)?;
    let each = |counter: &str| {
        let encoded = counted(&end.receipt, "/shipper/points_encoded");
        count(counted(&end.receipt, &format!("/shipper/{counter}"))) / count(encoded)
    };
    let difference = |of: fn(&Usage) -> Duration| of(&after).saturating_sub(of(&before));
    Ok(Alone {
        format,
        points,
        ship_cpu: difference(|usage| usage.cpu_of("ship")),
        cpu: difference(|usage| usage.cpu),
        body_bytes: each("body_bytes"),
        plain_bytes: each("uncompressed_bytes"),
        more_bytes: after.peak_bytes.saturating_sub(before.rss_bytes),
    })
}

fn loaded(options: &FlushOptions, interrupt: &Interrupt) -> io::Result<Loaded> {
    let folder = tempfile::tempdir()?;
    let control = folder.path().join("control");
    let mut setup = setup(&options.agent, Transport::Udp)?;
    setup.settings.push(("LASTDROP_CONTROL_SOCKET".to_owned(), control.display().to_string()));
    let mut sidecar = Sidecar::start(setup)?;
    let load = LoadOptions {
        contexts: options.loaded,
        tags: Span::only(4),
        messages: u32::MAX,
        rate: Some(Rate::Datagrams(options.rate.into())),
        interrupt: interrupt.clone(),
        ..LoadOptions::new(nowhere(), Length::Time(options.time))
    };
    let sending = sidecar.load(&load)?;
    let (began, mut asked) = (Instant::now(), false);
    let mut known_since: Option<Instant> = None;
    let mut known_age_ms: Option<f64> = None;
    while !sending.is_finished() {
        let status = status(&options.agent, &control)?;
        if counted(&status, "/workers/contexts") >= u64::from(options.loaded) {
            let since = known_since.get_or_insert_with(Instant::now);
            if since.elapsed() > TWO_SLOTS {
                let age = age_ms(&status, "slot_age_ns_max");
                known_age_ms = Some(known_age_ms.map_or(age, |worst| worst.max(age)));
            }
        }
        if !asked && began.elapsed() > options.time / 2 {
            sidecar.signal(Signal::USR1)?;
            asked = true;
        }
        thread::sleep(ASK_EVERY);
    }
    let sent = sending.join().map_err(|_| io::Error::other("a sender panicked"))??;
    interrupt.check()?;
    let points = sidecar.intake.totals().points;
    let rss_bytes = sidecar.usage()?.rss_bytes;
    let end = sidecar.end(Signal::TERM)?;
    let lost = Account::of(std::slice::from_ref(&sent), of_totals(&sidecar.intake.totals())).lost();
    let mut loaded = Loaded {
        lost,
        received: counted(&end.receipt, "/receivers/received"),
        dropped: counted(&end.receipt, "/receivers/kernel_dropped"),
        points,
        age_ms: age_ms(&end.receipt, "age_ns_max"),
        known_age_ms,
        rss_bytes,
        complaints: account::complaints(&end.receipt),
        sent,
    };
    loaded.complain(options);
    Ok(loaded)
}

impl Loaded {
    fn complain(&mut self, options: &FlushOptions) {
        let Self { sent, lost, received, dropped, points, .. } = self;
        let mut complain = |is_wrong: bool, text: String| {
            if is_wrong {
                self.complaints.push(text);
            }
        };
        let loaded = options.loaded;
        complain(
            *points < u64::from(loaded),
            format!("{points} points of {loaded} contexts were flushed under load"),
        );
        complain(*lost != 0.0, format!("{lost} increments are not at the intake"));
        complain(*dropped > 0, format!("the kernel dropped {dropped} datagrams"));
        complain(
            *received + *dropped != sent.datagrams,
            format!("{} datagrams sent, {received} received", sent.datagrams),
        );
    }
}

fn nowhere() -> Target {
    Target::Udp(([127, 0, 0, 1], 0).into())
}

/// What a running agent says of itself.
fn status(agent: &Path, control: &Path) -> io::Result<Value> {
    let mut command = Command::new(agent);
    command.args(["status", "--json", "--control-socket"]).arg(control);
    let output = command.output()?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        io::Error::other(format!("status: {error}: {}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn age_ms(counters: &Value, counter: &str) -> f64 {
    count(counted(counters, &format!("/workers/{counter}"))) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn count(value: u64) -> f64 {
    value as f64
}

fn mib(bytes: u64) -> f64 {
    count(bytes) / f64::from(1 << 20)
}

impl Alone {
    /// Processor seconds for so many points as costs are told for.
    fn cost(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * PER_POINTS / count(self.points)
    }

    fn to_json(&self) -> Value {
        json!({
            "format": self.format, "points": self.points,
            "ship_cpu_s": self.ship_cpu.as_secs_f64(), "cpu_s": self.cpu.as_secs_f64(),
            "ship_cpu_s_per_100k": self.cost(self.ship_cpu),
            "cpu_s_per_100k": self.cost(self.cpu), "body_bytes_a_point": self.body_bytes,
            "plain_bytes_a_point": self.plain_bytes, "more_bytes": self.more_bytes,
        })
    }
}

fn report(options: &FlushOptions, rows: &[Alone], loaded: &Loaded) -> Report {
    let headings = [
        "series",
        "points",
        "ship CPU s/100k",
        "whole CPU s/100k",
        "bytes a point",
        "compressed",
        "MiB more",
    ];
    let mut table = Table::new("a flush, nothing else going on", &headings);
    for row in rows {
        table.push(&[
            row.format.to_owned(),
            row.points.to_string(),
            format!("{:.3}", row.cost(row.ship_cpu)),
            format!("{:.3}", row.cost(row.cpu)),
            format!("{:.1}", row.plain_bytes),
            format!("{:.1}", row.body_bytes),
            format!("{:.1}", mib(row.more_bytes)),
        ]);
    }
    let headings = [
        "contexts",
        "k messages/s",
        "flushed meanwhile",
        "lost",
        "kernel drops",
        "worst age, ms",
        "all contexts known",
        "MiB",
    ];
    let mut under_load = Table::new("flushes under load", &headings);
    under_load.push(&[
        options.loaded.to_string(),
        format!("{:.0}", count(loaded.sent.messages) / loaded.sent.seconds / 1e3),
        loaded.points.to_string(),
        loaded.lost.to_string(),
        loaded.dropped.to_string(),
        format!("{:.1}", loaded.age_ms),
        loaded.known_age_ms.map_or_else(|| "–".to_owned(), |age_ms| format!("{age_ms:.1}")),
        format!("{:.0}", mib(loaded.rss_bytes)),
    ]);
    let formats: Vec<&str> = rows.iter().map(|row| row.format).collect();
    let bars = |value: &dyn Fn(&Alone) -> Duration| {
        rows.iter().enumerate().map(|(at, row)| (number(at), row.cost(value(row)))).collect()
    };
    let plot = Plot {
        title: "Processor time of a flush of 100,000 points".to_owned(),
        x: Axis::names("", &formats),
        y: Axis::linear("seconds"),
        series: vec![
            Series::new("ship", Mark::Bars, bars(&|row| row.ship_cpu)),
            Series::new("all threads", Mark::Bars, bars(&|row| row.cpu)),
        ],
    };
    Report {
        name: "flush".to_owned(),
        title: "What a flush costs, and what it costs reception".to_owned(),
        notes: vec![
            format!(
                "Counters with 4 tags. A flush on demand of {} contexts, until it is at the intake: \
                 the thread `ship` merges, encodes, compresses and sends.",
                options.contexts
            ),
            format!(
                "Under load: {} UDP datagrams a second of up to 1,432 bytes for {:.0} s; half way a \
                 flush is asked for, and slots end. Worst age: from a datagram's arrival to the turn \
                 that parsed it, over all, and over the slots in which no context was new any more.",
                options.rate,
                options.time.as_secs_f64()
            ),
        ],
        tables: vec![table, under_load],
        plots: vec![(String::new(), plot)],
        json: json!({
            "alone": rows.iter().map(Alone::to_json).collect::<Vec<_>>(),
            "loaded": {
                "contexts": options.loaded, "seconds": loaded.sent.seconds,
                "datagrams": loaded.sent.datagrams, "messages": loaded.sent.messages,
                "points": loaded.points, "lost": loaded.lost, "received": loaded.received,
                "kernel_dropped": loaded.dropped, "age_ms_max": loaded.age_ms,
                "known_age_ms_max": loaded.known_age_ms, "rss_bytes": loaded.rss_bytes,
            },
        }),
        complaints: loaded.complaints.clone(),
    }
}
