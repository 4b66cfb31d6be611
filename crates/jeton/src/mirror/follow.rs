//! From one checkpoint of a log to the next: what was seen, what is shown now, and the entries between the two, hashed into a
//! tree that continues the one before.

use std::collections::HashMap;

use jeton_tlog::{
    BundleId, Checkpoint, Frontier, HASH_BYTES, Hash, Note, Policy, ProofError, TILE_WIDTH, Tile,
    TileBuilder, TileId, TilePath, TileSpan, WitnessedCheckpoint, decode_bundle, leaf_hash,
    prove_consistency, verify_consistency,
};

use super::{Finding, MirrorError, Source};

/// A head that was verified before: what the log must continue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which log.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
}

impl Seen {
    /// Reads a checkpoint that was verified when it was kept.
    pub(super) fn of_kept(note: &[u8]) -> Option<Self> {
        let note = Note::parse(note).ok()?;
        let kept = Checkpoint::parse(note.unverified_text()).ok()?;
        Some(Self {
            origin: kept.origin().to_owned(),
            size: kept.size(),
            root: *kept.root(),
        })
    }
}

/// What the log shows now, with a checkpoint that satisfies the policy.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The checkpoint as it came.
    pub note: Vec<u8>,
    /// What it says.
    pub seen: Seen,
    /// Who has signed it.
    pub witnessed: WitnessedCheckpoint,
}

/// New entries of one bundle, with the tiles that they fill.
pub struct Grown<'a> {
    /// Which bundle, of the width that the checkpoint gives it.
    pub bundle: BundleId,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Index and bytes of each entry that was not seen before.
    pub fresh: &'a [(u64, &'a [u8])],
    /// The tiles that are full now.
    pub tiles: Vec<Tile>,
}

/// Reads the youngest checkpoint and compares it with what was seen.
///
/// # Errors
/// [`Finding::Unverified`], [`Finding::AnotherLog`], [`Finding::Rollback`]; [`Finding::Fork`] for another root at the same
/// size; [`MirrorError`] if it cannot be asked.
pub async fn look(
    source: &Source,
    policy: &Policy,
    seen: Option<&Seen>,
) -> Result<Shown, MirrorError> {
    Ok(judge(source.checkpoint().await?, policy, seen)?)
}

/// Whether a checkpoint is to be believed, and continues what was seen.
pub(super) fn judge(note: Vec<u8>, policy: &Policy, seen: Option<&Seen>) -> Result<Shown, Finding> {
    let witnessed = policy.verify(&note);
    let witnessed = witnessed.map_err(|e| Finding::refused(&e))?;
    let head = witnessed.checkpoint();
    let now = Seen {
        origin: head.origin().to_owned(),
        size: head.size(),
        root: *head.root(),
    };
    if let Some(seen) = seen {
        go_on(seen, &now)?;
    }
    Ok(Shown {
        note,
        seen: now,
        witnessed,
    })
}

fn go_on(seen: &Seen, now: &Seen) -> Result<(), Finding> {
    if seen.origin != now.origin {
        return Err(Finding::AnotherLog {
            seen: seen.origin.clone(),
            shown: now.origin.clone(),
        });
    }
    if now.size < seen.size {
        return Err(Finding::Rollback {
            seen: seen.size,
            shown: now.size,
        });
    }
    if now.size == seen.size && now.root != seen.root {
        return Err(Finding::Fork { size: seen.size });
    }
    Ok(())
}

/// The tree of what was seen, from the right edge of its tiles; they are believed only if they give the root.
///
/// `None`: they do not.
#[must_use]
pub fn edge(seen: &Seen, tiles: &[(TileId, Vec<u8>)]) -> Option<TileBuilder> {
    let mut partial = vec![Vec::new(); 8];
    for (id, bytes) in tiles {
        let (hashes, _) = bytes.as_chunks::<HASH_BYTES>();
        let hashes = hashes.iter().copied().map(Hash::from_bytes);
        *partial.get_mut(usize::from(id.level()))? = hashes.take(id.width().into()).collect();
    }
    let tree = TileBuilder::resume(seen.size, partial).ok()?;
    (tree.root() == seen.root).then_some(tree)
}

/// The tree of what was seen, from the tiles that the log serves now.
///
/// # Errors
/// As [`explain`], if they are not those of the tree that was seen.
pub async fn begin(
    source: &Source,
    seen: &Seen,
    shown: &Shown,
) -> Result<TileBuilder, MirrorError> {
    let mut tiles = Vec::new();
    for id in TileId::partials(seen.size) {
        // Of this tile the log must have so much; of the width from then, a static one may have nothing any more.
        let wide = width_at(shown.seen.size, id).unwrap_or(id);
        tiles.push((id, source.read(TilePath::Hashes(wide)).await?));
    }
    match edge(seen, &tiles) {
        Some(tree) => Ok(tree),
        None => Err(explain(source, seen, shown).await),
    }
}

/// The same tile, as wide as a tree of `size` has it.
fn width_at(size: u64, id: TileId) -> Option<TileId> {
    let hashes = size >> (8 * u32::from(id.level()));
    let before = id.index().checked_mul(TILE_WIDTH.into())?;
    let width = hashes.checked_sub(before)?.min(TILE_WIDTH.into());
    TileId::new(id.level(), id.index(), u16::try_from(width).ok()?).ok()
}

/// Reads every entry that the tree does not have yet, and grows it to what is shown. `each` is told of each bundle in turn,
/// before the whole is known to be right: what it keeps counts only once this has returned.
///
/// # Errors
/// [`Finding::Entries`] or [`Finding::Fork`] if the entries do not give the root; the errors of `each`.
pub async fn grow(
    source: &Source,
    mut tree: TileBuilder,
    shown: &Shown,
    each: &mut (dyn FnMut(Grown<'_>) -> Result<(), MirrorError> + Send),
) -> Result<TileBuilder, MirrorError> {
    let seen = Seen {
        size: tree.size(),
        root: tree.root(),
        origin: shown.seen.origin.clone(),
    };
    while tree.size() < shown.seen.size {
        let id = bundle_at(tree.size(), shown.seen.size)?;
        let bytes = source.read(TilePath::Entries(id)).await?;
        let told = |what: String| Finding::Entries { what };
        let entries = decode_bundle(&bytes, id.width());
        let entries = entries.map_err(|e| told(format!("{}: {e}", id.path())))?;
        let known = tree.partial(0).len();
        let same = entries.iter().zip(tree.partial(0));
        if !same
            .into_iter()
            .all(|(entry, hash)| leaf_hash(entry) == *hash)
        {
            return Err(explain(source, &seen, shown).await);
        }
        let fresh: Vec<(u64, &[u8])> = (tree.size()..)
            .zip(entries.into_iter().skip(known))
            .collect();
        let tiles = fresh
            .iter()
            .flat_map(|(_, entry)| tree.push(leaf_hash(entry)));
        let tiles = tiles.collect();
        each(Grown {
            bundle: id,
            bytes: &bytes,
            fresh: &fresh,
            tiles,
        })?;
    }
    if tree.root() == shown.seen.root {
        Ok(tree)
    } else {
        Err(explain(source, &seen, shown).await)
    }
}

/// The bundle that holds entry `at`, as wide as a tree of `size` has it.
fn bundle_at(at: u64, size: u64) -> Result<BundleId, Finding> {
    let width = u64::from(TILE_WIDTH);
    let index = at / width;
    let there = size.saturating_sub(index * width).min(width);
    let id = BundleId::new(index, u16::try_from(there).unwrap_or(TILE_WIDTH));
    id.map_err(|e| Finding::Entries {
        what: e.to_string(),
    })
}

/// Why the shown tree does not continue what was seen: a fork, if the log's own tiles prove it; else the entries or tiles that
/// it serves are not its own.
pub async fn explain(source: &Source, seen: &Seen, shown: &Shown) -> MirrorError {
    match root_then(source, seen.size, &shown.seen).await {
        Ok(root) if root == seen.root => Finding::Entries {
            what: format!("some of {} to {}", seen.size, shown.seen.size),
        }
        .into(),
        Ok(_) => Finding::Fork { size: seen.size }.into(),
        Err(error) => error,
    }
}

/// The root that the shown tree had at `size`, proven by its tiles.
async fn root_then(source: &Source, size: u64, shown: &Seen) -> Result<Hash, MirrorError> {
    let mut tiles: HashMap<TileId, Vec<u8>> = HashMap::new();
    loop {
        let mut missing = None;
        let mut node = |level: u8, index: u64| {
            let span = TileSpan::of_node(level, index, shown.size)?;
            let bytes = tiles.get(&span.tile());
            if bytes.is_none() {
                missing = Some(span.tile());
            }
            span.hash(bytes?).ok()
        };
        let proven = prove(size, shown, &mut node);
        match (missing, proven) {
            (Some(id), _) => {
                let bytes = source.read(TilePath::Hashes(id)).await?;
                tiles.insert(id, bytes);
            }
            (None, Ok(root)) => return Ok(root),
            (None, Err(_)) => {
                let path = "one between the two checkpoints".to_owned();
                return Err(Finding::Tile { path }.into());
            }
        }
    }
}

fn prove(
    size: u64,
    shown: &Seen,
    node: &mut dyn FnMut(u8, u64) -> Option<Hash>,
) -> Result<Hash, ProofError> {
    let mut at = 0u64;
    let mut nodes = Vec::new();
    for level in (0u8..64).rev().filter(|level| size >> level & 1 == 1) {
        let index = at >> level;
        let hash = node(level, index).ok_or(ProofError::NodeMissing { level, index })?;
        nodes.extend_from_slice(hash.as_bytes());
        at += 1 << level;
    }
    let frontier = Frontier::from_bytes(size, &nodes).map_err(|_| ProofError::PathTooShort)?;
    let path = prove_consistency(size, shown.size, node)?;
    verify_consistency(size, shown.size, &path, &frontier.root(), &shown.root)?;
    Ok(frontier.root())
}
