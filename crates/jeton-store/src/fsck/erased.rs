//! What the ledger says that was erased: an opening or words that are not there are excused by a notice that names them, and by
//! nothing else.
//!
//! Notices are read before the walk, since what they name lies before them. So each is believed in two steps: here, if its own
//! opening is what its leaf commits to; and then, when the walk has come to it, if it stands under its tenant's next tags.
//! Without the tenant's key nobody writes one that passes the second.

use std::collections::HashSet;

use jeton_core::{
    event::{Erasure, Event},
    id::TenantId,
};

use super::opening::Opening;
use crate::{Reader, StoreError};

/// An event that erased something.
struct Notice {
    index: u64,
    tenant: TenantId,
}

/// An index that a notice names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    index: u64,
    /// Its place among the notices.
    notice: usize,
}

/// What was erased, as the notices say, and which of them are believed.
#[derive(Default)]
pub struct Erased {
    notices: Vec<Notice>,
    openings: Vec<Named>,
    words: Vec<Named>,
    replayed: HashSet<u64>,
}

impl Erased {
    /// The notices of a store.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn read(reader: &mut dyn Reader) -> Result<Self, StoreError> {
        let mut erased = Self::default();
        for stored in reader.erasures()? {
            let Opening::Read { record, commit } = Opening::of(&stored) else {
                continue;
            };
            let Event::Erased(erasure) = &record.event else {
                continue;
            };
            if stored.leaf.last_chunk() != Some(&commit) || !erasure.is_sound(stored.index) {
                continue;
            }
            let notice = erased.notices.len();
            let named = erasure.indexes().iter();
            let named = named.map(|index| Named {
                index: *index,
                notice,
            });
            match erasure {
                Erasure::Openings { .. } => erased.openings.extend(named),
                Erasure::Words { .. } => erased.words.extend(named),
            }
            erased.notices.push(Notice {
                index: stored.index,
                tenant: record.tenant,
            });
        }
        erased.openings.sort_unstable();
        erased.words.sort_unstable();
        Ok(erased)
    }

    /// Reads the notices again: those that were replayed stay so.
    ///
    /// # Errors
    /// As [`Erased::read`]; nothing changed then.
    pub fn refresh(&mut self, reader: &mut dyn Reader) -> Result<(), StoreError> {
        let fresh = Self::read(reader)?;
        let replayed = core::mem::take(&mut self.replayed);
        *self = Self { replayed, ..fresh };
        Ok(())
    }

    /// The event at an index was replayed, and its leaf is what it must be: if it is a notice, it is believed.
    pub fn replayed(&mut self, index: u64) {
        if self
            .notices
            .binary_search_by_key(&index, |n| n.index)
            .is_ok()
        {
            self.replayed.insert(index);
        }
    }

    /// Whose event it was that lies at an index, as each notice says that names its opening; usually there is one at most.
    pub fn owners(&self, index: u64) -> impl Iterator<Item = TenantId> + '_ {
        self.naming(&self.openings, index).map(|n| n.tenant)
    }

    /// The first notice that names a tenant's opening and is believed, or lies at `beyond` or behind, where nothing was
    /// replayed.
    #[must_use]
    pub fn opening(&self, tenant: TenantId, index: u64, beyond: u64) -> Option<u64> {
        self.believed(&self.openings, (tenant, index), beyond)
    }

    /// The same for the words beside an event.
    #[must_use]
    pub fn words(&self, tenant: TenantId, index: u64, beyond: u64) -> Option<u64> {
        self.believed(&self.words, (tenant, index), beyond)
    }

    /// Whether a notice names the words beside a tenant's event, believed or not.
    #[must_use]
    pub fn names_words(&self, tenant: TenantId, index: u64) -> bool {
        self.naming(&self.words, index).any(|n| n.tenant == tenant)
    }

    fn believed(
        &self,
        named: &[Named],
        (tenant, index): (TenantId, u64),
        beyond: u64,
    ) -> Option<u64> {
        let mut naming = self.naming(named, index);
        let notice = naming.find(|n| {
            n.tenant == tenant && (n.index >= beyond || self.replayed.contains(&n.index))
        });
        notice.map(|n| n.index)
    }

    fn naming<'a>(&'a self, named: &'a [Named], index: u64) -> impl Iterator<Item = &'a Notice> {
        let from = named.partition_point(|n| n.index < index);
        let those = named.get(from..).unwrap_or_default().iter();
        let those = those.take_while(move |n| n.index == index);
        those.filter_map(|n| self.notices.get(n.notice))
    }
}
