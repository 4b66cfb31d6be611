//! What a process leaves behind when it is killed, and what a start believes: kill -9 of the real binary under load, starts
//! cut short, damaged and foreign snapshots, a damaged or older ledger, a second process on the same directory.
//!
//! A kill says nothing about power cuts: those are the gate `powercut`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod common;

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use common::{Said, send};
use jeton::{
    capability::{self, Clock},
    net::{Client, Roots},
    node::{
        high_water::HighWater,
        snapshot::{self, Pace},
        start::{self, Node, Place, StartError},
        writer::{Purpose, Ruling},
    },
};
use jeton_core::{
    decision::Decision,
    directory::Directory,
    event::{Actor, Erasure, Event, Record},
    id::{TenantId, TokenId},
    leaf::commit,
    refusal::{Blame, Refusal},
    time::Span,
    token::{
        digest::Digest,
        record::{Reason, State, Terms},
    },
};
use jeton_store::{
    Continue, Reader as _,
    ledger::{self, Sealer},
    sqlite::SqliteReader,
};
use jeton_verify::index::Index;
use serde_json::{Value, json};

// The real binary.

/// `jeton serve` on a directory, killed when it is dropped.
struct Process {
    child: Child,
    address: String,
    ca: PathBuf,
}

/// A process that may not yet be ready, or never become so.
fn spawn(data: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.args(["--json", "serve", "--listen", "127.0.0.1:0"]);
    command.args(["--ballast-mib", "1", "--log-filter", "warn"]);
    command.arg("--data-dir").arg(data).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

impl Process {
    fn start(data: &Path) -> Self {
        let mut child = spawn(data);
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut told = String::new();
            let read = child.stderr.take().unwrap().read_to_string(&mut told);
            panic!("{error}: {line:?}: {told:?} {read:?}");
        });
        Self {
            address: started["address"].as_str().unwrap().to_owned(),
            ca: started["ca"].as_str().unwrap().into(),
            child,
        }
    }

    fn client(&self) -> Client {
        Client::https(&self.address, Roots::File(&self.ca)).unwrap()
    }

    /// SIGKILL: nothing in the process learns of it.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn order(client: &Client, token: &str, path: &str, order: Value) -> Said {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    send(client, "POST", path, &headers, Some(&order)).await
}

/// As [`order`]; `None`: no answer came.
async fn try_order(client: &Client, token: &str, path: &str, order: &Value) -> Option<Value> {
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    let body = bytes::Bytes::from(order.to_string());
    let sent = client.send(http::Method::POST, path, headers, body).await;
    let (status, _, body) = sent.ok()?;
    let said: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    assert!(status.is_success(), "{path}: {status} {said}");
    Some(said)
}

/// Sets a fresh directory up: the operator's and the admin's token, and a user who may read.
async fn set_up(data: &Path, client: &Client) -> (String, String, Value) {
    let secret = fs::read_to_string(data.join("setup-secret")).unwrap();
    let setup = json!({"secret": secret.trim()});
    let said = send(client, "POST", "/v1/setup", &[], Some(&setup)).await;
    let operator = said.is(201).text("/secret");
    let said = order(client, &operator, "/v1/tenants", json!({"prefix": "acme"})).await;
    let admin = said.is(201).text("/secret");
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let api =
        json!({"name": "docs", "audience": "https://docs.test", "scopes": [{"name": "read"}]});
    order(client, &admin, "/v1/apis", api).await.is(201);
    let role = json!({"name": "reader", "permit": {"grants": grants}});
    order(client, &admin, "/v1/roles", role).await.is(201);
    let said = order(client, &admin, "/v1/users", json!({"roles": ["reader"]})).await;
    let user = said.is(201).text("/id");
    let issue = json!({"class": "key", "subject": user, "grants": grants});
    (operator, admin, issue)
}

/// What is known of a token.
#[derive(Clone, Debug)]
struct Fate {
    id: String,
    /// Every secret that was shown, the youngest last.
    secrets: Vec<String>,
    revoked: Known,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    No,
    /// It was asked for, and no answer came.
    Perhaps,
    Yes,
}

/// Issues, rotates and revokes until no answer comes any more.
async fn submit(client: Client, admin: String, issue: Value, done: Arc<AtomicUsize>) -> Vec<Fate> {
    let mut fates: Vec<Fate> = Vec::new();
    loop {
        let Some(said) = try_order(&client, &admin, "/v1/tokens", &issue).await else {
            return fates;
        };
        let text = |pointer: &str, said: &Value| {
            let found = said.pointer(pointer).and_then(Value::as_str);
            found.unwrap().to_owned()
        };
        let id = text("/token/id", &said);
        let secrets = vec![text("/secret", &said)];
        let revoked = Known::No;
        fates.push(Fate {
            id,
            secrets,
            revoked,
        });
        done.fetch_add(1, Relaxed);
        let number = fates.len();
        let fate = fates.last_mut().unwrap();
        if number.is_multiple_of(2) {
            let path = format!("/v1/tokens/{}/rotate", fate.id);
            let Some(said) = try_order(&client, &admin, &path, &json!({})).await else {
                return fates;
            };
            fate.secrets.push(text("/secret", &said));
            done.fetch_add(1, Relaxed);
        }
        if number.is_multiple_of(3) {
            let path = format!("/v1/tokens/{}/revoke", fate.id);
            fate.revoked = Known::Perhaps;
            if try_order(&client, &admin, &path, &json!({}))
                .await
                .is_none()
            {
                return fates;
            }
            fate.revoked = Known::Yes;
            done.fetch_add(1, Relaxed);
        }
    }
}

/// Every secret must be good or revoked, as was acknowledged; what was left open is settled now, for good.
async fn settle(client: &Client, admin: &str, fates: &mut [Fate]) {
    for some in fates.chunks_mut(300) {
        let checks: Vec<Value> = some
            .iter()
            .flat_map(|f| &f.secrets)
            .map(|secret| json!({"token": secret, "api": "docs", "scopes": ["read"]}))
            .collect();
        let asked = order(client, admin, "/v1/check/batch", json!({"checks": checks})).await;
        let said = asked.is(200).body;
        let mut verdicts = said["results"].as_array().unwrap().iter();
        for fate in some {
            for _ in &fate.secrets {
                let verdict = verdicts.next().unwrap();
                let revoked = verdict["code"] == "token_revoked";
                assert!(revoked || verdict["allowed"] == true, "{fate:?}: {verdict}");
                match fate.revoked {
                    Known::Yes => assert!(revoked, "{fate:?}: {verdict}"),
                    Known::No => assert!(!revoked, "{fate:?}: {verdict}"),
                    Known::Perhaps if revoked => fate.revoked = Known::Yes,
                    Known::Perhaps => fate.revoked = Known::No,
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_twenty_kills() {
    const KILLS: usize = 20;
    const SUBMITTERS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut process = Process::start(&data);
    let (_, admin, issue) = set_up(&data, &process.client()).await;
    let mut fates: Vec<Fate> = Vec::new();
    for kill in 0..KILLS {
        let done = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..SUBMITTERS {
            let (client, done) = (process.client(), Arc::clone(&done));
            tasks.spawn(submit(client, admin.clone(), issue.clone(), done));
        }
        // Anywhere in the middle of a batch: how far each submitter is then is left to chance.
        let [enough]: [u8; 1] = capability::draw();
        while done.load(Relaxed) < 1 + usize::from(enough) / 4 {
            tokio::task::yield_now().await;
        }
        process.kill();
        while let Some(own) = tasks.join_next().await {
            fates.extend(own.unwrap());
        }
        process = Process::start(&data);
        settle(&process.client(), &admin, &mut fates).await;
        let ids: HashSet<&str> = fates.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(ids.len(), fates.len(), "kill {kill}: an id came twice");
    }
    process.kill();
    let checked = Command::new(env!("CARGO_BIN_EXE_jeton"))
        .args(["--json", "fsck", "--data-dir"])
        .arg(&data)
        .env_clear()
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["findings"], json!([]), "{told}");
}

/// Killed as soon as each file of a first start is there, the next start begins or goes on, and can be set up.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_cut_short_does_no_harm() {
    let moments = [
        "lock",
        "kek",
        "keyring",
        "ledger.db",
        "ledger.db-wal",
        "ballast",
        "setup-secret",
        "tls",
    ];
    for moment in moments {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut child = spawn(&data);
        while !data.join(moment).exists() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{moment}: {ended:?}");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let process = Process::start(&data);
        let client = process.client();
        let (_, admin, issue) = set_up(&data, &client).await;
        let said = order(&client, &admin, "/v1/tokens", issue).await;
        said.is(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut first = Process::start(&data);
    let client = first.client();
    let (_, admin, issue) = set_up(&data, &client).await;
    let second = spawn(&data).wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(told.contains("another jeton is running on it"), "{told}");
    assert!(told.contains(&*data.to_string_lossy()), "{told}");
    // The first did not feel it, and when it is gone its directory is free, however it went.
    let said = order(&client, &admin, "/v1/tokens", issue).await;
    let kept = said.is(201).text("/secret");
    first.kill();
    let third = Process::start(&data);
    let question = json!({"token": kept, "api": "docs", "scopes": ["read"]});
    let said = order(&third.client(), &admin, "/v1/check", question).await;
    assert_eq!(said.is(200).body["allowed"], true);
}

// The node alone.

fn place(data: &Path) -> Place {
    Place {
        ballast_bytes: 0,
        ..Place::in_dir(data, "jeton.local/ledger")
    }
}

fn node(data: &Path) -> Result<Node, StartError> {
    start::start(&place(data), Arc::new(Clock::start()))
}

/// Everything that a start must get right, in comparable form.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    size: u64,
    image: Vec<u8>,
    tokens: Vec<(TokenId, String, u32, u64)>,
}

fn seen(node: &Node, ids: &[TokenId]) -> Seen {
    let mut image = Vec::new();
    minicbor::encode(node.verifier.directory().image(), &mut image).unwrap();
    let told = |id: &TokenId| {
        let token = node.verifier.record(*id).unwrap();
        let state = match token.state {
            State::Active => "active".to_owned(),
            State::Suspended { reason } => format!("suspended {}", reason.as_str()),
            State::Revoked { at, reason } => format!("revoked {} {}", at.millis(), reason.as_str()),
        };
        (token.id, state, token.generation, token.issued)
    };
    Seen {
        size: node.verifier.size(),
        image,
        tokens: ids.iter().map(told).collect(),
    }
}

/// A stopped authority of some hundred events, with a snapshot: issued, rotated, revoked.
async fn stopped() -> (tempfile::TempDir, Vec<TokenId>) {
    let authority = common::Authority::start().await;
    authority.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = authority.user("reader", grants.clone()).await;
    let mut ids = Vec::new();
    for number in 0..280 {
        let issue = json!({"class": "key", "subject": user, "grants": grants});
        let (id, _) = authority.issue(issue).await;
        if number % 20 == 0 {
            let path = format!("/v1/tokens/{id}/rotate");
            authority.order("POST", &path, json!({})).await.is(200);
        }
        if number % 30 == 0 {
            let path = format!("/v1/tokens/{id}/revoke");
            authority.order("POST", &path, json!({})).await.is(200);
        }
        ids.push(id.parse().unwrap());
    }
    authority.running.stop().await;
    (authority.dir, ids)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_not_whole_or_not_ours_is_not_believed() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let snapshot = data.join("snapshot");
    let whole = fs::read(&snapshot).unwrap();
    let first = node(&data).unwrap();
    assert!(first.started.from_snapshot > 0, "a whole one is believed");
    let due = seen(&first, &ids);
    drop(first);

    let mut wrong: Vec<(String, Vec<u8>)> = Vec::new();
    for length in [
        0,
        7,
        8,
        9,
        100,
        whole.len() / 2,
        whole.len() - 33,
        whole.len() - 1,
    ] {
        wrong.push((format!("cut to {length}"), whole[..length].to_vec()));
    }
    let step = (whole.len() / 24).max(1);
    for position in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1 << (position % 8);
        wrong.push((format!("bit flipped at {position}"), bytes));
    }
    wrong.push(("longer".into(), [&whole[..], &[0; 40]].concat()));
    wrong.push(("noise".into(), vec![0xa5; 4096]));
    // Sizes that would take all memory if they were believed.
    let huge = [&whole[..8], &u64::MAX.to_le_bytes(), &whole[16..]].concat();
    wrong.push(("a huge section".into(), huge));
    let (other, _) = stopped().await;
    let foreign = fs::read(other.path().join("data/snapshot")).unwrap();
    wrong.push(("another authority's".into(), foreign));
    for (what, bytes) in wrong {
        fs::write(&snapshot, &bytes).unwrap();
        let started = node(&data).unwrap_or_else(|error| panic!("{what}: {error}"));
        // Bytes after the end are never looked at.
        let believed = what == "longer";
        assert_eq!(started.started.from_snapshot > 0, believed, "{what}");
        assert_eq!(seen(&started, &ids), due, "{what}");
        drop(started);
    }
    // A good stop makes a good one again.
    let started = node(&data).unwrap();
    started.stop();
    drop(started);
    let again = node(&data).unwrap();
    assert_eq!(again.started.from_snapshot, due.size);
    assert_eq!(seen(&again, &ids), due);
}

/// Two histories with one keyring, as after a restored backup that went another way: the snapshot of one is no state of the
/// other, whether it is shorter, as long, or longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_history_is_not_believed() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let other = dir.path().join("other");
    copy_dir(&data, &other);
    let goes_on = |data: &Path, tokens: &[TokenId]| {
        let node = node(data).unwrap();
        for token in tokens {
            revoke(&node, *token);
        }
        node.stop();
    };
    goes_on(&other, &ids[1..4]);
    let foreign = fs::read(other.join("snapshot")).unwrap();
    // Shorter, as long, and longer than the foreign one: there the first event that is replayed does not follow from it,
    // since that token had its end already.
    for token in [ids[7], ids[8], ids[9], ids[1], ids[2]] {
        goes_on(&data, &[token]);
        let due = {
            fs::remove_file(data.join("snapshot")).unwrap();
            let node = node(&data).unwrap();
            seen(&node, &ids)
        };
        fs::write(data.join("snapshot"), &foreign).unwrap();
        let node = node(&data).unwrap_or_else(|error| panic!("at {}: {error}", due.size));
        assert_eq!(node.started.from_snapshot, 0, "at {}", due.size);
        assert_eq!(seen(&node, &ids), due);
        node.stop();
    }
}

/// Stores events of a token's tenant, by the node's own hand.
fn append(node: &Node, tenant: TenantId, events: Vec<Event>) {
    let submitted = node.writer.submit(Purpose::Reduce, move |_| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision: Decision::yes((), events),
    });
    let done =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(submitted));
    assert!(done.is_ok());
}

/// Ends a token.
fn revoke(node: &Node, token: TokenId) {
    let tenant = node.verifier.record(token).unwrap().tenant;
    let reason = Reason::Abuse;
    append(node, tenant, vec![Event::TokenRevoked { token, reason }]);
}

/// Something of each kind that can happen to tokens and around them, the `n`th time.
fn anything(node: &Node, tokens: &[TokenId], n: usize) {
    let now = node.clock.time();
    let known = node.verifier.record(tokens[n % tokens.len()]).unwrap();
    let (token, tenant) = (known.id, known.tenant);
    let drawn = || (Digest::from_bytes(capability::draw()), 0);
    let issue = |terms: Terms| {
        let (digest, pepper) = drawn();
        Event::TokenIssued {
            token: capability::draw_id(now),
            class: known.class,
            subject: known.subject,
            digest,
            pepper,
            terms,
            expires: None,
        }
    };
    let other = Terms {
        lifetime_max: Some(Span::seconds(capability::draw::<1>()[0].into())),
        ..Terms::clone(&known.terms)
    };
    let mut events = vec![
        issue(Terms::clone(&known.terms)),
        issue(other.clone()),
        Event::UserCreated {
            user: capability::draw_id(now),
            roles: Vec::new(),
        },
    ];
    let (digest, pepper) = drawn();
    let reason = Reason::Abuse;
    match (known.state, n % 5) {
        (State::Revoked { .. }, _) => {}
        (_, 0) => events.push(Event::TokenRevoked { token, reason }),
        (_, 1) => events.push(Event::TokenSuspended { token, reason }),
        (_, 2) => events.push(Event::TokenRehashed {
            token,
            digest,
            pepper,
        }),
        (_, 3) => events.push(Event::TokenChanged {
            token,
            before: (Terms::clone(&known.terms), known.expires),
            after: (other, known.expires),
        }),
        (_, _) => events.push(Event::TokenRotated {
            token,
            generation: known.generation + 1,
            digest,
            pepper,
            overlap_until: now,
            expires: known.expires,
        }),
    }
    append(node, tenant, events);
}

/// A state in comparable form, apart from uses, which are observations.
#[derive(PartialEq, Eq, Debug)]
struct AtRest {
    image: Vec<u8>,
    terms: Vec<Vec<u8>>,
    slots: Vec<[u8; 64]>,
    beside: Vec<jeton_verify::index::rest::Beside>,
}

fn at_rest(directory: &Directory, index: &Index) -> AtRest {
    let words = index.words().map(|words| {
        let mut bytes = words.to_bytes();
        bytes[44..48].fill(0);
        bytes
    });
    let mut beside: Vec<_> = index.beside().collect();
    beside.sort_unstable();
    AtRest {
        image: minicbor::to_vec(directory.image()).unwrap(),
        terms: index
            .all_terms()
            .map(|terms| minicbor::to_vec(terms).unwrap())
            .collect(),
        slots: words.collect(),
        beside,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_moment_whatever_happens_while_it_is_written() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let node = node(&data).unwrap();
    let path = data.join("snapshot");
    for (round, slots_at_once) in [1, 7, 64, 4096].into_iter().enumerate() {
        let moment = node.writer.moment().unwrap();
        let due = node
            .verifier
            .with_index(|index| at_rest(&node.verifier.directory(), index));
        let size = node.verifier.size();
        // What came before the first slice was copied, and between each two.
        anything(&node, &ids, 1000 * round);
        let happened = AtomicUsize::new(0);
        let go_on = &|| {
            let n = happened.fetch_add(1, Relaxed);
            // From both ends: slots that were copied already, and slots that were not.
            let at = if n.is_multiple_of(2) {
                n
            } else {
                ids.len() - n % ids.len()
            };
            anything(&node, &ids, at);
            true
        };
        let mut reader = SqliteReader::open(&data.join("ledger.db")).unwrap();
        let partial = ledger::partial(&mut reader, size).unwrap();
        let pace = Pace {
            slots_at_once,
            go_on,
        };
        let taken = (&moment, partial.as_slice());
        snapshot::write_moment(&path, &node.keyring, &node.verifier, taken, &pace).unwrap();
        assert!(happened.load(Relaxed) > 0 && node.verifier.size() > size);
        let kept = snapshot::read(&path, &node.keyring).unwrap();
        assert_eq!(kept.directory.size(), size);
        let found = at_rest(&kept.directory, &kept.index);
        assert_eq!(found.slots.len(), due.slots.len());
        let wrong = found.slots.iter().zip(&due.slots).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "a slot is of another moment");
        assert!(
            found == due,
            "what is beside the slots is of another moment"
        );
    }
    // Killed now, it starts from there, and comes to what a full replay comes to.
    let (size, live) = (node.snapshot_size(), seen(&node, &ids));
    drop(node);
    let again = self::node(&data).unwrap();
    assert!(again.started.from_snapshot > size && again.started.replayed > 0);
    assert_eq!(seen(&again, &ids), live);
    drop(again);
    fs::remove_file(&path).unwrap();
    let again = self::node(&data).unwrap();
    assert_eq!(again.started.from_snapshot, 0);
    assert_eq!(seen(&again, &ids), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_kept_while_the_node_runs() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let running = Arc::new(node(&data).unwrap());
    let before = running.snapshot_size();
    assert_eq!(before, running.verifier.size(), "it began with one");
    let busy = Arc::new(AtomicUsize::new(1));
    let (working, until, tokens) = (Arc::clone(&running), Arc::clone(&busy), ids.clone());
    let work = tokio::task::spawn_blocking(move || {
        let mut n = 0;
        while until.load(Relaxed) > 0 {
            anything(&working, &tokens, n);
            n += 1;
        }
    });
    let mut last = before;
    for _ in 0..20 {
        // Something must have happened since.
        while running.verifier.size() == last {
            tokio::task::yield_now().await;
        }
        let writing = Arc::clone(&running);
        let kept = tokio::task::spawn_blocking(move || writing.keep_snapshot());
        let kept = kept.await.unwrap().unwrap();
        assert!(kept > last, "{kept} after {last}");
        assert_eq!(running.snapshot_size(), kept);
        last = kept;
    }
    busy.store(0, Relaxed);
    work.await.unwrap();
    let live = seen(&running, &ids);
    // Killed: no snapshot is written at the end, and half of one lies about.
    drop(running);
    fs::write(data.join("snapshot.new"), b"half of").unwrap();
    let again = node(&data).unwrap();
    assert_eq!(again.started.from_snapshot, last);
    assert_eq!(seen(&again, &ids), live);
    again.stop();
    assert!(
        again.keep_snapshot().is_err(),
        "nobody can hand out a moment"
    );
    assert!(!data.join("snapshot.new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_given_up_leaves_the_one_before() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let running = node(&data).unwrap();
    let path = data.join("snapshot");
    let before = fs::read(&path).unwrap();
    anything(&running, &ids, 0);
    let moment = running.writer.moment().unwrap();
    for after in 0..3 {
        let asked = AtomicUsize::new(0);
        let pace = Pace {
            slots_at_once: 100,
            go_on: &|| asked.fetch_add(1, Relaxed) < after,
        };
        let (keyring, verifier) = (&running.keyring, &running.verifier);
        let taken = (&moment, [].as_slice());
        assert!(snapshot::write_moment(&path, keyring, verifier, taken, &pace).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(!data.join("snapshot.new").exists());
    }
}

/// Changes one bit of the database wherever `bytes` stand, left-overs in unused parts of pages included: as a failing disk or
/// an editor would.
fn damage(database: &Path, bytes: &[u8]) {
    let mut file = fs::read(database).unwrap();
    let found = file.windows(bytes.len()).enumerate();
    let places: Vec<usize> = found
        .filter(|(_, window)| *window == bytes)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the bytes are in the file");
    for at in places {
        file[at + bytes.len() / 2] ^= 0x10;
    }
    fs::write(database, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_ledger_does_not_start_and_says_where() {
    let (dir, _) = stopped().await;
    let data = dir.path().join("data");
    let database = data.join("ledger.db");
    let log = fs::metadata(data.join("ledger.db-wal")).map_or(0, |m| m.len());
    assert_eq!(log, 0, "a stopped authority's ledger is in one file");
    let mut reader = SqliteReader::open(&database).unwrap();
    let (mut events, frontier) = (Vec::new(), reader.head().unwrap().frontier);
    let each = &mut |stored| {
        events.push(stored);
        Ok(Continue::Yes)
    };
    reader.events(0, each).unwrap();
    drop(reader);
    fs::remove_file(data.join("snapshot")).unwrap();
    let whole = fs::read(&database).unwrap();
    let refused = |what: &str, bytes: &[u8], says: &str| {
        damage(&database, bytes);
        let told = match node(&data) {
            Ok(_) => panic!("{what}: it started"),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(says), "{what}: {told}");
        assert!(told.contains("jeton fsck"), "{what}: {told}");
        fs::write(&database, &whole).unwrap();
        for left in ["ledger.db-wal", "ledger.db-shm"] {
            drop(fs::remove_file(data.join(left)));
        }
    };
    for index in [0, 1, 100, events.len() - 1] {
        let stored = &events[index];
        let (salt, record) = stored.opening.as_ref().unwrap();
        let says = format!("index {index}:");
        refused("leaf", &stored.leaf[40..], &says);
        refused("salt", salt, &says);
        refused("record", record, &says);
    }
    refused("frontier", &frontier, "right edge");
    node(&data).unwrap();
}

/// Whoever can write into the database, and has no key: another record in place of one, and leaf, tiles and head made to fit.
fn forge(database: &Path, index: u64, change: impl FnOnce(&mut Record)) {
    let mut reader = SqliteReader::open(database).unwrap();
    let head = reader.head().unwrap();
    let mut all = Vec::new();
    reader
        .events(0, &mut |stored| {
            all.push(stored);
            Ok(Continue::Yes)
        })
        .unwrap();
    drop(reader);
    let (mut tree, mut tiles, mut forged) = (Sealer::new(), Vec::new(), None);
    let mut change = Some(change);
    for stored in &mut all {
        if stored.index == index {
            let (salt, bytes) = stored.opening.clone().unwrap();
            let mut record = ledger::decode(&bytes).unwrap();
            change.take().unwrap()(&mut record);
            let bytes = ledger::encode(&record).unwrap();
            let at = stored.leaf.len() - 32;
            stored.leaf[at..].copy_from_slice(&commit(&salt, &bytes));
            forged = Some((stored.leaf.clone(), bytes));
        }
        tiles.extend(tree.push(&stored.leaf));
    }
    assert_eq!(tree.size(), head.size);
    let db = rusqlite::Connection::open(database).unwrap();
    let (leaf, bytes) = forged.unwrap();
    let index = i64::try_from(index).unwrap();
    db.execute(
        "UPDATE event SET leaf = ?1, record = ?2 WHERE idx = ?3",
        (leaf, bytes, index),
    )
    .unwrap();
    db.execute("UPDATE head SET frontier = ?1", [tree.frontier()])
        .unwrap();
    for tile in tiles {
        let at = (
            tile.bytes,
            tile.id.level(),
            i64::try_from(tile.id.index()).unwrap(),
        );
        db.execute("UPDATE tile SET data = ?1 WHERE level = ?2 AND n = ?3", at)
            .unwrap();
    }
    db.execute("DELETE FROM checkpoint", []).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_written_without_the_keys_is_not_believed_however_well_all_else_fits() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let index = {
        let node = node(&data).unwrap();
        let issued = node.verifier.record(ids[1]).unwrap().issued;
        node.stop();
        issued
    };
    // Everything beside the database goes, too: nothing remembers how it was.
    for name in ["snapshot", "high-water"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    let copy = dir.path().join("copy");
    copy_dir(&data, &copy);
    forge(&copy.join("ledger.db"), index, |_| ());
    node(&copy).expect("what is written as it was is believed");
    forge(&data.join("ledger.db"), index, |record| {
        let Event::TokenIssued { expires, .. } = &mut record.event else {
            panic!("{record:?}");
        };
        *expires = None;
    });
    let error = node(&data)
        .map(drop)
        .expect_err("the record is another one");
    let told = error.to_string();
    assert!(told.contains(&format!("index {index}:")), "{told}");
    assert!(told.contains("not sealed by this authority"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_notice_below_the_snapshot_excuses_nothing() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let snapshot = fs::read(data.join("snapshot")).unwrap();
    let first = node(&data).unwrap();
    let (token, index) = (ids[5], first.verifier.size());
    let tenant = first.verifier.record(token).unwrap().tenant;
    assert!(index > 256, "a full tile lies below the snapshot");
    revoke(&first, token);
    first.stop();
    drop(first);
    fs::write(data.join("snapshot"), snapshot).unwrap();
    // A notice that nobody wrote, in a row that no replay from this snapshot meets; and the revocation's opening is gone.
    let record = Record {
        version: jeton_core::event::RECORD_VERSION,
        tenant,
        at: Clock::start().time(),
        actor: Actor::Authority,
        request: None,
        aside: None,
        event: Event::Erased(Erasure::Openings {
            tokens: vec![token],
            indexes: vec![index],
        }),
    };
    let (salt, bytes) = ([7; 32], ledger::encode(&record).unwrap());
    let mut leaf = vec![1, 0x40];
    leaf.resize(74, 0);
    leaf.extend(commit(&salt, &bytes));
    let db = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    db.execute(
        "UPDATE event SET leaf = ?1, salt = ?2, record = ?3 WHERE idx = 100",
        (leaf, salt, bytes),
    )
    .unwrap();
    let index = i64::try_from(index).unwrap();
    db.execute(
        "UPDATE event SET salt = NULL, record = NULL WHERE idx = ?1",
        [index],
    )
    .unwrap();
    drop(db);
    let error = node(&data).map(drop).expect_err("the revocation is gone");
    assert!(matches!(error, StartError::Unsound { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_in_its_place_is_put_in_quarantine() {
    let (dir, ids) = stopped().await;
    let data = dir.path().join("data");
    let backup = fs::read(data.join("ledger.db")).unwrap();
    let first = node(&data).unwrap();
    let stored = first.verifier.size();
    for token in &ids[1..4] {
        revoke(&first, *token);
    }
    first.stop();
    drop(first);
    // The database alone is put back, as after a mishap: revoked tokens would live again.
    fs::write(data.join("ledger.db"), backup).unwrap();
    drop(fs::remove_file(data.join("ledger.db-wal")));
    let older = node(&data).unwrap();
    let why = older.gate.why().expect("it is in quarantine");
    assert_eq!((why.served, why.stored), (stored + 3, stored));
    let told = why.to_string();
    for size in [stored, stored + 3] {
        assert!(told.contains(&size.to_string()), "{told}");
    }
    // Nothing is changed, nothing signed, and the mark stays where it was.
    let revoking = older.writer.submit(Purpose::Reduce, |facts| {
        Ruling::<()>::no(facts.directory.system().unwrap(), Refusal::NotFound)
    });
    assert_eq!(
        revoking.await.map(drop),
        Err(Blame::from(Refusal::Quarantined))
    );
    older.stop();
    let mark = HighWater::read(&data.join("high-water")).unwrap().unwrap();
    assert_eq!(mark.size, stored + 3);
    drop(older);
    let again = node(&data).unwrap();
    assert!(again.gate.is_closed(), "a start is no way out");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_of_the_same_length_is_put_in_quarantine() {
    let (dir, ids) = stopped().await;
    let (data, fork) = (dir.path().join("data"), dir.path().join("fork"));
    copy_dir(&data, &fork);
    for (place, token) in [(&data, ids[1]), (&fork, ids[2])] {
        let node = node(place).unwrap();
        revoke(&node, token);
        node.stop();
    }
    fs::copy(fork.join("ledger.db"), data.join("ledger.db")).unwrap();
    let node = node(&data).unwrap();
    let why = node.gate.why().expect("it is in quarantine");
    assert_eq!(why.served, why.stored);
    assert!(why.to_string().contains("another history"), "{why}");
}

/// The names of the files in a directory, with their lengths.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.metadata().unwrap().len())
    });
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

/// What is missing; the file that the refusal names and the one that it believes, or none: it starts.
type Loss<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>);

#[test]
fn keys_that_are_missing_beside_a_ledger_are_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let first = node(&whole).unwrap();
    first.stop();
    drop(first);
    let all = ["ledger.db", "high-water", "keyring", "kek", "snapshot"];
    for name in all {
        let length = fs::metadata(whole.join(name)).unwrap().len();
        assert!(length > 0, "{name} is there after a start");
    }
    let ledger = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];
    let cases: &[Loss<'_>] = &[
        (&[], None),
        (&["keyring"], Some(("keyring", "ledger.db"))),
        (&["kek"], Some(("kek", "keyring"))),
        (&["keyring", "kek"], Some(("keyring", "ledger.db"))),
        (&["keyring", "high-water"], Some(("keyring", "ledger.db"))),
        (&["kek", "high-water"], Some(("kek", "keyring"))),
        (&["keyring", "LEDGER"], Some(("keyring", "high-water"))),
        (&["kek", "LEDGER"], Some(("kek", "keyring"))),
        (
            &["keyring", "kek", "LEDGER"],
            Some(("keyring", "high-water")),
        ),
        (&["kek", "LEDGER", "high-water"], Some(("kek", "keyring"))),
        // Keys without a ledger, and a key-encryption key that somebody prepared: first runs.
        (&["LEDGER", "high-water"], None),
        (&["keyring", "LEDGER", "high-water"], None),
        (&["keyring", "kek", "LEDGER", "high-water"], None),
    ];
    for (number, (missing, refused)) in cases.iter().enumerate() {
        let data = dir.path().join(format!("case-{number}"));
        copy_dir(&whole, &data);
        for name in *missing {
            let all = if *name == "LEDGER" {
                ledger.as_slice()
            } else {
                core::slice::from_ref(name)
            };
            for name in all {
                drop(fs::remove_file(data.join(name)));
            }
        }
        let before = files(&data);
        let started = node(&data).map(drop);
        let Some((named, beside)) = refused else {
            assert!(started.is_ok(), "{missing:?}: {started:?}");
            continue;
        };
        let error = started.expect_err("without its keys");
        let told = error.to_string();
        assert!(
            matches!(error, StartError::Keyring(_)),
            "{missing:?}: {told}"
        );
        for name in [named, beside] {
            let path = data.join(name).display().to_string();
            assert!(told.contains(&format!("{path} is ")), "{missing:?}: {told}");
        }
        assert!(
            told.contains("restore it from where keys are kept"),
            "{told}"
        );
        assert_eq!(files(&data), before, "{missing:?}: something was made");
    }
}

#[test]
fn a_lost_ledger_is_not_begun_anew_beside_its_high_water_mark() {
    let dir = tempfile::tempdir().unwrap();
    let first = node(dir.path()).unwrap();
    first.stop();
    drop(first);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(dir.path().join(name)));
    }
    let keys = fs::read(dir.path().join("keyring")).unwrap();
    // Twice: the first refusal must not make what the second would believe.
    for _ in 0..2 {
        let error = node(dir.path()).map(drop).expect_err("it was served once");
        assert!(matches!(error, StartError::Gone { served: 1.. }), "{error}");
    }
    assert_eq!(fs::read(dir.path().join("keyring")).unwrap(), keys);
}
