//! The walk over the rows of the projection: each one as memory has it, and none missing.

use std::collections::HashSet;

use jeton_core::id::TokenId;
use jeton_store::{
    Place, ReadRow, Reader as _, StoreError,
    row::{Row, TokenRow},
};
use jeton_verify::index::Index;

use super::{
    confirm::{Suspect, confirm, last},
    openings::{Count, Counted, LOOK_UPS_AT_ONCE},
    round::{Ended, FINDINGS_MAX, Going, More},
};

/// How many rows are read at once.
const ROWS_AT_ONCE: u32 = 256;
/// How many slots are looked at under one hold of the index.
const SLOTS_AT_ONCE: u32 = 1024;

/// Which tokens were met, one bit each by position.
#[derive(Default)]
struct Met(Vec<u64>);

impl Met {
    fn add(&mut self, position: u32) {
        let Ok(at) = usize::try_from(position / 64) else {
            return;
        };
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(word) = self.0.get_mut(at) {
            *word |= 1 << (position % 64);
        }
    }

    fn has(&self, position: u32) -> bool {
        let word = usize::try_from(position / 64)
            .ok()
            .and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }
}

/// Compares the rows of all tokens.
pub(super) fn tokens(going: &mut Going<'_>, counted: &Counted) -> Result<Ended, StoreError> {
    let (mut place, mut met) = (Place::TOKENS, Met::default());
    let walked = going.piecewise(|going| {
        let read = next(going, &mut place)?;
        if read.is_empty() {
            return Ok(More::No);
        }
        let mut suspects = Vec::new();
        for some in read.chunks(LOOK_UPS_AT_ONCE) {
            compare_tokens(going, some, (counted, &mut met), &mut suspects);
        }
        confirm(going, suspects)?;
        Ok(enough(going))
    })?;
    if walked == Ended::Stopped {
        return Ok(walked);
    }
    let mut position = 0;
    going.piecewise(|going| {
        let suspects = unmet(going, &mut position, &met, counted);
        let more = if suspects.1 { enough(going) } else { More::No };
        confirm(going, suspects.0)?;
        Ok(more)
    })
}

/// Nobody needs longer lists of what is broken.
fn enough(going: &Going<'_>) -> More {
    if going.round.findings.len() < FINDINGS_MAX {
        More::Yes
    } else {
        More::No
    }
}

/// The next rows, each with its place; the place that was given moves behind them.
fn next(going: &mut Going<'_>, place: &mut Place) -> Result<Vec<(Place, ReadRow)>, StoreError> {
    let mut read = Vec::new();
    let each = &mut |place, row| read.push((place, row));
    going.reader.rows_after(place, ROWS_AT_ONCE, each)?;
    going.round.rows += u64::try_from(read.len()).unwrap_or(0);
    if let Some((last, _)) = read.last() {
        place.clone_from(last);
    }
    Ok(read)
}

/// Compares some rows with memory, under one hold of the index.
fn compare_tokens(
    going: &Going<'_>,
    some: &[(Place, ReadRow)],
    (counted, met): (&Counted, &mut Met),
    suspects: &mut Vec<Suspect>,
) {
    let verifier = &going.means.node.verifier;
    let directory = verifier.directory();
    let known = verifier.with_index(|index| {
        let look = |(_, row): &(Place, ReadRow)| match row {
            Ok((Row::Token(kept), _)) => {
                let record = index.record(kept.id, &directory)?;
                Some((index.position(kept.id)?, record, index.sequence(kept.id)))
            }
            Ok((Row::Entity(_) | Row::None, _)) | Err(_) => None,
        };
        some.iter().map(look).collect::<Vec<_>>()
    });
    for ((place, row), known) in some.iter().zip(known) {
        let count = known
            .as_ref()
            .map_or_else(Count::default, |(p, ..)| counted.token(*p));
        let fine = match (row, &known) {
            (Ok((Row::Token(kept), event)), Some((position, record, events))) => {
                if kept.tenant == record.tenant {
                    met.add(*position);
                }
                TokenRow::of(record) == *kept
                    && last(count, *events).is_none_or(|last| last == *event)
            }
            (Ok(_) | Err(_), _) => false,
        };
        if !fine {
            let place = place.clone();
            suspects.push(Suspect { place, count });
        }
    }
}

/// Tokens of which no row was met, and whether there are more slots to look at.
fn unmet(
    going: &Going<'_>,
    position: &mut u32,
    met: &Met,
    counted: &Counted,
) -> (Vec<Suspect>, bool) {
    let verifier = &going.means.node.verifier;
    let directory = verifier.directory();
    verifier.with_index(|index: &Index| {
        let end = index.len().min(position.saturating_add(SLOTS_AT_ONCE));
        let mut suspects = Vec::new();
        for at in *position..end {
            let Some(slot) = index.slot(at) else {
                continue;
            };
            // A replaced secret has no row; what was issued since has one behind the walk.
            let looked_for = slot.leads_to().is_none() && slot.issued() < going.limit;
            if !looked_for || met.has(at) {
                continue;
            }
            let id: TokenId = slot.id();
            if let Some(due) = index.record(id, &directory) {
                let place = Place::of_token(due.tenant, id);
                suspects.push(Suspect {
                    place,
                    count: counted.token(at),
                });
            }
        }
        *position = end;
        (suspects, end < index.len())
    })
}

/// Compares the rows of everything else.
pub(super) fn things(going: &mut Going<'_>, counted: &Counted) -> Result<Ended, StoreError> {
    // A directory is a value: this one stays, whatever happens meanwhile.
    let directory = going.means.node.verifier.directory().as_ref().clone();
    let (mut place, mut met) = (Place::ENTITIES, HashSet::new());
    let walked = going.piecewise(|going| {
        let read = next(going, &mut place)?;
        if read.is_empty() {
            return Ok(More::No);
        }
        let mut suspects = Vec::new();
        for (place, row) in read {
            let (mut fine, mut count) = (false, Count::default());
            if let Ok((Row::Entity(kept), event)) = row {
                count = counted.thing(&kept.id);
                let last = last(count, directory.sequence(&kept.id));
                let due = directory.thing(&kept.id);
                if due
                    .as_ref()
                    .is_some_and(|due| due.tenant == kept.tenant && due.kind == kept.kind)
                {
                    met.insert(kept.id);
                }
                fine = due.is_some_and(|due| due == kept) && last.is_none_or(|last| last == event);
            }
            if !fine {
                suspects.push(Suspect { place, count });
            }
        }
        confirm(going, suspects)?;
        Ok(enough(going))
    })?;
    if walked == Ended::Stopped {
        return Ok(walked);
    }
    let unmet = directory.entities().filter(|due| !met.contains(&due.id));
    let suspects: Vec<_> = unmet
        .take(FINDINGS_MAX)
        .map(|due| Suspect {
            place: Place::of_entity(&due),
            count: counted.thing(&due.id),
        })
        .collect();
    let mut suspects = suspects.into_iter();
    going.piecewise(|going| {
        let some: Vec<_> = suspects.by_ref().take(LOOK_UPS_AT_ONCE).collect();
        let more = if some.is_empty() {
            More::No
        } else {
            enough(going)
        };
        confirm(going, some)?;
        Ok(more)
    })
}
