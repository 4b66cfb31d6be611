//! Scopes and routes out of an OpenAPI 3 description: what its `security` says of each operation.

use jeton_core::refusal::{Blame, Refusal};
use serde_json::{Map, Value};

use crate::http::apis::{RouteView, ScopeView};

/// What a description says.
pub struct Read {
    /// Every scope that a flow declares or an operation needs.
    pub scopes: Vec<ScopeView>,
    /// Every operation.
    pub routes: Vec<RouteView>,
}

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Reads a description.
///
/// # Errors
/// [`Refusal::FieldInvalid`] naming the place.
pub fn read(openapi: &Map<String, Value>, defaults: &[String]) -> Result<Read, Blame> {
    let version = openapi
        .get("openapi")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(Blame::field(
            Refusal::FieldInvalid,
            "openapi.openapi",
            "must be 3.x",
        ));
    }
    let mut scopes = declared(openapi);
    let mut routes = Vec::new();
    let common = openapi.get("security");
    let base = base_path(openapi);
    let paths = openapi.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if !METHODS.contains(&method.as_str()) {
                continue;
            }
            let place = format!("openapi.paths.{path}.{method}.security");
            let security = operation.get("security").or(common);
            let needed = needed(security, &place)?;
            for name in &needed {
                if !scopes.iter().any(|s| s.name == *name) {
                    scopes.push(scope(name, ""));
                }
            }
            let path = pattern(&format!("{base}{path}"));
            routes.push(RouteView {
                method: Some(method.to_uppercase()),
                path,
                scopes: needed,
            });
        }
    }
    // A literal segment says more than a parameter: it comes first.
    routes.sort_by_key(|r| {
        (
            r.path.matches('*').count(),
            r.path.clone(),
            r.method.clone(),
        )
    });
    for name in defaults {
        let found = scopes.iter_mut().find(|s| s.name == *name);
        found
            .ok_or_else(|| {
                Blame::field(Refusal::ScopeUnknown, "defaults", "not in the description")
            })?
            .default = true;
    }
    Ok(Read { scopes, routes })
}

fn scope(name: &str, description: &str) -> ScopeView {
    let (name, description) = (name.to_owned(), description.to_owned());
    ScopeView {
        name,
        description,
        default: false,
        retired: false,
    }
}

/// The scopes that OAuth flows declare, with their descriptions.
fn declared(openapi: &Map<String, Value>) -> Vec<ScopeView> {
    let schemes = openapi
        .get("components")
        .and_then(|c| c.get("securitySchemes"));
    let mut out: Vec<ScopeView> = Vec::new();
    for scheme in schemes
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(_, s)| s)
    {
        let flows = scheme.get("flows").and_then(Value::as_object);
        for flow in flows.into_iter().flatten().map(|(_, f)| f) {
            let scopes = flow.get("scopes").and_then(Value::as_object);
            for (name, words) in scopes.into_iter().flatten() {
                if !out.iter().any(|s| s.name == *name) {
                    out.push(scope(name, words.as_str().unwrap_or_default()));
                }
            }
        }
    }
    out
}

/// The scopes of an operation. Alternatives cannot be kept as one need, and what has another shape says nothing that can be
/// kept: both are refused, rather than half understood.
fn needed(security: Option<&Value>, place: &str) -> Result<Vec<String>, Blame> {
    let Some(security) = security else {
        return Ok(Vec::new());
    };
    let malformed = || {
        let rule = "must be a list of objects that name lists of scopes";
        Blame::field(Refusal::FieldInvalid, place, rule)
    };
    let mut sets: Vec<Vec<String>> = Vec::new();
    for alternative in security.as_array().ok_or_else(malformed)? {
        let mut names = Vec::new();
        for scopes in alternative.as_object().ok_or_else(malformed)?.values() {
            for name in scopes.as_array().ok_or_else(malformed)? {
                names.push(name.as_str().ok_or_else(malformed)?.to_owned());
            }
        }
        names.sort();
        names.dedup();
        sets.push(names);
    }
    sets.dedup();
    if sets.len() > 1 {
        let rule = "alternatives need different scopes: jeton's routes take one set";
        return Err(Blame::field(Refusal::FieldInvalid, place, rule));
    }
    Ok(sets.pop().unwrap_or_default())
}

/// The path of the first server, without a trailing slash.
fn base_path(openapi: &Map<String, Value>) -> String {
    let url = openapi
        .get("servers")
        .and_then(Value::as_array)
        .and_then(|s| s.first())
        .and_then(|s| s.get("url"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|at| rest.get(at..))
            .unwrap_or_default(),
        None => url,
    };
    path.trim_end_matches('/').to_owned()
}

/// `/docs/{id}` as `/docs/*`.
fn pattern(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|s| if s.contains('{') { "*" } else { s });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_routes_are_read() {
        let text = r#"{"openapi":"3.1.0","servers":[{"url":"https://x.test/v1/"}],
            "components":{"securitySchemes":{"o":{"type":"oauth2","flows":{"clientCredentials":
                {"scopes":{"docs:read":"Read documents."}}}}}},
            "paths":{"/docs/{id}":{"get":{"security":[{"o":["docs:read"]}]}},
                "/docs/new":{"get":{"security":[{"o":["docs:write"]}]}}}}"#;
        let Value::Object(map) = serde_json::from_str(text).unwrap() else {
            panic!()
        };
        let read = read(&map, &["docs:read".to_owned()]).unwrap_or_else(|b| panic!("{b:?}"));
        let paths: Vec<_> = read.routes.iter().map(|r| r.path.as_str()).collect();
        assert_eq!(paths, ["/v1/docs/new", "/v1/docs/*"]);
        assert_eq!(read.scopes.len(), 2);
        assert!(read.scopes[0].default && read.scopes[0].description == "Read documents.");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for security in [
            r#"[{"o":["x"]},{"o":["y"]}]"#,
            r#"[{"o":["x"]},{}]"#,
            r#"{"o":["x"]}"#,
            r#"["x"]"#,
            r#"[{"o":"x"}]"#,
            r#"[{"o":[1]}]"#,
            "null",
        ] {
            let text = format!(
                r#"{{"openapi":"3.0.0","paths":{{"/a":{{"get":{{"security":{security}}}}}}}}}"#
            );
            let map: Map<String, Value> = serde_json::from_str(&text).unwrap();
            assert!(read(&map, &[]).is_err(), "{security}");
        }
    }
}
