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

/// How marks are ordered: another epoch is further than any size.
#[must_use]
pub fn height(mark: &Mark) -> (u32, u64) {
    (mark.epoch, mark.size)
}

/// Raises the mark of a directory; one that stands as high already stays. Durable when it returns.
///
/// # Errors
/// [`BackupError`] if it cannot be read or written.
pub fn raise(dir: &Path, to: Mark) -> Result<Mark, BackupError> {
    match read(dir)? {
        Some(there) if height(&there) >= height(&to) => Ok(there),
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

    fn mark(epoch: u32, size: u64, root: Option<Hash>) -> Mark {
        Mark { size, root, epoch }
    }

    #[test]
    fn a_mark_only_rises_and_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let seven = mark(2, 7, Some(Hash::EMPTY));
        assert_eq!(raise(dir.path(), seven).unwrap(), seven);
        for lower in [mark(2, 6, None), mark(2, 7, None), mark(1, 100, None)] {
            assert_eq!(raise(dir.path(), lower).unwrap(), seven);
            assert_eq!(read(dir.path()).unwrap(), Some(seven));
        }
        for higher in [mark(2, 8, None), mark(3, 1, Some(Hash::EMPTY))] {
            assert_eq!(raise(dir.path(), higher).unwrap(), higher);
            assert_eq!(read(dir.path()).unwrap(), Some(higher));
        }
    }

    #[test]
    fn what_is_no_mark_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "soon\n").unwrap();
        assert!(raise(dir.path(), mark(1, 12, None)).is_err());
        let there = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(there, "soon\n");
    }
}
