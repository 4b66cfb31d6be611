//! Rotating a token: a new text for the same token, the old one good for the overlap.

use jeton_core::{
    decision::Decision,
    id::TokenId,
    refusal::{Blame, Refusal},
    secret::Secret,
    token::rotate::{By, RotateOrder, Rotated, holder_may, rotate},
};

use crate::{
    app::{Ctx, Outcome, Words, command, issue::mint_for},
    node::writer::{Done, Purpose},
};

/// Rotates a token of the caller's tenant: its own, or another that it manages.
///
/// # Errors
/// [`Refusal::NotFound`], or the rule's [`Blame`].
pub async fn rotate_token(
    ctx: &Ctx,
    token: TokenId,
    order: RotateOrder,
    words: Words,
) -> Result<(Done<Outcome<Rotated>>, Option<Secret>), Blame> {
    let (prefix, class) = {
        let directory = ctx.node.verifier.directory();
        let found = ctx
            .node
            .verifier
            .record(token)
            .filter(|t| t.tenant == ctx.tenant);
        let tenant = directory.tenant(ctx.tenant).ok_or(Refusal::NotFound)?;
        (tenant.prefix, found.ok_or(Refusal::NotFound)?.class)
    };
    let minted = mint_for(&ctx.node, ctx.tenant, prefix, class)?;
    let (drawn, caller) = (minted.drawn, ctx.token);
    let done = command(ctx, Purpose::Grow, words, move |facts, authority| {
        let found = facts
            .token(token)
            .filter(|t| t.tenant == authority.tenant());
        let Some(record) = found else {
            return Decision::no(Refusal::NotFound);
        };
        let by = if token == caller && holder_may(authority) {
            By::Itself
        } else {
            By::Authority(authority)
        };
        rotate(&by, &record, order, facts.directory, (drawn, facts.now))
    });
    let done = done.await?;
    let secret = matches!(done.outcome, Outcome::Fresh(_)).then_some(minted.secret);
    Ok((done, secret))
}
