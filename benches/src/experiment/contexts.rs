//! What a message costs the agent by the number of contexts, beside a receiver that only drains.
//!
//! Unix datagrams of up to 8 KiB: their senders wait, so nothing is lost and every context is known
//! before the measured load begins.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::contender::{Account, Contender, DrainKind, Trial};
use super::plot::{Axis, Mark, Plot, Series};
use super::report::{Report, Table};
use super::sidecar::Transport;
use crate::demo::Screen;
use crate::interrupt::Interrupt;
use crate::load::{Length, LoadOptions, Span};
use crate::sink::Target;

/// New contexts that an agent learns in a second at the very least.
const LEARNED_PER_S: u32 = 100_000;

/// What to run.
#[derive(Clone, Debug)]
pub struct ContextsOptions {
    /// The agent.
    pub agent: PathBuf,
    /// Numbers of contexts.
    pub contexts: Vec<u32>,
    /// How long each receiver is loaded.
    pub time: Duration,
}

struct Row {
    contexts: u32,
    drain: Account,
    agent: Account,
}

/// Runs both for each number.
///
/// # Errors
///
/// A receiver could not be started, or it was interrupted.
pub fn run(
    options: &ContextsOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> io::Result<Report> {
    let mut rows = Vec::new();
    // The default would refuse the last of a million.
    let settings = vec![("LASTDROP_CONTEXT_BYTES".to_owned(), "4GiB".to_owned())];
    let drain = Contender::Drain(DrainKind { single: false, receive_buffer_bytes: None });
    let agent = Contender::Agent(settings);
    for &contexts in &options.contexts {
        interrupt.check()?;
        screen.status(&format!("{contexts} contexts"));
        let trial = trial(options, contexts);
        rows.push(Row { contexts, drain: trial.run(&drain)?, agent: trial.run(&agent)? });
    }
    screen.clear();
    Ok(report(options, &rows))
}

fn trial(options: &ContextsOptions, contexts: u32) -> Trial {
    let nowhere = Target::Udp(([127, 0, 0, 1], 0).into());
    let learn = Duration::from_secs(1 + u64::from(contexts / LEARNED_PER_S));
    Trial {
        agent: options.agent.clone(),
        transport: Transport::UnixDatagram,
        load: LoadOptions {
            contexts,
            tags: Span::only(4),
            messages: u32::MAX,
            datagram_bytes: 8_192,
            ..LoadOptions::new(nowhere, Length::Time(options.time))
        },
        warm_up: Some(learn),
        cpus: Vec::new(),
    }
}

fn report(options: &ContextsOptions, rows: &[Row]) -> Report {
    let headings = ["contexts", "M messages/s", "CPU s/M", "only drained", "worker M/CPU s", "MiB"];
    let mut table = Table::new("", &headings);
    let mut json_rows = Vec::new();
    let mut complaints = Vec::new();
    for Row { contexts, drain, agent } in rows {
        let workers = agent.worker_millions().unwrap_or(f64::NAN);
        #[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
        let mib = agent.rss_bytes as f64 / f64::from(1 << 20);
        table.push(&[
            contexts.to_string(),
            format!("{:.2}", agent.messages() / agent.load.seconds / 1e6),
            format!("{:.3}", agent.cpu_s_per_million()),
            format!("{:.3}", drain.cpu_s_per_million()),
            format!("{workers:.2}"),
            format!("{mib:.0}"),
        ]);
        json_rows.push(json!({
            "contexts": contexts, "messages": agent.messages(), "seconds": agent.load.seconds,
            "cpu_s_per_million": agent.cpu_s_per_million(),
            "drain_cpu_s_per_million": drain.cpu_s_per_million(),
            "worker_millions_per_cpu_s": workers, "rss_bytes": agent.rss_bytes,
        }));
        if agent.unaccounted() > 0 {
            complaints.push(format!("{contexts} contexts: {} not accounted", agent.unaccounted()));
        }
    }
    let points = |value: fn(&Row) -> f64| {
        rows.iter().map(|row| (f64::from(row.contexts), value(row))).collect()
    };
    let plot = Plot {
        title: "Processor time of a million messages".to_owned(),
        x: Axis::logarithmic("contexts"),
        y: Axis::linear("seconds"),
        series: vec![
            Series::new("agent", Mark::Line, points(|row| row.agent.cpu_s_per_million())),
            Series::new("only drained", Mark::Line, points(|row| row.drain.cpu_s_per_million())),
        ],
    };
    Report {
        name: "contexts".to_owned(),
        title: "What a message costs by the number of contexts".to_owned(),
        notes: vec![format!(
            "Counters with 4 tags in unix datagrams of up to 8 KiB, flat out for {:.0} s each, after \
             a load in which the contexts became known. A window of 10 s holds the end of one slot, and \
             with it a flush of all contexts.",
            options.time.as_secs_f64()
        )],
        tables: vec![table],
        plots: vec![(String::new(), plot)],
        json: json_rows.into(),
        complaints,
    }
}
