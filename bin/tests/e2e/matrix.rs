//! An intake that misbehaves, one row for each group of faults, met while running and while
//! stopping: what becomes of the payload, what the receipt says, and what it costs. The second
//! endpoint is healthy and always has everything.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use lastdrop_lab::intake::{Certificate, Intake, IntakeOptions};
use rustix::process::Signal;

use crate::harness::{
    Agent, Ended, Looks, Setup, holds_no_key, intake, same_count, send, unless_stalled, wait_for,
};

/// Time of the stop; what never heals uses all of it.
const STOP: Duration = Duration::from_secs(8);

/// What a stop may take beyond its time, on a machine that all rows share, and beyond the time for
/// which that machine stood still.
const OVERTIME: Duration = Duration::from_secs(1);

/// Most memory that an agent may ever have used: a debug build with nothing to hold but one payload.
const MEMORY_KIB_MAX: u64 = 48 * 1024;

/// Processor time that a stop may take: a twentieth of its length, and what it takes to do its work.
const CPU_MAX: Duration = Duration::from_millis(400 + 100);

/// The length of a clock tick in `/proc` on Linux.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
}

/// What the receipt says of the one payload.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Accepted after so many tries more, perhaps twice.
    Accepted { retried: u64, doubtful: u64 },
    /// Refused with this status.
    Refused(&'static str),
    /// Certainly not delivered, for one of these reasons.
    Left(&'static [&'static str]),
    /// Perhaps delivered, for this reason.
    Unknown(&'static str),
}

/// A fault: how the sick endpoint is reached and what it does.
struct Row {
    script: &'static str,
    certificate: Option<Certificate>,
    /// In place of the intake's own address.
    url: Option<fn(&Intake) -> String>,
    end: End,
}

const fn row(script: &'static str, end: End) -> Row {
    Row { script, certificate: None, url: None, end }
}

const ONCE: End = End::Accepted { retried: 0, doubtful: 0 };
const AGAIN: End = End::Accepted { retried: 1, doubtful: 0 };
const PERHAPS_TWICE: End = End::Accepted { retried: 1, doubtful: 1 };

fn rows() -> Vec<Row> {
    let tls = |certificate| Row { certificate: Some(certificate), ..row("", End::Left(&["tls"])) };
    let elsewhere = |url, end| Row { url: Some(url), ..row("", end) };
    vec![
        row("delay=500ms", ONCE),
        row("503*2", End::Accepted { retried: 2, doubtful: 0 }),
        row("429/1", AGAIN),
        row("404", AGAIN),
        row("302", AGAIN),
        row("400", End::Refused("400")),
        row("403", End::Refused("403")),
        row("early=413", End::Refused("413")),
        // All of so small a request is in the kernel's hands before the reset comes.
        row("reset=10", PERHAPS_TWICE),
        row("close", PERHAPS_TWICE),
        row("wrong-length", PERHAPS_TWICE),
        row("endless-headers", PERHAPS_TWICE),
        row("deaf*1", PERHAPS_TWICE),
        row("silent*1", PERHAPS_TWICE),
        row("drip=1s*1", PERHAPS_TWICE),
        row("503@1m", End::Left(&["status_503"])),
        row("drip=1s@1m", End::Unknown("timeout")),
        row("silent@1m", End::Unknown("timeout")),
        tls(Certificate::Expired),
        tls(Certificate::SelfSigned),
        // TLS to a port that speaks none, and the reverse.
        elsewhere(|intake| intake.url().replace("http:", "https:"), End::Left(&["tls"])),
        Row {
            url: Some(|intake| intake.url().replace("https:", "http:")),
            ..row("", End::Unknown("truncated"))
        }
        .with(Certificate::Valid),
        elsewhere(|_| "http://127.0.0.1:1".to_owned(), End::Left(&["connect"])),
        // A resolver that is not reached takes its time, and the stop does not wait for it.
        elsewhere(|_| "http://nowhere.invalid".to_owned(), End::Left(&["resolve", "deadline"])),
    ]
}

impl Row {
    fn with(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    fn heals(&self) -> bool {
        matches!(self.end, End::Accepted { .. })
    }

    fn sick(&self) -> Intake {
        let script = self.script.parse().unwrap();
        Intake::start(IntakeOptions { tls: self.certificate, script, port: 0 }).unwrap()
    }

    /// Sends one increment, meets the fault in the given phase, and compares everything.
    fn check(&self, phase: Phase) {
        let (ended, (cost, sick, healthy)) = unless_stalled(|| self.meet(phase));
        let place = format!("{:?} {phase:?}: {ended}\n{:#?}", self.script, sick.totals());
        same_count(healthy.totals().count("matrix"), 1);
        holds_no_key("the log", &ended.stderr);
        holds_no_key("the receipt", &ended.receipt.to_string());
        self.compare(&ended, &sick, &place);
        let took = Duration::from_millis(ended.count("/stop/took_ms"));
        let latest = STOP + OVERTIME + ended.stood_still;
        assert!(took <= latest, "took {took:?}; {place}");
        assert!(cost.cpu <= CPU_MAX, "{:?} of processor time; {place}", cost.cpu);
        assert!(cost.memory_kib <= MEMORY_KIB_MAX, "{} KiB; {place}", cost.memory_kib);
    }

    /// What comes of an agent, what its stop has cost, and both intakes.
    fn meet(&self, phase: Phase) -> (Ended, (Cost, Intake, Intake)) {
        let (sick, healthy) = (self.sick(), intake(""));
        let setup = Setup::run(&sick)
            .env("DD_ADDITIONAL_ENDPOINTS", format!(r#"{{"{}":["another"]}}"#, healthy.url()))
            .env("DD_FORWARDER_TIMEOUT", "3")
            .env("DD_FORWARDER_BACKOFF_BASE", "0.05")
            // A zero for a slot that ends meanwhile would be a second payload.
            .env("DD_DOGSTATSD_EXPIRY_SECONDS", "0")
            .env("DD_LOG_LEVEL", "trace")
            .env("LASTDROP_STOP_TIMEOUT", format!("{}s", STOP.as_secs()));
        let setup = match self.url {
            Some(url) => setup.env("DD_DD_URL", url(&sick)),
            None => setup,
        };
        let agent = setup.start();
        send(&agent.udp_target(), &["matrix:1|c"]);
        if phase == Phase::Running {
            // A bucket closes at its time; nothing hurries it.
            wait_for(&healthy, self.script, |totals| totals.points > 0);
            if self.heals() {
                wait_for(&sick, self.script, |totals| totals.points > totals.duplicate_points);
            }
        }
        let (ended, cost) = stop(agent);
        (ended, (cost, sick, healthy))
    }

    fn compare(&self, ended: &Ended, sick: &Intake, place: &str) {
        let endpoint = &ended.receipt["endpoints"][0];
        let of = |field: &str| endpoint[field]["payloads"].as_u64().unwrap();
        let by =
            |field: &str, cause: &str| endpoint[field][cause]["payloads"].as_u64().unwrap_or(0);
        assert_eq!(ended.receipt["balanced"], true, "{place}");
        assert_eq!(of("made"), 1, "{place}");
        match self.end {
            End::Accepted { retried, doubtful } => {
                assert_eq!(of("accepted"), 1, "{place}");
                assert_eq!(of("duplicates_possible"), doubtful, "{place}");
                // The first try of a running agent may lie behind: what counts is that it is few.
                assert!((retried..=retried + 1).contains(&of("retried")), "{place}");
                same_count(sick.totals().count("matrix"), 1);
            }
            End::Refused(status) => {
                assert_eq!((by("refused", status), of("retried")), (1, 0), "{place}");
            }
            End::Left(causes) => {
                let left: u64 = causes.iter().map(|cause| by("left", cause)).sum();
                // A request whose answer the deadline cut off may have been taken.
                let answers = causes.iter().any(|cause| cause.starts_with("status_"));
                let cut_off = if answers { by("unknown", "deadline") } else { 0 };
                assert_eq!(left + cut_off, 1, "{place}");
                assert_eq!(sick.totals().accepted_requests, 0, "{place}");
            }
            // The last try may have been cut off by the deadline instead.
            End::Unknown(cause) => {
                let unknown = by("unknown", cause) + by("unknown", "deadline");
                assert_eq!(unknown, 1, "{place}");
            }
        }
    }
}

/// What a process has used.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: Duration,
    memory_kib: u64,
}

/// Stops an agent; says what the stop took of the processor, and the most memory it ever had.
fn stop(agent: Agent) -> (Ended, Cost) {
    let pid = agent.pid().as_raw_nonzero();
    let cost = || -> Option<Cost> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // User and system time are the 14th and 15th field; the name before may hold blanks.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let memory_kib = peak.trim().trim_end_matches(" kB").parse().ok()?;
        Some(Cost { cpu: TICK * ticks, memory_kib })
    };
    let before = cost().unwrap();
    let mut last = before;
    agent.signal(Signal::TERM);
    let until = Instant::now() + STOP * 4;
    let mut looks = Looks::begin();
    // A process that has ended has no memory any more.
    while let Some(now) = cost().filter(|_| Instant::now() < until) {
        last = now;
        thread::sleep(TICK);
        looks.look();
    }
    let cost = Cost { cpu: last.cpu.saturating_sub(before.cpu), ..last };
    (Ended { stood_still: looks.longest_gap, ..agent.end() }, cost)
}

/// Checks all rows side by side: most of the time goes by waiting for a bucket or a deadline.
fn check_all(phase: Phase) {
    let rows = rows();
    thread::scope(|scope| {
        for row in &rows {
            scope.spawn(|| row.check(phase));
        }
    });
}

#[test]
fn every_fault_met_while_running_ends_where_it_belongs() {
    check_all(Phase::Running);
}

#[test]
fn every_fault_met_while_stopping_ends_where_it_belongs() {
    check_all(Phase::Stopping);
}
