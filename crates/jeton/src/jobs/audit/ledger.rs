//! The walk over the ledger: each leaf in the tree, each opening under the next tags, each trail's words, each tile, the head.

use std::collections::HashMap;

use jeton_core::{
    event::Record,
    id::{TenantId, TokenId},
};
use jeton_store::{
    Continue, Reader as _, StoreError, Stored,
    fsck::{
        Finding, bytes_that_differ,
        opening::{Missing, Numbers, Opening},
        trail,
    },
    ledger::Sealer,
};
use jeton_tlog::{Hash, Tile, leaf_hash};

use super::round::{Going, More};
use crate::node::start::Node;

/// How many events are read at once.
const EVENTS_AT_ONCE: usize = 256;
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
}

pub(super) struct Ledger {
    sealer: Sealer,
    /// A leaf is missing: the tree cannot be compared behind it.
    broken: bool,
    next: u64,
    missing: Missing,
    tenants: HashMap<TenantId, u64>,
    counted: Counted,
    /// The youngest checkpoint that the node signed, as it knows by itself.
    signed: Option<(u64, Hash)>,
}

impl Ledger {
    pub(super) fn new(going: &Going<'_>) -> Self {
        Self {
            sealer: Sealer::new(),
            broken: false,
            next: 0,
            missing: Missing::default(),
            tenants: HashMap::new(),
            counted: Counted {
                tokens: Vec::new(),
                things: HashMap::new(),
            },
            signed: signed(going.means.node).filter(|(size, _)| *size <= going.limit),
        }
    }

    pub(super) fn counted(self) -> Counted {
        self.counted
    }

    /// Walks over the next events.
    pub(super) fn piece(&mut self, going: &mut Going<'_>) -> Result<More, StoreError> {
        let mut read = Vec::with_capacity(EVENTS_AT_ONCE);
        let limit = going.limit;
        going.reader.events(self.next, &mut |stored| {
            if stored.index < limit {
                read.push(stored);
            }
            Ok(
                if read.len() < EVENTS_AT_ONCE && read.last().is_some_and(|s| s.index + 1 < limit) {
                    Continue::Yes
                } else {
                    Continue::No
                },
            )
        })?;
        let openings: Vec<Opening> = read.iter().map(Opening::of).collect();
        let positions = positions(going.means.node, &openings);
        for ((stored, opening), position) in read.iter().zip(&openings).zip(positions) {
            self.gap(going, stored.index);
            self.leaf(going, stored)?;
            self.opening(going, stored, opening, position)?;
            self.next = stored.index + 1;
            going.round.events += 1;
        }
        if read.is_empty() || self.next >= limit {
            self.gap(going, limit);
            self.next = limit;
            return Ok(More::No);
        }
        Ok(More::Yes)
    }

    /// Events below `index` that are not there.
    fn gap(&mut self, going: &mut Going<'_>, index: u64) {
        if self.next >= index {
            return;
        }
        for missing in (self.next..index).take(EVENTS_AT_ONCE) {
            let what =
                format!("index {missing} is missing: leaf {missing} has no opening and no row");
            going.found(Finding::at_leaf(missing, what));
        }
        self.missing.add(index - self.next);
        self.next = index;
        self.broken = true;
    }

    /// Grows the tree, and compares what it gives.
    fn leaf(&mut self, going: &mut Going<'_>, stored: &Stored) -> Result<(), StoreError> {
        if self.broken {
            return Ok(());
        }
        for Tile { id, bytes } in self.sealer.push_hash(leaf_hash(&stored.leaf)) {
            let kept = going.reader.tile(id.level(), id.index())?;
            let what = match kept {
                None => "the tile is missing".to_owned(),
                Some(kept) => match bytes_that_differ(&bytes, &kept) {
                    None => continue,
                    Some(range) => format!(
                        "bytes {}..{} are not what the leaves give",
                        range.start, range.end
                    ),
                },
            };
            going.found(Finding::new("tile", id.path(), what));
        }
        let size = self.sealer.size();
        if let Some((signed, root)) = &self.signed
            && *signed == size
            && *root != self.sealer.root()
        {
            let what =
                format!("the leaves below {size} do not give the root that this node signed");
            going.found(Finding::at_leaf(stored.index, what));
        }
        Ok(())
    }

    fn opening(
        &mut self,
        going: &mut Going<'_>,
        stored: &Stored,
        opening: &Opening,
        position: Option<u32>,
    ) -> Result<(), StoreError> {
        let index = stored.index;
        match opening {
            Opening::Read { record, commit } => {
                let token = position.map(|position| self.counted.token(position));
                let previous = token.and_then(Count::leaf);
                self.tags(going, stored, (record, *commit), position);
                if record.event.token().is_some() && position.is_none() {
                    let what = "the node knows no such token";
                    going.found(Finding::at_leaf(index, what).token(record.event.token()));
                }
                // Behind what is missing, the event before it may be, too.
                let previous = previous.filter(|_| self.missing.is_none());
                trail_beside(going, index, record, previous)
            }
            Opening::Absent if excused(going.means.node, index) => {
                self.missing.add(1);
                Ok(())
            }
            Opening::Absent | Opening::NotCanonical => {
                self.missing.add(1);
                let what = match opening {
                    Opening::Absent => format!("leaf {index} has no opening"),
                    Opening::NotCanonical | Opening::Read { .. } => {
                        "the record is not canonical".to_owned()
                    }
                };
                going.found(Finding::at_leaf(index, what).field("record"));
                Ok(())
            }
        }
    }

    /// The leaf commits to the record, under the next tags.
    fn tags(
        &mut self,
        going: &mut Going<'_>,
        stored: &Stored,
        (record, commit): (&Record, [u8; 32]),
        position: Option<u32>,
    ) {
        let token = record.event.token();
        let Some(key) = going.means.node.keyring.tag_key(record.tenant) else {
            let what = "the keyring has no key for its tenant";
            return going.found(Finding::at_leaf(stored.index, what).token(token));
        };
        let due = self.numbers(record, position);
        let (numbers, wrong) = self
            .missing
            .compare(&stored.leaf, (record, commit), &key, due);
        self.count(record, stored.index, position, numbers);
        if let Some(part) = wrong {
            going.found(part.finding(stored.index).token(token));
        }
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

    fn count(&mut self, record: &Record, index: u64, position: Option<u32>, numbers: Numbers) {
        self.tenants.insert(record.tenant, numbers.tenant);
        let events = numbers.about.saturating_add(1);
        if record.event.token().is_none() {
            let about = record.event.about(record.tenant);
            self.counted.things.insert(
                about,
                Count {
                    events,
                    last: index,
                },
            );
            return;
        }
        let Some(at) = position.and_then(|position| usize::try_from(position).ok()) else {
            return;
        };
        let tokens = &mut self.counted.tokens;
        if tokens.len() <= at {
            tokens.resize(at + 1, (0, 0));
        }
        if let Some(count) = tokens.get_mut(at) {
            *count = (u32::try_from(events).unwrap_or(u32::MAX), index);
        }
    }

    /// The events that came since the round began, as far as the tree goes; then the head of the same moment.
    pub(super) fn end(&mut self, going: &mut Going<'_>) -> Result<(), StoreError> {
        going.reader.freeze()?;
        let compared = self.head(going);
        going.reader.thaw()?;
        compared
    }

    fn head(&mut self, going: &mut Going<'_>) -> Result<(), StoreError> {
        let head = match going.reader.head() {
            Ok(head) => head,
            Err(StoreError::Inconsistent { table, column, row }) => {
                going.found(Finding::new(
                    table,
                    row,
                    format!("{column}: no legal value"),
                ));
                return Ok(());
            }
            Err(error @ (StoreError::Full | StoreError::Disk { .. } | StoreError::Unusable(_))) => {
                return Err(error);
            }
        };
        let (sealer, mut beyond) = (&mut self.sealer, None);
        going.reader.events(going.limit, &mut |stored| {
            if stored.index >= head.size {
                beyond = Some(stored.index);
                return Ok(Continue::No);
            }
            sealer.push(&stored.leaf);
            Ok(Continue::Yes)
        })?;
        if let Some(index) = beyond {
            going.found(Finding::at_leaf(index, "it lies beyond the head"));
        }
        if self.broken {
            return Ok(());
        }
        if self.sealer.size() != head.size {
            let what = format!(
                "the head says {} events, there are {}",
                head.size,
                self.sealer.size()
            );
            going.found(Finding::new("head", "size", what).field("size"));
        } else if let Some(range) = bytes_that_differ(&self.sealer.frontier(), &head.frontier) {
            let what = format!(
                "bytes {}..{} are not what the leaves give",
                range.start, range.end
            );
            going.found(Finding::new("head", "frontier", what).field("frontier"));
        }
        Ok(())
    }
}

/// The trail's row beside an event: its words are those of the record, and the way back leads to `previous`, if that is known.
fn trail_beside(
    going: &mut Going<'_>,
    index: u64,
    record: &Record,
    previous: Option<u64>,
) -> Result<(), StoreError> {
    let place = i64::try_from(index).unwrap_or(i64::MAX);
    let found = match going.reader.trail_row(record.tenant, index)? {
        None => Some(Finding::new("trail", index, "the row is missing").leaf(Some(index))),
        Some(kept) => {
            let leads = kept
                .previous
                .and_then(|previous| u64::try_from(previous).ok());
            let astray = previous.is_some() && leads != previous;
            let field = trail::difference(record, &kept).or(astray.then_some("previous"));
            field.map(|field| trail::finding(place, field))
        }
    };
    if let Some(finding) = found {
        going.found(finding.token(record.event.token()));
    }
    Ok(())
}

/// Whether something says that an opening is gone for good reason.
const fn excused(_node: &Node, _index: u64) -> bool {
    false
}

/// Size and root of the youngest checkpoint that the node holds in memory.
fn signed(node: &Node) -> Option<(u64, Hash)> {
    let signed = node.signed.borrow();
    signed.as_ref().map(|signed| (signed.size, signed.root))
}

/// Where the tokens of some events stand in the index.
fn positions(node: &Node, openings: &[Opening]) -> Vec<Option<u32>> {
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
