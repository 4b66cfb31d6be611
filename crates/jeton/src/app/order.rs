//! Reading names into ids and scope numbers: from what callers write to what rules take.

use jeton_core::{
    api::{JETON_API, JETON_API_NAME, JETON_AUDIENCE},
    directory::Directory,
    id::{ApiId, RoleId, TenantId},
    permit::{Conditions, GRANTS_MAX, Give, Grant, Network, Rights},
    refusal::{Blame, Refusal},
    resource::{PATTERNS_MAX, Pattern},
    scope::ScopeSet,
    time::Span,
};

use crate::http::view::{ConditionsView, GiveView, GrantView};

/// An API by id, short name or audience.
///
/// # Errors
/// [`Refusal::NotFound`] blamed on the field.
pub fn api(
    directory: &Directory,
    tenant: TenantId,
    text: &str,
    field: &str,
) -> Result<ApiId, Blame> {
    if text == JETON_API_NAME || text == JETON_AUDIENCE {
        return Ok(JETON_API);
    }
    let by_id = text
        .parse()
        .ok()
        .filter(|id| directory.catalogue(tenant, *id).is_some());
    by_id
        .or_else(|| directory.api_named(tenant, text).map(|a| a.id))
        .or_else(|| {
            directory
                .apis(tenant)
                .find(|a| a.audience == text)
                .map(|a| a.id)
        })
        .ok_or_else(|| {
            Blame::field(
                Refusal::NotFound,
                field,
                "no API of the tenant has this id, name or audience",
            )
        })
}

/// A role by id or short name.
///
/// # Errors
/// [`Refusal::NotFound`] blamed on the field.
pub fn role(
    directory: &Directory,
    tenant: TenantId,
    text: &str,
    field: &str,
) -> Result<RoleId, Blame> {
    let by_id = text
        .parse()
        .ok()
        .filter(|id| directory.role(tenant, *id).is_some());
    by_id
        .or_else(|| directory.role_named(tenant, text).map(|r| r.id))
        .ok_or_else(|| {
            Blame::field(
                Refusal::NotFound,
                field,
                "no role of the tenant has this id or name",
            )
        })
}

/// Scopes of an API by name.
///
/// # Errors
/// [`Refusal::ScopeUnknown`] blamed on the field.
pub fn scopes<S: AsRef<str>>(
    directory: &Directory,
    (tenant, api): (TenantId, ApiId),
    names: &[S],
    field: &str,
) -> Result<ScopeSet, Blame> {
    let catalogue = directory.catalogue(tenant, api).ok_or(Refusal::NotFound)?;
    let number = |(at, name): (usize, &S)| {
        catalogue.number(name.as_ref()).ok_or_else(|| {
            let field = format!("{field}[{at}]");
            Blame::field(Refusal::ScopeUnknown, field, "not in the API's catalogue")
        })
    };
    names.iter().enumerate().map(number).collect()
}

/// Patterns; none written means everything.
///
/// # Errors
/// [`Refusal::FieldInvalid`] blamed on the field.
pub fn patterns(texts: &[String], field: &str) -> Result<Vec<Pattern>, Blame> {
    if texts.len() > PATTERNS_MAX {
        return Err(Blame::field(Refusal::TooMany, field, "at most 64 patterns"));
    }
    let pattern = |(at, text): (usize, &String)| {
        Pattern::parse(text).ok_or_else(|| {
            let rule =
                "segments divided by '/', '*' for one, '**' last for the rest, at most 512 bytes";
            Blame::field(Refusal::FieldInvalid, format!("{field}[{at}]"), rule)
        })
    };
    texts.iter().enumerate().map(pattern).collect()
}

/// Grants into rights.
///
/// # Errors
/// A [`Blame`] on the field that is wrong.
pub fn rights(
    directory: &Directory,
    tenant: TenantId,
    grants: &[GrantView],
    field: &str,
) -> Result<Rights, Blame> {
    if grants.len() > GRANTS_MAX {
        return Err(Blame::field(Refusal::TooMany, field, "at most 64 grants"));
    }
    let grant = |(at, view): (usize, &GrantView)| {
        let field = format!("{field}[{at}]");
        let id = api(directory, tenant, &view.api, &format!("{field}.api"))?;
        let set = scopes(
            directory,
            (tenant, id),
            &view.scopes,
            &format!("{field}.scopes"),
        )?;
        let mut resources = patterns(&view.resources, &format!("{field}.resources"))?;
        if resources.is_empty() {
            resources.push(Pattern::everything());
        }
        Ok(Grant {
            api: id,
            scopes: set,
            resources,
        })
    };
    let grants: Result<Vec<Grant>, Blame> = grants.iter().enumerate().map(grant).collect();
    Ok(Rights::Listed(grants?).normal())
}

/// What may be handed on.
///
/// # Errors
/// A [`Blame`] on the field that is wrong.
pub fn give(directory: &Directory, tenant: TenantId, view: &GiveView) -> Result<Give, Blame> {
    let rights = if view.everything {
        Rights::All
    } else {
        rights(directory, tenant, &view.grants, "give.grants")?
    };
    let conditions = conditions(&view.conditions, "give.conditions")?;
    Ok(Give {
        rights,
        conditions,
        lifetime_max: view.lifetime_max_s.map(Span::seconds),
    })
}

/// Conditions.
///
/// # Errors
/// A [`Blame`] on the field that is wrong.
pub fn conditions(view: &ConditionsView, field: &str) -> Result<Conditions, Blame> {
    let network = |(at, text): (usize, &String)| {
        Network::parse(text).ok_or_else(|| {
            let field = format!("{field}.networks[{at}]");
            Blame::field(
                Refusal::FieldInvalid,
                field,
                "an address or a network in CIDR notation",
            )
        })
    };
    if view.networks.len() > PATTERNS_MAX || view.methods.len() > PATTERNS_MAX {
        return Err(Blame::field(
            Refusal::TooMany,
            field,
            "at most 64 entries in each list",
        ));
    }
    let networks: Result<Vec<Network>, Blame> =
        view.networks.iter().enumerate().map(network).collect();
    for (at, method) in view.methods.iter().enumerate() {
        if method.is_empty() || method.len() > 16 || !method.bytes().all(|b| b.is_ascii_uppercase())
        {
            let field = format!("{field}.methods[{at}]");
            return Err(Blame::field(
                Refusal::FieldInvalid,
                field,
                "a method in upper case",
            ));
        }
    }
    Ok(Conditions {
        networks: networks?,
        methods: view.methods.clone(),
        paths: patterns(&view.paths, &format!("{field}.paths"))?,
        not_before: view.not_before.map(|t| t.0.whole_second()),
    })
}
