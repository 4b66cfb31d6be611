//! Replacing a token's secret.

use http::StatusCode;
use jeton_core::{
    id::TokenId,
    policy::Lifetime,
    refusal::{Blame, Refusal},
    time::Span,
    token::rotate::RotateOrder,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretView, of_tenant, with_secret};
use crate::{
    app::{Words, rotate},
    http::{
        caller::{Caller, TokensWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
    },
};

/// How a secret shall be replaced.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RotateView {
    /// How long the old secret stays good; 0: not at all. A day unless told.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub overlap_s: Option<u64>,
    /// Another lifetime from now; the end stays where it is unless told.
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_s: Option<u64>,
    /// The lifetime that the policy of its class gives by default.
    pub renew: bool,
}

impl RotateView {
    fn read(&self) -> Result<RotateOrder, Blame> {
        let lifetime = match (self.lifetime_s, self.renew) {
            (None, false) => None,
            (None, true) => Some(Lifetime::Default),
            (Some(s), false) => Some(Lifetime::For(Span::seconds(s))),
            (Some(_), true) => {
                let rule = "either lifetime_s or renew, not both";
                return Err(Blame::field(Refusal::FieldInvalid, "renew", rule));
            }
        };
        Ok(RotateOrder {
            overlap: self.overlap_s.map(Span::seconds),
            lifetime,
        })
    }
}

/// Rotates a token.
pub async fn rotate(
    caller: Caller<TokensWrite>,
    PathId(id): PathId<TokenId>,
    order: Order<RotateView>,
) -> Result<Reply<SecretView>, Problem> {
    of_tenant(&caller, id)?;
    rotated(&caller, id, &order).await
}

/// Rotates the caller's own token.
pub async fn rotate_own(
    caller: Caller<TokensWrite>,
    order: Order<RotateView>,
) -> Result<Reply<SecretView>, Problem> {
    rotated(&caller, caller.passed().token, &order).await
}

async fn rotated(
    caller: &Caller<TokensWrite>,
    id: TokenId,
    order: &Order<RotateView>,
) -> Result<Reply<SecretView>, Problem> {
    let ctx = caller.ctx_for(&format!("tokens.rotate/{id}"), &order.bytes);
    let wanted = order.value.read()?;
    let words = Words::of(&ctx);
    let (done, secret) = rotate::rotate_token(&ctx, id, wanted, words).await?;
    let view = with_secret(caller, &ctx, &done.outcome, |_| id, secret).await?;
    Ok(Reply::new(StatusCode::OK, view).at(done.size))
}
