//! Gates `ledger-rollback` and `ledger-rewrite`: a store that is put back, or that was written anew, is in quarantine with both
//! sizes told; no witness cosigns it; and a mirror brings back what is missing, so that nothing revoked lives.
//!
//! With `JETON_CONTROL` nobody remembers: the mark is taken away and the witnesses are not asked. Both must fail then.

mod common;
#[path = "witnessed/world.rs"]
#[expect(dead_code, reason = "each test file uses a part of it")]
mod world;

use std::{fs, path::Path};

use common::{config, send};
use jeton::{
    config::Config,
    mirror::{Dir, Pull, Source},
    net::{Client, Roots},
    node::{
        high_water::Later,
        recover::{Missing, Order, recover},
        start::Place,
    },
};
use jeton_core::secret::Secret;
use jeton_tlog::Policy;
use serde_json::{Value, json};
use world::{World, copy_dir};

#[expect(clippy::disallowed_methods, reason = "a gate's control")]
fn control() -> bool {
    std::env::var("JETON_CONTROL").is_ok()
}

/// Mirrors the log with its openings, as the operator.
async fn mirror(w: &World, into: &Path) -> u64 {
    let running = &w.a().running;
    let ca = running.ca_pem.clone().unwrap();
    let base = format!("https://{}", running.address);
    let client = Client::https(&base, Roots::File(&ca)).unwrap();
    let token = Secret::new(w.a().operator.clone());
    let source = Source::http(client, "/log", Some(token));
    let policy = fs::read_to_string(&w.policy).unwrap();
    let pull = Pull {
        source: &source,
        dir: &Dir::open(into).unwrap(),
        policy: &Policy::parse(&policy).unwrap(),
        openings: true,
    };
    pull.round().await.unwrap().size
}

/// What the control starts with: nobody who remembers.
fn nobody(w: &World, data: &Path) -> Config {
    if !control() {
        return w.config();
    }
    drop(fs::remove_file(data.join("high-water")));
    config(w.a().dir.path())
}

async fn allowed(w: &World, secret: &str) -> Value {
    let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
    let said = w.a().order("POST", "/v1/check", question).await;
    said.body["allowed"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_put_back_allows_nothing_until_a_mirror_has_brought_the_rest() {
    let mut w = World::build().await;
    w.a().api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = w.a().user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (id, revoked) = w.a().issue(order.clone()).await;
    let (_, kept) = w.a().issue(order.clone()).await;
    let data = w.a().dir.path().join("data");
    let (yesterday, kept_at) = (
        w.a().dir.path().join("yesterday"),
        w.a().dir.path().join("mirror"),
    );
    let stored = w.size();
    w.restart_after(|| copy_dir(&data, &yesterday)).await;
    w.a()
        .order("POST", &format!("/v1/tokens/{id}/revoke"), json!({}))
        .await
        .is(200);
    let (_, later) = w.a().issue(order).await;
    let named = w
        .a()
        .order("POST", "/v1/users", json!({"name": "somebody"}))
        .await
        .is(201);
    let served = w.size();
    w.shown_from(served).await;
    assert_eq!(mirror(&w, &kept_at).await, served);

    // Yesterday's database, with yesterday's mark or today's.
    let with_mark = || {
        fs::remove_dir_all(&data).unwrap();
        copy_dir(&yesterday, &data);
    };
    let start = nobody(&w, &yesterday);
    w.restart_with(&start, with_mark).await;
    let why = w.a().running.doors.node.gate.why();
    let lives = allowed(&w, &revoked).await;
    println!(
        "rollback: {}",
        json!({"served": served, "stored": stored, "quarantined": why.is_some(), "revived": lives == true})
    );
    assert_ne!(lives, true, "a revoked token lives again");
    let why = why.expect("it is in quarantine");
    assert_eq!((why.served, why.stored), (served, stored));

    // The mirror brings back what is missing, and says so.
    let place = Place::in_dir(&data, "");
    let order = Order {
        mirror: &kept_at,
        later: Later::Unknown,
    };
    let mut recovered = None;
    w.restart_after(|| recovered = Some(recover(&place, &order, &mut |_| ()).unwrap()))
        .await;
    let recovered = recovered.unwrap();
    assert_eq!(
        (recovered.before, recovered.size, recovered.missing),
        (stored, served, Missing::Nothing)
    );
    assert!(w.a().running.doors.node.gate.why().is_none());
    assert_eq!(allowed(&w, &revoked).await, false);
    assert_eq!(allowed(&w, &kept).await, true);
    assert_eq!(
        allowed(&w, &later).await,
        true,
        "what was issued since is known"
    );
    let path = format!("/v1/users/{}", named.text("/id"));
    let shown = w.a().call(&w.a().admin, "GET", &path, None).await.is(200);
    assert_eq!(shown.text("/name"), "somebody", "the words are back, too");
    // And the log goes on where the witnesses left it.
    w.a().order("POST", "/v1/users", json!({})).await.is(201);
    let note = w.shown_from(served + 1).await;
    assert!(w.met(&note));
    // A second time there is nothing to bring.
    let mut again = None;
    w.restart_after(|| {
        again = Some(
            recover(&place, &order, &mut |_| ())
                .unwrap_err()
                .to_string(),
        )
    })
    .await;
    assert!(again.unwrap().contains("nothing that is missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_written_anew_is_cosigned_by_nobody_and_shown_to_nobody() {
    let mut w = World::build().await;
    for _ in 0..5 {
        w.a().order("POST", "/v1/users", json!({})).await.is(201);
    }
    let data = w.a().dir.path().join("data");
    let copy = w.a().dir.path().join("copy");
    w.restart_after(|| copy_dir(&data, &copy)).await;
    let forked_at = w.size();
    for _ in 0..10 {
        w.a().order("POST", "/v1/users", json!({})).await.is(201);
    }
    let cosigned = w.size();
    let before = w.shown_from(cosigned).await;
    // Whoever has the keys goes back ten events and writes others, and more of them, where no witness sees it.
    let unseen = config(w.a().dir.path());
    w.restart_with(&unseen, || {
        fs::remove_dir_all(&data).unwrap();
        copy_dir(&copy, &data);
    })
    .await;
    for _ in 0..12 {
        w.a().order("POST", "/v1/apps", json!({"permit": {}})).await;
        w.a()
            .order("POST", "/v1/users", json!({"name": "another"}))
            .await
            .is(201);
    }
    let fork = w.size();
    assert!(fork > cosigned, "{fork} {cosigned}");
    let start = if control() {
        config(w.a().dir.path())
    } else {
        w.config()
    };
    w.restart_with(&start, || ()).await;
    let why = w.a().running.doors.node.gate.why();
    let shown = send(&w.a().client, "GET", "/log/checkpoint", &[], None).await;
    let shown = String::from_utf8_lossy(&shown.bytes).into_owned();
    let shows_fork = shown.lines().nth(1) == Some(&fork.to_string());
    println!(
        "rollback: {}",
        json!({"forked_at": forked_at, "cosigned": cosigned, "fork": fork, "quarantined": why.is_some(), "shown": shows_fork})
    );
    assert!(!shows_fork, "the fork is shown");
    let why = why.expect("it is in quarantine");
    assert_eq!((why.served, why.stored), (cosigned, fork));
    assert!(why.to_string().contains("another history"), "{why}");
    // No witness has moved: each still shows what it cosigned.
    for witness in &w.witnesses {
        let running = witness.running.as_ref().unwrap();
        let client = Client::https(
            &format!("https://{}", running.address),
            Roots::File(running.ca_pem.as_ref().unwrap()),
        )
        .unwrap();
        let origin = w.log.name();
        let hash = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(origin));
        let said = send(&client, "GET", &format!("/{hash}/checkpoint"), &[], None)
            .await
            .is(200);
        let note = String::from_utf8(said.bytes.to_vec()).unwrap();
        assert_eq!(note.lines().nth(1), Some(cosigned.to_string().as_str()));
        assert_eq!(
            note.lines().nth(2),
            String::from_utf8_lossy(&before).lines().nth(2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_that_were_away_at_the_start_are_asked_until_they_have_spoken_and_are_not_forgotten()
 {
    let mut w = World::build().await;
    let data = w.a().dir.path().join("data");
    let yesterday = w.a().dir.path().join("yesterday");
    w.restart_after(|| copy_dir(&data, &yesterday)).await;
    let stored = w.size();
    w.a().order("POST", "/v1/users", json!({})).await.is(201);
    let served = w.size();
    w.shown_from(served).await;
    // All of them are away when yesterday's machine comes up, with its own mark.
    for witness in &mut w.witnesses {
        witness.stop().await;
    }
    w.restart_after(|| {
        fs::remove_dir_all(&data).unwrap();
        copy_dir(&yesterday, &data);
    })
    .await;
    let node = std::sync::Arc::clone(&w.a().running.doors.node);
    assert!(node.gate.why().is_none(), "nobody can know yet");
    let log = w.log.clone();
    w.witnesses[2].start(&log).await;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    while node.gate.why().is_none() {
        tick.tick().await;
    }
    let why = node.gate.why().unwrap();
    assert_eq!((why.served, why.stored), (served, stored));
    drop(node);
    // It goes away again, and the next start knows by itself.
    w.witnesses[2].stop().await;
    w.restart().await;
    let why = w
        .a()
        .running
        .doors
        .node
        .gate
        .why()
        .expect("still in quarantine");
    assert_eq!((why.served, why.stored), (served, stored));
    assert!(why.to_string().contains("high-water mark"), "{why}");
}
