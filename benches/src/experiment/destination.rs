//! Where a measured server sends, and how much of the load has arrived there.

use std::io;

use super::target::{Graphite as Form, GraphiteValue, Output};
use crate::graphite::Graphite;
use crate::intake::{Intake, IntakeOptions, Script, Totals};

/// An embedded intake.
#[derive(Debug)]
pub(super) enum Destination {
    Datadog(Intake),
    Graphite(Graphite, Form),
    Unseen,
}

/// What arrived of the load, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Arrived {
    /// Increments of counters.
    pub(super) increments: f64,
    /// Samples of histograms, timings and distributions.
    pub(super) samples: f64,
    pub(super) events: f64,
    pub(super) checks: f64,
}

impl Destination {
    pub(super) fn start(output: &Output, script: Script) -> io::Result<Self> {
        match output {
            Output::Datadog => {
                let options = IntakeOptions { script, ..IntakeOptions::default() };
                Ok(Self::Datadog(Intake::start(options)?))
            }
            Output::Graphite(form) => Ok(Self::Graphite(Graphite::start()?, form.clone())),
            Output::Unseen(_) => Ok(Self::Unseen),
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Datadog(intake) => intake.url(),
            Self::Graphite(graphite, _) => format!("tcp://{}", graphite.address()),
            Self::Unseen => String::new(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Datadog(intake) => intake.address().port(),
            Self::Graphite(graphite, _) => graphite.address().port(),
            Self::Unseen => 0,
        }
    }

    /// Counts what arrived, if that can be seen; the server is gone.
    pub(super) fn arrived(&mut self) -> Option<Arrived> {
        match self {
            Self::Datadog(intake) => Some(of_totals(&intake.totals())),
            Self::Graphite(graphite, form) => {
                let said = graphite.finish();
                let counters = said.iter().filter(|(path, _)| {
                    path.contains("load.count.") && path.ends_with(&form.suffix)
                });
                let increments = counters.map(|(_, said)| match form.value {
                    GraphiteValue::Increments => said.sum,
                    GraphiteValue::Total => said.last,
                });
                Some(Arrived { increments: increments.sum(), ..Arrived::default() })
            }
            Self::Unseen => None,
        }
    }
}

pub(super) fn of_totals(totals: &Totals) -> Arrived {
    // Of histograms the intake gets several series; the one with the number of samples is a rate.
    let counted = ["load.histogram.", "load.timing."].map(|prefix| totals.under(prefix).count);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let [sketched, events, checks] =
        [totals.under("load.").sketch_count, totals.events, totals.checks]
            .map(|count| count as f64);
    Arrived {
        increments: totals.under("load.count.").count,
        samples: counted.iter().sum::<f64>() + sketched,
        events,
        checks,
    }
}
