//! Erasure: what the law or the tenant wants gone, goes by an event that names every index. The leaves stay, so the tree and
//! every proof stay as they were; a gap that no event names is a finding.

use minicbor::{Decode, Encode};

use crate::{id::TokenId, subject::SubjectId};

/// The most indexes that one event names.
pub const ERASED_MAX: usize = 4096;

/// What is erased.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Erasure {
    /// Names, addresses, request ids: the words beside events about a person or application, and beside what it did.
    #[n(0)]
    Words {
        /// Who.
        #[n(0)]
        subject: SubjectId,
        /// Beside which events, in ascending order.
        #[n(1)]
        indexes: Vec<u64>,
    },
    /// Whole openings of tokens that are ended: what they were, whose, and with which digest.
    #[n(1)]
    Openings {
        /// Which tokens: nobody knows them from now on.
        #[n(0)]
        tokens: Vec<TokenId>,
        /// All their events, in ascending order; of a history that is too long for one event, a part.
        #[n(1)]
        indexes: Vec<u64>,
    },
}

impl Erasure {
    /// The indexes it names.
    #[must_use]
    pub fn indexes(&self) -> &[u64] {
        match self {
            Self::Words { indexes, .. } | Self::Openings { indexes, .. } => indexes,
        }
    }

    /// Whether what it names is legal in an event at `index`: in ascending order, before it, and not too much.
    #[must_use]
    pub fn is_sound(&self, index: u64) -> bool {
        let indexes = self.indexes();
        let ascending = indexes.is_sorted_by(|a, b| a < b);
        ascending && indexes.len() <= ERASED_MAX && indexes.last().is_none_or(|last| *last < index)
    }
}
