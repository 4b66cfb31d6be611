//! What one stored event must be: an opening whose canonical record, under the tenant's next tags, is what the leaf commits to.
//!
//! Stateless: whoever walks the ledger brings the numbers. `fsck`, the audit beside a running node and a start agree by this.

use jeton_core::{
    event::Record,
    leaf::{LEAF_BYTES, LeafKind, LeafParts, TagKey, commit},
};

use crate::{Stored, ledger};

/// What a stored opening is, before anything is compared with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opening {
    /// There is none: it was erased, or somebody took it away.
    Absent,
    /// Its record is not the canonical bytes of any event.
    NotCanonical,
    /// It was read.
    Read {
        /// What happened.
        record: Box<Record>,
        /// The commitment that salt and record give.
        commit: [u8; 32],
    },
}

impl Opening {
    /// Reads the opening of a stored event.
    #[must_use]
    pub fn of(stored: &Stored) -> Self {
        let Some((salt, bytes)) = &stored.opening else {
            return Self::Absent;
        };
        match ledger::decode(bytes) {
            None => Self::NotCanonical,
            Some(record) => Self::Read {
                commit: commit(salt, bytes),
                record: Box::new(record),
            },
        }
    }
}

/// The numbers under which an event stands in its leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// Among its tenant's events, from 1.
    pub tenant: u64,
    /// Among those about the same thing, from 0.
    pub about: u64,
}

/// A part of the leaf, with the bytes where it stands (LEDGER §1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its first byte.
    pub from: usize,
    /// The byte after its last.
    pub to: usize,
}

const TENANT_TAG: Part = part("tenant_tag", 10, 42);
const TOKEN_TAG: Part = part("token_tag", 42, 74);
const PARTS: [Part; 6] = [
    part("version", 0, 1),
    part("kind", 1, 2),
    part("time", 2, 10),
    TENANT_TAG,
    TOKEN_TAG,
    part("commit", 74, LEAF_BYTES),
];

const fn part(name: &'static str, from: usize, to: usize) -> Part {
    Part { name, from, to }
}

impl Part {
    fn of<'a>(&self, leaf: &'a [u8]) -> Option<&'a [u8]> {
        leaf.get(self.from..self.to)
    }
}

/// Compares a stored leaf with what it must be: the first part that differs.
#[must_use]
pub fn leaf_difference(
    leaf: &[u8],
    record: &Record,
    commit: [u8; 32],
    key: &TagKey,
    numbers: Numbers,
) -> Option<Part> {
    let due = LeafParts {
        kind: LeafKind::of(&record.event),
        at: record.at,
        key,
        tenant_sequence: numbers.tenant,
        about: record.event.about(record.tenant),
        about_sequence: numbers.about,
        commit,
    }
    .bytes();
    if due[..] == *leaf {
        return None;
    }
    let wrong = |part: &&Part| part.of(leaf) != part.of(&due);
    // A leaf of another length differs in its length alone at least.
    let whole = part("leaf", 0, LEAF_BYTES);
    Some(PARTS.iter().find(wrong).copied().unwrap_or(whole))
}

/// The numbers that a leaf's tags stand for, not below those that are due: for going on behind events that are missing, whose
/// tenants nobody knows any more. `None`: none within `missing` events of them.
#[must_use]
pub fn find_numbers(
    leaf: &[u8],
    record: &Record,
    key: &TagKey,
    due: Numbers,
    missing: u64,
) -> Option<Numbers> {
    let about = record.event.about(record.tenant);
    let tag = |part: Part, due: u64, make: &dyn Fn(u64) -> [u8; 32]| {
        let kept = part.of(leaf)?;
        (due..=due.saturating_add(missing)).find(|n| make(*n)[..] == *kept)
    };
    Some(Numbers {
        tenant: tag(TENANT_TAG, due.tenant, &|n| key.tenant_tag(n))?,
        about: tag(TOKEN_TAG, due.about, &|n| key.token_tag(&about, n))?,
    })
}
