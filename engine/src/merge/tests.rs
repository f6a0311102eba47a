//! Marks that come in another order, or not at all: several receivers, and workers that are gone.

use super::*;
use crate::datagram::{Datagram, Extent, Transport};
use crate::handover::bucket_ring;
use crate::limits::SILENT_CONTEXT_BYTES_FIXED;
use crate::ring::{Mark, PacketProducer, packet_ring};
use crate::stop::{LaneEpochs, Patience, Running};
use crate::worker::{Worker, WorkerSettings};
use proptest::collection::vec;
use proptest::prelude::*;

/// Workers that each have a receiver of their own.
struct Lanes {
    lanes: Vec<(PacketProducer, Worker)>,
    running: Running,
    merge: Merge,
    /// Name, second and value, as they left.
    points: Vec<(String, i64, f64)>,
}

impl Lanes {
    fn new(count: usize) -> Self {
        Self::with(count, MergeSettings::default())
    }

    fn with(count: usize, settings: MergeSettings) -> Self {
        let (mut lanes, mut epochs, mut rings) = (Vec::new(), Vec::new(), Vec::new());
        for lane in 0..count {
            let (packets, consumer, committed) = packet_ring(lane, 0);
            let (out, ring) = bucket_ring();
            let (worker, applied, _) = Worker::new(consumer, out, WorkerSettings::default());
            lanes.push((packets, worker));
            epochs.push(LaneEpochs { committed, applied });
            rings.push(ring);
        }
        let (merge, _) = Merge::new(rings, settings);
        Self { lanes, running: Running::new(epochs), merge, points: Vec::new() }
    }

    fn push(&mut self, lane: usize, line: &str, second: u64) {
        let (packets, worker) = &mut self.lanes[lane];
        let size = PacketProducer::record_bytes(line.len());
        let mut batch = packets.batch(size, size).unwrap();
        batch.push(&Datagram {
            bytes: line.as_bytes(),
            stamp: Stamp::from_s(second),
            transport: Transport::Udp,
            extent: Extent::Whole,
        });
        batch.commit();
        worker.turn();
    }

    fn close(&mut self, lane: usize, second: u64) {
        let cutoff = Slot::containing(second);
        let number = cutoff.start_s() / Slot::SECONDS;
        self.mark(lane, Mark::Close { number, cutoff, at: Stamp::from_s(second) });
    }

    fn flush(&mut self, lane: usize, number: u64, second: u64) {
        self.mark(lane, Mark::Flush { number, at: Stamp::from_s(second) });
    }

    fn mark(&mut self, lane: usize, mark: Mark) {
        let (packets, worker) = &mut self.lanes[lane];
        packets.mark(mark).unwrap();
        worker.turn();
    }

    /// The points that leave now.
    fn ship(&mut self) -> Vec<(i64, f64)> {
        self.merge.take_in();
        let before = self.points.len();
        while self.merge.flush_closed(&mut |item| note(&mut self.points, item)) {}
        self.points[before..].iter().map(|(_, second, value)| (*second, *value)).collect()
    }

    /// Ships so many pieces of what is due.
    fn ship_pieces(&mut self, count: usize) {
        self.merge.take_in();
        for _ in 0..count {
            self.merge.ship_next(&mut |item| note(&mut self.points, item));
        }
    }

    fn finish(mut self, second: u64) -> Vec<(String, i64, f64)> {
        let at = Stamp::from_s(second);
        let mut seals = Vec::new();
        for (packets, mut worker) in self.lanes {
            seals.push(packets.seal(at).unwrap());
            worker.turn();
        }
        let drained = self.running.seal(seals).drained(Patience::Left).unwrap();
        self.merge.finish(drained, &mut |item| note(&mut self.points, item));
        self.points
    }
}

fn note(points: &mut Vec<(String, i64, f64)>, item: Item<'_>) {
    let Item::Series(series) = item else { panic!("only series are sampled") };
    let [point] = series.points else { panic!("one point a series") };
    points.push((series.name.to_owned(), point.second, point.value));
}

/// What is counted at three places, at a flush that leaves some of it open: a worker's own time is
/// ahead, and the other worker has gone on.
#[test]
fn the_books_balance_at_a_mark_whatever_is_open() {
    let mut lanes = Lanes::new(2);
    lanes.push(0, "c:1|c", 1001);
    lanes.push(0, "future:1|g|T1030", 1002);
    lanes.push(1, "c:1|c\nnonsense", 1002);
    lanes.mark(0, Mark::Received { datagrams: 2 });
    lanes.flush(0, 1, 1003);
    lanes.mark(1, Mark::Received { datagrams: 1 });
    lanes.flush(1, 1, 1003);
    lanes.push(1, "c:1|c", 1004);
    assert_eq!(lanes.ship().len(), 1);
    let balances: Vec<_> = lanes.merge.balances();
    let sides = balances.iter().map(|one| (one.name, one.left, one.right));
    assert_eq!(
        sides.collect::<Vec<_>>(),
        [
            ("datagrams", 3, 3),
            ("lines", 4, 4),
            ("samples", 3, 3),
            ("buckets", 3, 3),
            ("passed", 0, 0),
            ("merged", 2, 2),
            ("passed_on", 0, 0),
        ]
    );
}

/// A datagram that was received and never applied.
#[test]
#[should_panic(expected = "balances")]
#[cfg(not(feature = "planted-faults"))]
fn books_that_do_not_balance_stop_a_debug_build_at_the_next_mark() {
    let mut lanes = Lanes::new(1);
    lanes.mark(0, Mark::Received { datagrams: 1 });
    lanes.close(0, 1010);
    lanes.ship();
}

#[test]
fn a_slot_ships_when_the_last_worker_has_closed_it() {
    let mut lanes = Lanes::new(2);
    lanes.push(0, "c:10|c", 1001);
    lanes.push(1, "c:20|c", 1002);
    lanes.close(0, 1010);
    assert_eq!(lanes.ship(), []);
    lanes.push(0, "c:40|c", 1011);
    lanes.close(0, 1020);
    assert_eq!(lanes.ship(), []);
    lanes.close(1, 1010);
    assert_eq!(lanes.ship(), [(1000, 3.0)]);
    lanes.close(1, 1020);
    assert_eq!(lanes.ship(), [(1010, 4.0)]);
}

#[test]
fn a_flush_ships_open_slots_when_the_last_worker_has_come_to_it() {
    let mut lanes = Lanes::new(2);
    lanes.push(0, "c:10|c", 1001);
    lanes.push(1, "g:2|g", 1002);
    lanes.flush(0, 1, 1003);
    lanes.push(0, "c:20|c", 1004);
    assert_eq!(lanes.ship(), []);
    lanes.flush(1, 1, 1003);
    assert_eq!(lanes.ship(), [(1000, 1.0), (1000, 2.0)]);
    lanes.push(1, "g:3|g", 1005);
    lanes.close(0, 1010);
    lanes.close(1, 1010);
    assert_eq!(lanes.ship(), [(1003, 2.0), (1003, 3.0)]);
    lanes.close(0, 1020);
    lanes.close(1, 1020);
    assert_eq!(lanes.ship(), [(1010, 0.0)]);
}

#[test]
fn a_slot_that_was_flushed_gets_no_zeros_at_its_close() {
    let mut lanes = Lanes::new(1);
    lanes.push(0, "c:10|c", 1001);
    lanes.flush(0, 1, 1003);
    assert_eq!(lanes.ship(), [(1000, 1.0)]);
    lanes.close(0, 1010);
    assert_eq!(lanes.ship(), []);
}

#[test]
fn a_late_sample_brings_no_zeros_over_what_was_shipped() {
    let mut lanes = Lanes::new(1);
    lanes.push(0, "c:10|c", 1001);
    lanes.close(0, 1010);
    assert_eq!(lanes.ship(), [(1000, 1.0)]);
    lanes.push(0, "g:1|g|T1003", 1012);
    lanes.close(0, 1020);
    assert_eq!(lanes.ship(), [(1000, 1.0)]);
}

/// A client that makes up a hundred names a slot, for ten minutes: those that wait for the end of
/// their zeros stay within their bound, and whoever goes on sending is never among them.
#[test]
fn counters_that_are_silent_stay_within_their_bound() {
    const IDLE_BYTES_MAX: usize = 50_000;
    let bounded = MergeSettings { idle_bytes_max: IDLE_BYTES_MAX, ..MergeSettings::default() };
    let mut lanes = Lanes::with(1, bounded);
    let mut most = 0;
    for slot in 100..160 {
        for name in 0..100 {
            lanes.push(0, &format!("made.up.{slot}.{name}:1|c"), slot * 10 + 1);
        }
        lanes.push(0, "steady:10|c", slot * 10 + 2);
        lanes.close(0, slot * 10 + 10);
        lanes.ship();
        most = most.max(lanes.merge.contexts.live);
    }
    // Three slots are known to the worker, for a context lives 20 s.
    assert!(most < 4 * 100 + IDLE_BYTES_MAX / SILENT_CONTEXT_BYTES_FIXED, "{most}");
    let cut_short = lanes.merge.counts.zeros_cut_short;
    // Those that wait come to the end of their zeros once in the ten minutes, and make room.
    let kept = (4 * 100 + 2 * IDLE_BYTES_MAX / SILENT_CONTEXT_BYTES_FIXED) as u64;
    assert!(cut_short > 60 * 100 - kept, "{cut_short}");
    let steady = lanes.points.iter().filter(|(name, ..)| name == "steady");
    assert!(steady.clone().all(|(_, _, value)| *value == 1.0));
    assert_eq!(steady.count(), 60);
}

#[test]
fn zeros_are_due_from_the_latest_sample_that_any_worker_has_seen() {
    let settings = MergeSettings { counter_expiry_s: 5, ..MergeSettings::default() };
    for latest in 0..2 {
        let mut lanes = Lanes::with(2, settings.clone());
        lanes.push(latest, "c:1|c", 1008);
        lanes.push(1 - latest, "c:1|c", 1001);
        for second in [1010, 1020, 1030] {
            (0..2).for_each(|lane| lanes.close(lane, second));
        }
        assert_eq!(lanes.ship(), [(1000, 0.2), (1010, 0.0)]);
    }
}

#[test]
fn the_busiest_context_and_the_widest_name_stand_first() {
    let mut lanes = Lanes::new(2);
    for (lane, line) in
        [(0, "a:1:2:3|c|#k:1"), (1, "a:1:2|c|#k:1"), (0, "b:1|d"), (1, "a:1|c|#k:2")]
    {
        lanes.push(lane, line, 1001);
    }
    (0..2).for_each(|lane| lanes.close(lane, 1010));
    lanes.merge.take_in();
    while lanes.merge.flush_closed(&mut |_| {}) {}
    let top = lanes.merge.top(1);
    let [(busiest, samples)] = &top.busiest[..] else { panic!("one was asked for") };
    assert_eq!(
        (busiest.get().name(), busiest.get().tags().next(), *samples),
        ("a", Some("k:1"), 5)
    );
    assert_eq!(top.widest, [("a".to_owned(), 2)]);
    assert_eq!(lanes.merge.top(9).busiest.len(), 3);
    lanes.merge.contexts.note_samples(0, u32::MAX);
    assert_eq!(lanes.merge.top(1).busiest[0].1, u64::from(u32::MAX));
}

#[test]
fn a_worker_that_is_gone_holds_nobody_back() {
    let mut lanes = Lanes::new(2);
    lanes.push(0, "c:10|c", 1001);
    lanes.push(1, "c:20|c", 1001);
    lanes.lanes.pop();
    lanes.close(0, 1010);
    assert_eq!(lanes.ship(), [(1000, 1.0)]);
}

/// Whoever takes what leaves does so at leisure: meanwhile the workers close two more slots, which
/// wait, and are known to.
#[test]
fn a_slot_that_leaves_slowly_keeps_those_behind_it_waiting() {
    let mut lanes = Lanes::new(2);
    for second in [1001, 1011, 1021] {
        for name in ["a", "b", "c"] {
            lanes.push(0, &format!("{name}:{second}|g"), second);
        }
        (0..2).for_each(|lane| lanes.close(lane, second + 9));
        // The begin of the shipment, its slot, and one context.
        lanes.ship_pieces(if second == 1001 { 3 } else { 0 });
    }
    assert_eq!(lanes.points, [("a".to_owned(), 1000, 1001.0)]);
    assert_eq!(lanes.merge.closes_behind(), 2);
    lanes.push(1, "late:1|g", 1031);
    lanes.close(1, 1040);
    lanes.ship_pieces(0);
    assert_eq!(lanes.merge.closes_behind(), 2, "only what all workers have closed");
    lanes.ship();
    assert_eq!(lanes.merge.closes_behind(), 0);
    let points = lanes.finish(1040);
    let seconds: Vec<_> = points.iter().map(|(_, second, _)| *second).collect();
    assert_eq!(seconds, [1000, 1000, 1000, 1010, 1010, 1010, 1020, 1020, 1020, 1030]);
}

#[derive(Clone, Debug)]
enum Step {
    Sample,
    Close,
    Flush,
    Pass(u64),
}

/// Lane, step, and how many pieces are taken of what is due after it.
fn steps() -> impl Strategy<Value = Vec<(usize, Step, usize)>> {
    let step = prop_oneof![
        4 => Just(Step::Sample),
        2 => Just(Step::Close),
        2 => Just(Step::Flush),
        2 => (0_u64..8).prop_map(Step::Pass),
    ];
    let pieces = prop_oneof![0_usize..6, Just(100)];
    vec((0_usize..2, step, pieces), 0..60)
}

proptest! {
    /// For all orders in which two receivers make their marks, and however slowly what is due is
    /// taken: once both have made all of them, everything has shipped, and nothing twice.
    #[test]
    fn receivers_may_make_their_marks_in_any_order(steps in steps()) {
        let mut lanes = Lanes::new(2);
        let (mut now_s, mut flushes, mut sent) = (1000, [0, 0], 0.0);
        for (lane, step, pieces) in steps {
            match step {
                Step::Sample => {
                    lanes.push(lane, "c:10|c", now_s);
                    sent += 1.0;
                }
                Step::Close => lanes.close(lane, now_s),
                Step::Flush => {
                    flushes[lane] += 1;
                    lanes.flush(lane, flushes[lane], now_s);
                }
                Step::Pass(seconds) => now_s += seconds,
            }
            lanes.ship_pieces(pieces);
        }
        // What one of them has still to do.
        for lane in 0..2 {
            for number in flushes[lane]..flushes[1 - lane] {
                lanes.flush(lane, number + 1, now_s);
            }
            lanes.close(lane, now_s + 10);
        }
        lanes.ship();
        let shipped: f64 = lanes.points.iter().map(|(_, _, value)| value).sum();
        prop_assert_eq!(shipped, sent);
        let mut points = lanes.finish(now_s + 10);
        points.sort_by(|one, other| one.partial_cmp(other).unwrap());
        let twice = points.windows(2).any(|pair| pair[0].1 == pair[1].1);
        prop_assert!(!twice, "{:?}", points);
    }
}
