//! What one stored event must be: an opening whose canonical record, under the tenant's next tags, is what the leaf commits to.
//!
//! Stateless: whoever walks the ledger brings the numbers. `fsck`, the audit beside a running node and a start agree by this.

use jeton_core::{
    event::Record,
    leaf::{LEAF_BYTES, LeafKind, LeafParts, SealKey, TagKey, commit},
};

use super::Finding;
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

/// Whether what a stored opening says was written by the authority: its salt is the seal of its record. One that is absent
/// says nothing.
#[must_use]
pub fn is_sealed(stored: &Stored, seal: &SealKey) -> bool {
    let opening = stored.opening.as_ref();
    opening.is_none_or(|(salt, record)| seal.salt(stored.index, record) == *salt)
}

/// An opening that somebody else has written.
#[must_use]
pub fn unsealed(index: u64) -> Finding {
    let what = "the record was not sealed by this authority: somebody else has written it";
    Finding::at_leaf(index, what).field("salt")
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
    /// That it differs in the leaf at an index.
    #[must_use]
    pub fn finding(&self, index: u64) -> Finding {
        let Self { name, from, to } = *self;
        let what =
            format!("the leaf does not commit to the record: bytes {from}..{to}, the {name}");
        Finding::at_leaf(index, what).field(name)
    }

    fn of<'a>(&self, leaf: &'a [u8]) -> Option<&'a [u8]> {
        leaf.get(self.from..self.to)
    }
}

/// Compares a stored leaf with what it must be under some numbers: the first part that differs.
fn leaf_difference(
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

/// How many events are missing so far: so far may the numbers in tags be ahead of those that were counted.
#[derive(Clone, Copy, Default, Debug)]
pub struct Missing {
    events: u64,
    in_vain: u32,
}

/// The furthest that numbers are looked for ahead.
const AHEAD_MAX: u64 = 1024;
/// So often a search may find nothing, before none is tried any more: a ledger of wrong tags must not cost a search each.
const IN_VAIN_MAX: u32 = 100;

impl Missing {
    /// So many events are not there, or cannot be read.
    pub fn add(&mut self, events: u64) {
        self.events = self.events.saturating_add(events);
    }

    /// Whether none is missing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.events == 0
    }

    /// Compares a stored leaf with what it must be: the numbers under which it stands, and the first part that differs.
    ///
    /// Behind missing events, of which nobody knows any more whose they were, it may stand under later numbers than `due`.
    pub fn compare(
        &mut self,
        leaf: &[u8],
        (record, commit): (&Record, [u8; 32]),
        key: &TagKey,
        due: Numbers,
    ) -> (Numbers, Option<Part>) {
        let compare = |numbers| leaf_difference(leaf, record, commit, key, numbers);
        let first = compare(due);
        if first.is_none() || self.is_none() || self.in_vain >= IN_VAIN_MAX {
            return (due, first);
        }
        let ahead = self.events.min(AHEAD_MAX);
        match find_numbers(leaf, record, key, due, ahead) {
            Some(numbers) => (numbers, compare(numbers)),
            None => {
                self.in_vain += 1;
                (due, first)
            }
        }
    }

    /// The number among its tenant's events under which a leaf without opening stands, in the same way. `None`: it is not one of
    /// those that come next.
    pub fn number(&mut self, leaf: &[u8], key: &TagKey, due: u64) -> Option<u64> {
        let kept = TENANT_TAG.of(leaf)?;
        let searched = self.in_vain < IN_VAIN_MAX;
        let ahead = if searched {
            self.events.min(AHEAD_MAX)
        } else {
            0
        };
        let found = (due..=due.saturating_add(ahead)).find(|n| key.tenant_tag(*n)[..] == *kept);
        self.in_vain += u32::from(found.is_none() && ahead > 0);
        found
    }
}

/// The numbers that a leaf's tags stand for, not below those that are due. `None`: none within `ahead` events of them.
fn find_numbers(
    leaf: &[u8],
    record: &Record,
    key: &TagKey,
    due: Numbers,
    ahead: u64,
) -> Option<Numbers> {
    let about = record.event.about(record.tenant);
    let tag = |part: Part, due: u64, make: &dyn Fn(u64) -> [u8; 32]| {
        let kept = part.of(leaf)?;
        (due..=due.saturating_add(ahead)).find(|n| make(*n)[..] == *kept)
    };
    Some(Numbers {
        tenant: tag(TENANT_TAG, due.tenant, &|n| key.tenant_tag(n))?,
        about: tag(TOKEN_TAG, due.about, &|n| key.token_tag(&about, n))?,
    })
}
