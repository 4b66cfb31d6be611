//! What goes wrong with backups, by what can be done about it.

use std::path::{Path, PathBuf};

use jeton_store::StoreError;

use crate::node::{keyring::KeyringError, start::StartError};

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The stream of the backup could not be read or written.
    #[error("cannot {doing} the backup")]
    Stream {
        /// What was attempted.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A text is no recipient.
    #[error("{0} is no age recipient (age1…)")]
    Recipient(String),
    /// A file is open to others.
    #[error("{0} can be read by others: run chmod 600 on it")]
    Open(PathBuf),
    /// None of the identities is one that the backup was made for.
    #[error("no identity in this file opens the backup")]
    NoIdentity,
    /// It is something else.
    #[error("this is no backup of a jeton that this one understands: {0}")]
    NotOurs(&'static str),
    /// It is a backup, and what it holds is not what was put into it.
    #[error("the backup is damaged, {events} events in: {what}")]
    Damaged {
        /// How many events were sound before that.
        events: u64,
        /// What is wrong.
        what: String,
    },
    /// The ledger that was to be backed up does not explain itself.
    #[error("the ledger is not sound: {0}; run `jeton fsck`")]
    Unsound(String),
    /// Something was erased after the last checkpoint.
    #[error("what was erased last is not signed yet")]
    Unsigned,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// There is no keyring to check the events with.
    #[error("there is no keyring in {0}, and the backup holds none")]
    NoKeyring(PathBuf),
    /// The data directory is not usable, or is in use.
    #[error(transparent)]
    Start(StartError),
    /// The store that would be replaced cannot be read.
    #[error("the store {path} that would be replaced cannot be closed")]
    Replaced {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
}

impl BackupError {
    /// An error of the system about a file.
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    /// What a replay says of a backup: an event that does not follow is damage.
    pub(super) fn replayed(error: StartError) -> Self {
        match error {
            StartError::Unsound { index, why } => Self::Damaged {
                events: index,
                what: why,
            },
            StartError::Keyring(error) => Self::Keyring(error),
            StartError::Store(error) => Self::Store(error),
            error @ (StartError::Directory { .. }
            | StartError::Gone { .. }
            | StartError::HighWater { .. }
            | StartError::Origin { .. }
            | StartError::Other(_)) => Self::Start(error),
        }
    }
}
