//! Roles: named sets of rights. Changing one changes what all its users' tokens can do, at once.

use crate::{
    api::{is_slug, own},
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::Event,
    id::RoleId,
    permit::Permit,
    refusal::{Blame, Refusal},
};

/// Makes a role, within what the caller may give.
pub fn create(
    authority: &Authority,
    role: RoleId,
    name: &str,
    permit: Permit,
    directory: &Directory,
) -> Decision<RoleId> {
    let decide = || {
        authorised(authority)?;
        if !is_slug(name) {
            return Err(Blame::field(Refusal::FieldInvalid, "name", SLUG_RULE));
        }
        if directory.role_named(authority.tenant(), name).is_some() {
            return Err(Blame::field(
                Refusal::NameTaken,
                "name",
                "another role has this name",
            ));
        }
        let permit = authority.attenuate(permit, "scopes")?.into_permit();
        Ok((
            role,
            vec![Event::RoleCreated {
                role,
                name: name.to_owned(),
                permit,
            }],
        ))
    };
    decide().into()
}

/// The rule for short names.
pub const SLUG_RULE: &str = "1 to 48 of a-z, 0-9 and '-', a letter first";

/// Changes a role's rights: what is added must lie within what the caller may give; taking away needs no authority to give.
pub fn change(
    authority: &Authority,
    role: RoleId,
    permit: Permit,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let found = directory
            .role(authority.tenant(), role)
            .ok_or(Refusal::NotFound)?;
        let before = found.permit.clone();
        let after = widened(authority, &before, permit)?;
        let events = if after == before {
            Vec::new()
        } else {
            vec![Event::RoleChanged {
                role,
                before,
                after,
            }]
        };
        Ok(((), events))
    };
    decide().into()
}

/// The new permit, if whatever in it goes beyond the old one lies within the caller's authority to give.
pub(crate) fn widened(
    authority: &Authority,
    before: &Permit,
    after: Permit,
) -> Result<Permit, Blame> {
    let normal = |p: Permit| Permit {
        use_: p.use_.normal(),
        ..p
    };
    let narrower = before.use_.cover(&after.use_)
        && before.conditions.cover(&after.conditions)
        && (after.give == before.give || after.give.is_none());
    if narrower {
        return Ok(normal(after));
    }
    Ok(authority.attenuate(after, "scopes")?.into_permit())
}

/// Deletes a role: its users lose what it gave, at once. Its name may be used again.
pub fn delete(authority: &Authority, role: RoleId, directory: &Directory) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        directory
            .role(authority.tenant(), role)
            .ok_or(Refusal::NotFound)?;
        Ok(((), vec![Event::RoleDeleted { role }]))
    };
    decide().into()
}

fn authorised(authority: &Authority) -> Result<(), Blame> {
    if authority.holds(own::ROLES_WRITE) {
        Ok(())
    } else {
        Err(Refusal::ScopeMissing.into())
    }
}
