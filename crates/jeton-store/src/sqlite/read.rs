//! Reading: each reader its own connection, beside the writer.

use jeton_core::{
    id::{TenantId, TokenId},
    time::Time,
};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::{SqliteReader, disk, erased, inconsistent, leaves, loaded, project, stored};
use crate::{
    Continue, Head, LastUse, Place, ReadRow, Reader, StoreError, Stored, Trail, TrailRow,
    ledger::Aside,
};

const DOING: &str = "reading the store";

pub(super) fn head(db: &Connection) -> Result<Head, StoreError> {
    let (size, frontier, batch): (i64, Vec<u8>, Vec<u8>) = db
        .prepare_cached("SELECT size, frontier, batch FROM head WHERE one = 1")
        .and_then(|mut s| {
            s.query_row([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                .optional()
        })
        .map_err(disk(DOING))?
        .ok_or_else(|| inconsistent("head", "one", 1))?;
    let size = loaded("head", "size", size)?;
    // Before the first batch the column is empty.
    Ok(Head {
        size,
        frontier,
        batch: batch.try_into().unwrap_or_default(),
    })
}

/// Index, leaf, and salt and record unless erased.
type EventColumns = (i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

pub(super) fn stored_event(row: &SqlRow<'_>) -> rusqlite::Result<EventColumns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

impl SqliteReader {
    fn trail_rows(
        &mut self,
        sql: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Trail>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(disk(DOING))?;
        let rows = statement
            .query_map(params, |r| Ok((r.get::<_, i64>(0)?, r.get(1)?, r.get(2)?)))
            .map_err(disk(DOING))?;
        let mut out = Vec::new();
        for row in rows {
            let (index, record, words): (i64, Option<Vec<u8>>, _) = row.map_err(disk(DOING))?;
            let index = loaded("event", "idx", index)?;
            // An erased opening leaves a gap in the trail that the ledger explains.
            if let Some(record) = record {
                out.push(Trail {
                    index,
                    record,
                    words,
                });
            }
        }
        Ok(out)
    }
}

impl Reader for SqliteReader {
    fn head(&mut self) -> Result<Head, StoreError> {
        head(&self.db)
    }

    fn events(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(Stored) -> Result<Continue, StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT idx, leaf, salt, record FROM event WHERE idx >= ?1 ORDER BY idx",
            )
            .map_err(disk(DOING))?;
        let rows = statement
            .query_map([stored(from)], stored_event)
            .map_err(disk(DOING))?;
        for row in rows {
            let (index, leaf, salt, record) = row.map_err(disk(DOING))?;
            let index = loaded("event", "idx", index)?;
            let stored = Stored {
                index,
                leaf,
                opening: erased::salt(salt).zip(record),
            };
            if each(stored)? == Continue::No {
                break;
            }
        }
        Ok(())
    }

    fn leaves(&mut self, from: u64, count: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        leaves::leaves(&self.db, from, count)
    }

    fn erasures(&mut self) -> Result<Vec<Stored>, StoreError> {
        leaves::erasures(&self.db)
    }

    fn trail(
        &mut self,
        tenant: TenantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Trail>, StoreError> {
        self.trail_rows(
            "SELECT t.idx, e.record, t.words FROM trail t JOIN event e ON e.idx = t.idx
             WHERE t.tenant = ?1 AND t.idx < ?2 ORDER BY t.idx DESC LIMIT ?3",
            &[tenant.bytes(), &before.map_or(i64::MAX, stored), &limit],
        )
    }

    fn history(
        &mut self,
        tenant: TenantId,
        index: u64,
        limit: u32,
    ) -> Result<Vec<Trail>, StoreError> {
        self.trail_rows(
            "WITH RECURSIVE back (idx, n) AS (
                 SELECT ?2, 1
                 UNION ALL
                 SELECT t.previous, n + 1 FROM trail t JOIN back b ON t.idx = b.idx
                 WHERE t.tenant = ?1 AND t.previous < t.idx AND n < ?3)
             SELECT t.idx, e.record, t.words FROM back b
             JOIN trail t ON t.tenant = ?1 AND t.idx = b.idx JOIN event e ON e.idx = b.idx
             ORDER BY t.idx DESC",
            &[tenant.bytes(), &stored(index), &limit],
        )
    }

    fn aside(&mut self, tenant: TenantId, index: u64) -> Result<Option<Aside>, StoreError> {
        leaves::aside(&self.db, tenant, index)
    }

    fn words(&mut self, tenant: TenantId, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT words FROM trail WHERE tenant = ?1 AND idx = ?2")
            .and_then(|mut s| {
                s.query_row(params![tenant.bytes(), stored(index)], |r| r.get(0))
                    .optional()
            })
            .map(Option::flatten)
            .map_err(disk(DOING))
    }

    fn first_words(&mut self, tenant: TenantId) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT words FROM trail WHERE tenant = ?1 ORDER BY idx LIMIT 1")
            .and_then(|mut s| s.query_row([tenant.bytes()], |r| r.get(0)).optional())
            .map(Option::flatten)
            .map_err(disk(DOING))
    }

    fn tokens(
        &mut self,
        tenant: TenantId,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<(TokenId, u64)>, StoreError> {
        let after = after.map_or([0; 16], |id| *id.bytes());
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT id, event FROM token WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )
            .map_err(disk(DOING))?;
        let rows = statement
            .query_map(params![tenant.bytes(), after, limit], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .map_err(disk(DOING))?;
        let mut out = Vec::new();
        for row in rows {
            let (id, event): ([u8; 16], i64) = row.map_err(disk(DOING))?;
            out.push((TokenId::from_bytes(id), loaded("token", "event", event)?));
        }
        Ok(out)
    }

    fn token_event(&mut self, tenant: TenantId, token: TokenId) -> Result<Option<u64>, StoreError> {
        let found: Option<i64> = self
            .db
            .prepare_cached("SELECT event FROM token WHERE tenant = ?1 AND id = ?2")
            .and_then(|mut s| {
                s.query_row(params![tenant.bytes(), token.bytes()], |r| r.get(0))
                    .optional()
            })
            .map_err(disk(DOING))?;
        found
            .map(|event| loaded("token", "event", event))
            .transpose()
    }

    fn last_uses(&mut self, each: &mut dyn FnMut(LastUse)) -> Result<(), StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT token, at, address FROM last_use")
            .map_err(disk(DOING))?;
        let rows = statement.query_map([], last_use).map_err(disk(DOING))?;
        for row in rows {
            each(row.map_err(disk(DOING))?);
        }
        Ok(())
    }

    fn last_use(&mut self, token: TokenId) -> Result<Option<LastUse>, StoreError> {
        self.db
            .prepare_cached("SELECT token, at, address FROM last_use WHERE token = ?1")
            .and_then(|mut s| s.query_row([token.bytes()], last_use).optional())
            .map_err(disk(DOING))
    }

    fn rows(&mut self, each: &mut dyn FnMut(ReadRow)) -> Result<(), StoreError> {
        project::rows(&self.db, each)
    }

    fn rows_after(
        &mut self,
        place: &Place,
        limit: u32,
        each: &mut dyn FnMut(Place, ReadRow),
    ) -> Result<(), StoreError> {
        project::rows_after(&self.db, place, limit, each)
    }

    fn row(&mut self, place: &Place) -> Result<Option<ReadRow>, StoreError> {
        project::row(&self.db, place)
    }

    fn trail_row(&mut self, tenant: TenantId, index: u64) -> Result<Option<TrailRow>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT tenant, idx, about, previous, salt, words FROM trail WHERE tenant = ?1 AND idx = ?2",
            )
            .and_then(|mut s| {
                s.query_row(params![tenant.bytes(), stored(index)], trail_row)
                    .optional()
            })
            .map_err(disk(DOING))
    }

    fn tile(&mut self, level: u8, n: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT data FROM tile WHERE level = ?1 AND n = ?2")
            .and_then(|mut s| {
                s.query_row(params![level, stored(n)], |r| r.get(0))
                    .optional()
            })
            .map_err(disk(DOING))
    }

    fn last_checkpoint(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        let found: Option<(i64, String)> = self
            .db
            .prepare_cached("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1")
            .and_then(|mut s| s.query_row([], |r| Ok((r.get(0)?, r.get(1)?))).optional())
            .map_err(disk(DOING))?;
        found
            .map(|(size, note)| Ok((loaded("checkpoint", "size", size)?, note)))
            .transpose()
    }

    fn freeze(&mut self) -> Result<(), StoreError> {
        // The state is taken by the first read of the transaction: take it here.
        self.db.execute_batch("BEGIN").map_err(disk(DOING))?;
        head(&self.db).map(drop).or_else(|error| match error {
            // What is wrong with the head is for whoever reads it.
            StoreError::Inconsistent { .. } => Ok(()),
            StoreError::Full | StoreError::Disk { .. } | StoreError::Unusable(_) => Err(error),
        })
    }

    fn thaw(&mut self) -> Result<(), StoreError> {
        self.db.execute_batch("COMMIT").map_err(disk(DOING))
    }

    fn checkpoints(&mut self, each: &mut dyn FnMut(i64, String)) -> Result<(), StoreError> {
        // A note that is no text any more is told as far as it is, and fails as a note.
        let sql = "SELECT size, CAST(note AS BLOB) FROM checkpoint ORDER BY size";
        let mut statement = self.db.prepare(sql).map_err(disk(DOING))?;
        let mut rows = statement.query([]).map_err(disk(DOING))?;
        while let Some(row) = rows.next().map_err(disk(DOING))? {
            let note: Vec<u8> = row.get(1).map_err(disk(DOING))?;
            let size = row.get(0).map_err(disk(DOING))?;
            each(size, String::from_utf8_lossy(&note).into_owned());
        }
        Ok(())
    }

    fn tiles(&mut self, each: &mut dyn FnMut(i64, i64)) -> Result<(), StoreError> {
        let sql = "SELECT level, n FROM tile";
        let mut statement = self.db.prepare(sql).map_err(disk(DOING))?;
        let mut rows = statement.query([]).map_err(disk(DOING))?;
        while let Some(row) = rows.next().map_err(disk(DOING))? {
            let read = || Ok((row.get(0)?, row.get(1)?));
            let (level, n) = read().map_err(disk(DOING))?;
            each(level, n);
        }
        Ok(())
    }

    fn trails(&mut self, each: &mut dyn FnMut(TrailRow)) -> Result<(), StoreError> {
        let sql = "SELECT tenant, idx, about, previous, salt, words FROM trail";
        let mut statement = self.db.prepare(sql).map_err(disk(DOING))?;
        let mut rows = statement.query([]).map_err(disk(DOING))?;
        while let Some(row) = rows.next().map_err(disk(DOING))? {
            each(trail_row(row).map_err(disk(DOING))?);
        }
        Ok(())
    }

    fn strays(&mut self) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT idx FROM event WHERE idx < 0";
        let mut statement = self.db.prepare(sql).map_err(disk(DOING))?;
        let rows = statement
            .query_map([], |row| row.get(0))
            .map_err(disk(DOING))?;
        rows.collect::<Result<_, _>>().map_err(disk(DOING))
    }
}

fn trail_row(row: &SqlRow<'_>) -> rusqlite::Result<TrailRow> {
    Ok(TrailRow {
        tenant: row.get(0)?,
        index: row.get(1)?,
        about: row.get(2)?,
        previous: row.get(3)?,
        salt: row.get(4)?,
        words: row.get(5)?,
    })
}

fn last_use(row: &SqlRow<'_>) -> rusqlite::Result<LastUse> {
    let at: u32 = row.get(1)?;
    Ok(LastUse {
        token: TokenId::from_bytes(row.get(0)?),
        at: Time::from_seconds(at.into()),
        address: row.get(2)?,
    })
}
