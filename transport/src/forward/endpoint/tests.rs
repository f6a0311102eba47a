//! An endpoint against scripted intakes with a virtual clock: every fault, running and stopping,
//! healing and not.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::forward::outcome::{NotSent, Sent};
use crate::payload::Encoding;

mod room;
mod schedules;

const STOP: Duration = Duration::from_secs(8);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn payload(kind: PayloadKind, bytes: usize, points: u64) -> Payload {
    let body = Bytes::from(vec![b'x'; bytes]);
    let uncompressed_bytes = body.len() as u64;
    Payload { kind, encoding: Encoding::Identity, body, items: 1, points, uncompressed_bytes }
}

fn key(text: &str) -> Option<Secret> {
    Some(Secret::parse(text).unwrap())
}

fn endpoint(key: Option<Secret>, limits: EndpointLimits) -> Endpoint {
    Endpoint::new(EndpointId::new("http://intake", 0), key, limits, Rng::from_seed(7))
}

fn answer(status: u16) -> Attempt {
    Attempt::Answered { status, retry_after: None, before: Taken::No }
}

const ACCEPTED: Attempt = Attempt::Answered { status: 202, retry_after: None, before: Taken::No };

/// An endpoint, a clock, and the requests on their way.
struct World {
    endpoint: Endpoint,
    start: Instant,
    now: Instant,
    /// When which outcome arrives.
    coming: Vec<(Instant, TransactionId, Attempt)>,
    /// When each request was sent, since the start.
    sent: Vec<Duration>,
}

impl World {
    fn new(endpoint: Endpoint) -> Self {
        let now = Instant::now();
        Self { endpoint, start: now, now, coming: Vec::new(), sent: Vec::new() }
    }

    fn of_one_payload() -> Self {
        let mut world = Self::new(endpoint(key("k1"), EndpointLimits::default()));
        world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 3));
        world
    }

    /// Lets things happen for a time, or until nothing can; `intake` says what it does to the
    /// n-th request (from 0) and how long that takes.
    fn run(&mut self, time: Duration, intake: impl Fn(usize) -> (Attempt, Duration)) {
        let until = self.now + time;
        for _step in 0..10_000 {
            while let Some(dispatch) = self.endpoint.poll_send(self.now) {
                let (attempt, latency) = intake(self.sent.len());
                self.sent.push(self.now - self.start);
                self.coming.push((self.now + latency, dispatch.id, attempt));
                self.check();
            }
            let arrival = self.coming.iter().map(|&(at, ..)| at).min();
            let wakeup = self.endpoint.next_wakeup();
            let next = arrival.into_iter().chain(wakeup).min().unwrap_or(until);
            if next >= until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            let due = |&mut (at, ..): &mut (Instant, TransactionId, Attempt)| at <= next;
            for (_, id, attempt) in self.coming.extract_if(.., due).collect::<Vec<_>>() {
                assert!(self.endpoint.handle_outcome(id, attempt, self.now).is_some());
                self.check();
            }
        }
        panic!("spins: {} requests by {:?}", self.sent.len(), self.now - self.start);
    }

    fn stop(&mut self) {
        self.endpoint.begin_stop(self.now + STOP, self.now);
        self.check();
    }

    /// Ends without a spool.
    fn finish(&mut self) -> &Ledger {
        for undelivered in self.endpoint.finish() {
            self.endpoint.settle(undelivered, Fate::GivenUp);
        }
        self.check();
        assert!(self.endpoint.is_idle());
        self.endpoint.ledger()
    }

    fn check(&self) {
        assert_eq!(self.endpoint.balance(), Ok(()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
}

/// What the ledger says of a payload whose every attempt meets the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Refused(u16),
    Left(Cause),
    Unknown(Cause),
}

/// Every fault that an attempt can meet, with its end if it never heals.
fn faults() -> Vec<(Attempt, End)> {
    let mut faults = Vec::new();
    for status in [400, 403, 413] {
        faults.push((answer(status), End::Refused(status)));
    }
    for status in [100, 199, 301, 302, 303, 307, 401, 404, 408, 429, 500, 502, 503, 504, 599, 999] {
        faults.push((answer(status), End::Left(Cause::Status(status))));
    }
    let unsent = [
        NotSent::Resolve,
        NotSent::Connect,
        NotSent::Tls,
        NotSent::Proxy,
        NotSent::Local,
        NotSent::Deadline,
    ];
    for why in unsent {
        faults.push((Attempt::NotSent { why }, End::Left(Cause::NotSent(why))));
    }
    let unanswered = [
        Unanswered::Closed,
        Unanswered::Truncated,
        Unanswered::Malformed,
        Unanswered::Timeout,
        Unanswered::Deadline,
    ];
    for why in unanswered {
        let cause = Cause::Unanswered(why);
        faults.push((Attempt::Unanswered { sent: Sent::Part, why }, End::Left(cause)));
        faults.push((Attempt::Unanswered { sent: Sent::Whole, why }, End::Unknown(cause)));
    }
    // Refused on a new connection, after the whole of it had gone into a dead one.
    let before = Taken::Maybe;
    let unavailable = Attempt::Answered { status: 503, retry_after: None, before };
    faults.push((unavailable, End::Unknown(Cause::Status(503))));
    faults
}

/// For every fault, running and stopping: if it never heals, the payload ends where it belongs and
/// is tried again, but not hammered; a refused one is tried once.
#[test]
fn a_fault_that_never_heals_ends_in_its_own_column() {
    for (fault, end) in faults() {
        for phase in [Phase::Running, Phase::Stopping] {
            let mut world = World::of_one_payload();
            if phase == Phase::Stopping {
                world.stop();
            }
            world.run(STOP, |_| (fault, Duration::from_millis(1)));
            let attempts = world.sent.len();
            let tally = Tally { payloads: 1, items: 1, points: 3 };
            let ledger = world.finish();
            let found = match end {
                End::Refused(status) => ledger.refused.get(&status),
                End::Left(cause) => ledger.left.get(&cause),
                End::Unknown(cause) => ledger.unknown.get(&cause),
            };
            assert_eq!(found, Some(&tally), "{fault:?}, {phase:?}: {ledger:?}");
            let expected = match (end, phase) {
                (End::Refused(_), _) => 1..2,
                (_, Phase::Running) => 2..7,
                (_, Phase::Stopping) => 5..60,
            };
            assert!(expected.contains(&attempts), "{fault:?}, {phase:?}: {attempts} attempts");
        }
    }
}

/// For every fault that may heal, running and stopping: after three of them the payload is
/// delivered once, as a possible duplicate exactly if the intake had it whole before.
#[test]
fn a_fault_that_heals_ends_in_delivery() {
    for (fault, end) in faults() {
        if matches!(end, End::Refused(_)) {
            continue;
        }
        for phase in [Phase::Running, Phase::Stopping] {
            let mut world = World::of_one_payload();
            let time = match phase {
                Phase::Running => s(60),
                Phase::Stopping => {
                    world.stop();
                    STOP
                }
            };
            let intake = |n| if n < 3 { fault } else { ACCEPTED };
            world.run(time, |n| (intake(n), Duration::from_millis(1)));
            assert!(world.endpoint.is_idle(), "{fault:?}, {phase:?}");
            let ledger = world.finish();
            assert_eq!(ledger.accepted.points, 3, "{fault:?}, {phase:?}");
            let doubtful = u64::from(matches!(end, End::Unknown(_)));
            assert_eq!(ledger.duplicates_possible.payloads, doubtful, "{fault:?}, {phase:?}");
            assert_eq!(ledger.retried.payloads, 3, "{fault:?}, {phase:?}");
        }
    }
}

/// For every fault, running and stopping: what goes to another route of the same intake, and to
/// another endpoint, is delivered at once.
#[test]
fn a_fault_delays_neither_another_route_nor_another_endpoint() {
    for (fault, _) in faults() {
        for phase in [Phase::Running, Phase::Stopping] {
            let mut sick = World::of_one_payload();
            sick.endpoint.enqueue(payload(PayloadKind::Events, 10, 0));
            let mut healthy = World::of_one_payload();
            for world in [&mut sick, &mut healthy] {
                if phase == Phase::Stopping {
                    world.stop();
                }
            }
            // The first request is the series, the second the event, the rest are retries.
            let intake = |n| if n == 1 { ACCEPTED } else { fault };
            sick.run(s(1), |n| (intake(n), Duration::from_millis(1)));
            healthy.run(s(1), |_| (ACCEPTED, Duration::from_millis(1)));
            assert_eq!(sick.endpoint.ledger().accepted.payloads, 1, "{fault:?}, {phase:?}");
            assert!(healthy.endpoint.is_idle());
        }
    }
}

#[test]
fn a_slow_answer_is_waited_for_as_long_as_the_deadline_allows() {
    for (latency, phase, delivered) in [
        (Duration::from_millis(100), Phase::Running, 1),
        (s(19), Phase::Running, 1),
        (Duration::from_millis(100), Phase::Stopping, 1),
        (s(7), Phase::Stopping, 1),
        (s(19), Phase::Stopping, 0),
    ] {
        let mut world = World::of_one_payload();
        world.run(Duration::from_millis(1), |_| (ACCEPTED, latency));
        if phase == Phase::Stopping {
            world.stop();
        }
        world.run(if phase == Phase::Running { s(60) } else { STOP }, |_| (ACCEPTED, latency));
        assert_eq!(world.sent.len(), 1, "sent once");
        let ledger = world.finish();
        assert_eq!(ledger.accepted.payloads, delivered, "{latency:?}, {phase:?}");
        let cause = Cause::Unanswered(Unanswered::Deadline);
        let unknown = ledger.unknown.get(&cause).map_or(0, |tally| tally.payloads);
        assert_eq!(unknown, 1 - delivered, "{latency:?}, {phase:?}");
    }
}

#[test]
fn an_outcome_after_the_end_changes_nothing() {
    let mut world = World::of_one_payload();
    let dispatch = world.endpoint.poll_send(world.now).unwrap();
    let ledger = world.finish().clone();
    assert_eq!(world.endpoint.handle_outcome(dispatch.id, ACCEPTED, world.now), None);
    assert_eq!(world.endpoint.ledger(), &ledger);
    world.endpoint.enqueue(payload(PayloadKind::Events, 1, 0));
    assert_eq!(world.endpoint.ledger().dropped[&DropReason::Finished].payloads, 1);
    world.check();
}

#[test]
fn a_pause_that_the_intake_asks_for_is_kept_while_running_and_in_a_stop_only_if_it_fits() {
    for (after, phase, range_s) in [
        (s(30), Phase::Running, 30.0..30.1),
        (s(100_000), Phase::Running, 300.0..300.1),
        (s(2), Phase::Stopping, 2.0..2.1),
        (s(30), Phase::Stopping, 0.1..1.0),
    ] {
        for status in [429, 503] {
            let mut world = World::of_one_payload();
            if phase == Phase::Stopping {
                world.stop();
            }
            let limited = Attempt::Answered { status, retry_after: Some(after), before: Taken::No };
            let intake = |n| if n == 0 { limited } else { ACCEPTED };
            world.run(s(1000), |n| (intake(n), Duration::from_millis(1)));
            let again = world.sent[1].as_secs_f64();
            assert!(range_s.contains(&again), "{after:?}, {phase:?}: {again}");
        }
    }
}

#[test]
fn what_went_into_a_dead_connection_first_may_be_a_duplicate() {
    let mut world = World::of_one_payload();
    let accepted = Attempt::Answered { status: 202, retry_after: None, before: Taken::Maybe };
    world.run(s(1), |_| (accepted, Duration::from_millis(1)));
    let ledger = world.finish();
    assert_eq!((ledger.accepted.payloads, ledger.duplicates_possible.payloads), (1, 1));
}

/// The probe of a blocked route is refused for a key that was replaced: it must stay the probe, or
/// nobody would ever send again.
#[test]
fn a_probe_with_a_replaced_key_does_not_lock_the_route() {
    let mut world = World::of_one_payload();
    world.run(s(1), |_| (answer(500), Duration::from_millis(1)));
    world.now = world.endpoint.next_wakeup().unwrap();
    let probe = world.endpoint.poll_send(world.now).unwrap();
    world.endpoint.replace_key(key("k2").unwrap());
    world.endpoint.handle_outcome(probe.id, answer(403), world.now);
    world.run(s(60), |_| (ACCEPTED, Duration::from_millis(1)));
    assert!(world.endpoint.is_idle());
}

#[test]
fn a_stop_retries_soon_what_was_to_wait_a_minute() {
    let mut world = World::of_one_payload();
    world.run(s(200), |_| (answer(503), Duration::from_millis(1)));
    let before = world.sent.len();
    world.stop();
    world.run(s(2), |_| (ACCEPTED, Duration::from_millis(1)));
    assert_eq!(world.sent.len(), before + 1);
    assert!(world.endpoint.is_idle());
}

/// Since when nothing was accepted is told from the first request on, and only while there is
/// something to accept.
#[test]
fn an_endpoint_says_since_when_it_waits_to_be_accepted() {
    let mut world = World::of_one_payload();
    let start = world.now;
    assert_eq!(world.endpoint.status().unaccepted_since, None);
    world.run(s(10), |_| (answer(503), Duration::from_millis(1)));
    let status = world.endpoint.status();
    assert_eq!((status.unaccepted_since, status.last_accepted), (Some(start), None));
    world.run(s(100), |_| (ACCEPTED, Duration::from_millis(1)));
    let status = world.endpoint.status();
    assert!(status.last_accepted > Some(start), "{status:?}");
    assert_eq!(status.unaccepted_since, None);
}

/// What was in flight when the stop began is not cut: the stop leaves it alone, and its answer
/// counts.
#[test]
fn a_stop_leaves_requests_in_flight_alone() {
    let mut world = World::of_one_payload();
    let dispatch = world.endpoint.poll_send(world.now).unwrap();
    world.stop();
    assert_eq!(world.endpoint.status().in_flight, 1);
    let verdict = world.endpoint.handle_outcome(dispatch.id, ACCEPTED, world.now + s(7));
    assert_eq!(verdict, Some(Verdict::Accepted));
    assert!(world.endpoint.is_idle());
}

#[test]
fn a_stop_that_finds_the_intake_well_again_delivers_a_full_queue() {
    let mut world = World::new(endpoint(key("k1"), EndpointLimits::default()));
    for _ in 0..500 {
        world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    }
    world.run(s(100), |_| (answer(503), Duration::from_millis(1)));
    world.stop();
    world.run(STOP, |_| (ACCEPTED, Duration::from_millis(20)));
    assert!(world.endpoint.is_idle(), "{:?}", world.endpoint.status());
}

#[test]
fn what_is_left_at_the_end_comes_newest_first() {
    let mut world = World::of_one_payload();
    for kind in [PayloadKind::Events, PayloadKind::SeriesV2, PayloadKind::ServiceChecks] {
        world.endpoint.enqueue(payload(kind, 10, 0));
    }
    world.run(s(1), |n| (if n == 1 { answer(500) } else { ACCEPTED }, s(2 * u64::from(n == 2))));
    world.endpoint.enqueue(payload(PayloadKind::Sketches, 10, 0));
    let left = world.endpoint.finish();
    let kinds: Vec<PayloadKind> = left.iter().map(|undelivered| undelivered.payload.kind).collect();
    // The sketches were queued, the second series in flight, the event had failed.
    assert_eq!(kinds, [PayloadKind::Sketches, PayloadKind::SeriesV2, PayloadKind::Events]);
}

#[test]
fn an_attempt_that_the_deadline_cuts_off_does_not_hide_why_the_ones_before_failed() {
    let mut world = World::of_one_payload();
    world.stop();
    for why in [NotSent::Tls, NotSent::Deadline] {
        world.now = world.endpoint.next_wakeup().unwrap_or(world.now);
        let dispatch = world.endpoint.poll_send(world.now).unwrap();
        world.endpoint.handle_outcome(dispatch.id, Attempt::NotSent { why }, world.now);
    }
    let causes: Vec<_> = world.finish().left.keys().copied().collect();
    assert_eq!(causes, [Cause::NotSent(NotSent::Tls)]);
}

#[test]
fn nothing_is_sent_once_the_deadline_has_come() {
    let mut world = World::of_one_payload();
    world.stop();
    assert!(world.endpoint.poll_send(world.now + STOP).is_none());
}

#[test]
fn without_a_key_nothing_is_sent_and_every_point_is_counted() {
    let mut world = World::new(endpoint(None, EndpointLimits::default()));
    for _ in 0..10 {
        world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 3));
    }
    world.run(s(1000), |_| (ACCEPTED, Duration::ZERO));
    world.stop();
    world.run(STOP, |_| (ACCEPTED, Duration::ZERO));
    assert!(world.sent.is_empty());
    assert_eq!(world.endpoint.next_wakeup(), None);
    assert_eq!(world.endpoint.key_state(), KeyState::Missing);
    let ledger = world.finish();
    let tally = Tally { payloads: 10, items: 10, points: 30 };
    assert_eq!(ledger.dropped[&DropReason::NoApiKey], tally);
}

#[test]
fn a_key_that_comes_late_opens_the_endpoint() {
    let mut world = World::new(endpoint(None, EndpointLimits::default()));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 3));
    world.endpoint.replace_key(Secret::parse("k1").unwrap());
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 3));
    world.run(s(1), |_| (ACCEPTED, Duration::ZERO));
    assert_eq!(world.endpoint.key_state(), KeyState::Accepted);
    assert_eq!(world.finish().accepted.payloads, 1);
}

#[test]
fn a_replaced_key_applies_to_what_was_queued_and_refused_before() {
    let mut world = World::of_one_payload();
    world.endpoint.enqueue(payload(PayloadKind::Events, 10, 0));
    let now = world.now;
    let first = world.endpoint.poll_send(now).unwrap();
    assert_eq!(first.key.expose(), "k1");
    // The file of the key was read again after the answer, and holds a new one.
    world.endpoint.replace_key(Secret::parse("k2").unwrap());
    let verdict = world.endpoint.handle_outcome(first.id, answer(403), now);
    assert!(matches!(verdict, Some(Verdict::Resend { .. })));
    assert_eq!(world.endpoint.key_state(), KeyState::Unproven);
    for expected in [PayloadKind::SeriesV2, PayloadKind::Events] {
        let next = world.endpoint.poll_send(now).unwrap();
        assert_eq!((next.payload.kind, next.key.expose()), (expected, "k2"));
    }
    // The new one is no better: that is an answer about this payload.
    assert_eq!(
        world.endpoint.handle_outcome(first.id, answer(403), now),
        Some(Verdict::Refused { status: 403 })
    );
    assert_eq!(world.endpoint.key_state(), KeyState::Refused);
    world.check();
}

#[test]
fn the_same_key_again_is_no_replacement() {
    let mut world = World::of_one_payload();
    let first = world.endpoint.poll_send(world.now).unwrap();
    world.endpoint.replace_key(Secret::parse("k1").unwrap());
    assert_eq!(
        world.endpoint.handle_outcome(first.id, answer(403), world.now),
        Some(Verdict::Refused { status: 403 })
    );
}

#[test]
fn requests_in_flight_are_bounded() {
    let limits = EndpointLimits { in_flight_max: 2, ..EndpointLimits::default() };
    let mut world = World::new(endpoint(key("k1"), limits));
    for _ in 0..5 {
        world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    }
    let now = world.now;
    let first = world.endpoint.poll_send(now).unwrap();
    assert!(world.endpoint.poll_send(now).is_some() && world.endpoint.poll_send(now).is_none());
    world.endpoint.handle_outcome(first.id, ACCEPTED, now);
    assert!(world.endpoint.poll_send(now).is_some() && world.endpoint.poll_send(now).is_none());
}

#[test]
fn a_full_queue_gives_up_the_oldest_and_counts_it() {
    let limits = EndpointLimits { queue_bytes_max: 1000, ..EndpointLimits::default() };
    let mut world = World::new(endpoint(key("k1"), limits));
    for points in 1..=15 {
        world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, points));
        assert!(world.endpoint.status().queued_bytes <= 1000);
    }
    let lost = Tally { payloads: 5, items: 5, points: 1 + 2 + 3 + 4 + 5 };
    assert_eq!(world.endpoint.ledger().dropped[&DropReason::QueueFull], lost);
    assert_eq!(world.endpoint.ledger().evicted, lost);
    world.check();
}

#[test]
fn what_may_have_been_taken_is_unknown_when_it_is_pushed_out() {
    let limits = EndpointLimits { queue_bytes_max: 150, ..EndpointLimits::default() };
    let mut world = World::new(endpoint(key("k1"), limits));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    let lost = Attempt::Unanswered { sent: Sent::Whole, why: Unanswered::Timeout };
    world.run(s(1), |_| (lost, Duration::ZERO));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    let ledger = world.endpoint.ledger();
    assert_eq!(ledger.unknown[&Cause::Unanswered(Unanswered::Timeout)].payloads, 1);
    assert_eq!((ledger.evicted.payloads, ledger.dropped.len()), (1, 0));
    world.check();
}

#[test]
fn a_restored_payload_gives_its_file_free_when_the_intake_has_decided() {
    for (attempt, expected) in [
        (ACCEPTED, Some(Release::Remove(Ticket(5)))),
        (answer(400), Some(Release::Remove(Ticket(5)))),
        (answer(500), None),
    ] {
        let mut world = World::new(endpoint(key("k1"), EndpointLimits::default()));
        world.endpoint.restore(payload(PayloadKind::SeriesV2, 100, 3), Taken::Maybe, Ticket(5));
        world.run(s(1), |_| (attempt, Duration::ZERO));
        assert_eq!(world.endpoint.poll_release(), expected);
        assert_eq!(world.endpoint.ledger().restored.points, 3);
        let doubtful = u64::from(attempt == ACCEPTED);
        assert_eq!(world.endpoint.ledger().duplicates_possible.payloads, doubtful);
        let left = world.endpoint.finish();
        assert_eq!(left.len(), usize::from(expected.is_none()));
        for undelivered in left {
            assert_eq!(undelivered.ticket, Some(Ticket(5)));
            world.endpoint.settle(undelivered, Fate::Spooled);
        }
        world.check();
    }
}

/// The spool is read newest first, and everything in it is older than what this process makes.
#[test]
fn restored_payloads_are_sent_after_new_ones_and_newest_first() {
    let mut world = World::new(endpoint(key("k1"), EndpointLimits::default()));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 1, 4));
    for points in [3, 2, 1] {
        world.endpoint.restore(payload(PayloadKind::SeriesV2, 1, points), Taken::No, Ticket(0));
    }
    let order = std::iter::from_fn(|| world.endpoint.poll_send(world.now));
    assert_eq!(order.map(|next| next.payload.points).collect::<Vec<_>>(), [4, 3, 2, 1]);
}

#[test]
fn a_restored_payload_makes_room_for_what_has_no_file() {
    let limits = EndpointLimits { queue_bytes_max: 250, ..EndpointLimits::default() };
    let mut world = World::new(endpoint(key("k1"), limits));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    world.endpoint.restore(payload(PayloadKind::SeriesV2, 100, 1), Taken::No, Ticket(1));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 1));
    assert_eq!(world.endpoint.poll_release(), Some(Release::Keep(Ticket(1))));
    assert!(world.endpoint.ledger().dropped.is_empty());
    world.check();
}

#[test]
fn a_restored_payload_that_finds_no_room_keeps_its_file() {
    let limits = EndpointLimits { queue_bytes_max: 150, ..EndpointLimits::default() };
    let mut world = World::new(endpoint(key("k1"), limits));
    world.endpoint.restore(payload(PayloadKind::SeriesV2, 100, 3), Taken::No, Ticket(1));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 100, 3));
    assert_eq!(world.endpoint.poll_release(), Some(Release::Keep(Ticket(1))));
    assert_eq!(world.endpoint.ledger().spooled.payloads, 1);
    world.check();
}

#[test]
fn an_endpoint_is_named_without_the_password_of_its_url() {
    let id = EndpointId::new("https://user:secret@vm:8428/datadog", 1);
    assert_eq!(id.to_string(), "https://vm:8428/datadog#1");
    assert!(!format!("{id:?}").contains("secret"));
}

#[test]
fn the_key_does_not_show_in_what_an_endpoint_prints() {
    let secret = "0123456789abcdef0123456789abcdef";
    let mut world = World::new(endpoint(key(secret), EndpointLimits::default()));
    world.endpoint.enqueue(payload(PayloadKind::SeriesV2, 4, 3));
    let dispatch = world.endpoint.poll_send(world.now).unwrap();
    let printed = format!("{dispatch:?} {:?} {}", world.endpoint, world.endpoint.id());
    assert!(!printed.contains("0123456789"), "{printed}");
}
