//! The classes of real vulnerabilities in systems like this (docs/threat-model.md), each with the test that jeton owns for it.
//! Each test has its counterpart within: what is refused in the wrong form is allowed in the right one. Beside each stands
//! the change of the code that would make it fail.

#![expect(
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "helpers of tests, and tests that are lists"
)]

mod common;

use std::{collections::BTreeSet, sync::Arc};

use common::{Authority, Said, send};
use jeton::{
    http::routes::{Access, table},
    net::Client,
};
use serde_json::{Value, json};

fn events(a: &Authority) -> u64 {
    a.running.doors.node.verifier.size()
}

/// Asserts that an order is refused and that nothing was written.
#[track_caller]
fn refused(a: &Authority, before: u64, said: &Said) {
    assert!(said.status.is_client_error(), "{}", said.body);
    assert_eq!(events(a), before, "something was written: {}", said.body);
}

/// A tenant with an API, a user who may read and write, and hand both on, and routes for the proxies' door.
async fn office() -> (Authority, String, String) {
    let a = Authority::start().await;
    let api = a.api("docs", &["read", "write"]).await;
    let routes = json!({"hosts": ["docs.test"], "routes": [{"path": "/**", "scopes": ["read"]}]});
    a.order("PUT", &format!("/v1/apis/{api}/routes"), routes)
        .await
        .is(200);
    let grants = json!([{"api": "docs", "scopes": ["read", "write"]},
        {"api": "jeton", "scopes": ["jeton:tokens:own", "jeton:tokens:write", "jeton:roles:write",
            "jeton:subjects:write"]}]);
    let permit = json!({"grants": grants, "give": {"grants": grants}});
    let order = json!({"name": "worker", "permit": permit});
    let role = a
        .order("POST", "/v1/roles", order)
        .await
        .is(201)
        .text("/id");
    let user = a.order("POST", "/v1/users", json!({"roles": [role]})).await;
    let user = user.is(201).text("/id");
    (a, user, role)
}

fn reading() -> Value {
    json!([{"api": "docs", "scopes": ["read"]}])
}

/// A manager: may issue and change tokens of anybody, and hand on `docs:read` on `team/**`, for an hour, from one network.
async fn manager(a: &Authority, user: &str) -> String {
    let order = json!({"class": "pat", "subject": user,
        "grants": [{"api": "jeton", "scopes": ["jeton:tokens:own", "jeton:tokens:write",
            "jeton:roles:write", "jeton:subjects:write"]}],
        "give": {"grants": [{"api": "docs", "scopes": ["read"], "resources": ["team/**"]}],
            "conditions": {"networks": ["10.0.0.0/8"]}, "lifetime_max_s": 3600}});
    a.issue(order).await.1
}

// C1. A mutant: `issue::owner` without `may_manage`.
#[tokio::test(flavor = "multi_thread")]
async fn c1_nobody_mints_for_another_subject() {
    let (a, user, role) = office().await;
    let other = a.order("POST", "/v1/users", json!({"roles": [role]})).await;
    let other = other.is(201).text("/id");
    let grants = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]},
        {"api": "docs", "scopes": ["read"]}]);
    let give = json!({"grants": grants});
    let order = json!({"class": "pat", "subject": user, "grants": grants, "give": give});
    let (_, own) = a.issue(order).await;
    let (others, _) = a
        .issue(json!({"class": "key", "subject": other, "grants": reading()}))
        .await;
    let before = events(&a);
    let order = |subject: &str| json!({"class": "key", "subject": subject, "grants": reading()});
    for subject in [other.as_str(), a.admin_app.as_str()] {
        let said = a
            .call(&own, "POST", "/v1/tokens", Some(&order(subject)))
            .await;
        refused(&a, before, said.refused(403, "scope_missing"));
    }
    for (method, path) in [
        ("POST", format!("/v1/tokens/{others}/rotate")),
        ("POST", format!("/v1/tokens/{others}/suspend")),
        ("POST", format!("/v1/tokens/{others}/revoke")),
        ("PATCH", format!("/v1/tokens/{others}")),
    ] {
        let said = a.call(&own, method, &path, Some(&json!({}))).await;
        refused(&a, before, &said);
    }
    // The subject stands in the body and nowhere else, and only once.
    let path = format!("/v1/tokens?subject={other}");
    let headers = [("x-subject", other.as_str()), ("jeton-subject", &other)];
    let said = send(&a.client, "POST", &path, &headers, Some(&order(&user))).await;
    refused(&a, before, &said);
    let twice = format!(r#"{{"class":"key","subject":"{user}","subject":"{other}"}}"#);
    let bearer = format!("Bearer {own}");
    let mut map = http::HeaderMap::new();
    map.insert("authorization", bearer.parse().unwrap());
    map.insert("content-type", "application/json".parse().unwrap());
    let (status, ..) = a
        .client
        .send(http::Method::POST, "/v1/tokens", map, twice.into())
        .await
        .unwrap();
    assert!(status.is_client_error());
    assert_eq!(events(&a), before);
    let said = a
        .call(&own, "POST", "/v1/tokens", Some(&order(&user)))
        .await
        .is(201);
    assert_eq!(said.text("/token/subject"), user);
    a.running.stop().await;
}

// C2. A mutant: any one of the comparisons in `attenuate` or `Conditions::cover` left out.
#[tokio::test(flavor = "multi_thread")]
async fn c2_what_is_minted_lies_within_what_its_maker_may_give() {
    let (a, user, role) = office().await;
    let manager = manager(&a, &user).await;
    let good = json!({"class": "key", "subject": user, "lifetime_s": 3600,
        "grants": [{"api": "docs", "scopes": ["read"], "resources": ["team/a"]}],
        "conditions": {"networks": ["10.1.0.0/16"]}});
    let with = |name: &str, value: Value| {
        let mut order = good.clone();
        order[name] = value;
        order
    };
    let resource = |r: &str| json!([{"api": "docs", "scopes": ["read"], "resources": [r]}]);
    let inherit = json!({"class": "key", "subject": user, "inherit": true,
        "conditions": {"networks": ["10.1.0.0/16"]}});
    let escalations = [
        with(
            "grants",
            json!([{"api": "docs", "scopes": ["write"], "resources": ["team/a"]}]),
        ),
        with(
            "grants",
            json!([{"api": "docs", "scopes": ["read", "write"], "resources": ["team/a"]}]),
        ),
        with("grants", resource("**")),
        with("grants", resource("*/a")),
        with("grants", resource("teams/a")),
        with(
            "grants",
            json!([{"api": "jeton", "scopes": ["jeton:tokens:write"]}]),
        ),
        with("conditions", json!({})),
        with("conditions", json!({"networks": ["0.0.0.0/0"]})),
        with(
            "conditions",
            json!({"networks": ["10.1.0.0/16", "192.0.2.1"]}),
        ),
        with("lifetime_s", json!(3601)),
        with("give", json!({"everything": true})),
        with(
            "give",
            json!({"grants": resource("team/**"), "lifetime_max_s": 3600}),
        ),
        with(
            "give",
            json!({"grants": resource("team/**"), "conditions": {"networks": ["10.0.0.0/8"]}}),
        ),
        with(
            "give",
            json!({"grants": resource("**"), "lifetime_max_s": 3600,
            "conditions": {"networks": ["10.0.0.0/8"]}}),
        ),
        inherit,
    ];
    let before = events(&a);
    for order in &escalations {
        let said = a.call(&manager, "POST", "/v1/tokens", Some(order)).await;
        refused(&a, before, &said);
        assert_ne!(said.status, 404, "{order}: {}", said.body);
    }
    let mut endless = good.clone();
    endless.as_object_mut().unwrap().remove("lifetime_s");
    endless["permanent"] = json!(true);
    refused(
        &a,
        before,
        &a.call(&manager, "POST", "/v1/tokens", Some(&endless)).await,
    );
    // By way of a role, an application, another's roles, another's token.
    let permit = json!({"grants": reading()});
    let giving = json!({"grants": [], "give": {"everything": true}});
    let admin_token = a
        .call(&a.admin, "GET", "/v1/whoami", None)
        .await
        .text("/token/id");
    for (method, path, body) in [
        (
            "POST",
            "/v1/roles".to_owned(),
            json!({"name": "more", "permit": permit}),
        ),
        (
            "POST",
            "/v1/roles".to_owned(),
            json!({"name": "more", "permit": giving}),
        ),
        (
            "PUT",
            format!("/v1/roles/{role}"),
            json!({"grants": [], "give": {"everything": true}}),
        ),
        (
            "POST",
            "/v1/apps".to_owned(),
            json!({"sponsor": user, "permit": permit}),
        ),
        ("POST", "/v1/users".to_owned(), json!({"roles": [role]})),
        (
            "PATCH",
            format!("/v1/apps/{}", a.admin_app),
            json!({"permit": permit}),
        ),
        (
            "POST",
            format!("/v1/tokens/{admin_token}/rotate"),
            json!({}),
        ),
    ] {
        let said = a.call(&manager, method, &path, Some(&body)).await;
        // Taking away needs no authority to give, and an admin's application has nothing of docs to take.
        refused(&a, before, &said);
    }
    a.call(&manager, "POST", "/v1/tokens", Some(&good))
        .await
        .is(201);
    a.running.stop().await;
}

// C2, after minting. Mutants: `change`, `rotate` or `resume` without `attenuate`; `By::Itself` without the bound.
#[tokio::test(flavor = "multi_thread")]
async fn c2_nothing_grows_after_it_was_minted() {
    let (a, user, _) = office().await;
    let order = json!({"class": "key", "subject": user, "limit": {"count": 1000, "window_s": 60},
        "grants": [{"api": "docs", "scopes": ["read"]}, {"api": "jeton", "scopes": ["jeton:tokens:own"]}]});
    let (own, secret) = a.issue(order.clone()).await;
    let mut wide = order.clone();
    wide["grants"] = json!([{"api": "docs", "scopes": ["read", "write"]}]);
    let (stopped, stopped_secret) = a.issue(wide).await;
    let suspend = format!("/v1/tokens/{stopped}/suspend");
    a.order("POST", &suspend, json!({"reason": "abuse"}))
        .await
        .is(200);
    let before = events(&a);
    let path = format!("/v1/tokens/{own}");
    for change in [
        json!({"grants": [{"api": "docs", "scopes": ["read", "write"]}]}),
        json!({"grants": [{"api": "docs", "scopes": ["read"]}]}),
        json!({"conditions": {}, "grants": [{"api": "jeton", "scopes": ["jeton:tokens:write"]}]}),
        json!({"unlimited": true}),
        json!({"limit": {"count": 1001, "window_s": 60}}),
        json!({"limit": {"count": 1000, "window_s": 59}}),
        json!({"lifetime_s": 157_766_400}),
        json!({"permanent": true}),
    ] {
        let said = a.call(&secret, "PATCH", &path, Some(&change)).await;
        assert!(said.status.is_client_error(), "{change}: {}", said.body);
        assert_eq!(events(&a), before, "{change}");
    }
    // One token of an owner does not undo the suspension of another that can do more.
    let resume = format!("/v1/tokens/{stopped}/resume");
    let said = a.call(&secret, "POST", &resume, Some(&json!({}))).await;
    refused(&a, before, said.refused(403, "give_missing"));
    // What takes away is open to it.
    let less = json!({"limit": {"count": 10, "window_s": 60}, "lifetime_s": 60});
    a.call(&secret, "PATCH", &path, Some(&less)).await.is(200);
    a.order("POST", &resume, json!({})).await.is(200);
    assert_eq!(
        a.check(&stopped_secret, "docs", &["write"]).await["allowed"],
        true
    );
    a.running.stop().await;
}

// C2, lifetime. Mutants: `Authority::lifetime_max` without the owner's part; `Terms::lifetime_max` not kept.
#[tokio::test(flavor = "multi_thread")]
async fn c2_a_granted_lifetime_binds_heirs_and_renewals() {
    let a = Authority::start().await;
    let grants = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}]);
    let give = json!({"grants": grants, "lifetime_max_s": 3600});
    let permit = json!({"grants": grants, "give": give});
    let order = json!({"name": "brief", "permit": permit});
    a.order("POST", "/v1/roles", order).await.is(201);
    let user = a
        .order("POST", "/v1/users", json!({"roles": ["brief"]}))
        .await
        .is(201)
        .text("/id");
    // The token's own give names no bound: its owner's does.
    let order =
        json!({"class": "key", "subject": user, "grants": grants, "give": {"grants": grants}});
    let (_, parent) = a.issue(order).await;
    let order = json!({"class": "key", "subject": user, "grants": grants, "lifetime_s": 3601});
    a.call(&parent, "POST", "/v1/tokens", Some(&order))
        .await
        .refused(422, "lifetime_too_long");
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let child = a
        .call(&parent, "POST", "/v1/tokens", Some(&order))
        .await
        .is(201);
    let lives = |said: &Said, pointer: &str| {
        let at: jiff::Timestamp = said.text(pointer).parse().unwrap();
        let now = a.running.doors.node.clock.time().seconds();
        at.as_second() - i64::from(now)
    };
    assert!(lives(&child, "/token/expires_at") <= 3600);
    let secret = child.text("/secret");
    let renewed = a
        .call(
            &secret,
            "POST",
            "/v1/whoami/rotate",
            Some(&json!({"renew": true})),
        )
        .await
        .is(200);
    assert!(
        lives(&renewed, "/token/expires_at") <= 3601,
        "{}",
        renewed.body
    );
    // Whoever was given no bound renews for the default of the class.
    let order = json!({"class": "key", "subject": user, "grants": grants, "lifetime_s": 60});
    let (_, free) = a.issue(order).await;
    let renewed = a
        .call(
            &free,
            "POST",
            "/v1/whoami/rotate",
            Some(&json!({"renew": true})),
        )
        .await
        .is(200);
    assert!(
        lives(&renewed, "/token/expires_at") > 30 * 86_400,
        "{}",
        renewed.body
    );
    a.running.stop().await;
}

// C2, class. A mutant: `change` without `publishable`.
#[tokio::test(flavor = "multi_thread")]
async fn c2_a_publishable_key_never_manages() {
    let (a, user, _) = office().await;
    let managing = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}]);
    let order = |more: Value| {
        let mut order = json!({"class": "pub", "subject": user});
        order
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        order
    };
    let before = events(&a);
    for more in [
        json!({"grants": managing}),
        json!({"inherit": true}),
        json!({"grants": reading(), "give": {"grants": reading()}}),
    ] {
        let said = a.order("POST", "/v1/tokens", order(more)).await;
        refused(&a, before, said.refused(422, "class_refused"));
    }
    let (id, _) = a.issue(order(json!({"grants": reading()}))).await;
    let before = events(&a);
    let path = format!("/v1/tokens/{id}");
    let said = a.order("PATCH", &path, json!({"grants": managing})).await;
    refused(&a, before, said.refused(422, "class_refused"));
    a.order(
        "PATCH",
        &path,
        json!({"grants": [{"api": "docs", "scopes": ["write"]}]}),
    )
    .await
    .is(200);
    a.running.stop().await;
}

// C2, repetition. A mutant: `Replays` by request key alone.
#[tokio::test(flavor = "multi_thread")]
async fn c2_a_repeated_order_shows_its_secret_to_its_own_credential_alone() {
    let (a, user, _) = office().await;
    let grants = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}, {"api": "docs", "scopes": ["write"]}]);
    let strong =
        json!({"class": "pat", "subject": user, "grants": grants, "give": {"grants": grants}});
    let (_, strong) = a.issue(strong).await;
    let weak = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}]);
    let (_, weak) = a
        .issue(json!({"class": "pat", "subject": user, "grants": weak}))
        .await;
    let order =
        json!({"class": "key", "subject": user, "grants": [{"api": "docs", "scopes": ["write"]}]});
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "1")];
        send(&a.client, "POST", "/v1/tokens", &headers, Some(&order)).await
    };
    let first = ask(&strong).await.is(201);
    let again = ask(&strong).await.is(201);
    assert_eq!(again.text("/secret"), first.text("/secret"));
    let other = ask(&weak).await;
    assert_eq!(other.body.get("secret"), None, "{}", other.body);
    a.running.stop().await;
}

/// Every way to show a token, at every door: whether each lets it through.
async fn shown_everywhere(a: &Authority, secret: &str) -> Vec<(String, bool)> {
    let bearer = format!("Bearer {secret}");
    let basic = format!(
        "Basic {}",
        data_encoding::BASE64.encode(format!(":{secret}").as_bytes())
    );
    let ways = [
        ("authorization", bearer.as_str()),
        ("authorization", &basic),
        ("x-api-key", secret),
    ];
    let proxy = Client::unix(&a.dir.path().join("jeton.sock"));
    let mut out = Vec::new();
    for (name, value) in ways {
        for method in ["GET", "HEAD"] {
            let said = send(&a.client, method, "/v1/whoami", &[(name, value)], None).await;
            out.push((format!("{method} whoami by {name}"), said.status == 200));
        }
        for door in ["/check", "/check/nginx"] {
            let headers = [
                (name, value),
                ("x-forwarded-host", "docs.test"),
                ("x-forwarded-method", "GET"),
                ("x-forwarded-uri", "/a"),
            ];
            let said = send(&proxy, "GET", door, &headers, None).await;
            out.push((format!("{door} by {name}"), said.status == 204));
        }
    }
    let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
    let said = a
        .call(&a.operator, "POST", "/v1/check", Some(&question))
        .await;
    assert_ne!(said.status, 200, "the operator's tenant has no such API");
    let admin_works = a.call(&a.admin, "GET", "/v1/whoami", None).await.status == 200;
    if admin_works {
        let said = a.order("POST", "/v1/check", question.clone()).await;
        out.push(("check".to_owned(), said.body["allowed"] == true));
        let said = a
            .order("POST", "/v1/check/batch", json!({"checks": [question]}))
            .await;
        out.push((
            "batch".to_owned(),
            said.body["results"][0]["allowed"] == true,
        ));
    }
    out
}

#[track_caller]
fn all(shown: &[(String, bool)], expected: bool) {
    for (way, through) in shown {
        assert_eq!(*through, expected, "{way}");
    }
}

// C11. Mutants: each arm of `judge::alive`; an index whose owners do not follow the directory.
#[tokio::test(flavor = "multi_thread")]
async fn c11_what_is_disabled_stops_at_once_however_it_is_shown() {
    let (a, user, role) = office().await;
    let order = json!({"class": "key", "subject": user, "grants": reading()});
    let (id, secret) = a.issue(order.clone()).await;
    all(&shown_everywhere(&a, &secret).await, true);
    let state = |s: &str| json!({"state": s});
    let user_state = format!("/v1/users/{user}/state");
    let tenant_state = format!("/v1/tenants/{}/state", a.tenant);
    let (suspend, resume) = (
        format!("/v1/tokens/{id}/suspend"),
        format!("/v1/tokens/{id}/resume"),
    );
    let steps = [
        (
            &a.admin,
            "PUT",
            user_state.as_str(),
            state("suspended"),
            state("active"),
            user_state.as_str(),
        ),
        (
            &a.operator,
            "PUT",
            &tenant_state,
            state("suspended"),
            state("active"),
            &tenant_state,
        ),
        (&a.admin, "POST", &suspend, json!({}), json!({}), &resume),
    ];
    for (who, method, off, stop, go_on, on) in steps {
        a.call(who, method, off, Some(&stop)).await.is(200);
        all(&shown_everywhere(&a, &secret).await, false);
        a.call(who, method, on, Some(&go_on)).await.is(200);
        all(&shown_everywhere(&a, &secret).await, true);
    }
    // Without the role the token is its owner's still, and good for nothing that takes a right.
    let rightless = |shown: Vec<(String, bool)>| {
        let asked: Vec<_> = shown
            .into_iter()
            .filter(|(way, _)| !way.contains("whoami"))
            .collect();
        all(&asked, false);
    };
    let roles = format!("/v1/users/{user}/roles");
    a.order("PUT", &roles, json!({"roles": []})).await.is(200);
    rightless(shown_everywhere(&a, &secret).await);
    a.order("PUT", &roles, json!({"roles": [role]}))
        .await
        .is(200);
    all(&shown_everywhere(&a, &secret).await, true);
    a.call(&a.admin, "DELETE", &format!("/v1/roles/{role}"), None)
        .await
        .is(204);
    rightless(shown_everywhere(&a, &secret).await);
    a.order("PUT", &user_state, state("deleted")).await.is(200);
    all(&shown_everywhere(&a, &secret).await, false);
    let before = events(&a);
    refused(
        &a,
        before,
        &a.order("PUT", &user_state, state("active")).await,
    );
    refused(&a, before, &a.order("POST", "/v1/tokens", order).await);
    a.running.stop().await;
}

// C11, applications; and C4: what was ended stays ended over restarts.
#[tokio::test(flavor = "multi_thread")]
async fn c11_an_application_s_rights_and_end_reach_its_tokens() {
    let (a, user, _) = office().await;
    let permit = json!({"grants": reading()});
    let app = a
        .order(
            "POST",
            "/v1/apps",
            json!({"sponsor": user, "permit": permit}),
        )
        .await
        .is(201)
        .text("/id");
    let order = json!({"class": "svc", "subject": app, "grants": reading()});
    let (_, kept) = a.issue(order.clone()).await;
    let (revoked, ended) = a.issue(order.clone()).await;
    all(&shown_everywhere(&a, &kept).await, true);
    let path = format!("/v1/apps/{app}");
    a.order("PATCH", &path, json!({"permit": {"grants": []}}))
        .await
        .is(200);
    assert_eq!(
        a.check(&kept, "docs", &["read"]).await["code"],
        "owner_scope_missing"
    );
    a.order("PATCH", &path, json!({"permit": permit}))
        .await
        .is(200);
    a.order("POST", &format!("/v1/tokens/{revoked}/revoke"), json!({}))
        .await
        .is(200);
    a.order(
        "PUT",
        &format!("{path}/state"),
        json!({"state": "suspended"}),
    )
    .await
    .is(200);
    let a = a.restart().await;
    all(&shown_everywhere(&a, &kept).await, false);
    a.order("PUT", &format!("{path}/state"), json!({"state": "active"}))
        .await
        .is(200);
    all(&shown_everywhere(&a, &kept).await, true);
    all(&shown_everywhere(&a, &ended).await, false);
    a.order("POST", "/v1/tokens/cut-off", json!({"subject": app}))
        .await
        .is(200);
    all(&shown_everywhere(&a, &kept).await, false);
    let a = a.restart().await;
    all(&shown_everywhere(&a, &kept).await, false);
    let (_, fresh) = a.issue(order).await;
    all(&shown_everywhere(&a, &fresh).await, true);
    a.running.stop().await;
}

// C4. A mutant: `set_routes` that forgets its hosts, `set_scopes` that revives what is retired, a PATCH with defaults.
#[tokio::test(flavor = "multi_thread")]
async fn c4_to_put_back_what_was_read_changes_nothing() {
    let (a, user, role) = office().await;
    let api = a
        .call(&a.admin, "GET", "/v1/apis", None)
        .await
        .text("/items/0/id");
    let path = format!("/v1/apis/{api}/scopes");
    // One scope retired, so that there is something to revive by mistake.
    let kept = json!([{"name": "read", "description": "to read"}, {"name": "write"}]);
    for scopes in [
        json!([{"name": "read"}, {"name": "write"}, {"name": "gone"}]),
        kept,
    ] {
        a.order("PUT", &path, json!({"scopes": scopes}))
            .await
            .is(200);
    }
    let permit = json!({"grants": reading(), "give": {"grants": reading(), "lifetime_max_s": 60}});
    let app = a
        .order(
            "POST",
            "/v1/apps",
            json!({"sponsor": user, "permit": permit}),
        )
        .await
        .is(201)
        .text("/id");
    let (token, _) = a
        .issue(
            json!({"class": "key", "subject": user, "grants": [{"api": "docs", "scopes": ["read"],
            "resources": ["a/**", "b"]}], "limit": {"count": 5, "window_s": 60},
            "conditions": {"networks": ["10.0.0.0/8"], "methods": ["GET"], "paths": ["x/**"],
            "not_before": "2030-01-01T00:00:00Z"}, "lifetime_s": 100_000}),
        )
        .await;
    let (revoked, _) = a
        .issue(json!({"class": "key", "subject": user, "grants": reading()}))
        .await;
    a.order("POST", &format!("/v1/tokens/{revoked}/revoke"), json!({}))
        .await
        .is(200);
    a.order(
        "PUT",
        "/v1/policies/pat",
        json!({"lifetime_default_s": 60, "lifetime_max_s": 60, "idle_s": 86_400,
        "permanent": false, "limit": {"count": 1, "window_s": 1}, "overlap_max_s": 0}),
    )
    .await
    .is(200);
    let read = async |path: String| a.call(&a.admin, "GET", &path, None).await.is(200).body;
    let some = |body: &Value, names: &[&str]| -> Value {
        let pairs = names
            .iter()
            .filter_map(|n| body.get(*n).map(|v| ((*n).to_owned(), v.clone())));
        Value::Object(pairs.collect())
    };
    let before = events(&a);
    let shown = read(format!("/v1/apis/{api}")).await;
    a.order("PUT", &path, some(&shown, &["scopes"]))
        .await
        .is(200);
    a.order(
        "PUT",
        &format!("/v1/apis/{api}/routes"),
        some(&shown, &["hosts", "routes"]),
    )
    .await
    .is(200);
    let shown = read(format!("/v1/roles/{role}")).await;
    a.order("PUT", &format!("/v1/roles/{role}"), shown["permit"].clone())
        .await
        .is(200);
    let shown = read(format!("/v1/users/{user}")).await;
    a.order(
        "PUT",
        &format!("/v1/users/{user}/roles"),
        some(&shown, &["roles"]),
    )
    .await
    .is(200);
    a.order(
        "PUT",
        &format!("/v1/users/{user}/state"),
        some(&shown, &["state"]),
    )
    .await
    .is(200);
    let shown = read(format!("/v1/apps/{app}")).await;
    a.order(
        "PATCH",
        &format!("/v1/apps/{app}"),
        some(&shown, &["permit", "sponsor"]),
    )
    .await
    .is(200);
    a.order(
        "PUT",
        &format!("/v1/apps/{app}/state"),
        some(&shown, &["state"]),
    )
    .await
    .is(200);
    let shown = read(format!("/v1/tokens/{token}")).await;
    let path = format!("/v1/tokens/{token}");
    a.order(
        "PATCH",
        &path,
        some(&shown, &["grants", "conditions", "limit", "expires_at"]),
    )
    .await
    .is(200);
    a.order("PATCH", &path, json!({})).await.is(200);
    let shown = read("/v1/policies".to_owned()).await;
    for item in shown["items"].as_array().unwrap() {
        let path = format!("/v1/policies/{}", item["class"].as_str().unwrap());
        a.order("PUT", &path, item["policy"].clone()).await.is(200);
    }
    assert_eq!(events(&a), before, "a no-op was written");
    // And what was revoked cannot be written back at all.
    let shown = read(format!("/v1/tokens/{revoked}")).await;
    let path = format!("/v1/tokens/{revoked}");
    let said = a
        .order("PATCH", &path, some(&shown, &["grants", "expires_at"]))
        .await;
    refused(&a, before, said.refused(409, "state_conflict"));
    for way in ["resume", "rotate", "suspend"] {
        let said = a.order("POST", &format!("{path}/{way}"), json!({})).await;
        refused(&a, before, said.refused(409, "state_conflict"));
    }
    a.running.stop().await;
}

/// CRC-32 and base62, written anew from the published rule.
fn with_checksum(head: &str) -> String {
    let mut crc = u32::MAX;
    for byte in head.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut sum = [b'0'; 6];
    for slot in sum.iter_mut().rev() {
        *slot = digits[usize::try_from(rest % 62).unwrap()];
        rest /= 62;
    }
    format!("{head}{}", std::str::from_utf8(&sum).unwrap())
}

// C6. Mutants: `TokenText::parse` that trims, folds case or takes a prefix; a look-up by less than the digest.
#[tokio::test(flavor = "multi_thread")]
async fn c6_only_the_whole_text_is_the_token() {
    let (a, user, _) = office().await;
    a.tenant("other").await;
    let (_, secret) = a
        .issue(json!({"class": "key", "subject": user, "grants": reading()}))
        .await;
    let unsummed = &secret[..secret.len() - 6];
    assert_eq!(with_checksum(unsummed), secret, "the published rule");
    let random = &unsummed["acme_key_".len()..];
    let mut wrong: Vec<String> = (0..secret.len()).map(|n| secret[..n].to_owned()).collect();
    wrong.extend((1..secret.len()).map(|n| secret[n..].to_owned()));
    wrong.extend([
        secret.to_uppercase(),
        secret.to_lowercase(),
        secret.repeat(2),
    ]);
    wrong.extend(
        ["key", "pat", "svc", "pub", "acc", "ref", "sec"]
            .iter()
            .skip(1)
            .map(|class| with_checksum(&format!("acme_{class}_{random}"))),
    );
    wrong.extend(
        ["other", "jeton", "acm", "acmee"].map(|p| with_checksum(&format!("{p}_key_{random}"))),
    );
    wrong.extend((9..39).map(|n| {
        let mut text = unsummed.to_owned();
        let other = if &text[n..=n] == "x" { "y" } else { "x" };
        text.replace_range(n..=n, other);
        with_checksum(&text)
    }));
    for extra in [
        " ", "\t", "\n", "\r\n", "\0", "=", "%00", "\u{feff}", "\u{200b}", "é",
    ] {
        wrong.push(format!("{secret}{extra}"));
        wrong.push(format!("{extra}{secret}"));
    }
    wrong.push(secret.replace('a', "\u{430}"));
    wrong.push(secret.replacen('_', "%5F", 1));
    let question = |text: &str| json!({"token": text, "api": "docs", "scopes": ["read"]});
    let uniform = a
        .order("POST", "/v1/check", question("x"))
        .await
        .is(200)
        .body;
    let before = events(&a);
    for text in &wrong {
        let said = a.order("POST", "/v1/check", question(text)).await.is(200);
        assert_eq!(said.body, uniform, "{text:?}");
        let said = a
            .order("POST", "/v1/tokens/find", json!({"token": text}))
            .await;
        said.refused(404, "not_found");
        let said = send(
            &a.client,
            "POST",
            "/v1/revoke",
            &[],
            Some(&json!({"token": text})),
        )
        .await
        .is(200);
        assert_eq!(said.body["status"], "done");
        if http::HeaderValue::from_str(text).is_ok() {
            // Whitespace around a header's value is not part of it (RFC 9110 §5.5).
            let same = text.trim_matches([' ', '\t']) == secret;
            for (name, value) in [
                ("authorization", format!("Bearer {text}")),
                ("x-api-key", text.clone()),
            ] {
                let said = send(&a.client, "GET", "/v1/whoami", &[(name, &value)], None).await;
                assert!(same || said.status == 401, "{name} {text:?}: {}", said.body);
            }
        }
        let basic = data_encoding::BASE64.encode(format!("user:{text}").as_bytes());
        let basic = format!("Basic {basic}");
        let said = send(
            &a.client,
            "GET",
            "/v1/whoami",
            &[("authorization", &basic)],
            None,
        )
        .await;
        assert_eq!(said.status, 401, "{text:?}");
    }
    assert_eq!(events(&a), before, "something was revoked");
    all(&shown_everywhere(&a, &secret).await, true);
    // By possession of the whole text it ends.
    send(
        &a.client,
        "POST",
        "/v1/revoke",
        &[],
        Some(&json!({"token": secret})),
    )
    .await
    .is(200);
    all(&shown_everywhere(&a, &secret).await, false);
    a.running.stop().await;
}

// C14. Mutants: an error that repeats what it read. The whole of it is in canary.rs.
#[tokio::test(flavor = "multi_thread")]
async fn c14_errors_do_not_repeat_what_may_be_a_secret() {
    let (a, user, _) = office().await;
    let (_, secret) = a
        .issue(json!({"class": "key", "subject": user, "grants": reading()}))
        .await;
    let mut nested = json!({"class": "key", "subject": user});
    nested["conditions"] = json!({secret.as_str(): 1});
    for order in [
        json!({secret.as_str(): 1}),
        json!({"class": secret, "subject": user}),
        json!({"class": "key", "subject": secret}),
        json!({"class": {secret.as_str(): secret}}),
        nested,
    ] {
        let said = a.order("POST", "/v1/tokens", order).await;
        assert!(said.status.is_client_error());
        let told = String::from_utf8_lossy(&said.bytes).into_owned();
        assert!(!told.contains(&secret[9..29]), "{told}");
    }
    // A slip is still named.
    let said = a
        .order(
            "POST",
            "/v1/tokens",
            json!({"class": "key", "subject": user, "lifetime": 1}),
        )
        .await;
    assert_eq!(said.refused(422, "field_invalid").body["field"], "lifetime");
    a.running.stop().await;
}

// C15. A mutant: an operation whose access is left at its default, `Public`.
#[test]
fn c15_what_anybody_may_call_is_a_short_list() {
    let public: BTreeSet<&str> = table()
        .iter()
        .filter(|(o, _)| matches!(o.access, Access::Public))
        .map(|(o, _)| o.id)
        .collect();
    let known = BTreeSet::from([
        "checkpoint",
        "health",
        "logKeys",
        "logPolicy",
        "openapi",
        "readiness",
        "refusal",
        "revokeShown",
        "setup",
        "tokenFormat",
    ]);
    assert_eq!(public, known);
}

// C15. Mutants: `founding` without its look whether there is an operator; `Setup::spend` left out.
#[tokio::test(flavor = "multi_thread")]
async fn c15_the_setup_secret_is_good_once() {
    use jeton_store::sqlite::Durability;
    let dir = tempfile::tempdir().unwrap();
    let config = common::config(dir.path());
    let running = jeton::serve::start(&config, Durability::Full)
        .await
        .unwrap();
    let (secret, file) = running.setup.as_ref().unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let good = secret.expose_secret().to_owned();
    let client = Arc::new(common::client(&running));
    let size = running.doors.node.verifier.size();
    for wrong in [
        "",
        "x",
        &good[1..],
        &good[..31],
        &good.to_uppercase(),
        &format!("{good}\n"),
        &format!(" {good}"),
    ] {
        let said = send(
            &client,
            "POST",
            "/v1/setup",
            &[],
            Some(&json!({"secret": wrong})),
        )
        .await;
        said.refused(401, "setup_spent");
    }
    assert_eq!(running.doors.node.verifier.size(), size);
    let tries: Vec<_> = (0..32)
        .map(|_| {
            let (client, body) = (Arc::clone(&client), json!({"secret": good}));
            tokio::spawn(async move {
                send(&client, "POST", "/v1/setup", &[], Some(&body))
                    .await
                    .status
                    .as_u16()
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(
        statuses.iter().filter(|s| **s == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 401).count(),
        31,
        "{statuses:?}"
    );
    assert!(!file.exists());
    running.stop().await;
    let running = jeton::serve::start(&config, Durability::Full)
        .await
        .unwrap();
    assert!(running.setup.is_none());
    let client = common::client(&running);
    let said = send(
        &client,
        "POST",
        "/v1/setup",
        &[],
        Some(&json!({"secret": good})),
    )
    .await;
    said.refused(401, "setup_spent");
    running.stop().await;
}

// C16. Mutants: a cursor without its tag, without its tenant, without its list, or pasted into SQL.
#[tokio::test(flavor = "multi_thread")]
async fn c16_a_cursor_is_good_for_its_list_and_tenant_alone() {
    let (a, user, _) = office().await;
    let other = a.tenant("other").await.text("/secret");
    for _ in 0..4 {
        a.issue(json!({"class": "key", "subject": user, "grants": reading()}))
            .await;
        a.order("POST", "/v1/users", json!({})).await.is(201);
        a.order("POST", "/v1/apps", json!({"sponsor": user, "permit": {}}))
            .await
            .is(201);
    }
    let owned = format!("/v1/tokens?subject={user}&");
    let lists = [
        "/v1/tokens?",
        &owned,
        "/v1/users?",
        "/v1/apps?",
        "/v1/events?",
    ];
    let mut cursors = Vec::new();
    for list in lists {
        let path = format!("{list}limit=1");
        let first = a.call(&a.admin, "GET", &path, None).await.is(200);
        let cursor = first.text("/next");
        let second = a
            .call(&a.admin, "GET", &format!("{path}&cursor={cursor}"), None)
            .await
            .is(200);
        assert_ne!(first.body["items"], second.body["items"], "{list}");
        cursors.push(cursor);
    }
    let bad = async |token: &str, list: &str, cursor: &str| {
        let said = a
            .call(
                token,
                "GET",
                &format!("{list}limit=1&cursor={cursor}"),
                None,
            )
            .await;
        let blamed = said.body["field"] == "cursor" && said.body["code"] == "field_invalid";
        // A cursor that breaks the query itself is refused with it.
        let broken = cursor.contains(['&', '=', '#']) && said.status.is_client_error();
        assert!(blamed || broken, "{list}{cursor}: {}", said.body);
    };
    for (list, cursor) in lists.iter().zip(&cursors) {
        for foreign in cursors.iter().filter(|c| *c != cursor) {
            bad(&a.admin, list, foreign).await;
        }
        if !list.contains("subject") {
            bad(&other, list, cursor).await;
        }
        for n in 0..cursor.len() {
            bad(&a.admin, list, &cursor[..n]).await;
        }
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(cursor.as_bytes())
            .unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            bad(
                &a.admin,
                list,
                &data_encoding::BASE64URL_NOPAD.encode(&forged),
            )
            .await;
        }
        let untagged = data_encoding::BASE64URL_NOPAD.encode(&bytes[16..]);
        let zeroed = data_encoding::BASE64URL_NOPAD.encode(&[&[0; 16], &bytes[16..]].concat());
        for forged in [
            untagged,
            zeroed,
            format!("{cursor}A"),
            format!("{cursor}%3D"),
            format!("{cursor}%00"),
            "'%20OR%201=1%20--".to_owned(),
            "1;DROP%20TABLE%20token".to_owned(),
            "%27%29%20UNION%20SELECT%20*%20FROM%20sqlite_master--".to_owned(),
            "A".repeat(4000),
        ] {
            bad(&a.admin, list, &forged).await;
        }
    }
    // SQL text where ids and names stand finds nothing and breaks nothing.
    for text in [
        "'%20OR%20'1'='1",
        "%22%3B%20DROP%20TABLE%20event%3B--",
        "*",
        "%25",
        "_",
    ] {
        for path in [
            format!("/v1/tokens/{text}"),
            format!("/v1/users/{text}"),
            format!("/v1/events?token={text}"),
        ] {
            let said = a.call(&a.admin, "GET", &path, None).await;
            assert!(
                [404, 422].contains(&said.status.as_u16()),
                "{path}: {}",
                said.body
            );
        }
    }
    let named = json!({"class": "key", "subject": user, "name": "'); DROP TABLE event; --",
        "metadata": {"'": "\" OR 1=1"}});
    let (id, _) = a.issue(named).await;
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/tokens/{id}"), None)
        .await
        .is(200);
    assert_eq!(shown.text("/name"), "'); DROP TABLE event; --");
    a.running.stop().await;
}
