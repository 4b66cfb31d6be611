//! Writing: a batch is one transaction.

use jeton_core::id::TokenId;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{LOG_PAGES_MAX, Sqlite, SqliteReader, disk, erased, inconsistent, read, stored};
use crate::{
    Batch, CHECKPOINT_SPACING, CHECKPOINTS_NEWEST, Head, LastUse, Reader, Store, StoreError,
    ledger::Entry, row::Row,
};

const DOING: &str = "appending to the ledger";

impl Store for Sqlite {
    fn head(&mut self) -> Result<Head, StoreError> {
        read::head(&self.db)
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        if !self.db.is_autocommit() {
            return append_batch(&self.db, batch);
        }
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(DOING))?;
        append_batch(&tx, batch)?;
        // A crash before this line leaves nothing of the batch; after it, all. SQLite answers once the WAL is on the disk.
        tx.commit().map_err(disk(DOING))?;
        self.tidy_log()
    }

    fn keep_checkpoint(&mut self, size: u64, note: &str) -> Result<(), StoreError> {
        let doing = "keeping a checkpoint";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        tx.prepare_cached("INSERT OR REPLACE INTO checkpoint (size, note) VALUES (?1, ?2)")
            .and_then(|mut s| s.execute(params![stored(size), note]))
            .map_err(disk(doing))?;
        // Each new one makes one too many among the newest: that one alone is judged, so this costs the same at any age.
        tx.prepare_cached(
            "DELETE FROM checkpoint
             WHERE size = (SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1 OFFSET ?1) AND EXISTS (
                 SELECT 1 FROM checkpoint AS older
                 WHERE older.size >= checkpoint.size / ?2 * ?2 AND older.size < checkpoint.size)",
        )
        .and_then(|mut s| s.execute([i64::from(CHECKPOINTS_NEWEST), stored(CHECKPOINT_SPACING)]))
        .map_err(disk(doing))?;
        tx.commit().map_err(disk(doing))?;
        self.tidy_log()
    }

    fn observe(&mut self, uses: &[LastUse]) -> Result<(), StoreError> {
        let doing = "keeping observations";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        {
            let mut insert = tx
                .prepare_cached(
                    "INSERT INTO last_use (token, at, address) VALUES (?1, ?2, ?3)
                     ON CONFLICT (token) DO UPDATE SET at = excluded.at, address = excluded.address
                     WHERE excluded.at > last_use.at",
                )
                .map_err(disk(doing))?;
            for u in uses {
                insert
                    .execute(params![u.token.bytes(), u.at.seconds(), u.address])
                    .map_err(disk(doing))?;
            }
        }
        tx.commit().map_err(disk(doing))?;
        self.tidy_log()
    }

    fn forget_uses(&mut self, tokens: &[TokenId]) -> Result<(), StoreError> {
        let doing = "forgetting observations";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        erased::forget_uses(&tx, tokens).map_err(disk(doing))?;
        tx.commit().map_err(disk(doing))?;
        self.tidy_log()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

impl Sqlite {
    /// Holds back what is appended from now on until [`Sqlite::release`]: all of it becomes durable together, or nothing does. It
    /// is held in the write-ahead log, not in memory. After an error the store is good for nothing but being dropped.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn hold(&mut self) -> Result<(), StoreError> {
        self.db
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(disk(DOING))
    }

    /// Makes what was held durable.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Disk`]: nothing of it is there.
    pub fn release(&mut self) -> Result<(), StoreError> {
        self.db.execute_batch("COMMIT").map_err(disk(DOING))?;
        self.tidy_log()
    }

    /// Keeps checkpoints that another store has kept, all of them, in one commit: for a store that is built anew.
    ///
    /// # Errors
    /// As [`Store::keep_checkpoint`].
    pub fn keep_checkpoints(&mut self, kept: &[(u64, String)]) -> Result<(), StoreError> {
        let doing = "keeping checkpoints";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        {
            let mut insert = tx
                .prepare_cached("INSERT OR REPLACE INTO checkpoint (size, note) VALUES (?1, ?2)")
                .map_err(disk(doing))?;
            for (size, note) in kept {
                insert
                    .execute(params![stored(*size), note])
                    .map_err(disk(doing))?;
            }
        }
        tx.commit().map_err(disk(doing))?;
        self.tidy_log()
    }

    /// Forgets checkpoints of more events than there are: they were signed under a name that the ledger no longer has.
    ///
    /// # Errors
    /// As [`Store::keep_checkpoint`].
    pub fn forget_checkpoints_beyond(&mut self, size: u64) -> Result<(), StoreError> {
        let sql = "DELETE FROM checkpoint WHERE size > ?1";
        let gone = self.db.execute(sql, [stored(size)]);
        gone.map(drop).map_err(disk("forgetting checkpoints"))
    }

    /// Moves a long write-ahead log into the file. No room for that is no harm: the log keeps what it holds. Any other error
    /// is one, since a sync that failed once may say yes the next time and have lost the pages.
    fn tidy_log(&self) -> Result<(), StoreError> {
        let doing = "moving the log into the file";
        let pages = |sql: &str| -> Result<(i64, i64), StoreError> {
            self.db
                .prepare_cached(sql)
                .and_then(|mut s| s.query_row([], |row| Ok((row.get(1)?, row.get(2)?))))
                .map_err(disk(doing))
        };
        let (logged, moved) = pages("PRAGMA wal_checkpoint(NOOP)")?;
        if logged < LOG_PAGES_MAX || moved == logged {
            return Ok(());
        }
        match pages("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(_) | Err(StoreError::Full) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn append_batch(tx: &Connection, batch: &Batch<'_>) -> Result<(), StoreError> {
    let head = read::head(tx)?;
    if head.size != batch.from {
        // Another process wrote here: two histories must never meet in one file.
        return Err(inconsistent("head", "size", head.size));
    }
    append_entries(tx, batch).map_err(disk(DOING))?;
    append_tiles(tx, batch)?;
    let size = batch.from + u64::try_from(batch.entries.len()).unwrap_or_default();
    tx.prepare_cached("UPDATE head SET size = ?1, frontier = ?2, batch = ?3 WHERE one = 1")
        .and_then(|mut s| s.execute(params![stored(size), batch.frontier, batch.id]))
        .map(drop)
        .map_err(disk(DOING))
}

fn append_entries(tx: &Connection, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut statements = Statements::prepare(tx)?;
    for (entry, row) in batch.entries {
        statements.append(entry, row)?;
        erased::erase(tx, entry)?;
    }
    Ok(())
}

/// The statements of a batch, looked up once for all of its events.
struct Statements<'tx> {
    event: CachedStatement<'tx>,
    trail: CachedStatement<'tx>,
    token: CachedStatement<'tx>,
    entity: CachedStatement<'tx>,
    token_before: CachedStatement<'tx>,
    entity_before: CachedStatement<'tx>,
}

impl<'tx> Statements<'tx> {
    fn prepare(tx: &'tx Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            event: tx.prepare_cached(
                "INSERT INTO event (idx, leaf, salt, record) VALUES (?1, ?2, ?3, ?4)",
            )?,
            trail: tx.prepare_cached(
                "INSERT INTO trail (tenant, idx, about, previous, salt, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            token: tx.prepare_cached(
                "INSERT INTO token (tenant, id, event, subject, class, state, expires, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (tenant, id) DO UPDATE SET event = excluded.event, state = excluded.state,
                     expires = excluded.expires, body = excluded.body",
            )?,
            entity: tx.prepare_cached(
                "INSERT INTO entity (tenant, kind, id, event, body) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, kind, id) DO UPDATE SET event = excluded.event, body = excluded.body",
            )?,
            token_before: tx
                .prepare_cached("SELECT event FROM token WHERE tenant = ?1 AND id = ?2")?,
            entity_before: tx.prepare_cached(
                "SELECT event FROM entity WHERE tenant = ?1 AND kind = ?2 AND id = ?3",
            )?,
        })
    }

    fn append(&mut self, entry: &Entry, row: &Row) -> rusqlite::Result<()> {
        let index = stored(entry.index);
        self.event
            .execute(params![index, entry.leaf, entry.salt, entry.record])?;
        self.append_trail(entry, row)?;
        match row {
            Row::Token(token) => self.token.execute(params![
                token.tenant.bytes(),
                token.id.bytes(),
                index,
                token.subject,
                token.class,
                token.state,
                token.expires,
                token.body
            ])?,
            Row::Entity(entity) => self.entity.execute(params![
                entity.tenant.bytes(),
                entity.kind,
                entity.id,
                index,
                entity.body
            ])?,
            Row::None => 0,
        };
        Ok(())
    }

    /// The trail leads back through one thing's history: the row still holds the index of the event before.
    fn append_trail(&mut self, entry: &Entry, row: &Row) -> rusqlite::Result<()> {
        let previous = if entry.first {
            None
        } else {
            self.event_before(entry, row)?
        };
        let (salt, words) = entry.aside.as_ref().map(|a| (a.salt, &a.words)).unzip();
        let (tenant, index) = (entry.tenant.bytes(), stored(entry.index));
        self.trail
            .execute(params![tenant, index, entry.about, previous, salt, words])?;
        Ok(())
    }

    /// The event before this one about the same thing: its row still holds the index.
    fn event_before(&mut self, entry: &Entry, row: &Row) -> rusqlite::Result<Option<i64>> {
        let tenant = entry.tenant.bytes();
        match row {
            Row::Token(token) => self
                .token_before
                .query_row(params![tenant, token.id.bytes()], |r| r.get(0))
                .optional(),
            Row::Entity(entity) => self
                .entity_before
                .query_row(params![tenant, entity.kind, entity.id], |r| r.get(0))
                .optional(),
            Row::None => Ok(None),
        }
    }
}

fn append_tiles(tx: &Connection, batch: &Batch<'_>) -> Result<(), StoreError> {
    for tile in batch.tiles {
        tx.prepare_cached("INSERT INTO tile (level, n, data) VALUES (?1, ?2, ?3)")
            .and_then(|mut s| {
                s.execute(params![
                    tile.id.level(),
                    stored(tile.id.index()),
                    tile.bytes
                ])
            })
            .map_err(disk(DOING))?;
    }
    Ok(())
}
