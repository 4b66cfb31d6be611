//! What a crash after each step leaves, and that a restore which was cut off is simply repeated.

use std::sync::{Arc, atomic::AtomicU64};

use jeton_tlog::Hash;

use super::*;
use crate::{
    app::found,
    backup::{
        rebuild::rebuild,
        restore::{self, Order},
        take::{WithKeyring, take},
        walk::Walk,
    },
    capability::Clock,
    node::{
        keyring::{Kek, Keyring, write_private},
        start::{self, Node, Place, StartError},
    },
};

/// A stopped authority, a backup of an earlier state, and the sizes of both.
struct World {
    dir: tempfile::TempDir,
    backup: Vec<u8>,
    /// The log of the store, as a server leaves it that is killed.
    log: Vec<u8>,
    old: u64,
    new: u64,
}

fn started(dir: &Path) -> Result<Node, StartError> {
    let place = Place {
        ballast_bytes: 0,
        ..Place::in_dir(dir, "swap.example.test")
    };
    start::start(&place, Arc::new(Clock::start()))
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path()).unwrap();
    node.stop();
    let mut backup = Vec::new();
    let now = Clock::start().time();
    let counted = AtomicU64::new(0);
    let taken = take(dir.path(), WithKeyring::Yes, &mut backup, now, &counted);
    let old = taken.unwrap().size;
    let node = started(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(found::operator(&node, None)).ok().unwrap();
    let new = node.verifier.size();
    let log = fs::read(ended(&dir.path().join(STORE), "-wal")).unwrap();
    node.stop();
    assert!(new > old && !log.is_empty());
    World {
        dir,
        backup,
        log,
        old,
        new,
    }
}

impl World {
    /// The same once more, to be broken.
    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// A directory that has the key-encryption key and nothing else.
    fn fresh(&self) -> tempfile::TempDir {
        let fresh = tempfile::tempdir().unwrap();
        fs::copy(self.dir.path().join("kek"), fresh.path().join("kek")).unwrap();
        fresh
    }

    /// Restores up to a step, and then the machine dies.
    fn cut_off(&self, dir: &Path, steps: usize) {
        clear(dir).unwrap();
        let mut walk = Walk::begin(&self.backup[..]).unwrap();
        let own = dir.join("keyring");
        let path = if own.exists() {
            own
        } else {
            let path = dir.join(FRESH_KEYRING);
            write_private(&path, walk.keyring().unwrap()).unwrap();
            path
        };
        let keyring = Keyring::reopen(&path, &Kek::File(dir.join("kek")), &path).unwrap();
        let rebuilt = rebuild(&mut walk, &keyring, &dir.join(FRESH), &AtomicU64::new(0));
        let rebuilt = rebuilt.unwrap();
        let swap = Swap::begin(dir, &rebuilt, Later::Unknown, Unreadable::Refuse).unwrap();
        for step in STEPS.iter().take(steps) {
            step(&swap).unwrap();
        }
    }

    fn repeated(&self, dir: &Path) -> restore::Restored {
        let order = Order {
            dir,
            kek: &Kek::File(dir.join("kek")),
            later: Later::Unknown,
            unreadable: Unreadable::Refuse,
        };
        let mut walk = Walk::begin(&self.backup[..]).unwrap();
        restore::restore(&mut walk, &order, &AtomicU64::new(0)).unwrap()
    }
}

fn nothing_beside(dir: &Path) {
    for end in ["-wal", "-journal"] {
        assert!(!ended(&dir.join(STORE), end).exists(), "{end}");
    }
}

/// Both sizes of a node that serves nobody since it knows that more was served.
fn behind(dir: &Path) -> (u64, u64) {
    match started(dir) {
        Err(StartError::Gone { served }) => (served, 0),
        Err(error) => panic!("{error}"),
        Ok(node) => {
            node.stop();
            let why = node.gate.why().expect("it is in quarantine");
            (why.served, why.stored)
        }
    }
}

/// How much a node serves that is not in quarantine.
fn serves(dir: &Path) -> u64 {
    let node = started(dir).unwrap();
    assert!(!node.gate.is_closed());
    let size = node.verifier.size();
    node.stop();
    size
}

#[test]
fn a_crash_leaves_the_old_store_or_the_new_one() {
    let world = world();
    for steps in 0..=STEPS.len() {
        let dir = world.copy();
        world.cut_off(dir.path(), steps);
        nothing_beside(dir.path());
        if steps == STEPS.len() {
            assert_eq!(behind(dir.path()), (world.new, world.old));
        } else {
            assert_eq!(serves(dir.path()), world.new, "after {steps} steps");
        }
        let restored = world.repeated(dir.path());
        assert!(restored.is_behind(), "after {steps} steps");
        assert_eq!(behind(dir.path()), (world.new, world.old));
    }
}

#[test]
fn a_crash_where_there_was_no_store_never_begins_a_ledger_anew() {
    let world = world();
    for steps in 1..=STEPS.len() {
        let dir = world.fresh();
        world.cut_off(dir.path(), steps);
        let served = world.old + 1;
        if steps == STEPS.len() {
            assert_eq!(behind(dir.path()), (served, world.old));
        } else if steps == 1 {
            let error = started(dir.path()).err().unwrap();
            assert!(matches!(error, StartError::Keyring(_)), "{error}");
        } else {
            assert_eq!(behind(dir.path()), (served, 0), "after {steps} steps");
        }
        let restored = world.repeated(dir.path());
        assert!(restored.is_behind(), "after {steps} steps");
        assert_eq!(behind(dir.path()), (served, world.old));
    }
}

#[test]
fn a_log_without_its_store_is_moved_aside_and_not_played_into_the_new_one() {
    let world = world();
    let dir = world.copy();
    let store = dir.path().join(STORE);
    fs::remove_file(&store).unwrap();
    fs::write(ended(&store, "-wal"), &world.log).unwrap();
    world.repeated(dir.path());
    nothing_beside(dir.path());
    let kept = dir.path().join("ledger.db.before-restore-unreadable-wal");
    assert_eq!(fs::read(kept).unwrap(), world.log);
    assert_eq!(behind(dir.path()), (world.new, world.old));
}

#[test]
fn a_store_that_is_being_read_is_not_replaced() {
    let world = world();
    let dir = world.copy();
    let mut reader = jeton_store::sqlite::SqliteReader::open(&dir.path().join(STORE)).unwrap();
    jeton_store::Reader::freeze(&mut reader).unwrap();
    let order = Order {
        dir: dir.path(),
        kek: &Kek::File(dir.path().join("kek")),
        later: Later::Unknown,
        unreadable: Unreadable::Refuse,
    };
    let mut walk = Walk::begin(&world.backup[..]).unwrap();
    let refused = restore::restore(&mut walk, &order, &AtomicU64::new(0));
    assert!(matches!(refused, Err(BackupError::Replaced { .. })));
    drop(reader);
    assert_eq!(serves(dir.path()), world.new);
}

#[test]
fn older_stores_are_kept_each_under_its_own_name() {
    let world = world();
    let dir = world.copy();
    world.repeated(dir.path());
    let first = world.repeated(dir.path()).replaced.unwrap().kept;
    let second = world.repeated(dir.path()).replaced.unwrap().kept;
    assert_ne!(first, second);
    for kept in [first, second] {
        let head = close(&kept).unwrap();
        assert_eq!(head.size, world.old);
    }
    let oldest = dir
        .path()
        .join(format!("{STORE}.before-restore-{}", world.new));
    assert_eq!(close(&oldest).unwrap().size, world.new);
}

#[test]
fn a_mark_of_another_history_stays_even_where_the_backup_is_longer() {
    let world = world();
    let dir = world.copy();
    let other = Mark {
        size: world.old - 1,
        seen: Seen::Root(Hash::from_bytes([7; 32])),
        epoch: 1,
    };
    fs::remove_file(dir.path().join(mark::NAME)).unwrap();
    fs::remove_file(dir.path().join(STORE)).unwrap();
    mark::raise(dir.path(), other).unwrap();
    let mut walk = Walk::begin(&world.backup[..]).unwrap();
    let order = Order {
        dir: dir.path(),
        kek: &Kek::File(dir.path().join("kek")),
        later: Later::Nothing,
        unreadable: Unreadable::Refuse,
    };
    let restored = restore::restore(&mut walk, &order, &AtomicU64::new(0)).unwrap();
    assert!(restored.is_behind());
    assert_eq!(behind(dir.path()), (world.old - 1, world.old));
}
