//! The way from the merge to the queues, in memory and with a virtual clock: what is made when
//! intakes are slow, silent, failing or out of time.

use super::*;
use crate::forward::endpoint::{Dispatch, EndpointLimits};
use crate::forward::ledger::{DropReason, Tally};
use crate::forward::outcome::{Attempt, Cause, Taken};
use crate::limits::{HOLD_BACK_TIME_MAX, SLOTS_WAITING_MAX};
use crate::payload::{Compression, PayloadLimits};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::handover::bucket_ring;
use lastdrop_engine::ledger::{MergeLedger, ShipperCounts, encoded_balance};
use lastdrop_engine::merge::MergeSettings;
use lastdrop_engine::ring::{Mark, PacketProducer, packet_ring};
use lastdrop_engine::stop::{LaneEpochs, Patience, Running};
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::worker::{Worker, WorkerSettings};

/// Series in a payload.
const SERIES: u64 = 4;

/// Payloads that a queue holds at least.
const QUEUED: u64 = 5;

/// Payloads that a large slot makes.
const LARGE: u64 = 40;

/// Room for one payload: a series takes some 40 bytes.
const PAYLOAD_BYTES: usize = 200;

/// A shipper with a worker before it, and intakes that are played.
struct World {
    packets: PacketProducer,
    worker: Worker,
    epochs: LaneEpochs,
    shipper: Shipper,
    merged: MergeLedger,
    now: Instant,
    second: u64,
    /// Most bytes that the first endpoint ever held.
    most: usize,
}

impl World {
    fn new(endpoints: u16) -> Self {
        let (packets, records, committed) = packet_ring(0, 0);
        let (out, ring) = bucket_ring();
        let (worker, applied, _) = Worker::new(records, out, WorkerSettings::default());
        let (merge, merged) = Merge::new(vec![ring], MergeSettings::default());
        let limits = EndpointLimits {
            queue_bytes_max: usize::try_from(QUEUED).unwrap() * PAYLOAD_BYTES,
            in_flight_max: 2,
            ..EndpointLimits::default()
        };
        let outlet = |slot| {
            let id = EndpointId::new("http://played", slot);
            let endpoint = Endpoint::new(id, Some(key("0001")), limits, Rng::from_seed(7));
            Outlet::new(endpoint, None, settings(SeriesFormat::V2, None))
        };
        let payloads = PayloadSettings {
            compression: Compression::None,
            series: PayloadLimits { points_max: SERIES, ..PayloadLimits::SERIES },
            ..PayloadSettings::default()
        };
        let (poll, _) = Shipper::poll().unwrap();
        let (_, commands) = rtrb::RingBuffer::new(1);
        let (shipper, _) = Shipper::new(
            poll,
            merge,
            commands,
            (0..endpoints).map(outlet).collect(),
            Vec::new(),
            shipper_settings(payloads),
        );
        Self {
            packets,
            worker,
            epochs: LaneEpochs { committed, applied },
            shipper,
            merged,
            now: Instant::now(),
            second: 1_000_000,
            most: 0,
        }
    }

    /// A slot of so many payloads, all of them as large as they may be, and its close.
    fn slot(&mut self, payloads: u64) {
        self.sample(payloads);
        self.second += 10;
        let cutoff = Slot::containing(self.second);
        let number = cutoff.start_s() / 10;
        let mark = Mark::Close { number, cutoff, at: Stamp::from_s(self.second) };
        self.packets.mark(mark).unwrap();
        self.worker.turn();
    }

    fn sample(&mut self, payloads: u64) {
        for series in 0..payloads * SERIES {
            let line = format!("g{series:04}:1|g");
            let size = PacketProducer::record_bytes(line.len());
            let mut batch = self.packets.batch(size, size).unwrap();
            batch.push(&Datagram {
                bytes: line.as_bytes(),
                stamp: Stamp::from_s(self.second),
                transport: Transport::Udp,
                extent: Extent::Whole,
            });
            batch.commit();
            self.worker.turn();
        }
    }

    /// Ships as far as there is room; says why it stopped.
    fn ship(&mut self) -> Progress {
        self.shipper.merge.take_in();
        loop {
            let progress = self.shipper.ship(self.now);
            let held = self.endpoint(0).status().queued_bytes;
            self.most = self.most.max(held);
            if progress != Progress::Made {
                return progress;
            }
        }
    }

    fn endpoint(&mut self, number: usize) -> &mut Endpoint {
        self.shipper.outlets.endpoints().nth(number).unwrap()
    }

    /// The next request to an intake.
    fn request(&mut self, number: usize) -> Option<Dispatch> {
        let now = self.now;
        self.endpoint(number).poll_send(now)
    }

    fn answer(&mut self, number: usize, request: &Dispatch, status: u16) {
        let now = self.now;
        let attempt = Attempt::Answered { status, retry_after: None, before: Taken::No };
        assert!(self.endpoint(number).handle_outcome(request.id, attempt, now).is_some());
    }

    /// The intake answers one request.
    fn serve(&mut self, number: usize, status: u16) -> bool {
        let request = self.request(number);
        if let Some(request) = &request {
            self.answer(number, request, status);
        }
        request.is_some()
    }

    /// The intake accepts one request after another, and as there is room more are made.
    fn serve_all(&mut self, number: usize) -> Progress {
        loop {
            let progress = self.ship();
            if !self.serve(number, 202) {
                return progress;
            }
        }
    }

    fn counts(&self) -> ShipperCounts {
        *self.shipper.encoder.counts()
    }

    /// That nothing of so many payloads was lost anywhere.
    #[track_caller]
    fn has_delivered(&mut self, number: usize, payloads: u64) {
        let series = payloads * SERIES;
        let tally = Tally { payloads, items: series, points: series };
        let endpoint = self.endpoint(number);
        assert_eq!((endpoint.balance(), endpoint.is_idle()), (Ok(()), true));
        let ledger = endpoint.ledger();
        assert_eq!((ledger.accepted, ledger.evicted), (tally, Tally::default()), "{ledger:?}");
        assert!(ledger.dropped.is_empty(), "{ledger:?}");
    }

    /// The time for the stop is over.
    fn leave(self) -> (ShipperCounts, Vec<Endpoint>) {
        let Self { packets, mut worker, epochs, mut shipper, merged, second, .. } = self;
        let seal = packets.seal(Stamp::from_s(second)).unwrap();
        worker.turn();
        let drained = Running::new(vec![epochs]).seal(vec![seal]).drained(Patience::Left).unwrap();
        let _flushed = shipper.leave_rest(drained);
        let counts = *shipper.encoder.counts();
        let balance = encoded_balance(&merged.read(), &counts);
        assert!(balance.holds(), "{balance:?}");
        shipper.settle(Instant::now());
        (counts, shipper.outlets.into_endpoints())
    }
}

#[test]
fn a_slow_intake_gets_all_of_a_slot_that_its_queue_could_not_hold() {
    let mut world = World::new(1);
    world.slot(LARGE);
    assert_eq!(world.ship(), Progress::Waits);
    // Nothing is made as long as nothing is answered.
    world.now += HOLD_BACK_TIME_MAX * 2;
    let made = world.counts().payloads;
    assert_eq!((world.ship(), world.counts().payloads), (Progress::Waits, made));
    assert_eq!(world.serve_all(0), Progress::Done);
    world.has_delivered(0, LARGE);
    assert!(world.most <= 5 * PAYLOAD_BYTES, "{}", world.most);
}

#[test]
fn slots_that_wait_for_a_slow_intake_are_delivered_in_turn() {
    let mut world = World::new(1);
    for _ in 0..=SLOTS_WAITING_MAX {
        world.slot(LARGE);
        assert_eq!(world.ship(), Progress::Waits);
    }
    let slots = u64::try_from(SLOTS_WAITING_MAX).unwrap() + 1;
    assert_eq!(world.serve_all(0), Progress::Done);
    world.has_delivered(0, slots * LARGE);
}

/// A flush counts as done once it is in the queues, not when the merge has come to its end.
#[test]
fn a_flush_is_whole_when_its_last_payload_is_queued() {
    let mut world = World::new(1);
    world.sample(LARGE);
    let at = Stamp::from_s(world.second);
    world.packets.mark(Mark::Flush { number: 1, at }).unwrap();
    world.worker.turn();
    assert_eq!((world.ship(), world.shipper.flushed), (Progress::Waits, 0));
    assert_eq!((world.serve_all(0), world.shipper.flushed), (Progress::Done, 1));
}

#[test]
fn more_slots_than_may_wait_push_the_oldest_out_of_the_queue() {
    let mut world = World::new(1);
    let slots = u64::try_from(SLOTS_WAITING_MAX).unwrap() + 2;
    for _ in 0..slots {
        world.slot(LARGE);
        assert_eq!(world.ship(), Progress::Waits);
    }
    // The first is in the queue, as far as there was room; the others wait.
    let ledger = world.endpoint(0).ledger().clone();
    let evicted = ledger.evicted.payloads;
    assert!((1..=LARGE).contains(&evicted), "{ledger:?}");
    assert_eq!(world.serve_all(0), Progress::Done);
    let ledger = world.endpoint(0).ledger();
    assert_eq!(ledger.evicted.payloads, evicted);
    assert_eq!(ledger.dropped[&DropReason::QueueFull].payloads, evicted);
    assert_eq!(ledger.accepted.payloads, slots * LARGE - evicted);
}

#[test]
fn a_dead_intake_does_not_hold_back_the_other() {
    let mut world = World::new(2);
    world.slot(LARGE);
    world.ship();
    assert!(world.serve(0, 503));
    assert_eq!(world.serve_all(1), Progress::Done);
    world.has_delivered(1, LARGE);
    let ledger = world.endpoint(0).ledger().clone();
    let lost = ledger.dropped[&DropReason::QueueFull].payloads;
    assert!((LARGE - QUEUED * 2..LARGE).contains(&lost), "{ledger:?}");
    assert_eq!(world.endpoint(0).balance(), Ok(()));
}

#[test]
fn a_silent_intake_does_not_hold_back_the_other_for_long() {
    let mut world = World::new(2);
    world.slot(LARGE);
    world.ship();
    assert!(world.request(0).is_some());
    assert_eq!(world.serve_all(1), Progress::Waits);
    let silent_at = world.shipper.ship_at(Progress::Waits, world.now);
    assert_eq!(silent_at, Some(world.now + HOLD_BACK_TIME_MAX));
    world.now += HOLD_BACK_TIME_MAX;
    assert_eq!(world.serve_all(1), Progress::Done);
    world.has_delivered(1, LARGE);
}

/// One failure, and the intake is well again: that must not cost what its queue can't hold.
#[test]
fn an_outage_costs_nothing_while_slots_may_wait() {
    let mut world = World::new(1);
    world.slot(LARGE);
    world.ship();
    assert!(world.serve(0, 503));
    for _ in 0..SLOTS_WAITING_MAX {
        world.slot(1);
        assert_eq!(world.ship(), Progress::Waits);
    }
    world.now += Duration::from_secs(60);
    assert_eq!(world.serve_all(0), Progress::Done);
    world.has_delivered(0, LARGE + u64::try_from(SLOTS_WAITING_MAX).unwrap());
}

#[test]
fn what_is_not_encoded_when_the_time_is_over_is_counted_to_the_last_point() {
    let mut world = World::new(1);
    world.slot(LARGE);
    world.ship();
    assert!(world.serve(0, 202));
    world.ship();
    // And another slot, that is open.
    world.sample(LARGE);
    let (counts, endpoints) = world.leave();
    let ledger = endpoints[0].ledger();
    let left = ledger.left[&Cause::NeverTried];
    assert_eq!(ledger.accepted.points, SERIES);
    assert!((1..LARGE).contains(&left.payloads), "{ledger:?}");
    assert_eq!(counts.left, 2 * LARGE * SERIES - ledger.accepted.points - left.points);
    assert_eq!(ledger.evicted, Tally::default());
    assert_eq!(endpoints[0].balance(), Ok(()));
}
