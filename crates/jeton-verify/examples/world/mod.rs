//! A world of many tokens, made without a store: the index as a node would hold it.

use std::collections::HashMap;

use jeton_core::subject::SubjectId;
use jeton_core::{
    directory::Directory,
    event::{Actor, Event, RECORD_VERSION, Record},
    id::{ApiId, Id, RoleId, TenantId, TokenId, UserId},
    limit::Limit,
    permit::{Conditions, Grant, Permit, Rights},
    resource::Pattern,
    scope::{Scope, ScopeSet},
    time::{Span, Time},
    token::{
        digest::Pepper,
        record::Terms,
        text::{Class, Prefix, TextDraw, TokenText, mint},
    },
};
use jeton_verify::{
    check::{Peppers, Verifier},
    index::Index,
};

/// Distinct permits among the tokens.
pub const PERMITS: u64 = 10_000;
/// Scopes of the API.
pub const SCOPES: u8 = 32;

/// A generator of numbers that need no secrecy: the same world each time.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The text of token number `n`.
pub fn text(n: u64) -> String {
    let prefix = Prefix::parse(b"acme").expect("a prefix");
    for round in 0.. {
        let mut numbers = Numbers(n.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ round);
        let mut draw = [0; 64];
        for chunk in draw.chunks_exact_mut(8) {
            chunk.copy_from_slice(&numbers.next().to_le_bytes());
        }
        if let Some(secret) = mint(prefix, Class::Key, &TextDraw(draw)) {
            return secret.expose_secret().to_owned();
        }
    }
    unreachable!("each round has a new draw")
}

/// The tenant.
pub fn tenant() -> TenantId {
    Id::from_bytes([1; 16])
}

/// The API.
pub fn api() -> ApiId {
    Id::from_bytes([2; 16])
}

fn record(event: Event, at: Time) -> Record {
    let actor = Actor::Authority;
    Record {
        version: RECORD_VERSION,
        tenant: tenant(),
        at,
        actor,
        request: None,
        aside: None,
        event,
    }
}

/// The terms of token number `n`: one of 10,000.
pub fn terms(n: u64) -> Terms {
    let which = n % PERMITS;
    let scopes: ScopeSet = (0..SCOPES)
        .filter(|s| *s == 0 || which >> (s % 13) & 1 == 1)
        .collect();
    let pattern = Pattern::parse(&format!("projects/{which}/**")).expect("a pattern");
    let grants = vec![
        Grant {
            api: api(),
            scopes,
            resources: vec![Pattern::everything()],
        },
        Grant {
            api: api(),
            scopes: ScopeSet::one(31),
            resources: vec![pattern],
        },
    ];
    Terms {
        inclusion: jeton_core::policy::Inclusion::Logged,
        permit: Permit {
            use_: Rights::Listed(grants).normal(),
            give: None,
            conditions: Conditions::default(),
        },
        limit: Limit::new(1_000_000, 1),
        idle: None,
        lifetime_max: None,
    }
}

/// A verifier with so many tokens of 10,000 permits and one user for each ten tokens.
pub fn verifier(tokens: u64, now: Time) -> Verifier {
    let mut directory = Directory::new();
    let mut at = 0u64;
    let role: RoleId = Id::from_bytes([3; 16]);
    let scope = |n: u8| Scope {
        name: format!("scope:{n}"),
        description: String::new(),
        default: false,
        retired: false,
    };
    let all: ScopeSet = (0..SCOPES).collect();
    let everything = Grant {
        api: api(),
        scopes: all,
        resources: vec![Pattern::everything()],
    };
    let mut founding = vec![
        Event::TenantCreated {
            prefix: Prefix::parse(b"acme").expect("a prefix"),
        },
        Event::ApiDefined {
            api: api(),
            name: "bench".into(),
            audience: "urn:bench".into(),
        },
        Event::CatalogueSet {
            api: api(),
            scopes: (0..SCOPES).map(scope).collect(),
        },
        Event::RoleCreated {
            role,
            name: "all".into(),
            permit: Permit::to_use(Rights::Listed(vec![everything])),
        },
    ];
    let user = |n: u64| -> UserId {
        let mut bytes = [4; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        Id::from_bytes(bytes)
    };
    founding.extend((0..tokens.div_ceil(10)).map(|n| Event::UserCreated {
        user: user(n),
        roles: vec![role],
    }));
    for event in founding {
        directory
            .apply(at, &record(event, now))
            .expect("an event that fits");
        at += 1;
    }
    let pepper = Pepper::new(&[5; 32]);
    let index = Index::with_room_for(usize::try_from(tokens).expect("fits"));
    let mut index = index;
    index.restore_owners(&directory).expect("owners");
    let mut numbers = Numbers(6);
    let distinct: Vec<Terms> = (0..PERMITS).map(terms).collect();
    for n in 0..tokens {
        let text = text(n);
        let parsed = TokenText::parse(&text).unwrap_or_else(|_| panic!("minted"));
        let mut random = [0; 10];
        random[..8].copy_from_slice(&numbers.next().to_le_bytes());
        let token: TokenId = Id::from_draw(now, random);
        let event = Event::TokenIssued {
            token,
            class: Class::Key,
            subject: SubjectId::User(user(n / 10)),
            digest: pepper.digest(&parsed),
            pepper: 0,
            terms: distinct[usize::try_from(n % PERMITS).expect("fits")].clone(),
            expires: Some(now.after(Span::days(30))),
        };
        index
            .apply(at + n, &record(event, now), &directory)
            .expect("an event that fits");
    }
    let verifier = Verifier::new(directory, index);
    let prefix = Prefix::parse(b"acme").expect("a prefix").as_u64();
    let peppers = Peppers {
        tenant: tenant(),
        current: (0, pepper),
        previous: None,
    };
    verifier.set_peppers(HashMap::from([(prefix, peppers)]));
    verifier
}
