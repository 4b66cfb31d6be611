//! Issuing: decide to give a token, within the caller's authority, its owner's rights and the policy of its class.

use crate::{
    api::{JETON_API, own},
    authority::{self, Authority},
    decision::Decision,
    directory::Directory,
    event::Event,
    id::TokenId,
    limit::Limit,
    permit::{Conditions, Give, Grant, Permit, Rights},
    policy::Lifetime,
    refusal::{Blame, Refusal},
    resource::Pattern,
    scope::ScopeSet,
    subject::{Standing, Subject, SubjectId},
    time::Time,
    token::{digest::Digest, record::Terms, text::Class},
};

/// What a token is asked to be able to do.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Nothing in particular: the scopes that catalogues mark as default and that the owner has.
    Default,
    /// Whatever the owner may, now and later.
    Inherit,
    /// These rights.
    Rights(Rights),
}

/// An order for a token.
#[derive(Clone, Debug)]
pub struct IssueOrder {
    /// What it shall be.
    pub class: Class,
    /// To whom it shall belong.
    pub subject: SubjectId,
    /// What it shall be able to do.
    pub asked: Asked,
    /// What it shall be able to hand on.
    pub give: Option<Give>,
    /// When and from where it may be used.
    pub conditions: Conditions,
    /// How long it shall live.
    pub lifetime: Lifetime,
    /// How often it may be used; none: as the policy says.
    pub limit: Option<Limit>,
}

/// A secret drawn for a token before the decision: its id, and the digest of its text.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The id that the token will have.
    pub token: TokenId,
    /// The digest of its text.
    pub digest: Digest,
    /// The number of the pepper that keyed it.
    pub pepper: u8,
}

/// What was issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// Which token.
    pub token: TokenId,
    /// On which terms.
    pub terms: Terms,
    /// When it ends.
    pub expires: Option<Time>,
}

/// Decides on an order for a token.
pub fn issue(
    authority: &Authority,
    order: IssueOrder,
    directory: &Directory,
    drawn: Drawn,
    now: Time,
) -> Decision<Issued> {
    decide(authority, order, directory, drawn, now).into()
}

fn decide(
    authority: &Authority,
    order: IssueOrder,
    directory: &Directory,
    drawn: Drawn,
    now: Time,
) -> Result<(Issued, Vec<Event>), Blame> {
    let tenant = directory
        .tenant(authority.tenant())
        .ok_or(Refusal::NotFound)?;
    let owner = owner(authority, order.subject, directory)?;
    class_fits(order.class, order.subject)?;
    let rights = authority::rights(directory, owner);
    let use_ = match order.asked {
        Asked::Default => defaults(directory, owner, &rights),
        Asked::Inherit => Rights::All,
        Asked::Rights(asked) => within_owner(asked, &rights)?,
    };
    let permit = Permit {
        use_,
        give: order.give,
        conditions: order.conditions,
    };
    if order.class == Class::Pub {
        publishable(&permit)?;
    }
    if let Some(give) = &permit.give {
        let owner_gives = authority::permits(directory, owner).filter_map(|p| p.give.as_ref());
        let mut covering = owner_gives.filter(|g| g.rights.cover(&give.rights));
        covering.next().ok_or_else(|| {
            Blame::field(
                Refusal::OwnerLacksRight,
                "give",
                "the owner may not give all of this",
            )
        })?;
    }
    let permit = authority.attenuate(permit, "scopes")?.into_permit();
    let policy = tenant.policy(order.class);
    if order.lifetime == Lifetime::Permanent && !authority.holds(own::TOKENS_PERMANENT) {
        let rule = "the caller lacks jeton:tokens:permanent";
        return Err(Blame::field(Refusal::PermanentRefused, "permanent", rule));
    }
    let lifetime_max = authority.lifetime_max(&permit);
    let expires = policy.expiry(order.lifetime, lifetime_max, now)?;
    let terms = Terms {
        permit,
        limit: order.limit.or(policy.limit),
        idle: policy.idle,
        lifetime_max,
        inclusion: policy.inclusion,
    };
    let event = Event::TokenIssued {
        token: drawn.token,
        class: order.class,
        subject: order.subject,
        digest: drawn.digest,
        pepper: drawn.pepper,
        terms: terms.clone(),
        expires,
    };
    Ok((
        Issued {
            token: drawn.token,
            terms,
            expires,
        },
        vec![event],
    ))
}

/// The subject that the token shall belong to, if the caller may act for it and it takes part.
fn owner<'a>(
    authority: &Authority,
    subject: SubjectId,
    directory: &'a Directory,
) -> Result<&'a Subject, Blame> {
    let found = directory.subject(authority.tenant(), subject);
    let owner = found
        .filter(|s| s.standing != Standing::Deleted)
        .ok_or_else(|| {
            Blame::field(
                Refusal::NotFound,
                "subject",
                "no such user or application in the tenant",
            )
        })?;
    may_manage(authority, subject)?;
    if owner.standing == Standing::Suspended {
        return Err(Blame::field(
            Refusal::StateConflict,
            "subject",
            "the subject is suspended",
        ));
    }
    Ok(owner)
}

/// Whether the caller may issue and manage tokens of this subject: anybody's, or only its own.
pub(crate) fn may_manage(authority: &Authority, subject: SubjectId) -> Result<(), Blame> {
    let own = authority.holds(own::TOKENS_OWN) && authority.subject() == Some(subject);
    if authority.holds(own::TOKENS_WRITE) || own {
        return Ok(());
    }
    Err(Refusal::ScopeMissing.into())
}

fn class_fits(class: Class, subject: SubjectId) -> Result<(), Blame> {
    let rule = match (class, subject) {
        (Class::Pat, SubjectId::App(_)) => "a personal token belongs to a user",
        (Class::Svc, SubjectId::User(_)) => "an application token belongs to an application",
        (Class::Acc | Class::Ref | Class::Sec, _) => "tokens of this class come from OAuth alone",
        (Class::Key | Class::Pub, _)
        | (Class::Pat, SubjectId::User(_))
        | (Class::Svc, SubjectId::App(_)) => return Ok(()),
    };
    Err(Blame::field(Refusal::ClassRefused, "class", rule))
}

/// A publishable key stands in the open: it manages nothing and hands nothing on.
pub(crate) fn publishable(permit: &Permit) -> Result<(), Blame> {
    if permit.give.is_some() || permit.use_.touches(&JETON_API) {
        let rule = "a publishable key may neither give rights nor use jeton's own API";
        return Err(Blame::field(Refusal::ClassRefused, "class", rule));
    }
    Ok(())
}

pub(crate) fn within_owner(asked: Rights, owner: &Rights) -> Result<Rights, Blame> {
    if asked != Rights::All && !owner.cover(&asked) {
        let rule = "the owner does not have all of these rights";
        return Err(Blame::field(Refusal::OwnerLacksRight, "scopes", rule));
    }
    Ok(asked)
}

/// The default scopes of every API of the tenant, as far as the owner has them everywhere.
fn defaults(directory: &Directory, owner: &Subject, rights: &Rights) -> Rights {
    let grants = directory.apis(owner.tenant).map(|api| {
        let marked = api.catalogue.defaults();
        let scopes: ScopeSet = marked.intersection(&rights.held(&api.id, None));
        Grant {
            api: api.id,
            scopes,
            resources: vec![Pattern::everything()],
        }
    });
    Rights::Listed(grants.collect()).normal()
}
