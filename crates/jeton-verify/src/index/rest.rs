//! The index at rest: the same slots in a snapshot.

use jeton_core::{
    directory::Inapplicable,
    id::TokenId,
    time::Time,
    token::record::{State, Terms},
};

use super::{Extra, Index};
use crate::record::{Slot, SlotWords};

/// What stands beside a slot: position, generation, end of overlap, further events, and at which indexes it got its secrets.
pub type Beside = (u32, u32, Option<Time>, u64, [u64; 2]);

impl Index {
    /// All slots in order, with the chain to the next token of the same owner.
    pub fn words(&self) -> impl Iterator<Item = SlotWords> + '_ {
        self.chunks
            .iter()
            .flat_map(|c| &c.slots)
            .map(Slot::to_words)
    }

    /// All terms in the order of their numbers.
    pub fn all_terms(&self) -> impl ExactSizeIterator<Item = &Terms> {
        self.terms.iter().map(|kept| &*kept.terms)
    }

    /// What stands beside slots.
    pub fn beside(&self) -> impl Iterator<Item = Beside> + '_ {
        self.extras.iter().map(|(p, e)| e.beside(*p))
    }

    /// The slot at a position as [`Index::words`] tells it, with what stands beside it as [`Index::beside`] does: for a
    /// snapshot that is written while the index goes on changing.
    #[must_use]
    pub fn at_rest(&self, position: u32) -> Option<(SlotWords, Option<Beside>)> {
        let words = self.slot(position).map(Slot::to_words)?;
        let extra = self.extras.get(&position);
        let beside = extra.map(|e| e.beside(position));
        Some((words, beside))
    }

    /// The position of a token's slot.
    #[must_use]
    pub fn position(&self, id: TokenId) -> Option<u32> {
        self.find_id(id)
    }

    /// Takes a slot from a snapshot, in order.
    ///
    /// # Errors
    /// [`Inapplicable`] beyond the most that an index holds.
    pub fn restore(&mut self, words: &SlotWords) -> Result<(), Inapplicable> {
        let mut slot = Slot::from_words(words);
        // An alias comes after its token: what was left of it when that was forgotten ends here.
        let target = slot.leads_to().and_then(|(target, _)| self.slot(target));
        if target.is_some_and(Slot::is_forgotten) {
            slot.blank();
        }
        let owner = slot.leads_to().is_none().then_some(slot.owner);
        let revoked = matches!(slot.state(), State::Revoked { .. });
        self.add(slot, owner)?;
        if revoked {
            self.live -= 1;
        }
        Ok(())
    }

    /// Takes terms from a snapshot, in order, before any slot.
    ///
    /// # Errors
    /// [`Inapplicable`] if they stand there twice.
    pub fn restore_terms(&mut self, terms: &Terms) -> Result<(), Inapplicable> {
        let number = self.number_of(terms)?;
        let last = self
            .terms
            .len()
            .checked_sub(1)
            .and_then(|l| u32::try_from(l).ok());
        if last == Some(number) {
            Ok(())
        } else {
            Err(Inapplicable("terms stand there twice"))
        }
    }

    /// Takes what stands beside a slot from a snapshot.
    pub fn restore_beside(&mut self, beside: Beside) {
        let (position, generation, overlap_until, sequence_more, secrets_at) = beside;
        let extra = Extra {
            generation,
            overlap_until,
            sequence_more,
            secrets_at,
        };
        self.extras.insert(position, extra);
    }
}

impl Extra {
    fn beside(&self, position: u32) -> Beside {
        (
            position,
            self.generation,
            self.overlap_until,
            self.sequence_more,
            self.secrets_at,
        )
    }
}
