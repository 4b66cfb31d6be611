//! The events of the walk: each opening under the next tags, its words, and what may be gone because an event says so.
//!
//! The writer may erase while the walk goes on. So what looks wrong is read again, with the erasures of the same moment of the
//! store; and a notice that excuses something is believed only once the walk has come to it, or, if it lies behind the round's
//! limit, until the next round comes to it.

use std::collections::HashMap;

use jeton_core::{
    event::{Event, Record},
    id::{TenantId, TokenId},
};
use jeton_store::{
    Reader, StoreError, Stored, TrailRow,
    fsck::{
        Finding,
        erased::Erased,
        opening::{Missing, Numbers, Opening, is_sealed, unsealed},
        trail::{self, Difference},
    },
};

use super::round::Going;
use crate::node::start::Node;

/// How many tokens are looked up under one hold of the index: some microseconds.
pub(super) const LOOK_UPS_AT_ONCE: usize = 32;

/// How many events a thing has had below the round's limit, and which was the last.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) events: u64,
    pub(super) last: u64,
}

impl Count {
    /// The leaf of the last event, if there was one.
    pub(super) fn leaf(self) -> Option<u64> {
        (self.events > 0).then_some(self.last)
    }
}

/// What the walk has counted: for the comparison of rows.
#[derive(Default)]
pub(super) struct Counted {
    /// By the token's position in the index: half as much memory as by its id.
    tokens: Vec<(u32, u64)>,
    things: HashMap<[u8; 16], Count>,
}

impl Counted {
    /// Of the token at a position.
    pub(super) fn token(&self, position: u32) -> Count {
        let at = usize::try_from(position).ok();
        let (events, last) = at
            .and_then(|at| self.tokens.get(at))
            .copied()
            .unwrap_or_default();
        Count {
            events: events.into(),
            last,
        }
    }

    /// Of another thing.
    pub(super) fn thing(&self, about: &[u8; 16]) -> Count {
        self.things.get(about).copied().unwrap_or_default()
    }

    fn add(&mut self, record: &Record, position: Option<u32>, count: Count) {
        if record.event.token().is_none() {
            self.things.insert(record.event.about(record.tenant), count);
            return;
        }
        let Some(at) = position.and_then(|position| usize::try_from(position).ok()) else {
            return;
        };
        if self.tokens.len() <= at {
            self.tokens.resize(at + 1, (0, 0));
        }
        if let Some(token) = self.tokens.get_mut(at) {
            *token = (u32::try_from(count.events).unwrap_or(u32::MAX), count.last);
        }
    }
}

/// An event, and the trail's row beside it.
pub(super) struct Met {
    stored: Stored,
    opening: Opening,
    beside: Option<TrailRow>,
    /// Where its token stands in the index; looked up after the event was read.
    position: Option<u32>,
}

/// What is gone, or is not, because a notice says so.
#[derive(Clone, Copy)]
enum Named {
    /// The opening is not there.
    Absent,
    /// It still is.
    There,
    /// The words are not there.
    Words,
}

/// What the walk over the openings has learnt.
pub(super) struct Openings {
    pub(super) missing: Missing,
    pub(super) counted: Counted,
    tenants: HashMap<TenantId, u64>,
    erased: Erased,
    /// The size of the store when the notices were read last.
    read_at: Option<u64>,
    named: Vec<(u64, TenantId, Named)>,
}

impl Openings {
    pub(super) fn new(reader: &mut dyn Reader) -> Result<Self, StoreError> {
        Ok(Self {
            missing: Missing::default(),
            counted: Counted::default(),
            tenants: HashMap::new(),
            erased: Erased::read(reader)?,
            read_at: None,
            named: Vec::new(),
        })
    }

    /// Takes the next event, whose token stands at a position of the index.
    pub(super) fn take(
        &mut self,
        going: &mut Going<'_>,
        (stored, opening): (Stored, Opening),
        position: Option<u32>,
    ) -> Result<(), StoreError> {
        let beside = self.beside(&mut going.reader, stored.index, &opening)?;
        let mut met = Met {
            stored,
            opening,
            beside,
            position,
        };
        if self.looks_wrong(&met) {
            going.reader.freeze()?;
            let again = self.again(&mut going.reader, &mut met);
            going.reader.thaw()?;
            again?;
        }
        match &met.opening {
            Opening::Read { record, commit } => self.read(going, &met, record, *commit),
            Opening::Absent => self.absent(going, &met),
            Opening::NotCanonical => {
                self.missing.add(1);
                let what = "the record is not canonical";
                going.found(Finding::at_leaf(met.stored.index, what).field("record"));
            }
        }
        Ok(())
    }

    /// The row beside an event; of one that was erased, any that was left.
    fn beside(
        &self,
        reader: &mut dyn Reader,
        index: u64,
        opening: &Opening,
    ) -> Result<Option<TrailRow>, StoreError> {
        match opening {
            Opening::Read { record, .. } => reader.trail_row(record.tenant, index),
            Opening::Absent => match self.erased.owners(index).next() {
                Some(owner) => reader.trail_row(owner, index),
                None => Ok(None),
            },
            Opening::NotCanonical => Ok(None),
        }
    }

    /// Whether anything is to be said of an event: it is read again first.
    fn looks_wrong(&self, met: &Met) -> bool {
        let index = met.stored.index;
        let mut owners = self.erased.owners(index);
        match &met.opening {
            Opening::Read { record, .. } => {
                let nobody = record.event.token().is_some() && met.position.is_none();
                nobody
                    || owners.any(|owner| owner == record.tenant)
                    || self.difference(met, record).is_some()
            }
            Opening::Absent => met.beside.is_some() || owners.next().is_none(),
            Opening::NotCanonical => true,
        }
    }

    /// Reads an event again, in one moment of the store.
    fn again(&mut self, reader: &mut dyn Reader, met: &mut Met) -> Result<(), StoreError> {
        // A head that cannot be read is told when the walk comes to its end.
        let size = reader.head().ok().map(|head| head.size);
        if size.is_none() || size != self.read_at {
            self.erased.refresh(reader)?;
            self.read_at = size;
        }
        let index = met.stored.index;
        // One whose row went meanwhile is told in the next round.
        if let Some(stored) = reader.event(index)? {
            met.opening = Opening::of(&stored);
            met.stored = stored;
            met.beside = self.beside(reader, index, &met.opening)?;
        }
        Ok(())
    }

    /// A difference in the row beside an event, or `Err` if there is none.
    fn difference(&self, met: &Met, record: &Record) -> Option<Result<Difference, ()>> {
        let index = met.stored.index;
        let Some(kept) = &met.beside else {
            return Some(Err(()));
        };
        let erased = self.erased.names_words(record.tenant, index);
        if let Some(difference) = trail::difference(record, kept, erased) {
            return Some(Ok(difference));
        }
        let token = met.position.map(|position| self.counted.token(position));
        // Behind what is missing, the event before it may be, too.
        let previous = token
            .and_then(Count::leaf)
            .filter(|_| self.missing.is_none());
        let leads = kept.previous.and_then(|at| u64::try_from(at).ok());
        let astray = previous.is_some() && leads != previous;
        astray.then_some(Ok(Difference::Previous))
    }

    fn read(&mut self, going: &mut Going<'_>, met: &Met, record: &Record, commit: [u8; 32]) {
        let (index, tenant, token) = (met.stored.index, record.tenant, record.event.token());
        if !is_sealed(&met.stored, going.means.node.keyring.seal_key()) {
            going.found(unsealed(index).token(token));
        }
        let nobody = token.is_some() && met.position.is_none();
        if self.erased.owners(index).any(|owner| owner == tenant) {
            self.named.push((index, tenant, Named::There));
            // Nobody knows its token any more, so nothing but its tenant can be counted.
            if nobody && self.skip(going.means.node, &met.stored, tenant) {
                return;
            }
        } else if nobody {
            let what = "the node knows no such token";
            going.found(Finding::at_leaf(index, what).token(token));
        }
        let place = i64::try_from(index).unwrap_or(i64::MAX);
        let found = self.difference(met, record).map(|wrong| match wrong {
            Ok(difference) => difference.finding(place),
            Err(()) => Finding::new("trail", index, "the row is missing").leaf(Some(index)),
        });
        if let Some(finding) = found {
            going.found(finding.token(token));
        } else if record.aside.is_some() && self.erased.names_words(tenant, index) {
            self.named.push((index, tenant, Named::Words));
        }
        let sound = self.tags(going, met, (record, commit));
        if sound && matches!(record.event, Event::Erased(_)) {
            self.erased.replayed(index);
        }
    }

    fn absent(&mut self, going: &mut Going<'_>, met: &Met) {
        let index = met.stored.index;
        let owners: Vec<TenantId> = self.erased.owners(index).collect();
        let node = going.means.node;
        let owner = owners
            .into_iter()
            .find(|owner| self.was_erased(node, &met.stored, *owner));
        let Some(owner) = owner else {
            self.missing.add(1);
            going.found(without_opening(index));
            return;
        };
        self.named.push((index, owner, Named::Absent));
        if let Some(kept) = &met.beside {
            going.found(trail::left(kept.index));
        }
    }

    /// Counts an event whose opening a tenant's notice erased, if it is one of a token that the notice names.
    fn was_erased(&mut self, node: &Node, stored: &Stored, tenant: TenantId) -> bool {
        let leaf = (stored.index, stored.leaf.as_slice());
        let key = node.keyring.tag_key(tenant);
        let whose = key.is_some_and(|key| self.erased.is_of_a_token(leaf, tenant, &key));
        whose && self.skip(node, stored, tenant)
    }

    /// Counts an event of a tenant that cannot be read, if its leaf is one of the tenant's next.
    fn skip(&mut self, node: &Node, stored: &Stored, tenant: TenantId) -> bool {
        let due = self.tenants.get(&tenant).copied().unwrap_or(0) + 1;
        let key = node.keyring.tag_key(tenant);
        let number = key.and_then(|key| self.missing.number(&stored.leaf, &key, due));
        if let Some(number) = number {
            self.tenants.insert(tenant, number);
        }
        number.is_some()
    }

    /// Whether the leaf commits to the record, under the next tags.
    fn tags(
        &mut self,
        going: &mut Going<'_>,
        met: &Met,
        (record, commit): (&Record, [u8; 32]),
    ) -> bool {
        let (index, token) = (met.stored.index, record.event.token());
        let Some(key) = going.means.node.keyring.tag_key(record.tenant) else {
            let what = "the keyring has no key for its tenant";
            going.found(Finding::at_leaf(index, what).token(token));
            return false;
        };
        let due = self.numbers(record, met.position);
        let leaf = &met.stored.leaf;
        let (numbers, wrong) = self.missing.compare(leaf, (record, commit), &key, due);
        self.tenants.insert(record.tenant, numbers.tenant);
        let count = Count {
            events: numbers.about.saturating_add(1),
            last: index,
        };
        self.counted.add(record, met.position, count);
        let Some(part) = wrong else {
            return true;
        };
        going.found(part.finding(index).token(token));
        false
    }

    fn numbers(&self, record: &Record, position: Option<u32>) -> Numbers {
        let about = match (record.event.token(), position) {
            (Some(_), Some(position)) => self.counted.token(position),
            (Some(_), None) => Count::default(),
            (None, _) => self.counted.thing(&record.event.about(record.tenant)),
        };
        let tenant = self.tenants.get(&record.tenant).copied().unwrap_or(0) + 1;
        Numbers {
            tenant,
            about: about.events,
        }
    }

    /// Looks at what notices excused, now that the walk has come to them.
    pub(super) fn end(&mut self, going: &mut Going<'_>) {
        for (index, tenant, named) in core::mem::take(&mut self.named) {
            let place = i64::try_from(index).unwrap_or(i64::MAX);
            let limit = going.limit;
            let finding = match named {
                Named::Absent => {
                    let excused = self.erased.opening(tenant, index, limit);
                    excused.is_none().then(|| without_opening(index))
                }
                Named::There => {
                    let notice = self.erased.opening(tenant, index, u64::MAX);
                    notice.map(|notice| still_there(index, notice))
                }
                Named::Words => {
                    let excused = self.erased.words(tenant, index, limit);
                    let gone = || Difference::WordsGone.finding(place);
                    excused.is_none().then(gone)
                }
            };
            if let Some(finding) = finding {
                going.found(finding);
            }
        }
    }
}

fn without_opening(index: u64) -> Finding {
    Finding::at_leaf(index, format!("leaf {index} has no opening")).field("record")
}

fn still_there(index: u64, notice: u64) -> Finding {
    let what = format!("the opening is still there, though leaf {notice} erased it");
    Finding::at_leaf(index, what).field("record")
}

/// Where the tokens of some events stand in the index.
pub(super) fn positions(node: &Node, openings: &[Opening]) -> Vec<Option<u32>> {
    let token = |opening: &Opening| match opening {
        Opening::Read { record, .. } => record.event.token(),
        Opening::Absent | Opening::NotCanonical => None,
    };
    let tokens: Vec<Option<TokenId>> = openings.iter().map(token).collect();
    let mut found = Vec::with_capacity(tokens.len());
    for some in tokens.chunks(LOOK_UPS_AT_ONCE) {
        node.verifier.with_index(|index| {
            found.extend(some.iter().map(|id| id.and_then(|id| index.position(id))));
        });
    }
    found
}
