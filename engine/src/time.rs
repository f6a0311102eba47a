//! Time as the engine knows it: values that come in. `Stamp` orders arrivals, `Slot` names a bucket.

use crate::limits::SLOT_S;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// An instant on the agent's time line: nanoseconds since 1970.
///
/// The time line follows the wall clock forwards and never runs back, so stamps order arrivals
/// *and* choose the slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// The end of the time line.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `ns` nanoseconds after the start of 1970.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// The instant `seconds` after the start of 1970; saturates at the end of the time line (2554).
    #[must_use]
    pub const fn from_s(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NS_PER_S))
    }

    /// Nanoseconds since the start of 1970.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Whole seconds since the start of 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / NS_PER_S
    }

    /// The second that this instant belongs to.
    #[must_use]
    #[inline]
    pub fn second(self) -> Second {
        Second(u32::try_from(self.seconds()).unwrap_or(u32::MAX))
    }

    /// The slot this instant belongs to.
    #[must_use]
    pub const fn slot(self) -> Slot {
        Slot::containing(self.seconds())
    }
}

/// A second of the time line, small because there is one for each context: seconds since 1970. Until
/// 2106; later ones are the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Second(u32);

impl Second {
    /// Seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 as u64
    }

    /// Seconds since 1970 when `seconds` more are over.
    #[must_use]
    pub const fn after(self, seconds: u64) -> u64 {
        self.seconds().saturating_add(seconds)
    }
}

/// Start of a 10-second bucket in whole seconds since 1970; a multiple of [`SLOT_S`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    /// Length of a slot in seconds.
    pub const SECONDS: u64 = SLOT_S;

    /// The slot that holds the given second.
    #[must_use]
    pub const fn containing(second: u64) -> Self {
        Self(second - second % SLOT_S)
    }

    /// Start of the slot: seconds since 1970.
    #[must_use]
    pub const fn start_s(self) -> u64 {
        self.0
    }

    /// The slot after this one; saturates at the last one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::containing(self.0.saturating_add(SLOT_S))
    }

    /// The slot before this one; saturates at the first one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(SLOT_S))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_starts_at_a_multiple_of_ten_seconds() {
        assert_eq!(Stamp::from_ns(1_009_999_999_999).slot().start_s(), 1000);
        assert_eq!(Stamp::from_s(1010).slot().start_s(), 1010);
        assert_eq!(Slot::containing(1003).next().start_s(), 1010);
        assert_eq!(Slot::containing(3).previous().start_s(), 0);
        assert_eq!(Slot::containing(u64::MAX).next(), Slot::containing(u64::MAX));
    }
}
