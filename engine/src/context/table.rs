//! The two tables of a worker's contexts: spelling to context, and meaning to context.
//!
//! A spelling is kept as a reference to its context where name and tags in their order are the
//! context's own, as a permutation where only the order of the tags differs, and as a copy only
//! where enrichment changed more than that. Hashes only choose where to look: keys are compared in
//! full, so two contexts are never merged by a collision, and the seeds are random per process.

use super::intern::Interner;
use super::{Context, ContextId, Tag};
use crate::limits::CONTEXT_BYTES_FIXED;
use crate::time::{NS_PER_S, Stamp};
use ahash::RandomState;
use hashbrown::HashTable;
use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Name and tag section of a message as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a> {
    /// The name before enrichment.
    pub name: &'a [u8],
    /// The tag section without its `#`.
    pub tags: &'a [u8],
}

/// What a spelling means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Metric name after enrichment.
    pub name: Cow<'a, str>,
    /// Host, may be empty.
    pub host: Cow<'a, str>,
    /// Tags: sorted by bytes, without duplicates, none that the configuration puts on everything.
    pub tags: Vec<Cow<'a, str>>,
}

impl Identity<'_> {
    /// The tags that tell contexts apart: all but the empty one.
    #[must_use]
    pub fn telling_tags(&self) -> &[Cow<'_, str>] {
        match &*self.tags {
            [first, rest @ ..] if first.is_empty() => rest,
            all => all,
        }
    }
}

/// Where a context's entry of the current bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Serial number of the bucket; 0 is none.
    pub bucket: u32,
    /// Index of the entry in it.
    pub position: u32,
}

/// The memory bound of the contexts is reached: only known contexts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached;

/// What [`Contexts::expire`] took out.
#[derive(Debug, Default)]
pub struct Retired {
    /// Numbers that may be used again for other contexts.
    pub contexts: Vec<ContextId>,
}

#[derive(Debug)]
struct KnownSpelling {
    hash: u32,
    context: ContextId,
    form: Form,
}

/// How a spelling is told from others with the same hash.
#[derive(Debug)]
enum Form {
    /// Name and tags are the context's, in its order.
    Own,
    /// The name is the context's; these are the positions of its tags in the order of the spelling.
    Permuted(Box<[u16]>),
    /// Name, then tags, as they came; the name's length in front.
    Copy(Box<(usize, Box<[u8]>)>),
}

/// One context's state in its worker.
#[derive(Debug)]
struct ContextSlot {
    /// None: a free number, or a spelling that the block list drops.
    context: Option<Arc<Context>>,
    /// Time of its latest sample.
    seen: Stamp,
    place: Place,
    /// Hash of the identity.
    hash: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Blocked,
    Live,
}

/// A worker's contexts.
#[derive(Debug)]
pub struct Contexts {
    hasher: RandomState,
    spellings: HashTable<KnownSpelling>,
    identities: HashTable<ContextId>,
    slots: Vec<ContextSlot>,
    free: Vec<ContextId>,
    interner: Interner,
    /// Estimated bytes of contexts and spellings, tags apart.
    bytes: usize,
    bytes_max: usize,
}

impl Contexts {
    /// An empty table that may grow to about `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            spellings: HashTable::new(),
            identities: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            interner: Interner::default(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The hash of a spelling, for [`Contexts::find`] and the insertions.
    #[must_use]
    #[inline]
    pub fn hash(&self, spelling: Spelling<'_>) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(spelling.name);
        hasher.write(spelling.tags);
        fold(hasher.finish())
    }

    /// The context that a known spelling means. One probe, compared in full.
    #[must_use]
    #[inline]
    pub fn find(&self, hash: u32, spelling: Spelling<'_>) -> Option<ContextId> {
        let same = |known: &KnownSpelling| {
            known.hash == hash
                && self
                    .slots
                    .get(known.context as usize)
                    .is_some_and(|slot| known.is(spelling, slot))
        };
        self.spellings.find(spread(hash), same).map(|known| known.context)
    }

    /// Learns what a spelling means and gives the number of its context, made if there is none.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert(
        &mut self,
        hash: u32,
        spelling: Spelling<'_>,
        identity: &Identity<'_>,
        seen: Stamp,
    ) -> Result<Inserted, LimitReached> {
        let is_full = self.bytes() >= self.bytes_max;
        let inserted = self.insert_meaning(identity, seen)?;
        // With a full table a new spelling of a known context is used without being kept.
        if !is_full {
            self.add_spelling(hash, spelling, inserted.id());
        }
        Ok(inserted)
    }

    /// Gives the number of a context that isn't looked up by a spelling, made if there is none.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert_meaning(
        &mut self,
        identity: &Identity<'_>,
        seen: Stamp,
    ) -> Result<Inserted, LimitReached> {
        debug_assert!(identity.tags.is_sorted(), "enrichment sorts");
        let telling = identity.telling_tags();
        let meaning = self.hash_identity(identity, telling);
        let slots = &self.slots;
        let same = |id: &ContextId| {
            slots.get(*id as usize).and_then(|slot| slot.context.as_deref()).is_some_and(
                |context| {
                    *context.name == *identity.name
                        && *context.host == *identity.host
                        && context
                            .telling_tags()
                            .iter()
                            .map(Tag::as_str)
                            .eq(telling.iter().map(|tag| &**tag))
                },
            )
        };
        if let Some(&id) = self.identities.find(spread(meaning), same) {
            return Ok(Inserted::Known(id));
        }
        if self.bytes() >= self.bytes_max {
            return Err(LimitReached);
        }
        Ok(Inserted::New(self.add_context(meaning, identity, seen)))
    }

    /// Learns that a spelling is dropped by the block list.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] if the memory bound is reached; nothing is kept.
    pub fn insert_blocked(
        &mut self,
        hash: u32,
        spelling: Spelling<'_>,
        seen: Stamp,
    ) -> Result<(), LimitReached> {
        if self.bytes() >= self.bytes_max {
            return Err(LimitReached);
        }
        let slot = ContextSlot {
            context: None,
            seen,
            place: Place::default(),
            hash: 0,
            state: State::Blocked,
        };
        let id = self.add_slot(slot);
        self.bytes += CONTEXT_BYTES_FIXED;
        self.add_spelling(hash, spelling, id);
        Ok(())
    }

    /// The context of a number, or none if the number stands for a blocked spelling.
    #[must_use]
    pub fn context(&self, id: ContextId) -> Option<&Arc<Context>> {
        self.slots.get(id as usize)?.context.as_ref()
    }

    /// Notes that a context was sampled and gives the place of its entry; none if the spelling is
    /// blocked.
    #[inline]
    pub fn touch(&mut self, id: ContextId, time: Stamp) -> Option<&mut Place> {
        let slot = self.slots.get_mut(id as usize)?;
        slot.seen = slot.seen.max(time);
        (slot.state == State::Live).then_some(&mut slot.place)
    }

    /// Forgets every context that was not seen for `idle_s` seconds before `at`, save those for
    /// which `is_held` says that an open bucket still refers to them. O(contexts).
    pub fn expire(
        &mut self,
        at: Stamp,
        idle_s: u64,
        is_held: impl Fn(ContextId) -> bool,
    ) -> Retired {
        let idle_ns = idle_s.saturating_mul(NS_PER_S);
        let mut retired = Retired::default();
        let mut freed = 0;
        for (id, slot) in (0..).zip(&mut self.slots) {
            let idle = slot.seen.ns().saturating_add(idle_ns) < at.ns();
            if slot.state == State::Free || !idle || is_held(id) {
                continue;
            }
            if let Some(context) = slot.context.take() {
                if let Ok(known) = self.identities.find_entry(spread(slot.hash), |k| *k == id) {
                    known.remove();
                }
                self.bytes -= context_bytes(&context);
                retired.contexts.push(id);
            } else {
                self.bytes -= CONTEXT_BYTES_FIXED;
            }
            slot.state = State::Free;
            slot.place = Place::default();
            self.free.push(id);
            freed += 1;
        }
        if freed > 0 {
            self.forget_spellings();
            self.interner.sweep();
        }
        retired
    }

    /// Number of contexts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// True if no context is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Highest number in use plus one: the length of an array that is indexed by context.
    #[must_use]
    pub fn id_bound(&self) -> usize {
        self.slots.len()
    }

    /// Estimated memory of contexts, spellings and tags in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.interner.bytes()
    }

    fn add_context(&mut self, hash: u32, identity: &Identity<'_>, seen: Stamp) -> ContextId {
        let tags = identity.tags.iter().map(|tag| self.interner.intern(tag)).collect();
        let context = Arc::new(Context {
            name: (*identity.name).into(),
            host: (*identity.host).into(),
            tags,
        });
        self.bytes += context_bytes(&context);
        let slot = ContextSlot {
            context: Some(context),
            seen,
            place: Place::default(),
            hash,
            state: State::Live,
        };
        let id = self.add_slot(slot);
        let slots = &self.slots;
        let rehash = |id: &ContextId| spread(slots.get(*id as usize).map_or(0, |slot| slot.hash));
        self.identities.insert_unique(spread(hash), id, rehash);
        id
    }

    fn add_slot(&mut self, slot: ContextSlot) -> ContextId {
        if let Some(id) = self.free.pop()
            && let Some(free) = self.slots.get_mut(id as usize)
        {
            *free = slot;
            return id;
        }
        let id = ContextId::try_from(self.slots.len()).unwrap_or(ContextId::MAX);
        self.slots.push(slot);
        id
    }

    fn add_spelling(&mut self, hash: u32, spelling: Spelling<'_>, id: ContextId) {
        let form = Form::of(spelling, self.context(id).map(|context| &**context));
        self.bytes += form.bytes();
        let known = KnownSpelling { hash, context: id, form };
        self.spellings.insert_unique(spread(hash), known, |known| spread(known.hash));
    }

    fn forget_spellings(&mut self) {
        let (slots, bytes) = (&self.slots, &mut self.bytes);
        self.spellings.retain(|known| {
            let live =
                slots.get(known.context as usize).is_some_and(|slot| slot.state != State::Free);
            if !live {
                *bytes -= known.form.bytes();
            }
            live
        });
    }

    fn hash_identity(&self, identity: &Identity<'_>, telling: &[Cow<'_, str>]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(identity.name.as_bytes());
        hasher.write(identity.host.as_bytes());
        for tag in telling {
            hasher.write(tag.as_bytes());
        }
        fold(hasher.finish())
    }
}

/// Whether an insertion made a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The context was known under another spelling.
    Known(ContextId),
    /// The context is new: the merge has to learn of it.
    New(ContextId),
}

impl Inserted {
    /// The context's number.
    #[must_use]
    pub const fn id(self) -> ContextId {
        match self {
            Self::Known(id) | Self::New(id) => id,
        }
    }
}

impl KnownSpelling {
    /// Whether this is the given spelling, every byte of it.
    #[inline]
    fn is(&self, spelling: Spelling<'_>, slot: &ContextSlot) -> bool {
        match (&self.form, &slot.context) {
            (Form::Copy(copy), _) => {
                let (name, tags) = copy.1.split_at(copy.0.min(copy.1.len()));
                name == spelling.name && tags == spelling.tags
            }
            (Form::Own, Some(context)) => {
                context.name.as_bytes() == spelling.name
                    && is_joined(spelling.tags, context.tags.iter())
            }
            (Form::Permuted(order), Some(context)) => {
                context.name.as_bytes() == spelling.name
                    && is_joined(
                        spelling.tags,
                        order.iter().filter_map(|&i| context.tags.get(usize::from(i))),
                    )
            }
            (_, None) => false,
        }
    }
}

impl Form {
    fn of(spelling: Spelling<'_>, context: Option<&Context>) -> Self {
        if let Some(context) = context
            && context.name.as_bytes() == spelling.name
        {
            if is_joined(spelling.tags, context.tags.iter()) {
                return Self::Own;
            }
            let order: Option<Box<[u16]>> = spelling
                .tags
                .split(|&byte| byte == b',')
                .map(|tag| {
                    let position =
                        context.tags.binary_search_by(|known| known.as_str().as_bytes().cmp(tag));
                    u16::try_from(position.ok()?).ok()
                })
                .collect();
            if let Some(order) = order
                && is_joined(
                    spelling.tags,
                    order.iter().filter_map(|&i| context.tags.get(usize::from(i))),
                )
            {
                return Self::Permuted(order);
            }
        }
        let copy = [spelling.name, spelling.tags].concat().into_boxed_slice();
        Self::Copy(Box::new((spelling.name.len(), copy)))
    }

    /// Estimated memory in bytes, the part that every spelling has left out.
    fn bytes(&self) -> usize {
        match self {
            Self::Own => 0,
            Self::Permuted(order) => 16 + 2 * order.len(),
            Self::Copy(copy) => 56 + copy.1.len(),
        }
    }
}

/// Whether `joined` is the given tags with a comma between each two.
#[inline]
fn is_joined<'a>(joined: &[u8], mut tags: impl Iterator<Item = &'a Tag>) -> bool {
    let Some(first) = tags.next() else { return joined.is_empty() };
    let Some(mut rest) = joined.strip_prefix(first.as_str().as_bytes()) else { return false };
    for tag in tags {
        let Some(after) = rest.strip_prefix(b",") else { return false };
        let Some(after) = after.strip_prefix(tag.as_str().as_bytes()) else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn context_bytes(context: &Context) -> usize {
    CONTEXT_BYTES_FIXED
        + context.name.len()
        + context.host.len()
        + context.tags.len() * size_of::<Tag>()
}

/// The half of a hash that is kept.
#[inline]
fn fold(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is mixed in")]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

/// A kept hash as the table wants it: position from the low bits, tag from the high ones.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) | u64::from(hash) << 32
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
