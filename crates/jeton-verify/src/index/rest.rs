//! One token at rest, by its place: for a snapshot that is written while the index goes on changing.

use jeton_core::{id::TokenId, time::Time};

use super::Index;
use crate::record::{Slot, SlotWords};

/// What stands beside a slot: position, generation, end of overlap, further events.
pub type Beside = (u32, u32, Option<Time>, u64);

impl Index {
    /// The slot at a position as [`Index::words`] tells it, with what stands beside it as [`Index::beside`] does.
    #[must_use]
    pub fn at_rest(&self, position: u32) -> Option<(SlotWords, Option<Beside>)> {
        let words = self.slot(position).map(Slot::to_words)?;
        let extra = self.extras.get(&position);
        let beside = extra.map(|e| (position, e.generation, e.overlap_until, e.sequence_more));
        Some((words, beside))
    }

    /// The position of a token's slot.
    #[must_use]
    pub fn position(&self, id: TokenId) -> Option<u32> {
        self.find_id(id)
    }
}
