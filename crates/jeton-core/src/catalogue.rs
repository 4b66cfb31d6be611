//! APIs: defined with an audience, given a catalogue of scopes and a table of routes.

use crate::{
    api::{
        AUDIENCE_BYTES_MAX, HOSTS_MAX, JETON_API_NAME, ROUTES_MAX, Route, is_audience,
        is_query_parameter, is_slug, own,
    },
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::Event,
    id::ApiId,
    refusal::{Blame, Refusal},
    role::SLUG_RULE,
    scope::{Catalogue, SCOPE_DESCRIPTION_BYTES_MAX, SCOPES_MAX, Scope, is_scope_name},
};

/// What a caller says of one scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopeOrder {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub description: String,
    /// Whether a token gets it when nothing is asked for.
    pub default: bool,
}

/// A route, with its scopes by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteOrder {
    /// The method; none: any.
    pub method: Option<String>,
    /// The path's pattern.
    pub path: crate::resource::Pattern,
    /// The scopes that it needs.
    pub scopes: Vec<String>,
}

/// All that forward-auth shall decide by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutesOrder {
    /// Hosts in lower case.
    pub hosts: Vec<String>,
    /// The table, first match wins.
    pub routes: Vec<RouteOrder>,
    /// The query parameter that may carry a credential.
    pub query_parameter: Option<String>,
}

/// Defines an API with its first catalogue.
pub fn define(
    authority: &Authority,
    api: ApiId,
    (name, audience): (&str, &str),
    scopes: &[ScopeOrder],
    directory: &Directory,
) -> Decision<ApiId> {
    let decide = || {
        authorised(authority)?;
        if !is_slug(name) {
            return Err(Blame::field(Refusal::FieldInvalid, "name", SLUG_RULE));
        }
        if name == JETON_API_NAME || directory.api_named(authority.tenant(), name).is_some() {
            return Err(Blame::field(
                Refusal::NameTaken,
                "name",
                "another API has this name",
            ));
        }
        if !is_audience(audience) {
            let rule =
                format!("an absolute URI without fragment, at most {AUDIENCE_BYTES_MAX} bytes");
            return Err(Blame::field(Refusal::FieldInvalid, "audience", rule));
        }
        if directory
            .apis(authority.tenant())
            .any(|a| a.audience == audience)
        {
            return Err(Blame::field(
                Refusal::NameTaken,
                "audience",
                "another API has this audience",
            ));
        }
        let catalogue = merged(&Catalogue::default(), scopes)?;
        let defined = Event::ApiDefined {
            api,
            name: name.to_owned(),
            audience: audience.to_owned(),
        };
        Ok((
            api,
            vec![
                defined,
                Event::CatalogueSet {
                    api,
                    scopes: catalogue,
                },
            ],
        ))
    };
    decide().into()
}

/// Sets an API's catalogue: names that are new get new numbers, names that are missing are retired.
pub fn set_scopes(
    authority: &Authority,
    api: ApiId,
    scopes: &[ScopeOrder],
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let found = directory
            .api(authority.tenant(), api)
            .ok_or(Refusal::NotFound)?;
        let after = merged(&found.catalogue, scopes)?;
        let events = if after == found.catalogue.scopes() {
            Vec::new()
        } else {
            vec![Event::CatalogueSet { api, scopes: after }]
        };
        Ok(((), events))
    };
    decide().into()
}

/// The catalogue after an order: numbers stay, so that no token ever means something else.
fn merged(before: &Catalogue, orders: &[ScopeOrder]) -> Result<Vec<Scope>, Blame> {
    let mut after: Vec<Scope> = before
        .scopes()
        .iter()
        .map(|s| Scope {
            retired: true,
            ..s.clone()
        })
        .collect();
    for (at, order) in orders.iter().enumerate() {
        if !is_scope_name(&order.name) {
            let rule = "1 to 96 printable ASCII characters without space, '\"' and '\\'";
            return Err(Blame::field(
                Refusal::FieldInvalid,
                format!("scopes[{at}].name"),
                rule,
            ));
        }
        if order.description.len() > SCOPE_DESCRIPTION_BYTES_MAX {
            let field = format!("scopes[{at}].description");
            return Err(Blame::field(
                Refusal::FieldInvalid,
                field,
                "at most 500 bytes",
            ));
        }
        let scope = Scope {
            name: order.name.clone(),
            description: order.description.clone(),
            default: order.default,
            retired: false,
        };
        match after.iter_mut().find(|s| s.name == order.name) {
            Some(twice) if !twice.retired => {
                let field = format!("scopes[{at}].name");
                return Err(Blame::field(
                    Refusal::NameTaken,
                    field,
                    "the name stands here twice",
                ));
            }
            Some(old) => *old = scope,
            None => after.push(scope),
        }
    }
    if after.len() > SCOPES_MAX {
        let rule = "at most 256 scopes an API, retired ones included";
        return Err(Blame::field(Refusal::TooMany, "scopes", rule));
    }
    Ok(after)
}

/// Sets the routes that forward-auth decides by. First match wins; what matches none is refused.
pub fn set_routes(
    authority: &Authority,
    api: ApiId,
    order: &RoutesOrder,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        authorised(authority)?;
        let found = directory
            .api(authority.tenant(), api)
            .ok_or(Refusal::NotFound)?;
        if order.routes.len() > ROUTES_MAX {
            return Err(Blame::field(
                Refusal::TooMany,
                "routes",
                "at most 4096 routes an API",
            ));
        }
        let hosts = hosts_free(api, &order.hosts, directory)?;
        let query_parameter = order.query_parameter.clone();
        if query_parameter
            .as_deref()
            .is_some_and(|name| !is_query_parameter(name))
        {
            let rule = "a letter, then at most 31 letters, digits, '_', '.' or '-'";
            return Err(Blame::field(Refusal::FieldInvalid, "query_parameter", rule));
        }
        let numbered: Result<Vec<Route>, Blame> = order
            .routes
            .iter()
            .enumerate()
            .map(|(at, r)| route(&found.catalogue, at, r))
            .collect();
        let routes = numbered?;
        let same = hosts == found.hosts
            && routes == found.routes
            && query_parameter == found.query_parameter;
        let set = Event::RoutesSet {
            api,
            hosts,
            routes,
            query_parameter,
        };
        let events = if same { Vec::new() } else { vec![set] };
        Ok(((), events))
    };
    decide().into()
}

fn hosts_free(api: ApiId, hosts: &[String], directory: &Directory) -> Result<Vec<String>, Blame> {
    if hosts.len() > HOSTS_MAX {
        return Err(Blame::field(
            Refusal::TooMany,
            "hosts",
            "at most 16 hosts an API",
        ));
    }
    let mut out: Vec<String> = Vec::with_capacity(hosts.len());
    for (at, host) in hosts.iter().enumerate() {
        let legal = |b: u8| {
            b.is_ascii_lowercase()
                || b.is_ascii_digit()
                || matches!(b, b'-' | b'.' | b':' | b'[' | b']')
        };
        let field = format!("hosts[{at}]");
        if host.is_empty() || host.len() > 255 || !host.bytes().all(legal) {
            let rule = "a host name or address in lower case, with its port if not the default";
            return Err(Blame::field(Refusal::FieldInvalid, field, rule));
        }
        let foreign = directory.api_of_host(host).is_some_and(|a| a.id != api);
        if foreign || out.contains(host) {
            return Err(Blame::field(
                Refusal::NameTaken,
                field,
                "the host is served already",
            ));
        }
        out.push(host.clone());
    }
    Ok(out)
}

fn route(catalogue: &Catalogue, at: usize, order: &RouteOrder) -> Result<Route, Blame> {
    let scopes: Result<_, Blame> = order
        .scopes
        .iter()
        .enumerate()
        .map(|(n, name)| {
            catalogue.number(name).ok_or_else(|| {
                let field = format!("routes[{at}].scopes[{n}]");
                Blame::field(Refusal::ScopeUnknown, field, "not in the API's catalogue")
            })
        })
        .collect();
    let method = order.method.as_ref();
    if method.is_some_and(|m| m.is_empty() || !m.bytes().all(|b| b.is_ascii_uppercase())) {
        let field = format!("routes[{at}].method");
        return Err(Blame::field(
            Refusal::FieldInvalid,
            field,
            "a method in upper case",
        ));
    }
    Ok(Route {
        method: method.cloned(),
        path: order.path.clone(),
        scopes: scopes?,
    })
}

fn authorised(authority: &Authority) -> Result<(), Blame> {
    if authority.holds(own::APIS_WRITE) {
        Ok(())
    } else {
        Err(Refusal::ScopeMissing.into())
    }
}
