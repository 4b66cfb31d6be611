//! Mirrors through the real server over TLS, and of logs that lie: what is kept is what was signed, or nothing new is kept.

mod common;
mod statics;

use std::{
    collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command,
};

use common::{Authority, client};
use jeton::mirror::{Dir, Finding, MirrorError, Pull, Pulled, Reader, Source, StoreSource};
use jeton::node::writer::{Purpose, Ruling};
use jeton_core::{
    decision::Decision,
    event::{Actor, Event},
    secret::Secret,
    time::Span,
};
use jeton_tlog::{Policy, TilePath};
use serde_json::{Value, json};
use statics::{Made, Statics, files, policy};

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// The log of an authority, read with a token.
fn source(a: &Authority, token: &str) -> Source {
    let token = Secret::new(token.to_owned());
    Source::http(client(&a.running), "/log", Some(token))
}

async fn own_policy(source: &Source) -> Policy {
    policy(&source.danger_policy().await.unwrap())
}

async fn pull(source: &Source, dir: &Path, openings: bool) -> Result<Pulled, MirrorError> {
    let policy = own_policy(source).await;
    pull_by(source, dir, &policy, openings).await
}

async fn pull_by(
    source: &Source,
    dir: &Path,
    policy: &Policy,
    openings: bool,
) -> Result<Pulled, MirrorError> {
    let dir = Dir::open(dir)?;
    let pull = Pull {
        source,
        dir: &dir,
        policy,
        openings,
    };
    pull.round().await
}

/// Waits until a checkpoint covers everything that has happened.
async fn covered(a: &Authority) -> u64 {
    let size = a.running.doors.node.verifier.size();
    let mut shown = a.running.doors.node.published.subscribe();
    let covers = shown.wait_for(|s| s.as_ref().is_some_and(|s| s.size >= size));
    covers.await.unwrap();
    size
}

async fn users(a: &Authority, count: usize) {
    for _ in 0..count {
        a.order("POST", "/v1/users", json!({})).await.is(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_the_log_and_grows_with_it() {
    let a = Authority::start().await;
    users(&a, 200).await;
    covered(&a).await;
    let dir = tempfile::tempdir().unwrap();
    let log = source(&a, &a.admin);
    let first = pull(&log, dir.path(), false).await.unwrap();
    assert_eq!(first.new, first.size);
    users(&a, 120).await;
    let size = covered(&a).await;
    let second = pull(&log, dir.path(), false).await.unwrap();
    assert!(second.size >= size && second.new == second.size - first.size);
    let again = pull(&log, dir.path(), false).await.unwrap();
    assert_eq!((again.size, again.new), (second.size, 0));
    // Each file is what the server gives; those of the older edge that are full now are gone.
    let mut tiles = 0;
    for (name, bytes) in files(dir.path()) {
        let name = name.to_string_lossy().into_owned();
        if TilePath::parse(&name).is_ok() {
            tiles += 1;
            let said = a
                .call(&a.admin, "GET", &format!("/log/{name}"), None)
                .await
                .is(200);
            assert_eq!(said.bytes, bytes, "{name}");
        }
    }
    assert!(tiles >= 5, "{tiles}");
    assert!(!dir.path().join("tile/0/000.p").exists());
    assert!(!dir.path().join("tile/entries/000.p").exists());
    // Served as static files, it is a log like any other.
    let statics = Statics::serve(dir.path()).await;
    let copy = tempfile::tempdir().unwrap();
    let policy = own_policy(&log).await;
    let third = pull_by(&statics.source(), copy.path(), &policy, false)
        .await
        .unwrap();
    assert_eq!((third.size, third.root), (second.size, second.root));
    for (name, bytes) in files(copy.path()) {
        assert_eq!(
            fs::read(dir.path().join(&name)).unwrap(),
            bytes,
            "{}",
            name.display()
        );
    }
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_count_towards_the_length_of_an_answer() {
    const WORDS_BYTES: usize = 3 << 20;
    let a = Authority::start().await;
    let from = a.running.doors.node.verifier.size();
    // More than a client takes in one answer, in few events.
    for about in 1..=6 {
        let tenant = a.tenant.parse().unwrap();
        let ruling = move |_: &jeton::node::writer::Facts<'_>| Ruling {
            tenant,
            actor: Actor::Authority,
            request: None,
            words: Some(vec![b'w'; WORDS_BYTES]),
            decision: Decision::yes((), vec![Event::Renamed { about: [about; 16] }]),
        };
        let writer = &a.running.doors.node.writer;
        writer.submit(Purpose::Grow, ruling).await.unwrap();
    }
    let size = covered(&a).await;
    let path = format!("/log/openings?from={from}&limit=6");
    let told = a.call(&a.operator, "GET", &path, None).await.is(200);
    // The event that reaches 8 MiB is the last.
    assert_eq!(told.bytes.len() / WORDS_BYTES, 3, "{}", told.bytes.len());
    // A mirror comes to the end all the same.
    let dir = tempfile::tempdir().unwrap();
    let kept = pull(&source(&a, &a.operator), dir.path(), true).await;
    assert_eq!(kept.unwrap().openings, Some(size));
    a.running.stop().await;
}

/// The modes of all that is in a directory: those of directories, and those of files.
fn modes(dir: &Path) -> [BTreeSet<u32>; 2] {
    let mut modes = [BTreeSet::new(), BTreeSet::new()];
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let (path, meta) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
            let [of_dirs, of_files] = &mut modes;
            let of = if meta.is_dir() { of_dirs } else { of_files };
            of.insert(meta.permissions().mode() & 0o777);
            dirs.extend(meta.is_dir().then_some(path));
        }
    }
    modes
}

fn modes_are_private(dir: &Path) {
    assert_eq!(modes(dir), [[0o700].into(), [0o600].into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_its_owners_and_an_export_is_everybodys() {
    let a = Authority::start().await;
    users(&a, 2).await;
    covered(&a).await;
    let log = source(&a, &a.admin);
    let policy = own_policy(&log).await;
    let text = log.danger_policy().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let keep = async |dir: Dir| {
        dir.publish_policy(&text, &policy).unwrap();
        let pull = Pull {
            source: &log,
            dir: &dir,
            policy: &policy,
            openings: false,
        };
        pull.round().await.unwrap();
    };
    // Above them, nothing is made for others either.
    let mirror = home.path().join("kept");
    keep(Dir::open(&mirror.join("here")).unwrap()).await;
    modes_are_private(&mirror);
    // The umask may take something away.
    let export = home.path().join("public");
    keep(Dir::open_public(&export).unwrap()).await;
    let probe = home.path().join("probe");
    fs::create_dir(&probe).unwrap();
    let umask = 0o777 & !fs::metadata(&probe).unwrap().permissions().mode();
    let due = [0o755, 0o644].map(|mode| BTreeSet::from([mode & !umask]));
    assert_eq!(modes(&export), due);
    a.running.stop().await;
}

fn kept_has(dir: &Path, text: &str) -> bool {
    let all = files(&dir.join("openings"));
    let mut all = all.values();
    all.any(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_are_kept_privately_and_go_when_the_log_says_so() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let words = json!({"name": "Ada Lovelace"});
    let path = format!("/v1/users/{user}");
    a.order("PUT", &format!("{path}/words"), words)
        .await
        .is(200);
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (token, _) = a.issue(order).await;
    a.order("POST", &format!("/v1/tokens/{token}/revoke"), json!({}))
        .await
        .is(200);
    covered(&a).await;
    let dir = tempfile::tempdir().unwrap();
    // Whoever may read tiles may not read openings.
    let refused = pull(&source(&a, &a.admin), dir.path(), true)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, MirrorError::Status { status, .. } if status.as_u16() == 403),
        "{refused}"
    );
    let log = source(&a, &a.operator);
    let first = pull(&log, dir.path(), true).await.unwrap();
    assert_eq!(first.openings, Some(first.size));
    modes_are_private(dir.path());
    assert!(kept_has(dir.path(), "Ada Lovelace"));
    let issued = |path: &Path, policy: &Policy| {
        let reader = Reader::open(path, policy).unwrap();
        let kept: Vec<_> = reader.events(0).map(Result::unwrap).collect();
        let about = |kept: &jeton::mirror::Kept| {
            let (_, record) = kept.stored.opening.as_ref()?;
            jeton_store::ledger::decode(record)?.event.token()
        };
        let of_token = kept
            .iter()
            .filter(|k| about(k).is_some_and(|t| t.to_string() == token));
        (of_token.count(), kept)
    };
    let policy = own_policy(&log).await;
    assert_eq!(issued(dir.path(), &policy).0, 2);
    // Erased: words, and the openings of a dead token.
    a.order("PUT", &format!("{path}/state"), json!({"state": "deleted"}))
        .await
        .is(200);
    a.call(&a.admin, "POST", &format!("{path}/erase"), None)
        .await
        .is(200);
    a.running.doors.node.clock.danger_advance(Span::days(2));
    a.order("POST", "/v1/tokens/erase", json!({"tokens": [token]}))
        .await
        .is(200);
    covered(&a).await;
    // A crash tore the end: it is fetched again.
    let chunk = dir.path().join("openings/000000000000.cbor");
    let mut torn = fs::read(&chunk).unwrap();
    torn.extend_from_slice(&[0x86, 0x19, 0x01]);
    fs::write(&chunk, &torn).unwrap();
    let second = pull(&log, dir.path(), true).await.unwrap();
    assert!(second.erased >= 3, "{second:?}");
    assert!(!kept_has(dir.path(), "Ada Lovelace"));
    let (of_token, kept) = issued(dir.path(), &policy);
    assert_eq!(of_token, 0);
    modes_are_private(dir.path());
    // What is kept is what the authority gives, in every byte.
    let told = a
        .call(&a.operator, "GET", "/log/openings?limit=4096", None)
        .await
        .is(200);
    assert_eq!(fs::read(&chunk).unwrap(), told.bytes);
    assert_eq!(u64::try_from(kept.len()).unwrap(), second.size);
    // A mirror that begins now is told of the gaps and what explains them; one served statically gives it on.
    let late = tempfile::tempdir().unwrap();
    pull(&log, late.path(), true).await.unwrap();
    assert_eq!(
        fs::read(&chunk).unwrap(),
        fs::read(late.path().join("openings/000000000000.cbor")).unwrap()
    );
    let statics = Statics::serve(dir.path()).await;
    let copy = tempfile::tempdir().unwrap();
    let copied = pull_by(&statics.source(), copy.path(), &policy, true)
        .await
        .unwrap();
    assert_eq!(copied.openings, Some(second.size));
    withheld(dir.path(), &chunk, &policy).await;
    a.running.stop().await;
}

/// A mirror whose openings have a gap that nothing explains is not taken over.
async fn withheld(dir: &Path, chunk: &Path, policy: &Policy) {
    let bytes = fs::read(chunk).unwrap();
    let mut events: Vec<jeton::http::log::Mirrored> = Vec::new();
    let mut decoder = minicbor::Decoder::new(&bytes);
    while decoder.position() < bytes.len() {
        events.push(decoder.decode().unwrap());
    }
    let opened = events
        .iter()
        .position(|e| e.2.is_some() && e.5.is_none())
        .unwrap();
    (events[opened].2, events[opened].3) = (None, None);
    let mut changed = Vec::new();
    for event in &events {
        minicbor::encode(event, &mut changed).unwrap();
    }
    fs::write(chunk, changed).unwrap();
    let statics = Statics::serve(dir).await;
    let copy = tempfile::tempdir().unwrap();
    let refused = pull_by(&statics.source(), copy.path(), policy, true)
        .await
        .unwrap_err();
    let index = u64::try_from(opened).unwrap();
    assert!(
        matches!(refused, MirrorError::Found(Finding::Withheld { index: at, .. }) if at == index),
        "{refused}"
    );
    assert!(
        !copy.path().join("checkpoint").exists(),
        "the checkpoint comes last"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_back_or_forks_is_convicted_and_nothing_of_it_is_kept() {
    let (served, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let honest = Made::of(Made::leaves(600, 1));
    let trust = policy(&honest.policy());
    let statics = Statics::serve(served.path()).await;
    let log = statics.source();
    honest.write(served.path(), 300);
    pull_by(&log, dir.path(), &trust, false).await.unwrap();
    let before = files(dir.path());
    let mut other = Made::leaves(600, 1);
    other[280] = vec![9; 106];
    let forked = Made::of(other);
    let fork = || Finding::Fork { size: 300 };
    let rollback = Finding::Rollback {
        seen: 300,
        shown: 299,
    };
    for (log_, size, due) in [
        (&honest, 299, rollback.clone()),
        (&forked, 299, rollback),
        (&forked, 300, fork()),
        (&forked, 301, fork()),
        (&forked, 600, fork()),
    ] {
        log_.write(served.path(), size);
        let error = pull_by(&log, dir.path(), &trust, false).await.unwrap_err();
        assert!(
            matches!(&error, MirrorError::Found(f) if *f == due),
            "{size}: {error}"
        );
        assert!(dir.path().join("conflict").exists(), "the proof is kept");
        fs::remove_file(dir.path().join("conflict")).unwrap();
        let now = files(dir.path());
        assert!(
            before.iter().all(|(name, bytes)| now[name] == *bytes),
            "{size}"
        );
    }
    // One that goes on is followed still.
    honest.write(served.path(), 600);
    let pulled = pull_by(&log, dir.path(), &trust, false).await.unwrap();
    assert_eq!((pulled.size, pulled.new), (600, 300));
    // The mirror itself is not believed either.
    let tile = dir.path().join("tile/0/002.p/88");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[5] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let longer = Made::of(Made::leaves(601, 1));
    longer.write(served.path(), 601);
    let error = pull_by(&log, dir.path(), &trust, false).await.unwrap_err();
    assert!(
        matches!(&error, MirrorError::Found(Finding::Damaged { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_beside_a_good_checkpoint_is_not_believed() {
    let (served, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let honest = Made::of(Made::leaves(300, 1));
    let trust = policy(&honest.policy());
    let statics = Statics::serve(served.path()).await;
    let log = statics.source();
    honest.write(served.path(), 290);
    pull_by(&log, dir.path(), &trust, false).await.unwrap();
    honest.write(served.path(), 300);
    let bundle = served.path().join("tile/entries/001.p/44");
    let good = fs::read(&bundle).unwrap();
    for (at, cut) in [(3, 0), (40 * 108 + 50, 0), (0, 1), (0, 108)] {
        let mut bad = good.clone();
        bad.truncate(good.len() - cut);
        if at > 0 {
            bad[at] ^= 1;
        }
        fs::write(&bundle, bad).unwrap();
        let error = pull_by(&log, dir.path(), &trust, false).await.unwrap_err();
        assert!(
            matches!(&error, MirrorError::Found(Finding::Entries { .. })),
            "{at} {cut}: {error}"
        );
    }
    fs::write(&bundle, good).unwrap();
    // Signed by nobody that the policy knows.
    let note = fs::read_to_string(served.path().join("checkpoint")).unwrap();
    fs::write(
        served.path().join("checkpoint"),
        note.replace("300\n", "299\n"),
    )
    .unwrap();
    let error = pull_by(&log, dir.path(), &trust, false).await.unwrap_err();
    assert!(
        matches!(&error, MirrorError::Found(Finding::Unverified(_))),
        "{error}"
    );
    fs::write(served.path().join("checkpoint"), note).unwrap();
    assert_eq!(
        pull_by(&log, dir.path(), &trust, false).await.unwrap().size,
        300
    );
    // Two do not write one mirror.
    let _held = Dir::open(dir.path()).unwrap();
    assert!(matches!(Dir::open(dir.path()), Err(MirrorError::Busy(_))));
}

/// Runs the command line; its status and what it says.
fn run(args: &[&str]) -> (i32, String) {
    let done = Command::new(BIN).args(args).env_clear().output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (done.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_exports_online_and_offline_alike_and_names_a_fork() {
    let a = Authority::start().await;
    users(&a, 5).await;
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let token = at("token");
    fs::write(&token, &a.admin).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    covered(&a).await;
    let (url, ca) = (
        format!("https://{}", a.running.address),
        a.running.ca_pem.clone().unwrap(),
    );
    let ca = ca.display().to_string();
    let link = ["--server", &url, "--ca", &ca, "--token-file", &token];
    let (online, offline) = (at("online"), at("offline"));
    let (status, said) = run(&[&["log", "export", &online][..], &link].concat());
    assert_eq!(status, 0, "{said}");
    let (prefix, mirrored) = (format!("{url}/log"), at("mirror"));
    let open = [
        "--json", "log", "mirror", &prefix, &mirrored, "--ca", &ca, "--once",
    ];
    let (status, said) = run(&open);
    assert!(status == 1 && said.contains("asks for a token"), "{said}");
    let (status, said) = run(&[&open[..], &["--token-file", &token]].concat());
    let told: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert!(status == 0 && told["new"] == told["size"], "{said}");
    let data = at("data");
    a.running.stop().await;
    copy_dir(&a.dir.path().join("data"), Path::new(&data));
    let (status, said) = run(&["log", "export", &offline, "--data-dir", &data]);
    assert_eq!(status, 0, "{said}");
    let (on, off) = (files(Path::new(&online)), files(Path::new(&offline)));
    let signed = Source::Store(StoreSource::open(&Path::new(&data).join("ledger.db")).unwrap());
    let newest = pull(&signed, Path::new(&at("newest")), false)
        .await
        .unwrap();
    assert!(newest.size >= 5);
    assert_eq!(on[Path::new("policy")], off[Path::new("policy")]);
    assert_eq!(on[Path::new("vkey")], off[Path::new("vkey")]);
    // A log that convicts itself.
    let (served, dir) = (tempfile::tempdir().unwrap(), at("convicted"));
    let statics = Statics::serve(served.path()).await;
    Made::of(Made::leaves(10, 1)).write(served.path(), 10);
    let mirror = ["--json", "log", "mirror", &statics.url(), &dir, "--once"];
    assert_eq!(run(&mirror).0, 0);
    Made::of(Made::leaves(12, 2)).write(served.path(), 12);
    let (status, said) = run(&mirror);
    assert!(
        status == 3 && said.contains(r#""finding":"fork""#),
        "{said}"
    );
    Made::of(Made::leaves(10, 1)).write(served.path(), 9);
    let (status, said) = run(&mirror);
    assert!(
        status == 3 && said.contains(r#""finding":"rollback""#),
        "{said}"
    );
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}
