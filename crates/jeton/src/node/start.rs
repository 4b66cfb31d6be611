//! Starting: lock the directory, open keys and store, learn the state from snapshot and ledger, start the writer.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use jeton_core::{directory::Directory, event::Record, founding, id::TenantId};
use jeton_store::{
    Batch, Reader, Store, StoreError,
    ledger::{self, Seal, Sealer},
    row::Row,
    sqlite::{Durability, Sqlite, SqliteReader},
};
use jeton_tlog::{Hash, VerifierKey};
use jeton_verify::{check::Verifier, index::Index};
use tokio::sync::watch;

use crate::{
    capability::{self, Clock},
    node::{
        dir::{Lock, keyring, last_signed, lock, mark, named, older, private},
        disk::{self, BALLAST_BYTES, Ballast},
        high_water::{HighWater, Mark},
        keyring::{Kek, Keyring, KeyringError},
        learn::{learn, unsound},
        publish::{self, Desk, End, Publisher, Signed},
        quarantine::Gate,
        snapshot::{self, Pace},
        writer::{self, Bench, Writer, moment::Moment},
    },
};

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory is not usable.
    #[error("cannot use the data directory {path}: {why}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger does not explain itself.
    #[error("the ledger is not sound at index {index}: {why}; run `jeton fsck`")]
    Unsound {
        /// At which event.
        index: u64,
        /// What is wrong.
        why: String,
    },
    /// There is no ledger beside the mark of what it held.
    #[error(
        "the ledger is gone: this node has served {served} events, and the store is empty; restore a backup, or bring it back \
         from a mirror with `jeton log recover`"
    )]
    Gone {
        /// The highest size ever served.
        served: u64,
    },
    /// The high-water mark cannot be read.
    #[error("cannot read the high-water mark {path}, so what was served is not known: {source}")]
    HighWater {
        /// Where it is kept.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The configuration names another ledger.
    #[error(
        "the ledger here is called {there}, and the configuration says {asked}: `origin` cannot be changed"
    )]
    Origin {
        /// What the first event says.
        there: String,
        /// What was asked for.
        asked: String,
    },
    /// The rest.
    #[error("{0}")]
    Other(String),
}

/// Where and how a node keeps its state.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data directory.
    pub dir: PathBuf,
    /// The key-encryption key.
    pub kek: Kek,
    /// The name of the ledger.
    pub origin: String,
    /// How durable commits are.
    pub durability: Durability,
    /// The size of the ballast, in bytes.
    pub ballast_bytes: u64,
    /// Whether heads are read back and signed.
    pub publication: Publication,
}

/// Whether heads are read back and signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Publication {
    /// They are.
    #[default]
    On,
    /// Nothing is signed: only to measure what it costs.
    DangerOff,
}

impl Place {
    /// A place with everything in one directory.
    #[must_use]
    pub fn in_dir(dir: &Path, origin: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            kek: Kek::File(dir.join("kek")),
            origin: origin.to_owned(),
            durability: Durability::Full,
            ballast_bytes: BALLAST_BYTES,
            publication: Publication::On,
        }
    }
}

/// A running node.
pub struct Node {
    /// Where it lives.
    pub dir: PathBuf,
    /// Decides on requests.
    pub verifier: Arc<Verifier>,
    /// Changes state.
    pub writer: Writer,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<Clock>,
    /// The youngest signed checkpoint.
    pub signed: watch::Receiver<Option<Signed>>,
    /// The youngest checkpoint that is shown: where a policy wants witnesses, one that they have cosigned.
    pub published: watch::Sender<Option<Signed>>,
    /// Whether the authority is in quarantine.
    pub gate: Arc<Gate>,
    /// How the state was learnt, and how long that took.
    pub started: Started,
    /// Held by whoever erases: one at a time, so that the writer never has more than one erasure in a batch.
    pub erasing: tokio::sync::Mutex<()>,
    readers: Mutex<Vec<Box<dyn Reader>>>,
    store: PathBuf,
    snapshots: Snapshots,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    publisher: Mutex<Option<Publisher>>,
    lock: Mutex<Option<Lock>>,
}

/// The snapshots that a node keeps.
#[derive(Default)]
struct Snapshots {
    /// One is written at a time.
    one: Mutex<()>,
    /// The size of the youngest.
    size: AtomicU64,
    /// The node stops: whoever writes one gives it up.
    over: AtomicBool,
}

/// How the state was learnt.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Events that the snapshot stood for.
    pub from_snapshot: u64,
    /// Events that were replayed.
    pub replayed: u64,
    /// Milliseconds.
    pub took_ms: u64,
}

/// Opens the data directory and starts the node.
///
/// # Errors
/// [`StartError`], in words that say what to do.
pub fn start(place: &Place, clock: Arc<Clock>) -> Result<Node, StartError> {
    let since = capability::stopwatch();
    let lock = lock(&place.dir)?;
    let keyring = Arc::new(keyring(place)?);
    let path = place.dir.join("ledger.db");
    private(&path)?;
    let mut store = Sqlite::open(&path, place.durability)?;
    let mark_path = place.dir.join("high-water");
    let mark = mark(&mark_path)?;
    if store.head()?.size == 0 {
        // A ledger that was lost is not begun anew beside the mark of what it held.
        if let Some(Mark { size: served, .. }) = mark {
            return Err(StartError::Gone { served });
        }
        let key = keyring.log_key(&place.origin);
        let key = key.map_err(|e| StartError::Other(e.to_string()))?;
        let public = *key.verifier().public_key();
        found(&mut store, &keyring, &place.origin, public, &clock)?;
    }
    let mut reader = store.reader()?;
    let learnt = learn(&mut *reader, &keyring, &place.dir.join("snapshot"))?;
    named(learnt.directory.log(), &place.origin)?;
    let started = Started {
        from_snapshot: learnt.from_snapshot,
        replayed: learnt.directory.size() - learnt.from_snapshot,
        took_ms: u64::try_from(since().as_millis()).unwrap_or(0),
    };
    let end = End::of(&learnt.sealer, &learnt.directory);
    let kept = last_signed(&mut *reader, learnt.directory.log())?;
    let verifier = Arc::new(Verifier::new(learnt.directory, learnt.index));
    verifier.with_index_mut(|index| reader.last_uses(&mut |u| index.recall_use(u.token, u.at)))?;
    verifier.set_peppers(keyring.peppers(&verifier.directory()));
    let gate = Arc::new(Gate::new(Arc::clone(&verifier), mark_path.clone()));
    let unmarkable = |source| StartError::HighWater {
        path: mark_path.clone(),
        source,
    };
    let high_water = || HighWater::open(&mark_path).map_err(unmarkable);
    match older(&mut *reader, mark, kept.as_ref(), end)? {
        Some(why) => gate.close(why, None),
        // What a power cut took from the mark, or an older jeton did not write.
        None => {
            high_water()?.raise(&end.mark()).map_err(unmarkable)?;
            // A crash may have come between a retirement and this.
            keyring.forget_retired_log_keys(verifier.directory().log())?;
        }
    }
    let ballast = Ballast::at(place.dir.join("ballast"), place.ballast_bytes);
    ballast.take();
    let (ending, ended) = watch::channel(end);
    let (signing, signed) = watch::channel(kept.filter(|_| !gate.is_closed()));
    let bench = Bench {
        store: Box::new(store),
        sealer: learnt.sealer,
        verifier: Arc::clone(&verifier),
        keyring: Arc::clone(&keyring),
        clock: Arc::clone(&clock),
        ballast,
        end: ending,
        high_water: high_water()?,
        gate: Arc::clone(&gate),
    };
    let no_thread = |e: std::io::Error| StartError::Other(e.to_string());
    let (writer, thread) = writer::start(bench).map_err(no_thread)?;
    let desk = Desk {
        reader: Box::new(SqliteReader::open(&path)?),
        end: ended,
        keyring: Arc::clone(&keyring),
        verifier: Arc::clone(&verifier),
        writer: writer.clone(),
        gate: Arc::clone(&gate),
        high_water: high_water()?,
        signed: signing,
    };
    let publisher = match place.publication {
        Publication::On => Some(publish::start(desk).map_err(no_thread)?),
        Publication::DangerOff => None,
    };
    let published = watch::Sender::new(signed.borrow().clone());
    Ok(Node {
        dir: place.dir.clone(),
        verifier,
        writer,
        keyring,
        clock,
        signed,
        published,
        gate,
        started,
        erasing: tokio::sync::Mutex::default(),
        readers: Mutex::new(vec![reader]),
        store: path,
        snapshots: Snapshots {
            size: started.from_snapshot.into(),
            ..Snapshots::default()
        },
        thread: Mutex::new(Some(thread)),
        publisher: Mutex::new(publisher),
        lock: Mutex::new(Some(lock)),
    })
}

/// The first batch: genesis and the system tenant.
fn found(
    store: &mut Sqlite,
    keyring: &Keyring,
    origin: &str,
    log_key: [u8; 32],
    clock: &Clock,
) -> Result<(), StartError> {
    let now = clock.time();
    let system: TenantId = capability::draw_id(now);
    keyring.add_tenant(system)?;
    let records = founding::genesis(system, origin, log_key, now)
        .ok_or_else(|| StartError::Other("the system prefix is not legal".into()))?;
    let state = (&mut Directory::new(), &mut Sealer::new());
    append_at_rest(store, keyring, state, &records)
}

/// Appends events that are about no token to a ledger on which no writer runs.
pub(super) fn append_at_rest(
    store: &mut Sqlite,
    keyring: &Keyring,
    (directory, sealer): (&mut Directory, &mut Sealer),
    records: &[Record],
) -> Result<(), StartError> {
    let from = sealer.size();
    let (mut entries, mut tiles) = (Vec::new(), Vec::new());
    for record in records {
        let tenant = record.tenant;
        let key = keyring.tag_key(tenant);
        let seal = Seal {
            key: &key.ok_or(KeyringError::Missing(tenant))?,
            tenant_sequence: directory.tenant_events(tenant) + 1,
            about_sequence: directory.sequence(&record.event.about(tenant)),
            seal: keyring.seal_key(),
        };
        let sealed = sealer.seal(record, &seal, None, &mut tiles);
        let entry = sealed.map_err(|e| StartError::Other(e.to_string()))?;
        unsound(entry.index, directory.apply(entry.index, record))?;
        let row = Row::after(tenant, &record.event, None, directory);
        entries.push((entry, row));
    }
    let frontier = sealer.frontier();
    let id = capability::draw();
    Ok(store.append(&Batch {
        id,
        from,
        entries: &entries,
        tiles: &tiles,
        frontier: &frontier,
    })?)
}

impl Node {
    /// Reads the store beside the writer, on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError`] from the engine.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let node = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let pooled = node
                .readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut reader = match pooled {
                Some(reader) => reader,
                None => Box::new(SqliteReader::open(&node.store)?),
            };
            let result = read(&mut *reader);
            node.readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reader);
            result
        });
        task.await.unwrap_or_else(|error| {
            Err(StoreError::Disk {
                doing: "reading beside the writer",
                source: Box::new(error),
            })
        })
    }

    /// The public keys that sign the ledger now, under its name: two while one takes over from the other.
    #[must_use]
    pub fn log_keys(&self) -> Vec<VerifierKey> {
        let directory = self.verifier.directory();
        let log = directory.log();
        let keys = log.signing();
        keys.filter_map(|key| VerifierKey::new(log.origin(), &key.public).ok())
            .collect()
    }

    /// Makes the verifier know the peppers of all tenants of this moment.
    pub fn refresh_peppers(&self) {
        self.verifier
            .set_peppers(self.keyring.peppers(&self.verifier.directory()));
    }

    /// Stops the writer after what has queued, and keeps a snapshot for the next start.
    pub fn stop(&self) {
        self.finish();
        // Whoever still holds the node only reads: the directory is free for another process.
        drop(
            self.lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    fn finish(&self) {
        self.snapshots.over.store(true, Relaxed);
        // What queued before this is stored before the publisher signs for the last time.
        drop(self.writer.moment());
        let publisher = &self.publisher;
        let publisher = publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        publisher.into_iter().for_each(Publisher::stop);
        self.writer.stop();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer panicked");
            return;
        }
        // On a full disk the room is for revocations. And in quarantine nothing of what was learnt may look like more.
        if self.writer.shared().full.load(Relaxed) || self.gate.is_closed() {
            return;
        }
        let moment = Moment::still(&self.verifier);
        if let Err(error) = self.snapshot(&moment, &Pace::GENTLE) {
            tracing::warn!(%error, "no snapshot was kept: the next start replays the ledger");
        }
    }

    /// How many events the youngest snapshot stands for.
    #[must_use]
    pub fn snapshot_size(&self) -> u64 {
        self.snapshots.size.load(Relaxed)
    }

    /// Keeps a snapshot of this moment, while everything goes on: for a thread that may block. A crash meanwhile, or a stop,
    /// leaves the one before.
    ///
    /// # Errors
    /// The system's error; that there is no room for it, or that the node stops.
    pub fn keep_snapshot(&self) -> std::io::Result<u64> {
        let bytes = self.verifier.with_index(Index::bytes);
        let needed = u64::try_from(bytes).unwrap_or(u64::MAX);
        // On a scarce disk the room is for revocations. What is free now must hold the ledger that grows meanwhile, too.
        let needed = needed.saturating_mul(2).saturating_add(2 * BALLAST_BYTES);
        let scarce = disk::free(&self.dir).is_some_and(|(_, free)| free < needed);
        if scarce || self.writer.shared().full.load(Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        if self.gate.is_closed() {
            return Err(std::io::Error::other("the node is in quarantine"));
        }
        let ended = || std::io::Error::other("the writer has ended");
        let moment = self.writer.moment().ok_or_else(ended)?;
        let go_on = &|| !self.snapshots.over.load(Relaxed);
        let pace = Pace {
            go_on,
            ..Pace::GENTLE
        };
        self.snapshot(&moment, &pace)
    }

    fn snapshot(&self, moment: &Moment, pace: &Pace<'_>) -> std::io::Result<u64> {
        let one = &self.snapshots.one;
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        let size = moment.directory().size();
        let partial = self.partial(size).map_err(std::io::Error::other)?;
        let path = self.dir.join("snapshot");
        let taken = (moment, partial.as_slice());
        snapshot::write_moment(&path, &self.keyring, &self.verifier, taken, pace)?;
        self.snapshots.size.store(size, Relaxed);
        Ok(size)
    }

    /// The hashes in the tree's incomplete tiles at a size, from the stored leaves and tiles.
    fn partial(&self, size: u64) -> Result<Vec<Vec<Hash>>, StoreError> {
        let mut reader = SqliteReader::open(&self.store)?;
        ledger::partial(&mut reader, size)
    }
}
