//! The model check of the drain: every interleaving, up to a number of preemptions, of receiver,
//! worker and flusher over the shipped rings, epochs, wake-ups and stop types and the real `rtrb`.
//!
//! `.ci/loom` runs it. It needs `--cfg lastdrop_loom` and a copy of `rtrb` whose atomics are the
//! checker's. Nothing that ships is replaced by a model, but for one: the scenarios whose buckets the
//! checker watches have a worker of their own (`loom/model.rs`), which takes the same steps as the
//! shipped one; the shipped one runs in a scenario without such cells.
//!
//! A thread that waits in a loop and a bound on preemptions do not go together. So the drain's
//! threads take a bounded number of steps, and what is asserted are implications: *if* the flusher
//! has the proof, everything is there. Where sleeping is what is checked, a thread blocks for good
//! unless it is woken, and the checker reports the deadlock.

#![cfg(lastdrop_loom)]

#[path = "loom/model.rs"]
mod model;

use lastdrop_engine::handover::{BucketConsumer, Handover, bucket_ring};
use lastdrop_engine::merge::{Item, Merge, MergeSettings};
use lastdrop_engine::ring::{Mark, PacketProducer, packet_ring};
use lastdrop_engine::stop::{Drained, Lane as Proof, LaneEpochs, Patience, Running, ShortReason};
use lastdrop_engine::wake::sleeper;
use lastdrop_engine::worker::{Turn, Worker, WorkerSettings};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use model::{Cells, Lane, NOW, Preemptions, Sent, Token, check, datagram, is_full, mutant};
use std::process::Command;
use std::sync::Arc;

// ── The drain ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_drained_lane_is_complete() {
    check(Preemptions { quick: 3, full: 3 }, || {
        drain(&[&[2, 1]], &[Patience::Left, Patience::Spent])
    });
}

#[test]
fn a_drained_lane_of_single_records_is_complete() {
    check(Preemptions { quick: 3, full: 4 }, || drain(&[&[1, 1, 1]], &[Patience::Left]));
}

#[test]
fn two_lanes_are_drained_when_both_are() {
    check(Preemptions { quick: 2, full: 3 }, || drain(&[&[1], &[1]], &[Patience::Left]));
    if is_full() {
        check(Preemptions { quick: 2, full: 2 }, || drain(&[&[1, 1], &[2]], &[Patience::Left]));
    }
}

/// One receiver sends batches of these sizes through each lane and seals; each lane has a worker;
/// the flusher compares the epochs until its patience is spent, and believes what that says.
fn drain(batches: &[&'static [usize]], looks: &[Patience]) {
    let records: Vec<usize> = batches.iter().map(|lane| lane.iter().sum()).collect();
    let (mut receivers, mut workers) = (Vec::new(), Vec::new());
    let (mut epochs, mut ends) = (Vec::new(), Vec::new());
    for (number, (&batches, &records)) in batches.iter().zip(&records).enumerate() {
        let lane = Lane::new(number, records);
        receivers.push((lane.receiver, batches));
        epochs.push(lane.epochs);
        ends.push((lane.handovers, lane.cells));
        let turns = batches.len() + 1;
        workers.push(thread::spawn(move || lane.worker.run(turns)));
    }
    if mutant("model_worker_skipped") {
        epochs[0].applied = epochs.last().expect("a lane").applied.clone();
    }
    let receiver = thread::spawn(move || {
        let seal = |(mut lane, batches): (model::Receiver, &[usize])| {
            batches.iter().for_each(|&records| lane.send(records));
            lane.packets.seal(NOW).expect("a ring of 64 KiB has room")
        };
        receivers.into_iter().map(seal).collect()
    });
    let mut sealed = Running::new(epochs).seal(receiver.join().expect("the receiver lives"));
    for &patience in looks {
        match sealed.drained(patience) {
            Ok(drained) => {
                hold_to(&drained, patience, &records, &mut ends);
                break;
            }
            Err(not_yet) => sealed = not_yet,
        }
    }
    let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
    drop((ended, ends));
}

/// Asserts what the comparison says of each lane, by reading all that it says is there.
fn hold_to(
    drained: &Drained,
    patience: Patience,
    records: &[usize],
    ends: &mut [(BucketConsumer, Arc<Cells>)],
) {
    assert_eq!(drained.lanes().len(), records.len());
    for ((&lane, &records), (handovers, cells)) in drained.lanes().iter().zip(records).zip(ends) {
        match lane {
            Proof::Proved { epoch } => {
                assert_eq!(epoch, records as u64 + 1, "the seal is the last record");
                assert_eq!(cells.missing(records), 0, "drained, and a record is not applied");
                assert!(is_sealed(handovers), "drained, and a bucket is not handed over");
            }
            Proof::Short { reason, unapplied } => {
                let deadline = reason == ShortReason::Deadline;
                assert!(!deadline || patience == Patience::Spent, "given up with patience left");
                let applied = records.min(records + 1 - unapplied as usize);
                assert_eq!(cells.missing(applied), 0, "short by more than it says");
            }
        }
    }
}

fn is_sealed(handovers: &mut BucketConsumer) -> bool {
    std::iter::from_fn(|| handovers.pop()).any(|next| matches!(next, Handover::Sealed { .. }))
}

#[test]
fn a_flush_on_demand_covers_all_that_came_before_it() {
    check(Preemptions { quick: 3, full: 4 }, || {
        let Lane { mut receiver, worker, epochs, mut handovers, cells } = Lane::new(0, 3);
        let receiver = thread::spawn(move || {
            receiver.send(1);
            receiver.send(1);
            receiver.packets.mark(Mark::Flush { number: 7, at: NOW }).expect("room");
            receiver.send(1);
            receiver
        });
        let worker = thread::spawn(move || worker.run(4));
        for _ in 0..2 {
            if epochs.applied.observe().epoch >= 3 {
                assert_eq!(cells.missing(2), 0, "flushed, and a record is not applied");
                let flushed = handovers.pop();
                assert!(
                    matches!(flushed, Some(Handover::Flushed { number: 7, .. })),
                    "{flushed:?}"
                );
                break;
            }
        }
        let ends = (receiver.join(), worker.join());
        drop((ends, handovers));
    });
}

#[test]
fn a_worker_that_ends_without_a_seal_leaves_nothing() {
    check(Preemptions { quick: 3, full: 4 }, || {
        let Lane { mut receiver, worker, epochs, mut handovers, cells } = Lane::new(0, 2);
        let receiver = thread::spawn(move || {
            receiver.send(1);
            receiver.send(1);
            // Dropped unsealed, as by a panic.
        });
        let worker = thread::spawn(move || worker.run(4));
        let (last, ends) = worker.join().expect("the worker lives");
        if last == Turn::Ended {
            assert_eq!(cells.missing(2), 0, "ended, and a record is not applied");
            assert!(is_sealed(&mut handovers), "ended, and a bucket is not handed over");
        }
        receiver.join().expect("the receiver ends");
        let drained = Running::new(vec![epochs]).seal(Vec::new()).drained(Patience::Left);
        let lanes = drained.expect("the worker is gone").lanes().to_vec();
        let short = matches!(lanes[..], [Proof::Short { reason: ShortReason::ReceiverGone, .. }]);
        assert!(short, "a lane without a seal is never proved: {lanes:?}");
        drop((ends, handovers));
    });
}

// ── The shipped worker and merge ─────────────────────────────────────────────────────────────────

#[test]
fn the_shipped_worker_and_merge_lose_nothing() {
    check(Preemptions { quick: 2, full: 3 }, || {
        let (mut packets, consumer, committed) = packet_ring(0, 0);
        let (out, handovers) = bucket_ring();
        let (mut worker, applied, ledger) = Worker::new(consumer, out, WorkerSettings::default());
        let (mut merge, _) = Merge::new(vec![handovers], MergeSettings::default());
        let receiver = thread::spawn(move || {
            for message in [b"hits:1|c", b"hits:2|c"] {
                let bytes = PacketProducer::record_bytes(message.len());
                let mut batch = packets.batch(bytes, bytes).expect("room");
                batch.push(&datagram(message));
                batch.commit();
            }
            packets.seal(NOW).expect("room")
        });
        let worker = thread::spawn(move || {
            let ended = (0..3).any(|_| worker.turn() == Turn::Ended);
            (ended, worker)
        });
        let seal = receiver.join().expect("the receiver lives");
        let sealed = Running::new(vec![LaneEpochs { committed, applied }]).seal(vec![seal]);
        if let Ok(drained) = sealed.drained(Patience::Left) {
            assert_eq!(drained.lanes(), [Proof::Proved { epoch: 3 }]);
            assert_eq!(ledger.read().datagrams, 2, "counters are as new as the epoch");
            let mut sum = 0.0;
            merge.finish(drained, &mut |item| {
                if let Item::Series(series) = item {
                    sum += series.points.iter().map(|point| point.value).sum::<f64>() * 10.0;
                }
            });
            assert_eq!(sum.round(), 3.0, "drained, and a sample is not flushed");
        }
        let worker = worker.join();
        drop((worker, merge));
    });
}

// ── Sleeping and waking ──────────────────────────────────────────────────────────────────────────

#[test]
fn neither_receiver_nor_worker_sleeps_while_there_is_work() {
    check(Preemptions { quick: 3, full: 4 }, || pass_through_small_ring(2));
}

/// A receiver that sleeps while the ring is full and a worker that sleeps while it is empty, with a
/// ring of one record: a wake-up that is lost is a deadlock.
fn pass_through_small_ring(records: usize) {
    let Lane { mut receiver, mut worker, epochs, handovers, cells } = Lane::new(0, records);
    let (receiver_sleeper, receiver_flag) = sleeper();
    let (worker_sleeper, worker_flag) = sleeper();
    let (receiver_token, worker_token) = (Token::new(), Token::new());
    let (notify_receiver, notify_worker) = (receiver_token.clone(), worker_token.clone());
    let room = receiver_flag.waker(move || notify_receiver.notify());
    let data = worker_flag.waker(move || notify_worker.notify());
    let worker = thread::spawn(move || {
        loop {
            let turn = worker.turn();
            room.wake();
            match turn {
                Turn::Applied => {}
                Turn::Idle => {
                    let has_work = || worker.packets.is_abandoned() || !worker.packets.is_empty();
                    let has_work = || !mutant("model_no_second_look") && has_work();
                    worker_sleeper.sleep_unless(has_work, || worker_token.block());
                }
                Turn::Ended => return worker,
            }
        }
    });
    for _ in 0..records {
        while receiver.send_into_empty_ring() == Sent::Nothing {
            receiver_sleeper.sleep_unless(|| receiver.has_room(), || receiver_token.block());
        }
        data.wake();
    }
    if mutant("model_wake_before_change") {
        data.wake();
    }
    let seal = receiver.packets.seal(NOW).expect("room for a mark");
    if !mutant("model_wake_before_change") {
        data.wake();
    }
    let worker = worker.join().expect("the worker lives");
    let drained = Running::new(vec![epochs]).seal(vec![seal]).drained(Patience::Left);
    let proved = Proof::Proved { epoch: records as u64 + 1 };
    assert_eq!(drained.expect("the worker has ended").lanes(), [proved]);
    assert_eq!(cells.missing(records), 0);
    drop((worker, handovers));
}

#[test]
fn of_two_wakers_none_relies_on_the_other() {
    check(Preemptions { quick: 3, full: 4 }, || {
        let (sleeper, flag) = sleeper();
        let token = Token::new();
        let changes = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let wakers = changes.clone().map(|change| {
            let notified = token.clone();
            let waker = flag.clone().waker(move || notified.notify());
            thread::spawn(move || {
                // Relaxed: what makes the change visible in time is the wake-up.
                change.store(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        let seen = || changes.iter().map(|change| change.load(Ordering::Relaxed)).sum::<u64>();
        loop {
            let before = seen();
            if before == 2 {
                break;
            }
            sleeper.sleep_unless(|| seen() > before, || token.block());
        }
        for waker in wakers {
            waker.join().expect("the waker lives");
        }
    });
}

// ── The check checked ────────────────────────────────────────────────────────────────────────────

/// How a mistake shows.
const RACE: &str = "Causality violation";
const DEADLOCK: &str = "deadlock; threads";
const NOT_APPLIED: &str = "a record is not applied";
const NOT_HANDED_OVER: &str = "a bucket is not handed over";
const SHORT_BY_MORE: &str = "short by more than it says";
const GIVEN_UP: &str = "given up with patience left";

/// Each mistake, the scenario that finds it, and what that says.
const MUTANTS: [(&str, &str, &str); 19] = [
    // epoch.rs
    ("epoch_publish", "a_drained_lane_is_complete", RACE),
    ("epoch_observe", "a_drained_lane_is_complete", RACE),
    ("epoch_gone", "a_drained_lane_is_complete", RACE),
    ("epoch_publish", "a_flush_on_demand_covers_all_that_came_before_it", RACE),
    ("epoch_publish", "the_shipped_worker_and_merge_lose_nothing", "counters are as new"),
    // wake.rs
    ("wake_sleeper_fence", "neither_receiver_nor_worker_sleeps_while_there_is_work", DEADLOCK),
    ("wake_waker_fence", "neither_receiver_nor_worker_sleeps_while_there_is_work", DEADLOCK),
    ("wake_sleeper_fence", "of_two_wakers_none_relies_on_the_other", DEADLOCK),
    ("wake_waker_fence", "of_two_wakers_none_relies_on_the_other", DEADLOCK),
    // stop.rs
    ("stop_lane_skipped", "two_lanes_are_drained_when_both_are", GIVEN_UP),
    // The copy of rtrb.
    ("rtrb_publish", "a_drained_lane_is_complete", RACE),
    ("rtrb_abandon", "a_worker_that_ends_without_a_seal_leaves_nothing", NOT_APPLIED),
    // The model's order of steps.
    ("model_epoch_before_effect", "a_drained_lane_is_complete", RACE),
    ("model_epoch_of_batch_early", "a_drained_lane_is_complete", RACE),
    ("model_epoch_before_handover", "a_drained_lane_is_complete", NOT_HANDED_OVER),
    (
        "model_ring_before_abandoned",
        "a_worker_that_ends_without_a_seal_leaves_nothing",
        NOT_APPLIED,
    ),
    ("model_worker_skipped", "two_lanes_are_drained_when_both_are", SHORT_BY_MORE),
    (
        "model_wake_before_change",
        "neither_receiver_nor_worker_sleeps_while_there_is_work",
        DEADLOCK,
    ),
    ("model_no_second_look", "neither_receiver_nor_worker_sleeps_while_there_is_work", DEADLOCK),
];

#[test]
fn every_mutant_is_caught() {
    let this = std::env::current_exe().expect("the path of this test");
    let mut survivors = Vec::new();
    for (mutant, scenario, sign) in MUTANTS {
        let mut run = Command::new(&this);
        run.args([scenario, "--exact", "--nocapture"])
            .env("LASTDROP_MUTANT", mutant)
            .env("RUST_BACKTRACE", "0");
        let outcome = run.output().expect("this test starts again");
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned()
            + &String::from_utf8_lossy(&outcome.stdout);
        let caught = !outcome.status.success() && said.contains(sign);
        println!("{} {mutant:30} {scenario}", if caught { "caught  " } else { "SURVIVED" });
        if !caught {
            survivors.push((mutant, scenario, said));
        }
    }
    assert!(survivors.is_empty(), "{survivors:#?}");
}

#[test]
fn every_mutant_is_in_the_list() {
    let sources = [
        include_str!("../src/epoch.rs"),
        include_str!("../src/ring.rs"),
        include_str!("../src/stop.rs"),
        include_str!("../src/wake.rs"),
        include_str!("loom.rs"),
        include_str!("loom/model.rs"),
    ];
    let call = ["mutant", "(", "\""].concat();
    for name in sources.iter().flat_map(|source| source.split(&call).skip(1)) {
        let name = name.split('"').next().unwrap_or_default();
        assert!(MUTANTS.iter().any(|(mutant, ..)| *mutant == name), "{name} is never planted");
    }
}
