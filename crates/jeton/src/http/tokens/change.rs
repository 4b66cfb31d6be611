//! Changing a token.

use http::StatusCode;
use jeton_core::{
    id::TokenId,
    refusal::{Blame, Refusal},
    token::change::{ChangeOrder, change},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TokenView, issue::lifetime, of_tenant, shown};
use crate::{
    app::{Words, order, simple},
    http::{
        caller::{Caller, TokensWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
        view::{ConditionsView, GrantView, Instant, LimitView},
    },
    node::writer::Purpose,
};

/// What shall be different about a token. What is not named stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeView {
    /// Other rights to use.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub grants: Option<Vec<GrantView>>,
    /// Other conditions.
    #[serde(default)]
    pub conditions: Option<ConditionsView>,
    /// Another lifetime from now.
    #[serde(default)]
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_s: Option<u64>,
    /// Or another end.
    #[serde(default)]
    pub expires_at: Option<Instant>,
    /// Or none.
    #[serde(default)]
    pub permanent: bool,
    /// Another limit.
    #[serde(default)]
    pub limit: Option<LimitView>,
    /// No limit any more.
    #[serde(default)]
    pub unlimited: bool,
}

/// Changes a token.
pub async fn patch(
    caller: Caller<TokensWrite>,
    PathId(id): PathId<TokenId>,
    order: Order<ChangeView>,
) -> Result<Reply<TokenView>, Problem> {
    of_tenant(&caller, id)?;
    let ctx = caller.ctx();
    let view = order.value;
    let wanted = {
        let directory = ctx.node.verifier.directory();
        let grants = view.grants.as_deref();
        let rights = grants.map(|g| order::rights(&directory, ctx.tenant, g, "grants"));
        let conditions = view.conditions.as_ref();
        let limit = view.limit.map(|l| l.read("limit")).transpose()?;
        if view.unlimited && limit.is_some() {
            let rule = "either limit or unlimited, not both";
            return Err(Blame::field(Refusal::FieldInvalid, "unlimited", rule).into());
        }
        ChangeOrder {
            lifetime: lifetime(view.lifetime_s, view.expires_at, view.permanent)?,
            limit: if view.unlimited {
                Some(None)
            } else {
                limit.map(Some)
            },
            rights: rights.transpose()?,
            conditions: conditions
                .map(|c| order::conditions(c, "conditions"))
                .transpose()?,
        }
    };
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| {
            let found = facts.token(id).filter(|t| t.tenant == authority.tenant());
            found.map_or_else(
                || jeton_core::decision::Decision::no(Refusal::NotFound),
                |token| change(authority, &token, wanted, facts.directory, facts.now),
            )
        },
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, id).await?).at(size))
}
