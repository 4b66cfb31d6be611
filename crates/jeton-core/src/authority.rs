//! Who asks for a change, and what rights they may hand on: made only by judging their credential, or by founding.

use crate::{
    api::JETON_API,
    check::{
        judge::{self, Facts, Held},
        question::Question,
    },
    directory::Directory,
    event::Actor,
    id::TenantId,
    permit::{Attenuated, Give, Permit, Rights, attenuate},
    refusal::{Blame, Refusal},
    scope::ScopeSet,
    subject::{Subject, SubjectId},
    time::{Span, Time},
    token::record::TokenRecord,
};

/// The authority behind a command, established in the writer on the facts of that moment.
///
/// ```compile_fail
/// use jeton_core::authority::Authority;
/// fn forge(tenant: jeton_core::id::TenantId, actor: jeton_core::event::Actor) -> Authority {
///     Authority { tenant, actor, holds: jeton_core::scope::ScopeSet::FULL, own: None, owner: vec![] }
/// }
/// ```
pub struct Authority {
    tenant: TenantId,
    actor: Actor,
    holds: ScopeSet,
    own: Option<Give>,
    owner: Vec<Give>,
}

impl Authority {
    /// The authority of a token that holds `needed` at jeton's own API, for a caller whose request was judged at the door.
    ///
    /// # Errors
    /// What the check of that token says.
    pub fn of_token(
        directory: &Directory,
        record: &TokenRecord,
        needed: ScopeSet,
        now: Time,
    ) -> Result<Self, Blame> {
        let tenant = directory
            .tenant(record.tenant)
            .ok_or(Refusal::TokenUnknown)?;
        let owner = directory
            .subject(record.tenant, record.subject)
            .ok_or(Refusal::OwnerDeleted)?;
        // Only the door saw which secret was shown, and that it was witnessed: that stays so. The newest secret, which the record
        // is of, may be another one that waits.
        let token = Held {
            unwitnessed: false,
            ..record.held()
        };
        let facts = Facts {
            token,
            tenant,
            owner: owner.owner(),
            directory,
        };
        let question = Question {
            tenant: record.tenant,
            api: JETON_API,
            needed,
            resource: None,
            address: None,
            method: None,
            path: None,
        };
        // Addresses, methods and paths were judged at the door, where they are known; the rest is judged again here, on
        // the facts that the command is decided on.
        let allowed = judge::alive(&facts, now).and_then(|()| judge::reach(&facts, &question));
        let allowed = allowed.map_err(|refused| refused.refusal)?;
        Ok(Self {
            tenant: record.tenant,
            actor: Actor::Token {
                token: record.id,
                subject: record.subject,
                issued: record.issued,
            },
            holds: allowed.scopes(),
            own: record.terms.permit.give.clone(),
            owner: gives(directory, owner),
        })
    }

    /// The authority of whoever founds a tenant: everything in it.
    #[must_use]
    pub fn danger_founder(tenant: TenantId, actor: Actor) -> Self {
        Self {
            tenant,
            actor,
            holds: ScopeSet::FULL,
            own: Some(Give::danger_everything()),
            owner: vec![Give::danger_everything()],
        }
    }

    /// Within which tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// As the audit trail names it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// To whom the credential belongs.
    #[must_use]
    pub fn subject(&self) -> Option<SubjectId> {
        match self.actor {
            Actor::Token { subject, .. } => Some(subject),
            Actor::Authority | Actor::Setup | Actor::Possession { .. } => None,
        }
    }

    /// Whether it holds one of jeton's own scopes.
    #[must_use]
    pub fn holds(&self, scope: u8) -> bool {
        self.holds.contains(scope)
    }

    /// The longest life of a thing with this permit that it makes: as the credential says, and as the loosest of what its
    /// owner may give now that reaches so far.
    #[must_use]
    pub fn lifetime_max(&self, permit: &Permit) -> Option<Span> {
        let own = self.own.as_ref().and_then(|g| g.lifetime_max);
        let reaches = |g: &&Give| attenuate(Some(g), permit.clone()).is_ok();
        let reaching = self.owner.iter().filter(reaches).map(|g| g.lifetime_max);
        // None is without end: longer than any.
        let owner = reaching.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)));
        shorter(own, owner.flatten())
    }

    /// Creates authority out of this one: through what the credential may give *and* what its owner may give now.
    ///
    /// # Errors
    /// [`Refusal::GiveMissing`] or [`Refusal::Widening`], blamed on `field`.
    pub fn attenuate(&self, requested: Permit, field: &str) -> Result<Attenuated, Blame> {
        let blame = |refusal: Refusal| Blame {
            refusal,
            field: Some(field.to_owned()),
            rule: Some(refusal.sentence().to_owned()),
        };
        let child = attenuate(self.own.as_ref(), requested).map_err(blame)?;
        let owned = self
            .owner
            .iter()
            .any(|g| attenuate(Some(g), child.permit().clone()).is_ok());
        if owned {
            return Ok(child);
        }
        Err(blame(if self.owner.is_empty() {
            Refusal::GiveMissing
        } else {
            Refusal::Widening
        }))
    }
}

/// The shorter of two lives; none is without end.
pub(crate) fn shorter(a: Option<Span>, b: Option<Span>) -> Option<Span> {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) => Some(a.min(b)),
    }
}

/// What a subject may give now: an application by its own permit, a user by each role.
fn gives(directory: &Directory, owner: &Subject) -> Vec<Give> {
    permits(directory, owner)
        .filter_map(|p| p.give.clone())
        .collect()
}

/// The permits of a subject: an application's own, or those of a user's roles.
pub fn permits<'a>(
    directory: &'a Directory,
    owner: &'a Subject,
) -> impl Iterator<Item = &'a Permit> {
    let roles = owner
        .roles
        .iter()
        .filter_map(|slot| directory.role_at(*slot));
    let roles = roles.filter(|r| !r.deleted).map(|r| &r.permit);
    owner.permit.iter().chain(roles)
}

/// What a subject may use now.
#[must_use]
pub fn rights(directory: &Directory, owner: &Subject) -> Rights {
    permits(directory, owner).fold(Rights::NONE, |all, p| all.union(&p.use_))
}
