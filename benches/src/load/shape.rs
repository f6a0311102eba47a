//! Contexts, and the text of their messages.
//!
//! A context has one kind for good, drawn by the mix. Its name begins with `load.` and the kind, so
//! that whoever receives it can be asked for all of a kind, and holds the context's number where
//! nothing else tells contexts apart.

use std::fmt::Write;

use super::{Kind, LoadOptions, Random, Span};

/// Distinct metric names of one kind; further contexts differ in their `context` tag.
const NAMES_MAX: u32 = 200;

/// Longest value, with its colon.
const VALUE_BYTES_MAX: usize = 5;

/// What is drawn letter by letter is made of these.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz_-/012";

/// What names and tags look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// Few names, each for many contexts; a tag with the context's number, and tags of ten values
    /// each.
    #[default]
    Plain,
    /// A name a context and random text.
    Random {
        /// Bytes of a name, or as many as it takes to tell it apart.
        name_bytes: Span,
        /// Bytes of a tag.
        tag_bytes: Span,
        /// So many tags of a hundred are new; the others were in an earlier context.
        new_percent: u32,
    },
}

/// What one message says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) samples: u32,
    pub(super) sum: u64,
}

pub(super) struct Context {
    kind: Kind,
    name: String,
    /// `|#a,b`, or empty.
    tags: String,
}

/// Draws the contexts of a scope from the seed alone.
pub(super) fn contexts(options: &LoadOptions, scope: u32) -> Vec<Context> {
    let mut random = Random::new(options.seed ^ u64::from(scope) << 16);
    let count = options.contexts.max(1);
    let first = scope * count;
    let mut pool = Vec::new();
    let context = |number| {
        let kind = options.mix.draw(&mut random);
        match options.texts {
            Texts::Plain => plain(kind, number, random.within(options.tags)),
            Texts::Random { name_bytes, tag_bytes, new_percent } => {
                let name = name(kind, number, random.within(name_bytes), &mut random);
                let mut tags = Vec::new();
                for _ in 0..random.within(options.tags) {
                    if pool.is_empty() || random.percent(new_percent) {
                        pool.push(tag(random.within(tag_bytes), &mut random));
                    }
                    tags.push(random.index(pool.len()));
                }
                let tags = tags.into_iter().map(|tag| pool[tag].as_str());
                let tags = joined(tags, room_for_tags(options, name.len()));
                Context { kind, name, tags }
            }
        }
    };
    (first..first + count).map(context).collect()
}

fn plain(kind: Kind, number: u32, count: u32) -> Context {
    // Without tags only the name can tell contexts apart.
    let name = if count == 0 { number } else { number % NAMES_MAX };
    let mut tags = String::new();
    for tag in 0..count {
        let written = match tag {
            0 => write!(tags, "|#context:{number}"),
            _ => write!(tags, ",tag{tag}:value{}", (number / tag) % 10),
        };
        debug_assert!(written.is_ok(), "a string takes all");
    }
    Context { kind, name: format!("load.{}.metric{name}", kind.word()), tags }
}

fn name(kind: Kind, number: u32, bytes: u32, random: &mut Random) -> String {
    let mut name = format!("load.{}.{number:x}", kind.word());
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if name.len() < bytes {
        name.push('.');
    }
    push_letters(&mut name, bytes, random);
    name
}

/// A tag of a key and a value, or of one of them if it is short.
fn tag(bytes: u32, random: &mut Random) -> String {
    let bytes = usize::try_from(bytes.max(1)).unwrap_or(usize::MAX);
    let mut tag = String::with_capacity(bytes);
    push_letters(&mut tag, bytes / 3, random);
    if bytes > 2 {
        tag.push(':');
    }
    push_letters(&mut tag, bytes, random);
    tag
}

/// Fills a text up to a length.
fn push_letters(text: &mut String, bytes: usize, random: &mut Random) {
    while text.len() < bytes {
        text.push(LETTERS[random.index(LETTERS.len())].into());
    }
}

/// Bytes that a message of this name can spend on tags: it shall fit into a datagram.
fn room_for_tags(options: &LoadOptions, name_bytes: usize) -> usize {
    let values = usize::try_from(options.values.max).unwrap_or(usize::MAX);
    // Name and text of an event, and the signs between fields.
    let others = 2 * name_bytes + 32;
    options.datagram_bytes.saturating_sub(others + values * VALUE_BYTES_MAX)
}

/// The tags that have room, behind their sign; empty if there are none.
fn joined<'a>(tags: impl Iterator<Item = &'a str>, room: usize) -> String {
    let mut text = String::new();
    for tag in tags {
        if text.len() + 2 + tag.len() > room {
            break;
        }
        text.push_str(if text.is_empty() { "|#" } else { "," });
        text.push_str(tag);
    }
    text
}

impl Context {
    pub(super) fn write_message(
        &self,
        text: &mut String,
        options: &LoadOptions,
        random: &mut Random,
    ) -> Message {
        let Self { kind, name, tags } = self;
        let (kind, length) = (*kind, name.len());
        let written = match kind {
            Kind::Event => write!(text, "_e{{{length},{length}}}:{name}|{name}{tags}"),
            Kind::Check => write!(text, "_sc|{name}|{}{tags}", random.below(4)),
            _ => return self.write_metric(text, options, random),
        };
        debug_assert!(written.is_ok(), "a string takes all");
        Message { kind, samples: 0, sum: 0 }
    }

    fn write_metric(
        &self,
        text: &mut String,
        options: &LoadOptions,
        random: &mut Random,
    ) -> Message {
        let Self { kind, name, tags } = self;
        // The members of a set can't be packed.
        let packed = *kind != Kind::Set && random.percent(options.packed_percent);
        let samples = if packed { random.within(options.values).max(1) } else { 1 };
        text.push_str(name);
        let mut sum = 0;
        for _ in 0..samples {
            let value = match kind {
                Kind::Count => 1 + random.below(10),
                Kind::Set => random.below(100),
                _ => 1 + random.below(1_000),
            };
            let written = write!(text, ":{value}");
            debug_assert!(written.is_ok(), "a string takes all");
            sum += u64::from(value);
        }
        text.push('|');
        text.push_str(kind.symbol());
        text.push_str(tags);
        Message { kind: *kind, samples, sum }
    }
}
