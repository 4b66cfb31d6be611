//! The ways in which an older state comes back: how it is copied from a running node, and how it is put back.

#![expect(unreachable_pub, reason = "a part of one test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::vault::{Vault, text};

/// The data directory, room for copies, and who may open backups.
pub struct Place {
    pub data: PathBuf,
    copies: PathBuf,
    vault: Vault,
}

/// One way.
pub struct Way {
    pub name: &'static str,
    /// From a node that runs.
    pub copy: fn(&Place),
    /// To a node that does not.
    pub put: fn(&Place),
}

const STORE: [&str; 3] = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];

/// All of them.
pub const WAYS: &[Way] = &[
    Way {
        name: "a backup, restored",
        copy: |p| p.backup(&[]),
        put: |p| p.restore(&p.data, &[]),
    },
    Way {
        name: "a backup, restored where the mark was lost",
        copy: |p| p.backup(&[]),
        put: |p| {
            fs::remove_file(p.data.join("high-water")).unwrap();
            p.restore(&p.data, &["--is-latest"]);
        },
    },
    Way {
        name: "a backup, restored twice",
        copy: |p| p.backup(&[]),
        put: |p| {
            p.restore(&p.data, &[]);
            p.restore(&p.data, &["--is-latest"]);
        },
    },
    Way {
        name: "a backup, on a machine that knows nothing",
        copy: |p| p.backup(&["--with-keyring"]),
        put: |p| {
            let fresh = p.copies.join("fresh");
            fs::create_dir(&fresh).unwrap();
            fs::copy(p.data.join("kek"), fresh.join("kek")).unwrap();
            p.restore(&fresh, &[]);
        },
    },
    Way {
        name: "a backup, in place of a store that cannot be read",
        copy: |p| p.backup(&[]),
        put: |p| {
            let store = p.data.join("ledger.db");
            let mut bytes = fs::read(&store).unwrap();
            bytes[..64].fill(0x55);
            fs::write(&store, bytes).unwrap();
            p.restore(&p.data, &["--move-unreadable"]);
        },
    },
    Way {
        name: "the store's three files",
        copy: |p| p.keep(&STORE),
        put: |p| p.put_back(&STORE, &STORE),
    },
    Way {
        name: "the store's file and its log",
        copy: |p| p.keep(&STORE[..2]),
        put: |p| p.put_back(&STORE, &STORE[..2]),
    },
    Way {
        name: "the store's file alone",
        copy: |p| p.keep(&STORE[..1]),
        put: |p| p.put_back(&STORE, &STORE[..1]),
    },
    Way {
        name: "the store's file beside a newer log",
        copy: |p| p.keep(&STORE[..1]),
        put: |p| p.put_back(&STORE[..1], &STORE[..1]),
    },
    Way {
        name: "a copy that SQLite made",
        copy: |p| p.vacuum(),
        put: |p| p.put_back(&STORE, &STORE[..1]),
    },
    Way {
        name: "that copy and an older snapshot",
        copy: |p| {
            p.vacuum();
            p.keep(&["snapshot"]);
        },
        put: |p| {
            p.put_back(&STORE, &STORE[..1]);
            p.put_back(&["snapshot"], &["snapshot"]);
        },
    },
    Way {
        name: "the whole directory, but for the mark",
        copy: |p| p.keep(&["ledger.db", "ledger.db-wal", "keyring", "kek", "snapshot"]),
        put: |p| {
            let all = ["ledger.db", "ledger.db-wal", "ledger.db-shm", "snapshot"];
            let back = ["ledger.db", "ledger.db-wal", "keyring", "kek", "snapshot"];
            p.put_back(&all, &back);
        },
    },
    Way {
        name: "the last events struck out by hand",
        copy: |p| p.vacuum(),
        put: |p| p.strike_out(),
    },
    Way {
        name: "no store at all",
        copy: |_| {},
        put: |p| {
            p.put_back(
                &["ledger.db", "ledger.db-wal", "ledger.db-shm", "snapshot"],
                &[],
            )
        },
    },
];

impl Place {
    pub fn new(dir: &Path) -> Self {
        let copies = dir.join("copies");
        fs::create_dir(&copies).unwrap();
        Self {
            data: dir.join("data"),
            copies,
            vault: Vault::new(),
        }
    }

    /// Where the node starts in the end.
    pub fn restored(&self) -> PathBuf {
        let fresh = self.copies.join("fresh");
        if fresh.exists() {
            fresh
        } else {
            self.data.clone()
        }
    }

    fn backup(&self, more: &[&str]) {
        self.vault.create(&self.data, "one.age", more);
    }

    fn restore(&self, data: &Path, more: &[&str]) {
        let restored = self.vault.restore("one.age", data, more).ok();
        assert_eq!(restored["quarantine"], true, "{restored}");
    }

    /// Copies files of the running node, those that there are.
    fn keep(&self, names: &[&str]) {
        for name in names {
            if let Err(error) = fs::copy(self.data.join(name), self.copies.join(name)) {
                assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::NotFound,
                    "{name}: {error}"
                );
            }
        }
    }

    /// Removes files, and puts copies back.
    fn put_back(&self, remove: &[&str], back: &[&str]) {
        for name in remove {
            drop(fs::remove_file(self.data.join(name)));
        }
        for name in back {
            let copy = self.copies.join(name);
            if copy.exists() {
                fs::copy(copy, self.data.join(name)).unwrap();
            }
        }
    }

    /// A copy by `VACUUM INTO`: one file, everything that is committed.
    fn vacuum(&self) {
        let db = rusqlite::Connection::open(self.data.join("ledger.db")).unwrap();
        let copy = self.copies.join("ledger.db");
        db.execute("VACUUM INTO ?1", [text(&copy)]).unwrap();
    }

    /// Takes the events since the copy out of the newest store, by hand and well: head and rows fit.
    fn strike_out(&self) {
        let db = rusqlite::Connection::open(self.data.join("ledger.db")).unwrap();
        let copy = self.copies.join("ledger.db");
        db.execute("ATTACH ?1 AS old", [text(&copy)]).unwrap();
        let sql = "BEGIN;
            DELETE FROM event WHERE idx >= (SELECT size FROM old.head);
            DELETE FROM trail WHERE idx >= (SELECT size FROM old.head);
            DELETE FROM checkpoint WHERE size > (SELECT size FROM old.head);
            DELETE FROM token; INSERT INTO token SELECT * FROM old.token;
            DELETE FROM entity; INSERT INTO entity SELECT * FROM old.entity;
            DELETE FROM head; INSERT INTO head SELECT * FROM old.head;
            COMMIT;";
        db.execute_batch(sql).unwrap();
    }

    /// An image of the directory, as a node leaves it that is killed.
    pub fn image(&self) {
        let image = self.copies.join("image");
        fs::create_dir(&image).unwrap();
        for name in STORE.iter().chain(&["high-water", "snapshot"]) {
            let from = self.data.join(name);
            if from.exists() {
                fs::copy(from, image.join(name)).unwrap();
            }
        }
    }

    /// Puts the image in place of what a good stop has left.
    pub fn put_image(&self) {
        for name in STORE.iter().chain(&["high-water", "snapshot"]) {
            drop(fs::remove_file(self.data.join(name)));
            let from = self.copies.join("image").join(name);
            if from.exists() {
                fs::copy(from, self.data.join(name)).unwrap();
            }
        }
    }
}
