//! Compares ledger, tree, rows and words, and names each difference.
//!
//! Everything is derived anew from the leaves and their openings and then held against what is stored. Whatever bytes are in
//! the store, this ends with a report: what cannot be read is a finding like any other.

pub mod erased;
pub mod fields;
mod finding;
pub mod opening;
mod replay;
pub mod rows;
pub mod trail;
mod tree;
mod walk;

use std::collections::HashSet;

use jeton_core::{
    directory::Log,
    event::{Event, Record},
    id::TenantId,
    leaf::{SealKey, TagKey},
};
use jeton_tlog::{Hash, Policy, VerifierKey, WitnessKey};

pub use self::finding::{FINDINGS_MAX, Finding, bytes_that_differ};
use self::{
    erased::Erased,
    finding::Findings,
    opening::Opening,
    replay::{Replay, Told},
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
    /// What the ledger says of itself: its names, and its keys of all times.
    pub log: Log,
    /// The roots that the leaves give at the sizes that were asked for, as far as they go.
    pub roots: Vec<(u64, Hash)>,
    /// How many openings are gone, as the ledger says.
    pub erased_openings: u64,
    /// Beside how many events words are gone, as the ledger says.
    pub erased_words: u64,
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

/// How an opening that may be missing was met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Absent,
    There,
}

/// The most missing events that one gap names.
const GAP_MAX: usize = 10;

/// The keys that a store is checked with.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Gives a tenant's tag key.
    pub tags: &'a dyn Fn(TenantId) -> Option<TagKey>,
    /// Seals the authority's records.
    pub seal: &'a SealKey,
    /// The key of the log's checkpoints, where the ledger does not say which it has.
    pub log: &'a VerifierKey,
}

struct Fsck<'a> {
    keys: Keys<'a>,
    replay: Replay,
    erased: Erased,
    /// Events whose opening is not there or is, although a notice names it: with whose they are, if their leaves bear that out.
    named: Vec<(u64, Option<TenantId>, Met)>,
    trail: Trail,
    tree: Tree,
    events: u64,
    found: Findings,
    without: Option<Part>,
}

/// Checks the whole store.
///
/// # Errors
/// [`StoreError`] only where the store cannot be read at all; every difference is a [`Finding`].
pub fn fsck(reader: &mut dyn Reader, keys: Keys<'_>) -> Result<Report, StoreError> {
    with_roots(reader, keys, &[])
}

/// [`fsck`] that also tells the roots at some sizes: for whoever remembers one.
///
/// # Errors
/// As [`fsck`].
pub fn with_roots(
    reader: &mut dyn Reader,
    keys: Keys<'_>,
    sizes: &[u64],
) -> Result<Report, StoreError> {
    frozen(reader, keys, (None, sizes))
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
    frozen(reader, keys, (Some(part), &[]))
}

fn frozen(
    reader: &mut dyn Reader,
    keys: Keys<'_>,
    (without, sizes): (Option<Part>, &[u64]),
) -> Result<Report, StoreError> {
    reader.freeze()?;
    let report = check(reader, keys, (without, sizes));
    reader.thaw()?;
    Ok(report)
}

fn check(
    reader: &mut dyn Reader,
    keys: Keys<'_>,
    (without, sizes): (Option<Part>, &[u64]),
) -> Report {
    let mut found = Findings::default();
    let mut checkpoints = Vec::new();
    let read = reader.checkpoints(&mut |size, note| checkpoints.push((size, note)));
    heard("checkpoint", read, &mut found);
    let mut signed: HashSet<u64> = checkpoints
        .iter()
        .filter_map(|(size, _)| u64::try_from(*size).ok())
        .collect();
    let newest = signed.iter().max().copied();
    signed.extend(sizes);
    let head = reader
        .head()
        .map_err(|error| found.unreadable("head", &error))
        .ok();
    let erased = heard("event", Erased::read(reader), &mut found);
    let mut fsck = Fsck {
        keys,
        replay: Replay::default(),
        erased: erased.unwrap_or_default(),
        named: Vec::new(),
        trail: Trail::default(),
        tree: Tree::new(signed),
        events: 0,
        found,
        without,
    };
    fsck.ledger(reader, head.as_ref());
    let erased_openings = fsck.erasures();
    if without != Some(Part::Tree) {
        fsck.tree(reader, head.as_ref(), &checkpoints);
    }
    let mut rows = 0;
    if without != Some(Part::Rows) {
        let compared = rows::compare(reader, &mut fsck.replay, &mut fsck.found);
        rows = heard("token", compared, &mut fsck.found).unwrap_or(0);
    }
    let compared = fsck.trail.compare(reader, &fsck.erased, &mut fsck.found);
    heard("trail", compared, &mut fsck.found);
    Report {
        events: fsck.events,
        rows,
        checkpoints: u64::try_from(checkpoints.len()).unwrap_or(u64::MAX),
        signed: newest,
        head: head.map(|head| head.size),
        root: fsck.tree.root(),
        genesis: fsck.replay.genesis,
        log: Log::clone(fsck.replay.directory.log()),
        roots: fsck.tree.roots(sizes),
        erased_openings,
        erased_words: fsck.trail.erased,
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
        let seal = self.keys.seal;
        let walked = piped(
            |each: &mut dyn FnMut(Read) -> Continue| walk::events(reader, size, seal, each),
            |read| match read {
                Read::Event {
                    index,
                    leaf,
                    hash,
                    opening,
                    sealed,
                } => {
                    self.tree.push(hash);
                    if !sealed && self.without != Some(Part::Openings) {
                        self.found.add(opening::unsealed(index));
                    }
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
    }

    fn event(&mut self, index: u64, leaf: &[u8], opening: &Opening) {
        self.events += 1;
        if self.without == Some(Part::Openings) {
            return;
        }
        let told = match opening {
            Opening::Absent => {
                let owner = self.skipped(index, leaf);
                self.named.push((index, owner, Met::Absent));
                if owner.is_none() {
                    self.replay.pass_over(1);
                }
                None
            }
            Opening::NotCanonical => {
                let what = "the record is not canonical";
                self.found
                    .add(Finding::at_leaf(index, what).field("record"));
                self.replay.pass_over(1);
                None
            }
            Opening::Read { record, commit } => Some(self.read((index, leaf), record, *commit)),
        };
        self.trail.expect(index, told.as_ref());
    }

    /// Whose event it is that has no opening, if a notice says so, and its leaf is that tenant's next one and of a token that the
    /// notice names.
    fn skipped(&mut self, index: u64, leaf: &[u8]) -> Option<TenantId> {
        let (replay, erased, tags) = (&mut self.replay, &mut self.erased, self.keys.tags);
        let owners: Vec<TenantId> = erased.owners(index).collect();
        owners.into_iter().find(|tenant| {
            tags(*tenant).is_some_and(|key| {
                let whose = erased.is_of_a_token((index, leaf), *tenant, &key);
                whose && replay.skip((index, leaf), *tenant, &key)
            })
        })
    }

    fn read(&mut self, (index, leaf): (u64, &[u8]), record: &Record, commit: [u8; 32]) -> Told {
        let key = (self.keys.tags)(record.tenant);
        let read = (record, commit);
        let told = self
            .replay
            .event((index, leaf), read, key.as_ref(), &mut self.found);
        if let (true, Event::Erased(erasure)) = (told.sound, &record.event) {
            self.erased.replayed(index);
            self.replay.forget(erasure);
        }
        if self
            .erased
            .owners(index)
            .any(|owner| owner == record.tenant)
        {
            self.named.push((index, Some(record.tenant), Met::There));
        }
        told
    }

    /// Looks at what was erased, now that it is known which notices are believed: how many openings are gone for good reason.
    fn erasures(&mut self) -> u64 {
        let mut gone = 0;
        for (index, owner, met) in &self.named {
            let index = *index;
            let notice = owner.and_then(|owner| self.erased.opening(owner, index, u64::MAX));
            let what = match (notice, met) {
                (Some(_), Met::Absent) => {
                    gone += 1;
                    self.trail.gone(index);
                    continue;
                }
                (Some(notice), Met::There) => {
                    self.trail.gone(index);
                    format!("the opening is still there, though leaf {notice} erased it")
                }
                (None, Met::Absent) => format!("leaf {index} has no opening"),
                (None, Met::There) => continue,
            };
            self.found
                .add(Finding::at_leaf(index, what).field("record"));
        }
        gone
    }

    /// The keys with which the ledger may have signed a checkpoint of so many events, under its name of that time.
    ///
    /// Of a stolen key as well: what the ledger signed with it before anybody knew is compared like the rest.
    fn checkpoint_keys(&self, size: Option<u64>) -> Vec<VerifierKey> {
        let log = self.replay.directory.log();
        if log.epochs.is_empty() {
            return vec![self.keys.log.clone()];
        }
        let size = size.unwrap_or(0);
        let origin = log.origin_at(size);
        let keys = log.keys.iter().filter(|key| key.in_force_at(size));
        keys.filter_map(|key| VerifierKey::new(origin, &key.public).ok())
            .collect()
    }

    /// The witnesses whose cosignatures can be looked at: those of the policy that is in force.
    fn witnesses(&self) -> Vec<WitnessKey> {
        let policy = self.replay.directory.log().policy.as_deref();
        let policy = policy.and_then(|text| Policy::parse(text).ok());
        let witnesses = policy.iter().flat_map(Policy::witnesses);
        witnesses.map(|witness| witness.key().clone()).collect()
    }

    /// Events that are not there. As far as tiles kept the hashes of their leaves, what follows them can still be compared.
    fn gap(&mut self, from: u64, to: u64, hashes: Vec<Hash>) {
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
        let witnesses = self.witnesses();
        for (size, note) in checkpoints {
            let keys = self.checkpoint_keys(u64::try_from(*size).ok());
            let keys = (keys.as_slice(), witnesses.as_slice());
            self.tree.checkpoint((*size, note), keys, &mut self.found);
        }
    }
}
