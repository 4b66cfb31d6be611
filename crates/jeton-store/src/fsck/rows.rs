//! The rows of the projection, compared with what replay gives: each field by its name.

use std::collections::HashMap;

use jeton_core::{
    directory::Entity,
    id::{TenantId, TokenId},
};

use super::{
    fields,
    finding::{Finding, Findings},
    replay::{Known, Replay},
    walk::piped,
};
use crate::{
    Continue, Reader, StoreError,
    row::{Row, TokenRow},
};

/// What a row of which no event speaks is.
const GHOST: &str = "no event explains this row";
const MISSING: &str = "the row is missing";
const DIFFERS: &str = "it is not what replay gives";

/// Compares every row, and says how many there were.
pub(super) fn compare(
    reader: &mut dyn Reader,
    replay: &mut Replay,
    found: &mut Findings,
) -> Result<u64, StoreError> {
    let Replay {
        directory, tokens, ..
    } = &mut *replay;
    let mut entities: HashMap<_, _> = directory.entities().map(|e| ((e.kind, e.id), e)).collect();
    let mut kept_entities = Vec::new();
    let mut count = 0;
    let read = piped(
        |each: &mut dyn FnMut(_) -> Continue| {
            reader.rows(&mut |read| {
                each(read);
            })
        },
        |read| {
            count += 1;
            match read {
                Ok((Row::Token(kept), event)) => {
                    found.extend(token(tokens.get_mut(&kept.id), &kept, event));
                }
                Ok((Row::Entity(kept), event)) => {
                    let due = entities.remove(&(kept.kind, kept.id));
                    kept_entities.push((due, kept, event));
                }
                Ok((Row::None, _)) => {}
                Err(error) => found.unreadable("token", &error),
            }
        },
    );
    let unmet = tokens.iter().filter(|(_, known)| !known.met);
    found.extend(unmet.map(|(id, known)| missing_token(*id, Some(known.last))));
    for (due, kept, event) in &kept_entities {
        let last = replay.last_about(&kept.id);
        found.extend(entity(due.as_ref(), kept, (*event, last)));
    }
    let missing = entities
        .values()
        .map(|due| missing_entity(due, replay.last_about(&due.id)));
    found.extend(missing);
    read?;
    Ok(count)
}

fn token(known: Option<&mut Known>, kept: &TokenRow, event: u64) -> Vec<Finding> {
    let Some(known) = known else {
        return vec![ghost_token(kept.id)];
    };
    known.met = true;
    token_findings(
        &TokenRow::of(&known.record),
        kept,
        (Some(known.last), Some(event)),
    )
}

/// What differs in a token's row: a finding for each field. `last` is the leaf of the token's last event, `event` what the row
/// says of it; one that is not known is not compared.
#[must_use]
pub fn token_findings(
    due: &TokenRow,
    kept: &TokenRow,
    (last, event): (Option<u64>, Option<u64>),
) -> Vec<Finding> {
    let finding = |field: &'static str| {
        let what = match field {
            "state" => format!(
                "{DIFFERS}: stored {}, must be {}",
                state(kept.state),
                state(due.state)
            ),
            "expires" => format!(
                "{DIFFERS}: stored {}, must be {}",
                second(kept.expires),
                second(due.expires)
            ),
            _ => DIFFERS.to_owned(),
        };
        Finding::of_token(due.id, what).field(field).leaf(last)
    };
    let differing = fields::of_token(due, kept);
    let mut found: Vec<_> = differing.into_iter().map(finding).collect();
    found.extend(
        event_finding((event, last))
            .map(|what| Finding::of_token(due.id, what).field("event").leaf(last)),
    );
    found
}

/// What differs in another thing's row, in the same way.
#[must_use]
pub fn entity_findings(
    due: &Entity,
    kept: &Entity,
    (last, event): (Option<u64>, Option<u64>),
) -> Vec<Finding> {
    let finding = |field, what: String| {
        Finding::new("entity", entity_name(due), what)
            .field(field)
            .leaf(last)
    };
    let differing = fields::of_entity(due, kept);
    let mut found: Vec<_> = differing
        .into_iter()
        .map(|field| finding(field, DIFFERS.to_owned()))
        .collect();
    found.extend(event_finding((event, last)).map(|what| finding("event", what)));
    found
}

/// A token's row is missing.
#[must_use]
pub fn missing_token(id: TokenId, last: Option<u64>) -> Finding {
    Finding::of_token(id, MISSING).leaf(last)
}

/// Another thing's row is missing.
#[must_use]
pub fn missing_entity(due: &Entity, last: Option<u64>) -> Finding {
    Finding::new("entity", entity_name(due), MISSING).leaf(last)
}

/// A token's row of which no event speaks.
#[must_use]
pub fn ghost_token(id: TokenId) -> Finding {
    Finding::of_token(id, GHOST)
}

/// Another thing's row of which no event speaks.
#[must_use]
pub fn ghost_entity(kept: &Entity) -> Finding {
    Finding::new("entity", entity_name(kept), GHOST)
}

fn entity(due: Option<&Entity>, kept: &Entity, (event, last): (u64, Option<u64>)) -> Vec<Finding> {
    match due {
        None => vec![ghost_entity(kept)],
        Some(due) => entity_findings(due, kept, (last, Some(event))),
    }
}

fn event_finding(numbers: (Option<u64>, Option<u64>)) -> Option<String> {
    let (Some(kept), Some(due)) = numbers else {
        return None;
    };
    (kept != due).then(|| format!("stored {kept}, the last event is {due}"))
}

/// Kind and id of a thing, as findings name its row.
fn entity_name(entity: &Entity) -> String {
    format!("{} {}", entity.kind, TenantId::from_bytes(entity.id))
}

fn state(number: u8) -> String {
    match number {
        0 => "active".to_owned(),
        1 => "suspended".to_owned(),
        2 => "revoked".to_owned(),
        other => other.to_string(),
    }
}

fn second(at: Option<u32>) -> String {
    at.map_or_else(|| "never".to_owned(), |s| s.to_string())
}
