//! The tree as others read it: every tile, bundle and proof of every size, from leaves and full tiles.
//!
//! Partial tiles are not stored: one of any width is the beginning of the full tile, or of the leaves that will fill it. So the
//! partial tiles of every checkpoint that was ever published can be served, and none is ever out of date.

use std::collections::HashMap;

use jeton_tlog::{
    BundleId, Frontier, HASH_BYTES, Hash, ProofError, TILE_WIDTH, TileId, TileSpan, encode_bundle,
    leaf_hash, prove_consistency, prove_inclusion,
};

use crate::{Reader, StoreError};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such leaf or tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The tree of the first `size` events, as far as it was read.
pub struct Tree<'r> {
    reader: &'r mut dyn Reader,
    size: u64,
    read: HashMap<TileId, Vec<u8>>,
}

impl<'r> Tree<'r> {
    /// The tree of the first `size` events: no more than there are.
    #[must_use]
    pub fn new(reader: &'r mut dyn Reader, size: u64) -> Self {
        Self {
            reader,
            size,
            read: HashMap::new(),
        }
    }

    /// Whether the tree has a tile: of 256 hashes, or of at least so many as the id names.
    fn has(&self, id: TileId) -> bool {
        let hashes = self.size >> (8 * u32::from(id.level()));
        let needed = id
            .index()
            .saturating_mul(TILE_WIDTH.into())
            .saturating_add(id.width().into());
        needed <= hashes
    }

    /// The bytes of a tile; `None`: a tree of this size has none.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not hold what it must.
    pub fn tile(&mut self, id: TileId) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.has(id) {
            return Ok(None);
        }
        let bytes = usize::from(id.width()) * HASH_BYTES;
        if let Some(mut full) = self.reader.tile(id.level(), id.index())? {
            full.truncate(bytes);
            return Ok(Some(full));
        }
        let first = id.index() * u64::from(TILE_WIDTH);
        let mut out = Vec::with_capacity(bytes);
        if id.level() == 0 {
            for leaf in self.reader.leaves(first, id.width().into())? {
                out.extend_from_slice(leaf_hash(&leaf).as_bytes());
            }
        } else {
            for n in first..first + u64::from(id.width()) {
                let below = self.reader.tile(id.level() - 1, n)?;
                out.extend_from_slice(root_of(&below.unwrap_or_default()).as_bytes());
            }
        }
        if out.len() < bytes {
            return Err(StoreError::Inconsistent {
                table: "event",
                column: "leaf",
                row: first.to_string(),
            });
        }
        Ok(Some(out))
    }

    /// The bytes of an entry bundle; `None`: a tree of this size has none.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not hold what it must.
    pub fn bundle(&mut self, id: BundleId) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.has(id.tile()) {
            return Ok(None);
        }
        let first = id.index() * u64::from(TILE_WIDTH);
        let leaves = self.reader.leaves(first, id.width().into())?;
        let whole = leaves.len() == usize::from(id.width());
        let bundle = encode_bundle(&leaves).ok().filter(|_| whole);
        bundle.map(Some).ok_or_else(|| StoreError::Inconsistent {
            table: "event",
            column: "leaf",
            row: first.to_string(),
        })
    }

    /// The path from a leaf to the root of this tree.
    ///
    /// # Errors
    /// [`TreeError::Proof`] if it has no such leaf.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, TreeError> {
        let size = self.size;
        self.proof(|read| prove_inclusion(index, size, read))
    }

    /// The proof that this tree begins with the tree of the first `old` events.
    ///
    /// # Errors
    /// [`TreeError::Proof`] if that is larger.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, TreeError> {
        let size = self.size;
        self.proof(|read| prove_consistency(old, size, read))
    }

    /// What goes wrong while a proof reads is told in place of the proof's own error.
    fn proof<T>(
        &mut self,
        prove: impl FnOnce(&mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<T, ProofError>,
    ) -> Result<T, TreeError> {
        let mut failed = None;
        let proved = prove(&mut |level, index| match self.node(level, index) {
            Ok(hash) => hash,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(proved?),
        }
    }

    /// The hash of the `index`th complete subtree of `2^level` leaves.
    fn node(&mut self, level: u8, index: u64) -> Result<Option<Hash>, StoreError> {
        let Some(span) = TileSpan::of_node(level, index, self.size) else {
            return Ok(None);
        };
        let id = span.tile();
        if !self.read.contains_key(&id) {
            let Some(bytes) = self.tile(id)? else {
                return Ok(None);
            };
            self.read.insert(id, bytes);
        }
        Ok(self.read.get(&id).and_then(|bytes| span.hash(bytes).ok()))
    }
}

/// The root of the subtree under a full tile.
fn root_of(tile: &[u8]) -> Hash {
    let mut subtree = Frontier::new();
    for hash in tile
        .chunks_exact(HASH_BYTES)
        .filter_map(|h| h.first_chunk())
    {
        subtree.push(Hash::from_bytes(*hash));
    }
    subtree.root()
}
