//! How an event becomes a leaf of the tree: the one place where what changed meets the log that orders it.

use jeton_core::{
    event::{Erasure, Event, RECORD_BYTES_MAX, Record},
    id::TenantId,
    leaf::{LEAF_BYTES, LeafKind, LeafParts, SealKey, TagKey, commit},
};
use jeton_tlog::{EdgeError, Hash, TILE_WIDTH, Tile, TileBuilder, leaf_hash};

use crate::{Continue, Reader, StoreError};

/// An event, sealed: its leaf, and the opening that explains it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its index in the ledger.
    pub index: u64,
    /// Whose event it is.
    pub tenant: TenantId,
    /// The raw id of what it is about.
    pub about: [u8; 16],
    /// Whether it is the first event about that: there is none before it to lead back to.
    pub first: bool,
    /// What everybody may see.
    pub leaf: [u8; LEAF_BYTES],
    /// What blinds the commitment.
    pub salt: [u8; 32],
    /// The canonical bytes: hashed as they are, never encoded again.
    pub record: Vec<u8>,
    /// The words beside it, with the salt of their hash.
    pub aside: Option<Aside>,
    /// What goes from the store with it.
    pub erases: Option<Erasure>,
}

/// Words that may be erased: names, addresses, request ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aside {
    /// What blinds their hash.
    pub salt: [u8; 16],
    /// JSON.
    pub words: Vec<u8>,
}

/// An event was not sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// It is larger than a record may be.
    #[error("the record has more than {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    /// It has no canonical bytes.
    #[error("the record cannot be encoded")]
    Encoding,
}

/// The numbers and the key under which an event is sealed.
pub struct Seal<'a> {
    /// The tenant's tag key.
    pub key: &'a TagKey,
    /// The number of the event among its tenant's, from 1.
    pub tenant_sequence: u64,
    /// The number of the event among those about the same thing, from 0.
    pub about_sequence: u64,
    /// Makes what blinds the commitment.
    pub seal: &'a SealKey,
}

/// The growing end of the ledger: the tree's right edge and what a batch adds to it.
#[derive(Clone)]
pub struct Sealer {
    tree: TileBuilder,
}

impl Sealer {
    /// The end of an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tree: TileBuilder::new(),
        }
    }

    /// The end of a ledger of `size`, whose incomplete tiles hold `partial` on each level.
    ///
    /// # Errors
    /// [`EdgeError`] if the hashes do not fit the size.
    pub fn resume(size: u64, partial: Vec<Vec<Hash>>) -> Result<Self, EdgeError> {
        Ok(Self {
            tree: TileBuilder::resume(size, partial)?,
        })
    }

    /// How many events there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The right edge, as the head keeps it.
    #[must_use]
    pub fn frontier(&self) -> Vec<u8> {
        self.tree.frontier().to_bytes()
    }

    /// Seals the next event and grows the tree by its leaf.
    ///
    /// # Errors
    /// [`SealError`]; the tree has not grown then.
    pub fn seal(
        &mut self,
        record: &Record,
        seal: &Seal<'_>,
        aside: Option<Aside>,
        tiles: &mut Vec<Tile>,
    ) -> Result<Entry, SealError> {
        let bytes = encode(record)?;
        let index = self.tree.size();
        let salt = seal.seal.salt(index, &bytes);
        let about = record.event.about(record.tenant);
        let leaf = LeafParts {
            kind: LeafKind::of(&record.event),
            at: record.at,
            key: seal.key,
            tenant_sequence: seal.tenant_sequence,
            about,
            about_sequence: seal.about_sequence,
            commit: commit(&salt, &bytes),
        }
        .bytes();
        tiles.extend(self.tree.push(leaf_hash(&leaf)));
        let tenant = record.tenant;
        Ok(Entry {
            index,
            tenant,
            about,
            first: seal.about_sequence == 0,
            leaf,
            salt,
            record: bytes,
            aside,
            erases: if let Event::Erased(erasure) = &record.event {
                Some(erasure.clone())
            } else {
                None
            },
        })
    }

    /// The incomplete tiles, level by level: with the full ones in the store, all that a tree of this size is served from.
    #[must_use]
    pub fn edge(&self) -> &TileBuilder {
        &self.tree
    }

    /// Grows the tree by a stored leaf: for replay.
    pub fn push(&mut self, leaf: &[u8]) -> Vec<Tile> {
        self.push_hash(leaf_hash(leaf))
    }

    /// Grows the tree by a leaf of which only the hash is at hand.
    pub fn push_hash(&mut self, leaf: Hash) -> Vec<Tile> {
        self.tree.push(leaf)
    }
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

/// The canonical bytes of a record.
///
/// # Errors
/// [`SealError`] if it has none, or too many.
pub fn encode(record: &Record) -> Result<Vec<u8>, SealError> {
    let mut bytes = Vec::with_capacity(256);
    minicbor::encode(record, &mut bytes).map_err(|_| SealError::Encoding)?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(SealError::TooLarge);
    }
    Ok(bytes)
}

/// Reads canonical bytes; other bytes that would mean the same are refused.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Record> {
    let record: Record = minicbor::decode(bytes).ok()?;
    (encode(&record).ok()? == bytes).then_some(record)
}

/// The hashes in the incomplete tiles of a tree of `size`, level by level, from stored leaves and full tiles.
///
/// # Errors
/// [`StoreError`] if a leaf or a tile is missing.
pub fn partial(reader: &mut dyn Reader, size: u64) -> Result<Vec<Vec<Hash>>, StoreError> {
    let missing = |table, row: u64| StoreError::Inconsistent {
        table,
        column: "data",
        row: row.to_string(),
    };
    let width = u64::from(TILE_WIDTH);
    let mut levels = Vec::new();
    let mut bottom = Vec::new();
    reader.events(size - size % width, &mut |stored| {
        if stored.index < size {
            bottom.push(leaf_hash(&stored.leaf));
        }
        Ok(if stored.index + 1 < size {
            Continue::Yes
        } else {
            Continue::No
        })
    })?;
    levels.push(bottom);
    let (mut level, mut full) = (0u8, size / width);
    while full > 0 {
        let mut hashes = Vec::new();
        for n in full - full % width..full {
            let tile = reader.tile(level, n)?.ok_or_else(|| missing("tile", n))?;
            let mut subtree = jeton_tlog::Frontier::new();
            for hash in tile.chunks_exact(32).filter_map(|h| h.first_chunk()) {
                subtree.push(Hash::from_bytes(*hash));
            }
            hashes.push(subtree.root());
        }
        levels.push(hashes);
        (level, full) = (level + 1, full / width);
    }
    Ok(levels)
}
