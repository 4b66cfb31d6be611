//! Who could have given what: authority as explicit sets, computed without a line of the code that is proved.
//!
//! The universe is tiny: each scope on each resource is an *atom*, each combination of address, method, path and time an
//! *environment*. What a grant under conditions reaches is a set of pairs of both. Every token, role and application has a
//! *bound*: what its giver could give when it gave, which lies within what the giver's giver could give, and so on up to
//! the founder.

use std::{collections::BTreeMap, net::IpAddr};

use jeton_core::{
    api::{JETON_API, own},
    check::{
        brief::Brief,
        judge::{self, Facts, Held},
        question::Question,
    },
    directory::Directory,
    event::Event,
    id::{ApiId, AppId, RoleId, TokenId},
    permit::{Conditions, Give, Permit, Rights},
    scope::ScopeSet,
    subject::{Subject, SubjectId},
    time::{Span, Time},
    token::record::{Terms, TokenRecord},
};

use crate::world::{
    LATE_S, NOT_BEFORE_S, Step, World,
    draw::{METHODS, OWN_SCOPES, Rng},
};

/// Resources that requests touch; none: the request names none.
const RESOURCES: [Option<&str>; 7] = [
    None,
    Some("a"),
    Some("a/b"),
    Some("a/c"),
    Some("a/b/c"),
    Some("b"),
    Some("c"),
];
const SCOPES: usize = OWN_SCOPES.len() + 2 * 3;
const ATOMS: usize = SCOPES * RESOURCES.len();

const ADDRESSES: [Option<&str>; 4] = [None, Some("10.0.0.1"), Some("10.1.2.3"), Some("192.0.2.7")];
const PATHS: [Option<&str>; 3] = [None, Some("a/b"), Some("b")];
const ENVIRONMENTS: usize = ADDRESSES.len() * 3 * PATHS.len() * 2;

/// One environment of a request.
#[derive(Clone, Copy, Debug)]
struct Environment {
    address: Option<&'static str>,
    method: Option<&'static str>,
    path: Option<&'static str>,
    late: bool,
}

fn environment(n: usize) -> Environment {
    let methods = [None, Some(METHODS[0]), Some(METHODS[1])];
    Environment {
        address: ADDRESSES[n % 4],
        method: methods[n / 4 % 3],
        path: PATHS[n / 12 % 3],
        late: n / 36 == 1,
    }
}

/// One scope of one API on one resource.
fn atom(apis: &[ApiId], n: usize) -> (ApiId, u8, Option<&'static str>) {
    let (scope, resource) = (n / RESOURCES.len(), RESOURCES[n % RESOURCES.len()]);
    let own = OWN_SCOPES.len();
    if scope < own {
        return (JETON_API, OWN_SCOPES[scope], resource);
    }
    let number = u8::try_from((scope - own) % 3).unwrap_or(0);
    (apis[1 + (scope - own) / 3], number, resource)
}

/// A set of pairs of atom and environment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reach([u128; ATOMS]);

impl Reach {
    const NOTHING: Self = Self([0; ATOMS]);
    const EVERYTHING: Self = Self([u128::MAX >> (128 - ENVIRONMENTS); ATOMS]);

    fn of(apis: &[ApiId], rights: &Rights, conditions: &Conditions) -> Self {
        let environments = environments(conditions);
        let mut out = Self::NOTHING;
        for (n, to) in out.0.iter_mut().enumerate() {
            if holds(rights, atom(apis, n)) {
                *to = environments;
            }
        }
        out
    }

    fn within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    fn and(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= b;
        }
        self
    }

    fn or(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
        self
    }

    fn has(&self, atom: usize, environment: usize) -> bool {
        self.0[atom] >> environment & 1 == 1
    }
}

/// Whether rights hold an atom: written anew, segment by segment.
fn holds(rights: &Rights, (api, scope, resource): (ApiId, u8, Option<&str>)) -> bool {
    let Rights::Listed(grants) = rights else {
        return true;
    };
    grants.iter().any(|grant| {
        let reaches = grant.resources.iter().any(|p| match resource {
            None => p.as_str() == "**",
            Some(name) => segments_match(p.as_str(), name),
        });
        grant.api == api && grant.scopes.iter().any(|s| s == scope) && reaches
    })
}

fn segments_match(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<&str>, Vec<&str>) =
        (pattern.split('/').collect(), name.split('/').collect());
    match pattern.split_last() {
        Some((&"**", head)) => name.len() >= head.len() && each_matches(head, &name[..head.len()]),
        _ => name.len() == pattern.len() && each_matches(&pattern, &name),
    }
}

fn each_matches(pattern: &[&str], name: &[&str]) -> bool {
    pattern.iter().zip(name).all(|(p, n)| *p == "*" || p == n)
}

fn environments(conditions: &Conditions) -> u128 {
    let fits = |n: &usize| {
        let at = environment(*n);
        let networks: Vec<String> = conditions
            .networks
            .iter()
            .map(ToString::to_string)
            .collect();
        let inside = |address: &str| networks.iter().any(|n| network_has(n, address));
        let address = networks.is_empty() || at.address.is_some_and(inside);
        let methods = &conditions.methods;
        let method =
            methods.is_empty() || at.method.is_some_and(|m| methods.iter().any(|o| o == m));
        let paths = &conditions.paths;
        let on = |path: &str| paths.iter().any(|p| segments_match(p.as_str(), path));
        let path = paths.is_empty() || at.path.is_some_and(on);
        let begun = conditions
            .not_before
            .is_none_or(|t| at.late && t.seconds() <= u32::try_from(LATE_S).unwrap_or(0));
        address && method && path && begun
    };
    (0..ENVIRONMENTS)
        .filter(fits)
        .fold(0, |set, n| set | 1 << n)
}

/// The networks of the universe, by hand.
fn network_has(network: &str, address: &str) -> bool {
    match network {
        "10.0.0.0/8" => address.starts_with("10."),
        "10.1.0.0/16" => address.starts_with("10.1."),
        "192.0.2.0/24" => address.starts_with("192.0.2."),
        _ => false,
    }
}

/// How long something may live: none is without end.
type Life = Option<Span>;

fn shorter(a: Life, b: Life) -> Life {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) => Some(a.min(b)),
    }
}

fn longer(a: Life, b: Life) -> Life {
    match (a, b) {
        (None, _) | (_, None) => None,
        (Some(a), Some(b)) => Some(a.max(b)),
    }
}

fn fits(life: Life, most: Life) -> bool {
    match (life, most) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(life), Some(most)) => life <= most,
    }
}

/// What a thing's giver could give when it gave.
#[derive(Clone)]
struct Bound {
    reach: Reach,
    life: Life,
}

/// What a caller can give: through its credential, and through each source of its owner's authority.
struct Cap {
    own: Bound,
    sources: Vec<Bound>,
}

impl Cap {
    fn reach(&self) -> Reach {
        let sources = self.sources.iter();
        let owner = sources.fold(Reach::NOTHING, |all, s| all.or(&s.reach));
        self.own.reach.clone().and(&owner)
    }

    /// The longest life of what reaches so far: the owner's loosest source that covers it counts.
    fn life(&self, minted: &Reach) -> Life {
        let covering = self.sources.iter().filter(|s| minted.within(&s.reach));
        let owner = covering.map(|s| s.life).reduce(longer);
        let any = self.sources.iter().map(|s| s.life).reduce(longer);
        shorter(self.own.life, owner.or(any).flatten())
    }

    fn bound(&self, minted: &Reach) -> Bound {
        Bound {
            reach: self.reach(),
            life: self.life(minted),
        }
    }
}

/// The bounds of all that there is in one world.
pub(crate) struct Oracle {
    tokens: BTreeMap<TokenId, Bound>,
    roles: BTreeMap<RoleId, Bound>,
    apps: BTreeMap<AppId, Bound>,
    apis: Vec<ApiId>,
    directory: Directory,
    before: BTreeMap<TokenId, TokenRecord>,
    /// How many judgements said yes.
    pub(crate) allowed: u64,
    /// How many events made or changed authority.
    pub(crate) minted: u64,
}

impl Oracle {
    /// The oracle of a fresh world: what the founder made has no bound.
    pub(crate) fn new(world: &World) -> Self {
        let free = || Bound {
            reach: Reach::EVERYTHING,
            life: None,
        };
        Self {
            tokens: world.tokens.keys().map(|t| (*t, free())).collect(),
            roles: BTreeMap::new(),
            apps: world.apps.iter().map(|a| (*a, free())).collect(),
            apis: world.apis.clone(),
            directory: world.directory.clone(),
            before: world.tokens.clone(),
            allowed: 0,
            minted: 0,
        }
    }

    fn reach(&self, permit: &Permit) -> Reach {
        Reach::of(&self.apis, &permit.use_, &permit.conditions)
    }

    fn give_reach(&self, give: &Give) -> Reach {
        Reach::of(&self.apis, &give.rights, &give.conditions)
    }

    /// The permits of an owner as they stood before the step, each with its bound.
    fn sources<'a>(&'a self, owner: &'a Subject) -> Vec<(&'a Permit, &'a Bound)> {
        match owner.id {
            SubjectId::App(id) => owner.permit.iter().map(|p| (p, &self.apps[&id])).collect(),
            SubjectId::User(_) => {
                let slots = owner.roles.iter();
                let roles = slots.filter_map(|s| self.directory.role_at(*s));
                let live = roles.filter(|r| !r.deleted);
                live.map(|r| (&r.permit, &self.roles[&r.id])).collect()
            }
        }
    }

    fn cap(&self, caller: &TokenRecord) -> Cap {
        let of = |give: Option<&Give>, bound: &Bound| Bound {
            reach: give
                .map_or(Reach::NOTHING, |g| self.give_reach(g))
                .and(&bound.reach),
            life: shorter(give.and_then(|g| g.lifetime_max), bound.life),
        };
        let own = of(caller.terms.permit.give.as_ref(), &self.tokens[&caller.id]);
        let owner = self.directory.subject(caller.tenant, caller.subject);
        let sources = owner.map(|o| self.sources(o)).unwrap_or_default();
        let giving = sources.iter().filter(|(p, _)| p.give.is_some());
        let sources = giving.map(|(p, b)| of(p.give.as_ref(), b)).collect();
        Cap { own, sources }
    }

    /// Whether a caller can give a permit: to use and to hand on.
    fn gives(&self, cap: &Cap, permit: &Permit) -> Result<(), String> {
        let reach = cap.reach();
        if !self.reach(permit).within(&reach) {
            return Err("it may be used for more than its giver could give".to_owned());
        }
        let Some(give) = &permit.give else {
            return Ok(());
        };
        let handed_on = self.give_reach(give);
        if !handed_on.within(&reach) {
            return Err("it may hand on more than its giver could give".to_owned());
        }
        if !fits(give.lifetime_max, cap.life(&handed_on)) {
            return Err("what it hands on may live longer than its giver could grant".to_owned());
        }
        Ok(())
    }

    /// Judges a step: whether anything it made is more than its maker could give.
    pub(crate) fn step(&mut self, world: &World, step: &Step) -> Result<(), String> {
        let told = step
            .events
            .iter()
            .try_for_each(|e| self.event(world, step, e));
        self.directory = world.directory.clone();
        self.before.clone_from(&world.tokens);
        told
    }

    #[expect(clippy::too_many_lines, reason = "a table of all events")]
    fn event(&mut self, world: &World, step: &Step, event: &Event) -> Result<(), String> {
        let caller = self.before[&step.caller].clone();
        let cap = self.cap(&caller);
        match event {
            Event::TokenIssued {
                token,
                terms,
                expires,
                ..
            } => {
                self.minted += 1;
                let bound = cap.bound(&self.reach(&terms.permit));
                self.tokens.insert(*token, bound.clone());
                self.gives(&cap, &terms.permit)?;
                lives(world.now, *expires, bound.life)
            }
            Event::TokenChanged {
                token,
                before,
                after,
            } => self.token_changed(world.now, &cap, *token, (before, after)),
            Event::TokenRotated { token, expires, .. } => {
                self.minted += 1;
                let old = self.before[token].clone();
                let itself = *token == caller.id && self.uses_own(&caller);
                if !itself {
                    self.gives(&cap, &old.terms.permit)?;
                }
                if !ends_later(*expires, old.expires) {
                    return Ok(());
                }
                let by_giver = cap.life(&self.reach(&old.terms.permit));
                let most = if itself {
                    self.tokens[token].life
                } else {
                    by_giver
                };
                lives(world.now, *expires, most)
            }
            Event::TokenResumed { token } => {
                let permit = self.before[token].terms.permit.clone();
                self.gives(&cap, &permit)
            }
            Event::RoleCreated { role, permit, .. } => {
                self.minted += 1;
                let bound = cap.bound(&self.reach(permit));
                self.roles.insert(*role, bound);
                self.gives(&cap, permit)
            }
            Event::RoleChanged {
                role,
                before,
                after,
            } => {
                self.minted += 1;
                if self.narrows(before, after) {
                    return Ok(());
                }
                let bound = cap.bound(&self.reach(after));
                self.roles.insert(*role, bound);
                self.gives(&cap, after)
            }
            Event::AppCreated { app, permit, .. } => {
                self.minted += 1;
                let bound = cap.bound(&self.reach(permit));
                self.apps.insert(*app, bound);
                self.gives(&cap, permit)
            }
            Event::AppChanged { app, before, after } => {
                self.minted += 1;
                if self.narrows(&before.0, &after.0) {
                    return Ok(());
                }
                let bound = cap.bound(&self.reach(&after.0));
                self.apps.insert(*app, bound);
                self.gives(&cap, &after.0)
            }
            Event::UserCreated { roles, .. } => self.roles_given(&cap, roles),
            Event::UserRolesSet { before, after, .. } => {
                let added: Vec<RoleId> = after
                    .iter()
                    .filter(|r| !before.contains(r))
                    .copied()
                    .collect();
                self.roles_given(&cap, &added)
            }
            Event::Genesis { .. }
            | Event::TenantCreated { .. }
            | Event::TenantStanding { .. }
            | Event::ApiDefined { .. }
            | Event::CatalogueSet { .. }
            | Event::RoutesSet { .. }
            | Event::RoleDeleted { .. }
            | Event::SubjectStanding { .. }
            | Event::PolicySet { .. }
            | Event::TokenSuspended { .. }
            | Event::TokenRevoked { .. }
            | Event::CutOff { .. }
            | Event::TokenRehashed { .. }
            | Event::PepperRotated { .. }
            | Event::PepperRetired { .. }
            | Event::Renamed { .. }
            | Event::Ledger(_)
            | Event::Erased(_) => Ok(()),
        }
    }

    fn token_changed(
        &mut self,
        now: Time,
        cap: &Cap,
        token: TokenId,
        (before, after): (&Terminable, &Terminable),
    ) -> Result<(), String> {
        self.minted += 1;
        let later = ends_later(after.1, before.1);
        if self.narrows(&before.0.permit, &after.0.permit) && !later {
            return Ok(());
        }
        let bound = cap.bound(&self.reach(&after.0.permit));
        let life = bound.life;
        self.tokens.insert(token, bound);
        self.gives(cap, &after.0.permit)?;
        if later {
            lives(now, after.1, life)?;
        }
        Ok(())
    }

    fn roles_given(&mut self, cap: &Cap, roles: &[RoleId]) -> Result<(), String> {
        self.minted += 1;
        let found = roles.iter().filter_map(|id| {
            let tenant = jeton_core::id::TenantId::from_bytes([2; 16]);
            self.directory.role(tenant, *id)
        });
        let mut given = found.map(|role| self.gives(cap, &role.permit));
        given.try_for_each(|g| g.map_err(|e| format!("a role was given: {e}")))
    }

    /// Whether a permit lies within the one before it in every respect.
    fn narrows(&self, before: &Permit, after: &Permit) -> bool {
        let handed_on = match (&before.give, &after.give) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(before), Some(after)) => {
                self.give_reach(after).within(&self.give_reach(before))
                    && fits(after.lifetime_max, before.lifetime_max)
            }
        };
        handed_on && self.reach(after).within(&self.reach(before))
    }

    /// Whether a credential holds `jeton:tokens:own`.
    fn uses_own(&self, token: &TokenRecord) -> bool {
        let atom = (JETON_API, own::TOKENS_OWN, None);
        let owner = self.directory.subject(token.tenant, token.subject);
        let owned =
            owner.is_some_and(|o| self.sources(o).iter().any(|(p, _)| holds(&p.use_, atom)));
        owned && holds(&token.terms.permit.use_, atom)
    }

    /// Asks the judge about a token in one environment, atom by atom: what it allows must be what token and owner hold, no
    /// more and no less, and must lie within both bounds.
    pub(crate) fn ask(
        &mut self,
        world: &World,
        token: TokenId,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let record = &world.tokens[&token];
        let at = rng.below(ENVIRONMENTS);
        let place = environment(at);
        let now = if place.late {
            Time::from_seconds(LATE_S)
        } else {
            world.now
        };
        assert!(
            place.late || now < Time::from_seconds(NOT_BEFORE_S),
            "a world is short"
        );
        let directory = &world.directory;
        let (Some(tenant), Some(owner)) = (
            directory.tenant(record.tenant),
            directory.subject(record.tenant, record.subject),
        ) else {
            return Err("a token without tenant or owner".to_owned());
        };
        let facts = Facts {
            token: record.held(),
            tenant,
            owner: owner.owner(),
            directory,
        };
        // As the index lends it: the judgement must be the same, whatever the brief can tell.
        let brief = Brief::of(&record.terms);
        let in_brief = Facts {
            token: Held {
                brief: Some(&brief),
                ..facts.token
            },
            ..facts
        };
        let alive = judge::alive(&facts, now).is_ok();
        let permitted = self.reach(&record.terms.permit);
        let address: Option<IpAddr> = place.address.and_then(|a| a.parse().ok());
        for n in 0..ATOMS {
            let (api, scope, resource) = atom(&self.apis, n);
            let question = Question {
                tenant: record.tenant,
                api,
                needed: ScopeSet::one(scope),
                resource,
                address,
                method: place.method,
                path: place.path,
            };
            let judged = judge::judge(&facts, &question, now);
            if judge::judge(&in_brief, &question, now) != judged {
                return Err(format!(
                    "the brief says otherwise than {judged:?} in {place:?}"
                ));
            }
            let allowed = judged.is_ok();
            let sources = self.sources(owner);
            let owned = sources
                .iter()
                .any(|(p, _)| holds(&p.use_, (api, scope, resource)));
            let system_only = api == JETON_API && scope == own::TENANTS_WRITE;
            let expected = alive && permitted.has(n, at) && owned && !system_only;
            let what = || format!("{scope} of {api} on {resource:?} in {place:?}");
            if allowed != expected {
                return Err(format!("the judge said {allowed} to {}", what()));
            }
            if !allowed {
                continue;
            }
            let given = sources
                .iter()
                .any(|(p, b)| holds(&p.use_, (api, scope, resource)) && b.reach.0[n] != 0);
            if !self.tokens[&token].reach.has(n, at) || !given {
                return Err(format!("nobody could have given {}", what()));
            }
            self.allowed += 1;
        }
        Ok(())
    }

    /// The tokens that a step was about.
    pub(crate) fn concerned(step: &Step) -> Vec<TokenId> {
        let from = step.events.iter().filter_map(Event::token);
        from.collect()
    }
}

/// Terms and an end.
type Terminable = (Terms, Option<Time>);

fn ends_later(after: Option<Time>, before: Option<Time>) -> bool {
    match (after, before) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(after), Some(before)) => after > before,
    }
}

fn lives(now: Time, expires: Option<Time>, most: Life) -> Result<(), String> {
    let Some(most) = most else {
        return Ok(());
    };
    match expires {
        Some(at) if at <= now.after(most) => Ok(()),
        _ => Err("it lives longer than its giver could grant".to_owned()),
    }
}
