//! One checkpoint at a time: look at the last head, decide, remember, and only then answer.

use std::{collections::HashMap, sync::Arc};

use jeton_store::{
    StoreError,
    witness::{Cosigned, Replaced, WitnessStore},
};
use jeton_tlog::{
    AddCheckpoint, AddCheckpointError, CheckpointError, CosignError, CosigningKey, Hash, Note,
    NoteError, Signature, VerifiedCheckpoint, VerifierKey, WitnessRefusal,
};
use parking_lot::{Mutex, RwLock};

use super::identity::Identity;
use crate::{capability::Clock, node::dir::Lock};

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

/// So long a cosignature answers for its head, in seconds: whoever shows the head again is told the same, and nothing is written.
const REPEATED_FOR_S: u64 = 60;

/// The last head of a log that was cosigned, as the store remembers it.
struct Last {
    head: Cosigned,
    /// The cosignature; none of a head that an earlier process cosigned.
    line: Option<Line>,
}

/// A cosignature line.
struct Line {
    /// The text that it signs.
    checkpoint: String,
    /// When, in seconds since 1970.
    time_s: u64,
    text: String,
}

impl Last {
    /// The cosignature once more, if it is of this checkpoint and still of this moment.
    fn again(&self, checkpoint: &str, now_s: u64) -> Option<String> {
        let line = self.line.as_ref()?;
        let age_s = now_s.checked_sub(line.time_s)?;
        let same = line.checkpoint == checkpoint && age_s < REPEATED_FOR_S;
        same.then(|| line.text.clone())
    }
}

/// A witness at work.
pub struct Witness {
    key: CosigningKey,
    logs: Vec<VerifierKey>,
    clock: Arc<Clock>,
    /// The lock is what makes new heads follow each other. It is held while the disk works.
    store: Mutex<WitnessStore>,
    /// What is in the store, by origin: changed under the lock above, after the disk. What is public costs a look here.
    last: RwLock<HashMap<String, Arc<Last>>>,
    _lock: Lock,
}

impl Witness {
    /// A witness of these logs.
    ///
    /// # Errors
    /// [`StoreError`], if its memory cannot be read.
    pub fn new(
        identity: Identity,
        logs: Vec<VerifierKey>,
        clock: Arc<Clock>,
    ) -> Result<Self, StoreError> {
        let Identity { key, store, lock } = identity;
        let mut last = HashMap::new();
        for log in &logs {
            if let Some(head) = store.last(log.name())? {
                let known = Last { head, line: None };
                last.insert(log.name().to_owned(), Arc::new(known));
            }
        }
        Ok(Self {
            key,
            logs,
            clock,
            store: Mutex::new(store),
            last: RwLock::new(last),
            _lock: lock,
        })
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

    /// Decides on the body of an add-checkpoint request; gives the cosignature line. Blocks where there is something to remember.
    ///
    /// When there is a line, the head is remembered and survives a power cut. A crash after that and before the answer costs a
    /// repetition: the log asks again, hears the new size, and goes on from there. The same head within a minute has the same
    /// line, which costs no write: anybody may show it, since it is public.
    ///
    /// # Errors
    /// [`AddError`]; on [`StoreError::Disk`] the process must end.
    pub fn add(&self, body: &[u8]) -> Result<String, AddError> {
        let request = AddCheckpoint::parse(body).map_err(AddError::Request)?;
        // The signature comes first, and what is refused or known is answered here: strangers do not get as far as the lock.
        let head = request.open(&self.logs)?;
        if let Some(line) = self.known(&request, &head)? {
            return Ok(line);
        }
        let mut store = self.store.lock();
        // Whoever had the lock before may have moved on, or shown the same.
        if let Some(line) = self.known(&request, &head)? {
            return Ok(line);
        }
        let time_s = self.now_s();
        let text = self.key.cosign(head.checkpoint(), time_s)?;
        let after = Cosigned {
            size: head.size(),
            root: *head.root(),
            note: self.note(&head, request.note(), &text)?,
        };
        let before = self.last(head.origin());
        let before = before.as_ref().map(|last| &last.head);
        match store.replace(head.origin(), before, &after)? {
            Replaced::Yes => {
                let line = Line {
                    checkpoint: head.checkpoint().to_string(),
                    time_s,
                    text: text.clone(),
                };
                let last = Last {
                    head: after,
                    line: Some(line),
                };
                let origin = head.origin().to_owned();
                self.last.write().insert(origin, Arc::new(last));
                Ok(text)
            }
            // The lock on the directory and the one above exclude it; if they fail, nothing was promised.
            Replaced::No => Err(WitnessRefusal::Conflict { size: after.size }.into()),
        }
    }

    /// What can be said without the store: no, or the cosignature that is there. `None`: the head is to be cosigned.
    fn known(
        &self,
        request: &AddCheckpoint,
        head: &VerifiedCheckpoint,
    ) -> Result<Option<String>, WitnessRefusal> {
        let last = self.last(head.origin());
        let known = last.as_ref().map(|last| (last.head.size, last.head.root));
        let follows = request.follows(head, known);
        if follows == Err(WitnessRefusal::Inconsistent) {
            tell(head, known);
        }
        follows?;
        let checkpoint = head.checkpoint().to_string();
        Ok(last.and_then(|last| last.again(&checkpoint, self.now_s())))
    }

    fn last(&self, origin: &str) -> Option<Arc<Last>> {
        self.last.read().get(origin).cloned()
    }

    fn now_s(&self) -> u64 {
        self.clock.time().seconds().into()
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

    /// The last checkpoint that was cosigned of the log whose origin has this SHA-256.
    #[must_use]
    pub fn latest(&self, origin_hash: &[u8; 32]) -> Option<String> {
        use sha2::{Digest as _, Sha256};
        let is = |key: &&VerifierKey| Sha256::digest(key.name()).as_slice() == origin_hash;
        let log = self.logs.iter().find(is)?;
        Some(self.last(log.name())?.head.note.clone())
    }
}

/// Tells of a head that its log has signed and that is not proved to continue the last one: it may be the proof that the log
/// lies. Nothing that the caller wrote is told.
fn tell(head: &VerifiedCheckpoint, known: Option<(u64, Hash)>) {
    let (origin, size, root) = (head.origin(), head.size(), head.root());
    match known {
        Some((last, known)) if last == size && known != *root => {
            tracing::error!(origin, size, %root, %known, "a log has signed two heads of one size");
        }
        Some((last, known)) if 0 < last && last < size => {
            tracing::error!(origin, last, %known, size, %root, "a log has signed a head that is not proved");
        }
        // A proof where none belongs: that is the caller's own.
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use jeton_tlog::{Checkpoint, SigningKey, leaf_hash, node_hash};

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
        let witness = Witness::new(identity, logs, Arc::new(Clock::start())).unwrap();
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
        let witness = Witness::new(identity, logs, Arc::new(Clock::start())).unwrap();
        let once = request(0, None, 1);
        let line = format!("{}\n", once.lines().last().unwrap());
        let cosignature = witness.add((once + &line.repeat(63)).as_bytes()).unwrap();
        let last = witness.store.lock().last("log.example").unwrap().unwrap();
        let expected = Checkpoint::new("log.example", 1, leaf_hash(b"first")).unwrap();
        assert_eq!(last.note, format!("{expected}\n{line}{cosignature}"));
    }

    /// A witness that has cosigned a head of one leaf, and the cosignature.
    fn witness(home: &std::path::Path) -> (Witness, String) {
        let identity = Identity::open(home, "w.example").unwrap();
        let logs = keys().iter().map(|key| key.verifier().clone()).collect();
        let witness = Witness::new(identity, logs, Arc::new(Clock::start())).unwrap();
        let line = witness.add(request(0, None, 1).as_bytes()).unwrap();
        (witness, line)
    }

    #[test]
    fn what_is_public_waits_for_no_disk() {
        use sha2::Digest as _;
        let home = tempfile::tempdir().unwrap();
        let (witness, line) = witness(home.path());
        let witness = Arc::new(witness);
        // Somebody's head is being written.
        let writing = witness.store.lock();
        let (told, hears) = std::sync::mpsc::channel();
        let asks = Arc::clone(&witness);
        let asking = std::thread::spawn(move || {
            let add = |text: &str| asks.add(text.as_bytes()).map_err(|error| error.to_string());
            let again = add(&request(1, None, 1));
            let refused = [add(&request(0, None, 1)), add(&request(0, Some("b"), 1))];
            let origin = sha2::Sha256::digest("log.example");
            let latest = asks.latest(&origin.into()).unwrap();
            told.send((again, refused, latest)).unwrap();
        });
        let heard = hears.recv_timeout(core::time::Duration::from_secs(20));
        let (again, refused, latest) = heard.expect("nobody waits");
        assert_eq!(again, Ok(line.clone()));
        assert!(refused.iter().all(Result::is_err));
        assert!(latest.ends_with(&line));
        drop(writing);
        asking.join().unwrap();
    }

    #[test]
    fn a_cosignature_is_repeated_for_a_minute_and_for_its_own_text() {
        let last = Last {
            head: Cosigned {
                size: 1,
                root: Hash::EMPTY,
                note: String::new(),
            },
            line: Some(Line {
                checkpoint: "head".to_owned(),
                time_s: 1_000,
                text: "line".to_owned(),
            }),
        };
        assert_eq!(last.again("head", 1_000).as_deref(), Some("line"));
        assert_eq!(last.again("head", 1_059).as_deref(), Some("line"));
        assert_eq!(last.again("head", 1_060), None);
        // The clock was put back.
        assert_eq!(last.again("head", 999), None);
        assert_eq!(last.again("head with more below", 1_000), None);
    }

    #[test]
    fn after_a_start_the_memory_is_what_the_store_has() {
        let home = tempfile::tempdir().unwrap();
        drop(witness(home.path()));
        let identity = Identity::open(home.path(), "w.example").unwrap();
        let logs = keys().iter().map(|key| key.verifier().clone()).collect();
        let witness = Witness::new(identity, logs, Arc::new(Clock::start())).unwrap();
        let late = witness.add(request(0, None, 1).as_bytes()).unwrap_err();
        let conflict = WitnessRefusal::Conflict { size: 1 };
        assert!(matches!(late, AddError::Refused(refusal) if refusal == conflict));
        // The cosignature did not outlive its process: another one is made, once.
        let line = witness.add(request(1, None, 1).as_bytes()).unwrap();
        let again = witness.add(request(1, None, 1).as_bytes()).unwrap();
        assert_eq!(line, again);
    }

    /// What is logged meanwhile.
    fn logged(does: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let collector = tracing_subscriber::fmt().with_writer(move || writer.clone());
        tracing::subscriber::with_default(collector.finish(), does);
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_a_head_that_the_log_signed_is_an_error_and_nothing_of_the_callers_is_told() {
        let home = tempfile::tempdir().unwrap();
        let (witness, _) = witness(home.path());
        let stranger = SigningKey::from_seed("stranger.example", &[99; 32]).unwrap();
        let head = |leaf: &str, size| {
            let root = leaf_hash(leaf.as_bytes());
            Checkpoint::new("log.example", size, root).unwrap()
        };
        let said = |old: u64, proof: Vec<Hash>, head: &Checkpoint| {
            let note = head.sign(&keys()[0]).unwrap();
            let note = note + &stranger.sign(&head.to_string()).unwrap();
            let request = AddCheckpoint::new(old, proof, note).unwrap().to_string();
            logged(|| drop(witness.add(request.as_bytes()).unwrap_err()))
        };
        // The known head with a proof that it needs not; a head that goes on from elsewhere.
        assert_eq!(said(1, vec![Hash::EMPTY], &head("first", 1)), "");
        assert_eq!(said(0, vec![], &head("first", 2)), "");
        for head in [head("fork", 1), head("fork", 2)] {
            let told = said(1, vec![], &head);
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(
                told.contains("ERROR") && told.contains(&head.root().to_string()),
                "{told}"
            );
            assert!(!told.contains("stranger"), "{told}");
        }
    }
}
