//! Checkpoints: the signed head of a log, in three lines.
//!
//! `origin`, `size`, `root`, each on its own line, as the text of a signed note
//! (c2sp.org/tlog-checkpoint). Everything that can be proved about a log is proved against one of
//! these, so it is read strictly: one text for each checkpoint, and no extension lines, which the
//! specification advises against because nobody can audit them.

use std::fmt;

use crate::hash::Hash;
use crate::key::{SigningKey, VerifierKey};
use crate::merkle::TREE_SIZE_MAX;
use crate::note::{NOTE_BYTES_MAX, Note, NoteError, VerifiedNote};
use crate::tile::parse_decimal;

/// 2^63 has 19 digits.
const SIZE_DIGITS_MAX: usize = 19;

/// Why text is not a checkpoint, or a checkpoint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is longer than a note may be.
    #[error("a checkpoint has at most 16384 bytes, not {actual}")]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// The text is not three lines, each ended by a newline.
    #[error("a checkpoint has exactly three lines")]
    Lines,
    /// The origin is empty or has a control character.
    #[error("not an origin")]
    Origin,
    /// The size is not a decimal number up to 2^63 without leading zeroes.
    #[error("not a tree size")]
    Size,
    /// The root is not the canonical base64 of 32 bytes.
    #[error("not a root hash")]
    Root,
    /// The tree is said to be empty and its root is not that of the empty tree.
    #[error("an empty tree has another root")]
    EmptyRoot,
    /// The checkpoint is of another log than the one the key belongs to.
    #[error("the checkpoint is of {origin}, the key belongs to {name}")]
    OriginMismatch {
        /// The origin in the checkpoint.
        origin: String,
        /// The name of the key.
        name: String,
    },
    /// None of the keys belongs to the log that the checkpoint is of.
    #[error("no key is known of the log {origin}")]
    UnknownLog {
        /// The origin in the checkpoint.
        origin: String,
    },
    /// The bytes around the checkpoint are not a note of the key, or the key could not sign.
    #[error("the note of the checkpoint")]
    Note(#[source] NoteError),
}

/// The head of a log: how many leaves it has, and the root above them.
///
/// Printed as the three lines that are signed. Anybody can make one; see [`VerifiedCheckpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// Puts a tree head under the origin of its log.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`], [`CheckpointError::Size`] above 2^63,
    /// [`CheckpointError::EmptyRoot`] if `size` is 0 and `root` is not [`Hash::EMPTY`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.contains(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        if size > TREE_SIZE_MAX {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != Hash::EMPTY {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Reads the text of a checkpoint, as this type prints it.
    ///
    /// # Errors
    /// [`CheckpointError::TooLong`], [`CheckpointError::Lines`] (also for extension lines),
    /// [`CheckpointError::Size`], [`CheckpointError::Root`], and those of [`Checkpoint::new`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(CheckpointError::TooLong { actual: text.len() });
        }
        let mut lines = text.split('\n');
        let parts = [(); 5].map(|()| lines.next());
        let [Some(origin), Some(size), Some(root), Some(""), None] = parts else {
            return Err(CheckpointError::Lines);
        };
        let size = parse_decimal(size, SIZE_DIGITS_MAX).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Root)?;
        Self::new(origin, size, root)
    }

    /// Reads a signed checkpoint and believes it if this key, and so this log, has signed it.
    ///
    /// The name of the key must be the origin: a log can speak only for itself. Signatures of
    /// others, such as witnesses, are ignored here.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] for a note that does not parse or verify,
    /// [`CheckpointError::OriginMismatch`], and those of [`Checkpoint::parse`].
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<VerifiedCheckpoint, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let note = note
            .verify(std::slice::from_ref(key))
            .map_err(CheckpointError::Note)?;
        let checkpoint = Self::parse(note.text())?;
        checkpoint.check_name(key.name())?;
        Ok(VerifiedCheckpoint { checkpoint, note })
    }

    /// Reads a signed checkpoint and believes it if a key of its own log has signed it.
    ///
    /// The keys may be of several logs, and several of one log, as while it changes its key. The
    /// origin picks those that may speak for it; signatures of all others are ignored.
    ///
    /// # Errors
    /// Those of [`Checkpoint::parse`]; [`CheckpointError::UnknownLog`];
    /// [`CheckpointError::Note`] for a note that does not parse or verify.
    pub fn open_any(
        note: &[u8],
        keys: &[VerifierKey],
    ) -> Result<VerifiedCheckpoint, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        Self::open_note(&note, keys)
    }

    /// [`Checkpoint::open_any`] of a note that was parsed already.
    ///
    /// # Errors
    /// As there.
    pub fn open_note(
        note: &Note,
        keys: &[VerifierKey],
    ) -> Result<VerifiedCheckpoint, CheckpointError> {
        let checkpoint = Self::parse(note.unverified_text())?;
        let own = keys.iter().filter(|key| key.name() == checkpoint.origin);
        let own: Vec<VerifierKey> = own.cloned().collect();
        if own.is_empty() {
            let origin = checkpoint.origin;
            return Err(CheckpointError::UnknownLog { origin });
        }
        let note = note.verify(&own).map_err(CheckpointError::Note)?;
        Ok(VerifiedCheckpoint { checkpoint, note })
    }

    /// Signs the checkpoint and gives the whole note, as it is served.
    ///
    /// A log must never sign two checkpoints of which neither begins with the other: sign only what
    /// has been committed (c2sp.org/tlog-checkpoint, "Signatures").
    ///
    /// # Errors
    /// [`CheckpointError::OriginMismatch`] if the key has another name than the origin,
    /// [`CheckpointError::Note`] if it could not sign.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        self.sign_all(&[key])
    }

    /// Signs the checkpoint with several keys of the log, so that verifiers of either believe it:
    /// the overlap while a log changes its key.
    ///
    /// # Errors
    /// As [`Checkpoint::sign`]; without any key, [`NoteError::NoSignatures`].
    pub fn sign_all(&self, keys: &[&SigningKey]) -> Result<String, CheckpointError> {
        let text = self.to_string();
        let mut lines = String::new();
        for key in keys {
            self.check_name(key.name())?;
            lines.push_str(&key.sign(&text).map_err(CheckpointError::Note)?);
        }
        let note = Note::parse(format!("{text}\n{lines}").as_bytes());
        Ok(note.map_err(CheckpointError::Note)?.to_string())
    }

    /// The identity of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of that many leaves.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    fn check_name(&self, name: &str) -> Result<(), CheckpointError> {
        if self.origin == name {
            return Ok(());
        }
        let (origin, name) = (self.origin.clone(), name.to_owned());
        Err(CheckpointError::OriginMismatch { origin, name })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// A checkpoint that its log has signed, made only by [`Checkpoint::open`] and its like.
///
/// It says that the log committed itself to this tree; that it shows everybody the same one is what
/// witnesses are for.
///
/// ```compile_fail,E0451
/// # fn forge(checkpoint: jeton_tlog::Checkpoint, note: jeton_tlog::VerifiedNote) {
/// let forged = jeton_tlog::VerifiedCheckpoint { checkpoint, note };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: VerifiedNote,
}

impl VerifiedCheckpoint {
    /// The checkpoint that was signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note it was signed in.
    #[must_use]
    pub const fn note(&self) -> &VerifiedNote {
        &self.note
    }

    /// The identity of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// The root of the tree of that many leaves.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        self.checkpoint.root()
    }
}

#[cfg(test)]
mod tests;
