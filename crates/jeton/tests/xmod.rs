//! Verifiers that nobody here wrote, over real exports (the gate `ledger-xmod`): golang.org/x/mod/sumdb/{note,tlog} for note,
//! entries, tiles, root and proofs; scitt-cose for RFC 9162 proofs and a COSE receipt of one of our leaves.
//!
//! With `JETON_CONTROL` one byte of an entry is flipped before the program looks: it must say so, and the test must fail.

mod common;
#[path = "xmod/cose.rs"]
mod cose;
#[path = "../../jeton-store/tests/world/mod.rs"]
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use common::{Authority, client};
use jeton::{
    capability::environment,
    mirror::{Dir, Pull, Source, StoreSource},
};
use jeton_core::secret::Secret;
use jeton_store::{
    Batch, Reader, Store as _,
    ledger::{Entry, Sealer},
    row::Row,
    sqlite::{Durability, Sqlite},
    tree::Tree,
};
use jeton_tlog::{Checkpoint, Hash, Policy};
use serde_json::{Value, json};
use world::{ORIGIN, World, log_key};

/// The sizes at which a tree of tiles has an edge, or just had one.
const ALL: [u64; 9] = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000];
const QUICK: [u64; 6] = [1, 2, 255, 256, 257, 65_537];
/// So many proofs of each kind at each size.
const PROOFS: u64 = 100;
/// So many events are in a batch of the writer at most.
const BATCH: usize = 1024;

fn is_missing(tool: &str) -> bool {
    let missing = environment("JETON_TEST_MISSING").unwrap_or_default();
    missing.split(',').any(|name| name == tool)
}

/// The Go program, built once, from Debian's packages alone.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("xmod");
        fs::create_dir_all(&dir).unwrap();
        let out = dir.join("verify");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xmod/main.go");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&out).arg(&source);
        go.env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode");
        go.env("GOCACHE", dir.join("cache")).env("GOFLAGS", "");
        assert!(
            go.status().expect("go is there").success(),
            "the verifier is built"
        );
        out
    })
}

/// What the Go program says of an export.
fn says(dir: &Path) -> String {
    let done = Command::new(program())
        .arg(dir)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn export(source: &Source, to: &Path) -> u64 {
    let text = source.danger_policy().await.unwrap();
    let policy = Policy::parse(&text).unwrap();
    let dir = Dir::open(to).unwrap();
    dir.publish_policy(&text, &policy).unwrap();
    let pull = Pull {
        source,
        dir: &dir,
        policy: &policy,
        openings: false,
    };
    pull.round().await.unwrap().size
}

/// Indexes without an order, but the same each time.
fn some(below: u64) -> impl Iterator<Item = u64> {
    let mut state = below;
    (0..PROOFS.min(below)).map(move |n| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The edges are always among them.
        match n {
            0 => 0,
            1 => below - 1,
            _ => (state >> 33) % below,
        }
    })
}

fn texts(path: &[Hash]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

/// Writes what jeton proves about a tree of `size` beside its export.
fn prove(reader: &mut dyn Reader, size: u64, to: &Path) {
    let mut tree = Tree::new(reader, size);
    let inclusion: Vec<Value> = some(size)
        .map(|index| json!({"Index": index, "Path": texts(&tree.inclusion(index).unwrap())}))
        .collect();
    let consistency: Vec<Value> = some(size)
        .map(|old| json!({"Old": old + 1, "Path": texts(&tree.consistency(old + 1).unwrap())}))
        .collect();
    let proofs = json!({"Inclusion": inclusion, "Consistency": consistency});
    fs::write(to.join("proofs.json"), proofs.to_string()).unwrap();
}

/// A store that grows as the writer lets it, and is exported at each size.
struct Growing {
    dir: tempfile::TempDir,
    store: Sqlite,
    sealer: Sealer,
    entries: Vec<(Entry, Row)>,
}

impl Growing {
    fn new(events: u64) -> Self {
        let mut world = World::new();
        world.found();
        while world.size() < events {
            world.issue();
        }
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("ledger.db"), Durability::DangerNormal).unwrap();
        Self {
            dir,
            store,
            sealer: Sealer::new(),
            entries: world.take().entries,
        }
    }

    fn grow(&mut self, size: u64) {
        while self.sealer.size() < size {
            let from = self.sealer.size();
            let first = usize::try_from(from).unwrap();
            let end = usize::try_from(size).unwrap().min(first + BATCH);
            let entries = &self.entries[first..end];
            let tiles: Vec<_> = entries
                .iter()
                .flat_map(|(e, _)| self.sealer.push(&e.leaf))
                .collect();
            let mut id = [0; 16];
            id[..8].copy_from_slice(&from.to_be_bytes());
            id[8] = 1;
            let batch = Batch {
                id,
                from,
                entries,
                tiles: &tiles,
                frontier: &self.sealer.frontier(),
            };
            self.store.append(&batch).unwrap();
        }
        let checkpoint = Checkpoint::new(ORIGIN, size, self.sealer.root()).unwrap();
        let note = checkpoint.sign(&log_key()).unwrap();
        self.store.keep_checkpoint(size, &note).unwrap();
    }

    async fn export(&mut self, size: u64) -> PathBuf {
        self.grow(size);
        let to = self.dir.path().join(size.to_string());
        let source = StoreSource::open(&self.dir.path().join("ledger.db")).unwrap();
        assert_eq!(export(&Source::Store(source), &to).await, size);
        let mut reader = self.store.reader().unwrap();
        prove(&mut *reader, size, &to);
        to
    }
}

/// Flips a byte of a file, asks, and flips it back.
fn flipped(dir: &Path, name: &str, at: usize) -> String {
    let path = dir.join(name);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 1;
    fs::write(&path, bad).unwrap();
    let said = says(dir);
    fs::write(&path, good).unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn verifiers_that_nobody_here_wrote_agree() {
    if is_missing("golang") || is_missing("x-mod") {
        println!("skipped: there is no Go with x/mod here");
        return;
    }
    let full = environment("JETON_FULL").is_some();
    let sizes = if full { &ALL[..] } else { &QUICK[..] };
    let mut growing = Growing::new(*sizes.last().unwrap());
    let (mut said, mut noticed) = (Vec::new(), 0);
    let mut cose = json!("skipped");
    for size in sizes {
        let dir = growing.export(*size).await;
        if *size == 257 {
            for (name, at) in [
                ("tile/entries/000", 5_000),
                ("tile/entries/001.p/1", 50),
                ("tile/0/000", 4_000),
                ("tile/1/000.p/1", 31),
                ("tile/0/001.p/1", 0),
                ("checkpoint", 25),
            ] {
                noticed += u32::from(flipped(&dir, name, at).starts_with("wrong: "));
            }
            let mut reader = growing.store.reader().unwrap();
            cose = cose::verified(&mut *reader, *size, &dir);
            if environment("JETON_CONTROL").is_some() {
                said.push(flipped(&dir, "tile/entries/000", 5_000));
                continue;
            }
        }
        said.push(says(&dir));
    }
    let (live, size) = live().await;
    let agreed = said
        .iter()
        .zip(sizes)
        .filter(|(said, size)| **said == format!("ok {size}"))
        .count();
    let figures = json!({
        "sizes": sizes, "agreed": agreed, "live": live, "proofs_of_each_kind": PROOFS,
        "flips_noticed": noticed, "scitt_cose": cose,
    });
    println!("xmod: {figures}");
    assert_eq!(agreed, sizes.len(), "{said:?}");
    assert_eq!((noticed, live), (6, format!("ok {size}")));
    assert!(cose == "skipped" || cose == "ok 257", "{cose}");
}

/// What the program says of the export of a running authority, over its API.
async fn live() -> (String, u64) {
    let a = Authority::start().await;
    for _ in 0..20 {
        a.order("POST", "/v1/users", json!({})).await.is(201);
    }
    let mut shown = a.running.doors.node.published.subscribe();
    let end = a.running.doors.node.verifier.size();
    drop(
        shown
            .wait_for(|s| s.as_ref().is_some_and(|s| s.size >= end))
            .await
            .unwrap(),
    );
    let token = Some(Secret::new(a.admin.clone()));
    let source = Source::http(client(&a.running), "/log", token);
    let dir = tempfile::tempdir().unwrap();
    let size = export(&source, dir.path()).await;
    let to = dir.path().to_owned();
    let proved = a.running.doors.node.read(move |reader| {
        prove(reader, size, &to);
        Ok(())
    });
    proved.await.unwrap();
    a.running.stop().await;
    (says(dir.path()), size)
}
