//! Every credential, live or with a tombstone, in memory: at most 80 bytes each, filled at start, fed by the ledger.
//!
//! One writer changes it; any number of readers look things up. There is nothing to miss and nothing to evict: what is not
//! here was not issued, so a stranger costs a look and no I/O.

pub mod rest;
mod write;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use jeton_core::{
    check::{brief::Brief, judge::Held},
    directory::{Directory, Inapplicable},
    id::TokenId,
    policy::Inclusion,
    time::Time,
    token::{
        digest::Digest,
        record::{Terms, TokenRecord},
    },
};

use crate::{owner::Owners, prefetch::prefetch, record::Slot, table::Table};

const CHUNK: usize = 1024;
const NONE: u32 = u32::MAX;

struct Chunk {
    slots: Vec<Slot>,
    /// For each slot, the next token of the same owner.
    next: Vec<u32>,
}

/// By which of its secrets a token was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Newest,
    Replaced,
}

/// What few tokens have.
#[derive(Clone, Copy, Default)]
struct Extra {
    generation: u32,
    overlap_until: Option<Time>,
    /// Events beyond those that the slot counts.
    sequence_more: u64,
    /// The ledger indexes of the rotations that gave it its secret, and the one before that; zero: it was issued with it.
    secrets_at: [u64; 2],
}

/// Terms, with what most checks need of them in the same cache line.
#[repr(align(64))]
pub struct Kept {
    /// What most checks need.
    pub brief: Brief,
    /// All of them.
    pub terms: Arc<Terms>,
}

const _: () = assert!(size_of::<Kept>() == 64);

impl Kept {
    /// A token on these terms as the judge sees it.
    #[must_use]
    pub fn held(&self, slot: &Slot, replaced_until: Option<Time>) -> Held<'_> {
        // A token that was never used is idle since it was born. Plain terms know no idle expiry, and are not read.
        let born = || {
            let idle = !self.brief.is_plain() && self.terms.idle.is_some();
            idle.then(|| slot.id().born())
        };
        Held {
            class: slot.class(),
            terms: &self.terms,
            brief: Some(&self.brief),
            issued: slot.issued(),
            expires: slot.expires(),
            state: slot.state(),
            last_used: slot.last_used().or_else(born),
            replaced_until,
            unwitnessed: false,
        }
    }
}

/// The index.
#[derive(Default)]
pub struct Index {
    chunks: Vec<Chunk>,
    len: u32,
    by_digest: Table,
    by_id: Table,
    terms: Vec<Kept>,
    terms_numbers: HashMap<Arc<Terms>, u32>,
    /// For each owner (by slot in the directory), its youngest token.
    heads: Vec<u32>,
    extras: HashMap<u32, Extra>,
    live: u64,
    owners: Owners,
    /// So much of the ledger was witnessed.
    witnessed: AtomicU64,
}

fn wide(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn id_hash(id: TokenId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *id.bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Index {
    /// An index with room for `tokens`.
    #[must_use]
    pub fn with_room_for(tokens: usize) -> Self {
        Self {
            by_digest: Table::with_room_for(tokens),
            by_id: Table::with_room_for(tokens),
            ..Self::default()
        }
    }

    /// How many secrets it knows, replaced ones and tombstones included.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many tokens are neither revoked nor replaced (expired ones may be among them).
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live
    }

    /// How many different terms the tokens have.
    #[must_use]
    pub fn terms_count(&self) -> usize {
        self.terms.len()
    }

    /// The slot at a position.
    #[must_use]
    pub fn slot(&self, position: u32) -> Option<&Slot> {
        let at = wide(position);
        self.chunks
            .get(at / CHUNK)
            .and_then(|c| c.slots.get(at % CHUNK))
    }

    fn slot_mut(&mut self, position: u32) -> Option<&mut Slot> {
        let at = wide(position);
        self.chunks
            .get_mut(at / CHUNK)
            .and_then(|c| c.slots.get_mut(at % CHUNK))
    }

    fn next_of(&self, position: u32) -> u32 {
        let at = wide(position);
        self.chunks
            .get(at / CHUNK)
            .and_then(|c| c.next.get(at % CHUNK))
            .copied()
            .unwrap_or(NONE)
    }

    /// The terms at a number.
    #[must_use]
    pub fn terms(&self, number: u32) -> Option<&Kept> {
        self.terms.get(wide(number))
    }

    /// Notes how much of the ledger was witnessed: it never becomes less.
    pub fn witness(&self, size: u64) {
        self.witnessed.fetch_max(size, Relaxed);
    }

    /// How much of the ledger was witnessed.
    #[must_use]
    pub fn witnessed(&self) -> u64 {
        self.witnessed.load(Relaxed)
    }

    /// Whether a token waits for witnesses: its issuance, or the rotation that gave it the presented secret.
    #[must_use]
    pub fn awaits_witness(&self, position: u32, terms: &Terms, replaced: bool) -> bool {
        if terms.inclusion == Inclusion::Logged {
            return false;
        }
        let issued = self.slot(position).map_or(u64::MAX, Slot::issued);
        let [newest, before] = self
            .extras
            .get(&position)
            .map_or([0; 2], |extra| extra.secrets_at);
        issued.max(if replaced { before } else { newest }) >= self.witnessed()
    }

    /// The owners of the tokens.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Takes on all owners of a directory: before anything is looked up, after a snapshot.
    ///
    /// # Errors
    /// [`Inapplicable`] if the directory contradicts itself.
    pub fn restore_owners(&mut self, directory: &Directory) -> Result<(), Inapplicable> {
        self.owners = Owners::of(directory)?;
        Ok(())
    }

    /// Looks a digest up: the position of its slot.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<u32> {
        let halves = digest.halves();
        let [hash, _] = halves;
        // The digest is keyed: whoever could time this comparison learns nothing to aim with.
        self.by_digest
            .find(hash, |p| self.slot(p).is_some_and(|s| s.digest == halves))
    }

    /// Begins a look-up, so that a batch can have its cache misses at once: the table's entry is on its way.
    pub fn begin(&self, digest: &Digest) {
        let [hash, _] = digest.halves();
        self.by_digest.begin(hash);
    }

    /// Goes on with it: the slot that the digest most likely leads to is on its way.
    pub fn begin_slot(&self, digest: &Digest) {
        let [hash, _] = digest.halves();
        if let Some(slot) = self.by_digest.likely(hash).and_then(|p| self.slot(p)) {
            prefetch(slot);
        }
    }

    /// And with what a decision on the slot will need: its owner, its terms.
    pub fn begin_decision(&self, digest: &Digest) {
        let [hash, _] = digest.halves();
        if let Some(slot) = self.by_digest.likely(hash).and_then(|p| self.slot(p)) {
            self.owners.begin(slot.owner);
            if let Some(terms) = self.terms(slot.terms) {
                prefetch(terms);
            }
        }
    }

    fn find_id(&self, id: TokenId) -> Option<u32> {
        self.by_id.find(id_hash(id), |p| {
            self.slot(p)
                .is_some_and(|s| s.id() == id && s.leads_to().is_none() && !s.is_forgotten())
        })
    }

    /// A token as the rules see it, by id.
    #[must_use]
    pub fn record(&self, id: TokenId, directory: &Directory) -> Option<TokenRecord> {
        self.find_id(id)
            .and_then(|p| self.record_at(p, directory, Shown::Newest))
    }

    /// A token as the rules see it, by the digest of one of its secrets, replaced ones included.
    #[must_use]
    pub fn record_of(&self, digest: &Digest, directory: &Directory) -> Option<TokenRecord> {
        let position = self.find(digest)?;
        match self.slot(position)?.leads_to() {
            None => self.record_at(position, directory, Shown::Newest),
            Some((target, _)) => self.record_at(target, directory, Shown::Replaced),
        }
    }

    fn record_at(&self, position: u32, directory: &Directory, by: Shown) -> Option<TokenRecord> {
        let slot = self.slot(position).filter(|s| !s.is_forgotten())?;
        let owner = directory.subject_at(slot.owner)?;
        let extra = self.extras.get(&position).copied().unwrap_or_default();
        let terms = Arc::clone(&self.terms(slot.terms)?.terms);
        Some(TokenRecord {
            unwitnessed: self.awaits_witness(position, &terms, by == Shown::Replaced),
            id: slot.id(),
            tenant: owner.tenant,
            class: slot.class(),
            subject: owner.id,
            terms,
            issued: slot.issued(),
            expires: slot.expires(),
            state: slot.state(),
            last_used: slot.last_used(),
            generation: extra.generation,
            pepper: slot.pepper(),
            overlap_until: extra.overlap_until,
        })
    }

    /// How many secrets the token at a position has had before its newest.
    #[must_use]
    pub fn generation(&self, position: u32) -> u32 {
        self.extras.get(&position).map_or(0, |e| e.generation)
    }

    /// How many events a token has had.
    #[must_use]
    pub fn sequence(&self, id: TokenId) -> u64 {
        let Some(position) = self.find_id(id) else {
            return 0;
        };
        let counted = self.slot(position).map_or(0, Slot::sequence);
        counted + self.extras.get(&position).map_or(0, |e| e.sequence_more)
    }

    /// The tokens of an owner, youngest first.
    pub fn of_owner(&self, owner: u32) -> impl Iterator<Item = TokenId> + '_ {
        let head = self.heads.get(wide(owner)).copied().unwrap_or(NONE);
        let chain = core::iter::successors((head != NONE).then_some(head), |p| {
            Some(self.next_of(*p)).filter(|n| *n != NONE)
        });
        let known = chain
            .filter_map(|p| self.slot(p))
            .filter(|s| !s.is_forgotten());
        known.map(Slot::id)
    }

    /// Which peppers still key the digest of a token that is not revoked, with how many each.
    #[must_use]
    pub fn peppers_in_use(&self, owns: impl Fn(u32) -> bool) -> HashMap<u8, u64> {
        let mut out = HashMap::new();
        let slots = self.chunks.iter().flat_map(|c| &c.slots);
        let live = slots.filter(|s| {
            s.leads_to().is_none()
                && !matches!(s.state(), jeton_core::token::record::State::Revoked { .. })
        });
        for slot in live.filter(|s| owns(s.owner)) {
            *out.entry(slot.pepper()).or_insert(0) += 1;
        }
        out
    }

    /// Every token that is not an alias, in the order of issuance.
    pub fn ids(&self) -> impl Iterator<Item = TokenId> + '_ {
        let slots = self.chunks.iter().flat_map(|c| &c.slots);
        slots
            .filter(|s| s.leads_to().is_none() && !s.is_forgotten())
            .map(Slot::id)
    }

    /// Notes when a token was last used, as the store remembered it.
    pub fn recall_use(&mut self, id: TokenId, at: Time) {
        if let Some(slot) = self.find_id(id).and_then(|p| self.slot(p)) {
            slot.used(at.seconds());
        }
    }

    /// The memory that tokens take, in bytes: slots, chains, tables. Terms are counted apart.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self
            .chunks
            .iter()
            .map(|c| c.slots.capacity() * size_of::<Slot>())
            .sum();
        let next: usize = self.chunks.iter().map(|c| c.next.capacity() * 4).sum();
        slots + next + self.by_digest.bytes() + self.by_id.bytes() + self.heads.capacity() * 4
    }
}
