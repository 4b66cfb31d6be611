//! Starting: lock the directory, open keys and store, learn the state from snapshot and ledger, start the writer.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use jeton_core::{
    directory::{Directory, Inapplicable},
    event::Record,
    founding,
    id::TenantId,
    leaf::{LeafKind, LeafParts, commit},
};
use jeton_store::{
    Batch, Continue, Reader, Store, StoreError, Stored,
    ledger::{self, Seal, Sealer},
    row::Row,
    sqlite::{Durability, Sqlite},
};
use jeton_tlog::{Hash, VerifierKey};
use jeton_verify::{check::Verifier, index::Index};

use crate::{
    capability::{self, Clock},
    node::{
        disk::{BALLAST_BYTES, Ballast},
        keyring::{Kek, Keyring, KeyringError},
        snapshot,
        writer::{self, Bench, Writer},
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
    /// The database holds less than was once served.
    #[error(
        "rollback: this node has served a ledger of {served} events, the store holds {stored}; a restored backup must \
         not bring revoked tokens back"
    )]
    Rollback {
        /// The highest size ever served.
        served: u64,
        /// The size of the store.
        stored: u64,
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
    /// The ledger's public key.
    pub log: VerifierKey,
    /// The youngest signed checkpoint.
    pub checkpoint: Arc<ArcSwapOption<String>>,
    /// How the state was learnt, and how long that took.
    pub started: Started,
    readers: Mutex<Vec<Box<dyn Reader>>>,
    store: PathBuf,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    lock: Mutex<Option<fs::File>>,
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
    let log_key = keyring
        .log_key(&place.origin)
        .map_err(|e| StartError::Other(e.to_string()))?;
    let high_water = place.dir.join("high-water");
    if store.head()?.size == 0 {
        // A ledger that was lost is not begun anew beside the mark of what it held.
        not_rolled_back(&high_water, 0)?;
        found(
            &mut store,
            &keyring,
            &place.origin,
            *log_key.verifier().public_key(),
            &clock,
        )?;
    }
    let mut reader = store.reader()?;
    let learnt = learn(&mut *reader, &keyring, &place.dir.join("snapshot"))?;
    let started = Started {
        from_snapshot: learnt.from_snapshot,
        replayed: learnt.directory.size() - learnt.from_snapshot,
        took_ms: u64::try_from(since().as_millis()).unwrap_or(0),
    };
    not_rolled_back(&high_water, learnt.directory.size())?;
    let verifier = Arc::new(Verifier::new(learnt.directory, learnt.index));
    verifier.with_index_mut(|index| reader.last_uses(&mut |u| index.recall_use(u.token, u.at)))?;
    verifier.set_peppers(keyring.peppers(&verifier.directory()));
    let checkpoint = Arc::new(ArcSwapOption::empty());
    if let Some((_, note)) = reader.last_checkpoint()? {
        checkpoint.store(Some(Arc::new(note)));
    }
    let ballast = Ballast::at(place.dir.join("ballast"), place.ballast_bytes);
    ballast.take();
    let log = log_key.verifier().clone();
    let bench = Bench {
        store: Box::new(store),
        sealer: learnt.sealer,
        verifier: Arc::clone(&verifier),
        keyring: Arc::clone(&keyring),
        log_key,
        clock: Arc::clone(&clock),
        ballast,
        checkpoint: Arc::clone(&checkpoint),
        high_water,
    };
    let (writer, thread) = writer::start(bench).map_err(|e| StartError::Other(e.to_string()))?;
    Ok(Node {
        dir: place.dir.clone(),
        verifier,
        writer,
        keyring,
        clock,
        log,
        checkpoint,
        started,
        readers: Mutex::new(vec![reader]),
        store: path,
        thread: Mutex::new(Some(thread)),
        lock: Mutex::new(Some(lock)),
    })
}

/// The data directory, made if missing, and held by this process alone.
fn lock(dir: &Path) -> Result<fs::File, StartError> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let wrong = |why: String| StartError::Directory {
        path: dir.to_owned(),
        why,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| wrong(e.to_string()))?;
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let file = options
        .open(dir.join("lock"))
        .map_err(|e| wrong(e.to_string()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| wrong("another jeton is running on it".into()))?;
    Ok(file)
}

/// The keys: made on first run, and only then. A ledger that was begun without its keys authenticates nobody, and new keys
/// would hide that until somebody misses their tokens.
fn keyring(place: &Place) -> Result<Keyring, StartError> {
    let path = place.dir.join("keyring");
    Ok(match begun(&place.dir)? {
        Some(beside) => Keyring::reopen(&path, &place.kek, &beside)?,
        // A crash after this leaves keys that nothing uses yet; the next start opens them.
        None => Keyring::open(&path, &place.kek)?,
    })
}

/// What shows that a ledger was begun in a directory. Files are measured and not opened: the engine would make others beside
/// them. The keyring is on the disk before the first of these has any length.
fn begun(dir: &Path) -> Result<Option<PathBuf>, StartError> {
    for name in ["ledger.db", "ledger.db-wal", "high-water"] {
        let path = dir.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > 0 => return Ok(Some(path)),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let why = error.to_string();
                return Err(StartError::Directory { path, why });
            }
        }
    }
    Ok(None)
}

/// Makes the ledger's file with mode 0600 if it is missing: the engine gives its other files the same mode.
fn private(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map(drop).map_err(|e| StartError::Directory {
        path: path.to_owned(),
        why: e.to_string(),
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
    let key = keyring
        .tag_key(system)
        .ok_or(KeyringError::Missing(system))?;
    let records = founding::genesis(system, origin, log_key, now)
        .ok_or_else(|| StartError::Other("the system prefix is not legal".into()))?;
    let (mut directory, mut sealer) = (Directory::new(), Sealer::new());
    let (mut entries, mut tiles) = (Vec::new(), Vec::new());
    for record in &records {
        let seal = Seal {
            key: &key,
            tenant_sequence: directory.tenant_events(system) + 1,
            about_sequence: directory.sequence(&record.event.about(system)),
            salt: capability::draw(),
        };
        let sealed = sealer.seal(record, &seal, None, &mut tiles);
        let entry = sealed.map_err(|e| StartError::Other(e.to_string()))?;
        unsound(entry.index, directory.apply(entry.index, record))?;
        let row = Row::after(system, &record.event, None, &directory);
        entries.push((entry, row));
    }
    let frontier = sealer.frontier();
    let id = capability::draw();
    Ok(store.append(&Batch {
        id,
        from: 0,
        entries: &entries,
        tiles: &tiles,
        frontier: &frontier,
    })?)
}

fn unsound(index: u64, applied: Result<(), Inapplicable>) -> Result<(), StartError> {
    applied.map_err(|error| StartError::Unsound {
        index,
        why: error.to_string(),
    })
}

struct Learnt {
    directory: Directory,
    index: Index,
    sealer: Sealer,
    from_snapshot: u64,
}

/// The state: from the snapshot as far as it goes, then from the ledger, each opening checked against its leaf and the whole
/// against the head's right edge.
fn learn(reader: &mut dyn Reader, keyring: &Keyring, path: &Path) -> Result<Learnt, StartError> {
    let head = reader.head()?;
    let from_snapshot = snapshot::read(path, keyring)
        .filter(|s| s.directory.size() <= head.size)
        .and_then(|s| {
            let sealer = Sealer::resume(s.directory.size(), s.partial).ok()?;
            let from_snapshot = s.directory.size();
            Some(Learnt {
                directory: s.directory,
                index: s.index,
                sealer,
                from_snapshot,
            })
        });
    let from_nothing = || Learnt {
        directory: Directory::new(),
        index: Index::default(),
        sealer: Sealer::new(),
        from_snapshot: 0,
    };
    let agrees = |learnt: &Learnt| {
        learnt.sealer.frontier() == head.frontier && learnt.directory.size() == head.size
    };
    // A snapshot of another history ends in a wrong edge, or on the way there at an event that does not follow from it:
    // either way a full replay says whether the store is sound.
    if let Some(snapshot) = from_snapshot
        && let Ok(learnt) = replay(reader, keyring, snapshot)
        && agrees(&learnt)
    {
        return Ok(learnt);
    }
    let learnt = replay(reader, keyring, from_nothing())?;
    if agrees(&learnt) {
        return Ok(learnt);
    }
    let why = "the tree's right edge is not what the leaves give".to_owned();
    Err(StartError::Unsound {
        index: head.size,
        why,
    })
}

fn replay(
    reader: &mut dyn Reader,
    keyring: &Keyring,
    mut state: Learnt,
) -> Result<Learnt, StartError> {
    let mut wrong = None;
    let from = state.directory.size();
    reader.events(
        from,
        &mut |stored| match replay_one(&mut state, keyring, &stored) {
            Ok(()) => Ok(Continue::Yes),
            Err(error) => {
                wrong = Some(error);
                Ok(Continue::No)
            }
        },
    )?;
    wrong.map_or(Ok(state), Err)
}

fn replay_one(state: &mut Learnt, keyring: &Keyring, stored: &Stored) -> Result<(), StartError> {
    let index = stored.index;
    let bad = |why: &str| StartError::Unsound {
        index,
        why: why.to_owned(),
    };
    let (salt, bytes) = stored
        .opening
        .as_ref()
        .ok_or_else(|| bad("the leaf has no opening"))?;
    // Bytes that are not what the leaf commits to are not even read.
    let committed = stored.leaf.last_chunk::<32>();
    if committed != Some(&commit(salt, bytes)) {
        return Err(bad("the leaf does not commit to the record"));
    }
    let record: Record = minicbor::decode(bytes).map_err(|_| bad("the record cannot be read"))?;
    leaf_commits(state, keyring, stored, (salt, bytes), &record)?;
    state.sealer.push(&stored.leaf);
    unsound(index, state.directory.apply(index, &record))?;
    unsound(index, state.index.apply(index, &record, &state.directory))
}

/// A leaf is believed only if it commits to this record under this tenant's next tags.
fn leaf_commits(
    state: &Learnt,
    keyring: &Keyring,
    stored: &Stored,
    (salt, bytes): (&[u8; 32], &[u8]),
    record: &Record,
) -> Result<(), StartError> {
    let tenant = record.tenant;
    let key = keyring
        .tag_key(tenant)
        .ok_or(KeyringError::Missing(tenant))?;
    let about = record.event.about(tenant);
    let about_sequence = match record.event.token() {
        Some(id) => state.index.sequence(id),
        None => state.directory.sequence(&about),
    };
    let leaf = LeafParts {
        kind: LeafKind::of(&record.event),
        at: record.at,
        key: &key,
        tenant_sequence: state.directory.tenant_events(tenant) + 1,
        about,
        about_sequence,
        commit: commit(salt, bytes),
    };
    if leaf.bytes()[..] == stored.leaf[..] {
        return Ok(());
    }
    let why = "the leaf does not commit to the record".to_owned();
    Err(StartError::Unsound {
        index: stored.index,
        why,
    })
}

/// A store that holds less than was once served is a restored backup: it must not decide.
fn not_rolled_back(high_water: &Path, stored: u64) -> Result<(), StartError> {
    let served = fs::read_to_string(high_water)
        .ok()
        .and_then(|t| t.trim().parse().ok());
    match served {
        Some(served) if served > stored => Err(StartError::Rollback { served, stored }),
        Some(_) | None => Ok(()),
    }
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
                None => Box::new(jeton_store::sqlite::SqliteReader::open(&node.store)?),
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
        // On a full disk the room is for revocations.
        if self
            .writer
            .shared()
            .full
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            return;
        }
        if let Err(error) = self.snapshot() {
            tracing::warn!(%error, "no snapshot was kept: the next start replays the ledger");
        }
    }

    fn snapshot(&self) -> std::io::Result<()> {
        let partial = self.partial().map_err(std::io::Error::other)?;
        snapshot::write(
            &self.dir.join("snapshot"),
            &self.keyring,
            &self.verifier,
            &partial,
        )
    }

    /// The hashes in the tree's incomplete tiles, from the stored leaves and tiles.
    fn partial(&self) -> Result<Vec<Vec<Hash>>, StoreError> {
        let mut reader = jeton_store::sqlite::SqliteReader::open(&self.store)?;
        ledger::partial(&mut reader, self.verifier.size())
    }
}
