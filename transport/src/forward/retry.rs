//! What waits for an endpoint: bounded by bytes, new before failed, and of the failed the newest
//! first.
//!
//! Transactions wait by route, so that the search for one that may be sent never walks past those
//! that a blocked route holds back. Within a route the new ones wait in order of arrival and the
//! failed ones in order of age. When the bytes don't suffice, the oldest of all go.

use std::collections::VecDeque;

use super::ledger::Tally;
use super::transaction::Transaction;
use crate::limits::FRESH_TRANSACTIONS_MAX;
use crate::payload::PayloadKind;

/// The waiting transactions of one endpoint.
#[derive(Debug)]
pub(super) struct Backlog {
    lanes: [Lane; PayloadKind::COUNT],
    /// Sum over all lanes; exceeds `bytes_max` only while a single transaction waits.
    bytes: usize,
    bytes_max: usize,
    tally: Tally,
}

/// The waiting transactions of one route.
#[derive(Debug, Default)]
struct Lane {
    /// Not tried yet; ascending by id.
    fresh: VecDeque<Transaction>,
    /// To be retried, and new ones beyond the limit of `fresh`; ascending by id.
    retry: VecDeque<Transaction>,
    /// Of both, without those that have a file.
    bytes_without_file: usize,
}

impl Backlog {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { lanes: Default::default(), bytes: 0, bytes_max, tally: Tally::default() }
    }

    /// Adds a new transaction; returns those that had to make room, oldest first.
    pub(super) fn push_fresh(&mut self, transaction: Transaction) -> Vec<Transaction> {
        self.count(&transaction);
        let lane = self.lane(transaction.payload.kind);
        if lane.fresh.len() < FRESH_TRANSACTIONS_MAX {
            lane.fresh.push_back(transaction);
        } else {
            lane.insert_retry(transaction);
        }
        self.evict()
    }

    /// Adds a transaction that failed; returns those that had to make room, oldest first: it may be
    /// among them.
    pub(super) fn push_retry(&mut self, transaction: Transaction) -> Vec<Transaction> {
        self.count(&transaction);
        self.lane(transaction.payload.kind).insert_retry(transaction);
        self.evict()
    }

    /// Takes the next transaction of a route that `admits`: the oldest of the new ones, else the
    /// newest of the others.
    pub(super) fn take_next(
        &mut self,
        admits: impl Fn(PayloadKind) -> bool,
    ) -> Option<Transaction> {
        let lanes = || self.lanes.iter().zip(PayloadKind::ALL).filter(|&(_, kind)| admits(kind));
        let fresh = lanes().filter_map(|(lane, kind)| Some((lane.fresh.front()?.id, kind))).min();
        let retry = lanes().filter_map(|(lane, kind)| Some((lane.retry.back()?.id, kind))).max();
        let taken = match (fresh, retry) {
            (Some((_, kind)), _) => self.lane(kind).fresh.pop_front(),
            (None, Some((_, kind))) => self.lane(kind).retry.pop_back(),
            (None, None) => None,
        }?;
        self.discount(&taken);
        Some(taken)
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Transaction> + use<> {
        let all = std::mem::replace(self, Self::new(self.bytes_max));
        all.lanes.into_iter().flat_map(|lane| lane.retry.into_iter().chain(lane.fresh))
    }

    /// True if transactions of this route wait.
    pub(super) fn waits(&self, kind: PayloadKind) -> bool {
        let lane = &self.lanes[kind.index()];
        !lane.fresh.is_empty() || !lane.retry.is_empty()
    }

    /// How much waits.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of the bodies that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the new ones of a route; none if there are so many that the next is no new one.
    pub(super) fn fresh_bytes(&self, kind: PayloadKind) -> Option<usize> {
        let fresh = &self.lanes[kind.index()].fresh;
        let has_place = fresh.len() < FRESH_TRANSACTIONS_MAX;
        has_place.then(|| fresh.iter().map(Transaction::bytes).sum())
    }

    /// Bytes that would be lost if they had to make room, of the given routes: not those that have
    /// a file.
    pub(super) fn bytes_without_file(&self, of: impl Fn(PayloadKind) -> bool) -> usize {
        let lanes = self.lanes.iter().zip(PayloadKind::ALL).filter(|&(_, kind)| of(kind));
        lanes.map(|(lane, _)| lane.bytes_without_file).sum()
    }

    /// The bound of the bytes.
    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Takes the oldest until the bytes suffice; the last one stays even if it alone is too much.
    fn evict(&mut self) -> Vec<Transaction> {
        let mut evicted = Vec::new();
        while self.bytes > self.bytes_max && self.tally.payloads > 1 {
            let Some(oldest) = self.take_oldest() else { break };
            evicted.push(oldest);
        }
        evicted
    }

    fn take_oldest(&mut self) -> Option<Transaction> {
        let ends = self.lanes.iter_mut().flat_map(|lane| [&mut lane.fresh, &mut lane.retry]);
        let oldest = ends
            .filter_map(|queue| Some((queue.front()?.id, queue)))
            .min_by_key(|(id, _)| *id)
            .and_then(|(_, queue)| queue.pop_front())?;
        self.discount(&oldest);
        Some(oldest)
    }

    const fn lane(&mut self, kind: PayloadKind) -> &mut Lane {
        &mut self.lanes[kind.index()]
    }

    fn count(&mut self, transaction: &Transaction) {
        self.bytes += transaction.bytes();
        self.lane(transaction.payload.kind).bytes_without_file += transaction.bytes_without_file();
        self.tally += Tally::from(&transaction.payload);
    }

    fn discount(&mut self, transaction: &Transaction) {
        self.bytes -= transaction.bytes();
        self.lane(transaction.payload.kind).bytes_without_file -= transaction.bytes_without_file();
        self.tally -= Tally::from(&transaction.payload);
    }
}

impl Lane {
    fn insert_retry(&mut self, transaction: Transaction) {
        let older = |other: &Transaction| -> bool { other.id < transaction.id };
        let place = self.retry.partition_point(older);
        self.retry.insert(place, transaction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::transaction::TransactionId;
    use crate::payload::{Encoding, Payload};
    use bytes::Bytes;

    fn transaction(id: u64, kind: PayloadKind, bytes: usize) -> Transaction {
        let body = Bytes::from(vec![b'x'; bytes]);
        let payload = Payload {
            kind,
            encoding: Encoding::Identity,
            body,
            items: 1,
            points: 1,
            uncompressed_bytes: 1,
        };
        Transaction::new(TransactionId(id), payload)
    }

    fn ids(transactions: impl IntoIterator<Item = Transaction>) -> Vec<u64> {
        transactions.into_iter().map(|transaction| transaction.id.0).collect()
    }

    #[test]
    fn new_ones_leave_in_order_and_then_failed_ones_newest_first() {
        let mut backlog = Backlog::new(1000);
        for (id, kind) in [
            (3, PayloadKind::SeriesV2),
            (1, PayloadKind::SeriesV2),
            (2, PayloadKind::ServiceChecks),
        ] {
            assert!(backlog.push_retry(transaction(id, kind, 1)).is_empty());
        }
        for id in [4, 5] {
            assert!(backlog.push_fresh(transaction(id, PayloadKind::Sketches, 1)).is_empty());
        }
        let order = ids(std::iter::from_fn(|| backlog.take_next(|_| true)));
        assert_eq!(order, [4, 5, 3, 2, 1]);
        assert_eq!((backlog.bytes(), backlog.tally()), (0, Tally::default()));
    }

    #[test]
    fn a_route_that_is_not_admitted_holds_back_only_its_own() {
        let mut backlog = Backlog::new(1000);
        backlog.push_fresh(transaction(1, PayloadKind::Events, 1));
        backlog.push_fresh(transaction(2, PayloadKind::SeriesV2, 1));
        let admits = |kind| kind != PayloadKind::Events;
        assert_eq!(ids(backlog.take_next(admits)), [2]);
        assert!(backlog.take_next(admits).is_none());
        assert!(backlog.waits(PayloadKind::Events) && !backlog.waits(PayloadKind::SeriesV2));
    }

    #[test]
    fn new_ones_beyond_their_number_leave_newest_first() {
        let mut backlog = Backlog::new(1000);
        let beyond = u64::try_from(FRESH_TRANSACTIONS_MAX).unwrap();
        for id in 0..beyond + 2 {
            backlog.push_fresh(transaction(id, PayloadKind::SeriesV2, 1));
        }
        let order = ids(std::iter::from_fn(|| backlog.take_next(|_| true)));
        assert_eq!(order[..2], [0, 1]);
        assert_eq!(order[FRESH_TRANSACTIONS_MAX..], [beyond + 1, beyond]);
    }

    #[test]
    fn the_oldest_of_all_routes_make_room() {
        let mut backlog = Backlog::new(100);
        backlog.push_retry(transaction(1, PayloadKind::SeriesV2, 40));
        backlog.push_fresh(transaction(2, PayloadKind::Events, 20));
        backlog.push_retry(transaction(3, PayloadKind::Sketches, 40));
        assert_eq!(ids(backlog.push_fresh(transaction(4, PayloadKind::SeriesV2, 50))), [1, 2]);
        assert_eq!(backlog.bytes(), 90);
    }

    #[test]
    fn an_old_one_that_failed_does_not_push_out_newer_ones() {
        let mut backlog = Backlog::new(100);
        backlog.push_fresh(transaction(2, PayloadKind::SeriesV2, 60));
        assert_eq!(ids(backlog.push_retry(transaction(1, PayloadKind::SeriesV2, 60))), [1]);
    }

    #[test]
    fn one_that_is_too_large_for_the_queue_waits_alone() {
        let mut backlog = Backlog::new(100);
        backlog.push_fresh(transaction(1, PayloadKind::SeriesV2, 10));
        assert_eq!(ids(backlog.push_fresh(transaction(2, PayloadKind::SeriesV2, 500))), [1]);
        assert_eq!(ids(backlog.take_all()), [2]);
        assert_eq!(backlog.bytes(), 0);
    }
}
