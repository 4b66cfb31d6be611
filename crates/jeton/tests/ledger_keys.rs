//! The ledger's keys over a real server: two sign while one takes over, a retired one signs nothing and is in no keyring, and a
//! crash between two steps costs nothing.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::sync::Arc;

use common::{Authority, Said, send};
use jeton::node::{
    start::Node,
    writer::{Purpose, Ruling},
};
use jeton_core::{
    decision::Decision,
    directory::Log,
    event::{Actor, Event, KeyPurpose, LogEvent},
};
use jeton_tlog::{Checkpoint, VerifierKey};
use serde_json::{Value, json};

const KEYS: &str = "/v1/ledger/keys";

fn node(a: &Authority) -> Arc<Node> {
    Arc::clone(&a.running.doors.node)
}

async fn by_operator(a: &Authority, method: &str, path: &str, body: Option<Value>) -> Said {
    a.call(&a.operator, method, path, body.as_ref()).await
}

async fn add(a: &Authority) -> Said {
    by_operator(a, "POST", KEYS, Some(json!({}))).await
}

async fn retire(a: &Authority, id: &str, order: Value) -> Said {
    by_operator(a, "POST", &format!("{KEYS}/{id}/retire"), Some(order)).await
}

async fn keys(a: &Authority) -> Vec<Value> {
    let said = by_operator(a, "GET", KEYS, None).await.is(200);
    said.body["items"].as_array().unwrap().clone()
}

fn verifier(key: &Value) -> VerifierKey {
    VerifierKey::parse(key["vkey"].as_str().unwrap()).unwrap()
}

fn id(key: &Value) -> String {
    key["id"].as_str().unwrap().to_owned()
}

/// The checkpoint that covers all there is now.
async fn checkpoint(a: &Authority) -> String {
    let due = node(a).verifier.size();
    let mut tick = tokio::time::interval(core::time::Duration::from_millis(50));
    loop {
        tick.tick().await;
        let said = send(&a.client, "GET", "/log/checkpoint", &[], None).await;
        let note = String::from_utf8(said.bytes.to_vec()).unwrap();
        let size = note.lines().nth(1).and_then(|l| l.parse::<u64>().ok());
        if size.is_some_and(|size| size >= due) {
            return note;
        }
    }
}

/// Which of these keys have signed a checkpoint.
fn signers(note: &str, keys: &[Value]) -> Vec<String> {
    let signed = |key: &&Value| Checkpoint::open(note.as_bytes(), &verifier(key)).is_ok();
    keys.iter().filter(signed).map(id).collect()
}

/// How many seeds of ledger keys lie in the keyring, as far as this ledger knows them: asked as if none were retired.
fn seeds(node: &Node) -> usize {
    let mut log = Log::clone(node.verifier.directory().log());
    for key in &mut log.keys {
        (key.retired, key.compromised_from) = (None, None);
    }
    node.keyring.log_keys(&log, u64::MAX).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_takes_over_from_another() {
    let a = Authority::start().await;
    let [first] = &keys(&a).await[..] else {
        panic!("one key");
    };
    let first = first.clone();
    assert_eq!(
        (&first["state"], &first["added_index"]),
        (&json!("signing"), &json!(0))
    );
    let refused = retire(&a, &id(&first), json!({})).await;
    refused.refused(409, "state_conflict");
    let before = checkpoint(&a).await;
    let second = add(&a).await.is(201).body;
    let both = [first.clone(), second.clone()];
    add(&a).await.refused(409, "state_conflict");
    let during = checkpoint(&a).await;
    assert_eq!(signers(&before, &both), [id(&first)]);
    assert_eq!(signers(&during, &both), [id(&first), id(&second)]);
    // Both still do after a start.
    let a = a.restart().await;
    assert_eq!(keys(&a).await, both);
    a.tenant("third").await;
    assert_eq!(
        signers(&checkpoint(&a).await, &both),
        [id(&first), id(&second)]
    );
    assert_eq!(seeds(&node(&a)), 2);
    let said = retire(&a, &id(&first), json!({})).await.is(200);
    assert_eq!(said.body["state"], "retired");
    assert_eq!(seeds(&node(&a)), 1);
    let size = node(&a).verifier.size();
    retire(&a, &id(&first), json!({})).await.is(200);
    assert_eq!(node(&a).verifier.size(), size, "it is retired once");
    retire(&a, &id(&first), json!({"compromised_from": 1}))
        .await
        .refused(409, "state_conflict");
    let after = checkpoint(&a).await;
    assert_eq!(signers(&after, &both), [id(&second)]);
    let told = send(&a.client, "GET", "/log/vkey", &[], None).await;
    let told = String::from_utf8(told.bytes.to_vec()).unwrap();
    assert_eq!(told.trim(), second["vkey"].as_str().unwrap());
    // And so it stays, from the snapshot and from the ledger alone.
    let a = a.restart().await;
    a.running.stop().await;
    std::fs::remove_file(a.dir.path().join("data/snapshot")).unwrap();
    let config = common::config(a.dir.path());
    let running = jeton::serve::start(&config, jeton_store::sqlite::Durability::Full);
    let running = running.await.unwrap();
    let client = common::client(&running);
    let a = Authority {
        running,
        client,
        ..a
    };
    a.tenant("fourth").await;
    assert_eq!(signers(&checkpoint(&a).await, &both), [id(&second)]);
    // The next one takes over in its turn.
    let third = add(&a).await.is(201).body;
    retire(&a, &id(&second), json!({})).await.is(200);
    let all = [first, second, third.clone()];
    assert_eq!(signers(&checkpoint(&a).await, &all), [id(&third)]);
    assert_eq!(seeds(&node(&a)), 1);
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_is_retired_from_a_size_on() {
    let a = Authority::start().await;
    let first = keys(&a).await.remove(0);
    add(&a).await.is(201);
    let size = node(&a).verifier.size();
    let beyond = retire(&a, &id(&first), json!({"compromised_from": size + 1})).await;
    assert_eq!(
        beyond.refused(422, "field_invalid").body["field"],
        "compromised_from"
    );
    let said = retire(&a, &id(&first), json!({"compromised_from": 3}))
        .await
        .is(200);
    assert_eq!(said.body["compromised_from"], 3);
    let shown = keys(&a).await.remove(0);
    assert_eq!(shown, said.body);
    let trail = by_operator(&a, "GET", "/v1/events?limit=1", None).await;
    assert_eq!(trail.body["items"][0]["event"], "ledger.key_retired");
    assert_eq!(trail.body["items"][0]["detail"]["compromised_from"], 3);
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_operators() {
    let a = Authority::start().await;
    let first = id(&keys(&a).await[0]);
    let paths = [
        ("GET", KEYS.to_owned()),
        ("POST", KEYS.to_owned()),
        ("POST", format!("{KEYS}/{first}/retire")),
    ];
    for (method, path) in paths {
        let body = (method == "POST").then(|| json!({}));
        let said = a.call(&a.admin, method, &path, body.as_ref()).await;
        assert_eq!(said.status, 403, "{method} {path}: {}", said.body);
    }
    for unknown in [
        "00000000",
        "FFFFFFFF",
        "1",
        "tok_00000000000000000000000000",
    ] {
        let said = retire(&a, unknown, json!({})).await;
        said.refused(404, "not_found");
    }
    a.is_sound().await;
    a.running.stop().await;
}

/// Stores an event of the ledger's own, as whoever died right after it.
async fn stored(node: &Node, event: LogEvent) {
    let system = node.verifier.directory().system().unwrap();
    let submitted = node.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant: system,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision: Decision::yes((), vec![Event::Ledger(event)]),
    });
    submitted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_steps_costs_nothing() {
    let a = Authority::start().await;
    let first = keys(&a).await.remove(0);
    // A seed was made, and then the machine died.
    let log = Arc::clone(node(&a).verifier.directory().log());
    let spare = node(&a).keyring.add_log_key(&log).unwrap();
    let a = a.restart().await;
    assert_eq!(keys(&a).await.len(), 1);
    assert_eq!(
        signers(&checkpoint(&a).await, std::slice::from_ref(&first)),
        [id(&first)]
    );
    let second = add(&a).await.is(201).body;
    assert_eq!(
        verifier(&second).public_key(),
        &spare,
        "it is taken, and no other made"
    );
    // A key was retired, and then the machine died.
    let event = LogEvent::KeyRetired {
        purpose: KeyPurpose::Ledger,
        key: verifier(&first).public_key().to_vec(),
        compromised_from: None,
    };
    stored(&node(&a), event).await;
    assert_eq!(seeds(&node(&a)), 2);
    let both = [first, second.clone()];
    assert_eq!(signers(&checkpoint(&a).await, &both), [id(&second)]);
    let a = a.restart().await;
    assert_eq!(seeds(&node(&a)), 1);
    a.tenant("third").await;
    assert_eq!(signers(&checkpoint(&a).await, &both), [id(&second)]);
    a.is_sound().await;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_while_nothing_could_be_shown_without_it() {
    let a = Authority::start().await;
    let first = keys(&a).await.remove(0);
    let second = add(&a).await.is(201).body;
    let policy = |keys: &[&Value]| {
        let lines = keys
            .iter()
            .map(|k| format!("log {}\n", k["vkey"].as_str().unwrap()));
        let policy = Some(lines.collect::<String>() + "quorum none\n");
        LogEvent::PolicySet { policy }
    };
    stored(&node(&a), policy(&[&first])).await;
    let refused = retire(&a, &id(&first), json!({})).await;
    let told = refused.refused(409, "state_conflict").body["detail"].to_string();
    assert!(told.contains("witness policy"), "{told}");
    stored(&node(&a), policy(&[&first, &second])).await;
    retire(&a, &id(&first), json!({})).await.is(200);
    a.is_sound().await;
    a.running.stop().await;
}
