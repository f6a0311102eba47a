//! The highest rate without a loss: the agent beside a receiver that drains one socket, both with the
//! kernel's usual buffers, on all processors and on one.
//!
//! ```text
//!  double the rate until something is lost, or the sender can't send as fast
//!  halve the distance between what was whole and what wasn't until it is small
//! ```
//!
//! A hiccup of the machine ends a search early: so there are several, ratios are formed within a
//! round, and the medians count.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::burst::BUFFER_ASKED;
use super::contender::{Account, Contender, DrainKind, Trial};
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::Transport;
use super::stats::median;
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Length, LoadOptions, Rate};
use crate::sink::Target;

/// The first rate that is tried: so much every receiver bears.
const FIRST: u32 = 10_000;

/// The sender keeps a rate if it comes so near.
const KEPT: f64 = 0.95;

/// The search ends when the two rates are so near.
const NEAR: f64 = 1.05;

/// As fast as the sender can: what is sent once when it has come to its end at a rate, for a paced
/// sender that shares its processor falls short of rates that it reaches unpaced.
const FLAT_OUT: u32 = u32::MAX;

/// Below this nobody looks for the limit.
const LEAST: u32 = 1_000;

/// The two receivers: first what the other stands beside.
const RECEIVERS: [&str; 2] = ["one socket, only drained", "agent"];

/// Where both run: a name, and the processors.
const PLACES: [(&str, &[usize]); 2] = [("all", &[]), ("one", &[0])];

/// What to run.
#[derive(Clone, Debug)]
pub struct ZeroLossOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Searches of each, at least 1.
    pub rounds: u32,
    /// Threads that send, each with a socket of its own.
    pub senders: u32,
    /// How long each rate is sent.
    pub time: Duration,
}

/// Searches.
///
/// # Errors
///
/// A receiver could not be started, or it was interrupted.
pub fn run(
    options: &ZeroLossOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let buffer = ("DD_DOGSTATSD_SO_RCVBUF".to_owned(), BUFFER_ASKED.to_string());
    let single = DrainKind { single: true, receive_buffer_bytes: Some(BUFFER_ASKED) };
    let contenders = [Contender::Drain(single), Contender::Agent(vec![buffer])];
    let mut rows = PLACES.map(|(processors, _)| Row { processors, rounds: Vec::new() });
    for round in 1..=options.rounds.max(1) {
        for (row, (processors, cpus)) in rows.iter_mut().zip(PLACES) {
            let mut pair = [Search::default(), Search::default()];
            for (search, (who, contender)) in pair.iter_mut().zip(RECEIVERS.iter().zip(&contenders))
            {
                while let Some(rate) = search.next() {
                    interrupt.check()?;
                    let how = match rate {
                        FLAT_OUT => "flat out".to_owned(),
                        _ => format!("{rate} a second"),
                    };
                    screen.status(&format!("round {round}: {who}, {processors} processors: {how}"));
                    search.note(rate, &trial(options, rate, cpus).run(contender)?);
                }
            }
            row.rounds.push(pair);
        }
    }
    screen.clear();
    Ok(report(options, &rows))
}

fn trial(options: &ZeroLossOptions, rate: u32, cpus: &[usize]) -> Trial {
    let nowhere = Target::Udp(([127, 0, 0, 1], 0).into());
    let load = LoadOptions {
        rate: (rate != FLAT_OUT).then(|| Rate::Datagrams(rate.into())),
        senders: options.senders,
        ..LoadOptions::new(nowhere, Length::Time(options.time))
    };
    Trial {
        agent: options.agent.clone(),
        transport: Transport::Udp,
        load,
        warm_up: None,
        cpus: cpus.to_vec(),
    }
}

/// What is known of one receiver.
#[derive(Clone, Debug, Default)]
struct Search {
    /// The highest rate asked for at which nothing was lost; 0 for none.
    held: u32,
    /// The highest rate really sent at which nothing was lost.
    whole: f64,
    /// The lowest rate asked for at which something was lost.
    lossy: Option<u32>,
    /// Times in a row that the sender fell short of the rate without a loss. The second time it is
    /// no hiccup but its end, and what is whole is a lower bound.
    short: u32,
    /// The rate that it fell short of.
    short_of: u32,
    /// It was sent flat out: the end.
    flat_out: bool,
    /// Rate as sent, and the share that was lost.
    tried: Vec<(f64, f64)>,
}

impl Search {
    /// The rate to try next.
    fn next(&self) -> Option<u32> {
        match self.lossy {
            _ if self.flat_out => None,
            _ if self.sender_at_end() => Some(FLAT_OUT),
            _ if self.short > 0 => Some(self.short_of),
            None => Some(self.held.saturating_mul(2).max(FIRST)),
            Some(lossy) if f64::from(lossy) <= NEAR * f64::from(self.held.max(LEAST)) => None,
            // Strictly between the two, which are at least a twentieth apart: the search ends.
            Some(lossy) => Some(self.held.midpoint(lossy)),
        }
    }

    fn note(&mut self, rate: u32, account: &Account) {
        let sent = account.sent_rate();
        self.tried.push((sent, account.lost_share()));
        self.flat_out = rate == FLAT_OUT;
        if self.flat_out {
            // A loss at this rate says nothing of those in between: a lower bound in any case.
            if account.lost_share() == 0.0 {
                self.whole = self.whole.max(sent);
            }
            return;
        }
        if account.lost_share() > 0.0 {
            self.lossy = Some(rate);
            self.short = 0;
            return;
        }
        self.whole = self.whole.max(sent);
        if sent < KEPT * f64::from(rate) {
            self.short += 1;
            self.short_of = rate;
        } else {
            self.held = rate;
            self.short = 0;
        }
    }

    fn sender_at_end(&self) -> bool {
        self.short == 2
    }
}

/// The searches at one place, round by round, as [`RECEIVERS`].
struct Row {
    processors: &'static str,
    rounds: Vec<[Search; 2]>,
}

impl Row {
    /// The median over the rounds.
    fn median(&self, value: impl Fn(&[Search; 2]) -> f64) -> f64 {
        let values: Vec<f64> = self.rounds.iter().map(value).collect();
        median(&values).unwrap_or(f64::NAN)
    }

    fn times(&self) -> f64 {
        self.median(|[single, agent]| agent.whole / single.whole)
    }

    /// True if a sender was at its end in any round: then the median is a lower bound.
    fn is_least(&self, receiver: usize) -> bool {
        self.rounds.iter().any(|pair| pair[receiver].sender_at_end())
    }

    /// Nothing was borne at all: no figure.
    fn complaint(&self) -> Option<String> {
        let times = self.times();
        let text = || format!("{} processors: no rate without a loss", self.processors);
        (!(times.is_finite() && times > 0.0)).then(text)
    }

    fn to_json(&self) -> Value {
        let search = |search: &Search| {
            json!({
                "rate": search.whole, "sender_at_end": search.sender_at_end(),
                "tried": search.tried,
            })
        };
        let rounds = self.rounds.iter();
        let rounds = rounds
            .map(|[single, agent]| json!({ "one_socket": search(single), "agent": search(agent) }));
        json!({
            "processors": self.processors,
            "one_socket_rate": self.median(|pair| pair[0].whole),
            "agent_rate": self.median(|pair| pair[1].whole),
            "times": self.times(), "at_least": self.is_least(1),
            "rounds": rounds.collect::<Vec<_>>(),
        })
    }
}

fn report(options: &ZeroLossOptions, rows: &[Row]) -> Report {
    let headings = ["receiver", "processors", "k/s without a loss", "times one socket"];
    let mut table = Table::new("highest rates", &headings);
    let mut series = Vec::new();
    for row in rows {
        for (receiver, who) in RECEIVERS.iter().enumerate() {
            let least = if row.is_least(receiver) { "≥ " } else { "" };
            let times = if receiver == 0 { 1.0 } else { row.times() };
            let rate = row.median(|pair| pair[receiver].whole);
            table.push(&[
                (*who).to_owned(),
                row.processors.to_owned(),
                format!("{least}{:.1}", rate / 1e3),
                format!("{least}{times:.1}"),
            ]);
            let tried = row.rounds.iter().flat_map(|pair| &pair[receiver].tried);
            let points = tried.map(|(rate, lost)| (rate / 1e3, 100.0 * lost)).collect();
            let name = format!("{who}, {} cpu", row.processors);
            series.push(Series::new(&name, Mark::Dots, points));
        }
    }
    let plot = Plot {
        title: "Lost datagrams by rate".to_owned(),
        x: Axis::logarithmic("thousand datagrams a second"),
        y: Axis::linear("lost, %"),
        series,
    };
    Report {
        name: "zero-loss".to_owned(),
        title: "The highest rate without a loss, one message a UDP datagram".to_owned(),
        notes: vec![
            format!(
                "Medians of {} searches, ratios formed within each. A rate is sent for {:.1} s by \
                 {} sender(s). Sockets have the kernel's usual buffer, {} bytes. ≥: the sender \
                 could not send faster.",
                options.rounds,
                options.time.as_secs_f64(),
                options.senders,
                2 * BUFFER_ASKED
            ),
            "A lost datagram is one that the kernel counts as dropped.".to_owned(),
        ],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: rows.iter().map(Row::to_json).collect::<Vec<_>>().into(),
        complaints: rows.iter().filter_map(Row::complaint).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadReport;

    fn account(sent: u64, dropped: u64) -> Account {
        let load = LoadReport { datagrams: sent, seconds: 1.0, ..LoadReport::default() };
        Account { load, received: sent - dropped, dropped, ..Account::default() }
    }

    /// For a receiver that bears so much: the search ends near it, from below.
    #[test]
    fn the_limit_is_found_from_below() {
        for limit in [2_000, 11_000, 45_000, 76_543, 400_000] {
            let mut search = Search::default();
            while let Some(rate) = search.next() {
                search.note(rate, &account(rate.into(), u64::from(rate.saturating_sub(limit))));
            }
            let found = search.whole / f64::from(limit);
            assert!((1.0 / NEAR..=1.0).contains(&found), "{limit}: {search:?}");
        }
    }

    #[test]
    fn a_slow_sender_ends_the_search() {
        let mut search = Search::default();
        while let Some(rate) = search.next() {
            search.note(rate, &account(u64::from(rate.min(100_000)), 0));
        }
        assert!(search.sender_at_end() && search.whole > 99_000.0, "{search:?}");
    }

    /// A sender that stays a little below what it is asked for doesn't keep the search going.
    #[test]
    fn the_search_ends_with_a_sender_that_is_never_quite_as_fast() {
        let mut search = Search::default();
        while let Some(rate) = search.next() {
            let sent = u64::from(rate) * 96 / 100;
            search.note(rate, &account(sent, u64::from(rate > 103_000)));
            assert!(search.tried.len() < 30, "{search:?}");
        }
        assert!((94_000.0..=99_000.0).contains(&search.whole), "{search:?}");
    }

    /// A sender that falls short once is asked again.
    #[test]
    fn a_hiccup_of_the_sender_is_not_its_end() {
        let mut search = Search::default();
        let mut stumbled = false;
        while let Some(rate) = search.next() {
            let stumbles = rate == 2 * FIRST && !std::mem::replace(&mut stumbled, true);
            let sent = if stumbles { rate / 2 } else { rate };
            search.note(rate, &account(sent.into(), u64::from(rate > 100_000)));
        }
        assert!(search.whole > 95_000.0 && !search.sender_at_end(), "{search:?}");
    }

    /// A paced sender that can't get its processor often enough sends more when it doesn't pause.
    #[test]
    fn at_its_end_the_sender_goes_flat_out() {
        for (dropped, expected) in [(0, 300_000.0), (1, 45_000.0)] {
            let mut search = Search::default();
            while let Some(rate) = search.next() {
                match rate {
                    FLAT_OUT => search.note(rate, &account(300_000, dropped)),
                    paced => search.note(paced, &account(paced.min(45_000).into(), 0)),
                }
            }
            assert!(search.sender_at_end(), "{search:?}");
            assert!((search.whole - expected).abs() < 1.0, "{search:?}");
        }
    }
}
