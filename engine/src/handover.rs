//! The bucket ring: what a worker hands over to the merge, in the order in which it happened, and
//! the way back for the memory of emptied pieces of buckets.

use crate::bucket::{Bucket, Entry};
use crate::context::{Context, ContextId};
use crate::ledger::WorkerCounts;
use crate::limits::{BUCKET_RING_LEN, RETURN_RING_LEN};
use crate::message::Kind;
use crate::series::{Event, SeriesKind, ServiceCheck};
use crate::time::{Second, Slot, Stamp};
use std::collections::VecDeque;

/// A context that the merge has not heard of yet.
#[derive(Debug)]
pub struct Definition {
    /// Its number in the worker.
    pub id: ContextId,
    /// What it is.
    pub context: Context,
    /// Type of its first sample.
    pub kind: Kind,
    /// Arrival of its first sample.
    pub first: Stamp,
    /// Estimated bytes of its record and of the texts that it was the first to bear.
    pub bytes: usize,
}

/// A sample with a time of its own that goes past the buckets.
#[derive(Debug)]
pub struct Passed {
    /// What was sampled.
    pub context: Context,
    /// How the intake reads the value.
    pub kind: SeriesKind,
    /// The sample's own time: seconds since 1970.
    pub second: i64,
    /// The value; finite.
    pub value: f64,
}

/// What a worker hands over.
#[derive(Debug)]
pub enum Handover {
    /// New contexts; before any bucket that refers to them.
    Define(Vec<Definition>),
    /// A closed bucket.
    Bucket(Bucket),
    /// Samples passed through, at least one.
    Passed(Vec<Passed>),
    /// An event; sent as it came.
    Event(Box<Event>),
    /// A service check; sent as it came.
    ServiceCheck(Box<ServiceCheck>),
    /// When the contexts in buckets, be they handed over or still open, were last sampled; before the
    /// mark that made the difference.
    Seen(Vec<Seen>),
    /// Numbers that no bucket refers to any more; after every bucket that did.
    Retire(Vec<ContextId>),
    /// The books of the worker at the mark that follows; after all that the mark made.
    Books(Box<Books>),
    /// The worker has come to a `Close` mark: every bucket before `cutoff` is in the ring.
    Closed {
        /// Number of the close.
        number: u64,
        /// First slot that stays open.
        cutoff: Slot,
        /// When the mark was made.
        at: Stamp,
        /// What is still open in the worker.
        open: Open,
    },
    /// The worker has come to a `Flush` mark: every bucket of a slot up to the mark's is in the ring.
    Flushed {
        /// Number of the flush.
        number: u64,
        /// When the mark was made.
        at: Stamp,
    },
    /// The worker has come to the seal: every bucket is in the ring, and this is the last record.
    Sealed {
        /// When the seal was made.
        at: Stamp,
    },
}

/// When the contexts in a bucket were last sampled, to the second.
#[derive(Debug)]
pub struct Seen {
    start_s: u64,
    /// Nearly all: the number in the worker times [`NEAR_S`], and the seconds from the start of the
    /// slot.
    near: Vec<u32>,
    /// What doesn't fit: late and early samples, and numbers beyond 134 million.
    far: Vec<(ContextId, Second)>,
}

/// Seconds from the start of a slot to its close, with time to spare.
const NEAR_S: u32 = 32;

impl Seen {
    /// When the contexts in `bucket` were last sampled, as `seen` tells by their number in the worker.
    #[must_use]
    pub fn of(bucket: &Bucket, seen: impl Fn(ContextId) -> Second) -> Self {
        let start_s = bucket.start_s();
        let (mut near, mut far) = (Vec::with_capacity(bucket.entries().count()), Vec::new());
        for id in bucket.entries().map(|entry| entry.context) {
            let second = seen(id);
            let since_s = second.seconds().checked_sub(start_s);
            let since_s = since_s.and_then(|since_s| u32::try_from(since_s).ok());
            match (since_s, id.checked_mul(NEAR_S)) {
                (Some(since_s @ ..NEAR_S), Some(multiple)) => near.push(multiple + since_s),
                _ => far.push((id, second)),
            }
        }
        Self { start_s, near, far }
    }

    /// Contexts by their number in the worker, each with its second.
    pub fn times(&self) -> impl Iterator<Item = (ContextId, Second)> {
        let second = |since_s: u32| Stamp::from_s(self.start_s + u64::from(since_s)).second();
        let near = self.near.iter().map(move |near| (near / NEAR_S, second(near % NEAR_S)));
        near.chain(self.far.iter().copied())
    }
}

/// What a worker has counted up to a mark.
#[derive(Clone, Debug)]
pub struct Books {
    /// Datagrams that its receiver has received for it, if the receiver says so.
    pub received: Option<u64>,
    /// The counters.
    pub counts: WorkerCounts,
    /// Samples in buckets that stay open.
    pub open: u64,
}

/// What is open in a worker besides what it hands over; decides on zeros for idle counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// No bucket, or only such that hold distributions.
    NoSeries,
    /// A bucket that holds series.
    Series,
}

/// Makes a bucket ring with its way back.
#[must_use]
pub fn bucket_ring() -> (BucketProducer, BucketConsumer) {
    let (ring, handovers) = rtrb::RingBuffer::new(BUCKET_RING_LEN);
    let (back, returned) = rtrb::RingBuffer::new(RETURN_RING_LEN);
    (
        BucketProducer { ring, returned, backlog: VecDeque::new(), handed_over: 0 },
        BucketConsumer { handovers, back },
    )
}

/// The worker's end of a bucket ring.
#[derive(Debug)]
pub struct BucketProducer {
    ring: rtrb::Producer<Handover>,
    returned: rtrb::Consumer<Vec<Entry>>,
    /// What did not fit into the ring, oldest first.
    backlog: VecDeque<Handover>,
    handed_over: u64,
}

impl BucketProducer {
    /// Hands something over; keeps it if the ring is full.
    pub fn push(&mut self, handover: Handover) {
        self.backlog.push_back(handover);
        self.settle();
    }

    /// Moves what was kept into the ring, as far as there is room, and says whether all of it is
    /// there.
    ///
    /// What nobody will ever take is freed: a merge that is gone must not fill the memory.
    pub fn settle(&mut self) -> Settled {
        if self.ring.is_abandoned() {
            self.backlog.clear();
            return Settled::Yes;
        }
        while let Some(next) = self.backlog.pop_front() {
            match self.ring.push(next) {
                Ok(()) => self.handed_over += 1,
                Err(rtrb::PushError::Full(next)) => {
                    self.backlog.push_front(next);
                    return Settled::No;
                }
            }
        }
        Settled::Yes
    }

    /// Handovers that are in the ring or behind it: grows when the merge has something to look at.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Handovers that wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// True if something waits for room and there is some.
    #[must_use]
    pub fn can_settle(&self) -> bool {
        !self.backlog.is_empty() && !self.ring.is_full()
    }

    /// An emptied piece of a bucket that came back.
    pub fn returned(&mut self) -> Option<Vec<Entry>> {
        self.returned.pop().ok()
    }
}

/// Whether everything handed over is in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it.
    Yes,
    /// The ring was full.
    No,
}

/// The merge's end of a bucket ring.
#[derive(Debug)]
pub struct BucketConsumer {
    handovers: rtrb::Consumer<Handover>,
    back: rtrb::Producer<Vec<Entry>>,
}

impl BucketConsumer {
    /// The next thing handed over.
    pub fn pop(&mut self) -> Option<Handover> {
        self.handovers.pop().ok()
    }

    /// True if the worker is gone. Look at it *before* [`BucketConsumer::pop`].
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.handovers.is_abandoned()
    }

    /// Sends the memory of an emptied piece of a bucket back; frees it if the way back is full.
    pub fn give_back(&mut self, piece: Vec<Entry>) {
        drop(self.back.push(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_the_second_however_far_they_are() {
        let mut bucket = Bucket::open(1000, None);
        let ids = [0, 1, (1 << 27) - 1, 1 << 27, ContextId::MAX];
        ids.iter().for_each(|id| _ = bucket.side_entry(*id));
        for second in [0, 1, 999, 1000, 1009, 1031, 1032, 10_000_000] {
            let time = Stamp::from_s(second).second();
            let seen = Seen::of(&bucket, |_| time);
            let mut times: Vec<_> = seen.times().collect();
            times.sort_unstable();
            assert_eq!(times, ids.map(|id| (id, time)));
            let near = if (1000..1032).contains(&second) { 3 } else { 0 };
            assert_eq!((seen.near.len(), seen.far.len()), (near, ids.len() - near));
        }
    }

    #[test]
    fn what_nobody_will_take_is_freed() {
        let (mut producer, consumer) = bucket_ring();
        drop(consumer);
        for number in 0..10_000 {
            producer.push(Handover::Flushed { number, at: Stamp::default() });
            assert_eq!(producer.waiting(), 0);
        }
        assert_eq!(producer.settle(), Settled::Yes);
    }

    #[test]
    fn what_does_not_fit_is_kept_in_order() {
        let (mut producer, mut consumer) = bucket_ring();
        let count = BUCKET_RING_LEN as u64 + 10;
        for number in 0..count {
            producer.push(Handover::Flushed { number, at: Stamp::default() });
        }
        assert_eq!((producer.waiting(), producer.settle()), (10, Settled::No));
        for expected in 0..count {
            let Some(Handover::Flushed { number, .. }) = consumer.pop() else {
                panic!("{expected} is missing")
            };
            assert_eq!(number, expected);
            producer.settle();
        }
        assert_eq!((producer.waiting(), producer.settle()), (0, Settled::Yes));
        assert_eq!(producer.handed_over(), count);
    }
}
