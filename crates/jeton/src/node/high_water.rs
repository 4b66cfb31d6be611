//! The high-water mark: the highest size that was ever shown, and its root, in a file outside the database. A backup that is put
//! back over the database is below it, or on another way.
//!
//! It is raised after a batch is durable and before anybody hears of it. A killed process leaves it as it was raised; with the
//! power, the raises of the last second may go, which only makes it older: the next start raises it again.

use std::{
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use jeton_tlog::Hash;

/// `size root epoch`, each as wide as it can get, so that a new mark lies exactly over the old one.
const MARK_BYTES: usize = 20 + 1 + 44 + 1 + 10 + 1;

/// In place of a root: nobody knows what was shown.
const UNKNOWN: &str = "-";
/// In place of a root: an older jeton kept none.
const UNTOLD: &str = "?";

/// The end of a ledger, as it was once shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// How many events it had.
    pub size: u64,
    /// What is known of them.
    pub seen: Seen,
    /// In which epoch of the ledger, from 1.
    pub epoch: u32,
}

/// What a mark knows of the events below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The root above them.
    Root(Hash),
    /// How many, and no more: a mark of an older jeton.
    Size,
    /// All but the last were shown, and nobody knows what after them: a backup was restored where nothing remembers. However
    /// large the store grows, it may lack a revocation until somebody vouches that nothing came later.
    Unknown,
}

/// What is known of what was served after a backup, or after the end of a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Later {
    /// Only what this directory knows.
    Unknown,
    /// Somebody vouches that nothing was.
    Nothing,
}

impl Mark {
    /// The mark of an end after which nobody knows what was served.
    #[must_use]
    pub const fn unknown_after(size: u64, epoch: u32) -> Self {
        Self {
            size: size.saturating_add(1),
            seen: Seen::Unknown,
            epoch,
        }
    }

    /// How far the ledger was shown for certain: marks are ordered by this, since another epoch is further than any size.
    #[must_use]
    pub const fn certain(&self) -> (u32, u64) {
        match self.seen {
            Seen::Root(_) | Seen::Size => (self.epoch, self.size),
            Seen::Unknown => (self.epoch, self.size.saturating_sub(1)),
        }
    }

    /// The root above its events, if it knows that.
    #[must_use]
    pub const fn root(&self) -> Option<Hash> {
        match self.seen {
            Seen::Root(root) => Some(root),
            Seen::Size | Seen::Unknown => None,
        }
    }

    /// Whether nobody knows what was shown.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self.seen, Seen::Unknown)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let size = words.next()?.parse().ok()?;
        let seen = match words.next() {
            None | Some(UNTOLD) => Seen::Size,
            Some(UNKNOWN) => Seen::Unknown,
            Some(root) => Seen::Root(Hash::from_base64(root)?),
        };
        let epoch = match words.next() {
            None => 1,
            Some(epoch) => epoch.parse().ok()?,
        };
        words.next().is_none().then_some(Self { size, seen, epoch })
    }

    pub(crate) fn text(&self) -> String {
        let seen = match self.seen {
            Seen::Root(root) => root.to_string(),
            Seen::Size => UNTOLD.to_owned(),
            Seen::Unknown => UNKNOWN.to_owned(),
        };
        format!("{:020} {seen:<44} {:010}\n", self.size, self.epoch)
    }
}

/// The file of the mark.
#[derive(Debug)]
pub struct HighWater {
    file: fs::File,
}

impl HighWater {
    /// Reads the mark. `None`: nothing was shown from this directory yet.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::InvalidData`] for a file that holds no mark: what was shown is not known then.
    pub fn read(path: &Path) -> io::Result<Option<Mark>> {
        match fs::read_to_string(path) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Mark::read(&text).map(Some).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "it holds no high-water mark")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file for raising, making it if it is missing.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        Ok(Self {
            file: options.open(path)?,
        })
    }

    /// Raises the mark; it is for the caller that it never sinks. One write within one sector: there is no half of it.
    ///
    /// # Errors
    /// The system's error.
    pub fn raise(&self, mark: &Mark) -> io::Result<()> {
        let text = mark.text();
        debug_assert_eq!(text.len(), MARK_BYTES, "a mark lies over the one before it");
        self.file.write_all_at(text.as_bytes(), 0)
    }

    /// Makes the mark outlive the power.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark_of(size: u64) -> Mark {
        Mark {
            size,
            seen: Seen::Root(Hash::from_bytes([9; 32])),
            epoch: 2,
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_raised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        assert_eq!(HighWater::read(&path).unwrap(), None);
        let mark = HighWater::open(&path).unwrap();
        assert_eq!(
            HighWater::read(&path).unwrap(),
            None,
            "an empty file marks nothing"
        );
        for size in [0, 7, 1 << 40, u64::MAX] {
            mark.raise(&mark_of(size)).unwrap();
            assert_eq!(HighWater::read(&path).unwrap(), Some(mark_of(size)));
        }
        assert_eq!(fs::read(&path).unwrap().len(), MARK_BYTES);
    }

    #[test]
    fn the_mark_of_an_older_jeton_is_read_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        fs::write(&path, "1234\n").unwrap();
        let due = Mark {
            size: 1234,
            seen: Seen::Size,
            epoch: 1,
        };
        assert_eq!(HighWater::read(&path).unwrap(), Some(due));
        HighWater::open(&path)
            .unwrap()
            .raise(&mark_of(1235))
            .unwrap();
        assert_eq!(HighWater::read(&path).unwrap(), Some(mark_of(1235)));
    }

    #[test]
    fn a_mark_of_what_nobody_knows_is_not_that_of_an_older_jeton() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        let unknown = Mark::unknown_after(1234, 2);
        let untold = Mark {
            seen: Seen::Size,
            ..unknown
        };
        for (mark, certain) in [(unknown, (2, 1234)), (untold, (2, 1235))] {
            HighWater::open(&path).unwrap().raise(&mark).unwrap();
            assert_eq!(HighWater::read(&path).unwrap(), Some(mark));
            assert_eq!(mark.certain(), certain);
        }
        // As marks stand there that were left before anything could tell them apart by more than this.
        fs::write(&path, "1235 - 2\n").unwrap();
        assert_eq!(HighWater::read(&path).unwrap(), Some(unknown));
    }

    #[test]
    fn what_is_no_mark_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        for text in [
            "x\n",
            "12 34\n",
            "-1\n",
            "5 AAAA extra\n",
            "5 6 7 8\n",
            " \n",
        ] {
            fs::write(&path, text).unwrap();
            let error = HighWater::read(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
    }
}
