//! The trail beside the events: words that may be erased, each held by the hash in its record, and the way back.
//!
//! What each row must hold is kept as keyed hashes, 24 bytes an event: whoever wrote the row does not know their key.

use std::hash::{BuildHasher as _, RandomState};

use jeton_core::{event::Record, leaf::aside_hash};

use super::{
    finding::{FINDINGS_MAX, Finding, Findings},
    opening::Opening,
    replay::Told,
};
use crate::{Continue, Reader, StoreError, TrailRow};

/// What the row beside an event must hold.
struct Due {
    index: u64,
    /// Over tenant, thing and the event before.
    place: u64,
    /// Over the hash of the words.
    words: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its row was not met yet.
    Due,
    /// Its event cannot be read: any row is as good.
    Unknown,
    /// Its row was met.
    Met,
}

#[derive(Default)]
pub(super) struct Trail {
    due: Vec<Due>,
    hash: RandomState,
}

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Ghost,
    Differs,
}

impl Trail {
    /// The row beside the event at `index`; indexes come in order. `None`: the event cannot be read.
    pub(super) fn expect(&mut self, index: u64, told: Option<&Told>) {
        let due = match told {
            None => Due {
                index,
                place: 0,
                words: 0,
                state: State::Unknown,
            },
            Some(told) => {
                let place = (
                    &told.tenant.bytes()[..],
                    &told.about[..],
                    told.previous.map(Ok),
                );
                let place = self.place(place);
                Due {
                    index,
                    place,
                    words: self.words(told.aside),
                    state: State::Due,
                }
            }
        };
        self.due.push(due);
    }

    fn place(
        &self,
        place: (
            &[u8],
            &[u8],
            Option<Result<u64, core::num::TryFromIntError>>,
        ),
    ) -> u64 {
        let (tenant, about, previous) = place;
        self.hash
            .hash_one((tenant, about, previous.map(Result::ok)))
    }

    fn words(&self, aside: Option<[u8; 32]>) -> u32 {
        u32::try_from(self.hash.hash_one(aside) >> 32).unwrap_or(0)
    }

    fn row(&mut self, kept: &TrailRow) -> Verdict {
        let Some(index) = u64::try_from(kept.index).ok() else {
            return Verdict::Ghost;
        };
        let place = self.place((&kept.tenant, &kept.about, kept.previous.map(u64::try_from)));
        let words = match words(kept) {
            Words::Erased => None,
            Words::Kept(hash) => Some(self.words(Some(hash))),
            Words::Halved => Some(!self.words(None)),
        };
        let at = usize::try_from(index).ok();
        // Without gaps an event stands at its own index.
        let at = at.filter(|at| self.due.get(*at).is_some_and(|due| due.index == index));
        let at = at.or_else(|| self.due.binary_search_by_key(&index, |due| due.index).ok());
        let Some(due) = at.and_then(|at| self.due.get_mut(at)) else {
            return Verdict::Ghost;
        };
        let state = core::mem::replace(&mut due.state, State::Met);
        match state {
            State::Met => Verdict::Ghost,
            State::Unknown => Verdict::Fine,
            State::Due if due.place == place && words.is_none_or(|w| w == due.words) => {
                Verdict::Fine
            }
            State::Due => Verdict::Differs,
        }
    }

    /// Compares every row.
    pub(super) fn compare(
        mut self,
        reader: &mut dyn Reader,
        found: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut wrong = Vec::new();
        let read = reader.trails(&mut |kept| {
            let verdict = self.row(&kept);
            if verdict != Verdict::Fine && wrong.len() < FINDINGS_MAX {
                wrong.push((verdict, kept));
            }
        });
        for (verdict, kept) in &wrong {
            let finding = match verdict {
                Verdict::Fine => continue,
                Verdict::Ghost => Finding::new("trail", kept.index, "no event explains this row"),
                Verdict::Differs => explain(reader, kept)?,
            };
            found.add(finding);
        }
        let unmet = self.due.iter().filter(|due| due.state == State::Due);
        found.extend(unmet.map(|due| {
            Finding::new("trail", due.index, "the row is missing").leaf(Some(due.index))
        }));
        read
    }
}

enum Words {
    /// Words and salt were erased, or there were none.
    Erased,
    Kept([u8; 32]),
    /// One is there without the other, or the salt is none.
    Halved,
}

fn words(kept: &TrailRow) -> Words {
    match (&kept.salt, &kept.words) {
        (None, None) => Words::Erased,
        (Some(salt), Some(words)) => match <[u8; 16]>::try_from(salt.as_slice()) {
            Ok(salt) => Words::Kept(aside_hash(&salt, words)),
            Err(_) => Words::Halved,
        },
        (Some(_), None) | (None, Some(_)) => Words::Halved,
    }
}

/// Which field of a row differs: its event is read again.
fn explain(reader: &mut dyn Reader, kept: &TrailRow) -> Result<Finding, StoreError> {
    let mut record = None;
    let index = u64::try_from(kept.index).unwrap_or(u64::MAX);
    reader.events(index, &mut |stored| {
        if stored.index == index
            && let Opening::Read { record: read, .. } = Opening::of(&stored)
        {
            record = Some(read);
        }
        Ok(Continue::No)
    })?;
    let field = record
        .as_deref()
        .and_then(|record| difference(record, kept));
    let field = field.unwrap_or("previous");
    let token = record.and_then(|record| record.event.token());
    Ok(finding(kept.index, field).token(token))
}

/// A field of a trail's row that is not what its record says. The way back is not compared: the record does not know it.
#[must_use]
pub fn difference(record: &Record, kept: &TrailRow) -> Option<&'static str> {
    if kept.tenant != record.tenant.bytes() {
        return Some("tenant");
    }
    if kept.about != record.event.about(record.tenant) {
        return Some("about");
    }
    match words(kept) {
        Words::Erased => None,
        Words::Kept(hash) => (Some(hash) != record.aside).then_some("words"),
        Words::Halved => Some("words"),
    }
}

/// A field of the trail's row beside the event at `index` differs.
#[must_use]
pub fn finding(index: i64, field: &'static str) -> Finding {
    let what = match field {
        "tenant" => "not that of the event",
        "about" => "not what the event is about",
        "words" => "the words are not those that the record was made with",
        _ => "not the event before it about the same thing",
    };
    let leaf = u64::try_from(index).ok();
    Finding::new("trail", index, what).field(field).leaf(leaf)
}
