//! Migrations: numbered, applied in order, each in its own transaction, never edited once released.

use rusqlite::{Connection, TransactionBehavior};

use super::disk;
use crate::StoreError;

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_ledger.sql"),
    include_str!("../../migrations/sqlite/0002_erasure.sql"),
];
/// "jeto": tells our files from others'.
const APPLICATION_ID: i64 = 0x6a65_746f;

/// Whether a file is a store of ours, or an empty one: looked at before anything is changed in it.
///
/// # Errors
/// [`StoreError::Unusable`] if a newer jeton, or another program, wrote it.
pub(super) fn admit(db: &Connection) -> Result<i64, StoreError> {
    let doing = "looking at the store";
    let read = |sql: &str| {
        db.query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(disk(doing))
    };
    let version = read("PRAGMA user_version")?;
    let owner = read("PRAGMA application_id")?;
    // Many programs leave both numbers at zero.
    let empty = read("SELECT count(*) FROM sqlite_schema")? == 0;
    let fresh = version == 0 && owner == 0 && empty;
    if owner != APPLICATION_ID && !fresh {
        return Err(StoreError::Unusable("it is another program's file".into()));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        let text = format!("its schema is version {version}, this jeton knows up to {known}");
        return Err(StoreError::Unusable(text));
    }
    Ok(version)
}

/// Brings a store of a version to the newest schema.
pub(super) fn migrate(db: &mut Connection, version: i64) -> Result<(), StoreError> {
    let doing = "migrating the store";
    let done = usize::try_from(version).unwrap_or(0);
    for (at, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let tx = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk(doing))?;
        tx.execute_batch(sql).map_err(disk(doing))?;
        let next = i64::try_from(at + 1).unwrap_or(i64::MAX);
        tx.pragma_update(None, "user_version", next)
            .map_err(disk(doing))?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(disk(doing))?;
        tx.commit().map_err(disk(doing))?;
    }
    Ok(())
}
