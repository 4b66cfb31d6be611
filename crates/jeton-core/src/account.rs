//! Users and applications: registered, changed, suspended, deleted.

use crate::{
    api::own,
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::Event,
    id::{AppId, RoleId, UserId},
    permit::Permit,
    refusal::{Blame, Refusal},
    role::widened,
    subject::{Standing, SubjectId},
};

/// The most roles of one user.
pub const ROLES_MAX: usize = 32;

/// Registers a user. Giving a role is giving its rights: the caller must be able to.
pub fn create_user(
    authority: &Authority,
    user: UserId,
    roles: Vec<RoleId>,
    directory: &Directory,
) -> Decision<UserId> {
    let decide = || {
        authorised(authority)?;
        roles_given(authority, &roles, &[], directory)?;
        Ok((user, vec![Event::UserCreated { user, roles }]))
    };
    decide().into()
}

/// Sets a user's roles. Only roles that are added need authority to give.
pub fn set_roles(
    authority: &Authority,
    user: UserId,
    after: Vec<RoleId>,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let subject = directory.subject(authority.tenant(), SubjectId::User(user));
        let subject = subject.ok_or(Refusal::NotFound)?;
        if subject.standing == Standing::Deleted {
            return Err(Refusal::NotFound.into());
        }
        let slots = subject.roles.iter().filter_map(|s| directory.role_at(*s));
        let before: Vec<RoleId> = slots.filter(|r| !r.deleted).map(|r| r.id).collect();
        roles_given(authority, &after, &before, directory)?;
        let same = |a: &[RoleId], b: &[RoleId]| a.iter().all(|r| b.contains(r));
        if same(&before, &after) && same(&after, &before) {
            return Ok(((), Vec::new()));
        }
        Ok((
            (),
            vec![Event::UserRolesSet {
                user,
                before,
                after,
            }],
        ))
    };
    decide().into()
}

fn roles_given(
    authority: &Authority,
    after: &[RoleId],
    before: &[RoleId],
    directory: &Directory,
) -> Result<(), Blame> {
    if after.len() > ROLES_MAX {
        return Err(Blame::field(
            Refusal::TooMany,
            "roles",
            "at most 32 roles a user",
        ));
    }
    for (at, id) in after.iter().enumerate() {
        let field = format!("roles[{at}]");
        let role = directory
            .role(authority.tenant(), *id)
            .ok_or_else(|| Blame::field(Refusal::NotFound, &field, "no such role in the tenant"))?;
        if !before.contains(id) {
            authority.attenuate(role.permit.clone(), &field)?;
        }
    }
    Ok(())
}

/// Registers an application with rights of its own and a person who answers for it.
pub fn create_app(
    authority: &Authority,
    app: AppId,
    sponsor: UserId,
    permit: Permit,
    directory: &Directory,
) -> Decision<AppId> {
    let decide = || {
        authorised(authority)?;
        sponsor_present(authority, sponsor, directory)?;
        let permit = authority.attenuate(permit, "scopes")?.into_permit();
        Ok((
            app,
            vec![Event::AppCreated {
                app,
                sponsor: Some(sponsor),
                permit,
            }],
        ))
    };
    decide().into()
}

/// Changes an application's rights, its sponsor, or both.
pub fn change_app(
    authority: &Authority,
    app: AppId,
    permit: Option<Permit>,
    sponsor: Option<UserId>,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let found = directory.subject(authority.tenant(), SubjectId::App(app));
        let subject = found.ok_or(Refusal::NotFound)?;
        let old = subject.permit.clone().ok_or(Refusal::NotFound)?;
        if subject.standing == Standing::Deleted {
            return Err(Refusal::NotFound.into());
        }
        if let Some(sponsor) = sponsor {
            sponsor_present(authority, sponsor, directory)?;
        }
        let new = match permit {
            Some(asked) => widened(authority, &old, asked)?,
            None => old.clone(),
        };
        let before = (old, subject.sponsor);
        let after = (new, sponsor.or(subject.sponsor));
        let events = if before == after {
            Vec::new()
        } else {
            vec![Event::AppChanged { app, before, after }]
        };
        Ok(((), events))
    };
    decide().into()
}

fn sponsor_present(
    authority: &Authority,
    sponsor: UserId,
    directory: &Directory,
) -> Result<(), Blame> {
    let found = directory.subject(authority.tenant(), SubjectId::User(sponsor));
    match found.map(|s| s.standing) {
        Some(Standing::Active) => Ok(()),
        Some(Standing::Suspended | Standing::Deleted) | None => Err(Blame::field(
            Refusal::NotFound,
            "sponsor",
            "must be an active user of the tenant",
        )),
    }
}

/// Suspends, resumes or deletes a subject. Deleting is final: all its tokens are dead for good.
pub fn set_standing(
    authority: &Authority,
    id: SubjectId,
    after: Standing,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let subject = directory
            .subject(authority.tenant(), id)
            .ok_or(Refusal::NotFound)?;
        let before = subject.standing;
        match (before, after) {
            (a, b) if a == b => Ok(((), Vec::new())),
            (Standing::Deleted, _) => Err(Blame {
                refusal: Refusal::StateConflict,
                field: None,
                rule: Some("the subject was deleted".into()),
            }),
            _ => Ok((
                (),
                vec![Event::SubjectStanding {
                    subject: id,
                    before,
                    after,
                }],
            )),
        }
    };
    decide().into()
}

/// Changes the words beside a subject: they lie in the side table, only their hash in the ledger. A deleted one gets none any
/// more: its words may be erased already.
pub fn rename(authority: &Authority, id: SubjectId, directory: &Directory) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        directory
            .subject(authority.tenant(), id)
            .filter(|s| s.standing != Standing::Deleted)
            .ok_or(Refusal::NotFound)?;
        Ok(((), vec![Event::Renamed { about: *id.bytes() }]))
    };
    decide().into()
}

fn authorised(authority: &Authority) -> Result<(), Blame> {
    if authority.holds(own::SUBJECTS_WRITE) {
        Ok(())
    } else {
        Err(Refusal::ScopeMissing.into())
    }
}
