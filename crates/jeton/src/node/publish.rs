//! The publisher: reads back what was committed, compares, and only then signs. It stands beside the writer, which never waits
//! for it.
//!
//! A signature cannot be taken back: a checkpoint of something that the disk does not hold, or holds otherwise, splits the log.
//! So nothing is signed from memory. The leaves are read again through another connection, hashed into a second tree, and the
//! tiles that they fill are compared with those in the store; where both trees agree with what the writer committed, the head
//! is signed. Where they do not, nothing is signed any more, and the log says why.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use jeton_core::directory::Directory;
use jeton_store::{Reader, StoreError, ledger, ledger::Sealer};
use jeton_tlog::{Checkpoint, Hash, KeyError};
use jeton_verify::check::Verifier;
use tokio::sync::watch;

use crate::node::{
    high_water::{HighWater, Mark, Seen},
    keyring::Keyring,
    quarantine::Gate,
    writer::Writer,
};

/// Checkpoints are signed at most this often.
const EVERY: Duration = Duration::from_secs(1);
/// So many leaves are read at once.
const LEAVES_AT_ONCE: u32 = 4096;

/// The end of the committed ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// How many events it has.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
    /// In which epoch of the ledger, from 1.
    pub epoch: u32,
}

impl End {
    /// The end of a ledger that a tree and a directory agree on.
    #[must_use]
    pub fn of(tree: &Sealer, directory: &Directory) -> Self {
        Self {
            size: directory.size(),
            root: tree.root(),
            epoch: directory.log().epoch(),
        }
    }

    /// The mark of whoever has shown it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            size: self.size,
            seen: Seen::Root(self.root),
            epoch: self.epoch,
        }
    }
}

/// A checkpoint, as it is told to others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// How many events it covers.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
    /// The signed note.
    pub note: Arc<str>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    /// What the store holds is not what was committed.
    #[error("the store does not hold what was committed: {0}")]
    Differs(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error("no key of the keyring may sign at this size")]
    NoKey,
    /// The key did not sign.
    #[error("a checkpoint was not signed")]
    Key(#[from] KeyError),
    /// The note.
    #[error("a checkpoint was not signed")]
    Note(#[from] jeton_tlog::CheckpointError),
    /// The writer has ended.
    #[error("the writer has ended")]
    Over,
}

/// What the publisher works with.
pub struct Desk {
    /// Its own connection.
    pub reader: Box<dyn Reader>,
    /// Where the writer tells how far it has committed.
    pub end: watch::Receiver<End>,
    /// Signs.
    pub keyring: Arc<Keyring>,
    /// Knows the ledger's name and its keys.
    pub verifier: Arc<Verifier>,
    /// Keeps checkpoints.
    pub writer: Writer,
    /// Whether anything may be signed at all.
    pub gate: Arc<Gate>,
    /// Outlives the power once a second.
    pub high_water: HighWater,
    /// Where signed checkpoints are told.
    pub signed: watch::Sender<Option<Signed>>,
}

/// A running publisher.
pub struct Publisher {
    stop: SyncSender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Publisher {
    /// Ends it, after it has signed what there is.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the publisher panicked");
        }
    }
}

/// Signs what there is, and starts the publisher's thread.
///
/// # Errors
/// If the system gives no thread.
pub fn start(desk: Desk) -> std::io::Result<Publisher> {
    let (stop, stopped) = sync_channel(0);
    let last = desk.signed.borrow().as_ref().map_or(0, |s| s.size);
    let mut publishing = Publishing {
        desk,
        second: None,
        last,
    };
    let goes_on = publishing.turn();
    let thread = std::thread::Builder::new().name("publisher".into());
    let thread = thread.spawn(move || {
        let mut over = !goes_on;
        while !over {
            let stopping = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            over = !publishing.turn() || stopping;
        }
    })?;
    Ok(Publisher { stop, thread })
}

struct Publishing {
    desk: Desk,
    /// The tree of what was read back.
    second: Option<Sealer>,
    /// The size that was signed last.
    last: u64,
}

impl Publishing {
    /// Signs what was committed since. `false`: nothing can be signed any more.
    fn turn(&mut self) -> bool {
        let end = *self.desk.end.borrow_and_update();
        if end.size == self.last || self.desk.gate.is_closed() {
            return true;
        }
        match self.desk.publish(&mut self.second, end) {
            Ok(()) => self.last = end.size,
            Err(Unsigned::Store(StoreError::Full)) => tracing::warn!("no room for a checkpoint"),
            Err(Unsigned::Over) => return false,
            Err(error @ Unsigned::Differs(_)) => {
                // Whatever is signed after this would be wrong as well.
                tracing::error!(%error, "nothing is signed any more; `jeton audit` names the row");
                return false;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "nothing was signed");
            }
        }
        true
    }
}

impl Desk {
    fn publish(&mut self, second: &mut Option<Sealer>, end: End) -> Result<(), Unsigned> {
        let mut tree = match second.take() {
            Some(tree) => tree,
            None => self.begin()?,
        };
        self.read_back(&mut tree, end.size)?;
        if tree.root() != end.root {
            let what = format!("the leaves of {} events give another root", end.size);
            return Err(Unsigned::Differs(what));
        }
        *second = Some(tree);
        let note = self.sign(end)?;
        // The head is committed, so the signature can never name what a power cut takes away.
        if !self.writer.keep_checkpoint(end.size, note.clone()) {
            return Err(Unsigned::Over);
        }
        if let Err(error) = self.high_water.sync() {
            tracing::warn!(%error, "the high-water mark may not outlive the power");
        }
        self.signed.send_replace(Some(Signed {
            size: end.size,
            root: end.root,
            note: note.into(),
        }));
        Ok(())
    }

    /// The second tree, as far as the newest checkpoint goes: what lies below was read back when that was signed, and by the
    /// start.
    fn begin(&mut self) -> Result<Sealer, Unsigned> {
        let known = self.signed.borrow().as_ref().map_or(0, |s| s.size);
        let differs = |e: jeton_tlog::EdgeError| Unsigned::Differs(e.to_string());
        let partial = ledger::partial(&mut *self.reader, known)?;
        Sealer::resume(known, partial).map_err(differs)
    }

    fn read_back(&mut self, tree: &mut Sealer, size: u64) -> Result<(), Unsigned> {
        while tree.size() < size {
            let missing = size - tree.size();
            let count = u32::try_from(missing).unwrap_or(LEAVES_AT_ONCE);
            let leaves = self.reader.leaves(tree.size(), count.min(LEAVES_AT_ONCE))?;
            if leaves.is_empty() {
                let what = format!("event {} is missing", tree.size());
                return Err(Unsigned::Differs(what));
            }
            for leaf in leaves {
                for tile in tree.push(&leaf) {
                    let kept = self.reader.tile(tile.id.level(), tile.id.index())?;
                    if kept.as_deref() != Some(&tile.bytes[..]) {
                        let what = format!("{} is not what its leaves give", tile.id.path());
                        return Err(Unsigned::Differs(what));
                    }
                }
            }
        }
        Ok(())
    }

    fn sign(&self, end: End) -> Result<String, Unsigned> {
        let log = Arc::clone(self.verifier.directory().log());
        let keys = self.keyring.log_keys(&log, end.size)?;
        let checkpoint = Checkpoint::new(log.origin_at(end.size), end.size, end.root)?;
        if keys.is_empty() {
            return Err(Unsigned::NoKey);
        }
        Ok(checkpoint.sign_all(&keys.iter().collect::<Vec<_>>())?)
    }
}
