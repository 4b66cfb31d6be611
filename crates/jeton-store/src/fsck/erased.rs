//! What the ledger says that was erased: an opening or words that are not there are excused by a notice that names them, and by
//! nothing else.
//!
//! Notices are read before the walk, since what they name lies before them. So each is believed in two steps: here, if its own
//! opening is what its leaf commits to; and then, when the walk has come to it, if it stands under its tenant's next tags.
//! Without the tenant's key nobody writes one that passes the second.
//!
//! And a leaf may be without its opening only if its tag is that of a token that the notice names: a notice that was led astray
//! excuses no event of another token.

use std::collections::{HashMap, HashSet};

use jeton_core::{
    event::{Erasure, Event},
    id::{TenantId, TokenId},
    leaf::{TagKey, token_tag},
};

use super::opening::Opening;
use crate::{Reader, StoreError};

/// An event that erased something.
struct Notice {
    index: u64,
    tenant: TenantId,
    /// Whose openings it erased.
    tokens: Vec<TokenId>,
}

/// So often the tag of a leaf may be looked for among all tags of a notice in vain, before none is any more.
const IN_VAIN_MAX: u32 = 16;

/// The tags that the next leaves have that a notice names: of each of its tokens one.
type Due = HashMap<[u8; 32], (TokenId, u64)>;

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
    /// How many events each token can have had, that a notice names.
    events: HashMap<TokenId, u64>,
    /// By the notice's index, while its leaves are come upon.
    due: HashMap<u64, Due>,
    in_vain: u32,
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
            let mut tokens = Vec::new();
            match erasure {
                Erasure::Openings {
                    tokens: whose,
                    indexes,
                } => {
                    erased.openings.extend(named);
                    tokens.clone_from(whose);
                    let count = u64::try_from(indexes.len()).unwrap_or(u64::MAX);
                    for token in whose {
                        *erased.events.entry(*token).or_default() += count;
                    }
                }
                Erasure::Words { .. } => erased.words.extend(named),
            }
            erased.notices.push(Notice {
                index: stored.index,
                tenant: record.tenant,
                tokens,
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
            self.due.remove(&index);
        }
    }

    /// Whether a leaf without an opening is an event of a token that a notice of this tenant names, whose `key` it is. Asked of one
    /// leaf after the other, as they lie in the ledger.
    pub fn is_of_a_token(
        &mut self,
        (index, leaf): (u64, &[u8]),
        tenant: TenantId,
        key: &TagKey,
    ) -> bool {
        let Some(tag) = token_tag(leaf) else {
            return false;
        };
        let naming = self.naming(&self.openings, index);
        let naming = naming.filter(|n| n.tenant == tenant);
        let notices: Vec<u64> = naming.map(|n| n.index).collect();
        notices.into_iter().any(|n| self.next_tag(n, tag, key))
    }

    fn next_tag(&mut self, notice: u64, tag: &[u8; 32], key: &TagKey) -> bool {
        let place = self.notices.binary_search_by_key(&notice, |n| n.index);
        let Some(tokens) = place.ok().and_then(|at| self.notices.get(at)) else {
            return false;
        };
        let tokens = &tokens.tokens;
        let make = |token: TokenId, number| key.token_tag(token.bytes(), number);
        let due = self.due.entry(notice).or_insert_with(|| {
            let first = tokens.iter().map(|token| (make(*token, 0), (*token, 0)));
            first.collect()
        });
        let mut found = due.remove(tag);
        if found.is_none() && self.in_vain < IN_VAIN_MAX {
            // Some of its events were read before it was erased, or an earlier notice named them.
            let mut all = tokens.iter().flat_map(|token| {
                let events = self.events.get(token).copied().unwrap_or(0);
                (0..events).map(|number| (*token, number))
            });
            found = all.find(|(token, number)| make(*token, *number) == *tag);
            self.in_vain += u32::from(found.is_none());
        }
        if let Some((token, number)) = found {
            let next = number.saturating_add(1);
            due.insert(make(token, next), (token, next));
        }
        found.is_some()
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
