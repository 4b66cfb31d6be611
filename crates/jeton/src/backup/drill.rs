//! A drill: a backup that was never restored is a hope. Restores into a directory of its own, starts from it as a node would,
//! audits the whole, measures, and leaves nothing behind.

use std::{
    fs,
    io::Read,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use jeton_store::{
    Reader as _,
    fsck::{self, Keys, Report},
    sqlite::SqliteReader,
};

use crate::{
    backup::{
        error::BackupError,
        mark,
        rebuild::{Rebuilt, rebuild},
        swap::STORE,
        walk::Walk,
    },
    capability,
    node::{
        keyring::{Kek, Keyring, write_private},
        learn::learn,
    },
};

/// With what, and where.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The keyring to believe the events with; the one in the backup unless told.
    pub keyring: Option<&'a Path>,
    /// Opens the keyring.
    pub kek: &'a Kek,
    /// Where there is room: a directory is made in it, and removed.
    pub within: &'a Path,
    /// The live data directory, to say how far behind it the backup is.
    pub live: Option<&'a Path>,
}

/// What a drill has shown.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// The store that was built.
    pub rebuilt: Rebuilt,
    /// How long that took.
    pub restore: Duration,
    /// How long a start from it took, without a snapshot.
    pub start: Duration,
    /// How long the audit took.
    pub audit: Duration,
    /// The size of the store, in bytes.
    pub store_bytes: u64,
    /// How many events the live directory has served, if it was asked.
    pub live_size: Option<u64>,
    /// What the audit found.
    pub report: Report,
}

impl Drilled {
    /// From the backup to a node that could serve.
    #[must_use]
    pub fn recovery(&self) -> Duration {
        self.restore + self.start
    }

    /// Events for each second of that.
    #[must_use]
    pub fn events_per_second(&self) -> u64 {
        let ms = self.recovery().as_millis().max(1);
        let rate = u128::from(self.rebuilt.size) * 1000 / ms;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// How many events the live directory has served since.
    #[must_use]
    pub fn behind(&self) -> Option<u64> {
        self.live_size
            .map(|live| live.saturating_sub(self.rebuilt.size))
    }
}

/// Drills.
///
/// # Errors
/// [`BackupError`]: what the audit finds is no error, what stops the restore is.
pub fn drill<R: Read>(
    walk: &mut Walk<R>,
    order: &Order<'_>,
    events: &AtomicU64,
) -> Result<Drilled, BackupError> {
    let room = Room::within(order.within)?;
    let keyring = keyring(walk, order, &room)?;
    let store = room.0.join(STORE);
    let since = capability::stopwatch();
    let rebuilt = rebuild(walk, &keyring, &store, events)?;
    let restore = since();
    let since = capability::stopwatch();
    let mut reader = SqliteReader::open(&store)?;
    let learnt = learn(&mut reader, &keyring, &room.0.join("snapshot"));
    drop(learnt.map_err(BackupError::replayed)?);
    let start = since();
    let log = keyring.log_key(&rebuilt.origin);
    let log = log.map_err(|error| BackupError::Unsound(error.to_string()))?;
    let since = capability::stopwatch();
    let keys = Keys {
        tags: &|tenant| keyring.tag_key(tenant),
        seal: keyring.seal_key(),
        log: log.verifier(),
    };
    let report = fsck::fsck(&mut reader, keys)?;
    let audit = since();
    let length = fs::metadata(&store).map_err(BackupError::file("look at", &store))?;
    Ok(Drilled {
        rebuilt,
        restore,
        start,
        audit,
        store_bytes: length.len(),
        live_size: order.live.map(live_size).transpose()?.flatten(),
        report,
    })
}

fn keyring<R: Read>(
    walk: &Walk<R>,
    order: &Order<'_>,
    room: &Room,
) -> Result<Keyring, BackupError> {
    if let Some(path) = order.keyring {
        return Ok(Keyring::reopen(path, order.kek, path)?);
    }
    let bytes = walk.keyring();
    let bytes = bytes.ok_or_else(|| BackupError::NoKeyring(order.within.to_owned()))?;
    let path = room.0.join("keyring");
    write_private(&path, bytes)?;
    Ok(Keyring::reopen(&path, order.kek, &path)?)
}

/// How far a directory has served: by its mark or its store, whichever is more.
fn live_size(dir: &Path) -> Result<Option<u64>, BackupError> {
    let marked = mark::read(dir)?.map(|mark| mark.size);
    let store = dir.join(STORE);
    if !store.exists() {
        return Ok(marked);
    }
    let stored = SqliteReader::open(&store)?.head()?.size;
    Ok(marked.max(Some(stored)))
}

/// A directory that is gone when the drill is over.
struct Room(PathBuf);

impl Room {
    fn within(dir: &Path) -> Result<Self, BackupError> {
        let name = data_encoding::HEXLOWER.encode(&capability::draw::<8>());
        let path = dir.join(format!("jeton-drill-{name}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(BackupError::file("make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            let path = self.0.display();
            tracing::error!(%path, %error, "the directory of a drill is left behind");
        }
    }
}
