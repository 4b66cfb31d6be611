//! The data directory before anything in it is believed: held by one process, with the keys that its ledger was begun with, and
//! with no less than was once served.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::node::{
    keyring::Keyring,
    start::{Place, StartError},
};

/// The data directory, made if missing, and held by this process alone.
pub(crate) fn lock(dir: &Path) -> Result<fs::File, StartError> {
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

/// Makes the ledger's file with mode 0600 if it is missing: the engine gives its other files the same mode.
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

/// A store that holds less than was once served is a restored backup: it must not decide.
pub(super) fn not_rolled_back(high_water: &Path, stored: u64) -> Result<(), StartError> {
    let served = fs::read_to_string(high_water)
        .ok()
        .and_then(|t| t.split_whitespace().next()?.parse().ok());
    match served {
        Some(served) if served > stored => Err(StartError::Rollback { served, stored }),
        Some(_) | None => Ok(()),
    }
}
