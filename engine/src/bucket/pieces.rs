//! The entries of a bucket, in pieces of one size.
//!
//! A single list that doubles as it grows would leave up to half of its memory unused, and would be
//! freed only as a whole. Pieces are had one at a time, and given back one at a time while the
//! bucket ships.

use super::Entry;
use crate::limits::PIECE_LEN;

/// Entries by their position. All pieces but the last are full.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<Vec<Entry>>,
}

impl Pieces {
    /// No entries, and the memory of an emptied piece for the first ones.
    pub(crate) fn reusing(piece: Vec<Entry>) -> Self {
        debug_assert!(piece.is_empty(), "a piece is emptied before it is used again");
        Self { pieces: vec![piece] }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> u32 {
        let full = self.pieces.len().saturating_sub(1) * PIECE_LEN as usize;
        u32::try_from(full + self.pieces.last().map_or(0, Vec::len)).unwrap_or(u32::MAX)
    }

    /// Appends an entry and gives its position.
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        let position = self.len();
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE_LEN as usize => last.push(entry),
            // The first piece grows, for most buckets are small.
            None => self.pieces.push(vec![entry]),
            Some(_) => {
                let mut piece = Vec::with_capacity(PIECE_LEN as usize);
                piece.push(entry);
                self.pieces.push(piece);
            }
        }
        position
    }

    /// The entry at a position.
    #[inline]
    pub(crate) fn get(&self, position: u32) -> Option<&Entry> {
        let (piece, index) = place(position);
        self.pieces.get(piece)?.get(index)
    }

    /// The entry at a position that [`Pieces::push`] gave.
    #[inline]
    pub(crate) fn at(&mut self, position: u32) -> &mut Entry {
        let (piece, index) = place(position);
        #[expect(clippy::indexing_slicing, reason = "positions come from `push` alone")]
        &mut self.pieces[piece][index]
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().flatten()
    }

    /// All entries in order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.pieces.iter_mut().flatten()
    }

    /// The pieces in order.
    pub(crate) fn into_pieces(self) -> Vec<Vec<Entry>> {
        self.pieces
    }
}

/// Which piece, and where in it.
#[inline]
fn place(position: u32) -> (usize, usize) {
    ((position / PIECE_LEN) as usize, (position % PIECE_LEN) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_to_entries_over_all_pieces() {
        let mut pieces = Pieces::default();
        let count = 2 * PIECE_LEN + 1;
        for context in 0..count {
            assert_eq!(pieces.push(Entry { context, ..Entry::default() }), context);
        }
        assert_eq!(pieces.len(), count);
        assert!((0..count).all(|position| pieces.at(position).context == position));
        assert!(pieces.get(count).is_none());
        assert!(pieces.iter().map(|entry| entry.context).eq(0..count));
        assert_eq!(pieces.into_pieces().len(), 3);
    }
}
