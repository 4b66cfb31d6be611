//! What goes wrong with a log that is followed: what could not be found out, and what was found.

use std::path::{Path, PathBuf};

use http::StatusCode;
use jeton_store::StoreError;
use jeton_tlog::{CheckpointError, PolicyError};

use crate::net::NetError;

/// Why a round of following a log ended early.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The log could not be asked.
    #[error("asking the log for {path} failed")]
    Net {
        /// What it was asked for.
        path: String,
        /// How that failed.
        #[source]
        source: NetError,
    },
    /// The log answered, but not with what it was asked for.
    #[error("the log answered {status} when asked for {path}")]
    Status {
        /// What it was asked for.
        path: String,
        /// What it answered.
        status: StatusCode,
    },
    /// A file of the mirror could not be read or written.
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
    /// Somebody else writes this mirror.
    #[error("another mirror writes into {0}")]
    Busy(PathBuf),
    /// There is no checkpoint.
    #[error("{0} holds no checkpoint: nothing was mirrored into it yet")]
    Empty(PathBuf),
    /// A policy cannot be read.
    #[error("the policy of {from} cannot be read")]
    Policy {
        /// Where it is from.
        from: String,
        /// What is wrong with it.
        #[source]
        source: PolicyError,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log, or what is kept of it, is not what it must be.
    #[error(transparent)]
    Found(#[from] Finding),
}

impl MirrorError {
    pub(super) fn file(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> MirrorError + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}

/// What was found wrong: each has a name for scripts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The log shows a smaller tree than before.
    #[error("the log shows {shown} entries, and showed {seen} before")]
    Rollback {
        /// How many it had.
        seen: u64,
        /// How many it shows.
        shown: u64,
    },
    /// The log shows another history of the same entries.
    #[error("the log signed two histories: they differ within the first {size} entries")]
    Fork {
        /// How many entries the older of the two checkpoints covers.
        size: u64,
    },
    /// The checkpoint is of another log.
    #[error("the checkpoint is of {shown}, and this follows {seen}")]
    AnotherLog {
        /// Which log is followed.
        seen: String,
        /// Which log the checkpoint is of.
        shown: String,
    },
    /// The checkpoint does not satisfy the policy.
    #[error("the checkpoint does not satisfy the policy: {0}")]
    Unverified(String),
    /// A tile does not belong to the tree that was signed.
    #[error("{path} is not a tile of the tree that was signed")]
    Tile {
        /// Which tile.
        path: String,
    },
    /// Entries are not those of the tree that was signed.
    #[error("the entries do not give the tree that was signed: {what}")]
    Entries {
        /// Which entries, as far as that can be said.
        what: String,
    },
    /// An opening does not explain its leaf.
    #[error("the opening of event {index} does not explain its leaf: {what}")]
    Opening {
        /// Which event.
        index: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An opening is missing, and no event says that it was erased.
    #[error("event {index} has no {what}, and nothing in the log says that it was erased")]
    Withheld {
        /// Which event.
        index: u64,
        /// What is missing.
        what: &'static str,
    },
    /// What is kept is not what was written.
    #[error("what is kept in {path} was changed: {what}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Finding {
    /// The name for scripts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rollback { .. } => "rollback",
            Self::Fork { .. } => "fork",
            Self::AnotherLog { .. } => "another_log",
            Self::Unverified(_) => "unverified",
            Self::Tile { .. } => "tile",
            Self::Entries { .. } => "entries",
            Self::Opening { .. } => "opening",
            Self::Withheld { .. } => "withheld",
            Self::Damaged { .. } => "damaged",
        }
    }

    /// A checkpoint that was refused, with the causes in one line.
    pub(super) fn refused(error: &(dyn core::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        Self::Unverified(text)
    }
}

impl From<CheckpointError> for Finding {
    fn from(error: CheckpointError) -> Self {
        Self::refused(&error)
    }
}
