//! Key and certificate files: read with a bound, written so that a crash leaves the old or the new.

use std::fs::{DirBuilder, File, OpenOptions, rename};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::NetError;

/// The most bytes that a PEM file may have.
pub(super) const PEM_BYTES_MAX: u64 = 1 << 20;

/// Who may read a file that is written here.
#[derive(Clone, Copy)]
pub(super) enum Readers {
    /// Mode 0644: a certificate.
    Everyone,
    /// Mode 0600: a private key.
    Owner,
}

/// Reads a certificate file of at most [`PEM_BYTES_MAX`] bytes.
pub(super) fn read_certificate(path: &Path) -> Result<Zeroizing<Vec<u8>>, NetError> {
    read_open(path, &open(path)?)
}

/// Reads a private key of at most [`PEM_BYTES_MAX`] bytes, unless group or others could too.
///
/// The mode is that of the open file, so that it cannot change between the look and the read.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, NetError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|source| read_error(path, source))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(NetError::KeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    read_open(path, &file)
}

/// Is there nothing at `path`? Any other trouble than absence is an error, not a "no".
pub(super) fn is_absent(path: &Path) -> Result<bool, NetError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(source) => Err(read_error(path, source)),
    }
}

/// Makes a directory and its parents, open to the owner alone; one that exists is left as it is.
pub(super) fn make_directory(path: &Path) -> Result<(), NetError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| write_error(path, source))
}

/// Puts `bytes` at `path`: after a crash at any point the file is the old one or the whole new one.
///
/// The bytes are never, not even for a moment, in a file that is more open than `readers` says.
pub(super) fn write_atomic(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), NetError> {
    let draft = draft_path(path)?;
    let result = write_draft(&draft, bytes, readers)
        .and_then(|()| rename(&draft, path))
        .and_then(|()| sync_directory_of(path));
    result.map_err(|source| {
        // The draft may hold a key; what cannot be removed is still readable by the owner alone.
        std::fs::remove_file(&draft).ok();
        write_error(path, source)
    })
}

fn write_draft(draft: &Path, bytes: &[u8], readers: Readers) -> Result<(), Error> {
    // A draft that a crash left behind is nobody's; `create_new` below then refuses a planted link.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mode = match readers {
        Readers::Everyone => 0o644,
        Readers::Owner => 0o600,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> Result<(), Error> {
    File::open(directory_of(path))?.sync_all()
}

/// The directory that holds `path`: `.` for a bare file name.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn draft_path(path: &Path) -> Result<PathBuf, NetError> {
    let Some(name) = path.file_name() else {
        return Err(write_error(path, Error::from(ErrorKind::InvalidInput)));
    };
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(".new");
    Ok(path.with_file_name(draft))
}

fn open(path: &Path) -> Result<File, NetError> {
    File::open(path).map_err(|source| read_error(path, source))
}

fn read_open(path: &Path, file: &File) -> Result<Zeroizing<Vec<u8>>, NetError> {
    // Room for the whole file at once: growing would leave copies of a key on the heap.
    let length = file
        .metadata()
        .map_err(|source| read_error(path, source))?
        .len();
    let room = usize::try_from(length.min(PEM_BYTES_MAX))
        .unwrap_or(0)
        .saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(PEM_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| read_error(path, source))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= PEM_BYTES_MAX) {
        return Ok(bytes);
    }
    Err(NetError::FileTooLarge {
        path: path.to_owned(),
        bytes_max: PEM_BYTES_MAX,
    })
}

fn read_error(path: &Path, source: Error) -> NetError {
    NetError::Read {
        path: path.to_owned(),
        source,
    }
}

fn write_error(path: &Path, source: Error) -> NetError {
    NetError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_key_is_written_for_its_owner_alone_and_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_atomic(&path, b"old", Readers::Owner).unwrap();
        write_atomic(&path, b"new", Readers::Owner).unwrap();
        assert_eq!(read_key(&path).unwrap().as_slice(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1, "no draft is left behind");
    }

    #[test]
    fn a_draft_never_writes_through_a_planted_link() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, b"mine").unwrap();
        symlink(&victim, dir.path().join(".a.key.new")).unwrap();
        write_atomic(&dir.path().join("a.key"), b"key", Readers::Owner).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn each_bit_for_group_or_others_makes_a_key_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        std::fs::write(&path, b"key").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let read = read_key(&path);
            assert_eq!(read.is_ok(), good, "mode {mode:o}");
            if let Err(error) = read {
                assert!(
                    error.to_string().contains(&format!("has mode {mode:04o}")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_file_is_read_up_to_the_bound_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        let bound = usize::try_from(PEM_BYTES_MAX).unwrap();
        std::fs::write(&path, vec![b'x'; bound]).unwrap();
        assert_eq!(read_certificate(&path).unwrap().len(), bound);
        std::fs::write(&path, vec![b'x'; bound + 1]).unwrap();
        assert!(matches!(
            read_certificate(&path),
            Err(NetError::FileTooLarge { .. })
        ));
    }
}
