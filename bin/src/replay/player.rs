//! One run of the engine over recorded time.

use lastdrop_engine::datagram::{Datagram, Extent, Transport};
use lastdrop_engine::inline::Inline;
use lastdrop_engine::time::{Slot, Stamp};

use super::rows::Rows;
use super::vector::{ReplaySettings, Sample};
use crate::json::Object;

/// The engine with one worker.
pub(super) struct Player {
    engine: Inline,
}

impl Player {
    pub(super) fn new(settings: ReplaySettings) -> Self {
        Self { engine: Inline::new(1, &settings.worker, settings.merge) }
    }

    /// Applies a sample.
    pub(super) fn push(&mut self, sample: &Sample) {
        for bytes in sample.datagrams() {
            self.engine.push(
                0,
                &Datagram {
                    bytes,
                    stamp: sample.at,
                    transport: Transport::Udp,
                    extent: Extent::Whole,
                },
            );
        }
    }

    /// Flushes the slots that are closed at `at`, and forgets what comes of it.
    pub(super) fn flush(&mut self, at: Stamp) {
        self.engine.close(Slot::containing(at.seconds()), at);
        self.engine.run(&mut |_| {});
    }

    /// Stops the engine at `at`: what the last flush makes.
    pub(super) fn finish(self, at: Stamp) -> Object {
        let mut rows = Rows::default();
        let finished = self.engine.finish(at, &mut |item| rows.take(item));
        for balance in finished.balances() {
            debug_assert!(balance.holds(), "{balance:?}");
        }
        rows.answer()
    }
}
