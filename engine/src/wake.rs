//! Sleeping and waking across a ring: nobody sleeps while there is work, nobody pays a system call
//! to wake somebody who is awake.
//!
//! ```text
//!  sleeper                              waker
//!  ───────                              ─────
//!  asleep = true            (1)         change the ring          (a)
//!  fence SeqCst                         fence SeqCst
//!  look at the ring         (2)         asleep?                  (b)
//!  nothing there: block                 if so: asleep = false, notify
//! ```
//!
//! Lost wake-ups would need (2) to miss (a) *and* (b) to miss (1). Of two `SeqCst` fences one comes
//! first: if the sleeper's, (b) sees (1) and notifies; if the waker's, (2) sees (a) and doesn't
//! block. A notification that comes between (2) and the block isn't lost either: every blocking
//! call used here (`park`, a poll with an event descriptor) keeps it as a token.

use crate::sync::{Arc, AtomicBool, Ordering, Padded, fence, mutant};
use std::fmt;

/// Makes a sleeper and the flag that its wakers look at.
#[must_use]
pub fn sleeper() -> (Sleeper, SleepFlag) {
    let asleep = Arc::new(Padded(AtomicBool::new(false)));
    (Sleeper { asleep: asleep.clone() }, SleepFlag { asleep })
}

/// The side that sleeps; there is one.
#[derive(Debug)]
pub struct Sleeper {
    /// Set by the sleeper alone, cleared by the sleeper and by whoever wakes it.
    asleep: Arc<Padded<AtomicBool>>,
}

impl Sleeper {
    /// Calls `block` unless `has_work` says, after the flag is up, that there is something to do.
    ///
    /// `block` may return early, and must return at once if it was notified before it began.
    pub fn sleep_unless(&self, has_work: impl FnOnce() -> bool, block: impl FnOnce()) {
        // Relaxed: ordered before `has_work` by the fence; the waker's fence pairs with it.
        self.asleep.0.store(true, Ordering::Relaxed);
        if !mutant("wake_sleeper_fence") {
            fence(Ordering::SeqCst);
        }
        if !has_work() {
            block();
        }
        // Relaxed: only saves a needless notification.
        self.asleep.0.store(false, Ordering::Relaxed);
    }
}

/// What a [`Waker`] is made from: the flag, before it is known how the sleeper is notified.
#[derive(Clone, Debug)]
pub struct SleepFlag {
    asleep: Arc<Padded<AtomicBool>>,
}

impl SleepFlag {
    /// Joins the flag with the call that ends the sleeper's block.
    #[must_use]
    pub fn waker(self, notify: impl Fn() + Send + 'static) -> Waker {
        Waker { asleep: self.asleep, notify: Box::new(notify) }
    }
}

/// A side that wakes; there may be several for one sleeper.
pub struct Waker {
    asleep: Arc<Padded<AtomicBool>>,
    notify: Box<dyn Fn() + Send>,
}

impl Waker {
    /// Wakes the sleeper if it sleeps or is about to. Call it *after* the change it should see.
    pub fn wake(&self) {
        if !mutant("wake_waker_fence") {
            fence(Ordering::SeqCst);
        }
        // Relaxed: ordered after the change by the fence; the sleeper's fence pairs with it.
        if self.asleep.0.load(Ordering::Relaxed) {
            // Relaxed: of two wakers both may notify; the second is a spare token.
            self.asleep.0.store(false, Ordering::Relaxed);
            (self.notify)();
        }
    }

    /// Ends the sleeper's block whether it sleeps or not: for commands that travel outside the
    /// ring, where a spare token costs nothing.
    pub fn notify(&self) {
        (self.notify)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(lastdrop_loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::mpsc;

    #[test]
    fn a_sleeper_with_work_does_not_block() {
        let (sleeper, _flag) = sleeper();
        let blocked = Cell::new(false);
        sleeper.sleep_unless(|| true, || blocked.set(true));
        assert!(!blocked.get());
        sleeper.sleep_unless(|| false, || blocked.set(true));
        assert!(blocked.get());
    }

    #[test]
    fn only_a_sleeper_is_notified() {
        let (sleeper, flag) = sleeper();
        let (notified, notifications) = mpsc::channel();
        let waker = flag.waker(move || notified.send(()).unwrap());
        waker.wake();
        assert!(notifications.try_recv().is_err(), "nobody sleeps");
        sleeper.sleep_unless(|| false, || waker.wake());
        assert!(notifications.try_recv().is_ok());
        waker.notify();
        assert!(notifications.try_recv().is_ok());
    }
}
