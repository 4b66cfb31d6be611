//! Rotating: a new secret for the same token. Everything else stays, and the old secret stays good for an overlap.

use crate::{
    api::own,
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::Event,
    policy::Lifetime,
    refusal::{Blame, Refusal},
    time::{Span, Time},
    token::{
        issue::{Drawn, may_manage},
        record::{State, TokenRecord},
        revoke::revoked,
    },
};

/// The overlap of a rotation whose order names none.
pub const OVERLAP_DEFAULT: Span = Span::DAY;

/// Who rotates.
pub enum By<'a> {
    /// A manager of tokens, or the owner through another token.
    Authority(&'a Authority),
    /// The token itself.
    Itself,
}

/// How a secret shall be replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct RotateOrder {
    /// How long the old secret stays good; none: a day, or what the policy allows.
    pub overlap: Option<Span>,
    /// Another lifetime from now on; none: the token ends when it would have ended.
    pub lifetime: Option<Lifetime>,
}

/// What a rotation did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// How many secrets the token has had before.
    pub generation: u32,
    /// The first second at which the old secret is no longer good.
    pub overlap_until: Time,
    /// When the token ends now.
    pub expires: Option<Time>,
}

/// Replaces a token's secret. Id, terms and owner stay; the expiry too, unless the order renews it.
pub fn rotate(
    by: &By<'_>,
    token: &TokenRecord,
    order: RotateOrder,
    directory: &Directory,
    (drawn, now): (Drawn, Time),
) -> Decision<Rotated> {
    decide(by, token, order, directory, (drawn, now)).into()
}

fn decide(
    by: &By<'_>,
    token: &TokenRecord,
    order: RotateOrder,
    directory: &Directory,
    (drawn, now): (Drawn, Time),
) -> Result<(Rotated, Vec<Event>), Blame> {
    let tenant = directory.tenant(token.tenant).ok_or(Refusal::NotFound)?;
    let lifetime_max = match by {
        By::Authority(authority) => {
            may_manage(authority, token.subject)?;
            // Whoever sees the new secret holds the token: it must lie within what they may give.
            authority.attenuate(token.terms.permit.clone(), "token")?;
            authority.lifetime_max(&token.terms.permit)
        }
        By::Itself => token.terms.lifetime_max,
    };
    match token.state {
        State::Active => {}
        State::Suspended { .. } => {
            let rule = Some("the token is suspended".into());
            return Err(Blame {
                refusal: Refusal::StateConflict,
                field: None,
                rule,
            });
        }
        State::Revoked { .. } => return Err(revoked()),
    }
    if token.expired(now) {
        let rule = Some("the token has expired".into());
        return Err(Blame {
            refusal: Refusal::StateConflict,
            field: None,
            rule,
        });
    }
    let policy = tenant.policy(token.class);
    let overlap = order
        .overlap
        .unwrap_or_else(|| OVERLAP_DEFAULT.min(policy.overlap_max));
    if overlap > policy.overlap_max {
        let rule = format!(
            "at most {} seconds for this class",
            policy.overlap_max.as_seconds()
        );
        return Err(Blame::field(Refusal::FieldInvalid, "overlap_s", rule));
    }
    let now = now.whole_second();
    let expires = match (order.lifetime, by) {
        (None, _) => token.expires,
        // A token may renew itself for its default lifetime and no longer: more is its manager's to give.
        (Some(Lifetime::Default), By::Itself) if token.expires.is_some() => policy
            .expiry(Lifetime::Default, lifetime_max, now)?
            .max(token.expires),
        (Some(_), By::Itself) => {
            let rule = "a token renews itself for the default lifetime only";
            return Err(Blame::field(Refusal::FieldInvalid, "lifetime", rule));
        }
        (Some(Lifetime::Permanent), By::Authority(a)) if !a.holds(own::TOKENS_PERMANENT) => {
            let rule = "the caller lacks jeton:tokens:permanent";
            return Err(Blame::field(Refusal::PermanentRefused, "permanent", rule));
        }
        (Some(lifetime), By::Authority(_)) => policy.expiry(lifetime, lifetime_max, now)?,
    };
    let rotated = Rotated {
        generation: token.generation + 1,
        overlap_until: now.after(overlap),
        expires,
    };
    let event = Event::TokenRotated {
        token: token.id,
        generation: rotated.generation,
        digest: drawn.digest,
        pepper: drawn.pepper,
        overlap_until: rotated.overlap_until,
        expires,
    };
    Ok((rotated, vec![event]))
}

/// Whether the holder of a token may rotate it by presenting it.
#[must_use]
pub fn holder_may(authority: &Authority) -> bool {
    authority.holds(own::TOKENS_OWN)
}
