//! The OpenAPI 3.1 description, made of the same table as the router.

use std::sync::OnceLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use jeton_core::{
    api::own_catalogue,
    id::{ApiKind, AppKind, Kind as _, RoleKind, TenantKind, TokenKind, UserKind},
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::http::{
    error::ProblemView,
    routes::{Access, Operation, table},
};

/// Serves the description.
pub async fn serve() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| describe().to_string());
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], text.as_str()).into_response()
}

/// The description.
#[must_use]
pub fn describe() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemView>();
    let mut paths: Map<String, Value> = Map::new();
    for (operation, _) in table() {
        let described = operation_value(&operation, &mut generator, problem.as_value());
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(operation.method.to_owned(), described);
        }
    }
    let schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "jeton",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The token authority of an API.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token of jeton's own API." },
            },
        },
    })
}

fn operation_value(
    operation: &Operation,
    generator: &mut schemars::SchemaGenerator,
    problem: &Value,
) -> Value {
    let mut out = json!({ "operationId": operation.id, "summary": operation.summary });
    let Some(map) = out.as_object_mut() else {
        return out;
    };
    let scopes: Vec<&str> = match operation.access {
        Access::AnyOf(any_of) => any_of
            .iter()
            .filter_map(|n| own_catalogue().name(*n))
            .collect(),
        Access::Public | Access::Holder => Vec::new(),
    };
    if matches!(operation.access, Access::Public) {
        map.insert("security".into(), json!([]));
    } else {
        map.insert("security".into(), json!([{ "bearer": [] }]));
    }
    if !scopes.is_empty() {
        map.insert(
            "description".into(),
            json!(format!("Needs any of: {}.", scopes.join(", "))),
        );
        map.insert("x-jeton-scopes".into(), json!(scopes));
    }
    let parameters = parameters(operation, generator);
    if !parameters.is_empty() {
        map.insert("parameters".into(), Value::Array(parameters));
    }
    if let Some(body) = operation.body {
        let schema = body(generator).to_value();
        let content = json!({ "application/json": { "schema": schema } });
        map.insert(
            "requestBody".into(),
            json!({ "required": true, "content": content }),
        );
    }
    map.insert("responses".into(), responses(operation, generator, problem));
    out
}

fn parameters(operation: &Operation, generator: &mut schemars::SchemaGenerator) -> Vec<Value> {
    let mut out = Vec::new();
    if operation.path.contains("{id}") {
        let schema = json!({ "type": "string", "pattern": id_pattern(operation.path) });
        out.push(json!({ "name": "id", "in": "path", "required": true, "schema": schema }));
    }
    if !matches!(operation.access, Access::Public | Access::Holder) {
        let schema = json!({ "type": "integer", "minimum": 0 });
        let words = "The node must have seen so much of the ledger, else 412.";
        out.push(json!({
            "name": "Jeton-At-Least", "in": "header", "required": false, "schema": schema, "description": words
        }));
    }
    let query = operation.query.map(|q| q(generator).to_value());
    let fields = query.as_ref().and_then(|q| take(q, generator));
    for (name, schema) in fields.into_iter().flatten() {
        out.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
    }
    out
}

/// What stands at `{id}` in a path.
fn id_pattern(path: &str) -> String {
    let of = |prefix: &str| format!("^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$");
    match path.split('/').nth(2) {
        Some("tokens") => of(TokenKind::PREFIX),
        Some("users") => of(UserKind::PREFIX),
        Some("apps") => of(AppKind::PREFIX),
        Some("roles") => of(RoleKind::PREFIX),
        Some("apis") => of(ApiKind::PREFIX),
        Some("tenants") => of(TenantKind::PREFIX),
        Some("proof") => "^(tok_[0-9a-hjkmnp-tv-z]{26}|[0-9]{1,20})$".to_owned(),
        Some("ledger") => "^[0-9a-f]{8}$".to_owned(),
        Some("policies") => "^(key|pat|svc|pub)$".to_owned(),
        _ => "^[a-z_]{1,64}$".to_owned(),
    }
}

/// The properties of a query's schema, which is not kept: no body has its shape.
fn take(schema: &Value, generator: &mut schemars::SchemaGenerator) -> Option<Map<String, Value>> {
    let name = schema.get("$ref")?.as_str()?.rsplit('/').next()?;
    let definition = generator.definitions_mut().remove(name)?;
    definition.get("properties")?.as_object().cloned()
}

/// Every status that an operation may answer.
#[must_use]
pub fn statuses(operation: &Operation) -> Vec<u16> {
    // 400: two credentials, or a header that is another one in disguise.
    let mut out = vec![operation.answer.0, 400];
    if !matches!(operation.access, Access::Public) {
        out.extend([401, 403, 429]);
    }
    if matches!(operation.access, Access::AnyOf(_)) {
        out.extend([412, 422]);
    }
    if operation.body.is_some() {
        out.extend([413, 415, 422]);
    }
    if operation.path.contains("{id}") || operation.query.is_some() || operation.body.is_some() {
        out.push(404);
    }
    if operation.query.is_some() {
        out.push(422);
    }
    if operation.id == "setup" {
        out.push(401);
    }
    if operation.id == "checkpoint" {
        out.extend([304, 404]);
    }
    if operation.conflicts {
        out.push(409);
    }
    let changes = !matches!(operation.id, "check" | "checkBatch" | "findToken");
    if operation.method != "get" && changes {
        out.push(507);
    }
    out.extend([500, 503]);
    out.sort_unstable();
    out.dedup();
    out
}

fn responses(
    operation: &Operation,
    generator: &mut schemars::SchemaGenerator,
    problem: &Value,
) -> Value {
    let mut out = Map::new();
    for status in statuses(operation) {
        let known = http::StatusCode::from_u16(status).ok();
        let words = known.and_then(|s| s.canonical_reason()).unwrap_or("answer");
        let described = if status == operation.answer.0 {
            let content = operation.answer.1.map(|schema| {
                let schema = schema(generator).to_value();
                json!({ operation.media: { "schema": schema } })
            });
            match content {
                Some(content) => json!({ "description": words, "content": content }),
                None => json!({ "description": words }),
            }
        } else {
            let content = json!({ "application/problem+json": { "schema": problem } });
            json!({ "description": words, "content": content })
        };
        out.insert(status.to_string(), described);
    }
    Value::Object(out)
}
