//! Every credential, live or with a tombstone, in memory: at most 80 bytes each, filled at start, fed by the ledger.
//!
//! One writer changes it; any number of readers look things up. There is nothing to miss and nothing to evict: what is not
//! here was not issued, so a stranger costs a look and no I/O.

use std::{collections::HashMap, sync::Arc};

use jeton_core::{
    check::brief::Brief,
    directory::{Directory, Inapplicable},
    event::{Event, Record},
    id::TokenId,
    subject::SubjectId,
    time::Time,
    token::{
        digest::Digest,
        record::{Terms, TokenRecord},
    },
};

use crate::{
    owner::Owners,
    record::{SEQUENCE_MAX, Slot, SlotWords},
    table::{POSITIONS_MAX, Table},
};

const CHUNK: usize = 1024;
const NONE: u32 = u32::MAX;

struct Chunk {
    slots: Vec<Slot>,
    /// For each slot, the next token of the same owner.
    next: Vec<u32>,
}

/// What few tokens have.
#[derive(Clone, Copy, Default)]
struct Extra {
    generation: u32,
    overlap_until: Option<Time>,
    /// Events beyond those that the slot counts.
    sequence_more: u64,
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

    /// Begins a look-up, so that a batch can have its cache misses at once.
    #[must_use]
    pub fn touch(&self, digest: &Digest) -> u32 {
        let [hash, _] = digest.halves();
        self.by_digest.touch(hash)
    }

    /// Reads what a decision on the token at a position will need, for the same reason.
    #[must_use]
    pub fn touch_slot(&self, position: u32) -> u32 {
        let Some(slot) = self.slot(position) else {
            return 0;
        };
        let terms = self.terms(slot.terms);
        self.owners.touch(slot.owner) ^ u32::from(terms.is_some_and(|k| k.brief.is_plain()))
    }

    /// Reads the slot that a digest most likely leads to, for the same reason.
    #[must_use]
    pub fn touch_found(&self, digest: &Digest) -> u32 {
        let [hash, _] = digest.halves();
        let slot = self.by_digest.first(hash).and_then(|p| self.slot(p));
        slot.map_or(0, |s| s.owner)
    }

    fn find_id(&self, id: TokenId) -> Option<u32> {
        self.by_id.find(id_hash(id), |p| {
            self.slot(p)
                .is_some_and(|s| s.id() == id && s.leads_to().is_none())
        })
    }

    /// A token as the rules see it, by id.
    #[must_use]
    pub fn record(&self, id: TokenId, directory: &Directory) -> Option<TokenRecord> {
        self.find_id(id).and_then(|p| self.record_at(p, directory))
    }

    /// A token as the rules see it, by the digest of one of its secrets, replaced ones included.
    #[must_use]
    pub fn record_of(&self, digest: &Digest, directory: &Directory) -> Option<TokenRecord> {
        let position = self.find(digest)?;
        let target = self
            .slot(position)?
            .leads_to()
            .map_or(position, |(target, _)| target);
        self.record_at(target, directory)
    }

    fn record_at(&self, position: u32, directory: &Directory) -> Option<TokenRecord> {
        let slot = self.slot(position)?;
        let owner = directory.subject_at(slot.owner)?;
        let extra = self.extras.get(&position).copied().unwrap_or_default();
        Some(TokenRecord {
            id: slot.id(),
            tenant: owner.tenant,
            class: slot.class(),
            subject: owner.id,
            terms: Arc::clone(&self.terms(slot.terms)?.terms),
            issued: slot.issued(),
            expires: slot.expires(),
            state: slot.state(),
            last_used: slot.last_used(),
            generation: extra.generation,
            overlap_until: extra.overlap_until,
        })
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
        chain.filter_map(|p| self.slot(p)).map(Slot::id)
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
        slots.filter(|s| s.leads_to().is_none()).map(Slot::id)
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

// Writing: one thread only, behind the lock.
impl Index {
    /// Applies an event that the ledger holds at `index`. `directory` has it applied already.
    ///
    /// # Errors
    /// [`Inapplicable`]: the event does not fit what is here.
    pub fn apply(
        &mut self,
        index: u64,
        record: &Record,
        directory: &Directory,
    ) -> Result<(), Inapplicable> {
        let Some(id) = record.event.token() else {
            return self.apply_to_owners(&record.event, directory);
        };
        if let Event::TokenIssued {
            class,
            subject,
            digest,
            pepper,
            terms,
            expires,
            ..
        } = &record.event
        {
            if self.find_id(id).is_some() {
                return Err(Inapplicable("a token is issued twice"));
            }
            let owner = directory
                .subject_slot(*subject)
                .ok_or(Inapplicable("a token without owner"))?;
            let mut slot = Slot::new(id, index, *class, *pepper);
            slot.set_digest(digest.halves(), *pepper);
            slot.set_expires(*expires);
            slot.owner = owner;
            slot.terms = self.number_of(terms)?;
            slot.count_event();
            return self.add(slot, Some(owner));
        }
        let position = self.find_id(id).ok_or(Inapplicable("no such token"))?;
        let mut token = self
            .record_at(position, directory)
            .ok_or(Inapplicable("a token without terms"))?;
        token.apply(record.at, &record.event)?;
        self.store(position, &token, &record.event)
    }

    /// Events about subjects: the owners follow the directory.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "few events concern this; core lists them all"
    )]
    fn apply_to_owners(
        &mut self,
        event: &Event,
        directory: &Directory,
    ) -> Result<(), Inapplicable> {
        let subject = match event {
            Event::UserCreated { user, .. } | Event::UserRolesSet { user, .. } => {
                SubjectId::User(*user)
            }
            Event::AppCreated { app, .. } | Event::AppChanged { app, .. } => SubjectId::App(*app),
            Event::SubjectStanding { subject, .. }
            | Event::CutOff {
                subject: Some(subject),
                ..
            } => *subject,
            _ => return Ok(()),
        };
        // A batch may bring several new subjects: those before this one come first.
        self.owners.catch_up(directory)?;
        let slot = directory
            .subject_slot(subject)
            .ok_or(Inapplicable("no such subject"))?;
        self.owners.refresh(slot, directory)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "few events concern this; core lists them all"
    )]
    fn store(
        &mut self,
        position: u32,
        token: &TokenRecord,
        event: &Event,
    ) -> Result<(), Inapplicable> {
        let terms = match event {
            Event::TokenChanged { .. } => Some(self.number_of(&token.terms)?),
            _ => None,
        };
        let lost = Inapplicable("no such token");
        let slot = self.slot_mut(position).ok_or(lost)?;
        slot.set_expires(token.expires);
        if slot.state() != token.state {
            slot.set_state(token.state);
        }
        if let Some(terms) = terms {
            slot.terms = terms;
        }
        let saturated = slot.sequence() == SEQUENCE_MAX;
        slot.count_event();
        let (old, old_pepper) = (slot.digest, slot.pepper());
        match event {
            Event::TokenRotated {
                generation,
                digest,
                pepper,
                overlap_until,
                ..
            } => {
                slot.set_digest(digest.halves(), *pepper);
                self.link(position);
                let extra = self.extras.entry(position).or_default();
                extra.generation = *generation;
                extra.overlap_until = Some(*overlap_until);
                let alias = Slot::alias(token.id, old, position, *overlap_until, old_pepper);
                self.add(alias, None)?;
            }
            Event::TokenRehashed { digest, pepper, .. } => {
                slot.set_digest(digest.halves(), *pepper);
                self.link(position);
            }
            Event::TokenRevoked { .. } => self.live -= 1,
            _ => {}
        }
        if saturated {
            self.extras.entry(position).or_default().sequence_more += 1;
        }
        Ok(())
    }

    /// Makes a slot findable by its digest.
    fn link(&mut self, position: u32) {
        let Some([hash, _]) = self.slot(position).map(|s| s.digest) else {
            return;
        };
        let chunks = &self.chunks;
        self.by_digest.insert(hash, position, |p| {
            let slot = chunks
                .get(wide(p) / CHUNK)
                .and_then(|c| c.slots.get(wide(p) % CHUNK));
            slot.map_or(0, |s| s.digest[0])
        });
    }

    fn add(&mut self, slot: Slot, owner: Option<u32>) -> Result<(), Inapplicable> {
        let position = self.len;
        if position >= POSITIONS_MAX - 1 {
            return Err(Inapplicable("more than 2^27 tokens on one node"));
        }
        let id = slot.id();
        if wide(position).is_multiple_of(CHUNK) {
            self.chunks.push(Chunk {
                slots: Vec::with_capacity(CHUNK),
                next: Vec::with_capacity(CHUNK),
            });
        }
        let next = owner.map_or(NONE, |o| self.enchain(o, position));
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.slots.push(slot);
            chunk.next.push(next);
        }
        self.len += 1;
        self.link(position);
        if owner.is_some() {
            self.live += 1;
            let chunks = &self.chunks;
            self.by_id.insert(id_hash(id), position, |p| {
                let slot = chunks
                    .get(wide(p) / CHUNK)
                    .and_then(|c| c.slots.get(wide(p) % CHUNK));
                slot.map_or(0, |s| id_hash(s.id()))
            });
        }
        Ok(())
    }

    fn enchain(&mut self, owner: u32, position: u32) -> u32 {
        let at = wide(owner);
        if self.heads.len() <= at {
            self.heads.resize(at + 1, NONE);
        }
        self.heads
            .get_mut(at)
            .map_or(NONE, |head| core::mem::replace(head, position))
    }

    fn number_of(&mut self, terms: &Terms) -> Result<u32, Inapplicable> {
        if let Some(number) = self.terms_numbers.get(terms) {
            return Ok(*number);
        }
        let number = u32::try_from(self.terms.len())
            .map_err(|_| Inapplicable("more than 2^32 different terms"))?;
        let terms = Arc::new(terms.clone());
        self.terms.push(Kept {
            brief: Brief::of(&terms),
            terms: Arc::clone(&terms),
        });
        self.terms_numbers.insert(terms, number);
        Ok(number)
    }
}

// Snapshots: the same slots, at rest.
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

    /// What stands beside slots: position, generation, end of overlap, further events.
    pub fn beside(&self) -> impl Iterator<Item = (u32, u32, Option<Time>, u64)> + '_ {
        self.extras
            .iter()
            .map(|(p, e)| (*p, e.generation, e.overlap_until, e.sequence_more))
    }

    /// Takes a slot from a snapshot, in order.
    ///
    /// # Errors
    /// [`Inapplicable`] beyond the most that an index holds.
    pub fn restore(&mut self, words: &SlotWords) -> Result<(), Inapplicable> {
        let slot = Slot::from_words(words);
        let owner = slot.leads_to().is_none().then_some(slot.owner);
        let revoked = matches!(
            slot.state(),
            jeton_core::token::record::State::Revoked { .. }
        );
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
    pub fn restore_beside(
        &mut self,
        position: u32,
        generation: u32,
        overlap_until: Option<Time>,
        more: u64,
    ) {
        self.extras.insert(
            position,
            Extra {
                generation,
                overlap_until,
                sequence_more: more,
            },
        );
    }
}
