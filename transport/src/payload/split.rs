//! Cuts a stream of encoded items into payloads that break no limit.
//!
//! Greedy and in order: an item goes into the open payload if it fits, else that one is closed and
//! the item begins the next. How large a body gets is only known once it is compressed, so:
//!
//! ```text
//! body: compressed so far    pending: encoded, not yet compressed
//! an item fits if  body + (at worst) compressed(pending + item + footer) <= compressed limit
//!             and  all of it uncompressed                               <= uncompressed limit
//! if the compressed limit says no: compress what is pending, which makes it smaller, and ask again
//! ```
//!
//! The worst case of compression is larger than its input, so no payload can come out too large,
//! whatever the data.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

use super::compress::Compressor;
use super::{Payload, PayloadKind, PayloadLimits, PayloadSettings};

/// How often a payload may be compressed further to make room. Each time leaves a fixed share of
/// the room that there was: with series, which shrink to a fifth, less than 3 % is left after 16.
/// More would cut the data into blocks too small to compress.
const PUSHES_MAX: u32 = 16;

/// What stands around and between the items of a payload.
pub(super) struct Frame {
    pub(super) lead: Lead<'static>,
    pub(super) footer: Cow<'static, [u8]>,
}

/// What stands before an item.
#[derive(Clone, Copy)]
pub(super) struct Lead<'a> {
    /// If it is the first of its payload.
    pub(super) first: &'a [u8],
    /// If it isn't.
    pub(super) next: &'a [u8],
}

/// Whether an item found a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fit {
    Taken,
    TooLarge,
}

/// Collects encoded items and closes payloads.
pub(super) struct Splitter {
    kind: PayloadKind,
    limits: PayloadLimits,
    frame: Frame,
    compressor: Compressor,
    /// The item at hand.
    item: Vec<u8>,
    /// Header and items of the open payload that aren't compressed yet.
    pending: Vec<u8>,
    /// The compressed part of the open payload.
    body: Vec<u8>,
    open: Open,
    ready: VecDeque<Payload>,
}

/// What is in the open payload, compressed or not.
#[derive(Default)]
struct Open {
    points: u64,
    items: u64,
    uncompressed_bytes: usize,
    pushes: u32,
}

impl Splitter {
    pub(super) fn new(kind: PayloadKind, frame: Frame, settings: &PayloadSettings) -> Self {
        let limits = match kind {
            PayloadKind::SeriesV2 | PayloadKind::SeriesV3 => settings.series,
            _ => settings.other,
        };
        Self {
            kind,
            limits,
            frame,
            compressor: Compressor::new(settings.compression),
            item: Vec::new(),
            pending: Vec::new(),
            body: Vec::new(),
            open: Open::default(),
            ready: VecDeque::new(),
        }
    }

    /// Puts the item that `write` appends into a payload. An item that doesn't fit into an empty one
    /// is thrown away; the open payload stays as it was.
    pub(super) fn push(&mut self, points: u64, write: impl FnOnce(&mut Vec<u8>)) -> Fit {
        self.push_led(self.frame.lead, points, write)
    }

    /// Like [`push`](Self::push), with something else before the item than the frame says.
    pub(super) fn push_led(
        &mut self,
        lead: Lead<'_>,
        points: u64,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Fit {
        self.item.clear();
        write(&mut self.item);
        if !self.fits_alone(lead.first.len(), points) {
            return Fit::TooLarge;
        }
        if self.open.items > 0 && !self.fits(lead.next.len(), points) {
            self.close();
        }
        let before = if self.open.items == 0 { lead.first } else { lead.next };
        self.pending.extend_from_slice(before);
        self.pending.extend_from_slice(&self.item);
        self.open.uncompressed_bytes += before.len() + self.item.len();
        self.open.points += points;
        self.open.items += 1;
        Fit::Taken
    }

    /// Closes the open payload, if anything is in it.
    pub(super) fn close(&mut self) {
        if self.open.items == 0 {
            return;
        }
        self.pending.extend_from_slice(&self.frame.footer);
        self.compressor.finish(&self.pending, &mut self.body);
        let open = std::mem::take(&mut self.open);
        self.ready.push_back(Payload {
            kind: self.kind,
            // Copied to its exact size: payloads wait in queues that count bytes, buffers are large.
            body: Bytes::copy_from_slice(&self.body),
            encoding: self.compressor.encoding(),
            points: open.points,
            items: open.items,
            uncompressed_bytes: (open.uncompressed_bytes + self.frame.footer.len()) as u64,
        });
        self.pending.clear();
        self.body.clear();
    }

    /// Takes a closed payload.
    pub(super) fn take_full(&mut self) -> Option<Payload> {
        self.ready.pop_front()
    }

    /// Takes a closed payload; when there is none left, closes and takes the open one.
    pub(super) fn finish(&mut self) -> Option<Payload> {
        if self.ready.is_empty() {
            self.close();
        }
        self.ready.pop_front()
    }

    fn fits_alone(&self, lead_bytes: usize, points: u64) -> bool {
        let bytes = lead_bytes + self.item.len() + self.frame.footer.len();
        points <= self.limits.points_max
            && bytes <= self.limits.uncompressed_bytes_max
            && self.compressor.bytes_max(bytes) <= self.limits.compressed_bytes_max
    }

    /// Whether the item fits into the open payload too; may compress what is pending to find out.
    fn fits(&mut self, lead_bytes: usize, points: u64) -> bool {
        let added = lead_bytes + self.item.len() + self.frame.footer.len();
        if self.open.points.saturating_add(points) > self.limits.points_max
            || self.open.uncompressed_bytes + added > self.limits.uncompressed_bytes_max
        {
            return false;
        }
        if self.fits_compressed(added) {
            return true;
        }
        if self.open.pushes == PUSHES_MAX {
            return false;
        }
        self.open.pushes += 1;
        self.compressor.push(&self.pending, &mut self.body);
        self.pending.clear();
        self.fits_compressed(added)
    }

    fn fits_compressed(&self, added: usize) -> bool {
        self.body.len() + self.compressor.bytes_max(self.pending.len() + added)
            <= self.limits.compressed_bytes_max
    }
}
