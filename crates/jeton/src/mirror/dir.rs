//! The files of a mirror: `checkpoint`, `policy`, `vkey`, `tile/…`, as any web server serves them.
//!
//! Tiles may have cost a token. So a mirror is its owner's alone, and only what is exported to be served is everybody's to read.
//!
//! A file takes its place whole. The checkpoint takes its place last, when everything that it covers is on the disk; so a
//! crash leaves the mirror as the checkpoint before had it, with files beyond that nobody asks for.

use core::fmt::Write as _;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jeton_tlog::{NOTE_BYTES_MAX, POLICY_BYTES_MAX, Policy, TileBuilder, TileId, TilePath};
use rustix::fs::{FlockOperation, flock, syncfs};

use super::{Finding, MirrorError, Seen, edge};

/// The most bytes of a file that is read back: 256 entries of the largest size.
const FILE_BYTES_MAX: usize = 256 * (65_535 + 2);
/// Where a file is written before it takes its place.
const DRAFT: &str = ".draft";

/// A directory that a log is mirrored into. One process at a time writes it.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    /// The directory itself, locked.
    handle: File,
    modes: Modes,
}

/// Who may read what is made, less the umask.
#[derive(Clone, Copy, Debug)]
struct Modes {
    dirs: u32,
    files: u32,
}

const PRIVATE: Modes = Modes {
    dirs: 0o700,
    files: 0o600,
};
const PUBLIC: Modes = Modes {
    dirs: 0o755,
    files: 0o644,
};

impl Dir {
    /// Opens a directory for writing, and makes it if it is missing. What is made in it, only its owner may read.
    ///
    /// # Errors
    /// [`MirrorError::Busy`] while another process writes it; [`MirrorError::File`].
    pub fn open(path: &Path) -> Result<Self, MirrorError> {
        Self::open_as(path, PRIVATE)
    }

    /// Opens a directory for writing whose files a web server shall give to everybody, as far as the umask lets it.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn open_public(path: &Path) -> Result<Self, MirrorError> {
        Self::open_as(path, PUBLIC)
    }

    fn open_as(path: &Path, modes: Modes) -> Result<Self, MirrorError> {
        make(path, modes.dirs).map_err(MirrorError::file("make", path))?;
        let handle = File::open(path).map_err(MirrorError::file("open", path))?;
        flock(&handle, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| MirrorError::Busy(path.to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            handle,
            modes,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that is kept, with its bytes; `None` before the first.
    ///
    /// # Errors
    /// [`Finding::Damaged`] if it is none; [`MirrorError::File`].
    pub fn seen(&self) -> Result<Option<(Seen, Vec<u8>)>, MirrorError> {
        let path = self.path.join("checkpoint");
        let Some(note) = read(&path, NOTE_BYTES_MAX)? else {
            return Ok(None);
        };
        let seen = Seen::of_kept(&note).ok_or_else(|| Finding::Damaged {
            path,
            what: "it is no checkpoint".to_owned(),
        })?;
        Ok(Some((seen, note)))
    }

    /// The policy that is kept.
    ///
    /// # Errors
    /// [`MirrorError::File`].
    pub fn policy(&self) -> Result<Option<String>, MirrorError> {
        let bytes = read(&self.path.join("policy"), POLICY_BYTES_MAX)?;
        Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
    }

    /// Keeps the policy, and the keys in it, beside the checkpoint that satisfies it.
    ///
    /// # Errors
    /// [`MirrorError::File`].
    pub fn publish_policy(&self, text: &str, policy: &Policy) -> Result<(), MirrorError> {
        if self.policy()?.as_deref() == Some(text) {
            return Ok(());
        }
        let mut keys = String::new();
        for log in policy.logs() {
            _ = writeln!(keys, "{}", log.key());
        }
        self.put("vkey", keys.as_bytes())?;
        self.put("policy", text.as_bytes())
    }

    /// The tree that the kept checkpoint signs, from the kept tiles.
    pub(super) fn tree(&self, seen: &Seen) -> Result<TileBuilder, MirrorError> {
        let mut tiles = Vec::new();
        for id in TileId::partials(seen.size) {
            tiles.push((id, read_tile(&self.path, TilePath::Hashes(id))?));
        }
        edge(seen, &tiles).ok_or_else(|| {
            let what = "its tiles do not give the root of its checkpoint".to_owned();
            let path = self.path.clone();
            Finding::Damaged { path, what }.into()
        })
    }

    /// Writes a file of the mirror, in one piece.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), MirrorError> {
        let to = self.path.join(name);
        let draft = self.path.join(DRAFT);
        let write = || {
            if let Some(parent) = to.parent() {
                make(parent, self.modes.dirs)?;
            }
            write_new(&draft, bytes, self.modes.files, false)?;
            fs::rename(&draft, &to)
        };
        write().map_err(MirrorError::file("write", &to))
    }

    /// Puts a checkpoint in its place, once everything else is on the disk.
    pub(super) fn commit(&self, note: &[u8]) -> Result<(), MirrorError> {
        let sync = || syncfs(&self.handle).map_err(std::io::Error::from);
        sync().map_err(MirrorError::file("make durable", &self.path))?;
        self.put("checkpoint", note)?;
        sync().map_err(MirrorError::file("make durable", &self.path))
    }

    /// Removes the partial tiles and bundles of an older tree that are full now.
    pub(super) fn forget_partials(&self, old: u64, new: u64) -> Result<(), MirrorError> {
        for id in TileId::partials(old) {
            let full = (id.index() + 1) << (8 * (u32::from(id.level()) + 1));
            if new < full {
                continue;
            }
            let Ok(whole) = TileId::new(id.level(), id.index(), jeton_tlog::TILE_WIDTH) else {
                continue;
            };
            self.remove(&format!("{}.p", whole.path()))?;
            if id.level() == 0 {
                let bundle = whole.path().replacen("tile/0/", "tile/entries/", 1);
                self.remove(&format!("{bundle}.p"))?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), MirrorError> {
        let path = self.path.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(MirrorError::file("remove", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Makes a directory, with those above it, if it is missing.
pub(super) fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

/// Writes a file that was not there.
pub(super) fn write_new(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durable: bool,
) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    std::io::Write::write_all(&mut file, bytes)?;
    if durable { file.sync_all() } else { Ok(()) }
}

/// A file's bytes, of at most so many; `None`: it is not there.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, MirrorError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(MirrorError::file("read", path)(error)),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(MirrorError::file("read", path))?;
    Ok(Some(bytes))
}

/// A tile or bundle of a mirror.
pub(super) fn read_tile(dir: &Path, path: TilePath) -> Result<Vec<u8>, MirrorError> {
    let path = dir.join(path.to_string());
    let found = read(&path, FILE_BYTES_MAX)?;
    found.ok_or_else(|| {
        let what = "it is missing".to_owned();
        Finding::Damaged { path, what }.into()
    })
}
