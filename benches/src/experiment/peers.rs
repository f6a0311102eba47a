//! The same work for every server that is installed, in one table.
//!
//! All of them get the same bytes: counters without tags over UDP, one message a datagram, which is
//! what all of them understand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Measure, rounded};
use super::plan::Plan;
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::run::{Prepared, Server};
use super::stats::number;
use super::suite::SuiteError;
use super::target::{Dialect, Output, Place, Target};
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Kind, Length, LoadOptions, Mix, Rate, Span};
use crate::sink;

/// What every server gets at a moderate load.
const WORK: &str = "\
about = 'counters without tags, one message a datagram'
goal = 'cpu'
duration = '13s'
[[load]]
transport = 'udp'
messages = 1
datagrams_per_s = 20000
contexts = 1000
tags = 0
";

/// The lowest and the highest rate that are tried, datagrams a second.
const RATES: (f64, f64) = (2_000.0, 512_000.0);

/// Halvings of what lies between: to a fiftieth.
const STEPS: u32 = 8;

/// How long each rate is tried.
const TRIED: Duration = Duration::from_secs(2);

/// How long a server may take to read what is left after a rate was tried.
const SETTLE: Duration = Duration::from_millis(300);

/// What to measure.
#[derive(Clone, Debug)]
pub struct PeersOptions {
    /// Which of the servers; empty for all.
    pub only: Vec<String>,
    /// The agent; `None` takes the one beside this program, or builds it.
    pub agent: Option<PathBuf>,
}

/// What was measured of a server.
struct Row {
    target: Target,
    measured: Result<Measured, String>,
}

struct Measured {
    values: super::bounds::Values,
    zero_loss_per_s: Option<f64>,
    complaints: Vec<String>,
}

/// Measures every server that is installed, and names those that aren't.
///
/// # Errors
///
/// The run was interrupted. A server that fails is a row of the table.
pub fn run(
    options: &PeersOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<Report, SuiteError> {
    let agent = super::agent(options.agent.clone(), screen)?;
    let mut rows = Vec::new();
    for target in Target::shipped()? {
        if !options.only.is_empty() && !options.only.contains(&target.name) {
            continue;
        }
        screen.status(&format!("{}: 20,000 a second, then the highest rate", target.name));
        let measured = match is_installed(&target, &agent) {
            false => Err(format!("not installed: {}", target.install)),
            true => measure(&target, &agent, interrupt).map_err(|error| error.to_string()),
        };
        let interrupted = |error| SuiteError::Replica("peers".to_owned(), error);
        interrupt.check().map_err(interrupted)?;
        rows.push(Row { target, measured });
    }
    screen.clear();
    Ok(report(&rows))
}

fn is_installed(target: &Target, agent: &Path) -> bool {
    target.is_installed(&Place::nowhere(agent))
}

fn measure(target: &Target, agent: &Path, interrupt: &Interrupt) -> io::Result<Measured> {
    let plan = Plan::parse("peers", WORK).map_err(io::Error::other)?;
    // Statsd's dialect for all: the same bytes.
    let work = Prepared::new(plan, Dialect::Statsd, interrupt);
    let replica = work.run(target, agent)?;
    let zero_loss_per_s = zero_loss_rate(&work, target, agent, interrupt)?;
    Ok(Measured { values: replica.values, zero_loss_per_s, complaints: replica.complaints })
}

/// Finds the highest rate at which the kernel drops nothing, by halving; `None` if there is none.
fn zero_loss_rate(
    work: &Prepared,
    target: &Target,
    agent: &Path,
    interrupt: &Interrupt,
) -> io::Result<Option<f64>> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(work, target, agent, folder.path())?;
    let (mut kept, mut dropped) = (None, RATES.1);
    let mut rate = RATES.0;
    for _ in 0..=STEPS {
        if drops_at(&mut server, rate, interrupt)? == 0 {
            kept = Some(rate);
        } else {
            dropped = rate;
        }
        match kept {
            None => break,
            // Ratios: each step halves the distance on a logarithmic scale.
            Some(kept) => rate = (kept * dropped).sqrt(),
        }
    }
    Ok(kept)
}

/// Sends at a rate for a while; gives how many datagrams the kernel dropped meanwhile.
fn drops_at(server: &mut Server, per_s: f64, interrupt: &Interrupt) -> io::Result<u64> {
    let port = server.udp_port();
    let before = kernel_drops(port)?;
    let target = sink::Target::Udp(([127, 0, 0, 1], port).into());
    let load = LoadOptions {
        tags: Span::only(0),
        mix: Mix::only(Kind::Count),
        rate: Some(Rate::Datagrams(per_s)),
        interrupt: interrupt.clone(),
        ..LoadOptions::new(target, Length::Time(TRIED))
    };
    let sent = crate::load::run(&load)?;
    interrupt.check()?;
    server.check_running()?;
    std::thread::sleep(SETTLE);
    if sent.failed.datagrams > 0 {
        return Err(io::Error::other(format!("sends failed: {:?}", sent.failed.errors)));
    }
    // A sender that can't keep up has tried a lower rate than it was asked to: that is no proof.
    let short =
        per_s * TRIED.as_secs_f64() * 0.9 > number(usize::try_from(sent.datagrams).unwrap_or(0));
    let drops = kernel_drops(port)?.saturating_sub(before);
    Ok(if short { drops.max(1) } else { drops })
}

/// Datagrams that the kernel has dropped for want of room, over all sockets of a port.
fn kernel_drops(port: u16) -> io::Result<u64> {
    let local = format!(":{port:04X}");
    let mut drops = 0;
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(1).is_some_and(|address| address.ends_with(&local)) {
                drops += fields.last().and_then(|drops| drops.parse::<u64>().ok()).unwrap_or(0);
            }
        }
    }
    Ok(drops)
}

fn report(rows: &[Row]) -> Report {
    let headings = [
        "server",
        "version",
        "zero-loss rate, datagrams/s",
        Measure::CpuSPerMillion.label(),
        Measure::MemoryPeakMib.label(),
        Measure::StartMs.label(),
        Measure::StopMs.label(),
        "lost at the stop, %",
    ];
    let mut table = Table::new("", &headings);
    let (mut notes, mut complaints, mut json) = (Vec::new(), Vec::new(), Vec::new());
    let (mut names, mut rates) = (Vec::new(), Vec::new());
    for Row { target, measured } in rows {
        let name = &target.name;
        match measured {
            Ok(Measured { values, zero_loss_per_s, complaints: wrong }) => {
                let value =
                    |measure| values.get(&measure).map_or_else(String::new, |v| rounded(*v));
                let rate =
                    zero_loss_per_s.map_or_else(|| format!("< {}", RATES.0), |r| format!("{r:.0}"));
                table.push(&[
                    name.clone(),
                    target.version.clone(),
                    rate,
                    value(Measure::CpuSPerMillion),
                    value(Measure::MemoryPeakMib),
                    value(Measure::StartMs),
                    value(Measure::StopMs),
                    value(Measure::LostPercent),
                ]);
                rates.push((number(names.len()), zero_loss_per_s.unwrap_or(0.0)));
                names.push(name.as_str());
                if let Output::Unseen(why) = &target.output {
                    notes.push(format!("{name}: what it loses can't be seen: {why}"));
                }
                let texts = wrong.iter().map(|text| format!("{name}: {text}"));
                if target.receipt.is_some() {
                    complaints.extend(texts)
                } else {
                    notes.extend(texts)
                }
            }
            Err(why) => {
                table.push(&[name.clone(), target.version.clone(), "-".to_owned()]);
                notes.push(format!("{name}: {why}"));
            }
        }
        json.push(row_json(target, measured));
    }
    let plot = Plot {
        title: "Highest rate without loss".to_owned(),
        x: Axis::names("", &names),
        y: Axis::linear("datagrams a second"),
        series: vec![Series::new("UDP, one message", Mark::Bars, rates)],
    };
    Report {
        name: "peers".to_owned(),
        title: "The same work for every server: counters without tags over UDP".to_owned(),
        notes,
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: Value::Array(json),
        complaints,
    }
}

fn row_json(target: &Target, measured: &Result<Measured, String>) -> Value {
    match measured {
        Ok(Measured { values, zero_loss_per_s, complaints }) => {
            let values: std::collections::BTreeMap<_, _> =
                values.iter().map(|(measure, value)| (measure.name(), value)).collect();
            json!({
                "server": target.name, "version": target.version, "values": values,
                "zero_loss_per_s": zero_loss_per_s, "complaints": complaints,
            })
        }
        Err(why) => json!({ "server": target.name, "version": target.version, "why_not": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn drops_of_a_socket_that_nobody_reads_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(kernel_drops(port).unwrap(), 0);
        let length = Length::Datagrams(20_000);
        let target = sink::Target::Udp(socket.local_addr().unwrap());
        crate::load::run(&LoadOptions::new(target, length)).unwrap();
        assert!(kernel_drops(port).unwrap() > 0);
    }

    #[test]
    fn what_is_not_installed_is_named_with_its_command() {
        let target = Target::parse(
            "x",
            "about=''\ncommand=['/nowhere/x']\ntransports=['udp']\noutput='datadog'\ninstall='do this'",
        );
        let target = target.unwrap();
        assert!(!is_installed(&target, Path::new("/bin/sh")));
        let row = Row { target, measured: Err("not installed: do this".to_owned()) };
        let report = report(&[row]);
        assert_eq!(report.notes, ["x: not installed: do this"]);
        assert!(report.to_string().contains("x"));
    }
}
