//! A witness's key and its memory, which belong together.
//!
//! With the key and without the memory, a witness would cosign a second history of a log that it has cosigned already, and
//! be no witness any more. So the memory says whose it is, before there is a key; a key without that memory does not start.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use jeton_store::{StoreError, witness::WitnessStore};
use jeton_tlog::{CosigningKey, KeyError, SEED_BYTES};
use zeroize::Zeroizing;

use crate::{
    capability,
    node::{
        dir,
        keyring::{KeyringError, private, write_private},
        start::StartError,
    },
};

/// A seed in hexadecimal digits and a newline.
const SEED_FILE_BYTES_MAX: u64 = 80;

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The data directory is not usable, or held by another process.
    #[error(transparent)]
    Directory(#[from] StartError),
    /// The file of the key could not be written, or is open to others.
    #[error(transparent)]
    Private(#[from] KeyringError),
    /// The file of the key could not be read.
    #[error("cannot read the key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file of the key holds something else.
    #[error("{} does not hold 64 hexadecimal digits", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The name cannot be one.
    #[error("{name:?} cannot name a witness")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The memory.
    #[error("the witness's memory")]
    Store(#[from] StoreError),
    /// There is a key, and the memory is not the one of this key and this name.
    #[error(
        "the memory here is not that of {vkey}: without it the witness might cosign a second history. Give it its old name, or \
         put its memory back; if that is lost, make a new witness in another directory"
    )]
    MemoryLost {
        /// The public key.
        vkey: String,
    },
    /// There is a memory, and its key is missing.
    #[error(
        "the key of the witness {vkey} is missing: put witness.key back, or make a new witness in another directory"
    )]
    KeyLost {
        /// The public key that the memory names.
        vkey: String,
    },
}

/// A witness's key, its memory, and the lock on both.
pub struct Identity {
    /// What it signs with.
    pub key: CosigningKey,
    /// What it remembers.
    pub store: WitnessStore,
    /// Held while the process lives.
    pub(super) lock: dir::Lock,
}

impl Identity {
    /// Opens the witness in a directory, or makes it there on the first run.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(directory: &Path, name: &str) -> Result<Self, IdentityError> {
        let lock = dir::lock(directory)?;
        let memory = directory.join("witness.db");
        dir::private(&memory)?;
        let mut store = WitnessStore::open(&memory)?;
        let path = directory.join("witness.key");
        let known = store.identity()?;
        let key = match read_seed(&path)? {
            Some(seed) => {
                let key = named(name, &seed)?;
                let vkey = key.witness().to_string();
                if known.as_deref() != Some(&vkey) {
                    return Err(IdentityError::MemoryLost { vkey });
                }
                key
            }
            None => make(name, &path, &mut store, known)?,
        };
        Ok(Self { key, store, lock })
    }
}

/// The first run. A crash before the key is written leaves a memory of nothing, which the next run takes over.
fn make(
    name: &str,
    path: &Path,
    store: &mut WitnessStore,
    known: Option<String>,
) -> Result<CosigningKey, IdentityError> {
    let seed = Zeroizing::new(capability::draw::<SEED_BYTES>());
    let key = named(name, &seed)?;
    match (store.identify(&key.witness().to_string()), known) {
        (Ok(()), _) => {}
        (Err(StoreError::Unusable(_)), Some(vkey)) => return Err(IdentityError::KeyLost { vkey }),
        (Err(error), _) => return Err(error.into()),
    }
    let hex = Zeroizing::new(data_encoding::HEXLOWER.encode(&*seed));
    let line = Zeroizing::new(format!("{}\n", *hex));
    write_private(path, line.as_bytes())?;
    Ok(key)
}

fn named(name: &str, seed: &[u8; SEED_BYTES]) -> Result<CosigningKey, IdentityError> {
    CosigningKey::from_seed(name, seed).map_err(|source| IdentityError::Name {
        name: name.to_owned(),
        source,
    })
}

fn read_seed(path: &Path) -> Result<Option<Zeroizing<[u8; SEED_BYTES]>>, IdentityError> {
    let unread = |source| IdentityError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unread)?,
    };
    private(path)?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(SEED_FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(unread)?;
    let decoded = data_encoding::HEXLOWER.decode(text.trim_end().as_bytes());
    let seed = decoded.ok().map(Zeroizing::new);
    let seed = seed.and_then(|seed| <[u8; SEED_BYTES]>::try_from(seed.as_slice()).ok());
    let path = || path.to_owned();
    let seed = seed.ok_or_else(|| IdentityError::NotAKey { path: path() })?;
    Ok(Some(Zeroizing::new(seed)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jeton_store::witness::Cosigned;
    use jeton_tlog::Hash;

    use super::*;

    fn remember(identity: &mut Identity) {
        let head = Cosigned {
            size: 0,
            root: Hash::EMPTY,
            note: String::new(),
        };
        identity.store.replace("log", None, &head).unwrap();
    }

    #[test]
    fn key_and_memory_stay_together() {
        let home = tempfile::tempdir().unwrap();
        let (dir, key) = (home.path().join("w"), home.path().join("w/witness.key"));
        let open = |name: &str| Identity::open(&dir, name);
        let mut first = open("w.example").unwrap();
        let vkey = first.key.witness().to_string();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        assert_eq!(mode(&dir.join("witness.db")), 0o600);
        // Held by one process; the lock is the file's, so this one counts as another.
        assert!(matches!(
            open("w.example"),
            Err(IdentityError::Directory(_))
        ));
        remember(&mut first);
        drop(first);
        assert_eq!(open("w.example").unwrap().key.witness().to_string(), vkey);
        let renamed = open("other.example").err().unwrap();
        assert!(matches!(renamed, IdentityError::MemoryLost { .. }));

        // The key is gone, then is back.
        let aside = home.path().join("aside");
        fs::rename(&key, &aside).unwrap();
        let lost = open("w.example").err().unwrap();
        assert!(matches!(lost, IdentityError::KeyLost { vkey: v } if v == vkey));
        fs::rename(&aside, &key).unwrap();
        assert!(open("w.example").is_ok());

        // The memory is gone: also if an empty file is put in its place.
        for name in ["witness.db", "witness.db-wal", "witness.db-shm"] {
            drop(fs::remove_file(dir.join(name)));
        }
        for _ in 0..2 {
            let lost = open("w.example").err().unwrap();
            assert!(matches!(lost, IdentityError::MemoryLost { .. }), "{lost}");
        }
    }

    #[test]
    fn a_key_that_is_open_or_spoiled_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let key = home.path().join("witness.key");
        drop(Identity::open(home.path(), "w").unwrap());
        let good = fs::read_to_string(&key).unwrap();
        for text in [
            "",
            "00\n",
            &good[2..],
            &format!("00{good}"),
            &good.to_uppercase(),
        ] {
            write_private(&key, text.as_bytes()).unwrap();
            let spoiled = Identity::open(home.path(), "w").err().unwrap();
            assert!(matches!(spoiled, IdentityError::NotAKey { .. }), "{text}");
        }
        write_private(&key, good.as_bytes()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let open = Identity::open(home.path(), "w").err().unwrap();
        assert!(matches!(open, IdentityError::Private(_)));
        let bad = Identity::open(&home.path().join("x"), "a name")
            .err()
            .unwrap();
        assert!(matches!(bad, IdentityError::Name { .. }));
    }

    #[test]
    fn a_first_run_that_a_crash_cut_short_is_taken_over() {
        let home = tempfile::tempdir().unwrap();
        drop(Identity::open(home.path(), "w").unwrap());
        fs::remove_file(home.path().join("witness.key")).unwrap();
        let again = Identity::open(home.path(), "w").unwrap();
        let vkey = again.key.witness().to_string();
        assert_eq!(again.store.identity().unwrap(), Some(vkey));
    }
}
