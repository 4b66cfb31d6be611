//! What a log sends to a witness: the size it believes the witness to be at, the proof that the log
//! only grew since, and the new checkpoint (c2sp.org/tlog-witness, "add-checkpoint").

use std::fmt;

use crate::hash::Hash;
use crate::merkle::TREE_SIZE_MAX;
use crate::tile::parse_decimal;

/// The longest body of a request, 16 KiB; other witnesses have the same bound.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 16 * 1_024;

/// The most hashes in the proof (c2sp.org/tlog-witness, "add-checkpoint").
pub const ADD_CHECKPOINT_HASHES_MAX: usize = 63;

/// Why bytes are not an add-checkpoint request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointError {
    /// The request is longer than [`ADD_CHECKPOINT_BYTES_MAX`].
    #[error("a request has at most 16384 bytes, not {actual}")]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// It is not UTF-8.
    #[error("the request is not plain text")]
    NotPlainText,
    /// The first line is not `old` and a decimal number up to 2^63.
    #[error("the first line is not the old size")]
    Old,
    /// A line of the proof is not the canonical base64 of 32 bytes, or there are more than 63.
    #[error("line {line} of the proof is not a hash")]
    Proof {
        /// Which line of the proof, from 1.
        line: usize,
    },
    /// No empty line divides the proof from the checkpoint.
    #[error("the request has no checkpoint")]
    NoCheckpoint,
}

/// A request as it was read or made; nothing in it is verified.
///
/// Printed as the body of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    note: String,
}

impl AddCheckpoint {
    /// Puts a request together: the proof from `old` leaves to the checkpoint in `note`.
    ///
    /// # Errors
    /// [`AddCheckpointError::Old`] above 2^63, [`AddCheckpointError::Proof`] for more than 63
    /// hashes, [`AddCheckpointError::TooLong`].
    pub fn new(old: u64, proof: Vec<Hash>, note: String) -> Result<Self, AddCheckpointError> {
        if old > TREE_SIZE_MAX {
            return Err(AddCheckpointError::Old);
        }
        if proof.len() > ADD_CHECKPOINT_HASHES_MAX {
            let line = ADD_CHECKPOINT_HASHES_MAX + 1;
            return Err(AddCheckpointError::Proof { line });
        }
        let request = Self { old, proof, note };
        check_length(request.to_string().len())?;
        Ok(request)
    }

    /// Reads the body of a request, as this type prints it.
    ///
    /// # Errors
    /// [`AddCheckpointError`], by its parts. Whether the checkpoint is one is found out when it is
    /// opened.
    pub fn parse(body: &[u8]) -> Result<Self, AddCheckpointError> {
        check_length(body.len())?;
        let text = str::from_utf8(body).map_err(|_| AddCheckpointError::NotPlainText)?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(AddCheckpointError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(|digits| parse_decimal(digits, 19));
        let old = old.ok_or(AddCheckpointError::Old)?;
        let mut proof = Vec::new();
        for (before, line) in lines.enumerate() {
            let hash = Hash::from_base64(line).filter(|_| before < ADD_CHECKPOINT_HASHES_MAX);
            proof.push(hash.ok_or(AddCheckpointError::Proof { line: before + 1 })?);
        }
        Self::new(old, proof, note.to_owned())
    }

    /// The size that the witness is believed to be at; zero if it knows nothing of the log.
    #[must_use]
    pub const fn old(&self) -> u64 {
        self.old
    }

    /// The consistency proof from that size to the checkpoint's.
    #[must_use]
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The signed checkpoint, as it stands there.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.note)
    }
}

const fn check_length(actual: usize) -> Result<(), AddCheckpointError> {
    if actual > ADD_CHECKPOINT_BYTES_MAX {
        return Err(AddCheckpointError::TooLong { actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
