//! The counters that must balance, each written by one thread, and the balances as functions.
//!
//! A stage counts in plain numbers of its own and publishes them once a turn, *before* it advances
//! its epoch: whoever has observed an epoch reads counters that are at least as new, and whoever
//! has joined the thread reads the last ones. No counter is contended, and none costs the hot path
//! more than an addition.

use crate::datagram::Transport;
use crate::message::Class;
use crate::sync::{Arc, AtomicU64, Ordering, Padded};

/// Makes a set of counters (plain numbers), and the ledger that publishes them.
macro_rules! counts {
    (
        $(#[$doc:meta])* $Counts:ident published as $Ledger:ident {
            $( $(#[$field_doc:meta])* $field:ident, )*
        } and {
            $( $(#[$by_doc:meta])* $by:ident by $By:ident, )*
        } $( and largest {
            $( $(#[$largest_doc:meta])* $largest:ident, )*
        } )?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $Counts {
            $( $(#[$field_doc])* pub $field: u64, )*
            $( $( $(#[$largest_doc])* pub $largest: u64, )* )?
            $( $(#[$by_doc])* pub $by: [u64; $By::ALL.len()], )*
        }

        impl $Counts {
            const LEN: usize = 0 $( + { let _ = stringify!($field); 1 } )*
                $( $( + { let _ = stringify!($largest); 1 } )* )? $( + $By::ALL.len() )*;

            /// Name and value of each counter; those of a kind as `kind.name`, as two parts.
            #[must_use]
            pub fn each(&self) -> Vec<(&'static str, Option<&'static str>, u64)> {
                #[allow(unused_mut, reason = "some sets have no counters by kind")]
                let mut all = vec![
                    $( (stringify!($field), None, self.$field), )*
                    $( $( (stringify!($largest), None, self.$largest), )* )?
                ];
                $( for (kind, n) in $By::ALL.into_iter().zip(self.$by) {
                    all.push((stringify!($by), Some(kind.name()), n));
                } )*
                all
            }

            /// Adds the counters of another thread; of largest ones the larger stays.
            pub fn add(&mut self, other: &Self) {
                $( self.$field += other.$field; )*
                $( $( self.$largest = self.$largest.max(other.$largest); )* )?
                $( for (sum, n) in self.$by.iter_mut().zip(other.$by) { *sum += n; } )*
            }

            fn cells(&self) -> [u64; Self::LEN] {
                let mut cells = [0; Self::LEN];
                let values = [ $( self.$field, )* $( $( self.$largest, )* )? ];
                let values = values.into_iter()$( .chain(self.$by) )*;
                for (cell, value) in cells.iter_mut().zip(values) {
                    *cell = value;
                }
                cells
            }

            #[allow(unused_assignments, reason = "the last step of the walk is not read")]
            fn from_cells(cells: [u64; Self::LEN]) -> Self {
                let mut cells = cells.into_iter();
                let mut next = || cells.next().unwrap_or(0);
                Self {
                    $( $field: next(), )*
                    $( $( $largest: next(), )* )?
                    $( $by: $By::ALL.map(|_| next()), )*
                }
            }
        }

        #[doc = concat!("Where [`", stringify!($Counts), "`] are published: one writer, any reader.")]
        #[derive(Clone, Debug)]
        pub struct $Ledger(Arc<Padded<[AtomicU64; $Counts::LEN]>>);

        impl Default for $Ledger {
            fn default() -> Self {
                Self(Arc::new(Padded(std::array::from_fn(|_| AtomicU64::new(0)))))
            }
        }

        impl $Ledger {
            /// Publishes the counters; for the one thread that owns them.
            pub fn publish(&self, counts: &$Counts) {
                for (cell, value) in self.0.0.iter().zip(counts.cells()) {
                    // Relaxed: a reader that needs the exact value has observed the epoch, or joined
                    // the thread, after this store; for a status a stale one does no harm.
                    cell.store(value, Ordering::Relaxed);
                }
            }

            /// Reads the counters as last published.
            #[must_use]
            pub fn read(&self) -> $Counts {
                // Relaxed: see `publish`.
                $Counts::from_cells(std::array::from_fn(|i| self.0.0[i].load(Ordering::Relaxed)))
            }
        }
    };
}

/// Why a parsed sample is not aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The value is infinite or not a number.
    NotFinite,
    /// The sample rate has no usable inverse: 0 for a counter, not a number, or so close to 0 that
    /// the value would become infinite.
    BadRate,
    /// With this value the sum would leave the range of a 64-bit float.
    Overflow,
    /// The name or a tag is not UTF-8, which the payloads can't carry.
    NotUtf8,
    /// The block list names the metric.
    Blocked,
    /// The memory bound of the contexts is reached and the context is new.
    ContextLimit,
    /// The set is full: [`crate::limits::SET_MEMBERS_MAX`].
    SetMembers,
    /// The set is full: [`crate::limits::SET_BYTES_MAX`].
    SetBytes,
    /// The sketch is full: [`crate::limits::SKETCH_COUNT_MAX`].
    SketchCount,
    /// The message has a time of its own and a type that can't be sent as it came.
    UnsupportedTimestamp,
    /// The message has a time of its own, and too many slots are open:
    /// [`crate::limits::BUCKETS_OPEN_MAX`].
    SlotLimit,
}

impl Refusal {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NotFinite,
        Self::BadRate,
        Self::Overflow,
        Self::NotUtf8,
        Self::Blocked,
        Self::ContextLimit,
        Self::SetMembers,
        Self::SetBytes,
        Self::SketchCount,
        Self::UnsupportedTimestamp,
        Self::SlotLimit,
    ];

    /// The name in the receipt.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::BadRate => "bad_rate",
            Self::Overflow => "overflow",
            Self::NotUtf8 => "not_utf8",
            Self::Blocked => "blocked",
            Self::ContextLimit => "context_limit",
            Self::SetMembers => "set_members",
            Self::SetBytes => "set_bytes",
            Self::SketchCount => "sketch_count",
            Self::UnsupportedTimestamp => "unsupported_timestamp",
            Self::SlotLimit => "slot_limit",
        }
    }
}

counts! {
    /// What a receiver has counted.
    ReceiverCounts published as ReceiverLedger {
        /// Sweeps over the sockets.
        sweeps,
        /// System calls that read datagrams.
        receive_calls,
        /// Times that the receiver waited for room in a packet ring, the data left in the kernel.
        ring_full,
        /// Clients of the unix stream socket accepted.
        stream_connections,
        /// Those of them that have left, or whose bytes made no sense any more.
        streams_ended,
        /// Times that one had to wait because there were as many as there may be.
        stream_full,
        /// Frames of unix streams that were cut by the client's leaving, or made no sense.
        torn_frames,
    } and {
        /// Datagrams read from the sockets.
        received by Transport,
        /// Bytes in them.
        bytes by Transport,
        /// Those of them that were longer than the receive buffer.
        truncated by Transport,
        /// Datagrams that the kernel dropped before the seal, as the sockets themselves say.
        kernel_dropped by Transport,
        /// Datagrams that came after the seal and were refused.
        late by Transport,
        /// Datagrams read for a worker that is gone.
        worker_gone by Transport,
        /// Errors of the system calls.
        read_errors by Transport,
    } and largest {
        /// Nanoseconds by which the time line is ahead of the wall clock, because that stepped back.
        clock_shift_ns,
    }
}

counts! {
    /// What a worker has counted.
    WorkerCounts published as WorkerLedger {
        /// Datagrams taken out of the ring and applied.
        datagrams,
        /// Messages in them: lines that are not empty.
        lines,
        /// Lines that are metrics.
        metrics,
        /// Lines that are events.
        events,
        /// Lines that are service checks.
        service_checks,
        /// Last lines of truncated datagrams: torn, so not even looked at.
        torn,
        /// Samples in the metrics.
        samples,
        /// Samples of the agent's own making.
        own_samples,
        /// Samples added to a bucket.
        aggregated,
        /// Samples passed through with their own time.
        passed,
        /// Samples added to a slot that had shipped: their point may overwrite another.
        late_overwrite,
        /// Samples whose rate was raised to the bound.
        rate_clamped,
        /// Buckets handed over.
        buckets,
        /// Contexts known now.
        contexts,
        /// Estimated bytes of the contexts known now.
        context_bytes,
    } and {
        /// Malformed lines by class.
        malformed by Class,
        /// Samples refused, by reason.
        refused by Refusal,
    } and largest {
        /// Nanoseconds from a datagram's arrival stamp to the turn that parsed it, at worst.
        age_ns_max,
        /// The same, between the last two closes of a slot.
        slot_age_ns_max,
    }
}

counts! {
    /// What the merge has counted.
    MergeCounts published as MergeLedger {
        /// Samples in the buckets that were merged and shipped, as the buckets themselves say.
        samples,
        /// Samples in slots that were open at the end and dropped, as the configuration has it.
        incomplete,
        /// Samples passed through with their own time that left the engine.
        passed,
        /// Buckets taken in.
        buckets,
        /// Entries left out because another worker's entry of another type arrived first.
        type_conflict,
        /// Set members left out because two workers' sets together passed the bound.
        set_limit,
        /// Points of histograms that the block list names.
        blocked,
        /// Points of series that left the engine.
        points,
        /// Sketches that left the engine.
        sketches,
        /// Events that left the engine.
        events,
        /// Service checks that left the engine.
        service_checks,
        /// Contexts known now.
        contexts,
        /// Silent counters whose zeros ended before their time, because so many had no room.
        zeros_cut_short,
    } and {}
}

counts! {
    /// What the shipper has counted on the way from series to payloads.
    ShipperCounts published as ShipperLedger {
        /// Points of series and sketches that are in a payload.
        points_encoded,
        /// Events that are in a payload.
        events_encoded,
        /// Service checks that are in a payload.
        service_checks_encoded,
        /// Points, events and checks of items too large for any payload.
        too_large,
        /// Points that are not a finite number.
        not_finite,
        /// Points of series that the payload format can't express.
        not_expressible,
        /// Points, events and checks of a kind that the configuration switches off.
        switched_off,
        /// Points, events and checks that the stop left without a place in a queue, because its time
        /// was over.
        left,
        /// Points that were encoded once more, for endpoints that want another format.
        points_again,
        /// Payloads made.
        payloads,
        /// Bytes of their bodies as they are sent.
        body_bytes,
        /// Bytes of their bodies before compression.
        uncompressed_bytes,
    } and {}
}

impl WorkerCounts {
    /// Samples refused because a bound of the agent's own was reached: good data that was lost.
    #[must_use]
    pub fn refused_for_lack_of_room(&self) -> u64 {
        let bounds = [
            Refusal::ContextLimit,
            Refusal::SetMembers,
            Refusal::SetBytes,
            Refusal::SketchCount,
            Refusal::Overflow,
            Refusal::SlotLimit,
        ];
        bounds.iter().filter_map(|reason| self.refused.get(*reason as usize)).sum()
    }
}

/// One equation of the ledger that may not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What is compared.
    pub name: &'static str,
    /// What came in.
    pub left: u64,
    /// What is accounted for.
    pub right: u64,
}

impl Balance {
    /// True if both sides are equal.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.left == self.right
    }

    /// The same equation over both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let (left, right) = (self.left + other.left, self.right + other.right);
        Self { name: self.name, left, right }
    }
}

/// Every datagram received is applied by a worker.
#[must_use]
pub fn datagrams_balance(receivers: &ReceiverCounts, workers: &WorkerCounts) -> Balance {
    let gone: u64 = receivers.worker_gone.iter().sum();
    let left = receivers.received.iter().sum();
    Balance { name: "datagrams", left, right: workers.datagrams + gone }
}

/// Every line is a metric, an event, a service check, malformed or torn.
#[must_use]
pub fn lines_balance(worker: &WorkerCounts) -> Balance {
    let malformed: u64 = worker.malformed.iter().sum();
    let right = worker.metrics + worker.events + worker.service_checks + malformed + worker.torn;
    Balance { name: "lines", left: worker.lines, right }
}

/// Every sample is aggregated, passed through or refused.
#[must_use]
pub fn samples_balance(worker: &WorkerCounts) -> Balance {
    let refused: u64 = worker.refused.iter().sum();
    Balance {
        name: "samples",
        left: worker.samples + worker.own_samples,
        right: worker.aggregated + worker.passed + refused,
    }
}

/// Every aggregated sample is in a bucket that was merged, or dropped because it was incomplete at
/// the end. Holds once everything is flushed.
#[must_use]
pub fn buckets_balance(worker: &WorkerCounts, merge: &MergeCounts) -> Balance {
    let right = merge.samples + merge.incomplete;
    Balance { name: "buckets", left: worker.aggregated, right }
}

/// Every sample passed through has left the merge. Holds once everything is flushed.
#[must_use]
pub fn passed_balance(worker: &WorkerCounts, merge: &MergeCounts) -> Balance {
    Balance { name: "passed", left: worker.passed, right: merge.passed }
}

/// Every point, event and check that left the merge is in a payload of each format, or was too large
/// or not finite for it, or is of a kind that is switched off, or was left at the stop.
#[must_use]
pub fn encoded_balance(merge: &MergeCounts, shipper: &ShipperCounts) -> Balance {
    let encoded = shipper.points_encoded + shipper.events_encoded + shipper.service_checks_encoded;
    let lost = shipper.too_large + shipper.not_finite + shipper.not_expressible;
    let merged = merge.points + merge.sketches + merge.events + merge.service_checks;
    Balance {
        name: "points",
        left: merged + shipper.points_again,
        right: encoded + lost + shipper.switched_off + shipper.left,
    }
}

#[cfg(all(test, not(lastdrop_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_back() {
        let ledger = WorkerLedger::default();
        let mut counts = WorkerCounts { datagrams: 3, context_bytes: 7, ..WorkerCounts::default() };
        counts.malformed[Class::BadRate as usize] = 5;
        counts.refused[Refusal::UnsupportedTimestamp as usize] = 9;
        ledger.publish(&counts);
        assert_eq!(ledger.read(), counts);
        let named: Vec<_> = counts.each().into_iter().filter(|(.., value)| *value > 0).collect();
        assert_eq!(
            named,
            [
                ("datagrams", None, 3),
                ("context_bytes", None, 7),
                ("malformed", Some("bad_rate"), 5),
                ("refused", Some("unsupported_timestamp"), 9),
            ]
        );
        let mut sum = counts;
        sum.add(&WorkerCounts { age_ns_max: 11, ..counts });
        sum.add(&WorkerCounts { age_ns_max: 10, ..WorkerCounts::default() });
        assert_eq!((sum.datagrams, sum.malformed[Class::BadRate as usize]), (6, 10));
        assert_eq!(sum.age_ns_max, 11, "the worst of all, not their sum");
    }

    /// For every equation: each side is the sum of its terms, each of them once. The terms are powers
    /// of two, so that a sum tells what is in it.
    #[test]
    fn every_term_of_an_equation_counts_once() {
        let mut receivers = ReceiverCounts::default();
        (receivers.received[0], receivers.received[1]) = (1, 2);
        (receivers.worker_gone[0], receivers.worker_gone[1]) = (8, 16);
        let mut worker = WorkerCounts {
            datagrams: 64,
            lines: 1,
            metrics: 2,
            events: 4,
            service_checks: 8,
            torn: 16,
            samples: 128,
            own_samples: 256,
            aggregated: 512,
            passed: 1024,
            ..WorkerCounts::default()
        };
        (worker.malformed[0], worker.malformed[1]) = (32, 64);
        (worker.refused[0], worker.refused[1]) = (2048, 4096);
        let merge = MergeCounts {
            samples: 1,
            incomplete: 2,
            passed: 4,
            points: 8,
            sketches: 16,
            events: 32,
            service_checks: 64,
            ..MergeCounts::default()
        };
        let shipper = ShipperCounts {
            points_again: 128,
            points_encoded: 1,
            events_encoded: 2,
            service_checks_encoded: 4,
            too_large: 8,
            not_finite: 16,
            not_expressible: 32,
            switched_off: 64,
            ..ShipperCounts::default()
        };
        for (balance, left, right) in [
            (datagrams_balance(&receivers, &worker), 1 + 2, 8 + 16 + 64),
            (lines_balance(&worker), 1, 2 + 4 + 8 + 16 + 32 + 64),
            (samples_balance(&worker), 128 + 256, 512 + 1024 + 2048 + 4096),
            (buckets_balance(&worker, &merge), 512, 1 + 2),
            (passed_balance(&worker, &merge), 1024, 4),
            (encoded_balance(&merge, &shipper), 8 + 16 + 32 + 64 + 128, 127),
        ] {
            assert_eq!((balance.left, balance.right), (left, right), "{}", balance.name);
            assert!(!balance.holds() && Balance { right: left, ..balance }.holds());
            let twice = balance.plus(balance);
            assert_eq!((twice.left, twice.right), (2 * left, 2 * right));
        }
    }

    #[test]
    fn reasons_are_numbered_in_the_order_of_the_list() {
        for (number, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{}", reason.name());
        }
    }
}
