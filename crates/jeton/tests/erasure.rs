//! What is erased is gone from the answers, the store's bytes and the memory, now and after every start; and the ledger is as sound
//! as before.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::sync::Arc;

use common::{Authority, Said};
use jeton::{
    jobs::idle::{self, Walk},
    node::{
        start::Node,
        writer::{Purpose, Ruling},
    },
    serve,
};
use jeton_core::{
    authority::Authority as Ordered,
    decision::Decision,
    event::{Actor, Erasure, Event},
    id::TokenId,
    time::Span,
    token::{
        digest::Digest,
        record::{Reason, Terms},
        revoke,
    },
};
use jeton_store::{
    Continue, Reader as _,
    sqlite::{Durability, SqliteReader},
};
use serde_json::{Value, json};

fn node(a: &Authority) -> Arc<Node> {
    Arc::clone(&a.running.doors.node)
}

async fn erase(a: &Authority, tokens: &[&str]) -> Said {
    a.order("POST", "/v1/tokens/erase", json!({"tokens": tokens}))
        .await
}

async fn revoke(a: &Authority, token: &str) {
    let path = format!("/v1/tokens/{token}/revoke");
    let note = json!({"note": "Ada asked for it"});
    a.order("POST", &path, note).await.is(200);
}

/// A user with a token of an API `docs`: user, token and secret.
async fn somebody(a: &Authority, name: &str) -> (String, String, String) {
    let order = json!({"roles": ["reader"], "name": name, "metadata": {"of": name}});
    let user = a
        .order("POST", "/v1/users", order)
        .await
        .is(201)
        .text("/id");
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order =
        json!({"class": "key", "subject": user, "grants": grants, "name": format!("{name}'s key")});
    let (token, secret) = a.issue(order).await;
    (user, token, secret)
}

async fn furnished() -> Authority {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let permit = json!({"grants": grants});
    let order = json!({"name": "reader", "permit": permit});
    a.order("POST", "/v1/roles", order).await.is(201);
    a
}

/// Stops it, and looks for a text in every byte that it leaves.
async fn left_behind(a: Authority, text: &str) -> (Authority, Vec<String>) {
    a.running.stop().await;
    let mut found = Vec::new();
    for file in std::fs::read_dir(a.dir.path().join("data")).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    let running = serve::start(&common::config(a.dir.path()), Durability::Full).await;
    let running = running.expect("a start");
    let client = common::client(&running);
    (
        Authority {
            running,
            client,
            ..a
        },
        found,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_beside_a_deleted_user_are_gone_from_every_byte() {
    let a = furnished().await;
    let (user, token, secret) = somebody(&a, "Ada Lovelace").await;
    let (other, ..) = somebody(&a, "Grace Hopper").await;
    let path = format!("/v1/users/{user}");
    let named = json!({"name": "Ada Byron"});
    a.order("PUT", &format!("{path}/words"), named.clone())
        .await
        .is(200);
    assert_eq!(a.check(&secret, "docs", &["read"]).await["allowed"], true);
    revoke(&a, &token).await;
    let erase = format!("{path}/erase");
    let said = a.call(&a.admin, "POST", &erase, None).await;
    said.refused(409, "state_conflict");
    a.order("PUT", &format!("{path}/state"), json!({"state": "deleted"}))
        .await
        .is(200);
    let (a, found) = left_behind(a, "Ada").await;
    assert_eq!(found, ["ledger.db"], "the control");
    let said = a.call(&a.admin, "POST", &erase, None).await.is(200);
    // Registered, its token issued, named anew, the token revoked, deleted.
    assert_eq!(said.body["events"], 5);
    let size = node(&a).verifier.size();
    let again = a.call(&a.admin, "POST", &erase, None).await.is(200);
    assert_eq!(again.body["events"], 0);
    assert_eq!(node(&a).verifier.size(), size, "it is erased once");
    a.order("PUT", &format!("{path}/words"), named)
        .await
        .refused(404, "not_found");
    let (a, found) = left_behind(a, "Ada").await;
    assert_eq!(found, [""; 0]);
    let a = restarted_from_nothing(a).await;
    let shown = a.call(&a.admin, "GET", &path, None).await.is(200);
    assert_eq!(
        (shown.body.get("name"), &shown.body["state"]),
        (None, &json!("deleted"))
    );
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/users/{other}"), None)
        .await;
    assert_eq!(shown.body["name"], "Grace Hopper");
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/tokens/{token}"), None)
        .await;
    assert_eq!(
        (shown.body.get("name"), &shown.body["state"]),
        (None, &json!("revoked"))
    );
    let trail = a
        .call(&a.admin, "GET", "/v1/events?limit=200", None)
        .await
        .is(200);
    let items = trail.body["items"].as_array().unwrap();
    let erased = items.iter().find(|e| e["event"] == "words.erased").unwrap();
    assert_eq!(erased["detail"], json!({"subject": user, "events": 5}));
    assert!(erased["address"].is_string(), "whoever erased stays");
    a.is_sound().await;
    a.running.stop().await;
}

async fn restarted_from_nothing(a: Authority) -> Authority {
    a.running.stop().await;
    std::fs::remove_file(a.dir.path().join("data/snapshot")).unwrap();
    let running = serve::start(&common::config(a.dir.path()), Durability::Full).await;
    let running = running.expect("a start");
    let client = common::client(&running);
    Authority {
        running,
        client,
        ..a
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_subject_did_itself_is_erased_in_every_tenant_and_what_came_later_by_the_next_order()
{
    let a = furnished().await;
    let (_, token, _) = somebody(&a, "Ada Lovelace").await;
    // Somebody who operates, and acts in another tenant.
    let order = json!({"name": "ops", "permit": {"grants": [{"api": "jeton", "scopes":
        ["jeton:tenants:write", "jeton:subjects:write"]}]}});
    let by_operator = async |method: &str, path: &str, order: Value| {
        a.call(&a.operator, method, path, Some(&order)).await
    };
    by_operator("POST", "/v1/roles", order).await.is(201);
    let order = json!({"roles": ["ops"]});
    let said = by_operator("POST", "/v1/users", order).await.is(201);
    let user = said.text("/id");
    let order = json!({"class": "pat", "subject": user, "inherit": true});
    let said = by_operator("POST", "/v1/tokens", order).await.is(201);
    let (secret, pat) = (said.text("/secret"), said.text("/token/id"));
    let path = format!("/v1/tenants/{}/state", a.tenant);
    for state in ["suspended", "active"] {
        let order = json!({"state": state});
        a.call(&secret, "PUT", &path, Some(&order)).await.is(200);
    }
    let path = format!("/v1/users/{user}/state");
    by_operator("PUT", &path, json!({"state": "deleted"}))
        .await
        .is(200);
    let erase = format!("/v1/users/{user}/erase");
    let said = a.call(&a.operator, "POST", &erase, None).await.is(200);
    // Registered, its token issued, deleted. What it did twice in the other tenant stays a day, for whoever must look at it.
    assert_eq!(
        (&said.body["events"], &said.body["kept"]),
        (&json!(3), &json!(2))
    );
    let did = async || {
        let trail = a.call(&a.admin, "GET", "/v1/events?limit=200", None).await;
        let items = trail.is(200).body["items"].as_array().unwrap().clone();
        let did = items
            .into_iter()
            .filter(|e| e["actor_subject"] == json!(user));
        let told: Vec<bool> = did.map(|e| e["address"].is_string()).collect();
        told
    };
    assert_eq!(did().await, [true, true]);
    let clock = Arc::clone(&node(&a).clock);
    clock.danger_advance(Span::seconds(Span::DAY.as_seconds() - 60));
    let said = a.call(&a.operator, "POST", &erase, None).await.is(200);
    assert_eq!(
        (&said.body["events"], &said.body["kept"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(did().await, [true, true]);
    clock.danger_advance(Span::seconds(61));
    let said = a.call(&a.operator, "POST", &erase, None).await.is(200);
    assert_eq!(
        (&said.body["events"], said.body.get("kept")),
        (&json!(2), None)
    );
    assert_eq!(did().await, [false, false]);
    // Its token can still be ended, with words: they go by the next order.
    let path = format!("/v1/tokens/{pat}/revoke");
    by_operator("POST", &path, json!({"note": "late"}))
        .await
        .is(200);
    let said = a.call(&a.operator, "POST", &erase, None).await.is(200);
    assert_eq!(said.body["events"], 1);
    // In the other tenant nobody else's words went.
    let shown = a
        .call(&a.admin, "GET", &format!("/v1/tokens/{token}"), None)
        .await;
    assert_eq!(shown.body["name"], "Ada Lovelace's key");
    let a = restarted_from_nothing(a).await;
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_where_a_deleted_users_tokens_were_used_is_forgotten() {
    let a = furnished().await;
    let (user, token, secret) = somebody(&a, "Ada Lovelace").await;
    let (_, other, _) = somebody(&a, "Grace Hopper").await;
    let id: TokenId = token.parse().unwrap();
    let (known, now) = (node(&a), node(&a).clock.time());
    let seen = |token: &str| jeton_store::LastUse {
        token: token.parse().unwrap(),
        at: now,
        address: Some("192.0.2.77".to_owned()),
    };
    assert_eq!(a.check(&secret, "docs", &["read"]).await["allowed"], true);
    known.writer.observe(vec![seen(&token), seen(&other)]);
    let path = format!("/v1/users/{user}/state");
    a.order("PUT", &path, json!({"state": "deleted"}))
        .await
        .is(200);
    let uses = async |id: TokenId| node(&a).read(move |r| r.last_use(id)).await.unwrap();
    assert!(uses(id).await.is_some());
    let path = format!("/v1/users/{user}/erase");
    a.call(&a.admin, "POST", &path, None).await.is(200);
    assert_eq!(uses(id).await, None);
    // One that was seen before and told late comes too late.
    known.writer.observe(vec![seen(&token)]);
    drop(known.writer.moment());
    assert_eq!(uses(id).await, None);
    assert!(uses(other.parse().unwrap()).await.is_some());
    drop(known);
    a.is_sound().await;
    a.running.stop().await;
}

/// The erasures in the ledger.
fn erasures(a: &Authority) -> Vec<Erasure> {
    let mut reader = SqliteReader::open(&a.dir.path().join("data/ledger.db")).unwrap();
    let stored = reader.erasures().unwrap();
    let records = stored.iter().map(|s| s.opening.as_ref().unwrap());
    let read = records.map(|(_, bytes)| jeton_store::ledger::decode(bytes).unwrap().event);
    let erased = read.map(|event| match event {
        Event::Erased(erasure) => erasure,
        other => panic!("{other:?}"),
    });
    erased.collect()
}

/// The indexes of leaves without an opening.
fn without_opening(a: &Authority) -> Vec<u64> {
    let mut reader = SqliteReader::open(&a.dir.path().join("data/ledger.db")).unwrap();
    let mut out = Vec::new();
    let walked = reader.events(0, &mut |stored| {
        out.extend(stored.opening.is_none().then_some(stored.index));
        Ok(Continue::Yes)
    });
    walked.unwrap();
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_is_unknown_now_and_after_every_start() {
    let a = furnished().await;
    let (user, token, first) = somebody(&a, "Ada Lovelace").await;
    let (_, living, living_secret) = somebody(&a, "Grace Hopper").await;
    let turned = a
        .order("POST", &format!("/v1/tokens/{token}/rotate"), json!({}))
        .await
        .is(200);
    let second = turned.text("/secret");
    revoke(&a, &token).await;
    let day = Span::DAY;
    node(&a)
        .clock
        .danger_advance(Span::seconds(day.as_seconds() - 60));
    erase(&a, &[&token]).await.refused(409, "state_conflict");
    node(&a).clock.danger_advance(Span::seconds(61));
    // One that lives keeps all others.
    let refused = erase(&a, &[&token, &living]).await;
    refused.refused(409, "state_conflict");
    assert_eq!(refused.body["field"], "tokens[1]");
    assert_eq!(
        a.check(&second, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    let root = node(&a).verifier.size();
    let said = erase(&a, &[&token]).await.is(200);
    assert_eq!(said.body["events"], 3);
    assert_eq!(node(&a).verifier.size(), root + 1);
    let gone = async |a: &Authority| {
        let stranger = a.check("acme_key_nonsense", "docs", &["read"]).await;
        for secret in [&first, &second] {
            assert_eq!(a.check(secret, "docs", &["read"]).await, stranger);
            a.call(secret, "GET", "/v1/whoami", None)
                .await
                .refused(401, "token_unknown");
        }
        a.call(&a.admin, "GET", &format!("/v1/tokens/{token}"), None)
            .await
            .refused(404, "not_found");
        a.call(&a.admin, "GET", &format!("/v1/events?token={token}"), None)
            .await
            .refused(404, "not_found");
        erase(a, &[&token]).await.refused(404, "not_found");
        for path in ["/v1/tokens", &format!("/v1/tokens?subject={user}")] {
            let listed = a.call(&a.admin, "GET", path, None).await.is(200);
            assert!(!listed.body.to_string().contains(&token), "{path}");
        }
        let trail = a
            .call(&a.admin, "GET", "/v1/events?limit=200", None)
            .await
            .is(200);
        assert!(!trail.body.to_string().contains(&token), "{}", trail.body);
        assert_eq!(
            a.check(&living_secret, "docs", &["read"]).await["allowed"],
            true
        );
    };
    gone(&a).await;
    let [Erasure::Openings { tokens, indexes }] = &erasures(&a)[..] else {
        panic!("one erasure");
    };
    assert_eq!(tokens[..], [token.parse::<TokenId>().unwrap()]);
    assert_eq!(without_opening(&a), *indexes);
    // From the snapshot that knew it, from one made since, and from nothing.
    let a = a.restart().await;
    gone(&a).await;
    let a = a.restart().await;
    gone(&a).await;
    let a = restarted_from_nothing(a).await;
    assert_eq!(node(&a).started.from_snapshot, 0);
    gone(&a).await;
    // The ledger goes on.
    revoke(&a, &living).await;
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_token_is_like_one_that_never_was() {
    let a = furnished().await;
    let (_, token, secret) = somebody(&a, "Ada Lovelace").await;
    revoke(&a, &token).await;
    let other = a.tenant("other").await.text("/secret");
    node(&a).clock.danger_advance(Span::days(2));
    let size = node(&a).verifier.size();
    let mut told = Vec::new();
    for id in [token.as_str(), "tok_06hhgq2g01r010000000000000"] {
        let order = json!({"tokens": [id]});
        let said = a
            .call(&other, "POST", "/v1/tokens/erase", Some(&order))
            .await;
        let mut body = said.refused(404, "not_found").body.clone();
        body["request_id"] = json!(null);
        told.push(body);
    }
    assert_eq!(told[0], told[1]);
    for (tokens, status) in [
        (json!([]), 422),
        (json!([token, token]), 422),
        (json!(["nonsense"]), 422),
        (json!(vec![token.clone(); 257]), 422),
    ] {
        let order = json!({"tokens": tokens});
        let said = a.order("POST", "/v1/tokens/erase", order).await;
        assert_eq!(said.status, status, "{}", said.body);
    }
    assert_eq!(node(&a).verifier.size(), size);
    assert_eq!(
        a.check(&secret, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_goes_and_in_the_same_commit_nothing_follows() {
    let a = furnished().await;
    let (_, like, _) = somebody(&a, "Ada Lovelace").await;
    let like: TokenId = like.parse().unwrap();
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let user = a
        .call(&a.admin, "GET", "/v1/users", None)
        .await
        .text("/items/0/id");
    let order = json!({"class": "key", "subject": user, "grants": grants, "lifetime_s": 60});
    let (token, secret) = a.issue(order).await;
    let id: TokenId = token.parse().unwrap();
    let node = node(&a);
    node.clock.danger_advance(Span::days(3));
    let issued = node.verifier.record(id).unwrap().issued;
    let tenant = node.verifier.record(like).unwrap().tenant;
    let ruling = move |decision: Decision<bool>| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision,
    };
    // The writer is kept busy until both orders wait, so that one commit has them both.
    let (busy, released) = std::sync::mpsc::channel::<()>();
    let blocker = node.writer.submit(Purpose::Grow, move |_| {
        assert!(released.recv().is_err());
        ruling(Decision::yes(true, Vec::new()))
    });
    let erased = node.writer.submit(Purpose::Grow, move |_| {
        let erasure = Erasure::Openings {
            tokens: vec![id],
            indexes: vec![issued],
        };
        ruling(Decision::yes(true, vec![Event::Erased(erasure)]))
    });
    let ended = node.writer.submit(Purpose::Grow, move |facts| {
        assert_eq!(facts.events_of(id), 0);
        let Some(token) = facts.token(id) else {
            return ruling(Decision::yes(false, Vec::new()));
        };
        let authority = Ordered::danger_founder(tenant, Actor::Setup);
        let Decision { events, .. } = revoke::revoke(&authority, &token, Reason::Leaked);
        ruling(Decision::yes(true, events))
    });
    let release = async { drop(busy) };
    let before = node
        .writer
        .shared()
        .commits
        .load(std::sync::atomic::Ordering::Relaxed);
    let (blocked, erased, ended, ()) = tokio::join!(blocker, erased, ended, release);
    assert!(blocked.unwrap().outcome && erased.unwrap().outcome);
    assert!(!ended.unwrap().outcome, "it was known after it was erased");
    let after = node
        .writer
        .shared()
        .commits
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(after, before + 1);
    assert_eq!(
        a.check(&secret, "docs", &["read"]).await["code"],
        "token_unknown"
    );
    drop(node);
    let a = a.restart().await;
    let a = restarted_from_nothing(a).await;
    a.is_sound().await;
    a.running.stop().await;
}

/// Suspends and resumes a token until it has had so many events.
async fn tossed(node: &Node, token: TokenId, events: u64) {
    let tenant = node.verifier.record(token).unwrap().tenant;
    let known = node.verifier.with_index(|index| index.sequence(token));
    let reason = Reason::Abuse;
    let events = (known..events).map(|n| match n % 2 {
        1 => Event::TokenSuspended { token, reason },
        _ => Event::TokenResumed { token },
    });
    let decision = Decision::yes((), events.collect());
    let submitted = node.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision,
    });
    submitted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_no_event_can_name_goes_in_several_and_at_once() {
    let a = furnished().await;
    let (_, long, secret) = somebody(&a, "Ada Lovelace").await;
    let (_, brief, _) = somebody(&a, "Grace Hopper").await;
    tossed(&node(&a), long.parse().unwrap(), 9001).await;
    for token in [&long, &brief] {
        revoke(&a, token).await;
    }
    node(&a).clock.danger_advance(Span::days(2));
    let commits = || {
        let node = node(&a);
        let shared = node.writer.shared();
        shared.commits.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = commits();
    let said = erase(&a, &[&brief, &long]).await.is(200);
    assert_eq!(said.body["events"], 9004);
    assert_eq!(commits(), before + 1);
    let named: Vec<usize> = erasures(&a).iter().map(|e| e.indexes().len()).collect();
    assert_eq!(named, [2, 4096, 4096, 810]);
    let whose = |e: &Erasure| match e {
        Erasure::Openings { tokens, .. } => tokens[..] == [long.parse().unwrap()],
        Erasure::Words { .. } => false,
    };
    let whose: Vec<bool> = erasures(&a).iter().map(whose).collect();
    assert_eq!(whose, [false, true, true, true]);
    assert_eq!(without_opening(&a).len(), 9004);
    let a = a.restart().await;
    let a = restarted_from_nothing(a).await;
    assert_eq!(
        a.check(&secret, "docs", &["read"]).await["code"],
        "token_unknown"
    );
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_for_idle_tokens_passes_what_was_erased() {
    let a = furnished().await;
    let (_, like, _) = somebody(&a, "Ada Lovelace").await;
    let node = node(&a);
    let like = node.verifier.record(like.parse().unwrap()).unwrap();
    let mut ids = Vec::new();
    let born = node.clock.time();
    for _ in 0..2 {
        let token: TokenId = jeton::capability::draw_id(born);
        let event = Event::TokenIssued {
            token,
            class: like.class,
            subject: like.subject,
            digest: Digest::from_bytes(jeton::capability::draw()),
            pepper: 0,
            terms: Terms {
                idle: Some(Span::days(1)),
                ..Terms::clone(&like.terms)
            },
            expires: None,
        };
        let decision = Decision::yes((), vec![event]);
        let issued = node.writer.submit(Purpose::Grow, move |_| Ruling {
            tenant: like.tenant,
            actor: Actor::Authority,
            request: None,
            words: None,
            decision,
        });
        issued.await.unwrap();
        ids.push(token);
    }
    revoke(&a, &ids[0].to_string()).await;
    node.clock.danger_advance(Span::days(2));
    erase(&a, &[&ids[0].to_string()]).await.is(200);
    let swept = |node: &Node| {
        Walk::default()
            .step(&node.verifier, node.clock.time())
            .found
    };
    assert_eq!(swept(&node), [ids[1]]);
    assert_eq!(idle::suspend(&node, ids.clone()).await.unwrap(), 1);
    drop(node);
    let a = a.restart().await;
    let later = self::node(&a);
    later.clock.danger_advance(Span::days(3));
    assert_eq!(swept(&later), [] as [TokenId; 0]);
    drop(later);
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_leads_astray_erases_nothing() {
    let a = furnished().await;
    let (_, dead, _) = somebody(&a, "Ada Lovelace").await;
    let (_, kept_dead, secret) = somebody(&a, "Grace Hopper").await;
    revoke(&a, &dead).await;
    revoke(&a, &kept_dead).await;
    node(&a).clock.danger_advance(Span::days(2));
    let db = rusqlite::Connection::open(a.dir.path().join("data/ledger.db")).unwrap();
    let last = |token: &str| -> i64 {
        let id: TokenId = token.parse().unwrap();
        let sql = "SELECT event FROM token WHERE id = ?1";
        db.query_row(sql, [id.bytes()], |r| r.get(0)).unwrap()
    };
    // The history of one leads to the revocation of the other: gone, that one would be alive after the next start.
    let size = node(&a).verifier.size();
    let sql = "UPDATE token SET event = ?1 WHERE event = ?2";
    let (own, others) = (last(&dead), last(&kept_dead));
    assert_eq!(db.execute(sql, [others, own]).unwrap(), 1);
    erase(&a, &[&dead]).await.refused(500, "internal");
    let id: TokenId = dead.parse().unwrap();
    let sql = "UPDATE token SET event = ?1 WHERE id = ?2";
    db.execute(sql, rusqlite::params![own, id.bytes()]).unwrap();
    let sql = "UPDATE trail SET previous = ?1 WHERE idx = ?2";
    // Cut short, it would leave something behind.
    db.execute(sql, rusqlite::params![None::<i64>, own])
        .unwrap();
    erase(&a, &[&dead]).await.refused(500, "internal");
    assert_eq!(node(&a).verifier.size(), size);
    assert_eq!(
        a.check(&secret, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    a.running.stop().await;
}

/// A token of one event that has expired, and another that was revoked, with the index of that: who edits rows would like the
/// one's erasure to take the other's end with it.
struct Astray {
    expired: TokenId,
    issued: u64,
    revoked: TokenId,
    secret: String,
    end: u64,
}

async fn astray(a: &Authority) -> Astray {
    let (user, revoked, secret) = somebody(a, "Ada Lovelace").await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order = json!({"class": "key", "subject": user, "grants": grants, "lifetime_s": 60});
    let (expired, _) = a.issue(order).await;
    let expired: TokenId = expired.parse().unwrap();
    revoke(a, &revoked).await;
    let known = node(a);
    known.clock.danger_advance(Span::days(2));
    Astray {
        expired,
        issued: known.verifier.record(expired).unwrap().issued,
        revoked: revoked.parse().unwrap(),
        secret,
        end: known.verifier.size() - 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_was_edited_does_not_let_an_erasure_take_another_tokens_end() {
    let a = furnished().await;
    let Astray {
        expired,
        issued,
        revoked,
        secret,
        end,
    } = astray(&a).await;
    let db = rusqlite::Connection::open(a.dir.path().join("data/ledger.db")).unwrap();
    let leaf = |index: u64| -> Vec<u8> {
        let sql = "SELECT leaf FROM event WHERE idx = ?1";
        db.query_row(sql, [i64::try_from(index).unwrap()], |r| r.get(0))
            .unwrap()
    };
    // The end of one looks as if it were the only event of the other: by its row, its trail, and the tag in its leaf.
    let (index, whole) = (i64::try_from(end).unwrap(), leaf(end));
    let forged = [&whole[..42], &leaf(issued)[42..74], &whole[74..]].concat();
    let sql = "UPDATE event SET leaf = ?1 WHERE idx = ?2";
    assert_eq!(
        db.execute(sql, rusqlite::params![forged, index]).unwrap(),
        1
    );
    let sql = "UPDATE token SET event = ?1 WHERE id = ?2";
    let own = rusqlite::params![index, expired.bytes()];
    assert_eq!(db.execute(sql, own).unwrap(), 1);
    let sql = "UPDATE trail SET previous = NULL WHERE idx = ?1";
    assert_eq!(db.execute(sql, [index]).unwrap(), 1);
    let size = node(&a).verifier.size();
    erase(&a, &[&expired.to_string()])
        .await
        .refused(500, "internal");
    assert_eq!(node(&a).verifier.size(), size);
    assert_eq!(without_opening(&a), [] as [u64; 0]);
    // Nor with another record that would be its own, since nobody else can seal it.
    let (salt, record): (Vec<u8>, Vec<u8>) = {
        let sql = "SELECT salt, record FROM event WHERE idx = ?1";
        let issued = i64::try_from(issued).unwrap();
        let read = db.query_row(sql, [issued], |r| Ok((r.get(0)?, r.get(1)?)));
        read.unwrap()
    };
    let commit = jeton_core::leaf::commit(&salt[..].try_into().unwrap(), &record);
    let forged = [&forged[..74], &commit].concat();
    let sql = "UPDATE event SET leaf = ?1, salt = ?2, record = ?3 WHERE idx = ?4";
    let values = rusqlite::params![forged, salt, record, index];
    assert_eq!(db.execute(sql, values).unwrap(), 1);
    erase(&a, &[&expired.to_string()])
        .await
        .refused(500, "internal");
    assert_eq!(node(&a).verifier.size(), size);
    assert_eq!(without_opening(&a), [] as [u64; 0]);
    let said = a.check(&secret, "docs", &["read"]).await;
    assert_eq!(said["code"], "token_revoked", "{revoked}");
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_others_do_not_go_with_a_record_that_was_edited() {
    let a = furnished().await;
    let (user, ..) = somebody(&a, "Ada Lovelace").await;
    let (_, other, _) = somebody(&a, "Grace Hopper").await;
    let path = format!("/v1/users/{user}/state");
    a.order("PUT", &path, json!({"state": "deleted"}))
        .await
        .is(200);
    let db = rusqlite::Connection::open(a.dir.path().join("data/ledger.db")).unwrap();
    let id: jeton_core::id::UserId = user.parse().unwrap();
    // The other's token looks like something that happened to the user.
    let edit = |like: &[u8; 16], whose: &[u8; 16]| {
        let sql = "UPDATE event SET (salt, record) = (SELECT e.salt, e.record FROM event e JOIN trail t ON e.idx = t.idx
             WHERE t.about = ?1 ORDER BY t.idx LIMIT 1) WHERE idx = (SELECT idx FROM trail WHERE about = ?2)";
        assert_eq!(db.execute(sql, [like, whose]).unwrap(), 1);
    };
    let token: TokenId = other.parse().unwrap();
    edit(id.bytes(), token.bytes());
    let size = node(&a).verifier.size();
    let erase = format!("/v1/users/{user}/erase");
    let said = a.call(&a.admin, "POST", &erase, None).await;
    said.refused(500, "internal");
    assert_eq!(node(&a).verifier.size(), size);
    a.running.stop().await;
}

/// Whoever got past all that: the ledger itself says whose a leaf is.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_names_another_tokens_event_is_believed_by_no_start_and_no_audit() {
    let a = furnished().await;
    let Astray {
        expired,
        issued,
        revoked,
        end,
        ..
    } = astray(&a).await;
    let known = node(&a);
    let tenant = known.verifier.record(revoked).unwrap().tenant;
    let erasure = Erasure::Openings {
        tokens: vec![expired],
        indexes: vec![issued, end],
    };
    let decision = Decision::yes((), vec![Event::Erased(erasure)]);
    let submitted = known.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision,
    });
    submitted.await.unwrap();
    drop(known);
    assert_eq!(without_opening(&a), [issued, end]);
    // The audits tell the one leaf, and nothing of the other.
    let (beside, own) = a.found().await;
    for found in [beside, own] {
        let told = found.iter().filter(|f| f.what.contains("has no opening"));
        let told: Vec<_> = told.map(|f| f.leaf).collect();
        assert_eq!(told, [Some(end)], "{found:?}");
    }
    a.running.stop().await;
    let data = a.dir.path().join("data");
    std::fs::remove_file(data.join("snapshot")).unwrap();
    let started = serve::start(&common::config(a.dir.path()), Durability::Full).await;
    let error = format!("{:#}", started.err().expect("no start"));
    assert!(error.contains("none of the tokens"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_no_event_erased_is_missed_at_the_start() {
    let a = furnished().await;
    let (_, token, _) = somebody(&a, "Ada Lovelace").await;
    let (_, other, _) = somebody(&a, "Grace Hopper").await;
    revoke(&a, &token).await;
    revoke(&a, &other).await;
    node(&a).clock.danger_advance(Span::days(2));
    erase(&a, &[&token]).await.is(200);
    a.running.stop().await;
    let data = a.dir.path().join("data");
    std::fs::remove_file(data.join("snapshot")).unwrap();
    let db = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    let id: TokenId = other.parse().unwrap();
    let sql = "UPDATE event SET salt = NULL, record = NULL WHERE idx = (SELECT event FROM token WHERE id = ?1)";
    assert_eq!(db.execute(sql, [id.bytes()]).unwrap(), 1);
    drop(db);
    let started = serve::start(&common::config(a.dir.path()), Durability::Full).await;
    let error = format!("{:#}", started.err().expect("no start"));
    assert!(error.contains("has no opening"), "{error}");
}
