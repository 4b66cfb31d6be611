//! One checkpoint at a time: look at the last head, decide, remember, and only then answer.

use std::sync::Arc;

use jeton_store::{
    StoreError,
    witness::{Cosigned, Replaced, WitnessStore},
};
use jeton_tlog::{
    AddCheckpoint, AddCheckpointError, CheckpointError, CosignError, CosigningKey, Note, NoteError,
    Signature, VerifiedCheckpoint, VerifierKey, WitnessRefusal,
};
use parking_lot::Mutex;

use super::identity::Identity;
use crate::capability::Clock;

/// Why a request gets no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The request is not one.
    #[error("the request cannot be read")]
    Request(#[source] AddCheckpointError),
    /// The rule says no.
    #[error("not cosigned")]
    Refused(#[from] WitnessRefusal),
    /// It could not be remembered, so it is not cosigned.
    #[error("the witness's memory")]
    Store(#[from] StoreError),
    /// It could not be signed.
    #[error("the witness's key")]
    Sign(#[from] CosignError),
    /// The checkpoint with its cosignature is no note: it has no room for one more line.
    #[error("the cosigned checkpoint")]
    Note(#[from] NoteError),
}

/// A witness at work.
pub struct Witness {
    key: CosigningKey,
    logs: Vec<VerifierKey>,
    clock: Arc<Clock>,
    /// The lock is what makes requests of one log follow each other.
    store: Mutex<WitnessStore>,
    _lock: std::fs::File,
}

impl Witness {
    /// A witness of these logs.
    #[must_use]
    pub fn new(identity: Identity, logs: Vec<VerifierKey>, clock: Arc<Clock>) -> Self {
        let Identity { key, store, lock } = identity;
        Self {
            key,
            logs,
            clock,
            store: Mutex::new(store),
            _lock: lock,
        }
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &CosigningKey {
        &self.key
    }

    /// The keys of the logs that it cosigns.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Decides on the body of an add-checkpoint request; gives the cosignature line. Blocks.
    ///
    /// When there is a line, the head is remembered and survives a power cut. A crash after that and before the answer costs a
    /// repetition: the log asks again, hears the new size, and goes on from there.
    ///
    /// # Errors
    /// [`AddError`]; on [`StoreError::Disk`] the process must end.
    pub fn add(&self, body: &[u8]) -> Result<String, AddError> {
        let request = AddCheckpoint::parse(body).map_err(AddError::Request)?;
        // The signature comes first: strangers do not get as far as the lock.
        let head = request.open(&self.logs)?;
        let mut store = self.store.lock();
        let last = store.last(head.origin())?;
        let known = last.as_ref().map(|last| (last.size, last.root));
        let follows = request.follows(&head, known);
        if follows == Err(WitnessRefusal::Inconsistent) {
            // Signed by the log, and not a continuation: this may be the proof that it lies.
            let (last, note) = (known.map(|(size, _)| size), request.note());
            tracing::error!(last, note, "a log has signed a head that it does not prove");
        }
        follows?;
        let time_s = u64::from(self.clock.time().seconds());
        let line = self.key.cosign(head.checkpoint(), time_s)?;
        let after = Cosigned {
            size: head.size(),
            root: *head.root(),
            note: self.note(&head, request.note(), &line)?,
        };
        match store.replace(head.origin(), last.as_ref(), &after)? {
            Replaced::Yes => Ok(line),
            // The lock on the directory and the one above exclude it; if they fail, nothing was promised.
            Replaced::No => Err(WitnessRefusal::Conflict { size: after.size }.into()),
        }
    }

    /// What others are shown later: the text, the log's own signatures, and the cosignature. Lines of strangers stay out.
    fn note(&self, head: &VerifiedCheckpoint, note: &str, line: &str) -> Result<String, NoteError> {
        let signers = head.note().signers();
        let of_log = |signature: &&Signature| {
            let made = |key: &VerifierKey| {
                key.name() == signature.name() && key.key_id() == signature.key_id()
            };
            signers.iter().any(|signer| made(signer.key()))
        };
        let read = Note::parse(note.as_bytes())?;
        let mut lines: Vec<String> = Vec::new();
        for line in read.signatures().iter().filter(of_log) {
            let line = line.to_string();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let text = format!("{}\n{}", head.checkpoint(), lines.concat());
        let mut note = Note::parse(text.as_bytes())?;
        let added = note.add_cosignature(line, self.key.witness());
        match added {
            Ok(_) => Ok(note.to_string()),
            Err(CheckpointError::Note(error)) => Err(error),
            // The text is that of a checkpoint: it was printed by one.
            Err(_) => Err(NoteError::TextUnfinished),
        }
    }

    /// The last checkpoint that was cosigned of the log whose origin has this SHA-256. Blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest(&self, origin_hash: &[u8; 32]) -> Result<Option<String>, StoreError> {
        use sha2::{Digest as _, Sha256};
        let is = |key: &&VerifierKey| Sha256::digest(key.name()).as_slice() == origin_hash;
        let Some(log) = self.logs.iter().find(is) else {
            return Ok(None);
        };
        let last = self.store.lock().last(log.name())?;
        Ok(last.map(|last| last.note))
    }
}

#[cfg(test)]
mod tests {
    use jeton_tlog::{Checkpoint, Hash, SigningKey, leaf_hash, node_hash};

    use super::*;

    /// The log has many keys, so that its notes are long.
    fn keys() -> Vec<SigningKey> {
        let key = |seed: u8| SigningKey::from_seed("log.example", &[seed; 32]).unwrap();
        (1..=40).map(key).collect()
    }

    /// A head of one leaf or of two, signed with so many keys; the second leaf may be another one.
    fn request(old: u64, second: Option<&str>, signers: usize) -> String {
        let first = leaf_hash(b"first");
        let second = second.map(|second| leaf_hash(second.as_bytes()));
        let (size, root) = match &second {
            None => (1, first),
            Some(second) => (2, node_hash(&first, second)),
        };
        let head = Checkpoint::new("log.example", size, root).unwrap();
        let proof: Vec<Hash> = second.filter(|_| old == 1).into_iter().collect();
        let keys = keys();
        let signers: Vec<&SigningKey> = keys.iter().take(signers).collect();
        let request = AddCheckpoint::new(old, proof, head.sign_all(&signers).unwrap());
        request.unwrap().to_string()
    }

    #[test]
    fn what_is_not_remembered_is_not_cosigned() {
        let home = tempfile::tempdir().unwrap();
        let identity = Identity::open(home.path(), "w.example").unwrap();
        let logs = keys().iter().map(|key| key.verifier().clone()).collect();
        let witness = Witness::new(identity, logs, Arc::new(Clock::start()));
        let add = |text: &str| witness.add(text.as_bytes());
        assert!(add(&request(0, None, 1)).is_ok());
        // A disk without room: the file does not grow, and a long note needs another page.
        witness.store.lock().danger_limit_growth(0).unwrap();
        let refused = add(&request(1, Some("second"), 40)).unwrap_err();
        assert!(
            matches!(refused, AddError::Store(StoreError::Full)),
            "{refused}"
        );
        let last = witness.store.lock().last("log.example").unwrap().unwrap();
        assert_eq!(last.size, 1);
        // Room again. What was refused was not promised: another continuation may come, and only one does.
        witness.store.lock().danger_limit_growth(1_000).unwrap();
        assert!(add(&request(1, Some("other"), 40)).is_ok());
        let late = add(&request(1, Some("second"), 40)).unwrap_err();
        let conflict = WitnessRefusal::Conflict { size: 2 };
        assert!(matches!(late, AddError::Refused(refusal) if refusal == conflict));
    }

    #[test]
    fn a_line_that_is_repeated_is_kept_once() {
        let home = tempfile::tempdir().unwrap();
        let identity = Identity::open(home.path(), "w.example").unwrap();
        let logs = keys().iter().map(|key| key.verifier().clone()).collect();
        let witness = Witness::new(identity, logs, Arc::new(Clock::start()));
        let once = request(0, None, 1);
        let line = format!("{}\n", once.lines().last().unwrap());
        let cosignature = witness.add((once + &line.repeat(63)).as_bytes()).unwrap();
        let last = witness.store.lock().last("log.example").unwrap().unwrap();
        let expected = Checkpoint::new("log.example", 1, leaf_hash(b"first")).unwrap();
        assert_eq!(last.note, format!("{expected}\n{line}{cosignature}"));
    }
}
