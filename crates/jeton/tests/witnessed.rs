//! An authority with witnesses, all of them real: what is shown was cosigned, what must be witnessed waits, and what a witness
//! remembers no restored backup can take back.

mod common;
#[path = "witnessed/world.rs"]
mod world;

use std::fs;

use common::{Authority, send};
use serde_json::{Value, json};
use world::{World, copy_dir};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_must_be_witnessed_waits_for_a_quorum_and_its_revocation_for_nobody() {
    let mut w = World::build().await;
    w.a().api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = w.a().user("reader", grants.clone()).await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400, "permanent": false,
        "overlap_max_s": 3600, "inclusion": "witnessed"});
    let set = w.a().order("PUT", "/v1/policies/key", policy).await.is(200);
    assert_eq!(set.text("/policy/inclusion"), "witnessed");
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (_, first) = w.a().issue(order.clone()).await;
    let note = w.shown_from(w.size()).await;
    assert!(w.met(&note), "{}", String::from_utf8_lossy(&note));
    assert_eq!(
        w.a().check(&first, "docs", &["read"]).await["allowed"],
        true
    );

    // Two of four are not enough.
    w.witnesses[0].stop().await;
    w.witnesses[1].stop().await;
    let (id, waiting) = w.a().issue(order.clone()).await;
    let (revoked, gone) = w.a().issue(order).await;
    let said = w.a().check(&waiting, "docs", &["read"]).await;
    assert_eq!(
        (&said["allowed"], &said["code"]),
        (&json!(false), &json!("token_not_witnessed"))
    );
    let pat = json!({"class": "pat", "subject": user, "grants": grants});
    let (_, logged) = w.a().issue(pat).await;
    assert_eq!(
        w.a().check(&logged, "docs", &["read"]).await["allowed"],
        true
    );
    let path = format!("/v1/tokens/{revoked}/revoke");
    w.a().order("POST", &path, json!({})).await.is(200);
    assert_eq!(
        w.a().check(&gone, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    let first_revoked = w.a().check(&first, "docs", &["read"]).await;
    assert_eq!(
        first_revoked["allowed"], true,
        "what was witnessed stays so"
    );

    // A third one comes back.
    let log = w.log.clone();
    w.witnesses[0].start(&log).await;
    let note = w.shown_from(w.size()).await;
    assert!(w.met(&note));
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );

    // A rotation makes another secret: that one waits, the one before it goes on.
    w.witnesses[0].stop().await;
    let path = format!("/v1/tokens/{id}/rotate");
    let rotated = w
        .a()
        .order("POST", &path, json!({"overlap_s": 600}))
        .await
        .is(200);
    let fresh = rotated.text("/secret");
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["code"],
        "token_not_witnessed"
    );
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );
    // And it waits after a start, too, with the snapshot and without.
    w.restart().await;
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["code"],
        "token_not_witnessed"
    );
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );
    w.witnesses[1].start(&log).await;
    w.shown_from(w.size()).await;
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["allowed"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_replaced_secret_goes_on_while_the_new_one_waits() {
    let mut w = World::build().await;
    let grants = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}]);
    let (user, _) = w.a().user("holder", grants.clone()).await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400, "permanent": false,
        "overlap_max_s": 3600, "inclusion": "witnessed"});
    w.a().order("PUT", "/v1/policies/key", policy).await.is(200);
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (id, old) = w.a().issue(order).await;
    w.shown_from(w.size()).await;
    w.witnesses[0].stop().await;
    w.witnesses[1].stop().await;
    let path = format!("/v1/tokens/{id}/rotate");
    let overlap = json!({"overlap_s": 600});
    let rotated = w.a().order("POST", &path, overlap.clone()).await.is(200);
    let fresh = rotated.text("/secret");
    let ask = async |secret: &str, method: &str, path: &str, body: Option<&Value>| {
        w.a().call(secret, method, path, body).await
    };
    let waits = ask(&fresh, "GET", "/v1/whoami", None).await;
    assert_eq!(waits.text("/code"), "token_not_witnessed");
    let waits = ask(&fresh, "POST", "/v1/whoami/rotate", Some(&overlap)).await;
    assert_eq!(waits.text("/code"), "token_not_witnessed");
    ask(&old, "GET", "/v1/whoami", None).await.is(200);
    ask(&old, "POST", "/v1/whoami/rotate", Some(&overlap))
        .await
        .is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_witnesses_no_class_can_ask_for_them() {
    let a = Authority::start().await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400, "permanent": false,
        "overlap_max_s": 3600, "inclusion": "witnessed"});
    let said = a.order("PUT", "/v1/policies/key", policy).await;
    said.refused(422, "field_invalid");
    assert!(said.body.to_string().contains("inclusion"), "{}", said.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_its_own_high_water_mark_is_caught_by_the_witnesses() {
    let mut w = World::build().await;
    w.a().api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = w.a().user("reader", grants.clone()).await;
    let (id, secret) = w
        .a()
        .issue(json!({"class": "key", "subject": user, "grants": grants}))
        .await;
    w.shown_from(w.size()).await;
    // What the witnesses have seen is what there is; one that is away is shown, and is no finding.
    let (status, said) = w.audited();
    let seen: Vec<&Value> = said["witnesses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["seen"])
        .collect();
    assert_eq!(
        (status, said["findings"] == json!([])),
        (Some(0), true),
        "{said}"
    );
    // The slowest may not have been waited for, and is behind then.
    let same = seen.iter().filter(|seen| **seen == "same").count();
    assert!(seen.len() == 4 && same >= 3, "{said}");
    w.witnesses[3].stop().await;
    let (status, said) = w.audited();
    assert_eq!(
        (status, &said["witnesses"][3]["seen"]),
        (Some(0), &json!("unheard")),
        "{said}"
    );
    assert!(said["witnesses"][3]["why"].is_string());
    // Everything is copied: database, mark and keys.
    let data = w.a().dir.path().join("data");
    let copy = w.a().dir.path().join("copy");
    let stored = w.size();
    w.restart_after(|| copy_dir(&data, &copy)).await;
    w.a()
        .order("POST", &format!("/v1/tokens/{id}/revoke"), json!({}))
        .await
        .is(200);
    let served = w.size();
    w.shown_from(served).await;
    w.restart_after(|| {
        fs::remove_dir_all(&data).unwrap();
        copy_dir(&copy, &data);
    })
    .await;
    let why = w
        .a()
        .running
        .doors
        .node
        .gate
        .why()
        .expect("it is in quarantine");
    assert_eq!((why.served, why.stored), (served, stored));
    assert!(why.to_string().contains("witness w"), "{why}");
    let (status, said) = w.audited();
    assert_eq!(status, Some(3), "{said}");
    let found = said["findings"].as_array().unwrap();
    let told = found.iter().filter(|f| f["table"] == "witness");
    for finding in told.clone() {
        let what = finding["what"].as_str().unwrap();
        let due = format!("has seen {served} events, the store holds {stored}");
        assert!(what.contains(&due) && finding["field"] == "size", "{what}");
    }
    assert!(told.count() >= 3, "{said}");
    // Nothing is allowed, by any door.
    let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
    w.a()
        .order("POST", "/v1/check", question)
        .await
        .refused(503, "quarantined");
    w.a()
        .order("POST", "/v1/users", json!({}))
        .await
        .refused(503, "quarantined");
    send(
        &w.a().client,
        "POST",
        "/v1/revoke",
        &[],
        Some(&json!({"token": secret})),
    )
    .await
    .refused(503, "quarantined");
    let said = send(&w.a().client, "GET", "/readyz", &[], None).await;
    assert_eq!(said.status, 503);
    assert_eq!(said.body["status"], "quarantined");
    assert_eq!(
        (&said.body["ledger_size"], &said.body["served_size"]),
        (&Value::from(stored), &Value::from(served))
    );
    send(&w.a().client, "GET", "/healthz", &[], None)
        .await
        .is(200);
}
