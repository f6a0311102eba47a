//! The table of pauses, the breaker's transitions, and a fleet that never moves in step.

use super::*;

const SEEDS: u64 = 10_000;

fn running(seed: u64) -> Backoff {
    Backoff::new(BackoffSettings::default(), Rng::from_seed(seed))
}

fn stopping(seed: u64, deadline: Instant) -> Backoff {
    let mut backoff = running(seed);
    backoff.begin_stop(deadline);
    backoff
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// For all seeds: each pause lies in the range of its row, and the longest is exact.
#[test]
fn the_pause_doubles_with_each_failure_up_to_the_longest() {
    let now = Instant::now();
    for seed in 0..SEEDS {
        let mut backoff = running(seed);
        assert_eq!(backoff.pause(0, now), Duration::ZERO);
        for (failures, from, to) in [(1, 2, 4), (2, 4, 8), (3, 8, 16), (4, 16, 32), (5, 32, 64)] {
            let pause = backoff.pause(failures, now);
            assert!((s(from)..s(to)).contains(&pause), "seed {seed}, {failures}: {pause:?}");
        }
        for failures in [6, 7, 1000, u32::MAX] {
            assert_eq!(backoff.pause(failures, now), s(64));
        }
    }
}

#[test]
fn numbers_out_of_range_become_their_defaults() {
    let default = BackoffSettings::default();
    assert_eq!(default.failures_max, 6);
    for odd in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        assert_eq!(BackoffSettings::new(odd, odd, odd, Recovery::Steps(0)), default, "{odd}");
    }
    let day = BackoffSettings::new(2.0, 1.0, f64::INFINITY, Recovery::Reset);
    assert_eq!(day.max, BACKOFF_LONGEST);
    let short = BackoffSettings::new(2.0, 10.0, 1.0, Recovery::Reset);
    let pause = Backoff::new(short, Rng::from_seed(1)).pause(1, Instant::now());
    assert_eq!(pause, s(1));
}

/// For all seeds: the pauses of a stop leave time for at least five attempts in eight seconds, and
/// are never short enough to spin.
#[test]
fn pauses_of_a_stop_fit_into_the_time_that_remains() {
    let start = Instant::now();
    let deadline = start + s(8);
    for seed in 0..SEEDS {
        let mut backoff = stopping(seed, deadline);
        let (mut now, mut failures) = (start, 0);
        while now < deadline {
            failures += 1;
            let pause = backoff.pause(failures, now);
            assert!(pause >= STOP_BACKOFF_LEAST);
            assert!(pause <= STOP_BACKOFF_LEAST.max((deadline - now) / STOP_BACKOFF_SHARE));
            now += pause;
        }
        assert!((5..60).contains(&failures), "seed {seed}: {failures} attempts");
    }
}

#[test]
fn failures_of_one_outage_count_once_and_one_probe_decides() {
    let now = Instant::now();
    let mut backoff = running(1);
    let mut breaker = Breaker::default();
    assert!(breaker.admits(now));
    for _ in 0..10 {
        breaker.note_failure(None, &mut backoff, now);
    }
    breaker.note_success(&mut backoff, now);
    assert_eq!(breaker.failures(), 1);
    let until = breaker.blocked_until().unwrap();
    assert!(!breaker.admits(until - Duration::from_nanos(1)) && breaker.admits(until));
    breaker.note_sent();
    assert!(!breaker.admits(until + s(1000)), "one probe at a time");
    breaker.note_success(&mut backoff, until);
    assert_eq!((breaker.admits(until), breaker.failures()), (true, 0));
}

#[test]
fn a_success_forgives_two_failures_and_the_rest_is_waited_for_again() {
    let mut now = Instant::now();
    let mut backoff = running(2);
    let mut breaker = Breaker::default();
    let probe = |breaker: &mut Breaker, now: &mut Instant| {
        *now = breaker.blocked_until().unwrap_or(*now);
        breaker.note_sent();
    };
    for expected in [1, 2, 3, 4, 5, 6, 6] {
        probe(&mut breaker, &mut now);
        breaker.note_failure(None, &mut backoff, now);
        assert_eq!(breaker.failures(), expected);
    }
    for expected in [4, 2, 0] {
        probe(&mut breaker, &mut now);
        breaker.note_success(&mut backoff, now);
        assert_eq!(breaker.failures(), expected);
    }
    assert!(breaker.admits(now));
}

#[test]
fn what_the_intake_asks_for_is_a_lower_bound_of_the_pause() {
    let now = Instant::now();
    let mut backoff = running(3);
    let mut breaker = Breaker::default();
    breaker.note_failure(Some(s(30)), &mut backoff, now);
    assert_eq!(breaker.blocked_until(), Some(now + s(30)));
    breaker.note_failure(Some(s(40)), &mut backoff, now);
    assert_eq!(
        breaker.blocked_until(),
        Some(now + s(40)),
        "said while blocked, heard all the same"
    );
    let mut other = Breaker::default();
    other.note_failure(Some(Duration::ZERO), &mut backoff, now);
    assert!(other.blocked_until() >= Some(now + s(2)), "the drawn pause stays");
}

#[test]
fn a_stop_cuts_a_long_pause_unless_the_intake_asked_for_one_that_fits() {
    let now = Instant::now();
    let stop = |after, left| {
        let mut backoff = running(4);
        let mut breaker = Breaker::default();
        for _ in 0..6 {
            breaker.note_sent();
            breaker.note_failure(after, &mut backoff, now);
        }
        backoff.begin_stop(now + left);
        breaker.begin_stop(&mut backoff, now);
        breaker.blocked_until().unwrap() - now
    };
    assert!(stop(None, s(8)) < s(1));
    assert_eq!(stop(Some(s(5)), s(8)), s(5));
    assert!(stop(Some(s(8)), s(8)) < s(1), "no time would remain for the attempt");
}

#[test]
fn one_success_opens_a_route_during_a_stop() {
    let now = Instant::now();
    let mut backoff = stopping(5, now + s(8));
    let mut breaker = Breaker::default();
    for _ in 0..5 {
        breaker.note_sent();
        breaker.note_failure(None, &mut backoff, now);
    }
    breaker.note_sent();
    breaker.note_success(&mut backoff, now);
    assert!(breaker.admits(now));
}

/// Kolmogorov and Smirnov's distance of values in [0, 1) from the uniform distribution.
fn distance_from_uniform(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(values.len()).unwrap());
    let steps = values.into_iter().zip(0_u32..).map(|(value, rank)| {
        let rank = f64::from(rank);
        (value - rank / count).max((rank + 1.0) / count - value)
    });
    steps.fold(0.0, f64::max)
}

/// Distance that 10,000 uniform values exceed once in a hundred times.
const DISTANCE_MAX: f64 = 0.016_28;

#[test]
fn ten_thousand_starts_spread_evenly_over_a_flush_interval() {
    let phase = |seed| Rng::from_seed(seed).between(Duration::ZERO, s(10)).as_secs_f64() / 10.0;
    let distance = distance_from_uniform((0..SEEDS).map(phase).collect());
    assert!(distance < DISTANCE_MAX, "{distance}");
    assert!(distance_from_uniform(vec![0.5; 10_000]) > DISTANCE_MAX, "the test can fail");
}

#[test]
fn a_fleet_that_fails_together_comes_back_evenly_spread() {
    let now = Instant::now();
    for (failures, from, width) in [(1, 2.0, 2.0), (3, 8.0, 8.0), (5, 32.0, 32.0)] {
        let place = |seed| (running(seed).pause(failures, now).as_secs_f64() - from) / width;
        let distance = distance_from_uniform((0..SEEDS).map(place).collect());
        assert!(distance < DISTANCE_MAX, "{failures}: {distance}");
    }
    let place = |seed| {
        let pause = stopping(seed, now + s(8)).pause(1, now).as_secs_f64();
        (pause - 0.125) / 0.125
    };
    let distance = distance_from_uniform((0..SEEDS).map(place).collect());
    assert!(distance < DISTANCE_MAX, "stop: {distance}");
}

/// Over an outage of minutes, attempt by attempt: no tenth of a second ever sees more than a
/// twentieth of the fleet (and a little).
#[test]
fn a_fleet_never_synchronises_over_a_long_outage() {
    let start = Instant::now();
    let mut clocks: Vec<Instant> = vec![start; 10_000];
    let mut backoffs: Vec<Backoff> = (0..SEEDS).map(running).collect();
    for failures in 1..10 {
        for (clock, backoff) in clocks.iter_mut().zip(&mut backoffs) {
            *clock += backoff.pause(failures, *clock);
        }
        let mut tenths = std::collections::HashMap::new();
        for clock in &clocks {
            *tenths.entry((*clock - start).as_millis() / 100).or_insert(0) += 1;
        }
        let most = tenths.into_values().max().unwrap();
        assert!(most < 600, "attempt {failures}: {most} of 10,000 in a tenth of a second");
    }
}
