//! The highest rate without a loss: the agent beside a receiver that drains one socket, both with the
//! kernel's usual buffers, on all processors and on one.
//!
//! ```text
//!  double the rate until something is lost, or the sender can't send as fast
//!  halve the distance between what was whole and what wasn't until it is small
//! ```

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::burst::BUFFER_ASKED;
use super::contender::{Account, Contender, DrainKind, Trial};
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::Transport;
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

/// What to run.
#[derive(Clone, Debug)]
pub struct ZeroLossOptions {
    /// The agent.
    pub agent: PathBuf,
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
    let contenders = [
        ("one socket, only drained", Contender::Drain(single)),
        ("agent", Contender::Agent(vec![buffer])),
    ];
    let mut rows = Vec::new();
    for (processors, cpus) in [("all", Vec::new()), ("one", vec![0])] {
        for (who, contender) in &contenders {
            let mut search = Search::default();
            while let Some(rate) = search.next() {
                interrupt.check()?;
                screen.status(&format!("{who}, {processors} processors: {rate} a second"));
                search.note(rate, &trial(options, rate, &cpus).run(contender)?);
            }
            rows.push(Row { processors, who, search });
        }
    }
    screen.clear();
    Ok(report(options, &rows))
}

fn trial(options: &ZeroLossOptions, rate: u32, cpus: &[usize]) -> Trial {
    let nowhere = Target::Udp(([127, 0, 0, 1], 0).into());
    let load = LoadOptions {
        rate: Some(Rate::Datagrams(rate.into())),
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
    /// The highest rate at which nothing was lost, as it was really sent.
    whole: f64,
    /// The lowest rate at which something was lost.
    lossy: Option<u32>,
    /// The sender could not send faster: what is whole is a lower bound.
    sender_at_end: bool,
    /// Rate as sent, and the share that was lost.
    tried: Vec<(f64, f64)>,
    last: u32,
}

impl Search {
    /// The rate to try next.
    fn next(&self) -> Option<u32> {
        match self.lossy {
            None if self.sender_at_end => None,
            None => Some(if self.last == 0 { FIRST } else { self.last.saturating_mul(2) }),
            Some(lossy) if f64::from(lossy) <= NEAR * self.whole.max(1_000.0) => None,
            Some(lossy) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate"
                )]
                let middle = f64::midpoint(self.whole, f64::from(lossy)) as u32;
                Some(middle)
            }
        }
    }

    fn note(&mut self, rate: u32, account: &Account) {
        let sent = account.sent_rate();
        self.tried.push((sent, account.lost_share()));
        self.last = rate;
        if account.lost_share() > 0.0 {
            self.lossy = Some(rate);
        } else {
            self.whole = self.whole.max(sent);
            self.sender_at_end |= sent < KEPT * f64::from(rate);
            // Between the two, what the sender can't reach is the end as well.
            if self.sender_at_end {
                self.lossy = None;
            }
        }
    }
}

struct Row<'a> {
    processors: &'static str,
    who: &'a str,
    search: Search,
}

impl Row<'_> {
    fn to_json(&self) -> Value {
        json!({
            "processors": self.processors, "receiver": self.who, "rate": self.search.whole,
            "sender_at_end": self.search.sender_at_end, "tried": self.search.tried,
        })
    }
}

fn report(options: &ZeroLossOptions, rows: &[Row<'_>]) -> Report {
    let headings = ["receiver", "processors", "k/s without a loss", "times one socket"];
    let mut table = Table::new("highest rates", &headings);
    for pair in rows.chunks(2) {
        for row in pair {
            let least = if row.search.sender_at_end { "≥ " } else { "" };
            let times = row.search.whole / pair[0].search.whole;
            table.push(&[
                row.who.to_owned(),
                row.processors.to_owned(),
                format!("{least}{:.1}", row.search.whole / 1e3),
                format!("{least}{times:.1}"),
            ]);
        }
    }
    let series = rows.iter().map(|row| {
        let name = format!("{}, {} cpu", row.who, row.processors);
        let mut points: Vec<_> =
            row.search.tried.iter().map(|(rate, lost)| (rate / 1e3, 100.0 * lost)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series::new(&name, Mark::Line, points)
    });
    let plot = Plot {
        title: "Lost datagrams by rate".to_owned(),
        x: Axis::logarithmic("thousand datagrams a second"),
        y: Axis::linear("lost, %"),
        series: series.collect(),
    };
    Report {
        name: "zero-loss".to_owned(),
        title: "The highest rate without a loss, one message a UDP datagram".to_owned(),
        notes: vec![
            format!(
                "Each rate is sent for {:.0} s. Sockets have the kernel's usual buffer, {} bytes. \
                 ≥: the sender could not send faster.",
                options.time.as_secs_f64(),
                2 * BUFFER_ASKED
            ),
            "A lost datagram is one that the kernel counts as dropped.".to_owned(),
        ],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: rows.iter().map(Row::to_json).collect::<Vec<_>>().into(),
        complaints: Vec::new(),
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
        for limit in [11_000, 45_000, 76_543, 400_000] {
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
        assert!(search.sender_at_end && search.whole > 99_000.0, "{search:?}");
    }
}
