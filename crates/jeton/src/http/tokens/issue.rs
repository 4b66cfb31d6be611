//! Issuing a token.

use std::collections::HashMap;

use http::StatusCode;
use jeton_core::{
    policy::Lifetime,
    refusal::{Blame, Refusal},
    time::Span,
    token::{
        issue::{Asked, IssueOrder},
        text::Class,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretView, subject, with_secret};
use crate::{
    app::{Ctx, Words, issue, order},
    http::{
        caller::{Caller, TokensWrite},
        error::Problem,
        extract::Order,
        routes::Reply,
        view::{ConditionsView, GiveView, GrantView, Instant, LimitView, words_bounded},
    },
};

/// An order for a token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueView {
    /// `key`, `pat`, `svc` or `pub`.
    #[schemars(regex(pattern = "^(key|pat|svc|pub)$"))]
    pub class: String,
    /// The user or application that it shall belong to.
    #[schemars(length(max = 30))]
    pub subject: String,
    /// What it shall be able to do; none, and no `inherit`: the default scopes.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub grants: Option<Vec<GrantView>>,
    /// All that its owner may, now and later.
    #[serde(default)]
    pub inherit: bool,
    /// What it shall be able to hand on; none: nothing.
    #[serde(default)]
    pub give: Option<GiveView>,
    /// From where, when and for which requests it may be used.
    #[serde(default)]
    pub conditions: ConditionsView,
    /// How long it shall live.
    #[serde(default)]
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_s: Option<u64>,
    /// Or when it shall end.
    #[serde(default)]
    pub expires_at: Option<Instant>,
    /// Or that it shall not end: an explicit choice, which policy must allow.
    #[serde(default)]
    pub permanent: bool,
    /// How often it may be used.
    #[serde(default)]
    pub limit: Option<LimitView>,
    /// What it is called.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// What its makers note of it: an object.
    #[serde(default)]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

impl IssueView {
    fn read(&self, ctx: &Ctx) -> Result<IssueOrder, Blame> {
        words_bounded(self.name.as_deref(), self.metadata.as_ref())?;
        let directory = ctx.node.verifier.directory();
        let class = Class::parse(self.class.as_bytes()).ok_or_else(|| {
            Blame::field(Refusal::FieldInvalid, "class", "one of key, pat, svc, pub")
        })?;
        let asked = match (&self.grants, self.inherit) {
            (Some(_), true) => {
                let rule = "either grants or inherit, not both";
                return Err(Blame::field(Refusal::FieldInvalid, "inherit", rule));
            }
            (None, true) => Asked::Inherit,
            (None, false) => Asked::Default,
            (Some(grants), false) => {
                Asked::Rights(order::rights(&directory, ctx.tenant, grants, "grants")?)
            }
        };
        Ok(IssueOrder {
            class,
            subject: subject(&self.subject)?,
            asked,
            give: self
                .give
                .as_ref()
                .map(|g| g.read(&directory, ctx.tenant))
                .transpose()?,
            conditions: order::conditions(&self.conditions, "conditions")?,
            lifetime: lifetime(self.lifetime_s, self.expires_at, self.permanent)?
                .unwrap_or_default(),
            limit: self.limit.map(|l| l.read("limit")).transpose()?,
        })
    }
}

/// How long a token shall live, said in at most one way.
pub(super) fn lifetime(
    lifetime_s: Option<u64>,
    expires_at: Option<Instant>,
    permanent: bool,
) -> Result<Option<Lifetime>, Blame> {
    match (lifetime_s, expires_at, permanent) {
        (None, None, false) => Ok(None),
        (Some(s), None, false) => Ok(Some(Lifetime::For(Span::seconds(s)))),
        (None, Some(at), false) => Ok(Some(Lifetime::Until(at.0))),
        (None, None, true) => Ok(Some(Lifetime::Permanent)),
        _ => {
            let rule = "at most one of lifetime_s, expires_at and permanent";
            Err(Blame::field(Refusal::FieldInvalid, "lifetime_s", rule))
        }
    }
}

/// Issues a token.
pub async fn create(
    caller: Caller<TokensWrite>,
    order: Order<IssueView>,
) -> Result<Reply<SecretView>, Problem> {
    let ctx = caller.ctx_for("tokens.create", &order.bytes);
    let wanted = order.value.read(&ctx)?;
    let words = Words {
        name: order.value.name,
        metadata: order.value.metadata,
        ..Words::of(&ctx)
    };
    let (done, secret) = issue::issue_token(&ctx, wanted, words).await?;
    let view = with_secret(&caller, &ctx, &done.outcome, |i| i.token, secret).await?;
    Ok(Reply::new(StatusCode::CREATED, view).at(done.size))
}
