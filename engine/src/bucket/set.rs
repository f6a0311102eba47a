//! A set in one slot: how many distinct byte strings came.
//!
//! The members' bytes stand one after the other in one buffer. A few are looked through one by
//! one; with more comes a hash table of their numbers, which compares the bytes in full: two members
//! are never taken for one. Its seed is random, so that nobody can choose members that collide.

use ahash::RandomState;
use hashbrown::HashTable;

use crate::ledger::Refusal;
use crate::limits::{SET_BYTES_MAX, SET_MEMBERS_MAX, SET_SCANNED_MAX};

/// Distinct byte strings, at most [`SET_MEMBERS_MAX`] of at most [`SET_BYTES_MAX`] bytes together.
#[derive(Clone, Debug, Default)]
pub struct Set {
    members: Members,
    /// Numbers of all members by hash; none while there are few.
    index: Option<Box<Index>>,
}

/// Byte strings, numbered as they came.
#[derive(Clone, Debug, Default)]
struct Members {
    /// All bytes, one member behind the other.
    bytes: Vec<u8>,
    /// Where each member ends in `bytes`.
    ends: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Index {
    numbers: HashTable<u32>,
    seed: RandomState,
}

impl Set {
    /// Adds a member, if it is new.
    ///
    /// # Errors
    ///
    /// [`Refusal::SetMembers`] or [`Refusal::SetBytes`] if it is new and there is no room. What the
    /// set holds still counts.
    pub fn add(&mut self, member: &[u8]) -> Result<(), Refusal> {
        let Some(index) = &mut self.index else {
            if self.members.iter().any(|known| known == member) {
                return Ok(());
            }
            self.members.push(member)?;
            if self.members.ends.len() > SET_SCANNED_MAX {
                self.index = Some(Box::new(Index::of(&self.members)));
            }
            return Ok(());
        };
        let hash = index.seed.hash_one(member);
        if index.numbers.find(hash, |&number| self.members.get(number) == member).is_some() {
            return Ok(());
        }
        let number = self.members.push(member)?;
        let rehash = |&number: &u32| index.seed.hash_one(self.members.get(number));
        index.numbers.insert_unique(hash, number, rehash);
        Ok(())
    }

    /// Adds another worker's members; gives how many of them were refused for lack of room.
    pub fn merge(&mut self, other: &Self) -> usize {
        other.members.iter().filter(|member| self.add(member).is_err()).count()
    }

    /// Gives the number of members, the set's value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.ends.len()
    }

    /// True if there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Members {
    /// Appends a member and gives its number.
    fn push(&mut self, member: &[u8]) -> Result<u32, Refusal> {
        if self.ends.len() >= SET_MEMBERS_MAX {
            return Err(Refusal::SetMembers);
        }
        let end = self.bytes.len().saturating_add(member.len());
        if end > SET_BYTES_MAX {
            return Err(Refusal::SetBytes);
        }
        let (Ok(number), Ok(end)) = (u32::try_from(self.ends.len()), u32::try_from(end)) else {
            return Err(Refusal::SetBytes);
        };
        self.bytes.extend_from_slice(member);
        self.ends.push(end);
        Ok(number)
    }

    fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0_u32..).take(self.ends.len()).map(|number| self.get(number))
    }
}

impl Index {
    fn of(members: &Members) -> Self {
        let mut index = Self { numbers: HashTable::new(), seed: RandomState::new() };
        for (number, member) in (0_u32..).zip(members.iter()) {
            let hash = index.seed.hash_one(member);
            let rehash = |&number: &u32| index.seed.hash_one(members.get(number));
            index.numbers.insert_unique(hash, number, rehash);
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn set_of<'a>(members: impl IntoIterator<Item = &'a [u8]>) -> Set {
        let mut set = Set::default();
        for member in members {
            set.add(member).unwrap();
        }
        set
    }

    proptest! {
        /// For all byte strings, however they are spread over two workers: each counts once.
        #[test]
        fn every_distinct_member_counts_once(
            one in vec(vec(0_u8..4, 0..3), 0..40), two in vec(vec(0_u8..4, 0..3), 0..40),
        ) {
            let mut set = set_of(one.iter().map(Vec::as_slice));
            prop_assert_eq!(set.len(), one.iter().collect::<HashSet<_>>().len());
            prop_assert_eq!(set.merge(&set_of(two.iter().map(Vec::as_slice))), 0);
            prop_assert_eq!(set.len(), one.iter().chain(&two).collect::<HashSet<_>>().len());
        }
    }

    #[test]
    fn members_are_bytes_not_numbers() {
        let set = set_of([b"1".as_slice(), b"1.0", b"01", b"", b"\xff", b"1"]);
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn a_set_full_of_members_refuses_new_ones_and_knows_the_old() {
        let mut set = Set::default();
        for number in 0..SET_MEMBERS_MAX {
            set.add(&number.to_le_bytes()).unwrap();
        }
        assert!(set.index.is_some(), "so many are not looked through one by one");
        assert_eq!(set.add(b"new"), Err(Refusal::SetMembers));
        assert_eq!(set.add(&7_usize.to_le_bytes()), Ok(()));
        assert_eq!(set.len(), SET_MEMBERS_MAX);
        assert_eq!(set.merge(&set_of([b"new".as_slice(), &7_usize.to_le_bytes()])), 1);
    }

    #[test]
    fn a_set_full_of_bytes_refuses_what_does_not_fit() {
        let mut set = Set::default();
        set.add(&vec![b'a'; SET_BYTES_MAX - 1]).unwrap();
        assert_eq!(set.add(b"bc"), Err(Refusal::SetBytes));
        assert_eq!(set.add(b"b"), Ok(()));
        assert_eq!(set.add(b""), Ok(()));
        assert_eq!(set.len(), 3);
    }
}
