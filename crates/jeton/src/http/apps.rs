//! Applications: register, list, get, change, suspend, resume, delete.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use jeton_core::{
    account,
    directory::Directory,
    id::{AppId, TenantId, UserId},
    refusal::{Blame, Refusal},
    subject::{Subject, SubjectId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Outcome, Words, command, simple},
    capability,
    http::{
        caller::{Caller, SubjectsRead, SubjectsWrite},
        cursor::{List, PageQuery},
        error::Problem,
        extract::{Order, Params, PathId},
        routes::Reply,
        users::{
            StandingOrder, WordsOrder, named, page_of, set_subject_standing, set_subject_words,
            standing,
        },
        view::{Instant, Named, Page, PermitView, words_bounded},
    },
    node::{start::Node, writer::Purpose},
};

/// An order for an application.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppOrder {
    /// The user who answers for it.
    #[schemars(length(max = 30))]
    pub sponsor: String,
    /// What it may use and give.
    pub permit: PermitView,
    /// What it is called.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// What is noted of it: an object.
    #[serde(default)]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

/// An application.
#[derive(Serialize, JsonSchema)]
pub struct AppView {
    /// Its id.
    pub id: String,
    /// `active`, `suspended` or `deleted`.
    pub state: String,
    /// The user who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<String>,
    /// What it may use and give.
    pub permit: PermitView,
    /// When it was registered.
    pub created_at: Instant,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is noted of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

fn view(directory: &Directory, subject: &Subject, named: Named) -> Option<AppView> {
    let SubjectId::App(id) = subject.id else {
        return None;
    };
    Some(AppView {
        id: id.to_string(),
        state: standing(subject.standing).to_owned(),
        sponsor: subject.sponsor.map(|s| s.to_string()),
        permit: PermitView::of(directory, subject.tenant, subject.permit.as_ref()?),
        created_at: Instant(id.born()),
        name: named.name,
        metadata: named.metadata,
    })
}

async fn shown(node: &Arc<Node>, tenant: TenantId, id: AppId) -> Result<AppView, Problem> {
    let found = node
        .verifier
        .directory()
        .subject(tenant, SubjectId::App(id))
        .cloned();
    let subject = found.ok_or(Refusal::NotFound)?;
    let named = named(node, &subject).await?;
    let view = view(&node.verifier.directory(), &subject, named);
    view.ok_or_else(|| Refusal::NotFound.into())
}

fn sponsor(text: &str) -> Result<UserId, Blame> {
    text.parse().map_err(|_| {
        Blame::field(
            Refusal::FieldInvalid,
            "sponsor",
            "the id of a user as usr_…",
        )
    })
}

/// Registers an application.
pub async fn create(
    caller: Caller<SubjectsWrite>,
    order: Order<AppOrder>,
) -> Result<Reply<AppView>, Problem> {
    let ctx = caller.ctx_for("apps.create", &order.bytes);
    words_bounded(order.value.name.as_deref(), order.value.metadata.as_ref())?;
    let sponsor = sponsor(&order.value.sponsor)?;
    let permit = order
        .value
        .permit
        .read(&ctx.node.verifier.directory(), ctx.tenant)?;
    let id: AppId = capability::draw_id(ctx.node.clock.time());
    let words = Words {
        name: order.value.name,
        metadata: order.value.metadata,
        ..Words::of(&ctx)
    };
    let done = command(&ctx, Purpose::Grow, words, move |facts, authority| {
        account::create_app(authority, id, sponsor, permit, facts.directory)
    });
    let done = done.await?;
    let id = match done.outcome {
        Outcome::Fresh(id) => id,
        Outcome::Repeated(about) => AppId::from_bytes(about),
    };
    let view = shown(&ctx.node, ctx.tenant, id).await?;
    Ok(Reply::new(StatusCode::CREATED, view).at(done.size))
}

/// Lists applications.
pub async fn list(
    caller: Caller<SubjectsRead>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<Page<AppView>>, Problem> {
    let is_app = |id: &SubjectId| matches!(id, SubjectId::App(_));
    let start = |bytes| SubjectId::App(AppId::from_bytes(bytes));
    let (page, next) = page_of(&caller, &query, List::Apps, is_app, start)?;
    let node = &caller.doors().node;
    let mut items = Vec::with_capacity(page.len());
    for subject in &page {
        let named = named(node, subject).await?;
        items.extend(view(&node.verifier.directory(), subject, named));
    }
    Ok(Reply::new(StatusCode::OK, Page { items, next }))
}

/// Shows an application.
pub async fn get(
    caller: Caller<SubjectsRead>,
    PathId(id): PathId<AppId>,
) -> Result<Reply<AppView>, Problem> {
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view))
}

/// What shall be different about an application.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppChange {
    /// Another permit.
    #[serde(default)]
    pub permit: Option<PermitView>,
    /// Another person who answers for it.
    #[serde(default)]
    #[schemars(length(max = 30))]
    pub sponsor: Option<String>,
}

/// Changes an application.
pub async fn patch(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<AppId>,
    order: Order<AppChange>,
) -> Result<Reply<AppView>, Problem> {
    let ctx = caller.ctx();
    let sponsor = order.value.sponsor.as_deref().map(sponsor).transpose()?;
    let permit = order.value.permit.as_ref();
    let permit = permit
        .map(|p| p.read(&ctx.node.verifier.directory(), ctx.tenant))
        .transpose()?;
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| {
            account::change_app(authority, id, permit, sponsor, facts.directory)
        },
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, ctx.tenant, id).await?).at(size))
}

/// Suspends, resumes or deletes an application.
pub async fn set_standing(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<AppId>,
    order: Order<StandingOrder>,
) -> Result<Reply<AppView>, Problem> {
    let size = set_subject_standing(&caller, SubjectId::App(id), &order.value).await?;
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view).at(size))
}

/// Replaces the words beside an application.
pub async fn set_words(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<AppId>,
    order: Order<WordsOrder>,
) -> Result<Reply<AppView>, Problem> {
    let size = set_subject_words(&caller, SubjectId::App(id), order.value).await?;
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view).at(size))
}
