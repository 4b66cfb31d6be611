//! The high-water mark: the most that was ever served from a directory, in a file outside the database, so that a store that
//! was put back does not take its own word for it.
//!
//! One line: the size in decimal, and the root in base64 where it is known.

use std::{fs, io::Read as _, path::Path};

use jeton_tlog::Hash;

use crate::{backup::error::BackupError, node::keyring::write_private};

/// The name of the file.
pub const NAME: &str = "high-water";
/// The most bytes of it.
const BYTES_MAX: u64 = 256;

/// How far a ledger was served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// How many events.
    pub size: u64,
    /// The root of their tree, where it is known.
    pub root: Option<Hash>,
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let size = words.next()?.parse().ok()?;
        let root = words.next().map(Hash::from_base64);
        match (root, words.next()) {
            (None, None) => Some(Self { size, root: None }),
            (Some(Some(root)), None) => Some(Self {
                size,
                root: Some(root),
            }),
            (_, _) => None,
        }
    }

    fn line(&self) -> String {
        match self.root {
            Some(root) => format!("{:020} {root}\n", self.size),
            None => format!("{:020}\n", self.size),
        }
    }
}

/// The mark of a directory, if it has one.
///
/// # Errors
/// [`BackupError::File`], also for a file that holds something else: a mark that cannot be read must not be lowered.
pub fn read(dir: &Path) -> Result<Option<Mark>, BackupError> {
    let path = dir.join(NAME);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BackupError::file("read", &path)(error)),
    };
    let mut text = String::new();
    let read = file.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(BackupError::file("read", &path))?;
    // What a crash left empty says nothing.
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let told = std::io::Error::new(std::io::ErrorKind::InvalidData, "it holds no mark");
        BackupError::file("read", &path)(told)
    };
    Mark::parse(&text).map(Some).ok_or_else(wrong)
}

/// Raises the mark of a directory; one that stands as high already stays. Durable when it returns.
///
/// # Errors
/// [`BackupError`] if it cannot be read or written.
pub fn raise(dir: &Path, to: Mark) -> Result<Mark, BackupError> {
    match read(dir)? {
        Some(there) if there.size >= to.size => Ok(there),
        Some(_) | None => {
            write_private(&dir.join(NAME), to.line().as_bytes())?;
            Ok(to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_only_rises_and_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let root = Some(Hash::EMPTY);
        let seven = Mark { size: 7, root };
        assert_eq!(raise(dir.path(), seven).unwrap(), seven);
        assert_eq!(read(dir.path()).unwrap(), Some(seven));
        for lower in [6, 7] {
            let lower = Mark {
                size: lower,
                root: None,
            };
            assert_eq!(raise(dir.path(), lower).unwrap(), seven);
        }
        let eight = Mark {
            size: 8,
            root: None,
        };
        raise(dir.path(), eight).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(eight));
    }

    #[test]
    fn marks_of_every_jeton_are_read_and_nothing_else_is() {
        let old = Mark {
            size: 12,
            root: None,
        };
        assert_eq!(Mark::parse("12\n"), Some(old));
        for wrong in ["", "x", "-1", "1 x", "1 2 3"] {
            assert_eq!(Mark::parse(wrong), None, "{wrong:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "soon\n").unwrap();
        assert!(raise(dir.path(), old).is_err());
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "soon\n");
    }
}
