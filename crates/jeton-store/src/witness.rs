//! A witness's memory: for each log the last head that it cosigned, and whose memory it is.
//!
//! A cosignature is worth as much as this memory: two heads of one size may never both have been
//! the last one. So a head is replaced only if it is still the one that was looked at, in one
//! transaction that survives a power cut before anybody is answered.

use std::path::Path;

use jeton_tlog::Hash;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use crate::{
    StoreError,
    sqlite::{disk, limit_growth},
};

const SCHEMA: &str = include_str!("../migrations/sqlite/witness.sql");
const SCHEMA_VERSION: i64 = 1;
/// "jetw": tells a witness's memory from a ledger.
const APPLICATION_ID: i64 = 0x6a65_7477;

/// The last head of a log that was cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// How many leaves it has.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
    /// The checkpoint with the log's signatures and the witness's own.
    pub note: String,
}

/// Whether a head took the place of the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replaced {
    /// It did, durably.
    Yes,
    /// Somebody else was faster: nothing was changed.
    No,
}

/// A witness's memory in a file of its own; blocking.
pub struct WitnessStore {
    db: Connection,
}

impl WitnessStore {
    /// Opens the memory at `path`, making it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for another program's file or a newer jeton's;
    /// [`StoreError::Disk`] for the rest.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let doing = "opening the witness's memory";
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(disk(doing))?;
        let fresh = admit(&db)?;
        let set = |name: &str, value: &dyn rusqlite::ToSql| {
            db.pragma_update(None, name, value).map_err(disk(doing))
        };
        set("journal_mode", &"WAL")?;
        set("synchronous", &"FULL")?;
        set("trusted_schema", &"OFF")?;
        db.busy_timeout(core::time::Duration::from_secs(10))
            .map_err(disk(doing))?;
        if fresh {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate);
            let tx = tx.map_err(disk(doing))?;
            tx.execute_batch(SCHEMA).map_err(disk(doing))?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)
                .map_err(disk(doing))?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)
                .map_err(disk(doing))?;
            tx.commit().map_err(disk(doing))?;
        }
        Ok(Self { db })
    }

    /// Whose memory it is: the witness's public key as text.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn identity(&self) -> Result<Option<String>, StoreError> {
        let row = self
            .db
            .query_row("SELECT vkey FROM identity", [], |row| row.get(0));
        row.optional().map_err(disk("reading whose memory it is"))
    }

    /// Says whose memory it is. A memory in which nothing is remembered may be given to another key.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if heads are remembered for another key; [`StoreError::Full`],
    /// [`StoreError::Disk`].
    pub fn identify(&mut self, vkey: &str) -> Result<(), StoreError> {
        let changed = self.db.execute(
            "INSERT INTO identity (one, vkey) VALUES (1, ?1)
             ON CONFLICT (one) DO UPDATE SET vkey = excluded.vkey
             WHERE vkey = excluded.vkey OR NOT EXISTS (SELECT 1 FROM cosigned)",
            [vkey],
        );
        match changed.map_err(disk("writing whose memory it is"))? {
            0 => Err(StoreError::Unusable(
                "it is the memory of another witness".into(),
            )),
            _ => Ok(()),
        }
    }

    /// The last head of this log that was cosigned.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`], [`StoreError::Disk`].
    pub fn last(&self, origin: &str) -> Result<Option<Cosigned>, StoreError> {
        let sql = "SELECT size, root, note FROM cosigned WHERE origin = ?1";
        let row = self.db.query_row(sql, [origin], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
        });
        let row = row.optional().map_err(disk("reading the last head"))?;
        let Some((size, root, note)) = row else {
            return Ok(None);
        };
        let size = u64::try_from(size).map_err(|_| StoreError::Inconsistent {
            table: "cosigned",
            column: "size",
            row: origin.to_owned(),
        })?;
        let root = Hash::from_bytes(root);
        Ok(Some(Cosigned { size, root, note }))
    }

    /// Puts `after` in the place of `before`, if that is still the last head of this log.
    ///
    /// When it returns [`Replaced::Yes`], that survives a power cut.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was changed. [`StoreError::Unusable`] for 2^63 leaves.
    /// [`StoreError::Disk`]: what the disk holds is not known, so the process must end.
    pub fn replace(
        &mut self,
        origin: &str,
        before: Option<&Cosigned>,
        after: &Cosigned,
    ) -> Result<Replaced, StoreError> {
        let doing = "remembering a head";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        let root = after.root.as_bytes();
        let size = i64::try_from(after.size)
            .map_err(|_| StoreError::Unusable("it counts up to 2^63 - 1 leaves".into()))?;
        let changed = match before {
            None => tx.execute(
                "INSERT INTO cosigned (origin, size, root, note) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (origin) DO NOTHING",
                params![origin, size, root, after.note],
            ),
            Some(before) => tx.execute(
                "UPDATE cosigned SET size = ?2, root = ?3, note = ?4
                 WHERE origin = ?1 AND size = ?5 AND root = ?6",
                params![
                    origin,
                    size,
                    root,
                    after.note,
                    i64::try_from(before.size).unwrap_or(i64::MAX),
                    before.root.as_bytes()
                ],
            ),
        };
        let changed = changed.map_err(disk(doing))?;
        tx.commit().map_err(disk(doing))?;
        Ok(if changed == 1 {
            Replaced::Yes
        } else {
            Replaced::No
        })
    }

    /// Lets the file grow by so many pages and no further, as on a disk without more room: for the
    /// failure tests.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the engine does not obey.
    pub fn danger_limit_growth(&mut self, pages: u32) -> Result<(), StoreError> {
        limit_growth(&self.db, pages, "limiting the witness's memory")
    }
}

/// Whether the file is empty; one that is neither that nor ours is refused before it is changed.
fn admit(db: &Connection) -> Result<bool, StoreError> {
    let read = |sql: &str| {
        db.query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(disk("looking at the witness's memory"))
    };
    let (version, owner) = (read("PRAGMA user_version")?, read("PRAGMA application_id")?);
    let empty = read("SELECT count(*) FROM sqlite_schema")? == 0;
    match (version, owner) {
        (0, 0) if empty => Ok(true),
        (SCHEMA_VERSION, APPLICATION_ID) => Ok(false),
        (_, APPLICATION_ID) => Err(StoreError::Unusable("a newer jeton wrote it".into())),
        (_, _) => Err(StoreError::Unusable("it is no witness's memory".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64, root: u8) -> Cosigned {
        Cosigned {
            size,
            root: Hash::from_bytes([root; 32]),
            note: format!("note of {size} {root}\n"),
        }
    }

    #[test]
    fn a_head_is_replaced_only_if_it_is_still_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.db");
        let mut store = WitnessStore::open(&path).unwrap();
        let (one, two, fork) = (head(1, 1), head(2, 2), head(2, 3));
        assert_eq!(store.last("a").unwrap(), None);
        assert_eq!(store.replace("a", None, &one).unwrap(), Replaced::Yes);
        assert_eq!(store.replace("a", None, &two).unwrap(), Replaced::No);
        assert_eq!(store.last("a").unwrap(), Some(one.clone()));
        assert_eq!(store.replace("a", Some(&one), &two).unwrap(), Replaced::Yes);
        // Too late, in size and in root.
        assert_eq!(store.replace("a", Some(&one), &fork).unwrap(), Replaced::No);
        assert_eq!(store.replace("a", Some(&fork), &one).unwrap(), Replaced::No);
        // Logs do not meet.
        assert_eq!(store.replace("b", Some(&one), &two).unwrap(), Replaced::No);
        assert_eq!(store.replace("b", None, &fork).unwrap(), Replaced::Yes);
        drop(store);
        let store = WitnessStore::open(&path).unwrap();
        assert_eq!(store.last("a").unwrap(), Some(two));
        assert_eq!(store.last("b").unwrap(), Some(fork));
    }

    #[test]
    fn a_memory_belongs_to_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = WitnessStore::open(&dir.path().join("witness.db")).unwrap();
        assert_eq!(store.identity().unwrap(), None);
        store.identify("w+1").unwrap();
        store.identify("w+2").unwrap();
        assert_eq!(store.identity().unwrap().as_deref(), Some("w+2"));
        store.replace("a", None, &head(1, 1)).unwrap();
        store.identify("w+2").unwrap();
        let refused = store.identify("w+1").unwrap_err();
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
        assert_eq!(store.identity().unwrap().as_deref(), Some("w+2"));
    }

    #[test]
    fn another_programs_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (a)").unwrap();
        drop(other);
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(
            WitnessStore::open(&path),
            Err(StoreError::Unusable(_))
        ));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let newer = dir.path().join("newer.db");
        drop(WitnessStore::open(&newer).unwrap());
        let db = Connection::open(&newer).unwrap();
        db.pragma_update(None, "user_version", 2).unwrap();
        assert!(matches!(
            WitnessStore::open(&newer),
            Err(StoreError::Unusable(_))
        ));
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = WitnessStore::open(&dir.path().join("witness.db")).unwrap();
        store.replace("a", None, &head(1, 1)).unwrap();
        store.danger_limit_growth(0).unwrap();
        let long = Cosigned {
            note: "n".repeat(1 << 16),
            ..head(2, 2)
        };
        let refused = store.replace("a", Some(&head(1, 1)), &long).unwrap_err();
        assert!(matches!(refused, StoreError::Full), "{refused}");
        assert_eq!(store.last("a").unwrap(), Some(head(1, 1)));
        let room = store.replace("a", Some(&head(1, 1)), &head(2, 2));
        assert_eq!(room.unwrap(), Replaced::Yes);
    }
}
