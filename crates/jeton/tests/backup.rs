//! Backups through the real binary: taken under load, read, rehearsed, restored; and everything that must not be believed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod common;

#[path = "backup/vault.rs"]
mod vault;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use common::Authority;
use jeton::{
    backup::{
        frame::{self, Frame},
        mark,
    },
    capability::Clock,
    node::{
        start::{self, Node, Place, StartError},
        writer::{Purpose, Ruling},
    },
};
use jeton_core::{
    decision::Decision,
    event::{Actor, Erasure, Event, LogEvent, Record},
    id::{TenantId, TokenId},
    leaf::{LEAF_BYTES, commit},
    time::Time,
};
use jeton_store::sqlite::Durability;
use jeton_tlog::{Checkpoint, Frontier, Hash, SigningKey, leaf_hash};
use serde_json::{Value, json};
use vault::{Vault, jeton, rows, same, text, write_mode};

/// An authority with a life behind it: the secrets that are good and those that are not.
struct Lived {
    a: Authority,
    user: String,
    order: Value,
    good: Vec<String>,
    bad: Vec<String>,
}

async fn lived() -> Lived {
    let a = Authority::start().await;
    a.api("docs", &["read", "write"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants, "name": "für Ada"});
    let mut lived = Lived {
        a,
        user,
        order,
        good: Vec::new(),
        bad: Vec::new(),
    };
    for n in 0..6 {
        let (id, secret) = lived.a.issue(lived.order.clone()).await;
        let way = ["rotate", "suspend", "revoke"].get(n);
        let Some(way) = way else {
            lived.good.push(secret);
            continue;
        };
        let path = format!("/v1/tokens/{id}/{way}");
        let said = lived.a.order("POST", &path, json!({})).await.is(200);
        match *way {
            "rotate" => lived.good.extend([secret, said.text("/secret")]),
            _ => lived.bad.push(secret),
        }
    }
    lived
}

impl Lived {
    fn data(&self) -> std::path::PathBuf {
        self.a.dir.path().join("data")
    }

    async fn allowed(&self, secret: &str) -> bool {
        self.a.check(secret, "docs", &["read"]).await["allowed"] == true
    }

    async fn holds(&self) {
        for secret in &self.good {
            assert!(self.allowed(secret).await);
        }
        for secret in &self.bad {
            assert!(!self.allowed(secret).await);
        }
    }
}

fn place(data: &Path) -> Place {
    Place {
        ballast_bytes: 0,
        ..Place::in_dir(data, &jeton::config::Config::default().origin)
    }
}

fn start(data: &Path) -> Result<Node, StartError> {
    start::start(&place(data), Arc::new(Clock::start()))
}

/// Both sizes, if a start serves nobody since more was served than the store holds.
fn behind(data: &Path) -> Option<(u64, u64)> {
    let node = start(data).unwrap();
    node.stop();
    node.gate.why().map(|why| (why.served, why.stored))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_there_row_by_row() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    lived.holds().await;
    let sizes = lived.a.running.doors.node.verifier.size();
    let a = lived.a.restart().await;
    let taken = vault.create(&data, "one.age", &[]);
    assert_eq!(taken["size"], sizes, "{taken}");
    let verified = vault.verify("one.age").ok();
    for key in ["size", "root", "origin"] {
        assert_eq!(verified[key], taken[key]);
    }
    let keys = a.running.doors.node.log_keys();
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(verified["signed_by"], json!(keys));
    assert!(verified["last_uses"].as_u64() > Some(0), "{verified}");
    assert!(verified["checkpoints"].as_u64() > Some(0), "{verified}");
    let drilled = vault.drill("one.age", &["--data-dir", text(&data)]).ok();
    assert_eq!(drilled["behind"], 0, "{drilled}");
    vault
        .restore("one.age", &data, &[])
        .fails(1, "another jeton is running");
    a.running.stop().await;
    let before = rows(&data.join("ledger.db"));
    let restored = vault.restore("one.age", &data, &[]).ok();
    assert_eq!(restored["quarantine"], false, "{restored}");
    let after = rows(&data.join("ledger.db"));
    for (table, rows) in &before {
        assert!(!rows.is_empty() || table == "tile", "{table}");
    }
    same(&before, &after);
    let kept = data.join(format!("ledger.db.before-restore-{sizes}"));
    same(&before, &rows(&kept));
    let fsck = jeton(&["fsck", "--data-dir", text(&data)]).ok();
    assert_eq!(fsck["findings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_authority_serves_as_before() {
    let mut lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "one.age", &[]);
    lived.a.running.stop().await;
    vault.restore("one.age", &data, &[]).ok();
    fs::remove_file(data.join("snapshot")).unwrap();
    let config = common::config(lived.a.dir.path());
    let running = jeton::serve::start(&config, Durability::Full).await;
    lived.a.running = running.unwrap();
    lived.a.client = common::client(&lived.a.running);
    lived.holds().await;
    lived.a.issue(lived.order.clone()).await;
    lived.a.running.stop().await;
    let fsck = jeton(&["fsck", "--data-dir", text(&data)]).ok();
    assert_eq!(fsck["findings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_under_load_are_each_of_one_moment() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let (over, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, admin) = (common::client(&lived.a.running), lived.a.admin.clone());
        let (order, over, made) = (lived.order.clone(), Arc::clone(&over), Arc::clone(&made));
        load.spawn(async move {
            let bearer = format!("Bearer {admin}");
            let headers = [("authorization", bearer.as_str())];
            while !over.load(Relaxed) {
                let said = common::send(&client, "POST", "/v1/tokens", &headers, Some(&order));
                let said = said.await.is(201);
                let path = format!("/v1/tokens/{}/revoke", said.text("/token/id"));
                common::send(&client, "POST", &path, &headers, Some(&json!({})))
                    .await
                    .is(200);
                made.fetch_add(2, Relaxed);
            }
        });
    }
    let mut size = 0;
    for n in 0..4 {
        let before = made.load(Relaxed);
        let (vault, data) = (&vault, &data);
        let name = format!("{n}.age");
        let taken = tokio::task::block_in_place(|| vault.create(data, &name, &["--with-keyring"]));
        // It has everything that was acknowledged before, and nobody waited for it.
        let told = taken["size"].as_u64().unwrap();
        assert!(told >= before && told > size, "{taken}");
        size = told;
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
        while made.load(Relaxed) < before + 64 {
            tick.tick().await;
        }
    }
    over.store(true, Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    for n in 0..4 {
        let name = format!("{n}.age");
        let verified = vault.verify(&name).ok();
        let drilled = vault.drill(&name, &["--data-dir", text(&data)]).ok();
        assert_eq!(drilled["findings"], json!([]));
        assert_eq!(drilled["size"], verified["size"]);
        let live = lived.a.running.doors.node.verifier.size();
        assert_eq!(drilled["behind"], live - verified["size"].as_u64().unwrap());
    }
    let left: Vec<String> = fs::read_dir(vault.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("drill") || name.contains(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    lived.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_since_is_not_forgotten() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let old = vault.create(&data, "old.age", &[])["size"]
        .as_u64()
        .unwrap();
    let path = "/v1/tokens/cut-off";
    let order = json!({"subject": lived.user, "reason": "leaked"});
    lived.a.order("POST", path, order).await.is(200);
    let new = vault.create(&data, "new.age", &[])["size"]
        .as_u64()
        .unwrap();
    assert!(new > old);
    lived.a.running.stop().await;
    // As if the mark had been lost with another disk: the replaced store says it as well.
    fs::remove_file(data.join("high-water")).unwrap();
    let restored = vault.restore("old.age", &data, &["--is-latest"]).ok();
    assert_eq!(restored["quarantine"], true, "{restored}");
    assert_eq!(restored["served_size"], new);
    assert_eq!(behind(&data), Some((new, old)));
    // The newer one ends that, in the same place.
    let restored = vault.restore("new.age", &data, &[]).ok();
    assert_eq!(restored["quarantine"], false, "{restored}");
    assert_eq!(restored["replaced_size"], old);
    assert_eq!(behind(&data), None);
    for size in [old, new] {
        assert!(
            data.join(format!("ledger.db.before-restore-{size}"))
                .exists()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_knows_nothing_does_not_trust_a_backup_to_be_the_last() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let size = vault.create(&data, "bare.age", &[])["size"]
        .as_u64()
        .unwrap();
    vault.create(&data, "full.age", &["--with-keyring"]);
    let kek = vault.path("kek");
    fs::copy(data.join("kek"), &kek).unwrap();
    lived.a.running.stop().await;
    let fresh = |name: &str| vault.path(name).join("data");
    let kek = ["--kek-file", text(&kek)];
    vault
        .restore("bare.age", &fresh("bare"), &kek)
        .fails(1, "no keyring");
    let restored = vault.restore("full.age", &fresh("full"), &kek).ok();
    assert_eq!(restored["quarantine"], true, "{restored}");
    assert_eq!(restored["keyring_restored"], true);
    fs::copy(vault.path("kek"), fresh("full").join("kek")).unwrap();
    assert_eq!(behind(&fresh("full")), Some((size + 1, size)));
    // The same backup once more says no more than before, and who vouches says all.
    let restored = vault.restore("full.age", &fresh("full"), &[]).ok();
    assert_eq!(restored["quarantine"], true, "{restored}");
    let restored = vault.restore("full.age", &fresh("full"), &["--is-latest"]);
    let restored = restored.ok();
    assert_eq!(restored["quarantine"], false, "{restored}");
    assert_eq!(behind(&fresh("full")), None);
    let vouched = [&kek[..], &["--is-latest"]].concat();
    let restored = vault.restore("full.age", &fresh("vouched"), &vouched).ok();
    assert_eq!(restored["quarantine"], false, "{restored}");
    fs::copy(vault.path("kek"), fresh("vouched").join("kek")).unwrap();
    assert_eq!(behind(&fresh("vouched")), None);
    let mark = mark::read(&fresh("vouched")).unwrap().unwrap();
    assert_eq!(mark.size, size);
    // A keyring out of another house opens nothing.
    let other = Authority::start().await;
    let elsewhere = other.dir.path().join("data");
    other.running.stop().await;
    let done = vault.restore("full.age", &elsewhere, &[]);
    done.fails(1, "has no keys of tenant");
    assert_eq!(behind(&elsewhere), None, "nothing was changed");
}

/// Makes an event happen to a tenant.
async fn happen(lived: &Lived, tenant: TenantId, event: Event) {
    let node = &lived.a.running.doors.node;
    let submitted = node.writer.submit(Purpose::Reduce, move |_| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision: Decision::yes((), vec![event]),
    });
    submitted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_epoch_is_behind_a_younger_one() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "old.age", &[]);
    let node = &lived.a.running.doors.node;
    let system = node.verifier.directory().system().unwrap();
    let served = node.verifier.size();
    let origin = "jeton.local/ledger/2".to_owned();
    let began = LogEvent::EpochBegan {
        origin: origin.clone(),
        served,
        reason: "a drill".to_owned(),
    };
    happen(&lived, system, Event::Ledger(began)).await;
    vault.create(&data, "new.age", &[]);
    let verified = vault.verify("new.age").ok();
    let signer = verified["signed_by"][0].as_str().unwrap();
    assert!(signer.starts_with(&origin), "{verified}");
    lived.a.running.stop().await;
    let restored = vault.restore("new.age", &data, &[]).ok();
    assert_eq!(restored["quarantine"], false, "{restored}");
    // The replaced store says the same as the mark.
    fs::remove_file(data.join("high-water")).unwrap();
    let restored = vault.restore("old.age", &data, &["--is-latest"]).ok();
    assert_eq!(restored["quarantine"], true, "{restored}");
    assert_eq!(mark::read(&data).unwrap().unwrap().epoch, 2);
    assert_eq!(behind(&data), Some((served + 1, served)));
    // And where only the mark is left.
    let kek = data.join("kek");
    let again = ["--kek-file", text(&kek), "--is-latest"];
    fs::remove_file(data.join("ledger.db")).unwrap();
    let restored = vault.restore("old.age", &data, &again).ok();
    assert_eq!(restored["quarantine"], true, "{restored}");
}

/// Erases whatever a token was, as the authority does it.
async fn erased(lived: &Lived, id: &str) -> usize {
    let token: TokenId = id.parse().unwrap();
    let indexes = history(lived, token);
    let count = indexes.len();
    let event = Event::Erased(Erasure::Openings {
        tokens: vec![token],
        indexes,
    });
    happen(lived, lived.a.tenant.parse().unwrap(), event).await;
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_stays_erased_and_a_gap_is_found() {
    let mut lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let (id, secret) = lived.a.issue(lived.order.clone()).await;
    let path = format!("/v1/tokens/{id}/revoke");
    lived.a.order("POST", &path, json!({})).await.is(200);
    let count = erased(&lived, &id).await;
    assert!(count >= 2);
    lived.a = lived.a.restart().await;
    assert!(!lived.allowed(&secret).await);
    vault.create(&data, "one.age", &[]);
    assert_eq!(vault.verify("one.age").ok()["erased"], count);
    lived.a.running.stop().await;
    let before = rows(&data.join("ledger.db"));
    vault.restore("one.age", &data, &[]).ok();
    same(&before, &rows(&data.join("ledger.db")));
    assert_eq!(behind(&data), None);
    // The same without what erased it: somebody has struck it out.
    let mut frames = frames(&vault.open("one.age"));
    for frame in &mut frames {
        if let Frame::Event(event) = frame
            && event.leaf[1] == 0x40
        {
            event.opening = None;
            event.erased = Some(*lived.a.tenant.parse::<TenantId>().unwrap().bytes());
        }
    }
    vault.seal("bad.age", &written(&frames));
    let done = vault.verify("bad.age");
    assert_eq!(done.status, 3, "{}", done.err);
}

/// The indexes of a token's events.
fn history(lived: &Lived, token: TokenId) -> Vec<u64> {
    let db = rusqlite::Connection::open(lived.data().join("ledger.db")).unwrap();
    let sql = "SELECT idx FROM trail WHERE about = ?1 ORDER BY idx";
    let mut statement = db.prepare(sql).unwrap();
    let indexes = statement.query_map([token.bytes()], |row| row.get::<_, i64>(0));
    let indexes = indexes.unwrap().map(|index| index.unwrap());
    indexes.map(|index| u64::try_from(index).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_took_another_tokens_end_is_not_restored() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let (dead, _) = lived.a.issue(lived.order.clone()).await;
    let (other, _) = lived.a.issue(lived.order.clone()).await;
    for token in [&dead, &other] {
        let path = format!("/v1/tokens/{token}/revoke");
        lived.a.order("POST", &path, json!({})).await.is(200);
    }
    let dead: TokenId = dead.parse().unwrap();
    let mut indexes = history(&lived, dead);
    indexes.extend(history(&lived, other.parse().unwrap()).last());
    let tokens = vec![dead];
    let event = Event::Erased(Erasure::Openings { tokens, indexes });
    happen(&lived, lived.a.tenant.parse().unwrap(), event).await;
    vault.create(&data, "one.age", &[]);
    lived.a.running.stop().await;
    let before = rows(&data.join("ledger.db"));
    let done = vault.restore("one.age", &data, &[]);
    assert_eq!(done.status, 3, "{}", done.err);
    let said = String::from_utf8_lossy(&done.out);
    assert!(said.contains("none of the tokens"), "{said}");
    same(&before, &rows(&data.join("ledger.db")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_cut_off_is_found() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "one.age", &[]);
    lived.a.running.stop().await;
    let whole = fs::read(vault.path("one.age")).unwrap();
    let body = whole.windows(4).rposition(|w| w == b"\n---").unwrap() + 60;
    let mut cases: Vec<(Vec<u8>, bool)> = Vec::new();
    for n in 0..24 {
        let mut bent = whole.clone();
        let at = n * whole.len() / 24;
        bent[at] ^= 1 << (n % 8);
        cases.push((bent, at > body));
        let end = n * whole.len() / 24;
        cases.push((whole[..end].to_vec(), end > body));
    }
    cases.push(([&whole[..], b"x"].concat(), true));
    for (n, (bytes, in_body)) in cases.into_iter().enumerate() {
        fs::write(vault.path("bent.age"), bytes).unwrap();
        let done = vault.verify("bent.age");
        assert!([1, 3].contains(&done.status), "{n}: {}", done.err);
        if in_body {
            assert_eq!(done.status, 3, "{n}: {}", done.err);
        }
    }
    let before = rows(&data.join("ledger.db"));
    let done = vault.restore("bent.age", &data, &[]);
    assert_eq!(done.status, 3, "{}", done.err);
    same(&before, &rows(&data.join("ledger.db")));
    assert!(!data.join("ledger.db.new").exists());
}

/// The frames of a backup.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    assert!(frame::begins(&mut bytes).unwrap());
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        frames.push(frame::next(&mut bytes).unwrap());
    }
    frames
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::begin(&mut bytes).unwrap();
    for frame in frames {
        frame::put(&mut bytes, frame).unwrap();
    }
    bytes
}

/// Makes header, checkpoint and trailer fit the events, signed by `key`: all that somebody can do who has not the log's.
fn fitted(frames: Vec<Frame>, key: &SigningKey) -> Vec<Frame> {
    let mut tree = Frontier::new();
    for frame in &frames {
        if let Frame::Event(event) = frame {
            tree.push(leaf_hash(&event.leaf));
        }
    }
    let (size, root) = (tree.size(), *tree.root().as_bytes());
    let note = Checkpoint::new(key.name(), size, tree.root()).unwrap();
    let note = note.sign(key).unwrap();
    let kept = frames
        .into_iter()
        .filter(|f| !matches!(f, Frame::Checkpoint(_)));
    let mut fitted: Vec<Frame> = kept
        .map(|frame| match frame {
            Frame::Header(header) => Frame::Header(frame::Header {
                size,
                root,
                checkpoint: note.clone(),
                ..header
            }),
            Frame::Trailer(trailer) => Frame::Trailer(frame::Trailer {
                events: size,
                checkpoints: 1,
                root,
                ..trailer
            }),
            other => other,
        })
        .collect();
    fitted.insert(1, Frame::Checkpoint(frame::Kept { size, note }));
    fitted
}

/// An event with another record, whose leaf commits to it: tags say nothing of what a record holds.
fn with_record(event: &frame::Event, record: &Record) -> Frame {
    let salt = event.opening.as_ref().unwrap().salt;
    let record = jeton_store::ledger::encode(record).unwrap();
    let mut leaf = event.leaf;
    leaf[LEAF_BYTES - 32..].copy_from_slice(&commit(&salt, &record));
    let opening = Some(frame::Opening { salt, record });
    Frame::Event(frame::Event {
        leaf,
        opening,
        aside: event.aside.clone(),
        erased: None,
    })
}

fn event_at(frames: &[Frame], at: usize) -> (&frame::Event, Record) {
    let Frame::Event(event) = &frames[at] else {
        panic!("an event");
    };
    let bytes = &event.opening.as_ref().unwrap().record;
    (event, jeton_store::ledger::decode(bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_the_recipient_cannot_make_events() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "one.age", &[]);
    lived.a.running.stop().await;
    let frames = frames(&vault.open("one.age"));
    let is_event = |f: &Frame| matches!(f, Frame::Event(_));
    let last = frames.iter().rposition(is_event).unwrap();
    let first = frames.iter().position(is_event).unwrap();
    // The last event once more; without it; and with another moment in its record.
    let doubled = [&frames[..=last], &frames[last..]].concat();
    let shorter = [&frames[..last], &frames[last + 1..]].concat();
    let (event, mut record) = event_at(&frames, last);
    record.at = Time::from_millis(record.at.millis() + 1);
    record.actor = Actor::Setup;
    let changed = with_record(event, &record);
    let changed = [&frames[..last], &[changed], &frames[last + 1..]].concat();
    let (genesis, record) = event_at(&frames, first);
    let Event::Genesis { origin, .. } = &record.event else {
        panic!("a genesis");
    };
    let theirs = SigningKey::from_seed(origin, &[7; 32]).unwrap();
    // And the same with a log key of their own in the first event.
    let log_key = *theirs.verifier().public_key();
    let founded = Record {
        event: Event::Genesis {
            origin: origin.clone(),
            log_key,
        },
        ..record.clone()
    };
    let founded = with_record(genesis, &founded);
    for (name, frames) in [
        ("doubled", doubled),
        ("shorter", shorter),
        ("changed", changed),
    ] {
        vault.seal("bad.age", &written(&frames));
        assert_eq!(vault.verify("bad.age").status, 3, "{name}");
        vault.seal("bad.age", &written(&fitted(frames.clone(), &theirs)));
        assert_eq!(vault.verify("bad.age").status, 3, "{name}");
        let mut founded_too = frames;
        founded_too[first] = founded.clone();
        vault.seal("bad.age", &written(&fitted(founded_too, &theirs)));
        let sound = vault.verify("bad.age").ok();
        let signer = theirs.verifier().to_string();
        assert_eq!(sound["signed_by"], json!([signer]), "sound in itself");
        let done = vault.restore("bad.age", &data, &[]);
        assert_eq!(done.status, 3, "{name}: {}", done.err);
        let drilled = vault.drill("bad.age", &["--data-dir", text(&data)]);
        assert_eq!(drilled.status, 3, "{name}: {}", drilled.err);
    }
    assert_eq!(behind(&data), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_make_no_backup_are_damage() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "one.age", &["--with-keyring"]);
    lived.a.running.stop().await;
    let frames = frames(&vault.open("one.age"));
    let count = frames.len();
    let mut swapped = frames.clone();
    swapped.swap(count - 2, count - 3);
    let mut rooted = frames.clone();
    if let Frame::Header(header) = &mut rooted[0] {
        header.root = *Hash::EMPTY.as_bytes();
    }
    let mut renamed = frames.clone();
    if let Frame::Header(header) = &mut renamed[0] {
        header.origin.push('x');
    }
    let mut silent = frames.clone();
    for frame in &mut silent {
        if let Frame::Event(event) = frame
            && let Some(aside) = &mut event.aside
        {
            aside.words.push(b' ');
        }
    }
    let without = |n: usize| [&frames[..n], &frames[n + 1..]].concat();
    let cases = [
        ("without a header", without(0)),
        ("without a checkpoint", without(2)),
        ("without an event in the middle", without(count / 2)),
        ("without a last use or event", without(count - 2)),
        ("without an end", without(count - 1)),
        (
            "with two ends",
            [&frames[..], &frames[count - 1..]].concat(),
        ),
        ("out of order", swapped),
        ("with another root", rooted),
        ("with another name", renamed),
        ("with other words", silent),
    ];
    for (name, frames) in cases {
        vault.seal("bad.age", &written(&frames));
        assert_eq!(vault.verify("bad.age").status, 3, "{name}");
    }
    vault.seal("good.age", &written(&frames));
    vault.verify("good.age").ok();
    // A length that nobody would believe.
    let mut long = written(&frames[..1]);
    long.extend([4, 0xff, 0xff, 0xff, 0xff]);
    vault.seal("bad.age", &long);
    assert_eq!(vault.verify("bad.age").status, 3);
    vault.seal("bad.age", b"another format\n");
    vault.verify("bad.age").fails(1, "no backup of a jeton");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_private_and_holds_no_key_unless_asked() {
    use std::os::unix::fs::PermissionsExt as _;
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    let bare = vault.create(&data, "bare.age", &[]);
    assert_eq!(bare["keyring"], false);
    vault.create(&data, "full.age", &["--with-keyring"]);
    let file = vault.path("bare.age");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(bare["bytes"], metadata.len());
    let (bare, full) = (vault.open("bare.age"), vault.open("full.age"));
    let keyring = fs::read(data.join("keyring")).unwrap();
    let kek = fs::read(data.join("kek")).unwrap();
    let holds = |hay: &[u8], needle: &[u8]| hay.windows(needle.len()).any(|w| w == needle);
    assert!(holds(&full, &keyring) && !holds(&bare, &keyring[..64]));
    for sealed in [&bare, &full] {
        assert!(holds(sealed, "für Ada".as_bytes()), "words are in it");
        assert!(!holds(sealed, &kek[..32]), "the key-encryption key is not");
        for secret in lived.good.iter().chain(&lived.bad) {
            assert!(!holds(sealed, secret.as_bytes()), "a secret is not");
        }
    }
    assert!(!holds(&fs::read(&file).unwrap(), "für Ada".as_bytes()));
    let piped = ["backup", "create", "--data-dir", text(&data), "--to", "-"];
    jeton(&piped).fails(2, "needs a recipient");
    let keys = vault.path("recipients");
    write_mode(&keys, 0o644, &format!("# us\n\n{}\n", vault.recipient));
    let piped = [&piped[..], &["--recipients-file", text(&keys)]].concat();
    let done = jeton(&piped);
    assert_eq!(done.status, 0, "{}", done.err);
    fs::write(vault.path("piped.age"), &done.out).unwrap();
    vault.verify("piped.age").ok();
    jeton(&[&piped[..], &["--plain"]].concat()).fails(2, "--plain");
    jeton(&[&piped[..], &["--recipient", "age1x"]].concat()).fails(1, "no age recipient");
    // Somebody else, and somebody careless.
    let other = Vault::new();
    fs::copy(&file, other.path("bare.age")).unwrap();
    other.verify("bare.age").fails(1, "no identity");
    fs::set_permissions(&other.identity, fs::Permissions::from_mode(0o640)).unwrap();
    other.verify("bare.age").fails(1, "chmod 600");
    lived.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_read_is_moved_aside_only_when_told() {
    let lived = lived().await;
    let (data, vault) = (lived.data(), Vault::new());
    vault.create(&data, "one.age", &[]);
    lived.a.issue(lived.order.clone()).await;
    lived.a.running.stop().await;
    let store = data.join("ledger.db");
    let mut bytes = fs::read(&store).unwrap();
    bytes[..100].fill(0x55);
    fs::write(&store, &bytes).unwrap();
    // A log that belonged to it, and must not be played into what comes in its place.
    fs::write(data.join("ledger.db-wal"), b"a log of another file").unwrap();
    vault
        .restore("one.age", &data, &[])
        .fails(1, "--move-unreadable");
    assert_eq!(fs::read(&store).unwrap(), bytes);
    let restored = vault.restore("one.age", &data, &["--move-unreadable"]).ok();
    assert_eq!(restored["quarantine"], true, "the mark knows: {restored}");
    let kept = data.join("ledger.db.before-restore-unreadable");
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    assert!(!data.join("ledger.db-wal").exists());
}
