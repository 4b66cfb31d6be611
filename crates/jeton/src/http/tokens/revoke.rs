//! Ending a token, for a while or for good.

use http::StatusCode;
use jeton_core::{
    id::TokenId,
    refusal::{Blame, Refusal},
    token::record::Reason,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TokenView, of_tenant, shown};
use crate::{
    app::{Words, revoke},
    http::{
        caller::{Caller, Needs, TokensRevoke, TokensWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
    },
};

/// Why.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ReasonView {
    /// `leaked`, `superseded`, `unneeded`, `owner_left`, `abuse` or `unspecified`.
    #[schemars(length(max = 32))]
    pub reason: Option<String>,
    /// In your own words.
    #[schemars(length(max = 500))]
    pub note: Option<String>,
}

impl ReasonView {
    pub(super) fn read(&self) -> Result<Reason, Blame> {
        if self.note.as_ref().is_some_and(|n| n.len() > 500) {
            return Err(Blame::field(
                Refusal::FieldInvalid,
                "note",
                "at most 500 bytes",
            ));
        }
        let Some(text) = &self.reason else {
            return Ok(Reason::Unspecified);
        };
        Reason::parse(text).ok_or_else(|| {
            let known: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
            Blame::field(
                Refusal::FieldInvalid,
                "reason",
                format!("one of {}", known.join(", ")),
            )
        })
    }
}

async fn changed<N: Needs>(
    caller: &Caller<N>,
    id: TokenId,
    view: ReasonView,
    to: impl FnOnce(Reason) -> revoke::Change,
) -> Result<Reply<TokenView>, Problem> {
    of_tenant(caller, id)?;
    let ctx = caller.ctx();
    let to = to(view.read()?);
    let words = Words {
        note: view.note,
        ..Words::of(&ctx)
    };
    let size = revoke::set_state(&ctx, id, to, words).await?;
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, id).await?).at(size))
}

/// Revokes a token, for good.
pub async fn revoke(
    caller: Caller<TokensRevoke>,
    PathId(id): PathId<TokenId>,
    order: Order<ReasonView>,
) -> Result<Reply<TokenView>, Problem> {
    changed(&caller, id, order.value, revoke::Change::Revoke).await
}

/// Suspends a token.
pub async fn suspend(
    caller: Caller<TokensWrite>,
    PathId(id): PathId<TokenId>,
    order: Order<ReasonView>,
) -> Result<Reply<TokenView>, Problem> {
    changed(&caller, id, order.value, revoke::Change::Suspend).await
}

/// Lets a suspended token work again.
pub async fn resume(
    caller: Caller<TokensWrite>,
    PathId(id): PathId<TokenId>,
    order: Order<ReasonView>,
) -> Result<Reply<TokenView>, Problem> {
    changed(&caller, id, order.value, |_| revoke::Change::Resume).await
}
