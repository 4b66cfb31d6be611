//! For each operation a request that would do it.

use jeton::http::routes::Operation;
use serde_json::{Value, json};

use crate::world::Ids;

/// A request that does the operation to these things, for whoever may.
pub(crate) fn call(operation: &Operation, ids: &Ids) -> (String, Option<Value>) {
    let body = match operation.id {
        "check" => json!({"token": ids.token_text, "api": ids.api}),
        "checkBatch" => json!({"checks": [{"token": ids.token_text, "api": ids.api}]}),
        "createToken" => json!({"class": "key", "subject": ids.user}),
        "findToken" => json!({"token": ids.token_text}),
        "cutOff" => json!({"subject": ids.app}),
        "eraseTokens" => json!({"tokens": [ids.token]}),
        "changeToken" => json!({"lifetime_s": 3600}),
        "setUserRoles" => json!({"roles": [ids.role]}),
        "setUserState" | "setAppState" | "setTenantState" => json!({"state": "active"}),
        "createApp" => json!({"sponsor": ids.user, "permit": {}}),
        "changeApp" => json!({"permit": {}, "sponsor": ids.user}),
        "createRole" => json!({"name": format!("role-{}", &ids.api[20..]), "permit": {}}),
        "createApi" => {
            json!({"name": format!("api-{}", &ids.api[20..]), "audience": "urn:new:api"})
        }
        "setApiScopes" => json!({"scopes": [{"name": "read", "default": true}, {"name": "write"}]}),
        "setApiRoutes" => json!({"routes": [{"path": "/read", "scopes": ["read"]}]}),
        "importApi" => {
            json!({"openapi": {"openapi": "3.0.0", "info": {"title": "t", "version": "1"},
            "paths": {}}})
        }
        "setPolicy" => json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400,
            "permanent": false, "overlap_max_s": 3600}),
        "setup" => json!({"secret": "it was spent long ago"}),
        "createTenant" => json!({"prefix": "third"}),
        "changePeppers" => json!({"action": "rotate"}),
        "revokeShown" => json!({"token": "not-a-token"}),
        "rotateToken" | "rotateOwnToken" | "suspendToken" | "resumeToken" | "revokeToken"
        | "createUser" | "changeRole" | "setUserWords" | "setAppWords" | "addLedgerKey"
        | "retireLedgerKey" => json!({}),
        _ => Value::Null,
    };
    assert_eq!(
        body.is_null(),
        operation.body.is_none(),
        "{}: an operation without a request here: write one",
        operation.id
    );
    (path(operation, ids), (!body.is_null()).then_some(body))
}

/// A request whose body cannot be an order: whoever passes the door is told so, and nothing is done.
pub(crate) fn harmless(operation: &Operation, never: &Ids) -> (String, Option<Value>) {
    let body = operation.body.is_some().then(|| json!("harmless"));
    (path(operation, never), body)
}

/// The path, its id that of a thing of its kind.
pub(crate) fn path(operation: &Operation, ids: &Ids) -> String {
    let id = match operation.path.split('/').nth(2) {
        Some("tokens" | "proof") => &ids.token,
        Some("users") => &ids.user,
        Some("apps") => &ids.app,
        Some("roles") => &ids.role,
        Some("apis") => &ids.api,
        Some("tenants") => &ids.tenant,
        Some("ledger") => "00000000",
        Some("policies") => "key",
        _ => "not_found",
    };
    operation.path.replace("{id}", id)
}
