//! The life of a token through the real server over TLS: issue, check, rotate, suspend, revoke, restart.

mod common;

use std::time::Duration;

use common::Authority;
use jeton::{
    capability,
    jobs::idle::{self, Walk},
    node::{
        observe,
        start::Node,
        writer::{Purpose, Ruling},
    },
    serve,
};
use jeton_core::{
    api::JETON_API,
    check::question::Question,
    decision::Decision,
    event::{Actor, Event},
    id::TokenId,
    refusal::Refusal,
    scope::ScopeSet,
    time::{Span, Time},
    token::{
        record::Terms,
        text::{self, TokenText},
    },
};
use jeton_store::sqlite::Durability;
use jeton_verify::check::Passed;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let a = Authority::start().await;
    a.api("docs", &["read", "write"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (kept, kept_secret) = a.issue(order.clone()).await;
    let (gone, gone_secret) = a.issue(order.clone()).await;
    let (turned, old_secret) = a.issue(order).await;
    a.order(
        "POST",
        &format!("/v1/tokens/{gone}/revoke"),
        json!({"reason": "leaked"}),
    )
    .await
    .is(200);
    let rotated = a
        .order("POST", &format!("/v1/tokens/{turned}/rotate"), json!({}))
        .await
        .is(200);
    let new_secret = rotated.text("/secret");
    // Twice: the first start after this has a snapshot, the second one must not need it.
    let a = a.restart().await;
    std::fs::remove_file(a.dir.path().join("data/snapshot")).unwrap();
    let a = a.restart().await;
    assert_eq!(
        a.check(&kept_secret, "docs", &["read"]).await["token"],
        kept.as_str()
    );
    assert_eq!(
        a.check(&gone_secret, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    for secret in [&old_secret, &new_secret] {
        assert_eq!(a.check(secret, "docs", &["read"]).await["allowed"], true);
    }
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/tokens/{turned}"), None)
        .await
        .is(200);
    assert_eq!(shown.body["generation"], 1);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_order_makes_one_token_and_shows_its_secret_again() {
    let a = Authority::start().await;
    let (user, _) = a.user("nobody", json!([])).await;
    let order = json!({"class": "key", "subject": user});
    let bearer = format!("Bearer {}", a.admin);
    let headers = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "one"),
    ];
    let first = common::send(&a.client, "POST", "/v1/tokens", &headers, Some(&order))
        .await
        .is(201);
    let again = common::send(&a.client, "POST", "/v1/tokens", &headers, Some(&order))
        .await
        .is(201);
    assert_eq!(first.text("/token/id"), again.text("/token/id"));
    assert_eq!(first.text("/secret"), again.text("/secret"));
    let other = json!({"class": "key", "subject": user, "name": "other"});
    common::send(&a.client, "POST", "/v1/tokens", &headers, Some(&other))
        .await
        .refused(422, "idempotency_mismatch");
    // Another process no longer has the secret, but knows the token.
    let a = a.restart().await;
    let later = common::send(&a.client, "POST", "/v1/tokens", &headers, Some(&order))
        .await
        .is(201);
    assert_eq!(later.text("/token/id"), first.text("/token/id"));
    assert_eq!(later.body["secret_available"], false);
    assert_eq!(later.body.get("secret"), None);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_ends_what_was_issued_before_and_not_what_comes_after() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (_, before) = a.issue(order.clone()).await;
    a.order(
        "POST",
        "/v1/tokens/cut-off",
        json!({"subject": user, "reason": "leaked"}),
    )
    .await
    .is(200);
    let (_, after) = a.issue(order).await;
    assert_eq!(
        a.check(&before, "docs", &["read"]).await["code"],
        "token_cut_off"
    );
    assert_eq!(a.check(&after, "docs", &["read"]).await["allowed"], true);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_writes_nothing() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let (_, secret) = a
        .issue(json!({"class": "key", "subject": user, "grants": grants}))
        .await;
    let writes = || {
        let shared = a.running.doors.node.writer.shared();
        shared.commits.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = writes();
    for _ in 0..200 {
        assert_eq!(a.check(&secret, "docs", &["read"]).await["allowed"], true);
        assert_eq!(
            a.check("acme_key_nonsense", "docs", &["read"]).await["code"],
            "token_unknown"
        );
    }
    assert_eq!(writes(), before);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_unknown_texts_get_the_same_bytes() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let (user, _) = a.user("nobody", json!([])).await;
    let (_, known) = a.issue(json!({"class": "key", "subject": user})).await;
    let mut wrong_sum = known.clone();
    wrong_sum.replace_range(20..21, if &known[20..21] == "x" { "y" } else { "x" });
    let foreign = a.tenant("other").await.text("/secret");
    let mut answers: Vec<Value> = Vec::new();
    for text in [
        "",
        "x",
        "acme_key_short",
        wrong_sum.as_str(),
        foreign.as_str(),
    ] {
        answers.push(a.check(text, "docs", &["read"]).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    a.running.stop().await;
}

/// A token with the rights of another, born some days ago and unused since, that a month without use ends: id and secret.
async fn grown_old(node: &Node, like: &str, days: u64) -> (TokenId, String) {
    let like = node.verifier.record(like.parse().unwrap()).unwrap();
    let prefix = node
        .verifier
        .directory()
        .tenant(like.tenant)
        .unwrap()
        .prefix;
    let born = Time::from_seconds(u64::from(node.clock.time().seconds()) - days * 86_400);
    let token = capability::draw_id(born);
    let secret = text::mint(prefix, like.class, &capability::draw_text()).unwrap();
    let text = secret.expose_secret().to_owned();
    let (pepper, key) = node.keyring.pepper(like.tenant).unwrap();
    let event = Event::TokenIssued {
        token,
        class: like.class,
        subject: like.subject,
        digest: key.digest(&TokenText::parse(&text).unwrap()),
        pepper,
        terms: Terms {
            idle: Some(Span::days(30)),
            ..Terms::clone(&like.terms)
        },
        expires: None,
    };
    let submitted = node.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant: like.tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision: Decision::yes((), vec![event]),
    });
    submitted.await.unwrap();
    (token, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_used_is_suspended_by_an_event_and_resumed_it_is_fresh() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (like, _) = a.issue(order).await;
    let node = std::sync::Arc::clone(&a.running.doors.node);
    let (old, secret) = grown_old(&node, &like, 31).await;
    let (meanwhile, _) = grown_old(&node, &like, 31).await;
    let (young, _) = grown_old(&node, &like, 29).await;
    // The refusal is there before the event is, and the same with it.
    let before = a.check(&secret, "docs", &["read"]).await;
    assert_eq!(before["code"], "token_idle", "{before}");
    let now = node.clock.time();
    let mut walk = Walk::default();
    let step = walk.step(&node.verifier, now);
    assert_eq!(
        (step.found.as_slice(), step.more),
        (&[old, meanwhile][..], false)
    );
    // One is used after it was found, and one that was not found is handed over: the rule looks again.
    node.verifier.with_index(|index| {
        let slots = (0..index.len()).filter_map(|p| index.slot(p));
        slots
            .filter(|s| s.id() == meanwhile)
            .for_each(|s| s.recall_use(now));
    });
    let found = [step.found, vec![young]].concat();
    let size = node.verifier.size();
    assert_eq!(idle::suspend(&node, found.clone()).await.unwrap(), 1);
    assert_eq!(node.verifier.size(), size + 1);
    assert_eq!(idle::suspend(&node, found).await.unwrap(), 0);
    assert_eq!(node.verifier.size(), size + 1, "it is suspended once");
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/tokens/{old}"), None)
        .await
        .is(200);
    assert_eq!(shown.body["state"], "suspended", "{}", shown.body);
    let trail = a
        .call(&a.admin, "GET", "/v1/events?limit=1", None)
        .await
        .is(200);
    let event = &trail.body["items"][0];
    assert_eq!(event["event"], "token.suspended", "{}", trail.body);
    let after = a.check(&secret, "docs", &["read"]).await;
    for key in ["code", "at"] {
        assert_eq!(after[key], before[key], "{after}");
    }
    assert_eq!(after["reason"], "idle", "{after}");
    // Resumed, it works: now, at the next sweep, and after starts with a snapshot and without.
    let resume = format!("/v1/tokens/{old}/resume");
    a.order("POST", &resume, json!({})).await.is(200);
    drop(node);
    let a = a.restart().await;
    std::fs::remove_file(a.dir.path().join("data/snapshot")).unwrap();
    let a = a.restart().await;
    let node = std::sync::Arc::clone(&a.running.doors.node);
    let step = Walk::default().step(&node.verifier, node.clock.time());
    assert!(!step.found.contains(&old), "{:?}", step.found);
    assert_eq!(a.check(&secret, "docs", &["read"]).await["allowed"], true);
    let later = node.clock.time().after(Span::days(31));
    let step = Walk::default().step(&node.verifier, later);
    assert!(step.found.contains(&old), "{:?}", step.found);
    a.running.stop().await;
}

/// What the verifier says of a secret at jeton's own API.
fn shown(node: &Node, tenant: &str, secret: &str) -> Result<Passed, Refusal> {
    let question = Question {
        tenant: tenant.parse().unwrap(),
        api: JETON_API,
        needed: ScopeSet::EMPTY,
        resource: None,
        address: None,
        method: None,
        path: None,
    };
    let verdict = node.verifier.check(secret, &question, node.clock.now());
    verdict.map_err(|denied| denied.refused.refusal)
}

/// Tells an observer of uses that were seen, and waits until it has done all that follows from them.
async fn observed(node: &Node, uses: &[Passed]) {
    let (_running, stop) = tokio::sync::watch::channel(false);
    let (observer, done) = observe::start(node.writer.clone(), stop);
    for passed in uses {
        observer.used(passed, node.clock.time(), None);
    }
    drop(observer);
    done.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_is_told_late_does_not_bring_a_replaced_secret_back() {
    let a = Authority::start().await;
    let grants = json!([{"api": "jeton", "scopes": ["jeton:check"]}]);
    let (user, _) = a.user("checker", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (used, kept) = a.issue(order.clone()).await;
    let (turned, leaked) = a.issue(order).await;
    let peppers = format!("/v1/tenants/{}/peppers", a.tenant);
    let rotate = json!({"action": "rotate"});
    a.call(&a.operator, "POST", &peppers, Some(&rotate))
        .await
        .is(200);
    let node = std::sync::Arc::clone(&a.running.doors.node);
    // Both are seen under the older pepper, and each twice. Before anybody hears of it, one of them is rotated.
    let mut uses = Vec::new();
    for secret in [&leaked, &kept, &leaked, &kept] {
        let passed = shown(&node, &a.tenant, secret).unwrap();
        assert!(passed.rehash.is_some());
        uses.push(passed);
    }
    let path = format!("/v1/tokens/{turned}/rotate");
    let rotated = a.order("POST", &path, json!({"overlap_s": 0})).await;
    let fresh = rotated.is(200).text("/secret");
    observed(&node, &uses).await;
    // What is still in use is hashed anew, once.
    for token in [&used, &turned] {
        let id = token.parse().unwrap();
        assert_eq!(node.verifier.with_index(|index| index.sequence(id)), 2);
    }
    assert!(shown(&node, &a.tenant, &kept).unwrap().rehash.is_none());
    drop(node);
    // Now, and after a replay.
    let a = a.restart().await;
    std::fs::remove_file(a.dir.path().join("data/snapshot")).unwrap();
    let a = a.restart().await;
    let node = &a.running.doors.node;
    assert!(shown(node, &a.tenant, &fresh).is_ok());
    let late = shown(node, &a.tenant, &leaked).unwrap_err();
    assert_eq!(late, Refusal::TokenReplaced);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_shown_by_the_name_that_it_was_founded_with() {
    let a = Authority::start().await;
    let order = json!({"prefix": "named", "name": "Named & Söhne"});
    let said = a
        .call(&a.operator, "POST", "/v1/tenants", Some(&order))
        .await
        .is(201);
    let (id, admin) = (said.text("/tenant"), said.text("/secret"));
    // What happens later does not rename it, nor does the name become that of its first application.
    let order = json!({"name": "somebody"});
    a.call(&admin, "POST", "/v1/users", Some(&order))
        .await
        .is(201);
    let app = a.call(&admin, "GET", "/v1/apps", None).await.is(200);
    assert_eq!(app.body["items"][0].get("name"), None);
    let a = a.restart().await;
    let path = format!("/v1/tenants/{id}");
    let shown = a.call(&a.operator, "GET", &path, None).await.is(200);
    assert_eq!(shown.body["name"], "Named & Söhne");
    let listed = a
        .call(&a.operator, "GET", "/v1/tenants", None)
        .await
        .is(200);
    let names: Vec<_> = listed.body["items"]
        .as_array()
        .map(|items| items.iter().map(|t| t.get("name").cloned()).collect())
        .unwrap_or_default();
    assert_eq!(names, [None, None, Some(json!("Named & Söhne"))]);
    let order = json!({"state": "suspended"});
    let path = format!("{path}/state");
    let said = a
        .call(&a.operator, "PUT", &path, Some(&order))
        .await
        .is(200);
    assert_eq!(said.body["name"], "Named & Söhne");
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_secret_is_offered_anew_after_its_hour() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = common::config(dir.path());
    let running = serve::start(&config, Durability::Full)
        .await
        .expect("a start");
    let client = common::client(&running);
    let (_, file) = running.setup.as_ref().expect("a setup secret");
    let redeem = async |text: &str| {
        let body = json!({"secret": text});
        common::send(&client, "POST", "/v1/setup", &[], Some(&body)).await
    };
    // As if it had been offered an hour ago.
    let doors = &running.doors;
    let now = doors.node.clock.time().millis();
    let ago = Time::from_millis(now - 3_600_000);
    let late = doors.setup.offer(file.clone(), ago).expect("an offer");
    redeem(late.expose_secret())
        .await
        .refused(401, "setup_spent");
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let fresh = async {
        loop {
            tick.tick().await;
            let text = std::fs::read_to_string(file).expect("the file");
            if text.trim() != late.expose_secret() {
                return text.trim().to_owned();
            }
        }
    };
    let fresh = tokio::time::timeout(Duration::from_secs(20), fresh).await;
    let fresh = fresh.expect("another secret");
    redeem(late.expose_secret())
        .await
        .refused(401, "setup_spent");
    redeem(&fresh).await.is(201);
    assert!(!file.exists() && !doors.setup.waits());
    redeem(&fresh).await.refused(401, "setup_spent");
    running.stop().await;
}
