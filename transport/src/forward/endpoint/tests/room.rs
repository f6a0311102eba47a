//! What an endpoint says of its room: little ahead, enough ahead, full; failing, or silent.

use super::*;

const KIND: PayloadKind = PayloadKind::SeriesV2;

/// A queue of ten payloads of this size.
const BYTES: usize = 100;

fn small() -> Endpoint {
    let limits = EndpointLimits {
        queue_bytes_max: 10 * BYTES,
        in_flight_max: 2,
        ..EndpointLimits::default()
    };
    endpoint(key("k1"), limits)
}

fn fill(endpoint: &mut Endpoint, count: usize) {
    for _ in 0..count {
        endpoint.enqueue(payload(KIND, BYTES, 1));
    }
}

fn fail(endpoint: &mut Endpoint, now: Instant) {
    let dispatch = endpoint.poll_send(now).unwrap();
    endpoint.handle_outcome(dispatch.id, answer(503), now);
}

#[test]
fn a_route_that_works_wants_little_ahead() {
    let mut endpoint = endpoint(key("k1"), EndpointLimits::default());
    let now = Instant::now();
    let size = AHEAD_BYTES_MAX / 4;
    assert_eq!(endpoint.room(KIND, 2 * AHEAD_BYTES_MAX, now), Room::Wanted, "one at least");
    for _ in 0..4 {
        assert_eq!(endpoint.room(KIND, size, now), Room::Wanted);
        endpoint.enqueue(payload(KIND, size, 1));
    }
    assert_eq!(endpoint.room(KIND, size, now), Room::Enough);
    // On its way it counts as before; answered it doesn't.
    let dispatch = endpoint.poll_send(now).unwrap();
    assert_eq!(endpoint.room(KIND, size, now), Room::Enough);
    endpoint.handle_outcome(dispatch.id, ACCEPTED, now);
    assert_eq!(endpoint.room(KIND, size, now), Room::Wanted);
    endpoint.enqueue(payload(KIND, size, 1));
    endpoint.hoard();
    assert_eq!(endpoint.room(KIND, size, now), Room::Wanted, "as much as the queue holds");
}

#[test]
fn a_full_queue_holds_back_while_its_route_works() {
    let (mut endpoint, now) = (small(), Instant::now());
    fill(&mut endpoint, 9);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Wanted);
    fill(&mut endpoint, 1);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Full);
    // What is in flight may come back.
    let sent: Vec<_> = std::iter::from_fn(|| endpoint.poll_send(now)).collect();
    assert_eq!((sent.len(), endpoint.room(KIND, BYTES, now)), (2, Room::Full));
    endpoint.handle_outcome(sent[0].id, ACCEPTED, now);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Wanted);
    assert_eq!(endpoint.ledger().evicted, Tally::default());
}

#[test]
fn a_full_queue_of_a_silent_endpoint_holds_back_nobody() {
    let (mut endpoint, now) = (small(), Instant::now());
    fill(&mut endpoint, 10);
    assert_eq!(endpoint.silent_at(), None, "it has not been asked");
    let dispatch = endpoint.poll_send(now).unwrap();
    let silent_at = endpoint.silent_at().unwrap();
    assert_eq!(silent_at, now + HOLD_BACK_TIME_MAX);
    assert_eq!(endpoint.room(KIND, BYTES, silent_at - s(1)), Room::Full);
    assert_eq!(endpoint.room(KIND, BYTES, silent_at), Room::Overflow);
    // A second request is no answer.
    assert!(endpoint.poll_send(now + s(1)).is_some());
    assert_eq!(endpoint.silent_at(), Some(silent_at));
    endpoint.handle_outcome(dispatch.id, ACCEPTED, silent_at);
    fill(&mut endpoint, 1);
    assert_eq!(endpoint.room(KIND, BYTES, silent_at), Room::Full);
}

#[test]
fn an_endpoint_that_fails_takes_what_its_queue_holds() {
    let (mut endpoint, now) = (small(), Instant::now());
    fill(&mut endpoint, 9);
    fail(&mut endpoint, now);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Spare);
    fill(&mut endpoint, 1);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Overflow);
    // The probe alone proves nothing; its answer does.
    let probed = now + s(60);
    let probe = endpoint.poll_send(probed).unwrap();
    assert_eq!(endpoint.room(KIND, BYTES, probed), Room::Overflow);
    endpoint.handle_outcome(probe.id, ACCEPTED, probed);
    assert_eq!(endpoint.room(KIND, BYTES, probed), Room::Wanted);
}

#[test]
fn a_route_that_fails_takes_no_room_from_those_that_work() {
    let (mut endpoint, now) = (small(), Instant::now());
    fill(&mut endpoint, 10);
    fail(&mut endpoint, now);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Overflow);
    assert_eq!(endpoint.room(PayloadKind::Sketches, BYTES, now), Room::Wanted);
}

/// It would leave first, and not be lost.
#[test]
fn what_has_a_file_takes_no_room() {
    let (mut endpoint, now) = (small(), Instant::now());
    for file in 0..10 {
        endpoint.restore(payload(KIND, BYTES, 1), Taken::No, Ticket(file));
    }
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Wanted);
    fill(&mut endpoint, 10);
    assert_eq!(endpoint.room(KIND, BYTES, now), Room::Full);
    assert!(endpoint.ledger().dropped.is_empty());
}

#[test]
fn an_endpoint_that_keeps_nothing_holds_back_nobody() {
    let mut without_key = endpoint(None, EndpointLimits::default());
    fill(&mut without_key, 1);
    assert_eq!(without_key.room(KIND, usize::MAX, Instant::now()), Room::Spare);
}
