//! The state that the events give, one after the other, each leaf compared with its opening under the next tags.
//!
//! Behind an event that is missing, replay goes on: the tags say how many were missing, so that one difference is not told
//! as thousands. Memory grows with the tokens and other things that there are, not with the events.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jeton_core::{
    directory::Directory,
    event::{Erasure, Event, Record},
    id::{TenantId, TokenId},
    leaf::TagKey,
    token::record::{Terms, TokenRecord},
};

use super::{
    finding::{Finding, Findings},
    opening::{Missing, Numbers},
};

/// A token, as replay knows it.
pub(super) struct Known {
    pub(super) record: TokenRecord,
    /// How many events it has had.
    events: u64,
    /// The last of them.
    pub(super) last: u64,
    /// Whether its row was met.
    pub(super) met: bool,
}

/// Anything else that events are about.
#[derive(Default)]
struct Thing {
    events: u64,
    /// The last event.
    last: u64,
    /// The last event that found or made its row.
    row: Option<u64>,
}

/// What an event leaves for the trail.
pub(super) struct Told {
    pub(super) tenant: TenantId,
    pub(super) about: [u8; 16],
    /// The event before it that changed the same row.
    pub(super) previous: Option<u64>,
    pub(super) aside: Option<[u8; 32]>,
    /// Whether the event is what its leaf commits to, in its turn, and fits those before it.
    pub(super) sound: bool,
}

#[derive(Default)]
pub(super) struct Replay {
    pub(super) directory: Directory,
    pub(super) tokens: HashMap<TokenId, Known>,
    /// What the first event says: the name of the log, and the key that signs its checkpoints.
    pub(super) genesis: Option<(String, [u8; 32])>,
    tenants: HashMap<TenantId, u64>,
    things: HashMap<[u8; 16], Thing>,
    terms: HashSet<Arc<Terms>>,
    missing: Missing,
}

impl Replay {
    /// So many events are not there, or cannot be read.
    pub(super) fn pass_over(&mut self, events: u64) {
        self.missing.add(events);
    }

    /// The last event about a thing other than a token.
    pub(super) fn last_about(&self, about: &[u8; 16]) -> Option<u64> {
        self.things.get(about).map(|thing| thing.last)
    }

    /// Passes over an event whose opening was erased, if its leaf is one of the tenant's next.
    pub(super) fn skip(
        &mut self,
        (index, leaf): (u64, &[u8]),
        tenant: TenantId,
        key: &TagKey,
    ) -> bool {
        let due = self.tenants.get(&tenant).copied().unwrap_or(0) + 1;
        let Some(number) = self.missing.number(leaf, key, due) else {
            return false;
        };
        self.tenants.insert(tenant, number);
        self.directory.pass_over(index.saturating_add(1));
        true
    }

    /// Takes the next event that could be read. `key` is its tenant's.
    pub(super) fn event(
        &mut self,
        (index, leaf): (u64, &[u8]),
        (record, commit): (&Record, [u8; 32]),
        key: Option<&TagKey>,
        found: &mut Findings,
    ) -> Told {
        let token = record.event.token();
        let finding = |what: &str| Finding::at_leaf(index, what).token(token);
        let due = self.numbers(record);
        let (numbers, wrong) = match key {
            None => (due, Some(finding("the keyring has no key for its tenant"))),
            Some(key) => {
                let (numbers, wrong) = self.missing.compare(leaf, (record, commit), key, due);
                let wrong = wrong.map(|part| part.finding(index).token(token));
                (numbers, wrong)
            }
        };
        let mut sound = wrong.is_none();
        found.extend(wrong);
        self.tenants.insert(record.tenant, numbers.tenant);
        // Whatever stands before it is missing, and told already.
        self.directory.pass_over(index);
        if let Err(error) = self.directory.apply(index, record) {
            found.add(finding(&error.to_string()));
            self.directory.pass_over(index.saturating_add(1));
            sound = false;
        }
        if let (None, Event::Genesis { origin, log_key }) = (&self.genesis, &record.event) {
            self.genesis = Some((origin.clone(), *log_key));
        }
        let about = record.event.about(record.tenant);
        let previous = match token {
            Some(id) => self.token(id, index, (record, numbers.about), found),
            None => self.thing(about, index, (record, numbers.about)),
        };
        Told {
            tenant: record.tenant,
            about,
            previous,
            aside: record.aside,
            sound,
        }
    }

    /// Nobody knows these tokens any more. Without their openings, nobody did before.
    pub(super) fn forget(&mut self, erasure: &Erasure) {
        if let Erasure::Openings { tokens, .. } = erasure {
            for id in tokens {
                self.tokens.remove(id);
            }
        }
    }

    /// The numbers that come next.
    fn numbers(&self, record: &Record) -> Numbers {
        let about = match record.event.token() {
            Some(id) => self.tokens.get(&id).map_or(0, |known| known.events),
            None => {
                let thing = self.things.get(&record.event.about(record.tenant));
                thing.map_or(0, |thing| thing.events)
            }
        };
        let tenant = self.tenants.get(&record.tenant).copied().unwrap_or(0) + 1;
        Numbers { tenant, about }
    }

    /// Takes an event about a token: the event before it that changed the same row.
    fn token(
        &mut self,
        id: TokenId,
        index: u64,
        (record, number): (&Record, u64),
        found: &mut Findings,
    ) -> Option<u64> {
        let finding = |what: &str| Finding::at_leaf(index, what).token(Some(id));
        let events = number.saturating_add(1);
        if let Some(mut fresh) = TokenRecord::issued(index, record.tenant, &record.event) {
            self.intern(&mut fresh);
            let known = Known {
                record: fresh,
                events,
                last: index,
                met: false,
            };
            if self.tokens.insert(id, known).is_some() {
                found.add(finding("a token is issued twice"));
            }
            return None;
        }
        let Some(mut known) = self.tokens.remove(&id) else {
            found.add(finding("no such token"));
            return None;
        };
        if let Err(error) = known.record.apply(record.at, &record.event) {
            found.add(finding(&error.to_string()));
        }
        self.intern(&mut known.record);
        let previous = known.last;
        let known = Known {
            events,
            last: index,
            ..known
        };
        self.tokens.insert(id, known);
        Some(previous)
    }

    /// Equal terms are kept once: most tokens have few different ones.
    fn intern(&mut self, token: &mut TokenRecord) {
        match self.terms.get(&token.terms) {
            Some(kept) => token.terms = Arc::clone(kept),
            None => {
                self.terms.insert(Arc::clone(&token.terms));
            }
        }
    }

    /// Takes an event about anything else: the event before it that changed the same row.
    fn thing(
        &mut self,
        about: [u8; 16],
        index: u64,
        (record, number): (&Record, u64),
    ) -> Option<u64> {
        let has_row = self
            .directory
            .entity(record.tenant, &record.event)
            .is_some();
        let thing = self.things.entry(about).or_default();
        thing.events = number.saturating_add(1);
        thing.last = index;
        if has_row {
            thing.row.replace(index)
        } else {
            None
        }
    }
}
