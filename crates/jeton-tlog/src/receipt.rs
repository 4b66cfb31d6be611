//! Receipts: one text from which anybody can verify, offline, that an entry is in a witnessed log.
//!
//! The format is c2sp.org/tlog-proof@v1: extra data, the index, the path from the leaf to the root,
//! and the checkpoint with its signatures. The extra data is the opening of the leaf here, and is
//! authenticated by nothing: whoever reads it must hash it into the leaf that is verified.

use std::fmt;

use crate::base64;
use crate::hash::Hash;
use crate::note::NOTE_BYTES_MAX;
use crate::policy::{Policy, PolicyError, WitnessedCheckpoint};
use crate::prove::{ProofError, verify_inclusion};
use crate::tile::parse_decimal;

/// The longest receipt that is read: 64 KiB.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1_024;

/// The most extra data in a receipt: 32 KiB.
pub const RECEIPT_EXTRA_BYTES_MAX: usize = 32 * 1_024;

/// The most hashes from a leaf to the root of 2^63 leaves.
const PATH_MAX: usize = 63;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a text is not a receipt, or does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is longer than [`RECEIPT_BYTES_MAX`], or a part of it is longer than it may be.
    #[error(
        "a receipt has at most 65536 bytes, of which 32768 of extra data and 16384 of checkpoint"
    )]
    TooLong,
    /// It is not UTF-8.
    #[error("the receipt is not plain text")]
    NotPlainText,
    /// The first line is not `c2sp.org/tlog-proof@v1`.
    #[error("not a receipt of version 1")]
    Version,
    /// The extra data is empty, or not canonical base64.
    #[error("the extra data is not base64")]
    Extra,
    /// There is no `index` line with a decimal number below 2^63.
    #[error("the receipt has no index")]
    Index,
    /// A line of the path is not the canonical base64 of 32 bytes, or there are more than 63.
    #[error("line {line} of the path is not a hash")]
    Path {
        /// Which line of the path, from 1.
        line: usize,
    },
    /// No empty line divides the path from the checkpoint.
    #[error("the receipt has no checkpoint")]
    NoCheckpoint,
    /// The checkpoint does not satisfy the policy.
    #[error("the checkpoint does not satisfy the policy")]
    Policy(#[source] PolicyError),
    /// The path does not lead from the leaf to the checkpoint.
    #[error("the path does not lead from the leaf to the checkpoint")]
    Inclusion(#[source] ProofError),
}

/// A receipt as it was read or made: claimed, not verified.
///
/// Printed as `.tlog-proof` files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    extra: Vec<u8>,
    index: u64,
    path: Vec<Hash>,
    note: String,
}

impl Receipt {
    /// Puts a receipt together: the path of leaf `index` in the tree of the checkpoint in `note`.
    ///
    /// Empty `extra` data has no line.
    ///
    /// # Errors
    /// [`ReceiptError::TooLong`], [`ReceiptError::Index`] from 2^63 on, [`ReceiptError::Path`] for
    /// more than 63 hashes.
    pub fn new(
        index: u64,
        path: Vec<Hash>,
        note: String,
        extra: Vec<u8>,
    ) -> Result<Self, ReceiptError> {
        if extra.len() > RECEIPT_EXTRA_BYTES_MAX || note.len() > NOTE_BYTES_MAX {
            return Err(ReceiptError::TooLong);
        }
        if index >= 1 << 63 {
            return Err(ReceiptError::Index);
        }
        if path.len() > PATH_MAX {
            return Err(ReceiptError::Path { line: PATH_MAX + 1 });
        }
        Ok(Self {
            extra,
            index,
            path,
            note,
        })
    }

    /// Reads a receipt (c2sp.org/tlog-proof, "Format"), as this type prints it.
    ///
    /// # Errors
    /// All but [`ReceiptError::Policy`] and [`ReceiptError::Inclusion`]. Whether the checkpoint is
    /// one is found out when it is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| ReceiptError::NotPlainText)?;
        let (head, note) = text.split_once("\n\n").ok_or(ReceiptError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(ReceiptError::Version);
        }
        let mut line = lines.next().ok_or(ReceiptError::Index)?;
        let mut extra = Vec::new();
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = decode_extra(encoded)?;
            line = lines.next().ok_or(ReceiptError::Index)?;
        }
        let index = line.strip_prefix("index ");
        let index = index.and_then(|digits| parse_decimal(digits, 19));
        let index = index.ok_or(ReceiptError::Index)?;
        let mut path = Vec::new();
        for (before, line) in lines.enumerate() {
            let hash = Hash::from_base64(line).filter(|_| before < PATH_MAX);
            path.push(hash.ok_or(ReceiptError::Path { line: before + 1 })?);
        }
        Self::new(index, path, note.to_owned(), extra)
    }

    /// The index of the leaf that it is about.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The path from the leaf's sibling up.
    #[must_use]
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The signed checkpoint, as it stands there.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The extra data, which nothing authenticates.
    #[must_use]
    pub fn unverified_extra(&self) -> &[u8] {
        &self.extra
    }

    /// Verifies that the leaf with this hash is in the log, and that a quorum has seen that.
    ///
    /// # Errors
    /// [`ReceiptError::Policy`], [`ReceiptError::Inclusion`].
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<VerifiedReceipt, ReceiptError> {
        let checkpoint = policy.verify(self.note.as_bytes());
        let checkpoint = checkpoint.map_err(ReceiptError::Policy)?;
        let head = checkpoint.checkpoint();
        let (index, size) = (self.index, head.size());
        verify_inclusion(index, size, leaf, &self.path, head.root())
            .map_err(ReceiptError::Inclusion)?;
        Ok(VerifiedReceipt {
            index,
            leaf: *leaf,
            checkpoint,
        })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", base64::encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.note)
    }
}

fn decode_extra(encoded: &str) -> Result<Vec<u8>, ReceiptError> {
    if encoded.is_empty() {
        return Err(ReceiptError::Extra);
    }
    if encoded.len() > base64::encoded_len(RECEIPT_EXTRA_BYTES_MAX) {
        return Err(ReceiptError::TooLong);
    }
    base64::decode(encoded).ok_or(ReceiptError::Extra)
}

/// That a leaf is in a log whose head satisfies a policy, made only by [`Receipt::verify`].
///
/// ```compile_fail,E0451
/// # fn forge(leaf: jeton_tlog::Hash, checkpoint: jeton_tlog::WitnessedCheckpoint) {
/// let forged = jeton_tlog::VerifiedReceipt { index: 0, leaf, checkpoint };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    index: u64,
    leaf: Hash,
    checkpoint: WitnessedCheckpoint,
}

impl VerifiedReceipt {
    /// Where in the log the leaf is.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The hash of the leaf.
    #[must_use]
    pub const fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// The head that covers it.
    #[must_use]
    pub const fn checkpoint(&self) -> &WitnessedCheckpoint {
        &self.checkpoint
    }
}

#[cfg(test)]
mod tests;
