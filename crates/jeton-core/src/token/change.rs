//! Changing a token's expiry, limit or rights later: through the same policy and the same `attenuate` as issuing.

use crate::{
    api::own,
    authority::{self, Authority, shorter},
    decision::Decision,
    directory::Directory,
    event::Event,
    limit::Limit,
    permit::{Conditions, Permit, Rights},
    policy::Lifetime,
    refusal::{Blame, Refusal},
    time::Time,
    token::{
        issue::{may_manage, publishable, within_owner},
        record::{State, Terms, TokenRecord},
        revoke::revoked,
        text::Class,
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
        if token.class == Class::Pub {
            publishable(&asked)?;
        }
        after.0.permit = authority.attenuate(asked, "scopes")?.into_permit();
        let granted = authority.lifetime_max(&after.0.permit);
        after.0.lifetime_max = shorter(before.0.lifetime_max, granted);
    }
    if let Some(lifetime) = order.lifetime {
        if lifetime == Lifetime::Permanent && !authority.holds(own::TOKENS_PERMANENT) {
            let rule = "the caller lacks jeton:tokens:permanent";
            return Err(Blame::field(Refusal::PermanentRefused, "permanent", rule));
        }
        let policy = tenant.policy(token.class);
        let lifetime_max = authority.lifetime_max(&after.0.permit);
        let expires = policy.expiry(lifetime, lifetime_max, now)?;
        if later(expires, before.1) {
            // A longer life is authority: it must lie within what the caller may give.
            authority.attenuate(after.0.permit.clone(), "lifetime")?;
            after.0.lifetime_max = lifetime_max;
        }
        after.1 = expires;
    }
    if let Some(limit) = order.limit {
        if looser(limit, before.0.limit) {
            // So is being used more often: a token must not lift its own limit.
            authority.attenuate(after.0.permit.clone(), "limit")?;
        }
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

/// Whether a limit lets anything through that the one before does not: at once, or in the long run.
fn looser(after: Option<Limit>, before: Option<Limit>) -> bool {
    let rate = |a: Limit, b: Limit| u64::from(a.count()) * u64::from(b.window_s());
    match (after, before) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(after), Some(before)) => {
            after.count() > before.count() || rate(after, before) > rate(before, after)
        }
    }
}

fn later(after: Option<Time>, before: Option<Time>) -> bool {
    match (after, before) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(after), Some(before)) => after > before,
    }
}
