//! Changing a token's expiry, limit or rights later: through the same policy and the same `attenuate` as issuing.

use crate::{
    api::own,
    authority::{self, Authority},
    decision::Decision,
    directory::Directory,
    event::Event,
    limit::Limit,
    permit::{Conditions, Permit, Rights},
    policy::Lifetime,
    refusal::{Blame, Refusal},
    time::Time,
    token::{
        issue::{may_manage, within_owner},
        record::{State, Terms, TokenRecord},
        revoke::revoked,
    },
};

/// What shall be different. Nothing named, nothing changed.
#[derive(Clone, Debug, Default)]
pub struct ChangeOrder {
    /// Another expiry.
    pub lifetime: Option<Lifetime>,
    /// Another limit, or none any more.
    pub limit: Option<Option<Limit>>,
    /// Other rights to use.
    pub rights: Option<Rights>,
    /// Other conditions.
    pub conditions: Option<Conditions>,
}

/// Decides on a change. A change to what is already so makes no event.
pub fn change(
    authority: &Authority,
    token: &TokenRecord,
    order: ChangeOrder,
    directory: &Directory,
    now: Time,
) -> Decision<()> {
    decide(authority, token, order, directory, now).into()
}

fn decide(
    authority: &Authority,
    token: &TokenRecord,
    order: ChangeOrder,
    directory: &Directory,
    now: Time,
) -> Result<((), Vec<Event>), Blame> {
    let tenant = directory.tenant(token.tenant).ok_or(Refusal::NotFound)?;
    may_manage(authority, token.subject)?;
    if matches!(token.state, State::Revoked { .. }) {
        return Err(revoked());
    }
    let before = (Terms::clone(&token.terms), token.expires);
    let mut after = before.clone();
    if order.rights.is_some() || order.conditions.is_some() {
        let owner = directory
            .subject(token.tenant, token.subject)
            .ok_or(Refusal::NotFound)?;
        let use_ = match order.rights {
            Some(asked) => within_owner(asked, &authority::rights(directory, owner))?,
            None => before.0.permit.use_.clone(),
        };
        let conditions = order
            .conditions
            .unwrap_or_else(|| before.0.permit.conditions.clone());
        let asked = Permit {
            use_,
            give: before.0.permit.give.clone(),
            conditions,
        };
        after.0.permit = authority.attenuate(asked, "scopes")?.into_permit();
    }
    if let Some(lifetime) = order.lifetime {
        if lifetime == Lifetime::Permanent && !authority.holds(own::TOKENS_PERMANENT) {
            let rule = "the caller lacks jeton:tokens:permanent";
            return Err(Blame::field(Refusal::PermanentRefused, "permanent", rule));
        }
        let policy = tenant.policy(token.class);
        let expires = policy.expiry(lifetime, authority.lifetime_max(), now)?;
        if later(expires, before.1) {
            // A longer life is authority: it must lie within what the caller may give.
            authority.attenuate(after.0.permit.clone(), "lifetime")?;
        }
        after.1 = expires;
    }
    if let Some(limit) = order.limit {
        after.0.limit = limit;
    }
    if after == before {
        return Ok(((), Vec::new()));
    }
    Ok((
        (),
        vec![Event::TokenChanged {
            token: token.id,
            before,
            after,
        }],
    ))
}

fn later(after: Option<Time>, before: Option<Time>) -> bool {
    match (after, before) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(after), Some(before)) => after > before,
    }
}
