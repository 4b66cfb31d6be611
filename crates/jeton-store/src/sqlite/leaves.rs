//! The log's side of reading: leaves without their openings, and the few events that erase.

use jeton_core::id::TenantId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{disk, erased, inconsistent, loaded, stored};
use crate::{StoreError, Stored, ledger::Aside};

const DOING: &str = "reading the log";

/// So many leaves from an index on: fewer where the ledger ends.
pub(super) fn leaves(db: &Connection, from: u64, count: u32) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = "SELECT idx, leaf FROM event WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
    let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
    let mut rows = statement
        .query(params![stored(from), count])
        .map_err(disk(DOING))?;
    let mut out = Vec::new();
    let mut due = from;
    while let Some(row) = rows.next().map_err(disk(DOING))? {
        let read = || Ok((row.get::<_, i64>(0)?, row.get(1)?));
        let (index, leaf) = read().map_err(disk(DOING))?;
        if loaded("event", "idx", index)? != due {
            return Err(inconsistent("event", "idx", due));
        }
        due += 1;
        out.push(leaf);
    }
    Ok(out)
}

/// The events that stand in the log as erasures.
pub(super) fn erasures(db: &Connection) -> Result<Vec<Stored>, StoreError> {
    let sql =
        "SELECT idx, leaf, salt, record FROM event WHERE substr(leaf, 2, 1) = x'40' ORDER BY idx";
    let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
    let rows = statement
        .query_map([], super::read::stored_event)
        .map_err(disk(DOING))?;
    let mut out = Vec::new();
    for row in rows {
        let (index, leaf, salt, record) = row.map_err(disk(DOING))?;
        out.push(Stored {
            index: loaded("event", "idx", index)?,
            leaf,
            opening: erased::salt(salt).zip(record),
        });
    }
    Ok(out)
}

/// The words beside an event, with the salt of their hash; `None`: there never were any, or they were erased.
pub(super) fn aside(
    db: &Connection,
    tenant: TenantId,
    index: u64,
) -> Result<Option<Aside>, StoreError> {
    let sql = "SELECT salt, words FROM trail WHERE tenant = ?1 AND idx = ?2 AND words IS NOT NULL";
    let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
    let found = statement
        .query_row(params![tenant.bytes(), stored(index)], |row| {
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?))
        })
        .optional()
        .map_err(disk(DOING))?;
    let Some((salt, words)) = found else {
        return Ok(None);
    };
    let salt = salt.and_then(|s| s.try_into().ok());
    let salt = salt.ok_or_else(|| inconsistent("trail", "salt", index))?;
    Ok(Some(Aside { salt, words }))
}
