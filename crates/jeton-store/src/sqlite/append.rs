//! Writing: a batch is one transaction.

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{LOG_PAGES_MAX, Sqlite, SqliteReader, disk, inconsistent, read, stored};
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
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(DOING))?;
        let head = read::head(&tx)?;
        if head.size != batch.from {
            // Another process wrote here: two histories must never meet in one file.
            return Err(inconsistent("head", "size", head.size));
        }
        for (entry, row) in batch.entries {
            append_entry(&tx, entry, row)?;
        }
        append_tiles(&tx, batch)?;
        let size = batch.from + u64::try_from(batch.entries.len()).unwrap_or_default();
        tx.prepare_cached("UPDATE head SET size = ?1, frontier = ?2, batch = ?3 WHERE one = 1")
            .and_then(|mut s| s.execute(params![stored(size), batch.frontier, batch.id]))
            .map_err(disk(DOING))?;
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

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

impl Sqlite {
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

fn append_entry(tx: &Transaction<'_>, entry: &Entry, row: &Row) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO event (idx, leaf, salt, record) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut s| {
            s.execute(params![
                stored(entry.index),
                entry.leaf,
                entry.salt,
                entry.record
            ])
        })
        .map_err(disk(DOING))?;
    append_trail(tx, entry, row)?;
    match row {
        Row::Token(token) => tx
            .prepare_cached(
                "INSERT INTO token (tenant, id, event, subject, class, state, expires, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (tenant, id) DO UPDATE SET event = excluded.event, state = excluded.state,
                     expires = excluded.expires, body = excluded.body",
            )
            .and_then(|mut s| {
                s.execute(params![
                    token.tenant.bytes(),
                    token.id.bytes(),
                    stored(entry.index),
                    token.subject,
                    token.class,
                    token.state,
                    token.expires,
                    token.body
                ])
            })
            .map(drop)
            .map_err(disk(DOING)),
        Row::Entity(entity) => tx
            .prepare_cached(
                "INSERT INTO entity (tenant, kind, id, event, body) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, kind, id) DO UPDATE SET event = excluded.event, body = excluded.body",
            )
            .and_then(|mut s| {
                s.execute(params![
                    entity.tenant.bytes(),
                    entity.kind,
                    entity.id,
                    stored(entry.index),
                    entity.body
                ])
            })
            .map(drop)
            .map_err(disk(DOING)),
        Row::None => Ok(()),
    }
}

/// The trail leads back through one thing's history: the row still holds the index of the event before.
fn append_trail(tx: &Transaction<'_>, entry: &Entry, row: &Row) -> Result<(), StoreError> {
    let previous = if entry.first {
        None
    } else {
        event_before(tx, entry, row)?
    };
    let (salt, words) = entry.aside.as_ref().map(|a| (a.salt, &a.words)).unzip();
    let (tenant, index) = (entry.tenant.bytes(), stored(entry.index));
    tx.prepare_cached(
        "INSERT INTO trail (tenant, idx, about, previous, salt, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut s| s.execute(params![tenant, index, entry.about, previous, salt, words]))
    .map(drop)
    .map_err(disk(DOING))
}

/// The event before this one about the same thing: its row still holds the index.
fn event_before(tx: &Transaction<'_>, entry: &Entry, row: &Row) -> Result<Option<i64>, StoreError> {
    let tenant = entry.tenant.bytes();
    let found = match row {
        Row::Token(token) => tx
            .prepare_cached("SELECT event FROM token WHERE tenant = ?1 AND id = ?2")
            .and_then(|mut s| {
                s.query_row(params![tenant, token.id.bytes()], |r| r.get(0))
                    .optional()
            }),
        Row::Entity(entity) => tx
            .prepare_cached("SELECT event FROM entity WHERE tenant = ?1 AND kind = ?2 AND id = ?3")
            .and_then(|mut s| {
                s.query_row(params![tenant, entity.kind, entity.id], |r| r.get(0))
                    .optional()
            }),
        Row::None => Ok(None),
    };
    found.map_err(disk(DOING))
}

fn append_tiles(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<(), StoreError> {
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
