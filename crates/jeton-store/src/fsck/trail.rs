//! The trail beside the events: words that may be erased, each held by the hash in its record, and the way back.
//!
//! What each row must hold is kept as keyed hashes, 24 bytes an event: whoever wrote the row does not know their key.

use std::hash::{BuildHasher as _, RandomState};

use jeton_core::{event::Record, id::TenantId, leaf::aside_hash};

use super::{
    erased::Erased,
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
    /// Its event was erased, and its row must be gone.
    Gone,
    /// Its row was met.
    Met,
}

#[derive(Default)]
pub(super) struct Trail {
    due: Vec<Due>,
    hash: RandomState,
    /// Beside how many events words are gone, as notices say.
    pub(super) erased: u64,
}

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Ghost,
    Left,
    Differs,
}

/// A field of a row that is not what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// Whose event it is.
    Tenant,
    /// What the event is about.
    About,
    /// The words are others.
    Words,
    /// The words are gone, and nothing says that they were erased.
    WordsGone,
    /// The words were erased, and are still there.
    WordsLeft,
    /// The way back.
    Previous,
}

impl Difference {
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Tenant => ("tenant", "not that of the event"),
            Self::About => ("about", "not what the event is about"),
            Self::Words => (
                "words",
                "the words are not those that the record was made with",
            ),
            Self::WordsGone => ("words", "the words are gone, and no event erased them"),
            Self::WordsLeft => ("words", "the words were erased, and are still there"),
            Self::Previous => ("previous", "not the event before it about the same thing"),
        }
    }

    /// The finding that it is, in the row beside the event at `index`.
    #[must_use]
    pub fn finding(self, index: i64) -> Finding {
        let (field, what) = self.told();
        let leaf = u64::try_from(index).ok();
        Finding::new("trail", index, what).field(field).leaf(leaf)
    }
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

    /// What must be beside the event at an index.
    fn at(&mut self, index: u64) -> Option<&mut Due> {
        let at = usize::try_from(index).ok();
        // Without gaps an event stands at its own index.
        let at = at.filter(|at| self.due.get(*at).is_some_and(|due| due.index == index));
        let at = at.or_else(|| self.due.binary_search_by_key(&index, |due| due.index).ok());
        self.due.get_mut(at?)
    }

    /// The opening of an event was erased: nothing may lie beside it any more.
    pub(super) fn gone(&mut self, index: u64) {
        if let Some(due) = self.at(index) {
            due.state = State::Gone;
        }
    }

    fn row(&mut self, kept: &TrailRow, erased: &Erased) -> Verdict {
        let Some(index) = u64::try_from(kept.index).ok() else {
            return Verdict::Ghost;
        };
        let place = self.place((&kept.tenant, &kept.about, kept.previous.map(u64::try_from)));
        let none = self.words(None);
        let words = match words(kept) {
            Words::Erased => none,
            Words::Kept(hash) => self.words(Some(hash)),
            Words::Halved => !none,
        };
        let tenant = <[u8; 16]>::try_from(kept.tenant.as_slice()).map(TenantId::from_bytes);
        let notice = tenant.is_ok_and(|t| erased.words(t, index, u64::MAX).is_some());
        let Some(due) = self.at(index) else {
            return Verdict::Ghost;
        };
        let words_due = if notice { none } else { due.words };
        let right = due.place == place && words == words_due;
        match core::mem::replace(&mut due.state, State::Met) {
            State::Met => Verdict::Ghost,
            State::Unknown => Verdict::Fine,
            State::Gone => Verdict::Left,
            State::Due if right => {
                self.erased += u64::from(notice);
                Verdict::Fine
            }
            State::Due => Verdict::Differs,
        }
    }

    /// Compares every row.
    pub(super) fn compare(
        &mut self,
        reader: &mut dyn Reader,
        erased: &Erased,
        found: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut wrong = Vec::new();
        let read = reader.trails(&mut |kept| {
            let verdict = self.row(&kept, erased);
            if verdict != Verdict::Fine && wrong.len() < FINDINGS_MAX {
                wrong.push((verdict, kept));
            }
        });
        for (verdict, kept) in &wrong {
            let finding = match verdict {
                Verdict::Fine => continue,
                Verdict::Ghost => Finding::new("trail", kept.index, "no event explains this row"),
                Verdict::Left => left(kept.index),
                Verdict::Differs => explain(reader, kept, erased)?,
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
fn explain(
    reader: &mut dyn Reader,
    kept: &TrailRow,
    erased: &Erased,
) -> Result<Finding, StoreError> {
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
    let difference = record.as_deref().and_then(|record| {
        let notice = erased.words(record.tenant, index, u64::MAX);
        difference(record, kept, notice.is_some())
    });
    let difference = difference.unwrap_or(Difference::Previous);
    let token = record.and_then(|record| record.event.token());
    Ok(difference.finding(kept.index).token(token))
}

/// A field of a trail's row that is not what its record says; `erased`: an event erased the words. The way back is not
/// compared: the record does not know it.
#[must_use]
pub fn difference(record: &Record, kept: &TrailRow, erased: bool) -> Option<Difference> {
    if kept.tenant != record.tenant.bytes() {
        return Some(Difference::Tenant);
    }
    if kept.about != record.event.about(record.tenant) {
        return Some(Difference::About);
    }
    match (words(kept), erased) {
        (Words::Erased, true) => None,
        (Words::Erased, false) => record.aside.map(|_| Difference::WordsGone),
        (Words::Kept(_) | Words::Halved, true) => Some(Difference::WordsLeft),
        (Words::Kept(hash), false) => (Some(hash) != record.aside).then_some(Difference::Words),
        (Words::Halved, false) => Some(Difference::Words),
    }
}

/// The row beside an event whose opening was erased.
#[must_use]
pub fn left(index: i64) -> Finding {
    let leaf = u64::try_from(index).ok();
    let what = "the event was erased, and the row is still there";
    Finding::new("trail", index, what).leaf(leaf)
}
