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

/// Raises the mark of a directory; one that stands as high already stays, unless it knew less. Durable when it returns.
///
/// # Errors
/// [`BackupError`] if it cannot be read or written.
pub fn raise(dir: &Path, to: Mark) -> Result<Mark, BackupError> {
    match read(dir)? {
        Some(there) if !rises(&there, &to) => Ok(there),
        Some(_) | None => {
            write_private(&dir.join(NAME), to.text().as_bytes())?;
            Ok(to)
        }
    }
}

/// Whether a mark says more than the one that is there.
fn rises(there: &Mark, to: &Mark) -> bool {
    let settles = there.is_unknown() && !to.is_unknown();
    (to.certain(), settles) > (there.certain(), false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jeton_tlog::Hash;

    use super::*;
    use crate::node::high_water::Seen;

    fn mark(epoch: u32, size: u64, seen: Seen) -> Mark {
        Mark { size, seen, epoch }
    }

    #[test]
    fn a_mark_only_rises_and_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let seven = mark(2, 7, Seen::Root(Hash::EMPTY));
        assert_eq!(raise(dir.path(), seven).unwrap(), seven);
        for lower in [
            mark(2, 6, Seen::Size),
            mark(2, 8, Seen::Unknown),
            mark(1, 100, Seen::Size),
        ] {
            assert_eq!(raise(dir.path(), lower).unwrap(), seven);
            assert_eq!(read(dir.path()).unwrap(), Some(seven));
        }
        for higher in [
            mark(2, 9, Seen::Unknown),
            mark(2, 8, Seen::Root(Hash::EMPTY)),
            mark(3, 1, Seen::Root(Hash::EMPTY)),
        ] {
            assert_eq!(raise(dir.path(), higher).unwrap(), higher);
            assert_eq!(read(dir.path()).unwrap(), Some(higher));
        }
    }

    #[test]
    fn what_is_no_mark_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "soon\n").unwrap();
        assert!(raise(dir.path(), mark(1, 12, Seen::Size)).is_err());
        let there = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(there, "soon\n");
    }
}
