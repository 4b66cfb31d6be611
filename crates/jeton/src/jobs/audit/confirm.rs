//! Rows that look wrong, looked at again while the writer stands still: only then is memory exactly what is stored.

use std::sync::Arc;

use jeton_core::{
    decision::Decision,
    directory::{Directory, Entity},
    event::Actor,
    id::{TenantId, TokenId},
};
use jeton_store::{
    Place, Reader as _, StoreError,
    fsck::{Finding, rows},
    row::{Row, TokenRow},
    sqlite::SqliteReader,
};
use jeton_verify::{check::Verifier, index::Index};

use super::{openings::Count, round::Going};
use crate::node::writer::{Purpose, Ruling};

/// A row that looked wrong, or was not met.
pub(super) struct Suspect {
    pub(super) place: Place,
    /// What the walk over the ledger counted of what it is about.
    pub(super) count: Count,
}

/// A token as memory has it: its row, and how many events it has had.
pub(super) fn token_in_memory(
    index: &Index,
    directory: &Directory,
    id: TokenId,
) -> Option<(TokenRow, u64)> {
    let record = index.record(id, directory)?;
    Some((TokenRow::of(&record), index.sequence(id)))
}

/// What may be compared of a row's event: nothing, if something happened since the walk.
pub(super) fn last(count: Count, events: u64) -> Option<u64> {
    (count.events == events).then_some(count.last)
}

/// Looks again at some rows, between two batches of the writer. A writer that is too busy for that is asked in the next round.
pub(super) fn confirm(going: &mut Going<'_>, suspects: Vec<Suspect>) -> Result<(), StoreError> {
    if suspects.is_empty() {
        return Ok(());
    }
    let path = going.means.node.dir.join("ledger.db");
    let mut reader = SqliteReader::open(&path)?;
    let verifier = Arc::clone(&going.means.node.verifier);
    let asked = going.means.node.writer.submit(Purpose::Reduce, move |_| {
        let compared: Result<Vec<_>, _> = suspects
            .iter()
            .map(|suspect| compare(&mut reader, &verifier, suspect))
            .collect();
        Ruling {
            tenant: TenantId::from_bytes([0; 16]),
            actor: Actor::Authority,
            request: None,
            words: None,
            // The reader goes back, to be closed elsewhere than on the writer's thread.
            decision: Decision::yes((compared, reader), Vec::new()),
        }
    });
    match going.means.runtime.block_on(asked) {
        Ok(done) => {
            for finding in done.outcome.0?.into_iter().flatten() {
                going.found(finding);
            }
        }
        Err(blame) => tracing::debug!(code = blame.refusal.code(), "rows were not looked at again"),
    }
    Ok(())
}

fn compare(
    reader: &mut SqliteReader,
    verifier: &Verifier,
    suspect: &Suspect,
) -> Result<Vec<Finding>, StoreError> {
    let kept = match reader.row(&suspect.place)? {
        None => None,
        Some(Ok(kept)) => Some(kept),
        Some(Err(error)) => return Ok(vec![illegal(&error)]),
    };
    let directory = verifier.directory();
    Ok(match &suspect.place {
        Place::Token { tenant, id } => {
            let id = <[u8; 16]>::try_from(id.as_slice()).map(TokenId::from_bytes);
            let due = id
                .ok()
                .and_then(|id| verifier.with_index(|index| token_in_memory(index, &directory, id)));
            // The row of the same token under another tenant is another row.
            let due = due.filter(|(due, _)| kept.is_some() || due.tenant.bytes()[..] == tenant[..]);
            // A token that came since the round began has no count yet: its issuance is where to look.
            let issued = |(row, _): &(TokenRow, u64)| Some(verifier.record(row.id)?.issued);
            let leaf = suspect
                .count
                .leaf()
                .or_else(|| due.as_ref().and_then(issued));
            token(due, kept, (suspect.count, leaf))
        }
        Place::Entity { tenant, id, .. } => {
            let id = <[u8; 16]>::try_from(id.as_slice());
            let due = id
                .ok()
                .and_then(|id| Some((directory.thing(&id)?, directory.sequence(&id))));
            let due = due.filter(|(due, _)| kept.is_some() || due.tenant.bytes()[..] == tenant[..]);
            entity(due, kept, suspect.count)
        }
    })
}

fn token(
    due: Option<(TokenRow, u64)>,
    kept: Option<(Row, u64)>,
    (count, leaf): (Count, Option<u64>),
) -> Vec<Finding> {
    match (due, kept) {
        (Some((due, events)), Some((Row::Token(kept), event))) => {
            let last = last(count, events);
            let mut found = rows::token_findings(&due, &kept, (last, Some(event)));
            for finding in &mut found {
                finding.leaf = leaf;
            }
            found
        }
        (Some((due, _)), None) => vec![rows::missing_token(due.id, leaf)],
        (None, Some((Row::Token(kept), _))) => vec![rows::ghost_token(kept.id)],
        (None | Some(_), None | Some(_)) => Vec::new(),
    }
}

fn entity(due: Option<(Entity, u64)>, kept: Option<(Row, u64)>, count: Count) -> Vec<Finding> {
    match (due, kept) {
        (Some((due, _)), Some((Row::Entity(kept), _))) if due.kind != kept.kind => {
            vec![rows::ghost_entity(&kept)]
        }
        (Some((due, events)), Some((Row::Entity(kept), event))) => {
            let last = last(count, events);
            rows::entity_findings(&due, &kept, (last, Some(event)))
        }
        (Some((due, _)), None) => vec![rows::missing_entity(&due, count.leaf())],
        (None, Some((Row::Entity(kept), _))) => vec![rows::ghost_entity(&kept)],
        (None | Some(_), None | Some(_)) => Vec::new(),
    }
}

/// A row that is in no legal state.
fn illegal(error: &StoreError) -> Finding {
    match error {
        StoreError::Inconsistent { table, column, row } => {
            Finding::new(table, row, format!("{column}: no legal value")).field(column)
        }
        StoreError::Full | StoreError::Disk { .. } | StoreError::Unusable(_) => {
            super::unreadable(error)
        }
    }
}
