//! Tokens as everybody of their tenant may see them, and the answers that show a secret once.

pub mod change;
pub mod cut_off;
pub mod find;
pub mod issue;
pub mod revoke;
pub mod rotate;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jeton_core::{
    directory::Directory,
    id::{Id, TokenId},
    refusal::{Blame, Refusal},
    subject::SubjectId,
    time::{Span, Time},
    token::record::{State as TokenState, TokenRecord},
};
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    app::{Ctx, Outcome},
    http::{
        caller::{Caller, Needs},
        error::Problem,
        view::{
            ConditionsView, GiveView, GrantView, Instant, LimitView, Named, give_of, grants_of,
        },
    },
    node::start::Node,
};

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// What it is.
    pub class: String,
    /// To whom it belongs.
    pub subject: String,
    /// `user` or `application`.
    pub subject_kind: String,
    /// `active`, `suspended`, `revoked`, `expired` or `cut_off`.
    pub state: String,
    /// Why it is suspended or revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Instant>,
    /// All that its owner may.
    pub inherit: bool,
    /// What it may do.
    pub grants: Vec<GrantView>,
    /// What it may hand on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give: Option<GiveView>,
    /// From where, when and for which requests it may be used.
    pub conditions: ConditionsView,
    /// How often it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
    /// Unused for so long, it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// When it was issued.
    pub created_at: Instant,
    /// When it ends; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Instant>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
    /// How often its secret was replaced.
    pub generation: u32,
    /// Until when the secret before is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_until: Option<Instant>,
    /// The ledger index of its issuance.
    pub issued_index: u64,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its makers noted of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

/// A token with its secret, shown once.
#[derive(Serialize, JsonSchema)]
pub struct SecretView {
    /// The token.
    pub token: TokenView,
    /// Its text: keep it now, nobody can show it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `false` where a repeated request comes too late to see the secret again.
    pub secret_available: bool,
}

/// A token as everybody of its tenant may see it.
#[must_use]
pub fn view(directory: &Directory, token: &TokenRecord, named: Named, now: Time) -> TokenView {
    let cut = directory
        .tenant(token.tenant)
        .is_some_and(|t| token.issued < t.dead_below())
        || directory
            .subject(token.tenant, token.subject)
            .is_some_and(|s| token.issued < s.cut_off);
    let (state, reason, revoked_at) = match token.state {
        TokenState::Revoked { at, reason } => ("revoked", Some(reason), Some(at)),
        _ if cut => ("cut_off", None, None),
        _ if token.expired(now) => ("expired", None, None),
        TokenState::Suspended { reason } => ("suspended", Some(reason), None),
        TokenState::Active => ("active", None, None),
    };
    let permit = &token.terms.permit;
    TokenView {
        id: token.id.to_string(),
        class: token.class.as_str().to_owned(),
        subject: token.subject.to_string(),
        subject_kind: token.subject.kind().to_owned(),
        state: state.to_owned(),
        reason: reason.map(|r| r.as_str().to_owned()),
        revoked_at: revoked_at.map(Instant),
        inherit: permit.use_ == jeton_core::permit::Rights::All,
        grants: grants_of(directory, token.tenant, &permit.use_),
        give: permit
            .give
            .as_ref()
            .map(|g| give_of(directory, token.tenant, g)),
        conditions: ConditionsView::of(&permit.conditions),
        limit: token.terms.limit.map(LimitView::of),
        idle_s: token.terms.idle.map(Span::as_seconds),
        created_at: Instant(token.id.born()),
        expires_at: token.expires.map(Instant),
        last_used_at: token.last_used.map(Instant),
        generation: token.generation,
        overlap_until: token.overlap_until.filter(|at| now < *at).map(Instant),
        issued_index: token.issued,
        name: named.name,
        metadata: named.metadata,
    }
}

/// The words beside a token: those of its issuance.
///
/// # Errors
/// A problem of the store.
pub async fn named(node: &Arc<Node>, token: &TokenRecord) -> Result<Named, Problem> {
    let (tenant, index) = (token.tenant, token.issued);
    let words = node.read(move |reader| reader.words(tenant, index)).await?;
    Ok(words
        .and_then(|w| serde_json::from_slice(&w).ok())
        .unwrap_or_default())
}

async fn shown(node: &Arc<Node>, id: TokenId) -> Result<TokenView, Problem> {
    let token = node.verifier.record(id).ok_or(Refusal::NotFound)?;
    let named = named(node, &token).await?;
    Ok(view(
        &node.verifier.directory(),
        &token,
        named,
        node.clock.time(),
    ))
}

fn of_tenant<N: Needs>(caller: &Caller<N>, id: TokenId) -> Result<TokenRecord, Refusal> {
    let found = caller.doors().node.verifier.record(id);
    found
        .filter(|t| t.tenant == caller.tenant())
        .ok_or(Refusal::NotFound)
}

fn subject(text: &str) -> Result<SubjectId, Blame> {
    SubjectId::parse(text)
        .ok_or_else(|| Blame::field(Refusal::FieldInvalid, "subject", "an id as usr_… or app_…"))
}

/// Whole answers of the last ten minutes that carried a secret, by request key and credential: for whoever lost one. Another
/// credential of the same subject may be able to do less, and is not shown what this one made.
#[derive(Default)]
pub struct Replays(Mutex<HashMap<AskedBy, (Time, Zeroizing<String>)>>);

type AskedBy = ([u8; 16], TokenId);

/// How long a whole answer can be had again.
const REPLAY_FOR: Span = Span::seconds(600);
/// The most answers that are kept.
const REPLAYS_MAX: usize = 100_000;

impl Replays {
    fn keep(&self, ctx: &Ctx, secret: &str, now: Time) {
        let Some(request) = ctx.request else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REPLAYS_MAX {
            kept.retain(|_, (until, _)| now < *until);
        }
        if kept.len() < REPLAYS_MAX {
            kept.insert(
                (request.key, ctx.token),
                (now.after(REPLAY_FOR), Zeroizing::new(secret.to_owned())),
            );
        }
    }

    fn again(&self, ctx: &Ctx, now: Time) -> Option<String> {
        let request = ctx.request?;
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(request.key, ctx.token))
            .filter(|(until, _)| now < *until)
            .map(|(_, s)| s.to_string())
    }
}

/// The answer to an order that makes a secret: fresh, repeated whole, or repeated without the secret.
async fn with_secret<N: Needs, T>(
    caller: &Caller<N>,
    ctx: &Ctx,
    outcome: &Outcome<T>,
    id: impl FnOnce(&T) -> TokenId,
    secret: Option<jeton_core::secret::Secret>,
) -> Result<SecretView, Problem> {
    let now = ctx.node.clock.time();
    let id = match outcome {
        Outcome::Fresh(fresh) => id(fresh),
        Outcome::Repeated(about) => Id::from_bytes(*about),
    };
    let secret = match secret {
        Some(secret) => {
            caller
                .doors()
                .replays
                .keep(ctx, secret.expose_secret(), now);
            Some(secret.expose_secret().to_owned())
        }
        None => caller.doors().replays.again(ctx, now),
    };
    let token = shown(&ctx.node, id).await?;
    Ok(SecretView {
        token,
        secret_available: secret.is_some(),
        secret,
    })
}
