//! Who may do what: every operation × every kind of caller × every way to show a credential, against the table that the
//! router is made of. Nothing foreign can be reached, seen or named, and what is not in the table is not there.
//!
//! `JETON_FULL=1` shows every caller's credential in every way (the gate `authz-matrix`); `JETON_CONTROL=1` lets everybody
//! in as the admin, and must fail.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

#[path = "authz/calls.rs"]
mod calls;
mod common;
#[path = "authz/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use common::{Said, send};
use jeton::http::routes::{Access, Operation, table};
use jeton_core::api::own_catalogue;
use serde_json::{Value, json};
use world::{Ids, Kind, Principal, Shown, World};

#[expect(
    clippy::disallowed_methods,
    reason = "the gate tells the test what to do"
)]
fn asked_for(name: &str) -> bool {
    std::env::var(name).is_ok_and(|v| v == "1")
}

fn operations() -> Vec<Operation> {
    table()
        .into_iter()
        .map(|(operation, _)| operation)
        .collect()
}

/// What the door must say.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    /// Let through to the operation.
    Through,
    /// Stopped: status and code.
    Stopped(u16, &'static str),
}

fn verdict(access: Access, caller: &Kind) -> Verdict {
    match (access, caller) {
        (Access::Public, _) => Verdict::Through,
        (_, Kind::Refused("credential_ambiguous")) => Verdict::Stopped(400, "credential_ambiguous"),
        (_, Kind::Refused(code)) => Verdict::Stopped(401, code),
        (Access::Holder, Kind::Foreign | Kind::Holding(_)) => Verdict::Through,
        (Access::AnyOf(_), Kind::Foreign) => Verdict::Stopped(401, "audience_wrong"),
        (Access::AnyOf(any), Kind::Holding(held)) => {
            if any.iter().any(|n| held.contains(n)) {
                Verdict::Through
            } else {
                Verdict::Stopped(403, "")
            }
        }
    }
}

fn code(said: &Said) -> &str {
    said.body.get("code").and_then(Value::as_str).unwrap_or("")
}

fn stopped(said: &Said) -> bool {
    const DOOR: [&str; 10] = [
        "credential_missing",
        "credential_ambiguous",
        "token_unknown",
        "token_revoked",
        "token_suspended",
        "token_expired",
        "audience_wrong",
        "scope_missing",
        "owner_scope_missing",
        "resource_refused",
    ];
    DOOR.contains(&code(said))
}

/// Holds what the door said against the table.
fn agrees(said: &Said, expected: &Verdict) -> Result<(), String> {
    let status = said.status.as_u16();
    let fits = match expected {
        Verdict::Through => !stopped(said),
        // Which of the 403s it is depends on what the owner has; that it is one does not.
        Verdict::Stopped(403, _) => status == 403 && stopped(said),
        Verdict::Stopped(expected, named) => status == *expected && code(said) == *named,
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "expected {expected:?}, was told {status} {}",
            said.body
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_gets_what_the_table_says() {
    let world = World::build().await;
    let (full, control) = (asked_for("JETON_FULL"), asked_for("JETON_CONTROL"));
    let admin = world.principal("admin").text.clone();
    let (mut wrong, mut asked, mut unexpected) = (Vec::new(), 0u64, 0u64);
    let mut matrix = BTreeMap::new();
    for operation in &operations() {
        let method = operation.method.to_uppercase();
        let (mut through, mut no) = (Vec::new(), BTreeMap::<u16, Vec<&str>>::new());
        for caller in &world.principals {
            for shown in ways(caller, full) {
                let kind = shown.kind(&caller.kind, caller.text.is_some());
                let expected = verdict(operation.access, &kind);
                // Whoever must be stopped asks for the real thing; whoever must not, for nothing that could be done.
                let (path, body) = match (&expected, operation.access) {
                    (Verdict::Stopped(..), _) => calls::call(operation, &world.own),
                    (Verdict::Through, _) => calls::harmless(operation, &world.never),
                };
                let before = world.events();
                let text = if control {
                    admin.as_deref()
                } else {
                    caller.text.as_deref()
                };
                let said = shown
                    .send(&world.a, text, &method, &path, body.as_ref())
                    .await;
                asked += 1;
                let who = format!("{} as {} by {shown:?}", operation.id, caller.name);
                if let Err(why) = agrees(&said, &expected) {
                    wrong.push(format!("{who}: {why}"));
                    unexpected += u64::from(said.status.is_success());
                }
                if world.events() != before {
                    wrong.push(format!("{who}: something was written"));
                }
                if shown == Shown::Bearer {
                    match expected {
                        Verdict::Through => through.push(caller.name.as_str()),
                        Verdict::Stopped(status, _) => {
                            no.entry(status).or_default().push(&caller.name);
                        }
                    }
                }
            }
        }
        matrix.insert(
            format!("{} {}", operation.path, method),
            row(operation, &through, &no),
        );
    }
    println!(
        "authz: {{\"operations\":{},\"principals\":{},\"asked\":{asked},\"wrong\":{},\"unexpected_2xx\":{unexpected}}}",
        matrix.len(),
        world.principals.len(),
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {asked}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let text: String = matrix.into_values().collect();
    insta::assert_snapshot!("matrix", text);
    world.a.running.stop().await;
}

fn ways(caller: &Principal, full: bool) -> Vec<Shown> {
    let some = [
        "nobody",
        "garbage",
        "revoked",
        "customer",
        "jeton:check",
        "admin",
        "operator",
    ];
    if full || some.contains(&caller.name.as_str()) {
        Shown::ALL.to_vec()
    } else {
        vec![Shown::Bearer]
    }
}

fn row(operation: &Operation, through: &[&str], no: &BTreeMap<u16, Vec<&str>>) -> String {
    let needs = match operation.access {
        Access::Public => "anybody".to_owned(),
        Access::Holder => "any holder".to_owned(),
        Access::AnyOf(any) => {
            let names = any.iter().filter_map(|n| own_catalogue().name(*n));
            names.collect::<Vec<_>>().join(" or ")
        }
    };
    let method = operation.method.to_uppercase();
    let head = format!("{method} {} ({}): {needs}", operation.path, operation.id);
    if no.is_empty() {
        return format!("{head}\n    everybody\n");
    }
    // Those who are stopped with 401 are the same everywhere: how many they are tells.
    let counts = no
        .iter()
        .map(|(status, names)| format!("{status} for {}", names.len()));
    let counts = counts.collect::<Vec<_>>().join(", ");
    format!("{head}\n    {}\n    {counts}\n", through.join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_can() {
    let world = World::build().await;
    let mut done = BTreeSet::new();
    // The last ones end what the others need.
    let last = [
        "revokeToken",
        "deleteRole",
        "importApi",
        "changePeppers",
        "createTenant",
    ];
    let mut operations = operations();
    operations.sort_by_key(|o| last.iter().position(|l| *l == o.id));
    for operation in &operations {
        let operator = ["tenants", "setup", "openings"]
            .contains(&operation.path.split('/').nth(2).unwrap_or(""))
            || operation.path.starts_with("/v1/ledger/keys");
        let who = if operator { "operator" } else { "admin" };
        let text = world.principal(who).text.as_deref();
        let (path, body) = calls::call(operation, &world.own);
        let method = operation.method.to_uppercase();
        let mut said = Shown::Bearer
            .send(&world.a, text, &method, &path, body.as_ref())
            .await;
        let mut tick = tokio::time::interval(core::time::Duration::from_millis(50));
        while operation.id == "checkpoint" && said.status != 200 {
            tick.tick().await;
            said = Shown::Bearer
                .send(&world.a, text, &method, &path, None)
                .await;
        }
        let expected = match operation.id {
            "setup" => 401,
            // It has credentials of its own.
            "readmitTenant" => 409,
            // They are alive.
            "eraseTokens" | "eraseUser" | "eraseApp" => 409,
            "retireLedgerKey" => 404,
            _ => operation.answer.0,
        };
        assert_eq!(
            said.status.as_u16(),
            expected,
            "{}: {}",
            operation.id,
            said.body
        );
        assert!(
            done.insert(operation.id),
            "{} stands twice in the table",
            operation.id
        );
    }
    world.a.running.stop().await;
}

/// The answer without what differs between any two requests.
fn bare(said: &Said) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = said
        .headers
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_str().unwrap_or("?").to_owned()))
        .filter(|(n, _)| !matches!(n.as_str(), "jeton-request-id" | "date"))
        .collect();
    headers.sort();
    let text = String::from_utf8_lossy(&said.bytes).into_owned();
    let id = said
        .body
        .get("request_id")
        .and_then(Value::as_str)
        .unwrap_or("-");
    (said.status.as_u16(), headers, text.replace(id, "-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreign_is_like_what_never_was() {
    let world = World::build().await;
    let admin = &world.a.admin;
    let mut compared = 0;
    for operation in operations().iter().filter(|o| o.path.contains("{id}")) {
        let of_things = ["tokens", "users", "apps", "roles", "apis"];
        if !operation
            .path
            .split('/')
            .nth(2)
            .is_some_and(|n| of_things.contains(&n))
        {
            continue;
        }
        let method = operation.method.to_uppercase();
        let (_, body) = calls::call(operation, &world.own);
        let before = world.events();
        let ask = async |ids: &Ids| {
            let path = calls::path(operation, ids);
            world.a.call(admin, &method, &path, body.as_ref()).await
        };
        let (foreign, never) = (ask(&world.other).await, ask(&world.never).await);
        assert_eq!(foreign.status, 404, "{}: {}", operation.id, foreign.body);
        assert_eq!(bare(&foreign), bare(&never), "{}", operation.id);
        // An id of another kind, or no id at all, names nothing either.
        let swapped = Ids {
            token: world.own.user.clone(),
            user: world.own.app.clone(),
            app: world.own.user.clone(),
            role: world.own.api.clone(),
            api: "'; drop table event; --".replace(' ', "%20"),
            ..world.never.clone()
        };
        assert_eq!(bare(&ask(&swapped).await), bare(&never), "{}", operation.id);
        assert_eq!(world.events(), before, "{}", operation.id);
        compared += 1;
    }
    assert!(compared >= 18, "{compared}");
    world.a.running.stop().await;
}

/// Orders with ids of other things in their bodies and queries.
fn orders(own: &Ids, named: &Ids) -> Vec<(&'static str, String, Option<Value>)> {
    let grants = json!([{"api": named.api, "scopes": ["read"]}]);
    let permit = json!({"grants": grants});
    let giving = json!({"grants": [], "give": {"grants": grants}});
    let key = |more: Value| {
        let mut order = json!({"class": "key", "subject": own.user});
        order
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        order
    };
    let post = |path: &str, body: Value| ("POST", path.to_owned(), Some(body));
    let token = format!("/v1/tokens/{}", own.token);
    vec![
        post("/v1/tokens", json!({"class": "key", "subject": named.user})),
        post("/v1/tokens", json!({"class": "svc", "subject": named.app})),
        post("/v1/tokens", key(json!({"grants": grants}))),
        post("/v1/tokens", key(json!({"give": {"grants": grants}}))),
        ("PATCH", token, Some(json!({"grants": grants}))),
        post("/v1/tokens/find", json!({"token": named.token_text})),
        post("/v1/tokens/cut-off", json!({"subject": named.user})),
        post("/v1/tokens/cut-off", json!({"subject": named.app})),
        post("/v1/users", json!({"roles": [named.role]})),
        (
            "PUT",
            format!("/v1/users/{}/roles", own.user),
            Some(json!({"roles": [own.role, named.role]})),
        ),
        post("/v1/apps", json!({"sponsor": named.user, "permit": {}})),
        post("/v1/apps", json!({"sponsor": own.user, "permit": permit})),
        post("/v1/apps", json!({"sponsor": own.user, "permit": giving})),
        (
            "PATCH",
            format!("/v1/apps/{}", own.app),
            Some(json!({"sponsor": named.user})),
        ),
        (
            "PATCH",
            format!("/v1/apps/{}", own.app),
            Some(json!({"permit": permit})),
        ),
        post("/v1/roles", json!({"name": "thief", "permit": permit})),
        post("/v1/roles", json!({"name": "thief", "permit": giving})),
        (
            "PUT",
            format!("/v1/roles/{}", own.role),
            Some(permit.clone()),
        ),
        post(
            "/v1/check",
            json!({"token": own.token_text, "api": named.api, "scopes": ["read"]}),
        ),
        ("GET", format!("/v1/tokens?subject={}", named.user), None),
        ("GET", format!("/v1/events?token={}", named.token), None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_ids_in_bodies_and_queries_are_refused_and_nothing_is_written() {
    let world = World::build().await;
    let admin = world.a.admin.clone();
    let foreign = orders(&world.own, &world.other);
    let never = orders(&world.own, &world.never);
    let good = orders(&world.own, &world.own);
    for ((method, path, body), (_, other_path, other_body)) in foreign.iter().zip(&never) {
        let before = world.events();
        let said = world.a.call(&admin, method, path, body.as_ref()).await;
        let told = world
            .a
            .call(&admin, method, other_path, other_body.as_ref())
            .await;
        assert!(
            said.status.is_client_error(),
            "{path} {body:?}: {}",
            said.body
        );
        assert_eq!(bare(&said), bare(&told), "{path}");
        assert_eq!(world.events(), before, "{path}");
    }
    // The same orders with one's own ids are good: it was the ids that were refused.
    for (method, path, body) in &good {
        let said = world.a.call(&admin, method, path, body.as_ref()).await;
        let fine = said.status.is_success() || code(&said) == "name_taken";
        assert!(fine, "{path} {body:?}: {}", said.body);
    }
    world.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_tenant_is_unknown_here() {
    let world = World::build().await;
    let question = |text: &str| json!({"token": text, "api": "docs", "scopes": ["read"]});
    let ask = async |text: &str| {
        world
            .a
            .order("POST", "/v1/check", question(text))
            .await
            .is(200)
            .body
    };
    let (foreign, never) = (
        ask(&world.other.token_text).await,
        ask(&world.never.token_text).await,
    );
    assert_eq!(foreign["code"], "token_unknown");
    assert_eq!(foreign, never);
    assert_eq!(ask(&world.own.token_text).await["allowed"], true);
    world.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_table_is_not_there() {
    let world = World::build().await;
    let admin = world.a.admin.clone();
    let mut methods = BTreeMap::<&str, BTreeSet<String>>::new();
    for operation in &operations() {
        let known = methods.entry(operation.path).or_default();
        known.insert(operation.method.to_uppercase());
        if operation.method == "get" {
            known.insert("HEAD".to_owned());
        }
    }
    let before = world.events();
    for operation in &operations() {
        let path = calls::path(operation, &world.own);
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
        ] {
            if methods[operation.path].contains(method) {
                continue;
            }
            let said = world.a.call(&admin, method, &path, None).await;
            assert_eq!(said.status, 405, "{method} {path}: {}", said.body);
        }
    }
    let unknown = [
        "/",
        "/v1",
        "/v1/",
        "/v1/tokens/",
        "/v1//tokens",
        "//v1/tokens",
        "/v1/./tokens",
        "/v1/roles/../tokens",
        "/V1/tokens",
        "/v1/Tokens",
        "/v1/%74okens",
        "/v1/tokens%2f",
        "/v1/tokens;a=b",
        "/v2/tokens",
        "/v1/tokens/a/b/c",
        "/v1/admin",
        "/debug/pprof",
        "/.git/config",
        "/metrics/",
        "/check/",
        "/check/nginx/x",
        "/v1/check/",
        "/v1/check/batch/",
    ];
    for path in unknown {
        for method in ["GET", "POST", "DELETE"] {
            for token in [None, Some(admin.as_str())] {
                let said = Shown::Bearer
                    .send(&world.a, token, method, path, None)
                    .await;
                said.refused(404, "not_found");
            }
        }
    }
    assert_eq!(world.events(), before);
    // Whoever is not a proxy of ours learns nothing at the proxies' door.
    for path in ["/check", "/check/nginx"] {
        let bearer = format!("Bearer {}", world.own.token_text);
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-host", "docs.test"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/read"),
        ];
        let said = send(&world.a.client, "GET", path, &headers, None).await;
        assert_eq!(said.status, 403);
        assert_eq!(said.headers.get("jeton-subject"), None);
    }
    world.a.running.stop().await;
}
