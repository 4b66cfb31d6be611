//! A small ledger for tests, sealed as the writer seals it: founded, with a tenant, an API, a role, a user, an application,
//! and as many tokens as wanted. Everything is drawn from a counter, so that a failure repeats.

#![expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of several tests; a world that breaks ends the test"
)]

use std::collections::HashMap;

use jeton_core::{
    directory::Directory,
    event::{Actor, Event, RECORD_VERSION, Record},
    founding,
    id::{ApiId, AppId, RoleId, TenantId, TokenId, UserId},
    leaf::{SealKey, TagKey, aside_hash},
    permit::{Grant, Permit, Rights},
    resource::Pattern,
    scope::ScopeSet,
    subject::SubjectId,
    time::{Span, Time},
    token::{
        digest::Digest,
        record::{Reason, Terms, TokenRecord},
        text::{Class, Prefix},
    },
};
use jeton_store::{
    Batch, Store, StoreError,
    ledger::{Aside, Entry, Seal, Sealer},
    row::Row,
};
use jeton_tlog::{Checkpoint, SigningKey, Tile};

/// The name of the log.
pub const ORIGIN: &str = "test.example/ledger";

/// The key that signs its checkpoints.
pub fn log_key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// The key that seals.
pub fn seal_key() -> SealKey {
    SealKey::new(&[8; 32])
}

/// The tag key of any tenant.
pub fn tag_key(tenant: TenantId) -> TagKey {
    let mut key = [9; 32];
    key[..16].copy_from_slice(tenant.bytes());
    TagKey::new(&key)
}

/// The end of a ledger, and what was decided but not stored.
#[derive(Clone)]
pub struct World {
    pub system: TenantId,
    pub tenant: TenantId,
    pub api: ApiId,
    pub role: RoleId,
    pub user: UserId,
    pub app: AppId,
    pub issued: Vec<TokenId>,
    directory: Directory,
    sealer: Sealer,
    tokens: HashMap<TokenId, (TokenRecord, u64)>,
    drawn: u64,
    from: u64,
    entries: Vec<(Entry, Row)>,
    tiles: Vec<Tile>,
}

impl World {
    /// Nothing yet.
    pub fn new() -> Self {
        let zero = [0; 16];
        Self {
            system: TenantId::from_bytes(zero),
            tenant: TenantId::from_bytes(zero),
            api: ApiId::from_bytes(zero),
            role: RoleId::from_bytes(zero),
            user: UserId::from_bytes(zero),
            app: AppId::from_bytes(zero),
            issued: Vec::new(),
            directory: Directory::new(),
            sealer: Sealer::new(),
            tokens: HashMap::new(),
            drawn: 0,
            from: 0,
            entries: Vec::new(),
            tiles: Vec::new(),
        }
    }

    /// Bytes that never come again.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            // SplitMix64.
            self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.drawn;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        out
    }

    fn now(&self) -> Time {
        Time::from_millis(1_700_000_000_000 + self.sealer.size() * 10)
    }

    /// How many events there are, stored or not.
    pub fn size(&self) -> u64 {
        self.sealer.size()
    }

    /// The right edge after all of them.
    pub fn frontier(&self) -> Vec<u8> {
        self.sealer.frontier()
    }

    /// A signed checkpoint of this moment.
    pub fn checkpoint(&self) -> String {
        self.checkpoint_by(&[&log_key()])
    }

    /// The same, signed by other keys, under their name.
    pub fn checkpoint_by(&self, keys: &[&SigningKey]) -> String {
        let checkpoint = Checkpoint::new(keys[0].name(), self.size(), self.sealer.root());
        checkpoint.unwrap().sign_all(keys).unwrap()
    }

    /// Decides an event.
    pub fn event(&mut self, tenant: TenantId, event: Event) {
        self.event_with(tenant, event, None);
    }

    /// Decides an event with words beside it.
    pub fn event_with(&mut self, tenant: TenantId, event: Event, words: Option<&str>) {
        let aside = words.map(|words| Aside {
            salt: self.draw(),
            words: words.as_bytes().to_vec(),
        });
        let record = Record {
            version: RECORD_VERSION,
            tenant,
            at: self.now(),
            actor: Actor::Authority,
            request: None,
            aside: aside.as_ref().map(|a| aside_hash(&a.salt, &a.words)),
            event,
        };
        self.push(&record, aside);
    }

    fn push(&mut self, record: &Record, aside: Option<Aside>) {
        let tenant = record.tenant;
        let token = record.event.token();
        let about = record.event.about(tenant);
        let about_sequence = match token {
            Some(id) => self.tokens.get(&id).map_or(0, |(_, n)| *n),
            None => self.directory.sequence(&about),
        };
        let seal = Seal {
            key: &tag_key(tenant),
            tenant_sequence: self.directory.tenant_events(tenant) + 1,
            about_sequence,
            seal: &seal_key(),
        };
        let entry = self.sealer.seal(record, &seal, aside, &mut self.tiles);
        let entry = entry.unwrap();
        self.directory.apply(entry.index, record).unwrap();
        let row = token.map(|id| {
            let fresh = TokenRecord::issued(entry.index, tenant, &record.event);
            let (known, n) = self
                .tokens
                .entry(id)
                .or_insert_with(|| (fresh.clone().unwrap(), 0));
            if fresh.is_none() {
                known.apply(record.at, &record.event).unwrap();
            }
            *n += 1;
            known.clone()
        });
        let row = Row::after(tenant, &record.event, row.as_ref(), &self.directory);
        self.entries.push((entry, row));
    }

    /// Genesis, a tenant, and one of each thing.
    pub fn found(&mut self) {
        self.system = TenantId::from_bytes(self.draw());
        let key = *log_key().verifier().public_key();
        for record in founding::genesis(self.system, ORIGIN, key, self.now()).unwrap() {
            self.push(&record, None);
        }
        self.tenant = TenantId::from_bytes(self.draw());
        self.api = ApiId::from_bytes(self.draw());
        self.role = RoleId::from_bytes(self.draw());
        self.user = UserId::from_bytes(self.draw());
        self.app = AppId::from_bytes(self.draw());
        let prefix = Prefix::parse(b"acme").unwrap();
        let permit = self.permit();
        let (tenant, role, user) = (self.tenant, self.role, self.user);
        self.event_with(
            tenant,
            Event::TenantCreated { prefix },
            Some(r#"{"name":"Acme"}"#),
        );
        let (name, audience) = ("docs".to_owned(), "https://docs.test".to_owned());
        let api = self.api;
        self.event(
            tenant,
            Event::ApiDefined {
                api,
                name,
                audience,
            },
        );
        let name = "reader".to_owned();
        self.event(
            tenant,
            Event::RoleCreated {
                role,
                name,
                permit: permit.clone(),
            },
        );
        let roles = vec![role];
        self.event_with(
            tenant,
            Event::UserCreated { user, roles },
            Some(r#"{"name":"Ann"}"#),
        );
        let (app, sponsor) = (self.app, Some(user));
        self.event(
            tenant,
            Event::AppCreated {
                app,
                sponsor,
                permit,
            },
        );
        let about = *user.bytes();
        self.event_with(tenant, Event::Renamed { about }, Some(r#"{"name":"Anna"}"#));
    }

    /// Makes another role.
    pub fn role(&mut self, name: &str) {
        let role = RoleId::from_bytes(self.draw());
        let (name, permit) = (name.to_owned(), self.permit());
        self.event(self.tenant, Event::RoleCreated { role, name, permit });
    }

    fn permit(&self) -> Permit {
        Permit::to_use(Rights::Listed(vec![Grant {
            api: self.api,
            scopes: ScopeSet::one(0),
            resources: vec![Pattern::everything()],
        }]))
    }

    /// Issues a token to the user.
    pub fn issue(&mut self) -> TokenId {
        let token = TokenId::from_bytes(self.draw());
        let terms = Terms {
            inclusion: jeton_core::policy::Inclusion::Logged,
            permit: self.permit(),
            limit: None,
            idle: None,
            lifetime_max: None,
        };
        let event = Event::TokenIssued {
            token,
            class: Class::Key,
            subject: SubjectId::User(self.user),
            digest: Digest::from_bytes(self.draw()),
            pepper: 0,
            terms,
            expires: Some(self.now().after(Span::DAY)),
        };
        self.event_with(self.tenant, event, Some(r#"{"address":"127.0.0.1"}"#));
        self.issued.push(token);
        token
    }

    /// Rotates a token.
    pub fn rotate(&mut self, token: TokenId) {
        let known = &self.tokens[&token].0;
        let (generation, expires) = (known.generation + 1, known.expires);
        let event = Event::TokenRotated {
            token,
            generation,
            digest: Digest::from_bytes(self.draw()),
            pepper: 0,
            overlap_until: self.now().after(Span::HOUR),
            expires,
        };
        self.event(self.tenant, event);
    }

    /// Revokes a token.
    pub fn revoke(&mut self, token: TokenId) {
        let reason = Reason::Leaked;
        self.event_with(
            self.tenant,
            Event::TokenRevoked { token, reason },
            Some(r#"{"note":"leaked"}"#),
        );
    }

    /// Takes what was decided for a batch of its own.
    pub fn take(&mut self) -> Taken {
        let id = self.draw();
        let taken = Taken {
            id,
            from: self.from,
            entries: core::mem::take(&mut self.entries),
            tiles: core::mem::take(&mut self.tiles),
            frontier: self.sealer.frontier(),
        };
        self.from = self.sealer.size();
        taken
    }

    /// Stores what was decided.
    pub fn store(&mut self, store: &mut dyn Store) {
        self.take().append(store).unwrap();
    }
}

/// A batch that owns what it holds.
#[derive(Clone)]
pub struct Taken {
    pub id: [u8; 16],
    pub from: u64,
    pub entries: Vec<(Entry, Row)>,
    pub tiles: Vec<Tile>,
    pub frontier: Vec<u8>,
}

impl Taken {
    /// Appends it.
    pub fn append(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.append(&Batch {
            id: self.id,
            from: self.from,
            entries: &self.entries,
            tiles: &self.tiles,
            frontier: &self.frontier,
        })
    }
}
