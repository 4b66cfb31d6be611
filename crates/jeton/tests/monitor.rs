//! A tenant's monitor: what it did not order reaches its webhook, gaps and other histories are named, and it forgets nothing
//! between its runs (the gate `ledger-monitor`).

mod common;
mod statics;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::Authority;
use jeton::{
    monitor::{AHEAD, Known, Monitor, Round, State},
    receipt::TenantKey,
};
use jeton_core::{id::TenantId, leaf::TagKey};
use serde_json::{Value, json};
use statics::{Made, Statics, policy};

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// Ends a process that this test started, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn tenant() -> TenantId {
    TenantId::from_bytes([3; 16])
}

fn tag_key() -> TagKey {
    TagKey::new(&[4; 32])
}

/// A log in which the tenant's events with these numbers stand, each between two of somebody else's.
fn log_with(numbers: &[u64]) -> Made {
    let mut entries = Made::leaves(2 * numbers.len() + 1, 1);
    for (at, number) in numbers.iter().enumerate() {
        entries[2 * at + 1][10..42].copy_from_slice(&tag_key().tenant_tag(*number));
    }
    Made::of(entries)
}

async fn round(statics: &Statics, made: &Made, state: &mut State) -> Round {
    let (source, policy) = (statics.source(), policy(&made.policy()));
    let key = TenantKey {
        tenant: tenant(),
        key: tag_key(),
    };
    let known = Known::default();
    let monitor = Monitor {
        source: &source,
        policy: &policy,
        key: &key,
        known: &known,
        opens: false,
    };
    monitor.round(state).await.unwrap()
}

fn kinds(round: &Round) -> Vec<(&str, Option<u64>)> {
    let gaps = round.noticed.iter().filter(|n| n.kind != "unknown_event");
    gaps.map(|n| (n.kind.as_str(), n.index)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_skipped_is_a_gap_and_another_history_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let statics = Statics::serve(dir.path()).await;
    let mut state = State::new(&tenant().to_string());
    let numbers = [1, 2, 3, 5, 6, 9, 9 + AHEAD, 9 + AHEAD + AHEAD + 1];
    let made = log_with(&numbers);
    made.write(dir.path(), 6);
    let first = round(&statics, &made, &mut state).await;
    let own: Vec<_> = first.own.iter().map(|o| (o.index, o.sequence)).collect();
    assert_eq!(own, [(1, 1), (3, 2), (5, 3)]);
    assert!(kinds(&first).is_empty(), "{first:?}");
    made.write(dir.path(), made.entries.len());
    let second = round(&statics, &made, &mut state).await;
    // One number is missing, two are, and as many as it looks ahead; behind one more it sees nothing.
    assert_eq!(
        kinds(&second),
        [("gap", Some(7)), ("gap", Some(11)), ("gap", Some(13))]
    );
    assert_eq!(state.sequence, 9 + AHEAD);
    let what: Vec<_> = second
        .noticed
        .iter()
        .filter(|n| n.kind == "gap")
        .map(|n| n.what.as_str())
        .collect();
    assert!(
        what[0].starts_with("event 4 of") && what[1].starts_with("events 7 to 8 of"),
        "{what:?}"
    );
    assert!(round(&statics, &made, &mut state).await.noticed.is_empty());
    // It is told once that the log takes back, however often it is seen.
    let pending = state.pending.len();
    made.write(dir.path(), 5);
    for _ in 0..2 {
        let taken = round(&statics, &made, &mut state).await;
        assert_eq!(kinds(&taken), [("rollback", None)]);
    }
    assert_eq!(state.pending.len(), pending + 1);
    let mut other = log_with(&numbers);
    other.entries[0] = vec![8; 106];
    other.entries.push(vec![8; 106]);
    other.write(dir.path(), other.entries.len());
    assert_eq!(
        kinds(&round(&statics, &made, &mut state).await),
        [("fork", None)]
    );
    // What it remembers outlives it, and is of its tenant alone.
    let file = dir.path().join("state");
    state.keep(&file).unwrap();
    let read = State::read(&file, &tenant().to_string()).unwrap();
    assert_eq!((read.sequence, read.seen()), (state.sequence, state.seen()));
    assert!(State::read(&file, "ten_other").is_err());
    fs::write(&file, "{}").unwrap();
    assert!(
        State::read(&file, &tenant().to_string()).is_err(),
        "a broken state is not taken for none"
    );
}

/// The arguments of a monitor of an authority, with its files in a directory.
async fn watching(a: &Authority, home: &Path) -> Vec<String> {
    let put = |name: &str, bytes: &[u8]| {
        let path = home.join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let said = a
        .call(&a.admin, "GET", "/v1/ledger/tag-key", None)
        .await
        .is(200);
    let mut line = TenantKey::line(&said.text("/tenant"), &said.text("/key")).to_string();
    if jeton::capability::environment("JETON_CONTROL").is_some() {
        // The wrong key sees nothing.
        line = TenantKey::line(
            &said.text("/tenant"),
            &data_encoding::BASE64.encode(&[1; 32]),
        )
        .to_string();
    }
    let key = put("key", line.as_bytes());
    let policy = common::send(&a.client, "GET", "/log/policy", &[], None)
        .await
        .is(200);
    let policy = put("policy", &policy.bytes);
    let token = put("token", a.admin.as_bytes());
    let ca = a.running.ca_pem.clone().unwrap().display().to_string();
    let url = format!("https://{}/log", a.running.address);
    let state = home.join("state").display().to_string();
    let words = [
        "--json",
        "monitor",
        "--url",
        &url,
        "--ca",
        &ca,
        "--tenant-key",
        &key,
        "--policy",
        &policy,
        "--token-file",
        &token,
        "--state",
        &state,
    ];
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn issue(a: &Authority, user: &str) -> (String, u64) {
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (token, _) = a.issue(order).await;
    let id = token.parse().unwrap();
    let issued = a.running.doors.node.verifier.record(id).unwrap().issued;
    (token, issued)
}

/// What the webhook was told, once it is so much or the time is over.
async fn heard(statics: &Statics, count: usize, within: Duration) -> Vec<Value> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let waited = async {
        loop {
            ticks.tick().await;
            if statics.asked.lock().unwrap().len() >= count {
                break;
            }
        }
    };
    drop(tokio::time::timeout(within, waited).await);
    let heard = statics.asked.lock().unwrap();
    heard
        .iter()
        .map(|(_, body)| serde_json::from_slice(body).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_behind_the_tenants_back_reaches_its_webhook() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants).await;
    let home = tempfile::tempdir().unwrap();
    let statics = Statics::serve(home.path()).await;
    let args = watching(&a, home.path()).await;
    let known = home.path().join("known");
    // Everything up to here is known: the admin's own token, by its index.
    let (ordered, _) = issue(&a, &user).await;
    let mut lines = format!("# ordered\n{ordered}\n");
    for index in 0..a.running.doors.node.verifier.size() {
        lines.push_str(&format!("{index}\n"));
    }
    fs::write(&known, &lines).unwrap();
    let hook = format!("{}/hook", statics.url());
    let mut command = Command::new(BIN);
    command
        .args(&args)
        .args(["--known", &known.display().to_string()]);
    command
        .args(["--webhook", &hook, "--every", "1s"])
        .env_clear();
    let log = fs::File::create(home.path().join("said")).unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let running = Running(child.unwrap());
    // One that is ordered, one that is not, and one while the webhook refuses.
    let (token, index) = issue(&a, &user).await;
    let watch = jeton::capability::stopwatch();
    let told = heard(&statics, 1, Duration::from_secs(6)).await;
    let after_ms = u64::try_from(watch().as_millis()).unwrap();
    let figures = json!({"told": told.len(), "after_ms": after_ms, "interval_ms": 1000});
    println!("monitor: {figures}");
    assert_eq!(
        told.len(),
        1,
        "it was not told within the interval and five seconds"
    );
    assert_eq!(told[0]["kind"], "unknown_issuance", "{told:?}");
    assert_eq!(
        (
            told[0]["index"].as_u64(),
            told[0]["event"]["token"].as_str()
        ),
        (Some(index), Some(&*token))
    );
    statics
        .refuse
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let (late, _) = issue(&a, &user).await;
    let mut said = tokio::time::interval(Duration::from_millis(50));
    let refused = async {
        while !fs::read_to_string(home.path().join("state"))
            .unwrap_or_default()
            .contains(&late)
        {
            said.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .expect("it is kept until it is told");
    statics
        .refuse
        .store(false, std::sync::atomic::Ordering::SeqCst);
    let told = heard(&statics, 2, Duration::from_secs(10)).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["event"]["token"].as_str(), Some(&*late));
    assert_ne!(told[0]["id"], told[1]["id"]);
    assert!(
        statics
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|(path, _)| path == "/hook")
    );
    drop(running);
    // It goes on where it was: once, and nothing new; then one more, without a webhook.
    let once = |more: &[&str]| {
        let done = Command::new(BIN)
            .args(&args)
            .args(more)
            .arg("--once")
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        let value: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        (done.status.code().unwrap(), value)
    };
    let (status, value) = once(&[]);
    assert!(status == 0 && value["new"] == 0, "{value}");
    let (third, at) = issue(&a, &user).await;
    a.call(&a.admin, "GET", &format!("/log/proof/{at}"), None)
        .await
        .is(200);
    let (status, value) = once(&[]);
    assert_eq!(status, 3);
    assert_eq!(
        (
            value["findings"][0]["kind"].as_str(),
            value["own"][0]["event"]["token"].as_str()
        ),
        (Some("issuance"), Some(&*third))
    );
    // What was erased at the tenant's own order is not kept from it.
    a.order("POST", &format!("/v1/tokens/{third}/revoke"), json!({}))
        .await
        .is(200);
    let node = &a.running.doors.node;
    node.clock.danger_advance(jeton_core::time::Span::days(2));
    a.order("POST", "/v1/tokens/erase", json!({"tokens": [third]}))
        .await
        .is(200);
    let last = node.verifier.size() - 1;
    a.call(&a.admin, "GET", &format!("/log/proof/{last}"), None)
        .await
        .is(200);
    fs::remove_file(home.path().join("state")).unwrap();
    let (_, value) = once(&["--known", &known.display().to_string()]);
    let found = value["findings"].as_array().unwrap();
    let told: Vec<_> = found.iter().map(|f| f["kind"].as_str().unwrap()).collect();
    let due = ["unknown_issuance", "unknown_issuance", "erased_unknown"];
    assert_eq!(told, due, "{value}");
    // Only the erasure tells that there was one more.
    assert_eq!(found[2]["index"], last);
    assert!(found[2]["what"].as_str().unwrap().contains(&third));
    let own = value["own"].as_array().unwrap();
    let bare = own.iter().filter(|own| own["event"].is_null()).count();
    assert_eq!(bare, 2, "issued and revoked");
    // Named by the token, or by the erasure, it is known; without a list, nothing is expected.
    for line in [&third, &last.to_string()] {
        fs::write(&known, format!("{lines}{line}\n")).unwrap();
        fs::remove_file(home.path().join("state")).unwrap();
        let (_, value) = once(&["--known", &known.display().to_string()]);
        let found = value["findings"].as_array().unwrap();
        let mut told = found.iter().map(|f| f["kind"].as_str().unwrap());
        assert!(told.all(|kind| kind == "unknown_issuance"), "{value}");
    }
    fs::remove_file(home.path().join("state")).unwrap();
    let (_, value) = once(&[]);
    assert!(!value.to_string().contains("erased_unknown"), "{value}");
    a.running.stop().await;
}
