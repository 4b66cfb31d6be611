//! The right edge of a growing tree: all that is needed to append to it and to know its root.
//!
//! A tree of `n` leaves is a row of complete subtrees, one for each set bit of `n`, largest first.
//! Their roots are the frontier: at most 64 hashes, kept in the same transaction as the leaves, so
//! that appending never reads the log back.

use crate::hash::{HASH_BYTES, Hash, node_hash};

/// The largest tree this crate speaks of: 2^63 leaves.
///
/// Every size, index and shift below stays inside `u64` because of this bound, and everything read
/// from outside is held to it.
pub const TREE_SIZE_MAX: u64 = 1 << 63;

/// Why bytes are not a frontier of the size they are said to belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The size is more than [`TREE_SIZE_MAX`].
    #[error("a tree of {size} leaves is larger than 2^63")]
    SizeTooLarge {
        /// The size that was given.
        size: u64,
    },
    /// A frontier of this size has another number of bytes.
    #[error("the frontier of {size} leaves takes {expected} bytes, not {actual}")]
    Length {
        /// The size that was given.
        size: u64,
        /// 32 bytes for each set bit of the size.
        expected: usize,
        /// The number of bytes that was given.
        actual: usize,
    },
}

/// The roots of the complete subtrees of an append-only tree, largest (leftmost) first.
///
/// Bytes do not prove a frontier: one of the right length and the wrong content gives a wrong root.
/// Compare [`Frontier::root`] with a root that is believed, before appending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            nodes: Vec::new(),
        }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, one for each set bit of the size, largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends one leaf, given as its hash.
    ///
    /// Amortised one node hash for each leaf, and at most 63. The size cannot overflow: it is read
    /// in at no more than [`TREE_SIZE_MAX`], and another 2^63 calls take longer than the hardware
    /// lives.
    pub fn push(&mut self, leaf: Hash) {
        self.push_reporting(leaf, |_, _| ());
    }

    /// Appends a leaf and reports each subtree that it completes, with its height, lowest first.
    pub(crate) fn push_reporting(&mut self, leaf: Hash, mut completed: impl FnMut(u8, &Hash)) {
        let mut hash = leaf;
        let mut height = 0;
        completed(height, &hash);
        // The low set bits of the old size are the complete subtrees that this leaf now joins up.
        while self.size >> height & 1 == 1 {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            height += 1;
            completed(height, &hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The root of the tree, [`Hash::EMPTY`] without leaves (RFC 6962 §2.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(self.nodes.iter().copied()).unwrap_or(Hash::EMPTY)
    }

    /// The hashes as bytes, 32 for each set bit of the size, left to right; the size is not in them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes
            .iter()
            .flat_map(|node| *node.as_bytes())
            .collect()
    }

    /// Reads what [`Frontier::to_bytes`] wrote for a tree of `size` leaves.
    ///
    /// # Errors
    /// [`FrontierError::SizeTooLarge`] above 2^63; [`FrontierError::Length`] for any other number of
    /// bytes than the size calls for.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, FrontierError> {
        if size > TREE_SIZE_MAX {
            return Err(FrontierError::SizeTooLarge { size });
        }
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        let expected = (0..64).filter(|bit| size >> bit & 1 == 1).count();
        if hashes.len() != expected || !rest.is_empty() {
            let expected = expected * HASH_BYTES;
            return Err(FrontierError::Length {
                size,
                expected,
                actual: bytes.len(),
            });
        }
        Ok(Self {
            size,
            nodes: hashes.iter().copied().map(Hash::from_bytes).collect(),
        })
    }

    /// Puts a frontier together from nodes that are known to fit the size.
    pub(crate) fn from_nodes(size: u64, nodes: Vec<Hash>) -> Self {
        Self { size, nodes }
    }
}

/// Folds the roots of complete subtrees, largest first, into the root above them all.
///
/// The tree leans left, so the smallest two join first, from the right.
pub(crate) fn fold(nodes: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    nodes.rev().reduce(|right, left| node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn roots_agree_with_an_independent_tree_at_every_size_to_600() {
        let mut frontier = Frontier::new();
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        assert_eq!(frontier.root(), Hash::EMPTY);
        for index in 0_u64..600 {
            let entry = index.to_be_bytes().to_vec();
            frontier.push(leaf_hash(&entry));
            oracle.push(entry);
            assert_eq!(frontier.size(), oracle.len());
            assert_eq!(
                frontier.root().as_bytes().as_slice(),
                oracle.root().as_bytes().as_slice()
            );
            assert_eq!(
                frontier.nodes().len(),
                usize::try_from((index + 1).count_ones()).unwrap()
            );
        }
    }

    /// The eight entries and roots of the CT reference tests, which every implementation shares.
    #[test]
    fn roots_are_the_reference_roots() {
        let table: [(&[u8], &str); 8] = [
            (
                b"",
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                b"\x00",
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            ),
            (
                b"\x10",
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                b" !",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ),
            (
                b"01",
                "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            ),
            (
                b"@ABC",
                "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            ),
            (
                b"PQRSTUVW",
                "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            ),
            (
                b"`abcdefghijklmno",
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ];
        let mut frontier = Frontier::new();
        for (entry, root) in table {
            frontier.push(leaf_hash(entry));
            assert_eq!(
                data_encoding::HEXLOWER.encode(frontier.root().as_bytes()),
                root
            );
        }
    }

    #[test]
    fn completed_subtrees_are_reported_lowest_first() {
        let mut frontier = Frontier::new();
        let mut heights = Vec::new();
        for index in 0_u64..8 {
            frontier.push_reporting(leaf_hash(&index.to_be_bytes()), |height, _| {
                heights.push(height);
            });
        }
        assert_eq!(heights, [0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn bytes_must_have_the_length_the_size_calls_for() {
        let table = [
            (0, 0, true),
            (0, 32, false),
            (1, 32, true),
            (1, 31, false),
            (1, 33, false),
            (1, 0, false),
            (255, 8 * 32, true),
            (256, 32, true),
            (257, 64, true),
            (257, 32, false),
            (TREE_SIZE_MAX - 1, 63 * 32, true),
            (TREE_SIZE_MAX, 32, true),
            (TREE_SIZE_MAX + 1, 64, false),
            (u64::MAX, 64 * 32, false),
        ];
        for (size, length, good) in table {
            let read = Frontier::from_bytes(size, &vec![7; length]);
            assert_eq!(read.is_ok(), good, "size {size}, {length} bytes: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip_and_appending_goes_on(size in 0_u64..2_000, more in 0_u64..600) {
            let mut straight = Frontier::new();
            (0..size).for_each(|index| straight.push(leaf_hash(&index.to_be_bytes())));
            let mut resumed = Frontier::from_bytes(size, &straight.to_bytes()).unwrap();
            prop_assert_eq!(&resumed, &straight);
            for index in size..size + more {
                straight.push(leaf_hash(&index.to_be_bytes()));
                resumed.push(leaf_hash(&index.to_be_bytes()));
            }
            prop_assert_eq!(resumed.root(), straight.root());
        }
    }
}
