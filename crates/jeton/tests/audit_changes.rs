//! What changes a ledger for good reason is no finding, of the rolling audit or of `jeton audit`: erasures while a round runs, keys
//! that take over, epochs. What only looks like it is one.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;
#[path = "rolling/round.rs"]
mod going;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{Authority, config};
use going::go_round;
use jeton::{
    capability::Clock,
    node::{
        audit::{self, Audited, Reach},
        epoch,
        keyring::Kek,
        start::Place,
    },
    serve,
};
use jeton_core::{id::TokenId, time::Span};
use jeton_store::{fsck::Finding, sqlite::Durability};
use serde_json::json;

fn data(a: &Authority) -> PathBuf {
    a.dir.path().join("data")
}

/// `jeton audit`, beside the running authority.
async fn audited(a: &Authority) -> Audited {
    let dir = data(a);
    let audited = tokio::task::spawn_blocking(move || {
        let kek = Kek::File(dir.join("kek"));
        audit::audit(&dir, &kek, None, Reach::Outside(Vec::new())).unwrap()
    });
    audited.await.unwrap()
}

/// An authority whose own rolling audit does not run, with an API and a role to read it.
async fn quiet() -> Authority {
    let a = Authority::start().await;
    a.running.stop().await;
    let mut config = config(a.dir.path());
    config.audit = "off".to_owned();
    let running = serve::start(&config, Durability::Full).await.unwrap();
    let client = common::client(&running);
    let a = Authority {
        running,
        client,
        ..a
    };
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order = json!({"name": "reader", "permit": {"grants": grants}});
    a.order("POST", "/v1/roles", order).await.is(201);
    a
}

async fn user(a: &Authority, name: &str) -> String {
    let order = json!({"roles": ["reader"], "name": name});
    let said = a.order("POST", "/v1/users", order).await.is(201);
    said.text("/id")
}

/// A token that is revoked.
async fn revoked(a: &Authority, user: &str) -> String {
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order = json!({"class": "key", "subject": user, "grants": grants, "name": "a key"});
    let (token, _) = a.issue(order).await;
    let path = format!("/v1/tokens/{token}/revoke");
    a.order("POST", &path, json!({"note": "gone"}))
        .await
        .is(200);
    token
}

async fn erase_tokens(a: &Authority, tokens: &[String]) -> u64 {
    let order = json!({"tokens": tokens});
    let said = a.order("POST", "/v1/tokens/erase", order).await.is(200);
    said.body["events"].as_u64().unwrap()
}

async fn erase_user(a: &Authority, user: &str) -> u64 {
    let path = format!("/v1/users/{user}");
    let deleted = json!({"state": "deleted"});
    a.order("PUT", &format!("{path}/state"), deleted)
        .await
        .is(200);
    let said = a
        .call(&a.admin, "POST", &format!("{path}/erase"), None)
        .await;
    said.is(200).body["events"].as_u64().unwrap()
}

/// Another ledger key takes over.
async fn rotate_key(a: &Authority) {
    let keys = "/v1/ledger/keys";
    let listed = a.call(&a.operator, "GET", keys, None).await.is(200);
    let items = listed.body["items"].as_array().unwrap();
    let signing = items.iter().find(|k| k["state"] == "signing").unwrap();
    let id = signing["id"].as_str().unwrap();
    a.call(&a.operator, "POST", keys, Some(&json!({})))
        .await
        .is(201);
    let path = format!("{keys}/{id}/retire");
    // What it signed from the second event on, nobody should believe: the ledger still knows what it signed itself.
    let order = json!({"compromised_from": 2});
    a.call(&a.operator, "POST", &path, Some(&order))
        .await
        .is(200);
}

fn age(a: &Authority) {
    a.running.doors.node.clock.danger_advance(Span::days(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_things_are_erased_and_keys_take_over() {
    let a = Arc::new(quiet().await);
    let over = Arc::new(AtomicBool::new(false));
    let going = (Arc::clone(&a), Arc::clone(&over));
    let erasing = tokio::spawn(async move {
        let (a, over) = going;
        let (mut openings, mut words, mut turns) = (0, 0, 0);
        while !over.load(Relaxed) {
            let one = user(&a, "Ada Lovelace").await;
            let mut dead = Vec::new();
            for _ in 0..20 {
                dead.push(revoked(&a, &one).await);
            }
            // Nothing of this world lives longer than some dozens of days.
            if turns < 12 {
                age(&a);
                openings += erase_tokens(&a, &dead).await;
                rotate_key(&a).await;
            }
            words += erase_user(&a, &one).await;
            turns += 1;
        }
        (openings, words)
    });
    let going = (Arc::clone(&a), Arc::clone(&over));
    let writing = tokio::spawn(async move {
        let (a, over) = going;
        let one = user(&a, "Grace Hopper").await;
        let mut orders = 0_u64;
        while !over.load(Relaxed) {
            revoked(&a, &one).await;
            orders += 2;
        }
        orders
    });
    let (mut rounds, mut erased) = (0, 0);
    while rounds < 100 || erased < 300 {
        assert_eq!(go_round(&a).await.findings, []);
        if rounds % 10 == 0 {
            let report = audited(&a).await.report;
            assert_eq!(report.findings, []);
            erased = report.erased_openings;
        }
        rounds += 1;
    }
    over.store(true, Relaxed);
    let (openings, words) = erasing.await.unwrap();
    let orders = writing.await.unwrap();
    assert!(
        openings > 0 && words > 0 && orders > 20,
        "{openings} {words} {orders}"
    );
    let last = audited(&a).await.report;
    assert_eq!(last.findings, []);
    assert_eq!(
        (last.erased_openings, last.erased_words > 0),
        (openings, true)
    );
    assert!(last.log.keys.len() > 2);
    let a = Arc::into_inner(a).unwrap();
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_erased_is_found() {
    let a = quiet().await;
    let one = user(&a, "Ada Lovelace").await;
    let dead = [revoked(&a, &one).await, revoked(&a, &one).await];
    let alive = revoked(&a, &one).await;
    let db = rusqlite::Connection::open(data(&a).join("ledger.db")).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    let kept = a.dir.path().join("before.db");
    db.execute_batch(&format!("VACUUM INTO '{}'", kept.display()))
        .unwrap();
    age(&a);
    erase_tokens(&a, &dead).await;
    erase_user(&a, &one).await;
    assert_eq!(go_round(&a).await.findings, []);
    assert_eq!(audited(&a).await.report.findings, []);
    let after = a.dir.path().join("after.db");
    db.execute_batch(&format!(
        "VACUUM INTO '{}'; ATTACH '{}' AS after; ATTACH '{}' AS before",
        after.display(),
        after.display(),
        kept.display()
    ))
    .unwrap();
    let about = |token: &str| -> i64 {
        let id: TokenId = token.parse().unwrap();
        let select = "SELECT min(idx) FROM before.trail WHERE about = ?1";
        db.query_row(select, [id.bytes()], |r| r.get(0)).unwrap()
    };
    let (gone, there) = (about(&dead[0]), about(&alive));
    let notice: i64 = db
        .query_row(
            "SELECT min(idx) FROM event WHERE substr(leaf, 2, 1) = x'40'",
            [],
            |r| r.get(0),
        )
        .unwrap();
    // What is done, and the table, row and words that must be told.
    let edits = [
        (format!("UPDATE event SET salt = NULL, record = NULL WHERE idx = {there}"), "event", there, "has no opening"),
        (format!("UPDATE event SET salt = NULL, record = NULL WHERE idx = {there};
                  DELETE FROM trail WHERE idx = {there}"), "event", there, "has no opening"),
        (format!("UPDATE event SET salt = NULL, record = NULL WHERE idx = {notice}"), "event", gone, "has no opening"),
        (format!("UPDATE event SET leaf = CAST(substr(leaf, 1, 10) || zeroblob(64) || substr(leaf, 75) AS BLOB) WHERE idx = {notice}"),
            "event", gone, "has no opening"),
        (format!("UPDATE event SET salt = b.salt, record = b.record FROM before.event b WHERE b.idx = event.idx AND event.idx = {gone}"),
            "event", gone, "is still there"),
        (format!("INSERT INTO trail SELECT * FROM before.trail WHERE idx = {gone}"), "trail", gone, "is still there"),
        (format!("UPDATE trail SET salt = b.salt, words = b.words FROM before.trail b WHERE b.idx = trail.idx AND trail.idx = {there}"),
            "trail", there, "are still there"),
        ("UPDATE trail SET salt = NULL, words = NULL WHERE idx = (SELECT min(idx) FROM trail WHERE words IS NOT NULL)".into(),
            "trail", -1, "no event erased them"),
    ];
    let mut missed = Vec::new();
    for (sql, table, row, what) in edits {
        db.execute_batch(&sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        let told = |f: &Finding| {
            f.table == table && (row < 0 || f.row == row.to_string()) && f.what.contains(what)
        };
        for (who, found) in [
            ("rolling", go_round(&a).await.findings),
            ("audit", audited(&a).await.report.findings),
        ] {
            if !found.iter().any(told) {
                missed.push(format!(
                    "{who}: {sql}\n  wants {table} {row} {what}, says {found:?}"
                ));
            }
        }
        let back = ["event", "trail"].map(|t| {
            format!("DELETE FROM main.{t}; INSERT INTO main.{t} SELECT * FROM after.{t};")
        });
        db.execute_batch(&format!("BEGIN; {} COMMIT", back.concat()))
            .unwrap();
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(go_round(&a).await.findings, []);
    drop(db);
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_no_finding_and_a_copy_from_before_it_is() {
    let a = quiet().await;
    let one = user(&a, "Ada Lovelace").await;
    revoked(&a, &one).await;
    a.tenant("other").await;
    rotate_key(&a).await;
    let size = a.running.doors.node.verifier.size();
    let place = config(a.dir.path());
    let (dir, old) = (data(&a), a.dir.path().join("old.db"));
    let begin = || {
        std::fs::copy(dir.join("ledger.db"), &old).unwrap();
        let order = epoch::Order {
            reason: "a witness has seen more".to_owned(),
            served: Some(size + 5),
        };
        let at = Place::in_dir(&dir, "ignored");
        epoch::begin(&at, &Clock::start(), &order).unwrap();
    };
    let mut a = a.restart_as(&place, begin).await;
    let (secret, _) = a.running.setup.as_ref().expect("a setup secret");
    let setup = json!({"secret": secret.expose_secret()});
    let said = common::send(&a.client, "POST", "/v1/setup", &[], Some(&setup)).await;
    a.operator = said.is(201).text("/secret");
    let path = format!("/v1/tenants/{}/admin", a.tenant);
    let said = a.call(&a.operator, "POST", &path, None).await.is(201);
    a.admin = said.text("/secret");
    rotate_key(&a).await;
    assert_eq!(go_round(&a).await.findings, []);
    let sound = audited(&a).await.report;
    assert_eq!(sound.findings, []);
    assert_eq!(sound.log.epoch(), 2);
    // The copy from before it: the mark knows of the epoch.
    a.running.stop().await;
    std::fs::copy(&old, dir.join("ledger.db")).unwrap();
    for beside in ["ledger.db-wal", "ledger.db-shm"] {
        drop(std::fs::remove_file(dir.join(beside)));
    }
    let kek = Kek::File(dir.join("kek"));
    let found = audit::audit(&dir, &kek, None, Reach::Outside(Vec::new())).unwrap();
    let found = found.report.findings;
    let mark = found.iter().find(|f| f.table == "high-water").unwrap();
    assert!(mark.field == Some("epoch"), "{found:?}");
}
