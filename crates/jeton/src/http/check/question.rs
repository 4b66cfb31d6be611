//! What a view asks: its names looked up in the directory, its bounds kept.

use std::borrow::Cow;

use jeton_core::{
    check::question::Question,
    directory::Directory,
    id::{ApiId, TenantId},
    refusal::{Blame, Refusal},
    resource::RESOURCE_BYTES_MAX,
    scope::ScopeSet,
};

use super::view::CheckView;
use crate::{app::order, http::error::Problem};

/// The bounds that the description promises.
pub(super) fn bounded(view: &CheckView<'_>, field: &str) -> Result<(), Blame> {
    let len = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |t| t.len());
    for (name, len, most) in [
        ("api", view.api.len(), 255),
        ("resource", len(&view.resource), RESOURCE_BYTES_MAX),
        ("method", len(&view.method), 16),
        ("path", len(&view.path), 4096),
    ] {
        if len > most {
            let rule = format!("at most {most} bytes");
            return Err(Blame::field(
                Refusal::FieldInvalid,
                format!("{field}{name}"),
                rule,
            ));
        }
    }
    if view.scopes.as_ref().is_some_and(|s| s.len() > 64) {
        return Err(Blame::field(
            Refusal::TooMany,
            format!("{field}scopes"),
            "at most 64 scopes",
        ));
    }
    Ok(())
}

/// The question that a view asks.
pub(super) fn question<'a>(
    directory: &Directory,
    tenant: TenantId,
    view: &'a CheckView<'_>,
    field: &str,
) -> Result<Question<'a>, Problem> {
    let api = order::api(directory, tenant, &view.api, &format!("{field}api"));
    let api = api.map_err(|blame| Blame {
        refusal: Refusal::FieldInvalid,
        ..blame
    })?;
    let needed = match &view.scopes {
        Some(names) => order::scopes(directory, (tenant, api), names, &format!("{field}scopes"))?,
        None => by_route(directory, (tenant, api), view, field)?,
    };
    Ok(asking((tenant, api, needed), view))
}

/// The question, once its names are known.
pub(super) fn asking<'a>(
    (tenant, api, needed): (TenantId, ApiId, ScopeSet),
    view: &'a CheckView<'_>,
) -> Question<'a> {
    Question {
        tenant,
        api,
        needed,
        resource: view.resource.as_deref(),
        address: view.address,
        method: view.method.as_deref(),
        path: view.path.as_deref(),
    }
}

fn by_route(
    directory: &Directory,
    (tenant, api): (TenantId, ApiId),
    view: &CheckView<'_>,
    field: &str,
) -> Result<ScopeSet, Problem> {
    let routes = directory.api(tenant, api).filter(|a| !a.routes.is_empty());
    match (routes, &view.method, &view.path) {
        (Some(api), Some(method), Some(path)) => {
            let path = path.split('?').next().unwrap_or_default();
            api.route(method, path).ok_or_else(|| {
                let rule = "no route of the API serves this method and path";
                Blame::field(Refusal::FieldInvalid, format!("{field}path"), rule).into()
            })
        }
        _ => Ok(ScopeSet::EMPTY),
    }
}
