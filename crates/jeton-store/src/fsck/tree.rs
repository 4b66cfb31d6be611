//! The tree that the leaves give, compared with everything stored of it: tiles of all levels, the head, signed checkpoints.

use std::collections::{HashMap, HashSet};

use jeton_tlog::{
    Checkpoint, CheckpointError, Frontier, HASH_BYTES, Hash, Note, TILE_WIDTH, Tile, TileId,
    VerifiedCheckpoint, VerifierKey, WitnessKey, leaf_hash,
};
use sha2::{Digest as _, Sha256};

use super::finding::{FINDINGS_MAX, Finding, Findings, bytes_that_differ};
use crate::{Continue, Head, Reader, StoreError, ledger::Sealer};

/// For so many tiles it is looked up which bytes differ.
const RANGES_MAX: usize = 100;

pub(super) struct Tree {
    sealer: Sealer,
    /// The first leaf whose hash nobody knows: behind it, nothing can be compared.
    pub(super) broken_at: Option<u64>,
    /// Full tiles, by what they must hold: their digest, so that memory does not grow with all of them.
    due: Vec<(TileId, [u8; 32])>,
    signed: HashSet<u64>,
    roots: HashMap<u64, Hash>,
}

impl Tree {
    /// An empty one, that will remember its root at the sizes `signed`.
    pub(super) fn new(signed: HashSet<u64>) -> Self {
        let sealer = Sealer::new();
        let empty = signed.contains(&0).then(|| (0, sealer.root()));
        Self {
            broken_at: None,
            due: Vec::new(),
            signed,
            roots: empty.into_iter().collect(),
            sealer,
        }
    }

    /// The roots at some sizes, as far as the leaves are known.
    pub(super) fn roots(&self, sizes: &[u64]) -> Vec<(u64, Hash)> {
        let known = |size: &u64| Some((*size, *self.roots.get(size)?));
        sizes.iter().filter_map(known).collect()
    }

    /// Grows by the next leaf.
    pub(super) fn push(&mut self, hash: Hash) {
        if self.broken_at.is_some() {
            return;
        }
        for Tile { id, bytes } in self.sealer.push_hash(hash) {
            self.due.push((id, Sha256::digest(&bytes).into()));
        }
        if self.signed.contains(&self.sealer.size()) {
            self.roots.insert(self.sealer.size(), self.sealer.root());
        }
    }

    /// The leaf at `index` is not known.
    pub(super) fn unknown(&mut self, index: u64) {
        self.broken_at.get_or_insert(index);
    }

    pub(super) fn root(&self) -> String {
        self.sealer.root().to_string()
    }

    /// Compares the head; `events` are there.
    pub(super) fn head(&self, head: &Head, events: u64, found: &mut Findings) {
        if events != head.size {
            let what = format!("the head says {} events, there are {events}", head.size);
            found.add(Finding::new("head", "size", what).field("size"));
        }
        let due = self.sealer.frontier();
        let differ = bytes_that_differ(&due, &head.frontier);
        if let (None, Some(range)) = (self.broken_at, differ) {
            let (from, to) = (range.start, range.end);
            let what = format!("bytes {from}..{to} are not what the leaves give");
            found.add(Finding::new("head", "frontier", what).field("frontier"));
        }
    }

    /// Compares all tiles, and names those that no leaves give.
    pub(super) fn tiles(
        &self,
        reader: &mut dyn Reader,
        found: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut ids = HashSet::new();
        let mut ranges = 0;
        for (id, due) in &self.due {
            let (level, n) = (id.level(), id.index());
            ids.insert((i64::from(level), i64::try_from(n).unwrap_or(i64::MAX)));
            let kept = reader.tile(level, n)?;
            if kept
                .as_ref()
                .is_some_and(|kept| Sha256::digest(kept)[..] == *due)
            {
                continue;
            }
            let first_leaf = first_leaf(level, n);
            let what = match &kept {
                None => "the tile is missing".to_owned(),
                Some(_) if ranges >= RANGES_MAX => "it is not what the leaves give".to_owned(),
                Some(kept) => {
                    ranges += 1;
                    difference(reader, *id, kept)?
                }
            };
            found.add(Finding::new("tile", id.path(), what).leaf(first_leaf));
        }
        self.ghosts(reader, &ids, found)
    }

    fn ghosts(
        &self,
        reader: &mut dyn Reader,
        ids: &HashSet<(i64, i64)>,
        found: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut ghosts = Vec::new();
        reader.tiles(&mut |level, n| {
            if !ids.contains(&(level, n))
                && ghosts.len() < FINDINGS_MAX
                && !self.is_behind_break(level, n)
            {
                ghosts.push(format!("level {level}, number {n}"));
            }
        })?;
        let what = "no leaves give this tile";
        found.extend(
            ghosts
                .into_iter()
                .map(|ghost| Finding::new("tile", ghost, what)),
        );
        Ok(())
    }

    /// Whether a tile holds, or lies behind, a leaf that is not known: then nobody can say what it must be.
    fn is_behind_break(&self, level: i64, n: i64) -> bool {
        let behind = || {
            let (level, n) = (u8::try_from(level).ok()?, u64::try_from(n).ok()?);
            Some(first_leaf(level, n.saturating_add(1)).unwrap_or(u64::MAX) > self.broken_at?)
        };
        behind().unwrap_or(false)
    }

    /// Compares a checkpoint that was kept: signed by one of the ledger's `keys`, and by none of those or of the `witnesses`
    /// wrongly. Others may have signed it, too.
    pub(super) fn checkpoint(
        &self,
        (size, note): (i64, &str),
        (keys, witnesses): (&[VerifierKey], &[WitnessKey]),
        found: &mut Findings,
    ) {
        let noted = |what: String| Finding::new("checkpoint", size, what).field("note");
        if keys.is_empty() {
            found.add(noted("no key of the ledger signs at this size".to_owned()));
            return;
        }
        let open = match opened(note, keys, witnesses) {
            Ok(open) => open,
            Err(error) => {
                found.add(noted(error.to_string()));
                return;
            }
        };
        let finding = |what: String| Finding::new("checkpoint", size, what);
        if u64::try_from(size) != Ok(open.size()) {
            let what = format!("the note is of size {}", open.size());
            found.add(finding(what).field("size"));
        } else if self.broken_at.is_some_and(|leaf| leaf < open.size()) {
            // What was signed cannot be compared; that a leaf is missing is told already.
        } else if open.size() > self.sealer.size() {
            let what = format!(
                "{} events were signed, there are {}",
                open.size(),
                self.sealer.size()
            );
            found.add(finding(what).field("size").leaf(open.size().checked_sub(1)));
        } else if self.roots.get(&open.size()) != Some(open.root()) {
            let what = "the signed root is not what the leaves give".to_owned();
            found.add(finding(what).field("root").leaf(open.size().checked_sub(1)));
        }
    }
}

fn opened(
    note: &str,
    keys: &[VerifierKey],
    witnesses: &[WitnessKey],
) -> Result<VerifiedCheckpoint, CheckpointError> {
    let note = Note::parse(note.as_bytes()).map_err(CheckpointError::Note)?;
    let cosigned = note.cosignatures(witnesses);
    cosigned.map_err(CheckpointError::Note)?;
    Checkpoint::open_note(&note, keys)
}

/// The first leaf below a tile.
fn first_leaf(level: u8, n: u64) -> Option<u64> {
    let leaves = u64::from(TILE_WIDTH).checked_pow(u32::from(level) + 1)?;
    n.checked_mul(leaves)
}

/// Which bytes of a stored tile differ from what lies below it.
fn difference(reader: &mut dyn Reader, id: TileId, kept: &[u8]) -> Result<String, StoreError> {
    let below = below(reader, id)?;
    let range = bytes_that_differ(&below, kept)
        .filter(|_| below.len() == usize::from(TILE_WIDTH) * HASH_BYTES);
    Ok(match range {
        Some(range) => format!(
            "bytes {}..{} are not what the leaves give",
            range.start, range.end
        ),
        None => "it is not what the leaves give".to_owned(),
    })
}

/// The hashes that a tile must hold, from the leaves or from the tiles one level below.
fn below(reader: &mut dyn Reader, id: TileId) -> Result<Vec<u8>, StoreError> {
    let width = u64::from(TILE_WIDTH);
    let from = id.index().saturating_mul(width);
    let end = from.saturating_add(width);
    let mut bytes = Vec::new();
    let Some(level) = id.level().checked_sub(1) else {
        reader.events(from, &mut |stored| {
            if stored.index < end {
                bytes.extend_from_slice(leaf_hash(&stored.leaf).as_bytes());
                return Ok(Continue::Yes);
            }
            Ok(Continue::No)
        })?;
        return Ok(bytes);
    };
    for n in from..end {
        let mut root = Frontier::new();
        let tile = reader.tile(level, n)?.unwrap_or_default();
        for hash in tile
            .chunks_exact(HASH_BYTES)
            .filter_map(|h| h.first_chunk())
        {
            root.push(Hash::from_bytes(*hash));
        }
        bytes.extend_from_slice(root.root().as_bytes());
    }
    Ok(bytes)
}
