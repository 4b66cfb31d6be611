//! A random tenant: who is in it, what they hold, and orders that they give, decided by the real rules and applied by the
//! real `apply`. Each step tells what was asked, what was decided and what the world looked like to whoever asked.

#![expect(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of several tests; a world that breaks ends the test"
)]

pub mod draw;
pub mod orders;

use std::collections::{BTreeMap, BTreeSet};

use jeton_core::{
    api::JETON_API,
    authority::Authority,
    catalogue::{self, ScopeOrder},
    directory::Directory,
    erase::{self, Trace, Traced},
    event::{Actor, Erasure, Event, RECORD_VERSION, Record, RequestKey},
    founding,
    id::{ApiId, AppId, Id, Kind, RoleId, TenantId, TokenId, UserId},
    policy::Lifetime,
    refusal::Refusal,
    scope::ScopeSet,
    subject::SubjectId,
    time::{Span, Time},
    token::{digest::Digest, issue::Drawn, record::TokenRecord, text::Prefix},
};

use draw::Rng;
pub use orders::Order;

/// When every world begins.
pub const BEGIN_S: u64 = 1_800_000_000;
/// The one `not_before` that orders name: some steps of a world lie before it, and no world reaches it.
pub const NOT_BEFORE_S: u64 = BEGIN_S + 500_000;
/// A moment after it.
pub const LATE_S: u64 = NOT_BEFORE_S + 1;

/// Whether refusals for want of authority are obeyed. The control does not obey them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// As in production.
    On,
    /// `attenuate` is taken for a function that says yes to everything.
    Off,
}

/// A tenant and everything in it.
pub struct World {
    pub rng: Rng,
    pub protection: Protection,
    pub directory: Directory,
    pub tokens: BTreeMap<TokenId, TokenRecord>,
    pub records: Vec<Record>,
    pub tenant: TenantId,
    pub now: Time,
    pub apis: Vec<ApiId>,
    pub roles: Vec<RoleId>,
    pub users: Vec<UserId>,
    pub apps: Vec<AppId>,
    next_id: u64,
}

/// What one step did.
#[derive(Debug)]
pub struct Step {
    /// The credential that ordered it.
    pub caller: TokenId,
    /// What it ordered.
    pub order: Order,
    /// The refusal, if it was one (with the protection off: although the events stand).
    pub refused: Option<Refusal>,
    /// What changed.
    pub events: Vec<Event>,
}

impl World {
    /// A tenant with two APIs, an admin and a few subjects.
    pub fn new(seed: u64, protection: Protection) -> Self {
        let system = TenantId::from_bytes([1; 16]);
        let tenant = TenantId::from_bytes([2; 16]);
        let mut world = Self {
            rng: Rng::new(seed),
            protection,
            directory: Directory::new(),
            tokens: BTreeMap::new(),
            records: Vec::new(),
            tenant,
            now: Time::from_seconds(BEGIN_S),
            apis: vec![JETON_API],
            roles: Vec::new(),
            users: Vec::new(),
            apps: Vec::new(),
            next_id: 0,
        };
        let genesis = founding::genesis(system, "world.test/log", [7; 32], world.now);
        for record in genesis.expect("a legal system prefix") {
            world.apply(record);
        }
        let prefix = Prefix::parse(b"acme").expect("a prefix");
        let setup = Actor::Setup;
        world.append(setup, vec![Event::TenantCreated { prefix }]);
        let app: AppId = world.id();
        let permit = founding::admin_permit(false);
        let event = Event::AppCreated {
            app,
            sponsor: None,
            permit,
        };
        world.append(setup, vec![event]);
        world.apps.push(app);
        let founder = Authority::danger_founder(tenant, setup);
        let drawn = world.drawn();
        let admin = founding::admin_token(
            &founder,
            app,
            Lifetime::Default,
            &world.directory,
            (drawn, world.now),
        );
        assert!(admin.outcome.is_ok());
        world.append(setup, admin.events);
        for name in ["docs", "mail"] {
            let api: ApiId = world.id();
            let scopes: Vec<ScopeOrder> = ["read", "write", "erase"]
                .iter()
                .map(|s| ScopeOrder {
                    name: (*s).to_owned(),
                    description: String::new(),
                    default: *s == "read",
                })
                .collect();
            let audience = format!("https://{name}.test");
            let decided =
                catalogue::define(&founder, api, (name, &audience), &scopes, &world.directory);
            assert!(decided.outcome.is_ok());
            world.append(setup, decided.events);
            world.apis.push(api);
        }
        world
    }

    /// A fresh id.
    pub fn id<K: Kind>(&mut self) -> Id<K> {
        self.next_id += 1;
        let mut draw = [0; 10];
        draw[2..].copy_from_slice(&self.next_id.to_be_bytes());
        Id::from_draw(self.now, draw)
    }

    /// What a mint would have drawn.
    pub fn drawn(&mut self) -> Drawn {
        let mut digest = [0; 32];
        for part in digest.chunks_mut(8) {
            part.copy_from_slice(&self.rng.next().to_le_bytes());
        }
        Drawn {
            token: self.id(),
            digest: Digest::from_bytes(digest),
            pepper: 1,
        }
    }

    /// The authority of a token, if it has any now.
    pub fn authority(&self, token: TokenId) -> Option<Authority> {
        let record = self.tokens.get(&token)?;
        Authority::of_token(&self.directory, record, ScopeSet::EMPTY, self.now).ok()
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Some token.
    pub fn some_token(&mut self) -> TokenId {
        let at = self.rng.below(self.tokens.len());
        *self.tokens.keys().nth(at).expect("a token")
    }

    /// Some subject: of two, one is a user where there are users.
    pub fn some_subject(&mut self) -> SubjectId {
        if self.users.is_empty() || self.rng.one_in(2) {
            SubjectId::App(*self.rng.pick(&self.apps))
        } else {
            SubjectId::User(*self.rng.pick(&self.users))
        }
    }

    /// Draws a caller and an order, has the rules decide, and applies what they decide.
    pub fn step(&mut self) -> Step {
        self.now = self.now.after(Span::seconds(self.rng.next() % 60));
        let caller = self.some_caller();
        let order = Order::draw(self, caller);
        let (refused, events) = match self.authority(caller) {
            None => (Some(Refusal::TokenUnknown), Vec::new()),
            Some(authority) => {
                let decided = order.decide(self, &authority);
                self.append(authority.actor(), decided.1.clone());
                self.remember(&decided.1);
                decided
            }
        };
        Step {
            caller,
            order,
            refused,
            events,
        }
    }

    /// A caller: mostly one that can order something.
    fn some_caller(&mut self) -> TokenId {
        for _ in 0..4 {
            let token = self.some_token();
            if self.authority(token).is_some() {
                return token;
            }
        }
        self.some_token()
    }

    fn remember(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::RoleCreated { role, .. } => self.roles.push(*role),
                Event::UserCreated { user, .. } => self.users.push(*user),
                Event::AppCreated { app, .. } => self.apps.push(*app),
                _ => {}
            }
        }
    }

    /// Appends events as one command's.
    pub fn append(&mut self, actor: Actor, events: Vec<Event>) {
        let request = self.rng.one_in(3).then(|| {
            let mut key = [0; 16];
            // A few keys only, so that some come twice.
            key[0] = u8::try_from(self.rng.below(40)).unwrap_or(0);
            RequestKey { key, body: [9; 16] }
        });
        for event in events {
            let aside = self.rng.one_in(4).then_some([5; 32]);
            self.apply(Record {
                version: RECORD_VERSION,
                tenant: self.tenant,
                at: self.now,
                actor,
                request,
                aside,
                event,
            });
        }
    }

    /// Lets two days pass, and has the rule erase every token that is dead then but the first, without whom nothing would go on:
    /// the indexes of what was erased.
    pub fn erase_dead(&mut self) -> BTreeSet<u64> {
        self.now = self.now.after(Span::days(2));
        let mut histories: BTreeMap<TokenId, Vec<(u64, Time)>> = BTreeMap::new();
        for (index, record) in (0u64..).zip(&self.records) {
            if let Some(token) = record.event.token() {
                histories.entry(token).or_default().push((index, record.at));
            }
        }
        let authority = Authority::danger_founder(self.tenant, Actor::Setup);
        let mut erased = BTreeSet::new();
        let others = self.tokens.values().skip(1);
        let dead: Vec<TokenRecord> = others.filter(|t| t.ended(self.now)).cloned().collect();
        for some in dead.chunks(256) {
            let traced = some
                .iter()
                .map(|token| traced(token.clone(), &histories[&token.id]));
            let traced: Vec<Traced> = traced.collect();
            let decided = erase::openings(&authority, &traced, self.now);
            assert_eq!(decided.outcome, Ok(()));
            let own = traced.iter().flat_map(|t| t.trace.indexes.clone());
            erased.extend(own);
            self.append(authority.actor(), decided.events);
        }
        erased
    }

    fn apply(&mut self, record: Record) {
        let index = self.directory.size();
        if let Err(wrong) = self.directory.apply(index, &record) {
            panic!("{wrong}: {record:?}");
        }
        apply_to_tokens(&mut self.tokens, index, &record);
        self.records.push(record);
    }
}

fn traced(token: TokenRecord, history: &[(u64, Time)]) -> Traced {
    Traced {
        token,
        events: u64::try_from(history.len()).expect("few"),
        trace: Trace {
            indexes: history.iter().map(|(index, _)| *index).collect(),
            last: history.last().expect("an issuance").1,
        },
    }
}

/// What an event does to the records of tokens.
pub fn apply_to_tokens(tokens: &mut BTreeMap<TokenId, TokenRecord>, index: u64, record: &Record) {
    if let Event::Erased(Erasure::Openings { tokens: erased, .. }) = &record.event {
        for id in erased {
            tokens.remove(id);
        }
    }
    let Some(id) = record.event.token() else {
        return;
    };
    if let Some(issued) = TokenRecord::issued(index, record.tenant, &record.event) {
        assert!(tokens.insert(id, issued).is_none(), "issued twice");
        return;
    }
    let token = tokens.get_mut(&id).expect("a token that was issued");
    token
        .apply(record.at, &record.event)
        .expect("a fitting event");
}
