//! The texts of one worker's contexts, and the records that name them: names and tags are kept once,
//! whoever bears them.

use super::Identity;
use super::arena::{Arena, Discard, NOTE_MAX, RecordId, TextId};
use super::packed;
use super::record::{ContextRef, HAS_HOST};
use crate::limits::TEXT_BYTES_FIXED;
use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// What a context is to mean, looked up or made.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    name: Hashed<'a>,
    host: Hashed<'a>,
    /// In their order, each once.
    tags: Vec<Hashed<'a>>,
}

/// A text and its hash in the table of one worker's texts.
#[derive(Clone, Copy, Debug)]
struct Hashed<'a> {
    hash: u64,
    text: &'a str,
}

impl Meaning<'_> {
    /// A hash of what tells contexts apart; the order of the tags makes no difference.
    pub(super) fn hash(&self, hasher: &RandomState) -> u64 {
        let tags = self.telling_tags().map(|tag| tag.hash).fold(0, u64::wrapping_add);
        hasher.hash_one((self.name.hash, self.host.hash, tags))
    }

    fn telling_tags(&self) -> impl Iterator<Item = &Hashed<'_>> {
        self.tags.iter().filter(|tag| !tag.text.is_empty())
    }
}

/// The texts of one worker's contexts.
#[derive(Debug)]
pub(super) struct Texts {
    arena: Arena,
    /// Names and hosts.
    names: HashTable<TextId>,
    tags: HashTable<TextId>,
    hasher: RandomState,
    /// Estimated bytes of all texts.
    bytes: usize,
    /// Numbers of the record that comes or goes; kept for their memory.
    ids: Vec<TextId>,
    packed: Vec<u8>,
}

/// The table that a text stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Names,
    Tags,
}

impl Texts {
    /// No texts, and about so many bytes of them at most.
    pub(super) fn new(bytes_max: usize, discard: Discard) -> Self {
        Self {
            arena: Arena::new(bytes_max, discard),
            names: HashTable::new(),
            tags: HashTable::new(),
            hasher: RandomState::new(),
            bytes: 0,
            ids: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// What an identity means: each text with its hash, each tag once.
    pub(super) fn meaning<'a>(&self, identity: &'a Identity<'_>) -> Meaning<'a> {
        let hashed = |text: &'a str| Hashed { hash: self.hasher.hash_one(text), text };
        let mut tags: Vec<_> = identity.tags.iter().map(|tag| hashed(tag)).collect();
        remove_repeated(&mut tags);
        Meaning { name: hashed(&identity.name), host: hashed(&identity.host), tags }
    }

    /// Makes a context. None if the arena is full.
    pub(super) fn context(&mut self, meaning: &Meaning<'_>) -> Option<RecordId> {
        let Meaning { name, host, tags } = meaning;
        let host = Some(host).filter(|host| !host.text.is_empty());
        let names = [Some(name), host].into_iter().flatten();
        let count = 1 + usize::from(host.is_some());
        let mut ids = std::mem::take(&mut self.ids);
        ids.extend(names.map_while(|text| self.hold(*text, Table::Names)));
        if ids.len() == count {
            ids.extend(tags.iter().map_while(|text| self.hold(*text, Table::Tags)));
        }
        self.packed.clear();
        ids.iter().for_each(|id| packed::push(&mut self.packed, *id));
        packed::end(&mut self.packed);
        let is_whole = ids.len() == count + tags.len();
        let note = if host.is_some() { HAS_HOST } else { 0 };
        let record = is_whole.then(|| self.arena.add_record(note, &self.packed)).flatten();
        if record.is_none() {
            self.release_all(&ids, count);
        }
        ids.clear();
        self.ids = ids;
        record
    }

    /// The context of a record.
    #[inline]
    #[allow(unsafe_code, reason = "see `arena`")]
    pub(super) fn get(&self, record: RecordId) -> ContextRef<'_> {
        // SAFETY: its only owner beside handles is the table that these texts are of, which has its
        // number from `context` and forgets it when it gives it back.
        unsafe { ContextRef::new(self.arena.region(), record) }
    }

    /// Takes a context back, and removes the texts that no other bears.
    ///
    /// # Errors
    ///
    /// The record, if somebody else has it too.
    pub(super) fn give_back(&mut self, record: RecordId) -> Result<(), RecordId> {
        let context = self.get(record);
        if !context.is_unowned() {
            return Err(record);
        }
        let names = 1 + usize::from(context.has_host());
        let mut ids = std::mem::take(&mut self.ids);
        ids.extend(self.get(record).ids());
        // SAFETY: nobody has it but the caller, who forgets it.
        #[allow(unsafe_code, reason = "see `arena`")]
        unsafe {
            self.arena.remove_record(record);
        }
        self.release_all(&ids, names);
        ids.clear();
        self.ids = ids;
        Ok(())
    }

    /// Has the room of what is gone used again, if it is worth it. O(texts and contexts).
    pub(super) fn settle(&mut self) {
        self.arena.settle();
    }

    /// The number of a tag, if it is known.
    pub(super) fn find_tag(&self, text: &str) -> Option<TextId> {
        self.find(Hashed { hash: self.hasher.hash_one(text), text }, Table::Tags)
    }

    /// The numbers of the telling tags in ascending order, if all of them are known.
    pub(super) fn find_tags(&self, meaning: &Meaning<'_>) -> Option<Vec<TextId>> {
        let ids = meaning.telling_tags().map(|tag| self.find(*tag, Table::Tags));
        let mut ids: Vec<_> = ids.collect::<Option<_>>()?;
        ids.sort_unstable();
        Some(ids)
    }

    /// Estimated memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn find(&self, Hashed { hash, text }: Hashed<'_>, table: Table) -> Option<TextId> {
        let table = match table {
            Table::Names => &self.names,
            Table::Tags => &self.tags,
        };
        table.find(hash, |id| text_of(&self.arena, *id) == text).copied()
    }

    /// The number of a text, added if it isn't known, with one more holder.
    fn hold(&mut self, text: Hashed<'_>, table: Table) -> Option<TextId> {
        let id = self.find(text, table).or_else(|| self.add(text, table))?;
        let holders = self.holders(id);
        *holders = (*holders + 1).min(NOTE_MAX);
        Some(id)
    }

    fn add(&mut self, Hashed { hash, text }: Hashed<'_>, table: Table) -> Option<TextId> {
        let id = self.arena.add_text(text)?;
        self.bytes += text.len() + TEXT_BYTES_FIXED;
        let (table, hasher, arena) = self.table(table);
        table.insert_unique(hash, id, |id| hasher.hash_one(text_of(arena, *id)));
        Some(id)
    }

    /// Lets go of texts once: so many of the first are names.
    fn release_all(&mut self, ids: &[TextId], names: usize) {
        let (names, tags) = ids.split_at(names.min(ids.len()));
        names.iter().for_each(|id| self.release(*id, Table::Names));
        tags.iter().for_each(|id| self.release(*id, Table::Tags));
    }

    /// Lets go of a text once. One that was ever held by as many as can be counted stays.
    fn release(&mut self, id: TextId, table: Table) {
        let holders = self.holders(id);
        if *holders == NOTE_MAX {
            return;
        }
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        let (table, hasher, arena) = self.table(table);
        let text = text_of(arena, id);
        let (hash, bytes) = (hasher.hash_one(text), text.len() + TEXT_BYTES_FIXED);
        let Ok(known) = table.find_entry(hash, |known| *known == id) else { return };
        known.remove();
        self.bytes -= bytes;
        // SAFETY: it was in the table and no longer is, and no context bears it.
        #[allow(unsafe_code, reason = "see `arena`")]
        unsafe {
            self.arena.remove_text(id);
        }
    }

    fn table(&mut self, table: Table) -> (&mut HashTable<TextId>, &RandomState, &Arena) {
        let known = match table {
            Table::Names => &mut self.names,
            Table::Tags => &mut self.tags,
        };
        (known, &self.hasher, &self.arena)
    }

    #[allow(unsafe_code, reason = "see `arena`")]
    fn holders(&mut self, id: TextId) -> &mut u16 {
        // SAFETY: the numbers in the tables and in records are of texts that are not removed.
        unsafe { self.arena.holders(id) }
    }
}

#[allow(unsafe_code, reason = "see `arena`")]
fn text_of(arena: &Arena, id: TextId) -> &str {
    // SAFETY: the numbers in the tables are of texts that are not removed, and none is as long as the
    // arena is borrowed.
    unsafe { arena.region().text(id) }
}

/// Leaves of equal tags the first.
fn remove_repeated(tags: &mut Vec<Hashed<'_>>) {
    let mut seen = HashTable::with_capacity(tags.len());
    tags.retain(|tag| {
        let same = |other: &Hashed<'_>| other.text == tag.text;
        match seen.entry(tag.hash, same, |other| other.hash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(*tag);
                true
            }
        }
    });
}

/// A hash of what tells contexts apart; the order of the tags makes no difference.
pub(crate) fn hash_context(hasher: &RandomState, context: ContextRef<'_>) -> u64 {
    let tags = context.telling_tags().map(|tag| hasher.hash_one(tag)).fold(0, u64::wrapping_add);
    hasher.hash_one((context.name(), context.host(), tags))
}

#[cfg(test)]
#[path = "texts/tests.rs"]
mod tests;
