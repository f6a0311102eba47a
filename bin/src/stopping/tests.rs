//! The stop under adversarial schedules: threads that end late, never or by a panic, wake-ups that
//! come early or late, sockets that never fall silent, a second signal at any time.

use super::*;
use proptest::prelude::*;

/// What the world does to one stop, in milliseconds from its start.
#[derive(Clone, Debug)]
struct World {
    timeout: u64,
    linger: Option<u64>,
    /// Arrivals go on until then.
    silent_at: u64,
    /// How they arrive.
    over: Over,
    /// Time that the receivers take from the command to their end; none: they never end.
    receivers: Option<u64>,
    /// The same for the workers, from the end of the receivers.
    workers: Option<u64>,
    /// The same for the shipper, from its command.
    shipper: Option<u64>,
    /// When the shipper panics.
    shipper_panics: Option<u64>,
    interrupted_at: Option<u64>,
    /// How late each wake-up by time is, in turn.
    lateness: Vec<u64>,
    /// Wake-ups for no reason.
    spurious_every: Option<u64>,
}

/// How clients reach the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Datagrams,
    /// A stream that is held until the silence begins.
    Stream,
    /// Such a stream, and datagrams before it.
    Both,
}

fn world() -> impl Strategy<Value = World> {
    let over = prop_oneof![Just(Over::Datagrams), Just(Over::Stream), Just(Over::Both)];
    let times = (0_u64..10_000, proptest::option::of(0_u64..3_000), 0_u64..20_000, over);
    let maybe = || proptest::option::weighted(0.8, 0_u64..12_000);
    let threads = (maybe(), maybe(), maybe(), proptest::option::weighted(0.2, 0_u64..12_000));
    let signals = proptest::option::weighted(0.2, 0_u64..12_000);
    let scheduling = (proptest::collection::vec(0_u64..20, 1..5), proptest::option::of(1_u64..500));
    (times, threads, signals, scheduling).prop_map(
        |(
            (timeout, linger, silent_at, over),
            (receivers, workers, shipper, shipper_panics),
            interrupted_at,
            (lateness, spurious_every),
        )| World {
            timeout,
            linger,
            silent_at,
            over,
            receivers,
            workers,
            shipper,
            shipper_panics,
            interrupted_at,
            lateness,
            spurious_every,
        },
    )
}

impl World {
    fn clients(&self, now: u64) -> Clients {
        let sent = now.min(self.silent_at);
        let streams = u64::from(now < self.silent_at);
        match self.over {
            Over::Datagrams => Clients { datagrams: sent, frames: 0, streams: 0 },
            Over::Stream => Clients { datagrams: 0, frames: sent, streams },
            Over::Both => Clients { datagrams: 1, frames: sent, streams },
        }
    }

    /// The silence that ends the linger.
    fn silence(&self) -> u64 {
        let silence = self.linger.unwrap_or_default();
        let all_leave = self.over == Over::Stream && self.silent_at > 0;
        let short = u64::try_from(LEFT_SILENCE.as_millis()).unwrap();
        if all_leave { silence.min(short) } else { silence }
    }
}

/// What was done, and when (ms).
type Done = Vec<(u64, Action)>;

/// Plays a stop against the world until it ends.
fn play(world: &World) -> Done {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let linger = world.linger.map_or(Linger::No, |ms| Linger::Silence(Duration::from_millis(ms)));
    let times = Times::new(start, Duration::from_millis(world.timeout));
    let mut stopping = Stopping::new(times, linger, world.clients(0));
    let mut lateness = world.lateness.iter().cycle();
    let (mut now, mut done) = (0, Done::new());
    let command = |done: &Done, wanted: Action| {
        done.iter().find(|(_, action)| *action == wanted).map(|(ms, _)| *ms)
    };
    for _ in 0..100_000 {
        let after = |from: Option<u64>, takes: Option<u64>| Some(from? + takes?);
        let receivers_end = after(command(&done, Action::Seal), world.receivers);
        // Comparing begins when the seals were taken; the workers may be done before.
        let workers_end = after(receivers_end, world.workers);
        let shipper_end = after(command(&done, Action::Finish), world.shipper);
        let shipper_end = [shipper_end, world.shipper_panics].into_iter().flatten().min();
        let by = |when: Option<u64>| when.is_some_and(|when| when <= now);
        let facts = Facts {
            clients: world.clients(now),
            interrupted: by(world.interrupted_at),
            receivers_ended: by(receivers_end),
            drained: by(workers_end) && command(&done, Action::Compare).is_some(),
            shipper_ended: by(shipper_end),
        };
        match stopping.next(at(now), &facts) {
            Action::Wait(until) => {
                assert!(until > at(now), "waits for what is over: {done:?}");
                let until = u64::try_from((until - start).as_millis()).unwrap();
                let late = lateness.next().copied().unwrap_or(0);
                // The bell and signals wake at once; time wakes late.
                let events = [receivers_end, workers_end, shipper_end, world.interrupted_at];
                let spurious = world.spurious_every.map(|every| now + every);
                let event = events.into_iter().chain([spurious]).flatten().filter(|ms| *ms > now);
                now =
                    event.min().map_or(until + late, |event| event.min(until + late)).max(now + 1);
            }
            Action::End(stage) => {
                done.push((now, Action::End(stage)));
                return done;
            }
            action => done.push((now, action)),
        }
    }
    panic!("it never ends: {done:?}");
}

/// Longest by which a wake-up of the world is late, and a rounding of ours.
const SLACK_MS: u64 = 22;

proptest! {
    #![proptest_config(ProptestConfig {
        // More where PROPTEST_CASES says so.
        cases: ProptestConfig::default().cases.max(100_000),
        // A failing schedule becomes a test of its own.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_stop_ends_in_time_and_in_order(world in world()) {
        let done = play(&world);
        let (end, last) = *done.last().unwrap();
        let order: Vec<Action> = done.iter().map(|(_, action)| *action).collect();
        let whole =
            [Action::Seal, Action::Compare, Action::Finish, Action::End(Stage::Deliver)];
        let at = |wanted: Action| {
            done.iter().find(|(_, action)| *action == wanted).map(|(ms, _)| *ms)
        };
        // In order, each once; cut short only by a signal.
        let interrupted = world.interrupted_at.is_some_and(|ms| ms <= end);
        let steps = order.len() - 1;
        prop_assert_eq!(&order[..steps], &whole[..steps]);
        if !interrupted {
            prop_assert_eq!(&order[..], &whole[..]);
        }
        // A signal ends it at once.
        if let Some(ms) = world.interrupted_at {
            prop_assert!(end <= ms + SLACK_MS, "{end} after a signal at {ms}");
        }
        prop_assert!(matches!(last, Action::End(_)));
        // One deadline for the whole; the reserve is the shipper's.
        let grace = u64::try_from(COUNTING.as_millis()).unwrap();
        prop_assert!(end <= world.timeout + grace + 3 * SLACK_MS);
        if let Some(finish) = at(Action::Finish) {
            let reserve = (world.timeout / 2).min(u64::try_from(RESERVE.as_millis()).unwrap());
            prop_assert!(finish <= world.timeout - reserve + 3 * SLACK_MS);
            // Nobody waits for less: the shipper has ended, or has had all of its time.
            if !interrupted && let Some(takes) = world.shipper && world.shipper_panics.is_none() {
                let deadline = world.timeout + grace;
                prop_assert!(end >= (finish + takes).min(deadline));
            }
        }
        // Sockets that fall silent are heard to the end if there is time.
        if let (Some(1..), Some(seal)) = (world.linger, at(Action::Seal)) {
            let reserve = (world.timeout / 2).min(u64::try_from(RESERVE.as_millis()).unwrap());
            let expected = (world.silent_at + world.silence()).min(world.timeout - reserve);
            prop_assert!(seal + 2 >= expected, "{seal} before {expected}");
            // And not longer than that: it is looked for in steps.
            let step = u64::try_from(LINGER_STEP.as_millis()).unwrap();
            prop_assert!(seal <= expected + step + 3 * SLACK_MS, "{seal} after {expected}");
        }
    }
}

#[test]
fn a_stop_without_trouble_waits_for_nothing_but_its_threads() {
    let world = World {
        timeout: 8_000,
        linger: None,
        silent_at: 0,
        over: Over::Datagrams,
        receivers: Some(3),
        workers: Some(2),
        shipper: Some(4),
        shipper_panics: None,
        interrupted_at: None,
        lateness: vec![0],
        spurious_every: None,
    };
    let done = play(&world);
    let ended = Action::End(Stage::Deliver);
    assert_eq!(done, [(0, Action::Seal), (3, Action::Compare), (5, Action::Finish), (9, ended)]);
}

#[test]
fn a_dead_shipper_is_not_waited_for() {
    let world = World {
        timeout: 8_000,
        linger: None,
        silent_at: 0,
        over: Over::Datagrams,
        receivers: Some(3),
        workers: None,
        shipper: None,
        shipper_panics: Some(0),
        interrupted_at: None,
        lateness: vec![0],
        spurious_every: None,
    };
    let done = play(&world);
    assert_eq!(done.last(), Some(&(3, Action::End(Stage::Deliver))));
}
