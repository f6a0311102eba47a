//! Where texts stand: bytes that never move, each text told by a number of four bytes.
//!
//! One thread, which has the [`Arena`], adds and removes texts; others read through the [`Region`]
//! that they share with it, at the same time. A text takes its bytes and eight more; a pointer to it
//! and an allocation of its own would take some 24.
//!
//! ```text
//!  text   length │ holders │ bytes, filled up to a word
//!  gap    words, and the highest bit │ unused
//! ```
//!
//! The region is as large as it may ever become, in words of four bytes. What nobody has written to
//! is address space and no memory.
//!
//! What is removed is listed as gaps in one walk over all texts, which joins neighbours, as soon as
//! an eighth of the arena is to be gained. Long gaps, and what is behind the last text, go back to
//! the system.

use crate::sync::Arc;
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::fmt;
use std::mem::MaybeUninit;
use std::slice;
use std::str;

/// Words of the largest region: 8 GiB.
const REGION_WORDS_MAX: usize = 1 << 31;

/// Words of the smallest region that is worth having.
const REGION_WORDS_MIN: usize = 1 << 10;

/// Words of the shortest gap that is given back: 64 KiB, some pages.
const DISCARDED_WORDS_MIN: u32 = if cfg!(test) { 8 } else { 1 << 14 };

/// Gives memory back to the system, which stays where it is with anything in it.
pub type Discard = fn(&mut [MaybeUninit<u8>]);

/// Words in front of a text's bytes: its length in bytes, and how many hold it.
const HEADER_WORDS: u32 = 2;

/// The bit that says that the rest is the length of a gap in words.
const GAP: u32 = 1 << 31;

/// Number of a text: that of the word at which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextId(u32);

/// The memory of an arena, for those who read.
pub(super) struct Region(Vec<Word>);

#[repr(transparent)]
struct Word(UnsafeCell<MaybeUninit<u32>>);

// SAFETY: the words of a text are written by the thread that has the arena, before anybody else can
// have its number and after nobody has it any more (`Arena::remove`); the count of holders is read
// and written by that thread alone. Run by the tests below, and by the thread sanitizer.
#[allow(unsafe_code, reason = "text that one thread adds while others read what stands there")]
unsafe impl Sync for Word {}

/// The end of an arena that adds and removes.
#[derive(Debug)]
pub(super) struct Arena {
    /// Of no words until there is a text.
    region: Arc<Region>,
    /// Words that the region is to have.
    words_max: usize,
    /// The first word that was never used.
    end: u32,
    /// Gaps that are listed, by their length in words.
    gaps: BTreeMap<u32, Vec<u32>>,
    /// Words of what was removed and isn't listed yet.
    removed: usize,
    discard: Discard,
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("words", &self.0.len()).finish_non_exhaustive()
    }
}

impl Region {
    /// As many words, or half as many as often as it takes to be granted them.
    fn reserve(mut words: usize) -> Option<Self> {
        let mut memory = Vec::new();
        while memory.try_reserve_exact(words).is_err() {
            words = Some(words / 2).filter(|words| *words >= REGION_WORDS_MIN)?;
        }
        // SAFETY: there is room for them, and a word may be anything, also uninitialised.
        #[allow(unsafe_code, reason = "see `Word`")]
        unsafe {
            memory.set_len(words);
        }
        Some(Self(memory))
    }

    /// The text of a number.
    ///
    /// # Safety
    ///
    /// The number is of this arena, came to this thread after the text was added, and the text is
    /// not removed as long as it is borrowed.
    #[inline]
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn text(&self, id: TextId) -> &str {
        let start = self.word(id.0);
        // SAFETY: a text begins with its length; its bytes were copied from a `str`, and nobody
        // writes to them while the caller borrows them.
        unsafe {
            let bytes = start.add(HEADER_WORDS as usize).cast::<u8>();
            str::from_utf8_unchecked(slice::from_raw_parts(bytes, start.read() as usize))
        }
    }

    /// The address of a word, with the right to all of the region.
    #[inline]
    fn word(&self, number: u32) -> *mut u32 {
        self.0.as_ptr().wrapping_add(number as usize).cast_mut().cast()
    }
}

impl Arena {
    /// No texts; as many bytes of them as a region may have, with all that is between them.
    pub(super) fn new(bytes_max: usize, discard: Discard) -> Self {
        Self {
            region: Arc::new(Region(Vec::new())),
            words_max: (bytes_max / 4).clamp(REGION_WORDS_MIN, REGION_WORDS_MAX),
            end: 0,
            gaps: BTreeMap::new(),
            removed: 0,
            discard,
        }
    }

    /// The memory, for those who read.
    pub(super) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Adds a text that nobody holds yet. None if there is no room.
    pub(super) fn add(&mut self, text: &str) -> Option<TextId> {
        let len = u32::try_from(text.len()).ok().filter(|len| len & GAP == 0)?;
        let words = words_of(len)?;
        let number = self.take_gap(words).or_else(|| self.take_unused(words))?;
        let start = self.region.word(number);
        // SAFETY: these words were never used, or removed; both ways took them for this text alone.
        #[allow(unsafe_code, reason = "see `Word`")]
        unsafe {
            start.write(len);
            start.add(1).write(0);
            let bytes = start.add(HEADER_WORDS as usize).cast::<u8>();
            bytes.copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        Some(TextId(number))
    }

    /// How many hold a text: for the owner to keep.
    ///
    /// # Safety
    ///
    /// The number is of this arena and the text not removed.
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn holders(&mut self, id: TextId) -> &mut u32 {
        // SAFETY: a text has this word, and nobody reaches it but through the only arena.
        unsafe { &mut *self.region.word(id.0).add(1) }
    }

    /// Takes a text away.
    ///
    /// # Safety
    ///
    /// The number is of this arena, and nobody has it any more who would read the text.
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn remove(&mut self, id: TextId) {
        // SAFETY: a text begins with its length; nobody else looks at it any more.
        let len = unsafe { self.region.word(id.0).read() };
        if let Some(words) = words_of(len) {
            self.mark_gap(id.0, words);
            self.removed += words as usize;
        }
    }

    /// Has what was removed used again, if it is worth a walk. O(texts).
    pub(super) fn settle(&mut self) {
        if self.removed > self.end as usize / 8 {
            self.list_gaps();
        }
    }

    /// Takes the shortest gap that is long enough.
    fn take_gap(&mut self, words: u32) -> Option<u32> {
        let mut gap = self.gaps.range_mut(words..);
        let (&length, numbers) = gap.next()?;
        let number = numbers.pop()?;
        if numbers.is_empty() {
            self.gaps.remove(&length);
        }
        if length > words {
            self.list_gap(number + words, length - words);
        }
        Some(number)
    }

    /// Takes words behind all others.
    fn take_unused(&mut self, words: u32) -> Option<u32> {
        if self.region.0.is_empty() {
            self.region = Arc::new(Region::reserve(self.words_max)?);
        }
        let number = self.end;
        let end = number.checked_add(words).filter(|end| *end as usize <= self.region.0.len())?;
        self.end = end;
        Some(number)
    }

    /// Lists all gaps anew, neighbours as one. O(texts).
    fn list_gaps(&mut self) {
        self.gaps.clear();
        self.removed = 0;
        let mut gap = None::<(u32, u32)>;
        let mut number = 0;
        while number < self.end {
            // SAFETY: every word before the end belongs to a text or a gap, and the walk goes from one
            // to the next.
            #[allow(unsafe_code, reason = "see `Word`")]
            let header = unsafe { self.region.word(number).read() };
            let words = if header & GAP == 0 {
                if let Some((number, words)) = gap.take() {
                    self.list_gap(number, words);
                    self.discard(number + 1, words - 1);
                }
                words_of(header).unwrap_or(u32::MAX)
            } else {
                let words = header & !GAP;
                gap = Some(gap.map_or((number, words), |(first, before)| (first, before + words)));
                words
            };
            number = number.saturating_add(words);
        }
        // What is behind the last text is as good as unused.
        if let Some((number, words)) = gap {
            self.end = number;
            self.discard(number, words);
        }
    }

    /// Gives words back that nobody has, if they are many.
    fn discard(&mut self, number: u32, words: u32) {
        if words < DISCARDED_WORDS_MIN {
            return;
        }
        let start = self.region.word(number).cast();
        // SAFETY: they are of a gap behind its first word, or behind the end: nobody reads them, and
        // only the owner, who is busy here, would write to them.
        #[allow(unsafe_code, reason = "see `Word`")]
        let memory = unsafe { slice::from_raw_parts_mut(start, words as usize * 4) };
        (self.discard)(memory);
    }

    fn list_gap(&mut self, number: u32, words: u32) {
        self.mark_gap(number, words);
        self.gaps.entry(words).or_default().push(number);
    }

    fn mark_gap(&mut self, number: u32, words: u32) {
        // SAFETY: the caller has taken these words from a text or a longer gap.
        #[allow(unsafe_code, reason = "see `Word`")]
        unsafe {
            self.region.word(number).write(GAP | words);
        }
    }
}

/// Words that a text takes.
fn words_of(len: u32) -> Option<u32> {
    len.div_ceil(4).checked_add(HEADER_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cases of a property: few where each access is checked.
    const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

    /// An arena, and the texts that are in it.
    struct Checked {
        arena: Arena,
        texts: Vec<(TextId, String)>,
    }

    /// What is given back may hold anything.
    fn spoil(memory: &mut [MaybeUninit<u8>]) {
        memory.fill(MaybeUninit::new(0xff));
    }

    impl Default for Checked {
        fn default() -> Self {
            Self { arena: Arena::new(1 << 20, spoil), texts: Vec::new() }
        }
    }

    impl Checked {
        fn add(&mut self, text: &str) -> TextId {
            let id = self.arena.add(text).unwrap();
            self.texts.push((id, text.to_owned()));
            id
        }

        #[allow(unsafe_code, reason = "what is in `texts` is in the arena")]
        fn remove(&mut self, at: usize) {
            let (id, _) = self.texts.swap_remove(at);
            // SAFETY: it was in the arena, and nothing knows its number any more.
            unsafe { self.arena.remove(id) };
            self.arena.settle();
        }

        #[allow(unsafe_code, reason = "what is in `texts` is in the arena")]
        fn check(&self) {
            for (id, text) in &self.texts {
                // SAFETY: the text was added here and not removed.
                assert_eq!(unsafe { self.arena.region().text(*id) }, text);
            }
        }

        fn words_used(&self) -> usize {
            self.texts
                .iter()
                .filter_map(|(_, text)| words_of(u32::try_from(text.len()).ok()?))
                .sum::<u32>() as usize
        }

        /// Words below the end that no text has.
        fn words_of_gaps(&self) -> usize {
            let listed =
                self.arena.gaps.iter().map(|(words, numbers)| *words as usize * numbers.len());
            listed.sum::<usize>() + self.arena.removed
        }
    }

    #[test]
    fn what_has_no_room_is_not_added() {
        let mut checked =
            Checked { arena: Arena::new(REGION_WORDS_MIN * 4, spoil), ..Checked::default() };
        checked.add("one");
        let most = (REGION_WORDS_MIN - 3 - HEADER_WORDS as usize) * 4;
        assert_eq!(checked.arena.add(&"a".repeat(most + 1)), None);
        checked.add(&"a".repeat(most));
        assert_eq!(checked.arena.add(""), None);
        checked.check();
        checked.remove(1);
        checked.add("other");
        checked.check();
    }

    /// Miri ends where it has no memory to grant.
    #[cfg(not(miri))]
    #[test]
    fn more_than_there_is_is_asked_for_in_vain() {
        let region = Region::reserve(usize::MAX / 4).unwrap();
        assert!(region.0.len() >= REGION_WORDS_MIN);
    }

    #[test]
    fn neighbours_that_are_removed_make_room_for_a_longer_text() {
        let mut checked = Checked::default();
        for number in 0..10 {
            checked.add(&format!("text {number}..."));
        }
        let end = checked.arena.end;
        for number in [5, 3, 6, 4] {
            let text = format!("text {number}...");
            checked.remove(checked.texts.iter().position(|(_, known)| *known == text).unwrap());
        }
        // Four texts of five words each.
        checked.add(&"x".repeat(72));
        checked.check();
        assert_eq!((checked.arena.end, checked.words_of_gaps()), (end, 0));
    }

    /// Texts of all lengths that come and go, the lengths of later ones other than before: what is
    /// removed is used again, and the gaps that stay are less than an eighth and some.
    #[test]
    fn what_comes_and_goes_needs_no_more_than_what_is_there() {
        let mut checked = Checked::default();
        let mut random = 1_u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random as usize >> 8
        };
        for step in 0..if cfg!(miri) { 500 } else { 20_000 } {
            if checked.texts.len() == 1000 {
                checked.remove(next() % 1000);
            }
            let longest = 40 + step / 200;
            checked.add(&"x".repeat(next() % longest));
        }
        checked.check();
        let (used, end) = (checked.words_used(), checked.arena.end as usize);
        assert!(end < used * 5 / 4, "{used} words of {end}");
    }

    #[test]
    fn an_arena_that_was_emptied_begins_anew() {
        let mut checked = Checked::default();
        for _ in 0..3 {
            for number in 0..500 {
                checked.add(&format!("{number}"));
            }
            while !checked.texts.is_empty() {
                checked.remove(0);
            }
        }
        checked.add("again");
        assert_eq!(checked.arena.end as usize, checked.words_used());
        assert!(checked.arena.gaps.is_empty());
    }

    #[test]
    fn the_empty_text_is_one() {
        let mut checked = Checked::default();
        checked.add("");
        checked.add("a");
        checked.check();
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        /// For all sequences: each text reads as it was added, and each word below the end is a text's or
        /// a gap's.
        #[test]
        fn what_is_removed_disturbs_nobody(
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[a-zé]{0,40}"), 1..200),
        ) {
            let mut checked = Checked::default();
            for (index, what, text) in steps {
                if what == 0 && !checked.texts.is_empty() {
                    checked.remove(index.index(checked.texts.len()));
                } else {
                    checked.add(&text);
                }
                prop_assert_eq!(
                    checked.words_used() + checked.words_of_gaps(),
                    checked.arena.end as usize
                );
            }
            checked.check();
            checked.arena.list_gaps();
            checked.check();
            prop_assert_eq!(
                checked.words_used() + checked.words_of_gaps(),
                checked.arena.end as usize
            );
        }
    }
}
