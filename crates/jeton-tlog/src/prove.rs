//! Two proofs: that a leaf is in a tree, and that one tree begins with another.
//!
//! Verifying is the part strangers run, so it is the plain algorithm of the RFC and needs no more
//! than the path. Proving is the log's part: a walk down the tree that asks its caller for the hashes
//! of complete subtrees, wherever they are kept ([`crate::TileSpan`] finds them in tiles).
//!
//! A verified path says what follows *if* the root is believed; only a checkpoint makes it so. Sizes
//! are part of the question: take them from the same checkpoint as the root, never from the prover.

use crate::hash::{Hash, node_hash};
use crate::merkle::{TREE_SIZE_MAX, fold};

/// The most hashes in a proof: 63 for an inclusion, 64 for a consistency proof.
pub const PATH_HASHES_MAX: usize = 64;

/// Why a proof does not prove, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The size is more than [`TREE_SIZE_MAX`].
    #[error("a tree of {size} leaves is larger than 2^63")]
    SizeTooLarge {
        /// The size that was given.
        size: u64,
    },
    /// The leaf is not in a tree of this size at all.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// The index of the leaf.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {new_size} leaves cannot begin with one of {old_size}")]
    Shrunk {
        /// The size of the older tree.
        old_size: u64,
        /// The size of the newer tree.
        new_size: u64,
    },
    /// The path ends before it reaches the root.
    #[error("the path has too few hashes")]
    PathTooShort,
    /// The path goes on above the root.
    #[error("the path has too many hashes")]
    PathTooLong,
    /// The path does not lead to the (newer) root.
    #[error("the path does not lead to the root")]
    RootMismatch,
    /// The path does not lead to the older root.
    #[error("the path does not lead to the old root")]
    OldRootMismatch,
    /// The reader has no hash for a complete subtree of the tree.
    #[error("the hash of subtree {index} of height {level} is missing")]
    NodeMissing {
        /// The height of the subtree; leaves have height 0.
        level: u8,
        /// Which of the subtrees of that height, from the left.
        index: u64,
    },
}

/// Verifies that leaf `index` of the tree (`size`, `root`) has the hash `leaf` (RFC 9162 §2.1.3.2).
///
/// `path` runs from the leaf's sibling up.
///
/// # Errors
/// [`ProofError::SizeTooLarge`], [`ProofError::NoSuchLeaf`], [`ProofError::PathTooShort`],
/// [`ProofError::PathTooLong`], [`ProofError::RootMismatch`].
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    check_leaf(index, size)?;
    // Where we are, and where the last leaf is, on the way up; they meet on the right edge.
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(ProofError::PathTooLong);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // On the right edge a level without a right sibling costs no hash: skip to one that has.
            let skipped = if at & 1 == 0 { at.trailing_zeros() } else { 0 };
            at >>= skipped;
            last >>= skipped;
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::PathTooShort);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Verifies that the tree (`new_size`, `new_root`) begins with (`old_size`, `old_root`), that is,
/// that the log only grew (RFC 9162 §2.1.4.2).
///
/// The RFC asks for `0 < old_size < new_size`. Here equal sizes are consistent if the roots are
/// equal, and the empty tree (whose root must be [`Hash::EMPTY`]) begins every tree; in both cases
/// the path must be empty.
///
/// # Errors
/// [`ProofError::SizeTooLarge`], [`ProofError::Shrunk`], [`ProofError::PathTooShort`],
/// [`ProofError::PathTooLong`], [`ProofError::OldRootMismatch`], [`ProofError::RootMismatch`].
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    check_growth(old_size, new_size)?;
    if old_size == 0 && *old_root != Hash::EMPTY {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == 0 || old_size == new_size {
        return match path {
            [_, ..] => Err(ProofError::PathTooLong),
            [] if old_size == new_size && old_root != new_root => Err(ProofError::RootMismatch),
            [] => Ok(()),
        };
    }
    // The largest complete subtree on the old right edge is where the two trees part. If it is the
    // whole old tree, the verifier knows it already and the proof leaves it out.
    let skipped = (old_size - 1).trailing_ones();
    let (mut at, mut last) = ((old_size - 1) >> skipped, (new_size - 1) >> skipped);
    let (start, path) = match path {
        path if old_size.is_power_of_two() => (old_root, path),
        [start, path @ ..] => (start, path),
        [] => return Err(ProofError::PathTooShort),
    };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::PathTooLong);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            let skipped = if at & 1 == 0 { at.trailing_zeros() } else { 0 };
            at >>= skipped;
            last >>= skipped;
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, old_hash == *old_root, new_hash == *new_root) {
        (1.., _, _) => Err(ProofError::PathTooShort),
        (0, false, _) => Err(ProofError::OldRootMismatch),
        (0, true, false) => Err(ProofError::RootMismatch),
        (0, true, true) => Ok(()),
    }
}

/// Makes the path from leaf `index` to the root of the first `size` leaves (RFC 6962 §2.1.1).
///
/// `read(level, index)` gives the hash of the `index`th complete subtree of `2^level` leaves; it is
/// asked only for subtrees that lie wholly in the first `size` leaves, at most 64 times for each of
/// the at most 63 hashes of the path (on the right edge a hash is folded from several).
///
/// # Errors
/// [`ProofError::SizeTooLarge`], [`ProofError::NoSuchLeaf`], [`ProofError::NodeMissing`] if the
/// reader has no answer.
pub fn prove_inclusion(
    index: u64,
    size: u64,
    mut read: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, ProofError> {
    check_leaf(index, size)?;
    let (mut start, mut end) = (0, size);
    let mut path = Vec::with_capacity(PATH_HASHES_MAX);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_hash(middle, end, &mut read)?);
            end = middle;
        } else {
            path.push(range_hash(start, middle, &mut read)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Makes the proof that the first `new_size` leaves begin with the first `old_size` (RFC 6962
/// §2.1.2).
///
/// `read` is as in [`prove_inclusion`]. The path is empty for equal sizes and from the empty tree.
///
/// # Errors
/// [`ProofError::SizeTooLarge`], [`ProofError::Shrunk`], [`ProofError::NodeMissing`] if the reader
/// has no answer.
pub fn prove_consistency(
    old_size: u64,
    new_size: u64,
    mut read: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, ProofError> {
    check_growth(old_size, new_size)?;
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new_size);
    let mut path = Vec::with_capacity(PATH_HASHES_MAX);
    while end > old_size {
        let middle = start + split(end - start);
        if old_size <= middle {
            path.push(range_hash(middle, end, &mut read)?);
            end = middle;
        } else {
            path.push(range_hash(start, middle, &mut read)?);
            start = middle;
        }
    }
    // Never having gone right means that this subtree is the whole old tree: its root is known.
    if start > 0 {
        path.push(range_hash(start, end, &mut read)?);
    }
    path.reverse();
    Ok(path)
}

fn check_leaf(index: u64, size: u64) -> Result<(), ProofError> {
    if size > TREE_SIZE_MAX {
        return Err(ProofError::SizeTooLarge { size });
    }
    if index >= size {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    Ok(())
}

fn check_growth(old_size: u64, new_size: u64) -> Result<(), ProofError> {
    if new_size > TREE_SIZE_MAX {
        return Err(ProofError::SizeTooLarge { size: new_size });
    }
    if old_size > new_size {
        return Err(ProofError::Shrunk { old_size, new_size });
    }
    Ok(())
}

/// The number of leaves in the left half: the largest power of two below `count`, which is over 1.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The hash of leaves `start..end`, folded from complete subtrees.
///
/// `start` is a multiple of the largest power of two in the length, as [`split`] makes it.
fn range_hash(
    start: u64,
    end: u64,
    read: &mut impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Hash, ProofError> {
    let mut nodes = Vec::new();
    let mut at = start;
    for level in (0_u8..64)
        .rev()
        .filter(|level| (end - start) >> level & 1 == 1)
    {
        let index = at >> level;
        nodes.push(read(level, index).ok_or(ProofError::NodeMissing { level, index })?);
        at += 1 << level;
    }
    Ok(fold(nodes.into_iter()).unwrap_or(Hash::EMPTY))
}

#[cfg(test)]
mod tests;
