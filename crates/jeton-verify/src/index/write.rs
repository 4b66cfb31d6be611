//! Writing: one thread only, behind the lock. What an event says of tokens and owners, put where checks find it.

use std::sync::Arc;

use jeton_core::{
    check::brief::Brief,
    directory::{Directory, Inapplicable},
    event::{Erasure, Event, Record},
    id::TokenId,
    subject::SubjectId,
    token::record::{State, Terms, TokenRecord},
};

use super::{CHUNK, Chunk, Index, Kept, NONE, Shown, id_hash, wide};
use crate::{
    record::{SEQUENCE_MAX, Slot},
    table::POSITIONS_MAX,
};

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
            if let Event::Erased(Erasure::Openings { tokens, .. }) = &record.event {
                for id in tokens {
                    self.forget(*id);
                }
            }
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
            .record_at(position, directory, Shown::Newest)
            .ok_or(Inapplicable("a token without terms"))?;
        token.apply(record.at, &record.event)?;
        self.store(position, index, (&token, &record.event))
    }

    /// Forgets a token whose openings were erased: its secrets are those of a stranger from now on. A replay without them never
    /// hears of it, so there is nothing to do then.
    fn forget(&mut self, id: TokenId) {
        let Some(position) = self.find_id(id) else {
            return;
        };
        let Some(slot) = self.slot_mut(position) else {
            return;
        };
        let live = !matches!(slot.state(), State::Revoked { .. });
        slot.forget();
        self.live -= u64::from(live);
        self.extras.remove(&position);
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
        index: u64,
        (token, event): (&TokenRecord, &Event),
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
                let [newest, _] = extra.secrets_at;
                extra.secrets_at = [index, newest];
                let alias = Slot::alias(token.id, old, position, *overlap_until, old_pepper);
                self.add(alias, None)?;
            }
            Event::TokenRehashed { digest, pepper, .. } => {
                slot.set_digest(digest.halves(), *pepper);
                self.link(position);
            }
            Event::TokenRevoked { .. } => self.live -= 1,
            Event::TokenResumed { .. } => drop(token.last_used.map(|at| slot.recall_use(at))),
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

    pub(super) fn add(&mut self, slot: Slot, owner: Option<u32>) -> Result<(), Inapplicable> {
        let position = self.len;
        if position >= POSITIONS_MAX - 1 {
            return Err(Inapplicable("more than 2^27 tokens on one node"));
        }
        let (id, forgotten) = (slot.id(), slot.is_forgotten());
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
        }
        if owner.is_some() && !forgotten {
            let chunks = &self.chunks;
            self.by_id.insert(id_hash(id), position, |p| {
                let slot = chunks
                    .get(wide(p) / CHUNK)
                    .and_then(|c| c.slots.get(wide(p) % CHUNK));
                slot.map_or(0, scattered)
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

    pub(super) fn number_of(&mut self, terms: &Terms) -> Result<u32, Inapplicable> {
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

/// Where a slot goes in the table of ids as that grows. Those that were forgotten have no id: all in one place, they would make
/// the table a list.
fn scattered(slot: &Slot) -> u64 {
    if slot.is_forgotten() {
        slot.digest[0]
    } else {
        id_hash(slot.id())
    }
}
