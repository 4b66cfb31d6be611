//! Roles: make, list, get, change, delete.

use http::StatusCode;
use jeton_core::{
    directory::{Directory, Role},
    id::RoleId,
    refusal::Refusal,
    role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Outcome, Words, command, simple},
    capability,
    http::{
        caller::{Caller, RolesRead, RolesWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
        view::{Page, PermitView},
    },
    node::writer::Purpose,
};

/// An order for a role.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleOrder {
    /// Its short name.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,47}$"))]
    pub name: String,
    /// What its users may use and give.
    pub permit: PermitView,
}

/// A role.
#[derive(Serialize, JsonSchema)]
pub struct RoleView {
    /// Its id.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// What its users may use and give.
    pub permit: PermitView,
}

fn view(directory: &Directory, role: &Role) -> RoleView {
    RoleView {
        id: role.id.to_string(),
        name: role.name.clone(),
        permit: PermitView::of(directory, role.tenant, &role.permit),
    }
}

fn shown(
    caller: &Caller<impl crate::http::caller::Needs>,
    id: RoleId,
) -> Result<RoleView, Problem> {
    let directory = caller.doors().node.verifier.directory();
    let role = directory
        .role(caller.tenant(), id)
        .ok_or(Refusal::NotFound)?;
    Ok(view(&directory, role))
}

/// Makes a role.
pub async fn create(
    caller: Caller<RolesWrite>,
    order: Order<RoleOrder>,
) -> Result<Reply<RoleView>, Problem> {
    let ctx = caller.ctx_for("roles.create", &order.bytes);
    let permit = order
        .value
        .permit
        .read(&ctx.node.verifier.directory(), ctx.tenant)?;
    let (id, name) = (capability::draw_id(ctx.node.clock.time()), order.value.name);
    let done = command(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| role::create(authority, id, &name, permit, facts.directory),
    );
    let done = done.await?;
    let id = match done.outcome {
        Outcome::Fresh(id) => id,
        Outcome::Repeated(about) => RoleId::from_bytes(about),
    };
    Ok(Reply::new(StatusCode::CREATED, shown(&caller, id)?).at(done.size))
}

/// Lists all roles.
pub async fn list(caller: Caller<RolesRead>) -> Result<Reply<Page<RoleView>>, Problem> {
    let directory = caller.doors().node.verifier.directory();
    let items = directory
        .roles(caller.tenant())
        .map(|r| view(&directory, r))
        .collect();
    Ok(Reply::new(StatusCode::OK, Page { items, next: None }))
}

/// Shows a role.
pub async fn get(
    caller: Caller<RolesRead>,
    PathId(id): PathId<RoleId>,
) -> Result<Reply<RoleView>, Problem> {
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?))
}

/// Changes what a role's users may use and give: at once, for all their tokens.
pub async fn put(
    caller: Caller<RolesWrite>,
    PathId(id): PathId<RoleId>,
    order: Order<PermitView>,
) -> Result<Reply<RoleView>, Problem> {
    let ctx = caller.ctx();
    let permit = order
        .value
        .read(&ctx.node.verifier.directory(), ctx.tenant)?;
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| role::change(authority, id, permit, facts.directory),
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?).at(size))
}

/// Deletes a role.
pub async fn delete(
    caller: Caller<RolesWrite>,
    PathId(id): PathId<RoleId>,
) -> Result<Reply<()>, Problem> {
    let ctx = caller.ctx();
    let size = simple(
        &ctx,
        Purpose::Reduce,
        Words::of(&ctx),
        move |facts, authority| role::delete(authority, id, facts.directory),
    );
    Ok(Reply::new(StatusCode::NO_CONTENT, ()).at(size.await?))
}
