//! Writing: a batch is one transaction.

use rusqlite::{Transaction, TransactionBehavior, params};

use super::{Sqlite, SqliteReader, disk, inconsistent, read, stored};
use crate::{Batch, Head, LastUse, Reader, Store, StoreError, ledger::Entry, row::Row};

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
        tx.commit().map_err(disk(DOING))
    }

    fn keep_checkpoint(&mut self, size: u64, note: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT OR REPLACE INTO checkpoint (size, note) VALUES (?1, ?2)")
            .and_then(|mut s| s.execute(params![stored(size), note]))
            .map(drop)
            .map_err(disk("keeping a checkpoint"))
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
        tx.commit().map_err(disk(doing))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
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
    const OF_TOKEN: &str =
        "INSERT INTO trail (tenant, idx, about, salt, words, previous) VALUES (?1, ?2, ?3, ?4, ?5,
        (SELECT event FROM token WHERE tenant = ?1 AND id = ?3))";
    const OF_ENTITY: &str =
        "INSERT INTO trail (tenant, idx, about, salt, words, previous) VALUES (?1, ?2, ?3, ?4, ?5,
        (SELECT max(event) FROM entity WHERE tenant = ?1 AND kind = ?6 AND id = ?3))";
    let sql = match row {
        Row::Token(_) => OF_TOKEN,
        Row::Entity(_) | Row::None => OF_ENTITY,
    };
    let kind = match row {
        Row::Entity(entity) => entity.kind,
        Row::Token(_) | Row::None => "",
    };
    let (salt, words) = entry.aside.as_ref().map(|a| (a.salt, &a.words)).unzip();
    tx.prepare_cached(sql)
        .and_then(|mut s| {
            let (tenant, index) = (entry.tenant.bytes(), stored(entry.index));
            match row {
                Row::Token(_) => s.execute(params![tenant, index, entry.about, salt, words]),
                Row::Entity(_) | Row::None => {
                    s.execute(params![tenant, index, entry.about, salt, words, kind])
                }
            }
        })
        .map(drop)
        .map_err(disk(DOING))
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
