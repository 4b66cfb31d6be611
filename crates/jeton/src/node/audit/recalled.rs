//! What the witnesses of a policy remember, held against a store. A witness is a stranger: what it shows counts only where a key of
//! the ledger has signed it.

use jeton_store::fsck::{Finding, Report};
use jeton_tlog::{Checkpoint, CheckpointError, Hash, Note, VerifierKey};

use crate::node::quorum::Recalled;

/// What a witness remembers of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witnessed {
    /// Its name.
    pub witness: String,
    /// The name of the ledger by which it was asked.
    pub origin: String,
    /// What it said.
    pub seen: Seen,
}

/// What a witness said, held against the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// So many events, and the store holds the same.
    Same(u64),
    /// So many events, of which some are missing or broken in the store, as was told.
    Unknown(u64),
    /// More events than there are.
    Ahead {
        /// So many.
        shown: u64,
        /// The store holds so many.
        stored: u64,
    },
    /// Other events up to a size.
    Other {
        /// The size.
        shown: u64,
        /// The store holds so many.
        stored: u64,
    },
    /// It remembers an earlier epoch of the ledger, which has ended.
    Ended(u64),
    /// Nothing.
    Nothing,
    /// Why nobody knows: it is away, or what it says is not the ledger's word.
    Unheard(String),
}

impl Seen {
    /// The size that it has seen.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        match self {
            Self::Same(size) | Self::Unknown(size) | Self::Ended(size) => Some(*size),
            Self::Ahead { shown, .. } | Self::Other { shown, .. } => Some(*shown),
            Self::Nothing | Self::Unheard(_) => None,
        }
    }

    /// In one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Same(_) => "same",
            Self::Unknown(_) => "not_comparable",
            Self::Ahead { .. } => "ahead",
            Self::Other { .. } => "another_history",
            Self::Ended(_) => "ended_epoch",
            Self::Nothing => "nothing",
            Self::Unheard(_) => "unheard",
        }
    }
}

impl Witnessed {
    /// The finding that the store is behind the witness, or on another way.
    pub(super) fn finding(&self) -> Option<Finding> {
        let name = &self.witness;
        let (field, what) = match self.seen {
            Seen::Ahead { shown, stored } => (
                "size",
                format!(
                    "rollback: witness {name} has seen {shown} events, the store holds {stored}"
                ),
            ),
            Seen::Other { shown, stored } => (
                "root",
                format!(
                    "another history: witness {name} has seen other events up to {shown} than the store, which holds {stored}"
                ),
            ),
            Seen::Same(_)
            | Seen::Unknown(_)
            | Seen::Ended(_)
            | Seen::Nothing
            | Seen::Unheard(_) => return None,
        };
        Some(Finding::new("witness", name, what).field(field))
    }
}

/// The size that a witness says it has seen, whoever signed it: so that the root there is computed.
pub(super) fn size(recalled: &Recalled) -> Option<u64> {
    let note = recalled.latest.as_ref().ok()?.as_ref()?;
    head(note).ok().map(|head| head.size())
}

fn head(note: &str) -> Result<Checkpoint, CheckpointError> {
    let note = Note::parse(note.as_bytes()).map_err(CheckpointError::Note)?;
    Checkpoint::parse(note.unverified_text())
}

/// What all witnesses have said, held against a store.
pub(super) fn all(recalled: &[Recalled], report: &Report) -> Vec<Witnessed> {
    let one = |recalled: &Recalled| Witnessed {
        witness: recalled.witness.clone(),
        origin: recalled.origin.clone(),
        seen: match &recalled.latest {
            Ok(None) => Seen::Nothing,
            Ok(Some(note)) => opened(note, report).map_or_else(
                |error| Seen::Unheard(format!("what it shows is not the ledger's word: {error}")),
                |head| compare(&head, report),
            ),
            Err(why) => Seen::Unheard(why.clone()),
        },
    };
    recalled.iter().map(one).collect()
}

/// What the ledger has signed, if it has: with a key that is believed at that size.
fn opened(note: &str, report: &Report) -> Result<Checkpoint, CheckpointError> {
    let head = head(note)?;
    let keys = report.log.keys.iter();
    let keys = keys.filter(|key| key.signs_at(head.size()));
    let keys = keys.filter_map(|key| VerifierKey::new(head.origin(), &key.public).ok());
    let keys: Vec<VerifierKey> = keys.collect();
    Checkpoint::open_any(note.as_bytes(), &keys)?;
    Ok(head)
}

fn compare(head: &Checkpoint, report: &Report) -> Seen {
    let (shown, stored) = (head.size(), report.head.unwrap_or(report.events));
    let log = &report.log;
    let ended = log.epochs.iter().any(|epoch| epoch.origin == head.origin());
    if ended && head.origin() != log.origin() {
        return Seen::Ended(shown);
    }
    // A name that the ledger does not know and that its key has signed is that of an epoch which the store has lost.
    if shown > stored || !ended {
        return Seen::Ahead { shown, stored };
    }
    let root: Option<&Hash> = report
        .roots
        .iter()
        .find_map(|(size, root)| (*size == shown).then_some(root));
    match root {
        None => Seen::Unknown(shown),
        Some(root) if root == head.root() => Seen::Same(shown),
        Some(_) => Seen::Other { shown, stored },
    }
}
