//! What orders are made of: rights, conditions and gives over a tiny universe, at random or close to what somebody holds.

use jeton_core::{
    api::own,
    id::ApiId,
    permit::{Conditions, Give, Grant, Network, Rights},
    resource::Pattern,
    scope::ScopeSet,
    time::{Span, Time},
};

use super::NOT_BEFORE_S;

/// The patterns that orders name.
pub const PATTERNS: [&str; 6] = ["**", "a/**", "a/*", "a/b", "b", "*"];
/// The networks that orders name.
pub const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "::/0"];
/// The methods that orders name.
pub const METHODS: [&str; 2] = ["GET", "PUT"];
/// The scopes of jeton's own API that orders name; the last one is the system tenant's alone.
pub const OWN_SCOPES: [u8; 7] = [
    own::CHECK,
    own::TOKENS_WRITE,
    own::TOKENS_OWN,
    own::TOKENS_PERMANENT,
    own::SUBJECTS_WRITE,
    own::ROLES_WRITE,
    own::TENANTS_WRITE,
];
/// The spans that orders name, in seconds.
pub const SPANS_S: [u64; 4] = [3600, 86_400, 7 * 86_400, 400 * 86_400];

/// Small, seeded and good enough (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn some<T: Clone>(&mut self, from: &[T], most: usize) -> Vec<T> {
        let n = self.below(most + 1);
        (0..n).map(|_| self.pick(from).clone()).collect()
    }

    pub fn span(&mut self) -> Span {
        Span::seconds(*self.pick(&SPANS_S))
    }

    fn patterns(&mut self, at_least: usize) -> Vec<Pattern> {
        let n = at_least + self.below(2);
        let texts: Vec<&str> = (0..n)
            .map(|_| PATTERNS[self.below(PATTERNS.len())])
            .collect();
        texts.into_iter().filter_map(Pattern::parse).collect()
    }

    /// A grant at one of these APIs, the first of which is jeton's own.
    pub fn grant(&mut self, apis: &[ApiId]) -> Grant {
        let at = self.below(apis.len());
        let numbers: Vec<u8> = if at == 0 {
            self.some(&OWN_SCOPES, 5)
        } else {
            self.some(&[0, 1, 2], 3)
        };
        // Whoever shall order something needs jeton's scopes everywhere.
        let resources = if at == 0 && !self.one_in(4) {
            vec![Pattern::everything()]
        } else {
            self.patterns(1)
        };
        Grant {
            api: apis[at],
            scopes: numbers.into_iter().collect(),
            resources,
        }
    }

    pub fn rights(&mut self, apis: &[ApiId]) -> Rights {
        if self.one_in(6) {
            return Rights::All;
        }
        let n = self.below(5);
        Rights::Listed((0..n).map(|_| self.grant(apis)).collect())
    }

    /// Rights close to these: the same, narrower, a little wider, or a little beside them.
    pub fn rights_near(&mut self, near: &Rights, apis: &[ApiId]) -> Rights {
        let Rights::Listed(grants) = near else {
            return if self.one_in(3) {
                Rights::All
            } else {
                self.rights(apis)
            };
        };
        let mut grants = grants.clone();
        for _ in 0..self.below(3) {
            if grants.is_empty() {
                break;
            }
            let at = self.below(grants.len());
            match self.below(8) {
                0 => drop(grants.remove(at)),
                1 | 2 => {
                    let keep = self.next();
                    let grant = &mut grants[at];
                    let numbers: Vec<u8> = grant.scopes.iter().collect();
                    let kept = numbers.into_iter().enumerate();
                    grant.scopes = kept
                        .filter(|(n, _)| keep >> n & 1 == 1)
                        .map(|(_, s)| s)
                        .collect();
                }
                3 | 4 => grants[at].resources = self.patterns(1),
                5 => {
                    let one = *self.pick(&[0, 1, 2]);
                    grants[at].scopes = grants[at].scopes.union(&ScopeSet::one(one));
                }
                6 => {
                    let more = self.patterns(1);
                    grants[at].resources.extend(more);
                }
                _ => grants[at].api = *self.pick(apis),
            }
        }
        if self.one_in(8) {
            grants.push(self.grant(apis));
        }
        if self.one_in(60) {
            return Rights::All;
        }
        Rights::Listed(grants)
    }

    pub fn conditions(&mut self) -> Conditions {
        if self.one_in(2) {
            return Conditions::default();
        }
        let networks = self.some(&NETWORKS, 2);
        let methods = self.some(&METHODS, 2);
        let paths = if self.one_in(3) {
            self.patterns(1)
        } else {
            Vec::new()
        };
        Conditions {
            networks: networks.iter().filter_map(|n| Network::parse(n)).collect(),
            methods: methods.into_iter().map(str::to_owned).collect(),
            paths,
            not_before: self.one_in(4).then(|| Time::from_seconds(NOT_BEFORE_S)),
        }
    }

    /// Conditions close to these.
    pub fn conditions_near(&mut self, near: &Conditions) -> Conditions {
        let mut out = near.clone();
        if self.one_in(2) {
            return out;
        }
        let other = self.conditions();
        match self.below(5) {
            0 => out.networks = other.networks,
            1 => out.methods = other.methods,
            2 => out.paths = other.paths,
            3 => out.not_before = other.not_before,
            _ => return other,
        }
        out
    }

    pub fn give(&mut self, apis: &[ApiId]) -> Give {
        Give {
            rights: self.rights(apis),
            conditions: if self.one_in(2) {
                self.conditions()
            } else {
                Conditions::default()
            },
            lifetime_max: self.one_in(2).then(|| self.span()),
        }
    }

    /// A give close to this one, or none.
    pub fn give_near(&mut self, near: Option<&Give>, apis: &[ApiId]) -> Option<Give> {
        match near {
            _ if self.one_in(4) => None,
            None => Some(self.give(apis)),
            Some(_) if self.one_in(6) => Some(self.give(apis)),
            Some(near) => Some(Give {
                rights: self.rights_near(&near.rights, apis),
                conditions: self.conditions_near(&near.conditions),
                lifetime_max: match self.below(3) {
                    0 => self.one_in(2).then(|| self.span()),
                    _ => near.lifetime_max,
                },
            }),
        }
    }
}
