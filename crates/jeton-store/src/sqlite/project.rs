//! Reading the rows of the projection as they are stored, whatever they hold: for those who compare them.

use jeton_core::{
    directory::Entity,
    id::{TenantId, TokenId},
};
use rusqlite::{Connection, Row as SqlRow, params};

use super::{disk, inconsistent};
use crate::{
    Place, ReadRow, StoreError,
    row::{Row, TokenRow},
};

const DOING: &str = "reading the projection";

macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, event, subject, class, state, expires, body FROM token ",
            $rest
        )
    };
}

macro_rules! entities {
    ($rest:literal) => {
        concat!("SELECT tenant, kind, id, event, body FROM entity ", $rest)
    };
}

/// All rows, tokens first.
pub(super) fn rows(db: &Connection, each: &mut dyn FnMut(ReadRow)) -> Result<(), StoreError> {
    let mut tokens = db.prepare(tokens!("")).map_err(disk(DOING))?;
    let mut rows = tokens.query([]).map_err(disk(DOING))?;
    while let Some(row) = rows.next().map_err(disk(DOING))? {
        each(token_row(row));
    }
    let mut entities = db.prepare(entities!("")).map_err(disk(DOING))?;
    let mut rows = entities.query([]).map_err(disk(DOING))?;
    while let Some(row) = rows.next().map_err(disk(DOING))? {
        each(entity_row(row));
    }
    Ok(())
}

/// Some rows behind a place, each with its own.
pub(super) fn rows_after(
    db: &Connection,
    place: &Place,
    limit: u32,
    each: &mut dyn FnMut(Place, ReadRow),
) -> Result<(), StoreError> {
    match place {
        Place::Token { tenant, id } => {
            let sql = tokens!("WHERE (tenant, id) > (?1, ?2) ORDER BY tenant, id LIMIT ?3");
            let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
            let rows = statement.query(params![tenant, id, limit]);
            let mut rows = rows.map_err(disk(DOING))?;
            while let Some(row) = rows.next().map_err(disk(DOING))? {
                let (tenant, id) = (bytes(row, 0)?, bytes(row, 1)?);
                each(Place::Token { tenant, id }, token_row(row));
            }
        }
        Place::Entity { tenant, kind, id } => {
            let sql = entities!(
                "WHERE (tenant, kind, id) > (?1, CAST(?2 AS TEXT), ?3) ORDER BY tenant, kind, id LIMIT ?4"
            );
            let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
            let rows = statement.query(params![tenant, kind, id, limit]);
            let mut rows = rows.map_err(disk(DOING))?;
            while let Some(row) = rows.next().map_err(disk(DOING))? {
                let (tenant, kind, id) = (bytes(row, 0)?, bytes(row, 1)?, bytes(row, 2)?);
                each(Place::Entity { tenant, kind, id }, entity_row(row));
            }
        }
    }
    Ok(())
}

/// The row at a place.
pub(super) fn row(db: &Connection, place: &Place) -> Result<Option<ReadRow>, StoreError> {
    match place {
        Place::Token { tenant, id } => {
            let sql = tokens!("WHERE tenant = ?1 AND id = ?2");
            let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
            let rows = statement.query(params![tenant, id]);
            let mut rows = rows.map_err(disk(DOING))?;
            Ok(rows.next().map_err(disk(DOING))?.map(token_row))
        }
        Place::Entity { tenant, kind, id } => {
            let sql = entities!("WHERE tenant = ?1 AND kind = CAST(?2 AS TEXT) AND id = ?3");
            let mut statement = db.prepare_cached(sql).map_err(disk(DOING))?;
            let rows = statement.query(params![tenant, kind, id]);
            let mut rows = rows.map_err(disk(DOING))?;
            Ok(rows.next().map_err(disk(DOING))?.map(entity_row))
        }
    }
}

/// A column's bytes, text or blob.
fn bytes(row: &SqlRow<'_>, at: usize) -> Result<Vec<u8>, StoreError> {
    let value = row.get_ref(at).map_err(disk(DOING))?;
    Ok(value.as_bytes().unwrap_or_default().to_vec())
}

/// A column that must hold so many bytes.
fn sized<const N: usize>(
    row: &SqlRow<'_>,
    at: usize,
    wrong: impl Fn() -> StoreError,
) -> Result<[u8; N], StoreError> {
    let bytes: Vec<u8> = row.get(at).map_err(disk(DOING))?;
    bytes.try_into().map_err(|_| wrong())
}

fn token_row(row: &SqlRow<'_>) -> ReadRow {
    let raw: Vec<u8> = row.get(1).map_err(disk(DOING))?;
    let bytes = raw
        .as_slice()
        .try_into()
        .map_err(|_| inconsistent("token", "id", data_in_hex(&raw)))?;
    let id = TokenId::from_bytes(bytes);
    let wrong = |column| inconsistent("token", column, id);
    let number = |at: usize| row.get::<_, i64>(at).map_err(disk(DOING));
    let expires: Option<i64> = row.get(6).map_err(disk(DOING))?;
    let expires = expires.map(|e| u32::try_from(e).map_err(|_| wrong("expires")));
    let token = TokenRow {
        tenant: TenantId::from_bytes(sized(row, 0, || wrong("tenant"))?),
        id,
        subject: sized(row, 3, || wrong("subject"))?,
        class: u8::try_from(number(4)?).map_err(|_| wrong("class"))?,
        state: u8::try_from(number(5)?).map_err(|_| wrong("state"))?,
        expires: expires.transpose()?,
        body: row.get(7).map_err(disk(DOING))?,
    };
    let event = u64::try_from(number(2)?).map_err(|_| wrong("event"))?;
    Ok((Row::Token(token), event))
}

fn entity_row(row: &SqlRow<'_>) -> ReadRow {
    let raw: Vec<u8> = row.get(2).map_err(disk(DOING))?;
    let wrong = |column| inconsistent("entity", column, data_in_hex(&raw));
    let id = raw.as_slice().try_into().map_err(|_| wrong("id"))?;
    // Whatever bytes stand there: a kind that is not known is not necessarily a text.
    let kind = row.get_ref(1).map_err(disk(DOING))?;
    let known = ["tenant", "api", "role", "user", "application"];
    let kind = known
        .into_iter()
        .find(|k| kind.as_bytes().is_ok_and(|bytes| bytes == k.as_bytes()))
        .ok_or_else(|| wrong("kind"))?;
    let event: i64 = row.get(3).map_err(disk(DOING))?;
    let entity = Entity {
        kind,
        id,
        tenant: TenantId::from_bytes(sized(row, 0, || wrong("tenant"))?),
        body: row.get(4).map_err(disk(DOING))?,
    };
    let event = u64::try_from(event).map_err(|_| wrong("event"))?;
    Ok((Row::Entity(entity), event))
}

/// Bytes that should be an id and are none.
fn data_in_hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}
