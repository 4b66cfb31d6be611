//! The writer's side of the tiles: leaves go in, tiles come out as they fill.
//!
//! Only the right edge of a tree ever changes. So the writer keeps, for each level, the hashes of the
//! one tile that is not full, and the frontier; both go into the store in the transaction that
//! appends the leaves, and appending never reads a tile back.

use crate::hash::{HASH_BYTES, Hash};
use crate::merkle::{Frontier, TREE_SIZE_MAX};
use crate::tile::{TILE_BYTES, TILE_HEIGHT, TILE_LEVEL_MAX, TILE_WIDTH, TileId};

/// Why hashes are not the right edge of a tree of the size they are said to belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// The size is more than [`TREE_SIZE_MAX`].
    #[error("a tree of {size} leaves is larger than 2^63")]
    SizeTooLarge {
        /// The size that was given.
        size: u64,
    },
    /// There are more levels than any tree has.
    #[error("a tree has at most 8 levels of tiles, not {actual}")]
    Levels {
        /// The number of levels that was given.
        actual: usize,
    },
    /// The partial tile of a level has another number of hashes than the size calls for.
    #[error("the partial tile of level {level} has {expected} hashes, not {actual}")]
    Width {
        /// The level of the tile.
        level: usize,
        /// The width the size calls for.
        expected: u64,
        /// The number of hashes that was given.
        actual: usize,
    },
}

/// A tile with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Which tile it is.
    pub id: TileId,
    /// Its hashes, `id.width() · 32` bytes, left to right.
    pub bytes: Vec<u8>,
}

const LEVELS: usize = 8;
const _: () = assert!(
    TILE_LEVEL_MAX == 7 && LEVELS == 8,
    "one partial tile for each level"
);

/// Builds the tiles of a growing tree, one leaf at a time.
///
/// A leaf costs one node hash on average (as [`Frontier::push`]) and allocates nothing but when a
/// tile fills, and once for the first hash of each level. A clone is a way back: append a batch to
/// the clone and keep it once the transaction has committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TileBuilder {
    frontier: Frontier,
    partials: [Vec<Hash>; LEVELS],
}

impl TileBuilder {
    /// Begins with the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with a tree of `size` leaves, from the hashes of its partial tiles.
    ///
    /// `partial[level]` is the content of the partial tile of that level, empty if there is none;
    /// empty levels at the end may be left out. The hashes are taken as they are: compare
    /// [`TileBuilder::root`] with a root that is believed, before appending.
    ///
    /// # Errors
    /// [`EdgeError::SizeTooLarge`] above 2^63; [`EdgeError::Levels`] for more than 8 levels;
    /// [`EdgeError::Width`] if a level has another number of hashes than
    /// `floor(size / 256^level) mod 256`.
    pub fn resume(size: u64, partial: Vec<Vec<Hash>>) -> Result<Self, EdgeError> {
        if size > TREE_SIZE_MAX {
            return Err(EdgeError::SizeTooLarge { size });
        }
        if partial.len() > LEVELS {
            return Err(EdgeError::Levels {
                actual: partial.len(),
            });
        }
        let mut given = partial.into_iter();
        let mut partials: [Vec<Hash>; LEVELS] = Default::default();
        let mut hashes = size;
        for (level, partial) in partials.iter_mut().enumerate() {
            *partial = given.next().unwrap_or_default();
            let (expected, actual) = (hashes % u64::from(TILE_WIDTH), partial.len());
            if u64::try_from(actual) != Ok(expected) {
                return Err(EdgeError::Width {
                    level,
                    expected,
                    actual,
                });
            }
            hashes /= u64::from(TILE_WIDTH);
        }
        // Each level gives its eight bits of the size; the highest level is leftmost.
        let mut nodes = Vec::new();
        for partial in partials.iter().rev() {
            let mut within = Frontier::new();
            for hash in partial {
                within.push(*hash);
            }
            nodes.extend_from_slice(within.nodes());
        }
        Ok(Self {
            frontier: Frontier::from_nodes(size, nodes),
            partials,
        })
    }

    /// Appends one leaf, given as its hash, and gives the tiles that it filled, lowest level first.
    ///
    /// A tile that is given here will never change and is not held any longer: store it with the
    /// leaf. Its partial versions may be deleted.
    #[must_use = "a full tile is given once"]
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut full = Vec::new();
        let index = self.frontier.size();
        let partials = &mut self.partials;
        self.frontier.push_reporting(leaf, |height, hash| {
            if height % TILE_HEIGHT != 0 {
                return;
            }
            let level = height / TILE_HEIGHT;
            let Some(partial) = partials.get_mut(usize::from(level)) else {
                return;
            };
            if partial.is_empty() {
                partial.reserve_exact(usize::from(TILE_WIDTH));
            }
            partial.push(*hash);
            if partial.len() == usize::from(TILE_WIDTH) {
                full.extend(tile(level, index >> (height + TILE_HEIGHT), partial));
                partial.clear();
            }
        });
        full
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree (RFC 6962 §2.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The frontier of the tree: what is needed to append without building tiles.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The hashes of the partial tile of a level, left to right; empty if there is none.
    #[must_use]
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.partials
            .get(usize::from(level))
            .map_or(&[], Vec::as_slice)
    }

    /// The partial tiles, lowest level first: with the full ones, all a checkpoint now needs.
    #[must_use]
    pub fn partial_tiles(&self) -> Vec<Tile> {
        let edge = TileId::partials(self.size());
        edge.map(|id| Tile {
            id,
            bytes: bytes_of(self.partial(id.level())),
        })
        .collect()
    }
}

fn tile(level: u8, index: u64, hashes: &[Hash]) -> Option<Tile> {
    // Only a tree beyond 2^63 leaves, which cannot be filled, has a tile without an id.
    let id = TileId::new(level, index, TILE_WIDTH).ok()?;
    Some(Tile {
        id,
        bytes: bytes_of(hashes),
    })
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    debug_assert!(
        hashes.len() * HASH_BYTES <= TILE_BYTES,
        "a tile has at most 256 hashes"
    );
    let mut bytes = Vec::with_capacity(hashes.len() * HASH_BYTES);
    for hash in hashes {
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests;
