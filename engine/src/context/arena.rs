//! Where texts and records of contexts stand: blocks of bytes that never move, each told by a number
//! of four bytes.
//!
//! One thread, which has the [`Arena`], adds and removes blocks; others read through the [`Region`]
//! that they share with it, at the same time. A block takes its bytes and four more; a pointer to it
//! and an allocation of its own would take some 24.
//!
//! ```text
//!  block  size in bytes: 16 bits │ note: 15 bits │ bytes, filled up to a word
//!  long   0xffff                 │ note          │ size: 32 bits │ bytes, filled up to a word
//!  gap    words: 31 bits, and the highest bit    │ unused
//!
//!  text   note: how many hold it; the largest number stays, and with it the text
//!  record note: whether it has a host; bytes: how many own it, 32 bits │ numbers of texts
//! ```
//!
//! The region is as large as it may ever become, in words of four bytes. What nobody has written to
//! is address space and no memory.
//!
//! What is removed is listed as gaps in one walk over all blocks, which joins neighbours, as soon as
//! an eighth of the arena is to be gained. Long gaps, and what is behind the last block, go back to
//! the system.

use super::packed::NUMBERS_END;
use crate::sync::{Arc, AtomicU32};
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::fmt;
use std::mem::MaybeUninit;
use std::num::NonZeroU32;
use std::slice;
use std::str;

/// Words of the largest region: 4 GiB, as many as have numbers.
const REGION_WORDS_MAX: usize = NUMBERS_END as usize;

/// Number of the first word that is anybody's, so that no record's is 0.
const FIRST: u32 = 1;

/// Words of the smallest region that is worth having.
const REGION_WORDS_MIN: usize = 1 << 10;

/// Words of the shortest gap that is given back: 64 KiB, some pages.
const DISCARDED_WORDS_MIN: u32 = if cfg!(test) { 8 } else { 1 << 14 };

/// Gives memory back to the system, which stays where it is with anything in it.
pub type Discard = fn(&mut [MaybeUninit<u8>]);

/// The size that says that a block's own size is in the word behind.
const SIZE_LONG: u16 = u16::MAX;

/// The bit of a note that says that the rest, with the size, is the length of a gap in words.
const GAP: u16 = 1 << 15;

/// The largest note.
pub(super) const NOTE_MAX: u16 = GAP - 1;

/// Bytes of a record that say how many own it.
const OWNERS_BYTES: usize = size_of::<AtomicU32>();

/// Number of a text: that of the word at which its block begins. Numbers of texts and records don't
/// leave the module `context`, which sees to it that nobody has one of what was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextId(pub(super) u32);

/// Number of a record, likewise; so none takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordId(NonZeroU32);

/// What a record holds.
pub(super) struct Record<'a> {
    /// How many own it besides the worker that made it.
    pub(super) owners: &'a AtomicU32,
    /// A note of who made it.
    pub(super) note: u16,
    /// What stands in it.
    pub(super) bytes: &'a [u8],
}

/// The memory of an arena, for those who read.
pub(super) struct Region(Vec<Word>);

#[repr(transparent)]
struct Word(UnsafeCell<MaybeUninit<u32>>);

// SAFETY: the words of a block are written by the thread that has the arena, before anybody else can
// have its number and after nobody has it any more (`Arena::remove_text`, `Arena::remove_record`).
// The note of a text is read and written by that thread alone, and how many own a record is an
// atomic. Run by the tests below, and by the thread sanitizer.
#[allow(unsafe_code, reason = "blocks that one thread adds while others read what stands there")]
unsafe impl Sync for Word {}

/// The end of an arena that adds and removes.
#[derive(Debug)]
pub(super) struct Arena {
    /// Of no words until there is a block.
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
        // SAFETY: the bytes of a text were copied from a `str`, and nobody writes to them while the
        // caller borrows them.
        unsafe {
            let (bytes, len) = self.block(id.0);
            str::from_utf8_unchecked(slice::from_raw_parts(bytes, len))
        }
    }

    /// The record of a number.
    ///
    /// # Safety
    ///
    /// The number is of this arena, came to this thread after the record was added, and the record is
    /// not removed as long as it is borrowed.
    #[inline]
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn record(&self, id: RecordId) -> Record<'_> {
        // SAFETY: a record begins with an aligned word that only atomics touch once the number is
        // known to others; nobody writes to the rest, nor to the note, while the caller borrows them.
        unsafe {
            let (start, len) = self.block(id.0.get());
            Record {
                owners: AtomicU32::from_ptr(start.cast()),
                note: self.note(id.0.get()).read(),
                bytes: slice::from_raw_parts(start.add(OWNERS_BYTES), len - OWNERS_BYTES),
            }
        }
    }

    /// The address of a record, for one who wants to have it brought nearer.
    #[inline]
    pub(super) fn address(&self, id: RecordId) -> *const u8 {
        self.word(id.0.get()).cast()
    }

    /// Where the bytes of a block begin, and how many there are.
    ///
    /// # Safety
    ///
    /// A block begins at this number, and this thread knows of it since.
    #[inline]
    #[allow(unsafe_code, reason = "see `Word`")]
    unsafe fn block(&self, number: u32) -> (*mut u8, usize) {
        let start = self.word(number);
        // SAFETY: a block begins with its size, which doesn't change.
        unsafe {
            match start.cast::<u16>().read() {
                SIZE_LONG => (start.add(2).cast(), start.add(1).read() as usize),
                size => (start.add(1).cast(), size.into()),
            }
        }
    }

    /// Where the note of a block, or a gap, is.
    #[inline]
    fn note(&self, number: u32) -> *mut u16 {
        self.word(number).cast::<u16>().wrapping_add(1)
    }

    /// The address of a word, with the right to all of the region.
    #[inline]
    fn word(&self, number: u32) -> *mut u32 {
        self.0.as_ptr().wrapping_add(number as usize).cast_mut().cast()
    }
}

impl Arena {
    /// No blocks; as many bytes of them as a region may have, with all that is between them.
    pub(super) fn new(bytes_max: usize, discard: Discard) -> Self {
        Self {
            region: Arc::new(Region(Vec::new())),
            words_max: (bytes_max / 4).clamp(REGION_WORDS_MIN, REGION_WORDS_MAX),
            end: FIRST,
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
    pub(super) fn add_text(&mut self, text: &str) -> Option<TextId> {
        Some(TextId(self.add(0, [text.as_bytes(), &[]])?))
    }

    /// Adds a record that nobody owns but the caller. None if there is no room.
    pub(super) fn add_record(&mut self, note: u16, bytes: &[u8]) -> Option<RecordId> {
        debug_assert!(note <= NOTE_MAX, "the highest bit makes it a gap");
        self.add(note, [&[0; OWNERS_BYTES], bytes]).and_then(NonZeroU32::new).map(RecordId)
    }

    /// How many hold a text: for the owner to keep, up to [`NOTE_MAX`].
    ///
    /// # Safety
    ///
    /// The number is of this arena and the text not removed.
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn holders(&mut self, id: TextId) -> &mut u16 {
        // SAFETY: a block has a note, and nobody reaches that of a text but through the only arena.
        unsafe { &mut *self.region.note(id.0) }
    }

    /// Takes a text away.
    ///
    /// # Safety
    ///
    /// The number is of this arena, and nobody has it any more who would read the text.
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn remove_text(&mut self, id: TextId) {
        // SAFETY: as the caller has it.
        unsafe { self.remove(id.0) }
    }

    /// Takes a record away.
    ///
    /// # Safety
    ///
    /// The number is of this arena, and nobody has it any more who would read the record.
    #[allow(unsafe_code, reason = "see `Word`")]
    pub(super) unsafe fn remove_record(&mut self, id: RecordId) {
        // SAFETY: as the caller has it.
        unsafe { self.remove(id.0.get()) }
    }

    /// Makes a block of two pieces.
    fn add(&mut self, note: u16, pieces: [&[u8]; 2]) -> Option<u32> {
        let [first, second] = pieces;
        let len = u32::try_from(first.len() + second.len()).ok()?;
        let words = words_of(len as usize)?;
        let number = self.take_gap(words).or_else(|| self.take_unused(words))?;
        let start = self.region.word(number);
        // SAFETY: these words were never used, or removed; both ways took them for this block alone.
        #[allow(unsafe_code, reason = "see `Word`")]
        unsafe {
            let size = u16::try_from(len).unwrap_or(SIZE_LONG);
            start.cast::<u16>().write(size);
            self.region.note(number).write(note);
            if size == SIZE_LONG {
                start.add(1).write(len);
            }
            let (bytes, _) = self.region.block(number);
            bytes.copy_from_nonoverlapping(first.as_ptr(), first.len());
            bytes.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Some(number)
    }

    /// Takes a block away.
    ///
    /// # Safety
    ///
    /// A block of this arena begins at this number, and nobody has it any more who would read it.
    #[allow(unsafe_code, reason = "see `Word`")]
    unsafe fn remove(&mut self, number: u32) {
        // SAFETY: nobody else looks at the block any more.
        let (_, len) = unsafe { self.region.block(number) };
        if let Some(words) = words_of(len) {
            self.mark_gap(number, words);
            self.removed += words as usize;
        }
    }

    /// Has what was removed used again, if it is worth a walk. O(blocks).
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

    /// Lists all gaps anew, neighbours as one. O(blocks).
    fn list_gaps(&mut self) {
        self.gaps.clear();
        self.removed = 0;
        let mut gap = None::<(u32, u32)>;
        let mut number = FIRST;
        while number < self.end {
            let words = match self.gap(number) {
                None => {
                    if let Some((number, words)) = gap.take() {
                        self.list_gap(number, words);
                        self.discard(number + 1, words - 1);
                    }
                    // SAFETY: every word before the end belongs to a block or a gap, and the walk goes
                    // from one to the next.
                    #[allow(unsafe_code, reason = "see `Word`")]
                    let (_, len) = unsafe { self.region.block(number) };
                    words_of(len).unwrap_or(u32::MAX)
                }
                Some(words) => {
                    let (first, before) = gap.unwrap_or((number, 0));
                    gap = Some((first, before + words));
                    words
                }
            };
            number = number.saturating_add(words);
        }
        // What is behind the last block is as good as unused.
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
        let [low, high] = halves(words);
        let start = self.region.word(number).cast::<u16>();
        // SAFETY: the caller has taken these words from a block or a longer gap.
        #[allow(unsafe_code, reason = "see `Word`")]
        unsafe {
            start.write(low);
            start.add(1).write(GAP | high);
        }
    }

    /// The length in words, if it is a gap that begins here.
    fn gap(&self, number: u32) -> Option<u32> {
        // SAFETY: a block or a gap begins at each number that the walk comes to.
        #[allow(unsafe_code, reason = "see `Word`")]
        let (low, high) = unsafe {
            let start = self.region.word(number).cast::<u16>();
            (start.read(), start.add(1).read())
        };
        (high & GAP != 0).then_some(u32::from(high & !GAP) << 16 | u32::from(low))
    }
}

/// The lower and the upper half.
#[expect(clippy::cast_possible_truncation, reason = "the rest is in the other half")]
fn halves(words: u32) -> [u16; 2] {
    [words as u16, (words >> 16) as u16]
}

/// Words that a block of so many bytes takes, if there can be such a block.
fn words_of(len: usize) -> Option<u32> {
    let header = if len < SIZE_LONG.into() { 1 } else { 2 };
    u32::try_from(len.div_ceil(4) + header).ok().filter(|words| *words < NUMBERS_END)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;
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
            let id = self.arena.add_text(text).unwrap();
            self.texts.push((id, text.to_owned()));
            id
        }

        #[allow(unsafe_code, reason = "what is in `texts` is in the arena")]
        fn remove(&mut self, at: usize) {
            let (id, _) = self.texts.swap_remove(at);
            // SAFETY: it was in the arena, and nothing knows its number any more.
            unsafe { self.arena.remove_text(id) };
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
            self.texts.iter().filter_map(|(_, text)| words_of(text.len())).sum::<u32>() as usize
        }

        /// Words below the end: the first, those of texts, and those of gaps.
        fn words_in_all(&self) -> usize {
            FIRST as usize + self.words_used() + self.words_of_gaps()
        }

        /// Words below the end that no text has.
        fn words_of_gaps(&self) -> usize {
            let listed =
                self.arena.gaps.iter().map(|(words, numbers)| *words as usize * numbers.len());
            listed.sum::<usize>() + self.arena.removed
        }
    }

    /// Around the size that stands in a word of its own, and with a gap of many words in its place.
    #[test]
    fn long_texts_read_as_they_were_added() {
        let longest = if cfg!(miri) { 65_540 } else { 300_000 };
        let mut checked = Checked::default();
        for len in [65_534, 65_535, 65_536, longest, 0] {
            checked.add(&"x".repeat(len));
        }
        checked.check();
        checked.remove(3);
        checked.arena.list_gaps();
        checked.check();
        assert_eq!(checked.words_of_gaps(), longest / 4 + 2);
        checked.add(&"y".repeat(longest - 1));
        checked.check();
    }

    #[test]
    #[allow(unsafe_code, reason = "each record is read before it is removed")]
    fn a_record_is_counted_and_noted() {
        let mut checked = Checked::default();
        checked.add("before");
        let id = checked.arena.add_record(NOTE_MAX, b"bytes").unwrap();
        checked.add("behind");
        // SAFETY: it was added here and not removed.
        let record = unsafe { checked.arena.region().record(id) };
        assert_eq!((record.note, record.bytes), (NOTE_MAX, &b"bytes"[..]));
        assert_eq!(record.owners.load(Ordering::Relaxed), 0);
        record.owners.store(u32::MAX, Ordering::Relaxed);
        checked.check();
        // SAFETY: likewise, and nobody looks at it any more.
        unsafe { checked.arena.remove_record(id) };
        checked.arena.list_gaps();
        assert_eq!(checked.words_of_gaps(), 4);
        checked.check();
    }

    #[test]
    fn what_has_no_room_is_not_added() {
        let mut checked =
            Checked { arena: Arena::new(REGION_WORDS_MIN * 4, spoil), ..Checked::default() };
        checked.add("one");
        // The first word, two of the first text, one of this one.
        let most = (REGION_WORDS_MIN - 4) * 4;
        assert_eq!(checked.arena.add_text(&"a".repeat(most + 1)), None);
        checked.add(&"a".repeat(most));
        assert_eq!(checked.arena.add_text(""), None);
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
        // Four texts of four words each.
        checked.add(&"x".repeat(60));
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
        assert_eq!(checked.arena.end as usize, checked.words_in_all());
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
                prop_assert_eq!(checked.words_in_all(), checked.arena.end as usize);
            }
            checked.check();
            checked.arena.list_gaps();
            checked.check();
            prop_assert_eq!(checked.words_in_all(), checked.arena.end as usize);
        }
    }
}
