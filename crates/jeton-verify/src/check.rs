//! The check: text → digest → look-up → judgement → limit. No I/O, no transaction, no allocation.

mod view;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use arc_swap::{ArcSwap, Guard};
use crossbeam_utils::sync::ShardedLock;
use jeton_core::{
    check::{
        judge::{self, Facts, Refused},
        question::Question,
    },
    directory::{Directory, Inapplicable},
    event::Record,
    id::{TenantId, TokenId},
    limit::Limit,
    refusal::Refusal,
    scope::ScopeSet,
    subject::SubjectId,
    time::Time,
    token::{
        digest::{Digest, Pepper},
        record::TokenRecord,
        rehash::Rehash,
        text::{Class, TokenText},
    },
};

use self::view::{AT_ONCE, Presented, View};
use crate::index::Index;

/// How many events are applied under one hold of the lock: a reader waits for so many at most.
const APPLIED_AT_ONCE: usize = 32;

/// The instant of a check: wall time to judge by, and a meter's clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall time.
    pub time: Time,
    /// Microseconds since the verifier began, below 2^48 (9 years).
    pub meter_us: u64,
}

/// The peppers of one tenant: the one in force, and the one before it while it is being replaced.
#[derive(Clone)]
pub struct Peppers {
    /// Whose.
    pub tenant: TenantId,
    /// In force, with its number.
    pub current: (u8, Pepper),
    /// Still accepted.
    pub previous: Option<(u8, Pepper)>,
}

/// What a good check tells.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Which token.
    pub token: TokenId,
    /// What it is.
    pub class: Class,
    /// To whom it belongs.
    pub subject: SubjectId,
    /// All that it can do at the API on this resource.
    pub scopes: ScopeSet,
    /// When it ends.
    pub expires: Option<Time>,
    /// Until when the presented secret is good, if it was replaced.
    pub replaced_until: Option<Time>,
    /// Its limit, and how many uses are left right now.
    pub limit: Option<(Limit, u32)>,
    /// The first use within a minute: worth an observation.
    pub observe: bool,
    /// The digest under the younger pepper, where the newest secret was found under the older one.
    pub rehash: Option<Rehash>,
}

/// What a bad check tells: to whoever proved possession, of which token it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Denied {
    /// Why.
    pub refused: Refused,
    /// Which token; `None`: no possession was proved.
    pub token: Option<TokenId>,
    /// The limit that was met.
    pub limit: Option<Limit>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self {
            refused: refusal.into(),
            token: None,
            limit: None,
        }
    }
}

/// Everything a node, an edge or a resource server needs to decide.
pub struct Verifier {
    directory: ArcSwap<Directory>,
    peppers: ArcSwap<HashMap<u64, Peppers>>,
    peppers_set: AtomicU64,
    index: ShardedLock<Index>,
    closed: AtomicBool,
}

impl Verifier {
    /// A verifier of a state that was loaded.
    #[must_use]
    pub fn new(directory: Directory, index: Index) -> Self {
        Self {
            directory: ArcSwap::from_pointee(directory),
            peppers: ArcSwap::default(),
            peppers_set: AtomicU64::new(0),
            index: ShardedLock::new(index),
            closed: AtomicBool::new(false),
        }
    }

    /// Says no to everything from now on: what this verifier knows is older than what was shown, so a yes may be wrong.
    pub fn close(&self) {
        self.closed.store(true, Release);
    }

    /// Whether it says no to everything.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    fn open(&self) -> Result<(), Refusal> {
        if self.is_closed() {
            return Err(Refusal::Quarantined);
        }
        Ok(())
    }

    /// Sets the peppers, by the prefix of the tokens that they key.
    pub fn set_peppers(&self, peppers: HashMap<u64, Peppers>) {
        self.peppers.store(Arc::new(peppers));
        self.peppers_set.fetch_add(1, Release);
    }

    /// How often the peppers were set: a digest that was kept is worth nothing after the next time.
    #[must_use]
    pub fn peppers_set(&self) -> u64 {
        self.peppers_set.load(Acquire)
    }

    /// The directory of this moment.
    #[must_use]
    pub fn directory(&self) -> Guard<Arc<Directory>> {
        self.directory.load()
    }

    /// How many ledger events this verifier has seen.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.directory.load().size()
    }

    /// Reads the index; the writer waits meanwhile.
    pub fn with_index<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(
            &self
                .index
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Changes the index apart from the ledger's events (what was observed before a restart).
    pub fn with_index_mut<T>(&self, write: impl FnOnce(&mut Index) -> T) -> T {
        write(
            &mut self
                .index
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Publishes stored events: the directory first, so that a token never stands before its owner.
    ///
    /// # Errors
    /// [`Inapplicable`]: the node must stop; its memory is no longer what the ledger says.
    pub fn publish(
        &self,
        directory: Directory,
        from: u64,
        records: &[Record],
    ) -> Result<(), Inapplicable> {
        let directory = Arc::new(directory);
        self.directory.store(Arc::clone(&directory));
        let mut at = from;
        for some in records.chunks(APPLIED_AT_ONCE) {
            self.with_index_mut(|index| {
                some.iter().try_for_each(|record| {
                    let applied = index.apply(at, record, &directory);
                    at += 1;
                    applied
                })
            })?;
        }
        Ok(())
    }

    /// A token by its text, for whoever proves possession: no judgement, no limit, no use noted.
    ///
    /// # Errors
    /// [`Refusal::TokenUnknown`] and its kin.
    pub fn find(&self, text: &str) -> Result<TokenRecord, Refusal> {
        self.open()?;
        let token = TokenText::parse(text)?;
        let peppers = self.peppers.load();
        let own = peppers
            .get(&token.prefix().as_u64())
            .ok_or(Refusal::TokenUnknown)?;
        let directory = self.directory.load();
        self.with_index(|index| {
            let current = own.current.1.digest(&token);
            let found = index.record_of(&current, &directory);
            let found = found.or_else(|| {
                let (_, previous) = own.previous.as_ref()?;
                index.record_of(&previous.digest(&token), &directory)
            });
            found
                .filter(|r| r.tenant == own.tenant)
                .ok_or(Refusal::TokenUnknown)
        })
    }

    /// A token that works now, for its holder: judged as far as no API and no scope is asked for.
    ///
    /// # Errors
    /// [`Denied`], with the exact reason for whoever proved possession.
    pub fn holder(
        &self,
        text: &str,
        address: Option<core::net::IpAddr>,
        now: Now,
    ) -> Result<TokenRecord, Denied> {
        let record = self.find(text)?;
        let directory = self.directory.load();
        let lost = Denied::from(Refusal::TokenUnknown);
        let tenant = directory.tenant(record.tenant).ok_or(lost)?;
        let owner = directory
            .subject(record.tenant, record.subject)
            .ok_or(lost)?;
        let mut token = record.held();
        token.replaced_until = self.replaced_until(text);
        let facts = Facts {
            token,
            tenant,
            owner: owner.owner(),
            directory: &directory,
        };
        let denied = |refused| Denied {
            refused,
            token: Some(record.id),
            limit: None,
        };
        judge::alive(&facts, now.time).map_err(denied)?;
        let networks = &record.terms.permit.conditions.networks;
        let there = |a| networks.iter().any(|n| n.contains(a));
        if !networks.is_empty() && !address.is_some_and(there) {
            return Err(denied(Refusal::AddressRefused.into()));
        }
        Ok(record)
    }

    /// Until when a presented secret is good, if it was replaced.
    #[must_use]
    pub fn replaced_until(&self, text: &str) -> Option<Time> {
        let token = TokenText::parse(text).ok()?;
        let peppers = self.peppers.load();
        let own = peppers.get(&token.prefix().as_u64())?;
        let keys = core::iter::once(&own.current).chain(&own.previous);
        self.with_index(|index| {
            let position = keys
                .map(|(_, p)| p.digest(&token))
                .find_map(|d| index.find(&d))?;
            index.slot(position)?.leads_to().map(|(_, until)| until)
        })
    }

    /// A token by id.
    #[must_use]
    pub fn record(&self, id: TokenId) -> Option<TokenRecord> {
        self.with_index(|index| index.record(id, &self.directory.load()))
    }

    /// Checks one request.
    ///
    /// # Errors
    /// [`Denied`], with exactly one reason.
    pub fn check(&self, text: &str, question: &Question<'_>, now: Now) -> Result<Passed, Denied> {
        self.open()?;
        let token = TokenText::parse(text)?;
        let peppers = self.peppers.load();
        let own = peppers
            .get(&token.prefix().as_u64())
            .ok_or(Refusal::TokenUnknown)?;
        let presented = Presented::new(token, own);
        self.viewed(|view| view.check(&presented, question, now))
    }

    /// Reads the index and the directory as they are together.
    fn viewed<T>(&self, read: impl FnOnce(&View<'_>) -> T) -> T {
        self.with_index(|index| {
            let directory = self.directory.load();
            read(&View {
                index,
                directory: &directory,
            })
        })
    }

    /// The digest of a token's text under its tenant's pepper in force, for whoever presents the same text again and again.
    #[must_use]
    pub fn digest(&self, text: &str) -> Option<Digest> {
        let token = TokenText::parse(text).ok()?;
        let peppers = self.peppers.load();
        Some(
            peppers
                .get(&token.prefix().as_u64())?
                .current
                .1
                .digest(&token),
        )
    }

    /// Checks a request whose token's digest is known: everything but the hashing is done anew.
    ///
    /// # Errors
    /// As [`Verifier::check`]; a token still under an older pepper is unknown here.
    pub fn check_digest(
        &self,
        digest: &Digest,
        question: &Question<'_>,
        now: Now,
    ) -> Result<Passed, Denied> {
        self.open()?;
        self.viewed(|view| {
            let position = view.index.find(digest).ok_or(Refusal::TokenUnknown)?;
            view.decide(position, question, now)
        })
    }

    /// Checks many requests, each as [`Verifier::check`] would: their cache misses come together.
    pub fn check_batch(
        &self,
        asked: &[(&str, Question<'_>)],
        now: Now,
        mut answer: impl FnMut(usize, Result<Passed, Denied>),
    ) {
        if let Err(refusal) = self.open() {
            return (0..asked.len()).for_each(|n| answer(n, Err(refusal.into())));
        }
        let peppers = self.peppers.load();
        for (group, some) in asked.chunks(AT_ONCE).enumerate() {
            self.viewed(|view| {
                view.check_group(&peppers, some, now, |n, verdict| {
                    answer(group * AT_ONCE + n, verdict);
                });
            });
        }
    }
}
