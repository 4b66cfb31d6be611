//! APIs: define, list, get, set scopes and routes, import a description.

use http::StatusCode;
use jeton_core::{
    api::Api,
    catalogue::{self, RouteOrder, ScopeOrder},
    id::ApiId,
    refusal::{Blame, Refusal},
    resource::Pattern,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Outcome, Words, command, simple},
    capability,
    http::{
        caller::{ApisRead, ApisWrite, Caller, Needs},
        error::Problem,
        extract::{CATALOGUE_BYTES_MAX, Order, PathId},
        openapi_import,
        routes::Reply,
        view::Page,
    },
    node::writer::Purpose,
};

/// A scope.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeView {
    /// Its name (RFC 6749 §3.3).
    #[schemars(length(min = 1, max = 96))]
    pub name: String,
    /// What it allows, in the words of a consent screen.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub description: String,
    /// Whether a token gets it when nothing is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Retired: given to nobody any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

/// A route.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteView {
    /// The method; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub method: Option<String>,
    /// The path: a slash and at most 512 bytes of segments, `*` for one, `**` last for the rest.
    #[schemars(length(min = 1, max = 513))]
    pub path: String,
    /// The scopes that it needs, all of them.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub scopes: Vec<String>,
}

/// An order for an API.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiOrder {
    /// Its short name.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,47}$"))]
    pub name: String,
    /// Its audience: an absolute URI.
    #[schemars(length(max = 255))]
    pub audience: String,
    /// Its scopes.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub scopes: Vec<ScopeView>,
}

/// An API.
#[derive(Serialize, JsonSchema)]
pub struct ApiView {
    /// Its id.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// Its audience.
    pub audience: String,
    /// Its scopes.
    pub scopes: Vec<ScopeView>,
    /// The hosts that its routes serve.
    pub hosts: Vec<String>,
    /// Its routes, first match wins; what matches none is refused.
    pub routes: Vec<RouteView>,
    /// The query parameter that may carry a credential; absent: queries are not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_parameter: Option<String>,
}

fn view(api: &Api) -> ApiView {
    let scope = |s: &jeton_core::scope::Scope| ScopeView {
        name: s.name.clone(),
        description: s.description.clone(),
        default: s.default,
        retired: s.retired,
    };
    let route = |r: &jeton_core::api::Route| RouteView {
        method: r.method.clone(),
        path: format!("/{}", r.path.as_str()),
        scopes: api.catalogue.names(&r.scopes).map(str::to_owned).collect(),
    };
    ApiView {
        id: api.id.to_string(),
        name: api.name.clone(),
        audience: api.audience.clone(),
        scopes: api.catalogue.scopes().iter().map(scope).collect(),
        hosts: api.hosts.clone(),
        routes: api.routes.iter().map(route).collect(),
        query_parameter: api.query_parameter.clone(),
    }
}

fn shown(caller: &Caller<impl Needs>, id: ApiId) -> Result<ApiView, Problem> {
    let directory = caller.doors().node.verifier.directory();
    Ok(view(
        directory
            .api(caller.tenant(), id)
            .ok_or(Refusal::NotFound)?,
    ))
}

fn scopes(views: &[ScopeView]) -> Vec<ScopeOrder> {
    let live = views.iter().filter(|v| !v.retired);
    live.map(|v| ScopeOrder {
        name: v.name.clone(),
        description: v.description.clone(),
        default: v.default,
    })
    .collect()
}

fn routes(views: &[RouteView]) -> Result<Vec<RouteOrder>, Blame> {
    let read = |(at, view): (usize, &RouteView)| {
        let path = Pattern::parse(&view.path).ok_or_else(|| {
            let rule = "segments divided by '/', '*' for one, '**' last for the rest";
            Blame::field(Refusal::FieldInvalid, format!("routes[{at}].path"), rule)
        })?;
        Ok(RouteOrder {
            method: view.method.clone(),
            path,
            scopes: view.scopes.clone(),
        })
    };
    views.iter().enumerate().map(read).collect()
}

/// Defines an API.
pub async fn create(
    caller: Caller<ApisWrite>,
    order: Order<ApiOrder, CATALOGUE_BYTES_MAX>,
) -> Result<Reply<ApiView>, Problem> {
    let ctx = caller.ctx_for("apis.create", &order.bytes);
    let id: ApiId = capability::draw_id(ctx.node.clock.time());
    let ApiOrder {
        name,
        audience,
        scopes: views,
    } = order.value;
    let orders = scopes(&views);
    let done = command(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| {
            catalogue::define(authority, id, (&name, &audience), &orders, facts.directory)
        },
    );
    let done = done.await?;
    let id = match done.outcome {
        Outcome::Fresh(id) => id,
        Outcome::Repeated(about) => ApiId::from_bytes(about),
    };
    Ok(Reply::new(StatusCode::CREATED, shown(&caller, id)?).at(done.size))
}

/// Lists all APIs.
pub async fn list(caller: Caller<ApisRead>) -> Result<Reply<Page<ApiView>>, Problem> {
    let directory = caller.doors().node.verifier.directory();
    let items = directory.apis(caller.tenant()).map(|a| view(a)).collect();
    Ok(Reply::new(StatusCode::OK, Page { items, next: None }))
}

/// Shows an API.
pub async fn get(
    caller: Caller<ApisRead>,
    PathId(id): PathId<ApiId>,
) -> Result<Reply<ApiView>, Problem> {
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?))
}

/// A catalogue.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopesOrder {
    /// All scopes. What is missing is retired; what is new gets a new number.
    #[schemars(length(max = 256))]
    pub scopes: Vec<ScopeView>,
}

/// Sets an API's catalogue.
pub async fn put_scopes(
    caller: Caller<ApisWrite>,
    PathId(id): PathId<ApiId>,
    order: Order<ScopesOrder, CATALOGUE_BYTES_MAX>,
) -> Result<Reply<ApiView>, Problem> {
    let ctx = caller.ctx();
    let orders = scopes(&order.value.scopes);
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| catalogue::set_scopes(authority, id, &orders, facts.directory),
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?).at(size))
}

/// Routes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutesOrder {
    /// The hosts that they serve, in lower case.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub hosts: Vec<String>,
    /// All routes, first match wins.
    #[schemars(length(max = 4096))]
    pub routes: Vec<RouteView>,
    /// A query parameter that may carry a credential where no header does; none: queries are not looked at. What stands in a
    /// query stands in logs and histories too.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,31}$"))]
    pub query_parameter: Option<String>,
}

/// Sets an API's routes.
pub async fn put_routes(
    caller: Caller<ApisWrite>,
    PathId(id): PathId<ApiId>,
    order: Order<RoutesOrder, CATALOGUE_BYTES_MAX>,
) -> Result<Reply<ApiView>, Problem> {
    let ctx = caller.ctx();
    let order = catalogue::RoutesOrder {
        routes: routes(&order.value.routes)?,
        hosts: order.value.hosts,
        query_parameter: order.value.query_parameter,
    };
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| catalogue::set_routes(authority, id, &order, facts.directory),
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?).at(size))
}

/// A description to import.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// An OpenAPI 3 description, as JSON.
    pub openapi: serde_json::Map<String, serde_json::Value>,
    /// Scopes that a token gets when nothing is asked for.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub defaults: Vec<String>,
    /// The hosts that its routes serve; unless told, those that it has stay.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub hosts: Option<Vec<String>>,
}

/// Sets an API's catalogue and routes from its OpenAPI description.
pub async fn import(
    caller: Caller<ApisWrite>,
    PathId(id): PathId<ApiId>,
    order: Order<ImportOrder, CATALOGUE_BYTES_MAX>,
) -> Result<Reply<ApiView>, Problem> {
    let ctx = caller.ctx();
    let read = openapi_import::read(&order.value.openapi, &order.value.defaults)?;
    let hosts = order.value.hosts;
    let orders = scopes(&read.scopes);
    let routes = routes(&read.routes)?;
    let set = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| catalogue::set_scopes(authority, id, &orders, facts.directory),
    );
    set.await?;
    // The routes name the scopes, so they come second; a crash between leaves scopes without routes, and an import can be
    // repeated.
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| {
            // A description can neither claim hosts nor opt in to credentials in the query: what was chosen stays.
            let found = facts.directory.api(authority.tenant(), id);
            let order = catalogue::RoutesOrder {
                hosts: hosts
                    .or_else(|| found.map(|a| a.hosts.clone()))
                    .unwrap_or_default(),
                routes,
                query_parameter: found.and_then(|a| a.query_parameter.clone()),
            };
            catalogue::set_routes(authority, id, &order, facts.directory)
        },
    );
    let size = size.await?;
    Ok(Reply::new(StatusCode::OK, shown(&caller, id)?).at(size))
}
