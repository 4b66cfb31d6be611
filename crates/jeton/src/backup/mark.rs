//! The high-water mark: the most that was ever served from a directory, in a file outside the database, so that a store that
//! was put back does not take its own word for it.
//!
//! A node raises it as it goes ([`crate::node::high_water`]); here it is raised while none runs.

use std::path::Path;

pub use crate::node::high_water::Mark;
use crate::{
    backup::error::BackupError,
    node::{high_water::HighWater, keyring::write_private},
};

/// The name of the file.
pub const NAME: &str = "high-water";

/// The mark of a directory, if it has one.
///
/// # Errors
/// [`BackupError::File`], also for a file that holds something else: a mark that cannot be read must not be lowered.
pub fn read(dir: &Path) -> Result<Option<Mark>, BackupError> {
    let path = dir.join(NAME);
    HighWater::read(&path).map_err(BackupError::file("read", &path))
}

/// Raises the mark of a directory; one that stands as high already stays. Durable when it returns.
///
/// # Errors
/// [`BackupError`] if it cannot be read or written.
pub fn raise(dir: &Path, to: Mark) -> Result<Mark, BackupError> {
    match read(dir)? {
        Some(there) if there.size >= to.size => Ok(there),
        Some(_) | None => {
            write_private(&dir.join(NAME), to.text().as_bytes())?;
            Ok(to)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jeton_tlog::Hash;

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
    fn what_is_no_mark_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "soon\n").unwrap();
        let low = Mark {
            size: 12,
            root: None,
        };
        assert!(raise(dir.path(), low).is_err());
        let there = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(there, "soon\n");
    }
}
