//! A context as others have it than the worker that made it: a handle for one, a shelf for many.
//!
//! A context is a record in its worker's arena, and its texts stand beside it. Who owns a record keeps
//! it and its texts from being removed, and the region from being freed.

use super::arena::{Record, RecordId, Region, TextId};
use super::packed::Packed;
use super::prefetch::{CACHE_LINE_BYTES, prefetch};
use crate::limits::WORKERS_MAX;
use crate::sync::{Arc, Ordering};
use std::fmt;

/// A record's note if its second text is a host.
pub(super) const HAS_HOST: u16 = 1;

/// Owners beyond which something clones without end.
pub(super) const OWNERS_MAX: u32 = u32::MAX / 2;

/// The identity of a series; made by a worker, shared with the merge. Cloning shares it.
pub struct Context {
    region: Arc<Region>,
    record: RecordId,
}

/// A look at a context.
#[derive(Clone, Copy)]
pub struct ContextRef<'a> {
    region: &'a Arc<Region>,
    record: RecordId,
}

/// Contexts of several workers, each at a place of five bytes; of four as long as there is one worker.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    regions: Vec<Arc<Region>>,
    records: Vec<Option<RecordId>>,
    /// Index of each record's region, up to the last that isn't 0.
    region_of: Vec<u8>,
}

const _: () = assert!(WORKERS_MAX <= u8::MAX as usize);

impl Context {
    /// The context itself.
    #[must_use]
    #[inline]
    pub fn get(&self) -> ContextRef<'_> {
        ContextRef { region: &self.region, record: self.record }
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        self.get().share()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.get().disown();
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Shelf {
    /// Puts a context at a place that is empty.
    ///
    /// # Panics
    ///
    /// If the contexts are of more than [`WORKERS_MAX`] workers.
    pub(crate) fn put(&mut self, at: u32, context: &Context) {
        let at = at as usize;
        if at >= self.records.len() {
            self.records.resize(at + 1, None);
        }
        let known = self.regions.iter().position(|region| Arc::ptr_eq(region, &context.region));
        let region = known.unwrap_or_else(|| {
            self.regions.push(Arc::clone(&context.region));
            self.regions.len() - 1
        });
        assert!(region < WORKERS_MAX, "contexts of {region} workers");
        if region > 0 && at >= self.region_of.len() {
            self.region_of.resize(at + 1, 0);
        }
        if let Some(of) = self.region_of.get_mut(at) {
            *of = u8::try_from(region).unwrap_or(u8::MAX);
        }
        if let Some(record) = self.records.get_mut(at) {
            debug_assert!(record.is_none(), "the place is empty");
            *record = Some(context.record);
            context.get().own();
        }
    }

    /// The context at a place.
    #[inline]
    #[allow(unsafe_code, reason = "see `ContextRef::new`")]
    pub(crate) fn get(&self, at: u32) -> Option<ContextRef<'_>> {
        let record = (*self.records.get(at as usize)?)?;
        let region = self.region_of.get(at as usize).map_or(0, |region| usize::from(*region));
        let region = self.regions.get(region)?;
        // SAFETY: `put` has the record of this region, and owns it until it is removed.
        Some(unsafe { ContextRef::new(region, record) })
    }

    /// Empties a place.
    pub(crate) fn remove(&mut self, at: u32) {
        if let Some(context) = self.get(at) {
            context.disown();
        }
        if let Some(record) = self.records.get_mut(at as usize) {
            *record = None;
        }
    }

    /// Places, the empty ones too.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        (0..self.len()).for_each(|at| self.remove(at));
    }
}

impl<'a> ContextRef<'a> {
    /// A look at a record.
    ///
    /// # Safety
    ///
    /// The record is of this region, was made by [`Texts::context`](super::texts::Texts::context),
    /// came to this thread afterwards, and is not removed as long as the region is borrowed.
    #[inline]
    #[allow(unsafe_code, reason = "contexts are told by numbers; see `arena`")]
    pub(super) unsafe fn new(region: &'a Arc<Region>, record: RecordId) -> Self {
        Self { region, record }
    }

    /// One more handle.
    #[must_use]
    pub fn share(self) -> Context {
        self.own();
        Context { region: Arc::clone(self.region), record: self.record }
    }

    /// Counts one more owner.
    fn own(self) {
        // Relaxed: who looks at a context has it, so it is not given back meanwhile.
        let before = self.record().owners.fetch_add(1, Ordering::Relaxed);
        if before >= OWNERS_MAX {
            // Or panics that are caught would bring the count to zero in the end.
            self.disown();
            panic!("a context has {before} owners");
        }
    }

    /// Counts one owner less.
    fn disown(self) {
        // Releases what the owner has read to the worker that finds it unowned.
        self.record().owners.fetch_sub(1, Ordering::Release);
    }

    /// Metric name after enrichment, not empty.
    #[must_use]
    #[inline]
    pub fn name(self) -> &'a str {
        self.texts().next().unwrap_or_default()
    }

    /// Host, may be empty.
    #[must_use]
    #[inline]
    pub fn host(self) -> &'a str {
        let host = self.has_host().then(|| self.texts().nth(1));
        host.flatten().unwrap_or_default()
    }

    /// Tags in the order of the spelling that came first, without duplicates. An empty tag is sent,
    /// but is no part of the identity.
    #[inline]
    pub fn tags(self) -> impl Iterator<Item = &'a str> + Clone {
        self.name_and_tags().1
    }

    /// The tags that tell contexts apart, in any order.
    pub fn telling_tags(self) -> impl Iterator<Item = &'a str> + Clone {
        self.tags().filter(|tag| !tag.is_empty())
    }

    /// Whether both name the same series.
    #[must_use]
    pub fn same_series(self, other: ContextRef<'_>) -> bool {
        self.name() == other.name()
            && self.host() == other.host()
            && self.sorted_telling_tags() == other.sorted_telling_tags()
    }

    fn sorted_telling_tags(self) -> Vec<&'a str> {
        let mut tags: Vec<_> = self.telling_tags().collect();
        tags.sort_unstable();
        tags
    }

    /// Name and tags, on one way through the record.
    #[inline]
    pub(super) fn name_and_tags(
        self,
    ) -> (&'a str, impl Iterator<Item = &'a str> + Clone + use<'a>) {
        let (name, tags) = self.name_and_tag_ids();
        (name.map_or("", |id| self.text(id)), tags.map(move |id| self.text(id)))
    }

    #[inline]
    fn name_and_tag_ids(self) -> (Option<TextId>, Packed<'a>) {
        let Record { bytes, note, .. } = self.record();
        let mut ids = Packed(bytes);
        let name = ids.next();
        if note == HAS_HOST {
            ids.next();
        }
        (name, ids)
    }

    /// Name, and tags by their positions.
    pub(super) fn name_and_placed_tags(self) -> (&'a str, PlacedTags<'a>) {
        let (name, tags) = self.name_and_tag_ids();
        let (mut ids, mut len) = ([TextId(0); 1 << u8::BITS], 0);
        for (place, id) in ids.iter_mut().zip(tags) {
            *place = id;
            len += 1;
        }
        (name.map_or("", |id| self.text(id)), PlacedTags { context: self, ids, len })
    }

    /// Numbers of the telling tags in ascending order.
    pub(super) fn telling_tag_ids(self) -> Vec<TextId> {
        let mut ids: Vec<_> = self.tag_ids().filter(|id| !self.text(*id).is_empty()).collect();
        ids.sort_unstable();
        ids
    }

    /// Numbers of the tags among the texts of the worker that made the context.
    pub(super) fn tag_ids(self) -> Packed<'a> {
        self.name_and_tag_ids().1
    }

    /// Numbers of name, host if there is one, and tags.
    #[inline]
    pub(super) fn ids(self) -> Packed<'a> {
        Packed(self.record().bytes)
    }

    /// True if the second text is a host.
    #[inline]
    pub(super) fn has_host(self) -> bool {
        self.record().note == HAS_HOST
    }

    /// Bytes of the record.
    pub(super) fn bytes(self) -> usize {
        self.record().bytes.len()
    }

    /// True if nobody has it but its worker. Acquires what the last of those who had one released: whatever
    /// they have read, they have read before.
    pub(super) fn is_unowned(self) -> bool {
        // Pairs with `disown`.
        self.record().owners.load(Ordering::Acquire) == 0
    }

    /// Has the record brought into the cache.
    #[inline]
    pub(super) fn fetch(self) {
        let start = self.region.address(self.record);
        prefetch(start);
        prefetch(start.wrapping_add(CACHE_LINE_BYTES));
    }

    #[inline]
    fn texts(self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.ids().map(move |id| self.text(id))
    }

    #[inline]
    #[allow(unsafe_code, reason = "see `ContextRef::new`")]
    pub(super) fn record(self) -> Record<'a> {
        // SAFETY: `new` asks for it, and a handle's record is not removed as long as there is one.
        unsafe { self.region.record(self.record) }
    }

    #[inline]
    #[allow(unsafe_code, reason = "texts are told by numbers; see `arena`")]
    fn text(self, id: TextId) -> &'a str {
        // SAFETY: a record has only numbers of texts of its own arena, each of which it holds, and
        // they were added before it.
        unsafe { self.region.text(id) }
    }
}

/// The first tags of a context by their positions.
pub(super) struct PlacedTags<'a> {
    context: ContextRef<'a>,
    ids: [TextId; 1 << u8::BITS],
    /// How many there are.
    len: usize,
}

impl PlacedTags<'_> {
    /// Tags in the given order; nothing where there is none.
    pub(super) fn in_order(&self, order: &[u8]) -> impl Iterator<Item = &str> {
        let ids = self.ids.get(..self.len).unwrap_or_default();
        order.iter().filter_map(|at| Some(self.context.text(*ids.get(usize::from(*at))?)))
    }
}

impl fmt::Debug for ContextRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<_> = self.tags().collect();
        let mut fields = f.debug_struct("Context");
        fields.field("name", &self.name()).field("host", &self.host()).field("tags", &tags).finish()
    }
}
