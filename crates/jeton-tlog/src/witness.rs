//! The witness's rule: which checkpoints may be cosigned after what was cosigned before.
//!
//! A witness is worth its memory. It cosigns a head only if the log has signed it and if it grew out
//! of the last head that was cosigned, and it must remember that head before anybody else sees the
//! cosignature (c2sp.org/tlog-witness, "add-checkpoint"). The memory, the clock and the key are the
//! caller's; here is only the decision.

use crate::add_checkpoint::AddCheckpoint;
use crate::checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
use crate::hash::Hash;
use crate::key::VerifierKey;
use crate::note::NoteError;
use crate::prove::verify_consistency;

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The checkpoint is not one. Status 400.
    #[error("the checkpoint cannot be read")]
    Malformed(#[source] CheckpointError),
    /// The witness knows no key of the log. Status 404.
    #[error("the log {origin} is not known here")]
    UnknownLog {
        /// The origin in the checkpoint.
        origin: String,
    },
    /// No key of the log has signed, or a signature is bad. Status 403.
    #[error("the log has not signed the checkpoint")]
    NotSigned(#[source] NoteError),
    /// The old size is larger than the checkpoint's. Status 400.
    #[error("the old size {old} is larger than the checkpoint's {size}")]
    Shrunk {
        /// The old size in the request.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The last head that was cosigned has another size than the request says. Status 409, with the
    /// size.
    #[error("the last checkpoint that was cosigned has size {size}")]
    Conflict {
        /// Its size; 0 if there is none.
        size: u64,
    },
    /// The checkpoint does not grow out of the last one: the log shows two histories, or the proof
    /// is wrong. Status 422.
    #[error("the checkpoint is not proved to continue the last one that was cosigned")]
    Inconsistent,
}

impl AddCheckpoint {
    /// Opens the checkpoint of the request: one of `keys` belongs to its log and has signed it.
    ///
    /// # Errors
    /// [`WitnessRefusal::Malformed`], [`WitnessRefusal::UnknownLog`], [`WitnessRefusal::NotSigned`];
    /// [`WitnessRefusal::Inconsistent`] for an empty tree with a root of its own;
    /// [`WitnessRefusal::Shrunk`].
    pub fn open(&self, keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, WitnessRefusal> {
        let opened = Checkpoint::open_any(self.note().as_bytes(), keys);
        let head = opened.map_err(|error| match error {
            CheckpointError::UnknownLog { origin } => WitnessRefusal::UnknownLog { origin },
            CheckpointError::EmptyRoot => WitnessRefusal::Inconsistent,
            CheckpointError::Note(
                error @ (NoteError::NotSigned
                | NoteError::BadSignature { .. }
                | NoteError::AmbiguousKey { .. }),
            ) => WitnessRefusal::NotSigned(error),
            error @ (CheckpointError::Note(_)
            | CheckpointError::TooLong { .. }
            | CheckpointError::Lines
            | CheckpointError::Origin
            | CheckpointError::Size
            | CheckpointError::Root
            | CheckpointError::OriginMismatch { .. }) => WitnessRefusal::Malformed(error),
        })?;
        let (old, size) = (self.old(), head.size());
        if old > size {
            return Err(WitnessRefusal::Shrunk { old, size });
        }
        Ok(head)
    }

    /// Decides whether `head`, which [`AddCheckpoint::open`] gave, may be cosigned after the `last`
    /// size and root that were; `None` if nothing of this log ever was.
    ///
    /// # Errors
    /// [`WitnessRefusal::Conflict`], [`WitnessRefusal::Inconsistent`].
    pub fn follows(
        &self,
        head: &VerifiedCheckpoint,
        last: Option<(u64, Hash)>,
    ) -> Result<(), WitnessRefusal> {
        let (size, root) = last.unwrap_or((0, Hash::EMPTY));
        if self.old() != size {
            return Err(WitnessRefusal::Conflict { size });
        }
        verify_consistency(size, head.size(), self.proof(), &root, head.root())
            .map_err(|_| WitnessRefusal::Inconsistent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::tile::TileSpan;
    use crate::{Frontier, TileBuilder, leaf_hash, prove_consistency};

    const ORIGIN: &str = "log.example";

    fn log(seed: u8) -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
    }

    /// The first `size` leaves of a log that forks after `fork`.
    fn leaves(size: u64, fork: u64) -> impl Iterator<Item = Hash> {
        (0..size).map(move |leaf| leaf_hash(format!("{leaf} {}", leaf >= fork).as_bytes()))
    }

    fn root(size: u64, fork: u64) -> Hash {
        let mut frontier = Frontier::new();
        leaves(size, fork).for_each(|leaf| frontier.push(leaf));
        frontier.root()
    }

    fn request(old: u64, size: u64, fork: u64) -> AddCheckpoint {
        let mut builder = TileBuilder::new();
        leaves(size, fork).for_each(|leaf| drop(builder.push(leaf)));
        let read = |level, index| {
            let span = TileSpan::of_node(level, index, size)?;
            let tile = builder.partial(span.tile().level());
            let bytes: Vec<u8> = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
            span.hash(&bytes).ok()
        };
        let proof = prove_consistency(old, size, read).unwrap();
        let head = Checkpoint::new(ORIGIN, size, root(size, fork)).unwrap();
        AddCheckpoint::new(old, proof, head.sign(&log(1)).unwrap()).unwrap()
    }

    fn decide(request: &AddCheckpoint, last: Option<(u64, Hash)>) -> Result<(), WitnessRefusal> {
        let head = request.open(&[log(1).verifier().clone()])?;
        request.follows(&head, last)
    }

    #[test]
    fn only_what_grows_out_of_the_last_head_is_cosigned() {
        use WitnessRefusal::{Conflict, Inconsistent};
        let none = 1_000;
        let at = |size, fork| Some((size, root(size, fork)));
        assert_eq!(decide(&request(0, 7, none), None), Ok(()));
        assert_eq!(decide(&request(0, 0, none), None), Ok(()));
        assert_eq!(decide(&request(7, 7, none), at(7, none)), Ok(()));
        assert_eq!(decide(&request(7, 8, none), at(7, none)), Ok(()));
        assert_eq!(decide(&request(8, 200, none), at(8, none)), Ok(()));
        assert_eq!(decide(&request(0, 3, none), at(0, none)), Ok(()));
        // The request is about another head than the last one.
        let conflict = |size| Err(Conflict { size });
        assert_eq!(decide(&request(0, 8, none), at(7, none)), conflict(7));
        assert_eq!(decide(&request(6, 8, none), at(7, none)), conflict(7));
        assert_eq!(decide(&request(7, 8, none), at(8, none)), conflict(8));
        assert_eq!(decide(&request(7, 8, none), None), conflict(0));
        // A fork, before the last head or at it; the proof is good within the fork.
        for fork in [0, 5, 6] {
            assert_eq!(decide(&request(7, 9, fork), at(7, none)), Err(Inconsistent));
            assert_eq!(decide(&request(7, 7, fork), at(7, none)), Err(Inconsistent));
        }
        assert_eq!(decide(&request(7, 9, 7), at(7, none)), Ok(()));
        // A proof where none belongs, and none where one belongs.
        let with = |old, proof: Vec<Hash>, size| {
            let note = request(old, size, none).note().to_owned();
            AddCheckpoint::new(old, proof, note).unwrap()
        };
        let one = || vec![Hash::EMPTY];
        assert_eq!(decide(&with(0, one(), 7), None), Err(Inconsistent));
        assert_eq!(decide(&with(7, one(), 7), at(7, none)), Err(Inconsistent));
        assert_eq!(decide(&with(7, vec![], 9), at(7, none)), Err(Inconsistent));
    }

    #[test]
    fn what_is_not_the_logs_is_refused_first() {
        let good = request(0, 7, 1_000);
        let of = |note: &str| AddCheckpoint::new(0, vec![], note.to_owned()).unwrap();
        let open = |request: &AddCheckpoint, key: &SigningKey| {
            request
                .open(&[key.verifier().clone()])
                .map(|head| head.size())
        };
        assert_eq!(open(&good, &log(1)), Ok(7));
        let not_signed = WitnessRefusal::NotSigned(NoteError::NotSigned);
        assert_eq!(open(&good, &log(2)), Err(not_signed));
        let spoiled = of(&good.note().replace("\n7\n", "\n8\n"));
        assert!(matches!(
            open(&spoiled, &log(1)),
            Err(WitnessRefusal::NotSigned(NoteError::BadSignature { .. }))
        ));
        let other = SigningKey::from_seed("other.example", &[1; 32]).unwrap();
        let origin = ORIGIN.to_owned();
        assert_eq!(
            open(&good, &other),
            Err(WitnessRefusal::UnknownLog { origin })
        );
        let rubbish = open(&of("rubbish"), &log(1));
        assert!(matches!(rubbish, Err(WitnessRefusal::Malformed(_))));
        let shrunk = AddCheckpoint::new(8, vec![], good.note().to_owned()).unwrap();
        let refused = WitnessRefusal::Shrunk { old: 8, size: 7 };
        assert_eq!(open(&shrunk, &log(1)), Err(refused));
        let empty = good.note().replace("\n7\n", "\n0\n");
        assert_eq!(
            open(&of(&empty), &log(1)),
            Err(WitnessRefusal::Inconsistent)
        );
    }
}
