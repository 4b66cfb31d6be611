//! The index says what the records say: the same random events go into the compact index and into plain maps of core
//! records, and both must agree on every token, every secret ever shown, every chain of an owner, and every decision.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

#[path = "../../jeton-core/tests/world/mod.rs"]
mod world;

use std::collections::{BTreeMap, HashMap};

use jeton_core::{
    api::JETON_API,
    check::{
        judge::{self, Facts},
        question::Question,
    },
    directory::Directory,
    event::{Erasure, Event},
    id::TokenId,
    scope::ScopeSet,
    time::Time,
    token::{
        digest::Digest,
        record::{State, TokenRecord},
    },
};
use jeton_verify::{index::Index, record::SlotWords};
use proptest::prelude::*;
use world::{Protection, World, apply_to_tokens, draw::OWN_SCOPES};

/// The plain model: what a hash map of core records would be.
#[derive(Default)]
struct Model {
    tokens: BTreeMap<TokenId, TokenRecord>,
    events: HashMap<TokenId, u64>,
    /// Every digest there ever was: whose, and since it was replaced, until when it is good.
    secrets: HashMap<[u8; 32], (TokenId, Option<Time>)>,
    newest: HashMap<TokenId, [u8; 32]>,
    forgotten: Vec<[u8; 32]>,
    /// What was erased: the digest of a replaced secret may still lead somewhere, and from there no further.
    erased: Vec<[u8; 32]>,
    erased_tokens: Vec<TokenId>,
}

impl Model {
    fn apply(&mut self, index: u64, record: &jeton_core::event::Record) {
        apply_to_tokens(&mut self.tokens, index, record);
        if let Event::Erased(Erasure::Openings { tokens, .. }) = &record.event {
            self.erase(tokens);
        }
        let Some(token) = record.event.token() else {
            return;
        };
        *self.events.entry(token).or_default() += 1;
        match &record.event {
            Event::TokenIssued { digest, .. } => {
                self.secrets.insert(*digest.bytes(), (token, None));
                self.newest.insert(token, *digest.bytes());
            }
            Event::TokenRotated {
                digest,
                overlap_until,
                ..
            } => {
                let old = self.newest.insert(token, *digest.bytes()).unwrap();
                self.secrets.insert(old, (token, Some(*overlap_until)));
                self.secrets.insert(*digest.bytes(), (token, None));
            }
            Event::TokenRehashed { digest, .. } => {
                // The same text under a younger pepper: the old digest leads nowhere any more.
                let old = self.newest.insert(token, *digest.bytes()).unwrap();
                self.secrets.remove(&old);
                self.forgotten.push(old);
                self.secrets.insert(*digest.bytes(), (token, None));
            }
            _ => {}
        }
    }
}

impl Model {
    /// As if they had never been issued: the digests of all their secrets are those of strangers.
    fn erase(&mut self, tokens: &[TokenId]) {
        for token in tokens {
            self.events.remove(token);
            self.newest.remove(token);
        }
        let secrets = self.secrets.drain();
        let (gone, kept): (HashMap<_, _>, _) =
            secrets.partition(|(_, (of, _))| tokens.contains(of));
        self.secrets = kept;
        self.erased.extend(gone.into_keys());
        self.erased_tokens.extend(tokens);
    }
}

/// What a first use after a change of peppers does to some tokens that are alive.
fn rehash_some(world: &mut World) {
    let alive: Vec<TokenId> = world
        .tokens
        .values()
        .filter(|t| !matches!(t.state, State::Revoked { .. }))
        .map(|t| t.id)
        .collect();
    for token in alive {
        if world.rng.one_in(3) {
            let drawn = world.drawn();
            let event = Event::TokenRehashed {
                token,
                digest: drawn.digest,
                pepper: 2,
            };
            world.append(jeton_core::event::Actor::Authority, vec![event]);
        }
    }
}

fn built(world: &World) -> (Index, Model, Directory) {
    let (mut index, mut model, mut directory) =
        (Index::default(), Model::default(), Directory::new());
    for (at, record) in (0u64..).zip(&world.records) {
        directory.apply(at, record).unwrap();
        index.apply(at, record, &directory).unwrap();
        model.apply(at, record);
    }
    (index, model, directory)
}

/// As a start does from a snapshot: terms, slots through bytes, what stands beside them, owners.
fn restored(index: &Index, directory: &Directory) -> Index {
    let mut out = Index::default();
    for terms in index.all_terms() {
        out.restore_terms(terms).unwrap();
    }
    for words in index.words() {
        let again = SlotWords::from_bytes(&words.to_bytes());
        assert_eq!(again, words);
        out.restore(&again).unwrap();
    }
    for beside in index.beside() {
        out.restore_beside(beside);
    }
    out.restore_owners(directory).unwrap();
    out
}

fn words(record: &TokenRecord) -> String {
    // A slot keeps whole seconds; so do expiry and revocation, always.
    format!("{record:?}")
}

fn agrees(index: &Index, model: &Model, directory: &Directory, world: &World) {
    let mut live = 0;
    for (id, expected) in &model.tokens {
        let found = index.record(*id, directory).unwrap();
        assert_eq!(words(&found), words(expected));
        assert_eq!(index.sequence(*id), model.events[id]);
        live += u64::from(!matches!(expected.state, State::Revoked { .. }));
    }
    assert_eq!(index.live(), live);
    let mut issued: Vec<&TokenRecord> = model.tokens.values().collect();
    issued.sort_by_key(|t| t.issued);
    let in_order: Vec<TokenId> = issued.iter().map(|t| t.id).collect();
    assert_eq!(index.ids().collect::<Vec<_>>(), in_order);
    for (digest, (token, until)) in &model.secrets {
        let digest = Digest::from_bytes(*digest);
        let found = index.record_of(&digest, directory).unwrap();
        assert_eq!(words(&found), words(&model.tokens[token]));
        let slot = index.slot(index.find(&digest).unwrap()).unwrap();
        assert_eq!(slot.leads_to().map(|(_, until)| until), *until);
    }
    for digest in &model.forgotten {
        assert!(index.find(&Digest::from_bytes(*digest)).is_none());
    }
    for digest in &model.erased {
        let digest = Digest::from_bytes(*digest);
        assert!(index.record_of(&digest, directory).is_none());
    }
    for token in &model.erased_tokens {
        assert!(index.record(*token, directory).is_none());
        assert_eq!((index.sequence(*token), index.position(*token)), (0, None));
    }
    peppers(index, model, directory, world);
    let mut stranger = [3; 32];
    for n in 0..32u8 {
        stranger[0] = n;
        assert!(index.find(&Digest::from_bytes(stranger)).is_none());
    }
    chains(index, model, directory, world);
    decisions(index, model, directory, world);
}

/// What an erased token was keyed with is in nobody's way.
fn peppers(index: &Index, model: &Model, directory: &Directory, world: &World) {
    let owns = |slot| {
        directory
            .subject_at(slot)
            .is_some_and(|s| s.tenant == world.tenant)
    };
    let in_use: u64 = index.peppers_in_use(owns).values().sum();
    let live = model.tokens.values();
    let live = live.filter(|t| !matches!(t.state, State::Revoked { .. }));
    assert_eq!(usize::try_from(in_use).unwrap(), live.count());
}

fn chains(index: &Index, model: &Model, directory: &Directory, world: &World) {
    for subject in directory.subjects_after(world.tenant, None) {
        let slot = directory.subject_slot(subject.id).unwrap();
        let mut expected: Vec<&TokenRecord> = model
            .tokens
            .values()
            .filter(|t| t.subject == subject.id)
            .collect();
        expected.sort_by_key(|t| core::cmp::Reverse(t.issued));
        let expected: Vec<TokenId> = expected.iter().map(|t| t.id).collect();
        assert_eq!(index.of_owner(slot).collect::<Vec<_>>(), expected);
    }
}

/// The owners that the index keeps beside its tokens decide as those in the directory do.
fn decisions(index: &Index, model: &Model, directory: &Directory, world: &World) {
    for record in model.tokens.values() {
        let tenant = directory.tenant(record.tenant).unwrap();
        let subject = directory.subject(record.tenant, record.subject).unwrap();
        let slot = directory.subject_slot(record.subject).unwrap();
        let (kept, tenant_slot) = index.owners().get(slot).unwrap();
        assert_eq!(directory.tenant_at(tenant_slot).unwrap().id, record.tenant);
        assert_eq!(format!("{kept:?}"), format!("{:?}", subject.owner()));
        for scope in OWN_SCOPES {
            let question = Question {
                tenant: record.tenant,
                api: JETON_API,
                needed: ScopeSet::one(scope),
                resource: None,
                address: None,
                method: Some("GET"),
                path: None,
            };
            let say = |owner| {
                let facts = Facts {
                    token: record.held(),
                    tenant,
                    owner,
                    directory,
                };
                judge::judge(&facts, &question, world.now)
            };
            assert_eq!(say(kept), say(subject.owner()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_index_says_what_the_records_say(seed in any::<u64>(), steps in 1..200usize, erase in any::<bool>()) {
        let mut world = World::new(seed, Protection::On);
        for step in 0..steps {
            world.step();
            if step % 20 == 19 {
                rehash_some(&mut world);
            }
        }
        if erase {
            world.erase_dead();
        }
        let (index, model, directory) = built(&world);
        agrees(&index, &model, &directory, &world);
        // And so it does after a snapshot, and after what follows a snapshot.
        let mut again = restored(&index, &directory);
        agrees(&again, &model, &directory, &world);
        let (mut directory, mut model) = (directory, model);
        let known = world.records.len();
        for _ in 0..30 {
            world.step();
        }
        for (at, record) in (0u64..).zip(&world.records).skip(known) {
            directory.apply(at, record).unwrap();
            again.apply(at, record, &directory).unwrap();
            model.apply(at, record);
        }
        agrees(&again, &model, &directory, &world);
        agrees(&restored(&again, &directory), &model, &directory, &world);
    }
}

/// Erased slots all have the same id: the tables must not become lists of them, nor lose what lies behind.
#[test]
fn many_are_erased_and_the_tables_grow_on() {
    let mut world = World::new(1, Protection::On);
    let like = world.tokens.values().next().unwrap().clone();
    let by = jeton_core::event::Actor::Authority;
    let issue = |world: &mut World, count: usize| -> Vec<TokenId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let drawn = world.drawn();
            ids.push(drawn.token);
            let issued = Event::TokenIssued {
                token: drawn.token,
                class: like.class,
                subject: like.subject,
                digest: drawn.digest,
                pepper: drawn.pepper,
                terms: like.terms.as_ref().clone(),
                expires: Some(world.now),
            };
            world.append(by, vec![issued]);
        }
        ids
    };
    issue(&mut world, 2_000);
    let erased = world.erase_dead();
    assert_eq!(erased.len(), 2_000);
    let kept = issue(&mut world, 3_000);
    let (index, _, directory) = built(&world);
    for index in [&index, &restored(&index, &directory)] {
        assert_eq!(index.len(), 5_001);
        assert!(kept.iter().all(|id| index.sequence(*id) == 1));
        assert_eq!(index.ids().count(), 3_001);
    }
}

#[test]
fn a_history_longer_than_a_slot_counts_is_counted() {
    let mut world = World::new(1, Protection::On);
    let token = *world.tokens.keys().next().unwrap();
    let (mut index, mut model, mut directory) = built(&world);
    let known = world.records.len();
    for n in 0..70_000u32 {
        let event = if n % 2 == 0 {
            let reason = jeton_core::token::record::Reason::Abuse;
            Event::TokenSuspended { token, reason }
        } else {
            Event::TokenResumed { token }
        };
        world.append(jeton_core::event::Actor::Authority, vec![event]);
    }
    for (at, record) in (0u64..).zip(&world.records).skip(known) {
        directory.apply(at, record).unwrap();
        index.apply(at, record, &directory).unwrap();
        model.apply(at, record);
    }
    assert_eq!(index.sequence(token), model.events[&token]);
    assert_eq!(index.sequence(token), 70_001);
    let again = restored(&index, &directory);
    assert_eq!(again.sequence(token), 70_001);
}

#[test]
fn being_resumed_counts_as_a_use_where_idleness_ends_a_token() {
    let mut world = World::new(1, Protection::On);
    let like = world.tokens.values().next().unwrap().clone();
    let token = TokenId::from_draw(world.now, [5; 10]);
    let drawn = world.drawn();
    let by = jeton_core::event::Actor::Authority;
    let issued = Event::TokenIssued {
        token,
        class: like.class,
        subject: like.subject,
        digest: drawn.digest,
        pepper: drawn.pepper,
        terms: jeton_core::token::record::Terms {
            idle: Some(jeton_core::time::Span::DAY),
            ..like.terms.as_ref().clone()
        },
        expires: None,
    };
    let reason = jeton_core::token::record::Reason::Idle;
    let suspended = Event::TokenSuspended { token, reason };
    world.append(by, vec![issued, suspended.clone()]);
    // Twice within a minute: the second counts too.
    for seconds in [90_000, 30] {
        world.now = world.now.after(jeton_core::time::Span::seconds(seconds));
        world.append(by, vec![Event::TokenResumed { token }, suspended.clone()]);
    }
    let (index, model, directory) = built(&world);
    let due = Some(world.now.whole_second());
    assert_eq!(model.tokens[&token].last_used, due);
    for index in [&index, &restored(&index, &directory)] {
        assert_eq!(index.record(token, &directory).unwrap().last_used, due);
    }
}
