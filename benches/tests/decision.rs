//! The rule of `bench ab` on replicas that were really measured: how often it calls a build worse than
//! itself, and how often it finds one that is.
//!
//! `raw/*.json` are reports of `bench run` with 40 replicas of one build (`docs/benchmarks.md` says
//! how to record them anew). Both sides of a comparison are drawn from the same replicas, each as
//! often as it comes; the second is then scaled to what a worse or a better build would have shown.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastdrop_lab::experiment::compare::{Rule, Verdict};
use lastdrop_lab::experiment::measure::Measure;
use lastdrop_lab::experiment::stats::{number, resample};
use lastdrop_lab::load::Random;
use serde_json::Value;

/// Comparisons of each kind.
const COMPARISONS: usize = 1_000;

/// Replicas of a side, as `bench ab` has them by default.
const REPLICAS: usize = 10;

/// Called a regression although nothing has changed: of 100 comparisons at most so many. Half of
/// what a 90 % interval leaves out.
const FALSE_ALARMS_MAX: f64 = 5.0;

/// 50,000 one-message datagrams a second: what a change of the hot path is judged by.
const STEADY: &str = include_str!("raw/small_messages_udp.json");

/// Windows of 3 s, of which some hold the flush of a 10 s slot and some don't.
const ERRATIC: &str = include_str!("raw/short_windows.json");

/// The values of a measure in the replicas of a report.
fn recorded(report: &str, measure: Measure) -> Vec<f64> {
    let report: Value = serde_json::from_str(report).unwrap();
    let replicas = report["found"]["experiments"][0]["replicas"].as_array().unwrap();
    let values = replicas.iter().map(|replica| replica["values"][measure.name()].as_f64().unwrap());
    let values: Vec<f64> = values.collect();
    assert!(values.len() >= 40, "{measure}: {} replicas", values.len());
    values
}

/// How many of 100 comparisons end so, if the second side is so many times the first.
struct Shares([f64; 4]);

impl Shares {
    fn of(values: &[f64], measure: Measure, replicas: usize, times: f64) -> Self {
        let mut random = Random::new(1);
        let mut verdicts = Vec::new();
        for _ in 0..COMPARISONS {
            let baseline = resample(values, replicas, &mut random);
            let comparison: Vec<f64> =
                resample(values, replicas, &mut random).iter().map(|value| value * times).collect();
            verdicts.push(Rule::default().judge(measure, &baseline, &comparison).verdict);
        }
        let share = |verdict| {
            let count = verdicts.iter().filter(|&&found| found == verdict).count();
            100.0 * number(count) / number(COMPARISONS)
        };
        let all =
            [Verdict::Same, Verdict::Improvement, Verdict::Regression, Verdict::Erratic].map(share);
        println!(
            "{measure}, {replicas} replicas, ×{times}: same, better, worse, erratic: {all:?} %"
        );
        Self(all)
    }

    fn better(&self) -> f64 {
        self.0[1]
    }

    fn worse(&self) -> f64 {
        self.0[2]
    }

    fn erratic(&self) -> f64 {
        self.0[3]
    }
}

const STEADY_MEASURES: [Measure; 3] =
    [Measure::CpuSPerMillion, Measure::MemoryPeakMib, Measure::MessagesPerS];

#[test]
fn a_build_is_rarely_called_worse_than_itself() {
    for measure in STEADY_MEASURES {
        let values = recorded(STEADY, measure);
        for replicas in [6, REPLICAS, 2 * REPLICAS] {
            let shares = Shares::of(&values, measure, replicas, 1.0);
            assert!(shares.worse() <= FALSE_ALARMS_MAX, "{measure}: {} %", shares.worse());
            assert!(shares.better() <= FALSE_ALARMS_MAX, "{measure}: {} %", shares.better());
        }
    }
}

/// Of 100 builds that cost a tenth more nearly all are found, and so are those that cost a tenth
/// less.
#[test]
fn a_tenth_more_is_found_and_a_tenth_less_too() {
    for measure in STEADY_MEASURES {
        let values = recorded(STEADY, measure);
        for (replicas, found_min) in [(REPLICAS, 95.0), (2 * REPLICAS, 99.0)] {
            let [more, less] =
                [1.1, 0.9].map(|times| Shares::of(&values, measure, replicas, times));
            let (worse, better) =
                if measure.is_better_higher() { (less, more) } else { (more, less) };
            assert!(worse.worse() >= found_min, "{measure}: {} % are found", worse.worse());
            assert!(better.better() >= found_min, "{measure}: {} % are found", better.better());
            assert!(worse.better() + better.worse() == 0.0, "{measure}: the wrong way");
        }
    }
}

/// What scatters by a fifth is not judged, whether or not something has changed: neither a false
/// alarm nor a false all-clear.
#[test]
fn what_scatters_is_called_erratic() {
    let values = recorded(ERRATIC, Measure::CpuSPerMillion);
    for times in [1.0, 1.1] {
        let shares = Shares::of(&values, Measure::CpuSPerMillion, REPLICAS, times);
        assert!(shares.erratic() >= 95.0, "{} %", shares.erratic());
        assert!(shares.worse() <= FALSE_ALARMS_MAX, "{} %", shares.worse());
    }
}
