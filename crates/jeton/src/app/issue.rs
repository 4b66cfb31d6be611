//! Issuing a token: mint a text, keep its digest, show it once.

use jeton_core::{
    refusal::{Blame, Refusal},
    secret::Secret,
    token::{
        issue::{Drawn, IssueOrder, Issued, issue},
        text::{Class, Prefix, TokenText, mint},
    },
};

use crate::{
    app::{Ctx, Outcome, Words, command},
    capability,
    node::{
        start::Node,
        writer::{Done, Purpose},
    },
};

/// A token's text, and what a record keeps of it.
pub struct Minted {
    /// Shown once.
    pub secret: Secret,
    /// Kept.
    pub drawn: Drawn,
}

/// Mints a text for a tenant, with a fresh id.
///
/// # Errors
/// [`Refusal::Unavailable`] if the keyring lacks the tenant's pepper.
pub fn mint_for(
    node: &Node,
    tenant: jeton_core::id::TenantId,
    prefix: Prefix,
    class: Class,
) -> Result<Minted, Blame> {
    let (number, pepper) = node
        .keyring
        .pepper(tenant)
        .map_err(|_| Refusal::Unavailable)?;
    // A draw with too few usable bytes comes once in 10^16: then another.
    let secret = core::iter::repeat_with(|| mint(prefix, class, &capability::draw_text()));
    let secret = secret.flatten().next().ok_or(Refusal::Internal)?;
    let text = TokenText::parse(secret.expose_secret())?;
    let drawn = Drawn {
        token: capability::draw_id(node.clock.time()),
        digest: pepper.digest(&text),
        pepper: number,
    };
    Ok(Minted { secret, drawn })
}

/// Issues a token. The secret is `None` where a repeated request found the token issued before.
///
/// # Errors
/// The rule's [`Blame`].
pub async fn issue_token(
    ctx: &Ctx,
    order: IssueOrder,
    words: Words,
) -> Result<(Done<Outcome<Issued>>, Option<Secret>), Blame> {
    let prefix = {
        let directory = ctx.node.verifier.directory();
        directory
            .tenant(ctx.tenant)
            .ok_or(Refusal::NotFound)?
            .prefix
    };
    let minted = mint_for(&ctx.node, ctx.tenant, prefix, order.class)?;
    let drawn = minted.drawn;
    let done = command(ctx, Purpose::Grow, words, move |facts, authority| {
        issue(authority, order, facts.directory, drawn, facts.now)
    });
    let done = done.await?;
    let secret = matches!(done.outcome, Outcome::Fresh(_)).then_some(minted.secret);
    Ok((done, secret))
}
