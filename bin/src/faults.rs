//! Faults planted on purpose, so that it can be seen that the lab finds them: see `docs/stop.md`.
//! Only in builds with the feature `planted-faults`, which is off by default.

use lastdrop_engine::ledger::{ReceiverCounts, WorkerCounts};
use lastdrop_engine::worker::Fault;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Names the fault.
const VARIABLE: &str = "LASTDROP_FAULT";

/// Looks of a thread before it panics while running: by then it has work in its hands.
const LOOKS: u32 = 20;

/// Threads that panic at their first look: they look seldom.
const ONE_LOOK: [&str; 3] = ["ship", "main", "control"];

/// True from the beginning of the stop on.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Looks of the thread that is to panic.
static LOOKED: AtomicU32 = AtomicU32::new(0);

/// Whether this fault is planted.
pub(crate) fn is(name: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|fault| fault == name)
}

/// The stop begins.
pub(crate) fn stopping() {
    STOPPING.store(true, Ordering::Relaxed);
}

/// Looked at by each thread now and then: panics if it is its turn.
pub(crate) fn look(thread: &str) {
    slow(thread);
    let planted = match std::env::var(VARIABLE).ok().as_deref() {
        Some("lose-worker") => "panic-work-0".to_owned(),
        Some(fault) => fault.to_owned(),
        None => return,
    };
    let Some(planted) = planted.strip_prefix("panic-") else { return };
    let stopping = STOPPING.load(Ordering::Relaxed);
    let due = match planted.strip_suffix("-stopping") {
        Some(planted) => planted == thread && stopping,
        None if planted != thread || stopping => false,
        None => ONE_LOOK.contains(&thread) || LOOKED.fetch_add(1, Ordering::Relaxed) >= LOOKS,
    };
    assert!(!due, "planted");
}

/// Lets the first worker burn so many percent of what the whole agent has used since its last look.
fn slow(thread: &str) {
    static PERCENT: LazyLock<Option<u32>> =
        LazyLock::new(|| std::env::var(VARIABLE).ok()?.strip_prefix("slow-")?.parse().ok());
    thread_local!(static BEFORE: Cell<Duration> = const { Cell::new(Duration::ZERO) });
    let Some(percent) = PERCENT.filter(|_| thread == "work-0") else { return };
    let used = used(ClockId::ProcessCPUTime).saturating_sub(BEFORE.get());
    let end = self::used(ClockId::ThreadCPUTime) + used * percent / 100;
    while self::used(ClockId::ThreadCPUTime) < end {}
    BEFORE.set(self::used(ClockId::ProcessCPUTime));
}

/// Processor time so far.
fn used(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// What a worker is to do wrong.
pub(crate) fn of_worker() -> Option<Fault> {
    [("drop-line", Fault::DropLine), ("count-twice", Fault::CountTwice)]
        .into_iter()
        .find_map(|(name, fault)| is(name).then_some(fault))
}

/// Lets the ledger have one datagram more than there was, and balance all the same.
pub(crate) fn lie(receivers: &mut ReceiverCounts, workers: &mut WorkerCounts) {
    if is("ledger-lies") {
        receivers.received[0] += 1;
        workers.datagrams += 1;
    }
}
