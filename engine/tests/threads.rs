//! The engine in real threads: a receiver, two workers and the merge, with rings so small and sleeps
//! so frequent that everybody waits for everybody, and not one sample is lost.
//!
//! And contexts in two threads: one reads their texts while the other adds and removes others.
//!
//! `.ci/tsan` runs both under the thread sanitizer, with a million messages.

use lastdrop_engine::context::{Context, Contexts, Identity};
use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::handover::bucket_ring;
use lastdrop_engine::limits::PACKET_RING_BYTES_MIN;
use lastdrop_engine::merge::{Item, Merge, MergeSettings};
use lastdrop_engine::ring::{LaneSeal, Mark, PacketProducer, packet_ring};
use lastdrop_engine::series::Series;
use lastdrop_engine::stop::{Lane as Proof, LaneEpochs, Patience, Running};
use lastdrop_engine::time::{Slot, Stamp};
use lastdrop_engine::wake::{Sleeper, Waker, sleeper};
use lastdrop_engine::worker::{Turn, Worker, WorkerSettings};
use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::{self, Thread};

/// Messages in all; the sanitizer's run sets `LASTDROP_MESSAGES`.
const MESSAGES_DEFAULT: u64 = 100_000;
/// Messages that the receiver passes on before it closes the slot.
const MESSAGES_PER_SLOT: u64 = 10_000;
const WORKERS: usize = 2;
/// Room that the largest datagram takes.
const RECORD_BYTES_MAX: usize = PacketProducer::record_bytes(64);

/// The receiver's end of a lane.
struct Lane {
    packets: PacketProducer,
    worker: Waker,
}

#[test]
fn every_sample_arrives_once() {
    let messages = std::env::var("LASTDROP_MESSAGES")
        .map_or(MESSAGES_DEFAULT, |number| number.parse().expect("LASTDROP_MESSAGES is a number"));
    let sum = thread::scope(|scope| {
        let (room_sleeper, room_flag) = sleeper();
        let receiver = thread::current();
        let (mut lanes, mut epochs, mut handovers) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..WORKERS {
            let (packets, consumer, committed) = packet_ring(number, PACKET_RING_BYTES_MIN);
            let (out, handed_over) = bucket_ring();
            let (worker, applied, _) = Worker::new(consumer, out, WorkerSettings::default());
            let room = room_flag.clone().waker(unparking(receiver.clone()));
            let (data_sleeper, data_flag) = sleeper();
            let thread = scope.spawn(move || work(worker, &data_sleeper, &room));
            let worker = data_flag.waker(unparking(thread.thread().clone()));
            lanes.push(Lane { packets, worker });
            epochs.push(LaneEpochs { committed, applied });
            handovers.push(handed_over);
        }
        let (seals, sealed) = mpsc::channel();
        let (merge, _) = Merge::new(handovers, MergeSettings::default());
        let running = Running::new(epochs);
        let merge = scope.spawn(move || flush(merge, running, &sealed));
        seals.send(receive(messages, lanes, &room_sleeper)).expect("the merge lives");
        merge.join().expect("the merge lives")
    });
    assert_eq!(sum.round(), (messages * (messages + 1) / 2) as f64);
}

fn unparking(thread: Thread) -> impl Fn() + Send + 'static {
    move || thread.unpark()
}

/// Spreads the messages over the lanes, closes slots on the way, and seals.
fn receive(messages: u64, mut lanes: Vec<Lane>, sleeper: &Sleeper) -> Vec<LaneSeal> {
    let mut message = String::new();
    for number in 1..=messages {
        message.clear();
        message.push_str("sum:");
        message.push_str(&number.to_string());
        message.push_str("|c");
        let lane = (number / 3) as usize % lanes.len();
        push(&mut lanes[lane], message.as_bytes(), at(number), sleeper);
        if number % MESSAGES_PER_SLOT == 0 {
            let (number, at) = (number / MESSAGES_PER_SLOT, at(number));
            let close = Mark::Close { number, cutoff: at.slot(), at };
            for lane in &mut lanes {
                while lane.packets.mark(close).is_err() {
                    wait_for_room(lane, sleeper);
                }
                lane.worker.wake();
            }
        }
    }
    lanes.into_iter().map(|lane| seal(lane, at(messages), sleeper)).collect()
}

/// The time of a message: a slot further every [`MESSAGES_PER_SLOT`].
fn at(number: u64) -> Stamp {
    Stamp::from_s(1_000 + number / MESSAGES_PER_SLOT * Slot::SECONDS)
}

fn push(lane: &mut Lane, bytes: &[u8], stamp: Stamp, sleeper: &Sleeper) {
    let size = PacketProducer::record_bytes(bytes.len());
    let datagram = Datagram { bytes, stamp, transport: Transport::Udp, extent: Extent::Whole };
    loop {
        if let Ok(mut batch) = lane.packets.batch(size, RECORD_BYTES_MAX) {
            batch.push(&datagram);
            batch.commit();
            return lane.worker.wake();
        }
        wait_for_room(lane, sleeper);
    }
}

fn wait_for_room(lane: &Lane, sleeper: &Sleeper) {
    let has_room = || lane.packets.room(RECORD_BYTES_MAX) >= RECORD_BYTES_MAX;
    sleeper.sleep_unless(has_room, thread::park);
}

fn seal(mut lane: Lane, at: Stamp, sleeper: &Sleeper) -> LaneSeal {
    loop {
        match lane.packets.seal(at) {
            Ok(seal) => {
                lane.worker.wake();
                return seal;
            }
            Err(packets) => lane.packets = packets,
        }
        wait_for_room(&lane, sleeper);
    }
}

fn work(mut worker: Worker, sleeper: &Sleeper, room: &Waker) {
    loop {
        let turn = worker.turn();
        room.wake();
        match turn {
            Turn::Applied => {}
            Turn::Idle => sleeper.sleep_unless(|| worker.has_work(), thread::park),
            Turn::Ended => return,
        }
    }
}

/// Ships slots while data comes, then waits for the proof and ships the rest; the sum of all points.
fn flush(mut merge: Merge, running: Running, seals: &mpsc::Receiver<Vec<LaneSeal>>) -> f64 {
    let mut sum = 0.0;
    let mut sink = |item: Item<'_>| {
        if let Item::Series(series) = item {
            let points = series.points.iter().map(|point| point.value);
            sum += points.sum::<f64>() * Series::INTERVAL_S as f64;
        }
    };
    let seals = loop {
        merge.take_in();
        merge.flush_closed(&mut sink);
        match seals.try_recv() {
            Ok(seals) => break seals,
            Err(mpsc::TryRecvError::Empty) => thread::yield_now(),
            Err(mpsc::TryRecvError::Disconnected) => panic!("the receiver is gone"),
        }
    };
    let mut sealed = running.seal(seals);
    let drained = loop {
        match sealed.drained(Patience::Left) {
            Ok(drained) => break drained,
            Err(not_yet) => sealed = not_yet,
        }
        merge.take_in();
        thread::yield_now();
    };
    let proved = |lane: &Proof| matches!(lane, Proof::Proved { .. });
    assert!(drained.lanes().iter().all(proved), "{:?}", drained.lanes());
    merge.finish(drained, &mut sink);
    sum
}

/// Contexts that are alive at once, and that are made in all.
const CONTEXTS: (u64, u64) = if cfg!(miri) { (10, 100) } else { (500, 50_000) };

/// The reader lets go of a context when the worker has long forgotten it.
#[test]
fn texts_are_read_while_others_come_and_go() {
    let (alive, all) = CONTEXTS;
    let (send, received) = mpsc::sync_channel::<(u64, Context)>(64);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut held = VecDeque::new();
            for (number, context) in received {
                check(number, &context);
                held.push_back((number, context));
                if held.len() as u64 > 2 * alive {
                    held.pop_front().iter().for_each(|(number, context)| check(*number, context));
                }
            }
            held.iter().for_each(|(number, context)| check(*number, context));
        });
        let mut contexts = Contexts::new(1 << 24, |_| ());
        for number in 0..all {
            let [name, shared, own] = texts(number);
            let tags = vec![shared.into(), own.into()];
            let identity = Identity { name: name.into(), host: "".into(), tags };
            let inserted = contexts.insert_meaning(&identity, Stamp::from_s(number)).expect("room");
            let context = contexts.context(inserted.id()).expect("just made").share();
            send.send((number, context)).expect("the reader is there");
            if number % 50 == 0 {
                contexts.expire(Stamp::from_s(number), alive, |_| false);
            }
        }
        drop(send);
        assert!((alive..alive + 52).contains(&(contexts.len() as u64)));
        reader.join().expect("every text is as it was");
        contexts.expire(Stamp::from_s(all + alive), alive, |_| false);
        assert_eq!((contexts.len(), contexts.bytes()), (0, 0));
    });

    fn check(number: u64, context: &Context) {
        let (texts, context) = (texts(number), context.get());
        assert_eq!(context.name(), texts[0]);
        assert!(context.tags().eq(&texts[1..]));
    }

    /// Name and tags of the context of a number.
    fn texts(number: u64) -> [String; 3] {
        [format!("name.{}", number % 100), "env:prod".to_owned(), format!("number:{number}")]
    }
}
