//! A spelling: name and tags of a message as they came, and how one is told from another.
//!
//! Names and tags are compared with the texts that the context has already. A context keeps no second
//! copy of a spelling unless enrichment changed more than the order of its tags.

use super::ContextRef;
use super::texts::Texts;
use crate::limits::ALIAS_BYTES_FIXED;

/// Name and tag section of a message as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a> {
    /// The name before enrichment.
    pub name: &'a [u8],
    /// The tag section without its `#`.
    pub tags: &'a [u8],
}

/// What a copy costs besides its text, in bytes: the two lengths and the pointer, as the allocator
/// rounds them up.
const COPY_BYTES_FIXED: usize = 32;

/// How a spelling is told from others with the same hash.
#[derive(Debug)]
pub(super) enum Form {
    /// Name and tags are the context's, in its order: the spelling that came first, as a rule.
    Own,
    /// The name is the context's; these are the positions of its tags in the order of the spelling.
    /// Positions beyond 255 don't fit: then it is a copy.
    Permuted(Box<[u8]>),
    /// Name, then tags, as they came; the name's length in front.
    Copy(Box<(usize, Box<[u8]>)>),
}

impl ContextRef<'_> {
    /// Whether name and tags are spelled so, in the context's own order.
    #[inline]
    pub(super) fn is_spelled(self, spelling: Spelling<'_>) -> bool {
        let (name, tags) = self.name_and_tags();
        is_same(name.as_bytes(), spelling.name) && is_joined(spelling.tags, tags)
    }
}

impl Form {
    pub(super) fn of(
        spelling: Spelling<'_>,
        context: Option<ContextRef<'_>>,
        texts: &Texts,
    ) -> Self {
        if let Some(context) = context
            && context.name().as_bytes() == spelling.name
        {
            if context.is_spelled(spelling) {
                return Self::Own;
            }
            if let Some(order) = order(spelling.tags, context, texts)
                && is_permuted(spelling, context, &order)
            {
                return Self::Permuted(order);
            }
        }
        let copy = [spelling.name, spelling.tags].concat().into_boxed_slice();
        Self::Copy(Box::new((spelling.name.len(), copy)))
    }

    /// Whether this form, of a spelling of `context`, is the given spelling, every byte of it.
    pub(super) fn is(&self, spelling: Spelling<'_>, context: Option<ContextRef<'_>>) -> bool {
        match (self, context) {
            (Self::Own, Some(context)) => context.is_spelled(spelling),
            (Self::Permuted(order), Some(context)) => is_permuted(spelling, context, order),
            (Self::Copy(copy), _) => {
                let (name, tags) = copy.1.split_at(copy.0.min(copy.1.len()));
                name == spelling.name && tags == spelling.tags
            }
            (Self::Own | Self::Permuted(_), None) => false,
        }
    }

    /// Estimated memory in bytes, [`SPELLING_BYTES_FIXED`](crate::limits::SPELLING_BYTES_FIXED) left
    /// out.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Own => 0,
            Self::Permuted(order) => ALIAS_BYTES_FIXED + order.len(),
            Self::Copy(copy) => ALIAS_BYTES_FIXED + COPY_BYTES_FIXED + copy.1.len(),
        }
    }
}

/// The positions of a context's tags in the order of a spelling, if it has no others.
fn order(tags: &[u8], context: ContextRef<'_>, texts: &Texts) -> Option<Box<[u8]>> {
    let mut known: Vec<_> = context.tag_ids().zip(0..=u8::MAX).collect();
    known.sort_unstable();
    let tags = || tags.split(|&byte| byte == b',');
    // To its exact size: what is cut off a larger one is of no use to anybody.
    let mut order = Vec::with_capacity(tags().count());
    for tag in tags() {
        let id = texts.find_tag(str::from_utf8(tag).ok()?)?;
        let found = known.binary_search_by_key(&id, |(id, _)| *id);
        order.push(known.get(found.ok()?)?.1);
    }
    Some(order.into_boxed_slice())
}

/// Whether name and tags are spelled so, with the context's tags in the given order.
fn is_permuted(spelling: Spelling<'_>, context: ContextRef<'_>, order: &[u8]) -> bool {
    let (name, tags) = context.name_and_placed_tags();
    is_same(name.as_bytes(), spelling.name) && is_joined(spelling.tags, tags.in_order(order))
}

/// Whether `joined` is the given tags with a comma between each two.
#[inline]
fn is_joined<'a>(joined: &[u8], mut tags: impl Iterator<Item = &'a str>) -> bool {
    let Some(first) = tags.next() else { return joined.is_empty() };
    let Some(mut rest) = strip(joined, first) else { return false };
    for tag in tags {
        let [b',', after @ ..] = rest else { return false };
        let Some(after) = strip(after, tag) else { return false };
        rest = after;
    }
    rest.is_empty()
}

#[inline]
fn strip<'a>(bytes: &'a [u8], tag: &str) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(tag.len())?;
    is_same(start, tag.as_bytes()).then_some(rest)
}

/// Whether two texts are equal. Names and tags are short: a call costs more than the comparison.
#[inline]
fn is_same(one: &[u8], two: &[u8]) -> bool {
    if one.len() != two.len() {
        return false;
    }
    match one.len() {
        // Most tags.
        8..=16 => has_same_ends::<8>(one, two),
        17..=32 => has_same_ends::<16>(one, two),
        4..8 => has_same_ends::<4>(one, two),
        0..4 => std::iter::zip(one, two).all(|(one, two)| one == two),
        _ => {
            let mut pieces = std::iter::zip(one.as_chunks::<16>().0, two.as_chunks::<16>().0);
            has_same_ends::<16>(one, two) && pieces.all(|(one, two)| one == two)
        }
    }
}

/// Whether the first and the last `N` bytes are the same, which overlap in a text shorter than both.
#[inline]
fn has_same_ends<const N: usize>(one: &[u8], two: &[u8]) -> bool {
    one.first_chunk::<N>() == two.first_chunk() && one.last_chunk::<N>() == two.last_chunk()
}
