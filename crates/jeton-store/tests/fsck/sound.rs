//! A sound store, to be copied and spoilt behind its back.

#![expect(unreachable_pub, reason = "a helper of several tests")]

use std::path::{Path, PathBuf};

use jeton_core::id::TokenId;
use jeton_store::{
    Store as _,
    fsck::{self, Keys, Report},
    sqlite::{Durability, Sqlite, SqliteReader},
};
use rusqlite::Connection;

use crate::world::{World, log_key, seal_key, tag_key};

/// A sound store, and copies of it to be spoilt.
pub struct Sound {
    pub dir: tempfile::TempDir,
    pub path: PathBuf,
    pub world: World,
}

impl Sound {
    /// With a full tile and some leaves beyond it, every kind of row, words, and two checkpoints.
    pub fn store() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sound.db");
        let mut store = Sqlite::open(&path, Durability::DangerNormal).unwrap();
        let mut world = World::new();
        world.found();
        world.store(&mut store);
        while world.size() < 270 {
            let token = world.issue();
            if world.size().is_multiple_of(7) {
                world.rotate(token);
            }
            if world.size().is_multiple_of(5) {
                world.revoke(token);
            }
            if world.issued.len().is_multiple_of(40) {
                world.store(&mut store);
                let (size, note) = (world.size(), world.checkpoint());
                store.keep_checkpoint(size, &note).unwrap();
            }
        }
        world.store(&mut store);
        let (size, note) = (world.size(), world.checkpoint());
        store.keep_checkpoint(size, &note).unwrap();
        Self { dir, path, world }
    }

    pub fn copy(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::copy(&self.path, &path).unwrap();
        path
    }

    /// The store with an edit, made behind its back.
    pub fn edited(&self, sql: &str) -> Report {
        let path = self.copy("edited.db");
        let db = raw(&path);
        let batch = db.execute_batch(sql);
        batch.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let changed: i64 = db
            .query_row("SELECT total_changes()", [], |row| row.get(0))
            .unwrap();
        assert!(changed > 0, "{sql} changed nothing");
        drop(db);
        checked(&path)
    }

    pub fn token(&self, n: usize) -> TokenId {
        self.world.issued[n]
    }
}

/// A connection on which no constraint stands in the way.
pub fn raw(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    let open = "PRAGMA ignore_check_constraints = ON; PRAGMA journal_mode = DELETE;";
    db.execute_batch(open).unwrap();
    db
}

pub fn checked(path: &Path) -> Report {
    let mut reader = SqliteReader::open(path).unwrap();
    let (log, seal) = (log_key(), seal_key());
    let keys = Keys {
        tags: &|tenant| Some(tag_key(tenant)),
        seal: &seal,
        log: log.verifier(),
    };
    fsck::fsck(&mut reader, keys).unwrap()
}

/// Bytes as SQL writes them.
pub fn hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}
