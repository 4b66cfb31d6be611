//! A new epoch: the way out when a part of the ledger is lost for good.

mod common;

use std::{fs, sync::Arc};

use common::{Authority, config, send};
use jeton::{
    capability::Clock,
    node::{
        epoch::{self, Order},
        start::Place,
    },
};
use serde_json::{Value, json};

fn begin(a: &Authority, served: Option<u64>) -> Result<epoch::Epoch, String> {
    let place = Place::in_dir(&a.dir.path().join("data"), "ignored");
    let order = Order {
        reason: "the disk died, and yesterday's copy is all there is".to_owned(),
        served,
    };
    epoch::begin(&place, &Clock::start(), &order).map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_from_before_is_dead_and_operator_and_admins_come_back() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (kept, kept_secret) = a.issue(order.clone()).await;
    let other = a.tenant("other").await.text("/secret");
    let data = a.dir.path().join("data");
    let stored = a.running.doors.node.verifier.size();
    let old = a.dir.path().join("old.db");
    let place = config(a.dir.path());
    let a = a.restart_as(&place, || {
        fs::copy(data.join("ledger.db"), &old).unwrap();
    });
    let a = a.await;
    a.order("POST", &format!("/v1/tokens/{kept}/revoke"), json!({}))
        .await
        .is(200);
    let served = a.running.doors.node.verifier.size();
    let old_key = a.running.doors.node.log_keys().remove(0);
    let place = config(a.dir.path());
    let a = a.restart_as(&place, || {
        fs::copy(&old, data.join("ledger.db")).unwrap();
        for beside in ["ledger.db-wal", "ledger.db-shm"] {
            drop(fs::remove_file(data.join(beside)));
        }
    });
    let a = a.await;
    assert!(a.running.doors.node.gate.is_closed());
    assert!(
        begin(&a, None)
            .unwrap_err()
            .contains("another jeton is running")
    );

    let mut began = None;
    let dir = a.dir.path().to_owned();
    let a = a.restart_as(&place, || {
        let at = Place::in_dir(&dir.join("data"), "ignored");
        let order = Order {
            reason: "the disk died".to_owned(),
            served: None,
        };
        began = Some(epoch::begin(&at, &Clock::start(), &order).unwrap());
        // Once: after it nothing is lost any more.
        let again = epoch::begin(&at, &Clock::start(), &order)
            .unwrap_err()
            .to_string();
        assert!(again.contains("nothing is lost here"), "{again}");
    });
    let mut a = a.await;
    let began = began.unwrap();
    assert_eq!(
        (began.number, began.from, began.served),
        (2, stored, served)
    );
    let node = Arc::clone(&a.running.doors.node);
    assert!(!node.gate.is_closed());
    assert_eq!(node.log_keys()[0].name(), began.origin);
    assert_ne!(
        node.log_keys()[0],
        old_key,
        "another name, so another key to verifiers"
    );

    // Nobody from before is let in: not the operator, not an admin, not a token that the copy holds alive.
    for token in [&a.operator, &a.admin, &other, &kept_secret] {
        let said = a.call(token, "GET", "/v1/whoami", None).await;
        said.refused(401, "token_cut_off");
    }
    // The operator gets in by a new setup secret, and gives each admin a new credential, once.
    let (secret, _) = a.running.setup.as_ref().expect("a setup secret");
    let setup = json!({"secret": secret.expose_secret()});
    let said = send(&a.client, "POST", "/v1/setup", &[], Some(&setup))
        .await
        .is(201);
    a.operator = said.text("/secret");
    let path = format!("/v1/tenants/{}/admin", a.tenant);
    let said = a.call(&a.operator, "POST", &path, None).await.is(201);
    a.admin = said.text("/secret");
    a.call(&a.operator, "POST", &path, None)
        .await
        .refused(409, "state_conflict");
    a.call(&a.admin, "POST", &path, None)
        .await
        .refused(403, "scope_missing");
    // What was defined is there, and what is issued from now on works.
    let (_, fresh) = a.issue(order.clone()).await;
    assert_eq!(a.check(&fresh, "docs", &["read"]).await["allowed"], true);
    assert_eq!(
        a.check(&kept_secret, "docs", &["read"]).await["code"],
        "token_cut_off"
    );
    let events = a.call(&a.operator, "GET", "/v1/events", None).await.is(200);
    let began_as = events.body["items"].as_array().unwrap();
    let began_as = began_as
        .iter()
        .find(|e| e["event"] == "ledger.epoch_began")
        .unwrap();
    assert_eq!(began_as["detail"]["served"], Value::from(served));

    // All that holds after a start, and without the snapshot.
    let dir = a.dir.path().to_owned();
    let a = a
        .restart_as(&place, || {
            fs::remove_file(dir.join("data/snapshot")).unwrap()
        })
        .await;
    assert!(a.running.setup.is_none(), "there is an operator");
    assert_eq!(a.check(&fresh, "docs", &["read"]).await["allowed"], true);
    assert_eq!(
        a.check(&kept_secret, "docs", &["read"]).await["code"],
        "token_cut_off"
    );
    a.is_sound().await;
    // And the copy from before the epoch is no way back.
    let a = a.restart_as(&place, || {
        fs::copy(&old, data.join("ledger.db")).unwrap();
        for beside in ["ledger.db-wal", "ledger.db-shm"] {
            drop(fs::remove_file(data.join(beside)));
        }
    });
    assert!(a.await.running.doors.node.gate.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_lost_no_epoch_begins_unless_somebody_has_seen_more() {
    let a = Authority::start().await;
    let size = a.running.doors.node.verifier.size();
    let place = config(a.dir.path());
    let dir = a.dir.path().to_owned();
    let mut told = Vec::new();
    let a = a.restart_as(&place, || {
        let at = Place::in_dir(&dir.join("data"), "ignored");
        for served in [None, Some(size)] {
            let order = Order {
                reason: "just so".to_owned(),
                served,
            };
            told.push(epoch::begin(&at, &Clock::start(), &order).map_err(|e| e.to_string()));
        }
        let order = Order {
            reason: " ".to_owned(),
            served: Some(size + 1),
        };
        told.push(epoch::begin(&at, &Clock::start(), &order).map_err(|e| e.to_string()));
    });
    let a = a.await;
    assert!(told.iter().all(Result::is_err), "{told:?}");
    a.call(&a.admin, "GET", "/v1/whoami", None).await.is(200);
    let a = a.restart_as(&place, || {
        let at = Place::in_dir(&dir.join("data"), "ignored");
        let order = Order {
            reason: "a witness has seen more".to_owned(),
            served: Some(size + 1),
        };
        epoch::begin(&at, &Clock::start(), &order).unwrap();
    });
    let a = a.await;
    a.call(&a.admin, "GET", "/v1/whoami", None)
        .await
        .refused(401, "token_cut_off");
    a.is_sound().await;
}
