//! Whether the next payload is to be made: what each endpoint has room for, and what follows from
//! all of them.
//!
//! Payloads are pulled, not pushed: what is merged waits until an endpoint asks for more, so that an
//! intake that works never costs a payload, however slow it is. One that fails holds back nobody.
//!
//! | an endpoint | while its route works | while it is blocked |
//! |---|---|---|
//! | has little ahead of it | asks for more | takes more |
//! | has enough ahead of it | waits, if nobody asks for more | takes more |
//! | would lose something to make room | all wait | waits, if nobody asks for more |
//!
//! An endpoint whose route works, but that has not answered for some time, counts as blocked once it
//! is full. What nobody takes stays merged, until there is [too
//! much](crate::limits::SLOTS_WAITING_MAX) of it.

/// What one endpoint has room for. The greatest of all endpoints decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// It would take it, but has no use for it now.
    Spare,
    /// It would have to give up something for it, and that must not hold back the others.
    Overflow,
    /// It works, and has enough ahead of it.
    Enough,
    /// It works, and has little ahead of it.
    Wanted,
    /// It works, and would have to give up something for it.
    Full,
}

impl Room {
    /// Whether a payload for endpoints with such room is to be made now.
    #[must_use]
    pub fn lets_go(of_all: impl Iterator<Item = Self>) -> bool {
        matches!(of_all.max(), None | Some(Self::Spare | Self::Wanted))
    }

    /// Whether no endpoint has to give up something.
    #[must_use]
    pub fn suffices(of_all: impl Iterator<Item = Self>) -> bool {
        let mut of_all = of_all;
        of_all.all(|room| !matches!(room, Self::Full | Self::Overflow))
    }
}

#[cfg(test)]
mod tests {
    use super::Room::{self, Enough, Full, Overflow, Spare, Wanted};

    #[test]
    fn the_one_that_works_and_wants_most_decides() {
        let goes: [&[Room]; 5] = [
            &[],
            &[Wanted],
            &[Wanted, Enough],
            // A dead one never holds back another.
            &[Overflow, Wanted],
            &[Spare, Spare],
        ];
        let waits: [&[Room]; 5] =
            [&[Enough], &[Full], &[Wanted, Full], &[Enough, Spare], &[Overflow, Spare]];
        for rooms in goes {
            assert!(Room::lets_go(rooms.iter().copied()), "{rooms:?}");
        }
        for rooms in waits {
            assert!(!Room::lets_go(rooms.iter().copied()), "{rooms:?}");
        }
    }

    #[test]
    fn room_suffices_if_nobody_has_to_give_up_anything() {
        assert!(Room::suffices([Spare, Enough, Wanted].into_iter()));
        assert!(!Room::suffices([Wanted, Full].into_iter()));
        assert!(!Room::suffices([Overflow].into_iter()));
    }
}
