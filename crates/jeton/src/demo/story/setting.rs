//! What must be there before tokens are: an operator, a tenant, APIs, and a credential for whoever asks.

use http::Method;
use serde_json::{Map, Value, json};

use super::{Call, Talk, text};
use crate::{http::openapi_import, serve::Running};

pub(in crate::demo) async fn found(
    running: &Running,
    jeton: &Talk,
) -> anyhow::Result<(String, String)> {
    let (secret, _) = running.setup.as_ref().ok_or_else(|| {
        anyhow::anyhow!("this data directory was set up before: the demo wants a fresh one")
    })?;
    let setup = json!({"secret": secret.expose_secret()});
    let said = jeton
        .say(Method::POST, "/v1/setup", None, Some(&setup))
        .await?;
    anyhow::ensure!(said.status == 201, "setup answered {}", said.status);
    let operator = text(&said.body, &["secret"])?;
    let tenant = json!({"prefix": "acme", "name": "Acme"});
    let tenant = jeton
        .order(Method::POST, "/v1/tenants", &operator, &tenant)
        .await?;
    Ok((operator, text(&tenant, &["secret"])?))
}

/// Defines two APIs, the first from the description, and picks a call to read with and one to write with.
pub(super) async fn define_apis(
    jeton: &Talk,
    admin: &str,
    openapi: &Map<String, Value>,
) -> anyhow::Result<(Call, Call)> {
    let define = json!({"name": "documents", "audience": "https://documents.example.test"});
    let api = jeton
        .order(Method::POST, "/v1/apis", admin, &define)
        .await?;
    let described = openapi_import::read(openapi, &[])
        .map_err(|b| anyhow::anyhow!("the description: {}", b.rule.unwrap_or_default()))?;
    let call = |route: &crate::http::apis::RouteView| -> Option<Call> {
        let method = route.method.as_deref()?.parse().ok()?;
        let [scope] = &route.scopes[..] else {
            return None;
        };
        Some(Call {
            method,
            path: route.path.replace('*', "1"),
            scope: scope.clone(),
        })
    };
    let calls: Vec<Call> = described.routes.iter().filter_map(call).collect();
    let read = calls
        .iter()
        .find(|c| c.method == Method::GET)
        .or_else(|| calls.first());
    let read =
        read.ok_or_else(|| anyhow::anyhow!("the description has no operation with one scope"))?;
    let write = calls.iter().find(|c| c.scope != read.scope);
    let write =
        write.ok_or_else(|| anyhow::anyhow!("the description needs two different scopes"))?;
    let import = json!({"openapi": openapi, "defaults": [read.scope]});
    let path = format!("/v1/apis/{}/import", text(&api, &["id"])?);
    jeton.order(Method::POST, &path, admin, &import).await?;
    let billing = json!({
        "name": "billing", "audience": "https://billing.example.test",
        "scopes": [{"name": "invoices:read", "description": "Read invoices."}],
    });
    jeton
        .order(Method::POST, "/v1/apis", admin, &billing)
        .await?;
    Ok((read.clone(), write.clone()))
}

/// The credential that the example APIs show to jeton: may check, and no more.
pub(super) async fn checker(jeton: &Talk, admin: &str) -> anyhow::Result<String> {
    let ada = jeton
        .order(Method::POST, "/v1/users", admin, &json!({"name": "Ada"}))
        .await?;
    let may = json!({"grants": [{"api": "jeton", "scopes": ["jeton:check"]}]});
    let app = json!({"sponsor": text(&ada, &["id"])?, "permit": may, "name": "documents service"});
    let app = jeton.order(Method::POST, "/v1/apps", admin, &app).await?;
    let order = json!({
        "class": "svc", "subject": text(&app, &["id"])?,
        "grants": [{"api": "jeton", "scopes": ["jeton:check"]}], "name": "checker",
    });
    text(
        &jeton
            .order(Method::POST, "/v1/tokens", admin, &order)
            .await?,
        &["secret"],
    )
}
