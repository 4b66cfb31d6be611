//! The embedded engine: one `SQLite` file, WAL with `synchronous=FULL`, one writer.
//!
//! A commit is one fsync of the WAL. What was acknowledged survives a power cut; `NORMAL` would lose commits that a
//! checkpoint or a caller has seen already.

mod append;
mod erased;
mod leaves;
mod project;
mod read;
mod schema;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;

/// So many pages in the write-ahead log, and it is moved into the file: 32 MiB.
const LOG_PAGES_MAX: i64 = 8192;

/// How durable a commit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Each commit is on the disk before it is answered.
    #[default]
    Full,
    /// Commits may be lost with the power: only for the control of the power-cut gate.
    DangerNormal,
}

/// The writer's connection.
pub struct Sqlite {
    path: PathBuf,
    db: Connection,
}

/// A reader's connection.
pub struct SqliteReader {
    db: Connection,
}

impl Sqlite {
    /// Opens the store at `path`, making and migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a store of a newer jeton; [`StoreError::Disk`] for the rest.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(disk("opening the store"))?;
        // Before the first change: another program's file stays as it is.
        let version = schema::admit(&db)?;
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::DangerNormal => "NORMAL",
        };
        let set = |name: &str, value: &dyn rusqlite::ToSql| {
            db.pragma_update(None, name, value)
                .map_err(disk("setting the store up"))
        };
        set("journal_mode", &"WAL")?;
        set("synchronous", &synchronous)?;
        set("foreign_keys", &"ON")?;
        set("cache_size", &-65_536)?;
        // Not by itself: SQLite says nothing when that fails, and an error of the disk must be heard.
        set("wal_autocheckpoint", &0)?;
        set("trusted_schema", &"OFF")?;
        // What is erased is overwritten, and not only unlinked.
        set("secure_delete", &"ON")?;
        db.set_prepared_statement_cache_capacity(64);
        db.busy_timeout(core::time::Duration::from_secs(10))
            .map_err(disk("setting the store up"))?;
        schema::migrate(&mut db, version)?;
        Ok(Self {
            path: path.to_owned(),
            db,
        })
    }
}

impl Sqlite {
    /// Lets the file grow by so many pages and no further, as on a disk without more room: for the failure tests.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the engine does not obey.
    pub fn danger_limit_growth(&mut self, pages: u32) -> Result<(), StoreError> {
        limit_growth(&self.db, pages, "limiting the store")
    }
}

impl Sqlite {
    /// Closes the store and leaves it as one file that is on the disk, with nothing beside it that a file put in its place
    /// could be mixed with. The next [`Sqlite::open`] brings the write-ahead log back.
    ///
    /// # Errors
    /// [`StoreError::Disk`], also while another connection is open: the store is whole and as it was then.
    pub fn settle(self) -> Result<(), StoreError> {
        let doing = "leaving the store as one file";
        let mode: String = self
            .db
            .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))
            .map_err(disk(doing))?;
        let failed = |source: std::io::Error| StoreError::Disk {
            doing,
            source: Box::new(source),
        };
        if mode != "delete" {
            return Err(failed(std::io::Error::other("it is being read")));
        }
        let file = std::fs::File::open(&self.path).map_err(failed)?;
        file.sync_all().map_err(failed)
    }
}

impl Drop for Sqlite {
    /// Leaves the whole ledger in the one file, though readers may still be open: whoever copies the file of a stopped
    /// authority has all of it. If that fails the log keeps what it holds, and the next start reads it.
    fn drop(&mut self) {
        // What was held back is given up.
        if !self.db.is_autocommit() {
            drop(self.db.execute_batch("ROLLBACK"));
        }
        let tidied = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        drop(tidied);
    }
}

impl SqliteReader {
    /// Opens a reading connection beside the writer.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(disk("opening the store"))?;
        db.busy_timeout(core::time::Duration::from_secs(10))
            .map_err(disk("opening the store"))?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self { db })
    }
}

/// Runs SQL on a store as somebody would who has the file and nothing else: for the demo and the gates that show what becomes of
/// it.
///
/// # Errors
/// [`StoreError::Disk`] for what the engine says.
pub fn danger_edit(path: &Path, sql: &str) -> Result<(), StoreError> {
    let doing = "editing the store";
    let db = Connection::open(path).map_err(disk(doing))?;
    db.busy_timeout(core::time::Duration::from_secs(10))
        .map_err(disk(doing))?;
    db.execute_batch(sql).map_err(disk(doing))
}

/// Lets the file behind a connection grow by so many pages and no further.
pub(crate) fn limit_growth(
    db: &Connection,
    pages: u32,
    doing: &'static str,
) -> Result<(), StoreError> {
    let there: u32 = db
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .map_err(disk(doing))?;
    let max = there.saturating_add(pages);
    db.pragma_update_and_check(None, "max_page_count", max, |row| row.get::<_, u32>(0))
        .map(drop)
        .map_err(disk(doing))
}

/// Says what the engine's error means: full is a state, all else is a reason to stop.
pub(crate) fn disk(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::NotADatabase) => StoreError::Unusable("it is no database".into()),
        _ => StoreError::Disk {
            doing,
            source: Box::new(error),
        },
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "rows are named by numbers, texts and ids alike"
)]
fn inconsistent(table: &'static str, column: &'static str, row: impl ToString) -> StoreError {
    StoreError::Inconsistent {
        table,
        column,
        row: row.to_string(),
    }
}

/// An index as the engine holds it: 64 bits, signed.
fn stored(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn loaded(table: &'static str, column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| inconsistent(table, column, value))
}
