//! Compares ledger, tree, rows and words, and names each difference.
//!
//! Everything is derived anew from the leaves and their openings and then held against what is stored. Whatever bytes are in
//! the store, this ends with a report: what cannot be read is a finding like any other.

pub mod fields;
mod finding;
pub mod opening;
mod replay;
pub mod rows;
pub mod trail;
mod tree;
mod walk;

use std::collections::HashSet;

use jeton_core::{id::TenantId, leaf::TagKey};
use jeton_tlog::VerifierKey;

pub use self::finding::{FINDINGS_MAX, Finding, bytes_that_differ};
use self::{
    finding::Findings,
    opening::Opening,
    replay::Replay,
    trail::Trail,
    tree::Tree,
    walk::{Read, piped},
};
use crate::{Continue, Head, Reader, StoreError};

/// What a check of the whole store saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many events were replayed.
    pub events: u64,
    /// How many rows were compared.
    pub rows: u64,
    /// How many checkpoints were compared.
    pub checkpoints: u64,
    /// The size of the newest of them; `None`: there is none.
    pub signed: Option<u64>,
    /// Where the head says that the ledger ends; `None`: it cannot be read.
    pub head: Option<u64>,
    /// The root that the leaves give, in base64.
    pub root: String,
    /// What the first event says: the name of the log, and the Ed25519 key that signs its checkpoints.
    pub genesis: Option<(String, [u8; 32])>,
    /// The differences.
    pub findings: Vec<Finding>,
    /// How many more differences there are in tables that have [`FINDINGS_MAX`].
    pub dropped: u64,
}

/// A comparison that can be left out: only for the controls of the gates that prove it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Stored tiles, head and checkpoints.
    Tree,
    /// Events with their openings.
    Openings,
    /// The rows of the projection.
    Rows,
}

/// The most missing events that one gap names.
const GAP_MAX: usize = 10;

/// The keys that a store is checked with.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Gives a tenant's tag key.
    pub tags: &'a dyn Fn(TenantId) -> Option<TagKey>,
    /// The key of the log's checkpoints.
    pub log: &'a VerifierKey,
}

struct Fsck<'a> {
    keys: Keys<'a>,
    replay: Replay,
    trail: Trail,
    tree: Tree,
    events: u64,
    found: Findings,
    without: Option<Part>,
}

/// Checks the whole store. `keys` gives a tenant's tag key, `log` the key of the log's checkpoints.
///
/// # Errors
/// [`StoreError`] only where the store cannot be read at all; every difference is a [`Finding`].
pub fn fsck(
    reader: &mut dyn Reader,
    keys: &dyn Fn(TenantId) -> Option<TagKey>,
    log: &VerifierKey,
) -> Result<Report, StoreError> {
    let keys = Keys { tags: keys, log };
    frozen(reader, keys, None)
}

/// [`fsck`] without one of its comparisons: it must miss what that one finds.
///
/// # Errors
/// As [`fsck`].
pub fn danger_without(
    part: Part,
    reader: &mut dyn Reader,
    keys: Keys<'_>,
) -> Result<Report, StoreError> {
    frozen(reader, keys, Some(part))
}

fn frozen(
    reader: &mut dyn Reader,
    keys: Keys<'_>,
    without: Option<Part>,
) -> Result<Report, StoreError> {
    reader.freeze()?;
    let report = check(reader, keys, without);
    reader.thaw()?;
    Ok(report)
}

/// The keys with which a checkpoint of so many events may be signed.
fn checkpoint_keys<'k>(keys: &Keys<'k>, _size: Option<u64>) -> &'k [VerifierKey] {
    core::slice::from_ref(keys.log)
}

/// Whether an event that was read says that the opening of another is gone for good reason.
const fn excused(_replay: &Replay, _index: u64) -> bool {
    false
}

fn check(reader: &mut dyn Reader, keys: Keys<'_>, without: Option<Part>) -> Report {
    let mut found = Findings::default();
    let mut checkpoints = Vec::new();
    let read = reader.checkpoints(&mut |size, note| checkpoints.push((size, note)));
    heard("checkpoint", read, &mut found);
    let signed: HashSet<u64> = checkpoints
        .iter()
        .filter_map(|(size, _)| u64::try_from(*size).ok())
        .collect();
    let newest = signed.iter().max().copied();
    let head = reader
        .head()
        .map_err(|error| found.unreadable("head", &error))
        .ok();
    let mut fsck = Fsck {
        keys,
        replay: Replay::default(),
        trail: Trail::default(),
        tree: Tree::new(signed),
        events: 0,
        found,
        without,
    };
    fsck.ledger(reader, head.as_ref());
    if without != Some(Part::Tree) {
        fsck.tree(reader, head.as_ref(), &checkpoints);
    }
    let mut rows = 0;
    if without != Some(Part::Rows) {
        let compared = rows::compare(reader, &mut fsck.replay, &mut fsck.found);
        rows = heard("token", compared, &mut fsck.found).unwrap_or(0);
    }
    let compared = fsck.trail.compare(reader, &mut fsck.found);
    heard("trail", compared, &mut fsck.found);
    Report {
        events: fsck.events,
        rows,
        checkpoints: u64::try_from(checkpoints.len()).unwrap_or(u64::MAX),
        signed: newest,
        head: head.map(|head| head.size),
        root: fsck.tree.root(),
        genesis: fsck.replay.genesis,
        dropped: fsck.found.dropped,
        findings: fsck.found.into_vec(),
    }
}

/// What was read of a table, or that it cannot be read to its end.
fn heard<T>(table: &'static str, read: Result<T, StoreError>, found: &mut Findings) -> Option<T> {
    read.map_err(|error| found.unreadable(table, &error)).ok()
}

impl Fsck<'_> {
    /// Walks over all events.
    fn ledger(&mut self, reader: &mut dyn Reader, head: Option<&Head>) {
        let size = head.map_or(u64::MAX, |head| head.size);
        if let Some(strays) = heard("event", reader.strays(), &mut self.found) {
            let stray = |index| Finding::new("event", index, "no index is below zero").field("idx");
            self.found.extend(strays.into_iter().map(stray));
        }
        let walked = piped(
            |each: &mut dyn FnMut(Read) -> Continue| walk::events(reader, size, each),
            |read| match read {
                Read::Event {
                    index,
                    leaf,
                    hash,
                    opening,
                } => {
                    self.tree.push(hash);
                    self.event(index, &leaf, &opening);
                }
                Read::Gap { from, to, hashes } => self.gap(from, to, hashes),
                Read::Beyond(index) => {
                    self.found
                        .add(Finding::at_leaf(index, "it lies beyond the head"));
                }
            },
        );
        heard("event", walked, &mut self.found);
        let replay = &self.replay;
        let unopened = replay
            .unopened
            .iter()
            .filter(|index| !excused(replay, **index));
        self.found.extend(unopened.map(|index| {
            Finding::at_leaf(*index, format!("leaf {index} has no opening")).field("record")
        }));
    }

    fn event(&mut self, index: u64, leaf: &[u8], opening: &Opening) {
        self.events += 1;
        if self.without == Some(Part::Openings) {
            return;
        }
        let told = match opening {
            Opening::Absent => {
                self.replay.unopened.push(index);
                None
            }
            Opening::NotCanonical => {
                let what = "the record is not canonical";
                self.found
                    .add(Finding::at_leaf(index, what).field("record"));
                None
            }
            Opening::Read { record, commit } => {
                let key = (self.keys.tags)(record.tenant);
                let told = self.replay.event(
                    (index, leaf),
                    (record, *commit),
                    key.as_ref(),
                    &mut self.found,
                );
                Some(told)
            }
        };
        if told.is_none() {
            self.replay.pass_over(1);
        }
        self.trail.expect(index, told.as_ref());
    }

    /// Events that are not there. As far as tiles kept the hashes of their leaves, what follows them can still be compared.
    fn gap(&mut self, from: u64, to: u64, hashes: Vec<jeton_tlog::Hash>) {
        let told = match self.without {
            Some(Part::Openings) => 0,
            None | Some(Part::Tree | Part::Rows) => GAP_MAX,
        };
        for index in (from..to).take(told) {
            let what = format!("index {index} is missing: leaf {index} has no opening and no row");
            self.found.add(Finding::at_leaf(index, what));
        }
        let known = from.saturating_add(u64::try_from(hashes.len()).unwrap_or(0));
        for hash in hashes {
            self.tree.push(hash);
        }
        if known < to {
            self.tree.unknown(known);
        }
        self.replay.pass_over(to - from);
    }

    /// Compares what is stored of the tree.
    fn tree(
        &mut self,
        reader: &mut dyn Reader,
        head: Option<&Head>,
        checkpoints: &[(i64, String)],
    ) {
        let compared = self.tree.tiles(reader, &mut self.found);
        heard("tile", compared, &mut self.found);
        if let Some(head) = head {
            self.tree.head(head, self.events, &mut self.found);
        }
        for (size, note) in checkpoints {
            let keys = checkpoint_keys(&self.keys, u64::try_from(*size).ok());
            self.tree.checkpoint((*size, note), keys, &mut self.found);
        }
    }
}
