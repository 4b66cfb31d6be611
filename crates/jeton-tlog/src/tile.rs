//! How a tree is cut into files: tiles of 256 hashes, and bundles of the 256 entries under them.
//!
//! A tile at level `l` holds 256 consecutive subtree roots of height `8·l`; a full tile is folded
//! into one hash of the level above, so 1/256 of the size is enough for all upper levels, and every
//! full tile is immutable. Only the right edge is partial (c2sp.org/tlog-tiles, "Merkle Tree").
//!
//! An id can name only a tile that some tree of at most 2^63 leaves has. The specification's grammar
//! lets levels run to 63; with 256-wide tiles nothing exists above level 7, so nothing is lost.

use std::fmt::{self, Write};

use crate::hash::{HASH_BYTES, Hash};
use crate::merkle::{Frontier, TREE_SIZE_MAX};

/// The number of hashes in a full tile, and of entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// The number of bytes in a full tile: 256 hashes of 32 bytes.
pub const TILE_BYTES: usize = 8_192;

/// The highest level that a tree of at most 2^63 leaves reaches.
pub const TILE_LEVEL_MAX: u8 = 7;

/// The longest path of a tile or bundle, `tile/entries/` with six groups of digits and `.p/255`.
pub const TILE_PATH_BYTES_MAX: usize = 64;

/// The height of a tile, as a shift: `2^8 = 256`.
pub(crate) const TILE_HEIGHT: u8 = 8;

const GROUP: u64 = 1_000;

/// Why there is no such tile, or why bytes are not its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// No tree of at most 2^63 leaves has a tile there.
    #[error("no tree has a tile {index} of width {width} at level {level}")]
    NoSuchTile {
        /// The level that was asked for.
        level: u8,
        /// The index in the level that was asked for.
        index: u64,
        /// The width that was asked for.
        width: u16,
    },
    /// The text is not the one path of a tile or bundle.
    #[error("not the path of a tile")]
    Path,
    /// The tile has another number of bytes than its width calls for.
    #[error("a tile of width {width} has {expected} bytes, not {actual}")]
    Length {
        /// The width of the tile.
        width: u16,
        /// 32 bytes for each hash.
        expected: usize,
        /// The number of bytes that was given.
        actual: usize,
    },
}

/// A hash tile: the `width` hashes from `index · 256` on, at one level of the tiling.
///
/// Width 256 is a full tile, 1 to 255 a partial one; level 0 holds leaf hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

impl TileId {
    /// Names a tile that a tree of at most 2^63 leaves can have.
    ///
    /// # Errors
    /// [`TileError::NoSuchTile`] for a width of 0 or more than 256, and for a tile beyond 2^63
    /// leaves (and so for every level over 7).
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let hashes_to_end = u128::from(index) * u128::from(TILE_WIDTH) + u128::from(width);
        let exists = (1..=TILE_WIDTH).contains(&width)
            && level <= TILE_LEVEL_MAX
            && hashes_to_end <= u128::from(TREE_SIZE_MAX >> (level * TILE_HEIGHT));
        if !exists {
            return Err(TileError::NoSuchTile {
                level,
                index,
                width,
            });
        }
        Ok(Self {
            level,
            index,
            width,
        })
    }

    /// The level: 0 for leaf hashes, at most 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Which tile of the level, from the left.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The number of hashes: 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether the tile is full, and so will never change.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The path under the log's prefix, such as `tile/0/x001/234.p/5` (c2sp.org/tlog-tiles).
    #[must_use]
    pub fn path(self) -> String {
        TilePath::Hashes(self).to_string()
    }

    /// The partial tiles of a tree of `size` leaves, lowest level first, none for an empty edge.
    ///
    /// With the full tiles they are all that a checkpoint of this size needs to be served.
    pub fn partials(size: u64) -> impl Iterator<Item = Self> {
        (0..=TILE_LEVEL_MAX).filter_map(move |level| {
            let hashes = size >> (level * TILE_HEIGHT);
            let (index, width) = (
                hashes / u64::from(TILE_WIDTH),
                hashes % u64::from(TILE_WIDTH),
            );
            Self::new(level, index, u16::try_from(width).ok()?).ok()
        })
    }
}

/// An entry bundle: the `width` log entries from `index · 256` on.
///
/// It lies under the level 0 tile of the same index and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(TileId);

impl BundleId {
    /// Names a bundle that a tree of at most 2^63 leaves can have.
    ///
    /// # Errors
    /// [`TileError::NoSuchTile`], as [`TileId::new`] at level 0.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        TileId::new(0, index, width).map(Self)
    }

    /// Which bundle, from the left.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.0.index
    }

    /// The number of entries: 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.0.width
    }

    /// The tile that holds the leaf hashes of these entries.
    #[must_use]
    pub const fn tile(self) -> TileId {
        self.0
    }

    /// The path under the log's prefix, such as `tile/entries/x001/234.p/5` (c2sp.org/tlog-tiles).
    #[must_use]
    pub fn path(self) -> String {
        TilePath::Entries(self).to_string()
    }
}

/// What a path under `tile/` names; it prints as that path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// A tile of hashes, `tile/<level>/<index>[.p/<width>]`.
    Hashes(TileId),
    /// A bundle of entries, `tile/entries/<index>[.p/<width>]`.
    Entries(BundleId),
}

impl TilePath {
    /// Reads a path as [`TilePath`] prints it: each tile and bundle has exactly one.
    ///
    /// # Errors
    /// [`TileError::Path`] for any other text, [`TileError::NoSuchTile`] for a tile that cannot be.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        if path.len() > TILE_PATH_BYTES_MAX {
            return Err(TileError::Path);
        }
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, parse_partial_width(width)?),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(index)?;
        if level == "entries" {
            return BundleId::new(index, width).map(Self::Entries);
        }
        let level = parse_decimal(level, 2).and_then(|level| u8::try_from(level).ok());
        TileId::new(level.ok_or(TileError::Path)?, index, width).map(Self::Hashes)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tile = match *self {
            Self::Hashes(tile) => {
                write!(f, "tile/{}/", tile.level)?;
                tile
            }
            Self::Entries(bundle) => {
                f.write_str("tile/entries/")?;
                bundle.0
            }
        };
        write_index(tile.index, f)?;
        if tile.is_full() {
            Ok(())
        } else {
            write!(f, ".p/{}", tile.width)
        }
    }
}

fn write_index(index: u64, f: &mut impl Write) -> fmt::Result {
    // The largest index, 2^55, has six groups of three digits.
    for power in (1..6).rev() {
        let leading = index / GROUP.pow(power);
        if leading > 0 {
            write!(f, "x{:03}/", leading % GROUP)?;
        }
    }
    write!(f, "{:03}", index % GROUP)
}

fn parse_index(text: &str) -> Result<u64, TileError> {
    let mut index: u64 = 0;
    let mut rest = text;
    while let Some((group, after)) = rest.split_once('/') {
        let digits = group.strip_prefix('x').ok_or(TileError::Path)?;
        index = index * GROUP + parse_group(digits)?;
        // A leading group of zeroes would be a second path for the same tile.
        if index == 0 || index > TREE_SIZE_MAX / GROUP {
            return Err(TileError::Path);
        }
        rest = after;
    }
    Ok(index * GROUP + parse_group(rest)?)
}

fn parse_group(digits: &str) -> Result<u64, TileError> {
    if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TileError::Path);
    }
    digits.parse().map_err(|_| TileError::Path)
}

fn parse_partial_width(text: &str) -> Result<u16, TileError> {
    let width = parse_decimal(text, 3).and_then(|width| u16::try_from(width).ok());
    width
        .filter(|width| (1..TILE_WIDTH).contains(width))
        .ok_or(TileError::Path)
}

/// Reads a decimal number as it is printed: ASCII digits, no leading zero, at most `digits_max`.
pub(crate) fn parse_decimal(text: &str, digits_max: usize) -> Option<u64> {
    let digits = !text.is_empty()
        && text.len() <= digits_max
        && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Where the hash of a complete subtree is found: a run of hashes in one tile, folded together.
///
/// This is what lets the closures of [`crate::prove_inclusion`] and [`crate::prove_consistency`]
/// read from stored tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileSpan {
    tile: TileId,
    start: u16,
    count: u16,
}

impl TileSpan {
    /// Finds the `index`th complete subtree of `2^level` leaves in the tiles of a tree of `size`
    /// leaves; `None` if the tree has no such complete subtree or is larger than 2^63.
    ///
    /// The tile is partial only if `size` makes it so; a full tile of the same index serves as well.
    #[must_use]
    pub fn of_node(level: u8, index: u64, size: u64) -> Option<Self> {
        let complete = size.checked_shr(u32::from(level))?;
        if index >= complete || size > TREE_SIZE_MAX {
            return None;
        }
        let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let (first, count) = (index << height, 1 << height);
        let tile_index = first / u64::from(TILE_WIDTH);
        let after = (size >> (tile_level * TILE_HEIGHT)) - tile_index * u64::from(TILE_WIDTH);
        let width = u16::try_from(after.min(u64::from(TILE_WIDTH))).ok()?;
        let start = u16::try_from(first % u64::from(TILE_WIDTH)).ok()?;
        Some(Self {
            tile: TileId::new(tile_level, tile_index, width).ok()?,
            start,
            count,
        })
    }

    /// The tile to read.
    #[must_use]
    pub const fn tile(self) -> TileId {
        self.tile
    }

    /// Folds the run of hashes into the hash of the subtree.
    ///
    /// `bytes` is the content of [`TileSpan::tile`], or of a wider tile of the same index.
    ///
    /// # Errors
    /// [`TileError::Length`] for fewer bytes than the tile has, more than a full tile has, or a
    /// broken hash.
    pub fn hash(self, bytes: &[u8]) -> Result<Hash, TileError> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        let expected = usize::from(self.tile.width) * HASH_BYTES;
        let span = usize::from(self.start)..usize::from(self.start + self.count);
        let fits = (expected..=TILE_BYTES).contains(&bytes.len()) && rest.is_empty();
        let run = hashes.get(span).filter(|_| fits).ok_or(TileError::Length {
            width: self.tile.width,
            expected,
            actual: bytes.len(),
        })?;
        Ok(subtree_hash(run))
    }
}

/// Folds `2^n` hashes, at most 256, into the root of the perfect subtree above them.
fn subtree_hash(run: &[[u8; HASH_BYTES]]) -> Hash {
    let mut frontier = Frontier::new();
    run.iter()
        .copied()
        .map(Hash::from_bytes)
        .for_each(|hash| frontier.push(hash));
    frontier.root()
}

#[cfg(test)]
mod tests;
