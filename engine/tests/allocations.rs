//! Known contexts cost no allocation: a million messages through ring and worker, counted by the
//! allocator of this program.

#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts")]

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::handover::bucket_ring;
use lastdrop_engine::limits::PACKET_RING_BYTES_DEFAULT;
use lastdrop_engine::ring::{PacketProducer, packet_ring};
use lastdrop_engine::time::Stamp;
use lastdrop_engine::worker::{Turn, Worker, WorkerSettings};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Allocations of this thread: that of the test harness allocates beside it.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came, so its promises hold here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Lines of a datagram: each has its type, some their tags in another order or a rate.
const LINES: [&str; 8] = [
    "requests:1|c|#env:prod,path:/a",
    "requests:1:2:3|c|@0.5|#path:/a,env:prod",
    "load:0.75|g|#host:ignored,env:prod",
    "load:1e-3|g|#env:prod|T1005",
    "users:anna|s",
    "users:bert|s",
    "broken",
    "latency:12|d|#env:prod",
];

const MESSAGES: usize = 1_000_000;

#[test]
fn a_million_messages_of_known_contexts_allocate_nothing() {
    let (mut packets, consumer, _) = packet_ring(0, PACKET_RING_BYTES_DEFAULT);
    let (out, _ring) = bucket_ring();
    let (mut worker, _, ledger) = Worker::new(consumer, out, WorkerSettings::default());
    let lines = LINES.join("\n");
    // The first datagrams make the contexts, and let the sketch fill its buffer of keys once.
    send(&mut packets, &mut worker, lines.as_bytes(), 8 * 1024);
    let before = ALLOCATIONS.get();
    send(&mut packets, &mut worker, lines.as_bytes(), MESSAGES);
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, 0);
    assert_eq!(ledger.read().lines, (MESSAGES + 8 * 1024) as u64);
}

/// Sends datagrams with so many messages in all; the worker takes a turn when the ring is full.
fn send(packets: &mut PacketProducer, worker: &mut Worker, bytes: &[u8], messages: usize) {
    let datagram = Datagram {
        bytes,
        stamp: Stamp::from_s(1003),
        transport: Transport::Udp,
        extent: Extent::Whole,
    };
    let size = PacketProducer::record_bytes(bytes.len());
    for _ in 0..messages / LINES.len() {
        loop {
            if let Ok(mut batch) = packets.batch(size, size) {
                batch.push(&datagram);
                break batch.commit();
            }
            worker.turn();
        }
    }
    while worker.turn() == Turn::Applied {}
}
