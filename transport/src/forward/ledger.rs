//! What became of every payload of one endpoint, in counters that must balance.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign, SubAssign};

use super::outcome::Cause;
use crate::payload::Payload;

/// A count of payloads, and of what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Payloads.
    pub payloads: u64,
    /// Series, sketches, events and checks inside.
    pub items: u64,
    /// Points inside.
    pub points: u64,
}

impl From<&Payload> for Tally {
    fn from(payload: &Payload) -> Self {
        Self { payloads: 1, items: payload.items, points: payload.points }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            payloads: self.payloads + other.payloads,
            items: self.items + other.items,
            points: self.points + other.points,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        self.payloads -= other.payloads;
        self.items -= other.items;
        self.points -= other.points;
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

/// Why a payload was given up that no intake refused and no deadline cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The endpoint has no key: nothing may be sent.
    NoApiKey,
    /// Newer payloads needed its place in the queue.
    QueueFull,
    /// It came after the endpoint had finished.
    Finished,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoApiKey => "no_api_key",
            Self::QueueFull => "queue_full",
            Self::Finished => "finished",
        })
    }
}

/// The counters of one endpoint. All only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Made by this process.
    pub made: Tally,
    /// Read from the spool.
    pub restored: Tally,
    /// Accepted by the intake.
    pub accepted: Tally,
    /// Refused by the intake, by status.
    pub refused: BTreeMap<u16, Tally>,
    /// Given up, by reason.
    pub dropped: BTreeMap<DropReason, Tally>,
    /// Sent whole at least once, never answered, and given up or left: the intake may have it. By
    /// the last failure.
    pub unknown: BTreeMap<Cause, Tally>,
    /// In a file of the spool.
    pub spooled: Tally,
    /// Left when the endpoint finished, certainly not delivered, by the last failure.
    pub left: BTreeMap<Cause, Tally>,

    // Beside the balance:
    /// Attempts beyond the first.
    pub retried: Tally,
    /// Accepted, but sent whole without an answer before: the intake may have them twice.
    pub duplicates_possible: Tally,
    /// Pushed out of the full queue, whatever became of them (dropped, unknown or spooled).
    pub evicted: Tally,
}

/// The balance does not hold: a bug of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// Made and restored.
    pub arrived: Tally,
    /// All that is accounted for.
    pub accounted: Tally,
}

impl Ledger {
    /// Checks conservation, with `waiting` as what is queued, in flight or not settled yet: made +
    /// restored = accepted + refused + dropped + unknown + spooled + left + waiting.
    ///
    /// # Errors
    /// Both sides, if they differ.
    pub fn balance(&self, waiting: Tally) -> Result<(), Imbalance> {
        let arrived = self.made + self.restored;
        let accounted = self.accepted
            + self.refused.values().copied().sum()
            + self.dropped.values().copied().sum()
            + self.unknown.values().copied().sum()
            + self.spooled
            + self.left.values().copied().sum()
            + waiting;
        if arrived == accounted { Ok(()) } else { Err(Imbalance { arrived, accounted }) }
    }
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arrived, accounted } = self;
        write!(
            f,
            "the forwarder's ledger does not balance: {} payloads with {} points arrived, \
             {} with {} are accounted for; this is a bug, please report it",
            arrived.payloads, arrived.points, accounted.payloads, accounted.points
        )
    }
}

impl std::error::Error for Imbalance {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_out_weighs_in_the_balance() {
        let one = Tally { payloads: 1, items: 2, points: 3 };
        let balanced = Ledger {
            made: Tally { payloads: 4, items: 8, points: 12 },
            restored: Tally { payloads: 3, items: 6, points: 9 },
            accepted: one,
            refused: [(400, one)].into(),
            dropped: [(DropReason::QueueFull, one)].into(),
            unknown: [(Cause::NeverTried, one)].into(),
            spooled: one,
            left: [(Cause::NeverTried, one)].into(),
            ..Ledger::default()
        };
        assert_eq!(balanced.balance(one), Ok(()));
        assert!(balanced.balance(Tally::default()).is_err());
        let without: [fn(&mut Ledger); 6] = [
            |ledger| ledger.accepted = Tally::default(),
            |ledger| ledger.refused.clear(),
            |ledger| ledger.dropped.clear(),
            |ledger| ledger.unknown.clear(),
            |ledger| ledger.spooled = Tally::default(),
            |ledger| ledger.left.clear(),
        ];
        for forget in without {
            let mut ledger = balanced.clone();
            forget(&mut ledger);
            assert!(ledger.balance(one).is_err());
        }
    }

    #[test]
    fn a_lost_point_shows_even_if_no_payload_is_lost() {
        let ledger = Ledger {
            made: Tally { payloads: 1, items: 1, points: 2 },
            accepted: Tally { payloads: 1, items: 1, points: 1 },
            ..Ledger::default()
        };
        assert!(ledger.balance(Tally::default()).is_err());
    }
}
