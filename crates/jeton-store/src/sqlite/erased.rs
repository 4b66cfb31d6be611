//! Erasing: in the transaction of the event that orders it. A crash leaves both or neither.

use jeton_core::{event::Erasure, id::TokenId};
use rusqlite::{Connection, params};

use super::stored;
use crate::ledger::Entry;

/// A salt of another length opens nothing: as if there were none.
pub(super) fn salt(salt: Option<Vec<u8>>) -> Option<[u8; 32]> {
    salt.and_then(|s| s.try_into().ok())
}

/// Removes what an event erases.
pub(super) fn erase(tx: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let tenant = entry.tenant.bytes();
    match &entry.erases {
        None => {}
        Some(Erasure::Words { indexes, .. }) => {
            let sql = "UPDATE trail SET salt = NULL, words = NULL WHERE tenant = ?1 AND idx = ?2";
            let mut words = tx.prepare_cached(sql)?;
            for index in indexes {
                words.execute(params![tenant, stored(*index)])?;
            }
        }
        Some(Erasure::Openings { tokens, indexes }) => {
            let sql = "UPDATE event SET salt = NULL, record = NULL WHERE idx = ?1";
            let mut opening = tx.prepare_cached(sql)?;
            let sql = "DELETE FROM trail WHERE tenant = ?1 AND idx = ?2";
            let mut trail = tx.prepare_cached(sql)?;
            for index in indexes {
                opening.execute([stored(*index)])?;
                trail.execute(params![tenant, stored(*index)])?;
            }
            let mut row = tx.prepare_cached("DELETE FROM token WHERE tenant = ?1 AND id = ?2")?;
            for token in tokens {
                row.execute(params![tenant, token.bytes()])?;
            }
            forget_uses(tx, tokens)?;
        }
    }
    Ok(())
}

/// Removes what was observed of tokens: it is no part of the ledger, so no event need say so.
pub(super) fn forget_uses(tx: &Connection, tokens: &[TokenId]) -> rusqlite::Result<()> {
    let mut used = tx.prepare_cached("DELETE FROM last_use WHERE token = ?1")?;
    for token in tokens {
        used.execute([token.bytes()])?;
    }
    Ok(())
}
