//! An endpoint under random schedules of payloads, outcomes, times, keys and stops: after each step
//! the ledger balances, and an intake that is well gets everything.

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::*;

/// One thing that may happen to an endpoint.
#[derive(Clone, Debug)]
enum Step {
    Enqueue { kind: usize, bytes: usize, points: u64 },
    Restore { bytes: usize, points: u64 },
    Wait { ms: u64 },
    Send,
    Outcome { pick: usize, attempt: Attempt },
    ReplaceKey { number: u8 },
    BeginStop { ms: u64 },
    Finish,
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let faults: Vec<Attempt> = faults().into_iter().map(|(attempt, _)| attempt).collect();
    prop_oneof![
        4 => Just(ACCEPTED),
        6 => proptest::sample::select(faults),
        1 => (0_u64..100).prop_map(|pause_s| Attempt::Answered {
            status: 429,
            retry_after: Some(s(pause_s)),
            before: Taken::No,
        }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..PayloadKind::COUNT, 0_usize..400, 0_u64..100)
            .prop_map(|(kind, bytes, points)| Step::Enqueue { kind, bytes, points }),
        1 => (0_usize..400, 0_u64..100).prop_map(|(bytes, points)| Step::Restore { bytes, points }),
        4 => (0_u64..20_000).prop_map(|ms| Step::Wait { ms }),
        10 => Just(Step::Send),
        9 => (any::<usize>(), any_attempt())
            .prop_map(|(pick, attempt)| Step::Outcome { pick, attempt }),
        1 => (0_u8..3).prop_map(|number| Step::ReplaceKey { number }),
    ]
}

/// Mostly running, then perhaps a stop with things going on, then perhaps an end.
fn any_schedule() -> impl Strategy<Value = Vec<Step>> {
    let steps = || proptest::collection::vec(any_step(), 0..80);
    let stop = proptest::option::of((0_u64..10_000).prop_map(|ms| Step::BeginStop { ms }));
    let finish = proptest::option::of(Just(Step::Finish));
    (steps(), stop, steps(), finish, steps()).prop_map(
        |(running, stop, stopping, finish, after)| {
            let finish = finish.into_iter();
            running.into_iter().chain(stop).chain(stopping).chain(finish).chain(after).collect()
        },
    )
}

/// What a schedule has done to an endpoint, as seen from outside.
struct Run {
    endpoint: Endpoint,
    now: Instant,
    in_flight: Vec<TransactionId>,
    accepted: u64,
    tickets: u64,
    released: u64,
}

const SMALL_IN_FLIGHT_MAX: usize = 3;
const SMALL_QUEUE_BYTES_MAX: usize = 1000;

impl Run {
    fn new(key: Option<Secret>) -> Self {
        let limits = EndpointLimits {
            in_flight_max: SMALL_IN_FLIGHT_MAX,
            queue_bytes_max: SMALL_QUEUE_BYTES_MAX,
            ..EndpointLimits::default()
        };
        Self {
            endpoint: endpoint(key, limits),
            now: Instant::now(),
            in_flight: Vec::new(),
            accepted: 0,
            tickets: 0,
            released: 0,
        }
    }

    fn step(&mut self, step: Step) {
        let Self { endpoint, now, in_flight, .. } = self;
        match step {
            Step::Enqueue { kind, bytes, points } => {
                endpoint.enqueue(payload(PayloadKind::ALL[kind], bytes, points));
            }
            Step::Restore { bytes, points } => {
                let taken = if points % 2 == 0 { Taken::No } else { Taken::Maybe };
                endpoint.restore(
                    payload(PayloadKind::SeriesV2, bytes, points),
                    taken,
                    Ticket(self.tickets),
                );
                self.tickets += 1;
            }
            Step::Wait { ms } => *now += Duration::from_millis(ms),
            Step::Send => in_flight.extend(endpoint.poll_send(*now).map(|dispatch| dispatch.id)),
            Step::Outcome { pick, attempt } => {
                if !in_flight.is_empty() {
                    let id = in_flight.swap_remove(pick % in_flight.len());
                    let verdict = endpoint.handle_outcome(id, attempt, *now);
                    self.accepted += u64::from(verdict == Some(Verdict::Accepted));
                }
            }
            Step::ReplaceKey { number } => {
                endpoint.replace_key(Secret::parse(&format!("k{number}")).unwrap());
            }
            Step::BeginStop { ms } => endpoint.begin_stop(*now + Duration::from_millis(ms), *now),
            Step::Finish => self.finish(),
        }
        self.check();
    }

    fn finish(&mut self) {
        for (place, undelivered) in self.endpoint.finish().into_iter().enumerate() {
            self.released += u64::from(undelivered.ticket.is_some());
            assert_eq!(self.endpoint.balance(), Ok(()));
            let fate = if place % 2 == 0 { Fate::Spooled } else { Fate::GivenUp };
            self.endpoint.settle(undelivered, fate);
        }
        self.in_flight.clear();
    }

    fn check(&mut self) {
        let status = self.endpoint.status();
        assert_eq!(self.endpoint.balance(), Ok(()));
        assert_eq!(status.in_flight, self.in_flight.len());
        assert!(status.in_flight <= SMALL_IN_FLIGHT_MAX);
        assert!(status.queued_bytes <= SMALL_QUEUE_BYTES_MAX || status.queued.payloads == 1);
        assert_eq!(self.endpoint.ledger().accepted.payloads, self.accepted);
        while self.endpoint.poll_release().is_some() {
            self.released += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// For all schedules of payloads, outcomes, times, keys and stops: after each step the ledger
    /// balances and the bounds hold; after the end nothing is left over and each file of the spool
    /// has been given free once.
    #[test]
    fn the_ledger_balances_after_every_step(
        keyed in any::<bool>(),
        schedule in any_schedule(),
    ) {
        let mut run = Run::new(key("k1").filter(|_| keyed));
        for step in schedule {
            run.step(step);
        }
        run.step(Step::Finish);
        prop_assert!(run.endpoint.is_idle());
        prop_assert_eq!(run.released, run.tickets);
    }

    /// From all states that a schedule can bring about: once the intake is well and stays well,
    /// everything that waits is delivered. No breaker stays shut.
    #[test]
    fn an_intake_that_is_well_gets_everything(
        schedule in proptest::collection::vec(any_step(), 0..100),
    ) {
        let mut run = Run::new(key("k1"));
        for step in schedule {
            run.step(step);
        }
        let pending = run.in_flight.iter().map(|&id| (run.now, id, ACCEPTED)).collect();
        let start = run.now;
        let mut world =
            World { endpoint: run.endpoint, start, now: start, coming: pending, sent: Vec::new() };
        world.run(s(3600), |_| (ACCEPTED, Duration::from_millis(1)));
        prop_assert!(world.endpoint.is_idle());
    }
}
