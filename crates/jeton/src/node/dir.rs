//! The data directory before anything in it is believed: held by one process, with the keys that its ledger was begun with, and
//! with no less than was once served.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jeton_core::directory::Log;
use jeton_store::{
    Reader, StoreError,
    ledger::{self, Sealer},
};
use jeton_tlog::{Checkpoint, Hash, VerifierKey};

use crate::node::{
    high_water::{HighWater, Mark},
    keyring::Keyring,
    publish::{End, Signed},
    quarantine::{Memory, Quarantine},
    start::{Place, StartError},
};

/// What holds a data directory until it is dropped.
///
/// It is given up by name: a lock lasts as long as its file is open anywhere, and a process that was begun meanwhile has it
/// open, too, until its own program runs.
#[derive(Debug)]
pub(crate) struct Lock(fs::File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What fails here is done by the closing of the file.
        rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock).ok();
    }
}

/// The data directory, made if missing, and held by this process alone.
pub(crate) fn lock(dir: &Path) -> Result<Lock, StartError> {
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
    Ok(Lock(file))
}

/// The keys: made on first run, and only then. A ledger that was begun without its keys authenticates nobody, and new keys
/// would hide that until somebody misses their tokens.
pub(super) fn keyring(place: &Place) -> Result<Keyring, StartError> {
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

/// Makes a database's file with mode 0600 if it is missing: the engine gives its other files the same mode.
pub(crate) fn private(path: &Path) -> Result<(), StartError> {
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

/// The high-water mark of a directory.
pub(super) fn mark(path: &Path) -> Result<Option<Mark>, StartError> {
    HighWater::read(path).map_err(|source| StartError::HighWater {
        path: path.to_owned(),
        source,
    })
}

/// Whether the ledger has the name that it is asked for by: that of its first epoch.
pub(super) fn named(log: &Log, asked: &str) -> Result<(), StartError> {
    let there = log.origin_at(1);
    if there == asked {
        return Ok(());
    }
    let (there, asked) = (there.to_owned(), asked.to_owned());
    Err(StartError::Origin { there, asked })
}

/// A store that holds less than was once shown, or something else, is a restored backup or another history: it must not decide.
/// The mark says so, and what the ledger's own key has signed.
pub(super) fn older(
    reader: &mut dyn Reader,
    mark: Option<Mark>,
    signed: Option<&Signed>,
    end: End,
) -> Result<Option<Quarantine>, StartError> {
    let why = |memory, served| Quarantine {
        memory,
        served,
        stored: end.size,
    };
    // A mark of an earlier epoch is over: the ledger says itself that one began since.
    if let Some(mark) = mark.filter(|m| m.epoch >= end.epoch) {
        // Nor does a store that has grown by a mirror know what came after that.
        if mark.is_unknown() {
            let served = mark.size.max(end.size.saturating_add(1));
            return Ok(Some(why(Memory::Nobody, served)));
        }
        let less = mark.size > end.size || mark.epoch > end.epoch;
        if less || differs(reader, mark.size, mark.root())? {
            return Ok(Some(why(Memory::HighWater, mark.size)));
        }
    }
    if let Some(signed) = signed
        && (signed.size > end.size || differs(reader, signed.size, Some(signed.root))?)
    {
        return Ok(Some(why(Memory::Checkpoint, signed.size)));
    }
    Ok(None)
}

/// Whether the store had another root when it was so large.
fn differs(reader: &mut dyn Reader, size: u64, root: Option<Hash>) -> Result<bool, StoreError> {
    match root {
        Some(root) => Ok(root_at(reader, size)? != root),
        None => Ok(false),
    }
}

/// The root of the first `size` events, from the stored leaves and tiles.
///
/// # Errors
/// [`StoreError`] if one is missing.
pub(crate) fn root_at(reader: &mut dyn Reader, size: u64) -> Result<Hash, StoreError> {
    let partial = ledger::partial(reader, size)?;
    let tree = Sealer::resume(size, partial).map_err(|_| StoreError::Inconsistent {
        table: "tile",
        column: "data",
        row: format!("the edge of {size} events"),
    })?;
    Ok(tree.root())
}

/// The newest checkpoint that the store has kept, if one of the ledger's keys has signed it.
pub(super) fn last_signed(
    reader: &mut dyn Reader,
    log: &Log,
) -> Result<Option<Signed>, StartError> {
    let Some((size, note)) = reader.last_checkpoint()? else {
        return Ok(None);
    };
    let name = note.lines().next().unwrap_or_default();
    if name != log.origin() && log.epochs.iter().any(|epoch| epoch.origin == name) {
        // Of an epoch that has ended: the ledger says itself what became of it.
        return Ok(None);
    }
    let origin = log.origin_at(size);
    // What a key signed that was stolen since may be our own: it is held against the store, and shown to nobody by this.
    let keys = log.keys.iter().filter(|key| key.in_force_at(size));
    let keys: Vec<VerifierKey> = keys
        .filter_map(|key| VerifierKey::new(origin, &key.public).ok())
        .collect();
    let open = Checkpoint::open_any(note.as_bytes(), &keys).ok();
    let open = open.filter(|open| open.size() == size);
    let open = open.ok_or_else(|| StartError::Unsound {
        index: size,
        why: "no key of the ledger has signed the newest checkpoint".to_owned(),
    })?;
    let root = *open.root();
    Ok(Some(Signed {
        size,
        root,
        note: note.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::lock;

    #[test]
    fn a_lock_that_is_dropped_is_free_whoever_still_has_its_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let inherited = held.0.try_clone().unwrap();
        assert!(lock(dir.path()).is_err());
        drop(held);
        drop(lock(dir.path()).unwrap());
        drop(inherited);
    }
}
