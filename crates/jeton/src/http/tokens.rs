//! Tokens: issue, list, get, change, rotate, suspend, resume, revoke, cut off.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::StatusCode;
use jeton_core::{
    directory::Directory,
    id::{Id, TokenId},
    policy::Lifetime,
    refusal::{Blame, Refusal},
    subject::SubjectId,
    time::{Span, Time},
    token::{
        change::{ChangeOrder, change},
        issue::{Asked, IssueOrder},
        record::{Reason, State as TokenState, TokenRecord},
        rotate::RotateOrder,
        text::Class,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    app::{Ctx, Outcome, Words, issue, order, revoke, rotate, simple},
    http::{
        caller::{Caller, Needs, TokensCutOff, TokensRead, TokensRevoke, TokensWrite},
        cursor::{self, List},
        error::Problem,
        extract::{Order, Params, PathId},
        routes::Reply,
        view::{
            ConditionsView, GiveView, GrantView, Instant, LimitView, Named, Page, give_of,
            grants_of, words_bounded,
        },
    },
    node::{start::Node, writer::Purpose},
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
        .is_some_and(|t| token.issued < t.cut_off)
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

fn subject(text: &str) -> Result<SubjectId, Blame> {
    SubjectId::parse(text)
        .ok_or_else(|| Blame::field(Refusal::FieldInvalid, "subject", "an id as usr_… or app_…"))
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

fn lifetime(
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

/// Which tokens to list.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those of this owner.
    #[serde(default)]
    pub subject: Option<String>,
    /// Where to go on: the `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many: 1 to 200, 50 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// Lists tokens: all by age, or those of one owner, youngest first.
pub async fn list(
    caller: Caller<TokensRead>,
    Params(query): Params<ListQuery>,
) -> Result<Reply<Page<TokenView>>, Problem> {
    let (node, tenant) = (Arc::clone(&caller.doors().node), caller.tenant());
    let limit = cursor::page_len(query.limit)?;
    let (ids, which) = match &query.subject {
        Some(text) => (
            owned(&node, &caller, text, &query, limit)?,
            List::OwnedTokens,
        ),
        None => {
            let after = query.cursor.as_deref();
            let after = after.map(|c| cursor::read::<16>(&node.keyring, List::Tokens, tenant, c));
            let after = after.transpose()?.map(TokenId::from_bytes);
            let rows = node.read(move |r| r.tokens(tenant, after, limit)).await?;
            (rows.into_iter().map(|(id, _)| id).collect(), List::Tokens)
        }
    };
    let mut items = Vec::with_capacity(ids.len());
    for id in &ids {
        items.push(shown(&node, *id).await?);
    }
    let full = ids.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = ids.last().filter(|_| full);
    let next = last.map(|id| cursor::make(&node.keyring, which, tenant, id.bytes()));
    Ok(Reply::new(StatusCode::OK, Page { items, next }))
}

fn owned(
    node: &Node,
    caller: &Caller<TokensRead>,
    text: &str,
    query: &ListQuery,
    limit: u32,
) -> Result<Vec<TokenId>, Problem> {
    let id = subject(text)?;
    let directory = node.verifier.directory();
    let found = directory.subject(caller.tenant(), id);
    let slot = found
        .and_then(|_| directory.subject_slot(id))
        .ok_or(Refusal::NotFound)?;
    let after = query.cursor.as_deref();
    let after =
        after.map(|c| cursor::read::<16>(&node.keyring, List::OwnedTokens, caller.tenant(), c));
    let after = after.transpose()?.map(TokenId::from_bytes);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(node.verifier.with_index(|index| {
        let mut chain = index.of_owner(slot).peekable();
        if let Some(after) = after {
            // The chain is in the order of issuance, youngest first: go on behind the last one shown.
            chain.by_ref().find(|id| *id == after);
        }
        chain.take(limit).collect()
    }))
}

fn of_tenant<N: Needs>(caller: &Caller<N>, id: TokenId) -> Result<TokenRecord, Refusal> {
    let found = caller.doors().node.verifier.record(id);
    found
        .filter(|t| t.tenant == caller.tenant())
        .ok_or(Refusal::NotFound)
}

/// Shows a token.
pub async fn get(
    caller: Caller<TokensRead>,
    PathId(id): PathId<TokenId>,
) -> Result<Reply<TokenView>, Problem> {
    of_tenant(&caller, id)?;
    Ok(Reply::new(
        StatusCode::OK,
        shown(&caller.doors().node, id).await?,
    ))
}

/// A text that may be a token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PossessionView {
    /// The text.
    pub token: String,
}

/// Finds a token of the caller's tenant by its text: for whoever holds a leaked one.
pub async fn find(
    caller: Caller<TokensRead>,
    order: Order<PossessionView>,
) -> Result<Reply<TokenView>, Problem> {
    let node = &caller.doors().node;
    let found = node.verifier.find(&order.value.token).ok();
    let found = found
        .filter(|t| t.tenant == caller.tenant())
        .ok_or(Refusal::NotFound)?;
    Ok(Reply::new(StatusCode::OK, shown(node, found.id).await?))
}

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
    fn read(&self) -> Result<Reason, Blame> {
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

/// Whose tokens shall end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutOffView {
    /// All tokens of this user or application; without: of the whole tenant, the caller's own among them.
    #[serde(default)]
    #[schemars(length(max = 30))]
    pub subject: Option<String>,
    /// Must be `true` where no subject is named.
    #[serde(default)]
    pub everything: bool,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub reason: Option<String>,
}

/// How far a cut-off reaches.
#[derive(Serialize, JsonSchema)]
pub struct CutOffDone {
    /// Tokens issued before this ledger size are dead.
    pub ledger_size: u64,
}

/// Ends all tokens issued before now.
pub async fn cut_off(
    caller: Caller<TokensCutOff>,
    order: Order<CutOffView>,
) -> Result<Reply<CutOffDone>, Problem> {
    let ctx = caller.ctx();
    let whose = order.value.subject.as_deref().map(subject).transpose()?;
    if whose.is_some() == order.value.everything {
        let rule = "name a subject, or say everything: true";
        return Err(Blame::field(Refusal::FieldInvalid, "subject", rule).into());
    }
    let reason = ReasonView {
        reason: order.value.reason,
        note: None,
    }
    .read()?;
    let size = revoke::cut_off(&ctx, whose, reason, Words::of(&ctx)).await?;
    Ok(Reply::new(StatusCode::OK, CutOffDone { ledger_size: size }).at(size))
}
