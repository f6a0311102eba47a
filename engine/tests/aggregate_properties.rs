//! What holds for all samples, all interleavings and any number of workers.
//!
//! A scenario is what a receiver does: datagrams, closes and flushes, in the order in which it does
//! them. A schedule decides which worker gets which datagram, and who runs when.

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::inline::{Finished, Inline};
use lastdrop_engine::ledger::Balance;
use lastdrop_engine::merge::{Incomplete, Item, MergeSettings};
use lastdrop_engine::series::SeriesKind;
use lastdrop_engine::time::{NS_PER_S, Slot, Stamp};
use lastdrop_engine::worker::WorkerSettings;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

/// What a receiver does.
#[derive(Clone, Debug)]
enum Step {
    Sample(Sample),
    /// Time goes on by so many milliseconds.
    Pass(u64),
    /// The slots that have ended are closed.
    Close,
    Flush,
}

#[derive(Clone, Debug)]
struct Sample {
    line: &'static str,
    value: i32,
    /// Milliseconds by which it arrived before it was read.
    late_ms: u64,
    /// Its own time, in seconds from now.
    own_s: Option<i64>,
}

/// Lines with a place for the value; each name has one type. Sums of their values are exact.
const LINES: [&str; 10] = [
    "c.a:{}0|c",
    "c.a:{}0|c|@0.5|#x:y",
    "c.b:{}0|c",
    "g.a:{}|g",
    "g.b:{}|g|#b,a",
    "s.a:{}|s",
    "h.a:{}|h",
    "h.a:{}|ms|@0.25",
    "d.a:{}|d",
    "d.a:{}|d|@0.5",
];

/// Lines with a time of their own stand apart: a late one does overwrite a point.
const TIMED_LINES: [&str; 3] = ["timed.c:{}0|c", "timed.g:{}|g", "timed.d:{}|d"];

fn sample() -> impl Strategy<Value = Sample> {
    let late_ms = prop_oneof![4 => Just(0_u64), 1 => 0_u64..15_000];
    let untimed = (select(&LINES[..]), Just(None));
    let timed = (select(&TIMED_LINES[..]), (-40_i64..40).prop_map(Some));
    let line = prop_oneof![6 => untimed, 1 => timed];
    (line, -8_i32..8, late_ms).prop_map(|((line, own_s), value, late_ms)| Sample {
        line,
        value,
        late_ms,
        own_s,
    })
}

fn scenario() -> impl Strategy<Value = Vec<Step>> {
    let pass = prop_oneof![6 => 0_u64..4_000, 1 => 0_u64..60_000];
    let step = prop_oneof![
        10 => sample().prop_map(Step::Sample),
        4 => pass.prop_map(Step::Pass),
        3 => Just(Step::Close),
        1 => Just(Step::Flush),
    ];
    vec(step, 0..80)
}

/// Where a run starts, in milliseconds since 1970.
const START_MS: u64 = 1_000_000;

/// Everything that left the engine: value by kind of row, name, host, unit and time. Of what came
/// twice the second is kept apart.
#[derive(Debug, Default, PartialEq)]
struct Shipped {
    rows: BTreeMap<(String, i64), String>,
    again: BTreeSet<String>,
    /// Sum of all points of counters, times the length of a slot.
    counted: f64,
}

impl Shipped {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Series(series) | Item::Passed(series) => {
                let tags: Vec<_> = series.tags.iter().collect();
                let [point] = series.points else { panic!("one point a series") };
                let key = format!("{:?} {} {tags:?} {}", series.kind, series.name, series.unit);
                self.insert(series.name, key, point.second, format!("{:?}", point.value));
                if series.kind == SeriesKind::Rate && series.name.starts_with("c.") {
                    self.counted += point.value * 10.0;
                }
            }
            Item::Sketch(sketches) => {
                let [point] = sketches.points else { panic!("one point a sketch") };
                let sum = point.summary;
                // The mean runs along: its last bits depend on the order.
                let value = format!(
                    "{} {:?} {:?} {:?} {:?}",
                    sum.count, sum.min, sum.max, sum.sum, point.bins
                );
                self.insert(
                    sketches.name,
                    format!("sketch {}", sketches.name),
                    point.second,
                    value,
                );
            }
            Item::Events(_) | Item::ServiceChecks(_) => {}
        }
    }

    fn insert(&mut self, name: &str, key: String, second: i64, value: String) {
        assert!(second >= 0);
        if self.rows.insert((key, second), value).is_some() {
            self.again.insert(name.to_owned());
        }
    }
}

/// Runs a scenario. `choices` are the schedule: used up one by one, then from the start again.
fn run(
    workers: usize,
    scenario: &[Step],
    choices: &[u8],
    incomplete: Incomplete,
) -> (Shipped, Finished) {
    let mut engine = Inline::new(workers, &WorkerSettings::default(), merge_settings(incomplete));
    let mut choices = choices.iter().copied().map(usize::from).cycle();
    let mut choose = |below: usize| choices.next().unwrap_or(0) % below;
    let mut shipped = Shipped::default();
    let mut now_ms = START_MS;
    for (index, step) in (0..).zip(scenario) {
        let at = Stamp::from_ns(now_ms * 1_000_000);
        match step {
            Step::Sample(sample) => {
                // No two arrive at the same time.
                let ns = (now_ms - sample.late_ms) * 1_000_000 + index;
                let line = sample.line(now_ms);
                engine.push(choose(workers), &datagram(&line, Stamp::from_ns(ns)));
            }
            Step::Pass(ms) => now_ms += ms,
            Step::Close => engine.close(at.slot(), at),
            Step::Flush => engine.flush(at),
        }
        for _ in 0..choose(4) {
            match choose(workers + 2) {
                0 => engine.take_in(),
                1 => _ = engine.flush_closed(&mut |item| shipped.take(item)),
                worker => _ = engine.turn(worker - 2),
            }
        }
    }
    let end = Stamp::from_ns(now_ms * 1_000_000);
    let finished = engine.finish(end, &mut |item| shipped.take(item));
    (shipped, finished)
}

impl Sample {
    fn line(&self, now_ms: u64) -> String {
        let line = self.line.replace("{}", &self.value.to_string());
        match self.own_s {
            None => line,
            Some(own_s) => {
                format!("{line}|T{}", now_ms.cast_signed() / 1000 + own_s)
            }
        }
    }
}

fn datagram(line: &str, stamp: Stamp) -> Datagram<'_> {
    Datagram { bytes: line.as_bytes(), stamp, transport: Transport::Udp, extent: Extent::Whole }
}

fn merge_settings(incomplete: Incomplete) -> MergeSettings {
    MergeSettings { counter_expiry_s: 30, incomplete, ..MergeSettings::default() }
}

fn check_ledger(finished: &Finished) {
    for balance in finished.balances() {
        assert!(Balance::holds(&balance), "{balance:?}");
    }
    let refused: u64 = finished.workers.refused.iter().sum();
    assert_eq!(refused, 0);
}

proptest! {
    /// For all scenarios and schedules: one, two and four workers make the same series and sketches
    /// at the same times, zeros included, and nothing is lost.
    #[test]
    fn the_outcome_does_not_depend_on_workers_and_their_turns(
        scenario in scenario(),
        choices in vec(any::<u8>(), 1..200),
        incomplete in select(&[Incomplete::Shipped, Incomplete::Dropped][..]),
    ) {
        let (expected, alone) = run(1, &scenario, &[0], incomplete);
        check_ledger(&alone);
        for workers in [1, 2, 4] {
            let (shipped, finished) = run(workers, &scenario, &choices, incomplete);
            check_ledger(&finished);
            prop_assert_eq!(&shipped, &expected, "{} workers", workers);
            prop_assert_eq!(finished.workers.aggregated, alone.workers.aggregated);
            prop_assert_eq!(finished.workers.late_overwrite, alone.workers.late_overwrite);
            prop_assert_eq!(finished.merge.points, alone.merge.points);
        }
    }

    /// For all scenarios and schedules: a series has one point a second, save where a sample that
    /// says its own time comes after that was shipped; and such a sample is counted.
    #[test]
    fn no_point_ships_twice(
        scenario in scenario(),
        choices in vec(any::<u8>(), 1..200),
        workers in 1_usize..4,
    ) {
        let (shipped, finished) = run(workers, &scenario, &choices, Incomplete::Shipped);
        check_ledger(&finished);
        let untimed: Vec<_> = shipped.again.iter().filter(|n| !n.starts_with("timed.")).collect();
        prop_assert!(untimed.is_empty(), "{:?}", untimed);
        prop_assert!(shipped.again.is_empty() || finished.workers.late_overwrite > 0);
    }

    /// For all scenarios and schedules: what counters were sent is what their points add up to.
    #[test]
    fn counters_are_conserved(
        scenario in scenario(),
        choices in vec(any::<u8>(), 1..200),
        workers in 1_usize..4,
    ) {
        let (shipped, _) = run(workers, &scenario, &choices, Incomplete::Shipped);
        let sent = scenario.iter().map(|step| match step {
            Step::Sample(sample) if sample.line.starts_with("c.") => {
                let inverse_rate = if sample.line.contains('@') { 2.0 } else { 1.0 };
                f64::from(sample.value) * 10.0 * inverse_rate
            }
            _ => 0.0,
        });
        prop_assert_eq!(shipped.counted, sent.sum::<f64>());
    }

    /// For all stamps, be they equal, far in the future or an hour back, and all marks: no sample is
    /// lost and no point ships twice.
    #[test]
    fn no_clock_loses_a_sample_or_ships_a_slot_twice(
        steps in vec((0_u8..8, prop_oneof![
            Just(0_i64), Just(1), Just(-1), Just(3600), Just(-3600), -20_i64..20,
        ]), 0..100),
        workers in 1_usize..4,
    ) {
        let mut engine =
            Inline::new(workers, &WorkerSettings::default(), merge_settings(Incomplete::Shipped));
        let mut shipped = Shipped::default();
        let (mut wall_s, mut line_s, mut sent) = (10_000_u64, 10_000_u64, 0.0);
        for (index, (action, step_s)) in steps.into_iter().enumerate() {
            wall_s = wall_s.saturating_add_signed(step_s);
            // Marks are made on the agent's time line, which never runs back.
            line_s = line_s.max(wall_s);
            let at = Stamp::from_s(line_s);
            match action {
                0 => engine.close(at.slot(), at),
                1 => engine.flush(at),
                _ => {
                    engine.push(index % workers, &datagram("c.a:10|c", Stamp::from_s(wall_s)));
                    sent += 10.0;
                }
            }
            if action % 3 == 0 {
                engine.run(&mut |item| shipped.take(item));
                let (counts, _) = engine.counts();
                prop_assert_eq!(counts.samples, counts.aggregated);
            }
        }
        let finished = engine.finish(Stamp::from_s(line_s), &mut |item| shipped.take(item));
        check_ledger(&finished);
        prop_assert_eq!(shipped.counted, sent);
        prop_assert!(shipped.again.is_empty(), "{:?}", shipped.again);
    }
}

#[test]
fn of_equal_stamps_the_later_position_wins() {
    let mut engine =
        Inline::new(1, &WorkerSettings::default(), merge_settings(Incomplete::Shipped));
    let stamp = Stamp::from_ns(1003 * NS_PER_S);
    engine.push(0, &datagram("g.a:1|g\ng.a:2|g", stamp));
    engine.push(0, &datagram("g.a:3|g", stamp));
    engine.push(0, &datagram("g.a:4|g", Stamp::from_ns(1003 * NS_PER_S - 1)));
    let mut shipped = Shipped::default();
    engine.finish(Stamp::from_s(1010), &mut |item| shipped.take(item));
    assert_eq!(shipped.rows.values().collect::<Vec<_>>(), ["3.0"]);
}

/// For all orders of arrival: the type that came first owns the slot, and what another worker holds
/// of another type is counted.
#[test]
fn of_two_workers_types_the_first_to_arrive_stays() {
    for (gauge_s, kept) in [(1001, "Gauge m"), (1003, "Rate m")] {
        let mut engine =
            Inline::new(2, &WorkerSettings::default(), merge_settings(Incomplete::Shipped));
        engine.push(0, &datagram("m:1|d", Stamp::from_s(1000)));
        engine.push(0, &datagram("m:5|g", Stamp::from_s(gauge_s)));
        engine.push(1, &datagram("m:70|c", Stamp::from_s(1002)));
        let mut shipped = Shipped::default();
        let finished = engine.finish(Stamp::from_s(1010), &mut |item| shipped.take(item));
        assert_eq!(finished.merge.type_conflict, 1);
        check_ledger(&finished);
        let series: Vec<_> =
            shipped.rows.keys().filter(|(key, _)| !key.contains("sketch")).collect();
        assert!(series.iter().all(|(key, _)| key.starts_with(kept)), "{series:?}");
        assert_eq!(series.len(), 1);
    }
}

#[test]
fn the_parts_of_a_slot_have_seconds_of_their_own_and_the_last_is_for_the_close() {
    let mut engine =
        Inline::new(2, &WorkerSettings::default(), merge_settings(Incomplete::Shipped));
    let mut shipped = Shipped::default();
    let at = Stamp::from_s(1004);
    for part in 0..12 {
        engine.push(part % 2, &datagram("c.a:10|c", at));
        engine.flush(at);
        engine.run(&mut |item| shipped.take(item));
    }
    engine.close(Slot::containing(1010), Stamp::from_s(1011));
    engine.run(&mut |item| shipped.take(item));
    let points: Vec<_> =
        shipped.rows.iter().map(|((_, second), value)| (*second, value.as_str())).collect();
    let parts = [1000, 1004, 1005, 1006, 1007, 1008].map(|second| (second, "1.0"));
    assert_eq!(points[..6], parts);
    assert_eq!(points[6..], [(1009, "6.0")]);
}
