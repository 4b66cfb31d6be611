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
    /// More events than there are; or, of an epoch that the store does not know, any.
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
        let (name, origin) = (&self.witness, &self.origin);
        let (field, what) = match self.seen {
            Seen::Ahead { shown, stored } if shown <= stored => (
                "epoch",
                format!(
                    "rollback: witness {name} has seen {shown} events of {origin}, a name that the store does not know"
                ),
            ),
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

#[cfg(test)]
mod tests {
    use jeton_core::directory::{Epoch, Log, LogKey};
    use jeton_tlog::SigningKey;

    use super::*;

    const FIRST: &str = "a.test/log";
    const SECOND: &str = "a.test/log/2";

    fn root(of: u8) -> Hash {
        Hash::from_bytes([of; 32])
    }

    fn note(origin: &str, seed: u8, size: u64, of: u8) -> Recalled {
        let key = SigningKey::from_seed(origin, &[seed; 32]).unwrap();
        let note = Checkpoint::new(origin, size, root(of)).unwrap().sign(&key);
        Recalled {
            witness: "w".into(),
            origin: origin.into(),
            latest: Ok(Some(note.unwrap())),
        }
    }

    fn public(seed: u8) -> [u8; 32] {
        let key = SigningKey::from_seed(FIRST, &[seed; 32]).unwrap();
        *key.verifier().public_key()
    }

    /// A store of ten events whose first key was stolen at seven, in an epoch.
    fn report(epochs: &[(u64, &str)]) -> Report {
        let key = |public, added, retired, compromised_from| LogKey {
            public,
            added,
            retired,
            compromised_from,
        };
        Report {
            head: Some(10),
            log: Log {
                epochs: epochs
                    .iter()
                    .map(|(from, origin)| Epoch {
                        from: *from,
                        origin: (*origin).into(),
                    })
                    .collect(),
                keys: vec![
                    key(public(1), 0, Some(8), Some(7)),
                    key(public(2), 5, None, None),
                ],
                ..Log::default()
            },
            roots: vec![(6, root(6)), (9, root(9)), (10, root(10))],
            ..Report::default()
        }
    }

    fn seen(recalled: Recalled, report: &Report) -> Seen {
        all(&[recalled], report).remove(0).seen
    }

    #[test]
    fn what_a_witness_shows_counts_where_a_key_of_the_ledger_has_signed_it() {
        let one = report(&[(0, FIRST)]);
        let ahead = |shown| Seen::Ahead { shown, stored: 10 };
        let other = |shown| Seen::Other { shown, stored: 10 };
        for (seed, size, of, due) in [
            (1, 6, 6, Seen::Same(6)),
            (2, 10, 10, Seen::Same(10)),
            (2, 11, 11, ahead(11)),
            (2, 9, 1, other(9)),
            (1, 6, 1, other(6)),
            (2, 8, 8, Seen::Unknown(8)),
        ] {
            let told = seen(note(FIRST, seed, size, of), &one);
            assert_eq!(told, due, "{seed} {size} {of}");
        }
        // A stranger's key, a stolen one from the theft on, one before its time.
        for (seed, size) in [(3, 11), (1, 11), (1, 7), (2, 5)] {
            let told = seen(note(FIRST, seed, size, 1), &one);
            assert!(matches!(told, Seen::Unheard(_)), "{seed} {size}: {told:?}");
        }
        assert_eq!(
            seen(
                Recalled {
                    latest: Ok(None),
                    ..note(FIRST, 1, 1, 1)
                },
                &one
            ),
            Seen::Nothing
        );
    }

    #[test]
    fn an_epoch_that_ended_is_no_measure_and_one_that_is_lost_is() {
        let two = report(&[(0, FIRST), (8, SECOND)]);
        assert_eq!(seen(note(FIRST, 2, 20, 1), &two), Seen::Ended(20));
        assert_eq!(seen(note(SECOND, 2, 10, 10), &two), Seen::Same(10));
        let one = report(&[(0, FIRST)]);
        let lost = Seen::Ahead {
            shown: 9,
            stored: 10,
        };
        assert_eq!(seen(note(SECOND, 2, 9, 9), &one), lost);
    }
}
