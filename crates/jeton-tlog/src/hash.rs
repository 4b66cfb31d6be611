//! The two hashes a tree is made of: of a leaf and of a node, kept apart by their first byte.
//!
//! The prefix is what stops a node from being passed off as a leaf, and with it a proof for an
//! entry that was never logged (RFC 6962 §2.1).

use std::fmt;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::base64;

/// The length of a [`struct@Hash`]: 32 bytes, as SHA-256 gives them.
pub const HASH_BYTES: usize = 32;

const LEAF_PREFIX: [u8; 1] = [0x00];
const NODE_PREFIX: [u8; 1] = [0x01];

/// A SHA-256 hash in the tree: of a leaf, of a node, or of a whole tree (its root).
///
/// Not a secret: it is compared and printed freely. Printed as standard base64 with padding
/// (44 characters), as checkpoints and proofs do (RFC 4648 §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// The root of the tree without leaves: the SHA-256 of nothing (RFC 6962 §2.1).
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// Takes 32 bytes as a hash, whatever they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Reads 44 characters of canonical base64; anything else is `None`.
    ///
    /// Canonical means one text for each hash: padded, no white space, no stray low bits.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        if text.len() != base64::encoded_len(HASH_BYTES) {
            return None;
        }
        base64::decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&BASE64.encode_display(&self.0), f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes an entry into the leaf that stands for it: `SHA-256(0x00 || leaf)` (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update(LEAF_PREFIX).chain_update(leaf);
    Hash(digest.finalize().into())
}

/// Hashes two subtrees into the node above them: `SHA-256(0x01 || left || right)` (RFC 6962 §2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let digest = Sha256::new()
        .chain_update(NODE_PREFIX)
        .chain_update(left.0)
        .chain_update(right.0);
    Hash(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answers_of_rfc_6962() {
        // The empty root and the leaf of the empty string, as the CT reference tests have them.
        let table = [
            (Hash::EMPTY, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
            (
                leaf_hash(b""),
                "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
            ),
        ];
        for (hash, text) in table {
            assert_eq!(hash.to_string(), text);
            assert_eq!(format!("{hash:?}"), text);
            assert_eq!(Hash::from_base64(text), Some(hash));
        }
    }

    #[test]
    fn a_node_is_not_a_leaf_of_the_same_bytes() {
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
        let joined = [left.as_bytes().as_slice(), right.as_bytes()].concat();
        assert_ne!(node_hash(&left, &right), leaf_hash(&joined));
        assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
    }

    #[test]
    fn base64_has_one_text_for_each_hash() {
        let good = Hash::EMPTY.to_string();
        let refused = [
            "",
            good.trim_end_matches('='),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", // a stray low bit
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", // the alphabet of URLs
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSu===",
            "47A=Qpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUU", // padding within, and 32 bytes
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA", // 33 bytes
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF\u{e9}=",
        ];
        for text in refused {
            assert_eq!(Hash::from_base64(text), None, "{text:?}");
        }
    }
}
