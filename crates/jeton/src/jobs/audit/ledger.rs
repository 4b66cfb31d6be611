//! The walk over the ledger: each leaf in the tree, each tile, the head; and the openings of the leaves ([`super::openings`]).

use jeton_store::{
    Continue, Reader as _, StoreError, Stored,
    fsck::{Finding, bytes_that_differ, opening::Opening},
    ledger::Sealer,
};
use jeton_tlog::{Hash, Tile, leaf_hash};

use super::{
    openings::{Counted, Openings, positions},
    round::{Going, More},
};
use crate::node::start::Node;

/// How many events are read at once.
const EVENTS_AT_ONCE: usize = 256;
pub(super) struct Ledger {
    sealer: Sealer,
    /// A leaf is missing: the tree cannot be compared behind it.
    broken: bool,
    next: u64,
    openings: Openings,
    /// The youngest checkpoint that the node signed, as it knows by itself.
    signed: Option<(u64, Hash)>,
}

impl Ledger {
    pub(super) fn new(going: &mut Going<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            sealer: Sealer::new(),
            broken: false,
            next: 0,
            openings: Openings::new(&mut going.reader)?,
            signed: signed(going.means.node).filter(|(size, _)| *size <= going.limit),
        })
    }

    pub(super) fn counted(self) -> Counted {
        self.openings.counted
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
        let through = read.is_empty();
        for (read, position) in read.into_iter().zip(openings).zip(positions) {
            let index = read.0.index;
            self.gap(going, index);
            self.leaf(going, &read.0)?;
            self.openings.take(going, read, position)?;
            self.next = index + 1;
            going.round.events += 1;
        }
        if through || self.next >= limit {
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
        self.openings.missing.add(index - self.next);
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

    /// The events that came since the round began, as far as the tree goes; then the head of the same moment.
    pub(super) fn end(&mut self, going: &mut Going<'_>) -> Result<(), StoreError> {
        self.openings.end(going);
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

/// Size and root of the youngest checkpoint that the node holds in memory.
fn signed(node: &Node) -> Option<(u64, Hash)> {
    let signed = node.signed.borrow();
    signed.as_ref().map(|signed| (signed.size, signed.root))
}
