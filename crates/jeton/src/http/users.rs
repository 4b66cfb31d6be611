//! Users: register, list, get, set roles, suspend, resume, delete.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use jeton_core::{
    account,
    directory::Directory,
    id::{RoleId, TenantId, UserId},
    refusal::{Blame, Refusal},
    subject::{Standing, Subject, SubjectId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Outcome, Words, command, order, simple},
    capability,
    http::{
        caller::{Caller, Needs, SubjectsRead, SubjectsWrite},
        cursor::{self, List, PageQuery},
        error::Problem,
        extract::{Order, Params, PathId},
        routes::Reply,
        view::{Instant, Named, Page, words_bounded},
    },
    node::{start::Node, writer::Purpose},
};

/// An order for a user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserOrder {
    /// Their roles, by id or name.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub roles: Vec<String>,
    /// What they are called: may be erased, and is in no ledger.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// What is noted of them: an object.
    #[serde(default)]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

/// A user.
#[derive(Serialize, JsonSchema)]
pub struct UserView {
    /// Its id.
    pub id: String,
    /// `active`, `suspended` or `deleted`.
    pub state: String,
    /// Roles, by name.
    pub roles: Vec<String>,
    /// When they were registered.
    pub created_at: Instant,
    /// What they are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is noted of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

/// The word for a standing.
#[must_use]
pub const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
        Standing::Deleted => "deleted",
    }
}

/// The words beside a subject.
///
/// # Errors
/// A problem of the store.
pub async fn named(node: &Arc<Node>, subject: &Subject) -> Result<Named, Problem> {
    let Some(index) = subject.named_at else {
        return Ok(Named::default());
    };
    let tenant = subject.tenant;
    let words = node.read(move |reader| reader.words(tenant, index)).await?;
    Ok(words
        .and_then(|w| serde_json::from_slice(&w).ok())
        .unwrap_or_default())
}

fn view(directory: &Directory, subject: &Subject, named: Named) -> UserView {
    let roles = subject
        .roles
        .iter()
        .filter_map(|slot| directory.role_at(*slot));
    let SubjectId::User(id) = subject.id else {
        return UserView {
            id: subject.id.to_string(),
            state: String::new(),
            roles: Vec::new(),
            created_at: Instant(jeton_core::time::Time::default()),
            name: None,
            metadata: None,
        };
    };
    UserView {
        id: id.to_string(),
        state: standing(subject.standing).to_owned(),
        roles: roles
            .filter(|r| !r.deleted)
            .map(|r| r.name.clone())
            .collect(),
        created_at: Instant(id.born()),
        name: named.name,
        metadata: named.metadata,
    }
}

async fn shown(node: &Arc<Node>, tenant: TenantId, id: UserId) -> Result<UserView, Problem> {
    let found = node
        .verifier
        .directory()
        .subject(tenant, SubjectId::User(id))
        .cloned();
    let subject = found.ok_or(Refusal::NotFound)?;
    let named = named(node, &subject).await?;
    Ok(view(&node.verifier.directory(), &subject, named))
}

fn roles(node: &Node, tenant: TenantId, names: &[String]) -> Result<Vec<RoleId>, Blame> {
    let directory = node.verifier.directory();
    let read = names.iter().enumerate();
    let mut ids: Vec<RoleId> = read
        .map(|(at, name)| order::role(&directory, tenant, name, &format!("roles[{at}]")))
        .collect::<Result<_, Blame>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Registers a user.
pub async fn create(
    caller: Caller<SubjectsWrite>,
    order: Order<UserOrder>,
) -> Result<Reply<UserView>, Problem> {
    let ctx = caller.ctx_for("users.create", &order.bytes);
    words_bounded(order.value.name.as_deref(), order.value.metadata.as_ref())?;
    let roles = roles(&ctx.node, ctx.tenant, &order.value.roles)?;
    let id: UserId = capability::draw_id(ctx.node.clock.time());
    let words = Words {
        name: order.value.name,
        metadata: order.value.metadata,
        ..Words::of(&ctx)
    };
    let done = command(&ctx, Purpose::Grow, words, move |facts, authority| {
        account::create_user(authority, id, roles, facts.directory)
    });
    let done = done.await?;
    let id = match done.outcome {
        Outcome::Fresh(id) => id,
        Outcome::Repeated(about) => UserId::from_bytes(about),
    };
    let view = shown(&ctx.node, ctx.tenant, id).await?;
    Ok(Reply::new(StatusCode::CREATED, view).at(done.size))
}

/// The subjects of a page, in the order of their ids.
///
/// # Errors
/// A problem with the parameters.
pub fn page_of<N: Needs>(
    caller: &Caller<N>,
    query: &PageQuery,
    list: List,
    keep: impl Fn(&SubjectId) -> bool,
    start: impl Fn([u8; 16]) -> SubjectId,
) -> Result<(Vec<Arc<Subject>>, Option<String>), Problem> {
    let node = &caller.doors().node;
    let limit = usize::try_from(cursor::page_len(query.limit)?).unwrap_or(usize::MAX);
    let after = query.cursor.as_deref();
    let after = after.map(|c| cursor::read::<16>(&node.keyring, list, caller.tenant(), c));
    let after = after.transpose()?.map(start);
    let directory = node.verifier.directory();
    let subjects = directory
        .subjects_after(caller.tenant(), after)
        .filter(|s| keep(&s.id));
    let page: Vec<Arc<Subject>> = subjects.take(limit).cloned().collect();
    let last = page.last().filter(|_| page.len() == limit);
    let next = last.map(|s| cursor::make(&node.keyring, list, caller.tenant(), s.id.bytes()));
    Ok((page, next))
}

/// Lists users.
pub async fn list(
    caller: Caller<SubjectsRead>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<Page<UserView>>, Problem> {
    let is_user = |id: &SubjectId| matches!(id, SubjectId::User(_));
    let start = |bytes| SubjectId::User(UserId::from_bytes(bytes));
    let (page, next) = page_of(&caller, &query, List::Users, is_user, start)?;
    let node = &caller.doors().node;
    let mut items = Vec::with_capacity(page.len());
    for subject in &page {
        let named = named(node, subject).await?;
        items.push(view(&node.verifier.directory(), subject, named));
    }
    Ok(Reply::new(StatusCode::OK, Page { items, next }))
}

/// Shows a user.
pub async fn get(
    caller: Caller<SubjectsRead>,
    PathId(id): PathId<UserId>,
) -> Result<Reply<UserView>, Problem> {
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view))
}

/// Roles.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesOrder {
    /// All the roles that the user shall have, by id or name.
    #[schemars(length(max = 32))]
    pub roles: Vec<String>,
}

/// Sets a user's roles.
pub async fn set_roles(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<UserId>,
    order: Order<RolesOrder>,
) -> Result<Reply<UserView>, Problem> {
    let ctx = caller.ctx();
    let roles = roles(&ctx.node, ctx.tenant, &order.value.roles)?;
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| account::set_roles(authority, id, roles, facts.directory),
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, ctx.tenant, id).await?).at(size))
}

/// Another standing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandingOrder {
    /// `active`, `suspended` or `deleted` (for good).
    #[schemars(regex(pattern = "^(active|suspended|deleted)$"))]
    pub state: String,
}

impl StandingOrder {
    /// Reads the word.
    ///
    /// # Errors
    /// [`Refusal::FieldInvalid`] for another one.
    pub fn read(&self) -> Result<Standing, Blame> {
        match self.state.as_str() {
            "active" => Ok(Standing::Active),
            "suspended" => Ok(Standing::Suspended),
            "deleted" => Ok(Standing::Deleted),
            _ => {
                let rule = "one of active, suspended, deleted";
                Err(Blame::field(Refusal::FieldInvalid, "state", rule))
            }
        }
    }
}

/// Suspends, resumes or deletes a subject.
///
/// # Errors
/// The rule's problem.
pub async fn set_subject_standing(
    caller: &Caller<SubjectsWrite>,
    id: SubjectId,
    order: &StandingOrder,
) -> Result<u64, Problem> {
    let after = order.read()?;
    let ctx = caller.ctx();
    let purpose = if after == Standing::Active {
        Purpose::Grow
    } else {
        Purpose::Reduce
    };
    let size = simple(&ctx, purpose, Words::of(&ctx), move |facts, authority| {
        account::set_standing(authority, id, after, facts.directory)
    });
    Ok(size.await?)
}

/// Suspends, resumes or deletes a user.
pub async fn set_standing(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<UserId>,
    order: Order<StandingOrder>,
) -> Result<Reply<UserView>, Problem> {
    let size = set_subject_standing(&caller, SubjectId::User(id), &order.value).await?;
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view).at(size))
}

/// Words beside a subject.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordsOrder {
    /// What it is called.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// What is noted of it: an object.
    #[serde(default)]
    #[schemars(with = "Option<HashMap<String, serde_json::Value>>")]
    pub metadata: Option<serde_json::Value>,
}

/// Replaces the words beside a subject: only their hash goes into the ledger.
///
/// # Errors
/// The rule's problem.
pub async fn set_subject_words(
    caller: &Caller<SubjectsWrite>,
    id: SubjectId,
    order: WordsOrder,
) -> Result<u64, Problem> {
    words_bounded(order.name.as_deref(), order.metadata.as_ref())?;
    let ctx = caller.ctx();
    let WordsOrder { name, metadata } = order;
    let words = Words {
        name,
        metadata,
        ..Words::of(&ctx)
    };
    let size = simple(&ctx, Purpose::Grow, words, move |facts, authority| {
        account::rename(authority, id, facts.directory)
    });
    Ok(size.await?)
}

/// Replaces the words beside a user.
pub async fn set_words(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<UserId>,
    order: Order<WordsOrder>,
) -> Result<Reply<UserView>, Problem> {
    let size = set_subject_words(&caller, SubjectId::User(id), order.value).await?;
    let view = shown(&caller.doors().node, caller.tenant(), id).await?;
    Ok(Reply::new(StatusCode::OK, view).at(size))
}
