//! Taking away: revoke, suspend, resume, cut off; and revoking by possession alone.

use jeton_core::{
    authority::Authority,
    decision::Decision,
    event::Actor,
    id::TokenId,
    refusal::{Blame, Refusal},
    subject::SubjectId,
    time::Time,
    token::{
        record::{Reason, TokenRecord},
        revoke,
    },
};

use crate::{
    app::{Ctx, Words, command, simple},
    node::{
        start::Node,
        writer::{Purpose, Ruling},
    },
};

/// A change of one token's state.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// End it.
    Revoke(Reason),
    /// Stop it until it is resumed.
    Suspend(Reason),
    /// Let it work again.
    Resume,
}

/// Changes the state of a token of the caller's tenant.
///
/// # Errors
/// [`Refusal::NotFound`], or the rule's [`Blame`].
pub async fn set_state(ctx: &Ctx, token: TokenId, to: Change, words: Words) -> Result<u64, Blame> {
    let purpose = match to {
        Change::Revoke(_) | Change::Suspend(_) => Purpose::Reduce,
        Change::Resume => Purpose::Grow,
    };
    simple(ctx, purpose, words, move |facts, authority| {
        let found = facts
            .token(token)
            .filter(|t| t.tenant == authority.tenant());
        found.map_or_else(
            || Decision::no(Refusal::NotFound),
            |record| decide(authority, &record, to, facts.now),
        )
    })
    .await
}

fn decide(authority: &Authority, record: &TokenRecord, to: Change, now: Time) -> Decision<()> {
    match to {
        Change::Revoke(reason) => revoke::revoke(authority, record, reason),
        Change::Suspend(reason) => revoke::suspend(authority, record, reason),
        Change::Resume => revoke::resume(authority, record, now),
    }
}

/// Ends every token of the tenant, or of one subject, issued before now: one event, however many they are.
///
/// # Errors
/// The rule's [`Blame`].
pub async fn cut_off(
    ctx: &Ctx,
    subject: Option<SubjectId>,
    reason: Reason,
    words: Words,
) -> Result<u64, Blame> {
    let done = command(ctx, Purpose::Reduce, words, move |facts, authority| {
        revoke::cut_off(authority, subject, reason, facts.directory)
    });
    done.await.map(|done| done.size)
}

/// Revokes the token whose text is shown. Whoever finds a secret may end it; nobody learns whether it was one.
///
/// # Errors
/// The writer's [`Blame`]; an unknown text is no error.
pub async fn by_possession(node: &Node, text: &str, words: Option<Vec<u8>>) -> Result<(), Blame> {
    let found = match node.verifier.find(text) {
        Ok(found) => found,
        // Whoever thinks that it is ended would look no further.
        Err(Refusal::Quarantined) => return Err(Refusal::Quarantined.into()),
        Err(_) => return Ok(()),
    };
    let (token, tenant) = (found.id, found.tenant);
    let submitted = node.writer.submit(Purpose::Reduce, move |facts| {
        let Some(record) = facts.token(token) else {
            return Ruling::no(tenant, Refusal::NotFound);
        };
        let actor = Actor::Possession { token };
        let decision = revoke::revoke_by_possession(&record);
        Ruling {
            tenant,
            actor,
            request: None,
            words,
            decision,
        }
    });
    submitted.await.map(|_| ())
}
