//! The decision on one request: facts, question and time in, allowed or a reason out. There is no other way to say yes.

use crate::{
    api::{JETON_API, own},
    check::{brief::Brief, question::Question},
    directory::{Directory, Tenant},
    permit::Permit,
    refusal::Refusal,
    resource::Pattern,
    scope::ScopeSet,
    subject::{Standing, Subject, SubjectId},
    time::{Span, Time},
    token::{
        record::{Reason, State, Terms, TokenRecord},
        text::Class,
    },
};

/// What is known of a token, borrowed: the index lends it without counting references.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// What it is.
    pub class: Class,
    /// On which terms it was given.
    pub terms: &'a Terms,
    /// The same in short, where somebody keeps it.
    pub brief: Option<&'a Brief>,
    /// The ledger index of its issuance.
    pub issued: u64,
    /// The first second at which it is no longer good.
    pub expires: Option<Time>,
    /// Where it stands.
    pub state: State,
    /// When it was last used.
    pub last_used: Option<Time>,
    /// The presented secret was replaced; it is good until this second.
    pub replaced_until: Option<Time>,
    /// The terms want it witnessed, and it is not yet.
    pub unwitnessed: bool,
}

/// How much of a token's last use a crash may have forgotten, since the store is told of it once a quarter of an hour: in
/// favour of life.
pub const IDLE_GRACE: Span = Span::seconds(900);

impl Held<'_> {
    /// The first second at which it is idle, if it stays unused until then: [`IDLE_GRACE`] later than its terms say, counted
    /// from its last use, and not from before it could be used at all.
    #[must_use]
    pub fn idle_from(&self) -> Option<Time> {
        let begins = self.terms.permit.conditions.not_before;
        let since = self.last_used?.max(begins.unwrap_or_default());
        Some(since.after(self.terms.idle?).after(IDLE_GRACE))
    }
}

impl TokenRecord {
    /// The record as the judge sees it, for the token's newest secret.
    #[must_use]
    pub fn held(&self) -> Held<'_> {
        Held {
            class: self.class,
            terms: &self.terms,
            brief: None,
            issued: self.issued,
            expires: self.expires,
            state: self.state,
            last_used: self.last_used.or_else(|| Some(self.id.born())),
            replaced_until: None,
            unwitnessed: self.unwitnessed,
        }
    }
}

/// What is known of a token's owner, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its name.
    pub id: SubjectId,
    /// Whether it takes part.
    pub standing: Standing,
    /// Its tokens issued below this ledger index are dead.
    pub cut_off: u64,
    /// What it may do.
    pub rights: OwnerRights<'a>,
}

/// Where an owner's rights come from.
#[derive(Clone, Copy, Debug)]
pub enum OwnerRights<'a> {
    /// A user's roles, by slot in the directory.
    Roles(&'a [u32]),
    /// An application's own permit.
    Own(&'a Permit),
}

impl Subject {
    /// The subject as the judge sees it.
    #[must_use]
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            id: self.id,
            standing: self.standing,
            cut_off: self.cut_off,
            rights: match &self.permit {
                Some(permit) => OwnerRights::Own(permit),
                None => OwnerRights::Roles(&self.roles),
            },
        }
    }
}

/// Everything that a judgement rests on.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The token.
    pub token: Held<'a>,
    /// Its tenant.
    pub tenant: &'a Tenant,
    /// Its owner.
    pub owner: Owner<'a>,
    /// Where the owner's roles are found.
    pub directory: &'a Directory,
}

/// Proof that a request was judged and allowed.
///
/// ```compile_fail
/// let forged = jeton_core::check::judge::Allowed { scopes: jeton_core::scope::ScopeSet::FULL };
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed {
    scopes: ScopeSet,
}

impl Allowed {
    /// All that the token can do at the API on this resource: token ∩ owner's present rights.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        self.scopes
    }
}

/// A no, with what its holder may be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Since when (expired, revoked, replaced), or from when on (not yet valid).
    pub at: Option<Time>,
    /// The reason that was given for a revocation or suspension.
    pub reason: Option<Reason>,
    /// The scopes that are missing.
    pub missing: ScopeSet,
    /// How long until a limit admits one more request, in microseconds.
    pub retry_us: u64,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            at: None,
            reason: None,
            missing: ScopeSet::EMPTY,
            retry_us: 0,
        }
    }
}

/// Judges one request. The order is fixed (DESIGN §7): state, cut-off, owner, witness, window, audience, address, method and
/// path, scope. The limit comes after, where its meter is.
///
/// # Errors
/// [`Refused`], with exactly one reason: the first in that order.
pub fn judge(facts: &Facts<'_>, question: &Question<'_>, now: Time) -> Result<Allowed, Refused> {
    if let Some(allowed) = allowed_in_brief(facts, question, now) {
        return Ok(allowed);
    }
    alive(facts, now)?;
    if facts.tenant.id != question.tenant {
        return Err(Refusal::TokenUnknown.into());
    }
    if !facts.token.terms.permit.use_.touches(&question.api) {
        return Err(Refusal::AudienceWrong.into());
    }
    conditions(facts, question)?;
    reach(facts, question)
}

/// A yes that needs no more than the terms' brief. `None` says nothing: the whole judgement finds the reason.
fn allowed_in_brief(facts: &Facts<'_>, question: &Question<'_>, now: Time) -> Option<Allowed> {
    let held = facts.token.brief?.held(&question.api, question.resource)?;
    let ours = facts.tenant.id == question.tenant;
    // A brief that tells knows of no condition, no beginning, no idle expiry and no witness.
    let lives = stands(facts).is_ok() && ends(&facts.token, now).is_ok();
    let both = together(facts, question, &held);
    let enough = both.covers(&question.needed) && !both.is_empty();
    (ours && lives && enough).then_some(Allowed { scopes: both })
}

/// What a token's rights and its owner's have in common.
fn together(facts: &Facts<'_>, question: &Question<'_>, held: &ScopeSet) -> ScopeSet {
    let both = held.intersection(&owner_holds(facts, question));
    let system_only =
        question.api == JETON_API && facts.directory.system() != Some(facts.tenant.id);
    if system_only {
        both.minus(&own::SYSTEM_ONLY.iter().copied().collect())
    } else {
        both
    }
}

/// Whether token and owner together have what is needed: the last step of the judgement.
pub(crate) fn reach(facts: &Facts<'_>, question: &Question<'_>) -> Result<Allowed, Refused> {
    let permit = &facts.token.terms.permit;
    let held = permit.use_.held(&question.api, question.resource);
    let both = together(facts, question, &held);
    if both.covers(&question.needed) && !both.is_empty() {
        return Ok(Allowed { scopes: both });
    }
    let missing = question.needed.minus(&both);
    let anywhere = permit.use_.scopes_at(&question.api);
    let refusal = if !anywhere.covers(&question.needed) {
        Refusal::ScopeMissing
    } else if !held.covers(&question.needed) || held.is_empty() {
        Refusal::ResourceRefused
    } else {
        Refusal::OwnerScopeMissing
    };
    Err(Refused {
        missing,
        ..refusal.into()
    })
}

/// Whether the token works at all now, whatever it is asked for.
///
/// # Errors
/// [`Refused`] with the state that speaks against it.
pub fn alive(facts: &Facts<'_>, now: Time) -> Result<(), Refused> {
    stands(facts).map_err(|refused| since(refused, &facts.token, now))?;
    // After the state: a revocation never waits for anybody.
    if facts.token.unwitnessed {
        return Err(Refusal::TokenNotWitnessed.into());
    }
    window(&facts.token, now)
}

/// What the sweep for idle tokens did is told with the instant that was told before the sweep came by.
fn since(refused: Refused, token: &Held<'_>, now: Time) -> Refused {
    if refused.refusal != Refusal::TokenIdle {
        return refused;
    }
    Refused {
        at: token.idle_from().filter(|at| now >= *at),
        ..refused
    }
}

/// State, cut-off and owner: what no passing of time changes.
fn stands(facts: &Facts<'_>) -> Result<(), Refused> {
    let Facts {
        token,
        tenant,
        owner,
        ..
    } = facts;
    match token.state {
        State::Active => {}
        State::Revoked { at, reason } => {
            return Err(Refused {
                at: Some(at),
                reason: Some(reason),
                ..Refusal::TokenRevoked.into()
            });
        }
        State::Suspended { reason } => {
            let refusal = if reason == Reason::Idle {
                Refusal::TokenIdle
            } else {
                Refusal::TokenSuspended
            };
            return Err(Refused {
                reason: Some(reason),
                ..refusal.into()
            });
        }
    }
    if token.issued < tenant.dead_below() || token.issued < owner.cut_off {
        return Err(Refusal::TokenCutOff.into());
    }
    match (tenant.standing, owner.standing) {
        (Standing::Active, Standing::Active) => {}
        (Standing::Active, Standing::Suspended) => return Err(Refusal::OwnerSuspended.into()),
        (Standing::Active, Standing::Deleted) => return Err(Refusal::OwnerDeleted.into()),
        (Standing::Suspended | Standing::Deleted, _) => {
            return Err(Refusal::TenantSuspended.into());
        }
    }
    Ok(())
}

fn late(refusal: Refusal, at: Time) -> Result<(), Refused> {
    Err(Refused {
        at: Some(at),
        ..refusal.into()
    })
}

fn ends(token: &Held<'_>, now: Time) -> Result<(), Refused> {
    if let Some(at) = token.expires.filter(|at| now >= *at) {
        return late(Refusal::TokenExpired, at);
    }
    if let Some(at) = token.replaced_until.filter(|at| now >= *at) {
        return late(Refusal::TokenReplaced, at);
    }
    Ok(())
}

fn window(token: &Held<'_>, now: Time) -> Result<(), Refused> {
    ends(token, now)?;
    if let Some(at) = token
        .terms
        .permit
        .conditions
        .not_before
        .filter(|at| now < *at)
    {
        return late(Refusal::TokenNotYetValid, at);
    }
    if let Some(at) = token.idle_from().filter(|at| now >= *at) {
        return late(Refusal::TokenIdle, at);
    }
    Ok(())
}

fn conditions(facts: &Facts<'_>, question: &Question<'_>) -> Result<(), Refused> {
    let conditions = &facts.token.terms.permit.conditions;
    // What is restricted and not told is refused: silence never widens.
    let networks = &conditions.networks;
    let from_there = |a| networks.iter().any(|n| n.contains(a));
    if !networks.is_empty() && !question.address.is_some_and(from_there) {
        return Err(Refusal::AddressRefused.into());
    }
    let methods = &conditions.methods;
    if !methods.is_empty()
        && !question
            .method
            .is_some_and(|m| methods.iter().any(|own| own == m))
    {
        return Err(Refusal::MethodRefused.into());
    }
    let paths = &conditions.paths;
    let on_it = |path: &str| paths.iter().any(|p: &Pattern| p.matches(path));
    if !paths.is_empty() && !question.path.is_some_and(on_it) {
        return Err(Refusal::PathRefused.into());
    }
    Ok(())
}

fn owner_holds(facts: &Facts<'_>, question: &Question<'_>) -> ScopeSet {
    match facts.owner.rights {
        OwnerRights::Own(permit) => permit.use_.held(&question.api, question.resource),
        OwnerRights::Roles(slots) => {
            let roles = slots
                .iter()
                .filter_map(|slot| facts.directory.role_at(*slot));
            let live = roles.filter(|r| !r.deleted);
            live.fold(ScopeSet::EMPTY, |held, role| {
                held.union(&role.permit.use_.held(&question.api, question.resource))
            })
        }
    }
}
